"""What to call a series of doses."""

from __future__ import annotations

NAMES = {
    "user_reliability": "user reliability (natural route)",
    "monitored_share": "share of prompts monitored",
    "verification": "share of pairs checked",
}
"""Of a series whose own name does not say it."""


def series_name(series: str) -> str:
    return NAMES.get(series, series.replace("_", " "))
