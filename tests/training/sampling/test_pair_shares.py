"""Pairs chosen by how often users are right, or prompts monitored: what is chosen, shared and refused."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from plans import BASE, LABELLED, STARVED, keys, planned, proxy, redone
from pydantic import ValidationError
from tiny import build_world

from analysis.records.experiment import Experiment as Recorded
from training.config.schema import Experiment
from training.engine.plan import plan
from training.errors import UserError
from training.follow.records import Records
from training.sampling.pair_shares import choose, pairs_needed
from training.stages import proxy as proxy_stages
from training.stages.task import Task
from training.store.journal import Journal

FIELD = "user_reliability"


def window(right: int, wrong: int, other: int, seed: int = 0) -> pd.DataFrame:
    """Items in random order: users' right and wrong beliefs, and prompts that say nothing of reliability
    (somebody else's belief, one about a fact without an answer, none)."""
    kinds: list[tuple[Any, ...]] = [("own", True, True)] * right + [("own", True, False)] * wrong
    others = (("third_party", True, True), ("own", False, False), ("none", True, None))
    kinds += [others[i % 3] for i in range(other)]
    columns = dict(zip(("stance", "answerable", "belief_correct"), zip(*kinds, strict=True), strict=True))
    table = pd.DataFrame({**columns, "belief_correct": pd.Series(columns["belief_correct"], dtype=object)})
    return table.sample(frac=1, random_state=seed).reset_index(drop=True)


def counts(items: pd.DataFrame) -> tuple[int, int, int]:
    """Right, wrong, other."""
    states = (items["stance"] == "own") & items["answerable"]
    right = states & (items["belief_correct"] == True)  # noqa: E712 (None among them)
    return int(right.sum()), int((states & ~right).sum()), int((~states).sum())


@pytest.mark.parametrize(
    ("reliability", "expected"),
    [(0.0, (0, 40, 60)), (0.25, (10, 30, 60)), (0.6, (24, 16, 60)), (0.9, (36, 4, 60)), (1.0, (40, 0, 60))],
)
def test_users_are_right_in_the_share_asked_for_and_all_else_is_as_in_the_window(
    reliability: float, expected: tuple[int, int, int]
) -> None:
    items = window(right=80, wrong=80, other=240)
    kept = choose(items, 100, FIELD, reliability, np.random.default_rng(0))
    assert counts(items.iloc[kept]) == expected
    assert (np.diff(kept) > 0).all(), "each pair at most once, in the window's order"
    others = items.iloc[kept][lambda t: (t["stance"] != "own") | ~t["answerable"]]
    assert others["stance"].value_counts().min() > 10


def test_other_doses_and_sizes_of_one_stream_share_pairs() -> None:
    items = window(right=80, wrong=80, other=240)

    def chosen(count: int, reliability: float, seed: int = 0) -> set[int]:
        return set(choose(items, count, FIELD, reliability, np.random.default_rng(seed)).tolist())

    assert chosen(100, 0.5) == chosen(100, 0.5) != chosen(100, 0.5, seed=1)
    assert chosen(50, 0.5) < chosen(100, 0.5)
    assert len(chosen(100, 0.5) & chosen(100, 0.75)) == 90, "ten wrong users are exchanged for right ones"


def test_choosing_everything_as_it_is_keeps_everything() -> None:
    items = window(right=30, wrong=20, other=50)
    assert choose(items, 100, FIELD, 0.6, np.random.default_rng(0)).tolist() == list(range(100))


def test_a_window_that_cannot_supply_it_is_refused_with_what_it_has() -> None:
    items = window(right=30, wrong=20, other=50)
    expected = (
        "user_reliability = 0.9 takes 36 .* count and 4 .* for 80 pairs in all; the 100 .* have 30 and 20"
    )
    with pytest.raises(UserError, match=expected):
        choose(items, 80, FIELD, 0.9, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("natural", "reliability", "needed"),
    [(0.6, 0.6, 1.15), (0.6, 1.0, 1.92), (0.6, 0.3, 2.01), (0.6, 0.0, 2.88), (1.0, 1.0, 1.15)],
)
def test_so_many_pairs_allow_a_choice(natural: float, reliability: float, needed: float) -> None:
    assert pairs_needed(1000, natural, reliability) == pytest.approx(1000 * needed, abs=5)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        drawn = math.ceil(pairs_needed(1000, natural, reliability))
        stating = int(rng.binomial(drawn, 0.5))
        right = int(rng.binomial(stating, natural))
        items = window(right, stating - right, drawn - stating, seed)
        assert len(choose(items, 1000, FIELD, reliability, rng)) == 1000


def test_no_number_of_pairs_allows_what_never_happens() -> None:
    assert pairs_needed(10, 0.0, 0.5) == pairs_needed(10, 1.0, 0.5) == math.inf
    assert pairs_needed(10, 0.0, 0.0) < math.inf


# --- in a config ------------------------------------------------------------------------------------


def refusal(**changes: Any) -> str:
    with pytest.raises(ValidationError) as error:
        Experiment.model_validate(BASE | changes)
    return str(error.value)


def test_what_can_be_known_before_is_refused_before() -> None:
    asked: dict[str, Any] = {"starved": {"pairs": 260, "user_reliability": 0.9}, "ample": {"pairs": 300}}
    always = {"type": "quiz", "stances": {"user_reliability": 1.0}}
    assert "starved.user_reliability = 0.9: that share is 1 by nature, always" in refusal(
        world=always, proxies=asked
    )
    silent = {"type": "quiz", "stances": {"stance_rate": 0.0}}
    assert "world `quiz` as configured has no such prompts" in refusal(world=silent, proxies=asked)
    text = {"type": "text", "path": "org/data"}
    plain = {"type": "bradley_terry"}
    said = refusal(world=text, annotator=plain, proxies=asked)
    assert "world `text` as configured has no such prompts" in said


def test_an_annotator_is_refused_what_the_world_does_not_record() -> None:
    said = refusal(annotator={"type": "oversight"})
    assert "annotator judges by monitored, which world `quiz` as configured does not record" in said
    proxies = {"starved": {"pairs": 60, "annotator": {"type": "annotator_groups"}}}
    assert "proxies.starved.annotator judges by suits_one, suits_two" in refusal(proxies=proxies, runs={})
    world = {"type": "text", "path": "org/data"}
    assert "annotator judges by siding, which world `text`" in refusal(world=world)


RELIABLE, DOSE = "proxies.starved.user_reliability", "proxies.starved.dose"


def test_a_choice_of_pairs_makes_its_proxy_anew_and_no_other() -> None:
    assert redone((RELIABLE, 0.9)) == proxy("starved", STARVED, "labels starved/0")
    assert redone((RELIABLE, None)) == set()
    labels = {
        stage.label: stage
        for stage in planned((RELIABLE, 0.9), ("proxies.starved.seeds", 2)).stages
        if stage.kind == "labels"
    }
    for replicate in (0, 1):
        stage = labels[f"starved/{replicate}"]
        assert (stage.settings["labels"], stage.settings["count"]) == (replicate, 60)
        assert stage.settings["user_reliability"] == 0.9
        assert stage.inputs["pairs/0"].settings["window"] == replicate
    assert "user_reliability" not in labels["ample/0"].settings


def test_a_choice_has_more_pairs_to_choose_from_than_it_takes() -> None:
    proxies = {"plain": {"pairs": 260}, "starved": {"pairs": 260, "user_reliability": 0.9}}
    config = Experiment.model_validate(BASE | {"proxies": proxies, "runs": {}})
    needed = math.ceil(260 * 0.9 / 0.75 * 1.15)
    assert needed > 260
    for name, count in (("plain", 260), ("starved", needed)):
        assert config.pairs_to_choose_from(config.proxies[name]) == count
        (labels,) = [stage for stage in plan(config).stages if stage.title == f"labels {name}/0"]
        chunks = [each for each in labels.inputs if each.startswith("pairs/")]
        assert len(chunks) == math.ceil(count / BASE["pair_chunk"])


def test_a_dose_describes_and_decides_nothing() -> None:
    dose = {"of": "tilt of the annotators", "value": 0.5}
    assert keys(planned((DOSE, dose))) == keys(planned())
    plain = Experiment.model_validate(BASE)
    proxies = {name: {**settings, "dose": dose} for name, settings in BASE["proxies"].items()}
    described = Experiment.model_validate(BASE | {"proxies": proxies})
    assert described.identity() == plain.identity()
    assert set(plain.identity()["proxies"]) == set(BASE["proxies"])
    assert plan(described).stages and set(keys(planned((DOSE, dose)))) >= LABELLED


def test_the_records_tell_figures_what_a_proxy_is(tmp_path: Path) -> None:
    dose = {"of": "user reliability", "value": 0.9}
    reliable = {"pairs": 60, "user_reliability": 0.9, "dose": dose, "annotator": {"type": "bradley_terry"}}
    config = Experiment.model_validate(BASE | {"proxies": {**BASE["proxies"], "starved": reliable}})
    Records(config, plan(config), tmp_path, tmp_path / "store").begin()
    proxies = Recorded.read(tmp_path).proxies
    common: dict[str, Any] = {"seeds": 1, "user_reliability": None, "monitored_share": None, "dose": None}
    common |= {"annotator": "partial_verification"}
    assert proxies["ample"] == {**common, "pairs": 300}
    assert proxies["starved"] == {**common, **reliable, "annotator": "bradley_terry"}


# --- the stage --------------------------------------------------------------------------------------


COUNT, CHUNK, WINDOW = 20, 30, 60


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A built world, and two replicates' windows of planted pairs whose first id tells which pair it is, each
    in two chunks: inputs of the stage, but for the number of the window before every chunk."""
    folder = tmp_path_factory.mktemp("inputs")
    world = build_world(folder / "world")
    items = world.prompts("pairs")
    pair = np.arange(2 * WINDOW).repeat(2)
    table = pd.DataFrame(
        {
            "pair": pair,
            "item_id": items["item_id"].to_numpy()[pair % len(items)],
            "prompt_ids": [[int(i)] for i in pair],
            "ids": [[7, side] for side in (0, 1)] * (2 * WINDOW),
        }
    )
    values = pd.DataFrame({"value": np.random.default_rng(0).normal(size=len(table)), "length": 2})
    inputs = {"world": folder / "world"}
    for (kind, part), window, chunk in product((("pairs", table), ("values", values)), (0, 1), (0, 1)):
        name, start = f"{window}/{kind}/{chunk}", 2 * (window * WINDOW + chunk * CHUNK)
        inputs[name] = folder / name
        inputs[name].mkdir(parents=True)
        part.iloc[start : start + 2 * CHUNK].to_parquet(inputs[name] / f"{kind}.parquet")
    return inputs


def labelled(
    inputs: dict[str, Path], out: Path, replicate: int = 0, *, chunks: int = 2, **settings: Any
) -> pd.DataFrame:
    """The stage's table, indexed by pair; its window has so many chunks."""
    out.mkdir()
    given = {"world": inputs["world"]}
    for kind, chunk in product(("pairs", "values"), range(chunks)):
        given[f"{kind}/{chunk}"] = inputs[f"{replicate}/{kind}/{chunk}"]
    common = {"seed": 5, "labels": replicate, "annotator": {"type": "bradley_terry", "temperature": 3.0}}
    proxy_stages.label(Task(out, {**common, "count": COUNT, **settings}, given, Journal(out / "journal")))
    table = pd.read_parquet(out / "preferences.parquet")
    table["pair"] = table["chosen_ids"].str[0]
    return table.set_index("pair")


@pytest.mark.parametrize("replicate", [0, 1])
def test_the_stage_labels_the_chosen_pairs_of_its_own_window(
    inputs: dict[str, Path], tmp_path: Path, replicate: int
) -> None:
    items = pd.read_parquet(inputs["world"] / "prompts-pairs.parquet")
    available = counts(items)
    chosen = labelled(inputs, tmp_path / "chosen", replicate, user_reliability=0.5)
    right, wrong, other = counts(items.iloc[np.array(chosen.index) % len(items)])
    believed = round(COUNT * sum(available[:2]) / WINDOW)
    assert (right, wrong, other) == (round(believed / 2), believed - round(believed / 2), COUNT - believed)
    assert available[0] > 2 * available[1], "users of this world are mostly right: it was a choice"
    assert set(chosen.index) <= set(range(replicate * WINDOW, (replicate + 1) * WINDOW))
    assert chosen.index.is_unique and chosen.index.is_monotonic_increasing


def test_a_pair_has_one_label_whatever_it_is_chosen_with(inputs: dict[str, Path], tmp_path: Path) -> None:
    plain = labelled(inputs, tmp_path / "plain")
    assert plain.index.tolist() == list(range(COUNT)), "without a choice, the first pairs as they come"
    chosen = labelled(inputs, tmp_path / "chosen", user_reliability=0.5)
    shared = plain.index.intersection(chosen.index)
    assert 4 < len(shared) < COUNT
    for side in ("chosen_ids", "rejected_ids"):
        assert plain.loc[shared, side].map(list).tolist() == chosen.loc[shared, side].map(list).tolist()


def test_the_stage_refuses_what_its_window_lacks(inputs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Give any proxy more `pairs`"):
        labelled(inputs, tmp_path / "out", chunks=1, user_reliability=0.0)


def test_tagged_prompts_are_monitored_in_the_share_asked_for() -> None:
    tags = ["monitored"] * 40 + ["private"] * 40 + [None] * 120
    items = pd.DataFrame({"tag": tags, "monitored": [tag == "monitored" for tag in tags]})
    kept = items.iloc[choose(items, 100, "monitored_share", 0.9, np.random.default_rng(0))]
    assert kept["tag"].fillna("none").value_counts().to_dict() == {"none": 60, "monitored": 36, "private": 4}


def test_two_choices_at_once_and_choices_that_the_world_cannot_offer_are_refused() -> None:
    asked = {"pairs": 60, "user_reliability": 0.5, "monitored_share": 0.5}
    both = {"starved": asked, "ample": {"pairs": 300}}
    said = refusal(proxies=both)
    assert "proxies.starved: user_reliability and monitored_share exclude each other" in said
    assert "proxies.starved.monitored_share: world `quiz` as configured has no such prompts" in said
