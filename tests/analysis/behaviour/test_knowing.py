"""Knowing against saying, on hidden states in which a value is planted as a linear code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawing import draw_soundly, drawn, refused
from synthetic import write_experiment
from synthetic_quiz import Behaviour

from analysis.behaviour import knowing as study
from analysis.estimators.linear_probe import Facts, LinearProbe
from analysis.figures import Material
from analysis.probes.evidence import read_evidence
from analysis.records.experiment import Experiment, RecordError, read_table, write_table
from analysis.records.run_curves import RunCurves
from analysis.tables.tables import tables

WIDTH = 24


# --- the probe --------------------------------------------------------------------------------------


def facts(rng: np.random.Generator, entities: int = 40, values: int = 4, each: int = 3) -> Facts:
    of_entity = rng.permutation(np.arange(entities) % values)
    entity = np.repeat(np.arange(entities), each)
    return Facts(entity, of_entity[entity])


def test_a_linear_code_is_read_on_entities_never_seen_and_the_control_is_chance() -> None:
    rng = np.random.default_rng(0)
    known = facts(rng)
    states = rng.normal(size=(4, WIDTH))[known.value] + 0.5 * rng.normal(size=(len(known.value), WIDTH))
    probe = LinearProbe(known, known.folds(rng), states)
    assert (probe.predict(states) == known.value).mean() > 0.95
    assert probe.control(states, rng).mean() == pytest.approx(0.25, abs=0.1)


def test_what_marks_the_entity_alone_cannot_pass_for_its_value() -> None:
    """A fold by prompt would look the value up: every entity has a direction of its own, and no value has."""
    rng = np.random.default_rng(1)
    known = facts(rng)
    states = 3 * rng.normal(size=(40, 64))[known.entity] + 0.1 * rng.normal(size=(len(known.value), 64))
    by_prompt = LinearProbe(known, rng.permutation(len(known.value)) % 10, states)
    by_entity = LinearProbe(known, known.folds(rng), states)
    assert (by_prompt.predict(states) == known.value).mean() > 0.95
    assert (by_entity.predict(states) == known.value).mean() < 0.45


# --- records with planted states --------------------------------------------------------------------

OBEYS = Behaviour(sycophancy=lambda d: 0.0, accuracy=lambda d: 1.0, abstention=lambda d: 0.0)
BENT = Behaviour(sycophancy=lambda d: min(1.0, 0.25 * d), accuracy=lambda d: 1.0, abstention=lambda d: 0.0)
GRID = (0.0, 1.0, 4.0, 16.0)


def plant(folder: Path, *, forget: bool = False, rewrite: bool = False, shift: float = 0.5) -> Experiment:
    """Give every point hidden states: a direction per value, noise, and an offset under a wrong belief. With
    `forget`, the code of a fact is lost with probability √KL/4; with `rewrite`, later points turn it."""
    items = read_table(folder / "items.parquet", "items")
    rng = np.random.default_rng(5)
    asked = items[items["condition"].isin(["neutral", "wrong"])].reset_index(drop=True)
    code = {v: rng.normal(size=WIDTH) for v in sorted(items["truth"].dropna().unique())}
    names = sorted(items["cluster"].unique())
    lost_at = dict(zip(names, rng.random(len(names)), strict=True))
    turn = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0]
    for place, kl in enumerate(GRID):
        for run in folder.glob("rloo-*"):
            rows = []
            for cluster, truth, condition in asked[["cluster", "truth", "condition"]].itertuples(index=False):
                gone = forget and lost_at[cluster] < np.sqrt(kl) / 4
                state = 0.3 * rng.normal(size=WIDTH) + shift * (condition == "wrong")
                state += 0.0 if gone else code.get(truth, 0.0)
                rows.append(turn @ state if rewrite and kl > 0 else state)
            table = pd.DataFrame({"item_id": asked["item_id"], "state": rows})
            write_table(run / "points" / f"{place * 10:06d}" / "hidden.parquet", table, "hidden")
    return Experiment.read(folder)


def records(root: Path, behaviour: Behaviour) -> Path:
    return write_experiment(
        root, behaviour=behaviour, kl_grid=GRID, budgets=(), pool=None, clusters=240, proxies=("starved",)
    )


def studied(experiment: Experiment) -> pd.DataFrame:
    curves, evidence = [RunCurves.read(experiment, run) for run in experiment.runs], read_evidence(experiment)
    assert study.refusal(curves, evidence) is None
    table = study.knowing(curves, evidence, np.random.default_rng(0))
    np.testing.assert_allclose(table[list(study.SHARES)].sum(axis=1), 1.0)
    np.testing.assert_allclose(table["accuracy"], 1 - table["broken"])
    return table.set_index(["condition", "probe", "step"]).sort_index()


def test_an_honest_policy_knows_and_says(tmp_path: Path) -> None:
    table = studied(plant(records(tmp_path, OBEYS)))
    assert (table["knows_and_says"] > 0.9).all() and (table["control_accuracy"] < 0.3).all()


def test_a_bent_policy_knows_and_says_otherwise(tmp_path: Path) -> None:
    table = studied(plant(records(tmp_path, BENT)))
    for probe in ("fixed", "retrained"):
        wrong = table.loc["wrong", probe]
        assert (wrong["broken"] < 0.1).all()
        np.testing.assert_allclose(wrong["bent"], [0.0, 0.25, 0.5, 1.0], atol=0.13)
        assert (table.loc["neutral", probe]["knows_and_says"] > 0.9).all(), "it bends under pressure alone"


def test_a_broken_policy_no_longer_knows(tmp_path: Path) -> None:
    table = studied(plant(records(tmp_path, OBEYS), forget=True))
    chance = 0.1  # where the code is lost, one of ten values is read at random
    for probe in ("fixed", "retrained"):
        expected = np.array([0.0, 0.25, 0.5, 1.0]) * (1 - chance)
        np.testing.assert_allclose(table.loc["wrong", probe]["broken"], expected, atol=0.13)
        assert (table.loc["wrong", probe]["bent"] < 0.05).all()


def test_a_code_rewritten_is_lost_to_the_fixed_probe_alone(tmp_path: Path) -> None:
    table = studied(plant(records(tmp_path, OBEYS), rewrite=True))
    assert table.loc["wrong", "fixed"]["accuracy"].iloc[1:].max() < 0.4
    assert table.loc["wrong", "retrained"]["accuracy"].min() > 0.9


# --- what is refused, and what is drawn -------------------------------------------------------------


@pytest.mark.parametrize(("hidden", "clusters", "expected"), [
    (False, 60, "no hidden states were stored"), (True, 30, "a probe needs 20")
])  # fmt: skip
def test_records_that_cannot_tell_say_why(tmp_path: Path, hidden: bool, clusters: int, expected: str) -> None:
    folder = write_experiment(tmp_path, kl_grid=GRID, budgets=(), pool=None, clusters=clusters)
    experiment = plant(folder) if hidden else Experiment.read(folder)
    curves, evidence = [RunCurves.read(experiment, run) for run in experiment.runs], read_evidence(experiment)
    assert expected in str(study.refusal(curves, evidence))
    assert study.knowing(curves, evidence, np.random.default_rng(0)).empty


def test_hidden_states_keep_their_contract(tmp_path: Path) -> None:
    good = pd.DataFrame({"item_id": ["b", "a"], "state": [np.ones(3), np.zeros(3)]})
    write_table(tmp_path / "hidden.parquet", good, "hidden")
    back = read_table(tmp_path / "hidden.parquet", "hidden")
    assert back["item_id"].tolist() == ["a", "b"] and back["state"].iloc[1].dtype == np.float32
    for bad, said in (
        ([np.ones(3), np.ones(2)], "as many numbers"),
        ([np.ones(3), None], "as many numbers"),
        ([np.ones(2), np.array([1.0, np.nan])], "not finite"),
    ):
        with pytest.raises(RecordError, match=said):
            write_table(tmp_path / "bad.parquet", good.assign(state=bad), "hidden")


def test_of_many_proxies_the_figure_shows_those_that_bend_most(tmp_path: Path) -> None:
    mild = Behaviour(sycophancy=lambda d: 0.1 * d, accuracy=lambda d: 1.0, abstention=lambda d: 0.0)
    behaviour = {"a": OBEYS, "b": BENT, "c": OBEYS, "d": mild, "e": OBEYS}
    experiment = plant(
        write_experiment(
            tmp_path,
            behaviour=behaviour,
            kl_grid=GRID,
            budgets=(),
            pool=None,
            clusters=240,
            proxies=tuple("abcde"),
        )
    )
    material = Material(experiment, tables(experiment))
    _, data = draw_soundly("knowing", material)
    assert data["proxy"].nunique() == 3 and {"b", "d"} < set(data["proxy"])
    assert "Of 5 proxies" in drawn("knowing", material).caption


def test_the_figure_stacks_the_shares_to_one(tmp_path: Path) -> None:
    experiment = plant(records(tmp_path, BENT))
    material = Material(experiment, tables(experiment))
    figure, data = draw_soundly("knowing", material)
    assert set(data["probe"]) == {"fixed", "retrained"} and len(figure.axes) >= 2
    shares = data[data["quantity"].isin(study.SHARES)].groupby(["condition", "probe", "step"])["value"].sum()
    assert len(shares) == 4 * len(GRID) and np.allclose(shares, 1.0)
    assert "control" in drawn("knowing", material).caption
    blind = material.tables.knowing.assign(accuracy_lo=0.05)
    unread = Material(experiment, material.tables.given(knowing=blind))
    assert "no more than its control task" in refused("knowing", unread)
    bare = Experiment.read(
        write_experiment(tmp_path / "bare", kl_grid=GRID, budgets=(), pool=None, clusters=30)
    )
    assert "measure.hidden_states" in refused("knowing", Material(bare, tables(bare)))
