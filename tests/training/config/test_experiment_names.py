"""What an experiment is called when the command line changes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.config.load import load, resolved_yaml
from training.config.names import LONGEST, derived

CONFIG = """
name: tiny
world: {type: quiz}
proxies: {starved: {pairs: 20}}
runs: {path: {control: {type: path, kl: [0.5]}}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(CONFIG)
    return path


def name(file: Path, *overrides: str) -> str:
    (only,) = load(file, overrides)
    return only.config.name


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], "tiny"),
        (["seed=3"], "tiny-seed=3"),
        (["policy.learning_rate=3e-4", "seed=3"], "tiny-seed=3-policy.learning_rate=0.0003"),
        (["seed=3", "policy.learning_rate=0.0003"], "tiny-seed=3-policy.learning_rate=0.0003"),
        (["~best_of_n"], "tiny"),  # the file says nothing of it
        (["best_of_n=null"], "tiny-best_of_n=null"),
        # what is as it was
        (["seed=0"], "tiny"),
        (["proxies.starved.pairs=20", "seed=1"], "tiny-seed=1"),
        # what decides no result
        (["workers=1", "tracking.mode=disabled", "paths.runs=elsewhere"], "tiny"),
        (["proxies.starved.dose={of: bias, value: 1}"], "tiny"),
        # what the user calls by a name
        (["seed=3", "name=mine"], "mine"),
        # one makes the other possible: both are said
        (["annotator.type=flip_noise", "annotator.flip_rate=0.2"],
         "tiny-annotator.flip_rate=0.2-annotator.type=flip_noise"),
    ],
)  # fmt: skip
def test_a_name_says_what_makes_it_another_experiment(
    file: Path, overrides: list[str], expected: str
) -> None:
    if overrides == ["~best_of_n"]:
        file.write_text(CONFIG + "best_of_n: {prompts: 128}\n")
    assert name(file, *overrides) == expected


def test_a_sweep_says_what_varies_and_what_else_is_changed(file: Path) -> None:
    names = [each.config.name for each in load(file, ["seed=0,1", "policy.beta=0.3", "workers=1"])]
    assert names == ["tiny-seed=0-policy.beta=0.3", "tiny-seed=1-policy.beta=0.3"]
    named = [each.config.name for each in load(file, ["seed=0,1", "policy.beta=0.3", "name=mine"])]
    assert named == ["mine-seed=0", "mine-seed=1"]


@pytest.mark.parametrize("overrides", [[], ["seed=3"], ["seed=3", "name=mine"], ["seed=3", "best_of_n=null"]])
def test_a_saved_config_keeps_the_name(file: Path, tmp_path: Path, overrides: list[str]) -> None:
    (first,) = load(file, overrides)
    saved = tmp_path / "config.yaml"
    saved.write_text(resolved_yaml(first.config))
    assert name(saved) == first.config.name
    assert name(saved, "workers=1") == first.config.name


def test_odd_and_long_values_become_short_stable_names(file: Path) -> None:
    odd = name(file, "gold={type: programmatic}")
    assert odd == name(file, "gold={type:   programmatic}") and odd.startswith("tiny-gold=type-programmatic-")
    lists = {name(file, f"runs.path.control.kl={kl}") for kl in ("[0.1,0.2]", "[0.1,0.3]", "[0.1]")}
    assert len(lists) == 3
    many = {"seed": "3"} | {f"proxies.starved.annotator.surface.term{place}": "0.25" for place in range(4)}
    other = {**many, "proxies.starved.annotator.surface.term3": "0.5"}
    assert len(derived("tiny", many)) <= LONGEST and derived("tiny", many) == derived("tiny", dict(many))
    assert derived("tiny", many) != derived("tiny", other)
    assert derived("x" * 90, many).startswith("x" * 90 + "-") and len(derived("x" * 90, many)) <= LONGEST
