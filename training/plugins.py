"""Parts from outside the checkout: named by `plugins` in a config, or by `--with` on the command line."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.plugins import PluginError, load_plugin
from reward_models.errors import UserError


def load_plugins(names: Sequence[str]) -> None:
    """Import each module or `.py` file, once. Raises UserError for one that cannot be used."""
    for name in names:
        try:
            load_plugin(name)
        except PluginError as error:
            raise UserError(f"plugin {error}") from error
