"""The marshmallow fields that check what a caller sent, one for every kind of argument.

They give JSON-native values, since those cross to the worker, which turns them into what the author's hook wants:
a date that was checked stays ISO text. Text is understood where a query or a form can send nothing else (``"5"`` for an
integer, ``"null"`` or nothing for what may be null, JSON for arrays and objects).
"""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
from marshmallow import RAISE, Schema, ValidationError, fields, post_load, pre_load, validate

from deepaas_core.domain.argument import Argument, Kind

MAX_NESTING = 100
#: What the worker line carries: every 64-bit integer, signed or not.
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1
MAX_DIGITS = 1000
#: Arguments are checked one by one in the server; data that is larger than this is better sent as the data.
MAX_VALUES = 1_000_000


class Upload(dict[str, Any]):
    """An uploaded file, as the worker line tells of it: name, filename (the path), content_type, original_filename.

    A type of its own, so that a JSON object which merely looks like one can never name a file of the server.
    """

    MEMBERS = frozenset({"name", "filename", "content_type", "original_filename"})


def make_schema(arguments: Iterable[Argument], apply_defaults: bool = True, exact: bool = False) -> Schema:
    """Build the schema of a set of arguments: values by key in and out, anything undeclared refused.

    Args:
        arguments: Which.
        apply_defaults: Fill in what is left out.
        exact: The values are JSON, in which text is meant as text; a list of one may stand for a single value.
    """
    # Fields get names of our own: an argument may be called ``fields`` or ``a.b``, which marshmallow would trip over.
    by_name = {f"a{i}": make_field(argument, apply_defaults, exact) for i, argument in enumerate(arguments)}
    return _ArgumentsSchema.from_dict(by_name, name="Arguments")()


