"""What a config allows and its author may not have meant: said before anything runs."""

from __future__ import annotations

from collections.abc import Iterator

from training.config.schema import Experiment


def remarks(config: Experiment) -> Iterator[str]:
    """A sentence each, for the person at the terminal."""
    sides = {
        name: (
            (run.policy or config.policy).type,
            set(run.proxies or config.proxies),
            run.mitigation or config.mitigation,
        )
        for name, run in config.runs.items()
        if run.control.type == "path"
    }
    plain = [(method, proxies) for method, proxies, mitigation in sides.values() if mitigation is None]
    for name, (method, proxies, mitigation) in sides.items():
        if mitigation and not any(method == other and proxies & theirs for other, theirs in plain):
            cure = "set it in the runs that are to have it" if config.mitigation else "add such a group"
            yield (
                f"runs.{name} has mitigation = {mitigation.type}, and no group of path runs uses {method} on "
                f"its proxies without one: what it buys and costs cannot be compared ({cure})"
            )
