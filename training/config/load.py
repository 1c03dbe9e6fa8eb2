"""From config files and command-line overrides to validated configs, with every mistake explained at once.

Hydra gives `defaults:` lists and the grammar of overrides, `layers` lays them over one another, pydantic has
the schema. The names in a `defaults:` list are looked up beside the file and one folder up; without `_self_`
in it, the file's own settings win.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from training.config.layers import Layer, Layers
from training.config.messages import Places, Problem, Schema, all_at_once, explain, first_line, with_defaults
from training.config.named_plugins import with_plugins
from training.config.names import derived
from training.config.overrides import Choice, as_layer, combinations, parse
from training.config.yaml_files import (
    KeyPath,
    Place,
    check_composition,
    existing,
    find,
    missing,
    read,
    shown,
    yaml_message,
)
from training.errors import UserError

if TYPE_CHECKING:
    from training.config.schema import Experiment

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Resolved(Generic[Model]):
    """One config of a sweep (or the only one), with the overrides that set it apart."""

    config: Model
    varied: Mapping[str, str]
    """Swept key → value as text, by key; empty if nothing was swept."""


def load(path: Path, overrides: Sequence[str] = ()) -> list[Resolved[Experiment]]:
    """The experiments that a config file and overrides such as `policy.beta=0.1,0.2` describe.

    An override that makes it another experiment is part of its name, unless the command line names it.

    Raises:
        UserError: all that is wrong, one line each: place, key, what was got and what would be right.
    """
    from training.config.schema import Experiment

    return load_as(Experiment, path, overrides, Experiment.identity)


def load_as(
    schema: type[Model],
    path: Path,
    overrides: Sequence[str] = (),
    identity: Callable[[Model], Any] = lambda _: None,
) -> list[Resolved[Model]]:
    """`load` for any pydantic root model, whose `identity` is what its name has to tell apart.

    A swept config's `name` ends in the values that set it apart.
    """
    try:
        reader = _Reader(schema, identity, _Composer(existing(path)))
        choices = combinations(parse(overrides))
        described = [(choice, reader.layers(choice)) for choice in choices]  # registers the plugins' parts
        telling = reader.telling(*described[0])
        loaded = [reader.read(choice, layers, telling) for choice, layers in described]
    except RecursionError:
        raise UserError(f"{path}: is nested too deeply") from None
    problems = [problem for item in loaded if isinstance(item, list) for problem in item]
    if problems:
        raise all_at_once(problems)
    configs = [item for item in loaded if isinstance(item, Resolved)]
    _refuse_equal_names(configs)
    return configs


def resolved_yaml(config: BaseModel) -> str:
    """The config with every default spelled out, as YAML that loads to an equal config."""
    tree = OmegaConf.create(_escaped(config.model_dump(mode="json")))
    return OmegaConf.to_yaml(tree, resolve=False, sort_keys=False)


class _Composer:
    """Finds the layers of one config file with Hydra, once for each choice of config groups."""

    def __init__(self, file: Path) -> None:
        self.file = file.absolute()
        self.folders = (self.file.parent, self.file.parent.parent)
        self.main = Place(False, shown(file))
        self._files: dict[tuple[str, ...], list[Layer]] = {}
        check_composition(self.file, self.file.stem, self.folders)

    def layers(self, overrides: Sequence[Override]) -> list[Layer]:
        """The files that take part under these overrides, in order, and what the command line sets."""
        groups = [o for o in overrides if self._chooses_file(o)]
        chosen = tuple(o.input_line or "" for o in groups)
        if chosen not in self._files:
            self._check_groups(groups)
            self._files[chosen] = self._read_files(chosen)
        return [*self._files[chosen], as_layer(o for o in overrides if o not in groups)]

    def _chooses_file(self, override: Override) -> bool:
        """Whether it picks a file from a folder of configs (`world=text`) rather than setting a value.

        Hydra asks only whether such a folder exists; beside a saved `config.yaml` lie folders of records.
        """
        exists = any(any((folder / override.key_or_group).glob("*.yaml")) for folder in self.folders)
        return exists and (override.is_delete() or isinstance(override.value(), str | list | None))

    def _check_groups(self, overrides: Sequence[Override]) -> None:
        for override in overrides:
            value = None if override.is_delete() else override.value()
            for option in value if isinstance(value, list) else [value] if value is not None else []:
                name = f"{override.key_or_group}/{option}"
                file = find(name, self.folders)
                if file is None:
                    raise UserError(f"command line: {override.input_line}: {missing(name, self.folders)}")
                check_composition(file, name, self.folders)

    def _read_files(self, groups: tuple[str, ...]) -> list[Layer]:
        quoted = str(self.folders[1]).replace("\\", "\\\\").replace("'", "\\'")
        arguments = [f"hydra.searchpath=['file://{quoted}']", *groups]
        try:
            with warnings.catch_warnings(), initialize_config_dir(str(self.folders[0]), version_base="1.3"):
                warnings.simplefilter("ignore")  # about lists without `_self_`
                loader = GlobalHydra.instance().config_loader()
                found = loader.compute_defaults_list(self.file.stem, arguments, RunMode.RUN).defaults
            named = [(find(part.config_path or "", self.folders), part.package or "") for part in found]
            # Hydra's own settings are in none of our folders.
            return [_layer(file, tuple(filter(None, package.split(".")))) for file, package in named if file]
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise UserError(f"{self.main}: {first_line(error)}") from error
        except yaml.YAMLError as error:
            raise UserError(yaml_message(error, str(self.main))) from error


def _layer(file: Path, package: KeyPath) -> Layer:
    """The settings of a file as they stand in the composed config, at `package`."""
    values: Any = OmegaConf.to_container(OmegaConf.load(file))
    values.pop("defaults", None)
    for key in reversed(package):
        values = {key: values}
    return Layer(values, read(file).places(package))


class _Reader(Generic[Model]):
    """Reads configs of one schema from one file."""

    def __init__(self, schema: type[Model], identity: Callable[[Model], Any], composer: _Composer) -> None:
        self.schema, self.identity, self.composer = schema, identity, composer

    @cached_property
    def rules(self) -> Schema:
        """The schema with what the plugins have registered."""
        return Schema(self.schema.model_json_schema())

    def layers(self, choice: Choice) -> Sequence[Layer]:
        """What a choice is composed of; the plugins it names are loaded."""
        layers = self.composer.layers(choice.overrides)
        return with_plugins(layers, self.composer.main) if "plugins" in self.schema.model_fields else layers

    def telling(self, choice: Choice, layers: Sequence[Layer]) -> set[str]:
        """The overrides without which the command line would describe another experiment, or none.

        In a sweep they are those of its first config: one rule for all names.
        """
        whole = self.read(choice, layers)
        keys = {override.key_or_group for override in choice.overrides} - set(choice.varied)
        if isinstance(whole, list) or "name" in keys:
            return set()
        mine = self.identity(whole.config)
        return {key for key in keys if self._identity(choice.without(key)) != mine}

    def _identity(self, choice: Choice) -> Any:
        """None where this is no experiment at all."""
        try:
            read = self.read(choice, self.layers(choice))
        except UserError:
            return None
        return None if isinstance(read, list) else self.identity(read.config)

    def read(
        self, choice: Choice, layers: Sequence[Layer], telling: Collection[str] = ()
    ) -> Resolved[Model] | list[Problem]:
        """The config of one choice, named by what varies and by `telling`; or all that is wrong with it."""
        composed = Layers(self.rules)
        for layer in layers:
            composed.lay(layer)
        places = Places(composed.places, self.composer.main)
        try:
            config = OmegaConf.create(composed.tree)
            unset = [re.sub(r"\[(\d+)\]", r".\1", key) for key in OmegaConf.missing_keys(config)]
            tree = OmegaConf.to_container(config, resolve=True)
        except OmegaConfBaseException as error:
            return [places.problem(tuple((error.full_key or "").split(".")), first_line(error))]
        if unset:
            return [places.problem(tuple(key.split(".")), "must be set (it is `???`)") for key in unset]
        assert isinstance(tree, dict)
        if "name" not in choice.varied and isinstance(tree.get("name"), str):
            tree["name"] = derived(tree["name"], choice.said({*choice.varied, *telling}))
        # Strict JSON: lists may become tuples, but `true` is no integer and "0.1" no number.
        document = json.dumps(with_defaults(tree, self.rules), default=str)
        try:
            return Resolved(self.schema.model_validate_json(document, strict=True), choice.varied)
        except ValidationError as error:
            return explain(error, self.rules, places)


def _refuse_equal_names(configs: Sequence[Resolved[Model]]) -> None:
    names = [name for item in configs if (name := getattr(item.config, "name", None)) is not None]
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if repeated:
        raise UserError(f"command line: the sweep gives the name `{repeated[0]}` more than once")


def _escaped(value: Any) -> Any:
    """`value` with every `${` protected, so that text is not taken for an interpolation when loaded again."""
    if isinstance(value, dict):
        return {key: _escaped(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_escaped(part) for part in value]
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value) if isinstance(value, str) else value
