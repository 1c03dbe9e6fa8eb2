"""Further tables of a policy's points, which probes read. One import and one line each."""

from __future__ import annotations

from typing import Annotated

from reward_models.registry import Registry
from training.point_tables.approvals import Approvals
from training.point_tables.base import PointTable

POINT_TABLES: Registry[PointTable] = Registry("table of a point")
POINT_TABLES.register(Approvals)

AnyPointTable = Annotated[PointTable, POINT_TABLES]
"""Any registered table."""
