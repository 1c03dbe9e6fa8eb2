"""Every method under the same meter, and what each relies on in TRL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from rollouts import GENERATIONS, METHODS, PROMPTS, Silent, job, make_home
from safetensors.torch import load_model
from tiny import PAD

from training.methods import Grpo, Ppo, kl_control
from training.methods.base import TrainedMethod
from training.methods.trainers.grpo import GrpoKLTrainer
from training.methods.trainers.ppo import PpoTrainer, advantages
from training.sampling import kl
from training.sampling.sample import load_policy

TRAINED = [name for name, method in METHODS.items() if isinstance(method, TrainedMethod)]
STEPS = 4
PATH = kl_control.PathControl(kl=(0.01, 0.1, 50.0))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"))


def weights(out: Path) -> Mapping[str, torch.Tensor]:
    return load_policy(out / "model").state_dict()


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], weight) for name, weight in other.items())


# --- the meter --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A short path of every method."""
    outs = {}
    for name, method in METHODS.items():
        outs[name] = tmp_path_factory.mktemp(name)
        method.train(job(home, outs[name], control=PATH, steps=STEPS, measure=True))
    return outs


@pytest.mark.parametrize("name", METHODS)
def test_a_path_starts_at_the_reference_and_moves_away(name: str, measured: dict[str, Path]) -> None:
    points = sorted((measured[name] / "points").iterdir())
    divergence = [pd.read_parquet(point / "samples.parquet")["kl"].mean() for point in points]
    assert points[0].name == "000000" and divergence[0] == 0
    assert len(points) >= 2 and divergence[-1] > 0.01


@pytest.mark.parametrize("name", TRAINED)
def test_measuring_does_not_change_training(
    name: str, home: Path, tmp_path: Path, measured: dict[str, Path]
) -> None:
    METHODS[name].train(job(home, tmp_path, control=PATH, steps=STEPS, measure=False))
    assert same(weights(measured[name]), weights(tmp_path))


class _Killed(Exception):
    pass


