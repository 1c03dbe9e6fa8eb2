"""The forms of the overoptimisation curve: gold score above π_ref as a function of d = sqrt(KL).

Gao, Schulman & Hilton (2022), arXiv:2210.10760, section 3: with d = sqrt(KL(π‖π_ref)), KL in nats per
sequence, the gold score above π_ref is R(d) = d(α - β d) for best-of-n and R(d) = d(α - β log d) for
reinforcement learning. They also tried, and gave up, d(α - β log(1+d)) and d(α - β d^γ). All four peak
wherever α, β > 0, so beside them stands a form that cannot: α(1 - e^(-κd))/κ rises and saturates, and
is the straight line αd at κ = 0. Where it predicts as well as the others, the data show no hump.

Every form is linear in its coefficients once the shape (γ or κ) is fixed, so a fit is weighted least squares
on a grid of shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import wrightomega

from analysis.entries import Entries
from analysis.estimators.arrays import Floats

NO_SHAPE = (np.nan,)
"""The shapes of a law that has none."""


@dataclass(frozen=True)
class Law:
    """y = α·rise(d) - β·bend(d), for some laws with a shape parameter."""

    name: str
    formula: str
    description: str
    rise: Callable[[Floats, Floats | float], Floats]
    """d and shape -> the feature that α multiplies."""
    bend: Callable[[Floats, Floats | float], Floats] | None
    """d and shape -> the feature that β multiplies; None where a law has no β."""
    peak: Callable[[Floats, Floats, Floats], Floats]
    """α, β, shape -> d at the peak: 0 where the law only falls, infinity where it never turns."""
    min_d: float = 1e-6
    """Where this is the published law of a curve, points with d below this are left out of the curve."""
    shapes: tuple[float, ...] = NO_SHAPE
    """Values of the shape parameter that a fit may take, in ascending order."""
    shape_name: str | None = None

    @property
    def parameters(self) -> int:
        return 1 + (self.bend is not None) + (self.shape_name is not None)

    def value(
        self, d: Floats, alpha: Floats | float, beta: Floats | float, shape: Floats | float = np.nan
    ) -> Floats:
        """R(d); 0 at d = 0 by continuity."""
        safe = np.maximum(d, 1e-12)
        bent = 0.0 if self.bend is None else beta * self.bend(safe, shape)
        return np.asarray(alpha * self.rise(safe, shape) - bent)

    def slope(self, d: Floats, alpha: float, beta: float, shape: float) -> Floats:
        """dR/dd at `d` > 0."""
        step = 1e-4 * d
        ends = (self.value(d + sign * step, alpha, beta, shape) for sign in (1, -1))
        return np.asarray(np.subtract(*ends) / (2 * step))


def _peak_best_of_n(alpha: Floats, beta: Floats, _: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(beta > 0, np.maximum(alpha, 0) / (2 * beta), np.inf)


def _peak_rl(alpha: Floats, beta: Floats, _: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(beta > 0, np.exp(alpha / beta - 1), np.inf)


def _peak_log1p(alpha: Floats, beta: Floats, _: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # dR/dd = 0: log(1+d) + d/(1+d) = α/β. With v = 1/(1+d): v + log v = 1 - α/β, so v = ω(1 - α/β).
        turn = 1 / wrightomega(1 - np.maximum(alpha, 0) / beta) - 1
        return np.where(beta > 0, turn, np.inf)


def _peak_power(alpha: Floats, beta: Floats, gamma: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        turn = (np.maximum(alpha, 0) / (beta * (1 + gamma))) ** (1 / gamma)
        return np.where(beta > 0, turn, np.inf)


def _saturate(d: Floats, kappa: Floats | float) -> Floats:
    rate = np.maximum(kappa, 1e-9)
    return np.asarray(-np.expm1(-rate * d) / rate)


_FORMS = {
    law.name: law
    for law in (
        Law(
            "best_of_n",
            "d(α − βd)",
            "d(alpha - beta d): best-of-n sampling; peaks at d = alpha / 2 beta",
            rise=lambda d, _: d,
            bend=lambda d, _: d**2,
            peak=_peak_best_of_n,
        ),
        Law(
            "rl",
            "d(α − β log d)",
            "d(alpha - beta log d): reinforcement learning; peaks at d = exp(alpha / beta - 1)",
            rise=lambda d, _: d,
            bend=lambda d, _: d * np.log(d),
            peak=_peak_rl,
            # The slope at 0 is infinite, so the form cannot hold there.
            min_d=0.5,
        ),
        Law(
            "log1p",
            "d(α − β log(1+d))",
            "d(alpha - beta log(1+d)): between the two, with a finite slope at 0",
            rise=lambda d, _: d,
            bend=lambda d, _: d * np.log1p(d),
            peak=_peak_log1p,
        ),
        Law(
            "power",
            "d(α − βd^γ)",
            "d(alpha - beta d^gamma): best-of-n at gamma = 1, towards the form of rl as gamma goes to 0",
            rise=lambda d, _: d,
            bend=lambda d, gamma: d ** (1 + gamma),
            peak=_peak_power,
            shapes=tuple(np.geomspace(0.1, 4, 31)),
            shape_name="γ",
        ),
        Law(
            "no_hump",
            "α(1 − exp(−κd))/κ",
            "alpha (1 - exp(-kappa d)) / kappa: the null; rises and saturates, or is a straight line",
            rise=_saturate,
            bend=None,
            peak=lambda alpha, beta, kappa: np.where(alpha > 0, np.inf, 0.0),
            shapes=(0.0, *np.geomspace(0.03, 6, 30)),
            shape_name="κ",
        ),
    )
}
LAWS: Entries[Law] = Entries("law", _FORMS)
