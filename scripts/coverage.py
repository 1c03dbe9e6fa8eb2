"""How often intervals over replicates hold the truth: writes docs/results/coverage.csv (takes a minute).

python scripts/coverage.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.estimators.replicates import over_replicates

CLUSTERS, TIMES = 40, 4000
WORLDS = {
    "replicates alone": (1.0, 0.0, 0.0),
    "clusters alone": (0.0, 1.0, 0.0),
    "both, replicates less": (0.2, 1.0, 0.0),
    "both, and what neither explains": (0.2, 1.0, 1.0),
    "what neither explains alone": (0.0, 0.0, 1.0),
}
"""Standard deviations of replicates, of clusters and of the rest."""


def covered(replicates: int, spread: tuple[float, float, float], rng: np.random.Generator) -> float:
    """The share of intervals that hold 0, the true mean."""
    of_replicate, of_cluster, rest = spread
    held = 0
    for _ in range(TIMES):
        table = of_replicate * rng.normal(size=(replicates, 1)) + of_cluster * rng.normal(size=(1, CLUSTERS))
        found = over_replicates(table + rest * rng.normal(size=(replicates, CLUSTERS)))
        held += found.lo <= 0 <= found.hi
    return held / TIMES


def main() -> None:
    """Every world with 2, 3, 5 and 8 replicates."""
    rng = np.random.default_rng(0)
    table = [
        {"world": world, "replicates": k, "clusters": CLUSTERS, "intervals": TIMES,
         "coverage": covered(k, spread, rng)}
        for world, spread in WORLDS.items()
        for k in (2, 3, 5, 8)
    ]  # fmt: skip
    out = Path(__file__).parent.parent / "docs" / "results" / "coverage.csv"
    pd.DataFrame(table).to_csv(out, index=False)


if __name__ == "__main__":
    main()
