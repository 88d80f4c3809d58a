"""One argument as its author declared it: the plain description of it, and how a value becomes what the hook wants."""

import base64
import copy
import dataclasses
import datetime
import decimal
import enum
import math
import os
import uuid
from typing import Any, Callable, Optional

from . import compat

Plain = dict[str, Any]
Convert = Callable[[Any], Any]

#: In place of a default, where there is none.
NOTHING: Any = object()
_UPLOAD = frozenset(compat.UPLOAD_MEMBERS)


class NotPlain(Exception):
    """A value that JSON cannot hold."""


class Unfit(ValueError):
    """A value with parts that are not what they must be.

    Attributes:
        issues: For each, a JSON pointer from the value and what was expected.
    """

    def __init__(self, issues: list[tuple[str, str]]):
        super().__init__("; ".join(f"{pointer or '(the whole)'}: {text}" for pointer, text in issues))
        self.issues = issues

    @staticmethod
    def issues_of(error: Exception, pointer: str) -> list[tuple[str, str]]:
        """What is wrong with a part of a value, whatever said so."""
        if isinstance(error, Unfit):
            return [(pointer + inner, text) for inner, text in error.issues]
        return [(pointer, text_of(error))]


class Declared:
    """One argument of a hook.

    Args:
        plain: Its description (the members of ``domain.arguments.Argument``), the default excepted.
        convert: Turns a JSON-native value into what the hook wants; raises what it likes.
        default: What the author wrote: a value, or a function without parameters that makes one.
        field: The author's marshmallow field, if that is how the argument is spelled.
    """

    def __init__(self, plain: Plain, convert: Optional[Convert] = None, default: Any = NOTHING, field: Any = None):
        self.plain = plain
        self.convert = convert
        self.field = field
        self._default = default
        if default is not NOTHING:
            try:
                plain["default"] = _refuse(default) if callable(default) else plain_value(default)
            except NotPlain:  # only we can supply it
                plain["computed_default"] = True

    @property
    def name(self) -> str:
        return str(self.plain["name"])

    @property
    def key(self) -> str:
        return str(self.plain.get("key") or self.plain["name"])

    @property
    def supplies(self) -> bool:
        """Whether the default is for us to fill in: one that is made for each call anew, or that of a file."""
        about_file = self.plain.get("kind") == "file" and self._default is not NOTHING
        return about_file or bool(self.plain.get("computed_default"))

    def default(self) -> Any:
        """The default as the author wrote it, safe from what the hook does to it."""
        return self._default() if callable(self._default) else _copy(self._default)

    def value(self, sent: Any) -> Any:
        """What the hook is given for a JSON-native value."""
        if self._default is not NOTHING and "default" in self.plain and _same(sent, self.plain["default"]):
            return self.default()
        return _copy(sent) if self.convert is None else self.convert(sent)


def plain_value(value: Any) -> Any:
    """A Python value in the terms of JSON.

    Raises:
        NotPlain: There is no obvious way.
    """
    if isinstance(value, enum.Enum):
        return plain_value(value.value)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if -(2**63) <= value < 2**64:
            return int(value)
        raise NotPlain(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        raise NotPlain(value)
    if isinstance(value, (list, tuple)):
        return [plain_value(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain_value(item) for item in value), key=repr)
    if isinstance(value, dict):
        return {str(key): plain_value(item) for key, item in value.items()}
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, (decimal.Decimal, uuid.UUID)):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "dtype") and callable(getattr(value, "item", None)) and getattr(value, "ndim", None) == 0:
        return plain_value(value.item())
    raise NotPlain(value)


def plain_values(values: Any) -> list[Any]:
    """Several values, or none at all if one of them is not plain."""
    try:
        return [plain_value(value) for value in values]
    except (NotPlain, TypeError):
        return []


def keeping_null(convert: Convert) -> Convert:
    """The conversion, for what may be null as well."""
    return lambda value: None if value is None else convert(value)


def pointer_to(name: Any) -> str:
    """A member or an item as a step of a JSON pointer (RFC 6901)."""
    return "/" + str(name).replace("~", "~0").replace("/", "~1")


def text_of(error: BaseException) -> str:
    """What an exception says, or its type if that is nothing."""
    try:
        return (str(error) or type(error).__name__)[:2000]
    except Exception:  # an exception that cannot be printed
        return type(error).__name__


def is_upload(value: Any) -> bool:
    """Whether a value from the line is an uploaded file; the server lets no other object look like one."""
    return isinstance(value, dict) and value.keys() == _UPLOAD


def with_uploads(value: Any, make: Callable[..., Any]) -> Any:
    """The value, or list of values, with uploads as the objects that the model knows."""
    if is_upload(value):
        return make(**value)
    if isinstance(value, list) and any(is_upload(item) for item in value):
        return [make(**item) if is_upload(item) else item for item in value]
    return value


def _refuse(value: Any) -> Any:
    raise NotPlain(value)


def _same(one: Any, other: Any) -> bool:
    """Equal, and of equal types all the way down: 1 is neither True nor 1.0 here."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    return bool(one == other)


def _copy(value: Any) -> Any:
    is_model = any(hasattr(value, member) for member in ("model_fields_set", "__fields_set__"))  # of pydantic's
    is_object = (is_model or dataclasses.is_dataclass(value)) and not isinstance(value, type)
    if not is_object and not isinstance(value, (list, dict, set)):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # it holds an object of the author's own that cannot be copied
        return copy.copy(value)
