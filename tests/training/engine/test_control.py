"""Gold as a proxy: a control that says what it is, and that can be nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from plans import BASE
from pydantic import ValidationError

from training.config.schema import Experiment
from training.engine.plan import plan

CONTROL = {"gold": {"copies_gold": True}, "ample": {"pairs": 300}}


def test_gold_reaches_a_policy_as_the_control_that_says_so_and_in_no_other_way() -> None:
    config = Experiment.model_validate(BASE | {"proxies": CONTROL, "runs": {"path": {}}})
    made = plan(config)
    control = next(stage for stage in made.stages if stage.kind == "control")
    assert control.gold_side and control.inputs["gold"].kind == "gold"
    given = {run.row["proxy"]: run.train.inputs["proxy"].kind for run in made.runs}
    assert given == {"gold": "control", "ample": "proxy"}
    assert {run.row["proxy"]: run.row["proxy_pairs"] for run in made.runs}["gold"] == config.pairs("gold")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"proxies": {"gold": {"copies_gold": True, "pairs": 9}}}, "pairs would do nothing"),
        ({"proxies": {"starved": {}}}, "pairs is missing"),
        ({"proxies": CONTROL, "gold": {"type": "programmatic"}}, "proxies.gold.copies_gold needs gold.type"),
        (
            {"proxies": CONTROL, "runs": {"dpo": {"policy": {"type": "dpo", "labels": "annotator"}}}},
            "runs.dpo: dpo with labels = annotator needs labels, and proxies.gold is a copy",
        ),
    ],
)
def test_a_control_that_cannot_be_one_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as error:
        Experiment.model_validate(BASE | {"runs": {}} | changes)
    assert reason in str(error.value)
