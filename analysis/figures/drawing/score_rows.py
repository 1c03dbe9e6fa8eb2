"""The score curves that several figures share, as long rows: path runs and best-of-n."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.figures.drawing.path_rows import CASE, MEAN, long_rows, path_points, with_seed_means
from analysis.figures.drawing.plot import Material
from analysis.records.contracts import REWARD
from analysis.records.way import POOL

SCORES = ("proxy_score", REWARD, "gold", "oracle")


def complete_runs(material: Material) -> list[str]:
    return [run.run_id for run in material.experiment.runs if run.status == "complete"]


def path_rows(material: Material, quantities: tuple[str, ...] = SCORES) -> pd.DataFrame:
    """Points of path runs with the mean over seeds; a quantity that no point has is not among the rows."""
    points = _without_plain_rewards(path_points(material.tables.points))
    present = [name for name in quantities if name in points and points[name].notna().any()]
    if points.empty or not present:
        return pd.DataFrame()
    return with_seed_means(long_rows(points, present), complete_runs(material))


def _without_plain_rewards(points: pd.DataFrame) -> pd.DataFrame:
    """The reward that was optimised is left to runs with a mitigation: in all others it is the proxy's, but
    for the samples by which it was standardised."""
    if REWARD not in points:
        return points
    return points.assign(**{REWARD: points[REWARD].where(points["mitigation"].notna())})


def best_of_n_rows(material: Material) -> pd.DataFrame:
    """Best-of-n curves in the same columns, ``n`` beside them; ``kl`` counts ties."""
    table = material.tables.best_of_n
    if table.empty:
        return pd.DataFrame()
    points = table.assign(method=str(POOL), run_id=str(POOL), step=np.nan)
    present = [name for name in SCORES if name in points and points[name].notna().any()]
    rows = long_rows(points, present)
    return rows.assign(n=np.tile(points["n"].to_numpy(), len(present)))


def seeds_and_prompts(material: Material, *, pool: bool = False, drawn: str = "bands are") -> str:
    """The sentence on what stands behind the curves, and where their intervals are (`drawn`)."""
    record = material.experiment.pool if pool else None
    pooled = (
        f"best-of-n: {record['prompts']:,} prompts with {record['samples']:,} samples each" if record else ""
    )
    points = path_points(material.tables.points)
    complete = points["run_id"].isin(complete_runs(material))
    broken = points.loc[~complete, "run_id"].nunique()
    counts = points[complete].groupby(CASE)["run_id"].nunique()
    if points.empty:
        return f"{pooled[:1].upper()}{pooled[1:]}." if pooled else ""
    if counts.empty:
        runs, over = "No path run was completed", "prompts"
    elif counts.max() == 1:
        runs, over = "One completed run (seed) per proxy", "prompts and say nothing about other seeds"
    else:
        several = " or ".join(str(n) for n in sorted(set(counts)))
        runs = f"{several} completed runs per proxy (thin lines: single seeds; bold: the {MEAN})"
        over = "prompts and seeds"
    cut = f", and {broken} that broke off" if broken else ""
    behind = f"{runs}{cut}, {len(material.experiment.items):,} evaluation prompts"
    return f"{'; '.join(part for part in (behind, pooled) if part)}; {drawn} 95 % intervals over {over}."
