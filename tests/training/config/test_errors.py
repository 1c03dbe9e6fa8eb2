"""Loading: what is said about a config that means nothing, and where it says the mistake is."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_schema import BASE, Proxy, message, one, write


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_all_problems_at_once_with_places_in_order() -> None:
    write("base.yaml", BASE + "  ample: {pears: 4000}\n")
    file = write("x.yaml", "defaults: [base, _self_]\nseed: true\npolicy:\n  type: rloo\n  beta: -1\n")
    assert message(file, "sead=3", "kl=[1,x]", "mode=ofline") == [
        "base.yaml:5: proxies.ample.pairs: must be set (≥ 2)",
        "base.yaml:5: proxies.ample.pears: unknown key; did you mean `pairs`?",
        "x.yaml:2: seed: must be an integer (got true)",
        "x.yaml:5: policy.beta: must be greater than or equal to 0 (got -1)",
        'command line: kl=[1,x]: kl.1: must be a number (got "x")',
        "command line: mode=ofline: must be 'auto', 'online' or 'offline'; did you mean `offline`?"
        ' (got "ofline")',
        "command line: sead=3: unknown key; did you mean `seed`?",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: 1.5", "x.yaml:2: seed: must be an integer (got 1.5)"),
        ("seed: '3'", 'x.yaml:2: seed: must be an integer (got "3"; write it without quotes)'),
        ("seed: [1]", "x.yaml:2: seed: must be an integer (got [1])"),
        ("note: 3", "x.yaml:2: note: must be a string (got 3)"),
        ("kl: 3", "x.yaml:2: kl: must be a list (got 3)"),
        ("policy: 3", "x.yaml:2: policy: must be a mapping (got 3)"),
        ("proxies: {a: {}}", "x.yaml:2: proxies.a.pairs: must be set (≥ 2)"),
        (
            "policy: {type: dpo, label_smoothing: 0.7}",
            "x.yaml:2: policy.label_smoothing: must be less than 0.5 (accepted: ≥ 0, < 0.5; got 0.7)",
        ),
        (
            "policy:\n  type: rlo",
            "x.yaml:3: policy.type: unknown type `rlo`; did you mean `rloo`? (choices: dpo, rloo)",
        ),
        ("mitigation:\n  {beta: 1}", "x.yaml:2: mitigation.type: must be set (choices: dpo, rloo)"),
        (
            "policy:\n  type: dpo\n  beta: 1",
            "x.yaml:4: policy.beta: unknown key; it belongs to `type: rloo`, and this is `type: dpo`",
        ),
        ("policy: {label_smothing: 0}", "x.yaml:2: policy.label_smothing: unknown key; valid here: "),
        ("steps: 3", "x.yaml:2: steps: unknown key; did you mean `notes` or `policy.steps` or "),
        (
            "policy:\n  model:\n    {heads: 7}",
            "x.yaml:3: policy.model: heads=7 must divide width=96",
        ),
        ("against:\n  - a", "x.yaml:2: against names `a`, which is no proxy"),
        ("seed: ???", "x.yaml:2: seed: must be set (it is `???`)"),
        ("note: ${nope}", "x.yaml:2: note: Interpolation key 'nope' not found"),
        ("note: ${oc.env:SURELY_NOT_SET}", "x.yaml:2: note: "),
        ("note: ${", "x.yaml: "),
        ("a: &a [*a]", "x.yaml:2: an alias stands inside what it refers to"),
        ("seed: 1\nseed: 2", "x.yaml:3: `seed` is already set on line 2"),
        ("policy: {beta: 1, beta: 2}", "x.yaml:2: `beta` is already set on line 2"),
        ("? [a]\n: 1", "x.yaml:2: a key must be a plain name"),
        ("kl: [1, 2", "x.yaml:3: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("\tseed: 1", "x.yaml:2: not valid YAML: "),
        ("seed: !!python/object:os.system 1", "x.yaml:2: not valid YAML: could not determine a constructor"),
        ("note: *nothing", "x.yaml:2: not valid YAML: found undefined alias 'nothing'"),
        ("---\nseed: 2", "x.yaml:3: a second YAML document; keep one per file"),
        ("kl: " + "[" * 3000, "x.yaml: is nested too deeply"),
        ("defaults: [bsae, _self_]", "x.yaml:2: defaults: there is no `bsae.yaml` in . or "),
        ("defaults: [x, _self_]", "x.yaml:2: defaults: `x` leads back to x.yaml"),
        ("defaults: [../y, _self_]", "x.yaml:2: defaults: `../y`: write the bare name, looked up in "),
        ("defaults: [{a: {b: c}}]", "x.yaml: "),
        ("defaults: 3", "x.yaml:2: defaults: must be a list such as [base, _self_]"),
    ],
)
def test_each_mistake_in_a_file_has_one_message(text: str, expected: str) -> None:
    lines = message(write("x.yaml", f"name: x\n{text}\n"))
    assert len(lines) == 1
    assert lines[0].startswith(expected)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("seed", "command line: seed: an override is written KEY=VALUE, such as seed=1"),
        ("seed=[1", "command line: seed=[1: cannot be read as KEY=VALUE: "),
        ("=3", "command line: =3: an override is written KEY=VALUE, such as seed=1"),
        ("seed=-1", "command line: seed=-1: must be greater than or equal to 0 (got -1)"),
        ("seed=true", "command line: seed=true: must be an integer (got true)"),
        ("+sead=3", "command line: +sead=3: unknown key; did you mean `seed`?"),
        ("policy.bta=0.1", "command line: policy.bta=0.1: unknown key; did you mean `beta`?"),
        ("policy={bta:1}", "command line: policy={bta:1}: policy.bta: unknown key; did you mean `beta`?"),
        (
            "proxies.starved.pairs.x=1",
            "command line: proxies.starved.pairs.x=1: proxies.starved.pairs: must be an int",
        ),
        ("~sed", "command line: ~sed: there is no `sed` to delete"),
        ("seed=range(0,3,-1)", "command line: seed=range(0,3,-1): "),
        ("seed=interval(0,1)", "command line: seed=interval(0,1): only lists and ranges can be swept"),
        ("polcy.beta=1", "command line: polcy.beta=1: polcy: unknown key; did you mean `policy`?"),
        (
            "mitigation.beta=1",
            "command line: mitigation.beta=1: mitigation.type: must be set (choices: dpo, rloo)",
        ),
        ("seed=glob(*)", "command line: seed=glob(*): only lists and ranges can be swept"),
        ("seed=range(0,1000000000)", "command line: the sweep has more than 1000 configs"),
        ("seed=1,1", "command line: the sweep gives the name `base-seed=1` more than once"),
        ("against=[a]", "command line: against=[a]: against names `a`, which is no proxy"),
        ("hydra.verbose=1", "command line: hydra.verbose=1: hydra: unknown key; "),
        ("note=${nope}", "command line: note=${nope}: Interpolation key 'nope' not found"),
        ("name=" + "[" * 2000, "command line: name=[[["),
    ],
)
def test_each_mistake_on_the_command_line_has_one_message(override: str, expected: str) -> None:
    lines = message(write("x.yaml", BASE), override)
    assert len(lines) == 1
    assert lines[0].startswith(expected)


def test_a_sweep_reports_a_shared_mistake_once_and_its_own_ones_each() -> None:
    assert message(write("x.yaml", BASE), "seed=1,-1,-2", "sead=1") == [
        "command line: sead=1: unknown key; did you mean `seed`?",
        "command line: seed=-1: must be greater than or equal to 0 (got -1)",
        "command line: seed=-2: must be greater than or equal to 0 (got -2)",
    ]


def test_a_key_given_twice_is_refused() -> None:
    assert message(write("x.yaml", BASE), "seed=1", "seed=2") == [
        "command line: seed=2: `seed` is given twice (also as seed=1)"
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "x.yaml: the file is empty"),
        (b"# only a comment\n", "x.yaml: the file is empty"),
        (b"null\n", "x.yaml: the file is empty"),
        (b"- a\n- b\n", "x.yaml:1: must be a mapping of settings"),
        (b"just words\n", "x.yaml:1: must be a mapping of settings"),
        (b"\xff\xfe\x00a", "x.yaml: is not text in UTF-8"),
        (b"a: \x07\n", "x.yaml: not valid YAML: "),
    ],
)
def test_files_that_are_no_config(content: bytes, expected: str) -> None:
    Path("x.yaml").write_bytes(content)
    (line,) = message("x.yaml")
    assert line.startswith(expected)


def test_files_that_are_not_there() -> None:
    write("configs/quickstart.yaml", BASE)
    assert message("configs/quickstrt.yaml") == [
        "configs/quickstrt.yaml: no such file; did you mean configs/quickstart.yaml?"
    ]
    assert message("configs/quickstart") == [
        "configs/quickstart: no such file; did you mean configs/quickstart.yaml?"
    ]
    assert message("configs") == [
        "configs: is a folder; a config file is needed; did you mean configs/quickstart.yaml?"
    ]
    write("x.yml", BASE)
    assert message("x.yml") == ["x.yml: a config file's name must end in `.yaml`"]


def test_mistakes_in_a_file_of_the_defaults_list_are_placed_there() -> None:
    write("base.yaml", "seed: 1\nseed: 2\n")
    assert message(write("x.yaml", "defaults: [base]\nname: x")) == [
        "base.yaml:2: `seed` is already set on line 1"
    ]
    write("base.yaml", "defaults: [x]\nseed: 1\n")
    assert message("x.yaml") == ["base.yaml:1: defaults: `x` leads back to x.yaml"]


@pytest.mark.parametrize("where", ["x.yaml", "base.yaml"])
def test_an_alias_bomb_is_refused_before_it_is_expanded(where: str) -> None:
    write("base.yaml", "seed: 1")
    write("x.yaml", "defaults: [base]\nname: x\n")
    bomb = "a0: &a0 [1, 1]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 40)
    )
    Path(where).write_text(Path(where).read_text() + "\n" + bomb)
    (line,) = message(where if where == "x.yaml" else "x.yaml")
    assert line.startswith(f"{where}:") and "aliases expand to more than" in line


def test_merge_keys_and_their_lines() -> None:
    file = write("x.yaml", "name: x\nproxies:\n  a: &a {pairs: 3}\n  b:\n    <<: *a\n    cap: no\n")
    assert message(file) == ["x.yaml:6: proxies.b.cap: must be a number (got false)"]
    file.write_text(file.read_text().replace("no", "2"))
    assert one(file).proxies["b"] == Proxy(pairs=3, cap=2)


@pytest.mark.parametrize("folder", ["with space", "it's", "a=b,c", "[x]"])
def test_any_folder_name_will_do(folder: str) -> None:
    write(f"{folder}/base.yaml", BASE)
    file = write(f"{folder}/deep/x.yaml", "defaults: [base, _self_]\nseed: 2")
    assert one(file).seed == 2
