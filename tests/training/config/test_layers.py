"""What a config keeps of those below it: another `type`, an empty map or `_replace_: true` keeps nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_schema import Dpo, Proxy, Rloo, Scratch, one, write
from small_schema import message as messages

from training.config.load import load
from training.config.schema import Experiment
from training.errors import UserError

BASE = """
name: base
world: {type: quiz, facts: {entities: 20}}
gold: {type: trained, pairs: 500, model: {layers: 4}}
annotator: {type: partial_verification, verification_rate: 0.3, surface: {agreement: 2}}
mitigation: {type: agreement_penalty, inverse_temperature: 3}
policy: {beta: 0.2, steps: 7}
proxies:
  one:
    pairs: 30
    annotator: {type: assisted, critic_skill: 0.7}
    model: {type: scratch, layers: 3}
  two: {pairs: 60}
runs:
  path:
    policy: {type: grpo, beta: 0.3}
    control: {type: path, kl: [0.1, 1.0]}
    mitigation: {type: agreement_penalty, inverse_temperature: 2}
"""

# Place → settings of another variant, and a setting of the base's that must not survive.
SWITCHES: dict[str, tuple[dict[str, Any], str]] = {
    "annotator": ({"type": "bradley_terry", "flip_rate": 0.1}, "surface"),
    "gold": ({"type": "pretrained", "path": "some/folder"}, "pairs"),
    "policy": ({"type": "dpo", "label_smoothing": 0.0}, "steps"),
    "mitigation": ({"type": "reward_cap", "cap": 2.0}, "inverse_temperature"),
    "world": ({"type": "text", "path": "pairs.jsonl"}, "facts"),
    "proxies.one.annotator": ({"type": "flip_noise", "flip_rate": 0.2}, "critic_skill"),
    "proxies.one.model": ({"type": "pretrained", "path": "some/folder"}, "layers"),
    "runs.path.policy": ({"type": "rloo", "generations": 4}, "beta"),
    "runs.path.control": ({"type": "penalty", "points": 3}, "kl"),
    "runs.path.mitigation": ({"type": "reward_cap", "cap": 2.0}, "inverse_temperature"),
}
# Settings that the rest of the base cannot go with.
WITHOUT_QUIZ = ["~mitigation", "~runs.path.mitigation", "~proxies.one.annotator"]
WITHOUT_QUIZ += ["annotator.type=bradley_terry"]
TOKENIZER = "tokenizer: {type: pretrained, path: some/folder}"
ALSO = {
    "world": WITHOUT_QUIZ,
    "proxies.one.model": [*WITHOUT_QUIZ, f"world={{type: text, path: pairs.jsonl, {TOKENIZER}}}"],
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write("base.yaml", BASE)


def experiment(file: str, *overrides: str) -> Experiment:
    (resolved,) = load(Path(file), [*overrides, "name=x"])  # whose name would say them
    return resolved.config


def at(config: Experiment, place: str) -> dict[str, Any]:
    found: Any = config.model_dump(mode="json")
    for key in place.split("."):
        found = found[key]
    assert isinstance(found, dict)
    return found


def flow(settings: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {value}" for key, value in settings.items()) + "}"


def derived(place: str, settings: dict[str, Any]) -> str:
    """A file that changes one place of base.yaml."""
    text = flow(settings)
    for key in reversed(place.split(".")):
        text = f"{{{key}: {text}}}"
    return write("x.yaml", f"defaults: [base, _self_]\n{text[1:-1]}\n").name


@pytest.mark.parametrize("place", SWITCHES)
def test_another_type_replaces_the_part_in_every_notation(place: str) -> None:
    settings, old = SWITCHES[place]
    before = at(experiment("base.yaml"), place)
    assert before["type"] != settings["type"]
    also = ALSO.get(place, [])
    dotted = [f"{place}.{key}={value}" for key, value in settings.items()]
    configs = [
        experiment(derived(place, settings), *also),
        experiment("base.yaml", f"{place}={flow(settings)}", *also),
        experiment("base.yaml", *dotted, *also),
        experiment("base.yaml", *reversed(dotted), *also),
    ]
    assert all(config == configs[0] for config in configs)
    after = at(configs[0], place)
    assert settings.items() <= after.items()
    assert old in before and after.get(old) != before[old]


def test_a_base_that_names_no_type_has_that_of_the_default() -> None:
    config = experiment("base.yaml", "policy.type=dpo")
    assert config.policy.type == "dpo" and at(config, "policy")["beta"] == 0.1  # the base's 0.2 was RLOO's
    assert at(experiment("base.yaml", "policy.type=rloo"), "policy")["beta"] == 0.2


def test_the_same_type_again_keeps_what_was_set() -> None:
    config = experiment("base.yaml", "annotator={type: partial_verification, temperature: 0.5}")
    assert at(config, "annotator")["verification_rate"] == 0.3


def test_types_can_be_swept() -> None:
    configs = load(Path("base.yaml"), ["annotator.type=bradley_terry,partial_verification"])
    assert [at(each.config, "annotator").get("verification_rate") for each in configs] == [None, 0.3]


def test_each_file_of_a_chain_lies_on_what_was_left_by_those_below() -> None:
    write("middle.yaml", "defaults: [base, _self_]\nannotator: {type: flip_noise, temperature: 0.7}\n")
    write("x.yaml", "defaults: [middle, _self_]\nannotator: {type: partial_verification}\n")
    annotator = at(experiment("x.yaml"), "annotator")
    assert annotator["verification_rate"] != 0.3 and annotator["temperature"] == 1.0
    assert at(experiment("middle.yaml", "annotator.flip_rate=0.3"), "annotator")["temperature"] == 0.7


def test_a_map_marked_so_replaces_the_whole_of_the_bases() -> None:
    file = derived("proxies", {"_replace_": "true", "mine": "{pairs: 9}"})
    assert list(experiment(file).proxies) == ["mine"]
    assert list(experiment("base.yaml", "proxies={_replace_: true, mine: {pairs: 9}}").proxies) == ["mine"]
    assert list(experiment("base.yaml", "proxies._replace_=true", "proxies.mine.pairs=9").proxies) == ["mine"]
    assert list(experiment(derived("proxies", {"mine": "{pairs: 9}"})).proxies) == ["one", "two", "mine"]


def test_a_marked_map_inside_a_new_one_is_no_setting() -> None:
    assert experiment("base.yaml", "proxies.new={pairs: 9, fit: {_replace_: true, epochs: 1}}").proxies["new"]


def test_an_empty_map_empties() -> None:
    assert experiment("base.yaml", "runs={}").runs == {}
    assert experiment(derived("runs", {})).runs == {}
    policy = at(experiment("base.yaml", "policy={}"), "policy")
    assert policy["type"] == "rloo" and policy["beta"] == 0.0


@pytest.mark.parametrize("value", ["false", "1", "yes please"])
def test_the_mark_can_only_be_true(value: str) -> None:
    file = write("x.yaml", f"defaults: [base, _self_]\nproxies:\n  _replace_: {value}\n")
    with pytest.raises(UserError, match=r"x.yaml:3: proxies._replace_: can only be true, or be left out"):
        load(file)


def test_what_is_missing_after_a_switch_is_placed_where_the_type_was_written() -> None:
    write("x.yaml", "defaults: [base, _self_]\ngold:\n  type: pretrained\n")
    with pytest.raises(UserError, match=r"^x.yaml:2: gold.path: must be set"):
        experiment("x.yaml")
    with pytest.raises(UserError, match=r"^command line: gold.type=pretrained: gold.path: must be set"):
        experiment("base.yaml", "gold.type=pretrained")


def test_a_key_of_another_variant_names_those_that_have_it() -> None:
    with pytest.raises(UserError, match="belongs to `type: assisted` or `type: partial_verif"):
        experiment("base.yaml", "annotator={type: bradley_terry, verification_rate: 0.5}")


def test_one_item_of_a_list_can_be_set() -> None:
    file = write("small.yaml", "name: x\nkl: [1, 2]\n")
    assert one(file, "kl.1=5").kl == (1, 5)
    assert messages(file, "kl.2=5")[0].startswith("command line: kl.2=5: kl: must be a list")


def test_a_default_that_is_given_by_a_default_has_its_own_type() -> None:
    file = write("small.yaml", "name: x\npolicy: {model: {width: 8}}\nproxies: {p: {pairs: 3, cap: 1}}\n")
    assert one(file, "policy.model={heads: 2}").policy == Rloo(steps=300, model=Scratch(width=8, heads=2))
    assert one(file, "policy={type: dpo}").policy == Dpo()
    assert one(file, "proxies.p={_replace_: true, pairs: 5}").proxies == {"p": Proxy(pairs=5)}


def test_a_gold_that_needs_an_oracle_says_so_where_it_was_chosen() -> None:
    text = (
        "name: x\nworld: {type: text, path: a.csv}\ngold:\n  type: programmatic\nproxies: {p: {pairs: 9}}\n"
    )
    write("x.yaml", text)
    with pytest.raises(
        UserError, match=r"^x.yaml:4: gold.type is programmatic in world `text`: .* has none$"
    ):
        experiment("x.yaml")
