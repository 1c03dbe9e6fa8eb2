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

from analysis.behaviour.rates import Path
from analysis.probes import Evidence, Headline
from analysis.records.run_curves import RunCurves
from analysis.records.scale import reference_scale

TOP = 0.05
"""Share of a point's completions, those with the widest gap, that are grouped."""
GROUPS = 3
"""Groups shown per point, the largest."""
NOTHING = "none of these behaviours"
BROWSER_COLUMNS = (
    *("run_id", "proxy", "step", "kl", "does", "among_widest", "widest", "share_of_all"),
    *("prompt", "completion", "proxy_score", "gold", "gap"),
)


def browser(paths: Sequence[Path], evidence: Evidence, headlines: Mapping[str, Headline]) -> pd.DataFrame:
    """`BROWSER_COLUMNS`: one row per point and group of completions, for the first run of every proxy.

    `does` names the behaviours; `among_widest` of the `widest` completions of the point do just this, and
    `share_of_all` of all its completions. Scores and gap in π_ref s.d., of the completion shown.
    """
    first: dict[str, Path] = {}
    for path in paths:
        first.setdefault(path.proxy, path)
    frames = [_run(path.runs[0], evidence, headlines) for path in first.values()]
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        return pd.DataFrame(columns=list(BROWSER_COLUMNS))
    return pd.concat(frames, ignore_index=True)[list(BROWSER_COLUMNS)]


def _run(run: RunCurves, evidence: Evidence, headlines: Mapping[str, Headline]) -> pd.DataFrame:
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
        said["does"] = _behaviours(answers, evidence, headlines)
        frames.append(_widest(said).assign(step=step, kl=kl[place]))
    if not frames:
        return pd.DataFrame(columns=list(BROWSER_COLUMNS))
    return pd.concat(frames, ignore_index=True).assign(run_id=run.run.run_id, proxy=run.run.proxy)


def _behaviours(answers: pd.DataFrame, evidence: Evidence, headlines: Mapping[str, Headline]) -> list[str]:
    """What each completion does, in words."""
    labels = [headline.label for headline in headlines.values()]
    occurs = [headline.events(evidence, answers).eq(1).to_numpy() for headline in headlines.values()]
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
