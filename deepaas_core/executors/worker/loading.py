"""Loads what a target names: the plugin of an entry point, or a function of a script."""

import importlib
import inspect
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from . import scripts

PYTHON, R = (".py",), (".R", ".r")


def is_script(target: str) -> bool:
    """Whether a target is a script's function, ``/folder/score.py:predict``, and no entry point's."""
    path = target.rpartition(":")[0]
    return os.path.isabs(path) and path.endswith(PYTHON + R)


def is_in_r(target: str) -> bool:
    """Whether a target is a function of a script in R."""
    return is_script(target) and target.rpartition(":")[0].endswith(R)


def load(target: str, endpoint: Mapping[str, Any] = MappingProxyType({}), max_result_bytes: int = 64 * 2**20) -> Any:
    """Import ``package.module`` or ``package.module:object.attribute``; a class is instantiated.

    Args:
        target: Of a script, ``/folder/score.py:function``; see ``scripts`` and ``in_r``.
        endpoint: What a script in R is to know of the endpoint that it answers.
        max_result_bytes: A larger result of a script in R is refused.

    Raises:
        Exception: Whatever the model's own import raises; ``AttributeError`` when the object is not there.
    """
    if is_script(target):
        path, _, function = target.rpartition(":")
        if not is_in_r(target):
            return scripts.load(path, function)
        in_r = importlib.import_module(".in_r", __package__)  # what only it needs would cost every other model time
        return in_r.load(path, function, endpoint, max_result_bytes)
    module_name, _, attributes = target.partition(":")
    plugin: Any = importlib.import_module(module_name.strip())
    for attribute in filter(None, attributes.strip().split(".")):
        plugin = getattr(plugin, attribute)
    return plugin() if inspect.isclass(plugin) else plugin
