"""Law fits recover planted coefficients, cover them, and decline where there is nothing to find."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.estimators.bootstrap import ClusterSums, UnitDraws, draw_clusters
from analysis.laws.curve import Curve, Measured
from analysis.laws.fit import Fit, fit_curve
from analysis.laws.forms import LAWS, Law
from analysis.laws.replicates import spread_of

PLANTED = {
    "best_of_n": (0.9, 0.3, np.nan),
    "rl": (0.9, 0.45, np.nan),
    "log1p": (0.9, 0.6, np.nan),
    "power": (0.9, 0.3, LAWS["power"].shapes[20]),
    "no_hump": (0.9, 0.0, LAWS["no_hump"].shapes[15]),
}
HUMPED = [name for name in LAWS if name != "no_hump"]
TWO = [name for name, law in LAWS.items() if law.shape_name is None]
D = {"best_of_n": np.linspace(0.4, 2.2, 12)} | {
    name: np.linspace(0.5, 5, 14) for name in LAWS if name != "best_of_n"
}


def curve(d: np.ndarray, y: np.ndarray, resampled_d: np.ndarray, resampled_y: np.ndarray) -> Curve:
    """One run's points; more clusters than matter."""
    draws = UnitDraws.draw(np.random.default_rng(0), 1, len(resampled_y))
    return Curve(d, y, np.zeros(len(d), dtype=np.intp), resampled_d, resampled_y, 10**6, draws)


def exact(law: Law, d: np.ndarray, *coefficients: float) -> Curve:
    """Points on the law without noise."""
    y = law.value(d, *coefficients)
    return curve(d, y, np.tile(d, (20, 1)), np.tile(y, (20, 1)))


def _study(law: Law, rng: np.random.Generator, *coefficients: float, sd: float = 0.6) -> Fit:
    """One experiment of 150 prompts whose scores spread in proportion to d, resampled by prompt."""
    d = D[law.name]
    scores = law.value(d, *coefficients) + d * sd * rng.standard_normal((150, len(d)))
    counts = rng.multinomial(150, np.full(150, 1 / 150), size=300) / 150
    return fit_curve(law, curve(d, scores.mean(axis=0), np.tile(d, (300, 1)), counts @ scores))


