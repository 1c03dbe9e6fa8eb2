"""Worlds with all their prompts in one: those that are trained on, and those that are measured."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from training.worlds import built_world
from training.worlds.base import Aside, World, WorldData


def drawn(world: World, seed: int, eval_items: int, pool_prompts: int) -> WorldData:
    """What the world builds, with so many prompts of `eval` and `pool` among its prompts."""
    data = world.build(seed)

    def aside(role: str) -> Aside:
        return Aside(data.prompts[role], data.notes)

    measured = {
        "eval": world.measured("eval", eval_items, seed, partial(aside, "eval")),
        "pool": world.measured("pool", pool_prompts, seed, partial(aside, "pool")),
    }
    return replace(data, prompts=data.prompts | measured)


def save(world: World, data: WorldData, folder: Path) -> built_world.BuiltWorld:
    """Write a world on disk, the measured prompts where their own stage would leave them."""
    trained_on = {role: items for role, items in data.prompts.items() if role not in ("eval", "pool")}
    folder.mkdir(parents=True, exist_ok=True)
    built_world.save(world, replace(data, prompts=trained_on), folder)
    for role in ("eval", "pool"):
        (folder / role).mkdir(exist_ok=True)
        data.prompts[role].to_parquet(folder / role / "prompts.parquet")
    return opened(folder)


def opened(folder: Path) -> built_world.BuiltWorld:
    """A world that `save` wrote."""
    return built_world.BuiltWorld(folder, {role: folder / role for role in ("eval", "pool")})


def inputs(folder: Path) -> dict[str, Path]:
    """A world that `save` wrote, as inputs of a stage that measures on `eval`."""
    return {"world": folder, "eval": folder / "eval"}
