"""Best-of-n and the optimiser-free frontier against enumeration, from pools drawn out of the exact law.

A check is a function that measures how wrong a part is; parts with a planted bug must come out wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from laboratory import Laboratory
from numpy.typing import NDArray

from analysis.pool import best_of_n, exact
from analysis.pool.exact import Floats
from analysis.pool.frontier import EFFECTIVE, Tilted
from analysis.records import contracts
from analysis.records.experiment import Point
from analysis.records.run_curves import SampleKeys, read_scores
from reward_models.gold import Programmatic
from training.sampling.points import publish
from training.stages.score import writer
from training.stages.task import Task
from training.store.journal import Journal

N = np.array([1, 2, 4, 8, 16])
BETAS = (2.0, 1.0, 0.7)
TOLERANCE = 0.005
"""Of scores in their s.d. on π_ref (relative beyond one s.d.), of best-of-n's KL relative, else in nats."""


class Pool(NamedTuple):
    """Completions drawn from π_ref, as indices into the enumeration: (pools, samples), one prompt each."""

    prompt: int
    drawn: NDArray[np.intp]


def pools(laboratory: Laboratory, count: int, samples: int) -> list[Pool]:
    """`count` independent pools of every prompt."""
    rng = np.random.default_rng(0)
    found = []
    for prompt, log_p in enumerate(laboratory.log_reference):
        law = np.exp(log_p) / np.exp(log_p).sum()
        found.append(Pool(prompt, rng.choice(len(law), size=(count, samples), p=law)))
    return found


def standardised(laboratory: Laboratory, score: Floats) -> Floats:
    """`score` with mean 0 and s.d. 1 on π_ref, prompt by prompt."""
    mean = exact.expected(laboratory.log_reference, score)[:, None]
    return (score - mean) / np.sqrt(exact.expected(laboratory.log_reference, (score - mean) ** 2)[:, None])


def best_of_n_error(
    laboratory: Laboratory, proxy: Floats, pool: type[best_of_n.Pool] = best_of_n.Pool
) -> dict[str, float]:
    """Largest error of E[proxy], E[oracle] and KL of best-of-n over prompts and n.

    Scores are in s.d. on π_ref, and their estimates means over so many pools that sampling error is far below
    the tolerance; KL is relative, and from pools large enough that its plug-in estimate is.
    """
    oracle, proxy = standardised(laboratory, laboratory.oracle), standardised(laboratory, proxy)
    worst = {"proxy": 0.0, "oracle": 0.0, "kl": 0.0}

    def note(name: str, error: Floats) -> None:
        worst[name] = max(worst[name], float(np.abs(error).max()))

    many, large = pools(laboratory, 8000, 64), pools(laboratory, 8, 16_384)
    for prompt, drawn in many:
        ranked = pool.rank(proxy[prompt][drawn])
        laws = _laws(laboratory, proxy, prompt)
        for name, score in (("proxy", proxy), ("oracle", oracle)):
            mean = ranked.expected(score[prompt][drawn], N).mean(axis=0)
            truth = np.array([exact.expected(law, score[prompt]) for law in laws])
            note(name, (mean - truth) / np.maximum(1, np.abs(truth)))
    for prompt, drawn in large:
        measured = pool.rank(proxy[prompt][drawn]).kl(N[1:]).mean(axis=0)
        kl = [exact.kl(law, laboratory.log_reference[prompt]) for law in _laws(laboratory, proxy, prompt)]
        note("kl", measured / kl[1:] - 1)
    return worst


def _laws(laboratory: Laboratory, proxy: Floats, prompt: int) -> list[Floats]:
    return [exact.best_of_n(laboratory.log_reference[prompt], proxy[prompt], int(n)) for n in N]


@pytest.mark.parametrize("ties", [False, True], ids=["every completion its own value", "many ties"])
def test_best_of_n_has_the_exact_scores_and_kl(laboratory: Laboratory, ties: bool) -> None:
    worst = best_of_n_error(laboratory, laboratory.oracle if ties else laboratory.reward)
    assert max(worst.values()) < TOLERANCE, worst


class _ShuffledGold(best_of_n.Pool):
    """Joins a score to the proxy by order after the proxy was sorted."""

    def expected(self, score: Floats, n: Any) -> Floats:
        return np.asarray(score @ best_of_n.rank_weights(n, self.size).T)


class _BoundForKL(best_of_n.Pool):
    """Takes the bound, which knows no ties, for the KL."""

    def kl(self, n: Any) -> Floats:
        return np.tile(best_of_n.kl_bound(n), (len(self.block), 1))


class _WorstOfN(best_of_n.Pool):
    """Has the sign of the proxy wrong."""

    @classmethod
    def rank(cls, proxy: Floats) -> best_of_n.Pool:
        return super().rank(-proxy)


@pytest.mark.parametrize(
    ("broken", "wrong"),
    [(_ShuffledGold, "oracle"), (_BoundForKL, "kl"), (_WorstOfN, "proxy"), (_WorstOfN, "kl")],
)
def test_a_broken_best_of_n_is_caught(
    broken: type[best_of_n.Pool], wrong: str, laboratory: Laboratory
) -> None:
    assert best_of_n_error(laboratory, laboratory.oracle, broken)[wrong] > 2 * TOLERANCE


# ---------------------------------------------------------------- the frontier

Tilt = Callable[[Floats, float], Tilted]


