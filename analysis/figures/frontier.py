"""What training adds to, or loses from, pure reweighting: path runs on top of the optimiser-free frontier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.lines import draw_quantities, zero_line
from analysis.figures.drawing.path_rows import COLUMNS, Case, cases, long_rows, path_points, with_seed_means
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.score_rows import complete_runs, path_rows, seeds_and_prompts
from analysis.figures.drawing.small_multiples import MANY, TITLE, case_title, small_multiples
from analysis.figures.drawing.style import LOOKS, SD, Look, canvas, curve, shared_legend, sqrt_kl_axis

TRUTHS = ("gold", "oracle")
FRONTIER = "frontier"
RESIDUAL = {f"{name}_residual": name for name in TRUTHS}


def numbers(material: Material) -> pd.DataFrame:
    """Long rows (`paths.COLUMNS`): scores of path runs, their residuals, and the frontier (as ``run_id``)."""
    return pd.concat(
        [path_rows(material, TRUTHS), _residual_rows(material), _frontier_rows(material)], ignore_index=True
    )


def _residual_rows(material: Material) -> pd.DataFrame:
    tables = material.tables
    paths = path_points(tables.points)["run_id"].unique()
    points = tables.residuals[tables.residuals["run_id"].isin(paths)]
    present = [name for name in RESIDUAL if points[name].notna().any()]
    if not present:
        return pd.DataFrame(columns=COLUMNS)
    return with_seed_means(long_rows(points, present), complete_runs(material))


def _frontier_rows(material: Material) -> pd.DataFrame:
    """The part of the frontier that the pool can show."""
    table = material.tables.frontier.query("reliable")
    points = table.assign(method=FRONTIER, run_id=FRONTIER, step=float("nan"))
    return long_rows(points, [name for name in TRUTHS if points[name].notna().any()])


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """Per method and proxy scores on the left, score minus frontier on the right: in a row, or two to a row
    and on the same scales where they are many."""
    data = numbers(material)
    frontier = data[data["run_id"] == FRONTIER]
    found = cases(data[data["run_id"] != FRONTIER])
    limits = float(data["distance"].max()), float(frontier["distance"].max())
    if len(found) > MANY:
        return _many(found, frontier, limits), data
    fig, axes = canvas(len(found), 2, sharex="col")
    for row, (pair, case) in enumerate(zip(axes, found, strict=True)):
        for ax, limit in zip(pair, limits, strict=True):
            sqrt_kl_axis(ax, limit, top=row == 0, bottom=row == len(found) - 1)
        _panels(pair, case, frontier)
        pair[0].set_ylabel(f"{case.label}\nscore ({SD})")
        pair[1].set_ylabel("trained minus frontier")
    shared_legend(fig, axes[:, :1])
    return fig, data


def _many(found: Sequence[Case], frontier: pd.DataFrame, limits: tuple[float, float]) -> Figure:
    fig, cells = small_multiples(len(found), panels=2)
    for cell, case in zip(cells, found, strict=True):
        for ax, limit in zip(cell.axes, limits, strict=True):
            sqrt_kl_axis(ax, limit, top=False, bottom=cell.bottom)
        _panels(cell.axes, case, frontier)
        cell.axes[0].set_title(case_title(case.method, case.proxy), fontsize=TITLE)
        cell.axes[1].set_title("trained minus\nfrontier", fontsize=TITLE)
        if cell.left:
            cell.axes[0].set_ylabel(f"score ({SD})")
    shared_legend(fig, np.array([cell.axes[:1] for cell in cells]))
    return fig


def _panels(pair: Sequence[Axes], case: Case, frontier: pd.DataFrame) -> None:
    for ax in pair:
        zero_line(ax)
    draw_quantities(pair[0], case.rows, "distance", TRUTHS)
    _frontier(pair[0], frontier[frontier["proxy"] == case.proxy])
    renamed = case.rows.assign(quantity=case.rows["quantity"].map(RESIDUAL))
    draw_quantities(pair[1], renamed[renamed["quantity"].notna()], "distance", TRUTHS)


def _frontier(ax: Axes, rows: pd.DataFrame) -> None:
    for name in TRUTHS:
        mine = rows[rows["quantity"] == name]
        if mine.empty:
            continue
        look = Look(f"{name} of the frontier", LOOKS[name].color, (0, (1, 1)), "")
        curve(ax, mine["distance"], mine["value"], look, (mine["lo"], mine["hi"]))


def caption(material: Material) -> str:
    reach = material.tables.frontier.query("reliable").groupby("proxy", sort=False)["kl"].max()
    ends = "; ".join(f"{kl:.1f} nats ({proxy} proxy)" for proxy, kl in reach.items())
    return (
        "Dotted: what the best policy for the proxy at each KL would score, the reference policy reweighted "
        "by exp(proxy/β), estimated from the best-of-n pool without any training. It ends where the pool has "
        f"too few effective samples: {ends}. Right: what the trained policy scores besides, at the same KL; "
        "away from zero it is the optimiser's own doing, for better or worse. The scales of scores and "
        f"differences differ. {seeds_and_prompts(material, pool=True)}"
    )


def lacks(material: Material) -> str | None:
    if material.tables.frontier.empty or not material.tables.frontier["reliable"].any():
        return "no best-of-n pool was scored, or it is too small to be reweighted"
    if _residual_rows(material).empty:
        return "no run under path control left scored points"
    return None


PLOT = Plot(
    title="What training adds to pure reweighting",
    description="Trained policies over the optimiser-free frontier, and what is left between the two.",
    requirement="needs a path run and a best-of-n pool",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
