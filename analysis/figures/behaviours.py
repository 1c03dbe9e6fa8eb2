"""A figure for each behaviour: what happens under a few raters, and what else it could be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from analysis.behaviour.contagion import SERIES
from analysis.behaviour.tables import read_doses
from analysis.figures.behaviour_controls import BEHAVIOURS, Behaviour
from analysis.figures.doses import series_name
from analysis.figures.lines import zero_line
from analysis.figures.material import Material, Plot
from analysis.figures.paths import headline, long_rows, with_seed_means
from analysis.figures.scores import complete_runs
from analysis.figures.style import Look, canvas, curve, sqrt_kl_axis
from analysis.probes import PROBES
from analysis.traced import first_passage

SECTION = "Each behaviour beside its controls"
LEAST_POINTS = 3
"""Fewer do not make a curve."""
LEGEND_DROP = 0.45
"""Inches from the x axis down to its legend: below the ticks and the label."""
ROLES = {
    "affected": Look("most affected", "#D55E00", "-", "o"),
    "unbiased": Look("raters without bias", "#0072B2", (0, (4, 1.5)), "s"),
    "without": Look("", "#0072B2", (0, (4, 1.5)), "s"),
    "least": Look("least affected", "#0072B2", (0, (4, 1.5)), "s"),
    "random": Look("labels at random", "#000000", (0, (1, 1)), "x"),
    "gold": Look("gold itself as reward", "#009E73", (0, (5, 1, 1, 1)), "^"),
}
"""Who may stand in the left panel, in this order."""
CONTROLS = (
    Look("", "#0072B2", (0, (4, 1.5)), "s"),
    Look("", "#009E73", (0, (5, 1, 1, 1)), "^"),
    Look("", "#CC79A7", (0, (6, 1.5)), "v"),
    Look("", "#000000", (0, (1, 1)), "x"),
)


@dataclass(frozen=True)
class Scene:
    """What the figure of one behaviour draws."""

    rows: pd.DataFrame
    """One row per drawn curve and point: `paths.COLUMNS`, panel ("happens" or "controls"), role, label."""
    who: dict[str, str]
    """Role → proxy."""
    distance: float
    """√KL at which the most affected was chosen: the largest that all reach."""
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
        return "not measured" if np.isnan(value) else f"{_number(value)} [{_number(lo)}, {_number(hi)}]"


def _number(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _at(rows: pd.DataFrame, column: str, distance: float) -> float:
    """A curve read where it first reaches √KL = `distance`; NaN if it does not."""
    kept = rows[rows[column].notna()]
    if kept.empty:
        return float("nan")
    d, values = (kept[name].to_numpy(dtype=float)[None] for name in ("distance", column))
    return float(first_passage(d, values, np.array([distance]))[0, 0])


def scene(behaviour: Behaviour, material: Material) -> Scene | str:
    """What is to be drawn, or in words why nothing is."""
    refused = material.tables.probes.get(behaviour.probe)
    if refused is not None:
        return refused
    points = plain_paths(material)
    if points.empty:
        return "no run under path control, without a mitigation, was completed"
    measure = _measure(behaviour)
    curves = headline(with_seed_means(long_rows(points, [measure]), complete_runs(material)))
    curves = curves[curves["value"].notna().groupby(curves["proxy"]).transform("sum") >= LEAST_POINTS]
    proxies = list(dict.fromkeys(points.loc[points["proxy"].isin(curves["proxy"]), "proxy"]))
    who = controls_among(material, proxies)
    candidates = [proxy for proxy in proxies if proxy not in who.values()]
    if len(proxies) < 2 or not candidates:
        return (
            f"needs paths with {LEAST_POINTS} points or more against at least two proxies, one of them no "
            "control (raters without bias, labels at random, gold itself)"
        )
    usable = curves[curves["value"].notna()]
    distance = float(usable.groupby("proxy")["distance"].max().min())
    rate = {proxy: _at(usable[usable["proxy"] == proxy], "value", distance) for proxy in proxies}
    who["affected"] = max(candidates, key=rate.__getitem__)
    if "unbiased" not in who:
        who |= _contrast(material, who["affected"], candidates, rate)
    runs = points.groupby("proxy")["run_id"].nunique()[list(who.values())]
    return Scene(
        rows=pd.concat([_happens(curves, who, material), _explained(behaviour, points, who, material)]),
        who=who,
        distance=distance,
        reference=float(points.loc[points["step"] == 0, measure].mean()),
        paths=len(proxies),
        candidates=len(candidates),
        seeds=(int(runs.min()), int(runs.max())),
    )


def _measure(behaviour: Behaviour) -> str:
    found = PROBES[behaviour.probe].headline
    assert found is not None
    return found.measure


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
    no better than chance. unbiased: the dose 0 of `SERIES`, or raters who see value alone, asked about the
    prompts as they come.
    """
    known, doses = material.experiment.proxies, read_doses(material.experiment)
    cards = material.tables.reward_models
    at_chance = {
        card.split("/")[1]
        for card in cards.loc[(cards["kind"] == "proxy") & (cards["accuracy_lo"] <= 0.5), "name"]
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
    doses = read_doses(material.experiment)
    series = doses[affected][0] if affected in doses else None
    zero = [name for name in candidates if doses.get(name) == (series, 0.0) and name != affected]
    if zero:
        return {"without": zero[0]}
    others = [name for name in candidates if name != affected]
    return {"least": min(others, key=rate.__getitem__)} if others else {}


def _happens(curves: pd.DataFrame, who: dict[str, str], material: Material) -> pd.DataFrame:
    doses = read_doses(material.experiment)
    blocks = []
    for role, look in ROLES.items():
        if role in who:
            name = who[role]
            words = look.label or f"{series_name(doses[name][0]).replace(chr(10), ' ')} 0"
            mine = curves[curves["proxy"] == name]
            blocks.append(mine.assign(panel="happens", role=role, label=f"{name}: {words}"))
    return pd.concat(blocks)


def _explained(
    behaviour: Behaviour, points: pd.DataFrame, who: dict[str, str], material: Material
) -> pd.DataFrame:
    measure = _measure(behaviour)
    words = {measure: "the behaviour itself", **behaviour.controls}
    mine = points[points["proxy"] == who["affected"]]
    present = [name for name in words if name in mine and mine[name].notna().any()]
    rows = headline(with_seed_means(long_rows(mine, present), complete_runs(material)))
    role = np.where(rows["quantity"] == measure, "affected", "control")
    return rows.assign(panel="controls", role=role, label=rows["quantity"].map(words))


def draw(behaviour: Behaviour, material: Material) -> tuple[Figure, pd.DataFrame]:
    found = scene(behaviour, material)
    assert isinstance(found, Scene)
    rows = found.rows.reset_index(drop=True)
    entries = rows.groupby("panel")["label"].nunique()
    lines = max(int(entries["happens"]) + 1, int(entries["controls"]))
    fig, axes = canvas(1, 2, row_height=1.7 + 0.15 * lines, sharey=True)
    left, right = axes[0]
    _curves(left, rows[rows["panel"] == "happens"], ROLES, "role")
    left.axhline(
        found.reference,
        color="0.45",
        linewidth=1,
        linestyle=(0, (1, 2)),
        zorder=0,
        label=r"$\pi_{\mathrm{ref}}$, before optimisation",
    )
    controls = list(dict.fromkeys(rows.loc[rows["role"] == "control", "quantity"]))
    looks = {_measure(behaviour): ROLES["affected"], **dict(zip(controls, CONTROLS, strict=False))}
    _curves(right, rows[rows["panel"] == "controls"], looks, "quantity")
    left.set_title("what happens")
    right.set_title(f"what else it could be, under {found.who['affected']}")
    probe = PROBES[behaviour.probe]
    assert probe.headline is not None
    left.set_ylabel(f"how often the policy\n{probe.headline.label}")
    low, high = float(rows[["lo", "value"]].min().min()), float(rows[["hi", "value"]].max().max())
    left.set_ylim(min(0.0, low) - 0.03, max(high, 0.2) + 0.03)
    for ax in (left, right):
        sqrt_kl_axis(ax, float(rows["distance"].max()), spacing=0.16)
        # In inches under the axis, whatever its height, so that the layout can make room for it.
        below = ax.transAxes + ScaledTranslation(0, -LEGEND_DROP, fig.dpi_scale_trans)
        ax.legend(
            loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=below, fontsize=7, handlelength=2.6,
            borderaxespad=0,
        )  # fmt: skip
    return fig, rows


def _curves(ax: Axes, rows: pd.DataFrame, looks: Mapping[str, Look], by: str) -> None:
    if (rows["value"] < 0).any():
        zero_line(ax)
    for label, mine in rows.groupby("label", sort=False):
        look = replace(looks[mine[by].iloc[0]], label=str(label))
        curve(ax, mine["distance"], mine["value"], look, (mine["lo"], mine["hi"]))


def lacks(behaviour: Behaviour, material: Material) -> str | None:
    found = scene(behaviour, material)
    return found if isinstance(found, str) else None


def caption(behaviour: Behaviour, material: Material) -> str:
    found = scene(behaviour, material)
    assert isinstance(found, Scene)
    rows = found.rows
    happens = list(dict.fromkeys(rows.loc[rows["panel"] == "happens", "label"]))
    controls = list(dict.fromkeys(rows.loc[rows["role"] == "control", "label"]))
    rates = "; ".join(f"{label} {found.read('happens', label)}" for label in happens)
    beside = "; ".join(f"{label} {found.read('controls', label)}" for label in controls)
    luck = (
        f" (picked as the largest of {found.candidates}, so in part by luck)" if found.candidates > 1 else ""
    )
    return (
        f"{behaviour.what} Left, at KL {found.distance**2:.2g} nats, the largest that all {found.paths} "
        f"paths reach{luck}: {rates}; reference policy {_number(found.reference)}. {_onset(behaviour, material, found)}"
        + (f"Right, there: {beside}. " if beside else "")
        + f"{behaviour.reading} {_behind(behaviour, material, found)}"
    )


def _path_rows(table: pd.DataFrame, behaviour: Behaviour, found: Scene) -> pd.DataFrame:
    """Those of the most affected path and this behaviour."""
    method = found.rows["method"].iloc[0]
    return table[
        (table["behaviour"] == _measure(behaviour)) & (table["proxy"] == found.who["affected"])
        & (table["method"] == method)
    ]  # fmt: skip


def _onset(behaviour: Behaviour, material: Material, found: Scene) -> str:
    rows = _path_rows(material.tables.behaviour.onsets, behaviour, found)
    if rows.empty:
        return ""
    kl = float(rows["onset_kl"].iloc[0])
    proxy = found.who["affected"]
    if np.isnan(kl):
        return f"No rise under {proxy} is beyond chance. "
    return f"The rise under {proxy} is beyond chance from KL {kl:.2g} nats on. "


def _behind(behaviour: Behaviour, material: Material, found: Scene) -> str:
    items = _path_rows(material.tables.behaviour.spectrum, behaviour, found)["clusters"].max()
    counted = f", up to {int(items)} items count" if np.isfinite(items) else ""
    least, most = found.seeds
    if most == 1:
        over = "prompts and say nothing about other seeds"
        return f"One run (seed) per proxy{counted}; bands and brackets are 95 % intervals over {over}."
    runs = str(most) if least == most else f"{least} to {most}"
    return f"{runs} runs (seeds) per proxy{counted}; bands and brackets are 95 % intervals over prompts and seeds."


def _plot(behaviour: Behaviour) -> Plot:
    return Plot(
        title=behaviour.title,
        description=(
            f"Two line charts against the square root of the KL. Left: {behaviour.what[0].lower()}"
            f"{behaviour.what[1:-1]}, as a rate under a few raters. Right: the same rate beside its controls."
        ),
        requirement=f"needs the probe {behaviour.probe} and paths against two proxies",
        lacks=partial(lacks, behaviour),
        draw=partial(draw, behaviour),
        caption=partial(caption, behaviour),
        section=SECTION,
    )


PLOTS: dict[str, Plot] = {f"behaviour_{_measure(each)}": _plot(each) for each in BEHAVIOURS}
