"""Records are refused when wrong, and remain gaps when absent."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import write_experiment

from analysis.records import contracts
from analysis.records.experiment import Experiment, RecordError, read_table, write_table
from analysis.records.run_curves import RunCurves


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_experiment(
        tmp_path, clusters=6, kl_grid=(0, 1, 2), budgets=(), proxies=("starved",), pool=(4, 8)
    )


SCORES = pd.DataFrame({"item_id": ["a", "b"], "sample_id": "000", "scorer": "gold", "value": [0.5, 1.5]})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t.drop(columns="scorer"), "no column `scorer`"),
        (lambda t: pd.concat([t, t.tail(1)]), "row 2: a second row for item_id='b', sample_id='000'"),
        (lambda t: t.assign(value=[0.5, np.nan]), "row 1: `value` is nan"),
        (lambda t: t.assign(value=[np.inf, 0.0]), "row 0: `value` is inf"),
        (lambda t: t.assign(value=["1", "2"]), "`value` must be a number"),
        (lambda t: t.assign(item_id=["a", None]), "row 1: `item_id` is missing"),
    ],
)
def test_a_table_against_its_contract_is_neither_written_nor_read(tmp_path, damage, message) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "scores.parquet"
    with pytest.raises(RecordError) as written:
        write_table(file, damage(SCORES), "scores")
    assert message in str(written.value) and str(file) in str(written.value)
    assert list(tmp_path.iterdir()) == []
    damage(SCORES).to_parquet(file, index=False)
    with pytest.raises(RecordError) as read:
        read_table(file, "scores")
    assert message in str(read.value)


def test_write_then_read_is_the_identity_up_to_order(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "scores.parquet"
    write_table(file, SCORES.iloc[::-1], "scores")
    pd.testing.assert_frame_equal(read_table(file, "scores"), SCORES)
    assert [p.name for p in file.parent.iterdir()] == ["scores.parquet"]


@pytest.mark.parametrize("keep", [0, 4, 200])
def test_a_truncated_file_is_named(path: Path, keep: int) -> None:
    file = path / "items.parquet"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(RecordError, match="items.parquet: not a readable Parquet file"):
        _ = Experiment.read(path).items


def test_a_newer_schema_is_refused_with_what_to_do(path: Path) -> None:
    index = path / "experiment.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"schema": 2}))
    with pytest.raises(RecordError, match="schema 2.*reads up to 1; upgrade"):
        Experiment.read(path)


def test_not_an_experiment(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="experiment.json: no such file"):
        Experiment.read(tmp_path)


def test_a_card_that_calls_gold_a_proxy_is_refused(path: Path) -> None:
    card = path / "reward_models" / "gold.json"
    card.write_text(card.read_text().replace('"kind": "gold"', '"kind": "proxy"'))
    with pytest.raises(RecordError, match="`gold` has a card of kind `proxy`"):
        Experiment.read(path)


def _edit(file: Path, change) -> None:  # type: ignore[no-untyped-def]
    frame = pd.read_parquet(file)
    change(frame).to_parquet(file, index=False)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("samples", lambda t: t.replace({"item_id": {"c0001-wrong": "x"}}), "item 'x' is not in the item"),
        ("samples", lambda t: t[t["item_id"] != "c0001-wrong"], "no sample of item 'c0001-wrong'"),
        ("scores", lambda t: t[t.index != 3], "scored 23 of 24 samples"),
        ("scores", lambda t: t.assign(sample_id="007"), "has no sample '007'"),
        ("outcomes", lambda t: t.head(-1), "23 outcomes of 24 samples"),
        ("outcomes", lambda t: t.assign(truth="x"), "`truth` is a column of the item table"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_together(path: Path, table: str, change, message: str) -> None:  # type: ignore[no-untyped-def]
    experiment = Experiment.read(path)
    run = experiment.runs[0]
    _edit(run.points[1].path / f"{table}.parquet", change)
    with pytest.raises(RecordError, match=message) as error:
        RunCurves.read(experiment, run)
    assert f"points/000010/{table}.parquet" in str(error.value)


def test_what_is_absent_is_a_named_gap_and_never_a_number(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, clusters=6, kl_grid=(0, 1, 2), budgets=(), pool=(4, 8),
                            failed_run=True, unscored_step=10)  # fmt: skip
    (path / "best_of_n" / "points" / "000000" / "scores.parquet").unlink()
    experiment = Experiment.read(path)
    gaps = experiment.gaps()
    assert gaps["run_id"].tolist() == ["rloo-path-starved-0-0", "rloo-path-broken", "best_of_n"]
    assert gaps["step"].tolist() == [10, pd.NA, pd.NA]
    assert "loss is nan at step 15" in gaps["gap"][1]
    curves = RunCurves.read(experiment, experiment.runs[0])
    assert np.isnan(curves.raw["gold"][1]).all() and np.isfinite(curves.raw["kl"]).all()
    assert np.isfinite(curves.raw["gold"][[0, 2]]).all()


def test_a_manifest_point_without_a_folder_is_a_gap(path: Path) -> None:
    manifest = path / "rloo-path-starved-0-0" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"points": [0, 10, 20, 30]}))
    gaps = Experiment.read(path).gaps()
    assert gaps[["step", "gap"]].to_numpy().tolist() == [[30, "the point has no samples"]]


def test_a_torn_last_line_of_metrics_is_dropped_and_a_bad_one_before_it_is_not(path: Path) -> None:
    run = Experiment.read(path).runs[0]
    metrics = run.path / "metrics.jsonl"
    whole = metrics.read_text()
    metrics.write_text(whole + '{"step": 30, "rew')
    assert run.metrics()["step"].tolist() == [0, 10, 20]
    metrics.write_text("{oops\n" + whole)
    with pytest.raises(RecordError, match="metrics.jsonl:1: not a JSON object"):
        run.metrics()


def test_a_probe_finds_the_numbers_of_a_further_table_beside_the_outcomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line declares the table; whatever writes it needs to know no more than its name."""
    path = write_experiment(
        tmp_path, clusters=6, kl_grid=(0.0, 1.0), pool=None, budgets=(), proxies=("starved",)
    )
    run = Experiment.read(path).runs[0]
    contract = contracts.Contract(text=("item_id", "sample_id"), number=("surprise",), beside=True)
    monkeypatch.setitem(contracts.CONTRACTS, "surprises", contract)
    some = run.points[1].samples(("item_id", "sample_id")).iloc[::2]
    contracts.write_table(run.points[1].path / "surprises.parquet", some.assign(surprise=2.5), "surprises")
    answers = RunCurves.read(Experiment.read(path), run).answers
    assert answers[run.points[0].step]["surprise"].isna().all()
    assert answers[run.points[1].step]["surprise"].notna().sum() == len(some)
    assert answers[run.points[1].step]["surprise"].dropna().eq(2.5).all()
