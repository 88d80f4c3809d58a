"""Values that the server passes on unchecked, for they are parts of what only a hint of the author's knows."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Callable, Optional

from .declared import Convert, Plain, Unfit, pointer_to

Described = tuple[Plain, Optional[Convert]]


def checker(described: Described) -> Convert:
    """What checks a JSON value by a description, and makes of it what the hint wants.

    It raises ``ValueError`` for a value that does not fit, or ``Unfit`` where that is about its parts.
    """
    plain, convert = described

    def check(value: Any) -> Any:
        value = checked(plain, value)
        if convert is None or (value is None and not plain.get("opaque")):
            return value
        try:
            return convert(value)
        except Unfit:
            raise
        except (ValueError, TypeError, ArithmeticError):
            if plain["kind"] in _MUST_BE:
                raise ValueError(_MUST_BE[plain["kind"]]) from None
            raise

    return check


def checked(plain: Plain, value: Any) -> Any:
    """A JSON value as its description wants it: an integer where 5.0 was sent, what is in a list of one.

    Raises:
        ValueError: It does not fit.
        Unfit: Some of its items do not.
    """
    kind = plain["kind"]
    if plain.get("opaque") or (value is None and (kind == "any" or plain.get("nullable"))):
        return value
    if value is None:
        raise ValueError("Must not be null.")
    if kind in _SCALARS:
        value = _SCALARS[kind](value[0] if isinstance(value, list) and len(value) == 1 else value)
    elif kind == "object" and not isinstance(value, dict):
        raise ValueError("Must be an object.")
    elif kind == "array" and not hasattr(listed(value), "__array__"):
        value = _items(plain, value)
    if plain.get("choices") and value not in plain["choices"]:
        raise ValueError(f"Must be one of: {', '.join(map(str, plain['choices']))}.")
    _bounded(plain, value)
    return value


def listed(value: Any) -> Any:
    """A value that has items, as a list or an array; refuses any other."""
    if not isinstance(value, (list, tuple)) and not hasattr(value, "__array__"):
        raise ValueError("Must be a list.")
    return value


def match(plain: Plain, value: Any) -> None:
    """Refuse text that is not of the pattern of a description, if that has one."""
    pattern = plain.get("pattern")
    if pattern is not None and isinstance(value, str) and not re.match(pattern, value):
        raise ValueError(f"Must match {pattern}.")


def _items(plain: Plain, value: Any) -> list[Any]:
    items = plain.get("items")
    return list(value) if items is None else each_item(value, lambda item: checked(items, item))


def each_item(values: Iterable[Any], convert: Convert) -> list[Any]:
    """The items of a list, converted; see ``each``."""
    return list(each((place, item, convert) for place, item in enumerate(values)).values())


def each(parts: Iterable[tuple[Any, Any, Convert]], issues: Sequence[tuple[str, str]] = ()) -> dict[Any, Any]:
    """The parts of a value, converted, by where they are; all that is wrong is told at once.

    Args:
        parts: Where each is, what it is, and what converts it.
        issues: What is wrong besides.

    Raises:
        Unfit: Some do not fit.
    """
    made: dict[Any, Any] = {}
    wrong = list(issues)
    for place, part, convert in parts:
        try:
            made[place] = convert(part)
        except Exception as error:  # whatever the author's type raises, it refuses
            wrong += Unfit.issues_of(error, pointer_to(place))
    if wrong:
        raise Unfit(wrong)
    return made


def _bounded(plain: Plain, value: Any) -> None:
    if isinstance(value, (int, float)):
        low, high = plain.get("minimum"), plain.get("maximum")
        if low is not None and (value < low or (value == low and plain.get("exclusive_minimum"))):
            raise ValueError(f"Must be greater than {'' if plain.get('exclusive_minimum') else 'or equal to '}{low}.")
        if high is not None and (value > high or (value == high and plain.get("exclusive_maximum"))):
            raise ValueError(f"Must be less than {'' if plain.get('exclusive_maximum') else 'or equal to '}{high}.")
    if isinstance(value, (str, list)):
        least, most = plain.get("min_length"), plain.get("max_length")
        if least is not None and len(value) < least:
            raise ValueError(f"Shorter than minimum length {least}.")
        if most is not None and len(value) > most:
            raise ValueError(f"Longer than maximum length {most}.")
    match(plain, value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("Must be a string.")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("Must be an integer.")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError("Must be a number.")
    return float(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("Must be true or false.")
    return value


def _decimal(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(_MUST_BE["decimal"])
    return str(value)


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "duration": _number,
    "decimal": _decimal,
    **dict.fromkeys(("date", "datetime", "time", "uuid", "url", "email"), _text),
}
_MUST_BE = {
    "date": "Must be a date such as 2024-12-31.",
    "datetime": "Must be a date and time such as 2024-12-31T23:59:00Z.",
    "time": "Must be a time such as 23:59:00.",
    "uuid": "Must be a UUID.",
    "decimal": "Must be a decimal number.",
}
