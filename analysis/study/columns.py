"""Columns that many tables share."""

from __future__ import annotations

from analysis.study.table import COUNT, NATS, ROOT_NATS, STEP, TEXT, Column

RUN = (
    Column("run_id", TEXT, "the run: the name of its folder", title="run"),
    Column("group", TEXT, "the entry of the config's `runs` that it belongs to"),
    Column("method", TEXT, "how the policy was optimised, with the group where a mitigation sets it apart"),
    Column("mitigation", TEXT, "what was changed to resist overoptimisation"),
    Column("control", TEXT, "how its KL was controlled: path, penalty or target"),
    Column("budget", NATS, "the KL that it may spend", digits=1),
    Column("seed", COUNT, "seed of the policy"),
    Column("proxy", TEXT, "the proxy that it was optimised against"),
    Column("proxy_pairs", COUNT, "labelled pairs that the proxy was trained on"),
    Column("proxy_seed", COUNT, "replicate of the proxy"),
)
"""What names a run."""

STEP_OF = Column("step", STEP, "optimisation step of the point")
KL = Column("kl", NATS, "KL from the reference policy, per sequence", title="KL")
SQRT_KL = Column("sqrt_kl", ROOT_NATS, "√KL")


def run_columns(*names: str) -> tuple[Column, ...]:
    """Some of `RUN`, in the order of `names`."""
    by_name = {each.name: each for each in RUN}
    return tuple(by_name[name] for name in names)


PATH = (
    *run_columns("method", "group", "proxy", "proxy_pairs"),
    Column("runs", COUNT, "path runs behind the row"),
    Column("proxy_seeds", COUNT, "proxy replicates among them"),
)
"""What names a path: all completed path runs of a way, group and proxy."""
