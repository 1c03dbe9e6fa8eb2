"""Where prompts, demonstrations and ground truth come from; the union is the registry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from training.worlds.enumerable import EnumerableWorld
from training.worlds.quiz import QuizWorld
from training.worlds.text.world import TextWorld

AnyWorld = Annotated[QuizWorld | TextWorld | EnumerableWorld, Field(discriminator="type")]

__all__ = ["AnyWorld", "EnumerableWorld", "QuizWorld", "TextWorld"]
