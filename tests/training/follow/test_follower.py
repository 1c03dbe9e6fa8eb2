"""In which section of W&B a column of the tables is shown."""

from __future__ import annotations

import pytest

from analysis.probes import PROBES
from analysis.probes.points import POINTS, RUN_COLUMNS
from training.follow.follower import in_sections


@pytest.mark.parametrize(
    ("column", "shown"),
    [
        ("proxy_score", "score/proxy"),
        ("proxy_score_lo", "score/proxy_lo"),
        ("gold", "score/gold"),
        ("win_rate_hi", "score/win_rate_hi"),
        ("kl", "kl/kl"),
        ("kl_se", "kl/kl_se"),
        ("sqrt_kl", "kl/sqrt_kl"),
        ("k2_prompt", "kl/k2_prompt"),
        ("known_clusters", "behaviour/known_clusters"),
        ("length", "behaviour/length"),
    ],
)
def test_a_column_has_its_section(column: str, shown: str) -> None:
    assert in_sections({column: 1.0}) == {shown: 1.0}


def test_what_a_probe_counts_is_behaviour_whatever_its_name() -> None:
    measures = [measure for probe in PROBES.values() for measure in probe.measures]
    assert {name.partition("/")[0] for name in in_sections(dict.fromkeys(measures, 0.0))} == {"behaviour"}


def test_settings_are_left_to_the_config_and_no_column_is_lost() -> None:
    columns = [column.name for column in POINTS.columns]
    shown = in_sections(dict.fromkeys(columns, 1.0))
    assert len(shown) == len(set(columns) - {"step", *RUN_COLUMNS})
    assert not any(name.endswith(("/seed", "/budget", "/proxy_pairs")) for name in shown)
