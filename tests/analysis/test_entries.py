"""A name stands for one part, whoever adds it and how."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.entries import Entries
from analysis.figures import FIGURES
from analysis.laws.forms import LAWS
from analysis.probes import PROBES
from analysis.records.contracts import CONTRACTS
from analysis.tables.tables import TABLES


@pytest.mark.parametrize("entries", [FIGURES, PROBES, LAWS, TABLES, CONTRACTS], ids=lambda e: e.kind)
def test_what_is_there_is_not_replaced(entries: Entries[object]) -> None:
    name, part = next(iter(entries.items()))
    for add in (entries.__setitem__, lambda name, part: entries.update({name: part})):
        with pytest.raises(ValueError, match=f"{entries.kind} `{name}` is already registered; give this one"):
            add(name, part)
    assert entries[name] is part


def test_a_part_has_its_own_name() -> None:
    with pytest.raises(ValueError, match="probe `praise` is registered as `flattery`"):
        PROBES["flattery"] = PROBES["praise"]
    assert "flattery" not in PROBES


def test_two_probes_report_no_measure_of_one_name() -> None:
    with pytest.raises(ValueError, match="probe `flattery` reports `praise_\\w+`, as probe `praise` does"):
        PROBES["flattery"] = replace(PROBES["praise"], name="flattery")
