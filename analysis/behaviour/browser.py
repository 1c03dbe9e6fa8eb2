"""The completions that fool the proxy most, grouped by what they do.

At every point of one run per proxy, the completions are ranked by proxy minus gold score, both in π_ref s.d.
The top of that ranking is grouped by the behaviours that occur in each completion; of the largest groups the
completion with the widest gap is shown, beside how common such completions are altogether.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.behaviour.rates import Path, paths
from analysis.probes import Evidence, Headline
from analysis.probes.evidence import evidence, headlines
from analysis.records.run_curves import RunCurves
from analysis.records.scale import reference_scale
from analysis.study.columns import KL, STEP_OF, run_columns
from analysis.study.table import COUNT, SD, SHARE, TEXT, Column, Table

TOP = 0.05
"""Share of a point's completions, those with the widest gap, that are grouped."""
GROUPS = 3
"""Groups shown per point, the largest."""
NOTHING = "none of these behaviours"


def browser(found: Sequence[Path], known: Evidence, carried: Mapping[str, Headline]) -> pd.DataFrame:
    """`BROWSER`, for the first run of every proxy."""
    first: dict[str, Path] = {}
    for path in found:
        first.setdefault(path.proxy, path)
    frames = [_run(path.runs[0], known, carried) for path in first.values()]
    return BROWSER.stack(frames)


def _run(run: RunCurves, known: Evidence, carried: Mapping[str, Headline]) -> pd.DataFrame:
    kl = run.sums["kl"].mean()
    scorers, scale = {"proxy_score": run.run.scorer, "gold": "gold"}, None
    frames = []
    for place, step in enumerate(run.steps.tolist()):
        if step not in run.answers or step not in run.scores:
            continue
        answers, scores = run.answers[step], run.scores[step]
        scale = reference_scale(scores, answers["weight"].to_numpy(dtype=float)) if scale is None else scale
        if "completion" not in answers or not {*scorers.values()} <= set(scale):
            continue
        said = answers[["prompt", "completion"]].copy()
        for name, scorer in scorers.items():
            mean, sd = scale[scorer]
            said[name] = (scores[scorer] - mean) / sd
        said["gap"] = said["proxy_score"] - said["gold"]
        said["does"] = _behaviours(answers, known, carried)
        frames.append(_widest(said).assign(step=step, kl=kl[place]))
    if not frames:
        return pd.DataFrame()
    return pd.concat(frames, ignore_index=True).assign(run_id=run.run.run_id, proxy=run.run.proxy)


def _behaviours(answers: pd.DataFrame, known: Evidence, carried: Mapping[str, Headline]) -> list[str]:
    """What each completion does, in words."""
    labels = [headline.label for headline in carried.values()]
    occurs = [headline.events(known, answers).eq(1).to_numpy() for headline in carried.values()]
    if not occurs:
        return [NOTHING] * len(answers)
    kinds, which = np.unique(np.stack(occurs, axis=1), axis=0, return_inverse=True)
    words = ["; ".join(itertools.compress(labels, kind)) or NOTHING for kind in kinds]
    return [words[kind] for kind in which]


def _widest(said: pd.DataFrame) -> pd.DataFrame:
    """One row for each of the `GROUPS` largest groups among the widest gaps."""
    size = max(1, round(TOP * len(said)))
    top = said.nlargest(size, "gap")
    counts = top["does"].value_counts().head(GROUPS)
    examples = top.drop_duplicates("does").set_index("does").loc[counts.index]
    everywhere = said["does"].value_counts(normalize=True)
    return examples.assign(
        among_widest=counts, widest=len(top), share_of_all=everywhere[counts.index]
    ).reset_index()


BROWSER = Table(
    "behaviour_browser",
    "The completions with the widest gaps between proxy and gold: one row per point and group of them.",
    (
        *run_columns("run_id", "proxy"),
        *(STEP_OF, KL),
        Column("does", TEXT, "the behaviours that occur in it"),
        Column("among_widest", COUNT, "completions among the widest gaps that do just this"),
        Column("widest", COUNT, "completions with the widest gaps"),
        Column("share_of_all", SHARE, "of all completions of the point that do just this"),
        Column("prompt", TEXT, "what was asked"),
        Column("completion", TEXT, "the completion of this group with the widest gap"),
        Column("proxy_score", SD, "its proxy score"),
        Column("gold", SD, "its gold score"),
        Column("gap", SD, "the first minus the second"),
    ),
    lambda study: browser(paths(study), evidence(study), headlines(study)),
)
