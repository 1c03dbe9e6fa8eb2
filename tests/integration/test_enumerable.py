"""A whole experiment in the enumerable world; `overopt exact` holds its records against the truth."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from experiments import Finished, overopt
from places import CHECKOUT

from training.exact.compare import COLUMNS, compare

SMALLER = (
    *("policy.steps=20", "policy.generations=16", "reference.sft.steps=80", "world.demonstrations=800"),
    *("measure.items=400", "measure.heldout_pairs=100", "proxies.flattered.pairs=300"),
    "pair_chunk=300",
    "runs.capped={policy: {type: best_of_n, samples: 16}, mitigation: {type: reward_cap, cap: 0}}",
    *("best_of_n.prompts=40", "best_of_n.samples=64", "tracking.mode=disabled", "workers=1", "report=false"),
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of configs/enumerable.yaml, made smaller."""
    runs = tmp_path_factory.mktemp("enumerable") / "runs"
    config = CHECKOUT / "configs" / "enumerable.yaml"
    result = overopt("run", str(config), f"paths.runs={runs}", "name=enumerable", *SMALLER)
    assert result.returncode == 0, result.stdout + result.stderr
    return runs / "enumerable"


@pytest.fixture(scope="module")
def table(directory: Path) -> pd.DataFrame:
    return compare(directory)


def test_what_a_run_measures_is_its_exact_value_within_sampling_error(table: pd.DataFrame) -> None:
    run = table[table["policy"] == "rloo-penalty-flattered"].set_index("quantity")
    assert run.loc["kl", "exact"] > 0.05, "a policy that never moved would prove nothing"
    for name in ("kl", "k1", "k2", "kl_reverse", "proxy", "oracle", "correct", "praise"):
        measured, se, exact = run.loc[name, ["measured", "se", "exact"]]
        assert se > 0 and abs(measured - exact) < 4 * se, name
    assert 0 < run.loc["total variation to π*", "exact"] < 1


def test_what_a_pool_shows_is_its_exact_value(table: pd.DataFrame) -> None:
    pool = table[table["policy"] != "rloo-penalty-flattered"]
    # Best of 2, 4 and 16, and the frontier at two β; the capped run ranks by another reward than the proxy.
    assert pool["policy"].nunique() == 5
    for row in pool.itertuples():
        # The plug-in KL of best-of-n reads low by up to 1 %, which resampling prompts does not show.
        slack = 0.015 * row.exact if row.quantity == "kl" else 0.0
        assert abs(row.measured - row.exact) < 4 * row.se + slack, row


def test_the_command_prints_the_table(directory: Path) -> None:
    result = overopt("exact", str(directory))
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split() == list(COLUMNS)
    assert any(line.split()[:2] == ["rloo-penalty-flattered", "kl"] for line in lines)


def test_other_worlds_have_no_exact_values(smoke: Finished) -> None:
    result = overopt("exact", str(smoke.home.records))
    assert result.returncode == 2 and "world `quiz` has no exact values" in result.stderr
