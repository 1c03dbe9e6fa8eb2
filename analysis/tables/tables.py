"""From records to the tables that every figure, report and summary draws from.

`tables(experiment)` reads everything once. Nothing downstream touches a record again, so a number in a
figure and the same number in the summary cannot differ.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.audit.reward_models import experiment_audit
from analysis.behaviour.frontier import frontier_behaviour, pool_probing
from analysis.behaviour.knowing import knowing, refusal
from analysis.behaviour.mitigations import mitigations
from analysis.behaviour.tables import BehaviourTables, behaviour_tables
from analysis.equal_kl.comparison import comparisons
from analysis.equal_kl.interpolated import checkpoint_table, trace
from analysis.equal_kl.passport import passport
from analysis.estimators.bootstrap import draw_clusters
from analysis.laws.fit_tables import (
    BAND_COLUMNS,
    FIT_COLUMNS,
    REGION_COLUMNS,
    band,
    fit_row,
    fits,
    pool_law_curves,
    region,
    rl_law_curves,
)
from analysis.laws.forecast_tables import (
    FORECAST_BAND_COLUMNS,
    FORECAST_COLUMNS,
    forecast_band,
    forecast_row,
    forecasts,
)
from analysis.laws.held_out import (
    LINE_COLUMNS,
    POINTS_COLUMNS,
    SCORE_COLUMNS,
    line_table,
    points_table,
    score_laws,
    score_table,
)
from analysis.pool.curves import (
    POOL_COLUMNS,
    POOL_CURVES,
    PoolCurves,
    PoolGroup,
    R,
    best_of_n_curves,
    best_of_n_table,
    read_pool,
)
from analysis.pool.frontier import FRONTIER_COLUMNS, frontier_curves, frontier_table, residuals
from analysis.probes import PROBES, Evidence, Probe
from analysis.records.experiment import Experiment
from analysis.records.run_curves import POINT_COLUMNS, RunCurves, SampleKeys, read_answers
from analysis.tables.claims import checks
from analysis.tables.runs import RUN_COLUMNS, budgets, cards, runs

Floats = NDArray[np.float64]

RATE_COLUMNS = tuple(
    f"{measure}{end}" for probe in PROBES.values() for measure in probe.measures for end in ("", "_lo", "_hi")
)
SEED_COLUMNS = ("proxy", "proxy_seed", "n", "sqrt_kl", *POOL_CURVES)
LIVE_REPLICATES = 100
"""Enough for a rough interval while a run is going on."""


@dataclass(frozen=True)
class Tables:
    """Everything the records say. Scores are in π_ref s.d. above π_ref, KL in nats per sequence, NaN is a
    gap."""

    runs: pd.DataFrame
    """One row per planned run: `RUN_COLUMNS`, status, error, points (how many are sampled and scored)."""
    points: pd.DataFrame
    """One row per run and point: `RUN_COLUMNS`, `points.POINT_COLUMNS`, `RATE_COLUMNS` (every measure of
    every probe with its interval) and known_clusters, the size of K_ref."""
    best_of_n: pd.DataFrame
    """One row per proxy and n, replicates averaged: `pool.POOL_COLUMNS`."""
    best_of_n_seeds: pd.DataFrame
    """One row per proxy, proxy_seed and n: `SEED_COLUMNS`."""
    frontier: pd.DataFrame
    """One row per proxy and β: `frontier.FRONTIER_COLUMNS`."""
    residuals: pd.DataFrame
    """One row per point that a frontier reaches: `frontier.RESIDUAL_COLUMNS`."""
    frontier_behaviour: pd.DataFrame
    """One row per proxy replicate, β and behaviour: `frontier_behaviour.BEHAVIOUR_COLUMNS`."""
    behaviour: BehaviourTables
    """Every behaviour along KL, one data frame each."""
    fits: pd.DataFrame
    """One row per curve (`<method>/<proxy>/<gold|oracle>`): `FIT_COLUMNS`. peak_kl_hi is infinite where the
    peak is not bounded; peak_inside_data is None where there is no peak; refused says why there is no fit."""
    fit_bands: pd.DataFrame
    """The fitted laws drawn over the range of their points: `BAND_COLUMNS`."""
    fit_regions: pd.DataFrame
    """Outlines of the joint 95 % regions of (α, β): `REGION_COLUMNS`."""
    law_scores: pd.DataFrame
    """One row per curve and law, fitted to the first part and scored on the rest:
    `law_scores.SCORE_COLUMNS`."""
    law_lines: pd.DataFrame
    """Those fits drawn over the whole of each curve: `law_scores.LINE_COLUMNS`."""
    law_points: pd.DataFrame
    """The points of each curve: `law_scores.POINTS_COLUMNS`."""
    forecasts: pd.DataFrame
    """One row per forecast curve and source: `forecast_tables.FORECAST_COLUMNS`."""
    forecast_bands: pd.DataFrame
    """The forecasts point by point: `forecast_tables.FORECAST_BAND_COLUMNS`."""
    passport: pd.DataFrame
    """One row per run and published convention of KL: `passport.PASSPORT_COLUMNS`."""
    comparisons: pd.DataFrame
    """One row per compared pair, score and KL: `comparison.COMPARISON_COLUMNS`."""
    checkpoints: pd.DataFrame
    """One row per run whose weights were kept, KL and score: `checkpoints.CHECKPOINT_COLUMNS`."""
    mitigations: pd.DataFrame
    """Runs with a mitigation beside those without, at equal KL: `mitigations.MITIGATION_COLUMNS`."""
    knowing: pd.DataFrame
    """What is read off hidden states beside what is said: `knowing.KNOWING_COLUMNS`."""
    knowing_refused: str | None
    """Why there is none."""
    reward_models: pd.DataFrame
    """One row per card, gold first: name, kind, proxy, proxy_seed, pairs, accuracy (_lo, _hi), ece,
    length_correlation, oracle_agreement, gold_agreement, heldout_pairs, label_flip_share, reliability."""
    audit: pd.DataFrame
    """One row per reward model and measure of its audit: `audit.AUDIT_COLUMNS`."""
    budgets: pd.DataFrame
    """One row per run with a budget, at its last point: `RUN_COLUMNS`, step, kl, ratio (measured/budget),
    within (to 25 %), and gold, oracle, proxy_score, sycophancy with their _lo and _hi."""
    gaps: pd.DataFrame
    """What was planned and is not there: run_id, step, gap."""
    probes: Mapping[str, str | None]
    """Why each probe could not be measured; None where it was."""
    checks: Mapping[str, Any]
    """The claims of a finished experiment, computed: see `analysis.tables.claims`."""


def tables(experiment: Experiment, *, seed: int = 0) -> Tables:
    """All tables of `experiment`; `seed` drives the resampling alone. Raises `RecordError` on bad records."""
    streams = np.random.default_rng(seed).spawn(10)
    cluster_rng, pool_rng, run_rng, check_rng, frontier_rng, *further = streams
    forecast_rng, pair_rng, cure_rng, behaviour_rng, fold_rng = further
    counts = draw_clusters(cluster_rng, experiment.items["cluster"].nunique())
    curves = [RunCurves.read(experiment, run) for run in experiment.runs]
    evidence = _evidence(experiment)
    probes = _refusals(evidence, curves)
    scored, probing = read_pool(experiment), pool_probing(experiment, evidence)
    pool = best_of_n_curves(scored) if scored else []
    groups = _pool_groups(pool, pool_rng)
    tilted = _pool_groups(frontier_curves(scored) if scored else [], frontier_rng)
    law_curves = pool_law_curves(groups, run_rng) + rl_law_curves(curves, counts, run_rng)
    fitted = fits(law_curves)
    points = _points(curves, counts, evidence, probes)
    pairs = {run.proxy: run.proxy_pairs for run in experiment.runs}
    pairs |= {name: proxy["pairs"] for name, proxy in experiment.proxies.items() if "pairs" in proxy}
    spent = budgets(points)
    frontier = _stack([frontier_table(g, pairs.get(g.proxy)) for g in tilted], FRONTIER_COLUMNS)
    frontier = frontier.astype({"reliable": bool})
    traced = trace(experiment, curves, counts)
    compared = [score_laws(each) for each in law_curves]
    foreseen = forecasts(curves, law_curves, tilted, frontier, counts, forecast_rng)
    return Tables(
        runs=runs(curves),
        points=points,
        best_of_n=_stack([best_of_n_table(g, pairs.get(g.proxy)) for g in groups], POOL_COLUMNS),
        best_of_n_seeds=_stack([_seed_table(each) for each in pool], SEED_COLUMNS),
        frontier=frontier,
        residuals=residuals(points, frontier),
        frontier_behaviour=frontier_behaviour(scored, probing),
        behaviour=behaviour_tables(
            experiment, curves, evidence, probes, scored, probing, counts, behaviour_rng
        ),
        fits=_stack([fit_row(curve, entry) for curve, entry in fitted.items()], FIT_COLUMNS),
        fit_bands=_stack([band(curve, entry) for curve, entry in fitted.items()], BAND_COLUMNS),
        fit_regions=_stack([region(curve, entry) for curve, entry in fitted.items()], REGION_COLUMNS),
        law_scores=_stack([score_table(each) for each in compared], SCORE_COLUMNS),
        law_lines=_stack([line_table(each) for each in compared], LINE_COLUMNS),
        law_points=_stack([points_table(each) for each in compared], POINTS_COLUMNS),
        forecasts=_stack([forecast_row(each) for each in foreseen], FORECAST_COLUMNS),
        forecast_bands=_stack([forecast_band(each) for each in foreseen], FORECAST_BAND_COLUMNS),
        passport=passport(curves, counts),
        comparisons=comparisons(curves, groups, pairs, traced, pair_rng),
        checkpoints=checkpoint_table(traced, experiment.runs),
        mitigations=mitigations(curves, evidence, counts, cure_rng),
        knowing=knowing(curves, evidence, fold_rng),
        knowing_refused=refusal(curves, evidence),
        reward_models=cards(experiment),
        audit=experiment_audit(experiment, seed),
        budgets=spent,
        gaps=experiment.gaps(),
        probes=probes,
        checks=checks(curves, points, spent, {str(k): e.fit for k, e in fitted.items()}, counts, check_rng),
    )


def points_of(
    experiment: Experiment, run_id: str, *, steps: Collection[int] | None = None, seed: int = 0
) -> pd.DataFrame:
    """The rows of `Tables.points` for one run, without the cost of all the others: for following it live.

    Given `steps`, only these points are read, and point 0, which all others are compared with.
    """
    run = next(each for each in experiment.runs if each.run_id == run_id)
    counts = draw_clusters(
        np.random.default_rng(seed), experiment.items["cluster"].nunique(), LIVE_REPLICATES
    )
    wanted = [point for point in run.points if steps is None or point.step in {0, *steps}]
    curves, evidence = [RunCurves.read(experiment, run, wanted)], _evidence(experiment)
    return _points(curves, counts, evidence, _refusals(evidence, curves))


def _stack(frames: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """All rows of `frames`; the columns are there even when no row is."""
    full = [frame for frame in frames if len(frame)]
    return pd.concat(full, ignore_index=True)[list(columns)] if full else pd.DataFrame(columns=list(columns))


def _evidence(experiment: Experiment) -> Evidence:
    point = experiment.reference
    if point is None:
        return Evidence.gather(experiment.items, None)
    neutral = experiment.items[experiment.items["condition"] == "neutral"].reset_index(drop=True)
    samples = point.samples(("item_id", "sample_id"))
    keys = SampleKeys(neutral, samples, point.path / "samples.parquet")
    return Evidence.gather(experiment.items, read_answers(neutral, point, keys))


def _refusals(evidence: Evidence, curves: Sequence[RunCurves]) -> dict[str, str | None]:
    firsts = [next(iter(each.answers.values())) for each in curves if each.answers]
    if not firsts:
        return dict.fromkeys(PROBES, "no point was sampled")
    return {name: _refusal(probe, evidence, firsts) for name, probe in PROBES.items()}


def _refusal(probe: Probe, evidence: Evidence, answers: Sequence[pd.DataFrame]) -> str | None:
    """Why no run can carry the probe: what is measured of some runs alone leaves gaps in the others."""
    first, *others = answers
    reason = probe.refusal(evidence, first)
    return reason if reason and all(probe.refusal(evidence, each) for each in others) else None


def _points(
    curves: Sequence[RunCurves], counts: Floats, evidence: Evidence, probes: Mapping[str, str | None]
) -> pd.DataFrame:
    frames = []
    for each in curves:
        frame = each.table(counts)
        for place, (name, value) in enumerate(each.run.settings(*RUN_COLUMNS).items()):
            frame.insert(place, name, value)
        rates = [_rates(each, int(step), evidence, probes) for step in each.steps]
        frames.append(pd.concat([frame, pd.DataFrame(rates, index=frame.index)], axis=1))
    points = _stack(frames, (*RUN_COLUMNS, *POINT_COLUMNS, *RATE_COLUMNS))
    points["known_clusters"] = len(evidence.known) if evidence.reference is not None else np.nan
    return points.astype({"budget": float}).copy()  # in one piece again: so many columns are slow in many


def _rates(
    each: RunCurves, step: int, evidence: Evidence, probes: Mapping[str, str | None]
) -> dict[str, float]:
    """Every measure of every probe at one point, NaN where it cannot be had."""
    row = dict.fromkeys(RATE_COLUMNS, np.nan)
    for name, probe in PROBES.items():
        if probes[name] is not None or step not in each.answers:
            continue
        for measure, rate in probe.measure(evidence, each.answers.get(0), each.answers[step]).items():
            row |= {measure: rate.value, f"{measure}_lo": rate.lo, f"{measure}_hi": rate.hi}
    return row


def _pool_groups(pool: Sequence[R], rng: np.random.Generator) -> list[PoolGroup[R]]:
    if not pool:
        return []
    counts = draw_clusters(rng, len(pool[0].sums["kl"].weight))
    names = dict.fromkeys(each.proxy for each in pool)
    return [PoolGroup.of([each for each in pool if each.proxy == name], counts, rng) for name in names]


def _seed_table(each: PoolCurves) -> pd.DataFrame:
    frame = pd.DataFrame({"proxy": each.proxy, "proxy_seed": each.proxy_seed, "n": each.n})
    for name in POOL_CURVES:
        frame[name] = each.sums[name].mean() if name in each.sums else np.nan
    frame["sqrt_kl"] = np.sqrt(frame["kl"].clip(lower=0))
    return frame
