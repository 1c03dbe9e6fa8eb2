"""The world: tokenizer, demonstrations and prompts of every role, drawn once."""

from __future__ import annotations

from training.stages.task import Task
from training.worlds import AnyWorld, built_world


def build_world(task: Task) -> None:
    """Draw the world: tokenizer, demonstrations, prompts of every role."""
    world = task.component(AnyWorld, "world")
    data = world.build(
        task.stream("world"),
        eval_items=task.settings["eval_items"],
        pool_prompts=task.settings["pool_prompts"],
    )
    built_world.save(world, data, task.out)
