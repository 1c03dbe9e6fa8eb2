"""Where things are, for tests that read them."""

from __future__ import annotations

from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
CONFIGS = CHECKOUT / "configs"
SMOKE = CONFIGS / "smoke.yaml"
# Data too large for the repository; tests that need it are skipped where it is not.
SHARED = CHECKOUT.parent / "shared"
