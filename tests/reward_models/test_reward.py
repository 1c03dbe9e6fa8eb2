"""The scoring contract, the traps around it, and reward models that learn what their labels say."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import EOS, PAD, language_model, plant_code, save_reward_model, tokenizer

from reward_models import bradley_terry
from reward_models.backbone import Pretrained as Backbone
from reward_models.bradley_terry import Fit
from reward_models.errors import Diverged, UserError
from reward_models.gold import Pretrained, Trained
from reward_models.gold.base import Completions
from reward_models.reward import RewardModel, check_is_reward_model, write_scale

WORDS = tokenizer(["a", "b", "c", "d", "good", "bad"])
A, B, GOOD, BAD = (WORDS.get_vocab()[word] for word in ("a", "b", "good", "bad"))
SIZE = len(WORDS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> RewardModel:
    return RewardModel.load(save_reward_model(tmp_path_factory.mktemp("rm") / "model", SIZE, seed=1))


def random_sequences(count: int) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [rng.integers(2, SIZE, size=rng.integers(1, 20)).tolist() + [EOS] for _ in range(count)]


# --- scoring ----------------------------------------------------------------------------------------


def test_the_end_of_a_completion_is_seen(model: RewardModel) -> None:
    bare = [[A, B, GOOD], [B], [A] * 9]
    ended = [[*ids, EOS] for ids in bare]
    assert (np.abs(model.score(bare) - model.score(ended)) > 0.01).all()


def test_a_score_is_the_heads_reading_of_the_last_token(model: RewardModel) -> None:
    """By hand, without padding: the hidden state under EOS through the linear head."""
    ids = [A, GOOD, B, EOS]
    with torch.inference_mode():
        hidden = model.network.model(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]
        expected = (model.network.score.weight[0] @ hidden).item()
    assert model.score([ids])[0] == pytest.approx(expected, abs=1e-5)


def test_equal_sequences_tie_exactly_and_are_scored_once(model: RewardModel, monkeypatch: Any) -> None:
    sequences = [ids for ids in random_sequences(9) for _ in range(3)]
    seen: list[Sequence[int]] = []
    batch = model._score_batch

    def watched(rows: Sequence[Sequence[int]]) -> Any:
        seen.extend(rows)
        return batch(rows)

    monkeypatch.setattr(model, "_score_batch", watched)
    rewards = model.score(sequences, batch_size=4).reshape(9, 3)
    assert (rewards == rewards[:, :1]).all() and len(np.unique(rewards[:, 0])) == 9
    assert sorted(seen) == sorted({tuple(ids) for ids in sequences})


def test_neither_batch_nor_order_nor_padding_changes_a_score(model: RewardModel) -> None:
    sequences = random_sequences(50)
    alone = np.concatenate([model.score([ids]) for ids in sequences])
    assert alone.std() > 0.1
    for batch_size in (1, 7, 50, 1024):
        np.testing.assert_allclose(model.score(sequences, batch_size), alone, atol=1e-5)
    np.testing.assert_allclose(model.score(sequences[::-1], 7)[::-1], alone, atol=1e-5)


def test_scoring_leaves_the_network_and_the_random_state_alone(model: RewardModel) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = model.score(random_sequences(5))
    assert not model.network.training
    assert not any(weight.requires_grad for weight in model.network.parameters())
    assert torch.equal(torch.get_rng_state(), before)
    assert (model.score(random_sequences(5)) == first).all()


def test_nothing_to_score_is_no_scores(model: RewardModel) -> None:
    assert model.score([]).shape == (0,)


def test_rewards_are_standardised_by_the_scale_beside_the_model(tmp_path: Path) -> None:
    folder = save_reward_model(tmp_path / "model", SIZE, seed=1)
    sequences = random_sequences(40)
    raw = RewardModel.load(folder).score(sequences)
    assert (RewardModel.load(folder).standardised(sequences) == raw).all(), "without a scale: as they are"
    write_scale(folder, raw)
    standardised = RewardModel.load(folder).standardised(sequences)
    assert standardised.mean() == pytest.approx(0, abs=1e-6)
    assert standardised.std() == pytest.approx(1, abs=1e-6)
    assert (RewardModel.load(folder).score(sequences) == raw).all()


# --- what is not a reward model ---------------------------------------------------------------------


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        RewardModel.load(folder)
    return str(error.value)


def test_a_language_model_is_refused(tmp_path: Path) -> None:
    language_model(SIZE, seed=0).save_pretrained(tmp_path)
    message = refusal(tmp_path)
    assert str(tmp_path) in message and "LlamaForCausalLM, not a reward model" in message


def test_a_head_that_was_never_trained_is_refused(tmp_path: Path) -> None:
    save_reward_model(tmp_path, SIZE, seed=0)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({k: v for k, v in weights.items() if k != "score.weight"}, tmp_path / "model.safetensors",
              {"format": "pt"})  # fmt: skip
    assert "lacks trained weights for score.weight" in refusal(tmp_path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    save_reward_model(tmp_path, SIZE, seed=0)
    weights = load_file(tmp_path / "model.safetensors")
    weights["model.embed_tokens.weight"][GOOD] = float("nan")  # of one word, which no sample may say
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    assert "not finite numbers (model.embed_tokens.weight)" in refusal(tmp_path)


@pytest.mark.parametrize("planted", [np.nan, np.inf])
def test_a_scale_is_refused_that_could_standardise_nothing(tmp_path: Path, planted: float) -> None:
    for rewards in (np.array([1.0, planted]), np.full(9, 2.0)):
        with pytest.raises(Diverged):
            write_scale(tmp_path / "model", rewards)
    assert not (tmp_path / "scale.json").exists()


def test_code_that_comes_with_a_model_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word of ours transformers would ask whether to run it, and take a piped "y" for a yes."""
    ran = plant_code(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 9))
    tokenizer = WORDS
    for read in (
        lambda: RewardModel.load(tmp_path),
        lambda: Pretrained(path=str(tmp_path)).check(),
        lambda: Backbone(path=str(tmp_path)).build(tokenizer, 8, 0),
    ):
        with pytest.raises(UserError, match="code that comes with a model is never run"):
            read()
    assert not ran.exists()


