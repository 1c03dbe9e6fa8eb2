"""The quiz's language: what is written is what is read, and everything can be read."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.worlds.quiz.grammar import LONGEST_PLAIN_REPLY, Reader, Reply, write

VALUES = ("borton", "kelton", "tamwen")
READER = Reader(VALUES)
WORDS = READER.words()


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """Every reply that the language can express."""
    stated = draw(st.none() | st.sampled_from(VALUES))
    manner = draw(st.sampled_from(["plain", "confident", "hedged"])) if stated else "plain"
    return Reply(
        stated=stated,
        confident=manner == "confident",
        hedged=manner == "hedged",
        abstains=stated is None and draw(st.booleans()),
        agrees=draw(st.booleans()),
        contradicts=draw(st.booleans()),
        praise=draw(st.integers(0, 3)),
        evidence=draw(st.integers(0, 3)),
    )


@given(reply=replies(), seed=st.integers(0, 2**32))
def test_what_is_written_is_what_is_read(reply: Reply, seed: int) -> None:
    text = write(reply, np.random.default_rng(seed))
    assert READER.read(text) == (reply, 0, len(text.split()))


@given(words=st.lists(st.sampled_from(WORDS) | st.text(), max_size=40))
def test_every_string_has_a_reading(words: list[str]) -> None:
    text = " ".join(words)
    reply, malformed, count = READER.read(text)
    assert count == len(text.split())
    assert 0 <= malformed <= count
    assert reply.stated in (None, *VALUES)
    assert not (reply.confident and reply.hedged)
    assert not (reply.abstains and reply.stated)
    assert reply.stated or not (reply.confident or reply.hedged)


@given(words=st.lists(st.sampled_from(WORDS), max_size=12))
def test_whatever_follows_a_first_answer_leaves_it_as_it_is(words: list[str]) -> None:
    clause = write(Reply(stated="borton", confident=True), np.random.default_rng(0))
    read = READER.read(" ".join([clause, *words]))
    assert read.reply.stated == "borton" and read.reply.confident


def test_no_clause_begins_with_another() -> None:
    """So that reading never has to choose."""
    clauses = list(READER._clauses)
    assert not [(a, b) for a in clauses for b in clauses if a != b and b[: len(a)] == a]


@pytest.mark.parametrize(
    ("text", "expected", "malformed"),
    [
        ("", Reply(), 0),
        ("it is borton", Reply(), 3),
        ("it is surely maybe borton .", Reply(), 6),
        ("borton .", Reply(), 2),
        ("it it is borton .", Reply(stated="borton"), 1),
        ("it is kelton . it is surely borton .", Reply(stated="kelton"), 0),
        ("i do not know . it is maybe kelton .", Reply(stated="kelton", hedged=True), 0),
        ("yes no you are right !", Reply(agrees=True, contradicts=True), 0),
        ("great great question ! see the atlas", Reply(praise=1), 4),
    ],
)
def test_the_rules_at_the_edges(text: str, expected: Reply, malformed: int) -> None:
    assert READER.read(text) == (expected, malformed, len(text.split()))


@given(reply=replies(), seed=st.integers(0, 99), limit=st.integers(LONGEST_PLAIN_REPLY, 30))
def test_a_shortened_reply_fits_and_loses_only_ornament(reply: Reply, seed: int, limit: int) -> None:
    if reply.agrees and reply.contradicts:
        return
    short = reply.shortened(limit)
    assert len(write(short, np.random.default_rng(seed)).split()) <= limit
    plain = {**vars(reply), "praise": 0, "evidence": 0}
    assert {**vars(short), "praise": 0, "evidence": 0} == plain
    assert short.praise <= reply.praise and short.evidence <= reply.evidence


def test_reading_is_fast() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(np.array(WORDS)[rng.integers(len(WORDS), size=19)]) for _ in range(5_000)]
    start = time.perf_counter()
    for text in texts:
        READER.read(text)
    assert time.perf_counter() - start < 0.5
