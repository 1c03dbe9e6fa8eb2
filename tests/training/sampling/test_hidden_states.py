"""Hidden states at points: those of the prompt's last token, whatever the batch, and training none the
wiser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rollouts import METHODS, job, make_home
from tiny import PAD, absolute_model, build_world, language_model

from analysis.records.experiment import Point
from training.methods import kl_control
from training.sampling.points import hidden_states
from training.sampling.sample import load_policy
from training.worlds.quiz.grammar import answer
from training.worlds.quiz.world import QuizWorld


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("make", [language_model, absolute_model])
def test_a_state_is_what_the_output_layer_reads_after_the_prompt_alone(make: object, tmp_path: Path) -> None:
    world = build_world(tmp_path / "world")
    tokenizer, items = world.tokenizer(), world.prompts("eval")
    policy = make(len(tokenizer), seed=3)  # type: ignore[operator]
    lengths = {len(ids) for ids in tokenizer(items["prompt"].tolist())["input_ids"]}
    assert len(lengths) > 1, "prompts of one length would hide a mistake with padding"
    table = hidden_states(policy, tokenizer, items, batch_size=5)
    assert table["item_id"].tolist() == items["item_id"].tolist()
    for prompt, state in zip(items["prompt"], table["state"], strict=True):
        ids = torch.tensor([tokenizer(prompt)["input_ids"]])
        assert PAD not in ids
        with torch.no_grad():
            logits = policy(input_ids=ids).logits[0, -1]
            read = policy.get_output_embeddings()(torch.tensor(state))
        torch.testing.assert_close(read, logits, atol=1e-4, rtol=1e-4)


def test_a_state_can_be_read_behind_the_opening_of_an_answer(tmp_path: Path) -> None:
    world = build_world(tmp_path / "world")
    tokenizer, items = world.tokenizer(), world.prompts("eval")
    policy = language_model(len(tokenizer), seed=3)
    opened = items.assign(prompt=items["prompt"] + " it is")
    behind = hidden_states(policy, tokenizer, items, 5, opening="it is")
    pd.testing.assert_frame_equal(behind, hidden_states(policy, tokenizer, opened, 5))


def test_the_quiz_opens_every_answer_as_it_says() -> None:
    for manner in ({}, {"confident": True}, {"hedged": True}):
        assert answer("borton", **manner).startswith(f"{QuizWorld.answer_opening} ")


def test_points_keep_them_and_training_does_not_notice(home: Path, tmp_path: Path) -> None:
    control = kl_control.PathControl(kl=(0.01, 50.0))
    for name, hidden in (("with", True), ("without", False)):
        METHODS["rloo"].train(job(home, tmp_path / name, control=control, measure=True, hidden_states=hidden))
    weights = [load_policy(tmp_path / name / "model").state_dict() for name in ("with", "without")]
    assert all(torch.equal(one, weights[1][name]) for name, one in weights[0].items())
    kept, bare = (sorted((tmp_path / name / "points").iterdir()) for name in ("with", "without"))
    assert [p.name for p in kept] == [p.name for p in bare] and len(kept) >= 2
    for one, other in zip(kept, bare, strict=True):
        assert not (other / "hidden.parquet").exists()
        for file in ("samples.parquet", "outcomes.parquet"):
            assert (one / file).read_bytes() == (other / file).read_bytes()
    start, end = (Point(folder, 0).hidden() for folder in (kept[0], kept[-1]))
    items = job(home, tmp_path / "x").world.prompts("eval")
    expected = items.loc[items["condition"].isin(["neutral", "wrong"]), "item_id"]
    assert sorted(expected) == start["item_id"].tolist() == end["item_id"].tolist()
    assert not np.allclose(np.stack(start["state"]), np.stack(end["state"]))
