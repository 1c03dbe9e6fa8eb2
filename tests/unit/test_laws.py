"""Law fits recover planted coefficients, cover them, and decline where there is nothing to find."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.laws import LAWS, Fit, Law, fit_curve

PLANTED = {"best_of_n": (0.9, 0.3), "rl": (0.9, 0.45)}
D = {"best_of_n": np.linspace(0.4, 2.2, 12), "rl": np.linspace(0.5, 5, 14)}


def _study(law: Law, alpha: float, beta: float, rng: np.random.Generator, sd: float = 0.6) -> Fit:
    """One experiment of 150 prompts whose scores spread in proportion to d, resampled by prompt."""
    d = D[law.name]
    scores = law.value(d, alpha, beta) + d * sd * rng.standard_normal((150, len(d)))
    counts = rng.multinomial(150, np.full(150, 1 / 150), size=300) / 150
    se = scores.std(axis=0) / np.sqrt(150)
    return fit_curve(law, d, scores.mean(axis=0), se, np.tile(d, (300, 1)), counts @ scores)


@pytest.mark.parametrize("name", LAWS)
def test_recovery_and_coverage(name: str) -> None:
    alpha, beta = PLANTED[name]
    fits = [_study(LAWS[name], alpha, beta, np.random.default_rng([1, k])) for k in range(200)]
    assert np.isclose(np.mean([fit.alpha for fit in fits]), alpha, rtol=0.02)
    assert np.isclose(np.mean([fit.beta for fit in fits]), beta, rtol=0.02)
    peak = float(LAWS[name].peak(np.array(alpha), np.array(beta))) ** 2
    for which, truth in (("alpha_ci", alpha), ("beta_ci", beta), ("peak_kl_ci", peak)):
        intervals = [getattr(fit, which) for fit in fits]
        covered = np.mean([lo <= truth <= (np.inf if hi is None else hi) for lo, hi in intervals])
        assert 0.90 <= covered <= 0.99


@pytest.mark.parametrize("name", LAWS)
def test_peak_is_where_the_fitted_curve_is_highest(name: str) -> None:
    law, (alpha, beta) = LAWS[name], PLANTED[name]
    d = np.linspace(1e-3, 20, 400_001)
    highest = d[law.value(d, alpha, beta).argmax()]
    assert np.isclose(law.peak(np.array(alpha), np.array(beta)), highest, atol=1e-3)
    fit = _study(law, alpha, beta, np.random.default_rng(2), sd=0.1)
    assert fit.peak_kl is not None and np.isclose(fit.peak_kl, highest**2, rtol=0.1)
    assert fit.peak_inside_data and fit.r2 is not None and fit.r2 > 0.9


@pytest.mark.parametrize("name", LAWS)
def test_flat_noise_has_no_peak(name: str) -> None:
    fits = [_study(LAWS[name], 0.0, 0.0, np.random.default_rng([3, k])) for k in range(100)]
    assert sum(fit.peak_kl is None for fit in fits) >= 95


def test_a_rising_curve_does_not_get_a_peak_inside_the_data() -> None:
    for name, law in LAWS.items():
        fit = _study(law, 1.0, 0.02, np.random.default_rng(4), sd=0.1)
        assert not fit.peak_inside_data, name


def test_too_few_points_and_too_narrow_a_range_are_refused() -> None:
    law = LAWS["best_of_n"]
    for d, reason in (
        (np.array([0.0, 0.5, 1.0, 2.0]), "3 usable"),
        (np.linspace(1, 1.5, 9), "factor of 1.50"),
    ):
        spread = np.tile(d, (10, 1))
        fit = fit_curve(law, d, d, np.ones(len(d)), spread, spread)
        assert not fit.identifiable and reason in str(fit.refused)
        assert fit.alpha is None and fit.peak_kl is None
        assert np.isnan(fit.band(np.array([1.0]))[0]).all()


def test_gaps_are_left_out_not_filled() -> None:
    law, d = LAWS["rl"], D["rl"]
    y = law.value(d, 0.9, 0.45)
    y_gap, spread = y.copy(), np.tile(y, (20, 1))
    y_gap[5] = np.nan
    fit = fit_curve(law, d, y_gap, 0.1 * d, np.tile(d, (20, 1)), spread)
    assert fit.n_points == len(d) - 1
    np.testing.assert_allclose([fit.alpha, fit.beta], [0.9, 0.45], rtol=1e-9)


def test_a_run_drawn_twice_counts_twice() -> None:
    """Multiplicity 2 on one of two runs equals writing that run's points down twice."""
    law, d = LAWS["best_of_n"], D["best_of_n"]
    one, two = law.value(d, 0.9, 0.3), law.value(d, 0.6, 0.1)
    se = np.full(len(d), 0.1)
    both = np.concatenate([one, two])[None]
    twice = fit_curve(law, np.tile(d, 2), both[0], np.tile(se, 2), np.tile(d, 2)[None], both,
                      np.repeat([[2.0, 1.0]], len(d), axis=1))  # fmt: skip
    written = np.concatenate([one, one, two])
    plain = fit_curve(law, np.tile(d, 3), written, np.tile(se, 3), np.tile(d, 3)[None], written[None])
    np.testing.assert_allclose(twice.alphas, plain.alphas)
    np.testing.assert_allclose(twice.betas, plain.betas)


def test_the_laws_pass_through_pi_ref() -> None:
    for law in LAWS.values():
        assert abs(float(law.value(np.array(0.0), 1.0, 0.5))) < 1e-9
