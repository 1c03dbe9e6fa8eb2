"""Fits of a law to a curve: coefficients, peak and their intervals, or the reason why there are none.

Estimate. Weighted least squares in y over a grid of shapes. Both axes are measured: an error u in d moves y
by R'(d)·u along the law, so a point's variance is that of y - R'(d)·d over the replicates (effective
variance, with the covariance of both errors), and the fit is repeated with the slopes it found. Weights are
1/(variance + its median): scores are paired with π_ref, so errors go to 0 with d, and without the second
term, which stands for the law not being exact, the first points alone would decide the fit.

Intervals come from the replicates of `analysis.laws.replicates`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import LEVEL, percentile_interval
from analysis.laws.curve import Curve
from analysis.laws.forms import Law
from analysis.laws.replicates import Coefficients, Spread, draw_replicates, solve, spread_of

MIN_POINTS = 4
MIN_SPAN = 2.0
"""A fit needs max(d)/min(d) of at least this: on a narrower range α and β trade off freely."""
COLLINEAR = "the points do not tell the coefficients apart"
REWEIGHTINGS = 3


@dataclass(frozen=True)
class Fit:
    """A fitted law. Everything is None where the data cannot identify it; `refused` then says why."""

    law: Law
    n_points: int
    refused: str | None = None
    alpha: float | None = None
    alpha_ci: tuple[float, float] | None = None
    beta: float | None = None
    """None for a law that has no β."""
    beta_ci: tuple[float, float] | None = None
    shape: float | None = None
    """γ or κ of the law; None where it has no such parameter."""
    shape_ci: tuple[float, float] | None = None
    r2: float | None = None
    """1 - SS_res/SS_tot over the fitted points, unweighted, about their mean: how well one sees it follow
    them."""
    chi2: float | None = None
    """Squared residuals over the variance of each point's measurement, summed."""
    peak_kl: float | None = None
    """KL of the peak in nats. None unless the interval of β excludes 0: a flat curve with noise has no
    peak."""
    peak_kl_ci: tuple[float | None, float | None] | None = None
    """A bound is None where it is infinite: replicates that never turn put their peak at infinity."""
    peak_inside_data: bool | None = None
    """False: the peak is extrapolated beyond the fitted points and is not evidence."""
    estimate: Coefficients = field(
        default_factory=lambda: Coefficients(*np.full((3,), np.nan)), repr=False, compare=False
    )
    replicates: Coefficients = field(
        default_factory=lambda: Coefficients(*np.empty((3, 0))), repr=False, compare=False
    )
    """Each (replicates,), in the order of the curve's own replicates."""
    freedom: float = np.inf
    """Degrees of freedom of their spread."""

    @property
    def identifiable(self) -> bool:
        return self.refused is None

    def value(self, d: Floats) -> Floats:
        """The fitted law at `d`; NaN where it was refused."""
        return self.law.value(d, *self.estimate)

    def values(self, d: Floats) -> Floats:
        """The law of every replicate at `d`, (points,) or (replicates, points): (replicates, points)."""
        return self.law.value(d, *(each[:, None] for each in self.replicates))

    def band(self, d: Floats) -> tuple[Floats, Floats, Floats]:
        """Fitted value and pointwise bounds at `d`."""
        if not self.identifiable:
            nothing = np.full(len(d), np.nan)
            return nothing, nothing, nothing
        return self.value(d), *percentile_interval(self.values(d))

    def peaks(self) -> Floats:
        """KL of the peak of every replicate, in nats, infinite where it never turns: (replicates,)."""
        with np.errstate(over="ignore"):
            return self.law.peak(*self.replicates) ** 2

    def region(self, points: int = 72) -> Floats:
        """Outline of the joint 95 % region of (α, β): (points, 2)."""
        root, radius = self._ellipse()
        angle = np.linspace(0, 2 * np.pi, points)
        circle = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return np.asarray(np.array(self.estimate[:2]) + circle @ root.T)

    def holds(self, alpha: float, beta: float) -> bool:
        """Whether the joint region holds (α, β)."""
        root, radius = self._ellipse()
        away = np.array([alpha, beta]) - np.array(self.estimate[:2])
        return bool(np.linalg.norm(np.linalg.solve(root, away)) <= radius)

    def _ellipse(self) -> tuple[Floats, float]:
        """Root of the covariance of the replicates of (α, β), and the radius at which they hold 95 % of them.

        The tails of the replicates are left out of the covariance: with few units they are so long that they
        alone would make it. The radius counts them.
        """
        cloud = np.stack(self.replicates[:2], axis=1) - np.array(self.estimate[:2])
        near = cloud[(np.abs(cloud) <= np.quantile(np.abs(cloud), LEVEL, axis=0)).all(axis=1)]
        # Replicates may lie on a line: one direction is then as narrow as rounding allows, and no error.
        spread, axes = np.linalg.eigh(near.T @ near / len(near))
        root = axes * np.sqrt(np.maximum(spread, max(1e-12 * spread[-1], np.finfo(float).tiny)))
        radius = np.quantile(np.linalg.norm(np.linalg.solve(root, cloud.T), axis=0), LEVEL)
        return root, float(radius * self._hotelling())

    def _hotelling(self) -> float:
        """How much further a region must reach because its shape, too, is estimated from few units: the
        root of Hotelling's T² over 2F."""
        n = max(self.freedom, 1.05)
        return float(
            np.sqrt(n / (n - 1) * f_distribution.ppf(LEVEL, 2, n - 1) / f_distribution.ppf(LEVEL, 2, n))
        )

    def correlation(self) -> float:
        """Rank correlation of α and β over the replicates."""
        alpha, beta = (np.argsort(np.argsort(each)) for each in self.replicates[:2])
        return float(np.corrcoef(alpha, beta)[0, 1])


