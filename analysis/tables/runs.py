"""The plain tables of an experiment: its runs, its reward models' cards, what became of budgets, its gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.probes import PROBES
from analysis.probes.points import POINTS, RUN_COLUMNS, SCORE_COLUMNS, rate_columns
from analysis.study.columns import KL, RUN, STEP_OF
from analysis.study.grid import Grid
from analysis.study.study import Study
from analysis.study.table import COUNT, SHARE, TEXT, YES, Column, Sheet, Table

BUDGET_TOLERANCE = 0.25


def _runs(study: Study) -> pd.DataFrame:
    rows = []
    for run in study.experiment.runs:
        usable = sum(point.sampled and point.scored for point in run.points)
        rows.append(run.settings(*RUN_COLUMNS, "status", "error") | {"points": usable})
    return pd.DataFrame(rows)


def _cards(study: Study) -> pd.DataFrame:
    rows = []
    for card in study.experiment.cards:
        lo, hi = card.get("accuracy_ci") or (np.nan, np.nan)
        known = {name: card.get(name) for name in REWARD_MODELS.names}
        rows.append(known | {"accuracy_lo": lo, "accuracy_hi": hi})
    return pd.DataFrame(rows)


def _budgets(study: Study) -> pd.DataFrame:
    points = POINTS.of(study)
    rows = points[points["budget"].notna()].groupby("run_id", sort=False).tail(1).reset_index(drop=True)
    rows = rows.assign(ratio=rows["kl"] / rows["budget"])
    rows["within"] = (rows["ratio"] - 1).abs() <= BUDGET_TOLERANCE
    return rows


RUNS = Table(
    "runs",
    "Every planned run, also those that failed.",
    (
        *RUN,
        Column("status", TEXT, "complete, or what became of it"),
        Column("error", TEXT, "why it did not complete"),
        Column("points", COUNT, "points that were sampled and scored"),
    ),
    _runs,
    Sheet(
        "Runs",
        "Every planned run, also those that failed.",
        ("run_id", "method", "control", "proxy", "proxy_seed", "seed", "points", "status", "error"),
    ),
)
REWARD_MODELS = Table(
    "reward_models",
    "The cards of the reward models, gold first: on held-out pairs, before anything was optimised.",
    (
        Column("name", TEXT, "gold or proxy/<name>/<replicate>", title="model"),
        Column("kind", TEXT, "gold or proxy"),
        Column("proxy", TEXT, "name of the proxy"),
        Column("proxy_seed", COUNT, "its replicate"),
        Column("pairs", COUNT, "labelled pairs that it was trained on"),
        Column("accuracy", SHARE, "held-out pairs in the order of their labels", interval=True),
        Column("ece", SHARE, "expected calibration error", title="ECE", digits=3),
        Column("length_correlation", "1", "of reward and length", title="length r"),
        Column("oracle_agreement", SHARE, "pairs in the oracle's order", title="agrees with oracle"),
        Column("gold_agreement", SHARE, "pairs in gold's order", title="agrees with gold"),
        Column("heldout_pairs", COUNT, "pairs held out", title="held out"),
        Column("label_flip_share", SHARE, "training labels against gold's order", title="labels flipped"),
        Column("reliability", "curve", "stated against observed probabilities"),
    ),
    _cards,
    Sheet(
        "Reward models",
        "On held-out pairs, before anything was optimised against them. ECE: expected calibration error.",
        ("name", "pairs", "heldout_pairs", "accuracy", "ece", "length_correlation", "oracle_agreement",
         "gold_agreement", "label_flip_share"),
    ),
)  # fmt: skip
GAPS = Table(
    "gaps",
    "What was planned and is not there.",
    (RUN[0], STEP_OF, Column("gap", TEXT, "what is missing", title="what is missing")),
    lambda study: study.experiment.gaps(),
    Sheet("Gaps", "Planned and not there. Nothing was filled in.", ("run_id", "step", "gap")),
)

SHOWN = ("gold", "oracle", "proxy_score")


def _budget_columns() -> tuple[Column, ...]:
    """A run's last point: its scores, and every behaviour that a probe has for a headline."""
    behaviours = {each.headline.measure for each in PROBES.values() if each.headline is not None}
    measured = (
        *(replace(each, error=False) for each in SCORE_COLUMNS if each.name in SHOWN),
        *(each for each in rate_columns() if each.name in behaviours),
    )
    return (
        *RUN,
        STEP_OF,
        replace(KL, title="measured KL"),
        Column("ratio", "1", "measured KL over the budget"),
        Column("within", YES, "to a quarter", title="within 25 %"),
        *measured,
    )


def _budget_grids(study: Study) -> list[Grid]:
    shown = (
        "run_id",
        "budget",
        "kl",
        "ratio",
        "within",
        "gold",
        "oracle",
        study.experiment.headline_behaviour,
    )
    caption = "At the last point of each run with a budget. KL in nats per sequence, scores in π_ref s.d."
    return Sheet("KL budgets", caption, shown).grids(BUDGETS.of(study), BUDGETS)


BUDGETS = Table(
    "budgets",
    "What became of budgets: one row per run that had one, at its last point.",
    _budget_columns,
    _budgets,
    _budget_grids,
)
