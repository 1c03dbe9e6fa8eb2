"""The table of humps by root seed, from the records of configs/seeds.yaml: see scripts/ten_seeds."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from analysis import load
from analysis.tables.humps import BEST_OF_N, ENDS

TUNING = (0, 1, 2, 3)
"""Root seeds that the world was tuned on (docs/criterion.md): they count for nothing."""
METHODS = {BEST_OF_N: "best_of_n", ENDS: "rl"}
INTERVALS = ("rise", "fall", "peak_kl")
BOUNDS = [f"{name}{end}" for name in INTERVALS for end in ("", "_lo", "_hi")]


def rows(folder: Path, seed: int) -> pd.DataFrame:
    """One experiment's rows of the table."""
    humps = load(folder)["humps"]
    mine = humps[humps["method"].isin(METHODS)].assign(root_seed=seed, setting=humps["proxy"])
    mine["method"] = mine["method"].map(METHODS)
    mine = mine[["root_seed", "setting", "method", "score", *BOUNDS, "hump"]]
    return mine.rename(columns={"peak_kl_lo": "peak_lo", "peak_kl_hi": "peak_hi"})


def main() -> None:
    """Print the table of the seeds that are finished; say which are not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="+")
    parser.add_argument("--check", action="store_true", help="only look at the seeds")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    asked = parser.parse_args()
    if tuned := sorted(set(asked.seeds) & set(TUNING)):
        parser.error(f"the world was tuned on root seed {tuned[0]}: name seeds other than {TUNING}")
    if asked.check:
        return
    found = {seed: asked.runs / f"seeds-seed={seed}" for seed in asked.seeds}
    for seed in [seed for seed, folder in found.items() if not (folder / "experiment.json").is_file()]:
        print(f"root seed {seed} has no records in {found.pop(seed)}", file=sys.stderr)
    if found:
        tables = pd.concat([rows(folder, seed) for seed, folder in found.items()])
        tables.round(4).to_csv(sys.stdout, index=False)


if __name__ == "__main__":
    main()
