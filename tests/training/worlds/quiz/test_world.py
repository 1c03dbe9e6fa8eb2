"""The quiz world as a whole: splits, matched conditions and weights, demonstrations, tokenizer, outcomes."""

from __future__ import annotations

import subprocess
import sys
from itertools import repeat

import numpy as np
import pandas as pd
import pytest
from drawn_worlds import drawn
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from training.worlds.base import WorldData
from training.worlds.quiz import QuizWorld
from training.worlds.quiz.facts import Facts
from training.worlds.quiz.prompts import ROLES, Author
from training.worlds.quiz.stances import Stances
from training.worlds.quiz.wording import WORDINGS

STANCES = Stances(stance_rate=0.5, third_party_rate=0.2, user_reliability=0.7, third_party_reliability=0.4)
FACTS = Facts(entities=60, relations=3, values=12)
WORLD = QuizWorld(
    facts=FACTS,
    stances=STANCES,
    counts={"demonstrations": 8_000, "gold": 4_000, "pairs": 3_000, "policy": 3_000},
)


@pytest.fixture(scope="module")
def data() -> WorldData:
    return drawn(WORLD, seed=3, eval_items=120, pool_prompts=2_000)


def splits(data: WorldData) -> dict[str, pd.DataFrame]:
    return {"sft": data.demonstrations, **data.prompts}


# --- splits -----------------------------------------------------------------------------------------


def test_no_prompt_is_in_two_splits(data: WorldData) -> None:
    parts = splits(data)
    assert set(parts) == set(ROLES)
    everything = pd.concat([part.assign(role=role) for role, part in parts.items()])
    assert (everything.groupby("prompt")["role"].nunique() == 1).all()
    assert everything["item_id"].is_unique


def test_wordings_differ_and_every_role_has_several_for_every_fact(data: WorldData) -> None:
    questions = {wording.format(relation="r", entity="e") for wording in WORDINGS}
    assert len(questions) == len(WORDINGS)
    author = Author(WORLD.facts.draw(np.random.default_rng(0)), STANCES, seed=0)
    shares = np.concatenate([author._wordings(role) for role in ROLES], axis=1)
    assert shares.shape[1] >= 4 * len(ROLES)
    assert (np.diff(np.sort(shares, axis=1), axis=1) > 0).all()


def test_every_split_asks_about_every_fact(data: WorldData) -> None:
    for role in ("gold", "pairs", "policy", "pool"):
        asked = data.prompts[role][["entity", "relation"]].drop_duplicates()
        assert len(asked) == WORLD.facts.count


def test_the_same_seed_builds_the_same_world_and_another_does_not() -> None:
    small = QuizWorld(counts={"demonstrations": 500, "gold": 50, "pairs": 50, "policy": 50})
    one, same, other = (drawn(small, seed, 20, 30) for seed in (1, 1, 2))
    for role, part in splits(one).items():
        pd.testing.assert_frame_equal(part, splits(same)[role])
        assert not part["prompt"].equals(splits(other)[role]["prompt"])
    assert one.tokenizer.get_vocab() == other.tokenizer.get_vocab()


# --- the natural distribution -------------------------------------------------------------------------


def test_beliefs_are_as_reliable_as_configured(data: WorldData) -> None:
    items = pd.concat([data.prompts[role] for role in ("gold", "pairs", "policy", "pool")])
    shares = items["stance"].value_counts(normalize=True)
    assert shares["own"] == pytest.approx(0.5, abs=0.02)
    assert shares["third_party"] == pytest.approx(0.2, abs=0.02)
    answerable = items[items["answerable"]]
    reliability = answerable.dropna(subset=["belief"]).groupby("stance")["belief_correct"].mean()
    assert reliability["own"] == pytest.approx(0.7, abs=0.02)
    assert reliability["third_party"] == pytest.approx(0.4, abs=0.03)


def test_columns_agree_with_each_other_and_with_the_prompt(data: WorldData) -> None:
    items = pd.concat(data.prompts.values())
    assert (items["truth"].isna() == ~items["answerable"]).all()
    believed = items["stance"] != "none"
    assert (items["belief"].notna() == believed).all() and (items["belief_correct"].notna() == believed).all()
    assert (items["strength"].notna() == (items["stance"] == "own")).all()
    correct = items["belief_correct"][believed].astype(bool)
    assert (correct == (items["belief"] == items["truth"])[believed]).all()
    for row in items.itertuples(index=False):
        said = set(row.prompt.split())
        assert {row.entity, row.relation} <= said
        assert row.belief is None or row.belief in said


# --- matched conditions -------------------------------------------------------------------------------


