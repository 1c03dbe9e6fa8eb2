"""What code names an artefact: all that its stage can reach, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from experiments import SMOKE

from training.config.load import load
from training.engine import planned_stages
from training.engine.plan import plan
from training.store.code_identity import PACKAGES, ROOT, CodeIdentity

QUICK = SMOKE.with_name("quickstart.yaml")
Codes = dict[str, dict[str, str]]
"""Kind of stage → its code."""


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources."""
    root = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    return root


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    """One that a test may change."""
    return Path(shutil.copytree(original, tmp_path / "house"))


def codes(root: Path, *overrides: str, config: Path = SMOKE) -> Codes:
    """The code of every kind of stage of an experiment, were the sources under `root` to run it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planned_stages, "CodeIdentity", partial(CodeIdentity, root=root))
        stages = plan(load(config, overrides)[0].config).stages
    return {stage.kind: dict(stage.code) for stage in stages}


@pytest.fixture(scope="module")
def smoke(original: Path) -> Codes:
    return codes(original)


def changed(before: Codes, after: Codes) -> set[str]:
    return {kind for kind in before if before[kind] != after[kind]}


def append(root: Path, file: str, text: str) -> None:
    path = root / file
    path.write_text(path.read_text() + text)


CODE = "\n\nPLANTED = 1\n"
SILENT = '\n\n# a comment, and a string that nobody reads:\n"""Hm."""\n'


def test_the_plan_has_every_kind_of_stage(smoke: Codes) -> None:
    assert {"world", "prompts", "sft", "pairs", "gold", "values", "labels", "proxy", "card"} <= smoke.keys()
    assert {"audit", "policy", "scores", "approvals", "reference", "pool"} <= smoke.keys()


def test_every_module_of_a_closure_changes_its_identity(copy: Path, smoke: Codes) -> None:
    """Each kind of stage, each of its modules: all sources change, and no digest stays what it was."""
    for package in PACKAGES:
        for file in (copy / package).rglob("*.py"):
            append(copy, str(file.relative_to(copy)), CODE)
    after = codes(copy)
    for kind, code in smoke.items():
        ours = {name for name in code if name.partition(".")[0] in PACKAGES}
        assert ours and ours <= after[kind].keys()
        assert not [name for name in ours if code[name] == after[kind][name]]


def test_comments_docstrings_and_formatting_change_nothing(copy: Path, smoke: Codes) -> None:
    for package in PACKAGES:
        for file in (copy / package).rglob("*.py"):
            source = file.read_text().replace("\n\n\n", "\n\n\n\n\n")
            file.write_text(re.sub(r'(:\n +""")(?=[A-Z])', r"\1Reworded: ", source) + SILENT)
    assert codes(copy) == smoke


@pytest.mark.parametrize(
    "file",
    [
        "training/stages/task.py",
        "training/engine/worker.py",
        "training/streams.py",
        "reward_models/component.py",
    ],
)
def test_what_everything_stands_on_changes_everything(copy: Path, smoke: Codes, file: str) -> None:
    append(copy, file, CODE)
    assert changed(smoke, codes(copy)) == smoke.keys()


@pytest.mark.parametrize(
    ("file", "kinds"),
    [
        ("analysis/records/contracts.py", {"policy", "reference", "pool", "scores", "approvals", "audit"}),
        ("reward_models/annotators/partial_verification.py", {"labels", "card", "approvals"}),
        ("training/methods/rloo.py", {"policy"}),
        ("training/methods/trainers/rloo.py", {"policy"}),
        ("training/methods/trainers/parts.py", {"policy"}),
        ("reward_models/callbacks.py", {"sft", "gold", "proxy", "card", "labels", "policy"}),
        ("training/store/checkpoints.py", {"policy"}),
    ],
)
def test_a_changed_module_changes_what_reaches_it(
    copy: Path, smoke: Codes, file: str, kinds: set[str]
) -> None:
    append(copy, file, CODE)
    assert changed(smoke, codes(copy)) >= kinds


