"""All tables about behaviours along KL, computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.behaviour.browser import browser
from analysis.behaviour.contagion import contagion
from analysis.behaviour.frontier import PoolProbing
from analysis.behaviour.ledger import ledger
from analysis.behaviour.prediction import foresee, predictions
from analysis.behaviour.rates import behaviour_paths
from analysis.behaviour.spectrum import onsets, spectrum
from analysis.behaviour.tilt import TILT_COLUMNS, tilt_split
from analysis.pool.curves import ScoredPool
from analysis.probes import PROBES, Evidence, Headline
from analysis.records.experiment import Experiment
from analysis.records.run_curves import RunCurves

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BehaviourTables:
    """Behaviours along KL, as headlines of the probes count them. KL in nats per sequence, NaN is a gap."""

    spectrum: pd.DataFrame
    """One row per path, behaviour and place: `spectrum.SPECTRUM_COLUMNS`."""
    onsets: pd.DataFrame
    """One row per path and behaviour: `spectrum.ONSET_COLUMNS`."""
    predictions: pd.DataFrame
    """One row per path, behaviour and KL: `prediction.PREDICTION_COLUMNS`."""
    calibration: pd.DataFrame
    """How well those did: `prediction.CALIBRATION_COLUMNS`."""
    tilts: pd.DataFrame
    """Sycophancy by what the proxy prefers on the fact: `tilt.TILT_COLUMNS`."""
    contagion: pd.DataFrame
    """One row per biased proxy and behaviour: `contagion.CONTAGION_COLUMNS`."""
    ledger: pd.DataFrame
    """What the proxy's gain was earned with, by path, place and source: `ledger.LEDGER_COLUMNS`."""
    gains: pd.DataFrame
    """That gain, what of it is explained, and what is within length: `ledger.GAIN_COLUMNS`."""
    browser: pd.DataFrame
    """The completions with the widest gaps between proxy and gold: `browser.BROWSER_COLUMNS`."""


def behaviour_tables(
    experiment: Experiment,
    curves: Sequence[RunCurves],
    evidence: Evidence,
    refusals: Mapping[str, str | None],
    pool: ScoredPool | None,
    probing: PoolProbing | None,
    counts: Floats,
    rng: np.random.Generator,
) -> BehaviourTables:
    """All of `BehaviourTables`; `counts` (replicates, clusters) are the draws of evaluation prompts."""
    headlines = carried_headlines(refusals)
    labels = {measure: headline.label for measure, headline in headlines.items()}
    doses = read_doses(experiment)
    paths = behaviour_paths(curves, evidence, headlines, counts, rng)
    table = spectrum(paths, headlines, doses)
    foreseen, split = {}, pd.DataFrame(columns=list(TILT_COLUMNS))
    if pool is not None and probing is not None:
        foreseen = {proxy: foresee(pool, probing, proxy) for proxy in dict.fromkeys(p.proxy for p in paths)}
        split = tilt_split(paths, pool, probing, evidence, headlines, counts, rng)
    books = ledger(paths)
    predicted = predictions(paths, foreseen, labels, rng)
    return BehaviourTables(
        spectrum=table,
        onsets=onsets(table, paths),
        predictions=predicted.table,
        calibration=predicted.calibration,
        tilts=split,
        contagion=contagion(paths, labels, doses),
        ledger=books.shares,
        gains=books.gains,
        browser=browser(paths, evidence, headlines),
    )


def carried_headlines(refusals: Mapping[str, str | None]) -> dict[str, Headline]:
    """The headlines that these records carry, by measure; `refusals`: probe → why not."""
    able = (probe for name, probe in PROBES.items() if refusals[name] is None)
    return {probe.headline.measure: probe.headline for probe in able if probe.headline is not None}


def read_doses(experiment: Experiment) -> dict[str, tuple[str, float]]:
    """Proxy → (series, dose), for the proxies that have one."""
    doses = {name: proxy.get("dose") for name, proxy in experiment.proxies.items()}
    return {name: (str(dose["of"]), float(dose["value"])) for name, dose in doses.items() if dose}
