"""The reward that a run optimised is a curve of its own, in the unit in which it was paid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import write_experiment

from analysis.records.contracts import REWARD, RecordError, write_table
from analysis.records.experiment import Experiment, Run
from analysis.records.run_curves import RunCurves


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return Experiment.read(write_experiment(tmp_path, clusters=12, pool=None))


def cap(run: Run, highest: float) -> None:
    """Record what a run would have been paid whose proxy, in s.d. on π_ref, had been capped."""
    first = run.points[0].scores()
    start = first.loc[first["scorer"] == run.scorer, "value"]
    for point in run.points:
        scores = point.scores()
        own = scores[scores["scorer"] == run.scorer]
        paid = ((own["value"] - start.mean()) / start.std()).clip(upper=highest)
        table = own.assign(scorer=REWARD, value=paid).sample(frac=1, random_state=0)
        write_table(point.path / "rewards.parquet", table.reset_index(drop=True), "rewards")


def test_a_capped_reward_stays_behind_the_proxy(experiment: Experiment) -> None:
    run = next(run for run in experiment.runs if run.control == "path")
    without = RunCurves.read(experiment, run)
    assert not without.measured(REWARD)
    cap(run, highest=0.5)
    curves = RunCurves.read(experiment, run)
    paid, proxy = (curves.sums[name].mean() for name in (REWARD, "proxy"))
    np.testing.assert_array_equal(proxy, without.sums["proxy"].mean())
    assert paid[0] == 0 and 0 < paid[-1] < proxy[-1] - 0.2
    at_start, at_end = (point.rewards()["value"] for point in (run.points[0], run.points[-1]))
    weight = experiment.items.set_index("item_id")["weight"]
    share = weight.loc[run.points[0].rewards()["item_id"]].to_numpy()
    gained = np.average(at_end, weights=share) - np.average(at_start, weights=share)
    assert paid[-1] == pytest.approx(gained), "in s.d. of the proxy as it was paid: no second scale"


def test_a_reward_of_some_samples_alone_is_an_error(experiment: Experiment) -> None:
    run = next(run for run in experiment.runs if run.control == "path")
    cap(run, highest=0.5)
    path = run.points[-1].path / "rewards.parquet"
    write_table(path, pd.read_parquet(path).iloc[1:].reset_index(drop=True), "rewards")
    with pytest.raises(RecordError, match="rewards.parquet: `reward` scored"):
        RunCurves.read(experiment, run)