class _ArgumentsSchema(Schema):
    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "Unknown argument.", "type": "Must be an object."}  # noqa: RUF012 - marshmallow's way

    @pre_load
    def refuse_too_many(self, data: Any, **_: Any) -> Any:
        if isinstance(data, Mapping) and _is_too_large(data):
            raise ValidationError(f"The arguments hold more than {MAX_VALUES} values.")
        return data

    @post_load
    def by_key(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {str(self.fields[name].data_key): value for name, value in data.items()}


def make_field(argument: Argument, apply_defaults: bool = True, exact: bool = False) -> fields.Field[Any]:
    """The field that checks one argument; see ``make_schema``."""
    options: dict[str, Any] = {
        "data_key": argument.key or None,
        "required": argument.required,
        "allow_none": argument.nullable or argument.opaque,
        "metadata": _metadata(argument),
        "error_messages": {"required": "This argument is required.", "null": "Must not be null."},
    }
    applies = argument.has_default and not argument.computed_default and argument.kind is not Kind.FILE
    if applies and apply_defaults and not argument.required:
        options["load_default"] = argument.default
    if argument.opaque and argument.kind is not Kind.FILE:
        return _Opaque(**options)
    options["validate"] = _validators(argument)
    if exact:
        return _make_exact(argument, options)
    if argument.nullable and not argument.text:
        options["pre_load"] = [_null_from_text(argument)]
    return _FIELDS[argument.kind](argument, options) if not argument.text else _make_text(argument, options)


def _make_exact(argument: Argument, options: dict[str, Any]) -> fields.Field[Any]:
    if argument.kind is Kind.ANY:
        return _Opaque(**{**options, "allow_none": True})
    if argument.kind is Kind.ARRAY:
        inner = argument.items
        return _ExactArray(None if inner is None else make_field(inner, exact=True), **options)
    if argument.kind is Kind.OBJECT:
        return _make_exact_object(argument, options)
    options["pre_load"] = [_unwrapped]
    return _FIELDS[argument.kind](argument, options)


def _unwrapped(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _metadata(argument: Argument) -> dict[str, Any]:
    """What apispec copies into the OpenAPI document."""
    said: dict[str, Any] = {}
    if argument.help:
        said["description"] = argument.help
    if argument.has_default and not argument.secret:
        said["default"] = argument.default
    if argument.choices:
        said["enum"] = list(argument.choices)
    if argument.pattern is not None:
        said["pattern"] = argument.pattern
    if argument.kind in _FORMATS:
        said.update(type="string", format=_FORMATS[argument.kind])
    if argument.secret:
        said.update({"x-secret": True, "format": "password"})
    return said


_FORMATS = {
    Kind.DATE: "date",
    Kind.DATETIME: "date-time",
    Kind.TIME: "time",
    Kind.UUID: "uuid",
    Kind.URL: "uri",
    Kind.EMAIL: "email",
    Kind.FILE: "binary",
}


def _null_from_text(argument: Argument) -> Callable[[Any], Any]:
    """A query can say null only as text; a choice of that very text is still a choice."""
    nulls = {"", "null"}.difference(choice for choice in argument.choices if isinstance(choice, str))
    return lambda value: None if isinstance(value, str) and value in nulls else value


# Validators: what holds beside being of the kind.


def _validators(argument: Argument) -> list[Callable[[Any], Any]]:
    validators: list[Callable[[Any], Any]] = []
    if argument.choices:
        validators.append(validate.OneOf(argument.choices))
    if argument.minimum is not None or argument.maximum is not None:
        validators.append(_bounds(argument))
    if argument.min_length is not None or argument.max_length is not None:
        validators.append(_Length(min=argument.min_length, max=argument.max_length))
    return validators


class _Bounds(validate.Range):
    """A range, also for numbers that are kept as text."""

    def __call__(self, value: Any) -> Any:
        number = value
        if isinstance(value, str):
            number = _decimal(value)
        if not isinstance(number, int | float | decimal.Decimal) or isinstance(number, bool):
            raise ValidationError("Must be a number.")
        super().__call__(number)
        return value


class _Length(validate.Length):
    """Bounds of a length, for what has one."""

    def __call__(self, value: Any) -> Any:
        return super().__call__(value) if isinstance(value, str | list | dict) else value


def _bounds(argument: Argument) -> _Bounds:
    return _Bounds(
        min=argument.minimum,
        max=argument.maximum,
        min_inclusive=not argument.exclusive_minimum,
        max_inclusive=not argument.exclusive_maximum,
    )


# Fields.


class _Opaque(fields.Raw):
    """Whatever JSON can say, unchanged: the author's own field class decides."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        return plain(value)


class _Any(fields.Raw):
    """Any JSON value; text that holds JSON is decoded."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        return plain(_decoded(value, value))


class _File(fields.Raw):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        if not isinstance(value, Upload):
            raise ValidationError("Must be an uploaded file.")
        return value


class _Text(fields.String):
    """The characters as they were sent; of anything else, its JSON text."""

    def deserialize(self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any) -> Any:
        return super().deserialize("null" if value is None else value, attr, data, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        if isinstance(value, str):
            return plain(value)
        if isinstance(value, Upload):
            raise ValidationError("Must not be a file.")
        return orjson.dumps(plain(value)).decode()


class _String(fields.String):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        if not isinstance(value, str):
            raise ValidationError("Must be a string.")
        return plain(value)


class _Integer(fields.Integer):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        return _integer(value)


class _Number(fields.Float):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        return _number(value)


class _Duration(_Number):
    """Seconds."""


class _Decimal(fields.Decimal):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValidationError("Must be a decimal number.")
        number = _decimal(str(value))
        if number is None:
            raise ValidationError("Must be a decimal number.")
        return str(number)


class _Boolean(fields.Boolean):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        if isinstance(value, str | bool) or (isinstance(value, int) and value in (0, 1)):
            if value in self.truthy:
                return True
            if value in self.falsy:
                return False
        raise ValidationError("Must be true or false.")


class _Date(fields.Date):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        return _iso(value, datetime.date.fromisoformat, "Must be a date such as 2024-12-31.")


class _DateTime(fields.DateTime):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        return _iso(value, datetime.datetime.fromisoformat, "Must be a date and time such as 2024-12-31T23:59:00Z.")


class _Time(fields.Time):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        return _iso(value, datetime.time.fromisoformat, "Must be a time such as 23:59:00.")


class _UUID(fields.UUID):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        try:
            return str(uuid.UUID(value))
        except (ValueError, AttributeError, TypeError):
            raise ValidationError("Must be a UUID.") from None


class _Url(_String):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            parts = urlsplit(text)
            whole = bool(parts.scheme and parts.hostname) and not any(c.isspace() for c in text)
        except ValueError:
            whole = False
        if not whole:
            raise ValidationError("Must be a URL such as https://example.org/a.")
        return text


class _Email(_String):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        before, _, after = text.rpartition("@")
        if not before or not after or any(c.isspace() for c in text):
            raise ValidationError("Must be an e-mail address.")
        return text


class _Array(fields.List[Any]):
    """Repeated values, a JSON array, or text that holds one; a single value is a list of one."""

    def __init__(self, inner: fields.Field[Any], split: bool, **options: Any):
        super().__init__(inner, **options)
        self._split = split

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        values = list(value) if isinstance(value, list | tuple) else [value]
        if len(values) == 1 and isinstance(values[0], str):
            values = self._from_text(values[0])
        return super()._deserialize(values, attr, data, **kwargs)

    def _from_text(self, text: str) -> list[Any]:
        decoded = None if isinstance(self.inner, _Text) else _decoded(text, None)
        if isinstance(decoded, list):
            return decoded
        if self._split and not text.strip():
            return []
        return list(text.split(",")) if self._split else [text]


class _ExactArray(fields.List[Any]):
    """A JSON array and nothing else; what its items are may be left open."""

    def __init__(self, inner: fields.Field[Any] | None, **options: Any):
        super().__init__(inner or fields.Raw(), **options)
        self._checks_items = inner is not None

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, list):
            raise ValidationError("Must be a list.")
        return super()._deserialize(value, attr, data, **kwargs) if self._checks_items else plain(value)


class _Object(fields.Dict):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        return plain(_object(value))


class _ExactObject(fields.Dict):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> Any:
        if not isinstance(value, dict) or isinstance(value, Upload):
            raise ValidationError("Must be an object.")
        return plain(value)


class _Members(fields.Nested):
    """An object whose members are declared."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, partial: Any = None, **kwargs: Any) -> Any:
        return super()._deserialize(_object(value), attr, data, partial, **kwargs)


class _ExactMembers(_Members):
    def _deserialize(self, value: Any, attr: str | None, data: Any, partial: Any = None, **kwargs: Any) -> Any:
        if isinstance(value, str):
            raise ValidationError("Must be an object.")
        return super()._deserialize(value, attr, data, partial, **kwargs)


def _make_text(argument: Argument, options: dict[str, Any]) -> fields.Field[Any]:
    return _make_array(argument, options) if argument.kind is Kind.ARRAY else _Text(**options)


def _make_array(argument: Argument, options: dict[str, Any]) -> fields.Field[Any]:
    inner = argument.items or Argument(name="", key="", text=argument.text)
    splits = inner.kind in (Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN) and not inner.text and not inner.opaque
    return _Array(make_field(inner), splits, **options)


def _make_object(argument: Argument, options: dict[str, Any]) -> fields.Field[Any]:
    if not argument.properties:
        return _Object(**options)
    return _Members(make_schema(argument.properties, apply_defaults=False), **options)


def _make_exact_object(argument: Argument, options: dict[str, Any]) -> fields.Field[Any]:
    if not argument.properties:
        return _ExactObject(**options)
    return _ExactMembers(make_schema(argument.properties, apply_defaults=False, exact=True), **options)


def _plainly(cls: Callable[..., fields.Field[Any]]) -> Callable[[Argument, dict[str, Any]], fields.Field[Any]]:
    return lambda argument, options: cls(**options)


_FIELDS: dict[Kind, Callable[[Argument, dict[str, Any]], fields.Field[Any]]] = {
    Kind.STRING: _plainly(_String),
    Kind.INTEGER: _plainly(_Integer),
    Kind.NUMBER: _plainly(_Number),
    Kind.BOOLEAN: _plainly(_Boolean),
    Kind.ARRAY: _make_array,
    Kind.OBJECT: _make_object,
    Kind.DATE: _plainly(_Date),
    Kind.DATETIME: _plainly(_DateTime),
    Kind.TIME: _plainly(_Time),
    Kind.DURATION: _plainly(_Duration),
    Kind.UUID: _plainly(_UUID),
    Kind.DECIMAL: _plainly(_Decimal),
    Kind.URL: _plainly(_Url),
    Kind.EMAIL: _plainly(_Email),
    Kind.FILE: _plainly(_File),
    Kind.ANY: _plainly(_Any),
}


# Values.


def _integer(value: Any) -> int:
    if isinstance(value, str):
        number = _decimal(value)
        value = int(number) if number is not None and _is_whole(number) else None
    elif isinstance(value, float):
        value = int(value) if math.isfinite(value) and value.is_integer() else None
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValidationError("Must be an integer.")
    if not MIN_INTEGER <= value <= MAX_INTEGER:
        raise ValidationError("Must be an integer of at most 64 bits.")
    return value


def _is_whole(number: decimal.Decimal) -> bool:
    """Whether it is an integer of a size worth writing out: ``1e999999`` is not."""
    return number.adjusted() < 40 and number == number.to_integral_value()


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValidationError("Must be a number.")
    try:
        if len(str(value)) > MAX_DIGITS:
            raise ValidationError("Must be a number.")
        number = float(value)
    except (ValueError, OverflowError):
        raise ValidationError("Must be a number.") from None
    if not math.isfinite(number):
        raise ValidationError("Must be a finite number.")
    return number


def _decimal(text: str) -> decimal.Decimal | None:
    if len(text) > MAX_DIGITS:
        return None
    try:
        number = decimal.Decimal(text.strip())
    except decimal.InvalidOperation:
        return None
    return number if number.is_finite() else None


def _iso(value: Any, parse: Callable[[str], Any], expected: str) -> str:
    if not isinstance(value, str):
        raise ValidationError(expected)
    try:
        return str(parse(value.strip()).isoformat())
    except ValueError:
        raise ValidationError(expected) from None


def _object(value: Any) -> Mapping[str, Any]:
    decoded = _decoded(value, value)
    if not isinstance(decoded, dict) or isinstance(decoded, Upload):
        raise ValidationError("Must be an object.")
    return decoded


def _decoded(value: Any, otherwise: Any) -> Any:
    """What JSON in a text says; anything else, and text that is not JSON, is ``otherwise``."""
    if not isinstance(value, str):
        return otherwise
    try:
        return orjson.loads(value)
    except (ValueError, RecursionError):
        return otherwise


def plain(value: Any, depth: int = 0) -> Any:
    """The value itself, once it is sure that it can be encoded and is no file in disguise.

    Raises:
        ValidationError: It says what is in the way.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _unicode(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Upload):
        return value
    if depth > MAX_NESTING:
        raise ValidationError(f"Must not be nested more than {MAX_NESTING} levels deep.")
    if isinstance(value, list):
        for item in value:
            plain(item, depth + 1)
        return value
    if isinstance(value, dict):
        if value.keys() == Upload.MEMBERS:
            raise ValidationError("Must be an uploaded file.")
        for key, member in value.items():
            _unicode(key)
            plain(member, depth + 1)
        return value
    raise ValidationError("Must be a JSON value.")


def _is_too_large(values: Mapping[str, Any]) -> bool:
    count, waiting = 0, [value for value in values.values() if isinstance(value, dict | list)]
    while waiting and count <= MAX_VALUES:
        inner = waiting.pop()
        count += len(inner)
        waiting += [
            one for one in (inner.values() if isinstance(inner, dict) else inner) if isinstance(one, dict | list)
        ]
    return count > MAX_VALUES


def _unicode(text: str) -> str:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError("Must be valid Unicode text.") from None
    return text
