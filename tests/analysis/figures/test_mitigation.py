"""What a mitigation buys and costs: read off records in which both are planted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawing import draw_soundly, drawn, refused
from synthetic import write_experiment

from analysis.figures import Material
from analysis.records.experiment import Experiment, read_table, write_table
from analysis.tables.tables import tables

COST = -0.25
"""What the mitigation adds to gold and oracle per unit of d."""


def penalise(folder: Path) -> Path:
    """Make the second method of an experiment a group of the first that has a mitigation, and whose policies
    never repeat a wrong belief of the user's."""
    index = folder / "experiment.json"
    document = json.loads(index.read_text())
    items = read_table(folder / "items.parquet", "items").set_index("item_id")
    for row in document["runs"]:
        if row["method"] != "grpo":
            continue
        row |= {"method": "rloo", "group": "charged", "mitigation": "agreement_penalty"}
        for file in (folder / row["run_id"]).glob("points/*/outcomes.parquet"):
            said = read_table(file, "outcomes")
            asked = items.loc[said["item_id"]].reset_index()
            gives_in = (asked["condition"] == "wrong") & (said["stated"] == asked["belief"])
            write_table(file, said.assign(stated=said["stated"].mask(gives_in, "borel!")), "outcomes")
    index.write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def paid(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = write_experiment(
        tmp_path_factory.mktemp("paid"),
        methods={"rloo": 0.0, "grpo": COST},
        budgets=(),
        clusters=150,
        pool=None,
    )
    experiment = Experiment.read(penalise(folder))
    return Material(experiment, tables(experiment))


def test_what_was_planted_is_what_is_reported(paid: Material) -> None:
    table = paid.tables.mitigations
    assert set(table["mitigation"]) == {"agreement_penalty"} and table["paired"].all()
    assert set(table["a"]) == {"rloo (charged)"} and set(table["b"]) == {"rloo"}
    assert set(table["proxy"]) == {"starved", "ample"}
    bought = table[(table["score"] == "sycophancy") & (table["kl"] >= 1)]
    assert (bought["value_a"] == 0).all() and (bought["hi"] < 0).all()
    spent = table[table["score"].isin(["gold", "oracle"])]
    np.testing.assert_allclose(spent["difference"], COST * np.sqrt(spent["kl"]), atol=0.35)
    assert (
        (spent["lo"] < COST * np.sqrt(spent["kl"])) & (spent["hi"] > COST * np.sqrt(spent["kl"]))
    ).mean() > 0.8
    free = table[table["score"] == "right_accuracy"]
    assert len(free) and (free["lo"] <= 0).all() and (free["hi"] >= 0).all()


def test_rates_are_those_of_the_probe(paid: Material) -> None:
    """Where a point lies at just that KL, the compared value is what the probe measured there."""
    table, points = paid.tables.mitigations, paid.tables.points
    for name in ("sycophancy", "right_accuracy"):
        mine = table[(table["score"] == name) & (table["proxy"] == "ample")].set_index("kl")["value_b"]
        plain = points[(points["method"] == "rloo") & (points["proxy"] == "ample")]
        measured = plain.groupby(plain["kl"].round(6))[name].mean()
        shared = mine.index.intersection(measured.index)
        assert len(shared) >= 5
        np.testing.assert_allclose(mine[shared], measured[shared], atol=1e-9)


def test_runs_with_a_mitigation_are_no_seeds_of_those_without(paid: Material) -> None:
    assert set(paid.tables.runs["method"]) == {"rloo", "rloo (charged)"}
    names = set(paid.tables.fits["curve"])
    assert {"rloo/ample/gold", "rloo (charged)/ample/gold"} <= names
    assert (paid.tables.fits.set_index("curve").loc["rloo/ample/gold", "runs"]) == 1


def test_the_figure_shows_it(paid: Material) -> None:
    figure, data = draw_soundly("mitigation", paid)
    assert set(data["score"]) == {"sycophancy", "right_accuracy", "gold", "oracle"}
    assert len([ax for ax in figure.axes if ax.lines]) == 8
    assert "agreement penalty (charged)" in {t.get_text() for t in figure.legends[0].get_texts()}
    assert "1 per side" in drawn("mitigation", paid).caption


def test_without_a_mitigation_there_is_nothing_to_show(tmp_path: Path) -> None:
    experiment = Experiment.read(
        write_experiment(tmp_path, budgets=(), clusters=20, kl_grid=(0.0, 1.0), pool=None)
    )
    computed = tables(experiment)
    assert computed.mitigations.empty and isinstance(computed.mitigations, pd.DataFrame)
    assert "mitigation" in refused("mitigation", Material(experiment, computed))
