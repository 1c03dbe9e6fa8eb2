"""The completions that fool the proxy most, grouped by what they do.

At every point of one run per proxy, the completions are ranked by proxy minus gold score, both in π_ref s.d.
The top of that ranking is grouped by the behaviours that occur in each completion; of the largest groups the
completion with the widest gap is shown, beside how common such completions are altogether.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.behaviour.rates import Path
from analysis.excerpts import reference_scale
from analysis.points import RunCurves
from analysis.probes import Evidence, Headline

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
    for place, point in enumerate(run.run.points):
        if point.step not in run.answers or not point.scored:
            continue
        answers, scores = run.answers[point.step], point.scores()
        scale = reference_scale(scores, evidence.items) if scale is None else scale
        if "completion" not in answers or not {*scorers.values()} <= set(scale):
            continue
        wide = scores.pivot(index=["item_id", "sample_id"], columns="scorer", values="value")
        wide = wide.reindex(pd.MultiIndex.from_frame(answers[["item_id", "sample_id"]]))
        said = answers[["prompt", "completion"]].copy()
        for name, scorer in scorers.items():
            mean, sd = scale[scorer]
            said[name] = (wide[scorer].to_numpy() - mean) / sd
        said["gap"] = said["proxy_score"] - said["gold"]
        said["does"] = _behaviours(answers, evidence, headlines)
        frames.append(_widest(said).assign(step=point.step, kl=kl[place]))
    if not frames:
        return pd.DataFrame(columns=list(BROWSER_COLUMNS))
    return pd.concat(frames, ignore_index=True).assign(run_id=run.run.run_id, proxy=run.run.proxy)


def _behaviours(answers: pd.DataFrame, evidence: Evidence, headlines: Mapping[str, Headline]) -> list[str]:
    """What each completion does, in words."""
    labels = [headline.label for headline in headlines.values()]
    occurs = [headline.events(evidence, answers).eq(1).to_numpy() for headline in headlines.values()]
    rows = np.stack(occurs, axis=1) if occurs else np.zeros((len(answers), 0), dtype=bool)
    return [
        "; ".join(label for label, yes in zip(labels, row, strict=True) if yes) or NOTHING for row in rows
    ]


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
