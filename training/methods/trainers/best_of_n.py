"""The part of best-of-n that needs π_ref and the proxy: a pool for every prompt, and draws from its ranks."""

from __future__ import annotations

import json
import time

import numpy as np
import pandas as pd

from analysis.pool.best_of_n import Pool
from training.methods.best_of_n import BestOfN
from training.methods.job import PolicyJob
from training.methods.trainers.proxy_reward import ProxyReward
from training.sampling import sample
from training.sampling.points import Observer, point_name, publish
from training.streams import stream


def draw_points(method: BestOfN, job: PolicyJob) -> None:
    """A point for π_ref, then one for each n; see `BestOfN.train`."""
    started = time.perf_counter()
    job.journal.keep_until(0)
    if job.measure:
        reference = sample.load_policy(job.reference)
        reward, items = ProxyReward(job), job.world.prompts("eval")
        reward.cover("eval")
        observer = Observer(
            job.out,
            job.world,
            reference,
            seed=job.observe_seed,
            batch_size=job.batch_size,
            reward=reward.at_point,
        )
        observer.point(0, reference)
        drawn, ranked = pool(job, reward, items, method.samples, stream(job.seed, "pool"))
        for n in method.sizes(job.control, job.budget):
            _point(job, reward, items, drawn, ranked, n)
    seconds = time.perf_counter() - started
    # Nothing is trained: all of it is measuring.
    (job.out / "seconds.json").write_text(json.dumps({"total": seconds, "measuring": seconds}))


def pool(
    job: PolicyJob, reward: ProxyReward, items: pd.DataFrame, samples: int, seed: int
) -> tuple[pd.DataFrame, Pool]:
    """`samples` completions of π_ref for each item, in the order of the items, and their ranks by the
    reward."""
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
    rewards = reward.of(asked, drawn["ids"].tolist(), drawn["item_id"].tolist(), items)
    return drawn, Pool.rank(rewards.reshape(-1, samples))


def _point(
    job: PolicyJob, reward: ProxyReward, items: pd.DataFrame, drawn: pd.DataFrame, ranked: Pool, n: int
) -> None:
    folder = job.out / "points" / point_name(n)
    if folder.exists():
        return
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
    outcomes = job.world.outcomes(said, items)
    paid = reward.at_point(said, outcomes, items)
    publish(folder, said, outcomes, rewards=paid.reward)
    job.journal(n, n, {"n": float(n), "kl_sequence": float(ranked.kl(size).mean()), **paid.metrics})
