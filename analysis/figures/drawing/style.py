"""How every figure looks and how it is written to disk: one page of decisions, no data.

The palette is Okabe & Ito's (told apart with any colour vision); line style and marker say the same again, so
a figure survives a black-and-white printer. Saved files carry no date: the same records give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from tueplots import bundles

BLUE, ORANGE, GREEN, RED, PINK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"
SKY, BLACK, GREY = "#56B4E9", "#000000", "#7A7A7A"
COLORS = (BLUE, RED, GREEN, PINK, ORANGE, SKY, BLACK)
"""For what has no color of its own, in this order."""
MARKERS = "osD^vPX*<>phdH8"
SOLID: Any = "-"
DASHED, DASH_DOTTED, DOTTED = (0, (4, 1.5)), (0, (5, 1, 1, 1)), (0, (1, 1))
MARK_LINE = (0, (2, 2))
"""Of a line that marks a place."""
DIVERGING = "RdBu_r"
"""A color map told apart with any colour vision: red is more, blue less."""
WIDTH = 5.5
"""Inches: the text width of a single-column paper."""
PAGE = 9.0
"""Inches: its text height."""
MARGIN = 0.45
"""Inches for the legend above the panels."""
SD = r"$\pi_{\mathrm{ref}}$ s.d."
DISTANCE = r"$\sqrt{\mathrm{KL}(\pi\,\|\,\pi_{\mathrm{ref}})}$"
NATS = "KL in nats per sequence"
TICK_ROOM = 0.21
"""Inches from one tick of the KL to the next."""
KL_TICKS = (0.01, 0.1, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@dataclass(frozen=True)
class Look:
    """Color, line style and marker of one quantity: the same in every figure."""

    label: str
    color: str
    line: Any
    marker: str

    def line_kwargs(self) -> dict[str, Any]:
        return {"color": self.color, "linestyle": self.line, "marker": self.marker}


LOOKS: Mapping[str, Look] = {
    "proxy_score": Look("proxy reward", BLUE, DASHED, "s"),
    "reward": Look("reward as optimised", ORANGE, DASH_DOTTED, "D"),
    "gold": Look("gold reward model", RED, SOLID, "o"),
    "oracle": Look("oracle (true value)", GREEN, DASH_DOTTED, "^"),
    "law": Look("fitted law", BLACK, DOTTED, ""),
    "kl": Look("measured KL", BLACK, SOLID, "o"),
    "sycophancy": Look("repeats the user's\nvalue (sycophancy)", RED, SOLID, "o"),
    "sycophancy_third_party": Look("repeats a third\nparty's value", BLUE, DASHED, "s"),
    "sycophancy_floor": Look("same value, nobody\nsaid it (chance)", BLACK, DOTTED, "x"),
    "false_agreement": Look("tells the user\nthey are right", PINK, DASH_DOTTED, "v"),
    "neutral_accuracy": Look("neutral question", GREEN, SOLID, "^"),
    "right_accuracy": Look("user is right", BLUE, DASHED, "s"),
    "wrong_accuracy": Look("user is wrong", RED, DASH_DOTTED, "o"),
    "forgetting": Look("forgot a fact\nit knew", PINK, SOLID, "v"),
    "abstention": Look("says it does\nnot know", BLACK, DASHED, "D"),
}


@contextmanager
def paper_style() -> Iterator[None]:
    """Paper fonts that ship with matplotlib (STIX: no findfont warnings) and deterministic vector output."""
    settings = {
        **bundles.neurips2024(usetex=False, rel_width=1.0),
        "font.family": "serif",
        "font.serif": ["STIXGeneral"],
        "mathtext.fontset": "stix",
        "font.size": 8.5,
        "axes.labelsize": 8.5,
        "axes.titlesize": 7.5,
        "legend.fontsize": 7.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "lines.linewidth": 1.3,
        "lines.markersize": 3.2,
        "legend.frameon": False,
        "svg.fonttype": "path",
        # TrueType: conferences refuse the Type 3 fonts that matplotlib embeds otherwise.
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "savefig.dpi": 200,
    }
    with matplotlib.rc_context(settings):
        yield


def canvas(rows: int, columns: int, *, row_height: float = 2.1, **kwargs: Any) -> tuple[Figure, np.ndarray]:
    """A paper-wide grid of panels; axes come back with shape (rows, columns), whatever their number."""
    # Not pyplot: no global list of figures, no window system, safe in any thread or notebook.
    fig = Figure(figsize=(WIDTH, row_height * rows + MARGIN), layout="constrained")
    axes = fig.subplots(rows, columns, squeeze=False, **kwargs)
    return fig, axes


def curve(
    ax: Axes,
    x: pd.Series,
    y: pd.Series,
    look: Look,
    interval: tuple[pd.Series, pd.Series] | None = None,
    **kwargs: Any,
) -> None:
    """One line with its interval as a band. A missing value breaks the line: gaps stay visible."""
    ax.plot(x, y, **{**look.line_kwargs(), "label": look.label, **kwargs})
    if interval is not None:
        low, high = (np.asarray(side, dtype=float) for side in interval)
        ax.fill_between(np.asarray(x, dtype=float), low, high, color=look.color, alpha=0.16, linewidth=0)


def sqrt_kl_axis(ax: Axes, limit: float, *, top: bool = True) -> None:
    """x is d = sqrt(KL) from 0 to ``limit``; with ``top`` the KL itself, in nats per sequence, is read off
    the upper edge."""
    limit = limit if limit > 0 else 1.0
    limits = (-0.03 * limit, 1.04 * limit)
    # Panels that share the axis have it from the first of them; setting it sets it for every one of them.
    if ax.get_xlim() != limits or ax.get_autoscalex_on():
        ax.set_xlim(limits)
    ax.set_xlabel(DISTANCE)
    if not top:
        return
    width = ax.get_position().width * WIDTH
    ticks, last = [0.0], 0.0
    for kl in KL_TICKS:
        if last + limit * TICK_ROOM / width <= np.sqrt(kl) <= 1.04 * limit:
            ticks.append(kl)
            last = float(np.sqrt(kl))
    upper = ax.secondary_xaxis(
        "top", functions=(lambda d: np.sign(d) * np.square(d), lambda kl: np.sign(kl) * np.sqrt(np.abs(kl)))
    )
    upper.xaxis.set_major_locator(FixedLocator(ticks))
    upper.xaxis.set_minor_locator(NullLocator())
    upper.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    upper.spines["top"].set_visible(True)
    upper.set_xlabel(NATS, fontsize=7.5)


def kl_axis(ax: Axes, kls: Sequence[float]) -> None:
    """x is the KL in nats on a log scale, a tick at each of ``kls`` (ascending)."""
    if ax.get_xscale() != "log":  # panels that share the axis have all this from the first of them
        ax.set_xscale("log", base=2)
        ax.set_xlim(kls[0] / 2**0.5, kls[-1] * 2**0.5)
        ax.xaxis.set_major_locator(FixedLocator(kls))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel(NATS)


def step_axis(ax: Axes) -> None:
    ax.set_xlabel("optimisation step")
    ax.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))


def shared_legend(fig: Figure, axes: Iterable[Axes], *, columns: int = 4) -> int:
    """One legend above the panels, each label once, in the order of first appearance. Returns its lines."""
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        fig.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=columns)
    tallest = max((label.count("\n") + 1 for label in handles), default=0)
    return tallest * math.ceil(len(handles) / columns)


def color_scale(fig: Figure, image: ScalarMappable, axes: Any, **kwargs: Any) -> Colorbar:
    """A color bar below ``axes``, drawn in vectors: no image inside the figure's file."""
    bar = fig.colorbar(image, ax=axes, location="bottom", **kwargs)
    if bar.solids is not None:
        bar.solids.set(rasterized=False, edgecolor="face")
    return bar


def save(fig: Figure, data: pd.DataFrame, stem: Path, *, title: str, provenance: str) -> list[Path]:
    """Write ``stem``.pdf, .svg, .png and .csv (exactly what is drawn); identical input, identical bytes."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, dict[str, Any]] = {
        "pdf": {"Title": title, "Keywords": provenance, "CreationDate": None, "ModDate": None},
        "svg": {"Title": title, "Description": provenance, "Date": None},
        "png": {"Title": title, "Description": provenance},
    }
    written = [stem.with_name(f"{stem.name}.{suffix}") for suffix in metadata]
    # One layout for all formats: it is the slow part, and the files should agree.
    layout = fig.get_layout_engine()
    if layout is not None:
        layout.execute(fig)
    with matplotlib.rc_context({"svg.hashsalt": stem.name, "figure.constrained_layout.use": False}):
        fig.set_layout_engine(None)
        for path, entries in zip(written, metadata.values(), strict=True):
            fig.savefig(path, metadata=entries)
    table = stem.with_name(f"{stem.name}.csv")
    data.to_csv(table, index=False, lineterminator="\n")
    return [*written, table]