@pytest.mark.parametrize("name", TRAINED)
def test_a_killed_run_ends_with_the_weights_it_would_have_had(
    name: str, home: Path, tmp_path: Path, measured: dict[str, Path]
) -> None:
    method = METHODS[name].model_copy(update={"checkpoint_every": 2})

    class Kill(Silent):
        def __call__(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
            if step == 3:
                raise _Killed

    # Kept weights and points are as whole as the rest, and keeping them changes no training.
    watched = {"control": PATH, "steps": STEPS, "measure": True, "keep_weights": True}
    with pytest.raises(_Killed):
        method.train(job(home, tmp_path, **watched, journal=Kill()))
    assert (tmp_path / "checkpoints" / "checkpoint-2" / "sealed.json").exists()
    started: list[int] = []

    class Watch(Silent):
        def keep_until(self, step: int) -> None:
            started.append(step)

    method.train(job(home, tmp_path, **watched, journal=Watch()))
    assert started == [2]
    assert same(weights(tmp_path), weights(measured[name]))
    steps = sorted(int(point.name) for point in (tmp_path / "points").iterdir())
    kept = sorted((tmp_path / "weights").iterdir())
    assert steps[1:] == [int(file.stem) for file in kept] and steps[-1] == STEPS
    last = load_policy(home / "reference")
    load_model(last, kept[-1])
    assert same(last.state_dict(), weights(tmp_path))


@pytest.mark.parametrize("name", ["dpo", "kto", "best_of_n_distilled"])
def test_without_rollouts_a_path_has_points_along_its_epochs(name: str, measured: dict[str, Path]) -> None:
    steps = [int(point.name) for point in sorted((measured[name] / "points").iterdir())]
    assert steps == [0, 2, 3, 4], "three values in the grid, four steps"


# --- group rollouts ---------------------------------------------------------------------------------


def _rollouts(
    patch: pytest.MonkeyPatch, trainer: type[Any], run: Any, reference: Path
) -> tuple[list[dict[str, Any]], list[kl.SequenceKL]]:
    """Every batch that `trainer` rolled out, and our own KL estimates of it at that moment."""
    batches: list[dict[str, Any]] = []
    own: list[kl.SequenceKL] = []
    generate = trainer._generate_and_score_completions

    def spied(self: Any, inputs: Any) -> Any:
        coefficient = self.coefficient
        batch = generate(self, inputs)
        ids = {
            part: [
                row[mask.bool()].tolist()
                for row, mask in zip(batch[f"{part}_ids"], batch[f"{part}_mask"], strict=True)
            ]
            for part in ("prompt", "completion")
        }
        own.append(kl.measure(self.model, load_policy(reference), ids["prompt"], ids["completion"], PAD))
        batches.append(
            dict(batch) | {"rewards": self.reward_funcs[0].latest, "beta": coefficient, "kl": self.rollout_kl}
        )
        return batch

    with patch.context() as context:
        context.setattr(trainer, "_generate_and_score_completions", spied)
        run()
    return batches, own


def test_grpo_compares_with_the_groups_mean_and_nothing_else(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = job(home, tmp_path, steps=3)
    batches, own = _rollouts(
        monkeypatch, GrpoKLTrainer, lambda: METHODS["grpo"].train(run), home / "reference"
    )
    assert len(batches) == 3
    for batch, ours in zip(batches, own, strict=True):
        rewards = torch.tensor(batch["rewards"]).view(PROMPTS, GENERATIONS)
        expected = (rewards - rewards.mean(1, keepdim=True)).flatten()
        torch.testing.assert_close(batch["advantages"], expected, atol=1e-4, rtol=1e-4)
        assert batch["kl"] == pytest.approx(ours.k1.mean().item(), abs=1e-4)


def test_ppo_spreads_reward_and_penalty_over_tokens(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With λ = 1 the first advantage and value of a completion add up to R − β·k1 of the whole of it."""
    method = METHODS["ppo"].model_copy(update={"gae_lambda": 1.0, "beta": 0.3})
    assert isinstance(method, Ppo)
    run = job(home, tmp_path, steps=4)
    batches, own = _rollouts(monkeypatch, PpoTrainer, lambda: method.train(run), home / "reference")
    assert len(batches) == 2, "two steps on each rollout"
    for batch, ours in zip(batches, own, strict=True):
        whole = torch.tensor(batch["rewards"]) - batch["beta"] * ours.k1
        torch.testing.assert_close(batch["returns"][:, 0], whole, atol=1e-3, rtol=1e-3)
    assert batches[0]["advantages"].shape == batches[0]["completion_mask"].shape


def test_gae_is_monte_carlo_at_one_and_one_step_at_zero() -> None:
    rewards = torch.tensor([[0.0, 0.0, 2.0, 9.0], [1.0, 9.0, 9.0, 9.0]])
    values = torch.tensor([[0.5, 1.0, 1.5, 7.0], [0.2, 7.0, 7.0, 7.0]])
    mask = torch.tensor([[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(
        advantages(rewards, values, mask, 1.0), torch.tensor([[1.5, 1.0, 0.5, 0.0], [0.8, 0.0, 0.0, 0.0]])
    )
    torch.testing.assert_close(
        advantages(rewards, values, mask, 0.0), torch.tensor([[0.5, 0.5, 0.5, 0.0], [0.8, 0.0, 0.0, 0.0]])
    )


def test_trl_takes_an_advantage_for_each_token(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seam that PPO rests on: (B, T) advantages weigh each token's own log-probability."""
    losses: list[torch.Tensor] = []
    compute = GrpoKLTrainer._compute_loss

    def spied(self: Any, model: Any, inputs: Any) -> torch.Tensor:
        spread = inputs["advantages"][:, None] * inputs["completion_mask"]
        same_for_all = dict(inputs) | {"advantages": spread}
        halved = dict(inputs) | {"advantages": 0.5 * spread}
        losses.extend(compute(self, model, batch).detach() for batch in (inputs, same_for_all, halved))
        return compute(self, model, inputs)

    monkeypatch.setattr(GrpoKLTrainer, "_compute_loss", spied)
    Grpo(prompts_per_step=PROMPTS, generations=GENERATIONS).train(job(home, tmp_path, steps=1))
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(losses[0], 2 * losses[2], atol=1e-5, rtol=1e-3)
