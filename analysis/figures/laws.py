"""The forms of the law side by side: fitted to the first part of each gold curve, held against the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.lines import zero_line
from analysis.figures.drawing.method_looks import method_label
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.small_multiples import MANY, TITLE, case_title, small_multiples
from analysis.figures.drawing.style import SD, Look, canvas, shared_legend, sqrt_kl_axis
from analysis.laws.forms import LAWS

FORMS = {
    "best_of_n": Look("d(α − βd)", "#0072B2", (0, (4, 1.5)), ""),
    "rl": Look("d(α − β log d)", "#D55E00", "-", ""),
    "log1p": Look("d(α − β log(1+d))", "#009E73", (0, (5, 1, 1, 1)), ""),
    "power": Look("d(α − βd$^γ$)", "#CC79A7", (0, (3, 1, 1, 1, 1, 1)), ""),
    "no_hump": Look("no hump: α(1 − e$^{−κd}$)/κ", "#000000", (0, (1, 1)), ""),
}
REGION = "region of alpha and beta"


def _curves(material: Material) -> list[str]:
    """Gold curves to which at least one form was fitted, in the order of the tables."""
    lines = material.tables.law_lines
    fitted = set(lines["curve"]) if len(lines) else set()
    points = material.tables.law_points
    names = points["curve"].drop_duplicates() if len(points) else ()
    return [name for name in names if name in fitted and name.endswith("/gold")]


def numbers(material: Material) -> pd.DataFrame:
    """Rows of curve, quantity (a law, "measured" or the region), d or α, value or β, lo, hi, held_out."""
    tables, wanted = material.tables, _curves(material)
    points = tables.law_points.rename(columns={"measured": "value"}).assign(quantity="measured")
    points["lo"], points["hi"] = (points["value"] + sign * 1.96 * points["se"] for sign in (-1, 1))
    lines = tables.law_lines.rename(columns={"law": "quantity"})
    regions = tables.fit_regions.rename(columns={"alpha": "d", "beta": "value"}).assign(quantity=REGION)
    columns = ["curve", "quantity", "d", "kl", "value", "lo", "hi", "held_out"]
    frames = [frame.reindex(columns=columns) for frame in (points, lines, regions) if len(frame)]
    rows = pd.concat([frame.astype({"held_out": object}) for frame in frames], ignore_index=True)
    drawn = rows["curve"].isin(wanted) & ((rows["quantity"] != REGION) | (len(wanted) <= MANY))
    return rows[drawn].reset_index(drop=True)


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """One row per gold curve: forms and points on the left, the joint region of (α, β) on the right."""
    data, curves = numbers(material), _curves(material)
    if len(curves) > MANY:
        return _many(material, data, curves), data
    fig, axes = canvas(len(curves), 2, width_ratios=(1.9, 1))
    for row, name in enumerate(curves):
        left, right = axes[row]
        rows = data[data["curve"] == name]
        _forms(left, rows, material)
        method, proxy, _ = name.split("/")
        how = "best of n" if method == "best_of_n" else method_label(method)
        left.set_ylabel(f"{how}, {proxy} proxy\ngold ({SD})")
        _region(right, rows[rows["quantity"] == REGION], _fit(material, name))
    shared_legend(fig, axes[:, :1], columns=3)
    return fig, data


def _many(material: Material, data: pd.DataFrame, curves: list[str]) -> Figure:
    """The forms alone: of so many curves the joint regions are in their table."""
    fig, cells = small_multiples(len(curves), sharex=False, sharey=False)
    for cell, name in zip(cells, curves, strict=True):
        ax = cell.axes[0]
        _forms(ax, data[data["curve"] == name], material, top=False, bottom=cell.bottom)
        ax.set_title(case_title(*name.split("/")[:2]), fontsize=TITLE)
        if cell.left:
            ax.set_ylabel(f"gold ({SD})")
    shared_legend(fig, np.array([cell.axes for cell in cells]), columns=3)
    return fig


def _forms(
    ax: Axes, rows: pd.DataFrame, material: Material, *, top: bool = True, bottom: bool = True
) -> None:
    zero_line(ax)
    sqrt_kl_axis(ax, float(rows.loc[rows["quantity"] == "measured", "d"].max()), top=top, bottom=bottom)
    scores = material.tables.law_scores
    scores = scores[(scores["curve"] == rows["curve"].iloc[0]) & scores["best"].astype(bool)]
    measured = rows[rows["quantity"] == "measured"]
    for law, look in FORMS.items():
        line = rows[rows["quantity"] == law]
        if len(line):
            best = law in set(scores["law"])
            ax.plot(line["d"], line["value"], color=look.color, linestyle=look.line, label=look.label,
                    linewidth=1.8 if best else 1.0)  # fmt: skip
            if best:
                ax.fill_between(line["d"], line["lo"], line["hi"], color=look.color, alpha=0.14, linewidth=0)
    for held, face, label in ((False, "0.3", "measured, fitted"), (True, "white", "measured, held out")):
        mine = measured[measured["held_out"].astype(bool) == held]
        error = (mine["value"] - mine["lo"], mine["hi"] - mine["value"])
        ax.errorbar(mine["d"], mine["value"], error, fmt="o", color="0.3", markerfacecolor=face,
                    markersize=3.2, elinewidth=0.5, label=label)  # fmt: skip
    inside = measured[~measured["held_out"].astype(bool)]["d"].max()
    outside = measured[measured["held_out"].astype(bool)]["d"].min()
    ax.axvline((inside + outside) / 2, color="0.5", linewidth=0.7, linestyle=(0, (2, 2)))
    # Forms that fall without end must not press the measured points flat.
    low, high = measured["lo"].min(), measured["hi"].max()
    ax.set_ylim(min(0.0, low) - 0.3 * (high - low), high + 0.3 * (high - low))


def _fit(material: Material, curve: str) -> Mapping[Any, Any]:
    fits = material.tables.fits
    return fits[fits["curve"] == curve].to_dict("records")[0]


def _region(ax: Axes, outline: pd.DataFrame, fit: Mapping[Any, Any]) -> None:
    ax.set_xlabel("α")
    ax.set_ylabel("β")
    if outline.empty:
        ax.plot([], [])
        ax.text(0.5, 0.5, "not fitted", ha="center", transform=ax.transAxes, color="0.4")
        return
    look = FORMS[fit["law"]]
    ax.fill(outline["d"], outline["value"], color=look.color, alpha=0.18, linewidth=0)
    ax.plot(outline["d"], outline["value"], color=look.color, linewidth=0.8)
    ax.plot(fit["alpha"], fit["beta"], "o", color=look.color)
    zero_line(ax)
    ax.set_title(f"{LAWS[fit['law']].formula}, all points", fontsize=7.5)


def caption(material: Material) -> str:
    scores = material.tables.law_scores
    best = scores[scores["best"].astype(bool) & scores["curve"].isin(_curves(material))]
    leads = [
        f"{row['curve']}: {LAWS[row['law']].formula}, ahead by "
        f"{row['margin']:.2f} ± {1.96 * row['margin_se']:.2f}"
        for row in best[best["margin"].notna()].to_dict("records")
    ]
    ahead = (
        f"Best held-out log score per point, and its lead over the next form (± 95 %): {'; '.join(leads)}. "
        if leads
        else "Too few points lie beyond the cut to compare the forms. "
    )
    if len(_curves(material)) > MANY:
        where, region = "", "Joint regions of α and β are in the table `fit_regions`;"
        ahead = "How far the best leads is in the table `law_scores`. "
    else:
        where, region = (
            "Left: ",
            ("Right: the joint 95 % region of α and β of the method's published law, fitted to all points;"),
        )
    return (
        f"{where}Gold points up to 60 % of the √KL reached (filled; dashed line: the cut), every form fitted "
        f"to them, and drawn on over the held-out rest (open). {ahead}The best form is bold, with its 95 % "
        f"band; bars are 95 % intervals. {region} a peak is reported only where the interval of β alone "
        "excludes 0. The scales of the panels differ."
    )


def lacks(material: Material) -> str | None:
    return None if _curves(material) else "no gold curve has enough points for a law"


PLOT = Plot(
    title="Which law predicts the rest of the curve",
    description=(
        "Gold against √KL with five fitted forms, the cut between fitted and held-out points, and the joint "
        "region of the two coefficients."
    ),
    requirement="needs a path run or a best-of-n pool",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
