"""The smallest experiment through the real command: what it leaves, what it says, what it reuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from experiments import Finished, Home, planned
from places import CHECKOUT

from analysis.records.experiment import Experiment
from training.store.atomic import read_json

RUNS = {"rloo-path-starved", "rloo-path-ample", "rloo-budget-starved-kl0.3"}
KEYS = {
    "": ("schema", "experiment", "wall_seconds", "runs", "best_of_n", "fits", "reward_models"),
    "runs": ("run_id", "method", "control", "budget", "seed", "proxy", "proxy_pairs", "points"),
    "best_of_n": ("proxy", "n", "kl_bound", "kl", "proxy_score", "gold", "gold_ci", "oracle"),
    "fits": (
        *("curve", "law", "alpha", "alpha_ci", "beta", "beta_ci", "r2"),
        *("peak_kl", "peak_kl_ci", "peak_inside_data"),
    ),
    "reward_models": (
        *("name", "pairs", "accuracy", "accuracy_ci"),
        *("ece", "length_correlation", "oracle_agreement"),
    ),
    "points": (
        *("step", "kl", "kl_se", "proxy", "gold", "gold_se", "oracle", "oracle_se"),
        *("sycophancy", "sycophancy_ci", "sycophancy_floor", "sycophancy_net", "sycophancy_net_ci"),
        *("sycophancy_stated", "sycophancy_third_party", "sycophancy_third_party_stated"),
        *("neutral_accuracy", "forgetting", "abstention"),
    ),
}
"""What scripts read from summary.json: keys may be added, none may go."""


EVERY = len(planned().stages)


@pytest.fixture(scope="module")
def records(smoke: Finished) -> Experiment:
    return Experiment.read(smoke.home.records)


# ---------------------------------------------------------------- records


def test_records_are_complete_and_readable(records: Experiment) -> None:
    assert (records.name, records.status, len(records.gaps())) == ("smoke", "complete", 0)
    assert {run.run_id for run in records.runs} == RUNS
    assert {card["name"] for card in records.cards} == {"gold", "proxy/starved/0", "proxy/ample/0"}
    assert records.pool_point and records.reference
    pool = records.pool_point.samples()
    assert set(pool["item_id"]) == set(records.pool_items["item_id"]) and len(pool) == 16 * 16
    for run in records.runs:
        assert len(run.points) >= 2 and len(run.metrics())
        for point in run.points:
            tables = point.samples(), point.outcomes(), point.scores()
            assert {frozenset(table["item_id"]) for table in tables} == {frozenset(records.items["item_id"])}
            assert set(tables[2]["scorer"]) == {"gold", "oracle", run.scorer}


def test_what_the_annotators_think_of_it_lies_beside_every_point(records: Experiment) -> None:
    known = records.items.query("condition in ('neutral', 'wrong') and exposure == 'known'")["item_id"]
    for run in records.runs:
        for point in run.points:
            approvals, said = point.beside("approvals"), point.samples()
            assert approvals["approval"].between(0, 1).all() and approvals["approval"].nunique() > 1
            assert set(approvals["item_id"]) <= set(known) and len(approvals) >= 8
            assert len(approvals) == said["item_id"].isin(set(approvals["item_id"])).sum()
    assert records.reference and records.reference.beside("approvals") is None, (
        "π_ref's own samples have no proxy"
    )


def test_kl_at_step_0_is_exactly_0(records: Experiment) -> None:
    for run in records.runs:
        samples = run.points[0].samples()
        assert run.points[0].step == 0
        assert (samples[["kl", "k1", "k2", "k3", "kl_reverse", "k1_clamped", "k2_prompt"]] == 0).all(
            axis=None
        )
        assert (samples["logp"] == samples["logp_ref"]).all()
        assert run.points[-1].samples()["kl"].mean() > 0, "a policy that never moved would prove nothing"


def test_summary_has_the_agreed_keys_and_is_strict_json(smoke: Finished) -> None:
    summary = smoke.home.summary() | {"wall_seconds": None}
    assert summary["schema"] == 1 and summary["experiment"] == "smoke"
    assert set(KEYS[""]) <= set(summary)
    for part in ("runs", "best_of_n", "fits", "reward_models"):
        assert summary[part]
        for entry in summary[part]:
            assert set(KEYS[part]) <= set(entry), part
    for run in summary["runs"]:
        assert run["points"][0]["kl"] == 0
        for point in run["points"]:
            assert set(KEYS["points"]) <= set(point)
    assert {curve["proxy"] for curve in summary["best_of_n"]} == {"starved", "ample"}
    assert {fit["curve"] for fit in summary["fits"]} >= {"best_of_n/starved/gold", "rloo/starved/gold"}
    seconds = json.loads((smoke.home.records / "summary.json").read_text())["wall_seconds"]
    assert seconds["total"] > 0 and {"world", "sft", "gold", "proxy", "policy"} <= set(seconds)


class Links(HTMLParser):
    """All that a browser would fetch for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.images = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.images += tag == "img"
        for name, value in attributes:
            if name in ("src", "srcset", "data") or (tag == "link" and name == "href"):
                self.fetched.append(value or "")


