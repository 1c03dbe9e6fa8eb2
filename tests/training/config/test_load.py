"""Loading: what a config means, however it is put together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import CHECKOUT
from small_schema import BASE, Dpo, Proxy, Rloo, Root, Scratch, load, message, one, write

from training.config.load import resolved_yaml


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_numbers_lists_and_defaults() -> None:
    config = one(write("x.yaml", BASE), "kl=[1,2.5]", "mitigation={type:dpo}")
    assert isinstance(config.policy, Rloo)
    assert config.policy.beta == 1e-5
    assert config.kl == (1.0, 2.5)
    assert config.mitigation == Dpo()


def test_naming_one_setting_of_a_part_keeps_the_others_of_its_default() -> None:
    policy = one(write("x.yaml", "name: x"), "policy.model.heads=8").policy
    assert policy == Rloo(steps=300, model=Scratch(width=96, heads=8))


def test_another_variant_takes_its_own_defaults() -> None:
    assert one(write("x.yaml", "name: x"), "policy.type=dpo").policy == Dpo()


@pytest.mark.parametrize(
    "overrides",
    [
        ["seed=3", "policy.beta=0.1", "policy={steps: 7}"],
        ["policy={steps: 7}", "seed=3", "policy.beta=0.1"],
        ["policy.beta=0.1", "policy={steps: 7}", "seed=3"],
    ],
)
def test_order_of_overrides_does_not_matter(overrides: list[str]) -> None:
    file = write("x.yaml", BASE)
    assert one(file, *overrides) == one(file, "seed=3", "policy={beta: 0.1, steps: 7}")


def test_inline_defaults_list_and_overrides_are_equivalent() -> None:
    inline = write("inline.yaml", BASE + "seed: 5\n")
    write("base.yaml", BASE)
    composed = write("composed.yaml", "defaults: [base, _self_]\nseed: 5")
    nested = write("papers/deep.yaml", "defaults: [base, _self_]\nseed: 5")  # found one folder up
    assert one(inline) == one(composed) == one(nested) == one("base.yaml", "seed=5")


def test_config_groups_are_chosen_from_the_file_or_the_command_line() -> None:
    write("policy/slow.yaml", "type: rloo\nsteps: 9")
    write("policy/other.yaml", "type: dpo\nlabel_smoothing: 0.1")
    file = write("x.yaml", "defaults:\n  - policy: slow\n  - _self_\nname: x")
    assert one(file).policy == Rloo(steps=9)
    assert one(file, "policy=other").policy == Dpo(label_smoothing=0.1)
    assert message(file, "policy=othr") == [
        "command line: policy=othr: there is no `policy/othr.yaml` in . or "
        f"{Path.cwd().parent}; did you mean `other`?"
    ]


def test_folders_of_records_beside_a_saved_config_are_not_config_groups() -> None:
    write("runs/x/policy/manifest.json", "{}")
    file = write("runs/x/config.yaml", "name: x\npolicy: {type: dpo}")
    assert one(file, "policy={label_smoothing: 0.2}").policy == Dpo(label_smoothing=0.2)
    assert one(file, "~policy").policy == Rloo(steps=300)


def test_sweep_is_the_product_and_names_what_varies() -> None:
    configs = load(write("x.yaml", BASE), "seed=range(0,3)", "policy.beta=0.1,0.2", "mode=offline")
    assert {(c.config.seed, c.config.policy.beta) for c in configs if isinstance(c.config.policy, Rloo)} == {
        (seed, beta) for seed in range(3) for beta in (0.1, 0.2)
    }
    assert configs[0].config.name == "base-seed=0-policy.beta=0.1"
    assert configs[0].varied == {"seed": "0", "policy.beta": "0.1"}
    assert len({c.config.name for c in configs}) == 6
    assert {c.config.mode for c in configs} == {"offline"}


def test_sweep_of_lists() -> None:
    assert [c.config.kl for c in load(write("x.yaml", BASE), "kl=[1,2],[3]")] == [(1, 2), (3,)]


def test_values_may_refer_to_others() -> None:
    assert one(write("x.yaml", "name: x\nseed: 4\npolicy: {steps: '${seed}'}")).policy == Rloo(steps=4)


@pytest.mark.parametrize("overrides", [[], ["mitigation={type:dpo,label_smoothing:0.3}", "kl=[1e-7,3]"]])
def test_resolved_config_is_a_fixed_point(overrides: list[str]) -> None:
    config = one(write("x.yaml", BASE), *overrides)
    saved = write("runs/x/config.yaml", resolved_yaml(config))
    assert one(saved) == config
    assert resolved_yaml(one(saved)) == saved.read_text()


printable = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
tricky = st.sampled_from(
    ["1e5", "null", "~", "on", "0x1F", "1_000", "12:30", "2020-01-01", "a: b", "=", "<<", "*x"]
)
braces = st.text("\\${}ab.", max_size=10)


@settings(max_examples=20, deadline=None)
@given(
    notes=st.lists(printable | tricky | braces, max_size=20),
    cap=st.floats(allow_nan=False, allow_infinity=False),
)
def test_any_text_and_number_survives_being_saved(notes: list[str], cap: float) -> None:
    config = Root(name="x", notes=tuple(notes), proxies={"p": Proxy(pairs=2, cap=cap)})
    assert one(write("saved.yaml", resolved_yaml(config))) == config


def test_loading_a_config_loads_no_torch() -> None:
    code = "import sys, training.config.load, training.config.schema; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT).returncode == 0
