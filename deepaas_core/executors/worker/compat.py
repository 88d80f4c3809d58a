"""What older model packages import or write, made to work in an environment that no longer has it.

Two things. The folder ``shims`` at the end of the model's path, where it finds the parts of ``deepaas``, ``distutils``,
``pkg_resources`` and our own ``deepaas_core`` that models import; a real package is always found before. Processes that
the model starts with ``multiprocessing`` find them as well. And old ways of using other libraries, which are put right
as soon as the model itself imports one: the spellings of marshmallow fields (``missing=``, bare ``description=``),
reasons of aiohttp's exceptions that are no single line, and ``PKG-INFO``.
"""

import contextlib
import functools
import importlib
import importlib.machinery
import inspect
import io
import os
import shutil
import sys
import types
from collections.abc import Sequence
from typing import Any, BinaryIO, Callable, Optional, Union

_SHIMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "shims")


def install() -> None:
    """Prepare the interpreter for importing a model; a second call changes nothing."""
    if _SHIMS not in sys.path:
        sys.path.append(_SHIMS)
        sys.meta_path.insert(0, _AfterImport())
    for name, put_right in _CHANGES.items():
        if name in sys.modules:
            put_right(sys.modules[name])


# Uploads.


class FileStorage:
    """An uploaded file, as models of the oldest DEEPaaS generation know it."""

    def __init__(
        self,
        stream: Optional[BinaryIO] = None,
        filename: Optional[str] = None,
        name: Optional[str] = None,
        content_type: Optional[str] = None,
    ):
        self.stream: Any = io.BytesIO() if stream is None else stream
        self.filename = filename
        self.name = name
        self.content_type = self.mimetype = content_type

    def save(self, dst: Union[str, "os.PathLike[str]", BinaryIO], buffer_size: int = 1 << 16) -> None:
        """Copy the file to a path or into an open file."""
        if isinstance(dst, (str, os.PathLike)):
            with open(dst, "wb") as file:
                shutil.copyfileobj(self.stream, file, buffer_size)
        else:
            shutil.copyfileobj(self.stream, dst, buffer_size)

    def close(self) -> None:
        self.stream.close()

    def __getattr__(self, name: str) -> Any:
        if name == "stream":  # not there yet, as while being copied
            raise AttributeError(name)
        return getattr(self.stream, name)

    def __iter__(self) -> Any:
        return iter(self.stream)

    def __bool__(self) -> bool:
        return bool(self.filename)

    def __repr__(self) -> str:
        return f"<FileStorage: {self.filename!r} ({self.content_type!r})>"


def uploaded_file() -> Callable[..., Any]:
    """The class of uploads that the model sees: the real package's if it is installed, else the shim's."""
    try:
        wrapper: Any = importlib.import_module("deepaas.model.v2.wrapper")
    except Exception:  # installed, but it cannot be imported; then the model cannot have imported it either
        from .shims.deepaas.model.v2 import wrapper
    found: Callable[..., Any] = wrapper.UploadedFile
    return found


# Old ways of using other libraries.


