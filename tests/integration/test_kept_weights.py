"""Weights kept along a path: what they are for, and what they leave alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from experiments import Finished, Home, planned, replace, reseal, result_of

from analysis.records.experiment import Experiment
from analysis.tables.tables import tables
from training.engine.stage import PlannedRun
from training.stages.interpolate import TOLERANCE

KEEP = "runs.path.keep_weights=true"


def paths() -> Mapping[str, PlannedRun]:
    return {run.row["run_id"]: run for run in planned(KEEP).runs if run.between}


@pytest.fixture(scope="module")
def kept(smoke: Finished, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The finished smoke experiment, and its paths run again with weights kept."""
    copy = smoke.home.copy(tmp_path_factory.mktemp("kept") / "runs")
    home = Home(copy.runs, name=f"smoke-{KEEP}")
    result = home.run(KEEP)
    assert result.returncode == 0 and "\n20 stages run" in result.stdout, result.stdout + result.stderr
    return home


def test_keeping_weights_changes_no_weight_and_no_sample(smoke: Finished, kept: Home) -> None:
    without = {run.row["run_id"]: run for run in planned().runs}
    for run_id, run in paths().items():
        assert result_of(kept.artefact(run.train)) == result_of(smoke.home.artefact(without[run_id].train))


def test_the_records_hold_policies_at_the_kls_of_the_comparison(kept: Home) -> None:
    records = Experiment.read(kept.records)
    weight = records.items.set_index("item_id")["weight"]
    met = 0
    for run in records.runs:
        assert bool(run.between) == (run.run_id in paths())
        for each in run.between:
            samples = each.point.samples()
            kl = np.average(samples["kl"], weights=weight.loc[samples["item_id"]])
            assert abs(kl / each.kl - 1) <= TOLERANCE
            assert set(each.point.scores()["scorer"]) == {"gold", "oracle", run.scorer}
            met += 1
    assert met and not list(kept.records.rglob("*.safetensors")), "weights are no records"
    computed = tables(records)
    assert len(computed["checkpoints"].drop_duplicates(["run_id", "kl"])) == met
    compared = computed["comparisons"]
    assert set(compared.loc[compared["method"] == "rloo", "interpolated"]) == {"checkpoints"}
    assert kept.run(KEEP).stdout.startswith("0 stages run")


def test_checkpoints_that_cannot_be_read_cost_what_lies_between_them_alone(
    kept: Home, tmp_path: Path
) -> None:
    home = kept.copy(tmp_path / "runs")
    (broken, run), (_, whole) = paths().items()
    assert run.between and whole.between
    for file in (home.artefact(run.train) / "weights").iterdir():
        replace(file, b"not what it was")
    reseal(home.artefact(run.train))
    home.forget([*run.between.stages, *whole.between.stages])
    result = home.run(KEEP)
    assert result.returncode == 1 and "\n5 stages run" in result.stdout, result.stdout + result.stderr
    records = Experiment.read(home.records)
    assert {each.run_id: bool(each.between) for each in records.runs if each.control == "path"} == {
        run_id: run_id != broken for run_id in paths()
    }
    assert {each.status for each in records.runs} == {"complete"}, "its own points are all there"
    (gap,) = records.gaps().to_dict("records")
    assert gap["run_id"] == broken and "no policy between its checkpoints was measured" in gap["gap"]
    assert json.loads((home.records / "experiment.json").read_text())["status"] == "partial"
