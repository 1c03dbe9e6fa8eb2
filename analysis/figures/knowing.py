"""What the policy knows beside what it says, over sqrt(KL)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.behaviour.knowing import knowing_refused
from analysis.figures.behaviours.scene import controls_among, plain_paths
from analysis.figures.drawing.panels import Cell, grid_of_panels
from analysis.figures.drawing.path_rows import Case, cases, headline, long_rows, with_seed_means
from analysis.figures.drawing.plot import Drawing, Material, Plot, Reason
from analysis.figures.drawing.score_rows import complete_runs
from analysis.figures.drawing.style import DASHED, DOTTED, GREEN, ORANGE, sqrt_kl_axis
from analysis.figures.drawing.way_looks import way_looks

CONDITIONS = {"wrong": "the user believes a wrong value", "neutral": "asked neutrally"}
AREAS = {
    "knows_and_says": ("knows and says", GREEN, ""),
    "bent": ("knows, says otherwise", ORANGE, "//"),
    "broken": ("no longer knows", "#B0B0B0", ".."),
}
QUANTITIES = (*AREAS, "accuracy", "control_accuracy")
MOST = 3
"""Proxies."""


def draw(material: Material) -> Drawing | Reason:
    """A row per proxy; the wrong-belief prompt beside the neutral one."""
    if (refused := knowing_refused(material.tables.study)) is not None:
        return refused
    points = _shown(material)
    if (unread := _unread(points)) is not None:
        return unread
    data = _numbers(points, complete_runs(material))
    limit = float(data["distance"].max())

    def panels(case: Case, cell: Cell) -> None:
        for ax, (condition, words) in zip(cell.axes, CONDITIONS.items(), strict=True):
            _areas(ax, case.rows[case.rows["condition"] == condition])
            sqrt_kl_axis(ax, limit, top=cell.top)
            ax.set_ylim(0, 1)
            ax.set_title(f"{case.title}:\n{words}")
            ax.set_ylabel("share of known facts")

    found = cases(data, way_looks(material.experiment.ways))
    figure = grid_of_panels(found, panels, panels=2, row_height=1.9, legend_columns=3)
    return Drawing(figure, data, _caption(points, material.tables.knowing["proxy"].nunique()))


def _shown(material: Material) -> pd.DataFrame:
    """The rows of path runs of one method without a mitigation, of `MOST` proxies: annotators without bias
    and gold itself, where there are some, and those whose policies end up saying least of what π_ref knew."""
    table = material.tables.knowing
    points = table[table["run_id"].isin(plain_paths(material)["run_id"])]
    pressed = points[(points["condition"] == "wrong") & (points["probe"] == "fixed")]
    ends = pressed.sort_values("step").groupby(["run_id", "proxy"])["knows_and_says"].last()
    ranked = ends.groupby("proxy").mean().sort_values().index.tolist()
    controls = controls_among(material, ranked)
    always = [controls[role] for role in ("unbiased", "gold") if role in controls]
    others = [name for name in ranked if name not in controls.values()] or ranked
    return points[points["proxy"].isin([*others[: MOST - len(always)], *always])]


def _unread(points: pd.DataFrame) -> Reason | None:
    """Why these states cannot tell what is known, if they cannot."""
    start = points[(points["step"] == 0) & (points["condition"] == "neutral") & (points["probe"] == "fixed")]
    if start.empty:
        return "no path run left hidden states"
    # The start is the same policy in every run, read by the same probes.
    accuracy, low, control = start[["accuracy", "accuracy_lo", "control_accuracy"]].iloc[0]
    if low > control:
        return None
    return (
        f"at the start the probe reads {accuracy:.0%} of the values that π_ref knows, no more than its "
        f"control task ({control:.0%}) for all that can be told: these states do not show it"
    )


def _numbers(points: pd.DataFrame, complete: list[str]) -> pd.DataFrame:
    """Long rows (`path_rows.COLUMNS`) of `points` and their seed means, by condition and probe."""
    blocks = []
    for (condition, probe), rows in points.groupby(["condition", "probe"], sort=False):
        lines = with_seed_means(long_rows(rows, QUANTITIES), complete)
        blocks.append(lines.assign(condition=str(condition), probe=str(probe)))
    return pd.concat(blocks, ignore_index=True)


def _areas(ax: Axes, rows: pd.DataFrame) -> None:
    fixed, again = (headline(rows[rows["probe"] == probe]) for probe in ("fixed", "retrained"))
    below: np.ndarray | float = 0.0
    for name, (label, color, hatch) in AREAS.items():
        mine = _line(fixed, name)
        above = below + mine["value"].to_numpy()
        ax.fill_between(mine["distance"].to_numpy(), below, above, facecolor=color, alpha=0.45, hatch=hatch,
                        edgecolor=color, linewidth=0, label=label)  # fmt: skip
        if name != "broken":
            # The upper edge of each area, with the interval of what lies below it.
            edge = _line(fixed, "accuracy" if name == "bent" else name)
            spread = np.stack([edge["value"] - edge["lo"], edge["hi"] - edge["value"]]).clip(min=0)
            ax.errorbar(edge["distance"], edge["value"], yerr=spread, color=color, linewidth=1,
                        elinewidth=0.8, capsize=1.5)  # fmt: skip
        below = above
    for source, name, style, label in (
        (again, "accuracy", DASHED, "known to a probe retrained here"),
        (fixed, "control_accuracy", DOTTED, "control task (fixed probe)"),
    ):
        line = _line(source, name)
        ax.plot(line["distance"], line["value"], color="black", linestyle=style, linewidth=1, label=label)


def _line(rows: pd.DataFrame, quantity: str) -> pd.DataFrame:
    return rows[rows["quantity"] == quantity].reset_index(drop=True)


def _caption(points: pd.DataFrame, paths: int) -> str:
    seeds = points.groupby("proxy")["run_id"].nunique()
    which = (
        f" Of {paths} proxies: annotators without bias and gold itself, where there are some, and those "
        "under which least of what was known is said at last."
        if paths > len(seeds)
        else ""
    )
    return (
        "A linear probe reads the true value off the last layer where the value of an answer would come "
        "next. Green: read, and said. Orange: read, but something else was said (the policy is bent). "
        "Grey: not read (it is broken, or the probe never could: compare with the left edge). Areas: the "
        "probe fitted to the reference policy's neutral states; dashed: the share known to a probe fitted "
        "to the states of that very point and prompt; where it stays up and the areas do not, knowledge "
        "was rewritten and not lost. Every fact is read by probes that saw no prompt about its entity. "
        "Dotted: the same probe on values dealt at random (control task): only what lies above it "
        f"counts.{which} {int(points['facts'].iloc[0])} facts that the reference policy knows, "
        f"{int(points['prompts'].iloc[0])} prompts per condition, {int(seeds.min())} "
        f"run{'s' if seeds.min() > 1 else ''} per proxy; bars are 95 % intervals over facts."
    )


PLOT = Plot(
    title="Knowing and saying",
    description=(
        "Stacked areas against the square root of the KL, one row per proxy: share of known facts that the "
        "policy knows and says, knows and says otherwise, and no longer knows, under a wrong belief and "
        "neutrally, with a retrained probe and a control."
    ),
    draw=draw,
)