def test_report_is_one_file_that_fetches_nothing(smoke: Finished) -> None:
    page = (smoke.home.records / "report.html").read_text()
    links = Links()
    links.feed(page)
    assert links.images >= 3
    assert all(link.startswith("data:") for link in links.fetched)
    assert not re.search(r"@import|url\((?!['\"]?(data:|#))", page)
    assert all(run in page for run in RUNS)


def test_the_records_name_every_artefact_that_they_show(smoke: Finished) -> None:
    plan = planned()
    names = {stage.title: smoke.home.identity(stage).name for stage in plan.stages}
    assert read_json(smoke.home.records / "experiment.json")["artefacts"] == names
    for run in plan.runs:
        manifest = read_json(smoke.home.records / run.row["run_id"] / "manifest.json")
        assert manifest["artefacts"] == {s.title: names[s.title] for s in run.points.stages}


# ---------------------------------------------------------------- terminal


def test_without_a_terminal_it_speaks_in_plain_lines(smoke: Finished) -> None:
    assert smoke.result.stderr == ""
    lines = smoke.result.stdout.splitlines()
    step = re.compile(
        r"\d+:\d\d  […✓] (build|draw|fine-tune|sample|train|value|label|check|optimise|score|make|audit) .*"
    )
    *steps, drawing, count, report = lines
    assert [line for line in steps if not step.fullmatch(line)] == []
    assert drawing == "drawing the report, unless these records have one"
    assert report == f"report: {smoke.home.records / 'report.html'}"
    assert re.fullmatch(rf"{EVERY} stages run, 0 reused, 0 failed, in \d+ s", count)
    for stage in ("build the world", "fine-tune gold", "train gold", *(f"optimise {run}" for run in RUNS)):
        assert sum(f"✓ {stage}" in line for line in lines) == 1, stage
    (measured,) = [line for line in lines if "✓ optimise rloo-path-ample" in line]
    assert re.search(r": KL \d+\.\d\d  proxy -?\d+\.\d\d  gold -?\d+\.\d\d  oracle", measured)


# ---------------------------------------------------------------- again


def test_the_same_command_again_trains_nothing(smoke: Finished, home: Home) -> None:
    before = smoke.home.summary()
    started = time.monotonic()
    again = home.run()
    assert time.monotonic() - started < 30  # a quarter of that on an idle machine
    assert again.returncode == 0 and f"0 stages run, {EVERY} reused, 0 failed" in again.stdout
    assert home.summary() == before
    index = [
        json.loads((each / "experiment.json").read_text()) for each in (smoke.home.records, home.records)
    ]
    assert index[0]["wall_seconds"] == index[1]["wall_seconds"], "the time of what trained"
    assert index[0] == index[1]
    assert not list((home.records / "logs").iterdir())


def test_dry_run_says_what_is_reused_and_touches_nothing(smoke: Finished) -> None:
    before = {path: path.stat().st_mtime_ns for path in smoke.home.runs.rglob("*")}
    result = smoke.home.run("--dry-run")
    assert result.returncode == 0 and result.stderr == ""
    *lines, count = result.stdout.splitlines()
    assert count == f"0 of {EVERY} stages would run" and all(line.startswith("reuse  ") for line in lines)
    assert {path: path.stat().st_mtime_ns for path in smoke.home.runs.rglob("*")} == before


