"""The part of best-of-n that needs π_ref and the proxy: a pool for every prompt, and draws from its ranks."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.pool.best_of_n import Pool
from training.methods.job import PolicyJob
from training.methods.trainers.parts import ProxyReward
from training.sampling import sample
from training.sampling.points import Observer, point_name, publish
from training.streams import stream

if TYPE_CHECKING:
    from training.methods.best_of_n import BestOfN


def draw_points(method: BestOfN, job: PolicyJob) -> None:
    """A point for π_ref, then one for each n; see `BestOfN.train`."""
    started = time.perf_counter()
    job.journal.keep_until(0)
    if job.measure:
        reference = sample.load_policy(job.reference)
        observer = Observer(job.out, job.world, reference, seed=job.observe_seed, batch_size=job.batch_size)
        observer.point(0, reference)
        drawn, ranked = _pool(method, job)
        for n in method.sizes(job.control, job.budget):
            _point(job, drawn, ranked, n)
    seconds = time.perf_counter() - started
    # Nothing is trained: all of it is measuring.
    (job.out / "seconds.json").write_text(json.dumps({"total": seconds, "measuring": seconds}))


def pool(job: PolicyJob, items: pd.DataFrame, samples: int, seed: int) -> tuple[pd.DataFrame, Pool]:
    """`samples` completions of π_ref for each item, in the order of the items, and their ranks by the
    proxy."""
    tokenizer = job.world.tokenizer()
    drawn = sample.draw(
        sample.load_policy(job.reference),
        None,
        tokenizer,
        items,
        samples=samples,
        max_tokens=job.world.max_completion_tokens,
        seed=seed,
        batch_size=job.batch_size,
    )
    asked = items["prompt"].repeat(samples).tolist()
    rewards = ProxyReward(job).of(asked, drawn["ids"].tolist(), drawn["item_id"].tolist(), items)
    return drawn, Pool.rank(rewards.reshape(-1, samples))


def _pool(method: BestOfN, job: PolicyJob) -> tuple[pd.DataFrame, Pool]:
    return pool(job, job.world.prompts("eval"), method.samples, stream(job.seed, "pool"))


def _point(job: PolicyJob, drawn: pd.DataFrame, ranked: Pool, n: int) -> None:
    folder = job.out / "points" / point_name(n)
    if folder.exists():
        return
    items = job.world.prompts("eval")
    rng = np.random.default_rng(stream(job.seed, "draw", n))
    chosen, ratio = ranked.draw(n, rng)
    rows = drawn.iloc[chosen + np.arange(len(items)) * ranked.size].reset_index(drop=True)
    size = np.array([n])
    said = rows.assign(
        sample_id="000",
        logp=rows["logp_ref"] + ratio,
        kl=ranked.kl(size)[:, 0],
        k1=ratio,
        k2=0.5 * ratio**2,
        k3=np.exp(-ratio) - 1 + ratio,
        kl_reverse=ranked.kl_reverse(n),
        k1_clamped=ratio.clip(min=0),
    )
    publish(folder, said, job.world.outcomes(said, items))
    job.journal(n, n, {"n": float(n), "kl_sequence": float(ranked.kl(size).mean())})
