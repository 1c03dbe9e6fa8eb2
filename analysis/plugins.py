"""Modules from outside the checkout, which register their own parts as they are imported."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path

import yaml


class PluginError(Exception):
    """A plugin that cannot be used; the message says which and why."""


def load_plugin(name: str) -> None:
    """Import a module by its name, or a `.py` file by its path; once, however often it is asked for.

    Modules are found on Python's path and in the working directory, those beside a file by that file.

    Raises:
        PluginError: there is no such module or file, or it fails as it is imported.
    """
    file = Path(name).absolute() if name.endswith(".py") else None
    if file and not file.is_file():
        raise PluginError(f"{name}: there is no such file")
    folder = str(file.parent if file else Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    importlib.invalidate_caches()
    module = module_name(name)
    try:
        if file:
            _refuse_other(module, file)
        importlib.import_module(module)
    except PluginError:
        raise
    except (Exception, SystemExit) as error:  # whatever a stranger's module may do
        raise PluginError(f"{name}: {_reason(error, module)}") from error


def module_name(plugin: str) -> str:
    """What Python calls a plugin that is named by its module or by its file."""
    return Path(plugin).stem if plugin.endswith(".py") else plugin


def load_recorded(records: Path) -> list[str]:
    """Import the plugins that an experiment's recorded config names; returns what is wrong with which.

    Records outlive the files beside which they were made, and can be read without them.
    """
    config = records / "config.yaml"
    named = yaml.safe_load(config.read_text(encoding="utf-8")).get("plugins") if config.is_file() else None
    problems = []
    for name in named or ():
        try:
            load_plugin(str(name))
        except PluginError as error:
            problems.append(str(error))
    return problems


def _refuse_other(module: str, file: Path) -> None:
    """A file is imported under its own name, which must not be that of something else."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not Path(spec.origin).samefile(file):
        found = spec.origin if spec else "nothing"
        raise PluginError(f"{file}: `import {module}` finds {found} instead; give the file another name")


def _reason(error: BaseException, module: str) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]:
        return f"there is no module `{error.name}` on Python's path or in {Path.cwd()}"
    if isinstance(error, SyntaxError):
        return f"is not valid Python: {error}"
    ours = ("<frozen", importlib.__file__, __file__)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(ours)]
    where = f" ({frames[0].filename}:{frames[0].lineno})" if frames else ""  # the plugin's own line
    return f"cannot be imported: {type(error).__name__}: {error}{where}"
