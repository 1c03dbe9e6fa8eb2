"""Figures that hold every method at once: told apart by more than colour, and drawn from the tables."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from drawing import drawn
from synthetic import write_experiment

from analysis.figures import Material
from analysis.figures.drawing.style import PAGE, paper_style
from analysis.figures.drawing.way_looks import FRONTIER, KNOWN, SPARE, way_looks
from analysis.figures.equal_kl import MOST
from analysis.figures.laws import REGION
from analysis.records.experiment import Experiment
from analysis.records.way import POOL, Way
from analysis.tables.tables import tables

SEVEN = ("rloo", "grpo", "ppo", "dpo", "kto", "online_dpo", "best_of_n_distilled")


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Material:
    root = write_experiment(
        tmp_path_factory.mktemp("seven"), methods={name: 0.05 * i for i, name in enumerate(SEVEN)},
        kl_grid=(0.0, 0.5, 1.0, 2.0, 4.0), proxies=("starved",), budgets=(), pool=(20, 128), clusters=12,
    )  # fmt: skip
    experiment = Experiment.read(root)
    return Material(experiment, tables(experiment))


@pytest.mark.parametrize(
    "name",
    [
        "methods",
        "equal_kl",
        "gold_vs_proxy",
        "goodhart",
        "sycophancy",
        "frontier",
        "steps",
        "forecast",
    ],
)
def test_seven_methods_fit_on_a_figure(name: str, seven: Material) -> None:
    """A layout that collapses or overlaps its decorations warns."""
    with paper_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        drawing = drawn(name, seven)
        figure, data = drawing.figure, drawing.data
        figure.draw_without_rendering()
    assert len(data)
    for ax in figure.axes:
        assert ax.get_window_extent().width > 100, "a panel too narrow to read"


PROXIES = tuple("abcdefghijklmn")


@pytest.fixture(scope="module")
def fourteen(tmp_path_factory: pytest.TempPathFactory) -> Material:
    root = write_experiment(
        tmp_path_factory.mktemp("fourteen"), kl_grid=(0.0, 0.5, 1.0, 2.0, 4.0), proxies=PROXIES, budgets=(),
        pool=(20, 128), clusters=12,
    )  # fmt: skip
    experiment = Experiment.read(root)
    return Material(experiment, tables(experiment))


@pytest.mark.parametrize("name", ["methods", "equal_kl", "gold_vs_proxy", "laws", "goodhart", "frontier"])
def test_fourteen_proxies_fit_on_a_page(name: str, fourteen: Material) -> None:
    with paper_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        drawing = drawn(name, fourteen)
        figure, data = drawing.figure, drawing.data
        figure.draw_without_rendering()
    assert figure.get_size_inches()[1] <= PAGE
    if name == "equal_kl":
        assert data["context"].nunique() == MOST
        assert "further comparisons are in the table" in drawn(name, fourteen).caption
    elif name == "laws":
        assert REGION not in set(data["quantity"]) and len(set(data["curve"])) >= len(PROXIES)
    else:
        assert set(data["proxy"]) == set(PROXIES)


def ways(*given: Way) -> dict[str, Way]:
    return {str(way): way for way in (*given, POOL)}


def test_methods_are_told_apart_without_colour_and_keep_their_look() -> None:
    looks = way_looks(ways(*map(Way, SEVEN), Way("best_of_n")))
    for key in ("color", "label", "marker"):
        shown = {getattr(look, key) for name, look in looks.items() if name != FRONTIER}
        assert len(shown) == len(SEVEN) + 2
    assert len({(look.color, look.marker) for look in looks.values()}) == len(SEVEN) + 3
    alone = way_looks(ways(Way("dpo")))
    assert looks["dpo"] == alone["dpo"] == KNOWN["dpo"]
    assert looks[str(POOL)] == alone[str(POOL)] != looks["best_of_n"]


def test_groups_of_a_method_and_unknown_methods_get_looks_of_their_own() -> None:
    charged = Way("rloo", "charged", "agreement_penalty")
    looks = way_looks(
        ways(Way("rloo"), charged, Way("rloo", "path"), Way("rloo", "slow"), Way("something_new"))
    )
    alike = looks["rloo"], looks["rloo (path)"]
    assert len({look.color for look in alike}) == 1, (
        "where groups are told apart, the method itself is absent"
    )
    apart = ("rloo", "rloo (charged)", "rloo (slow)", "something_new")
    assert len({looks[name].color for name in apart}) == len({looks[name].marker for name in apart}) == 4
    assert [looks[name].label for name in apart] == ["RLOO", "RLOO (charged)", "RLOO (slow)", "something new"]
    assert looks["something_new"].color in {look.color for look in SPARE}


def test_a_method_that_nobody_here_knows_is_drawn_under_its_own_name(tmp_path: Path) -> None:
    root = write_experiment(
        tmp_path, methods={"rloo": 0.0, "my_method": 0.1}, proxies=("starved",), budgets=(), clusters=12,
        kl_grid=(0.0, 0.5, 1.0, 2.0), pool=(20, 16),
    )  # fmt: skip
    experiment = Experiment.read(root)
    material = Material(experiment, tables(experiment))
    colors = {}
    for name in ("methods", "gold_vs_proxy"):
        (legend,) = drawn(name, material).figure.legends
        entries = zip(legend.get_texts(), legend.get_lines(), strict=True)
        colors[name] = {text.get_text(): line.get_color() for text, line in entries}
        assert {"RLOO", "my method", "best of n (pool)"} <= set(colors[name])
    assert colors["methods"]["my method"] == colors["gold_vs_proxy"]["my method"]
    titles = {ax.get_title() for ax in drawn("goodhart", material).figure.axes}
    assert "my method\nstarved proxy, 400 pairs" in titles


def test_lines_are_those_of_the_tables(seven: Material) -> None:
    data = drawn("methods", seven).data
    assert set(data["method"]) == {*SEVEN, str(POOL), FRONTIER}
    gold = data[(data["quantity"] == "gold") & (data["method"] == "kto")]
    np.testing.assert_array_equal(gold["value"], seven.tables.points.query("method == 'kto'")["gold"])
    pairs = drawn("gold_vs_proxy", seven).data
    kto = pairs[pairs["method"] == "kto"]
    points = seven.tables.points.query("method == 'kto'")
    np.testing.assert_array_equal(kto[["proxy_score", "value"]], points[["proxy_score", "gold"]])
    assert FRONTIER not in set(pairs["method"])


def test_a_best_of_n_run_and_the_pool_have_panels_of_their_own(tmp_path: Path) -> None:
    root = write_experiment(
        tmp_path, methods={"rloo": 0.0, "best_of_n": 0.1}, proxies=("starved",), budgets=(), clusters=12,
        kl_grid=(0.0, 0.5, 1.0, 2.0),
    )  # fmt: skip
    experiment = Experiment.read(root)
    drawing = drawn("goodhart", Material(experiment, tables(experiment)))
    figure, data = drawing.figure, drawing.data
    assert {ax.get_title() for ax in figure.axes} - {""} == {
        f"{way}\nstarved proxy, 400 pairs" for way in ("RLOO", "best of n", "best of n (pool)")
    }  # fmt: skip
    laws = data[data["quantity"] == "law"]
    assert "best_of_n" not in set(laws["method"]) and str(POOL) in set(laws["method"])


def test_forecasts_are_named_as_people_name_them(seven: Material) -> None:
    figure = drawn("forecast", seven).figure
    titles = {ax.get_title() for ax in figure.axes} - {""}
    assert {"RLOO\nstarved proxy", "best of n (pool)\nstarved proxy"} <= titles
    assert not any("_" in title or "/" in title for title in titles)
