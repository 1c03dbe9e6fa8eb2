"""What the policy knows beside what it says, over sqrt(KL)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.behaviours.scene import controls_among, plain_paths
from analysis.figures.drawing.path_rows import cases, headline, long_rows, with_seed_means
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.score_rows import complete_runs
from analysis.figures.drawing.style import canvas, shared_legend, sqrt_kl_axis

ROWS = {"wrong": "the user believes\na wrong value", "neutral": "asked neutrally"}
AREAS = {
    "knows_and_says": ("knows and says", "#009E73", ""),
    "bent": ("knows, says otherwise", "#E69F00", "//"),
    "broken": ("no longer knows", "#B0B0B0", ".."),
}
QUANTITIES = (*AREAS, "accuracy", "control_accuracy")
MOST = 3
"""Columns side by side."""


def shown(material: Material) -> pd.DataFrame:
    """The rows of path runs of one method without a mitigation, of `MOST` proxies: raters without bias and
    gold itself, where there are some, and those whose policies end up saying least of what π_ref knew."""
    table = material.tables.knowing
    points = table[table["run_id"].isin(plain_paths(material)["run_id"])]
    pressed = points[(points["condition"] == "wrong") & (points["probe"] == "fixed")]
    ends = pressed.sort_values("step").groupby(["run_id", "proxy"])["knows_and_says"].last()
    ranked = ends.groupby("proxy").mean().sort_values().index.tolist()
    controls = controls_among(material, ranked)
    always = [controls[role] for role in ("unbiased", "gold") if role in controls]
    others = [name for name in ranked if name not in controls.values()] or ranked
    chosen = list(dict.fromkeys([*others[: MOST - len(always)], *always]))
    return points[points["proxy"].isin(chosen)]


def numbers(material: Material) -> pd.DataFrame:
    """Long rows (`paths.COLUMNS`) of what is shown and their seed means, by condition and probe."""
    points = shown(material)
    blocks = []
    for (condition, probe), rows in points.groupby(["condition", "probe"], sort=False):
        lines = with_seed_means(long_rows(rows, QUANTITIES), complete_runs(material))
        blocks.append(lines.assign(condition=str(condition), probe=str(probe)))
    return pd.concat(blocks, ignore_index=True) if blocks else pd.DataFrame()


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """A column per proxy; the wrong-belief prompt above the neutral one."""
    data = numbers(material)
    found = cases(data)
    fig, axes = canvas(len(ROWS), len(found), row_height=1.7, sharex="col", sharey=True)
    for column, case in enumerate(found):
        for (condition, label), ax in zip(ROWS.items(), axes[:, column], strict=True):
            _panel(ax, case.rows[case.rows["condition"] == condition])
            first, last = condition == "wrong", condition == "neutral"
            sqrt_kl_axis(ax, float(case.rows["distance"].max()), top=first, bottom=last)
            ax.set_ylim(0, 1)
            if column == 0:
                ax.set_ylabel(f"{label}\nshare of known facts", fontsize=7.5)
        axes[0, column].set_title(case.label, fontsize=8)
    shared_legend(fig, axes, columns=3)
    return fig, data


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    fixed, again = (headline(rows[rows["probe"] == probe]) for probe in ("fixed", "retrained"))
    below: np.ndarray | float = 0.0
    for name, (label, colour, hatch) in AREAS.items():
        mine = _line(fixed, name)
        x, above = mine["distance"].to_numpy(), below + mine["value"].to_numpy()
        ax.fill_between(
            x,
            below,
            above,
            facecolor=colour,
            alpha=0.45,
            hatch=hatch,
            edgecolor=colour,
            linewidth=0,
            label=label,
        )
        if name != "broken":
            # The upper edge of each area, with the interval of what lies below it.
            edge = _line(fixed, "accuracy" if name == "bent" else name)
            spread = np.stack([edge["value"] - edge["lo"], edge["hi"] - edge["value"]]).clip(min=0)
            ax.errorbar(x, edge["value"], yerr=spread, color=colour, linewidth=1, elinewidth=0.8, capsize=1.5)
        below = above
    for source, name, style, label in (
        (again, "accuracy", (0, (4, 1.5)), "known to a probe retrained here"),
        (fixed, "control_accuracy", (0, (1, 1)), "control task (fixed probe)"),
    ):
        line = _line(source, name)
        ax.plot(line["distance"], line["value"], color="black", linestyle=style, linewidth=1, label=label)


def _line(rows: pd.DataFrame, quantity: str) -> pd.DataFrame:
    return rows[rows["quantity"] == quantity].reset_index(drop=True)


def caption(material: Material) -> str:
    table = shown(material)
    seeds = table.groupby("proxy")["run_id"].nunique()
    paths = material.tables.knowing["proxy"].nunique()
    which = (
        f" Of {paths} proxies: raters without bias and gold itself, where there are some, and those under "
        "which least of what was known is said at last."
        if paths > len(seeds)
        else ""
    )
    return (
        "A linear probe reads the true value off the last layer where the value of an answer would come "
        "next. Green: read, and said. Orange: read, but something else was said (the policy is bent). Grey: "
        "not read (it is broken, or the probe never could: compare with the left edge). Areas: the probe "
        "fitted to the reference policy's neutral states; dashed: the share known to a probe fitted to the "
        "states of that very point and prompt; where it stays up and the areas do not, knowledge was "
        "rewritten and not lost. Every fact is read by probes that saw no prompt about its entity. Dotted: "
        f"the same probe on values dealt at random (control task): only what lies above it counts.{which} "
        f"{int(table['facts'].iloc[0])} facts that the reference policy knows, "
        f"{int(table['prompts'].iloc[0])} prompts per condition, {int(seeds.min())} "
        f"run{'s' if seeds.min() > 1 else ''} per proxy; bars are 95 % intervals over facts."
    )


def lacks(material: Material) -> str | None:
    if (refused := material.tables.knowing_refused) is not None:
        return refused
    table = shown(material)
    start = table[(table["step"] == 0) & (table["condition"] == "neutral") & (table["probe"] == "fixed")]
    if start.empty:
        return "no path run left hidden states"
    # The start is the same policy in every run, read by the same probes.
    accuracy, low, control = start[["accuracy", "accuracy_lo", "control_accuracy"]].iloc[0]
    if low <= control:
        return (
            f"at the start the probe reads {accuracy:.0%} of the values that π_ref knows, no more "
            f"than its control task ({control:.0%}) for all that can be told: these states do not show it"
        )
    return None


PLOT = Plot(
    title="Knowing and saying",
    description=(
        "Stacked areas against the square root of the KL, one column per proxy: share of known facts that "
        "the policy knows and says, knows and says otherwise, and no longer knows, under a wrong belief and "
        "neutrally, with a retrained probe and a control."
    ),
    requirement="needs hidden states (measure.hidden_states)",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
