"""Config files as they were written: refused here if unsound, and able to say on which line a setting stands.

Hydra composes the files; what it cannot tell is where a value came from, and what it does with a broken file
is a traceback. So every file that may take part is read here first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from training.errors import UserError, did_you_mean, nearest

KeyPath = tuple[str, ...]

# Aliases let a small file describe an exponentially large tree, which the composer would copy out in full.
MAX_NODES = 100_000
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, order=True)
class Place:
    """Where a setting was written; orders by file and line, the command line last."""

    on_command_line: bool
    source: str
    """File as shown to the user, or the argument."""
    line: int = 0
    """Counted from 1; 0 stands for the file as a whole."""

    def __str__(self) -> str:
        if self.on_command_line:
            return f"command line: {self.source}"
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True)
class Source:
    """One YAML file: its nodes, with the line each was written on."""

    file: Path
    root: yaml.MappingNode

    @property
    def name(self) -> str:
        """The file as shown to the user."""
        return shown(self.file)

    @cached_property
    def entries(self) -> list[DefaultsEntry]:
        """The static entries of its `defaults:` list; others are left to Hydra."""
        lists = [value for key, value in self.root.value if key.value == "defaults"]
        for node in lists:
            if not isinstance(node, yaml.SequenceNode):
                raise UserError(f"{self.name}:{_line(node)}: defaults: must be a list such as [base, _self_]")
        return [entry for node in lists for entry in _entries(node)]

    def places(self, package: KeyPath) -> dict[KeyPath, Place]:
        """Key path in the composed config → place, for this file mounted at `package`."""
        found: dict[KeyPath, Place] = {}

        def walk(node: yaml.Node, path: KeyPath) -> None:
            if isinstance(node, yaml.MappingNode):
                # Merged-in keys come first, for the explicit ones win.
                for key, value in sorted(node.value, key=lambda pair: pair[0].tag != _MERGE):
                    here = path if key.tag == _MERGE else (*path, key.value)
                    if key.tag != _MERGE:
                        found[here] = Place(False, self.name, _line(key))
                    walk(value, here)
            elif isinstance(node, yaml.SequenceNode):
                for index, item in enumerate(node.value):
                    found[*path, str(index)] = Place(False, self.name, _line(item))
                    walk(item, (*path, str(index)))

        walk(self.root, package)
        return found


@dataclass(frozen=True)
class DefaultsEntry:
    """One entry of a `defaults:` list: the config it names and the line it stands on."""

    target: str
    """`name` or `group/name`; with a leading `/` absolute, else relative to the including config's group."""
    line: int
    optional: bool


def shown(file: Path) -> str:
    """The path relative to the working directory where it lies below it."""
    absolute = Path(os.path.abspath(file))
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)


def existing(path: Path) -> Path:
    """`path`, if it is a YAML file; otherwise a UserError that names the nearest one."""
    if path.is_dir():
        inside = sorted(str(file) for file in path.glob("*.yaml"))
        raise UserError(f"{path}: is a folder; a config file is needed{_hint(inside[:5])}")
    if not path.exists():
        siblings = {file.name: str(file) for file in path.parent.glob("*.yaml")}
        near = nearest(path.name, list(siblings)) or nearest(f"{path.name}.yaml", list(siblings))
        raise UserError(f"{path}: no such file{_hint([siblings[near]] if near else [])}")
    if path.suffix != ".yaml":
        raise UserError(f"{path}: a config file's name must end in `.yaml`")
    return path


def read(file: Path) -> Source:
    """The file's nodes. Raises UserError (with lines) if it is not one sound mapping of unique keys."""
    name = shown(file)
    try:
        documents = list(yaml.compose_all(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader))
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: is not text in UTF-8") from error
    except yaml.YAMLError as error:
        raise UserError(yaml_message(error, name)) from error
    if not documents or _is_null(documents[0]):
        raise UserError(f"{name}: the file is empty; it must hold settings such as `seed: 0`")
    if len(documents) > 1:
        raise UserError(f"{name}:{_line(documents[1])}: a second YAML document; keep one per file")
    root = documents[0]
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{name}:{_line(root)}: must be a mapping of settings such as `seed: 0`")
    sizes: dict[int, int | None] = {}
    problems = list(_unsound_keys(root, name, sizes))
    if problems:
        raise UserError("\n".join(problems))
    return Source(file, root)


