"""Gold stays on its side: no policy can have seen it, and no policy would change if it were different."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from experiments import Finished, Home, of_policies, planned, replace, reseal, result_of, titled
from safetensors.torch import load_file, save

from training.engine.processes import Job, run_job
from training.engine.stage import Stage
from training.engine.worker import prepare
from training.methods.job import PolicyJob
from training.stages.task import Task
from training.store.artefacts import MANIFEST
from training.store.atomic import read_json

GOLD_SIDE = {"gold", "values", "labels", "card", "approvals"}
"""With the scores and audits by gold and the oracle."""
SAMPLED = {"policy", "pool", "reference", "between"}
CONFIGS = {
    "smoke": (),
    "replicates": ("proxies.ample.seeds=2", "runs.path.seeds=2"),
    "programmatic gold": ("gold={type:programmatic}", "~gold.model", "~gold.pairs", "~gold.fit"),
    "same model everywhere": ("proxies.starved.model.hidden_size=48", "gold.model.hidden_size=32"),
}


@pytest.mark.parametrize("overrides", CONFIGS.values(), ids=CONFIGS)
def test_what_a_worker_is_given_holds_no_gold(overrides: tuple[str, ...]) -> None:
    plan = planned(*overrides)
    for stage in plan.stages:
        by_truth = stage.settings.get("scorer") in ("gold", "oracle")
        assert stage.gold_side == (stage.kind in GOLD_SIDE or by_truth)
        given = {source.kind for source in stage.inputs.values()}
        if not stage.gold_side:
            # Labels alone cross over: ids in an order, no values.
            scored = SAMPLED if stage.kind in ("scores", "between") else set()
            assert given <= {"world", "prompts", "sft", "pairs", "labels", "proxy"} | scored
        if stage.kind == "policy":
            assert not stage.gold_side and set(stage.inputs) == {"world", "eval", "reference", "proxy"}
            assert given == {"world", "prompts", "sft", "proxy"}
            assert "gold" not in str(stage.settings)
    assert not any("gold" in field for field in (*PolicyJob.__annotations__, *Task.__annotations__))


def test_labels_carry_no_values(smoke: Finished) -> None:
    for stage in planned().stages:
        if stage.kind == "labels":
            table = pd.read_parquet(smoke.home.artefact(stage) / "preferences.parquet")
            assert set(table) == {"prompt_tokens", "chosen_ids", "rejected_ids"}
            for length, chosen, rejected in table.itertuples(index=False):
                assert list(chosen[:length]) == list(rejected[:length]), "the prompt, which both share"


def test_workers_never_ran_what_reads_gold(smoke: Finished) -> None:
    """Each artefact's lock names the process that made it. Points of a policy are valued where gold is, by
    whomever, while it trains."""
    plan = planned()
    valued_live = {stage.key for run in plan.runs for stage in run.points.scores if not stage.gold_side}

    def makers(gold_side: bool) -> set[str]:
        stages = [s for s in plan.stages if s.gold_side == gold_side and s.key not in valued_live]
        names = [smoke.home.identity(stage).name for stage in stages]
        return {(smoke.home.store / "locks" / f"{name}.lock").read_text() for name in names}

    assert len(makers(True)) == 1 and len(makers(False)) == 2
    assert not makers(True) & makers(False)


def test_no_file_of_a_policy_mentions_gold(smoke: Finished) -> None:
    gold = titled(planned(), "gold")
    manifest = read_json(smoke.home.artefact(gold) / MANIFEST)
    names = [manifest[part].encode() for part in ("id", "content", "seal")]
    for run in planned().runs:
        files = [file for file in smoke.home.artefact(run.train).rglob("*") if file.is_file()]
        assert len(files) > 5
        assert [file for file in files if any(name in file.read_bytes() for name in names)] == []


def with_noise_for_gold(home: Home, gold: Stage, values: list[Stage]) -> None:
    """Gold's weights, and its values of pairs, become noise."""
    weights = home.artefact(gold) / "model" / "model.safetensors"
    generator = torch.Generator().manual_seed(0)
    noise = {
        name: torch.randn(value.shape, generator=generator) for name, value in load_file(weights).items()
    }
    replace(weights, save(noise, metadata={"format": "pt"}))
    reseal(home.artefact(gold))
    for stage in values:
        file = home.artefact(stage) / "values.parquet"
        table, buffer = pd.read_parquet(file), io.BytesIO()
        for column in ("raw", "value"):
            table[column] = np.random.default_rng(0).normal(size=len(table))
        table.to_parquet(buffer)
        replace(file, buffer.getvalue())
        reseal(home.artefact(stage))


def test_policies_are_the_same_bytes_when_gold_becomes_noise(smoke: Finished, home: Home) -> None:
    """Annotators judge by the oracle: labels and proxies are made anew, and are what they were."""
    plan = planned()
    by_gold = [s for s in plan.stages if s.kind == "values" and s.settings["scorer"] == "gold"]
    assert by_gold, "cards compare proxies with gold"
    with_noise_for_gold(home, titled(plan, "gold"), by_gold)
    learnt = [stage for stage in plan.stages if stage.kind in ("labels", "proxy")]
    home.forget([*learnt, *of_policies(plan)])
    result = home.run()
    ran = 15 + len(learnt)
    told = f"{ran} stages run, {len(plan.stages) - ran} reused"
    assert result.returncode == 0 and told in result.stdout, result.stdout
    for run in plan.runs:
        assert result_of(home.artefact(run.train)) == result_of(smoke.home.artefact(run.train))
    before, after = smoke.home.summary(), home.summary()
    for old, new in zip(before["runs"], after["runs"], strict=True):
        assert [p["gold"] for p in old["points"]] != [p["gold"] for p in new["points"]], "no noise arrived"
        for measured in ("step", "kl", "proxy", "oracle", "sycophancy"):
            assert [p[measured] for p in old["points"]] == [p[measured] for p in new["points"]]


def test_a_policy_trains_where_gold_does_not_exist(smoke: Finished, home: Home, tmp_path: Path) -> None:
    prepare()
    run = planned().runs[0]
    expected = result_of(smoke.home.artefact(run.train))
    identity, inputs = home.identity(run.train), home.inputs(run.train)
    home.forget(s for s in planned().stages if s.gold_side or s.kind == "policy")
    job = Job(home.store, identity, run.train.run, inputs, tmp_path / "log")
    assert result_of(run_job(job).path) == expected
