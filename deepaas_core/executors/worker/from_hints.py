"""Arguments spelled as type hints with defaults, explained by a Google or NumPy docstring."""

import collections.abc
import datetime
import decimal
import enum
import inspect
import os
import pathlib
import re
import sys
import typing
import uuid
from typing import Any, Callable, Optional

from . import compat, from_classes
from .checking import Described, checker, each, each_item, listed
from .declared import NOTHING, Convert, Declared, Plain, keeping_null, plain_values, with_uploads
from .from_classes import has_members

#: The server reads descriptions that are nested so deep; see ``domain.argument.MAX_NESTING``.
MAX_DEPTH = 20


def declare(parameter: inspect.Parameter, annotation: Any, explanation: str) -> Declared:
    """One argument.

    Args:
        parameter: A parameter of the hook.
        annotation: Its type hint; ``inspect.Parameter.empty`` without one.
        explanation: What the docstring says of it.
    """
    default = NOTHING if parameter.default is parameter.empty else parameter.default
    if annotation is parameter.empty:
        plain, convert = _of_default(default)
    else:
        plain, convert = describe(annotation)
    plain = {"name": parameter.name, **plain}
    if explanation and "help" not in plain:
        plain["help"] = explanation
    if default is NOTHING:
        plain["required"] = True
    elif default is None:
        plain["nullable"] = True
    if convert is not None and (plain.get("nullable") or not plain.get("opaque")):
        convert = keeping_null(convert)
    return Declared(_pruned(plain), convert, _constant(default))


def _pruned(plain: Plain, depth: int = 0) -> Plain:
    """A description that is no deeper than the server reads."""
    if depth >= MAX_DEPTH:
        return {member: value for member, value in plain.items() if member not in ("items", "properties")}
    if "items" in plain:
        plain["items"] = _pruned(plain["items"], depth + 1)
    if "properties" in plain:
        plain["properties"] = [_pruned(member, depth + 1) for member in plain["properties"]]
    return plain


def _constant(default: Any) -> Any:
    """A default of a parameter is a value even if it can be called."""
    return (lambda: default) if callable(default) else default


def _of_default(default: Any) -> Described:
    if default is NOTHING or default is None:
        return {"kind": "any"}, None
    found, convert = describe(type(default))
    return found, convert


def annotations(hook: Any) -> dict[str, Any]:
    """A hook's type hints; one that cannot be resolved here is left out, and stops no other."""
    function = inspect.unwrap(getattr(hook, "__func__", hook))
    if not hasattr(function, "__annotations__"):
        function = type(hook).__call__
    try:
        return dict(typing.get_type_hints(function, include_extras=True))
    except Exception:  # names that exist only for type checkers, syntax that this Python does not have
        pass
    found = {}
    for name, hint in getattr(function, "__annotations__", {}).items():
        try:
            found[name] = eval(hint, function.__globals__) if isinstance(hint, str) else hint  # the author's own words
        except Exception:
            continue
    return found


def describe(hint: Any) -> Described:
    """A type hint as plain data, and the conversion to it from a JSON-native value."""
    origin = typing.get_origin(hint)
    if hasattr(hint, "__metadata__"):
        return _annotated(hint)
    if hasattr(hint, "__supertype__"):
        return describe(hint.__supertype__)
    if origin is typing.Literal:
        return _literal(typing.get_args(hint)), None
    if _is_union(hint):
        return _union(typing.get_args(hint))
    if origin is not None and getattr(origin, "__name__", "") not in _FOREIGN and not has_members(origin):
        return _generic(origin, typing.get_args(hint))
    return _class(origin or hint)


def bare(hint: Any) -> Any:
    """A type hint without what bounds or explains it, and without that there may be none."""
    while True:
        others = [one for one in typing.get_args(hint) if one is not type(None)]
        if hasattr(hint, "__metadata__"):
            hint = hint.__origin__
        elif len(others) == 1 and _is_union(hint):
            hint = others[0]
        else:
            return hint


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) is typing.Union or type(hint).__name__ == "UnionType"


