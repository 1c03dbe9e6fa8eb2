"""What identifies each artefact: a changed field redoes what is downstream of it, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from plans import (
    ALL,
    AMPLE,
    AUDITS,
    BASE,
    BUDGETS,
    GOLD_BACKBONE,
    KNOWN,
    LABELLED,
    MEASURED_ON,
    ON_GOLD,
    ON_HELDOUT,
    ON_REFERENCE,
    PAIRS,
    PATHS,
    POOL,
    POOLED_ON,
    REFERENCE,
    STARVED,
    VALUES,
    WORLD,
    above,
    keys,
    planned,
    policies,
    proxy,
    redone,
)

from training.engine.stage import Plan, Stage
from training.store.code_identity import ROOT, CodeIdentity
from training.store.contents import contents


def test_the_base_plan_has_every_stage_once() -> None:
    drawn = {WORLD, MEASURED_ON, POOLED_ON, REFERENCE, GOLD_BACKBONE} | PAIRS | VALUES
    assert drawn | LABELLED | ON_HELDOUT | POOL | KNOWN | AUDITS == ALL
    assert len({stage.key for stage in planned().stages}) == len(planned().stages) == len(ALL)


SCRATCH = {"type": "scratch", "hidden_size": 32}
DOWNSTREAM: dict[str, tuple[Any, set[str]]] = {
    "seed": (1, ALL),
    "world.facts": ({"entities": 30}, ALL),
    "measure.items": (40, {MEASURED_ON} | KNOWN | AUDITS | policies(PATHS | BUDGETS)),
    "best_of_n.prompts": (30, POOL | {POOLED_ON}),
    "reference.sft": ({"steps": 10}, ON_REFERENCE | {REFERENCE, GOLD_BACKBONE}),
    # The proxies' backbones keep the shape, and so the artefact, that was the reference's as well.
    "reference.model": (SCRATCH, ON_REFERENCE | {REFERENCE}),
    "measure.batch_size": (64, ON_REFERENCE | {"audit by oracle"}),
    "measure.heldout_pairs": (80, ON_HELDOUT),
    "pair_chunk": (150, LABELLED | PAIRS | VALUES),
    "gold.model": (SCRATCH, ON_GOLD | {GOLD_BACKBONE}),
    "gold.fit": ({"epochs": 1}, ON_GOLD),
    "gold.pairs": (400, ON_HELDOUT),
    "annotator.temperature": (0.5, LABELLED),
    "annotator.judges": ("gold", LABELLED | {f"values proxies, 0/{number} by gold" for number in (0, 1)}),
    "proxies.starved.pairs": (80, proxy("starved", STARVED, "labels starved/0")),
    "proxies.starved.annotator": ({"type": "bradley_terry"}, proxy("starved", STARVED, "labels starved/0")),
    "proxies.ample.pairs": (
        500,
        proxy("ample", AMPLE, "labels ample/0", "pairs proxies, 0/2", "values proxies, 0/2 by oracle"),
    ),
    "proxies.ample.fit": ({"epochs": 1}, proxy("ample", AMPLE)),
    "proxies.ample.model": (SCRATCH, proxy("ample", AMPLE, "sft backbone of ample")),
    "policy.learning_rate": (1e-3, policies(PATHS | BUDGETS)),
    "policy.trainer": ({"weight_decay": 0.1}, policies(PATHS | BUDGETS)),
    "mitigation": ({"type": "reward_cap"}, policies(PATHS | BUDGETS)),
    "runs.path.control": ({"type": "path", "kl": [0.1, 2.0]}, policies(PATHS)),
    "runs.path.steps": (20, policies(PATHS)),
    "runs.budget.control": (
        {"type": "target", "budgets": [0.5, 1.0, 2.0]},
        policies({"rloo-budget-starved-kl2"}),
    ),
    "runs.budget.proxies": (
        ["starved", "ample"],
        policies({f"rloo-budget-ample-kl{b}" for b in ("0.5", "1")}),
    ),
    "best_of_n.samples": (32, POOL),
    "measure.reference_samples": (9, KNOWN),
    "measure.hidden_states": (True, policies(PATHS | BUDGETS)),
}


@pytest.mark.parametrize("field", DOWNSTREAM)
def test_a_changed_field_redoes_what_is_downstream_of_it_and_nothing_else(field: str) -> None:
    value, expected = DOWNSTREAM[field]
    assert redone((field, value)) == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "another"),
        ("tracking", {"mode": "offline", "project": "elsewhere"}),
        ("paths", {"runs": "/somewhere/else", "store": "/shared"}),
        ("workers", 7),
        ("schema_version", 1),
        ("runs.path.seeds", 1),
        ("runs.path.keep_weights", False),
        ("measure.heldout_pairs", 1000),
    ],
)
def test_fields_outside_identity_and_defaults_written_out_change_nothing(field: str, value: Any) -> None:
    assert keys(planned((field, value))) == keys(planned())


def test_dropping_what_is_downstream_drops_only_that() -> None:
    assert redone(("best_of_n", None)) == set()
    assert set(keys(planned(("best_of_n", None)))) == ALL - POOL - {POOLED_ON}
    without = {stage.title for stage in planned(("runs", {})).stages}
    assert without == ALL - policies(PATHS | BUDGETS)


def test_an_identity_is_the_same_in_another_process() -> None:
    code = "import plans; print(plans.keys(plans.planned()))"
    other = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "tests" / "support",
        env={**os.environ, "PYTHONHASHSEED": "3", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == str(keys(planned()))


# --- artefacts shared -------------------------------------------------------------------------------


def named(stages: Plan, title: str) -> Stage:
    return next(stage for stage in stages.stages if stage.title == title)


def test_a_proxy_of_the_reference_shape_shares_its_fine_tuning() -> None:
    stages = planned()
    for name in BASE["proxies"]:
        assert named(stages, f"proxy {name}/0").inputs["backbone"] is named(stages, REFERENCE)
    assert len([s for s in stages.stages if s.kind == "sft"]) == 2
    other = planned(("proxies.ample.model", SCRATCH))
    assert named(other, "proxy ample/0").inputs["backbone"].key != named(other, REFERENCE).key
    assert len([s for s in other.stages if s.kind == "sft"]) == 3


def test_a_smaller_proxy_learns_from_the_first_pairs_of_a_larger_one_and_replicates_from_others() -> None:
    stages = planned(("proxies.starved.seeds", 2), ("proxies.ample.seeds", 2))
    for name, chunks in {"starved": 1, "ample": 2}.items():
        for window in (0, 1):
            labels = named(stages, f"labels {name}/{window}")
            assert labels.settings["count"] == BASE["proxies"][name]["pairs"]
            cut = {f"pairs/{n}": named(stages, f"pairs proxies, {window}/{n}") for n in range(chunks)}
            assert {name: each for name, each in labels.inputs.items() if name in cut} == cut
            valued = {
                f"values/{n}": named(stages, f"values proxies, {window}/{n} by oracle") for n in range(chunks)
            }
            assert dict(labels.inputs) == {"world": stages.world, **cut, **valued}
    seen = {(s.settings["window"], s.settings["chunk"]) for s in stages.stages if "chunk" in s.settings}
    assert seen == {(0, 0), (0, 1), (1, 0), (1, 1)}


def test_every_cell_of_budgets_seeds_and_proxies_is_one_run_of_its_own() -> None:
    stages = planned(("proxies.starved.seeds", 2), ("runs.budget.seeds", 3), ("runs.path.seeds", 2))
    rows = [run.row for run in stages.runs]
    assert len(rows) == 2 * 2 * 3 + 3 * 2  # budgets x replicates x seeds, and replicates of both x seeds
    cells = {(r["group"], r["proxy"], r["proxy_seed"], r["budget"], r["seed"]) for r in rows}
    for distinct in (cells, {r["run_id"] for r in rows}, {r.train.key for r in stages.runs}):
        assert len(distinct) == len(rows)
    assert {r["proxy_pairs"] for r in rows if r["proxy"] == "starved"} == {60}


def test_policies_of_the_first_replicates_are_those_of_all() -> None:
    """Best of n asks every replicate; policies, which cost more, may be few."""
    every = planned(("proxies.starved.seeds", 4))
    few = planned(("proxies.starved.seeds", 4), ("runs.budget.replicates", 2), ("runs.path.replicates", 1))
    rows = [(run.row["group"], run.row["proxy"], run.row["proxy_seed"]) for run in few.runs]
    assert {row for row in rows if row[1] == "starved"} == {
        ("path", "starved", 0), ("budget", "starved", 0), ("budget", "starved", 1)
    }  # fmt: skip
    assert {run.train.key for run in few.runs} < {run.train.key for run in every.runs}


def test_a_seed_repeats_a_run_and_nothing_else() -> None:
    assert redone(("runs.path.seeds", 2)) == policies({f"{run}-seed1" for run in PATHS})


# --- order and firewall -----------------------------------------------------------------------------


def test_stages_come_after_what_they_need() -> None:
    seen: set[str] = set()
    for stage in planned().stages:
        assert {source.key for source in stage.inputs.values()} <= seen
        seen.add(stage.key)


@pytest.mark.parametrize("judge", ["oracle", "gold"])
def test_gold_reaches_a_policy_through_labels_at_most(judge: str) -> None:
    """Annotators who judge by gold carry it there; those who judge by the oracle leave it independent."""
    stages = planned(("annotator.judges", judge))
    for run in stages.runs:
        assert set(run.train.inputs) == {"world", "eval", "reference", "proxy"} and not run.train.gold_side
        ancestry = {source.kind for source in above(run.train, through_labels=False)}
        assert ancestry == {"world", "prompts", "sft", "pairs", "proxy", "labels"}
        reached = "gold" in {source.kind for source in above(run.train, through_labels=True)}
        assert reached == (judge == "gold")


def test_only_stages_of_the_gold_side_read_gold() -> None:
    for stage in planned().stages:
        reads = {source.kind for source in stage.inputs.values()} & {"gold", "values"}
        assert stage.gold_side or not reads, stage.title
        trains_or_samples = stage.kind in {"policy", "proxy", "sft", "pool", "reference", "pairs"}
        assert not (stage.gold_side and trains_or_samples)


def test_a_policys_own_settings_do_not_name_gold_or_annotators() -> None:
    for run in planned().runs:
        assert not {"gold", "annotator"} & set(run.train.settings)
    changed = planned(("gold", {"type": "programmatic"}))
    assert {run.row["run_id"] for run in changed.runs} == {run.row["run_id"] for run in planned().runs}


# --- data outside the config ------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text('{"chosen": "a", "rejected": "b"}\n')
    return path


def test_a_changed_data_file_changes_the_world_and_an_untouched_one_does_not(data: Path) -> None:
    def world() -> Stage:
        contents.cache_clear()
        return planned(
            ("world", {"type": "text", "path": str(data)}), ("annotator", {"type": "bradley_terry"})
        ).world

    before = world()
    data.touch()
    assert world().key == before.key
    data.write_text(data.read_text() + '{"chosen": "c", "rejected": "d"}\n')
    assert world().key != before.key


def test_other_weights_in_a_models_folder_are_another_reference(tmp_path: Path) -> None:
    def reference() -> Stage:
        contents.cache_clear()
        tokenizer = {"type": "pretrained", "path": "org/tokenizer"}
        return named(
            planned(
                ("world", {"type": "text", "path": "org/data", "tokenizer": tokenizer}),
                ("annotator", {"type": "bradley_terry"}),
                ("reference.model", {"type": "pretrained", "path": str(tmp_path)}),
            ),
            REFERENCE,
        )

    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = reference()
    (tmp_path / "model.safetensors").write_bytes(b"Weights")
    assert reference().key != before.key


def test_changed_code_remakes_what_it_decides_and_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    have, of = {stage.key for stage in planned().stages}, CodeIdentity.of

    def edited(self: CodeIdentity, *asked: Any) -> dict[str, str]:
        code = of(self, *asked)
        return code | {name: "edited" for name in code if name == "training.stages.proxy"}

    monkeypatch.setattr(CodeIdentity, "of", edited)
    assert {stage.title for stage in planned().stages if stage.key not in have} == LABELLED