def check_composition(
    file: Path, name: str, folders: Sequence[Path], including: tuple[Path, ...] = ()
) -> None:
    """Read `file` (config `name`) and all that its defaults lists name; UserError if unsound."""
    source = read(file)
    group = name.rpartition("/")[0]
    for entry in source.entries:
        here = f"{source.name}:{entry.line}: defaults"
        absolute = entry.target.startswith("/") or not group
        target = entry.target.lstrip("/") if absolute else f"{group}/{entry.target}"
        if ".." in target.split("/"):
            raise UserError(f"{here}: `{entry.target}`: write the bare name, looked up {_lookup(folders)}")
        found = find(target, folders)
        if found in (*including, file):
            raise UserError(f"{here}: `{entry.target}` leads back to {shown(found)}")
        if found is not None:
            check_composition(found, target, folders, (*including, file))
        elif not entry.optional:
            raise UserError(f"{here}: {missing(target, folders)}")


def find(config: str, folders: Sequence[Path]) -> Path | None:
    """The file of a config `name` or `group/name`, nearest folder first."""
    return next((file for folder in folders if (file := folder / f"{config}.yaml").is_file()), None)


def missing(config: str, folders: Sequence[Path]) -> str:
    """Says that no folder has this config, and which one was probably meant."""
    group, _, name = config.rpartition("/")
    choices = sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})
    return f"there is no `{config}.yaml` {_lookup(folders)}{did_you_mean(name, choices)}"


def yaml_message(error: yaml.YAMLError, name: str) -> str:
    """One line for PyYAML's complaint about the file called `name`."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"{name}: not valid YAML: {str(error).splitlines()[0]}"
    mark = error.problem_mark or error.context_mark
    return f"{name}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem or error.context}"


def _unsound_keys(node: yaml.Node, name: str, sizes: dict[int, int | None]) -> Iterator[str]:
    """Messages for repeated and non-scalar keys; `sizes` takes the expanded size of each node, by id."""
    sizes[id(node)] = None  # open: an alias that meets it is inside itself
    size = 1
    first: dict[str, int] = {}
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    for key, _ in pairs:
        if not isinstance(key, yaml.ScalarNode):
            yield f"{name}:{_line(key)}: a key must be a plain name"
        elif key.value in first and key.tag != _MERGE:
            yield f"{name}:{_line(key)}: `{key.value}` is already set on line {first[key.value]}"
        else:
            first[key.value] = _line(key)
    for child in [value for _, value in pairs] or (node.value if isinstance(node, yaml.SequenceNode) else []):
        if id(child) not in sizes:
            yield from _unsound_keys(child, name, sizes)
        inside = sizes[id(child)]
        if inside is None:
            raise UserError(f"{name}:{_line(child)}: an alias stands inside what it refers to")
        size += inside
    if size > MAX_NODES:
        raise UserError(f"{name}:{_line(node)}: its aliases expand to more than {MAX_NODES} values")
    sizes[id(node)] = size


def _entries(node: yaml.SequenceNode) -> Iterator[DefaultsEntry]:
    """The configs that a `defaults:` list names (in Hydra's grammar, with packages and `optional`)."""
    for item in node.value:
        pairs = item.value if isinstance(item, yaml.MappingNode) else [(None, item)]
        for key, value in pairs:
            words = key.value.split() if key is not None else []
            group = words[-1].partition("@")[0] + "/" if words else ""
            if "override" in words:
                group = "/" + group.lstrip("/")
            chosen = value.value if isinstance(value, yaml.SequenceNode) else [value]
            for choice in chosen:
                if not isinstance(choice, yaml.ScalarNode) or _is_null(choice):
                    continue
                target = group + choice.value.partition("@")[0]
                if target != "_self_" and "${" not in target:
                    yield DefaultsEntry(target, _line(choice), "optional" in words)


def _is_null(node: yaml.Node | None) -> bool:
    return node is None or node.tag == "tag:yaml.org,2002:null"


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _lookup(folders: Sequence[Path]) -> str:
    return "in " + " or ".join(shown(folder) for folder in folders)


def _hint(files: Sequence[str]) -> str:
    return f"; did you mean {' or '.join(files)}?" if files else ""
