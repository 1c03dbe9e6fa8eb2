"""Probes on records: text joined by id, every measure at every point, one point at a time as the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from synthetic import write_experiment

from analysis.probes import PROBES, declined
from analysis.probes.points import points_of
from analysis.records.experiment import Experiment
from analysis.records.run_curves import TEXT, RunCurves
from analysis.tables.tables import tables


def test_answers_carry_the_text_of_their_own_sample(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, clusters=20, kl_grid=(0, 1), budgets=(), pool=None, shuffle=True)
    experiment = Experiment.read(path)
    run = experiment.runs[0]
    answers = RunCurves.read(experiment, run).answers[0]
    samples = run.points[0].samples().set_index(["item_id", "sample_id"])
    said = samples.loc[pd.MultiIndex.from_frame(answers[["item_id", "sample_id"]])]
    for name in TEXT:
        assert answers[name].tolist() == said[name].tolist()
    # The text of these records says what their outcomes say.
    stated = answers["stated"].notna()
    assert all(
        value in text
        for value, text in zip(answers["stated"][stated], answers["completion"][stated], strict=True)
    )


def test_a_point_read_alone_is_the_point_among_all(tmp_path: Path) -> None:
    path = write_experiment(tmp_path, clusters=30, kl_grid=(0, 1, 2, 4), budgets=(), pool=None)
    experiment = Experiment.read(path)
    run = experiment.runs[0]
    whole = points_of(experiment, run.run_id)
    step = run.points[2].step
    alone = points_of(experiment, run.run_id, steps=[step])
    assert alone["step"].tolist() == [0, step]
    wanted = whole[whole["step"].isin([0, step])].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, wanted, check_exact=False, rtol=1e-9)


def test_every_measure_that_can_be_had_is_a_column_of_the_points(tmp_path: Path) -> None:
    """What the points table holds is what W&B shows over √KL."""
    path = write_experiment(tmp_path, clusters=30, kl_grid=(0, 1), budgets=(), pool=None)
    computed = tables(Experiment.read(path))
    for name, probe in PROBES.items():
        for measure in probe.measures:
            values = computed.points[[measure, f"{measure}_lo", f"{measure}_hi"]]
            assert np.isnan(values.to_numpy(dtype=float)).all() or computed.probes[name] is None
        measured = computed.points[list(probe.measures)].notna().any(axis=None)
        assert measured == (computed.probes[name] is None), name
    sentence = declined(computed.probes)
    assert "are you sure (this world records no `said`)" in sentence and "sycophancy" not in sentence
    assert declined({"sycophancy": None}) == ""
