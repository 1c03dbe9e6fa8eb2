"""Stages between the checkpoints of a path: planned where weights are kept, away from gold."""

from __future__ import annotations

from plans import PATHS, above, planned, policies, redone


def test_kept_weights_are_interpolated_and_scored_and_only_those() -> None:
    kept = planned(("runs.path.keep_weights", True))
    between = {f"between {run}" for run in PATHS} | {f"scores {run} between points" for run in PATHS}
    assert redone(("runs.path.keep_weights", True)) == policies(PATHS) | between
    for run in kept.runs:
        assert (run.between is not None) == (run.row["run_id"] in PATHS)
        made, scored = run.between or (run.train, run.score)
        assert not made.gold_side and scored.gold_side
        assert set(scored.inputs) == set(run.score.inputs), "valued by the same scorers as its points"
        assert "gold" not in {source.identity.stage for source in above(made, through_labels=False)}