def fit_curve(law: Law, curve: Curve) -> Fit:
    """Fit `law` to all points of `curve`."""
    refused = _refusal(curve)
    if refused is not None:
        return Fit(law, len(curve), refused=refused)
    variance = curve.resampled_y.var(axis=0)
    for _ in range(REWEIGHTINGS):
        # A floor for curves without noise, where all points weigh alike.
        weight = 1 / (variance + max(float(np.median(variance)), 1e-18))
        estimate = solve(law, curve.d, curve.y, weight)
        if not np.isfinite(estimate[:2]).all():
            return Fit(law, len(curve), refused=COLLINEAR)
        variance = measurement_variance(law, estimate, curve)
    spread = spread_of(law, curve, weight, float(estimate.shape))
    replicates = draw_replicates(law, curve, weight, estimate, spread)
    if not np.isfinite(replicates[:2]).all():
        return Fit(law, len(curve), refused=COLLINEAR)
    return _described(law, curve, estimate, replicates, variance, spread)


def measurement_variance(law: Law, estimate: Coefficients, curve: Curve) -> Floats:
    """Variance of each point about the law from its errors in both axes: (points,)."""
    slope = law.slope(curve.d, *(float(each) for each in estimate))
    return np.asarray((curve.resampled_y - slope * curve.resampled_d).var(axis=0))


def _refusal(curve: Curve) -> str | None:
    if len(curve) < MIN_POINTS:
        return f"{len(curve)} usable points, at least {MIN_POINTS} are needed"
    span = float(curve.d.max() / curve.d.min())
    if span < MIN_SPAN:
        return f"d spans a factor of {span:.2f}, at least {MIN_SPAN:g} is needed"
    return None


def _described(
    law: Law,
    curve: Curve,
    estimate: Coefficients,
    replicates: Coefficients,
    variance: Floats,
    spread: Spread,
) -> Fit:
    """The fit with its intervals, unless its shape is not identified."""
    # Replicates are as wide as the combination of coefficients with the fewest degrees of freedom needs: β,
    # which says whether there is a peak, and the peak are near it, α has more.
    narrower = (float(_t_quantile(spread.alpha_freedom) / _t_quantile(spread.freedom)), 1.0, 1.0)
    alpha_ci, beta_ci, shape_ci = (
        _interval(float(middle), each, ratio)
        for middle, each, ratio in zip(estimate, replicates, narrower, strict=True)
    )
    # The null has no such problem: a straight line is κ = 0, and none of its shapes means a peak.
    if law.shape_name is not None and law.bend is not None:
        low, high = law.shapes[0], law.shapes[-1]
        if shape_ci[0] <= low and shape_ci[1] >= high:
            why = f"{law.shape_name} is not identified: its interval holds all of {low:g} to {high:g}"
            return Fit(law, len(curve), refused=why)
        if beta_ci[0] <= 0 <= beta_ci[1]:
            why = f"{law.shape_name} is not identified: without a bend (β may be 0) every value does"
            return Fit(law, len(curve), refused=why)
        if not low < estimate.shape < high:
            why = f"{law.shape_name} is not identified: it runs to the end of {low:g} to {high:g}"
            return Fit(law, len(curve), refused=why)
    residual = curve.y - law.value(curve.d, *estimate)
    total = float(((curve.y - curve.y.mean()) ** 2).sum())
    has_beta, has_shape = law.bend is not None, law.shape_name is not None
    fit = Fit(
        law,
        len(curve),
        alpha=float(estimate.alpha),
        alpha_ci=alpha_ci,
        beta=float(estimate.beta) if has_beta else None,
        beta_ci=beta_ci if has_beta else None,
        shape=float(estimate.shape) if has_shape else None,
        shape_ci=shape_ci if has_shape else None,
        r2=1 - float((residual**2).sum()) / total if total > 0 else None,
        chi2=float((residual**2 / np.maximum(variance, 1e-18)).sum()),
        estimate=estimate,
        replicates=replicates,
        freedom=spread.freedom,
    )
    return _with_peak(fit, curve.d) if has_beta else fit


def _interval(middle: float, replicates: Floats, ratio: float) -> tuple[float, float]:
    """Percentile interval of replicates that are drawn towards `middle` by `ratio`."""
    lo, hi = percentile_interval(middle + ratio * (replicates - middle))
    return float(lo), float(hi)


def _t_quantile(freedom: Floats | float) -> Floats:
    return np.asarray(t_distribution.ppf((1 + LEVEL) / 2, freedom))


def _with_peak(fit: Fit, d: Floats) -> Fit:
    """`fit` with its peak, if the interval of β says that there is one."""
    assert fit.beta_ci is not None
    peak = float(fit.law.peak(*fit.estimate))
    if fit.beta_ci[0] <= 0 or not 0 < peak < np.inf:
        return fit
    # Ordered statistics, not interpolated ones: between a finite and an infinite peak there is nothing.
    peaks = np.sort(fit.peaks())
    lo, hi = peaks[int(0.025 * (len(peaks) - 1))], peaks[int(np.ceil(0.975 * (len(peaks) - 1)))]
    return replace(
        fit,
        peak_kl=peak**2,
        peak_kl_ci=(_finite(lo), _finite(hi)),
        peak_inside_data=bool(d.min() <= peak <= d.max()),
    )


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None
