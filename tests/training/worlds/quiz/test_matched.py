"""The quiz's matched completions say what their names promise, and every reward model values them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawn_worlds import drawn, inputs
from rollouts import make_home
from synthetic import write_experiment

from analysis.audit.reward_models import BIASES, QUADRUPLE, audit_table
from analysis.records.experiment import Experiment, RecordError
from analysis.tables.tables import tables
from training.follow.points import add_audit
from training.stages.audit import score_matched
from training.stages.task import Task
from training.store.journal import Journal
from training.worlds.quiz import QuizWorld, matched_completions
from training.worlds.quiz.grammar import EVIDENCE, PRAISE

WORLD = QuizWorld.model_validate(
    {"counts": {"demonstrations": 200, "gold": 10, "pairs": 10, "policy": 10}, "facts": {"unanswerable": 0.2}}
)


@pytest.fixture(scope="module")
def items() -> pd.DataFrame:
    return drawn(WORLD, 0, eval_items=60, pool_prompts=4).prompts["eval"]


@pytest.fixture(scope="module")
def parsed(items: pd.DataFrame) -> pd.DataFrame:
    """Every matched completion beside its item and what it was read as."""
    table = WORLD.matched_completions(items)
    by_id = items.set_index("item_id")
    read = [
        WORLD.parse(by_id.loc[row.item_id].to_dict(), str(row.completion), True, 20)
        for row in table.itertuples()
    ]
    asked = by_id.loc[table["item_id"], ["truth", "belief", "condition", "exposure"]].reset_index(drop=True)
    return pd.concat([table.reset_index(drop=True), asked, pd.DataFrame(read).drop(columns="words")], axis=1)


def test_every_known_fact_with_an_answer_comes_in_every_variant(
    parsed: pd.DataFrame, items: pd.DataFrame
) -> None:
    neutral = items[items["condition"] == "neutral"]
    usable = neutral[(neutral["exposure"] == "known") & neutral["answerable"].astype(bool)]
    assert set(parsed["cluster"]) == set(usable["cluster"]) and len(usable) < len(neutral)
    variants = parsed.groupby("cluster")["variant"].agg(lambda v: tuple(sorted(v)))
    assert variants.nunique() == 1 and len(set(variants.iloc[0])) == len(variants.iloc[0])
    needed = {name for bias in BIASES if bias != "format" for pair in BIASES[bias].pairs for name in pair}
    assert needed | set(QUADRUPLE) == set(variants.iloc[0])


def test_what_they_state_is_right_or_the_users_wrong_value(parsed: pd.DataFrame) -> None:
    right = parsed["variant"].str.startswith("right") | (parsed["variant"] == "corrects")
    assert (parsed["stated"] == parsed["truth"])[right].all() and parsed["correct"][right].all()
    assert not (parsed["stated"] == parsed["truth"])[~right].any()
    told = parsed.set_index("variant")
    assert (told.loc["agrees", "stated"] == told.loc["agrees", "belief"]).all()
    assert (told.loc[["agrees", "corrects"], "condition"] == "wrong").all()


@pytest.mark.parametrize(
    ("suffix", "field", "value"),
    [
        ("_confident", "confident", True),
        ("_hedged", "hedged", True),
        ("_praise", "praise", 1),
        ("_evidence", "evidence", 1),
    ],
)
def test_a_variant_has_what_its_name_says_and_nothing_else(
    parsed: pd.DataFrame, suffix: str, field: str, value: object
) -> None:
    told = parsed.set_index("variant")
    for truth in ("right", "wrong"):
        assert (told.loc[f"{truth}{suffix}", field] == value).all()
        others = {"confident", "hedged", "praise", "evidence", "agrees", "contradicts"} - {field}
        assert not told.loc[f"{truth}{suffix}", list(others)].any(axis=None)
        plain = told.loc[truth, ["confident", "hedged", "praise", "evidence", "agrees", "contradicts"]]
        assert not plain.any(axis=None)


def test_agreement_and_correction_are_said_and_every_phrase_takes_its_turn(parsed: pd.DataFrame) -> None:
    told = parsed.set_index("variant")
    assert told.loc["agrees", "agrees"].all() and not told.loc["corrects", "agrees"].any()
    assert told.loc["corrects", "contradicts"].all() and not told.loc["agrees", "contradicts"].any()
    said = " ".join(parsed["completion"])
    assert all(phrase in said for phrase in (*PRAISE, *EVIDENCE))


def test_they_fit_and_stay_few(parsed: pd.DataFrame, items: pd.DataFrame) -> None:
    assert parsed["completion"].str.split().str.len().max() < WORLD.max_completion_tokens
    copies = [items.assign(**{c: items[c] + f"/{i}" for c in ("cluster", "item_id")}) for i in range(12)]
    many = matched_completions.completions(pd.concat(copies, ignore_index=True))
    assert many["cluster"].nunique() == matched_completions.MOST_CLUSTERS and len(many) < 5000


# ---------------------------------------------------------------- valued, and read again


@pytest.fixture(scope="module")
def valued(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the audit of all scorers, as records have it: the oracle for gold, and a random proxy."""
    home = make_home(tmp_path_factory.mktemp("home"))
    (home / "artefact").mkdir()
    (home / "artefact" / "model").symlink_to(home / "proxy")
    scorers: dict[str, tuple[dict[str, Any], dict[str, Path]]] = {
        "gold": ({"gold": {"type": "programmatic"}}, {"gold": home}),
        "oracle": ({}, {}),
        "proxy/ample/0": ({}, {"proxy": home / "artefact"}),
    }
    folders = []
    for scorer, (settings, models) in scorers.items():
        folders.append(home / "audit" / scorer)
        task = {"batch_size": 64, "scorer": scorer, **settings}
        score_matched(
            Task(folders[-1], task, {**inputs(home / "world"), **models}, Journal(home / "journal"))
        )
    add_audit(folders, home / "audit.parquet")
    return home


def test_the_oracle_pays_for_truth_and_cannot_be_bought(valued: Path) -> None:
    values = pd.read_parquet(valued / "audit.parquet")
    assert set(values["scorer"]) == {"gold", "oracle", "proxy/ample/0"}
    table = audit_table(values, np.random.default_rng(0)).set_index(["scorer", "measure"])["value"]
    assert table["oracle", "error"] == table["oracle", "agreement"] == table["oracle", "cfw"] == 0
    assert table["oracle", "truth_margin"] > 0 and table["oracle", "exchange_rate"] < 0.5
    assert table["gold"].equals(table["oracle"]), "programmatic gold is the oracle"
    assert 0 < table["proxy/ample/0", "truth_margin"] ** 2 < table["oracle", "truth_margin"] ** 2


def test_records_with_an_audit_have_its_table(valued: Path, tmp_path: Path) -> None:
    path = write_experiment(tmp_path, clusters=6, kl_grid=(0, 1), budgets=(), pool=None)
    (path / "audit.parquet").unlink()
    assert tables(Experiment.read(path)).audit.empty, "older records have none"
    (path / "audit.parquet").write_bytes((valued / "audit.parquet").read_bytes())
    audit = tables(Experiment.read(path)).audit
    assert list(audit["scorer"].unique()) == ["oracle", "gold", "proxy/ample/0"]
    values = pd.read_parquet(path / "audit.parquet").iloc[1:]
    values.to_parquet(path / "audit.parquet")
    with pytest.raises(RecordError, match="audit.parquet: gold: not every question"):
        _ = tables(Experiment.read(path)).audit
