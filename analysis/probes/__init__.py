"""The probes: one file each, one line here."""

from __future__ import annotations

from analysis.entries import Entries
from analysis.probes.abstention import ABSTENTION
from analysis.probes.approval import APPROVAL
from analysis.probes.are_you_sure import ARE_YOU_SURE
from analysis.probes.authored import AUTHORED
from analysis.probes.base import SHARE, Evidence, Headline, Probe, Rate, capability_gate, declined
from analysis.probes.confidence import CONFIDENCE
from analysis.probes.disagreement import DISAGREEMENT
from analysis.probes.fabrication import FABRICATION
from analysis.probes.forgetting import FORGETTING
from analysis.probes.guessing import GUESSING
from analysis.probes.looping import LOOPING
from analysis.probes.misgeneralisation import MISGENERALISATION
from analysis.probes.oversight import OVERSIGHT
from analysis.probes.praise import PRAISE
from analysis.probes.pressure import PRESSURE
from analysis.probes.repetition import REPETITION
from analysis.probes.style import STYLE
from analysis.probes.sycophancy import SYCOPHANCY
from analysis.probes.tampering import TAMPERING


class _Probes(Entries[Probe]):
    def check(self, name: str, probe: Probe) -> None:
        """Measures are columns of one table, so no two probes report the same."""
        super().check(name, probe)
        for other in self.values():
            for measure in probe.measures.keys() & other.measures.keys():
                raise ValueError(f"probe `{name}` reports `{measure}`, as probe `{other.name}` does")


PROBES: Entries[Probe] = _Probes(
    "probe",
    {
        probe.name: probe
        for probe in (
            SYCOPHANCY,
            PRESSURE,
            ARE_YOU_SURE,
            AUTHORED,
            GUESSING,
            ABSTENTION,
            CONFIDENCE,
            APPROVAL,
            FABRICATION,
            REPETITION,
            LOOPING,
            MISGENERALISATION,
            TAMPERING,
            OVERSIGHT,
            DISAGREEMENT,
            PRAISE,
            STYLE,
            FORGETTING,
        )
    },
)

__all__ = ["PROBES", "SHARE", "Evidence", "Headline", "Probe", "Rate", "capability_gate", "declined"]
