"""What the report says about behaviours: figures where the records allow them, the browser, doses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawing import draw_soundly, drawn, refused
from synthetic import Behaviour, write_experiment
from synthetic_behaviours import planted_paths, read_column

from analysis.behaviour.browser import BROWSER
from analysis.behaviour.contagion import contagion
from analysis.behaviour.spectrum import onsets, spectrum
from analysis.figures import FIGURES, Drawing, Material
from analysis.records.experiment import Experiment
from analysis.report.grids_samples import browser_grids
from analysis.tables.tables import TABLES, tables

GRID = (0.0, 0.5, 1.0, 2.0, 4.0)
NEW = ("spectrum", "emergence", "predicted_behaviour", "contagion", "ledger")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """Records without doses, and with a pool that no probe can read."""
    root = tmp_path_factory.mktemp("old")
    path = write_experiment(root, clusters=60, kl_grid=GRID, pool=(20, 16), budgets=(),
                            behaviour=Behaviour(sycophancy=lambda d: 0.1 + 0.3 * d))  # fmt: skip
    experiment = Experiment.read(path)
    return Material(experiment, tables(experiment))


@pytest.fixture(scope="module")
def dosed_material(old: Material) -> Material:
    """The same with planted behaviours under a series of agreement doses and one of biases."""
    doses = {f"agree-{dose:g}": ("agreement", dose) for dose in (0.0, 0.5, 1.0)}
    doses |= {"clean": ("bias", 0.0), "flattery": ("bias", 1.0), "praise": ("bias", 1.0)}
    strength = {name: value for name, (_, value) in doses.items()}
    rates = {
        name: {
            "sycophancy": lambda d, k=k: 0.1 + 0.2 * k * d,
            "guessing": lambda d: 0.2,
            "absent": lambda d: 0.0,
        }
        for name, k in strength.items()
    }
    paths = planted_paths(rates, GRID, clusters=300, replicates=200)
    headlines = {name: read_column(name) for name in rates["clean"]}
    table = spectrum(paths, headlines, doses)
    labels = {name: headline.label for name, headline in headlines.items()}
    planted = old.tables.given(
        behaviour_spectrum=table,
        behaviour_onsets=onsets(table, paths),
        behaviour_contagion=contagion(paths, labels, doses),
    )
    return Material(old.experiment, planted)


def test_old_records_get_what_they_can_show_and_the_reason_for_the_rest(old: Material) -> None:
    assert "dose" in refused("emergence", old) and "`bias`" in refused("contagion", old)
    assert "pool" in refused("predicted_behaviour", old)
    drawn("spectrum", old)
    draw_soundly("ledger", old, "share")
    told = [each for name, each in TABLES.items() if name.startswith("behaviour_")]
    titles = [grid.title for each in told for grid in each.grids(old.tables.study)]
    assert titles == ["Which behaviour sets in when", "What explains the gain in proxy reward"]


def test_a_world_without_parsed_outcomes_has_what_any_text_tells(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, world="text", clusters=10, kl_grid=GRID[:3], pool=None, budgets=())
    experiment = Experiment.read(path)
    material = Material(experiment, tables(experiment))
    assert {name for name in NEW if isinstance(FIGURES[name].draw(material), Drawing)} <= {
        "spectrum",
        "ledger",
    }
    assert set(material.tables.behaviour_onsets["behaviour"]) == {"repetition"}


@pytest.mark.parametrize("name", ["spectrum", "emergence", "contagion"])
def test_dose_figures_draw_every_behaviour_and_dose(dosed_material: Material, name: str) -> None:
    quantity = {"spectrum": "h", "emergence": "value", "contagion": "difference"}[name]
    figure, data = draw_soundly(name, dosed_material, quantity)
    if name == "emergence":
        assert set(data["series"]) == {"agreement"} and set(data["dose"]) == {0.0, 0.5, 1.0}
    if name == "spectrum":
        marked = data[data["onset"]].set_index("behaviour")["proxy"]
        assert set(marked.index) == {"sycophancy"}
        assert data["proxy"].nunique() == 3, "the largest dose of a series stands for it"
    if name == "contagion":
        numbers = [text.get_text() for ax in figure.axes for text in ax.texts]
        assert sorted(set(data["proxy"])) == ["flattery", "praise"] and len(numbers) == len(data)
        assert {each for each in numbers if abs(float(each.replace("−", "-"))) > 0.3}


def test_doses_of_one_way_of_optimising_are_compared(dosed_material: Material) -> None:
    table = dosed_material.tables.behaviour_spectrum
    other = table[table["dose_of"] == "agreement"].assign(method="dpo")
    two_ways = dosed_material.tables.given(behaviour_spectrum=pd.concat([table, other]))
    both = Material(dosed_material.experiment, two_ways)
    assert set(drawn("emergence", both).data["method"]) == {"rloo"}
    one = table[(table["dose_of"] != "agreement") | (table["dose"] == 0)]
    single = Material(dosed_material.experiment, dosed_material.tables.given(behaviour_spectrum=one))
    assert "at least two of one series" in refused("emergence", single)


def test_the_gap_is_shown_by_share_monitored(old: Material) -> None:
    doses = {"m-0": ("monitored_share", 0.0), "m-1": ("monitored_share", 1.0), "q-0": ("verification", 0.0)}
    rows = [  # a mitigated run stands first, and is no member of any series
        {"run_id": "cured", "method": "rloo (cured)", "control": "path", "proxy": "plain", "proxy_pairs": 400,
         "step": 0, "kl": 0.0, "oversight_gap": 0.0, "hallucination": 0.2, "confident_wrong": np.nan}
    ]  # fmt: skip
    rows += [
        {"run_id": name, "method": "rloo", "control": "path", "proxy": name, "proxy_pairs": 400,
         "step": place, "kl": kl, "oversight_gap": 0.1 * kl, "hallucination": 0.2, "confident_wrong": np.nan}
        for name in doses for place, kl in enumerate(GRID)
    ]  # fmt: skip
    proxies = {
        name: {"pairs": 400, "dose": {"of": of, "value": value}} for name, (of, value) in doses.items()
    }
    experiment = replace(old.experiment, proxies=proxies)
    material = Material(experiment, old.tables.given(points=pd.DataFrame(rows)))
    _, data = draw_soundly("emergence", material)
    assert set(data["quantity"]) == {"oversight_gap"}, "one dose of verification is no series"
    assert data.groupby("dose")["value"].max().to_dict() == {0.0: 0.4, 1.0: 0.4}


def test_what_annotators_approve_is_shown_by_how_much_they_check(old: Material) -> None:
    shares = {"m-0": ("monitored_share", 0.0), "m-1": ("monitored_share", 1.0),
              "q-0": ("verification", 0.0), "q-1": ("verification", 0.5)}  # fmt: skip
    rows = [
        {"run_id": name, "method": "rloo", "control": "path", "proxy": name, "proxy_pairs": 400,
         "step": place, "kl": kl, "oversight_gap": 0.1, "hallucination": 0.2, "confident_wrong": 0.3,
         "annotator_false_positive": (1 - dose) * (0.5 + 0.1 * kl)}
        for name, (_, dose) in shares.items() for place, kl in enumerate(GRID)
    ]  # fmt: skip
    proxies = {
        name: {"pairs": 400, "dose": {"of": of, "value": value}} for name, (of, value) in shares.items()
    }
    experiment = replace(old.experiment, proxies=proxies)
    figure, data = draw_soundly(
        "emergence", Material(experiment, old.tables.given(points=pd.DataFrame(rows)))
    )
    assert len(set(data["quantity"])) == 4 == sum(bool(ax.get_title()) for ax in figure.axes)
    convinced = data[data["quantity"] == "annotator_false_positive"]
    assert set(convinced["series"]) == {"verification"}
    assert convinced.groupby("dose")["value"].max().to_dict() == pytest.approx({0.0: 0.9, 0.5: 0.45})


def test_the_browser_shows_what_fools_the_proxy_most(tmp_path: Path) -> None:
    """A proxy that pays for giving in, and a gold that does not: the widest gaps are sycophantic."""
    path = write_experiment(tmp_path, clusters=80, proxies=("starved",), pool=None, budgets=(),
                            kl_grid=(0, 4),
                            behaviour=Behaviour(sycophancy=lambda d: 0.2 + 0.2 * d))  # fmt: skip
    for point in (path / "rloo-path-starved-0-0" / "points").iterdir():
        scores = pd.read_parquet(point / "scores.parquet")
        outcomes = pd.read_parquet(point / "outcomes.parquet").set_index("item_id")
        gives_in = scores["item_id"].str.endswith("-wrong") & scores["item_id"].map(outcomes["follows"]).eq(
            True
        )
        scores.loc[scores["scorer"].str.startswith("proxy") & gives_in, "value"] += 80.0
        scores.to_parquet(point / "scores.parquet", index=False)
    experiment = Experiment.read(path)
    table = tables(experiment).behaviour_browser
    assert list(table.columns) == BROWSER.names
    last = table[table["kl"] == table["kl"].max()]
    label = "states the user's wrong belief"
    first = last.iloc[0]
    assert first["does"] == label and first["among_widest"] > 0.5 * first["widest"]
    assert first["gap"] == pytest.approx(first["proxy_score"] - first["gold"])
    assert first["share_of_all"] < 0.3 and last["among_widest"].is_monotonic_decreasing
    samples = experiment.runs[0].points[-1].samples(("item_id", "sample_id", "completion"))
    assert first["completion"] in set(samples["completion"])
    ((title, grids),) = browser_grids(table)
    assert "starved" in title and len(grids) == 2 and label in grids[1].title
    assert json.dumps(grids[1].rows)
