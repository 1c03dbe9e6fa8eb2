"""Parts from outside the checkout, in an experiment that really runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml
from experiments import Home
from outside_parts import DOCUMENTED
from places import SMOKE

from analysis.records.experiment import Experiment
from training.config.load import load
from training.engine.plan import plan

IDS = ["item_id", "sample_id"]


def test_an_ensemble_is_optimised_and_every_member_recorded(home: Home, tmp_path: Path) -> None:
    (tmp_path / "my_ensemble.py").write_text(DOCUMENTED["my_ensemble.py"])
    config = yaml.safe_load(SMOKE.read_text()) | {"plugins": ["my_ensemble.py"], "name": "ensemble"}
    config["proxies"]["starved"]["seeds"] = 2
    worst = {"type": "worst_case", "members": 2}
    path = {"type": "path", "kl": [0.05]}
    config["runs"] = {"worst": {"proxies": ["starved"], "mitigation": worst, "control": path, "steps": 3}}
    (tmp_path / "ensemble.yaml").write_text(yaml.safe_dump(config))
    run = Home(home.runs, tmp_path / "ensemble.yaml", "ensemble")
    result = run.run()
    assert result.returncode == 0, result.stdout + result.stderr
    (policy,) = Experiment.read(run.records).runs
    assert policy.mitigation == "worst_case"
    (experiment,) = load(run.config)
    (planned,) = plan(experiment.config).runs
    members = {f"proxy/starved/{number}": name for number, name in enumerate(("proxy", "proxy/1"))}
    scales = {
        scorer: json.loads((run.artefact(planned.train.inputs[name]) / "scale.json").read_text())
        for scorer, name in members.items()
    }
    for point in policy.points:
        scores = point.scores().pivot(index=IDS, columns="scorer", values="value")
        optimised = point.rewards().set_index(IDS)["value"].loc[scores.index]
        standardised = [(scores[scorer] - s["mean"]) / s["sd"] for scorer, s in scales.items()]
        np.testing.assert_allclose(optimised, np.minimum(*standardised), atol=1e-4)
        assert not np.allclose(*standardised, atol=0.1)
