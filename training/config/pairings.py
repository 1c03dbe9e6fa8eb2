"""What is sound by itself and would silently do nothing together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from training.config.proxy import Proxy
from training.methods import AnyMethod
from training.mitigations import AnyMitigation
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
