"""Pairs: what is sampled, who labels it, and that only ids in the labelled order leave the gold side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tiny import build_world, language_model

from reward_models.annotators import BradleyTerry, Oversight, PartialVerification
from reward_models.annotators.surface import Surface
from training.sampling import pairs
from training.worlds.built_world import BuiltWorld

COUNT = 90  # more pairs than the 60 prompts


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> BuiltWorld:
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def reference(world: BuiltWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    language_model(len(world.tokenizer()), seed=0, spread=0.2).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def table(world: BuiltWorld, reference: Path) -> pd.DataFrame:
    return pairs.sample(world, reference, "pairs", range(COUNT), seed=0, batch_size=64)


def test_both_completions_of_a_pair_answer_one_prompt(table: pd.DataFrame, world: BuiltWorld) -> None:
    assert table["pair"].tolist() == np.repeat(np.arange(COUNT), 2).tolist()
    assert (table.groupby("pair")["item_id"].nunique() == 1).all()
    assert (table["ids"].iloc[0::2].to_numpy() != table["ids"].iloc[1::2].to_numpy()).mean() > 0.9
    prompts = world.prompts("pairs").set_index("item_id")["prompt"]
    assert (prompts.loc[table["item_id"]].to_numpy() == table["prompt"].to_numpy()).all()
    assert table["prompt_ids"].tolist() == world.tokenizer()(table["prompt"].tolist())["input_ids"]


def test_prompts_take_turns(table: pd.DataFrame) -> None:
    assert set(table["item_id"].value_counts()) == {2, 4}
    assert table["item_id"].nunique() == 60


def test_a_sample_is_decided_by_its_seed(table: pd.DataFrame, world: BuiltWorld, reference: Path) -> None:
    again = pairs.sample(world, reference, "pairs", range(COUNT), seed=0, batch_size=64)
    pd.testing.assert_frame_equal(again, table)
    other = pairs.sample(world, reference, "pairs", range(COUNT), seed=1, batch_size=64)
    assert (other["ids"] != table["ids"]).mean() > 0.9


def test_ids_are_as_sampled_and_outcomes_those_of_their_row(table: pd.DataFrame, world: BuiltWorld) -> None:
    eos = world.tokenizer().eos_token_id
    assert (table["finished"] == table["ids"].map(lambda ids: ids[-1] == eos)).all()
    assert (table["length"] == table["ids"].map(len)).all()
    parsed = pairs.outcomes(world, table, "pairs")
    assert (parsed["item_id"].to_numpy() == table["item_id"].to_numpy()).all()
    true = pairs.oracle(world, table, parsed, "pairs")
    assert true is not None and true.shape == (2 * COUNT,)
    items = world.prompts("pairs").set_index("item_id", drop=False)
    for row in (0, 7, 2 * COUNT - 1):  # one at a time, through the world itself
        item = items.loc[table["item_id"][row]].to_dict()
        item = {key: None if pd.isna(value) else value for key, value in item.items()}
        arguments = table.loc[row, ["completion", "finished", "length"]]
        outcome = world.world.parse(item, *arguments)
        assert true[row] == world.world.oracle(item, outcome, *arguments[["finished", "length"]])


def test_sequences_and_gold_see_prompt_and_completion_as_sampled(table: pd.DataFrame) -> None:
    joined = pairs.sequences(table)
    assert joined == [[*p, *c] for p, c in zip(table["prompt_ids"], table["ids"], strict=True)]
    seen = pairs.completions(table, None)
    assert seen.sequences() == joined and seen.texts == table["completion"].tolist()


def test_the_preferred_completion_comes_first(table: pd.DataFrame) -> None:
    verdicts = np.random.default_rng(0).random(COUNT) < 0.5
    chosen, rejected = pairs.ordered(table, verdicts)
    ids = pairs.sequences(table)
    for pair, first in enumerate(verdicts):
        wanted = (ids[2 * pair], ids[2 * pair + 1])
        assert (chosen[pair], rejected[pair]) == (wanted if first else wanted[::-1])


def test_labels_of_a_part_are_ordered_within_it(table: pd.DataFrame) -> None:
    """A replicate's share starts in the middle of the pairs."""
    share = table.iloc[40:60].reset_index(drop=True)
    chosen, rejected = pairs.ordered(share, np.ones(10, bool))
    assert chosen == pairs.sequences(table)[40:60:2] and rejected == pairs.sequences(table)[41:60:2]


