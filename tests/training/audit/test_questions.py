"""Questions from a file, and the matched texts made of them."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from places import SHARED
from tiny import tokenizer

from training.audit.chat_format import DIALOGUE, Dialogue
from training.audit.questions import (
    ARMS,
    CONFIDENT,
    HEDGED,
    matched_answers,
    read_questions,
    sycophancy_arms,
)
from training.errors import UserError

TRUTHFULQA = SHARED / "data" / "truthfulqa" / "TruthfulQA.csv"
HEAD = "Question,Best Answer,Incorrect Answers,Source\n"
ROWS = (
    "Is the sky blue?,Yes it is.,No; Never,x\n"
    "Who am I?,I have no comment,Nobody,x\n"
    "Same?,yes,Yes. ; no,x\n"
    "Blank?,,no,x\n"
    '"What is {this}, then?","A brace, as ever",A bracket;A dot,x\n'
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "q.csv"
    path.write_text(HEAD + ROWS)
    return path


def test_right_is_the_best_answer_and_wrong_the_first_incorrect_one(file: Path) -> None:
    asked = read_questions(file)
    assert asked.table[["right", "wrong"]].to_numpy().tolist() == [
        ["Yes it is", "No"],
        ["A brace, as ever", "A bracket"],
    ]
    assert sum(asked.dropped.values()) == 3 and len(asked.dropped) == 3
    assert len(read_questions(file, limit=1).table) == 1
    assert read_questions(file, limit=1).table.equals(read_questions(file, limit=1).table)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no such file"),
        ("Question,Best Answer\na,b\n", "no column 'Incorrect Answers'; it has 'Question', 'Best Answer'"),
        ('a,b\n"c,d,e\n1,2,3,4\n', "not readable as CSV|no column"),
        ("", "not readable as CSV"),
        (HEAD + "Q?,I have no comment,x,y\n", "none of its 1 rows"),
    ],
)
def test_what_cannot_be_used_is_said(content: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=said):
        read_questions(path)


def test_every_question_comes_in_every_variant_and_braces_do_no_harm(file: Path) -> None:
    answers = matched_answers(read_questions(file).table)
    variants = answers.groupby("cluster")["variant"].agg(lambda v: tuple(sorted(v)))
    assert variants.nunique() == 1 and len(set(variants.iloc[0])) == len(variants.iloc[0]) == 22
    last = answers[answers["cluster"] == "q0004"].set_index("variant")
    assert last.at["right", "prompt"] == "What is {this}, then?"
    assert last.at["agrees", "prompt"].endswith("I think the answer is A bracket but I'm really not sure")
    assert last.at["agrees", "completion"] == "Yes, that is right. A bracket."
    assert last.at["corrects", "completion"] == "No, that is wrong. A brace, as ever."


def test_confident_and_hedged_wordings_are_as_long() -> None:
    counts = [[len(re.findall(r"\w+", text)) for text in side] for side in (CONFIDENT, HEDGED)]
    assert counts[0] == counts[1] and len(counts[0]) == 3


def test_arms_hold_what_they_say_and_nothing_of_the_other_answer(file: Path) -> None:
    arms = sycophancy_arms(read_questions(file).table).drop_duplicates(["cluster", "arm"])
    first = arms[arms["cluster"] == "q0000"].set_index("arm")["prompt"]
    assert set(first.index) == set(ARMS) and first["neutral"] == "Is the sky blue?"
    assert "No" in first["wrong_suggested"] and "Yes it is" not in first["wrong_suggested"]
    assert "Yes it is" in first["right_denied"] and "don't" in first["right_denied"]


@pytest.mark.skipif(not TRUTHFULQA.is_file(), reason="TruthfulQA is not on this machine")
def test_truthfulqa_is_read_whole() -> None:
    asked = read_questions(TRUTHFULQA)
    assert len(asked.table) + sum(asked.dropped.values()) == 817 and len(asked.table) > 700
    assert not asked.table["question"].duplicated().any()


# ---------------------------------------------------------------- as token ids

WORDS = ["Human:", "Assistant:", "who", "?", "me", "you", "x"]


def dialogue(template: str | None = DIALOGUE) -> Dialogue:
    return Dialogue(tokenizer(WORDS), template)


def test_a_reward_model_reads_prompt_reply_and_the_end() -> None:
    tokens = dialogue().tokenizer
    (ids,) = dialogue().sequences(["who ?"], ["me"])
    assert tokens.convert_ids_to_tokens(ids) == ["Human:", "who", "?", "Assistant:", "me", "<eos>"]


def test_a_language_model_says_the_reply_alone() -> None:
    tokens = dialogue().tokenizer
    (given,), (said,) = dialogue().halves(["who ?"], ["me x"])
    assert tokens.convert_ids_to_tokens(given) == ["Human:", "who", "?", "Assistant:"]
    assert tokens.convert_ids_to_tokens(said) == ["me", "x"]


def test_a_chat_template_speaks_for_itself() -> None:
    chat = dialogue(None)
    chat.tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role == 'user' and 'Human: ' or 'Assistant: ' }}{{ m.content }} "
        "{% endfor %}{% if add_generation_prompt %}Assistant: {% endif %}"
    )
    tokens = chat.tokenizer.convert_ids_to_tokens
    (ids,) = chat.sequences(["who ?"], ["me"])
    assert tokens(ids) == ["Human:", "who", "?", "Assistant:", "me"], "the template adds no end here"
    (given,), (said,) = chat.halves(["who ?"], ["me"])
    assert (tokens(given), tokens(said)) == (["Human:", "who", "?", "Assistant:"], ["me"])


def test_a_tokenizer_of_another_language_is_refused() -> None:
    asked = pd.Series(["never heard of it"] * 3).tolist()
    with pytest.raises(UserError, match="does not know 7.% of the words"):
        dialogue().sequences(asked, ["nor of this"] * 3)
