"""KL passports: what a run's KL and its law would read in the units of other papers.

No two published curves have the same quantity on their KL axis. From the per-sequence estimates that every
point records, each convention of `CONVENTIONS` is put on the axis of the *same* run: the KL where gold peaks,
the last KL, and α, β of the reinforcement-learning law refitted with d = √(that KL). The points that enter
the fit are those of our own fit, whatever they read in another unit, so two laws of one run differ by their
axis and by nothing else.

A convention that needs a column which the records lack (`k1_clamped`, `k2_prompt`) is a row that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.estimators.arrays import Floats
from analysis.estimators.bootstrap import UnitDraws
from analysis.laws.curve import Curve
from analysis.laws.fit import fit_curve
from analysis.laws.forms import LAWS
from analysis.records.run_curves import RunCurves
from analysis.study.columns import run_columns
from analysis.study.grid import MISSING, Grid, Heading, number
from analysis.study.study import Study
from analysis.study.table import TEXT, YES, Column, Table

Means = Callable[[str], Floats]
"""Name of a sampled column -> its mean at every point, or resampled: (replicates, points)."""

NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Convention:
    """One way to say how far a policy has moved."""

    name: str
    title: str
    definition: str
    source: str
    """Who puts it on an axis, or offers to; what it measures besides."""
    value: Callable[[Means], Floats]


def _column(name: str) -> Callable[[Means], Floats]:
    return lambda mean: mean(name)


CONVENTIONS: Mapping[str, Convention] = {
    each.name: each
    for each in (
        Convention(
            "kl",
            "overopt",
            "Σ_t KL(π‖π_ref) over the vocabulary, per sequence",
            "Every axis of this report; unbiased (Amini et al. 2025, arXiv:2504.10637).",
            _column("kl"),
        ),
        Convention(
            "k1",
            "k1",
            "Σ_t log π/π_ref, per sequence",
            "PAR (released code); the term that TRL's RLOO penalises. Unbiased, noisier.",
            _column("k1"),
        ),
        Convention(
            "k2",
            "k2",
            "Σ_t ½ (log π/π_ref)², per sequence",
            "An option of verl and OpenRLHF. Biased: reads high where tokens move far.",
            _column("k2"),
        ),
        Convention(
            "k3",
            "k3",
            "Σ_t (π_ref/π − 1 − log π_ref/π), per sequence",
            "Schulman (2020); `objective/kl` of TRL's former PPO. verl clamps it to ±10 per token.",
            _column("k3"),
        ),
        Convention(
            "reverse",
            "reverse",
            "Σ_t KL(π_ref‖π) over the vocabulary, per sequence",
            "`KLDivLoss(log π, log π_ref)`, as in a public adversarial-Goodhart code: the other direction.",
            _column("kl_reverse"),
        ),
        Convention(
            "per_token",
            "per token",
            "mean KL of a sequence / mean length",
            "What TRL's RLOO (as k1) and GRPO (as k3) and open-instruct log: not a budget, lengths cancel.",
            lambda mean: mean("kl") / mean("length"),
        ),
        Convention(
            "with_prompt",
            "prompt included",
            "Σ ½ (log π/π_ref)² over prompt and response",
            "Coste et al. 2023 (arXiv:2310.02743), by their released code: k2, and the prompt counts too.",
            lambda mean: mean("k2") + mean("k2_prompt"),
        ),
        Convention(
            "clamped",
            "clamped at 0",
            "Σ_t max(log π/π_ref, 0), per sequence",
            "AlpacaFarm (released code): negative terms are dropped, so it reads high, most at small KL.",
            _column("k1_clamped"),
        ),
    )
}


def passport(curves: Sequence[RunCurves], counts: Floats) -> pd.DataFrame:
    """`PASSPORT`, of runs with a measured point; `counts`: (replicates, clusters)."""
    rows = [row for each in curves if each.measured("kl") for row in _rows(each, counts)]
    return pd.DataFrame(rows)


def _rows(each: RunCurves, counts: Floats) -> list[dict[str, object]]:
    kl, gold = each.sums["kl"].mean(), each.sums["gold"].mean()
    sampled = np.flatnonzero(np.isfinite(kl))
    last = int(sampled[-1])
    peak = int(np.nanargmax(gold)) if np.isfinite(gold).any() else None
    turned = (
        None if peak is None else bool(np.isfinite(gold[:peak]).any() and np.isfinite(gold[peak + 1 :]).any())
    )
    resampled = {
        name: each.sums[name].replicate(counts)
        for name in ("kl", "k1", "k2", "k3", "kl_reverse", "k1_clamped", "k2_prompt", "length")
    }
    head = {"run_id": each.run.run_id, "method": str(each.run.way), "control": each.run.control,
            "proxy": each.run.proxy}  # fmt: skip
    ours = kl[last] if peak is None else kl[peak]
    rows = []
    for convention in CONVENTIONS.values():
        value = convention.value(lambda name: each.sums[name].mean())
        recorded = bool(np.isfinite(value[sampled]).all())
        at_peak = np.nan if peak is None else value[peak]
        here = value[last] if peak is None else at_peak
        rows.append({
            **head, "convention": convention.name, "recorded": recorded, "peak_kl": at_peak,
            "peak_turned": turned, "last_kl": value[last], "ratio": here / ours if ours > 0 else np.nan,
            **_law(each, value, convention.value(resampled.__getitem__), recorded, counts),
        })  # fmt: skip
    return rows


def _law(
    each: RunCurves, value: Floats, resampled: Floats, recorded: bool, counts: Floats
) -> dict[str, object]:
    """α and β of this run's gold curve over √value, with bounds."""
    nothing = dict.fromkeys(("alpha", "alpha_lo", "alpha_hi", "beta", "beta_lo", "beta_hi"), np.nan)  # type: dict[str, object]
    if not recorded:
        return nothing | {"refused": NOT_RECORDED}
    if each.run.control != "path":
        return nothing | {"refused": "only a path run traces a curve"}
    gold = each.sums["gold"]
    # Our own fit's points; the law then holds all the way down, as in another unit the cut means nothing.
    used = each.sums["kl"].mean() >= LAWS["rl"].min_d ** 2
    d, y = np.sqrt(np.maximum(value, 0)), gold.mean()
    alone = UnitDraws.draw(np.random.default_rng(0), 1, len(counts))  # of one run there is one draw
    whole = Curve(d, y, np.zeros(len(d), dtype=np.intp), np.sqrt(np.maximum(resampled, 0)),
                  gold.replicate(counts), counts.shape[1], alone)  # fmt: skip
    fit = fit_curve(LAWS["rl"], whole.where(used & np.isfinite(d) & np.isfinite(y)))
    if fit.alpha_ci is None or fit.beta_ci is None:
        return nothing | {"refused": fit.refused}
    return {
        "alpha": fit.alpha,
        "alpha_lo": fit.alpha_ci[0],
        "alpha_hi": fit.alpha_ci[1],
        "beta": fit.beta,
        "beta_lo": fit.beta_ci[0],
        "beta_hi": fit.beta_ci[1],
        "refused": None,
    }


