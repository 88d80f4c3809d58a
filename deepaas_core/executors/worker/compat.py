"""What older model packages import or write, made to work in an environment that no longer has it.

Two things. Stand-ins for the parts of ``deepaas``, ``pkg_resources`` and ``distutils`` that models import, offered only
where the real package is not installed; in the same way our own ``deepaas_core``, which need not be installed where
the model is. And old ways of using other libraries, which are put right as soon as the model itself
imports one: the spellings of marshmallow fields (``missing=``, bare ``description=``), reasons of aiohttp's exceptions
that are no single line, and ``PKG-INFO``.
"""

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import io
import logging
import os
import shutil
import sys
import types
from collections.abc import Sequence
from typing import Any, BinaryIO, Callable, NamedTuple, Optional, Union

from . import resources, versions


def install() -> None:
    """Prepare the interpreter for importing a model; a second call changes nothing."""
    if not any(isinstance(finder, _StandIns) for finder in sys.meta_path):
        sys.meta_path.append(_StandIns())
        sys.meta_path.insert(0, _AfterImport())
    for name, put_right in _CHANGES.items():
        if name in sys.modules:
            put_right(sys.modules[name])


# The stand-in for deepaas.


class UploadedFile(NamedTuple):
    """An uploaded file, as DEEPaaS models know it.

    Attributes:
        name: The form field it came in.
        filename: Where it lies.
        content_type: Its media type, as the client said.
        original_filename: What the client calls it.
    """

    name: Optional[str] = None
    filename: Optional[str] = None
    content_type: Optional[str] = None
    original_filename: Optional[str] = None


class BaseModel:
    """The class that some models of DEEPaaS derive from; it offers nothing by itself."""


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
    """The class of uploads that the model sees: the real package's if it is installed, else the stand-in's."""
    try:
        wrapper = importlib.import_module("deepaas.model.v2.wrapper")
    except Exception:  # installed, but it cannot be imported; then the model cannot have imported it either
        return UploadedFile
    found: Callable[..., Any] = getattr(wrapper, "UploadedFile", UploadedFile)
    return found


_STAND_INS: dict[str, dict[str, Any]] = {
    "deepaas": {"__version__": "2.6.0"},
    "deepaas.config": {"CONF": types.SimpleNamespace(debug=False, workers=1, listen_ip="127.0.0.1", listen_port=5000)},
    "deepaas.log": {"getLogger": logging.getLogger, "LOG": logging.getLogger("deepaas")},
    "deepaas.model": {},
    "deepaas.model.v2": {},
    "deepaas.model.v2.base": {"BaseModel": BaseModel},
    "deepaas.model.v2.wrapper": {"UploadedFile": UploadedFile},
    "pkg_resources": {name: value for name, value in vars(resources).items() if not name.startswith("__")},
    "distutils": {},
    "distutils.version": {"LooseVersion": versions.LooseVersion, "StrictVersion": versions.StrictVersion},
    "distutils.util": {"strtobool": versions.strtobool},
    "distutils.dir_util": {"copy_tree": versions.copy_tree},
}
_PACKAGES = ("deepaas", "deepaas.model", "deepaas.model.v2", "distutils")
#: What a model may import of our own package, which needs the standard library only.
_OURS = {"deepaas_core": "__init__.py", "deepaas_core.authoring": "authoring.py", "deepaas_core.run": "run.py"}
_OUR_FOLDER = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class _StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The last finder to be asked: finds our modules when nobody else has the package."""

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]], target: Optional[types.ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        if fullname in _OURS:
            ours = importlib.util.spec_from_file_location(fullname, os.path.join(_OUR_FOLDER, _OURS[fullname]))
            if ours is not None and fullname == "deepaas_core":
                ours.submodule_search_locations = []  # a package, of which no more is to be found than we offer
            return ours
        top = sys.modules.get(fullname.partition(".")[0])
        real = top is not None and not isinstance(getattr(top, "__loader__", None), _StandIns)
        if fullname not in _STAND_INS or real:
            return None
        return importlib.util.spec_from_loader(fullname, self, is_package=fullname in _PACKAGES)

    def exec_module(self, module: types.ModuleType) -> None:
        vars(module).update(_STAND_INS[module.__name__])


# Old ways of using other libraries.


class _AfterImport(importlib.abc.MetaPathFinder):
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


_CHANGES: dict[str, Callable[[Any], None]] = {
    "marshmallow.fields": accept_old_spellings,
    "aiohttp.web_exceptions": accept_any_reason,
    "pkg_resources": find_package_information,
}

#: What stands behind an upload on the worker line, in the order of ``UploadedFile``.
UPLOAD_MEMBERS: tuple[str, ...] = UploadedFile._fields
