"""The report says what the records say, names what is missing, and opens with nothing but itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from synthetic import Behaviour, write_experiment

from analysis.records.experiment import Experiment
from analysis.report.excerpts import excerpts
from analysis.report.findings import findings, headline
from analysis.report.write import write_report
from analysis.tables.tables import tables

GRID = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 28.0)


class Page(HTMLParser):
    """What the tests ask of the document: its addresses, its images, its text, whether its tags close."""

    VOID = frozenset({"meta", "link", "img", "br", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [
            values[name] or "" for name in ("src", "href", "srcset", "action") if name in values
        ]
        self.ids += [values["id"] or ""] if "id" in values else []
        if tag == "img":
            self.images.append(values)
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def quiz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quiz experiment with a failed run and an unscored point, reported on."""
    root = tmp_path_factory.mktemp("quiz")
    path = write_experiment(root, clusters=30, kl_grid=GRID, pool=(20, 16), failed_run=True, unscored_step=30)
    write_report(path)
    return path


def page(experiment: Path) -> Page:
    return Page((experiment / "report.html").read_text())


def test_the_page_needs_nothing_from_outside(quiz: Path) -> None:
    html = (quiz / "report.html").read_text()
    parsed = Page(html)
    inside = {f"#{name}" for name in parsed.ids}
    for address in parsed.addresses:
        assert address.startswith("data:") or address in inside, address
    assert "url(" not in html and "@import" not in html and "<script" not in html
    for svg in (quiz / "figures").glob("*.svg"):
        references = re.findall(r'(?:xlink:)?href="([^"]*)"', svg.read_text())
        assert all(each.startswith("#") for each in references)


def test_every_figure_has_alternative_text_and_a_caption(quiz: Path) -> None:
    parsed = page(quiz)
    drawn = sorted(each.stem for each in (quiz / "figures").glob("*.svg"))
    assert {"goodhart", "sycophancy", "methods", "laws", "reward_models"} <= set(drawn)
    assert len(parsed.images) == parsed.text.count("Drawn data: ") == len(drawn)
    assert all(image["alt"] and len(image["alt"]) > 40 for image in parsed.images)


def test_figures_are_numbered_through_and_single_behaviours_come_last(quiz: Path) -> None:
    text = page(quiz).text
    numbers = [int(each) for each in re.findall(r"Figure (\d+)\.", text)]
    assert numbers == list(range(1, len(page(quiz).images) + 1))
    general, heading, single = text.partition("Each behaviour beside its controls")
    assert heading and "figures/audits.csv" in general and "figures/behaviour_" not in general
    assert "figures/behaviour_sycophancy.csv" in single and "Each behaviour beside" not in single


def test_a_failed_run_and_a_gap_are_named(quiz: Path) -> None:
    text = page(quiz).text
    assert "loss is nan at step 15" in text
    said = re.search(r"Along unpenalised paths, these rose and then fell: gold for \d of (\d)", text)
    assert said and said[1] == "2", "a run that broke off is no evidence about whole paths"
    assert "This experiment is partial" in text
    assert "sampled but never scored" in text


def test_outputs_hold_the_same_numbers(quiz: Path) -> None:
    document = json.loads((quiz / "summary.json").read_text())
    points = pd.read_csv(quiz / "tables" / "points.csv")
    assert sum(len(run["points"]) for run in document["runs"]) == len(points)
    fits = pd.read_csv(quiz / "tables" / "fits.csv").set_index("curve")
    text = page(quiz).text
    for curve, alpha in fits["alpha"].items():
        assert re.search(rf"{curve}\s*\d+\s*{alpha:.2f} \[", text)
    drawn = pd.read_csv(quiz / "figures" / "budgets.csv").query("quantity == 'kl'")
    assert drawn["value"].tolist() == pd.read_csv(quiz / "tables" / "budgets.csv")["kl"].tolist()


def test_writing_it_again_changes_no_byte(quiz: Path) -> None:
    before = {path: path.read_bytes() for path in quiz.rglob("*") if path.is_file()}
    write_report(quiz)
    after = {path: path.read_bytes() for path in quiz.rglob("*") if path.is_file()}
    assert before == after


