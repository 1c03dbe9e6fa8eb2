"""What a policy is optimised for: the proxy's reward of token ids as sampled, as the mitigation shapes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from transformers import TrainerState

from reward_models.errors import Diverged
from training.methods.job import PolicyJob
from training.mitigations.base import Known, Mitigation, Shaped
from training.sampling import sample
from training.streams import stream

TABLE = "mitigation.parquet"
"""What the mitigation has learnt about each prompt, in the run's folder."""


class ProxyReward:
    """The reward to optimise, as a reward function of TRL.

    TRL would hand a reward *model* the decoded text without EOS, which is not what it was trained on.
    """

    __name__ = "proxy"

    def __init__(self, job: PolicyJob) -> None:
        assert job.proxy, "this method never asks the proxy"
        self.job, self.model, self.mitigation = job, job.proxy(), job.mitigation
        self.tokenizer = job.world.tokenizer()
        self.items = job.world.prompts("policy")
        self.latest: list[float] = []
        """Rewards of the last rollout."""
        self.metrics: Mapping[str, float] = {}
        """What the mitigation made of the last batch, and what it has learnt."""
        self.known = Known()
        if self.mitigation:
            self.known = self._learn(self.mitigation, self.items)
            self._keep()

    def __call__(
        self,
        prompts: list[str],
        completion_ids: list[list[int]],
        item_id: list[str],
        trainer_state: TrainerState | None = None,
        **_: Any,
    ) -> list[float]:
        step = f" at step {trainer_state.global_step}" if trainer_state else ""
        reward = self.of(prompts, completion_ids, item_id, self.items, step)
        self.latest = [float(r) for r in reward]
        return self.latest

    def of(
        self,
        prompts: Sequence[str],
        completions: list[list[int]],
        item_id: Sequence[str],
        items: pd.DataFrame,
        when: str = "",
    ) -> np.ndarray:
        """The reward to optimise of a batch to learn from, in s.d. of the proxy on π_ref: (B,).

        Args:
            completions: token ids, EOS included.
            item_id: which item each prompt is, of those in `items`; only a mitigation asks.

        Raises:
            Diverged: a reward is not finite. (TRL would call it unscorable and train on.)
        """
        reward = self._proxy(prompts, completions)
        if self.mitigation:
            answers = self._answers(self.mitigation, completions, item_id, items)
            shaped = self.mitigation.transform(reward, answers, self.known)
            self.known = replace(self.known, carried=shaped.carried)
            self.metrics = {**self.known.numbers, **shaped.metrics}
            reward = shaped.reward
        if not np.isfinite(reward).all():
            raise Diverged(f"The policy stopped{when}: the proxy's reward is not a finite number")
        return reward

    def at_point(self, samples: pd.DataFrame, outcomes: pd.DataFrame, items: pd.DataFrame) -> Shaped:
        """The reward in force of a point's samples: what optimisation would have paid for them.

        It is the proxy in s.d. on π_ref, shaped; a price of KL is not part of it. Nothing is remembered of
        the question, so that measuring changes no training.

        Args:
            samples: columns item_id and ids.
            outcomes: their parse, row for row.
            items: the prompts.
        """
        asked = items.set_index("item_id").loc[samples["item_id"]].reset_index()
        reward = self._proxy(asked["prompt"].tolist(), samples["ids"].tolist())
        if not self.mitigation:
            return Shaped(reward)
        answers = asked
        if self.mitigation.needs:
            answers = pd.concat([asked, outcomes.drop(columns="item_id").reset_index(drop=True)], axis=1)
        shaped = self.mitigation.transform(reward, answers, self.known)
        return shaped._replace(metrics={**self.known.numbers, **shaped.metrics})

    def cover(self, role: str) -> None:
        """Let the mitigation learn about each prompt of a further role, if it learns about prompts at all."""
        if self.mitigation and self.known.per_item is not None:
            more = self._learn(self.mitigation, self.job.world.prompts(role), role).per_item
            table = pd.concat([self.known.per_item, more], verify_integrity=True)
            self.known = replace(self.known, per_item=table)
            self._keep()

    def state(self) -> dict[str, Any]:
        """What a checkpoint must keep to continue exactly."""
        return dict(self.known.carried)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self.known = replace(self.known, carried=state)

    def _proxy(self, prompts: Sequence[str], completions: list[list[int]]) -> np.ndarray:
        prompt_ids = self.tokenizer(list(prompts))["input_ids"]
        sequences = [[*p, *c] for p, c in zip(prompt_ids, completions, strict=True)]
        return self.model.standardised(sequences, self.job.batch_size)

    def _answers(
        self,
        mitigation: Mitigation,
        completions: list[list[int]],
        item_id: Sequence[str],
        items: pd.DataFrame,
    ) -> pd.DataFrame:
        """The items asked, row for row, beside their outcomes where the mitigation reads any."""
        items = items[items["item_id"].isin(item_id)].drop_duplicates("item_id")
        if not mitigation.needs:
            return items.set_index("item_id").loc[list(item_id)].reset_index()
        samples = pd.DataFrame(
            {
                "item_id": item_id,
                "sample_id": [str(row) for row in range(len(item_id))],
                "completion": self.tokenizer.batch_decode(completions, skip_special_tokens=True),
                "length": [len(ids) for ids in completions],
                "finished": [ids[-1] == self.tokenizer.eos_token_id for ids in completions],
            }
        )
        return self.job.world.answers(samples, items)

    def _learn(self, mitigation: Mitigation, items: pd.DataFrame, *role: str) -> Known:
        """Show the mitigation the samples of π_ref that it asks for."""
        job = self.job
        rng = np.random.default_rng(stream(job.seed, "mitigation prompts", *role))
        asked = mitigation.base_prompts(items, rng)
        if asked.empty:
            return Known()
        prompts, item_id = asked["prompt"].tolist(), asked["item_id"].tolist()
        said = sample.complete(
            sample.load_policy(job.reference),
            self.tokenizer,
            prompts,
            job.world.max_completion_tokens,
            stream(job.seed, "mitigation samples", *role),
            job.batch_size,
        )
        return mitigation.fit(self._proxy(prompts, said), self._answers(mitigation, said, item_id, items))

    def _keep(self) -> None:
        if self.known.per_item is not None:
            self.known.per_item.to_parquet(self.job.out / TABLE, compression="zstd")
