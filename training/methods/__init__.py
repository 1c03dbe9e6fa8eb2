"""How a policy is optimised against a proxy; the union is the registry."""

from __future__ import annotations

from training.methods.rloo import Rloo

AnyMethod = Rloo
