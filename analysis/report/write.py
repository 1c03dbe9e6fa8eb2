"""One experiment's records -> summary.json, tables/*.csv, figures/* and a report.html that needs nothing
else.

Everything is computed from the records, so a report can be written again at any time, on a machine without
torch, and the same records give the same bytes. The report opens offline: figures are inside it, and nothing
is fetched.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from analysis.figures import Drawn, Material, draw_all
from analysis.records.experiment import Experiment, RecordError
from analysis.report.excerpts import RULE, excerpts
from analysis.report.findings import findings, headline, limits, words
from analysis.report.grids_samples import browser_grids, pairs_grid, sample_grid
from analysis.report.summary import summary
from analysis.tables.tables import TABLES, Tables, tables


def write_report(experiment_dir: Path, out: Path | None = None) -> Path:
    """Write every output of the experiment in ``experiment_dir`` beside its records, or to ``out``; returns
    the report's path.

    Outputs: summary.json, tables/<name>.csv, figures/<name>.{pdf,svg,png,csv}, report.html. Works on
    unfinished experiments: what is missing is named in the report. Raises `RecordError` on records that
    cannot be trusted.
    """
    experiment = Experiment.read(experiment_dir)
    if experiment.status != "complete" and not experiment.scored:
        why = experiment.unfinished or "everything that leads to one failed"
        raise RecordError(
            f"{experiment_dir}: no point has been scored yet; {why}. `overopt run` continues it"
        )
    computed = tables(experiment)
    document = summary(experiment, computed)
    out = out or experiment_dir
    out.mkdir(parents=True, exist_ok=True)
    _write(out / "summary.json", json.dumps(document, indent=1, allow_nan=False) + "\n")
    _write_tables(computed, out / "tables")
    drawn = draw_all(Material(experiment, computed), out / "figures")
    path = out / "report.html"
    _write(path, render(experiment, computed, drawn))
    return path


def render(experiment: Experiment, computed: Tables, drawn: list[Drawn]) -> str:
    """The report as one HTML document."""
    template = resources.files("analysis.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(template)
    chosen = excerpts(experiment, computed.points)
    return page.render(
        experiment=experiment.name,
        setting=_setting(experiment, computed),
        notices=_notices(experiment, computed),
        headline=headline(computed),
        findings=findings(experiment, computed),
        words=words(computed),
        figures=_figures(drawn),
        skipped=[(each.plot.title, each.skipped) for each in drawn if each.skipped is not None],
        numbers=[grid for table in TABLES.values() for grid in table.grids(computed.study)],
        samples=[sample_grid(each) for each in chosen],
        browser=browser_grids(computed.behaviour_browser),
        samples_rule=RULE
        if chosen
        else "No path run left a scored reference point, so there is nothing to compare.",
        limits=limits(experiment, computed),
        provenance=_provenance(experiment),
        provenance_tables=_provenance_tables(experiment),
        config=_config(experiment),
    )


def _figures(drawn: list[Drawn]) -> list[tuple[str | None, list[Mapping[str, Any]]]]:
    """The drawn figures under their headings (None: the general ones), numbered from first to last."""
    sections: dict[str | None, list[Mapping[str, Any]]] = {}
    for number, each in enumerate((each for each in drawn if each.skipped is None), start=1):
        sections.setdefault(each.plot.section, []).append({"number": number, **_figure(each)})
    return list(sections.items())


def _figure(drawn: Drawn) -> Mapping[str, str]:
    """A figure for the template; as an image of its own, its ids cannot clash with those of the others."""
    svg = base64.b64encode(drawn.stem.with_suffix(".svg").read_bytes()).decode()
    return {
        "name": drawn.name,
        "title": drawn.plot.title,
        "alt": drawn.plot.description,
        "caption": drawn.caption,
        "source": f"data:image/svg+xml;base64,{svg}",
    }


def _setting(experiment: Experiment, computed: Tables) -> str:
    complete = int((computed.runs["status"] == "complete").sum()) if len(computed.runs) else 0
    pool = experiment.pool
    parts = [
        f"World: {experiment.world}.",
        f"{complete} of {len(computed.runs)} planned runs completed.",
        f"{len(experiment.items):,} evaluation prompts.",
        f"Best-of-n pool: {pool['prompts']:,} prompts with {pool['samples']:,} samples each." if pool else "",
    ]
    return " ".join(part for part in parts if part)


def _notices(experiment: Experiment, computed: Tables) -> list[str]:
    """What a reader must know before any number."""
    notices = []
    if experiment.status != "complete":
        why = experiment.unfinished or "some of what was planned failed"
        notices.append(f"This experiment is {experiment.status}: {why}; what is missing is listed.")
    if len(computed.gaps):
        notices.append(
            f"{len(computed.gaps)} gap(s) in the records; each is listed under Numbers, none was filled in."
        )
    return notices


def _provenance(experiment: Experiment) -> list[tuple[str, str]]:
    record = experiment.provenance
    commit = str(record.get("git_commit") or "not recorded")
    hardware = record.get("hardware") or {}
    rows = {
        "Experiment": experiment.name,
        "Command": str(record.get("command") or "not recorded"),
        "Git commit": commit + (" (with uncommitted changes)" if record.get("git_dirty") else ""),
        "Root seed": str(experiment.seed),
        "Hardware": ", ".join(f"{key}: {value}" for key, value in hardware.items()) or "not recorded",
        "Outputs beside this file": "summary.json, tables/*.csv, figures/*.pdf, .svg, .png, .csv",
    }
    return list(rows.items())


def _provenance_tables(experiment: Experiment) -> list[Any]:
    packages = experiment.provenance.get("packages") or {}
    grids = []
    if experiment.wall_seconds:
        grids.append(
            pairs_grid("Wall time", "Seconds per stage.", ("stage", "seconds"), experiment.wall_seconds)
        )
    if packages:
        grids.append(
            pairs_grid("Packages", "Versions that produced the records.", ("package", "version"), packages)
        )
    return grids


def _config(experiment: Experiment) -> str:
    path = experiment.path / "config.yaml"
    return path.read_text(encoding="utf-8") if path.exists() else "config.yaml was not recorded"


def _write_tables(computed: Tables, folder: Path) -> None:
    """Every table as tables/<name>.csv."""
    for name in computed:
        _write(folder / f"{name}.csv", computed[name].to_csv(index=False, lineterminator="\n"))


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a reader never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
