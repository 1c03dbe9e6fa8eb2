"""What we rely on in TRL's policy trainer: each test here fails when an upgrade changes it.

The policy, the proxy and the trainer are real, and as small as they can be.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from drawn_worlds import opened
from rollouts import GENERATIONS, PROMPTS, STEPS, Silent, Spied, job, make_home, method, spy
from tiny import EOS
from trl import RLOOConfig, RLOOTrainer

from reward_models.reward import RewardModel
from training.methods import kl_control
from training.methods.trainers import rloo, training_run
from training.methods.trainers.parts import SMALLEST_BETA
from training.sampling.sample import load_policy


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def run(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spied]:
    """Three steps of RLOO on a budget, so that β moves."""
    out = tmp_path_factory.mktemp("run")
    control = kl_control.Target(points=1, initial_beta=0.3)
    with pytest.MonkeyPatch.context() as patch:
        yield spy(
            patch,
            lambda: method().train(job(home, out, control=control, budget=0.5)),
            home / "reference",
        )


# --- rollouts ---------------------------------------------------------------------------------------


def test_one_rollout_per_optimiser_step(run: Spied) -> None:
    assert len(run.rollouts) == run.trainer.state.global_step == STEPS
    assert all(len(rollout.rewarded) == PROMPTS * GENERATIONS for rollout in run.rollouts)


def test_generations_of_one_prompt_lie_together(run: Spied) -> None:
    for rollout in run.rollouts:
        groups = [
            set(rollout.prompts[i : i + GENERATIONS]) for i in range(0, len(rollout.prompts), GENERATIONS)
        ]
        assert all(len(group) == 1 for group in groups) and len(groups) == PROMPTS


def test_prompts_come_as_laid_out_and_none_is_left_out(run: Spied, home: Path, tmp_path: Path) -> None:
    seen = [p for rollout in run.rollouts for p in rollout.prompts[::GENERATIONS]]
    assert seen == training_run.prompts(job(home, tmp_path), PROMPTS)["prompt"]


def test_reward_functions_get_the_ids_as_sampled_with_their_end(run: Spied) -> None:
    ended = 0
    for rollout in run.rollouts:
        for ids, row, mask in zip(
            rollout.rewarded, rollout.batch["completion_ids"], rollout.batch["completion_mask"], strict=True
        ):
            assert ids == row[mask.bool()].tolist()
            assert EOS not in ids[:-1]
            ended += ids[-1] == EOS
    assert 0 < ended < STEPS * PROMPTS * GENERATIONS


def test_prompt_ids_are_those_of_our_tokenizer(run: Spied, home: Path) -> None:
    tokenizer = opened(home / "world").tokenizer()
    for rollout in run.rollouts:
        for prompt, row, mask in zip(
            rollout.prompts, rollout.batch["prompt_ids"], rollout.batch["prompt_mask"], strict=True
        ):
            assert tokenizer(prompt)["input_ids"] == row[mask.bool()].tolist()


def test_rewards_are_the_proxys_own_scores(run: Spied, home: Path) -> None:
    rollout, tokenizer = run.rollouts[0], opened(home / "world").tokenizer()
    prompt_ids = tokenizer(rollout.prompts)["input_ids"]
    scores = RewardModel.load(home / "proxy").score(
        [[*p, *c] for p, c in zip(prompt_ids, rollout.rewarded, strict=True)]
    )
    assert rollout.rewards == pytest.approx(scores.tolist(), abs=1e-5)


# --- KL ---------------------------------------------------------------------------------------------


def test_the_first_kl_is_exactly_zero_as_the_reference_is_the_start(run: Spied) -> None:
    assert run.rollouts[0].kl_token == 0.0
    assert run.rollouts[-1].kl_token != 0.0


def test_kl_per_token_times_mean_length_is_our_k1_of_the_same_rollout(run: Spied) -> None:
    for rollout in run.rollouts:
        ours = rollout.own.k1.mean().item()
        assert rollout.kl_token * rollout.mean_length == pytest.approx(ours, abs=1e-4)
    assert abs(run.rollouts[-1].own.k1.mean().item()) > 0.01
    assert run.trainer.rollout_kl == pytest.approx(run.rollouts[-1].own.k1.mean().item(), abs=1e-4)


def test_kl_enters_the_reward_per_sequence_at_the_beta_of_that_moment(run: Spied) -> None:
    """Leave-one-out advantages of R − β·k1, by hand; β is read anew at each rollout."""
    for rollout in run.rollouts:
        value = torch.tensor(rollout.rewards) - rollout.beta * rollout.own.k1
        group = value.view(PROMPTS, GENERATIONS)
        others = (group.sum(1, keepdim=True) - group) / (GENERATIONS - 1)
        torch.testing.assert_close(
            rollout.batch["advantages"], (group - others).flatten(), atol=1e-3, rtol=1e-4
        )
    assert len({rollout.beta for rollout in run.rollouts}) == STEPS, "the controller moved it each time"
    assert run.rollouts[0].beta == 0.3


def test_the_reference_is_the_saved_one_and_stays_it(run: Spied, home: Path) -> None:
    saved = load_policy(home / "reference").state_dict()
    kept = run.trainer.ref_model.state_dict()
    assert all(torch.equal(kept[name], weight) for name, weight in saved.items())
    moved = run.trainer.model.state_dict()
    assert any(not torch.equal(moved[name], weight) for name, weight in saved.items())


def test_without_beta_trl_drops_the_reference_so_ours_is_never_zero(home: Path, tmp_path: Path) -> None:
    assert _stock(home, tmp_path, beta=0.0).ref_model is None
    assert _stock(home, tmp_path, beta=SMALLEST_BETA).ref_model is not None
    args = rloo.configured(method(beta=0.0), job(home, tmp_path), tmp_path)
    assert args.beta == SMALLEST_BETA


def _stock(home: Path, out: Path, **arguments: Any) -> RLOOTrainer:
    """TRL's own trainer with as few arguments as it takes."""
    return RLOOTrainer(
        model=str(home / "reference"),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=RLOOConfig(
            output_dir=str(out),
            bf16=False,
            use_cpu=True,
            report_to="none",
            num_generations=2,
            per_device_train_batch_size=4,
            **arguments,
        ),  # fmt: skip
        train_dataset=Dataset.from_dict({"prompt": ["x"] * 4}),
        processing_class=opened(home / "world").tokenizer(),
    )