def test_conditions_of_a_cluster_differ_in_the_belief_alone(data: WorldData) -> None:
    items = data.prompts["eval"]
    assert items["cluster"].nunique() == 120
    for _, cluster in items.groupby("cluster"):
        by = cluster.set_index("condition")
        assert (by[["entity", "relation", "exposure"]].nunique() == 1).all()
        assert all(prompt.startswith(by.loc["neutral", "prompt"]) for prompt in by["prompt"])
        assert by.loc["wrong", "belief"] == by.loc["third_party", "belief"] != by.loc["wrong", "truth"]
        expected = {"neutral", "wrong", "third_party"}
        if by["answerable"].all():
            expected |= {"right", "third_party_right"}
            truths = {by.loc["right", "truth"], *by.loc[["right", "third_party_right"], "belief"]}
            assert len(truths) == 1
            assert by.loc["right", "strength"] == by.loc["wrong", "strength"]
        assert set(by.index) == expected
        assert by["weight"].sum() == pytest.approx(1.0)


def test_base_items_of_one_fact_are_worded_differently() -> None:
    """So that they are no copies: 400 base items about 180 facts are 400 neutral prompts."""
    author = Author(FACTS.draw(np.random.default_rng(0)), STANCES, seed=0)
    asked, columns = author.matched(400, np.random.default_rng(0))
    neutral = pd.Series(author.texts(asked))[columns["condition"] == "neutral"]
    assert len(neutral) == 400 and neutral.is_unique


def features(items: pd.DataFrame) -> pd.DataFrame:
    wrong = items["belief_correct"].eq(False)
    return pd.DataFrame(
        {
            "neutral": items["stance"] == "none",
            "third_party": items["stance"] == "third_party",
            "own_wrong": (items["stance"] == "own") & wrong,
            "third_party_right": (items["stance"] == "third_party") & items["belief_correct"].eq(True),
            "unanswerable": ~items["answerable"],
            "unanswerable_and_wrong": ~items["answerable"] & wrong,
            "known_and_wrong": (items["exposure"] == "known") & wrong,
            "strong": items["strength"] == "strong",
        }
    ).astype(float)


def weighted_means(items: pd.DataFrame) -> pd.Series:
    return features(items).mul(items["weight"], axis=0).sum() / items["weight"].sum()


def test_weighted_evaluation_means_are_those_of_the_prompt_distribution() -> None:
    """With one cluster per fact, what depends on the fact and the condition alone is exact up to the draw."""
    data = drawn(QuizWorld(facts=FACTS, stances=STANCES, counts={"gold": 60_000}), 0, WORLD.facts.count, 10)
    natural = features(data.prompts["gold"]).mean()
    evaluated = weighted_means(data.prompts["eval"])
    exact = natural.index.drop("strong")
    np.testing.assert_allclose(evaluated[exact], natural[exact], atol=0.008)
    assert evaluated["strong"] == pytest.approx(natural["strong"], abs=0.06)


@pytest.mark.parametrize("clusters", [37, 400])
def test_weighted_means_are_unbiased_for_any_number_of_items(clusters: int) -> None:
    author = Author(WORLD.facts.draw(np.random.default_rng(0)), STANCES, seed=0)
    natural = features(author.items(author.natural("gold", 60_000, np.random.default_rng(1)))).mean()
    draws = []
    for seed in range(20):
        asked, columns = author.matched(clusters, np.random.default_rng(seed))
        draws.append(weighted_means(pd.concat([columns, author.items(asked)], axis=1)))
    np.testing.assert_allclose(pd.concat(draws, axis=1).mean(axis=1), natural, atol=0.02)


def test_a_world_without_beliefs_still_measures_the_matched_conditions() -> None:
    quiet = QuizWorld(stances={"stance_rate": 0, "third_party_rate": 0})
    items = drawn(quiet, 0, 30, 5).prompts["eval"]
    assert set(items["condition"]) == {"neutral", "wrong", "right", "third_party"}
    assert items.groupby("condition")["weight"].sum().drop("neutral").eq(0).all()


# --- demonstrations -----------------------------------------------------------------------------------


def test_appearances_in_sft_follow_exposure(data: WorldData) -> None:
    """Counted in the prompts themselves."""
    names = WORLD.facts.lexicon
    entities, relations = set(names.entities), set(names.relations)
    asked = data.demonstrations["prompt"].map(
        lambda prompt: tuple(sorted(word for word in prompt.split() if word in entities | relations))
    )
    facts = data.prompts["pool"][["entity", "relation", "exposure"]].drop_duplicates()
    fact = pd.Series([tuple(sorted(row)) for row in facts[["entity", "relation"]].to_numpy()])
    number = fact.map(asked.value_counts()).fillna(0).groupby(facts["exposure"].to_numpy())
    assert number.get_group("unseen").eq(0).all()
    assert number.get_group("rare").between(1, 2).all()
    assert np.ptp(number.get_group("known")) <= 1


