"""A small schema with every kind of place that the real one has, and short ways to load it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from reward_models.component import Component
from training.config.load import Resolved, load_as
from training.errors import UserError


class Scratch(Component):
    type: Literal["scratch"] = "scratch"
    width: int = 64
    heads: int = 4

    @model_validator(mode="after")
    def _heads_divide(self) -> Scratch:
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads} must divide width={self.width}")
        return self


class Rloo(Component):
    type: Literal["rloo"] = "rloo"
    beta: float = Field(0.05, ge=0)
    steps: int = Field(100, ge=1)
    model: Scratch = Scratch(width=96)


class Dpo(Component):
    type: Literal["dpo"] = "dpo"
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)


class Proxy(Component):
    pairs: int = Field(ge=2)
    cap: float | None = None


class Root(Component):
    """A small schema with every kind of place that the real one has."""

    name: str
    note: str = ""
    notes: tuple[str, ...] = ()
    seed: int = Field(0, ge=0)
    mode: Literal["auto", "online", "offline"] = "auto"
    policy: Annotated[Rloo | Dpo, Field(discriminator="type")] = Rloo(steps=300)
    mitigation: Annotated[Rloo | Dpo, Field(discriminator="type")] | None = None
    proxies: dict[str, Proxy] = {}
    kl: tuple[float, ...] = (0.5, 1.0)
    against: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _known_proxies(self) -> Root:
        unknown = [name for name in self.against if name not in self.proxies]
        if unknown:
            raise ValueError("\n".join(f"against names `{name}`, which is no proxy" for name in unknown))
        return self


def write(path: str, text: str) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text).lstrip("\n"))
    return file


def load(path: Path | str, *overrides: str) -> list[Resolved[Root]]:
    return load_as(Root, Path(path), list(overrides))


def one(path: Path | str, *overrides: str) -> Root:
    (resolved,) = load(path, *overrides)
    return resolved.config


def message(path: Path | str, *overrides: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        load(path, *overrides)
    return str(caught.value).splitlines()


BASE = """
name: base
policy: {beta: 1e-5}
proxies:
  starved: {pairs: 400}
"""
