"""Scripts that nobody prepared: a file, and one of its functions that answers calls.

The script runs once, as ``python score.py`` would run it from its own folder, except that what stands below
``if __name__ == "__main__"`` is left out. It is importable under its own name, and it is what ``__main__`` means to
others, so that objects that it pickled when it was run by hand are found again.
"""

import functools
import importlib.util
import inspect
import os
import re
import sys
import traceback
import types
from typing import Any, Callable, Optional

from .declared import Declared


class NoSuchFunction(Exception):
    """A script has no function of this name; the text says which it has."""


class Script:
    """A plugin whose one hook is the function of a script.

    Attributes:
        predict: The function.
        declared: Its arguments by key, if they cannot be read from its signature.
        any_keyword: It takes whatever it is given besides; only meaningful with ``declared``.
        gather: The name of its argument that takes many records at once, and what makes that of them, to be given by
            position; if that cannot be told from its signature.
    """

    def __init__(
        self,
        predict: Callable[..., Any],
        declared: Optional[dict[str, Declared]] = None,
        any_keyword: bool = False,
        gather: Optional[tuple[str, Callable[[list[dict[str, Any]]], Any]]] = None,
    ):
        self.predict = predict
        self.declared = declared
        self.any_keyword = any_keyword
        self.gather = gather


def load(path: str, function: str) -> Script:
    """Run a script, and find its function.

    Args:
        path: The file, absolute.
        function: Its name; with dots, a method of an object of the script. A class is instantiated.

    Raises:
        NoSuchFunction: It has no such function.
        BaseException: Whatever the script raises.
    """
    module = _run(path)
    found: Any = module
    for attribute in function.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise NoSuchFunction(_missing(module, os.path.basename(path), function)) from None
    if inspect.isclass(found):
        found = found()
    if not callable(found):
        raise NoSuchFunction(f"{function} of {os.path.basename(path)} is no function but {type(found).__name__}")
    return Script(_by_name(found))


def place(error: BaseException, target: str) -> str:
    """Where in the folder of its script something went wrong: ``score.py, line 12``; empty if that is not known."""
    folder = os.path.dirname(target.rpartition(":")[0])
    if isinstance(error, SyntaxError) and error.filename:
        return f"{os.path.relpath(error.filename, folder)}, line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in frames if os.path.abspath(frame.filename).startswith(os.path.join(folder, ""))]
    return f"{os.path.relpath(mine[-1].filename, folder)}, line {mine[-1].lineno}" if mine else ""


def _by_name(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose parameters can all be given by name, those of the given one by position only, too."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C
        return function
    parameters = list(signature.parameters.values())
    nameless = [one for one in parameters if one.kind is one.POSITIONAL_ONLY]
    if not nameless:
        return function

    def named(*given: Any, **arguments: Any) -> Any:
        rest = nameless[len(given) :]
        last = max((at for at, one in enumerate(rest, 1) if one.name in arguments), default=0)
        filled = [arguments.pop(one.name, one.default) for one in rest[:last]]
        return function(*given, *filled, **arguments)

    functools.update_wrapper(named, function)
    renamed = [one.replace(kind=one.POSITIONAL_OR_KEYWORD) if one in nameless else one for one in parameters]
    named.__signature__ = signature.replace(parameters=renamed)  # type: ignore[attr-defined]
    return named


def _run(path: str) -> types.ModuleType:
    folder, file = os.path.split(path)
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.argv[:] = [path]
    name = os.path.splitext(file)[0]
    if not name.isidentifier() or name in sys.modules or name in getattr(sys, "stdlib_module_names", ()):
        name = "script_" + re.sub(r"\W", "_", name)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = sys.modules["__main__"] = module
    spec.loader.exec_module(module)
    return module


def _missing(module: types.ModuleType, file: str, function: str) -> str:
    has = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and callable(value) and getattr(value, "__module__", None) == module.__name__
    ]
    if not has:
        return f"{file} has no function {function!r}, and no other"
    import difflib

    close = difflib.get_close_matches(function, has, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"{file} has no function {function!r}; it has {', '.join(has[:20])}{hint}"
