"""All tables of an experiment by name: one file computes each, one line here registers it.

Nothing downstream touches a record again, so a number in a figure and the same number in the summary cannot
differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.audit.reward_models import AUDIT
from analysis.behaviour.browser import BROWSER
from analysis.behaviour.contagion import CONTAGION
from analysis.behaviour.frontier import FRONTIER_BEHAVIOUR
from analysis.behaviour.knowing import KNOWING
from analysis.behaviour.ledger import GAINS, LEDGER
from analysis.behaviour.mitigations import MITIGATIONS
from analysis.behaviour.prediction import CALIBRATION, PREDICTIONS
from analysis.behaviour.spectrum import ONSETS, SPECTRUM
from analysis.behaviour.tilt import TILTS
from analysis.entries import Entries
from analysis.equal_kl.comparison import COMPARISONS
from analysis.equal_kl.interpolated import CHECKPOINTS
from analysis.equal_kl.passport import PASSPORT
from analysis.laws.fit_tables import FIT_BANDS, FIT_REGIONS, FITS
from analysis.laws.forecast_tables import FORECAST_BANDS, FORECASTS
from analysis.laws.held_out import LAW_LINES, LAW_POINTS, LAW_SCORES
from analysis.pool.curves import BEST_OF_N, BEST_OF_N_SEEDS
from analysis.pool.frontier import FRONTIER, RESIDUALS
from analysis.probes.evidence import refusals
from analysis.probes.points import POINTS
from analysis.records.experiment import Experiment
from analysis.study.study import Study
from analysis.study.table import Table
from analysis.tables.claims import PATHS
from analysis.tables.humps import HUMPS
from analysis.tables.runs import BUDGETS, GAPS, REWARD_MODELS, RUNS

# In this order the report shows those that it shows.
TABLES: Entries[Table] = Entries(
    "table",
    {
        table.name: table
        for table in (
            *(HUMPS, POINTS, PATHS, FITS, BUDGETS, REWARD_MODELS, RUNS, GAPS, AUDIT),
            *(FIT_BANDS, FIT_REGIONS, LAW_SCORES, LAW_LINES, LAW_POINTS, FORECASTS, FORECAST_BANDS),
            *(BEST_OF_N, BEST_OF_N_SEEDS, FRONTIER, RESIDUALS),
            *(PASSPORT, COMPARISONS, CHECKPOINTS, FRONTIER_BEHAVIOUR),
            *(SPECTRUM, ONSETS, CALIBRATION, PREDICTIONS, TILTS, CONTAGION, LEDGER, GAINS, BROWSER),
            *(MITIGATIONS, KNOWING),
        )
    },
)


class Tables:
    """Every table by name, `tables["points"]` or `tables.points`, computed when first asked for."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def __getitem__(self, name: str) -> pd.DataFrame:
        return TABLES[name].of(self.study)

    def __getattr__(self, name: str) -> pd.DataFrame:
        if name in TABLES:
            return self[name]
        near = get_close_matches(name, TABLES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise AttributeError(f"there is no table {name!r}{hint} (there are {', '.join(TABLES)})")

    @property
    def probes(self) -> dict[str, str | None]:
        """Probe → why it could not be measured; None where it was."""
        return refusals(self.study)

    def given(self, *, probes: Mapping[str, str | None] | None = None, **frames: pd.DataFrame) -> Tables:
        """The same with some tables, or refusals of probes, given instead of computed: for what if."""
        values: dict[Any, Any] = {TABLES[name].read: frame for name, frame in frames.items()}
        return Tables(self.study.given(values | ({} if probes is None else {refusals: dict(probes)})))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *TABLES]

    def __iter__(self) -> Iterator[str]:
        return iter(TABLES)

    def __len__(self) -> int:
        return len(TABLES)


def tables(experiment: Experiment, *, seed: int = 0) -> Tables:
    """The tables of `experiment`; `seed` drives the resampling alone. Bad records raise `RecordError`."""
    return Tables(Study(experiment, seed=seed))


class Results(Tables):
    """An experiment for people who compute: its tables, its prompts and its samples as data frames."""

    @property
    def experiment(self) -> Experiment:
        return self.study.experiment

    @property
    def items(self) -> pd.DataFrame:
        """The evaluation prompts, one row each."""
        return self.experiment.items

    def samples(self, run_id: str, step: int) -> pd.DataFrame:
        """The samples of a point with their prompts, and one column of raw scores per scorer.

        Raises `KeyError` where the experiment has no such point.
        """
        runs = {run.run_id: run for run in self.experiment.runs}
        if run_id not in runs:
            near = get_close_matches(run_id, runs, n=1, cutoff=0)
            raise KeyError(
                f"there is no run {run_id!r}; did you mean {near[0]!r}?" if near else "there is no run"
            )
        points = {point.step: point for point in runs[run_id].points if point.sampled}
        if step not in points:
            raise KeyError(f"{run_id} was not sampled at step {step}, but at {', '.join(map(str, points))}")
        key = ["item_id", "sample_id"]
        samples = (
            points[step].samples().merge(self.items[["item_id", "prompt"]], on="item_id", validate="m:1")
        )
        if not points[step].scored:
            return samples
        scores = points[step].scores().pivot(index=key, columns="scorer", values="value")
        return samples.join(scores, on=key, validate="1:1")


def load(folder: str | Path) -> Results:
    """The results of the experiment in `folder`; raises `RecordError` where there is none."""
    return Results(Study.read(Path(folder)))


def schema() -> str:
    """Every table with its columns, in Markdown: what `docs/records.md` ends with."""
    return "\n\n".join(_described(table) for table in TABLES.values()) + "\n"


def _described(table: Table) -> str:
    lines = [f"### `{table.name}`", "", table.words, "", "| column | unit | what it is |", "|---|---|---|"]
    for column in table.columns:
        name, *beside = column.names
        ends = f" ({', '.join(f'`{each.removeprefix(name)}`' for each in beside)})" if beside else ""
        words = column.words.replace("|", "\\|")
        lines.append(f"| `{name}`{ends} | {column.unit} | {words} |")
    return "\n".join(lines)
