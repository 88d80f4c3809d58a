"""What a client of DEEPaaS sends as an argument, and what is wrong with it in marshmallow's words.

DEEPaaS leaves that to the field objects of the model's author. Those are in the model's worker and have the last word.
Here the same rules are applied to what is known of them, so that a busy model is not asked about what is plainly wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from marshmallow import ValidationError, fields, validate

from deepaas_core.domain.arguments import Argument, Kind, Upload, issues
from deepaas_core.domain.checks import MAX_INTEGER, MIN_INTEGER, make_field
from deepaas_core.errors import InvalidInput

MISSING, NULL = "Missing data for required field.", "Field may not be null."
#: Said of what is no object, at the place where marshmallow says what is wrong with an object as a whole.
OF_SCHEMA = "Invalid input type."
#: Lets any JSON through that can cross to the worker, unless it pretends to be a file.
_ANYTHING = make_field(Argument(name="", key="", opaque=True, nullable=True))


@dataclass(frozen=True)
class Values:
    """The arguments of a request.

    Attributes:
        native: JSON-native values by key, defaults included; as it was sent what seems to be wrong.
        wrong: What seems to be wrong, in marshmallow's words; None if nothing does.
        sure: The model's own fields could say nothing else.
    """

    native: dict[str, Any]
    wrong: InvalidInput | None
    sure: bool


def read(arguments: Iterable[Argument], found: Mapping[str, Any]) -> Values:
    """Check what was found in a request, and fill in the defaults.

    Args:
        arguments: What the hook can be told.
        found: Values by key: text, JSON, or uploads.
    """
    arguments, sure = list(arguments), True
    messages: dict[str, Any] = {}
    native = _members(arguments, found, with_defaults=True, messages=messages)
    if not messages:
        return Values(native, None, sure=True)
    wrong = InvalidInput(issues(messages))
    for argument in arguments:
        key = argument.key
        if key in messages and not argument.by_field:
            return Values(native, wrong, sure=True)
        if (key in found or key in messages) and argument.up_to_the_model:
            sure = False
        if key in found and key in messages:
            sure = sure and argument.kind not in _BY_VERSION
            try:
                native[key] = _as_sent(argument, found[key])
            except ValidationError:
                return Values(native, wrong, sure=True)
    return Values(native, wrong, sure)


def check(arguments: Iterable[Argument], found: Mapping[str, Any]) -> dict[str, Any]:
    """The values of ``read``, without asking the model.

    Raises:
        InvalidInput: Something seems to be wrong.
    """
    values = read(arguments, found)
    if values.wrong is not None:
        raise values.wrong
    return values.native


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
    return values


def _as_sent(argument: Argument, sent: Any) -> Any:
    """A value as the model's own field would have it from DEEPaaS, and an object also where it came as text.

    Raises:
        ValidationError: It must not go to the model, whatever its field says.
    """
    if sent is None:
        return None
    sent = _ANYTHING.deserialize(sent)
    if argument.kind is Kind.ARRAY and not argument.opaque:
        return _list_of(argument, sent)
    return _from_text(sent) if argument.kind is Kind.OBJECT and isinstance(sent, str) else sent


def _read(argument: Argument, sent: Any) -> Any:
    if argument.text:
        return make_field(argument).deserialize(sent)
    if sent is None:
        if argument.nullable or argument.opaque:
            return None
        raise ValidationError(NULL)
    sent = _ANYTHING.deserialize(sent)
    if argument.opaque or argument.kind == Kind.FILE:
        return sent
    value = _READERS[argument.kind](argument, sent)
    _validate(argument, value)
    return value


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
    def read(argument: Argument, sent: Any) -> Any:
        value = native(field.deserialize(sent))
        return sent if _is_for_the_model(argument) else value

    return read


def _is_for_the_model(argument: Argument) -> bool:
    """Whether the marshmallow that the model has is to read it as it was sent, for it may read it otherwise."""
    return argument.by_field and argument.kind in _BY_VERSION


def _integer(argument: Argument, sent: Any) -> int | str:
    value = _INTEGER.deserialize(sent)
    if isinstance(sent, bool):
        raise ValidationError("Not a valid integer.")
    if MIN_INTEGER <= value <= MAX_INTEGER:
        return int(value)
    if not argument.by_field:
        raise ValidationError("Not a valid integer.")
    return str(value)  # as a number it could not cross to the worker


def _duration(argument: Argument, sent: Any) -> Any:
    try:
        seconds = _NUMBER.deserialize(sent)
    except ValidationError:
        raise ValidationError("Not a valid period of time.") from None
    if _is_for_the_model(argument):
        return sent
    return int(seconds) if seconds.is_integer() else seconds


def _array(argument: Argument, sent: Any) -> list[Any]:
    items, inner = _list_of(argument, sent), argument.items
    if not isinstance(items, list):
        raise ValidationError("Not a valid tuple.")
    if inner is None:
        return items
    values, messages = [], {}
    for place, item in enumerate(items):
        try:
            if inner.kind is Kind.ARRAY and item is not None and not isinstance(item, list):
                raise ValidationError("Not a valid list.")
            values.append(_read(inner, item))
        except ValidationError as error:
            messages[place] = error.messages
    if messages:
        raise ValidationError(messages)
    return values


def _list_of(argument: Argument, sent: Any) -> Any:
    """What was sent for a list: one item alone is meant to be in one, which holds for tuples only if it is text."""
    inner = argument.items
    is_tuple = inner is not None and inner.opaque and argument.min_length == argument.max_length is not None
    if isinstance(sent, str) and (is_tuple or (inner is not None and inner.kind is Kind.OBJECT)):
        sent = _from_text(sent)
    return sent if is_tuple or isinstance(sent, list) else [sent]


def _object(argument: Argument, sent: Any) -> dict[str, Any]:
    """A JSON object, also where it comes as text: a form and a query have nothing else."""
    value = _from_text(sent) if isinstance(sent, str) else sent
    if not isinstance(value, dict) or isinstance(value, Upload):
        raise ValidationError({"_schema": [OF_SCHEMA]} if argument.properties else "Not a valid mapping type.")
    if not argument.properties:
        return value
    known = {member.key for member in argument.properties}
    messages: dict[str, Any] = {key: ["Unknown field."] for key in value if key not in known}
    values = _members(argument.properties, value, with_defaults=False, messages=messages)
    if messages:
        raise ValidationError(messages)
    return values


def _from_text(text: str) -> Any:
    """What has members or items, from its JSON text; any other text is what it is."""
    try:
        value = _ANYTHING.deserialize(orjson.loads(text))
    except (orjson.JSONDecodeError, RecursionError):
        return text
    return value if isinstance(value, dict | list) else text


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
#: What versions of marshmallow read, or refuse, in different ways.
_BY_VERSION = frozenset(
    {Kind.DATE, Kind.DATETIME, Kind.TIME, Kind.DURATION, Kind.UUID, Kind.DECIMAL, Kind.URL, Kind.EMAIL}
)
