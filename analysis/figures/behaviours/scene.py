"""What the figure of one behaviour draws: whose curves, which controls, and where they are read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.behaviour.contagion import SERIES
from analysis.equal_kl.traced import first_passage
from analysis.figures.behaviours.controls import Behaviour
from analysis.figures.drawing.model_labels import replicates
from analysis.figures.drawing.path_rows import headline, long_rows, with_seed_means
from analysis.figures.drawing.plot import Material, Reason
from analysis.figures.drawing.score_rows import complete_runs
from analysis.figures.drawing.series_names import series_name
from analysis.probes import PROBES, Headline

LEAST_POINTS = 3
"""Fewer do not make a curve."""
ROLES = {
    "affected": "highest rate",
    "unbiased": "annotator without bias",
    "without": "",
    "least": "lowest rate",
    "random": "labels at random",
    "gold": "gold itself as reward",
}
"""Who may stand in the left panel, in this order, and in what words; "without" is named by its dose."""
GAPS = ROLES | {"affected": "widest gap", "least": "narrowest gap"}
"""The same for a behaviour that is a gap."""


@dataclass(frozen=True)
class Scene:
    """What the figure of one behaviour draws."""

    rows: pd.DataFrame
    """One row per drawn curve and point: `path_rows.COLUMNS`, panel ("happens" or "controls"), role
    and label."""
    who: dict[str, str]
    """Role → proxy."""
    distance: float
    """√KL at which rates are read: the largest that all reach."""
    reference: float
    """π_ref's rate."""
    paths: int
    candidates: int
    seeds: tuple[int, int]
    """Fewest and most runs behind a curve."""

    def read(self, panel: str, label: str) -> str:
        """A curve's rate at `distance` with its interval, as text."""
        mine = self.rows[(self.rows["panel"] == panel) & (self.rows["label"] == label)]
        value, lo, hi = (_at(mine, name, self.distance) for name in ("value", "lo", "hi"))
        return "not measured" if np.isnan(value) else f"{as_text(value)} [{as_text(lo)}, {as_text(hi)}]"


