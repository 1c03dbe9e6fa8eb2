"""The policies that a group of runs stands for, and what each is called."""

from __future__ import annotations

from collections.abc import Iterator

from training.config.schema import Experiment, RunGroup


def cells(run: RunGroup) -> Iterator[tuple[float | None, int]]:
    """Every (budget, seed) of a group; the budget is None where its control sets none."""
    for budget in run.control.allotted():
        for seed in range(run.seeds):
            yield budget, seed


def run_id(
    config: Experiment,
    method: str,
    group: str,
    run: RunGroup,
    proxy: str,
    replicate: int,
    budget: float | None,
    seed: int,
) -> str:
    """A readable name that tells the run from its siblings."""
    parts = [method, group, proxy]
    if budget is not None:
        parts.append(f"kl{budget:g}")
    if config.proxies[proxy].seeds > 1:
        parts.append(f"proxy{replicate}")
    if run.seeds > 1:
        parts.append(f"seed{seed}")
    return "-".join(parts)
