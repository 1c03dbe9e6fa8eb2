"""The world: tokenizer, demonstrations and prompts, drawn once; and the prompts that are measured."""

from __future__ import annotations

from functools import partial

from training.stages.task import Task
from training.worlds import AnyWorld, built_world


def build_world(task: Task) -> None:
    """Draw the world: tokenizer, demonstrations, prompts of every role that is trained on."""
    world = task.component(AnyWorld, "world")
    built_world.save(world, world.build(task.stream("world")), task.out)


def draw_prompts(task: Task) -> None:
    """Draw the prompts of a role that is measured: how many there are names no world and no model."""
    role, built = task.settings["role"], task.world
    items = built.world.measured(
        role, task.settings["count"], task.stream("world"), partial(built.set_aside, role)
    )
    items.to_parquet(task.out / "prompts.parquet", compression="zstd")
