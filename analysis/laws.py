"""The published forms of the overoptimisation curve, and their fits with intervals.

Gao, Schulman & Hilton (2022), arXiv:2210.10760, section 3: with d = sqrt(KL(π‖π_ref)), KL in nats per
sequence, the gold score above π_ref is R(d) = d(α - β d) for best-of-n and R(d) = d(α - β log d) for
reinforcement learning. Both are linear in (α, β), so a fit is one weighted least-squares solution and a
bootstrap of it a vectorised one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from analysis.bootstrap import percentile_interval

Floats = NDArray[np.float64]

MIN_POINTS = 4
MIN_SPAN = 2.0
"""A fit needs max(d)/min(d) of at least this: on a narrower range α and β trade off freely."""


@dataclass(frozen=True)
class Law:
    """y = α·rise(d) - β·bend(d)."""

    name: str
    description: str
    rise: Callable[[Floats], Floats]
    bend: Callable[[Floats], Floats]
    peak: Callable[[Floats, Floats], Floats]
    """d at which the law with (α, β) peaks: 0 where it only falls, infinity where it never turns."""
    min_d: float
    """Points with d below this are left out of a fit."""

    def value(self, d: Floats, alpha: Floats | float, beta: Floats | float) -> Floats:
        """R(d); 0 at d = 0 by continuity."""
        safe = np.maximum(d, 1e-12)
        return np.asarray(alpha * self.rise(safe) - beta * self.bend(safe))


def _peak_best_of_n(alpha: Floats, beta: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(beta > 0, np.maximum(alpha, 0) / (2 * beta), np.inf)


def _peak_rl(alpha: Floats, beta: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(beta > 0, np.exp(alpha / beta - 1), np.inf)


LAWS: dict[str, Law] = {
    law.name: law
    for law in (
        Law(
            "best_of_n",
            "d(alpha - beta d): best-of-n sampling; peaks at d = alpha / 2 beta",
            rise=lambda d: d,
            bend=lambda d: d**2,
            peak=_peak_best_of_n,
            min_d=1e-6,
        ),
        Law(
            "rl",
            "d(alpha - beta log d): reinforcement learning; peaks at d = exp(alpha / beta - 1)",
            rise=lambda d: d,
            bend=lambda d: d * np.log(d),
            peak=_peak_rl,
            # The slope at 0 is infinite, so the form cannot hold there.
            min_d=0.5,
        ),
    )
}


@dataclass(frozen=True)
class Fit:
    """A fitted law. Everything is None where the data cannot identify it; `refused` then says why."""

    law: str
    n_points: int
    refused: str | None = None
    alpha: float | None = None
    alpha_ci: tuple[float, float] | None = None
    beta: float | None = None
    beta_ci: tuple[float, float] | None = None
    r2: float | None = None
    """1 - SS_res/SS_tot over the fitted points, unweighted, about their mean: how well one sees it follow
    them."""
    peak_kl: float | None = None
    """KL of the peak in nats. None unless the interval of β excludes 0: a flat curve with noise has no
    peak."""
    peak_kl_ci: tuple[float | None, float | None] | None = None
    """A bound is None where it is infinite: replicates that never turn put their peak at infinity."""
    peak_inside_data: bool | None = None
    """False: the peak is extrapolated beyond the fitted points and is not evidence."""
    alphas: Floats = field(default_factory=lambda: np.empty(0), repr=False, compare=False)
    betas: Floats = field(default_factory=lambda: np.empty(0), repr=False, compare=False)

    @property
    def identifiable(self) -> bool:
        return self.refused is None

    def band(self, d: Floats) -> tuple[Floats, Floats, Floats]:
        """Fitted value and pointwise bounds at `d`."""
        if self.alpha is None or self.beta is None:
            nothing = np.full(len(d), np.nan)
            return nothing, nothing, nothing
        law = LAWS[self.law]
        lo, hi = percentile_interval(law.value(d, self.alphas[:, None], self.betas[:, None]))
        return law.value(d, self.alpha, self.beta), lo, hi


def fit_curve(
    law: Law,
    d: Floats,
    y: Floats,
    se: Floats,
    replicates_d: Floats,
    replicates_y: Floats,
    multiplicity: Floats | None = None,
) -> Fit:
    """Fit `law` to a curve y(d), the points of one run or of several runs after each other.

    `d`, `y`, `se` are (points,); `replicates_d`, `replicates_y` (replicates, points) are the same points
    resampled, so that errors in both axes and their correlation along the curve reach the intervals;
    `multiplicity` (replicates, points) says how often the replicate drew each point's run. Points with
    NaN are left out.

    Weights are 1/(se² + median(se)²). The second term stands for the law not being exact: scores are
    paired with π_ref, so se goes to 0 with d, and the first points alone would decide the fit.
    """
    use = np.isfinite(d) & np.isfinite(y) & np.isfinite(se) & (d >= law.min_d)
    n_points = int(use.sum())
    if n_points < MIN_POINTS:
        return Fit(law.name, n_points, refused=f"{n_points} usable points, at least {MIN_POINTS} are needed")
    d, y, se = d[use], y[use], se[use]
    span = float(d.max() / d.min())
    if span < MIN_SPAN:
        return Fit(
            law.name, n_points, refused=f"d spans a factor of {span:.2f}, at least {MIN_SPAN:g} is needed"
        )
    weight = 1 / (se**2 + max(float(np.median(se)) ** 2, 1e-18))
    alpha, beta = _solve(law, d, y, weight)
    drawn = weight if multiplicity is None else weight * multiplicity[:, use]
    alphas, betas = _solve(law, np.maximum(replicates_d[:, use], 1e-12), replicates_y[:, use], drawn)
    kept = np.isfinite(alphas) & np.isfinite(betas)
    alphas, betas = alphas[kept], betas[kept]
    residual = y - law.value(d, alpha, beta)
    total = float(((y - y.mean()) ** 2).sum())
    alpha_lo, alpha_hi = percentile_interval(alphas)
    beta_lo, beta_hi = percentile_interval(betas)
    fit = Fit(
        law.name,
        n_points,
        alpha=float(alpha),
        alpha_ci=(float(alpha_lo), float(alpha_hi)),
        beta=float(beta),
        beta_ci=(float(beta_lo), float(beta_hi)),
        r2=1 - float((residual**2).sum()) / total if total > 0 else None,
        alphas=alphas,
        betas=betas,
    )
    return _with_peak(fit, law, d)


def _with_peak(fit: Fit, law: Law, d: Floats) -> Fit:
    """`fit` with its peak, if the interval of β says that there is one."""
    assert fit.alpha is not None and fit.beta is not None and fit.beta_ci is not None
    peak = float(law.peak(np.array(fit.alpha), np.array(fit.beta)))
    if fit.beta_ci[0] <= 0 or not 0 < peak < np.inf:
        return fit
    with np.errstate(over="ignore"):
        # Ordered statistics, not interpolated ones: between a finite and an infinite peak there is nothing.
        peaks = np.sort(law.peak(fit.alphas, fit.betas) ** 2)
    lo, hi = peaks[int(0.025 * (len(peaks) - 1))], peaks[int(np.ceil(0.975 * (len(peaks) - 1)))]
    return replace(
        fit,
        peak_kl=peak**2,
        peak_kl_ci=(_finite(lo), _finite(hi)),
        peak_inside_data=bool(d.min() <= peak <= d.max()),
    )


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None


def _solve(law: Law, d: Floats, y: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Weighted least squares over the last axis; NaN where the two features are collinear."""
    f, g = law.rise(d), law.bend(d)
    ff, fg, gg = ((weight * a * b).sum(axis=-1) for a, b in ((f, f), (f, g), (g, g)))
    fy, gy = (weight * f * y).sum(axis=-1), (weight * g * y).sum(axis=-1)
    determinant = ff * gg - fg**2
    with np.errstate(divide="ignore", invalid="ignore"):
        singular = determinant <= 1e-12 * ff * gg
        alpha = np.where(singular, np.nan, (fy * gg - gy * fg) / determinant)
        slope = np.where(singular, np.nan, (gy * ff - fy * fg) / determinant)
    return alpha, -slope
