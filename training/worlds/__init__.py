"""Where prompts, demonstrations and ground truth come from. One import and one line each."""

from __future__ import annotations

from typing import Annotated

from reward_models.registry import Registry
from training.worlds.base import World
from training.worlds.enumerable import EnumerableWorld
from training.worlds.quiz.world import QuizWorld
from training.worlds.text.world import TextWorld

WORLDS: Registry[World] = Registry("world")
WORLDS.register(QuizWorld)
WORLDS.register(TextWorld)
WORLDS.register(EnumerableWorld)

AnyWorld = Annotated[World, WORLDS]
