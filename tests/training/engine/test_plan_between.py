"""Stages between the checkpoints of a path: planned where weights are kept, away from gold."""

from __future__ import annotations

from plans import PATHS, above, planned, policies, redone


def test_kept_weights_are_interpolated_and_scored_and_only_those() -> None:
    kept = planned(("runs.path.keep_weights", True))
    between = {f"between {run}" for run in PATHS} | policies(PATHS, " between points")
    assert redone(("runs.path.keep_weights", True)) == policies(PATHS) | between
    for run in kept.runs:
        assert (run.between is not None) == (run.row["run_id"] in PATHS)
        between_points = run.between or run.points
        assert not between_points.samples.gold_side
        own, others = (
            [(each.kind, each.settings, each.gold_side, set(each.inputs)) for each in scored.scores]
            for scored in (run.points, between_points)
        )
        assert own == others, "valued by the same scorers as its points"
        made = above(between_points.samples, through_labels=False)
        assert not {"gold", "values"} & {source.kind for source in made}
