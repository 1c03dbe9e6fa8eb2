"""A linear probe for the value of a fact in hidden states: ridge regression on one-hot values, then argmax.

Hidden states of one fact resemble each other whatever the policy knows (they hold the words of the prompt),
so a probe that has seen a fact can look its value up. Every prediction is therefore for an *entity held out*:
the probe must have learnt how the network writes a value down from other entities alone. A further guard is
the control task of Hewitt & Liang 2019 (arXiv:1909.03368): the same probe, with the values of a relation
dealt anew among its facts. Only accuracy above the control's says anything about the states.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.estimators.arrays import Floats

Codes = NDArray[np.intp]

FOLDS = 10
RIDGE = 0.1
"""Penalty, in units of the mean variance that a state's coordinates have together (the trace of their Gram
matrix per row)."""
CONTROLS = 20
"""Deals of the control task, averaged."""


@dataclass(frozen=True)
class Facts:
    """Prompts about the facts of one relation; arrays over prompts, (P,)."""

    entity: Codes
    value: Codes
    """The true value: 0…V−1, the same for all prompts of an entity."""

    @property
    def values(self) -> int:
        return int(self.value.max()) + 1

    def folds(self, rng: np.random.Generator) -> Codes:
        """The fold of each prompt; an entity is in one fold alone."""
        count = int(self.entity.max()) + 1
        return (rng.permutation(count) % min(FOLDS, count))[self.entity]

    def dealt(self, rng: np.random.Generator) -> Codes:
        """The control task: the values of all entities dealt anew among them, (P,)."""
        of_entity = np.zeros(int(self.entity.max()) + 1, dtype=np.intp)
        of_entity[self.entity] = self.value
        return np.asarray(rng.permutation(of_entity)[self.entity])


@dataclass(frozen=True)
class LinearProbe:
    """For every fold, a probe fitted to the states of the entities outside it."""

    facts: Facts
    fold: Codes
    train: Floats
    """The states it is fitted to: (P, D)."""

    def predict(self, states: Floats, labels: NDArray[np.intp] | None = None) -> Codes:
        """The value read off each row of `states` (P, D), prompts as in `facts`, by the probe that has seen
        no state of its entity. `labels` (P,) replaces the true values that it is fitted to."""
        target = np.eye(self.facts.values)[self.facts.value if labels is None else labels]
        found = np.empty(len(states), dtype=np.intp)
        for k in np.unique(self.fold):
            here = self.fold == k
            known = self.train[~here]
            centre, share = known.mean(axis=0), target[~here].mean(axis=0)
            known = known - centre
            gram = known @ known.T
            weight = np.linalg.solve(
                gram + RIDGE * (np.trace(gram) / len(gram) + 1e-12) * np.eye(len(gram)), target[~here] - share
            )
            found[here] = ((states[here] - centre) @ known.T @ weight + share).argmax(axis=1)
        return found

    def control(self, states: Floats, rng: np.random.Generator) -> Floats:
        """Share of `CONTROLS` deals in which the value dealt to it is read off each row: (P,)."""
        hits = np.zeros(len(states))
        for _ in range(CONTROLS):
            dealt = self.facts.dealt(rng)
            hits += self.predict(states, dealt) == dealt
        return hits / CONTROLS
