"""What a mitigation may count on: its seams, its memory, what it knows of each prompt, and its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from rollouts import METHODS, Silent, job, make_home

from training.methods import Dpo, Kto
from training.methods.base import TrainedMethod
from training.methods.kl_control import PathControl
from training.methods.trainers.proxy_reward import TABLE, ProxyReward
from training.mitigations import RewardCap
from training.mitigations.base import Known, Mitigation, Shaped
from training.mitigations.seams import SEAMS
from training.sampling.sample import load_policy


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"))


class Kept(Silent):
    """A journal in memory, which may end the run at a step."""

    def __init__(self, last: int | None = None) -> None:
        self.lines: list[dict[str, float]] = []
        self.last = last

    def __call__(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        self.lines.append({"step": step, **metrics})
        if step == self.last:
            raise InterruptedError


class Toll(Mitigation):
    """Charges completions that are longer than those before them were on average: it has a memory."""

    type: Literal["toll"] = "toll"

    def transform(self, reward: np.ndarray, answers: pd.DataFrame, known: Known) -> Shaped:
        level = known.carried.get("level", 0.0)
        shaped = reward - 0.5 * np.tanh(reward - level)
        return Shaped(
            shaped, {"mitigation/level": level}, {"level": 0.7 * level + 0.3 * float(reward.mean())}
        )


class Referred(Mitigation):
    """Rewards what exceeds the mean of π_ref's samples of the same prompt."""

    type: Literal["referred"] = "referred"

    def base_prompts(self, items: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        return items.loc[items.index.repeat(4)].reset_index(drop=True)

    def fit(self, reward: np.ndarray, answers: pd.DataFrame) -> Known:
        table = answers.assign(mean=reward).groupby("item_id")[["mean"]].mean()
        return Known({"mitigation/mean": float(reward.mean())}, table)

    def transform(self, reward: np.ndarray, answers: pd.DataFrame, known: Known) -> Shaped:
        assert known.per_item is not None
        return Shaped(reward - known.per_item["mean"].loc[answers["item_id"]].to_numpy())


# --- which method has which seam --------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_what_a_method_lacks_it_says_why(name: str) -> None:
    method = METHODS[name]
    assert method.seams | method.lacks.keys() == SEAMS and not method.seams & method.lacks.keys()
    assert all(reason.strip() for reason in method.lacks.values())


def test_only_methods_that_read_more_than_an_order_take_a_monotone_shaping() -> None:
    order_only = {name for name, method in METHODS.items() if "value" not in method.seams}
    assert order_only == {"best_of_n", "best_of_n_distilled", "online_dpo"}
    for method in (Dpo(labels="annotator"), Kto(labels="annotator")):
        assert not method.seams & {"value", "order", "screen", "proxy"}


# --- the reward that was optimised ------------------------------------------------------------------

CAP = RewardCap(cap=0.3)


def rewards(out: Path) -> dict[int, pd.DataFrame]:
    points = sorted((out / "points").iterdir())
    return {int(point.name): pd.read_parquet(point / "rewards.parquet") for point in points}


@pytest.mark.parametrize("name", METHODS)
def test_every_point_has_the_reward_that_was_optimised(name: str, home: Path, tmp_path: Path) -> None:
    run = job(home, tmp_path, mitigation=CAP, measure=True, control=PathControl(kl=(0.01, 50.0)), steps=2)
    METHODS[name].train(run)
    proxy = ProxyReward(run)
    items = run.world.prompts("eval").set_index("item_id")
    for step, table in rewards(tmp_path).items():
        samples = pd.read_parquet(tmp_path / "points" / f"{step:06d}" / "samples.parquet")
        assert table[["item_id", "sample_id"]].equals(samples[["item_id", "sample_id"]])
        assert set(table["scorer"]) == {"reward"}
        asked = items["prompt"].loc[samples["item_id"]].tolist()
        raw = proxy._proxy(asked, [list(ids) for ids in samples["ids"]])
        np.testing.assert_allclose(table["value"], np.minimum(raw, 0.3), atol=1e-6)
        assert (raw > 0.3).any(), "the cap must bite somewhere"


def test_where_nothing_is_asked_of_the_proxy_no_reward_was_optimised(home: Path, tmp_path: Path) -> None:
    labels = pd.DataFrame(
        {"prompt_tokens": [1] * 8, "chosen_ids": [[5, 6]] * 8, "rejected_ids": [[5, 7]] * 8}
    )
    labels.to_parquet(tmp_path / "labels.parquet")
    run = job(home, tmp_path, labels=tmp_path / "labels.parquet", proxy=None, measure=True, steps=1)
    Dpo(labels="annotator", pairs=8, batch_size=8).train(run)
    assert not list(tmp_path.rglob("rewards.parquet")) and list(tmp_path.rglob("samples.parquet"))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_records_what_the_mitigation_does(name: str, home: Path, tmp_path: Path) -> None:
    journal = Kept()
    METHODS[name].train(job(home, tmp_path, mitigation=CAP, measure=True, steps=2, journal=journal,
                            control=PathControl(kl=(0.01, 50.0))))  # fmt: skip
    shares = [line["mitigation/capped"] for line in journal.lines if "mitigation/capped" in line]
    assert shares and all(0 <= share <= 1 for share in shares)


# --- memory -----------------------------------------------------------------------------------------


def train(method: TrainedMethod, home: Path, out: Path, **changes: Any) -> Kept:
    journal = changes.setdefault("journal", Kept())
    method.train(job(home, out, mitigation=Toll(), steps=4, **changes))
    return journal  # type: ignore[no-any-return]


def levels(journal: Kept) -> dict[int, float]:
    return {
        int(line["step"]): line["mitigation/level"] for line in journal.lines if "mitigation/level" in line
    }


@pytest.mark.parametrize("name", ["rloo", "grpo", "ppo", "online_dpo"])
def test_what_a_mitigation_remembers_survives_a_kill_and_is_not_touched_by_measuring(
    name: str, home: Path, tmp_path: Path
) -> None:
    method = METHODS[name].model_copy(update={"checkpoint_every": 2})
    assert isinstance(method, TrainedMethod)
    whole = train(method, home, tmp_path / "whole")
    assert len(set(levels(whole).values())) >= 2, "it must remember something"
    with pytest.raises(InterruptedError):
        train(method, home, tmp_path / "killed", journal=Kept(last=3), measure=True)
    rest = train(method, home, tmp_path / "killed", measure=True)
    assert levels(rest) and levels(rest).items() <= levels(whole).items()
    expected = load_policy(tmp_path / "whole" / "model").state_dict()
    for key, weight in load_policy(tmp_path / "killed" / "model").state_dict().items():
        assert weight.equal(expected[key]), key


def test_a_look_at_a_point_is_not_remembered(home: Path, tmp_path: Path) -> None:
    run = job(home, tmp_path, mitigation=Toll())
    reward, items = ProxyReward(run), run.world.prompts("eval")
    samples = items[["item_id"]].assign(sample_id="000", completion="yes", length=1, finished=True)
    samples["ids"] = [[5]] * len(samples)
    reward.of(items["prompt"].tolist(), samples["ids"].tolist(), items["item_id"].tolist(), items)
    before = reward.state(), reward.metrics
    reward.at_point(samples, run.world.outcomes(samples, items), items)
    assert (reward.state(), reward.metrics) == before and before[0]["level"] != 0


# --- what is known of each prompt -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rloo", "best_of_n", "best_of_n_distilled"])
def test_prompts_are_referred_to_one_by_one_wherever_they_are_asked(
    name: str, home: Path, tmp_path: Path
) -> None:
    journal = Kept()
    run = job(home, tmp_path, mitigation=Referred(), measure=True, steps=2, journal=journal,
              control=PathControl(kl=(0.01, 50.0)))  # fmt: skip
    METHODS[name].train(run)
    table = pd.read_parquet(tmp_path / TABLE)
    for role in ("policy", "eval"):
        assert set(run.world.prompts(role)["item_id"]) <= set(table.index)
    logged = {key for line in journal.lines for key in line if key.startswith("mitigation/")}
    assert logged == {"mitigation/mean"}, "no series per prompt"
    start = rewards(tmp_path)[0]
    assert abs(start["value"].mean()) < 0.5, "π_ref against its own mean"


def test_references_of_points_change_no_training(home: Path, tmp_path: Path) -> None:
    for measure in (True, False):
        run = job(home, tmp_path / str(measure), mitigation=Referred(), measure=measure, steps=2)
        METHODS["rloo"].train(run)
    one, other = (load_policy(tmp_path / str(m) / "model").state_dict() for m in (True, False))
    assert all(weight.equal(other[key]) for key, weight in one.items())
