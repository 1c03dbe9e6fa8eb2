"""What is sound by itself and would silently do nothing together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from reward_models.annotators import AnyAnnotator
from training.config.proxy import Proxy
from training.methods import AnyMethod
from training.methods.kl_control import AnyControl
from training.mitigations import AnyMitigation
from training.point_tables import AnyPointTable
from training.worlds import AnyWorld


def idle_mitigation(
    where: str, mitigation: AnyMitigation, method: AnyMethod, world: AnyWorld
) -> Iterator[str]:
    """Why a mitigation cannot act `where` it is asked for."""
    for seam in sorted(mitigation.seams - method.seams):
        yield (
            f"mitigation = {mitigation.type} would do nothing in {where}: it acts in the {seam}, and "
            f"{method.type} {method.lacks[seam]}"
        )
    if missing := mitigation.needs - world.outcome_fields:
        yield (
            f"mitigation = {mitigation.type} in {where} reads {', '.join(sorted(missing))}, which "
            f"world `{world.type}` does not parse"
        )


def short_of_members(where: str, mitigation: AnyMitigation, proxies: Mapping[str, Proxy]) -> Iterator[str]:
    """Proxies whose replicates do not make whole ensembles."""
    for name, proxy in proxies.items():
        if proxy.copies_gold and mitigation.asks() > 1:
            yield (
                f"mitigation = {mitigation.type} would do nothing in {where} against proxies.{name}: its "
                "replicates are all one, a copy of gold"
            )
        elif proxy.seeds % mitigation.asks():
            yield (
                f"mitigation = {mitigation.type} in {where} asks {mitigation.asks()} replicates of a proxy, "
                f"and proxies.{name}.seeds = {proxy.seeds}: it must be a multiple of {mitigation.asks()}"
            )


def twins(where: str, method: AnyMethod, proxies: Mapping[str, Proxy]) -> Iterator[str]:
    """Proxies of a group that could not make different policies: they differ in what no policy would ask."""
    if "proxy" in method.seams:
        return
    for (one, a), (other, b) in combinations(proxies.items(), 2):
        if a.labels == b.labels:
            yield (
                f"{where} would train the same policies against proxies.{one} and proxies.{other}: their "
                f"labels are the same, and {method.type} {method.lacks['proxy']}"
            )


def idle_weights(keep: bool, control: AnyControl, method: AnyMethod) -> Iterator[str]:
    """Why keeping a run's weights serves nothing."""
    if keep and not method.takes_steps:
        yield f"means nothing to {method.type}, which has no weights but those of π_ref"
    elif keep and control.type != "path":
        yield f"serves the comparison at equal KL, which reads paths: control.type is {control.type}"


def unreadable(where: str, annotator: AnyAnnotator, world: AnyWorld) -> Iterator[str]:
    """What an annotator would judge by and cannot see."""
    if annotator.judges == "oracle" and not world.has_oracle:
        yield f"{where}.judges = oracle, and world `{world.type}` has none: gold is all there is to judge by"
    missing = (annotator.needs - world.outcome_fields) | (annotator.needs_items - world.item_fields)
    if missing:
        yield (
            f"{where} judges by {', '.join(sorted(missing))}, which world `{world.type}` as configured does "
            "not record"
        )


def unstated_tables(tables: Sequence[AnyPointTable]) -> list[str]:
    """Further tables of a point that could not be told apart or read again."""
    from analysis.records.contracts import tables_beside  # here: it loads pandas

    names, stated = [table.type for table in tables], tables_beside()
    twice = dict.fromkeys(name for name in names if names.count(name) > 1)
    return [f"measure.tables names `{name}` twice" for name in twice] + [
        f"measure.tables: what `{name}` holds is stated nowhere; beside its class, add "
        f'`CONTRACTS["{name}"] = Contract(..., beside=True)` (analysis.records.contracts)'
        for name in names
        if name not in stated
    ]