def frontier_error(laboratory: Laboratory, tilt: Tilt) -> dict[str, float]:
    """Largest error of E[proxy], E[oracle] (s.d. on π_ref) and KL (nats) of the tilted pool over β."""
    oracle = standardised(laboratory, laboratory.oracle)
    worst = {"proxy": 0.0, "oracle": 0.0, "kl": 0.0}
    for prompt, drawn in pools(laboratory, 4000, 128):
        log_p, reward = laboratory.log_reference[prompt], laboratory.reward[prompt]
        for beta in BETAS:
            tilted, best = tilt(reward[drawn], beta), exact.tilted(log_p, reward, beta)
            assert tilted.effective.mean() > EFFECTIVE, "asked for more than is called reliable"
            measured = {
                "proxy": tilted.expected(reward[drawn]).mean() - exact.expected(best, reward),
                "oracle": tilted.expected(oracle[prompt][drawn]).mean()
                - exact.expected(best, oracle[prompt]),
                "kl": tilted.kl().mean() - exact.kl(best, log_p),
            }
            for name, error in measured.items():
                worst[name] = max(worst[name], float(abs(error)))
    return worst


def test_the_frontier_is_the_exact_optimum(laboratory: Laboratory) -> None:
    worst = frontier_error(laboratory, Tilted.of)
    assert max(worst.values()) < TOLERANCE, worst


def _wrong_sign(proxy: Floats, beta: float) -> Tilted:
    return Tilted.of(-proxy, beta)


def _squared(proxy: Floats, beta: float) -> Tilted:
    """Takes β for the weight of the reward."""
    return Tilted.of(proxy, 1 / beta**2)


def _by_order(proxy: Floats, beta: float) -> Tilted:
    """Joins weights to samples by order after sorting."""
    return Tilted.of(np.sort(proxy, axis=1), beta)


@pytest.mark.parametrize(
    ("broken", "wrong"), [(_wrong_sign, "proxy"), (_squared, "kl"), (_by_order, "oracle")]
)
def test_a_broken_frontier_is_caught(broken: Tilt, wrong: str, laboratory: Laboratory) -> None:
    assert frontier_error(laboratory, broken)[wrong] > 2 * TOLERANCE


# ---------------------------------------------------------------- joining scores to samples


def scored_pool(laboratory: Laboratory, folder: Path, samples: int = 256) -> Point:
    """A pool of π_ref as the testbed records it, its tables' rows in orders of their own."""
    enumeration, rng = laboratory.enumeration, np.random.default_rng(1)
    parts = []
    for prompt, drawn in pools(laboratory, 1, samples):
        rows = enumeration.samples.iloc[prompt * len(enumeration.tree.completions) + drawn[0]]
        parts.append(rows.assign(sample_id=[f"{i:03d}" for i in range(samples)]))
    table = pd.concat(parts, ignore_index=True)
    table = table.assign(**dict.fromkeys(("logp", "logp_ref", "kl", "k1", "k2", "k3", "kl_reverse"), 0.0))
    publish(folder / "000000", table, enumeration.world.outcomes(table, enumeration.items))
    settings = {"batch_size": 4096, "gold": Programmatic().model_dump(mode="json")}
    enumeration.items.to_parquet(folder / "items.parquet")
    inputs = {"samples": folder, "world": enumeration.world.folder, "gold": folder}
    inputs["proxy"] = laboratory.home / "proxy"
    parts = []
    for name in ("gold", "oracle", "proxy/random/0"):
        task = Task(folder / name, {**settings, "scorer": name}, inputs, Journal(folder / "journal"))
        writer(task)(folder / "000000", folder / name)
        parts.append(contracts.read_table(folder / name / "scores.parquet", "scores"))
    scores = pd.concat(parts, ignore_index=True)
    shuffled = scores.iloc[rng.permutation(len(scores))].reset_index(drop=True)
    contracts.write_table(folder / "000000" / "scores.parquet", shuffled, "scores")
    return Point(folder / "000000", 0)


def join_error(laboratory: Laboratory, point: Point) -> float:
    """Distance of gold under best-of-8 by the proxy, read from the records, to its exact value: s.d. of gold
    on π_ref, mean over prompts. A pool's sampling error is about a twentieth."""
    keys = SampleKeys(laboratory.enumeration.items, point.samples(), point.path)
    raw = read_scores(point, keys)
    scores = {name: value.reshape(len(laboratory.reward), -1) for name, value in raw.items()}
    n = np.array([8])
    measured = best_of_n.Pool.rank(scores["proxy/random/0"]).expected(scores["gold"], n)[:, 0]
    law = exact.best_of_n(laboratory.log_reference, laboratory.reward, 8)
    spread = np.sqrt(np.var(scores["gold"], axis=1))
    return float(np.abs((measured - exact.expected(law, laboratory.oracle)) / spread).mean())


JOIN_TOLERANCE = 0.2


@pytest.fixture
def rows_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read the scores in the order of the file; a reader that sorts them would hide a join by order."""
    monkeypatch.setattr(Point, "scores", lambda self: pd.read_parquet(self.path / "scores.parquet"))


@pytest.mark.usefixtures("rows_as_written")
def test_gold_is_joined_by_id(laboratory: Laboratory, tmp_path: Path) -> None:
    assert join_error(laboratory, scored_pool(laboratory, tmp_path)) < JOIN_TOLERANCE


@pytest.mark.usefixtures("rows_as_written")
def test_gold_joined_by_order_is_caught(
    laboratory: Laboratory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_order(self: SampleKeys, frame: pd.DataFrame, where: Path) -> NDArray[np.intp]:
        return np.asarray(frame.groupby("scorer").cumcount(), dtype=np.intp)

    monkeypatch.setattr(SampleKeys, "find", by_order)
    assert join_error(laboratory, scored_pool(laboratory, tmp_path)) > JOIN_TOLERANCE
