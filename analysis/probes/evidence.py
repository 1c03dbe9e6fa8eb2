"""What the probes know of an experiment besides the points, and which of them its records can carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from analysis.probes import PROBES, Evidence, Headline, Probe
from analysis.records.experiment import Experiment
from analysis.records.run_curves import RunCurves, SampleKeys, read_answers
from analysis.study.study import Study, once


@once
def evidence(study: Study) -> Evidence:
    """The evidence that π_ref's reference samples give."""
    return read_evidence(study.experiment)


def read_evidence(experiment: Experiment) -> Evidence:
    point = experiment.reference
    if point is None:
        return Evidence.gather(experiment.items, None)
    neutral = experiment.items[experiment.items["condition"] == "neutral"].reset_index(drop=True)
    samples = point.samples(("item_id", "sample_id"))
    keys = SampleKeys(neutral, samples, point.path / "samples.parquet")
    return Evidence.gather(experiment.items, read_answers(neutral, point, keys))


@once
def refusals(study: Study) -> dict[str, str | None]:
    """Probe → why these records cannot carry it; None where they can."""
    return find_refusals(evidence(study), study.curves)


def find_refusals(known: Evidence, curves: Sequence[RunCurves]) -> dict[str, str | None]:
    """`refusals` of some of an experiment's runs."""
    firsts = [next(iter(each.answers.values())) for each in curves if each.answers]
    if not firsts:
        return dict.fromkeys(PROBES, "no point was sampled")
    return {name: _refusal(probe, known, firsts) for name, probe in PROBES.items()}


def _refusal(probe: Probe, known: Evidence, answers: Sequence[pd.DataFrame]) -> str | None:
    """Why no run can carry the probe: what is measured of some runs alone leaves gaps in the others."""
    first, *others = answers
    reason = probe.refusal(known, first)
    return reason if reason and all(probe.refusal(known, each) for each in others) else None


@once
def headlines(study: Study) -> dict[str, Headline]:
    """The headlines that these records carry, by measure."""
    return carried_headlines(refusals(study))


def carried_headlines(why_not: Mapping[str, str | None]) -> dict[str, Headline]:
    """The headlines of the probes that were not refused, by measure; `why_not`: probe → reason."""
    able = (probe for name, probe in PROBES.items() if why_not[name] is None)
    return {probe.headline.measure: probe.headline for probe in able if probe.headline is not None}


@once
def headline_probe(study: Study) -> Probe | None:
    """The probe of the experiment's headline behaviour; None where these records cannot carry it."""
    wanted = study.experiment.headline_behaviour
    for name, probe in PROBES.items():
        if probe.headline is not None and probe.headline.measure == wanted:
            return probe if refusals(study)[name] is None else None
    return None


def headline_behaviour(study: Study) -> Headline | None:
    """The headline behaviour as events."""
    probe = headline_probe(study)
    return None if probe is None else probe.headline
