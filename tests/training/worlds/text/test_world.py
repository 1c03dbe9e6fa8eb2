"""The text world: disjoint splits, exact tokens, honest counts, and errors that say where."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from drawn_worlds import drawn
from hypothesis import given
from hypothesis import strategies as st
from places import SHARED

from training.errors import UserError
from training.worlds.text.transcripts import ASSISTANT, HUMAN, family
from training.worlds.text.world import TextWorld

HH = SHARED / "data/hh-rlhf-harmless-test/harmless_base_test.jsonl"
EQUAL_SHARES = dict.fromkeys(["sft", "gold", "pairs", "policy", "eval", "pool"], 1.0)


def dialogue(*turns: str) -> str:
    """A prompt of alternating human and assistant turns that asks for the next reply."""
    speakers = (HUMAN, ASSISTANT)
    return "".join(f"{speakers[i % 2]} {turn}" for i, turn in enumerate(turns)) + ASSISTANT


def row(prompt: str, chosen: str = " yes, of course.", rejected: str = " no.") -> dict[str, str]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def rows(count: int) -> list[dict[str, str]]:
    return [
        row(dialogue(f"what is {i} plus one ?"), f" it is {i + 1}.", f" {i}, my friend.")
        for i in range(count)
    ]


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def world(path: Path | str, **settings: Any) -> TextWorld:
    defaults: dict[str, Any] = {"tokenizer": {"vocab_size": 300, "type": "bpe"}, "shares": EQUAL_SHARES}
    return TextWorld.model_validate({"path": str(path), **defaults, **settings})


def splits(data: Any) -> dict[str, pd.DataFrame]:
    return {"sft": data.demonstrations, **data.prompts}


# --- splits -----------------------------------------------------------------------------------------


def test_a_conversation_never_crosses_splits(tmp_path: Path) -> None:
    """Each question also occurs in other case and spacing, and with a further turn: one family, one split."""
    records = []
    for i in range(120):
        records += [
            row(dialogue(f"tell me about river {i}"), f" chosen {i}"),
            row(dialogue(f"Tell me  about RIVER {i} "), f" chosen {i} again"),
            row(dialogue(f"tell me about river {i}", "gladly", f"go on {i}"), f" chosen {i} on"),
        ]
    data = drawn(world(write(tmp_path / "d.jsonl", records), max_prompt_tokens=200), 3, 8, 8)
    home = {role: set(part["prompt"].map(family)) for role, part in splits(data).items()}
    assert sum(len(families) for families in home.values()) == len(set.union(*home.values()))
    assert all(home.values())


def test_prompts_that_shortening_makes_equal_are_dropped_from_every_split(tmp_path: Path) -> None:
    long_ago = "a long story " * 30
    echo = [row(dialogue(f"{long_ago} {i}", "I see", "and then ?"), f" part {i}") for i in range(60)]
    data = drawn(world(write(tmp_path / "d.jsonl", rows(200) + echo), max_prompt_tokens=60), 0, 8, 8)
    assert data.notes["dropped"]["all"]["the shortened prompt is in two splits"] == {
        "rows": 60,
        "first": "line 201",
    }
    assert not any((part["prompt"] == dialogue("and then ?")).any() for part in splits(data).values())
    held = [prompt for part in splits(data).values() for prompt in set(part["prompt"])]
    assert len(held) == len(set(held))


def test_items_are_unique_independent_and_in_record_form(tmp_path: Path) -> None:
    records = rows(150) + [row(dialogue("hello", "hi", f"and {i} ?"), f" reply {i}") for i in range(50)]
    for seed in range(6):  # the "hello" conversation lands in different splits
        data = drawn(world(write(tmp_path / "d.jsonl", records + records)), seed, 10, 10)
        for role, items in data.prompts.items():
            assert list(items.columns) == ["item_id", "cluster", "condition", "weight", "prompt"]
            assert items["item_id"].is_unique and items["prompt"].is_unique
            assert (items["cluster"] == items["item_id"]).all() and (items["weight"] == 1.0).all()
            if role in ("eval", "pool"):
                assert len(items) == 10 and items["prompt"].map(family).is_unique


def test_the_seed_alone_decides_and_asking_for_more_items_keeps_the_others(tmp_path: Path) -> None:
    text = world(write(tmp_path / "d.jsonl", rows(300)))
    small, large, other = drawn(text, 0, 10, 10), drawn(text, 0, 25, 20), drawn(text, 1, 10, 10)
    assert list(large.prompts["eval"]["item_id"][:10]) == list(small.prompts["eval"]["item_id"])
    for role in ("gold", "pairs", "policy"):
        pd.testing.assert_frame_equal(small.prompts[role], large.prompts[role])
    assert small.tokenizer.get_vocab() == large.tokenizer.get_vocab()
    assert set(other.prompts["eval"]["prompt"]) != set(small.prompts["eval"]["prompt"])


def test_shares_are_ratios_and_gold_may_be_empty(tmp_path: Path) -> None:
    shares = {"sft": 5.0, "gold": 0, "pairs": 2.0, "policy": 1.0, "eval": 1.0, "pool": 1.0}
    data = drawn(world(write(tmp_path / "d.jsonl", rows(1000)), shares=shares), 0, 50, 50)
    assert data.preferences is None and data.prompts["gold"].empty
    assert len(data.demonstrations) == pytest.approx(500, abs=60)
    assert len(data.prompts["pairs"]) == pytest.approx(200, abs=45)


def test_preferences_and_demonstrations_are_the_files_own(tmp_path: Path) -> None:
    records = [{**r, "best": f" truly {i}"} for i, r in enumerate(rows(200))]
    by_prompt = {r["prompt"]: r for r in records}
    path = write(tmp_path / "d.jsonl", records)
    data = drawn(world(path, format={"type": "pairs", "demonstration": "best"}), 0, 8, 8)
    for prompt, chosen, rejected in data.preferences[["prompt", "chosen", "rejected"]].itertuples(
        index=False
    ):
        assert (chosen, rejected) == (by_prompt[prompt]["chosen"], by_prompt[prompt]["rejected"])
    for prompt, completion in data.demonstrations[["prompt", "completion"]].itertuples(index=False):
        assert completion == by_prompt[prompt]["best"]
    assert set(data.preferences["item_id"]) == set(data.prompts["gold"]["item_id"])


# --- what is dropped --------------------------------------------------------------------------------


def test_senseless_rows_are_dropped_and_counted_with_their_place(tmp_path: Path) -> None:
    good = rows(200)
    records = [
        *good,
        row(dialogue("blank ?"), "  "),
        {"prompt": dialogue("null ?"), "chosen": " a", "rejected": None},
        row(dialogue("same ?"), " a", " a"),
        row(dialogue("on and on ?"), f" a{HUMAN} b{ASSISTANT} c"),
        row(dialogue("half a smile ?"), " \ud83d"),
    ]
    path = write(tmp_path / "d.jsonl", records)
    notes = world(path).build(0).notes
    dropped = notes["dropped"]["all"]
    assert notes["rows_read"] == 205
    assert dropped["a text is blank"] == {"rows": 2, "first": "line 201"}
    assert dropped["chosen equals rejected"] == {"rows": 1, "first": "line 203"}
    assert dropped["a completion has further turns"] == {"rows": 1, "first": "line 204"}
    assert dropped["a text is not valid Unicode"] == {"rows": 1, "first": "line 205"}
    json.dumps(notes)


def test_long_completions_are_dropped_only_where_they_are_used(tmp_path: Path) -> None:
    """With 20 tokens for a completion, a long `rejected` costs gold its pair and no other split anything."""
    records = [row(r["prompt"], r["chosen"], " word" * 50) for r in rows(300)]
    text = world(write(tmp_path / "d.jsonl", records), shares={**EQUAL_SHARES, "gold": 0})
    data = drawn(text.model_copy(update={"max_completion_tokens": 20}), 0, 8, 8)
    assert data.notes["dropped"] == {}
    with_gold = world(tmp_path / "d.jsonl", max_completion_tokens=20)
    with pytest.raises(UserError, match=r"gold split .* because rejected exceeds 20 tokens"):
        with_gold.build(0)


def test_limits_hold_in_tokens_and_leave_room_for_the_end(tmp_path: Path) -> None:
    records = [
        row(dialogue(f"talk {i}", "sure", *["turn", "so"] * 3, f"{i} ?"), " w" * (1 + i % 30))
        for i in range(400)
    ]
    text = world(write(tmp_path / "d.jsonl", records), max_prompt_tokens=30, max_completion_tokens=12)
    data = drawn(text, 0, 8, 8)

    def tokens(text: str) -> int:
        return len(data.tokenizer(text)["input_ids"])

    assert max(tokens(prompt) for part in splits(data).values() for prompt in part["prompt"]) <= 30
    assert max(tokens(completion) for completion in data.demonstrations["completion"]) == 11
    lost = sum(dropped["rows"] for dropped in data.notes["dropped"].get("all", {}).values())
    assert data.notes["prompts_truncated"] == 400 - lost > 300


def test_a_prompt_keeps_the_longest_run_of_last_turns_that_fits(tmp_path: Path) -> None:
    turns = ["one " * 9, "two", "three", "four", "five"]
    whole = [row(dialogue(f"{i} {turns[0]}", *turns[1:-1], f"five {i}")) for i in range(200)]
    text = world(write(tmp_path / "d.jsonl", whole), tokenizer={"type": "bpe", "vocab_size": 258})  # bytes
    for kept, prompt in ((2, dialogue("three", "four", "five 100")), (1, dialogue("five 100"))):
        limit = len(prompt)
        data = drawn(text.model_copy(update={"max_prompt_tokens": limit}), 0, 8, 8)
        for part in splits(data).values():
            assert (part["prompt"].str.count(HUMAN) == kept).all()
            assert part["prompt"].str.startswith(HUMAN).all() and part["prompt"].str.endswith(ASSISTANT).all()
    with pytest.raises(UserError, match=r"200 because the prompt's last turn exceeds 20 tokens"):
        text.model_copy(update={"max_prompt_tokens": 20}).build(0)


def test_max_rows_draws_at_random(tmp_path: Path) -> None:
    data = drawn(world(write(tmp_path / "d.jsonl", rows(1000)), max_rows=300), 0, 8, 8)
    numbers = [
        int(p.split("what is ")[1].split()[0]) for part in splits(data).values() for p in part["prompt"]
    ]
    assert len(numbers) <= 300 and 350 < sum(numbers) / len(numbers) < 650


def test_too_few_prompts_are_refused_with_numbers(tmp_path: Path) -> None:
    text = world(write(tmp_path / "d.jsonl", rows(120)))
    with pytest.raises(
        UserError, match=r"world\.shares\.eval: .* has \d+ usable rows, and 500 are asked for"
    ) as error:
        drawn(text, 0, 500, 8)
    assert "measure.items" in str(error.value)
    with pytest.raises(UserError, match=r"world\.shares\.pool: .*best_of_n\.prompts"):
        drawn(text, 0, 8, 500)
    for seed in range(4):  # with two rows, a different split is empty under each seed, SFT among them
        with pytest.raises(UserError, match=r"world\.shares\.\w+: the \w+ split of .* has no usable row"):
            world(write(tmp_path / "d.jsonl", rows(2))).build(seed)


# --- tokens -----------------------------------------------------------------------------------------


def test_the_tokenizer_sees_the_sft_split_alone(tmp_path: Path) -> None:
    records = rows(300)
    text = world(write(tmp_path / "d.jsonl", records))
    before = drawn(text, 0, 8, 8)
    sft = set(before.demonstrations["prompt"])
    for record in records:
        if record["prompt"] not in sft:
            record["chosen"], record["rejected"] = " zqzqzq" * 3, " xkxkxk" * 3
        else:
            record["rejected"] = " vjvjvj" * 3  # not a demonstration either
    write(tmp_path / "d.jsonl", records)
    assert text.build(0).tokenizer.backend_tokenizer.to_str() == before.tokenizer.backend_tokenizer.to_str()


def test_prompt_and_completion_ids_concatenate_to_those_of_the_dialogue(tmp_path: Path) -> None:
    """So the text a model was trained on, the ids it samples and the ids that are scored are the same."""
    data = drawn(
        world(write(tmp_path / "d.jsonl", rows(300)), tokenizer={"type": "bpe", "vocab_size": 500}), 0, 8, 8
    )
    encode, decode = data.tokenizer.encode, data.tokenizer.decode
    for prompt, chosen in data.preferences[["prompt", "chosen"]].itertuples(index=False):
        ids = encode(prompt) + encode(chosen)
        assert ids == encode(prompt + chosen)
        assert decode(ids) == prompt + chosen
        assert data.tokenizer.eos_token_id not in ids and data.tokenizer.pad_token_id not in ids


# --- parse ------------------------------------------------------------------------------------------

PARSER = TextWorld(path="any.jsonl")


@given(st.text())
def test_parse_is_total(completion: str) -> None:
    outcome = PARSER.parse({}, completion, False, 0)
    assert outcome.keys() == PARSER.outcome_fields
    assert outcome["words"] == len(completion.split()) and 0 <= outcome["repetition"] < 1


@pytest.mark.parametrize(
    ("completion", "repetition"),
    [("", 0), ("a b", 0), ("a a a", 0), ("a a a a", 1 / 2), ("a b c d e", 0), ("a b c a b c a b c", 4 / 7)],
)
def test_repetition_is_the_share_of_trigrams_seen_before(completion: str, repetition: float) -> None:
    assert PARSER.parse({}, completion, True, 9)["repetition"] == pytest.approx(repetition)


def test_nobody_is_an_oracle_here() -> None:
    assert not TextWorld.has_oracle
    assert PARSER.oracle({}, PARSER.parse({}, " hello", True, 2), True, 2) is None


def test_a_dumped_config_builds_the_same_world(tmp_path: Path) -> None:
    text = world(write(tmp_path / "d.jsonl", rows(10)), format={"type": "pairs"}, max_rows=5)
    assert TextWorld.model_validate(json.loads(text.model_dump_json())) == text


# --- the real thing ---------------------------------------------------------------------------------


@pytest.mark.skipif(not HH.is_file(), reason="the HH-RLHF test split is not on this machine")
def test_hh_rlhf_builds_quickly_and_without_overlap() -> None:
    started = time.perf_counter()
    data = drawn(TextWorld.model_validate({"path": str(HH), "format": {"type": "hh"}}), 0, 120, 96)
    assert time.perf_counter() - started < 15
    assert data.notes["rows_read"] == 2312 and data.notes["demonstrations_altered_by_tokenizer"] == 0
    assert len(data.prompts["eval"]) == 120 and len(data.prompts["pool"]) == 96
    assert len(data.preferences) > 300 and len(data.demonstrations) > 300
    prompts = [prompt for part in splits(data).values() for prompt in set(part["prompt"])]
    assert len(prompts) == len(set(prompts))
    encode = data.tokenizer.encode
    for prompt, chosen, rejected in data.preferences[["prompt", "chosen", "rejected"]].itertuples(
        index=False
    ):
        assert prompt.endswith(ASSISTANT) and chosen.startswith(" ") and rejected.startswith(" ")
        assert encode(prompt) + encode(chosen) == encode(prompt + chosen)
