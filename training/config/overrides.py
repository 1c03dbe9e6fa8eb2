"""Overrides as given on the command line: Hydra's grammar, and the sweeps it can describe."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from training.config.layers import Layer
from training.config.messages import Problem, all_at_once
from training.config.yaml_files import KeyPath, Place
from training.errors import UserError

MAX_SWEEP = 1000
"""Configs; a mistyped range should not fill the disk with runs."""

_FORM = "an override is written KEY=VALUE, such as seed=1"


@dataclass(frozen=True)
class Argument:
    """One override as Hydra parsed it, each value of a sweep apart."""

    key: str
    values: tuple[Override, ...]

    @property
    def text(self) -> str:
        return str(self.values[0].input_line)


def parse(overrides: Iterable[str]) -> list[Argument]:
    """The arguments in an order that does not depend on the one they were given in.

    Raises:
        UserError: if any is malformed or a key is given twice; names all of them.
    """
    parser = OverridesParser.create()
    arguments: dict[str, Argument] = {}
    problems = []
    for text in overrides:
        place = Place(True, text)
        try:
            parsed = parser.parse_override(text)
            key = parsed.key_or_group
            if not key:
                raise ValueError(_FORM)
            if key in arguments:
                problems.append(Problem(place, f"`{key}` is given twice (also as {arguments[key].text})"))
            arguments[key] = Argument(key, tuple(_values(parsed, parser)))
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            problems.append(Problem(place, _override_message(text, error)))
    if problems:
        raise all_at_once(problems)
    # A part is set before what is inside it: `policy={type: rloo}` before `policy.beta=0.1`.
    return sorted(arguments.values(), key=lambda argument: (argument.key.count("."), argument.key))


def _values(parsed: Override, parser: OverridesParser) -> list[Override]:
    if not parsed.is_sweep_override():
        return [parsed]
    if not parsed.is_discrete_sweep() or isinstance(parsed.value(), Glob):
        raise ValueError("only lists and ranges can be swept, such as seed=0,1,2 or seed=range(0,3)")
    values = list(itertools.islice(parsed.sweep_string_iterator(), MAX_SWEEP + 1))
    if not values:
        raise ValueError("sweeps over no value at all")
    return [parser.parse_override(f"{parsed.get_key_element()}={value}") for value in values]


def _override_message(text: str, error: Exception) -> str:
    if "=" not in text and not text.startswith("~"):
        return _FORM
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"cannot be read as KEY=VALUE: {lines[-1]}" if isinstance(error, HydraException) else lines[0]


@dataclass(frozen=True)
class Choice:
    """The overrides of one config of a sweep."""

    overrides: tuple[Override, ...]
    varied: Mapping[str, str]

    def without(self, key: str) -> Choice:
        """The same, but for one override."""
        return Choice(tuple(o for o in self.overrides if o.key_or_group != key), self.varied)

    def said(self, keys: Collection[str]) -> dict[str, str]:
        """The values of these overrides as text, by key."""
        return _said(self.overrides, keys)


def combinations(arguments: Sequence[Argument]) -> list[Choice]:
    """Every combination of the swept values (one, if nothing is swept). Raises UserError if too many."""
    chosen = list(itertools.islice(itertools.product(*(a.values for a in arguments)), MAX_SWEEP + 1))
    if len(chosen) > MAX_SWEEP:
        raise UserError(f"command line: the sweep has more than {MAX_SWEEP} configs")
    swept = {argument.key for argument in arguments if len(argument.values) > 1}
    return [Choice(overrides, _said(overrides, swept)) for overrides in chosen]


def _said(overrides: Iterable[Override], keys: Collection[str]) -> dict[str, str]:
    return {o.key_or_group: _as_written(o) for o in overrides if o.key_or_group in keys}


def _as_written(override: Override) -> str:
    """The value as YAML has it; the same for every way of writing it."""
    if override.is_delete():
        return "default"
    text = override.get_value_element_as_str()
    return text.lower() if isinstance(override.value(), bool) else text


def as_layer(overrides: Iterable[Override]) -> Layer:
    """Overrides that set or delete values as one layer, so that what is given together stays together."""
    values: dict[str, Any] = {}
    places: dict[KeyPath, Place] = {}
    deleted: dict[KeyPath, Place] = {}

    def note(value: Any, here: KeyPath, place: Place) -> None:
        places[here] = place
        if isinstance(value, list):
            value = dict(enumerate(value))
        for name, part in value.items() if isinstance(value, dict) else ():
            note(part, (*here, str(name)), place)

    for override in overrides:
        path, place = tuple(override.key_or_group.split(".")), Place(True, override.input_line or "")
        if override.is_delete():
            deleted[path] = place
            continue
        value = override.value()
        for length in range(1, len(path)):
            places.setdefault(path[:length], place)
        note(value, path, place)
        for key in reversed(path):
            value = {key: value}
        values = _joined(values, value)
    return Layer(values, places, deleted)


def _joined(first: Any, second: Any) -> Any:
    if not isinstance(first, dict) or not isinstance(second, dict) or not second:
        return second
    return first | {key: _joined(first.get(key), value) for key, value in second.items()}
