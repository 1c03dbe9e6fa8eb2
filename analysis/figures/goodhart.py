"""The figure of Gao et al. (2022, arXiv:2210.10760): scores against sqrt(KL), with a third level of truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.drawing.lines import draw_quantities, mark_peak, zero_line
from analysis.figures.drawing.panels import FEW, Cell, grid_of_panels
from analysis.figures.drawing.path_rows import COLUMNS, Case, cases, peak, turning_point
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.score_rows import SCORES, best_of_n_rows, path_rows, seeds_and_prompts
from analysis.figures.drawing.style import DOTTED, LOOKS, SD, Look, sqrt_kl_axis
from analysis.figures.drawing.way_looks import way_looks
from analysis.records.way import POOL

LAW = "law"
"""The quantity of the rows that hold a fitted law."""
BESIDE = 3
"""Up to so many methods stand beside each other, one row per proxy."""


def draw(material: Material) -> Drawing | Reason:
    """A panel per method and proxy, all on the same scales: two methods never share a panel."""
    paths, pool = path_rows(material), best_of_n_rows(material)
    blocks = [block for block in (paths, pool, law_rows(material)) if not block.empty]
    if paths.empty and pool.empty:
        return "no run under path control and no best-of-n pool left scored points"
    data = pd.concat(blocks, ignore_index=True)
    looks = way_looks(material.experiment.ways)
    found = cases(data, looks)
    methods, proxies = data["method"].nunique(), data["proxy"].nunique()
    full = len(found) == methods * proxies and methods <= BESIDE and proxies <= FEW
    limit = float(data["distance"].max())

    def panel(case: Case, cell: Cell) -> None:
        sqrt_kl_axis(cell.ax, limit, top=cell.top)
        _curves(cell.ax, case, material.tables.humps)
        cell.ax.set_title(case.title)
        cell.ax.set_ylabel(f"score ({SD})")

    figure = grid_of_panels(found, panel, across=methods if full else None)
    return Drawing(figure, data, _caption(material, data, found, looks))


def law_rows(material: Material) -> pd.DataFrame:
    """Rows (`COLUMNS`) with quantity `LAW` for every law fitted to gold, over its points' range."""
    bands, fits = material.tables.fit_bands, material.tables.fits
    if bands.empty:
        return pd.DataFrame(columns=COLUMNS)
    gold = fits.loc[fits["score"] == "gold", ["curve", "method", "proxy", "law"]]
    gold = gold.assign(method=gold["method"].mask(gold["law"] == "best_of_n", str(POOL)))
    rows = bands.merge(gold, on="curve", validate="many_to_one")
    pairs = material.tables.runs.drop_duplicates("proxy").set_index("proxy")["proxy_pairs"]
    rows = rows.rename(columns={"d": "distance", "law": "run_id"})
    return rows.assign(quantity=LAW, step=np.nan, proxy_pairs=rows["proxy"].map(pairs))[COLUMNS]


def _curves(ax: Axes, case: Case, humps: pd.DataFrame) -> None:
    zero_line(ax)
    rows = case.rows
    curves, law = rows[rows["quantity"] != LAW], rows[rows["quantity"] == LAW]
    draw_quantities(ax, curves, "distance", SCORES)
    if len(law):
        ax.plot(law["distance"], law["value"], color="black", linestyle=DOTTED, zorder=3,
                label="law fitted to gold")  # fmt: skip
        ax.fill_between(law["distance"], law["lo"], law["hi"], color="0.3", alpha=0.14, linewidth=0)
    if top := turning_point(case, humps):
        mark_peak(ax, top.distance, top.value, f"gold peak, {top.kl:.1f} nats", LOOKS["gold"])


def _caption(material: Material, data: pd.DataFrame, found: Sequence[Case], looks: Mapping[str, Look]) -> str:
    methods = set(data["method"])
    if str(POOL) not in methods:
        what = "Scores of policies trained against the proxy"
    elif methods == {str(POOL)}:
        what = "Scores of the proxy's favourite of n samples (no path run left a scored point)"
    else:
        what = (
            "Scores of policies trained against the proxy and, in panels of their own, of its favourite of n "
            "samples"
        )
    parts = [
        f"{what}, over how far the policy has moved from where it started. Every curve is a change from the "
        "reference policy, in standard deviations of that score over the reference policy's own samples. If "
        "optimising the proxy were optimising the truth, all curves would rise together.",
        seeds_and_prompts(material, pool=True),
        "Dotted: the law of Gao et al. (2022) fitted to the gold curve, d(α − β log d) for trained policies "
        "and d(α − βd) for best-of-n with d = √KL, with its 95 % bootstrap band."
        if LAW in set(data["quantity"])
        else "No law is drawn: the points do not identify one.",
        _evidence_sentence(material, found, looks),
    ]
    return " ".join(part for part in parts if part)


def _evidence_sentence(material: Material, found: Sequence[Case], looks: Mapping[str, Look]) -> str:
    """Where gold stops being evidence: an oracle that peaked at a smaller KL than gold did."""
    if not material.experiment.has_oracle:
        return (
            "This world has no oracle, so nothing here can tell where the gold score itself stops being "
            "evidence."
        )
    places = []
    for case in found:
        gold, oracle = peak(case.rows, "gold"), peak(case.rows, "oracle")
        if gold is None or oracle is None or oracle.kl >= gold.kl:
            continue
        at_end = "" if gold.turned else ", its last point"
        where = f"{looks[case.method].label}, {case.proxy} proxy"
        places.append(f"{oracle.kl:.1f} before {gold.kl:.1f} nats{at_end} ({where})")
    if not places:
        return "In no panel was the oracle highest before gold was."
    return (
        f"The oracle was highest before gold was at KL {'; '.join(places)}: from the first KL on, a rising "
        "gold curve is no evidence of improvement."
    )


PLOT = Plot(
    title="What the proxy and what it stands for do as KL is spent",
    description=(
        "Line charts, one panel per method and proxy: proxy, gold and oracle score against the square root "
        "of the KL from the reference policy, gold's peak marked."
    ),
    draw=draw,
)
