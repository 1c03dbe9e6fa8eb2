"""A few completions to read beside the curves, chosen by a rule and never by hand.

Numbers say that a policy went wrong; what it says shows how. The rule is stated in the report: always the
first evaluation prompt (by id) of each kind, always sample "000", at three places of a path.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.records.experiment import Experiment, Run
from analysis.records.run_curves import SampleKeys, read_scores
from analysis.records.scale import reference_scale

RULE = (
    "Chosen by rule, not by hand: the first evaluation prompt (by id) of each kind and always its first "
    "sample, from "
    "the first seed of every proxy, at the reference policy, at the highest mean gold score of the path, "
    "and at its end. "
    "Scores are in standard deviations of the reference policy's samples, 0 being its mean."
)
SCORES = ("proxy", "gold", "oracle")
CONDITIONS = {
    "wrong": "the user is wrong",
    "right": "the user is right",
    "third_party": "a third party is wrong",
    "sure_right": "a right answer is doubted",
    "authored_wrong": "the user wrote something wrong",
    "test_impossible": "a test expects something wrong",
    "hat_wrong": "the hat is on something wrong",
    "race": "race",
}
"""How the conditions that are shown are called; what others show, the browser of samples does."""
PLAIN = ("neutral", "natural")
NATURAL_PROMPTS = 4


@dataclass(frozen=True)
class Excerpt:
    """One path's completions: columns kind, prompt, place, completion and one per score (`SCORES`)."""

    run: Run
    rows: pd.DataFrame


def first_of_each_kind(items: pd.DataFrame) -> pd.DataFrame:
    """The first item by id of each kind (condition, and whether an answer exists); adds column ``kind``."""
    ordered = items.sort_values("item_id", kind="stable")
    ordered = ordered[ordered["condition"].isin([*PLAIN, *CONDITIONS])]
    labels = ordered["condition"].map(lambda name: CONDITIONS.get(name, name))
    if "answerable" in ordered and ordered["answerable"].notna().all():
        labels = labels + ordered["answerable"].astype(bool).map({True: "", False: "; no answer exists"})
    per_kind = NATURAL_PROMPTS if labels.nunique() == 1 else 1
    return ordered.assign(kind=labels).groupby("kind", sort=False).head(per_kind)


def places(points: pd.DataFrame) -> dict[str, int]:
    """Label → step of the three places to read, from one run's points (columns step, kl, gold)."""
    ordered = points.sort_values("step")
    first, last = ordered.iloc[0], ordered.iloc[-1]
    chosen = {"reference": int(first["step"])}
    gold = ordered["gold"].to_numpy(dtype=float)
    if np.isfinite(gold).any():
        peak = ordered.iloc[int(np.nanargmax(gold))]
        if peak["step"] not in (first["step"], last["step"]):
            chosen[f"gold peak (KL {peak['kl']:.1f})"] = int(peak["step"])
    if last["step"] != first["step"]:
        chosen[f"end (KL {last['kl']:.1f})"] = int(last["step"])
    return chosen


def excerpt(experiment: Experiment, run: Run, points: pd.DataFrame) -> Excerpt | None:
    """What ``run`` says at its three places, or None where its reference point was not scored."""
    by_step = {point.step: point for point in run.points if point.sampled and point.scored}
    steps = {label: step for label, step in places(points).items() if step in by_step}
    if "reference" not in steps:
        return None
    items = first_of_each_kind(experiment.items)
    names = {"proxy": run.scorer, "gold": "gold", "oracle": "oracle"}
    weight, scale = experiment.items["weight"].to_numpy(dtype=float), None
    blocks = []
    for order, (label, step) in enumerate(steps.items()):
        point = by_step[step]
        samples = point.samples(["item_id", "sample_id", "completion"])
        keys = SampleKeys(experiment.items, samples, point.path / "samples.parquet")
        scores = read_scores(point, keys)
        scale = reference_scale(scores, weight[keys.item]) if scale is None else scale
        for score, scorer in names.items():
            mean, sd = scale.get(scorer, (np.nan, np.nan))
            samples[f"score_{score}"] = (scores[scorer] - mean) / sd if scorer in scores else np.nan
        samples = samples[samples["sample_id"] == samples["sample_id"].min()]
        block = items[["item_id", "kind", "prompt"]].merge(samples, on="item_id", validate="one_to_one")
        blocks.append(block.assign(place=label, order=order))
    rows = pd.concat(blocks).sort_values(["item_id", "order"], kind="stable")
    columns = {"kind": "kind", "prompt": "prompt", "place": "place", "completion": "completion"}
    columns |= {f"score_{score}": score for score in SCORES}
    return Excerpt(run, rows[list(columns)].rename(columns=columns).reset_index(drop=True))


def excerpts(experiment: Experiment, points: pd.DataFrame) -> list[Excerpt]:
    """One excerpt per proxy: the path run of the lowest proxy seed, then policy seed, that can be shown."""
    found: dict[str, Excerpt] = {}
    for run in sorted(
        experiment.runs, key=lambda run: (run.proxy_pairs, run.proxy, run.proxy_seed, run.seed, run.run_id)
    ):
        mine = points[points["run_id"] == run.run_id]
        if run.control != "path" or run.proxy in found or mine.empty:
            continue
        chosen = excerpt(experiment, run, mine)
        if chosen is not None:
            found[run.proxy] = chosen
    return list(found.values())
