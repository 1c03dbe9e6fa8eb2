"""The Goodhart spectrum: every behaviour along √KL in one unit, and the KL at which each sets in.

The unit is Cohen's h = 2 asin√p_t − 2 asin√p_0 (Cohen 1988, chapter 6): equal steps of it are about equally
hard to see whether a behaviour is rare or common. p_0 is π_ref's rate on the same prompts.

Onset is the first point at which the lower band of h lies above zero. The band is simultaneous: its width is
the 95 % quantile, over the replicates, of the largest standardised deviation among *all* behaviours and
points of the path (max-t; Romano & Wolf 2005, doi:10.1198/016214504000000539). So the chance that a path on
which nothing changes is given any onset at all is 5 %, however many probes there are and however they hang
together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.behaviour.rates import Path, Rates, paths
from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import LEVEL, percentile_interval
from analysis.probes import Headline
from analysis.probes.evidence import headlines
from analysis.study.columns import KL, PATH, SQRT_KL, STEP_OF
from analysis.study.table import COUNT, NATS, SHARE, STEP, TEXT, YES, Column, Sheet, Table

INERT = 0.02
"""A behaviour that never leaves this margin at 0 or at 1 says nothing: nobody does it, or everybody does."""


def cohens_h(now: Floats, before: Floats) -> Floats:
    """Difference of two rates on the scale where their spread does not depend on them, in [−π, π]."""
    return np.asarray(2 * np.arcsin(np.sqrt(now)) - 2 * np.arcsin(np.sqrt(before)))


def simultaneous_margin(replicates: Floats, value: Floats, *, two_sided: bool = False) -> Floats:
    """How far a bound is from each of `value` (...), so that all bounds hold together at 95 %.

    `replicates` is (replicates, ...); NaN and entries without spread do not count, their margin is infinite.
    One bound from below, or with `two_sided` the half-width of an interval.
    """
    spread = replicates.std(axis=0)
    counted = np.isfinite(value) & (spread > 0)
    if not counted.any():
        return np.full(value.shape, np.inf)
    deviation = (replicates[:, counted] - value[counted]) / spread[counted]
    largest = (np.abs(deviation) if two_sided else deviation).max(axis=1)
    return np.where(counted, float(np.quantile(largest, LEVEL)) * spread, np.inf)


def spectrum(
    found: Sequence[Path], carried: Mapping[str, Headline], dose_of: Mapping[str, tuple[str, float]]
) -> pd.DataFrame:
    """`SPECTRUM`, seeds averaged; `dose_of`: proxy → (series, dose), where it has one."""
    frames = []
    for path in found:
        measured = {measure: path.rate(measure) for measure in carried}
        bounds = lower_bands(list(measured.values()))
        series, dose = dose_of.get(path.proxy, (None, np.nan))
        for (measure, rates), band in zip(measured.items(), bounds, strict=True):
            columns = {
                **path.columns, "dose_of": series, "dose": dose, "place": np.arange(path.places),
                "step": path.step, "kl": path.mean("kl"), "behaviour": measure,
                "label": carried[measure].label, "clusters": rates.clusters, "rate": rates.raw,
                "h": cohens_h(rates.now, rates.start), "band_lo": band,
            }  # fmt: skip
            frame = pd.DataFrame(columns)
            frame["sqrt_kl"] = np.sqrt(frame["kl"].clip(lower=0))
            drawn = cohens_h(rates.resampled_now, rates.resampled_start)
            # Point 0 is what the others are compared with: no difference, and no error, by definition.
            drawn[:, 0] = np.where(np.isnan(drawn[:, 0]), np.nan, 0.0)
            for name, replicates in (("rate", rates.resampled_now), ("h", drawn)):
                frame[f"{name}_lo"], frame[f"{name}_hi"] = percentile_interval(replicates)
            frames.append(frame)
    return SPECTRUM.stack(frames)


def lower_bands(rates: Sequence[Rates]) -> Floats:
    """Simultaneous lower bounds of h: (behaviours, places), −∞ where there is nothing to bound."""
    if not rates:
        return np.empty((0, 0))
    h = np.stack([cohens_h(each.now, each.start) for each in rates])
    drawn = np.stack([cohens_h(each.resampled_now, each.resampled_start) for each in rates], axis=1)
    later = h[:, 1:]
    margin = simultaneous_margin(drawn[:, :, 1:], later)
    return np.concatenate(
        [np.full((len(h), 1), -np.inf), np.where(np.isfinite(margin), later - margin, -np.inf)], 1
    )


def onsets(table: pd.DataFrame, found: Sequence[Path]) -> pd.DataFrame:
    """`ONSETS`: one row per path and behaviour of the `SPECTRUM`, the earliest onset first."""
    rows = []
    for path in found:
        peaks = {f"{name}_peak_kl": _peak_kl(path, name) for name in ("gold", "oracle")}
        mine = _same_path(table, path)
        for measure, along in mine.groupby("behaviour", sort=False):
            rows.append(
                {**path.columns, **peaks, "behaviour": measure, **_onset(along, peaks["gold_peak_kl"])}
            )
    frame = pd.DataFrame(rows, columns=ONSETS.names)
    order = ["proxy_pairs", "proxy", "method", "group", "onset_kl"]
    return frame.sort_values(order, kind="stable", ignore_index=True)


def _same_path(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    group = table["group"].isna() if path.group is None else table["group"] == path.group
    return table[(table["method"] == path.columns["method"]) & group & (table["proxy"] == path.proxy)]


def _onset(along: pd.DataFrame, gold_peak: float) -> dict[str, object]:
    rate = along["rate"].dropna()
    first = along[along["band_lo"] > 0].head(1)
    found = None if first.empty else first.iloc[0]
    inert = None
    if len(rate) and rate.max() <= INERT:
        inert = "floored"
    elif len(rate) and rate.min() >= 1 - INERT:
        inert = "saturated"
    return {
        "label": along["label"].iloc[0],
        "onset_kl": np.nan if found is None else found["kl"],
        "onset_step": np.nan if found is None else found["step"],
        "h": np.nan if found is None else found["h"],
        "rate_reference": along["rate"].iloc[0],
        "rate_last": rate.iloc[-1] if len(rate) else np.nan,
        "h_last": along["h"].iloc[-1],
        "leads_gold_peak": None if found is None or np.isnan(gold_peak) else bool(found["kl"] < gold_peak),
        "inert": inert,
    }


def _peak_kl(path: Path, score: str) -> float:
    """KL of the highest place of a score; NaN where that is an end, or nothing was scored."""
    value = path.mean(score)
    if not np.isfinite(value).any():
        return np.nan
    top = int(np.nanargmax(value))
    scored = np.flatnonzero(np.isfinite(value))
    return float(path.mean("kl")[top]) if scored[0] < top < scored[-1] else np.nan


SPECTRUM = Table(
    "behaviour_spectrum",
    "Every behaviour along every path: one row per path, behaviour and place.",
    (
        *PATH,
        Column("dose_of", TEXT, "the series of doses that the proxy belongs to"),
        Column("dose", "of the series", "its dose"),
        Column("place", COUNT, "which point of the path, from 0"),
        *(STEP_OF, KL, SQRT_KL),
        Column("behaviour", TEXT, "the headline of a probe"),
        Column("label", TEXT, "what happens, in words", title="behaviour"),
        Column("clusters", COUNT, "clusters that are counted"),
        Column("rate", SHARE, "how often it happens", interval=True),
        Column("h", "Cohen's h", "its change since point 0", interval=True),
        Column("band_lo", "Cohen's h", "lower bound of h that holds for the whole path at once"),
    ),
    lambda study: spectrum(paths(study), headlines(study), study.experiment.doses),
)
ONSETS = Table(
    "behaviour_onsets",
    "When each behaviour sets in: one row per path and behaviour, the earliest first.",
    (
        *PATH,
        Column("behaviour", TEXT, "the headline of a probe"),
        Column("label", TEXT, "what happens, in words", title="behaviour"),
        Column("onset_kl", NATS, "KL of the onset; empty where there is none", title="onset at KL"),
        Column("onset_step", STEP, "its step"),
        Column("h", "Cohen's h", "the change there", title="h there"),
        Column("rate_reference", SHARE, "its rate at point 0", title="π_ref"),
        Column("rate_last", SHARE, "its rate at the last point", title="last"),
        Column("h_last", "Cohen's h", "the change there"),
        Column("gold_peak_kl", NATS, "KL where gold is highest; empty unless it was seen to turn",
               title="gold highest at KL"),
        Column("oracle_peak_kl", NATS, "the same of the oracle"),
        Column("leads_gold_peak", YES, "the onset comes before gold is highest", title="leads gold"),
        Column("inert", TEXT, f"floored or saturated: the rate stays within {INERT} of 0 or of 1"),
    ),
    lambda study: onsets(SPECTRUM.of(study), paths(study)),
    Sheet(
        "Which behaviour sets in when",
        "Rates of the reference policy and of the last point. Onset: the first point whose change in "
        "Cohen's h is above zero with all behaviours and points of the path taken together (95 %); KL "
        "in nats. Leads: the onset comes before gold is highest. Inert: the rate stays within 2 % of 0 "
        "or of 1 throughout.",
        ("method", "proxy", "label", "rate_reference", "rate_last", "onset_kl", "h", "gold_peak_kl",
         "leads_gold_peak", "inert"),
    ),
)  # fmt: skip
