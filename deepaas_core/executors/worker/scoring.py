"""What a model predicts, as rows of the outputs that its endpoint declares.

Models say the same thing in many ways: a class, the probabilities of the classes, both; a number, an array, a frame,
columns; for one record, or for many at once. A row is ``{output: value, …}``, and for outputs with classes there is
``"probabilities": {output: {class: p}}`` beside them, where the model gives any. Where it gives nothing else, the class
is the most probable one.

What does not fit is the model's own fault, and raises ``Unfit``.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Optional

PROBABILITIES = "probabilities"
#: What else authors call them.
_OTHER_NAMES = ("probas", "proba", "probability", "scores")
_PREFIX = "proba_"


class Unfit(Exception):
    """A result that does not fit the outputs that are declared."""


def split(value: Any, count: int, outputs: Sequence[Mapping[str, Any]] = ()) -> list[Any]:
    """What a function returned for many records at once, record by record.

    Args:
        value: A frame, columns by name, an array, a list; or classes and their probabilities, as a tuple of two.
        count: How many records there were.
        outputs: Features as dicts, in order.

    Raises:
        Unfit: It does not have one result a record.
    """
    if is_frame(value):
        value = value.to_dict("records")
    elif isinstance(value, Mapping):
        return _of_columns(value, count)
    elif _is_pair(value, count) and any(map(_has_classes, outputs)):
        return list(zip(split(value[0], count), split(value[1], count)))
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__") or getattr(value, "ndim", 1) == 0:
        raise Unfit(f"it returned {_kind(value)} for {_records(count)}, and no list of results")
    results = list(value)
    if len(results) != count:
        raise Unfit(f"it returned {len(results)} results for {_records(count)}")
    return results


def row(value: Any, outputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a function returned for one record, as a row of the outputs.

    Raises:
        Unfit: It does not fit them.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    elif hasattr(value, "to_dict") and not is_frame(value):  # a Series
        value = value.to_dict()
    if len(outputs) == 1:
        found = {outputs[0]["name"]: _single(value, outputs[0])}
    else:
        found = dict(zip((output["name"] for output in outputs), _several(value, outputs)))
    made: dict[str, Any] = {name: answer for name, (answer, _) in found.items()}
    probabilities = {name: shares for name, (_, shares) in found.items() if shares is not None}
    if probabilities:
        made[PROBABILITIES] = probabilities
    return made


def is_frame(value: Any) -> bool:
    """Whether it is a ``DataFrame``, of pandas or of somebody who behaves like it."""
    return hasattr(value, "to_dict") and hasattr(value, "columns")


_Found = tuple[Any, Optional[dict[str, Any]]]


def _single(value: Any, output: Mapping[str, Any]) -> _Found:
    """A value and its probabilities, where there is one output alone."""
    name = output["name"]
    if isinstance(value, Mapping):
        if name in value:
            return _classified(value[name], _told(value, name), output)
        if not _has_classes(output):
            raise Unfit(f"its result has no {name!r}; it has {_named(value)}")
        told = _told(value, name)
        return _classified(None, value if told is None else told, output)
    if _has_classes(output):
        if isinstance(value, tuple) and len(value) == 2 and _is_many_or_mapping(value[1]):
            return _classified(_scalar(value[0]), value[1], output)
        if _is_many(value) and len(value) > 1:
            return _classified(None, value, output)
    return _classified(value if output.get("type") == "array" else _scalar(value), None, output)


def _several(value: Any, outputs: Sequence[Mapping[str, Any]]) -> list[_Found]:
    if isinstance(value, Mapping):
        missing = [output["name"] for output in outputs if output["name"] not in value]
        if missing:
            raise Unfit(f"its result has no {missing[0]!r}; it has {_named(value)}")
        return [
            _classified(value[output["name"]], _of_output(_told(value, None), output["name"]), output)
            for output in outputs
        ]
    if not _is_many(value) or len(value) != len(outputs):
        names = ", ".join(str(output["name"]) for output in outputs)
        raise Unfit(f"its result is {_kind(value)}, from which {names} cannot be told")
    return [_classified(one, None, output) for one, output in zip(value, outputs)]


def _classified(value: Any, shares: Any, output: Mapping[str, Any]) -> _Found:
    """A value of an output as it is given to callers; of a class, with the probabilities."""
    if not _has_classes(output):
        return value, None
    classes = list(output.get("classes") or ())
    if shares is None and (isinstance(value, Mapping) or (_is_many(value) and len(value) > 1)):
        value, shares = None, value
    named = None if shares is None else _by_class(shares, classes, output["name"])
    value = _scalar(value)
    if value is None and named:
        value = _most_probable(named, classes)
    elif value is not None:
        value = _class(value, classes, output["name"])
    return value, named


def _class(value: Any, classes: Sequence[Any], name: str) -> Any:
    """The declared class that a model means: the class itself, its text, or its place among classes that are texts."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, Mapping) or _is_many(value):
        raise Unfit(f"{name!r} is {_kind(value)}, and no class")
    if not classes:
        return value
    for one in classes:
        if (value == one and isinstance(value, bool) == isinstance(one, bool)) or str(one) == str(value):
            return one
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if whole and all(isinstance(one, str) for one in classes) and 0 <= int(value) < len(classes):
        return classes[int(value)]
    raise Unfit(f"{value!r:.60} is none of the classes of {name!r}: {', '.join(map(str, classes))[:200]}")