def test_findings_say_what_was_planted_and_what_was_not(tmp_path: Path) -> None:
    """Planted: gold turns at KL 2.7 (starved proxy); the ample one only at 20, which is beyond this grid."""
    honest = Behaviour(sycophancy=lambda d: 0.1)
    grid = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 11.0)
    path = write_experiment(tmp_path, kl_grid=grid, noise=0.05, behaviour=honest, pool=None)
    experiment = Experiment.read(path)
    computed = tables(experiment)
    found = {each.subject: each.sentences for each in findings(experiment, computed)}
    starved = found["RLOO against the starved proxy (400 pairs)"]
    ample = found["RLOO against the ample proxy (4,000 pairs)"]
    assert starved[1].startswith("The gold score rose and then fell")
    assert "highest at KL 3.0 nats" in starved[1]
    assert ample[1].startswith("The gold score rose and no clear fall appeared")
    assert ample[2].startswith("The oracle score rose and then fell")
    assert starved[3].startswith("No growth of sycophancy is shown")
    assert starved[4].startswith("Beside a third party's belief")
    assert found["KL budgets"][0].startswith("3 of 4 runs with a KL budget ended within 25 % of it")
    assert "Along unpenalised paths, these rose and then fell: gold for 1 of 2" in headline(computed)
    assert "Sycophancy grew along 0 of 2 paths." in headline(computed)


@pytest.mark.parametrize(
    ("accuracy", "interval", "verdict"),
    [
        (0.55, (0.44, 0.66), r"0\.55 \[0\.44,\s0\.66\] of 80 .* not shown to be better than chance"),
        (0.30, (0.20, 0.42), "worse than chance"),
        (0.70, (0.60, 0.79), "which is better than chance"),
    ],
)
@pytest.mark.parametrize("world", ["quiz", "text"])
def test_findings_begin_with_how_far_gold_can_be_trusted(
    tmp_path: Path, world: str, accuracy: float, interval: tuple[float, float], verdict: str
) -> None:
    path = write_experiment(tmp_path, world=world, clusters=12, kl_grid=GRID[:3], pool=None, budgets=())
    file = path / "reward_models" / "gold.json"
    card = json.loads(file.read_text())
    file.write_text(json.dumps(card | {"accuracy": accuracy, "accuracy_ci": interval, "heldout_pairs": 80}))
    experiment = Experiment.read(path)
    first = findings(experiment, tables(experiment))[0]
    assert first.subject == "How far gold can be trusted"
    assert re.search(verdict, first.sentences[0])
    claimed = "the oracle shows what became better" in first.sentences[0]
    assert claimed == (world == "quiz" and "which is better" not in verdict)


def test_a_text_world_says_that_it_has_no_oracle_and_no_sycophancy(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, world="text", clusters=12, kl_grid=GRID[:4], pool=None, budgets=())
    write_report(path)
    text = page(path).text
    assert "This world has no oracle" in text
    assert "the user's wrong belief is stated" not in text.partition("Numbers")[2]
    assert "Sycophancy is measured by" not in text
    assert "The headline behaviour" in text.partition("Not drawn")[2]
    drawn = {each.stem for each in (path / "figures").glob("*.svg")}
    assert len(page(path).images) == len(drawn) and "sycophancy" not in drawn


def test_an_experiment_without_any_point_still_gets_a_report(tmp_path: Path) -> None:
    path = write_experiment(
        tmp_path, clusters=12, kl_grid=GRID[:3], pool=None, budgets=(), proxies=("starved",)
    )
    shutil.rmtree(path / "rloo-path-starved-0-0")
    write_report(path)
    text = page(path).text
    assert "No run left enough scored points" in text
    assert "the run left no point" in text


def test_samples_follow_the_rule_and_carry_standardised_scores(quiz: Path) -> None:
    experiment = Experiment.read(quiz)
    points = tables(experiment).points
    starved, ample = excerpts(experiment, points)
    assert (starved.run.proxy, ample.run.proxy) == ("starved", "ample")
    assert (starved.run.seed, starved.run.proxy_seed) == (0, 0)
    items = experiment.items.sort_values("item_id")
    first_neutral = items[(items["condition"] == "neutral") & items["answerable"]]["prompt"].iloc[0]
    neutral = ample.rows[ample.rows["kind"] == "neutral"]
    assert set(neutral["prompt"]) == {first_neutral}
    assert neutral["place"].iloc[0] == "reference" and neutral["place"].iloc[-1].startswith("end (KL 28.0)")
    # Standardised by hand from the raw records of the same sample.
    run = next(run for run in experiment.runs if run.run_id == ample.run.run_id)
    raw = run.points[0].scores().query("scorer == 'gold'").merge(items, on="item_id")
    mean = (raw["weight"] * raw["value"]).sum() / raw["weight"].sum()
    sd = ((raw["weight"] * (raw["value"] - mean) ** 2).sum() / raw["weight"].sum()) ** 0.5
    own = raw.loc[raw["prompt"] == first_neutral, "value"].iloc[0]
    assert neutral["gold"].iloc[0] == pytest.approx((own - mean) / sd)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_opens_it_without_complaint(quiz: Path, tmp_path: Path) -> None:
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={tmp_path / 'page.png'}",
        f"file://{quiz / 'report.html'}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (tmp_path / "page.png").stat().st_size > 10_000
    assert "CONSOLE" not in done.stderr and "ERR_" not in done.stderr
