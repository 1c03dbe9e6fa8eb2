"""What a law fitted to the first part of a curve says about the rest, as a distribution; and its scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from analysis.estimators.arrays import Floats
from analysis.laws.curve import Curve
from analysis.laws.fit import Fit

CUT = 0.6
"""Share of the largest d up to which a curve is shown to a law that must predict the rest."""


class Split(NamedTuple):
    """A curve cut in two."""

    early: Curve
    rest: Curve
    cut: float
    """d of the cut: the last that `early` may hold."""


def split(curve: Curve, share: float = CUT) -> Split:
    """Cut `curve` at `share` of its largest d."""
    cut = share * float(curve.d.max(initial=0))
    return Split(curve.where(curve.d <= cut), curve.where(curve.d > cut), cut)


class Prediction(NamedTuple):
    """Of the scores measured at some points of the curve that a law was fitted to the first part of."""

    mean: Floats
    """(points,)."""
    errors: Floats
    """Errors of such a prediction, centred: (replicates, points)."""
    misfit: float
    """S.d. per unit of d by which the first part scatters about the law beyond its measurement."""
    d: Floats

    @property
    def sd(self) -> Floats:
        """S.d. of the prediction: (points,)."""
        return np.asarray(np.sqrt(self.errors.var(axis=0) + (self.misfit * self.d) ** 2))


def predict(fit: Fit, early: Curve, points: Curve) -> Prediction:
    """Predict `points` by `fit`, which was fitted to `early`.

    No law is exact, and curves of two seeds fan out from π_ref: what `early` shows of this is taken to grow
    in proportion to d.
    """
    residual = early.y - fit.value(early.d)
    anew = early.resampled_y - fit.values(early.resampled_d)
    misfit = np.sqrt(max(float((residual**2 - anew.var(axis=0)).sum() / (early.d**2).sum()), 0.0))
    return Prediction(fit.value(points.d), _errors(fit, points), misfit, points.d)


def _errors(fit: Fit, points: Curve) -> Floats:
    """The fit's spread plus the measurement error of the points, about the law.

    Fit and points share their prompts, so part of both would cancel if the law were exact. It is not: on
    best-of-n curves of the quiz world bands that count on this hold about half of the points that they
    should, so the two are added as if they were independent, by pairing each replicate of the fit with the
    points of another.
    """
    slope = fit.law.slope(points.d, *(float(each) for each in fit.estimate))
    noise = (points.resampled_y - points.y) - slope * (points.resampled_d - points.d)
    spread = fit.values(points.d) - fit.value(points.d)
    return np.asarray(spread + np.roll(noise, len(noise) // 2, axis=0))


def log_scores(prediction: Prediction, y: Floats) -> Floats:
    """Log density of `y` (..., points) under the Gaussian of `prediction`, mean over the points: (...)."""
    sd = np.maximum(prediction.sd, 1e-9)
    return np.asarray(np.mean(norm.logpdf(y, prediction.mean, sd), axis=-1))


def crps(draws: Floats, y: Floats) -> Floats:
    """Continuous ranked probability score of each point: (points,), in units of `y`; 0 is perfect.

    E|X - y| - E|X - X'|/2 over the `draws` (draws, points), X and X' independent (Gneiting & Raftery 2007,
    Journal of the American Statistical Association 102:359, eq. 21). For a forecast without spread it is the
    absolute error.
    """
    size = len(draws)
    ranked = np.sort(draws, axis=0)
    # Over all pairs, the r-th smallest of n is the larger r - 1 times and the smaller n - r times.
    rank = np.arange(1, size + 1)[:, None]
    half_spread = ((2 * rank - size - 1) * ranked).sum(axis=0) / size**2
    return np.asarray(np.abs(draws - y).mean(axis=0) - half_spread)
