"""Every method in one experiment, through the real command."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from experiments import Finished, Home, of_policies, planned
from places import SMOKE

from analysis.records.experiment import Experiment

RUNS = {
    "rloo": {},
    "grpo": {"prompts_per_step": 8, "generations": 4},
    "ppo": {"prompts_per_step": 8, "generations": 4},
    "dpo": {"pairs": 64, "batch_size": 16, "labels": "annotator"},
    "kto": {"pairs": 64, "batch_size": 32},
    "online_dpo": {"prompts_per_step": 16},
    "best_of_n": {"samples": 16},
    "best_of_n_distilled": {"n": 4, "prompts": 64, "batch_size": 16},
}


@pytest.fixture(scope="module")
def home(smoke: Finished, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The smoke experiment, to which a policy of every other method is added."""
    folder = tmp_path_factory.mktemp("methods")
    config = yaml.safe_load(SMOKE.read_text())
    config["name"] = "methods"
    config["runs"] = {
        name: {
            "policy": {"type": name} | ({"learning_rate": 1e-3} if name != "best_of_n" else {}) | settings,
            "proxies": ["starved"],
            "control": {"type": "path", "kl": [0.05, 0.2]},
        }
        | ({"steps": 4} if name != "best_of_n" else {})
        for name, settings in RUNS.items()
        if name != "rloo"
    } | {"rloo": {"proxies": ["starved"], "control": {"type": "path", "kl": [0.05, 0.2]}, "steps": 4}}
    (folder / "smoke.yaml").write_text(yaml.safe_dump(config))
    return Home(smoke.home.copy(folder / "runs").runs, folder / "smoke.yaml", "methods")


def test_every_method_leaves_the_same_records_and_is_reused(home: Home) -> None:
    first = home.run("--workers", "2")
    assert first.returncode == 0, first.stdout + first.stderr
    records = Experiment.read(home.records)
    assert (records.status, len(records.gaps())) == ("complete", 0)
    assert {run.method for run in records.runs} == set(RUNS)
    starts = set()
    for run in records.runs:
        assert len(run.points) >= 2, run.run_id
        start, later = run.points[0].samples(), run.points[-1].samples()
        assert (start["kl"] == 0).all() and later["kl"].mean() > 0
        starts.add(tuple(start["completion"]))
        assert {"gold", "oracle", run.scorer} == set(run.points[-1].scores()["scorer"])
    assert len(starts) == 1, "every run starts from the same samples of π_ref"
    assert {run["method"] for run in home.summary()["runs"]} == set(RUNS)
    assert home.run().stdout.startswith("0 stages run")


def test_the_worker_count_changes_no_methods_numbers(home: Home, tmp_path: Path) -> None:
    alone = Home(home.copy(tmp_path / "runs").runs, home.config, home.name)
    alone.forget(of_policies(planned(config=home.config)))
    assert alone.run().returncode == 0
    for run in Experiment.read(home.records).runs:
        other = next(o for o in Experiment.read(alone.records).runs if o.run_id == run.run_id)
        for mine, theirs in zip(run.points, other.points, strict=True):
            assert mine.samples().equals(theirs.samples()), run.run_id
