"""The forms of the law side by side: fitted to the first part of each gold curve, held against the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.drawing.lines import mark_place, zero_line
from analysis.figures.drawing.panels import FEW, Cell, grid_of_panels
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.style import (
    BLACK,
    BLUE,
    DASH_DOTTED,
    DASHED,
    DOTTED,
    GREEN,
    PINK,
    RED,
    SD,
    SOLID,
    Look,
    sqrt_kl_axis,
)
from analysis.figures.drawing.way_looks import way_looks
from analysis.laws.forms import LAWS
from analysis.records.way import POOL

FORMS = {
    "best_of_n": Look("d(α − βd)", BLUE, DASHED, ""),
    "rl": Look("d(α − β log d)", RED, SOLID, ""),
    "log1p": Look("d(α − β log(1+d))", GREEN, DASH_DOTTED, ""),
    "power": Look("d(α − βd$^γ$)", PINK, (0, (3, 1, 1, 1, 1, 1)), ""),
    "no_hump": Look("no hump: α(1 − e$^{−κd}$)/κ", BLACK, DOTTED, ""),
}
REGION = "region of alpha and beta"


def draw(material: Material) -> Drawing | Reason:
    """Per gold curve: forms and points and, where there is room, the joint region of (α, β)."""
    tables = material.tables
    curves = _curves(material)
    if not curves:
        return "no gold curve has enough points for a law"
    with_region = len(curves) <= FEW
    data = _numbers(material, list(curves), with_region=with_region)
    looks = way_looks(material.experiment.ways)
    best = tables.law_scores[tables.law_scores["best"].astype(bool)].groupby("curve")["law"].agg(set)

    def panels(curve: str, cell: Cell) -> None:
        rows, fit = data[data["curve"] == curve], curves[curve]
        _forms(cell.axes[0], rows, best.get(curve, set()))
        sqrt_kl_axis(
            cell.axes[0], float(rows.loc[rows["quantity"] == "measured", "d"].max()), top=with_region
        )
        method = str(POOL) if fit["law"] == "best_of_n" else fit["method"]
        cell.axes[0].set_title(f"{looks[method].label}\n{fit['proxy']} proxy")
        cell.axes[0].set_ylabel(f"gold ({SD})")
        if with_region:
            _region(cell.axes[1], rows[rows["quantity"] == REGION], fit)

    figure = grid_of_panels(
        list(curves), panels, panels=2 if with_region else 1, share_x=False, share_y=False,
        legend_columns=3,
    )  # fmt: skip
    return Drawing(figure, data, _caption(material, list(curves), with_region=with_region))


def _curves(material: Material) -> dict[str, Mapping[Any, Any]]:
    """The rows of `fits`, by curve, of gold curves to which at least one form was fitted, in the order of the
    tables."""
    fits, lines = material.tables.fits, material.tables.law_lines
    fitted = set(lines["curve"]) if len(lines) else set()
    gold = fits[(fits["score"] == "gold") & fits["curve"].isin(fitted)]
    return {str(row["curve"]): row for row in gold.to_dict("records")}


def _numbers(material: Material, curves: list[str], *, with_region: bool) -> pd.DataFrame:
    """Rows of curve, quantity (a law, "measured" or the region), d or α, value or β, lo, hi, held_out."""
    tables = material.tables
    points = tables.law_points.rename(columns={"measured": "value"}).assign(quantity="measured")
    points["lo"], points["hi"] = (points["value"] + sign * 1.96 * points["se"] for sign in (-1, 1))
    lines = tables.law_lines.rename(columns={"law": "quantity"})
    regions = tables.fit_regions.rename(columns={"alpha": "d", "beta": "value"}).assign(quantity=REGION)
    columns = ["curve", "quantity", "d", "kl", "value", "lo", "hi", "held_out"]
    frames = [frame.reindex(columns=columns) for frame in (points, lines, regions) if len(frame)]
    rows = pd.concat([frame.astype({"held_out": object}) for frame in frames], ignore_index=True)
    drawn = rows["curve"].isin(curves) & ((rows["quantity"] != REGION) | with_region)
    return rows[drawn].reset_index(drop=True)


def _forms(ax: Axes, rows: pd.DataFrame, best: set[str]) -> None:
    zero_line(ax)
    for law, look in FORMS.items():
        line = rows[rows["quantity"] == law]
        if line.empty:
            continue
        ax.plot(line["d"], line["value"], color=look.color, linestyle=look.line, label=look.label,
                linewidth=1.8 if law in best else 1.0)  # fmt: skip
        if law in best:
            ax.fill_between(line["d"], line["lo"], line["hi"], color=look.color, alpha=0.14, linewidth=0)
    measured = rows[rows["quantity"] == "measured"]
    for held, face, label in ((False, "0.3", "measured, fitted"), (True, "white", "measured, held out")):
        mine = measured[measured["held_out"].astype(bool) == held]
        error = (mine["value"] - mine["lo"], mine["hi"] - mine["value"])
        ax.errorbar(mine["d"], mine["value"], error, fmt="o", color="0.3", markerfacecolor=face,
                    markersize=3.2, elinewidth=0.5, label=label)  # fmt: skip
    inside = measured[~measured["held_out"].astype(bool)]["d"].max()
    outside = measured[measured["held_out"].astype(bool)]["d"].min()
    mark_place(ax, (inside + outside) / 2)
    # Forms that fall without end must not press the measured points flat.
    low, high = measured["lo"].min(), measured["hi"].max()
    ax.set_ylim(min(0.0, low) - 0.3 * (high - low), high + 0.3 * (high - low))


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
    ax.set_title(f"{LAWS[fit['law']].formula}, all points")


def _caption(material: Material, curves: list[str], *, with_region: bool) -> str:
    scores = material.tables.law_scores
    best = scores[scores["best"].astype(bool) & scores["curve"].isin(curves) & scores["margin"].notna()]
    leads = "; ".join(
        f"{row['curve']}: {LAWS[row['law']].formula}, ahead by {row['margin']:.2f} ± "
        f"{1.96 * row['margin_se']:.2f}"
        for row in best.to_dict("records")
    )
    if not with_region:
        ahead = "How far the best leads is in the table `law_scores`."
        region = "Joint regions of α and β are in the table `fit_regions`;"
    else:
        ahead = (
            f"Best held-out log score per point, and its lead over the next form (± 95 %): {leads}."
            if leads
            else "Too few points lie beyond the cut to compare the forms."
        )
        region = (
            "Right: the joint 95 % region of α and β of the method's published law, fitted to all points;"
        )
    return (
        f"{'Left: ' if with_region else ''}Gold points up to 60 % of the √KL reached (filled; dashed line: "
        f"the cut), every form fitted to them, and drawn on over the held-out rest (open). {ahead} The best "
        f"form is bold, with its 95 % band; bars are 95 % intervals. {region} a peak is reported only where "
        "the interval of β alone excludes 0. The scales of the panels differ."
    )


PLOT = Plot(
    title="Which law predicts the rest of the curve",
    description=(
        "Gold against √KL with five fitted forms, the cut between fitted and held-out points, and the joint "
        "region of the two coefficients."
    ),
    draw=draw,
)
