"""The probes: one file each, one line here."""

from __future__ import annotations

from analysis.probes.abstention import ABSTENTION
from analysis.probes.base import SHARE, Evidence, Headline, Probe, Rate, capability_gate
from analysis.probes.forgetting import FORGETTING
from analysis.probes.sycophancy import SYCOPHANCY

PROBES: dict[str, Probe] = {probe.name: probe for probe in (SYCOPHANCY, FORGETTING, ABSTENTION)}

__all__ = ["PROBES", "SHARE", "Evidence", "Headline", "Probe", "Rate", "capability_gate"]
