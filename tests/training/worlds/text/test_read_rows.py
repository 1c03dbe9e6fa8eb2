"""Reading text data: formats agree, dialogues split where they should, tokenizers keep their contract."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tokenizers import Tokenizer, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from training.errors import UserError
from training.worlds.text.read_rows import HubSelection, read_table
from training.worlds.text.tokenizer import Bpe, PretrainedTokenizer
from training.worlds.text.transcripts import Pairs, Transcripts, family, split_dialogues, without_oldest_turns
from training.worlds.text.world import TextWorld

ALL = HubSelection(None, None, None, None)
RECORDS = [
    {"prompt": "why ?", "chosen": " because, é漢", "rejected": ' "no"\nline'},
    {"prompt": "NA", "chosen": " null", "rejected": " 1"},
]


def text_file(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


# --- files ------------------------------------------------------------------------------------------


def test_every_file_format_gives_the_same_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame(RECORDS)
    lines = "\n".join(json.dumps(record) for record in RECORDS)
    frame.to_csv(tmp_path / "d.csv", index=False)
    frame.to_parquet(tmp_path / "d.parquet")
    (tmp_path / "d.jsonl").write_text(lines, encoding="utf-8")
    with gzip.open(tmp_path / "d.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(lines)
    for name in ("d.csv", "d.parquet", "d.jsonl", "d.jsonl.gz"):
        read = Pairs().read(read_table(str(tmp_path / name), ALL))
        assert read[["prompt", "chosen", "rejected"]].to_dict("records") == RECORDS, name
        assert list(read.index) == [1, 2]


def test_line_numbers_count_blank_lines(tmp_path: Path) -> None:
    path = text_file(tmp_path / "d.jsonl", "", '{"a": "x"}', "", '{"a": 3}')
    with pytest.raises(
        UserError, match=r"d\.jsonl:4: column 'a' \(world\.format\.a\) has a cell of type int"
    ):
        read_table(path, ALL).text("a", "world.format.a")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("d.jsonl", '{"prompt": "x"}\n{"prompt": \n', r"d\.jsonl:2: not JSON \(.* at column 11\)"),
        (
            "d.jsonl",
            '{"prompt": "x"}\n["x"]\n',
            r"d\.jsonl:2: a JSON list; each line must be one JSON object",
        ),
        ("d.jsonl", "", r"d\.jsonl has no rows"),
        ("d.csv", "prompt,chosen\n", r"d\.csv has no rows"),
        ("d.csv", "", r"d\.csv is not a valid \.csv file"),
        ("d.parquet", "PAR0", r"d\.parquet is not a valid \.parquet file"),
        ("d.jsonl.gz", "not gzip", r"d\.jsonl\.gz is not a valid \.gz file"),
        ("d.txt", "x", r"d\.txt cannot be read; name a file that ends in \.jsonl"),
    ],
)
def test_broken_files_are_refused_with_the_place(
    tmp_path: Path, name: str, content: str, complaint: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=complaint):
        read_table(str(tmp_path / name), ALL)


def test_undecodable_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(b'{"prompt": "caf\xe9"}\n')
    with pytest.raises(UserError, match="utf-8"):
        read_table(str(tmp_path / "d.jsonl"), ALL)


def test_a_missing_file_names_its_nearest_neighbour(tmp_path: Path) -> None:
    text_file(tmp_path / "pairs.jsonl", "{}")
    with pytest.raises(UserError, match=r"no file .*pears\.jsonl; did you mean `pairs\.jsonl`\?"):
        read_table(str(tmp_path / "pears.jsonl"), ALL)


def test_a_missing_column_names_those_there_are(tmp_path: Path) -> None:
    path = text_file(tmp_path / "d.jsonl", json.dumps({"prompt": "x", "choosen": "y", "rejected": "z"}))
    with pytest.raises(UserError) as error:
        Pairs().read(read_table(path, ALL))
    message = str(error.value)
    for part in ("world.format.chosen", "prompt, choosen, rejected", "did you mean `choosen`?"):
        assert part in message


def test_a_dataset_that_cannot_be_reached_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(path: str, **_: Any) -> None:
        raise ConnectionError(f"Couldn't reach {path!r} on the Hub\nmore")

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    for offline, hint in (("1", "HF_HUB_OFFLINE is set"), ("0", "check the id")):
        monkeypatch.setenv("HF_HUB_OFFLINE", offline)
        with pytest.raises(UserError, match="Couldn't reach 'Nobody/nothing' on the Hub\\.") as error:
            read_table("Nobody/nothing", ALL)
        assert hint in str(error.value) and "world.path=" in str(error.value)


def test_a_dataset_is_loaded_as_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: dict[str, Any] = {}

    def load(path: str, **selection: Any) -> datasets.Dataset:
        asked.update(selection, path=path)
        return datasets.Dataset.from_list(RECORDS)

    monkeypatch.setattr("datasets.load_dataset", load)
    table = read_table("Some/pairs", HubSelection("test", None, "harmless-base", "abc"))
    assert asked == {
        "path": "Some/pairs",
        "name": None,
        "data_dir": "harmless-base",
        "split": "test",
        "revision": "abc",
    }
    assert table.where(2) == "Some/pairs [test], row 2"
    assert Pairs().read(table)["chosen"].tolist() == [record["chosen"] for record in RECORDS]


def test_a_hub_selection_on_a_local_file_is_refused(tmp_path: Path) -> None:
    path = text_file(tmp_path / "d.jsonl", '{"a": "x"}')
    with pytest.raises(UserError, match=r"world\.revision is for Hugging Face datasets"):
        read_table(path, HubSelection(None, None, None, "main"))


# --- dialogues --------------------------------------------------------------------------------------


def test_dialogues_split_at_the_last_shared_reply() -> None:
    shared = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
    assert split_dialogues(shared + " yes", shared + " you may") == (shared, " yes", " you may")
    longer = shared + " yes\n\nHuman: d\n\nAssistant: e"
    assert split_dialogues(longer, shared + " yes") == (shared, longer[len(shared) :], " yes")
    assert split_dialogues("\n\nHuman: a", "\n\nHuman: b")[0] is None


def test_a_file_that_is_not_dialogues_is_refused_as_such(tmp_path: Path) -> None:
    path = text_file(tmp_path / "d.jsonl", *(json.dumps(record) for record in RECORDS))
    assert Transcripts().read(read_table(path, ALL))["prompt"].isna().all()
    text = TextWorld.model_validate({"path": path, "format": {"type": "hh"}})
    with pytest.raises(
        UserError, match=r"world\.format\.type=hh: no row .* 2 because the dialogues share no .*line 1\)"
    ):
        text.build(0)


def test_a_format_refuses_columns_it_would_ignore() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        TextWorld.model_validate({"path": "x", "format": {"type": "hh", "prompt": "question"}})


@pytest.mark.parametrize(
    "other",
    [
        "\n\nHuman:  WHAT is\nit ? \n\nAssistant:",
        "\n\nHuman: what is it ?\n\nAssistant: this\n\nHuman: and\n\nAssistant:",
        "You are kind.\n\nHuman: ｗhat is it ?\n\nAssistant:",
    ],
)
def test_a_family_is_known_by_its_first_human_turn(other: str) -> None:
    assert family(other) == family("\n\nHuman: what is it ?\n\nAssistant:") == "what is it ?"
    assert family("no  Dialogue") == "no dialogue"


def test_the_oldest_turns_go_first() -> None:
    prompt = "Be kind.\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:"
    first, second = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:", "\n\nHuman: c\n\nAssistant:"
    assert without_oldest_turns(prompt) == first
    assert without_oldest_turns(first) == second
    assert without_oldest_turns(second) is None
    assert without_oldest_turns("no dialogue") is None


# --- tokenizers -------------------------------------------------------------------------------------

BPE = Bpe(vocab_size=300).build(["the cat sat on the mat", "\n\nHuman: the cat ?\n\nAssistant: yes"])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_bpe_gives_any_text_back(text: str) -> None:
    assert BPE.decode(BPE(text)["input_ids"]) == text


def test_special_tokens_never_arise_from_a_text() -> None:
    ids = BPE("an <eos> and a <pad>")["input_ids"]
    assert not {BPE.eos_token_id, BPE.pad_token_id} & set(ids)
    assert BPE.decode(ids, skip_special_tokens=True) == "an <eos> and a <pad>"


def check_contract(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert tokenizer.padding_side == "left"
    assert tokenizer("the cat")["input_ids"] == tokenizer("the cat", add_special_tokens=False)["input_ids"]
    assert tokenizer.eos_token_id not in tokenizer("the cat")["input_ids"]


def test_bpe_keeps_its_contract_through_disk(tmp_path: Path) -> None:
    BPE.save_pretrained(tmp_path)
    for tokenizer in (BPE, AutoTokenizer.from_pretrained(tmp_path)):
        check_contract(tokenizer)
        assert tokenizer("a <eos> cat")["input_ids"] == BPE("a <eos> cat")["input_ids"]


@pytest.mark.parametrize("pad", [None, "<eos>"])
def test_a_pretrained_tokenizer_is_brought_under_the_contract(tmp_path: Path, pad: str | None) -> None:
    """One that pads with EOS or not at all and puts a special token before every text, as many do."""
    backend = Tokenizer.from_str(BPE.backend_tokenizer.to_str().replace("<pad>", "<s>"))
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
    )
    theirs = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="<eos>", pad_token=pad
    )
    assert theirs("the cat")["input_ids"][0] == theirs.bos_token_id
    theirs.save_pretrained(tmp_path / "theirs")

    ours = PretrainedTokenizer(path=str(tmp_path / "theirs")).build([])
    ours.save_pretrained(tmp_path / "ours")
    for tokenizer in (ours, AutoTokenizer.from_pretrained(tmp_path / "ours")):
        check_contract(tokenizer)
        assert tokenizer.pad_token == "<pad>" and tokenizer.eos_token == "<eos>"
        assert len(tokenizer) == len(theirs) + 1
        assert tokenizer.decode(tokenizer(" the cat")["input_ids"]) == " the cat"


def test_an_unknown_pretrained_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"world\.tokenizer\.path: no tokenizer at"):
        PretrainedTokenizer(path=str(tmp_path)).build([])


def test_a_pretrained_tokenizer_without_an_end_is_refused(tmp_path: Path) -> None:
    PreTrainedTokenizerFast(tokenizer_object=BPE.backend_tokenizer).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="has no end-of-sequence token"):
        PretrainedTokenizer(path=str(tmp_path)).build([])


def test_a_vocabulary_too_small_for_all_bytes_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 258"):
        Bpe(vocab_size=200)
