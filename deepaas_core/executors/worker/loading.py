"""Loads what a target names: the plugin of an entry point, or a function of a script."""

import importlib
import inspect
import os
from typing import Any

from . import scripts

PYTHON, R = (".py",), (".R", ".r")


def is_script(target: str) -> bool:
    """Whether a target is a script's function, ``/folder/score.py:predict``, and no entry point's."""
    path = target.rpartition(":")[0]
    return os.path.isabs(path) and path.endswith(PYTHON + R)


def load(target: str) -> Any:
    """Import ``package.module`` or ``package.module:object.attribute``; a class is instantiated.

    Of a script, ``/folder/score.py:function``, see ``scripts``.

    Raises:
        Exception: Whatever the model's own import raises; ``AttributeError`` when the object is not there.
    """
    if is_script(target):
        path, _, function = target.rpartition(":")
        return scripts.load(path, function)
    module_name, _, attributes = target.partition(":")
    plugin: Any = importlib.import_module(module_name.strip())
    for attribute in filter(None, attributes.strip().split(".")):
        plugin = getattr(plugin, attribute)
    return plugin() if inspect.isclass(plugin) else plugin
