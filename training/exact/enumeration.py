"""Every completion of an enumerable world, and what policies, reward models and the oracle make of each.

The distributions are exact: a network is asked for log π(token | prefix) at every prefix there is, and
`analysis/exact.py` does the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import pandas as pd
import torch
from transformers import PreTrainedModel

from analysis.pool.exact import Floats, Tree
from reward_models.reward import Reward
from training.worlds.built_world import BuiltWorld


@dataclass(frozen=True)
class Enumeration:
    """The prompts of a built enumerable world with their completions: arrays are of shape (prompts, C)."""

    world: BuiltWorld
    items: pd.DataFrame
    """One row per prompt."""
    tree: Tree

    @classmethod
    def of(cls, world: BuiltWorld) -> Enumeration:
        """Enumerate a built world."""
        tokenizer = world.tokenizer()
        tree = Tree.of(len(tokenizer), world.max_completion_tokens, tokenizer.eos_token_id)
        items = world.prompts("policy").drop_duplicates("prompt").reset_index(drop=True)
        return cls(world, items, tree)

    @cached_property
    def prompt_ids(self) -> list[list[int]]:
        """Token ids of each prompt."""
        ids: list[list[int]] = self.world.tokenizer()(self.items["prompt"].tolist())["input_ids"]
        return ids

    @cached_property
    def samples(self) -> pd.DataFrame:
        """Every completion of every prompt once, in the columns of sampled tables that scoring reads."""
        tokenizer, tree = self.world.tokenizer(), self.tree
        prompts, count = len(self.items), len(tree.completions)
        texts = tokenizer.batch_decode([list(c) for c in tree.completions], skip_special_tokens=True)
        return pd.DataFrame(
            {
                "item_id": np.repeat(self.items["item_id"].to_numpy(), count),
                "sample_id": [f"{i:06d}" for i in range(count)] * prompts,
                "completion": texts * prompts,
                "ids": [list(c) for c in tree.completions] * prompts,
                "length": np.tile(tree.length, prompts),
                "finished": [c[-1] == tree.eos for c in tree.completions] * prompts,
            }
        )

    @torch.inference_mode()
    def conditionals(self, policy: PreTrainedModel) -> Floats:
        """log π(token | prompt, prefix) in nats, shape (prompts, S, V).

        Prefixes of one length make a batch, so that nothing is padded.
        """
        rows = []
        for prompt in self.prompt_ids:
            for _, prefixes in groupby(self.tree.prefixes, key=len):
                ids = torch.tensor([[*prompt, *prefix] for prefix in prefixes], device=policy.device)
                logits = policy(input_ids=ids, use_cache=False).logits[:, -1]
                rows.append(torch.log_softmax(logits.double(), -1).cpu().numpy())
        shape = (len(self.prompt_ids), len(self.tree.prefixes), self.tree.vocabulary)
        return np.concatenate(rows).reshape(shape)

    def log_prob(self, policy: PreTrainedModel) -> Floats:
        """log π(completion | prompt) in nats, shape (prompts, C)."""
        return self.tree.log_prob(self.conditionals(policy))

    def reward(self, model: Reward, *, standardised: bool = True) -> Floats:
        """The reward of every completion, standardised as a policy is rewarded or raw: (prompts, C)."""
        sequences = [[*p, *c] for p in self.prompt_ids for c in self.tree.completions]
        return self._fold(model.standardised(sequences) if standardised else model.score(sequences))

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """The parse of every row of `samples`."""
        return self.world.outcomes(self.samples, self.items)

    def behaviour(self, name: str) -> Floats:
        """An outcome field as numbers, shape (prompts, C)."""
        return self._fold(self.outcomes[name].to_numpy(dtype=float))

    def oracle(self) -> Floats:
        """True values, shape (prompts, C)."""
        values = self.world.oracle(self.samples, self.outcomes, self.items)
        assert values is not None, "an enumerable world has an oracle"
        return self._fold(values)

    def _fold(self, values: np.ndarray) -> Floats:
        return np.asarray(values, dtype=float).reshape(len(self.items), -1)
