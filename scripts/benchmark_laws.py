"""The recovery study of the law fits; see the header of scripts/benchmark."""

from __future__ import annotations

import sys
import time

from analysis.laws.recovery import Design, study

DESIGNS = (Design(1, 1), Design(3, 2), Design(5, 2))


def main() -> None:
    """Print bias, coverage and false peaks per law and design."""
    sweeps = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    started = time.perf_counter()
    print(f"recovery: {sweeps} synthetic sweeps each. Bias of α and β; share of 95 % intervals (peak: where")
    print("one is reported) and of joint regions that hold the truth; share of flat curves without a peak")
    print("law        design                   bias α   bias β        α       β    peak  region     flat")
    for name in ("best_of_n", "rl"):
        for design in DESIGNS:
            found = study(name, design, sweeps, seed=0)
            flat = study(name, design, sweeps, seed=1, flat=True)
            bias = "  ".join(f"{each:+7.2%}" for each in found.bias)
            covered = "  ".join(f"{each:6.1%}" for each in found.covered.values())
            print(f"{name:<10} {design!s:<24} {bias}   {covered}   {flat.no_peak:6.1%}", flush=True)
    print(f"wall seconds: {time.perf_counter() - started:.0f}")


if __name__ == "__main__":
    main()