def test_padding_with_eos_is_refused(tmp_path: Path) -> None:
    assert "no pad token of its own" in refusal(save_reward_model(tmp_path / "same", SIZE, 0, pad=EOS))
    assert "no pad token of its own" in refusal(save_reward_model(tmp_path / "none", SIZE, 0, pad=None))


def test_one_of_several_ends_used_as_padding_is_refused(tmp_path: Path) -> None:
    save_reward_model(tmp_path, SIZE, 0)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | {"eos_token_id": [EOS, PAD]}))
    assert "no pad token of its own" in refusal(tmp_path)


def test_a_classifier_of_two_classes_is_refused(tmp_path: Path) -> None:
    assert "has 2 labels" in refusal(save_reward_model(tmp_path, SIZE, 0, labels=2))


@pytest.mark.parametrize("content", [None, "{", "{}", '{"model_type": "made_up"}'])
def test_a_folder_without_a_readable_model_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    assert "no model can be read" in refusal(tmp_path)
    with pytest.raises(UserError, match="no model can be read"):
        check_is_reward_model(tmp_path / "nowhere")


def test_gold_that_comes_trained_is_looked_at_before_anything_runs(tmp_path: Path) -> None:
    language_model(SIZE, seed=0).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()  # the configuration is enough
    with pytest.raises(UserError, match="not a reward model"):
        Pretrained(path=str(tmp_path)).check()


# --- training ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("backbone")
    language_model(SIZE, seed=3, spread=0.1).save_pretrained(folder)
    WORDS.save_pretrained(folder)
    return folder


