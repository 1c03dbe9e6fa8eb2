"""Which code decides a stage's result: the import closure of its function, with the parts that were chosen.

A module counts by its syntax tree, so comments, docstrings and formatting count for nothing. Imports are
followed wherever they stand, but not those for type checkers alone. A module that makes a `Registry` offers
variants to choose from and decides nothing itself: of these only the chosen ones count, each with its bases.
So a new variant beside them makes nothing stale, and no module that decides a number is left out.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("training", "reward_models", "analysis")
BENEATH = {
    "torch": (),
    "transformers": ("tokenizers", "safetensors"),
    "trl": ("accelerate", "datasets", "transformers", "torch"),
}
"""What computes beneath a library that our code imports: its version counts as well."""
_FUNCTION = re.compile(rf"({'|'.join(PACKAGES)})(\.\w+)+:\w+")
"""How code names a function that it imports when it is needed, as in "training.stages.sft:fine_tune"."""


@dataclass(frozen=True)
class _Import:
    module: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Module:
    digest: str
    imports: tuple[_Import, ...]
    is_registry: bool


@dataclass
class CodeIdentity:
    """Reads the sources under `root` once; what changes afterwards is not noticed."""

    root: Path = ROOT
    outside: dict[str, Path] = field(default_factory=dict)
    """Modules of a user's own parts, and those beside them → their files."""
    _read: dict[str, _Module | None] = field(default_factory=dict)
    _closures: dict[str, frozenset[str]] = field(default_factory=dict)

    def of(self, modules: Iterable[str], parts: Iterable[type] = ()) -> dict[str, str]:
        """Module or library → hash or version, of all that decides what `modules` and `parts` compute.

        Args:
            modules: dotted names, such as that of a stage's function.
            parts: classes of the variants that the stage's settings chose.
        """
        found: set[str] = set()
        for name in (*modules, *(base.__module__ for part in parts for base in part.__mro__)):
            if self._is_known(name):
                found |= self.closure(name)
        ours = {name: module.digest for name in found if (module := self.module(name))}
        libraries = {name for name in found if name not in ours}
        libraries |= {beneath for name in libraries for beneath in BENEATH.get(name, ())}
        return dict(sorted((ours | {name: _version(name) for name in libraries}).items()))

    def closure(self, name: str) -> frozenset[str]:
        """All modules that importing and using `name` can reach, and the libraries that these import."""
        if name not in self._closures:
            seen: set[str] = set()
            waiting = [name]
            while waiting:
                module = waiting.pop()
                if module not in seen:
                    seen.add(module)
                    waiting += self._next(module)
            self._closures[name] = frozenset(n for n in seen if not self._is_registry(n))
        return self._closures[name]

    def _next(self, name: str) -> Iterator[str]:
        found = self.module(name)
        if found is None:
            return
        yield from _packages_above(name)
        if not found.is_registry:
            for each in found.imports:
                yield from self._targets(each, name)

    def _targets(self, imported: _Import, importer: str) -> Iterator[str]:
        """The modules that an import statement in `importer` reaches; of a library its name alone."""
        beside = f"{importer.rpartition('.')[0]}.{imported.module}".lstrip(".")
        module = next((name for name in (imported.module, beside) if self.module(name)), None)
        if module is None:
            top = imported.module.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in PACKAGES:
                yield top
            return
        yield module
        for name in imported.names:
            if self.module(f"{module}.{name}"):
                yield f"{module}.{name}"
            elif self._is_registry(module):  # one of its variants, by name: chosen by whoever imports it
                yield from self._offered(module, name)

    def _offered(self, registry: str, name: str) -> Iterator[str]:
        found = self.module(registry)
        for each in found.imports if found else ():
            if name in each.names:
                yield from self._targets(_Import(each.module, (name,)), registry)

    def _is_registry(self, name: str) -> bool:
        found = self.module(name)
        return found is not None and found.is_registry

    def module(self, name: str) -> _Module | None:
        """The module as read from its source; None for what is neither ours nor a user's own part."""
        if name not in self._read:
            source = self._source(name)
            self._read[name] = _parse(source.read_bytes()) if source else None
        return self._read[name]

    def _source(self, name: str) -> Path | None:
        if name.partition(".")[0] in PACKAGES:
            path = self.root.joinpath(*name.split("."))
            files = (path.with_suffix(".py"), path / "__init__.py")
            return next((file for file in files if file.is_file()), None)
        return self.outside.get(name)

    def _is_known(self, name: str) -> bool:
        """Whether a module is ours or a user's own, whose file and those beside it are noted."""
        if name.partition(".")[0] in PACKAGES:
            return True
        if (file := _users_own(name)) is not None:
            self.outside[name] = file
            for beside in file.parent.glob("*.py"):
                self.outside.setdefault(beside.stem, beside)
        return file is not None


def _users_own(module: str) -> Path | None:
    """The file of a module that is neither the standard library's nor an installed package's."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or "site-packages" in file or module.partition(".")[0] in sys.stdlib_module_names:
        return None
    return Path(file)


def _packages_above(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


@cache
def _parse(source: bytes) -> _Module:
    tree = _stripped(ast.parse(source))
    text = ast.dump(tree, include_attributes=False)
    return _Module(hashlib.sha256(text.encode()).hexdigest()[:16], tuple(_imports(tree)), _registers(tree))


def _stripped(tree: ast.Module) -> ast.Module:
    """Without docstrings (also those of fields) and without what only type checkers read."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [part for part in body if not _says_nothing(part)]
            setattr(node, "body", kept or ([] if isinstance(node, ast.Module) else [ast.Pass()]))  # noqa: B010
    return tree


def _says_nothing(part: ast.stmt) -> bool:
    if isinstance(part, ast.Expr):
        return isinstance(part.value, ast.Constant) and isinstance(part.value.value, str)
    return isinstance(part, ast.If) and "TYPE_CHECKING" in ast.dump(part.test)


def _imports(tree: ast.Module) -> Iterator[_Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (_Import(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield _Import(node.module, tuple(alias.name for alias in node.names))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from _named(node.value)


def _named(text: str) -> Iterator[_Import]:
    if _FUNCTION.fullmatch(text):
        yield _Import(text.partition(":")[0])


def _registers(tree: ast.Module) -> bool:
    """Whether the module makes a `Registry` at its top level."""
    values = [node.value for node in tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    return any(isinstance(value, ast.Call) and _name(value.func) == "Registry" for value in values)


def _name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Subscript):
        return _name(node.value)
    return node.id if isinstance(node, ast.Name) else None


@cache
def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        owners = importlib.metadata.packages_distributions().get(library)
        return importlib.metadata.version(owners[0]) if owners else "absent"


def changed(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """In words, which modules and libraries differ."""
    names = sorted(name for name in old | new if old.get(name) != new.get(name))
    ours = [name for name in names if name.partition(".")[0] in PACKAGES]
    libraries = [f"{n} {old.get(n, 'unused')} -> {new.get(n, 'unused')}" for n in names if n not in ours]
    shown = ours[:3] + ([f"{len(ours) - 3} more"] if len(ours) > 3 else [])
    return ([f"code of {', '.join(shown)} changed"] if ours else []) + libraries