def _grids(study: Study) -> list[Grid]:
    table = PASSPORT.of(study)
    if table.empty:
        return []
    laws = table[table["control"] == "path"]
    where = (
        "Each run as other papers would draw it: KL at the point where gold is highest / at the "
        "last point. An "
        "asterisk: gold is highest at an end, so it may not have turned. The conventions are listed below."
    )
    fitted = (
        "α / β of d(α − β log d) fitted to gold with d the root of that KL, on the same points of "
        "each path run. "
        "One policy, one gold, one set of prompts: all differences are those of the axis."
    )
    grids = [_by_convention(table, "The same run in other papers' units", where, _peak_and_last)]
    if len(laws):
        grids.append(_by_convention(laws, "The same law in other papers' units", fitted, _coefficients))
    return [*grids, _legend(table)]


def _by_convention(table: pd.DataFrame, title: str, caption: str, write: Callable[[pd.Series], str]) -> Grid:
    cells = {(row["run_id"], row["convention"]): write(row) for _, row in table.iterrows()}
    columns = [Heading("run", "text"), *(Heading(each.title) for each in CONVENTIONS.values())]
    runs = table["run_id"].drop_duplicates()
    return Grid(
        title, caption, columns, [[str(run), *(cells[run, name] for name in CONVENTIONS)] for run in runs]
    )


def _peak_and_last(row: pd.Series) -> str:
    if not row["recorded"]:
        return NOT_RECORDED
    star = "" if row["peak_turned"] else "*"
    # A break may come after the stroke, and nowhere else.
    return f"{_kl(row['peak_kl'])}{star}\N{NO-BREAK SPACE}/ {_kl(row['last_kl'])}"


def _coefficients(row: pd.Series) -> str:
    if not row["recorded"]:
        return NOT_RECORDED
    return f"{number(row['alpha'])}\N{NO-BREAK SPACE}/ {number(row['beta'])}"


def _kl(value: float) -> str:
    return number(value, 2 if abs(value) < 1 else 1)


def _legend(table: pd.DataFrame) -> Grid:
    ratios = table.groupby("convention")["ratio"]
    rows = []
    for name, each in CONVENTIONS.items():
        low, high = ratios.min()[name], ratios.max()[name]
        spread = MISSING if pd.isna(low) else f"{number(low)} to {number(high)}"
        rows.append([each.title, each.definition, spread, each.source])
    columns = [
        Heading("convention", "text"),
        Heading("definition", "text"),
        Heading("× ours"),
        Heading("who", "text"),
    ]
    caption = "π/π_ref is the ratio at the sampled token; × ours: over the runs, at gold's highest point."
    return Grid("Conventions of KL", caption, columns, rows)


PASSPORT = Table(
    "passport",
    "Each run in other papers' units of KL: one row per run and convention.",
    (
        *run_columns("run_id", "method", "control", "proxy"),
        Column("convention", TEXT, "the convention's name"),
        Column("recorded", YES, "the records hold what it needs"),
        Column("peak_kl", "its own", "its reading where gold is highest; empty without gold"),
        Column("peak_turned", YES, "there are points on both sides of that place"),
        Column("last_kl", "its own", "its reading at the last point"),
        Column("alpha", "s.d./√unit", "α of the law fitted to a path run's gold over its root", True),
        Column("beta", "s.d./√unit", "β of that law", True),
        Column("ratio", "its own/nats", "this reading over ours at the peak, without gold at the last point"),
        Column("refused", TEXT, "why there is no fit"),
    ),
    lambda study: passport(study.curves, study.counts),
    _grids,
)
