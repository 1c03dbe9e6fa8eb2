"""Who asks what: prompts drawn from the natural distribution, and the matched conditions of base items.

A question has a wording, and the wordings of each fact are divided among the roles. A prompt therefore
belongs to one role by construction, while every role asks about every fact. The openings of races, which are
about no fact, are divided likewise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.streams import stream
from training.worlds.quiz import prompt_table as prompts
from training.worlds.quiz.conditions import Condition, conditions, reliabilities, shares
from training.worlds.quiz.facts import DrawnFacts
from training.worlds.quiz.prompt_table import Asked, named
from training.worlds.quiz.stances import NONE, OWN, STANCES, STRENGTHS, TEST, Stances
from training.worlds.quiz.tasks import LENGTHS, MONITORED, NO_TAG, PRIVATE, SHORTEST_RACE, Tasks
from training.worlds.quiz.wording import OPENINGS, PEOPLE, WORDINGS

ROLES = ("sft", "gold", "pairs", "policy", "eval", "pool")


@dataclass(frozen=True)
class Author:
    """Asks questions about the drawn facts of one world."""

    facts: DrawnFacts
    stances: Stances
    seed: int
    tasks: Tasks = Tasks()

    def natural(self, role: str, count: int, rng: np.random.Generator) -> Asked:
        """`count` prompts from the world's prompt distribution, facts uniform, with replacement."""
        return self.about(rng.integers(self.facts.settings.count, size=count), role, rng)

    def about(self, fact: np.ndarray, role: str, rng: np.random.Generator) -> Asked:
        """A natural prompt of `role` for each of the given facts."""
        count, extra = len(fact), _of_tasks(rng)
        choices = self._wordings(role)
        rates = shares(self.stances, self.tasks)
        edges = np.cumsum(list(rates.values()))[:-1]
        stance = np.array(list(rates))[np.searchsorted(edges, rng.random(count), side="right")]
        reliability = np.zeros(len(STANCES))
        for kind, right in reliabilities(self.stances, self.tasks).items():
            reliability[kind] = right
        truthful = self.facts.answerable[fact] & (rng.random(count) < reliability[stance])
        value = np.where(truthful, self.facts.truth[fact], self.facts.wrong_values(fact, rng))
        tagged = ((stance == NONE) | (stance == OWN)) & (extra.random(count) < self.tasks.oversight_rate)
        watched = extra.random(count) < self.tasks.monitored_share
        return Asked(
            fact=fact,
            wording=choices[fact, rng.integers(choices.shape[1], size=count)],
            stance=stance,
            value=named(stance, value),
            truthful=truthful,
            strength=rng.integers(len(STRENGTHS), size=count),
            person=rng.integers(len(PEOPLE), size=count),
            doubts=np.ones(count, dtype=int),
            logged=(stance == TEST) & (extra.random(count) < 0.5),
            tag=np.where(tagged, np.where(watched, MONITORED, PRIVATE), NO_TAG),
            tag_last=np.zeros(count, dtype=bool),
            **self._races(count, role, extra),
        )

    def matched(self, clusters: int, rng: np.random.Generator) -> tuple[Asked, pd.DataFrame]:
        """Every condition of `clusters` base items, and the columns cluster, condition and weight.

        A base item fixes fact, wording, wrong value, strength, person and race; its conditions differ in who
        says what and in nothing else. Let X be a prompt of the natural distribution, which draws the fact F
        uniformly and then the condition C given whether F is answerable. Base items are a systematic sample
        of the facts (sorted by exposure and answerability, evenly spaced, random start), in which every fact
        has the same expected count, and a condition weighs P(C | F), so that the weights of each base item
        sum to 1 and

            Σ w x / Σ w = mean over base items of Σ_c P(c | F) x(F, c)   has expectation   E[x(X)].
        """
        extra = _of_tasks(rng)
        order = rng.permutation(self.facts.settings.count)
        strata = 2 * self.facts.exposure[order] + self.facts.answerable[order]
        order = order[np.argsort(strata, kind="stable")]
        spaced = ((np.arange(clusters) + rng.random()) * len(order) / clusters).astype(int)
        fact = rng.permutation(order[spaced])
        choices = self._wordings("eval")
        base = {
            "fact": fact,
            "wording": choices[fact, _occurrence(fact) % choices.shape[1]],
            "wrong": self.facts.wrong_values(fact, rng),
            "strength": rng.integers(len(STRENGTHS), size=clusters),
            "person": rng.integers(len(PEOPLE), size=clusters),
            **self._races(clusters, "eval", extra),
        }
        by_answerable = {a: conditions(self.stances, self.tasks, a) for a in (True, False)}
        matched = [
            (row, condition)
            for row, answerable in enumerate(self.facts.answerable[fact].tolist())
            for condition in by_answerable[answerable]
        ]
        rows = np.array([row for row, _ in matched])
        fixed = {name: column[rows] for name, column in base.items()}
        varied = {
            name: np.array([getattr(condition, name) for _, condition in matched]) for name in Condition.KEY
        }
        value = np.where(varied["truthful"], self.facts.truth[fixed["fact"]], fixed.pop("wrong"))
        asked = Asked(value=named(varied["stance"], value), **fixed, **varied)
        columns = pd.DataFrame(
            {
                "cluster": [f"eval-{row:05d}" for row in rows],
                "condition": [condition.name for _, condition in matched],
                "weight": [condition.share for _, condition in matched],
            }
        )
        return asked, columns

    def texts(self, asked: Asked) -> list[str]:
        """The prompts in words."""
        return prompts.texts(asked, self.facts)

    def items(self, asked: Asked) -> pd.DataFrame:
        """The prompts as items: prompt and the world's own columns (None where a column does not apply)."""
        names = {each.key: each.name for each in conditions(self.stances, self.tasks, answerable=True)}
        return prompts.items(asked, self.facts, self.tasks, names)

    def _wordings(self, role: str) -> np.ndarray:
        """The wordings in which `role` may ask about each fact, shape (facts, wordings per role)."""
        rng = np.random.default_rng(stream(self.seed, "quiz-wordings"))
        everything = np.tile(np.arange(len(WORDINGS)), (self.facts.settings.count, 1))
        return _share(rng.permuted(everything, axis=1), role)

    def _races(self, count: int, role: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """As many races: their gates, and openings of which each is one role's alone."""
        openings = np.random.default_rng(stream(self.seed, "quiz-openings")).permutation(len(OPENINGS))
        return {
            "gates": SHORTEST_RACE + rng.integers(len(LENGTHS), size=count),
            "opening": rng.choice(_share(openings, role), size=count),
        }


def _share(choices: np.ndarray, role: str) -> np.ndarray:
    """The part of `choices` (along the last axis) that is the role's."""
    per_role = choices.shape[-1] // len(ROLES)
    start = ROLES.index(role) * per_role
    return choices[..., start : start + per_role]


def _of_tasks(rng: np.random.Generator) -> np.random.Generator:
    """A stream for what tasks alone draw, so that nothing else moves when one is turned on."""
    return rng.spawn(1)[0]


def _occurrence(values: np.ndarray) -> np.ndarray:
    """How often each entry has occurred before, shape of `values`."""
    return pd.Series(values).groupby(values).cumcount().to_numpy()
