"""What training adds to, or loses from, pure reweighting: path runs on top of the optimiser-free frontier."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.drawing.lines import draw_quantities, zero_line
from analysis.figures.drawing.panels import Cell, grid_of_panels
from analysis.figures.drawing.path_rows import COLUMNS, Case, cases, long_rows, path_points, with_seed_means
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.score_rows import complete_runs, path_rows, seeds_and_prompts
from analysis.figures.drawing.style import DOTTED, LOOKS, SD, Look, curve, sqrt_kl_axis
from analysis.figures.drawing.way_looks import FRONTIER, way_looks

TRUTHS = ("gold", "oracle")
RESIDUAL = {f"{name}_residual": name for name in TRUTHS}


def draw(material: Material) -> Drawing | Reason:
    """Per method and proxy: scores on the left, score minus frontier on the right."""
    reliable = material.tables.frontier.query("reliable")
    if reliable.empty:
        return "no best-of-n pool was scored, or it is too small to be reweighted"
    residuals = _residual_rows(material)
    if residuals.empty:
        return "no run under path control left scored points"
    paths, frontier = path_rows(material, TRUTHS), _frontier_rows(reliable)
    trained = pd.concat([paths, residuals], ignore_index=True)
    data = pd.concat([trained, frontier], ignore_index=True)
    limits = float(data["distance"].max()), float(frontier["distance"].max())

    def panels(case: Case, cell: Cell) -> None:
        scores, beyond = cell.axes
        for ax, limit in zip(cell.axes, limits, strict=True):
            zero_line(ax)
            sqrt_kl_axis(ax, limit, top=cell.top)
        draw_quantities(scores, case.rows, "distance", TRUTHS)
        _frontier(scores, frontier[frontier["proxy"] == case.proxy])
        renamed = case.rows.assign(quantity=case.rows["quantity"].map(RESIDUAL))
        draw_quantities(beyond, renamed[renamed["quantity"].notna()], "distance", TRUTHS)
        scores.set_title(case.title)
        beyond.set_title("trained minus\nfrontier")
        for ax in cell.axes:
            ax.set_ylabel(f"score ({SD})")

    figure = grid_of_panels(cases(trained, way_looks(material.experiment.ways)), panels, panels=2)
    ends = "; ".join(
        f"{kl:.1f} nats ({proxy} proxy)"
        for proxy, kl in reliable.groupby("proxy", sort=False)["kl"].max().items()
    )
    caption = (
        "Dotted: what the best policy for the proxy at each KL would score, the reference policy "
        "reweighted by exp(proxy/β), estimated from the best-of-n pool without any training. It ends where "
        f"the pool has too few effective samples: {ends}. Right: what the trained policy scores besides, at "
        "the same KL; away from zero it is the optimiser's own doing, for better or worse. The scales of "
        f"scores and differences differ. {seeds_and_prompts(material, pool=True)}"
    )
    return Drawing(figure, data, caption)


def _residual_rows(material: Material) -> pd.DataFrame:
    tables = material.tables
    paths = path_points(tables.points)["run_id"].unique()
    points = tables.residuals[tables.residuals["run_id"].isin(paths)]
    present = [name for name in RESIDUAL if points[name].notna().any()]
    if not present:
        return pd.DataFrame(columns=COLUMNS)
    return with_seed_means(long_rows(points, present), complete_runs(material))


def _frontier_rows(reliable: pd.DataFrame) -> pd.DataFrame:
    """The part of the frontier that the pool can show."""
    points = reliable.assign(method=FRONTIER, run_id=FRONTIER, step=float("nan"))
    return long_rows(points, [name for name in TRUTHS if points[name].notna().any()])


def _frontier(ax: Axes, rows: pd.DataFrame) -> None:
    for name in TRUTHS:
        mine = rows[rows["quantity"] == name]
        if len(mine):
            look = Look(f"{name} of the frontier", LOOKS[name].color, DOTTED, "")
            curve(ax, mine["distance"], mine["value"], look, (mine["lo"], mine["hi"]))


PLOT = Plot(
    title="What training adds to pure reweighting",
    description="Trained policies over the optimiser-free frontier, and what is left between the two.",
    draw=draw,
)
