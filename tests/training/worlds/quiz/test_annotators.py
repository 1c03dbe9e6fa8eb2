"""Annotators in the quiz world with every task on: what they need is recorded, and reaches them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_worlds import drawn, save
from judging import TYPES, dosed

from reward_models.annotators import (
    AnnotatorGroups,
    Assisted,
    Constitution,
    Engagement,
    Oversight,
    PartialVerification,
)
from reward_models.annotators.base import Annotator
from reward_models.annotators.surface import Surface
from training.sampling import pairs
from training.worlds.built_world import BuiltWorld
from training.worlds.quiz import QuizWorld
from training.worlds.quiz.grammar import Reply, write

DOSED = dict(zip(TYPES, dosed(0.6), strict=True))
COUNT = 1000
WORLD = QuizWorld.model_validate(
    {
        "facts": {"entities": 8, "relations": 2, "values": 5},
        "counts": {"demonstrations": 2000, "gold": 60, "pairs": COUNT, "policy": 60},
        "stances": {"stance_rate": 0.4, "third_party_rate": 0.1},
        "tasks": {
            "challenge_rate": 0.1,
            "authored_rate": 0.1,
            "test_rate": 0.1,
            "hat_rate": 0.05,
            "race_rate": 0.1,
            "oversight_rate": 0.8,
            "contested_relations": 1,
        },
    }
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> BuiltWorld:
    folder = tmp_path_factory.mktemp("world")
    return save(WORLD, drawn(WORLD, seed=0, eval_items=4, pool_prompts=4), folder)


@pytest.fixture(scope="module")
def values(world: BuiltWorld) -> pd.DataFrame:
    """Pairs of whatever demonstrations say, valued by the oracle, as a table of valued pairs."""
    items = world.prompts("pairs")
    said = world.demonstrations()["completion"].sample(2 * COUNT, random_state=0)
    table = pd.DataFrame({"item_id": items["item_id"].repeat(2).to_numpy(), "completion": said.to_numpy()})
    table["length"] = table["completion"].str.split().str.len() + 1
    table["finished"] = True
    parsed = pairs.outcomes(world, table, "pairs")
    oracle = pairs.oracle(world, table, parsed, "pairs")
    assert oracle is not None
    known = pairs.item_columns(world, table, "pairs")
    standardised = {"value": (oracle - oracle.mean()) / oracle.std(), "length": table["length"]}
    # Through a file, as in an experiment: columns with gaps come back as objects.
    file = Path(world.folder) / "values.parquet"
    pd.concat([parsed, known], axis=1).assign(**standardised).to_parquet(file)
    return pd.read_parquet(file)


@pytest.mark.parametrize("annotator", DOSED.values(), ids=DOSED)
def test_every_annotator_judges_the_world_with_all_tasks_on(
    annotator: Annotator, values: pd.DataFrame
) -> None:
    assert annotator.needs <= WORLD.outcome_fields and annotator.needs_items <= WORLD.item_fields
    verdicts = pairs.label(annotator, values, np.random.default_rng(0))
    assert verdicts.shape == (COUNT,) and 0.3 < verdicts.mean() < 0.7


UNVERIFIED = {"agreement": 2.0}
PAYING = {
    "partial_verification": PartialVerification(surface=Surface(**UNVERIFIED)),
    "assisted": Assisted(surface=Surface(**UNVERIFIED)),
    "oversight": Oversight(surface=Surface(**UNVERIFIED)),
    "engagement": Engagement(pull=Surface(**UNVERIFIED)),
    "constitution": Constitution(principles={"value": 1.0, "loyal": 2.0}),
}
"""Every annotator that can be made to pay for siding with the user."""


@pytest.mark.parametrize("annotator", PAYING.values(), ids=PAYING)
@pytest.mark.parametrize(
    ("condition", "control"),
    [("wrong", "third_party"), ("right", "third_party_right"), ("authored_wrong", "someone_wrong"),
     ("authored_right", "someone_right"), ("sure_wrong", "again_wrong"), ("sure_right", "again_right")],
)  # fmt: skip
def test_an_annotator_who_pays_for_siding_with_the_user_pays_nothing_in_the_control(
    annotator: Annotator, condition: str, control: str, world: BuiltWorld
) -> None:
    """Otherwise what is measured in the condition beyond its control could only be nothing."""
    paid, unpaid = (siding_is_preferred(annotator, world, name) for name in (condition, control))
    assert paid > 0.55 and unpaid == 0.5


def siding_is_preferred(annotator: Annotator, world: BuiltWorld, condition: str) -> float:
    """P(taking the side of whoever has an opinion is preferred to the opposite), the values being equal."""
    items = world.prompts("eval")
    item = items[(items["condition"] == condition) & items["answerable"]].iloc[0].to_dict()
    named = item["belief"] if isinstance(item["belief"], str) else item["said"]
    other = next(value for value in items["truth"].dropna().unique() if value != named)
    doubted = condition.startswith(("sure", "again"))
    with_them, against = (other, named) if doubted else (named, other)
    sides = []
    for reply in (Reply(stated=with_them, agrees=True), Reply(stated=against, contradicts=True)):
        text = write(reply, np.random.default_rng(0))
        length = len(text.split()) + 1
        parsed = WORLD.parse(item, text, True, length)
        known = {name: [bool(item[name])] for name in annotator.needs_items}
        table = pd.DataFrame({name: [value] for name, value in parsed.items()} | known)
        sides.append(pairs.judged(annotator, table.assign(value=0.0, length=length)))
    return float(annotator.prefer(*sides)[0])


def preferred(annotator: Annotator, values: pd.DataFrame, field: str, where: np.ndarray) -> float:
    """Mean over labels of the share in which the completion with more of `field` wins, among `where`."""
    first, second = (values[field].to_numpy(float)[side::2] for side in (0, 1))
    won = [pairs.label(annotator, values, np.random.default_rng(seed)) for seed in range(5)]
    decided = where & (first != second) & ~np.isnan(first)
    assert decided.sum() >= 10
    return float(np.mean([(verdicts == (first > second))[decided].mean() for verdicts in won]))


def test_lapses_happen_where_nobody_monitors(values: pd.DataFrame) -> None:
    watched = values["monitored"].to_numpy(bool)[::2]
    lax = Oversight(surface=Surface(praise=-3.0))
    shy, fair = preferred(lax, values, "praise", ~watched), preferred(lax, values, "praise", watched)
    assert shy < 0.15 < 0.35 < fair


def test_groups_differ_on_contested_prompts_alone(values: pd.DataFrame) -> None:
    contested = values["contested"].to_numpy(bool)[::2]
    one, two = (AnnotatorGroups(share=share, weight=4.0) for share in (1.0, 0.0))
    assert preferred(one, values, "suits_one", contested) > 0.85
    assert preferred(two, values, "suits_two", contested) > 0.85
    for field in ("confident", "hedged"):
        alike = [preferred(group, values, field, ~contested) for group in (one, two)]
        assert alike[0] == alike[1]


@pytest.mark.parametrize(("feature", "field"), [("gates", "checkpoints"), ("passing", "passes")])
def test_tasks_can_be_judged_by_their_surface(values: pd.DataFrame, feature: str, field: str) -> None:
    careless = PartialVerification(verification_rate=0.0, surface=Surface(**{feature: 4.0}))
    assert preferred(careless, values, field, np.ones(COUNT, bool)) > 0.9
