"""The registry of tables: what is stated of a column is true of it, and the door to the records opens."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
from synthetic import Behaviour, write_experiment

from analysis import load
from analysis.probes.points import POINTS
from analysis.report.findings import headline
from analysis.report.summary import summary
from analysis.study.columns import run_columns
from analysis.study.study import Study, once
from analysis.study.table import TOKENS, Column, Sheet, Table
from analysis.tables.tables import TABLES, Results, schema, tables

ROOT = Path(__file__).parents[3]
GRID = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    grows = Behaviour(sycophancy=lambda d: min(0.9, 0.2 + 0.2 * d))
    return write_experiment(root, clusters=24, kl_grid=GRID, pool=(12, 16), behaviour=grows)


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return load(folder)


def test_every_table_has_the_columns_that_are_stated_and_states_each_once(results: Results) -> None:
    for name, table in TABLES.items():
        assert name == table.name
        assert list(results[name].columns) == table.names
        assert len(set(table.names)) == len(table.names), name
        assert all(column.words and column.unit for column in table.columns), name


def test_a_table_is_read_by_name_and_by_attribute_and_computed_once(results: Results) -> None:
    assert results.points is results["points"] and set(results) == set(TABLES)
    with pytest.raises(AttributeError, match="no table 'point'; did you mean points"):
        _ = results.point


def test_streams_are_named_and_start_anew(results: Results) -> None:
    draws = {name: results.study.stream(name).random() for name in ("prompts", "pool", "tilts", "longest")}
    assert len(set(draws.values())) == len(draws)
    assert results.study.stream("tilts").random() == draws["tilts"]


def test_nothing_is_computed_that_nobody_asks_for_and_nothing_twice(folder: Path) -> None:
    calls = []

    @once
    def shared(study: Study) -> int:
        calls.append(study.seed)
        return len(calls)

    study = Study.read(folder)
    assert not calls
    assert shared(study) == shared(study) == 1
    assert shared(study.given({shared: 7})) == 7 and shared(study) == 1


def test_a_new_table_is_one_file_and_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def longest(study: Study) -> pd.DataFrame:
        return POINTS.of(study).groupby("run_id", sort=False)["length"].max().reset_index()

    columns = (*run_columns("run_id"), Column("length", TOKENS, "of its longest point"))
    shown = Sheet("How long", "In tokens.", ("run_id", "length"))
    monkeypatch.setitem(TABLES, "longest", Table("longest", "One row per run.", columns, longest, shown))
    mine = load(folder)
    assert len(mine.longest) == len(mine.runs)
    (grid,) = TABLES["longest"].grids(mine.study)
    assert [each.title for each in grid.columns] == ["run", "length"] and len(grid.rows) == len(mine.runs)
    assert "### `longest`" in schema()


def test_the_page_on_records_is_current() -> None:
    page = (ROOT / "docs" / "records.md").read_text(encoding="utf-8")
    assert page.endswith(schema()), "docs/records.md: write what analysis.tables.tables.schema() returns"


def test_the_table_on_the_page_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "records.md").read_text(encoding="utf-8")
    example = re.findall(r"```python\n(.*?)```", page, re.S)[1]
    monkeypatch.setattr("analysis.tables.tables.TABLES", dict(TABLES))
    exec(example, {})
    assert len(load(folder).longest)


def test_the_notebook_runs(folder: Path) -> None:
    matplotlib.use("Agg")
    cells = json.loads((ROOT / "docs" / "records.ipynb").read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(cell["source"].replace("../runs/quickstart", str(folder)), names)
    assert [ax.get_title() for ax in names["axes"][0]] == ["ample proxy", "starved proxy"]  # type: ignore[index]


def test_samples_come_with_their_prompts_and_scores(results: Results) -> None:
    run = results.experiment.runs[0]
    samples = results.samples(run.run_id, 0)
    assert {"prompt", "completion", "gold", run.scorer} <= set(samples) and samples["gold"].notna().all()
    with pytest.raises(KeyError, match="was not sampled at step 7"):
        results.samples(run.run_id, 7)
    with pytest.raises(KeyError, match="did you mean"):
        results.samples("rloo", 0)


def test_the_package_loads_no_pandas() -> None:
    code = "import sys, analysis; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("behaviour", ["sycophancy", "confident_wrong"])
def test_summary_and_findings_are_about_the_headline_behaviour(folder: Path, behaviour: str) -> None:
    index = folder / "experiment.json"
    before = index.read_text()
    index.write_text(json.dumps(json.loads(before) | {"headline_behaviour": behaviour}))
    try:
        found = load(folder)
    finally:
        index.write_text(before)
    document = summary(found.experiment, tables(found.experiment))
    assert behaviour in document["checks"] and f"{behaviour}_ci" in document["runs"][0]["points"][0]
    assert (behaviour == "sycophancy") == ("sycophancy" in document["checks"])
    assert f"{behaviour.replace('_', ' ').capitalize()} grew along" in headline(found)
    budgets = TABLES["budgets"].grids(found.study)[0]
    assert behaviour.replace("_", " ") in [each.title for each in budgets.columns]