def converter_of(kind: str) -> Optional[Convert]:
    """The conversion that belongs to a kind by itself."""
    return _BY_KIND.get(kind)


def _class(hint: Any) -> Described:
    if not isinstance(hint, type):
        return {"kind": "any"}, None
    if issubclass(hint, enum.Enum):
        return _enum(hint)
    if hint.__name__ in ("UploadedFile", "FileStorage"):
        return {"kind": "file"}, _upload
    foreign = _FOREIGN.get(hint.__name__)
    if foreign is not None and hint.__module__.split(".")[0] in ("numpy", "pandas"):
        return {"kind": foreign[0]}, lambda value: foreign[1](hint, value)
    if has_members(hint):
        return from_classes.described(hint, describe, explanations)
    for python, kind in _KINDS:
        if issubclass(hint, python):
            return {"kind": kind}, _CONVERT.get(python)
    if issubclass(hint, tuple):
        return {"kind": "array"}, tuple
    if issubclass(hint, (set, frozenset)):
        return {"kind": "array"}, hint
    return {"kind": "any"}, None


def _seconds(value: Any) -> datetime.timedelta:
    return datetime.timedelta(seconds=float(value))


def _datetime(value: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)


def _upload(value: Any) -> Any:
    return with_uploads(value, compat.uploaded_file())


def _array(_: type, value: Any) -> Any:
    numpy = sys.modules["numpy"]
    try:
        array = numpy.asarray(value)
        return array.astype(float) if array.dtype == object else array  # with null among numbers, which is NaN
    except (TypeError, ValueError):
        raise ValueError("Must be a list of values of one type, or of equally long lists.") from None


def _table(hint: type, value: Any) -> Any:
    """A frame of a list of records, of columns by name, or of a single record."""
    if isinstance(value, hint):
        return value
    if isinstance(value, dict) and not any(isinstance(column, (list, dict)) for column in value.values()):
        value = [value]
    try:
        return hint(value)
    except Exception as error:
        raise ValueError(f"Must be a list of records, or columns of equal length by name: {error}.") from None


#: Classes that JSON values become, by name, since their modules may not be there: the kind, and how.
_FOREIGN: "dict[str, tuple[str, Callable[[type, Any], Any]]]" = {
    "ndarray": ("array", _array),
    "Series": ("any", lambda hint, value: hint(value)),
    "DataFrame": ("any", _table),
}

#: In this order: a bool is also an int, a datetime also a date.
_KINDS: list[tuple[type, str]] = [
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (str, "string"),
    (bytes, "string"),
    (datetime.datetime, "datetime"),
    (datetime.date, "date"),
    (datetime.time, "time"),
    (datetime.timedelta, "duration"),
    (uuid.UUID, "uuid"),
    (decimal.Decimal, "decimal"),
    (pathlib.PurePath, "string"),
    (list, "array"),
    (dict, "object"),
]
_CONVERT: dict[type, Convert] = {
    bytes: lambda value: value.encode(),
    datetime.datetime: _datetime,
    datetime.date: datetime.date.fromisoformat,
    datetime.time: datetime.time.fromisoformat,
    datetime.timedelta: _seconds,
    uuid.UUID: uuid.UUID,
    decimal.Decimal: decimal.Decimal,
    pathlib.PurePath: pathlib.Path,
}
_BY_KIND: dict[str, Convert] = {kind: _CONVERT[python] for python, kind in _KINDS if python in _CONVERT}
del _BY_KIND["string"]


def _enum(hint: Any) -> Described:
    members = list(hint)
    values = plain_values(one.value for one in members)
    kinds = {_kind_of(value) for value in values}
    if values and kinds <= {"string", "integer", "number"}:
        by_value = dict(zip(values, members))
        return {"kind": kinds.pop() if len(kinds) == 1 else "any", "choices": values}, by_value.__getitem__
    names = [one.name for one in members]
    return {"kind": "string", "choices": names}, hint.__getitem__


