"""Methods that learn from preferences, offline and online, on token ids as they were sampled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from drawn_worlds import opened
from rollouts import METHODS, job, make_home
from tiny import EOS, PAD

from reward_models.reward import RewardModel
from training.methods import Dpo, Kto
from training.methods.trainers import offline
from training.methods.trainers.offline import TokenKtoTrainer, laid_out, preferences, unpaired
from training.methods.trainers.online_dpo import OnlineDpoKLTrainer
from training.methods.trainers.proxy_reward import ProxyReward
from training.sampling import kl
from training.sampling.sample import load_policy


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"))


# --- preferences ------------------------------------------------------------------------------------


def test_proxy_labels_follow_bradley_terry_on_ids_as_sampled(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[list[list[int]], np.ndarray]] = []

    def sharp(self: ProxyReward, prompts: list[str], completions: list[list[int]], *_: Any) -> np.ndarray:
        asked = self.tokenizer(prompts)["input_ids"]
        sequences = [[*p, *c] for p, c in zip(asked, completions, strict=True)]
        rewards = 1e3 * self.model.score(sequences)
        shown.append((sequences, rewards))
        return rewards

    monkeypatch.setattr(ProxyReward, "of", sharp)
    run = job(home, tmp_path)
    rows = preferences(Dpo(pairs=20), run, ProxyReward(run))
    (sequences, rewards), *_ = shown
    for i, prompt in enumerate(rows["prompt_ids"]):
        first, second = (2 * i, 2 * i + 1) if rewards[2 * i] > rewards[2 * i + 1] else (2 * i + 1, 2 * i)
        if sequences[first] != sequences[second]:
            assert [*prompt, *rows["chosen_ids"][i]] == sequences[first]
            assert [*prompt, *rows["rejected_ids"][i]] == sequences[second]


def test_soft_labels_err_as_often_as_the_proxy_says(home: Path, tmp_path: Path) -> None:
    method = Dpo(pairs=600)
    run = job(home, tmp_path)
    rows = preferences(method, run, ProxyReward(run))
    model = RewardModel.load(home / "proxy")
    margin = [
        model.standardised([[*p, *c] for p, c in zip(rows["prompt_ids"], rows[part], strict=True)])
        for part in ("chosen_ids", "rejected_ids")
    ]
    gap = np.abs(margin[0] - margin[1])
    expected = (1 / (1 + np.exp(gap)))[gap > 0]
    erred = (margin[0] < margin[1])[gap > 0]
    assert erred.mean() == pytest.approx(expected.mean(), abs=4 * erred.std() / np.sqrt(len(erred)))


def test_the_annotators_labels_are_the_proxys_own_training_pairs(home: Path, tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "prompt_tokens": [2, 1],
            "chosen_ids": [[5, 6, 7, EOS], [8, 9]],
            "rejected_ids": [[5, 6, EOS], [8, EOS]],
        }
    )
    table.to_parquet(tmp_path / "preferences.parquet")
    run = job(home, tmp_path / "out", labels=tmp_path / "preferences.parquet")
    rows = preferences(Dpo(labels="annotator"), run, None)
    assert rows == {
        "prompt_ids": [[5, 6], [8]],
        "chosen_ids": [[7, EOS], [9]],
        "rejected_ids": [[EOS], [EOS]],
    }
    assert unpaired(rows) == {
        "prompt_ids": [[5, 6], [5, 6], [8], [8]],
        "completion_ids": [[7, EOS], [EOS], [9], [EOS]],
        "label": [True, False, True, False],
    }


@pytest.mark.parametrize("name", ["dpo", "kto"])
def test_trl_trains_on_the_ids_as_sampled(
    name: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No text, no tokenizer, no EOS appended to what was cut off: the batches hold the very ids."""
    method = METHODS[name]
    assert isinstance(method, Dpo | Kto)
    run = job(home, tmp_path, steps=2)
    rows = preferences(method, run, ProxyReward(run))
    expected = laid_out(method, run, unpaired(rows) if name == "kto" else rows)
    seen: list[list[int]] = []
    trainer = getattr(offline, f"Token{name.title()}Trainer")
    compute = trainer.compute_loss

    def spied(self: Any, model: Any, inputs: Any, *rest: Any, **more: Any) -> Any:
        seen.extend(
            row[mask.bool()].tolist()
            for row, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
        )
        return compute(self, model, inputs, *rest, **more)

    monkeypatch.setattr(trainer, "compute_loss", spied)
    method.train(run)
    first = expected[: method.batch_size]
    parts = ["completion_ids"] if name == "kto" else ["chosen_ids", "rejected_ids"]
    wanted = [[*p, *c] for part in parts for p, c in zip(first["prompt_ids"], first[part], strict=True)]
    assert seen[: len(wanted)] == wanted


def test_ktos_baseline_pairs_each_prompt_with_its_neighbours_completion(home: Path, tmp_path: Path) -> None:
    method = METHODS["kto"]
    assert isinstance(method, Kto)
    run = job(home, tmp_path, steps=2)
    rows = laid_out(method, run, unpaired(preferences(method, run, ProxyReward(run))))
    args = type("Arguments", (), {"per_device_train_batch_size": 8})()
    mixed = TokenKtoTrainer._prepare_dataset(None, rows, None, args)  # type: ignore[arg-type]
    own, others = mixed["completion_ids"], mixed["KL_completion_ids"]
    for start in range(0, len(mixed), 8):
        assert list(others[start : start + 8]) == [own[start + 7], *own[start : start + 7]]


# --- online DPO -------------------------------------------------------------------------------------


def test_online_dpo_judges_what_was_sampled_and_knows_its_kl(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[tuple[list[str], list[list[int]]]] = []
    own: list[float] = []
    reward, step = ProxyReward.__call__, OnlineDpoKLTrainer.training_step

    def rewarded(self: ProxyReward, prompts: Any, completion_ids: Any, **rest: Any) -> list[float]:
        judged.append((prompts, completion_ids))
        return reward(self, prompts, completion_ids, **rest)

    def stepped(self: Any, model: Any, *rest: Any, **more: Any) -> Any:
        before = {k: v.clone() for k, v in model.state_dict().items()}
        loss = step(self, model, *rest, **more)
        assert all(torch.equal(before[k], v) for k, v in model.state_dict().items()), (
            "the optimiser has not stepped yet"
        )
        prompts, ids = judged[-1]
        prompt_ids = opened(home / "world").tokenizer()(prompts)["input_ids"]
        own.append(kl.measure(model, load_policy(home / "reference"), prompt_ids, ids, PAD).k1.mean().item())
        assert self.rollout_kl == pytest.approx(own[-1], abs=1e-3)
        return loss

    monkeypatch.setattr(ProxyReward, "__call__", rewarded)
    monkeypatch.setattr(OnlineDpoKLTrainer, "training_step", stepped)
    METHODS["online_dpo"].train(job(home, tmp_path, steps=3))
    assert len(own) == 3 and abs(own[-1]) > 0.01
    completions = [ids for _, rollout in judged for ids in rollout]
    assert all(EOS not in ids[:-1] for ids in completions), "no padding behind the end"
    assert len({len(ids) for ids in completions if ids[-1] == EOS}) > 1, "which TRL pads to one length"
