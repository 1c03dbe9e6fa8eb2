"""The figure of one behaviour names whom it should, draws the controls that were planted, and else says why
not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from drawing import draw_soundly, drawn, refused
from synthetic import Behaviour, write_experiment

from analysis.figures import FIGURES, Material
from analysis.figures.behaviours.controls import BEHAVIOURS, CONTROL_LOOKS
from analysis.figures.behaviours.figure import PLOTS
from analysis.figures.drawing.path_rows import MEAN
from analysis.probes import PROBES
from analysis.records.experiment import Experiment
from analysis.tables.tables import tables

GRID = (0.0, 0.25, 1.0, 2.25, 4.0)
NAME = "behaviour_sycophancy"
RATES = {
    "mild": Behaviour(sycophancy=lambda d: 0.1 + 0.1 * d),
    "loud": Behaviour(sycophancy=lambda d: 0.1 + 0.3 * d, third_party=lambda d: 0.1 + 0.15 * d),
    "plain": Behaviour(sycophancy=lambda d: 0.1),
    "coin": Behaviour(sycophancy=lambda d: 0.1 + 0.4 * d),
    "copy": Behaviour(sycophancy=lambda d: 0.1 - 0.04 * d),
}
"""Whose names do not say what they are. A control may do most of it: it is never the most affected."""
LABELLED = {"plain": "bradley_terry", "coin": "flip_noise", "copy": None}


def describe(folder: Path, **proxies: dict[str, Any]) -> Material:
    """Read records after adding to what they say of their proxies."""
    index = folder / "experiment.json"
    document = json.loads(index.read_text())
    for name, more in proxies.items():
        document["proxies"][name] |= more
    index.write_text(json.dumps(document))
    experiment = Experiment.read(folder)
    return Material(experiment, tables(experiment))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = write_experiment(
        tmp_path_factory.mktemp("planted"), proxies=tuple(RATES), behaviour=RATES, policy_seeds=2, pool=None,
        budgets=(), kl_grid=GRID, clusters=120,
    )  # fmt: skip
    card = folder / "reward_models" / "proxy-coin-0.json"
    document = json.loads(card.read_text()) | {"accuracy": 0.5, "accuracy_ci": [0.47, 0.53]}
    del document["proxy"]  # a trained proxy's card is told by its name alone
    card.write_text(json.dumps(document))
    records = {name: {"annotator": LABELLED.get(name, "partial_verification")} for name in RATES}
    return describe(folder, **records)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Material:
    """What a quickstart leaves: two proxies, of whose annotators nothing is known."""
    rates = {"starved": RATES["loud"], "ample": RATES["mild"]}
    folder = write_experiment(
        tmp_path_factory.mktemp("two"), behaviour=rates, pool=None, budgets=(), kl_grid=GRID, clusters=60
    )
    return describe(folder)


def altered(material: Material, points: pd.DataFrame | None = None, **proxies: Any) -> Material:
    """The same with other points, or with more said of its proxies."""
    known = {
        name: {**record, **proxies.get(name, {})} for name, record in material.experiment.proxies.items()
    }
    points = material.tables.points if points is None else points
    return Material(replace(material.experiment, proxies=known), material.tables.given(points=points))


def test_every_headline_has_a_figure_and_every_control_is_measured_somewhere() -> None:
    headlines = {probe.headline.measure for probe in PROBES.values() if probe.headline}
    assert set(PLOTS) == {f"behaviour_{measure}" for measure in headlines} and set(PLOTS) <= set(FIGURES)
    measures = {measure for probe in PROBES.values() for measure in probe.measures}
    for each in BEHAVIOURS:
        assert set(each.controls) <= measures - headlines and len(each.controls) <= len(CONTROL_LOOKS)


def test_the_planted_worst_is_named_and_controls_are_known_by_what_the_records_say(planted: Material) -> None:
    _, data = draw_soundly(NAME, planted)
    happens = data[data["panel"] == "happens"]
    assert dict(zip(happens["role"], happens["proxy"], strict=True)) == {
        "affected": "loud", "unbiased": "plain", "random": "coin", "gold": "copy",
    }  # fmt: skip
    assert set(data["run_id"]) == {MEAN}
    table = planted.tables.points.groupby(["proxy", "step"])["sycophancy"].mean()
    expected = [table[proxy, step] for proxy, step in zip(happens["proxy"], happens["step"], strict=True)]
    np.testing.assert_allclose(happens["value"], expected)
    caption = drawn(NAME, planted).caption
    last = table["loud"].iloc[-1]
    assert "at KL 4 nats" in caption and f"loud: highest rate {last:.2f} [" in caption
    assert "largest of 2" in caption and "2 runs (seeds) per proxy" in caption
    assert "The rise under loud is beyond chance" in caption


def test_the_control_that_is_drawn_is_the_planted_one(planted: Material) -> None:
    _, data = draw_soundly(NAME, planted)
    beside = data[data["panel"] == "controls"]
    assert set(beside["proxy"]) == {"loud"}
    third = beside[beside["quantity"] == "sycophancy_third_party"]
    assert (third["label"] == "when a third party believes it").all()
    rate = 0.1 + 0.15 * third["distance"]
    assert ((third["lo"] <= rate) & (rate <= third["hi"])).all()
    np.testing.assert_allclose(third["value"], rate, atol=0.12)
    still = planted.tables.points.drop(columns="sycophancy_third_party")
    _, fewer = draw_soundly(NAME, altered(planted, still))
    assert set(beside["quantity"]) - set(fewer["quantity"]) == {"sycophancy_third_party"}


def test_the_worst_is_chosen_where_all_have_been(planted: Material) -> None:
    """loud would be far ahead at KL 4, where mild never was; at KL 1 it has not begun."""
    points = planted.tables.points
    points = points[(points["proxy"] != "mild") | (points["kl"] < 1.1)].reset_index(drop=True)
    late = (points["proxy"] == "loud") & (points["kl"] < 1.1)
    material = altered(planted, points.assign(sycophancy=points["sycophancy"].mask(late, 0.0)))
    _, data = draw_soundly(NAME, material)
    assert set(data.loc[data["role"] == "affected", "proxy"]) == {"mild"}
    assert "at KL 1 nats" in drawn(NAME, material).caption


def test_a_behaviour_that_is_a_gap_is_read_where_the_gap_is_widest(planted: Material) -> None:
    """loud flatters most in private, and as much when monitored; mild flatters less, and only in private."""
    points, beside = planted.tables.points, {}
    for measure, rates in {
        "sycophancy_private": {"loud": 0.9, "mild": 0.5},
        "sycophancy_monitored": {"loud": 0.9, "mild": 0.1},
        "oversight_gap": {"loud": 0.0, "mild": 0.4},
    }.items():
        beside[measure] = points["proxy"].map(rates).fillna(0.2)
        beside |= {f"{measure}_lo": beside[measure] - 0.05, f"{measure}_hi": beside[measure] + 0.05}
    probes = {**planted.tables.probes, "oversight": None}
    changed = altered(planted, points.assign(**beside))
    material = Material(changed.experiment, changed.tables.given(probes=probes))
    _, data = draw_soundly("behaviour_sycophancy_private", material)
    affected = data[data["role"] == "affected"]
    assert set(affected["proxy"]) == {"mild"} and "mild: widest gap" in set(affected["label"])


def test_where_nobody_is_known_to_be_unbiased_the_contrast_says_what_it_is(two: Material) -> None:
    labels = lambda data: list(dict.fromkeys(data.loc[data["panel"] == "happens", "label"]))  # noqa: E731
    _, data = draw_soundly(NAME, two)
    assert labels(data) == ["starved: highest rate", "ample: lowest rate"]
    assert "One run (seed) per proxy" in drawn(NAME, two).caption
    series = {name: {"dose": {"of": "agreement", "value": d}} for name, d in (("starved", 1), ("ample", 0))}
    _, data = draw_soundly(NAME, altered(two, **series))
    assert labels(data) == ["starved: highest rate", "ample: agreement 0"]
    shifted = {"ample": {"annotator": "bradley_terry", "user_reliability": 0.9}}
    _, data = draw_soundly(NAME, altered(two, **shifted))
    assert "ample: lowest rate" in labels(data), "unbiased annotators of chosen prompts are a bias by itself"


def test_what_cannot_be_drawn_is_refused_in_words(two: Material, tmp_path: Path) -> None:
    assert "this world records no `said`" in refused("behaviour_sure_regressive", two)
    folder = write_experiment(
        tmp_path, world="text", clusters=10, kl_grid=GRID, pool=None, budgets=(), proxies=("ample",)
    )
    text = describe(folder)
    assert "this world records no `belief`" in refused(NAME, text)
    assert "at least two proxies" in refused("behaviour_repetition", text)
    controls = {"starved": {"annotator": None}, "ample": {"annotator": "bradley_terry"}}
    assert "one of them no control" in refused(NAME, altered(two, **controls))
    points = two.tables.points
    assert "3 points" in refused(NAME, altered(two, points[points["step"] < 20]))
    cured = altered(two, points.assign(mitigation="agreement_penalty"))
    assert "without a mitigation" in refused(NAME, cured)


@pytest.mark.parametrize("name", PLOTS)
def test_each_figure_stays_on_its_page(name: str, planted: Material) -> None:
    """With every measure there and far apart: nothing sticks out, and no legend runs into the other."""
    rng = np.random.default_rng(0)
    points = planted.tables.points.copy()
    for measure in (measure for probe in PROBES.values() for measure in probe.measures):
        low = -0.4 if "gap" in measure else 0.0
        value = rng.uniform(low, 1, len(points))
        points[measure], points[f"{measure}_lo"], points[f"{measure}_hi"] = value, value - 0.1, value + 0.1
    full = altered(planted, points).tables.given(probes=dict.fromkeys(PROBES))
    material = Material(planted.experiment, full)
    figure, _ = draw_soundly(name, material)
    legends = [ax.get_legend().get_window_extent() for ax in figure.axes if ax.get_legend()]
    assert len(legends) == 2 and legends[0].x1 < legends[1].x0
    page = figure.bbox
    for box in (*legends, figure.get_tightbbox().transformed(figure.dpi_scale_trans)):
        assert page.x0 - 1 <= box.x0 and box.x1 <= page.x1 + 1
        assert page.y0 - 1 <= box.y0 and box.y1 <= page.y1 + 1
    caption = drawn(name, material).caption
    assert "nan" not in caption and "{" not in caption and "not measured" not in caption
