"""Figures draw what the tables say, all of it, the same bytes every time, and leave out what is not there."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawing import draw_soundly, drawn, refused
from synthetic import write_experiment

from analysis.figures import FIGURES, Material, draw_all
from analysis.figures.drawing.path_rows import MEAN, cases, long_rows, path_points, peak, with_seed_means
from analysis.figures.drawing.style import paper_style, save
from analysis.figures.drawing.way_looks import way_looks
from analysis.records.experiment import Experiment
from analysis.records.way import POOL
from analysis.tables.tables import tables

SMALL_GRID = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


def material(root: Path, **settings: object) -> Material:
    planted = {"clusters": 30, "kl_grid": SMALL_GRID, "pool": (20, 64)} | settings
    experiment = Experiment.read(write_experiment(root, **planted))  # type: ignore[arg-type]
    return Material(experiment, tables(experiment))


@pytest.fixture(scope="module")
def quiz(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return material(tmp_path_factory.mktemp("quiz"), unscored_step=30)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return material(tmp_path_factory.mktemp("text"), world="text", proxies=("starved",))


PLANTED_ELSEWHERE = {"mitigation", "knowing", "spectrum", "emergence", "predicted_behaviour", "contagion"}
PLANTED_ELSEWHERE |= {"ledger", *(name for name in FIGURES if name.startswith("behaviour_"))}
"""They need records of their own, and are drawn in the tests that plant these."""


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in PLANTED_ELSEWHERE])
def test_every_figure_shows_its_data_with_named_axes_and_no_warning(name: str, quiz: Material) -> None:
    draw_soundly(name, quiz)


@pytest.mark.parametrize("name", ["goodhart", "sycophancy", "steps"])
def test_drawn_path_values_are_those_of_the_table(name: str, quiz: Material) -> None:
    drawing = drawn(name, quiz)
    _figure, data = drawing.figure, drawing.data
    points = quiz.tables.points.set_index(["run_id", "step"])
    runs = data["run_id"].isin(points.index.get_level_values(0))
    shown = data[runs & data["quantity"].isin(points.columns)]
    assert set(shown["run_id"]) == {run.run_id for run in quiz.experiment.runs if run.control == "path"}
    expected = [points.loc[(row.run_id, row.step), row.quantity] for row in shown.itertuples()]
    np.testing.assert_array_equal(shown["value"], expected)
    np.testing.assert_allclose(shown["distance"] ** 2, shown["kl"], atol=1e-9)


def test_an_unscored_point_is_a_gap_in_the_line(quiz: Material) -> None:
    figure = drawn("steps", quiz).figure
    gold = next(line for line in figure.axes[0].lines if line.get_label() == "gold reward model")
    steps, values = np.asarray(gold.get_xdata()), np.asarray(gold.get_ydata())
    assert 30 in steps
    assert np.isnan(values[steps == 30]).all() and np.isfinite(values[steps != 30]).all()


def test_best_of_n_and_reinforcement_learning_never_share_a_panel(quiz: Material) -> None:
    drawing = drawn("goodhart", quiz)
    figure, data = drawing.figure, drawing.data
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    proxies = ("starved proxy, 400 pairs", "ample proxy, 4,000 pairs")
    assert titles == [f"{way}\n{proxy}" for proxy in proxies for way in ("RLOO", "best of n (pool)")]
    shown = data[(data["method"] == str(POOL)) & (data["quantity"] == "gold") & (data["proxy"] == "starved")]
    table = quiz.tables.best_of_n.query("proxy == 'starved'")
    np.testing.assert_array_equal(shown["value"], table["gold"])
    np.testing.assert_array_equal(shown["n"], table["n"])


def test_the_fitted_law_is_drawn_with_its_band(quiz: Material) -> None:
    drawing = drawn("goodhart", quiz)
    _figure, data = drawing.figure, drawing.data
    law = data[(data["quantity"] == "law") & (data["proxy"] == "starved") & (data["method"] == str(POOL))]
    fit = quiz.tables.fits.set_index("curve").loc["best_of_n/starved/gold"]
    d = law["distance"]
    np.testing.assert_allclose(law["value"], d * (fit["alpha"] - fit["beta"] * d), atol=1e-9)
    assert (law["lo"] <= law["value"] + 1e-9).all() and (law["value"] <= law["hi"] + 1e-9).all()


def test_the_mark_stands_at_the_planted_peak(tmp_path: Path) -> None:
    """Planted gold d(0.9 - 0.6 log d) peaks at KL 2.7; with next to no noise that point must win."""
    planted = material(
        tmp_path, noise=0.02, proxies=("starved",), kl_grid=(0, 0.3, 1, 2.7, 7, 16, 28), pool=None
    )
    drawing = drawn("goodhart", planted)
    figure, data = drawing.figure, drawing.data
    top = peak(cases(data, way_looks(planted.experiment.ways))[0].rows, "gold")
    assert top is not None and top.turned
    assert top.kl == pytest.approx(2.7, abs=0.01)
    labels = [each.get_text() for ax in figure.axes for each in ax.texts]
    assert labels == ["gold peak, 2.7 nats"]
    for ax in drawn("sycophancy", planted).figure.axes:
        (mark,) = (line for line in ax.lines if list(line.get_ydata()) == [0, 1])
        assert mark.get_xdata()[0] == pytest.approx(2.7**0.5, abs=0.01)


def test_the_reward_that_was_optimised_is_drawn_where_it_is_not_the_proxy(quiz: Material) -> None:
    points = quiz.tables.points
    capped = points["proxy"] == "starved"
    rewards = points.assign(reward=points["proxy_score"].clip(upper=0.5))
    cap = rewards.assign(mitigation=np.where(capped, "reward_cap", None))
    shaped = Material(quiz.experiment, quiz.tables.given(points=cap))
    rows = drawn("goodhart", shaped).data.query("quantity == 'reward'").dropna(subset="value")
    assert set(rows["proxy"]) == {"starved"} and rows["value"].max() == 0.5
    plain = Material(quiz.experiment, quiz.tables.given(points=rewards))
    assert "reward" not in set(drawn("goodhart", plain).data["quantity"])


def test_a_curve_still_rising_at_its_end_gets_no_peak(tmp_path: Path) -> None:
    planted = material(tmp_path, noise=0.02, proxies=("starved",), kl_grid=(0, 0.3, 1, 2), pool=None)
    drawing = drawn("goodhart", planted)
    figure, _data = drawing.figure, drawing.data
    assert not [each for ax in figure.axes for each in ax.texts]


def test_the_seed_mean_stops_where_a_completed_seed_stops_and_ignores_broken_runs() -> None:
    rows = [("a", 0, 0.0), ("a", 1, 1.0), ("a", 2, 2.0), ("b", 0, 0.0), ("b", 1, 3.0), ("broken", 0, 99.0)]
    points = pd.DataFrame(rows, columns=["run_id", "step", "gold"]).assign(
        method="rloo", proxy="p", proxy_pairs=10, kl=lambda f: f["step"] * 1.0, gold_lo=np.nan, gold_hi=np.nan
    )
    mean = with_seed_means(long_rows(points, ["gold"]), ["a", "b"]).query("run_id == @MEAN")
    assert mean["value"].tolist() == [0.0, 2.0]
    assert mean["kl"].tolist() == [0.0, 1.0]


def test_with_several_seeds_each_is_a_thin_line_and_the_mean_is_bold(tmp_path: Path) -> None:
    several = material(tmp_path, policy_seeds=3, proxies=("starved",), budgets=(), pool=None)
    drawing = drawn("steps", several)
    figure, data = drawing.figure, drawing.data
    gold = [
        line for line in figure.axes[0].lines if line.get_color() == "#D55E00" and len(line.get_xdata()) > 2
    ]
    assert sorted(line.get_linewidth() < 1 for line in gold) == [False, True, True, True]
    seeds = path_points(several.tables.points).groupby("step")["gold"].mean()
    mean = data[(data["run_id"] == MEAN) & (data["quantity"] == "gold")]
    np.testing.assert_allclose(mean["value"], seeds)
    assert "3 completed runs per proxy" in drawn("steps", several).caption


def test_missed_budgets_are_marked(quiz: Material) -> None:
    drawing = drawn("budgets", quiz)
    figure, data = drawing.figure, drawing.data
    texts = [each.get_text() for ax in figure.axes for each in ax.texts]
    kl = data[data["quantity"] == "kl"]
    np.testing.assert_array_equal(kl["value"], quiz.tables.budgets["kl"])
    assert kl.loc[kl["missed"], "run_id"].tolist() == ["rloo-target-8-ample-0-0"]
    assert texts == ["missed"]
    assert "1 of 4 runs missed" in drawn("budgets", quiz).caption


def test_without_an_oracle_or_beliefs_figures_adapt_and_say_why(text: Material, tmp_path: Path) -> None:
    by_name = {each.name: each for each in draw_all(text, tmp_path)}
    assert by_name["sycophancy"].skipped and not by_name["steps"].skipped
    assert not (tmp_path / "sycophancy.csv").exists()
    data = pd.read_csv(tmp_path / "goodhart.csv")
    assert set(data["quantity"]) == {"proxy_score", "gold", "law"}
    assert "no oracle" in by_name["goodhart"].caption
    assert "oracle_agreement" not in set(pd.read_csv(tmp_path / "reward_models.csv")["quantity"])
    assert set(pd.read_csv(tmp_path / "budgets.csv")["quantity"]) == {"kl", "gold"}


def test_the_same_tables_give_the_same_bytes(text: Material, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        draw_all(text, tmp_path / folder)
    first = sorted((tmp_path / "first").iterdir())
    assert {path.suffix for path in first} == {".pdf", ".svg", ".png", ".csv"}
    for path in first:
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name
    assert text.experiment.provenance["git_commit"] in (tmp_path / "first" / "goodhart.svg").read_text()


def test_a_pool_too_small_to_reweight_gives_no_frontier(tmp_path: Path) -> None:
    missing = refused("frontier", material(tmp_path, pool=(20, 8)))
    assert missing == "no best-of-n pool was scored, or it is too small to be reweighted"
    assert refused("frontier", material(tmp_path / "none", pool=None)) == missing


def test_pdf_fonts_are_of_a_type_that_conferences_accept(text: Material, tmp_path: Path) -> None:
    with paper_style():
        save(drawn("goodhart", text).figure, pd.DataFrame(), tmp_path / "f", title="", provenance="")
    document = (tmp_path / "f.pdf").read_bytes()
    assert b"/Type3" not in document and b"/CIDFontType2" in document


OUTSIDE = """
from matplotlib.figure import Figure
from analysis.figures import FIGURES, Drawing, Plot

def draw(material):
    data = material.tables.points[["step", "kl"]]
    if data.empty:
        return "no point was measured"
    figure = Figure()
    figure.subplots().plot(data["step"], data["kl"])
    return Drawing(figure, data, "Mine.")

FIGURES["mine"] = Plot("A figure of mine", "KL over steps.", draw)
"""


def test_a_figure_from_outside_needs_one_line(
    text: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_figure.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("analysis.figures.FIGURES", dict(FIGURES))
    importlib.import_module("my_figure")
    drawing, *_ = (each for each in draw_all(text, tmp_path) if each.name == "mine")
    assert drawing.caption == "Mine." and drawing.skipped is None
    assert len(pd.read_csv(tmp_path / "mine.csv")) == len(text.tables.points)
    empty = Material(text.experiment, text.tables.given(points=text.tables.points.iloc[:0]))
    refusals = {each.name: each.skipped for each in draw_all(empty, tmp_path / "empty")}
    assert refusals["mine"] == "no point was measured" and not (tmp_path / "empty" / "mine.csv").exists()
