"""Pydantic's complaints as lines a person can act on: where, which key, what was got, what would be right."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from training.config.yaml_files import KeyPath, Place
from training.errors import UserError, did_you_mean, nearest

_WORDING = [
    (re.compile(r"^\w+ should "), "must "),
    (re.compile(r"\ba valid integer\b.*"), "an integer"),
    (re.compile(r"\ba valid number\b.*"), "a number"),
    (re.compile(r"\ba valid string\b"), "a string"),
    (re.compile(r"\ba valid boolean\b.*"), "true or false"),
    (re.compile(r"\ba valid (array|tuple|list|set|frozenset)\b"), "a list"),
    (re.compile(r"\ban object\b|\ba valid dictionary.*"), "a mapping"),
]


@dataclass(frozen=True, order=True)
class Problem:
    """One thing to put right, and where; orders as its place does."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


def all_at_once(problems: Iterable[Problem]) -> UserError:
    """The error that reports every problem once, by file and line."""
    return UserError("\n".join(str(problem) for problem in sorted(set(problems))))


def first_line(error: Exception) -> str:
    """What an error of a library says in its first line."""
    text = str(error).strip() or str(error.__cause__ or type(error).__name__)
    return text.partition("\n")[0]


@dataclass(frozen=True)
class Places:
    """Where each setting of one composed config was written."""

    of: Mapping[KeyPath, Place]
    main: Place
    """The config file as a whole, for what is written nowhere."""

    def nearest(self, path: KeyPath) -> Place:
        """The place of `path`, or of the closest thing around it that was written."""
        around = (path[:length] for length in range(len(path), 0, -1))
        return next((self.of[part] for part in around if part in self.of), self.main)

    def problem(self, path: KeyPath, text: str) -> Problem:
        """`text` about the setting at `path`; the key is not repeated where the argument already shows it."""
        place, key = self.nearest(path), ".".join(path)
        evident = not key or (place.on_command_line and place.source.lstrip("+~").partition("=")[0] == key)
        return Problem(place, text if evident else f"{key}: {text}")


