"""From config files and command-line overrides to validated configs, with every mistake explained at once.

Hydra gives `defaults:` lists and the grammar of overrides, `layers` lays them over one another, pydantic has
the schema. The names in a `defaults:` list are looked up beside the file and one folder up; without `_self_`
in it, the file's own settings win.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

    Raises:
        UserError: all that is wrong, one line each: place, key, what was got and what would be right.
    """
    from training.config.schema import Experiment

    return load_as(Experiment, path, overrides)


def load_as(schema: type[Model], path: Path, overrides: Sequence[str] = ()) -> list[Resolved[Model]]:
    """`load` for any pydantic root model. A swept config's `name` ends in the values that set it apart."""
    try:
        composer = _Composer(existing(path))
        choices = [(choice, composer.layers(choice.overrides)) for choice in combinations(parse(overrides))]
        if "plugins" in schema.model_fields:
            choices = [(choice, with_plugins(layers, composer.main)) for choice, layers in choices]
        rules = Schema(schema.model_json_schema())  # with what the plugins have registered
        loaded = [_validated(schema, rules, composer.main, *described) for described in choices]
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


def _validated(
    schema: type[Model], rules: Schema, main: Place, choice: Choice, layers: Sequence[Layer]
) -> Resolved[Model] | list[Problem]:
    composed = Layers(rules)
    for layer in layers:
        composed.lay(layer)
    places = Places(composed.places, main)
    try:
        config = OmegaConf.create(composed.tree)
        unset = [re.sub(r"\[(\d+)\]", r".\1", key) for key in OmegaConf.missing_keys(config)]
        tree = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        return [places.problem(tuple((error.full_key or "").split(".")), first_line(error))]
    if unset:
        return [places.problem(tuple(key.split(".")), "must be set (it is `???`)") for key in unset]
    assert isinstance(tree, dict)
    if "name" not in choice.varied and isinstance(tree.get("name"), str) and choice.suffix:
        tree["name"] += f"-{choice.suffix}"
    # Strict JSON: lists may become tuples, but `true` is no integer and "0.1" no number.
    document = json.dumps(with_defaults(tree, rules), default=str)
    try:
        return Resolved(schema.model_validate_json(document, strict=True), choice.varied)
    except ValidationError as error:
        return explain(error, rules, places)


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
