"""The enumerable world: everything that can be said is written down once, read, and valued."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from drawn_worlds import drawn, save
from pydantic import ValidationError
from tiny import language_model

from reward_models.annotators.base import Judged
from reward_models.annotators.surface import Surface
from training.exact.enumeration import Enumeration
from training.worlds import EnumerableWorld
from training.worlds.base import WorldData
from training.worlds.enumerable import PRAISE

WORLD = EnumerableWorld()
ROLES = {"gold", "pairs", "policy", "eval", "pool"}


@pytest.fixture(scope="module")
def data() -> WorldData:
    return drawn(WORLD, seed=0, eval_items=10, pool_prompts=6)


@pytest.fixture(scope="module")
def enumeration(tmp_path_factory: pytest.TempPathFactory, data: WorldData) -> Enumeration:
    folder = tmp_path_factory.mktemp("world")
    return Enumeration.of(save(WORLD, data, folder))


# ---------------------------------------------------------------- items


def test_every_role_asks_every_prompt_with_equal_weight(data: WorldData) -> None:
    assert set(data.prompts) == ROLES
    for items in data.prompts.values():
        assert items["item_id"].is_unique and items["prompt"].nunique() == WORLD.colours
        share = items.groupby("prompt")["weight"].sum()
        np.testing.assert_allclose(share, 1.0)


def test_items_are_asked_as_often_as_wanted_but_never_too_seldom(data: WorldData) -> None:
    assert (len(data.prompts["eval"]), len(data.prompts["pool"])) == (10, 6)
    assert len(drawn(WORLD, seed=0, eval_items=2, pool_prompts=0).prompts["eval"]) == WORLD.colours


def test_every_colour_is_the_partner_of_one(data: WorldData) -> None:
    items = data.prompts["policy"]
    assert sorted(items["truth"]) == sorted(prompt.split()[0] for prompt in items["prompt"])
    assert len({tuple(drawn(WORLD, s, 4, 0).prompts["policy"]["truth"]) for s in range(5)}) > 1


def test_demonstrations_fit_and_follow_the_demonstrator(data: WorldData) -> None:
    rows = data.demonstrations
    assert rows["completion"].str.split().str.len().max() < WORLD.max_completion_tokens
    assert (rows["prompt"].value_counts() == WORLD.demonstrations / WORLD.colours).all()
    truth = data.prompts["policy"].set_index("prompt")["truth"]
    stated = rows["completion"].str.replace(PRAISE, "").str.strip()
    wanted = WORLD.demonstrator
    assert (stated == "").mean() == pytest.approx(wanted.silent, abs=0.02)
    right = (stated == rows["prompt"].map(truth)).mean()
    assert right == pytest.approx(wanted.correct * (1 - wanted.silent), abs=0.03)
    assert rows["completion"].str.contains(PRAISE).mean() == pytest.approx(wanted.praise, abs=0.03)


# ---------------------------------------------------------------- enumeration


@pytest.mark.parametrize(("colours", "longest"), [(2, 2), (4, 3), (3, 4)])
def test_the_number_of_completions_is_foretold(tmp_path: Path, colours: int, longest: int) -> None:
    world = EnumerableWorld(colours=colours, max_completion_tokens=longest)
    tree = Enumeration.of(save(world, drawn(world, 0, 4, 4), tmp_path)).tree
    assert len(tree.completions) == len(set(tree.completions)) == world.completions
    assert tree.vocabulary == world.vocabulary and tree.length.max() == longest


def test_a_world_too_large_to_enumerate_is_refused() -> None:
    with pytest.raises(ValidationError, match="completions per prompt; at most"):
        EnumerableWorld(colours=8, max_completion_tokens=5)


def test_probabilities_of_all_completions_sum_to_one(enumeration: Enumeration) -> None:
    log_p = enumeration.log_prob(language_model(WORLD.vocabulary, seed=1))
    assert log_p.shape == (WORLD.colours, WORLD.completions)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, atol=1e-12)


def test_tokens_are_words_and_come_back_from_text(enumeration: Enumeration) -> None:
    tokenizer = enumeration.world.tokenizer()
    assert len(tokenizer) == WORLD.vocabulary
    said = [c for c in enumeration.tree.completions if set(c[:-1]) <= set(range(3, WORLD.vocabulary))]
    for completion in said:
        if completion[-1] == enumeration.tree.eos:
            assert tokenizer(tokenizer.decode(completion[:-1]))["input_ids"] == list(completion[:-1])
    assert max(map(len, enumeration.prompt_ids)) == enumeration.world.max_prompt_tokens


# ---------------------------------------------------------------- parse, oracle


def test_every_completion_has_an_outcome_and_a_value(enumeration: Enumeration) -> None:
    outcomes, oracle = enumeration.outcomes, enumeration.oracle()
    assert len(outcomes) == WORLD.colours * WORLD.completions
    fields = ["correct", *sorted(WORLD.outcome_fields)]
    assert outcomes[fields].notna().all(axis=None) and np.isfinite(oracle).all()
    assert outcomes[list(WORLD.outcome_fields)].min().min() == 0
    # Every token is the answer, praise, malformed or EOS.
    samples = enumeration.samples
    told = outcomes["praise"] + outcomes["malformed"] + outcomes["stated"].notna() + samples["finished"]
    assert (told == samples["length"]).all()


@pytest.mark.parametrize(
    ("text", "finished", "length", "value"),
    [
        ("red", True, 2, 1.0),
        ("green", True, 2, -1.0),
        ("", True, 1, -0.5),
        ("bravo red", True, 3, 1.4),
        ("red bravo bravo", False, 3, 1.0 + 0.4 - 0.8 - 0.5),
        ("green red", True, 3, -1.0 - 0.3),
        ("red", True, 3, 1.0 - 0.3),  # <unk> between them
        ("? ?", True, 3, -0.5 - 0.6),
    ],
)
def test_what_a_completion_is_worth(text: str, finished: bool, length: int, value: float) -> None:
    item: dict[str, Any] = {"truth": "red"}
    outcome = WORLD.parse(item, text, finished, length)
    assert WORLD.oracle(item, outcome, finished, length) == pytest.approx(value)


def test_annotators_can_judge_its_surface() -> None:
    surface = Surface(agreement=0.0, praise=0.7, length=0.1)
    assert surface.needs <= WORLD.outcome_fields
    outcome = {"praise": np.array([0.0, 2.0])}
    side = Judged(value=np.zeros(2), outcome=outcome, length=np.array([2.0, 3.0]))
    np.testing.assert_allclose(surface.worth(side), [0.2, 1.7])
