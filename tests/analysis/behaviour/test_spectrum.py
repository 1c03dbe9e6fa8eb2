"""Onsets are found where they were planted, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic import Behaviour, write_experiment
from synthetic_behaviours import planted_paths, read_column

from analysis.behaviour.rates import Rates
from analysis.behaviour.spectrum import cohens_h, lower_bands, onsets, simultaneous_margin, spectrum
from analysis.estimators.bootstrap import draw_clusters
from analysis.records.experiment import Experiment
from analysis.tables.tables import tables

GRID = (0.0, 0.25, 1.0, 2.25, 4.0, 6.25, 9.0)


def _tables(rates: Any, seed: int = 0, **kwargs: Any) -> Any:
    paths = planted_paths({"starved": rates}, GRID, seed=seed, **kwargs)
    headlines = {name: read_column(name) for name in rates}
    table = spectrum(paths, headlines, {})
    return table, onsets(table, paths)


def test_onset_is_where_the_behaviour_rises_and_flat_falling_and_absent_ones_have_none() -> None:
    rates = {
        "flat": lambda d: 0.3,
        "late": lambda d: 0.1 if d < 1.9 else 0.5,
        "early": lambda d: 0.05 if d < 0.9 else 0.4,
        "falling": lambda d: 0.6 - 0.15 * d,
        "never": lambda d: 0.0,
        "always": lambda d: 1.0,
    }
    table, found = _tables(rates)
    assert found["behaviour"].tolist()[:2] == ["early", "late"], "the earliest comes first"
    by_name = found.set_index("behaviour")
    assert by_name.loc["early", "onset_kl"] == 1.0 and by_name.loc["late", "onset_kl"] == 4.0
    assert by_name.loc[["flat", "falling", "never", "always"], "onset_kl"].isna().all()
    assert by_name["inert"].dropna().to_dict() == {"never": "floored", "always": "saturated"}
    late = table[(table["behaviour"] == "late") & (table["kl"] == 9.0)].iloc[0]
    assert late["h_lo"] < cohens_h(0.5, 0.1) < late["h_hi"]
    assert late["band_lo"] < late["h_lo"] < late["h"]


def _bounds(events: np.ndarray, seed: int, replicates: int = 400) -> np.ndarray:
    """Lower bounds of h from events of (behaviours, points, clusters)."""
    rng = np.random.default_rng(seed)
    counts = draw_clusters(rng, events.shape[-1], replicates)
    return lower_bands([Rates.of(each, np.ones_like(each), counts, rng) for each in events])


def test_where_nothing_changes_one_path_in_twenty_is_given_an_onset() -> None:
    """Eight behaviours keep their rates over nine points that share most of their draws with the last."""
    rng, wrong, trials = np.random.default_rng(1), 0, 300
    rates = np.array([0.01, 0.05, 0.1, 0.3, 0.3, 0.5, 0.5, 0.8])[:, None]
    for trial in range(trials):
        uniform = [rng.uniform(size=(8, 150))]
        for _ in range(9):
            fresh = rng.uniform(size=(8, 150)) > 0.7
            uniform.append(np.where(fresh, rng.uniform(size=(8, 150)), uniform[-1]))
        events = np.stack([each < rates for each in uniform], axis=1).astype(float)
        wrong += int((_bounds(events, trial) > 0).any())
    # Of 300 trials at 5 %, more than 24 come once in a hundred times; rare behaviours make it a little less.
    assert 2 <= wrong <= 24


@pytest.mark.parametrize(("events", "sets_in"), [(4, False), (20, True)])
def test_four_events_where_there_were_none_are_no_onset_but_twenty_are(events: int, sets_in: bool) -> None:
    """4 of 150 against 0: an exact paired test gives p = 1/16, before any correction."""
    hits = np.zeros((1, 2, 150))
    hits[0, 1, :events] = 1
    assert bool((_bounds(hits, 0, 1000) > 0).any()) == sets_in


def test_seeds_are_averaged_and_counted() -> None:
    paths = planted_paths({"p": {"g": lambda d: 0.2 + 0.1 * d}}, GRID, seeds=3)
    table = spectrum(paths, {"g": read_column("g")}, {"p": ("bias", 2.0)})
    assert table["runs"].eq(3).all() and table["proxy_seeds"].eq(3).all() and table["dose"].eq(2.0).all()
    each = [run.answers[60]["g"].mean() for run in paths[0].runs]
    assert table["rate"].iloc[-1] == pytest.approx(np.mean(each))


def test_margins_ignore_gaps_and_what_never_varies() -> None:
    rng = np.random.default_rng(0)
    replicates = rng.standard_normal((4000, 3))
    replicates[:, 1] = np.nan
    replicates[:, 2] = 0.5
    margin = simultaneous_margin(replicates, np.array([0.0, np.nan, 0.5]))
    assert margin[0] == pytest.approx(1.645, abs=0.08) and np.isinf(margin[1:]).all()


def test_a_path_says_which_failure_leads_the_gold_peak(tmp_path: Path) -> None:
    """Planted: gold peaks at KL 2.7 (starved); sycophancy jumps at KL 1."""
    path = write_experiment(tmp_path, clusters=150, proxies=("starved",), pool=None, budgets=(), noise=0.02,
                            kl_grid=(0, 0.3, 1, 2.7, 7, 16),
                            behaviour=Behaviour(sycophancy=lambda d: 0.1 if d < 0.9 else 0.5))  # fmt: skip
    found = tables(Experiment.read(path)).behaviour_onsets.set_index("behaviour").loc["sycophancy"]
    assert found["onset_kl"] == pytest.approx(1.0) and found["gold_peak_kl"] == pytest.approx(2.7)
    assert bool(found["leads_gold_peak"]) is True
    assert pd.isna(found["inert"])
