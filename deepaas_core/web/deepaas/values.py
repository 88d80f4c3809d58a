"""What a client of DEEPaaS sends as an argument, and what is wrong with it in marshmallow's words.

DEEPaaS leaves that to the field objects of the model's author. Those are in the model's worker and have the last word
there; here the same rules are applied to what is known of them, so that a training is not begun with what cannot be
used, and all that is wrong is told at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from marshmallow import ValidationError, fields, validate

from deepaas_core.domain.arguments import Argument, Kind, Upload, issues
from deepaas_core.domain.checks import MAX_INTEGER, MIN_INTEGER, make_field
from deepaas_core.errors import InvalidInput

MISSING, NULL = "Missing data for required field.", "Field may not be null."
#: Lets any JSON through that can cross to the worker, unless it pretends to be a file.
_ANYTHING = make_field(Argument(name="", key="", opaque=True, nullable=True))


def check(arguments: Iterable[Argument], found: Mapping[str, Any]) -> dict[str, Any]:
    """Check what was found in a request, and fill in the defaults.

    Args:
        arguments: What the hook can be told.
        found: Values by key: text, JSON, or uploads.

    Returns:
        JSON-native values by key.

    Raises:
        InvalidInput: One issue for everything that is wrong, in marshmallow's words.
    """
    try:
        return _members(arguments, found, with_defaults=True, messages={})
    except ValidationError as error:
        raise InvalidInput(issues(error.messages)) from None


def _members(
    arguments: Iterable[Argument], found: Mapping[str, Any], *, with_defaults: bool, messages: dict[str, Any]
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for argument in arguments:
        key = argument.key
        if key in found:
            try:
                values[key] = _read(argument, found[key])
            except ValidationError as error:
                messages[key] = error.messages
        elif argument.required:
            messages[key] = [MISSING]
        elif with_defaults and argument.has_default and not argument.computed_default and argument.kind != Kind.FILE:
            values[key] = argument.default
    if messages:
        raise ValidationError(messages)
    return values


def _read(argument: Argument, sent: Any) -> Any:
    if argument.text:
        return make_field(argument).deserialize(sent)
    if sent is None:
        if argument.nullable or argument.opaque:
            return None
        raise ValidationError(NULL)
    sent = _ANYTHING.deserialize(sent)
    if isinstance(sent, Upload) and argument.kind not in (Kind.FILE, Kind.ANY):
        raise ValidationError(_COMPLAINTS.get(argument.kind, "Not a valid string."))
    if argument.opaque or argument.kind == Kind.FILE:
        return sent
    value = _READERS[argument.kind](argument, sent)
    _validate(argument, value)
    return value


_COMPLAINTS = {
    Kind.INTEGER: "Not a valid integer.",
    Kind.NUMBER: "Not a valid number.",
    Kind.BOOLEAN: "Not a valid boolean.",
    Kind.OBJECT: "Not a valid mapping type.",
}


def _validate(argument: Argument, value: Any) -> None:
    texts: list[Any] = []
    for validator in _validators(argument):
        try:
            validator(value)
        except ValidationError as error:
            texts += error.messages if isinstance(error.messages, list) else [error.messages]
    if texts:
        raise ValidationError(texts)


def _validators(argument: Argument) -> Iterable[Callable[[Any], Any]]:
    if argument.minimum is not None or argument.maximum is not None:
        bounds = validate.Range(
            argument.minimum,
            argument.maximum,
            min_inclusive=not argument.exclusive_minimum,
            max_inclusive=not argument.exclusive_maximum,
        )
        yield lambda value: bounds(float(value) if isinstance(value, str) else value)
    least, most = argument.min_length, argument.max_length
    if least is not None and least == most:
        yield validate.Length(equal=least)
    elif least is not None or most is not None:
        yield validate.Length(min=least, max=most)
    if argument.choices:
        yield validate.OneOf(argument.choices)


# One reader for every kind: from what was sent to a JSON-native value.


def _by(field: fields.Field[Any], native: Callable[[Any], Any] = lambda value: value) -> Callable[[Argument, Any], Any]:
    return lambda _, sent: native(field.deserialize(sent))


def _integer(_: Argument, sent: Any) -> int:
    value = _INTEGER.deserialize(sent)
    if isinstance(sent, bool) or not MIN_INTEGER <= value <= MAX_INTEGER:
        raise ValidationError("Not a valid integer.")
    return int(value)


def _duration(_: Argument, sent: Any) -> float:
    try:
        seconds = _NUMBER.deserialize(sent)
    except ValidationError:
        raise ValidationError("Not a valid period of time.") from None
    return int(seconds) if seconds.is_integer() else seconds


def _array(argument: Argument, sent: Any) -> list[Any]:
    inner = argument.items
    is_tuple = inner is not None and inner.opaque and argument.min_length == argument.max_length is not None
    if isinstance(sent, str) and (is_tuple or (inner is not None and inner.kind is Kind.OBJECT)):
        sent = _from_text(sent)
    if is_tuple and not isinstance(sent, list):
        raise ValidationError("Not a valid tuple.")
    items = sent if isinstance(sent, list) else [sent]
    if inner is None:
        return items
    values, messages = [], {}
    for place, item in enumerate(items):
        try:
            values.append(_read(inner, item))
        except ValidationError as error:
            messages[place] = error.messages
    if messages:
        raise ValidationError(messages)
    return values


def _object(argument: Argument, sent: Any) -> dict[str, Any]:
    """A JSON object, also where it comes as text: a form and a query have nothing else."""
    value = _from_text(sent) if isinstance(sent, str) else sent
    if not isinstance(value, dict):
        raise ValidationError(
            {"_schema": ["Invalid input type."]} if argument.properties else "Not a valid mapping type."
        )
    if not argument.properties:
        return value
    known = {member.key for member in argument.properties}
    unknown: dict[str, Any] = {key: ["Unknown field."] for key in value if key not in known}
    return _members(argument.properties, value, with_defaults=False, messages=unknown)


def _from_text(text: str) -> Any:
    try:
        return _ANYTHING.deserialize(orjson.loads(text))
    except (orjson.JSONDecodeError, RecursionError):
        return text


_INTEGER, _NUMBER = fields.Integer(), fields.Float()
_READERS: dict[Kind, Callable[[Argument, Any], Any]] = {
    Kind.STRING: _by(fields.String()),
    Kind.INTEGER: _integer,
    Kind.NUMBER: _by(_NUMBER),
    Kind.BOOLEAN: _by(fields.Boolean()),
    Kind.ARRAY: _array,
    Kind.OBJECT: _object,
    Kind.DATE: _by(fields.Date(), lambda value: value.isoformat()),
    Kind.DATETIME: _by(fields.DateTime(), lambda value: value.isoformat()),
    Kind.TIME: _by(fields.Time(), lambda value: value.isoformat()),
    Kind.DURATION: _duration,
    Kind.UUID: _by(fields.UUID(), str),
    Kind.DECIMAL: _by(fields.Decimal(), str),
    Kind.URL: _by(fields.Url()),
    Kind.EMAIL: _by(fields.Email()),
    Kind.ANY: lambda argument, sent: make_field(argument).deserialize(sent),
}
