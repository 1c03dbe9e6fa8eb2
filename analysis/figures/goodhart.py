"""The figure of Gao et al. (2022, arXiv:2210.10760): scores against sqrt(KL), with a third level of truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.law_rows import law_rows
from analysis.figures.drawing.lines import draw_quantities, leave_room, mark_peak, zero_line
from analysis.figures.drawing.method_looks import method_looks
from analysis.figures.drawing.path_rows import Peak, cases, peak
from analysis.figures.drawing.plot import Material, Plot
from analysis.figures.drawing.score_rows import (
    BEST_OF_N,
    SCORES,
    best_of_n_rows,
    path_rows,
    seeds_and_prompts,
)
from analysis.figures.drawing.small_multiples import MANY, TITLE, case_title, small_multiples
from analysis.figures.drawing.style import LOOKS, SD, canvas, shared_legend, sqrt_kl_axis

MANY_METHODS = 3
"""More methods than this do not fit beside each other."""
REINFORCEMENT = ("rloo", "grpo", "ppo")


def numbers(material: Material) -> pd.DataFrame:
    """Long rows of all panels (`paths.COLUMNS`, ``n`` for best-of-n), the fitted laws among them."""
    blocks = [path_rows(material), best_of_n_rows(material), law_rows(material)]
    return pd.concat([block for block in blocks if not block.empty], ignore_index=True)


def draw(material: Material) -> tuple[Figure, pd.DataFrame]:
    """Proxies in rows and methods in columns, or a grid of both where one of them is many: two methods never
    share a panel."""
    data = numbers(material)
    found = {(case.proxy, case.method): case.rows for case in cases(data)}
    proxies = list(dict.fromkeys(proxy for proxy, _ in found))
    methods = list(dict.fromkeys(data["method"]))
    if _crowded(data):
        return _many(data), data
    fig, panels = canvas(len(proxies), len(methods), sharex="col")
    for column, method in enumerate(methods):
        limit = float(data.loc[data["method"] == method, "distance"].max())
        for row, proxy in enumerate(proxies):
            ax = panels[row, column]
            sqrt_kl_axis(ax, limit, top=row == 0, bottom=row == len(proxies) - 1)
            if (proxy, method) in found:
                _panel(ax, found[proxy, method])
                if _peak(found[proxy, method]):
                    leave_room(ax)
            else:
                ax.text(0.5, 0.5, "not run", ha="center", transform=ax.transAxes, color="0.4")
    pairs = data.drop_duplicates("proxy").set_index("proxy")["proxy_pairs"]
    for ax, method in zip(panels[0], methods, strict=True):
        ax.set_title(_way(method))
    for ax, proxy in zip(panels[:, 0], proxies, strict=True):
        ax.set_ylabel(f"{proxy} proxy, {int(pairs[proxy]):,} pairs\nscore ({SD})")
    shared_legend(fig, panels)
    return fig, data


def _crowded(data: pd.DataFrame) -> bool:
    return data["method"].nunique() > MANY_METHODS or data["proxy"].nunique() > MANY


def _many(data: pd.DataFrame) -> Figure:
    """A panel per method and proxy, all on the same scales."""
    found = cases(data)
    fig, cells = small_multiples(len(found))
    for cell, case in zip(cells, found, strict=True):
        (ax,) = cell.axes
        sqrt_kl_axis(ax, float(data["distance"].max()), top=cell.top, bottom=cell.bottom, spacing=0.17)
        _panel(ax, case.rows)
        ax.set_title(case_title(case.method, case.proxy), fontsize=TITLE)
        if cell.left:
            ax.set_ylabel(f"score ({SD})")
    leave_room(cells[0].axes[0])
    shared_legend(fig, np.array([cell.axes for cell in cells]))
    return fig


def _way(method: str) -> str:
    if method == BEST_OF_N:
        return "best of n samples"
    label = method_looks([method])[method].label
    return f"reinforcement learning ({label})" if method in REINFORCEMENT else label


def _panel(ax: Axes, rows: pd.DataFrame) -> None:
    zero_line(ax)
    curves = rows[rows["quantity"] != "law"]
    draw_quantities(ax, curves, "distance", SCORES)
    law = rows[rows["quantity"] == "law"]
    if len(law):
        ax.plot(
            law["distance"],
            law["value"],
            color="black",
            linestyle=(0, (1, 1)),
            label="law fitted to gold",
            zorder=3,
        )
        ax.fill_between(law["distance"], law["lo"], law["hi"], color="0.3", alpha=0.14, linewidth=0)
    if top := _peak(rows):
        mark_peak(ax, top.distance, top.value, f"gold peak, {top.kl:.1f} nats", LOOKS["gold"])


def _peak(rows: pd.DataFrame) -> Peak | None:
    """Where the gold curve of a case turned, if it did."""
    top = peak(rows[rows["quantity"] != "law"], "gold")
    return top if top is not None and top.turned else None


def caption(material: Material) -> str:
    data = numbers(material)
    methods = set(data["method"])
    if BEST_OF_N not in methods:
        what = "Scores of policies trained against the proxy"
    elif methods == {BEST_OF_N}:
        what = "Scores of the proxy's favourite of n samples (no path run left a scored point)"
    else:
        what = (
            "Scores of policies trained against the proxy and, in panels of their own, of its favourite of n "
            "samples"
        )
    parts = [
        f"{what}, over how far the policy has moved from where it started. Every curve is a change from the "
        f"reference policy, in standard deviations of that score over the "
        "reference policy's own samples. If optimising the proxy were optimising the truth, all curves "
        "would rise together." + (" The scales of the panels differ." if not _crowded(data) else ""),
        seeds_and_prompts(material, pool=True),
        pool_sentence(material),
        law_sentence(data),
        *evidence_sentences(material, data),
    ]
    return " ".join(part for part in parts if part)


def law_sentence(data: pd.DataFrame) -> str:
    if not (data["quantity"] == "law").any():
        return "No law is drawn: the points do not identify one."
    return (
        "Dotted: the law of Gao et al. (2022) fitted to the gold curve, d(α − β log d) for reinforcement "
        "learning and "
        "d(α − βd) for best-of-n with d = √KL, with its 95 % bootstrap band."
    )


def evidence_sentences(material: Material, data: pd.DataFrame) -> list[str]:
    """Where gold stops being evidence: an oracle that peaked at a smaller KL than gold did."""
    if not material.experiment.has_oracle:
        return [
            "This world has no oracle, so nothing here can tell where the gold score itself stops being "
            "evidence."
        ]
    places = []
    for case in cases(data):
        gold, oracle = peak(case.rows, "gold"), peak(case.rows, "oracle")
        if gold is None or oracle is None or oracle.kl >= gold.kl:
            continue
        how = method_looks([case.method])[case.method].label
        at_end = "" if gold.turned else ", its last point"
        places.append(f"{oracle.kl:.1f} before {gold.kl:.1f} nats{at_end} ({how}, {case.proxy} proxy)")
    if not places:
        return ["In no panel was the oracle highest before gold was."]
    return [
        f"The oracle was highest before gold was at KL {'; '.join(places)}: from the first KL on, a rising "
        f"gold curve is no "
        "evidence of improvement."
    ]


def pool_sentence(material: Material) -> str:
    table = material.tables.best_of_n
    if table.empty or table["reliable"].all():
        return ""
    return (
        f"Best-of-n beyond n = {int(table.loc[table['reliable'], 'n'].max())} rests on the one or two best "
        f"samples of a "
        "prompt."
    )


def lacks(material: Material) -> str | None:
    if path_rows(material).empty and best_of_n_rows(material).empty:
        return "no run under path control and no best-of-n pool left scored points"
    return None


PLOT = Plot(
    title="What the proxy and what it stands for do as KL is spent",
    description=(
        "Line charts, one row per proxy: proxy, gold and oracle score against the square root of the KL "
        "from the "
        "reference policy, for reinforcement learning and for best-of-n in separate panels, gold's peak "
        "marked."
    ),
    requirement="needs a path run or a best-of-n pool",
    lacks=lacks,
    draw=draw,
    caption=caption,
)
