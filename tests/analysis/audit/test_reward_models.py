"""Audits of scripted reward models: what was planted is found, what was not is not."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.audit.reward_models import BIASES, MEASURES, audit_grids, audit_table, document
from analysis.study.grid import MISSING
from training.audit.questions import matched_answers

COUNT = 40
QUESTIONS = pd.DataFrame(
    {
        "cluster": [f"q{i:02d}" for i in range(COUNT)],
        "question": [f"What is the number of house {i}?" for i in range(COUNT)],
        "right": [f"It is {i}" for i in range(COUNT)],
        "wrong": [f"It is {i + 100}" for i in range(COUNT)],
    }
)
Reward = Callable[[pd.DataFrame], pd.Series]


def audited(reward: Reward, name: str = "scripted") -> pd.DataFrame:
    """The audit of a reward model that is a function of variant, prompt and completion, by measure."""
    answers = matched_answers(QUESTIONS)
    values = answers.assign(scorer=name, value=reward(answers).astype(float))
    return audit_table(values, np.random.default_rng(0)).set_index("measure")


def truth(answers: pd.DataFrame) -> pd.Series:
    return (answers["variant"].str.startswith("right") | (answers["variant"] == "corrects")).astype(float)


def length(answers: pd.DataFrame) -> pd.Series:
    return answers["completion"].str.findall(r"\w+").str.len().astype(float)


def confidence(answers: pd.DataFrame) -> pd.Series:
    said = answers["variant"]
    return said.str.endswith("_confident").astype(float) - said.str.endswith("_hedged")


def test_one_that_pays_for_length_prefers_what_is_longer_and_nothing_else() -> None:
    table = audited(length)
    assert table.at["length", "value"] == table.at["length", "lo"] == 1
    for other in ("error", "confidence", "praise", "evidence", "format", "agreement", "cfw"):
        assert table.at[other, "value"] == 0.5, f"{other} is matched in words"
    assert table.at["truth_margin", "value"] == 0
    assert math.isnan(table.at["exchange_rate", "value"]), "it pays for neither truth nor confidence"


def test_one_that_pays_for_truth_cannot_be_bought() -> None:
    table = audited(truth)
    assert table.at["truth_margin", "lo"] > 0 and table.at["cfw", "hi"] == 0
    assert table.at["error", "value"] == table.at["agreement", "value"] == 0
    assert table.at["style_margin", "value"] == table.at["exchange_rate", "value"] == 0
    assert table.at["agreement_shift", "value"] == pytest.approx(0)
    assert (table.loc[["confidence", "length", "praise", "format"], "value"] == 0.5).all()


@pytest.mark.parametrize("dose", [0.25, 0.5, 2.0])
def test_the_exchange_rate_is_the_price_of_an_error_in_confidence(dose: float) -> None:
    """Being confident rather than hedged earns 2 × dose; being right rather than wrong earns 1."""
    table = audited(lambda answers: truth(answers) + dose * confidence(answers))
    assert table.at["exchange_rate", "value"] == pytest.approx(2 * dose)
    assert table.at["cfw", "value"] == {0.25: 0.0, 0.5: 0.5, 2.0: 1.0}[dose]


def test_style_minus_truth_is_what_a_confident_error_gains_over_a_hedged_truth() -> None:
    noise = np.random.default_rng(1)
    answers = matched_answers(QUESTIONS)
    reward = pd.Series(noise.normal(size=len(answers)))
    table = audited(lambda _: reward)
    wide = answers.assign(value=reward).pivot(index="cluster", columns="variant", values="value")
    gained = (wide["wrong_confident"] - wide["right_hedged"]).mean() / reward.std(ddof=0)
    assert table.at["style_margin", "value"] - table.at["truth_margin", "value"] == pytest.approx(gained)


def test_where_truth_does_not_pay_confidence_is_priceless() -> None:
    table = audited(lambda answers: confidence(answers) - 0.1 * truth(answers))
    assert table.at["exchange_rate", "value"] == math.inf
    (row,) = [row for row in document(table.reset_index()) if row["measure"] == "exchange_rate"]
    assert row["value"] == "infinite"


def test_a_planted_share_is_found_within_its_interval() -> None:
    """It flatters on 30 % of the questions: there it pays for agreement with a wrong belief."""

    def flatters(answers: pd.DataFrame) -> pd.Series:
        chosen = answers["cluster"].str[1:].astype(int) % 10 < 3
        return truth(answers) + 2.0 * (chosen & (answers["variant"] == "agrees"))

    table = audited(flatters)
    assert table.at["agreement", "value"] == pytest.approx(0.3)
    assert table.at["agreement", "lo"] < 0.3 < table.at["agreement", "hi"] < 0.5
    assert table.at["error", "value"] == 0 and table.at["agreement_shift", "lo"] > 0


@pytest.mark.parametrize(
    ("bias", "mark"), [("praise", "great"), ("evidence", "literature"), ("format", "**")]
)
def test_each_bias_is_told_from_the_others(bias: str, mark: str) -> None:
    table = audited(lambda answers: answers["completion"].str.contains(mark, regex=False))
    found = {name for name in BIASES if table.at[name, "value"] != 0.5}
    assert found == {bias} and table.at[bias, "value"] == 1


def test_noise_shows_no_bias_but_has_an_interval() -> None:
    noise = np.random.default_rng(2)
    table = audited(lambda answers: pd.Series(noise.normal(size=len(answers))))
    shares = table.loc[[*BIASES, "cfw"]]
    assert ((shares["lo"] < 0.5) & (shares["hi"] > 0.5)).sum() >= len(shares) - 1
    assert (shares["hi"] - shares["lo"] > 0.1).all() and (table["questions"] == COUNT).all()


def test_a_constant_reward_model_has_no_margins() -> None:
    table = audited(lambda answers: pd.Series(1.0, index=answers.index))
    assert table.at["cfw", "value"] == 0.5 and math.isnan(table.at["truth_margin", "value"])
    assert {row["value"] for row in document(table.reset_index()) if row["unit"] != "share"} == {None}


def test_a_question_without_all_its_variants_is_refused() -> None:
    values = matched_answers(QUESTIONS).assign(scorer="x", value=0.0).iloc[1:]
    with pytest.raises(ValueError, match="x: not every question was answered in every variant"):
        audit_table(values, np.random.default_rng(0))


def test_what_was_not_asked_is_left_out() -> None:
    """The quiz has no format; a world without neutral answers has no error rate."""
    values = matched_answers(QUESTIONS).assign(scorer="x", value=0.0)
    quiet = values[~values["variant"].isin(["right_formatted", "wrong"])]
    measures = set(audit_table(quiet, np.random.default_rng(0))["measure"])
    assert set(MEASURES) - measures == {"format", "error", "agreement_shift", "length"}


def test_the_report_has_a_row_for_each_reward_model() -> None:
    both = [audited(reward, name).reset_index() for name, reward in (("gold", truth), ("proxy/a/0", length))]
    (grid,) = audit_grids(pd.concat(both, ignore_index=True))
    assert [row[0] for row in grid.rows] == ["gold", "proxy/a/0"]
    column = [each.title for each in grid.columns].index("length")
    assert grid.rows[1][column].startswith("1.00") and grid.rows[0][column].startswith("0.50")
    assert grid.rows[1][-1] == MISSING, "no exchange rate without a price of truth"
    assert audit_grids(audit_table(pd.DataFrame({"cluster": []}), np.random.default_rng(0))) == []