def as_text(value: float) -> str:
    """Two decimals, with a real minus and no −0.00."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _at(rows: pd.DataFrame, column: str, distance: float) -> float:
    """A curve read where it first reaches √KL = `distance`; NaN if it does not."""
    kept = rows[rows[column].notna()]
    if kept.empty:
        return float("nan")
    d, values = (kept[name].to_numpy(dtype=float)[None] for name in ("distance", column))
    return float(first_passage(d, values, np.array([distance]))[0, 0])


def scene(behaviour: Behaviour, material: Material) -> Scene | Reason:
    """What is to be drawn, or in words why nothing is."""
    refused = material.tables.probes.get(behaviour.probe)
    if refused is not None:
        return refused
    points, complete = plain_paths(material), complete_runs(material)
    if points.empty:
        return "no run under path control, without a mitigation, was completed"
    measure = headline_of(behaviour).measure
    curves = _curves(points, [measure], complete)
    curves = curves[curves["value"].notna().groupby(curves["proxy"]).transform("sum") >= LEAST_POINTS]
    proxies = list(dict.fromkeys(points.loc[points["proxy"].isin(curves["proxy"]), "proxy"]))
    who = controls_among(material, proxies)
    candidates = [proxy for proxy in proxies if proxy not in who.values()]
    if len(proxies) < 2 or not candidates:
        return (
            f"needs paths with {LEAST_POINTS} points or more against at least two proxies, one of them no "
            "control (annotator without bias, labels at random, gold itself)"
        )
    distance = float(curves[curves["value"].notna()].groupby("proxy")["distance"].max().min())
    ranked = curves if behaviour.gap is None else _curves(points, [behaviour.gap], complete)
    rate = {proxy: _at(ranked[ranked["proxy"] == proxy], "value", distance) for proxy in proxies}
    who["affected"] = max(candidates, key=rate.__getitem__)
    if "unbiased" not in who:
        who |= _contrast(material, who["affected"], candidates, rate)
    runs = points.groupby("proxy")["run_id"].nunique()[list(who.values())]
    happens = _happens(curves, who, GAPS if behaviour.gap else ROLES, material)
    words = {measure: "the behaviour itself", **behaviour.controls}
    mine = points[points["proxy"] == who["affected"]]
    beside = _curves(mine, [name for name in words if name in mine and mine[name].notna().any()], complete)
    beside = beside.assign(
        panel="controls",
        role=np.where(beside["quantity"] == measure, "affected", "control"),
        label=beside["quantity"].map(words),
    )
    return Scene(
        rows=pd.concat([happens, beside], ignore_index=True),
        who=who,
        distance=distance,
        reference=float(points.loc[points["step"] == 0, measure].mean()),
        paths=len(proxies),
        candidates=len(candidates),
        seeds=(int(runs.min()), int(runs.max())),
    )


def _curves(points: pd.DataFrame, quantities: list[str], complete: list[str]) -> pd.DataFrame:
    """The one line to follow of each proxy and quantity."""
    return headline(with_seed_means(long_rows(points, quantities), complete))


def headline_of(behaviour: Behaviour) -> Headline:
    """The measure that the figure is about, and its words for an axis."""
    found = PROBES[behaviour.probe].headline
    assert found is not None
    return found


def plain_paths(material: Material) -> pd.DataFrame:
    """The points of completed path runs without a mitigation, of one way of optimising: the first recorded,
    so that only the proxy differs."""
    points = material.tables.points
    mine = points[
        (points["control"] == "path") & points["mitigation"].isna()
        & points["run_id"].isin(complete_runs(material))
    ]  # fmt: skip
    return mine[mine["method"] == mine["method"].iloc[0]] if len(mine) else mine


def controls_among(material: Material, proxies: list[str]) -> dict[str, str]:
    """Role → the first proxy that is this control, told from the records and not from its name.

    gold: nobody labelled its pairs. random: its labels are reversed at random and it predicts held-out ones
    no better than chance. unbiased: the dose 0 of `SERIES`, or an annotator who sees value alone, asked about
    the prompts as they come.
    """
    known, doses = material.experiment.proxies, material.experiment.doses
    cards, names = material.tables.reward_models, replicates(material.experiment)
    at_chance = {
        names[card][0]
        for card in cards.loc[(cards["kind"] == "proxy") & (cards["accuracy_lo"] <= 0.5), "name"]
        if card in names
    }
    found: dict[str, str] = {}
    for name in proxies:
        record = known.get(name, {})
        labelled = record.get("annotator", "not recorded")
        natural = record.get("user_reliability") is None and record.get("monitored_share") is None
        if labelled is None:
            found.setdefault("gold", name)
        elif labelled == "flip_noise" and name in at_chance:
            found.setdefault("random", name)
        elif doses.get(name) == (SERIES, 0.0) or (labelled == "bradley_terry" and natural):
            found.setdefault("unbiased", name)
    return found


def _contrast(
    material: Material, affected: str, candidates: list[str], rate: dict[str, float]
) -> dict[str, str]:
    """Whom to compare with where nobody is known to be unbiased: dose 0 of the most affected's own series,
    else the least affected."""
    doses = material.experiment.doses
    series = doses[affected][0] if affected in doses else None
    zero = [name for name in candidates if doses.get(name) == (series, 0.0) and name != affected]
    if zero:
        return {"without": zero[0]}
    others = [name for name in candidates if name != affected]
    return {"least": min(others, key=rate.__getitem__)} if others else {}


def _happens(
    curves: pd.DataFrame, who: dict[str, str], roles: dict[str, str], material: Material
) -> pd.DataFrame:
    doses = material.experiment.doses
    blocks = []
    for role, known in roles.items():
        if role in who:
            name = who[role]
            words = known or f"{series_name(doses[name][0])} 0"
            mine = curves[curves["proxy"] == name]
            blocks.append(mine.assign(panel="happens", role=role, label=f"{name}: {words}"))
    return pd.concat(blocks)