def _literal(values: tuple[Any, ...]) -> Plain:
    plain: Plain = {"choices": plain_values(value for value in values if value is not None)}
    kinds = {_kind_of(value) for value in plain["choices"]}
    plain["kind"] = kinds.pop() if len(kinds) == 1 else "any"
    if None in values:
        plain["nullable"] = True
    return plain


def _kind_of(value: Any) -> str:
    return next((kind for python, kind in _KINDS if isinstance(value, python)), "any")


def _union(members: tuple[Any, ...]) -> Described:
    nullable = type(None) in members
    hints = [one for one in members if one is not type(None)]
    others = [describe(one) for one in hints]
    if len(others) == 1:
        plain, convert = dict(others[0][0]), others[0][1]
    elif {plain["kind"] for plain, _ in others} == {"integer", "number"}:
        plain, convert = {"kind": "number"}, None
    elif all(plain["kind"] == "string" and plain.keys() <= {"kind"} for plain, _ in others):
        plain, convert = {"kind": "string"}, None
    elif any(map(has_members, hints)):
        plain, convert = {"kind": "any", "opaque": True}, _first_that_fits(hints, others)
    else:
        plain, convert = {"kind": "any"}, None
    if nullable:
        plain["nullable"] = True
    return plain, keeping_null(convert) if convert is not None and nullable else convert


def _first_that_fits(hints: list[Any], others: list[Described]) -> Convert:
    checks = [checker(one) for one in others]
    names = [getattr(one, "__name__", str(one)) for one in hints]

    def converted(value: Any) -> Any:
        for check in checks:
            try:
                return check(value)
            except Exception:  # whatever the author's type raises, it refuses
                continue
        raise ValueError(f"Must be a {' or a '.join(names)}.")

    return converted


def _generic(origin: Any, arguments: tuple[Any, ...]) -> Described:
    if not isinstance(origin, type):
        return {"kind": "any"}, None
    if issubclass(origin, collections.abc.Mapping):
        return {"kind": "object"}, _values_converter(checker(describe(arguments[1])) if len(arguments) == 2 else None)
    if issubclass(origin, tuple):
        return _tuple(arguments)
    if issubclass(origin, os.PathLike):
        return {"kind": "string"}, None
    if not issubclass(origin, collections.abc.Iterable):
        return {"kind": "any"}, None
    make = origin if issubclass(origin, (set, frozenset, collections.deque)) else list
    if not arguments or isinstance(arguments[0], typing.TypeVar):
        return {"kind": "array"}, None if make is list else make
    items, convert = describe(arguments[0])
    return {"kind": "array", "items": {"name": "", **items}}, _items_converter(make, convert)


def _tuple(arguments: tuple[Any, ...]) -> Described:
    if not arguments:
        return {"kind": "array"}, tuple
    if arguments[-1] is Ellipsis or len(set(arguments)) == 1:
        items, convert = describe(arguments[0])
        plain: Plain = {"kind": "array", "items": {"name": "", **items}}
        converted = _items_converter(tuple, convert)
    else:
        places = [(place, checker(describe(one))) for place, one in enumerate(arguments)]
        plain = {"kind": "array"}
        converted = lambda values: tuple(  # noqa: E731
            each((place, value, check) for (place, check), value in zip(places, listed(values))).values()
        )
    if arguments[-1] is not Ellipsis:
        plain["min_length"] = plain["max_length"] = len(arguments)
    return plain, converted


def _items_converter(make: Callable[..., Any], convert: Optional[Convert]) -> Optional[Convert]:
    if convert is None:
        return None if make is list else make
    return lambda values: make(each_item(listed(values), convert))