def _by_class(shares: Any, classes: Sequence[Any], name: str) -> dict[str, Any]:
    if isinstance(shares, Mapping):
        texts = {_text(key): share for key, share in shares.items()}
        known = {str(one) for one in classes} or texts.keys()
        if not texts.keys() <= known:
            texts = {key[len(_PREFIX) :] if key.startswith(_PREFIX) else key: share for key, share in texts.items()}
        unknown = sorted(texts.keys() - known)
        if unknown:
            raise Unfit(f"{unknown[0]!r:.60} is none of the classes of {name!r}: {', '.join(sorted(known))[:200]}")
        return {str(one): _scalar(texts.get(str(one), 0.0)) for one in classes} if classes else texts
    if not _is_many(shares):
        raise Unfit(f"the probabilities of {name!r} are {_kind(shares)}")
    values = [_scalar(share) for share in shares]
    if len(values) != len(classes):
        declared = f"{len(classes)} classes" if classes else "no classes"
        raise Unfit(f"it gave {len(values)} probabilities for {name!r}, which declares {declared}")
    return {str(one): share for one, share in zip(classes, values)}


def _most_probable(shares: Mapping[str, Any], classes: Sequence[Any]) -> Any:
    known = {name: share for name, share in shares.items() if isinstance(share, (int, float)) and share == share}
    if not known:
        return None
    best = max(known, key=lambda name: known[name])
    return next((one for one in classes if str(one) == best), best)


def _told(value: Mapping[Any, Any], name: Optional[str]) -> Any:
    """The probabilities that a result tells beside the value: of one output, or by output."""
    given = next((value[word] for word in (PROBABILITIES, *_OTHER_NAMES) if word in value), None)
    return given if name is None else _of_output(given, name, alone=True)


def _of_output(given: Any, name: str, alone: bool = False) -> Any:
    if isinstance(given, Mapping) and _is_many_or_mapping(given.get(name)):
        return given[name]
    return given if alone else None


def _of_columns(columns: Mapping[Any, Any], count: int) -> list[Any]:
    """Columns by name as one dict a record."""
    lists: dict[Any, list[Any]] = {}
    for name, column in columns.items():
        if isinstance(column, Mapping) and name not in (PROBABILITIES, *_OTHER_NAMES):
            column = list(column.values())  # by the labels of rows, as ``DataFrame.to_dict`` gives them
        try:
            lists[name] = split(column, count)
        except Unfit as error:
            raise Unfit(f"of {name!r:.60}, {error}") from None
    return [{name: column[at] for name, column in lists.items()} for at in range(count)]


def _is_pair(value: Any, count: int) -> bool:
    """Whether these are classes and probabilities of so many records."""
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    return all((_is_many(part) or is_frame(part)) and len(part) == count for part in value)


def _has_classes(output: Mapping[str, Any]) -> bool:
    return output.get("type") == "categorical"


def _is_many(value: Any) -> bool:
    if isinstance(value, (str, bytes, Mapping)) or getattr(value, "ndim", 1) == 0:
        return False
    return hasattr(value, "__len__") and hasattr(value, "__iter__")


def _is_many_or_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) or _is_many(value)


def _scalar(value: Any) -> Any:
    """A plain value in place of an array or a list of one."""
    while _is_many(value) and len(value) == 1:
        value = next(iter(value))
    if hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0 and callable(getattr(value, "item", None)):
        return value.item()
    return value


def _text(key: Any) -> str:
    return str(_scalar(key))


def _named(value: Mapping[Any, Any]) -> str:
    return ", ".join(repr(key) for key in list(value)[:20]) or "nothing"


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    name = type(value).__name__
    return f"an {name}" if name[:1].lower() in "aeiou" else f"a {name}"


def _records(count: int) -> str:
    return "1 record" if count == 1 else f"{count} records"
