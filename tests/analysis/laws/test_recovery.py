"""The recovery study in small: the full one is `scripts/benchmark laws`."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from analysis.laws.recovery import Design, study

SWEEPS, REPLICATES = 150, 250


def _plausible(share: float, truth: float, sweeps: int = SWEEPS) -> bool:
    """Whether so many of the sweeps can be, at one error in a thousand either way."""
    return bool(binom.ppf(0.001, sweeps, truth) <= round(share * sweeps) <= binom.ppf(0.999, sweeps, truth))


@pytest.mark.parametrize("design", [Design(1, 1), Design(5, 2)], ids=str)
@pytest.mark.parametrize("name", ["best_of_n", "rl"])
def test_planted_coefficients_are_recovered_and_covered(name: str, design: Design) -> None:
    found = study(name, design, SWEEPS, seed=0, replicates=REPLICATES)
    assert max(map(abs, found.bias)) < 0.03  # 2 % in the full study; these are 150 sweeps
    for quantity, share in found.covered.items():
        assert _plausible(share, 0.95), (quantity, share)


@pytest.mark.parametrize("name", ["best_of_n", "rl"])
def test_a_flat_curve_has_no_peak(name: str) -> None:
    found = study(name, Design(1, 1), SWEEPS, seed=1, flat=True, replicates=REPLICATES)
    assert found.no_peak >= binom.ppf(0.001, SWEEPS, 0.95) / SWEEPS
