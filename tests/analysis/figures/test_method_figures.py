"""Figures that hold every method at once: told apart by more than colour, and drawn from the tables."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_experiment

from analysis.figures import FIGURES, Material
from analysis.figures.drawing.method_looks import FRONTIER, LOOKS, method_looks
from analysis.figures.drawing.style import PAGE, paper_style
from analysis.figures.equal_kl import MOST
from analysis.figures.laws import REGION
from analysis.records.experiment import Experiment
from analysis.records.way import POOL
from analysis.tables.tables import tables

SEVEN = ("rloo", "grpo", "ppo", "dpo", "kto", "online_dpo", "best_of_n_distilled")


@pytest.fixture(scope="module")
def seven(tmp_path_factory: pytest.TempPathFactory) -> Material:
    root = write_experiment(
        tmp_path_factory.mktemp("seven"), methods={name: 0.05 * i for i, name in enumerate(SEVEN)},
        kl_grid=(0.0, 0.5, 1.0, 2.0, 4.0), proxies=("starved",), budgets=(), pool=(20, 64), clusters=12,
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
        "sycophancy_steps",
        "frontier",
        "steps",
        "forecast",
    ],
)
def test_seven_methods_fit_on_a_figure(name: str, seven: Material) -> None:
    """A layout that collapses or overlaps its decorations warns."""
    with paper_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, data = FIGURES[name].draw(seven)
        figure.draw_without_rendering()
    assert len(data)
    for ax in figure.axes:
        assert ax.get_window_extent().width > 100, "a panel too narrow to read"


PROXIES = tuple("abcdefghijklmn")


@pytest.fixture(scope="module")
def fourteen(tmp_path_factory: pytest.TempPathFactory) -> Material:
    root = write_experiment(
        tmp_path_factory.mktemp("fourteen"), kl_grid=(0.0, 0.5, 1.0, 2.0, 4.0), proxies=PROXIES, budgets=(),
        pool=(20, 64), clusters=12,
    )  # fmt: skip
    experiment = Experiment.read(root)
    return Material(experiment, tables(experiment))


@pytest.mark.parametrize("name", ["methods", "equal_kl", "gold_vs_proxy", "laws", "goodhart", "frontier"])
def test_fourteen_proxies_fit_on_a_page(name: str, fourteen: Material) -> None:
    with paper_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure, data = FIGURES[name].draw(fourteen)
        figure.draw_without_rendering()
    assert figure.get_size_inches()[1] <= PAGE
    if name == "equal_kl":
        assert data["context"].nunique() == MOST
        assert "further comparisons are in the table" in FIGURES[name].caption(fourteen)
    elif name == "laws":
        assert REGION not in set(data["quantity"]) and len(set(data["curve"])) >= len(PROXIES)
    else:
        assert set(data["proxy"]) == set(PROXIES)


def test_methods_are_told_apart_without_colour_and_keep_their_look() -> None:
    looks = method_looks([*SEVEN, str(POOL), FRONTIER])
    for key in ("color", "label", "marker"):
        shown = {getattr(look, key) for name, look in looks.items() if name != FRONTIER}
        assert len(shown) == len(SEVEN) + 1
    assert looks["dpo"] == method_looks(["dpo"])["dpo"] == LOOKS["dpo"]


def test_groups_of_a_method_and_unknown_methods_get_looks_of_their_own() -> None:
    looks = method_looks(["rloo (path)", "rloo (capped)", "something_new"])
    assert len({look.color for look in looks.values()}) == 3
    assert [look.label for look in looks.values()] == ["RLOO (path)", "RLOO (capped)", "SOMETHING NEW"]


def test_lines_are_those_of_the_tables(seven: Material) -> None:
    with paper_style():
        _, data = FIGURES["methods"].draw(seven)
    assert set(data["method"]) == {*SEVEN, str(POOL), FRONTIER}
    gold = data[(data["quantity"] == "gold") & (data["method"] == "kto")]
    np.testing.assert_array_equal(gold["value"], seven.tables.points.query("method == 'kto'")["gold"])
    with paper_style():
        _, pairs = FIGURES["gold_vs_proxy"].draw(seven)
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
    with paper_style():
        figure, data = FIGURES["goodhart"].draw(Material(experiment, tables(experiment)))
    assert {ax.get_title() for ax in figure.axes} - {""} == {
        "reinforcement learning (RLOO)", "best of n", "best of n samples",
    }  # fmt: skip
    laws = data[data["quantity"] == "law"]
    assert "best_of_n" not in set(laws["method"]) and str(POOL) in set(laws["method"])


def test_forecasts_are_named_as_people_name_them(seven: Material) -> None:
    with paper_style():
        figure, _ = FIGURES["forecast"].draw(seven)
    titles = {ax.get_title() for ax in figure.axes} - {""}
    assert {"RLOO\nstarved proxy", "best of n (pool)\nstarved proxy"} <= titles
    assert not any("_" in title or "/" in title for title in titles)
