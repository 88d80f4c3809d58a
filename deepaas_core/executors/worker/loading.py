"""Imports the plugin that an entry point names."""

import importlib
import inspect
from typing import Any


def load(target: str) -> Any:
    """Import ``package.module`` or ``package.module:object.attribute``; a class is instantiated.

    Raises:
        Exception: Whatever the model's own import raises; ``AttributeError`` when the object is not there.
    """
    module_name, _, path = target.partition(":")
    plugin: Any = importlib.import_module(module_name.strip())
    for attribute in filter(None, path.strip().split(".")):
        plugin = getattr(plugin, attribute)
    return plugin() if inspect.isclass(plugin) else plugin