def values(gold: np.ndarray, **outcome: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"value": gold, "length": np.full(len(gold), 5), **outcome})


def test_labels_come_at_the_annotators_rate() -> None:
    rng = np.random.default_rng(0)
    gold = np.tile([1.0, 0.0], 20_000)
    share = pairs.label(BradleyTerry(temperature=0.5, flip_rate=0.1), values(gold), rng).mean()
    assert share == pytest.approx(0.8 / (1 + np.exp(-2)) + 0.1, abs=0.01)
    assert pairs.label(BradleyTerry(temperature=0.5), values(1 - gold), rng).mean() < 0.5


def test_a_sharp_annotator_labels_by_the_value_of_the_right_row() -> None:
    gold = np.random.default_rng(0).normal(size=400)
    verdicts = pairs.label(BradleyTerry(temperature=1e-4), values(gold), np.random.default_rng(1))
    assert (verdicts == (gold[0::2] > gold[1::2])).all()


def test_labels_are_decided_by_their_stream() -> None:
    table = values(np.zeros(200))
    first, again, other = (pairs.label(BradleyTerry(), table, np.random.default_rng(s)) for s in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def test_an_annotator_gets_the_outcomes_it_judges_by() -> None:
    praise = np.tile([2.0, 0.0], 500)
    annotator = PartialVerification(verification_rate=0, temperature=0.1, surface=Surface(praise=1.0))
    verdicts = pairs.label(annotator, values(np.zeros(1000), praise=praise), np.random.default_rng(0))
    assert verdicts.all()


def test_an_annotator_gets_what_it_judges_of_the_prompt() -> None:
    agrees, monitored = np.tile([0.0, 1.0], 500), np.arange(500).repeat(2) % 2 == 0
    table = values(np.tile([1.0, 0.0], 500), siding=2 * agrees - 1, monitored=monitored)
    verdicts = pairs.label(Oversight(temperature=0.05), table, np.random.default_rng(0))
    assert (verdicts == monitored[::2]).all(), "the better first one is preferred where somebody looks"


def test_columns_of_the_prompt_are_those_that_the_world_records(
    table: pd.DataFrame, world: BuiltWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(world.world), "item_fields", frozenset({"answerable", "of_a_task_that_is_off"}))
    known = pairs.item_columns(world, table, "pairs")
    items = world.prompts("pairs").set_index("item_id")
    assert list(known) == ["answerable"] and known.index.equals(table.index)
    assert known["answerable"].tolist() == items.loc[table["item_id"], "answerable"].tolist()
    monkeypatch.setattr(type(world.world), "item_fields", frozenset())
    assert pairs.item_columns(world, table, "pairs").shape == (len(table), 0)


def test_whole_pairs_are_taken(table: pd.DataFrame) -> None:
    taken = pairs.take(table, np.array([2, 7]))
    assert taken["pair"].tolist() == [2, 2, 7, 7]
    assert taken["ids"].tolist() == table["ids"].iloc[[4, 5, 14, 15]].tolist()


def test_human_preferences_become_pairs_with_the_chosen_first_and_an_end(world: BuiltWorld) -> None:
    items = world.prompts("gold").iloc[:2]
    words = world.demonstrations()["completion"].iloc[:4].tolist()
    human = pd.DataFrame(
        {
            "item_id": items["item_id"],
            "prompt": items["prompt"],
            "chosen": [words[0], words[1]],
            "rejected": [words[2], words[3]],
        }
    )
    table = pairs.from_preferences(world, human)
    assert table["completion"].tolist() == [words[0], words[2], words[1], words[3]]
    assert table["item_id"].tolist() == items["item_id"].repeat(2).tolist()
    eos = world.tokenizer().eos_token_id
    assert table["ids"].tolist() == [
        [*ids, eos] for ids in world.tokenizer()(table["completion"].tolist())["input_ids"]
    ]
    chosen, rejected = pairs.ordered(table, np.ones(2, bool))
    assert chosen[1] == [*table["prompt_ids"][2], *table["ids"][2]]
    assert rejected[0] == [*table["prompt_ids"][1], *table["ids"][1]]
