"""The quiz world: a controlled language of a few hundred whole words in which truth is exact."""

from __future__ import annotations

from training.worlds.quiz.world import QuizWorld

__all__ = ["QuizWorld"]