class Schema:
    """A position in a pydantic root model's JSON schema: what may stand there, and what below it."""

    def __init__(self, document: dict[str, Any], node: dict[str, Any] | None = None, tag: str = "") -> None:
        self.document = document
        self.node = self._follow(document if node is None else node)
        self.tag = tag
        """The `type` by which this variant was chosen from its union."""

    def _follow(self, node: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in node:
            target = self.document["$defs"][node["$ref"].rpartition("/")[2]]
            node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
        return node

    def _at(self, node: Any, tag: str = "") -> Schema:
        return Schema(self.document, node if isinstance(node, dict) else {}, tag)

    @property
    def alternatives(self) -> list[Schema]:
        """The members of a plain union (`X | None` has one beside null); itself if it is none."""
        members = [self._at(node) for node in self.node.get("anyOf", ())]
        return [a for m in members if m.node.get("type") != "null" for a in m.alternatives] or [self]

    @property
    def variants(self) -> dict[str, Schema]:
        """The members of a discriminated union by their `type`; empty if it is none."""
        return {
            tag: self._at({"$ref": reference}, tag)
            for alternative in self.alternatives
            for tag, reference in alternative.node.get("discriminator", {}).get("mapping", {}).items()
        }

    @property
    def fields(self) -> dict[str, Schema]:
        """A model's fields by name."""
        return {
            name: self._at(node)
            for a in self.alternatives
            for name, node in a.node.get("properties", {}).items()
        }

    def below(self, key: str) -> Schema | None:
        """What may stand under `key`, or None if there is no such place."""
        if key in self.fields:
            return self.fields[key]
        for node in (alternative.node for alternative in self.alternatives):
            if key.isdigit() and "items" in node:
                return self._at(node["items"])
            values = [*node.get("patternProperties", {}).values(), node.get("additionalProperties", False)]
            if values[0] is not False:
                return self._at(values[0])
        return None

    def default_for(self, given: Mapping[str, Any], inherited: Any) -> dict[str, Any]:
        """The default of which `given` overrides a part; {} if it chooses another variant."""
        default = inherited if isinstance(inherited, dict) else self.node.get("default")
        if not isinstance(default, dict) or not (self.variants or self.fields):
            return {}
        return default if given.get("type", default.get("type")) == default.get("type") else {}

    def locate(self, loc: Sequence[str | int], ends_in_key: bool) -> tuple[KeyPath, Schema]:
        """The key path and schema of pydantic's `loc`, which also names variants and validators."""
        path: KeyPath = ()
        here = self
        for depth, element in enumerate(map(str, loc), start=1):
            if element in here.variants:
                here = here.variants[element]
                continue
            below = here.below(element)
            if ends_in_key and depth == len(loc):
                path = (*path, element)
                here = here if below is None else below
            elif below is not None:
                path, here = (*path, element), below
        return path, here

    def paths_to(self, key: str, above: KeyPath = ()) -> Iterator[KeyPath]:
        """All key paths, through models and variants but not through free-form keys, that end in `key`."""
        if len(above) > 6:
            return  # a recursive model
        for part in self.variants.values() if self.variants else [self]:
            for name, field in part.fields.items():
                if name == key:
                    yield (*above, name)
                yield from field.paths_to(key, (*above, name))

    def accepted(self) -> str:
        """The range or choices of a value, in words; empty if any value of the type will do."""
        node = self.alternatives[0].node
        choices = list(self.variants) or node.get("enum", [])
        signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
        bounds = [f"{sign} {node[name]}" for name, sign in signs.items() if name in node]
        return f"choices: {', '.join(map(str, choices))}" if choices else ", ".join(bounds)


def with_defaults(given: Any, schema: Schema, inherited: Any = None) -> Any:
    """`given` laid over the schema's defaults, so that naming one setting of a part keeps the others.

    Without it `gold: {model: {layers: 4}}` would silently reset the width that gold's default gives, and a
    variant that is only adjusted would have to repeat its `type`. `inherited` is the part of an enclosing
    default that stands here.
    """
    if isinstance(given, list):
        items = schema.below("0")
        return given if items is None else [with_defaults(item, items) for item in given]
    if not isinstance(given, dict):
        return given
    default = schema.default_for(given, inherited)
    full = default | given
    inner = schema.variants.get(str(full.get("type")), schema)
    below = {key: inner.below(str(key)) for key in full}
    return {
        key: value if (part := below[key]) is None else with_defaults(value, part, default.get(key))
        for key, value in full.items()
    }


def explain(error: ValidationError, schema: Schema, places: Places) -> list[Problem]:
    """One problem for each place that pydantic complains about."""
    messages: dict[KeyPath, list[str]] = {}
    problems: list[Problem] = []
    for detail in error.errors(include_url=False):
        kind = detail["type"]
        path, here = schema.locate(detail["loc"], ends_in_key=kind in ("extra_forbidden", "missing"))
        if kind in ("value_error", "assertion_error"):
            sentences = str(detail["ctx"]["error"]).splitlines()
            problems += [_cross_field(path, sentence, places) for sentence in sentences]
        elif kind == "extra_forbidden":
            problems.append(places.problem(path, _unknown_key(path[-1], detail["loc"], schema)))
        elif kind.startswith("union_tag"):
            tag = detail["ctx"].get("tag")
            unknown = f"unknown type `{tag}`{did_you_mean(str(tag), list(here.variants))}"
            text = "must be set" if tag is None else unknown
            problems.append(places.problem((*path, "type"), f"{text} ({here.accepted()})"))
        else:
            messages.setdefault(path, []).append(_wrong_value(detail, here))
    # A value that fits no member of a plain union has one message for each.
    return problems + [places.problem(path, " or ".join(texts)) for path, texts in messages.items()]


def _cross_field(path: KeyPath, text: str, places: Places) -> Problem:
    """A validator's own sentence; where it starts with a key, that key's line is its place."""
    named = (*path, *text.partition(" ")[0].split("."))
    problem = places.problem(path, text)
    return Problem(places.of[named], problem.text) if named in places.of else problem


def _unknown_key(key: str, loc: Sequence[str | int], schema: Schema) -> str:
    parent_path, parent = schema.locate(loc[:-1], ends_in_key=False)
    union = schema.locate(loc[:-2], ends_in_key=False)[1] if parent.tag else parent
    owners = [tag for tag, variant in union.variants.items() if key in variant.fields]
    if owners:
        named = " or ".join(f"`type: {owner}`" for owner in owners[:3])
        return f"unknown key; it belongs to {named}, and this is `type: {parent.tag}`"
    near = nearest(key, list(parent.fields))
    elsewhere = [".".join(path) for path in dict.fromkeys(schema.paths_to(key)) if path[:-1] != parent_path]
    meant = [f"`{name}`" for name in ([near] if near else []) + elsewhere[:2]]
    if meant:
        return f"unknown key; did you mean {' or '.join(meant)}?"
    return f"unknown key; valid here: {', '.join(parent.fields) or 'none'}"


def _wrong_value(detail: Any, here: Schema) -> str:
    text, got = detail["msg"], detail["input"]
    for pattern, words in _WORDING:
        text = pattern.sub(words, text)
    if detail["type"] == "missing":
        accepted = here.accepted()
        return "must be set" + (f" ({accepted})" if accepted else "")
    if detail["type"] == "literal_error" and isinstance(got, str):
        text += did_you_mean(got, [str(choice) for choice in here.alternatives[0].node.get("enum", [])])
    remarks = [f"got {_short(got)}"]
    number_expected = detail["type"] in ("int_type", "float_type")
    if number_expected and isinstance(got, str) and re.fullmatch(r"[-+\d.eE_]+", got):
        remarks.append("write it without quotes")
    if (accepted := here.accepted()).count(",") and not accepted.startswith("choices"):
        remarks.insert(0, f"accepted: {accepted}")
    return f"{text} ({'; '.join(remarks)})"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