def test_demonstrations_are_well_formed(data: WorldData) -> None:
    item = {"truth": None, "answerable": False, "stance": "none", "belief": None}
    completions = data.demonstrations["completion"]
    lengths = completions.str.split().str.len() + 1
    outcomes = pd.DataFrame(list(map(WORLD.parse, repeat(item), completions, repeat(True), lengths)))
    assert (outcomes["malformed"] == 0).all()
    assert (outcomes["stated"].notna() ^ outcomes["abstains"]).all()
    assert lengths.max() <= data.max_completion_tokens and 4 <= lengths.mean() <= 10


# --- tokenizer ----------------------------------------------------------------------------------------


def test_special_tokens(data: WorldData) -> None:
    tokenizer = data.tokenizer
    assert (tokenizer.pad_token_id, tokenizer.padding_side) == (0, "left")
    assert tokenizer.pad_token != tokenizer.eos_token
    assert len(tokenizer) < 300


def test_every_text_is_known_words_one_token_each(data: WorldData) -> None:
    tokenizer = data.tokenizer
    parts = splits(data)
    prompts = pd.concat([part["prompt"] for part in parts.values()]).unique().tolist()
    texts = prompts + data.demonstrations["completion"].unique().tolist()
    ids = tokenizer(texts)["input_ids"]
    assert max(map(len, ids[: len(prompts)])) <= data.max_prompt_tokens
    for text, sequence in zip(texts, ids, strict=True):
        assert len(sequence) == len(text.split())
        assert tokenizer.unk_token_id not in sequence and tokenizer.eos_token_id not in sequence


@given(fractions=st.lists(st.floats(0, 1, exclude_max=True), max_size=30))
def test_decoding_then_encoding_changes_nothing(data: WorldData, fractions: list[float]) -> None:
    special = len(data.tokenizer.all_special_ids)
    ids = [special + int(f * (len(data.tokenizer) - special)) for f in fractions]
    assert data.tokenizer(data.tokenizer.decode(ids))["input_ids"] == ids


# --- outcomes -----------------------------------------------------------------------------------------


def test_outcomes_of_facts_without_truth_and_prompts_without_belief_have_gaps() -> None:
    truth, belief = WORLD.facts.lexicon.values[0][:2]
    item = {"truth": truth, "answerable": True, "stance": "own", "belief": belief}
    told = WORLD.parse(item, f"it is {belief} .", True, 5)
    assert (told["stated"], told["correct"], told["follows"]) == (belief, False, True)
    silent = WORLD.parse(item, "yes", True, 2)
    assert (silent["correct"], silent["follows"], silent["agrees"]) == (False, False, True)
    assert WORLD.parse({**item, "stance": "none", "belief": None}, "yes", True, 2)["follows"] is None
    assert WORLD.parse({**item, "answerable": False, "truth": None}, "yes", True, 2)["correct"] is None


def test_special_tokens_that_the_text_hides_are_malformed() -> None:
    item = {"truth": None, "answerable": False, "stance": "none", "belief": None}
    assert WORLD.parse(item, "i do not know .", True, 6)["malformed"] == 0
    assert WORLD.parse(item, "i do not know .", False, 8)["malformed"] == 3


@given(completion=st.text(), finished=st.booleans(), length=st.integers(0, 50))
def test_outcomes_are_total(completion: str, finished: bool, length: int) -> None:
    item = {"truth": "borton", "answerable": True, "stance": "own", "belief": "kelton"}
    outcome = WORLD.parse(item, completion, finished, length)
    fields = {"stated", "correct", *WORLD.outcome_fields}
    assert set(outcome) == fields


# --- settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"stances": {"stance_rate": 0.9, "third_party_rate": 0.2}},
        {"demonstrator": {"correct": 0.9, "abstain": 0.2}},
        {"counts": {"demonstrations": 40}},
        {"max_completion_tokens": 9},
    ],
)
def test_worlds_that_cannot_be_built_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        QuizWorld.model_validate(settings)


def test_a_tiny_completion_budget_still_fits_every_demonstration() -> None:
    tight = QuizWorld.model_validate({"max_completion_tokens": 10, "counts": {"demonstrations": 2_000}})
    data = drawn(tight, 0, 4, 4)
    assert data.demonstrations["completion"].str.split().str.len().max() + 1 <= 10


def test_reading_the_settings_loads_no_heavy_library() -> None:
    code = (
        "import sys; from training.worlds.quiz import QuizWorld; QuizWorld(); "
        "assert not {'torch', 'transformers', 'tokenizers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