@pytest.mark.parametrize(
    ("override", "reason", "downstream"),
    [
        ("policy.beta=0.2", "policy.beta 0.0 -> 0.2", r"(optimise|score|make the approvals of) rloo-.*"),
        (
            "proxies.ample.fit.epochs=3",
            "fit.epochs 2.0 -> 3.0",
            r"(train|check) proxy ample/0|(audit|score best of n) by proxy/ample/0|"
            r"(optimise|score|make the approvals of) rloo-path-ample.*",
        ),
        (
            "measure.items=25",
            "count 24 -> 25",
            r"draw prompts to measure points|audit .*|sample what π_ref knows|score reference .*|"
            r"(optimise|score|make the approvals of) rloo-.*",
        ),
    ],
)
def test_dry_run_after_a_change_runs_what_is_downstream_and_says_why(
    smoke: Finished, override: str, reason: str, downstream: str
) -> None:
    result = smoke.home.run("--dry-run", override)
    *lines, _ = result.stdout.splitlines()
    first_causes = 0
    for line in lines:
        found = re.fullmatch(r"(reuse|run  |then )  (.*?)(?:  about \d+ (?:s|min))?(?:  \[(.*)\])?", line)
        assert found, line
        action, stage, why = found.groups()
        assert (action != "reuse") == bool(re.fullmatch(downstream, stage)), line
        assert (why == reason) if action == "run  " else (why is None), line
        first_causes += action == "run  "
    assert first_causes


def test_the_saved_config_describes_the_same_experiment(smoke: Finished) -> None:
    saved = planned(config=smoke.home.records / "config.yaml")
    assert [stage.key for stage in saved.stages] == [stage.key for stage in planned().stages]
    assert all(smoke.home.artefact(stage).is_dir() for stage in saved.stages)


def test_another_experiment_never_takes_the_folder_of_a_finished_one(smoke: Finished) -> None:
    refused = smoke.home.run("seed=1", "name=smoke")
    assert (
        refused.returncode == 2
        and "holds another experiment: seed 0 -> 1. To keep it, add name=smoke-2" in (refused.stderr)
    )
    beside = smoke.home.run("--dry-run", "seed=1")
    assert beside.returncode == 0 and f"{EVERY} of {EVERY} stages would run" in beside.stdout


def test_a_sweep_is_an_experiment_for_each_value(smoke: Finished) -> None:
    result = smoke.home.run("--dry-run", "seed=0,1")
    assert result.returncode == 0
    heads = [line for line in result.stdout.splitlines() if line.startswith("[")]
    assert heads == ["[1/2] smoke-seed=0", "[2/2] smoke-seed=1"]
    counts = re.findall(rf"(\d+) of {EVERY} stages would run", result.stdout)
    assert counts == ["0", f"{EVERY}"], "the name is no part of an experiment's identity, the seed is"


# ---------------------------------------------------------------- report

WITHOUT_TRAINING = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "trl", "transformers", "datasets", "accelerate", "wandb"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
from training.cli import main
main(["report", sys.argv[1]])
"""


def test_report_is_rebuilt_identically_where_nothing_can_be_trained(smoke: Finished, home: Home) -> None:
    outputs = ("figures", "tables", "report.html", "summary.json")

    def content(records: Path) -> dict[str, bytes]:
        files = [f for name in outputs for f in [records / name, *(records / name).glob("*")] if f.is_file()]
        return {str(file.relative_to(records)): file.read_bytes() for file in files}

    before = content(smoke.home.records)
    assert len(before) > 20
    for name in content(home.records):
        (home.records / name).unlink()
    code = [sys.executable, "-c", WITHOUT_TRAINING, str(home.records)]
    result = subprocess.run(code, cwd=CHECKOUT, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout.strip()) == (0, str(home.records / "report.html")), result.stderr
    after = content(home.records)
    assert set(after) == set(before)
    assert [name for name in before if after[name] != before[name]] == []
