"""Sources of parts as a user would write them, in files outside the checkout."""

from __future__ import annotations

import re

from places import CHECKOUT

DOCUMENTED = {
    name: code
    for code, name in re.findall(
        r"(?ms)^```python\n(# (my_\w+\.py)\n.*?)^```$",
        (CHECKOUT / "docs" / "extend.md").read_text(encoding="utf-8"),
    )
}
"""The files of docs/extend.md, by name."""

ANNOTATOR = '''
"""A complete plugin: an annotator that prefers the shorter completion."""

from typing import Literal

import numpy as np

from reward_models.annotators import ANNOTATORS
from reward_models.annotators.base import Annotator, Judged


@ANNOTATORS.register
class Impatient(Annotator):
    """Prefers the shorter completion."""

    type: Literal["impatient"] = "impatient"
    haste: float = 1.0

    @property
    def needs(self) -> frozenset[str]:
        return frozenset()

    def prefer(self, a: Judged, b: Judged) -> np.ndarray:
        return self._flip(self._compare(self.haste * (b.length - a.length)))
'''

METHOD = '''
from typing import Literal

from training.methods import METHODS
from training.methods.base import Method


@METHODS.register
class Patience(Method):
    """Waits."""

    type: Literal["patience"] = "patience"
    steps: int = 5

    def train(self, job):
        (job.out / "waited").write_text(str(self.steps))
'''

MITIGATION = '''
from typing import Literal

from training.mitigations import MITIGATIONS
from training.mitigations.base import Mitigation, Shaped


@MITIGATIONS.register
class Halved(Mitigation):
    """Half the reward."""

    type: Literal["halved"] = "halved"

    def transform(self, reward, answers, fitted):
        return Shaped(reward / 2, {})
'''