@pytest.mark.parametrize("part", ["reward_models/annotators", "training/methods", "training/mitigations"])
def test_a_new_part_beside_the_others_changes_nothing(copy: Path, smoke: Codes, part: str) -> None:
    """Neither the file nor the line that registers it."""
    (copy / part / "mine.py").write_text("class Mine: ...\n")
    append(copy, f"{part}/__init__.py", f"\nfrom {part.replace('/', '.')}.mine import Mine  # noqa\n")
    assert codes(copy) == smoke


@pytest.mark.parametrize(
    "file",
    [
        "reward_models/annotators/flip_noise.py",
        "reward_models/gold/pretrained.py",
        "training/methods/dpo.py",
        "training/methods/trainers/ppo.py",
        "training/mitigations/reward_cap.py",
        "training/worlds/text/world.py",
        "training/worlds/enumerable.py",
        "training/cli.py",
        "training/run.py",
        "training/config/schema.py",
        "training/engine/plan.py",
        "training/engine/executor.py",
        "training/follow/records.py",
        "analysis/figures/goodhart.py",
    ],
)
def test_what_no_stage_uses_changes_nothing(copy: Path, smoke: Codes, file: str) -> None:
    append(copy, file, CODE)
    assert codes(copy) == smoke


def test_a_part_counts_where_it_is_chosen(copy: Path, original: Path) -> None:
    cap = ("+mitigation={type: reward_cap}",)
    before = codes(original, *cap)
    append(copy, "training/mitigations/reward_cap.py", CODE)
    assert changed(before, codes(copy, *cap)) == {"policy"}


def test_a_helper_three_levels_down_counts(copy: Path, smoke: Codes) -> None:
    """One that no list names: imported by a new module, imported by a trainer's parts, within a function."""
    (copy / "training/methods/trainers/new.py").write_text("from training.deeper import deeper\n")
    (copy / "training/deeper.py").write_text("def deeper():\n    return 1\n")
    append(
        copy,
        "training/methods/trainers/parts.py",
        "\n\ndef late():\n    from training.methods.trainers import new\n\n    return new\n",
    )
    before = codes(copy)
    assert changed(smoke, before) == {"policy"}
    (copy / "training/deeper.py").write_text("def deeper():\n    return 2\n")
    assert changed(before, codes(copy)) == {"policy"}


def test_imports_for_type_checkers_alone_do_not_count(copy: Path) -> None:
    (copy / "training/typed.py").write_text(
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from training.cli import main\n"
    )
    assert CodeIdentity(copy).of(["training.typed"]).keys() == {"training", "training.typed"}


def test_versions_of_the_libraries_count(smoke: Codes) -> None:
    assert {"torch", "transformers", "trl", "accelerate", "numpy", "tokenizers"} <= smoke["policy"].keys()
    assert not [name for name in smoke["policy"] if smoke["policy"][name] == "absent"]


@pytest.mark.parametrize("kind", ["policy", "gold", "labels", "scores", "world"])
def test_the_closure_holds_all_that_is_imported(kind: str, smoke: Codes) -> None:
    """Held against Python itself: what is in memory after importing the stage is in the closure, but for
    registries, variants that were not chosen, and what these alone import."""
    stages = plan(load(SMOKE)[0].config).stages
    module = next(stage.run for stage in stages if stage.kind == kind).partition(":")[0]
    program = f"import sys, {module}; print(*[n for n in sys.modules if n.partition('.')[0] in {PACKAGES}])"
    output = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    loaded, code, reader = set(output.stdout.split()), smoke[kind].keys(), CodeIdentity()
    registries = {n for n in loaded if (found := reader.module(n)) and found.is_registry}
    not_chosen = {n for n in loaded - code if n.rpartition(".")[0].startswith(tuple(registries))}
    theirs = {n for variant in not_chosen for n in reader.closure(variant)}
    assert registries and not_chosen and len(loaded & code) > 10
    assert loaded - registries - theirs - {"reward_models.registry"} <= code
