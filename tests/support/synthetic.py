"""A complete experiment directory with planted truth, for tests of everything that reads records.

`write_experiment` follows the record contract file by file but trains nothing: the curves are laws with known
coefficients (`RL`, `BEST_OF_N`), the behaviours known rates (`Behaviour`), the noise independent of both.
The text of a completion agrees with its outcome row; its scores are planted, not computed from the text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from synthetic_quiz import Behaviour, answer, quiz_audit, quiz_items, say

from analysis.records.experiment import SCHEMA, write_table

__all__ = ["BEST_OF_N", "RL", "Behaviour", "Coefficients", "rl_law", "write_experiment"]


class Coefficients(NamedTuple):
    alpha: float
    beta: float


RL = {
    "starved": {"gold": Coefficients(0.9, 0.6), "oracle": Coefficients(0.5, 0.5)},
    "ample": {"gold": Coefficients(1.0, 0.4), "oracle": Coefficients(0.8, 0.45)},
}
"""Planted d(alpha - beta log d) per proxy and curve: gold peaks at KL 2.7 (starved) and 20.1 (ample) nats."""

BEST_OF_N = {
    "starved": {"gold": Coefficients(0.9, 0.4), "oracle": Coefficients(0.6, 0.35)},
    "ample": {"gold": Coefficients(0.8, 0.25), "oracle": Coefficients(0.7, 0.3)},
}
"""Planted d(alpha - beta d): gold peaks at KL 1.3 (starved) and 2.6 (ample) nats."""

PAIRS = {"starved": 400, "ample": 4000}
KL_GRID = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.5, 6.0, 8.0, 11.0, 14.0, 18.0, 23.0, 28.0)
STEP = 10

# Raw scores sit on scales of their own, so that forgetting to standardise cannot go unnoticed: (mean, s.d.).
RAW = {"gold": (3.0, 2.0), "oracle": (1.0, 1.5), "proxy": (-5.0, 4.0)}


def write_experiment(
    root: Path,
    *,
    seed: int = 0,
    world: str = "quiz",
    name: str = "synthetic",
    clusters: int = 60,
    kl_grid: Sequence[float] = KL_GRID,
    budgets: Sequence[float] = (2.0, 8.0),
    proxies: Sequence[str] = ("starved", "ample"),
    proxy_seeds: int = 1,
    policy_seeds: int = 1,
    methods: Mapping[str, float] = {"rloo": 0.0},
    later_kl: bool = True,
    pool: tuple[int, int] | None = (60, 64),
    behaviour: Behaviour | Mapping[str, Behaviour] | None = None,
    noise: float = 0.3,
    failed_run: bool = False,
    unscored_step: int | None = None,
    shuffle: bool = False,
) -> Path:
    """Write an experiment under `root / name` and return that folder.

    Proxies of other names have the curves of "ample"; `behaviour` may be by proxy. `methods` (by default
    rloo) maps each to what it adds to gold and oracle per unit of d; every next one has its points 8 %
    further apart in KL. Without `later_kl` samples lack what older records lack.

    `kl_grid` holds the KL of each point of a path run; `budgets` makes one target run each, which ends 5 %
    over its budget, or 40 % for the largest budget of the last proxy. `pool` is (prompts, samples per
    prompt). `noise` is the s.d. a score gains per unit of d. `failed_run` adds a planned run that left two
    points; `unscored_step` takes the scores of that step of the first run away; `shuffle` permutes tables.
    """
    writer = _Writer(root / name, np.random.default_rng(seed), shuffle, later_kl)
    rates = behaviour if isinstance(behaviour, Mapping) else dict.fromkeys(proxies, behaviour or Behaviour())
    quiz = world == "quiz"
    items = quiz_items(writer.rng, clusters) if quiz else _text_items("t", clusters * 4)
    writer.table("items.parquet", items, "items")

    rows = []
    for place, proxy in enumerate(proxies):
        for proxy_seed in range(proxy_seeds):
            for run_seed in range(policy_seeds):
                targets: list[float | None] = [None, *budgets]
                for (order, method), budget in product(enumerate(methods), targets):
                    control = "path" if budget is None else "target"
                    label = "" if budget is None else f"-{budget:g}"
                    rows.append({
                        "run_id": f"{method}-{control}{label}-{proxy}-{proxy_seed}-{run_seed}",
                        "group": control, "method": method, "control": control, "budget": budget,
                        "proxy": proxy, "proxy_pairs": PAIRS.get(proxy, 1000), "proxy_seed": proxy_seed,
                        "seed": run_seed, "status": "complete", "error": None,
                    })  # fmt: skip
                    missed = budget == max(budgets, default=None) and place == len(proxies) - 1
                    grid = kl_grid if budget is None else _towards(budget * (1.4 if missed else 1.05))
                    grid = tuple(kl * 1.08**order for kl in grid)
                    writer.run(rows[-1], items, grid, rates[proxy], quiz, noise, methods[method])
    if failed_run:
        broken = {**rows[0], "run_id": "rloo-path-broken", "seed": 99, "status": "failed"}
        rows.append({**broken, "error": "loss is nan at step 15"})
        writer.run(rows[-1], items, kl_grid[:2], rates[proxies[0]], quiz, noise)
    if unscored_step is not None:
        (writer.path / str(rows[0]["run_id"]) / "points" / f"{unscored_step:06d}" / "scores.parquet").unlink()

    replicates = [(proxy, s) for proxy in proxies for s in range(proxy_seeds)]
    if quiz:
        writer.reference(items, rates[proxies[0]])
        writer.table("audit.parquet", quiz_audit(items, replicates), "audit")
    if pool:
        writer.pool(*pool, replicates, quiz)
    writer.cards(replicates, quiz)
    writer.json("experiment.json", {
        "schema": SCHEMA, "experiment": name, "world": world, "has_oracle": quiz,
        "status": "partial" if failed_run else "complete", "seed": seed, "reference_runs": None, "runs": rows,
        "pool": pool and {"run_id": "best_of_n", "samples": pool[1], "prompts": pool[0],
                          "proxies": list(proxies)},
        "proxies": {proxy: {"pairs": PAIRS.get(proxy, 1000), "seeds": proxy_seeds} for proxy in proxies},
        "wall_seconds": {"total": 100.0, "sft": 20.0, "gold": 30.0, "policies": 50.0},
        "provenance": {"git_commit": "0123456789abcdef" * 2, "git_dirty": False,
                       "packages": {"trl": "1.16.0"}, "hardware": {"cpus": 2},
                       "command": "overopt run synthetic.yaml"},
    })  # fmt: skip
    (writer.path / "config.yaml").write_text(f"name: {name}\nseed: {seed}\n")
    return writer.path


def rl_law(coefficients: Coefficients, d: float) -> float:
    return 0.0 if d == 0 else d * (coefficients.alpha - coefficients.beta * float(np.log(d)))


def _towards(kl: float) -> tuple[float, ...]:
    return tuple(kl * share for share in (0.0, 0.25, 0.5, 0.75, 1.0))


def _text_items(prefix: str, count: int) -> pd.DataFrame:
    ids = [f"{prefix}{i:04d}" for i in range(count)]
    return pd.DataFrame({
        "item_id": ids, "cluster": ids, "condition": "natural", "weight": 1.0,
        "prompt": [f"\n\nHuman: question {i}\n\nAssistant:" for i in range(count)],
    })  # fmt: skip


def _unit(z: np.ndarray, weight: np.ndarray) -> np.ndarray:
    z = z - np.average(z, weights=weight)
    return z / np.sqrt(np.average(z**2, weights=weight))


def planted_quantile(target: Callable[[np.ndarray], np.ndarray], u: np.ndarray) -> np.ndarray:
    """h(u) such that E[h(max of n uniforms)] = target(n) to within about a percent, for n up to 512."""
    grid = (np.arange(40_000) + 0.5) / 40_000
    n = np.unique(np.round(2 ** np.linspace(0, 9, 40)))[:, None]

    def basis(x: np.ndarray) -> np.ndarray:
        tail = -np.log1p(-x)
        return np.stack([np.ones_like(x), x, x**2, tail, np.sqrt(tail), np.log(x), np.log1p(tail)])

    density = n * grid ** (n - 1) / len(grid)
    coefficients, *_ = np.linalg.lstsq(density @ basis(grid).T, target(n[:, 0]), rcond=1e-8)
    return coefficients @ basis(u)


class _Writer:
    def __init__(self, path: Path, rng: np.random.Generator, shuffle: bool, later_kl: bool) -> None:
        self.path, self.rng, self.shuffle, self.later_kl = path, rng, shuffle, later_kl
        self._common: dict[str, np.ndarray] = {}

    def table(self, name: str, frame: pd.DataFrame, kind: Any) -> None:
        if self.shuffle:
            order = np.random.default_rng(len(name) + len(frame)).permutation(len(frame))
            frame = frame.iloc[order].reset_index(drop=True)
        write_table(self.path / name, frame, kind)

    def json(self, name: str, document: dict[str, Any]) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1))

    def common(self, role: str, size: int) -> np.ndarray:
        """Uniform draws shared by all points of all runs (common random numbers)."""
        if role not in self._common:
            self._common[role] = self.rng.uniform(1e-6, 1 - 1e-6, size)
        return self._common[role]

    def point(self, folder: str, outcomes: pd.DataFrame, texts: list[str], kl: np.ndarray,
              scores: dict[str, np.ndarray]) -> None:  # fmt: skip
        """The three tables of a point; arrays follow the rows of `outcomes`."""
        length = np.array([len(text.split()) + 1 for text in texts])
        key = {"item_id": outcomes["item_id"], "sample_id": outcomes["sample_id"]}
        self.table(f"{folder}/samples.parquet", pd.DataFrame({
            **key, "completion": texts, "ids": [[7] * int(size - 1) + [1] for size in length],
            "logp": -1.5 * length + kl, "logp_ref": -1.5 * length, "kl": kl, "k1": kl, "k2": kl + kl**2 / 2,
            "k3": kl, "kl_reverse": 0.8 * kl, "length": length, "finished": True,
            **({"k1_clamped": 1.5 * kl, "k2_prompt": 0.5 * kl} if self.later_kl else {}),
        }), "samples")  # fmt: skip
        self.table(f"{folder}/outcomes.parquet", outcomes, "outcomes")
        frames = [pd.DataFrame({**key, "scorer": scorer, "value": value}) for scorer, value in scores.items()]
        self.table(f"{folder}/scores.parquet", pd.concat(frames, ignore_index=True), "scores")

    def run(self, row: dict[str, Any], items: pd.DataFrame, grid: Sequence[float], behaviour: Behaviour,
            quiz: bool, noise: float, gain: float = 0.0) -> None:  # fmt: skip
        size, weight = len(items), items["weight"].to_numpy()
        u, v = self.common("u", size), self.common("v", size)
        base = {s: _unit(np.log(x / (1 - x)), weight) for s in RAW for x in [self.common(f"base {s}", size)]}
        scorer, planted = f"proxy/{row['proxy']}/{row['proxy_seed']}", RL.get(row["proxy"], RL["ample"])
        for index, mean_kl in enumerate(grid):
            d = float(np.sqrt(mean_kl))
            spread = self.rng.gamma(8.0, 1 / 8.0, size)
            kl = mean_kl * spread / np.average(spread, weights=weight)
            laws = {s: rl_law(c, d) + gain * d for s, c in planted.items()} | {"proxy": 0.9 * d}
            scores = {}
            for kind in ("gold", "proxy", *(["oracle"] if quiz else [])):
                unit = base[kind] + laws[kind] + noise * d * self.rng.standard_normal(size)
                scores[scorer if kind == "proxy" else kind] = RAW[kind][0] + RAW[kind][1] * unit
            if quiz:
                outcomes = answer(items, behaviour, d, u, v)
                texts = say(outcomes)
            else:
                texts = [f"answer {i} ." for i in range(size)]
                outcomes = pd.DataFrame({"item_id": items["item_id"], "sample_id": "000", "words": 3,
                                         "repetition": 0.0})  # fmt: skip
            self.point(f"{row['run_id']}/points/{index * STEP:06d}", outcomes, texts, kl, scores)
        steps = [index * STEP for index in range(len(grid))]
        self.json(f"{row['run_id']}/manifest.json", {"schema": SCHEMA, **row, "points": steps})
        lines = [json.dumps({"step": s, "time": 1.7e9 + s, "reward": 0.1 * s}) for s in steps]
        (self.path / row["run_id"] / "metrics.jsonl").write_text("\n".join(lines) + "\n")

    def reference(self, items: pd.DataFrame, behaviour: Behaviour, samples: int = 8) -> None:
        neutral = items[items["condition"] == "neutral"]
        # Nobody's belief is in these prompts, but `_answer` avoids stating the wrong belief of the cluster.
        wrong = items[items["condition"] == "wrong"].set_index("cluster")["belief"]
        asked = neutral.assign(belief=neutral["cluster"].map(wrong))
        draws = []
        for k in range(samples):
            u, v = self.rng.uniform(size=(2, len(neutral)))
            draws.append(answer(asked, behaviour, 0.0, u, v).assign(sample_id=f"{k:03d}", follows=None))
        outcomes = pd.concat(draws, ignore_index=True)
        self.point("reference", outcomes, say(outcomes), np.zeros(len(outcomes)),
                   {"gold": self.rng.normal(*RAW["gold"], len(outcomes))})  # fmt: skip

    def pool(self, prompts: int, samples: int, replicates: Sequence[tuple[str, int]], quiz: bool) -> None:
        items = _text_items("p", prompts)
        self.table("pool_items.parquet", items, "items")
        key = pd.DataFrame({
            "item_id": np.repeat(items["item_id"].to_numpy(), samples),
            "sample_id": [f"{k:03d}" for _ in range(prompts) for k in range(samples)],
        })  # fmt: skip
        scores: dict[str, np.ndarray] = {}
        # Gold is a sum over proxies of a function of that proxy's quantile. The quantiles are independent, so
        # each proxy sees its own planted law and the rest as noise. Replicates of a proxy rank alike.
        truths = ("gold", "oracle") if quiz else ("gold",)
        scores |= {kind: np.zeros(len(key)) for kind in truths}
        for proxy in dict.fromkeys(proxy for proxy, _ in replicates):
            u = self.rng.uniform(1e-6, 1 - 1e-6, len(key))
            for proxy_seed in (s for other, s in replicates if other == proxy):
                mean, sd = RAW["proxy"]
                scores[f"proxy/{proxy}/{proxy_seed}"] = mean + sd * np.log(u / (1 - u))
            law = BEST_OF_N.get(proxy, BEST_OF_N["ample"])
            for kind in truths:
                scores[kind] += planted_quantile(_bon_target(law[kind]), u)
        for kind in truths:
            left = max(1.0 - scores[kind].var(), 0.0)
            unit = scores[kind] + np.sqrt(left) * self.rng.standard_normal(len(key))
            scores[kind] = RAW[kind][0] + RAW[kind][1] * (unit - unit.mean()) / unit.std()
        self.point("best_of_n/points/000000", key.assign(words=3), ["it is borel ."] * len(key),
                   np.zeros(len(key)), scores)  # fmt: skip

    def cards(self, replicates: Sequence[tuple[str, int]], quiz: bool) -> None:
        cards: list[dict[str, Any]] = [{"name": "gold", "kind": "gold", "pairs": 12000, "accuracy": 0.86}]
        for proxy, proxy_seed in replicates:
            cards.append({"name": f"proxy/{proxy}/{proxy_seed}", "kind": "proxy", "proxy": proxy,
                          "proxy_seed": proxy_seed, "pairs": PAIRS.get(proxy, 1000),
                          "accuracy": 0.6 if proxy == "starved" else 0.74})  # fmt: skip
        for card in cards:
            a = card["accuracy"]
            bins = [
                {"confidence": c, "accuracy": 0.1 + 0.8 * c, "count": 60} for c in (0.55, 0.65, 0.8, 0.95)
            ]
            self.json(f"reward_models/{card['name'].replace('/', '-')}.json", {
                "schema": SCHEMA, "proxy": None, "proxy_seed": None, **card,
                "accuracy_ci": [a - 0.03, a + 0.03], "ece": 0.06, "length_correlation": 0.2,
                "oracle_agreement": a - 0.02 if quiz else None,
                "gold_agreement": None if card["kind"] == "gold" else a - 0.05, "reliability": bins,
                "heldout_pairs": 800, "label_flip_share": 0.1,
            })  # fmt: skip


def _bon_target(c: Coefficients) -> Callable[[np.ndarray], np.ndarray]:
    def target(n: np.ndarray) -> np.ndarray:
        d2 = np.log(n) - (n - 1) / n
        return c.alpha * np.sqrt(d2) - c.beta * d2

    return target
