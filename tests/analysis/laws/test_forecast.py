"""Scores are the right formulas, and forecasts from the right law hold what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binom, norm

from analysis.estimators.bootstrap import UnitDraws, draw_clusters, percentile_interval
from analysis.laws.curve import Curve
from analysis.laws.fit import fit_curve
from analysis.laws.fit_tables import LawCurve
from analysis.laws.forecast import Forecast, from_base_samples, from_early_points
from analysis.laws.forms import LAWS
from analysis.laws.held_out import score_laws, score_table
from analysis.laws.predict import crps, log_scores, predict, split
from analysis.laws.recovery import Design, synthetic_curve
from analysis.records.way import CurveId, Way

REPLICATES = 400
NAME = CurveId(Way("rloo"), "ample", "gold")


def noisy(law: str, coefficients: tuple[float, ...], rng: np.random.Generator, sd: float = 0.02) -> Curve:
    """A curve whose points have errors of their own, in y, of s.d. `sd`."""
    d = np.linspace(0.5, 4, 16)
    y = LAWS[law].value(d, *coefficients) + sd * rng.standard_normal(len(d))
    resampled = y + sd * rng.standard_normal((REPLICATES, len(d)))
    draws = UnitDraws.draw(rng, 1, REPLICATES)
    return Curve(d, y, np.zeros(len(d), dtype=np.intp), np.tile(d, (REPLICATES, 1)), resampled, 10**6, draws)


def test_crps_is_the_integral_of_the_squared_distance_of_distribution_functions() -> None:
    draws = np.random.default_rng(0).gamma(2.0, size=(40, 3))
    y = np.array([0.5, 2.0, 9.0])
    for point, (column, value) in enumerate(zip(draws.T, y, strict=True)):
        edges = np.sort(np.append(column, value))
        middle = (edges[1:] + edges[:-1]) / 2
        below = (column[:, None] <= middle).mean(axis=0)
        integral = ((below - (value <= middle)) ** 2 * np.diff(edges)).sum()
        assert crps(draws, y)[point] == pytest.approx(integral)


def test_crps_of_many_normal_draws_is_that_of_the_normal() -> None:
    draws = np.random.default_rng(1).standard_normal((200_000, 1))
    exact, _ = quad(lambda x: (norm.cdf(x) - (x >= 0.7)) ** 2, -8, 8, points=[0.7])
    assert crps(draws, np.array([0.7]))[0] == pytest.approx(exact, abs=0.003)
    assert crps(np.zeros((5, 1)), np.array([0.7]))[0] == pytest.approx(0.7)


@pytest.mark.parametrize(("name", "planted"), [("best_of_n", (0.9, 0.2)), ("rl", (0.6, 0.35))])
def test_the_right_law_holds_the_points_that_it_did_not_see(name: str, planted: tuple[float, float]) -> None:
    inside = []
    for k in range(150):
        parts = split(noisy(name, planted, np.random.default_rng([2, k])))
        fit = fit_curve(LAWS[name], parts.early)
        expected = predict(fit, parts.early, parts.rest)
        inside.append((np.abs(parts.rest.y - expected.mean) <= 1.96 * expected.sd)[-1])
    low, high = binom.ppf([0.001, 0.999], len(inside), 0.95)
    assert low <= sum(inside) <= high


def test_with_shared_prompts_a_band_errs_on_the_wide_side() -> None:
    inside = []
    for k in range(80):
        curve = synthetic_curve(LAWS["rl"], (0.6, 0.35), Design(1, 1), np.random.default_rng([3, k]),
                                replicates=REPLICATES)  # fmt: skip
        made = from_early_points(curve, np.random.default_rng(k))
        assert isinstance(made, Forecast)
        lo, hi = percentile_interval(made.draws)
        inside.append(((lo <= made.withheld.y) & (made.withheld.y <= hi))[-1])
    assert sum(inside) >= binom.ppf(0.001, len(inside), 0.95)


def test_the_planted_law_wins_on_held_out_points_and_leads_by_its_margin() -> None:
    for name, planted in (("best_of_n", (0.9, 0.2)), ("rl", (0.6, 0.35)), ("no_hump", (0.9, 0.0, 0.6))):
        curve = noisy(name, planted, np.random.default_rng(4), sd=0.002)
        table = score_table(score_laws(LawCurve(NAME, LAWS["rl"], curve, 1, 1)))
        scores = table.set_index("law")["log_score"].dropna()
        best = table[table["best"]].iloc[0]
        right = {"rl": ("rl",), "no_hump": ("no_hump",), "best_of_n": ("best_of_n", "power")}[name]
        assert best["law"] in right
        runner_up = scores.drop(best["law"]).max()
        assert best["margin"] == pytest.approx(best["log_score"] - runner_up) and best["margin_se"] > 0
        assert (table.loc[~table["best"], "margin"].dropna() <= 0).all()


def test_a_log_score_punishes_both_error_and_vagueness() -> None:
    parts = split(noisy("rl", (0.6, 0.35), np.random.default_rng(5)))
    made = predict(fit_curve(LAWS["rl"], parts.early), parts.early, parts.rest)
    right = log_scores(made, parts.rest.y)
    assert log_scores(made, parts.rest.y + 1) < right
    assert log_scores(made._replace(errors=20 * made.errors), parts.rest.y) < right


def test_too_short_a_tail_is_said_not_scored() -> None:
    curve = noisy("rl", (0.6, 0.35), np.random.default_rng(6))
    short = curve.where((curve.d < 2.4) | (curve.d > 3.9))
    table = score_table(score_laws(LawCurve(NAME, LAWS["rl"], short, 1, 1)))
    assert table["refused"].str.contains("beyond the cut, at least 3").all()
    assert table["log_score"].isna().all() and not table["best"].any()


def test_a_planted_peak_is_foretold_and_a_straight_line_has_none() -> None:
    humped = from_early_points(
        noisy("rl", (0.6, 0.6), np.random.default_rng(7), 0.002), np.random.default_rng(0)
    )
    straight = from_early_points(noisy("no_hump", (0.5, 0.0, 0.0), np.random.default_rng(8), 0.002),
                                 np.random.default_rng(0))  # fmt: skip
    assert isinstance(humped, Forecast) and isinstance(straight, Forecast)
    assert np.median(humped.best_kl) == pytest.approx(1.0, abs=0.3) and humped.turns > 0.95
    assert straight.turns < 0.5 and np.isinf(np.quantile(straight.peak_kl, 0.9, method="higher"))
    assert sum(humped.weights.values()) == pytest.approx(1)


def test_too_few_early_points_are_refused_with_the_reason() -> None:
    curve = noisy("rl", (0.6, 0.35), np.random.default_rng(9))
    made = from_early_points(curve.where(curve.d > 2.2), np.random.default_rng(0))
    assert isinstance(made, str) and "usable points" in made


def test_base_samples_foretell_a_run_on_the_frontier_up_to_its_reach() -> None:
    rng = np.random.default_rng(10)
    curve = noisy("no_hump", (0.5, 0.0, 0.3), rng)
    kl = np.tile(np.linspace(0.1, 3, 40) ** 2, (REPLICATES, 1))
    gold = LAWS["no_hump"].value(np.sqrt(kl), 0.5, 0.0, 0.3)
    made = from_base_samples(curve, kl, gold, reach=3.0)
    assert isinstance(made, Forecast)
    assert made.withheld.d.max() <= 3 and len(made.seen) == 0 and made.peak_kl is None
    assert crps(made.draws, made.withheld.y).mean() < 0.02 < crps(made.trivial, made.withheld.y).mean()
    lo, hi = percentile_interval(made.draws)
    assert ((lo <= made.withheld.y) & (made.withheld.y <= hi)).mean() > 0.7
    assert isinstance(from_base_samples(curve, kl, gold, reach=0.2), str)


def test_prompts_are_drawn_together_and_units_counted() -> None:
    curve = synthetic_curve(LAWS["rl"], (0.6, 0.35), Design(3, 2), np.random.default_rng(11), replicates=50)
    assert len(curve.replicating) == 3  # proxies, not policies
    single = synthetic_curve(LAWS["rl"], (0.6, 0.35), Design(1, 3), np.random.default_rng(11), replicates=50)
    assert len(single.replicating) == 3  # policies, where there is one proxy
    assert draw_clusters(np.random.default_rng(0), 5, 3).sum(axis=1).tolist() == [5, 5, 5]
    broken = single.where((single.unit != 2) | (single.d < 1))
    assert broken.replicating == [0, 1]