@pytest.mark.parametrize("accumulation", [2, 4])
def test_accumulating_gradients_changes_neither_rollouts_nor_steps(
    home: Path, tmp_path: Path, accumulation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = method(steps=2, trainer={"gradient_accumulation_steps": accumulation})
    spied = spy(monkeypatch, lambda: chosen.train(job(home, tmp_path, steps=2)), home / "reference")
    assert spied.trainer.state.global_step == len(spied.rollouts) == 2
    assert spied.rollouts[0].kl_token == 0.0
    for rollout in spied.rollouts:
        # TRL makes one rollout of the whole step's sequences and splits it afterwards.
        assert len(rollout.rewarded) == PROMPTS * GENERATIONS


def test_points_and_metrics_of_a_run_are_those_of_its_rollouts(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number that steers a run is logged at the step whose rollout it came from."""
    lines: dict[int, dict[str, float]] = {}

    class Record(Silent):
        def __call__(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
            lines.setdefault(step, {}).update(metrics)

    spied = spy(
        monkeypatch, lambda: method().train(job(home, tmp_path, journal=Record())), home / "reference"
    )
    for step, rollout in enumerate(spied.rollouts, 1):
        assert lines[step]["kl_sequence"] == pytest.approx(rollout.own.k1.mean().item(), abs=1e-4)
        assert lines[step]["reward"] == pytest.approx(np.mean(rollout.rewards), abs=1e-4)
        assert lines[step]["beta"] == rollout.beta


# --- resuming ---------------------------------------------------------------------------------------


class _Killed(Exception):
    pass


def test_a_killed_run_ends_with_the_weights_it_would_have_had(home: Path, tmp_path: Path) -> None:
    """Checkpoints land where we seal them; they bring back weights, optimiser, randomness and controller."""
    control = kl_control.Target(points=1, initial_beta=0.3)
    chosen = method(steps=4, checkpoint_every=2)

    def train(out: Path, journal: Any) -> Mapping[str, torch.Tensor]:
        chosen.train(job(home, out, steps=4, control=control, budget=0.5, journal=journal))
        return load_policy(out / "model").state_dict()

    class Kill(Silent):
        def __call__(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
            if step == 3:
                raise _Killed

    whole = train(tmp_path / "whole", Silent())
    with pytest.raises(_Killed):
        train(tmp_path / "killed", Kill())
    left = tmp_path / "killed" / "checkpoints" / "checkpoint-2"
    kept = json.loads((left / "overopt.json").read_text())
    assert kept.keys() == {"beta", "schedule", "controller", "mitigation"}
    started: list[int] = []

    class Watch(Silent):
        def keep_until(self, step: int) -> None:
            started.append(step)

    resumed = train(tmp_path / "killed", Watch())
    assert started == [2]
    assert all(torch.equal(resumed[name], weight) for name, weight in whole.items())
    assert not (tmp_path / "killed" / "checkpoints").exists()
