"""π_ref's own samples: the best-of-n pool, and those that decide what it knows."""

from __future__ import annotations

from training.sampling import sample
from training.sampling.points import publish
from training.stages.task import Task


def sample_reference(task: Task) -> None:
    """π_ref's samples of the prompts that decide what it knows, or of the best-of-n pool."""
    items = task.world.prompts(task.settings["role"])
    if condition := task.settings["condition"]:
        items = items[items["condition"] == condition].reset_index(drop=True)
    drawn = sample.draw(
        sample.load_policy(task.inputs["reference"] / "model"),
        None,
        task.world.tokenizer(),
        items,
        samples=task.settings["samples"],
        max_tokens=task.world.max_completion_tokens,
        seed=task.stream("reference", task.settings["role"], task.settings["condition"] or "all"),
        batch_size=task.settings["batch_size"],
    )
    items.to_parquet(task.out / "items.parquet")
    publish(task.out / "points" / "000000", drawn, task.world.outcomes(drawn, items))