def completions(marked: int | None, end: bool, count: int, seed: int) -> list[list[int]]:
    """Random words, `marked` among them where given."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        words = rng.integers(A, GOOD, size=rng.integers(2, 7)).tolist()
        if marked is not None:
            words.insert(int(rng.integers(len(words) + 1)), marked)
        rows.append([*words, *([EOS] if end else [])])
    return rows


def train(
    out: Path,
    backbone: Path,
    chosen: list[list[int]],
    rejected: list[list[int]],
    seed: int = 0,
    **trainer: Any,
) -> RewardModel:
    reports: list[tuple[int, int]] = []

    def report(step: int, total: int, metrics: Mapping[str, float]) -> None:
        reports.append((step, total))

    fit = Fit(epochs=4, batch_size=32, learning_rate=5e-3, trainer=trainer)
    bradley_terry.train(
        out, backbone=backbone, chosen=chosen, rejected=rejected, fit=fit, seed=seed, report=report
    )
    assert [step for step, _ in reports][: reports[0][1]] == list(range(1, reports[0][1] + 1))
    return RewardModel.load(out / "model")


def accuracy(model: RewardModel, chosen: list[list[int]], rejected: list[list[int]]) -> float:
    return float((model.score(chosen) > model.score(rejected)).mean())


def test_a_planted_preference_is_learnt(tmp_path: Path, backbone: Path) -> None:
    model = train(tmp_path, backbone, completions(GOOD, True, 256, 1), completions(BAD, True, 256, 2))
    assert accuracy(model, completions(GOOD, True, 100, 3), completions(BAD, True, 100, 4)) > 0.95


def test_a_preference_for_finished_completions_is_learnt(tmp_path: Path, backbone: Path) -> None:
    """The two sides differ in nothing but EOS: it survives training and scoring, or this is a coin toss."""
    chosen, rejected = completions(None, True, 256, 1), completions(None, False, 256, 1)
    model = train(tmp_path, backbone, chosen, rejected)
    assert accuracy(model, completions(None, True, 100, 3), completions(None, False, 100, 3)) > 0.95


def test_training_is_decided_by_its_seed_alone(tmp_path: Path, backbone: Path) -> None:
    chosen, rejected = completions(GOOD, True, 64, 1), completions(BAD, True, 64, 2)
    torch.manual_seed(1)
    first = train(tmp_path / "a", backbone, chosen, rejected)
    torch.manual_seed(2)
    again, other = (
        train(tmp_path / "b", backbone, chosen, rejected),
        train(tmp_path / "c", backbone, chosen, rejected, 1),
    )
    assert (first.score(chosen) == again.score(chosen)).all()
    assert (first.score(chosen) != other.score(chosen)).any()


def test_accumulation_splits_the_batch_and_leaves_the_result(tmp_path: Path, backbone: Path) -> None:
    chosen, rejected = completions(GOOD, True, 64, 1), completions(BAD, True, 64, 2)
    whole = train(tmp_path / "whole", backbone, chosen, rejected)
    parts = train(tmp_path / "parts", backbone, chosen, rejected, gradient_accumulation_steps=4)
    np.testing.assert_allclose(parts.score(chosen), whole.score(chosen), rtol=1e-3, atol=1e-3)


def test_rewards_are_centred(tmp_path: Path, backbone: Path) -> None:
    chosen, rejected = completions(GOOD, True, 256, 1), completions(BAD, True, 256, 2)
    scores = train(tmp_path, backbone, chosen, rejected).score(chosen + rejected)
    assert abs(scores.mean()) < 0.5 * scores.std()


def test_gold_reads_completions_as_they_were_sampled(tmp_path: Path) -> None:
    folder = save_reward_model(tmp_path / "model", SIZE, seed=1)
    sampled = Completions(
        prompts=["a b ", "a "], texts=["good", "bad"], prompt_ids=[[A, B], [A]], ids=[[GOOD, EOS], [BAD]],
        oracle=None,
    )  # fmt: skip
    expected = RewardModel.load(folder).score([[A, B, GOOD, EOS], [A, BAD]])
    np.testing.assert_allclose(Trained().score(tmp_path, sampled, 8), expected, atol=1e-6)
    WORDS.save_pretrained(folder)
    by_text = Pretrained(path=str(folder)).score(tmp_path, sampled, 8)
    ended = RewardModel.load(folder).score([[A, B, GOOD, EOS], [A, BAD, EOS]])
    np.testing.assert_allclose(by_text, ended, atol=1e-6)


def test_a_model_that_diverged_in_its_last_step_is_not_saved(backbone: Path, tmp_path: Path) -> None:
    """No logged line shows what the last step did."""
    pairs = {"chosen": completions(GOOD, True, 8, 0), "rejected": completions(None, True, 8, 1)}
    fit = Fit(epochs=1, batch_size=8, learning_rate=3e38)
    with pytest.raises(Diverged, match="at step 1: the step left"):
        bradley_terry.train(tmp_path, backbone=backbone, **pairs, fit=fit, seed=0, report=lambda *_: None)
    assert not (tmp_path / "model").exists()