def _values_converter(convert: Optional[Convert]) -> Optional[Convert]:
    if convert is None:
        return None

    def converted(members: Any) -> dict[Any, Any]:
        if not isinstance(members, dict):
            raise ValueError("Must be an object.")
        return each((name, member, convert) for name, member in members.items())

    return converted


# Annotated[…]: bounds as annotated_types, pydantic, msgspec and marshmallow's validators name them.


def _annotated(hint: Any) -> Described:
    plain, convert = describe(hint.__origin__)
    plain = dict(plain)
    for note in hint.__metadata__:
        if isinstance(note, str):
            plain["help"] = note
            continue
        for one in (note, *getattr(note, "metadata", ())) if not isinstance(note, dict) else ():
            _bound(plain, one)
    return plain, convert


def _bound(plain: Plain, note: Any) -> None:
    for attribute, member, exclusive in _BOUNDS:
        limit = getattr(note, attribute, None)
        if isinstance(limit, (int, float)) and not isinstance(limit, bool) and plain_values([limit]):
            plain[member] = limit
            if exclusive or getattr(note, f"{attribute}_inclusive", True) is False:
                plain[f"exclusive_{member}"] = True
    for attribute in ("min_length", "max_length"):
        if isinstance(getattr(note, attribute, None), int):
            plain[attribute] = getattr(note, attribute)
    if type(note).__name__ == "Length":
        for end in ("minimum", "maximum"):
            if end in plain:
                plain[end[:3] + "_length"] = plain.pop(end)
    description = getattr(note, "description", None)
    if isinstance(description, str):
        plain["help"] = description
    choices = plain_values(getattr(note, "choices", None) or ())
    if choices:
        plain["choices"] = choices
    pattern = getattr(getattr(note, "regex", None), "pattern", getattr(note, "pattern", None))
    if isinstance(pattern, str):
        plain["pattern"] = pattern


_BOUNDS = (
    ("ge", "minimum", False),
    ("gt", "minimum", True),
    ("min", "minimum", False),
    ("le", "maximum", False),
    ("lt", "maximum", True),
    ("max", "maximum", False),
)


# Docstrings.

_SECTION = re.compile(r"^(Args|Arguments|Attributes|Parameters|Keyword Args|Keyword Arguments|Other Parameters):?\s*$")
_HEADING = re.compile(r"^[A-Z][A-Za-z ]+:\s*$")
_GOOGLE = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")
_NUMPY = re.compile(r"^(\w+(?:\s*,\s*\w+)*)\s*(?::.*)?$")


def explanations(docstring: str) -> dict[str, str]:
    """What a Google or NumPy docstring says of each parameter."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    found: dict[str, str] = {}
    for number, line in enumerate(lines):
        if not _SECTION.match(line):
            continue
        underlined = number + 1 < len(lines) and re.match(r"^-{3,}\s*$", lines[number + 1])
        found.update(_numpy(lines[number + 2 :]) if underlined else _google(lines[number + 1 :]))
    return found


def _google(lines: list[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    indent, name = None, ""
    for line in lines:
        if not line.strip():
            continue
        depth = len(line) - len(line.lstrip())
        if depth == 0:
            break
        indent = depth if indent is None else indent
        match = _GOOGLE.match(line.strip()) if depth <= indent else None
        if match:
            name = match.group(1)
            found[name] = [match.group(2)]
        elif name:
            found[name].append(line.strip())
    return {name: " ".join(text).strip() for name, text in found.items()}


def _numpy(lines: list[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        if line[0].isspace():
            for name in names:
                found[name].append(line.strip())
            continue
        if number + 1 < len(lines) and re.match(r"^-{3,}\s*$", lines[number + 1]):
            break
        match = _NUMPY.match(line)
        if not match or _HEADING.match(line):
            break
        names = [name.strip() for name in match.group(1).split(",")]
        found.update({name: [] for name in names})
    return {name: " ".join(text).strip() for name, text in found.items()}
