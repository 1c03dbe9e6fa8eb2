"""What is changed to resist overoptimisation; each variant names the seam it uses."""

from __future__ import annotations

from training.mitigations.reward_cap import RewardCap

AnyMitigation = RewardCap
