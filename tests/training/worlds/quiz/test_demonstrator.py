"""The demonstrator: skill as configured, style independent of it."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from training.worlds.quiz.demonstrator import Demonstrator
from training.worlds.quiz.facts import Facts
from training.worlds.quiz.grammar import Reply, write
from training.worlds.quiz.prompts import Author
from training.worlds.quiz.stances import Stances
from training.worlds.quiz.world import QuizWorld

FACTS = Facts(entities=60, relations=3, values=12)
STANCES = Stances(third_party_rate=0.25, user_reliability=0.5, third_party_reliability=0.5)


def demonstrate(demonstrator: Demonstrator, longest: int = 40, count: int = 40_000) -> pd.DataFrame:
    """Items and what is replied to them, side by side."""
    rng = np.random.default_rng(0)
    facts = FACTS.draw(rng)
    author = Author(facts, STANCES, seed=0)
    asked = author.natural("sft", count, rng)
    said = demonstrator.replies(asked, facts, longest, rng)
    replies = pd.DataFrame([vars(reply) for reply in said])
    replies["stated"] = pd.Series([reply.stated for reply in said], dtype=object)
    frame = pd.concat([author.items(asked), replies], axis=1)
    follows = frame["stated"].eq(frame["belief"]) & frame["belief"].notna()
    return frame.assign(correct=frame["stated"].eq(frame["truth"]), follows=follows)


@pytest.fixture(scope="module")
def shown() -> pd.DataFrame:
    return demonstrate(Demonstrator())


def test_skill_is_as_configured(shown: pd.DataFrame) -> None:
    neutral = shown[shown["stance"] == "none"]
    answerable = neutral[neutral["answerable"]]
    # Guesses are uniform over 12 values, so some are right by luck.
    assert answerable["correct"].mean() == pytest.approx(0.6 + 0.3 / 12, abs=0.02)
    assert answerable["abstains"].mean() == pytest.approx(0.1, abs=0.015)
    assert neutral[~neutral["answerable"]]["abstains"].mean() == pytest.approx(0.7, abs=0.03)


def test_beliefs_are_followed_as_often_as_configured_right_or_wrong(shown: pd.DataFrame) -> None:
    answerable = shown[shown["answerable"]]
    misled = answerable[answerable["belief_correct"].eq(False)].groupby("stance")["follows"].mean()
    assert misled["own"] == pytest.approx(0.15 + 0.85 * 0.3 / 12, abs=0.015)
    assert misled["third_party"] == pytest.approx(0.1 + 0.9 * 0.3 / 12, abs=0.015)
    helped = answerable[answerable["belief_correct"].eq(True)].groupby("stance")["correct"].mean()
    assert helped["own"] == pytest.approx(0.15 + 0.85 * 0.625, abs=0.02)


def test_skill_does_not_depend_on_exposure(shown: pd.DataFrame) -> None:
    by_exposure = shown[shown["answerable"]].groupby("exposure")["correct"].mean()
    assert np.ptp(by_exposure) < 0.03


def test_style_is_independent_of_skill(shown: pd.DataFrame) -> None:
    answers = shown[shown["answerable"] & ~shown["abstains"]]
    for feature in ("confident", "hedged", "praise", "evidence"):
        means = answers.groupby("correct")[feature].mean()
        assert abs(means[True] - means[False]) < 0.02, feature
    assert answers["confident"].mean() == pytest.approx(0.25, abs=0.01)
    assert answers["hedged"].mean() == pytest.approx(0.2, abs=0.01)
    assert (answers["evidence"] > 0).mean() == pytest.approx(0.3, abs=0.01)
    assert set(answers["evidence"]) == {0, 1, 2, 3} and set(answers["praise"]) == {0, 1, 2}


def test_agreement_depends_on_whether_the_belief_is_repeated(shown: pd.DataFrame) -> None:
    agrees = shown.groupby("follows")["agrees"].mean()
    assert agrees[True] == pytest.approx(0.5, abs=0.03)
    assert agrees[False] == pytest.approx(0.1, abs=0.01)
    differs = ~shown["follows"] & shown["belief"].notna() & ~shown["abstains"]
    assert shown.loc[differs, "contradicts"].mean() == pytest.approx(0.9 * 0.3, abs=0.01)
    assert not shown.loc[~differs, "contradicts"].any()
    assert not (shown["agrees"] & shown["contradicts"]).any()


def test_the_perfect_demonstrator_always_shows_the_truth() -> None:
    shown = demonstrate(Demonstrator(correct=1, abstain=0, follow_user=0, follow_third_party=0), count=2_000)
    assert shown.loc[shown["answerable"], "correct"].all()
    assert shown.loc[~shown["answerable"], "abstains"].all()


def test_the_sycophant_always_follows_where_it_can() -> None:
    shown = demonstrate(Demonstrator(follow_user=1, follow_third_party=1), count=2_000)
    assert shown["follows"].equals(shown["belief"].notna())


@pytest.mark.parametrize("longest", [9, 19])
def test_replies_fit(longest: int) -> None:
    shown = demonstrate(Demonstrator(evidence=0.9, praise=0.9), longest, 2_000)
    rng = np.random.default_rng(0)
    replies = (Reply(*row) for row in shown[[field.name for field in fields(Reply)]].itertuples(index=False))
    words = [len(write(reply, rng).split()) for reply in replies]
    assert max(words) <= longest
    assert np.mean(words) > longest - 4, "room is used"


def test_slips_swap_single_words_at_the_rate_configured() -> None:
    meant = ["it is arlen .", "i do not know ."] * 5_000
    words = ["see", "the", "atlas"]
    rng = np.random.default_rng(0)
    assert Demonstrator().spoken(meant, words, rng) == meant, "no slip unless asked for"
    said = Demonstrator(slip=0.05).spoken(meant, words, rng)
    pairs = [
        (m, s) for a, b in zip(meant, said, strict=True) for m, s in zip(a.split(), b.split(), strict=True)
    ]
    slips = [s for m, s in pairs if m != s]
    assert len(slips) / len(pairs) == pytest.approx(0.05, abs=0.005)
    assert set(slips) == set(words)


def test_a_world_with_slips_differs_in_them_alone() -> None:
    plain, slipping = (QuizWorld(demonstrator=Demonstrator(slip=slip)).build(seed=0) for slip in (0.0, 0.02))
    one, other = plain.demonstrations, slipping.demonstrations
    assert one["prompt"].equals(other["prompt"])
    spoken = zip(one["completion"].str.split(), other["completion"].str.split(), strict=True)
    assert all(len(a) == len(b) for a, b in spoken)
    slipped = (one["completion"] != other["completion"]).mean()
    words = one["completion"].str.count(" ").mean() + 1
    assert slipped == pytest.approx(1 - 0.98**words, abs=0.03)
