"""Direct preference optimisation and its relatives through trl.DPOTrainer, on token ids as they were sampled.

Rafailov et al. 2023 (arXiv 2305.18290). With pairs from π_ref and Bradley–Terry labels of a reward r, the
minimum of the sigmoid loss over all policies is π_ref·exp(r/β)/Z, the policy that RLOO climbs to at the same
β.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from training.methods.offline import Preferences

NEED_SMOOTHING = frozenset({"robust", "exo_pair"})
READ_SMOOTHING = NEED_SMOOTHING | {"aot", "aot_unpaired"}


class Dpo(Preferences):
    """Direct preference optimisation: a classifier of pairs whose logit is the policy's log-ratio."""

    type: Literal["dpo"] = "dpo"
    implementation: ClassVar[str] = "training.methods.trainers.offline:train_dpo"
    trl_config: ClassVar[str] = "DPOConfig"
    trl_fields: ClassVar[frozenset[str]] = frozenset({"loss_type", "loss_weights", "label_smoothing"})
    loss: Literal[
        "sigmoid", "ipo", "hinge", "robust", "exo_pair", "nca_pair", "sppo_hard", "aot", "aot_unpaired",
        "apo_zero", "apo_down", "discopop", "sigmoid_norm",
    ] = "sigmoid"  # fmt: skip
    """TRL's `loss_type`. TRL divides the log-ratios of `ipo` and `sigmoid_norm` by the completions'
    lengths."""
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    """Assumed share of flipped labels, for the losses that allow for them."""

    def problems(self) -> list[str]:
        found = super().problems()
        if self.loss in NEED_SMOOTHING and self.label_smoothing == 0:
            found.append(f"loss = {self.loss} needs label_smoothing above 0")
        if self.loss not in READ_SMOOTHING and self.label_smoothing > 0:
            found.append(f"label_smoothing means nothing to loss = {self.loss}")
        return found
