"""Forecasts of a gold curve, made from what is known before it is paid for, and scored on the rest.

From early points: what a run measured up to a cut in d. The laws are mixed by how well they fit these points
(exp(-BIC/2)), each with its own replicates, so the forecast is as wide as not knowing the law makes it. The
form that rises and saturates is among them: a forecast may say that nothing will turn.

From base samples: the optimiser-free frontier of the run's proxy (`analysis.pool.frontier`), which needs
samples of π_ref alone. It ends where the pool runs out.

Both are forecasts of measurements, on the same prompts, and hold the noise of these. Beside them stands a
forecast that needs no model: gold stays at its last seen value (from base samples: at that of π_ref).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.estimators.arrays import Floats
from analysis.laws.curve import Curve
from analysis.laws.fit import Fit, fit_curve
from analysis.laws.forms import LAWS
from analysis.laws.predict import CUT, predict, split

EARLY, BASE = "early points", "base samples"
GRID = 200
"""Places at which a curve is looked up for its highest value."""


@dataclass(frozen=True)
class Forecast:
    """A predictive distribution of the points of a curve, as draws, and of its highest place."""

    seen: Curve
    withheld: Curve
    cut: float
    """d up to which the forecaster saw the curve."""
    draws: Floats
    """Of the scores measured at the withheld points: (draws, withheld points)."""
    fitted: Floats
    """Of those at the points seen: (draws, seen points)."""
    trivial: Floats
    """Of the trivial forecast, at the withheld points."""
    best_kl: Floats
    """KL at which the curve is highest within reach, in nats: (draws,)."""
    best: Floats
    """Its value there."""
    peak_kl: Floats | None
    """KL of the peak wherever it lies, infinite where there is none: (draws,). None where reach ends it."""
    turns: float
    """Probability that the highest place comes before the end of the reach."""
    weights: dict[str, float]
    """Of the laws in the mixture; empty where there is none."""


def from_early_points(curve: Curve, rng: np.random.Generator, share: float = CUT) -> Forecast | str:
    """Forecast `curve` from its points up to `share` of its largest d; the reason where it cannot be."""
    parts = split(curve, share)
    fits = {name: fit_curve(law, parts.early) for name, law in LAWS.items()}
    usable = {name: fit for name, fit in fits.items() if fit.identifiable}
    if not usable:
        return next(str(fit.refused) for fit in fits.values())
    if not len(parts.rest):
        return "no point lies beyond the cut"
    weights = law_weights(usable)
    size = len(curve.resampled_y)
    chosen = rng.choice(len(usable), size=size, p=list(weights.values()))
    fan = rng.standard_normal((size, 1))
    reach = np.linspace(0, float(curve.d.max()), GRID)[1:]
    draws, fitted = np.empty((size, len(parts.rest))), np.empty((size, len(parts.early)))
    path, peak_kl = np.empty((size, len(reach))), np.empty(size)
    for number, fit in enumerate(usable.values()):
        mine = chosen == number
        for target, points in ((draws, parts.rest), (fitted, parts.early)):
            there = predict(fit, parts.early, points)
            target[mine] = (there.mean + there.errors + there.misfit * points.d * fan)[mine]
        path[mine] = (fit.values(reach) + there.misfit * reach * fan)[mine]
        peak_kl[mine] = fit.peaks()[mine]
    last = int(parts.early.d.argmax())
    moved = parts.rest.resampled_y - parts.rest.y - (parts.early.resampled_y - parts.early.y)[:, [last]]
    best_kl, best, turns = _highest(reach, path)
    return Forecast(parts.early, parts.rest, parts.cut, draws, fitted, parts.early.y[last] + moved,
                    best_kl, best, peak_kl, turns, weights)  # fmt: skip


def law_weights(fits: dict[str, Fit]) -> dict[str, float]:
    """Weight of each law in a mixture, proportional to exp(-BIC/2); they sum to 1."""
    bic = np.array([(fit.chi2 or 0.0) + fit.law.parameters * np.log(fit.n_points) for fit in fits.values()])
    weight = np.exp(-(bic - bic.min()) / 2)
    return dict(zip(fits, (weight / weight.sum()).tolist(), strict=True))


def from_base_samples(curve: Curve, kl: Floats, gold: Floats, reach: float) -> Forecast | str:
    """Forecast `curve` from a frontier whose replicates are `kl` and `gold` (replicates, places), up to d =
    `reach`."""
    within = curve.where(curve.d <= reach)
    if not len(within):
        return "no point lies within the reach of the frontier"
    zero = np.zeros((len(kl), 1))
    places = np.concatenate([zero, np.sqrt(np.maximum(kl, 0))], axis=1)
    values = np.concatenate([zero, gold], axis=1)
    grid = np.linspace(0, reach, GRID)
    path = np.stack([np.interp(grid, d, y) for d, y in zip(places, values, strict=True)])
    slope = np.interp(within.d, grid, np.gradient(path.mean(axis=0), grid))
    noise = (within.resampled_y - within.y) - slope * (within.resampled_d - within.d)
    level = np.stack([np.interp(within.d, grid, each) for each in path])
    trivial = within.resampled_y - within.y
    best_kl, best, turns = _highest(grid, path)
    nothing = within.where(np.zeros(len(within), dtype=bool))
    return Forecast(nothing, within, 0.0, level + noise, np.empty((len(path), 0)), trivial,
                    best_kl, best, None, turns, {})  # fmt: skip


def _highest(d: Floats, path: Floats) -> tuple[Floats, Floats, float]:
    """KL and value where each row of `path` (draws, places) is highest, and how often before the last."""
    top = path.argmax(axis=1)
    return d[top] ** 2, path[np.arange(len(path)), top], float((top < len(d) - 1).mean())