class _AfterImport:
    """Sees to it that other libraries are put right as soon as somebody imports them."""

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]], target: Optional[types.ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname not in _CHANGES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            _run_afterwards(spec.loader, _CHANGES[fullname])
        return spec


def _run_afterwards(loader: Any, change: Callable[[Any], None]) -> None:
    """Have this one loader apply a change to what it has loaded."""
    execute = loader.exec_module

    def exec_module(module: types.ModuleType) -> None:
        execute(module)
        change(module)

    loader.exec_module = exec_module


def accept_old_spellings(fields: Any) -> None:
    """Let ``marshmallow.fields`` take what its older versions took.

    ``missing=`` and ``default=`` are ``load_default=`` and ``dump_default=``; unknown keywords are metadata; a plain
    function that returns False refuses the value.
    """
    original = fields.Field.__init__
    known = inspect.signature(original).parameters
    if getattr(original, "_takes_old_spellings", False) or "load_default" not in known:
        return  # done already, or a version that knows no other spelling
    removed = "missing" not in known

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        for old, new in (("missing", "load_default"), ("default", "dump_default")):
            if old in kwargs:
                kwargs.setdefault(new, kwargs.pop(old))
        unknown = {name: kwargs.pop(name) for name in list(kwargs) if name not in known}
        if unknown:
            kwargs["metadata"] = {**(kwargs.get("metadata") or {}), **unknown}
        if removed and kwargs.get("validate") is not None:
            kwargs["validate"] = _refusing(kwargs["validate"])
        original(self, *args, **kwargs)

    __init__._takes_old_spellings = True  # type: ignore[attr-defined]
    fields.Field.__init__ = __init__
    if removed:
        fields.Field.missing = _renamed("load_default")
        fields.Field.default = _renamed("dump_default")
        fields.Number.num_type = float
        fields.Number.__abstractmethods__ = frozenset()


def tell_version(marshmallow: Any) -> None:
    """Let ``marshmallow`` say its version where it no longer does: webargs 5, which takes any marshmallow, asks."""
    if not hasattr(marshmallow, "__getattr__"):  # which tells it with a warning
        import importlib.metadata  # slow to load, and seldom needed

        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            vars(marshmallow).setdefault("__version__", importlib.metadata.version("marshmallow"))


def _renamed(name: str) -> Any:
    return property(lambda self: getattr(self, name), lambda self, value: setattr(self, name, value))


def _refusing(validate: Any) -> Any:
    if isinstance(validate, (list, tuple, set)) or inspect.isgenerator(validate):
        return [_refusing(one) for one in validate]
    return _with_refusal(validate) if inspect.isroutine(validate) else validate


def _with_refusal(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @functools.wraps(function)
    def validator(value: Any) -> Any:
        answer = function(value)
        if answer is False:
            raise sys.modules["marshmallow"].ValidationError("Invalid value.")
        return answer

    return validator


def accept_any_reason(exceptions: Any) -> None:
    """Let ``aiohttp.web_exceptions`` take any object as the reason, as ``HTTPBadRequest(reason=error)`` does."""
    original = exceptions.HTTPException.__init__
    if getattr(original, "_takes_any_reason", False):
        return

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("reason") is not None:
            kwargs["reason"] = " ".join(str(kwargs["reason"]).split()) or type(kwargs["reason"]).__name__
        original(self, *args, **kwargs)

    __init__._takes_any_reason = True  # type: ignore[attr-defined]
    exceptions.HTTPException.__init__ = __init__


def find_package_information(pkg_resources: Any) -> None:
    """Let ``pkg_resources`` find ``PKG-INFO`` of what was installed from a wheel, where it is called ``METADATA``."""
    provider = getattr(pkg_resources, "NullProvider", None)
    original = getattr(provider, "_get_metadata_path", None)
    if provider is None or original is None or getattr(original, "_finds_package_information", False):
        return

    @functools.wraps(original)
    def _get_metadata_path(self: Any, name: str) -> Any:
        from_wheel = str(getattr(self, "egg_info", "")).endswith(".dist-info")
        return original(self, "METADATA" if name == "PKG-INFO" and from_wheel else name)

    _get_metadata_path._finds_package_information = True  # type: ignore[attr-defined]
    provider._get_metadata_path = _get_metadata_path


def find_own_package_first(pkg_resources: Any) -> None:
    """Let ``find_distributions`` begin with the caller's own package.

    Models take the first one in the folder where their code lies. That was their own in a clone, where it is the only
    one; where packages are installed, there are many.
    """
    original = getattr(pkg_resources, "find_distributions", None)
    if original is None or getattr(original, "_finds_own_first", False):
        return

    @functools.wraps(original)
    def find_distributions(path_item: Any, only: bool = False) -> Any:
        package = str(sys._getframe(1).f_globals.get("__name__")).partition(".")[0]
        return iter(sorted(original(path_item, only), key=lambda found: not _has_package(found, package)))

    find_distributions._finds_own_first = True  # type: ignore[attr-defined]
    pkg_resources.find_distributions = find_distributions


def _has_package(distribution: Any, package: str) -> bool:
    if distribution.project_name.lower().replace("-", "_") == package.lower():
        return True
    try:
        return package in distribution.get_metadata("top_level.txt").split()
    except (OSError, KeyError):
        return False


def _adjust_pkg_resources(pkg_resources: Any) -> None:
    find_package_information(pkg_resources)
    find_own_package_first(pkg_resources)


_CHANGES: dict[str, Callable[[Any], None]] = {
    "marshmallow": tell_version,
    "marshmallow.fields": accept_old_spellings,
    "aiohttp.web_exceptions": accept_any_reason,
    "pkg_resources": _adjust_pkg_resources,
}

#: What stands behind an upload on the worker line, in the order of ``UploadedFile``.
UPLOAD_MEMBERS = ("name", "filename", "content_type", "original_filename")