@pytest.mark.parametrize("name", LAWS)
def test_every_law_finds_its_own_coefficients(name: str) -> None:
    fit = fit_curve(LAWS[name], exact(LAWS[name], D[name], *PLANTED[name]))
    np.testing.assert_allclose(fit.estimate, PLANTED[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("fitted", LAWS)
@pytest.mark.parametrize("planted", LAWS)
def test_every_law_can_be_fitted_to_every_curve(fitted: str, planted: str) -> None:
    """The right law leaves nothing; a wrong one is fitted all the same, or says why it cannot be."""
    fit = fit_curve(LAWS[fitted], exact(LAWS[planted], D["rl"], *PLANTED[planted]))
    assert fit.identifiable or "not identified" in str(fit.refused)
    if fit.identifiable:
        assert np.isfinite(fit.value(D["rl"])).all() and fit.r2 is not None and fit.r2 <= 1
    if fitted == planted:
        assert fit.r2 == pytest.approx(1)


@pytest.mark.parametrize("name", HUMPED)
def test_peak_is_where_the_fitted_curve_is_highest(name: str) -> None:
    law, planted = LAWS[name], PLANTED[name]
    d = np.linspace(1e-3, 20, 400_001)
    highest = d[law.value(d, *planted).argmax()]
    assert np.isclose(law.peak(*map(np.array, planted)), highest, atol=1e-3)
    fit = _study(law, np.random.default_rng(2), *planted, sd=0.1)
    assert fit.peak_kl is not None and np.isclose(fit.peak_kl, highest**2, rtol=0.1)
    assert fit.peak_inside_data and fit.r2 is not None and fit.r2 > 0.9


@pytest.mark.parametrize("name", TWO)
def test_flat_noise_has_no_peak(name: str) -> None:
    fits = [_study(LAWS[name], np.random.default_rng([3, k]), 0.0, 0.0) for k in range(300)]
    assert sum(fit.peak_kl is None for fit in fits) >= 285


def test_a_rising_curve_does_not_get_a_peak_inside_the_data() -> None:
    for name, law in LAWS.items():
        fit = _study(law, np.random.default_rng(4), 1.0, 0.02, LAWS["power"].shapes[20], sd=0.1)
        assert not fit.peak_inside_data, name


def test_too_few_points_and_too_narrow_a_range_are_refused() -> None:
    law = LAWS["best_of_n"]
    for d, reason in ((np.array([0.5, 1.0, 2.0]), "3 usable"), (np.linspace(1, 1.5, 9), "factor of 1.50")):
        fit = fit_curve(law, exact(law, d, 1.0, 0.1))
        assert not fit.identifiable and reason in str(fit.refused)
        assert fit.alpha is None and fit.peak_kl is None
        assert np.isnan(fit.band(np.array([1.0]))[0]).all()


def test_an_exponent_that_nothing_shows_is_refused() -> None:
    """On a straight line with noise, any γ does."""
    fit = _study(LAWS["power"], np.random.default_rng(5), 0.5, 0.0, 1.0)
    assert not fit.identifiable and "γ is not identified" in str(fit.refused)


def test_errors_in_d_take_weight_from_a_point() -> None:
    """Where the curve is steep, a point whose KL is uncertain may be far off without moving the fit."""
    law, d, rng = LAWS["best_of_n"], np.linspace(0.4, 2.2, 12), np.random.default_rng(6)
    y = law.value(d, 0.9, 0.1)
    y[2] += 0.3
    noise_y, noise_d = (0.02 * rng.standard_normal((400, len(d))) for _ in range(2))
    uncertain = noise_d.copy()
    uncertain[:, 2] *= 30
    sure, unsure = (fit_curve(law, curve(d, y, d + each, y + noise_y)) for each in (noise_d, uncertain))
    assert sure.alpha is not None and unsure.alpha is not None
    assert abs(unsure.alpha - 0.9) < 0.2 * abs(sure.alpha - 0.9)


def test_the_joint_region_holds_most_replicates_and_follows_their_correlation() -> None:
    fit = _study(LAWS["rl"], np.random.default_rng(7), *PLANTED["rl"])
    inside = [fit.holds(a, b) for a, b in zip(*fit.replicates[:2], strict=True)]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.01)
    outline = fit.region() - fit.region().mean(axis=0)
    assert fit.correlation() > 0.5 and np.corrcoef(outline.T)[0, 1] > 0.5
    assert not fit.holds(fit.alpha_ci[1], fit.beta_ci[0])  # type: ignore[index]


def test_the_laws_pass_through_pi_ref() -> None:
    for name, law in LAWS.items():
        assert abs(float(law.value(np.array(0.0), *PLANTED[name]))) < 1e-9


@pytest.mark.parametrize("name", TWO)
def test_two_seeds_that_differ_along_one_line_have_one_degree_of_freedom(name: str) -> None:
    """One proxy seed, two policy seeds and no noise from prompts: α and β vary together or not at all."""
    law, d, clusters = LAWS[name], D[name], 40
    rng = np.random.default_rng(0)

    def cluster_sums(values: np.ndarray) -> ClusterSums:
        return ClusterSums(np.repeat(values[:, None], clusters, axis=1), np.ones(clusters))

    first = law.value(d, *PLANTED[name])
    runs = [Measured(0, cluster_sums(d**2), cluster_sums(scale * first)) for scale in (1.0, 1.1)]
    both = Curve.of(runs, draw_clusters(rng, clusters, 200), rng)
    spread = spread_of(law, both, np.ones(len(both)), np.nan)
    assert spread.freedom == pytest.approx(1) and spread.alpha_freedom == pytest.approx(1)
    fit = fit_curve(law, both)
    assert fit.alpha_ci is not None and fit.alpha_ci[0] < 0.9 and fit.alpha_ci[1] > 0.99
