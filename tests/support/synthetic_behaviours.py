"""Planted behaviours: runs whose events occur at known rates, and pools whose optimum is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath

import numpy as np
import pandas as pd

from analysis.behaviour.rates import Path, behaviour_paths
from analysis.estimators.bootstrap import draw_clusters
from analysis.probes import Evidence, Headline
from analysis.records.experiment import Run
from analysis.records.run_curves import SAMPLED, SCORES, WIN_RATE, RunCurves

Rate = Callable[[float], float]
"""P(event) as a function of d = sqrt(KL)."""


def read_column(measure: str) -> Headline:
    """A behaviour that the answers record as a column of 0, 1 and NaN."""
    return Headline(measure, f"does {measure}", lambda evidence, answers: answers[measure])


def planted_run(
    rates: Mapping[str, Rate], kl: Sequence[float], items: pd.DataFrame, rng: np.random.Generator, *,
    proxy: str = "starved", seed: int = 0, method: str = "rloo", kept: float = 0.7,
) -> RunCurves:  # fmt: skip
    """One completed path run; `kept`: share of prompts whose draw a point takes over from the one before."""
    size = len(items)
    raw = {name: np.full((len(kl), size), np.nan) for name in (*SAMPLED, *SCORES, WIN_RATE)}
    raw["kl"] = np.repeat(np.asarray(kl, dtype=float)[:, None], size, axis=1)
    uniform = {name: rng.uniform(size=size) for name in rates}
    answers = {}
    for place, each in enumerate(kl):
        frame = items.copy()
        for name, rate in rates.items():
            fresh = rng.uniform(size=size) > kept
            uniform[name] = np.where(fresh, rng.uniform(size=size), uniform[name])
            frame[name] = (uniform[name] < rate(float(np.sqrt(each)))).astype(float)
        answers[place * 10] = frame
    name = f"{method}-{proxy}-{seed}"
    run = Run(FilePath("."), name, method, "path", None, proxy, 400, seed, seed, "complete", None, "path")
    return RunCurves(run, np.arange(len(kl)) * 10, np.ones(size), np.arange(size), raw,
                     dict.fromkeys(SCORES, 1.0), answers, {})  # fmt: skip


def items(clusters: int) -> pd.DataFrame:
    names = [f"c{i}" for i in range(clusters)]
    return pd.DataFrame({"item_id": names, "cluster": names, "condition": "wrong"})


def planted_paths(
    proxies: Mapping[str, Mapping[str, Rate]], kl: Sequence[float], *, clusters: int = 200, seed: int = 0,
    replicates: int = 400, seeds: int = 1,
) -> list[Path]:  # fmt: skip
    """A path per proxy, each with its own rates for the same behaviours."""
    rng = np.random.default_rng(seed)
    asked = items(clusters)
    curves = [
        planted_run(rates, kl, asked, rng, proxy=proxy, seed=each)
        for proxy, rates in proxies.items()
        for each in range(seeds)
    ]
    names = next(iter(proxies.values()))
    headlines = {name: read_column(name) for name in names}
    counts = draw_clusters(rng, clusters, replicates)
    return behaviour_paths(curves, Evidence(asked, None), headlines, counts, rng)
