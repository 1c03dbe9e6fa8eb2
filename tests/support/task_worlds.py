"""Quiz worlds with their tasks on, and the plain one."""

from __future__ import annotations

from training.worlds.quiz.tasks import Tasks
from training.worlds.quiz.world import QuizWorld

TASKS = Tasks(
    challenge_rate=0.12,
    challenge_right=0.7,
    authored_rate=0.12,
    authored_right=0.4,
    test_rate=0.12,
    test_right=0.6,
    hat_rate=0.1,
    hat_right=0.9,
    race_rate=0.08,
    oversight_rate=0.2,
    monitored_share=0.3,
    contested_relations=1,
)
COUNTS = {"demonstrations": 6_000, "gold": 20_000, "pairs": 10_000, "policy": 10_000}
STANCES = {
    "stance_rate": 0.25,
    "third_party_rate": 0.1,
    "user_reliability": 0.7,
    "third_party_reliability": 0.4,
}


def world(tasks: Tasks = TASKS, **settings: object) -> QuizWorld:
    """A quiz with the given tasks; all of them by default."""
    return QuizWorld.model_validate({"stances": STANCES, "counts": COUNTS, **settings, "tasks": tasks})
