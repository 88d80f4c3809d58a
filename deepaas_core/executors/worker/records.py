"""Many records in one call, and one answer to each of them.

A function gets them as its author wrote it: all at once, as a frame, an array or a list, if its first parameter says so
by its type hint or its name; else one by one, by the names of its parameters. What is wrong with one record spoils no
other: functions that take them all at once and fail are called again with halves, down to the one to blame.
"""

import collections.abc
import re
import sys
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple, Optional, Union

from . import arrays, encoding, frameworks, from_hints, responses, scoring
from .declared import Convert, Unfit, pointer_to
from .describing import DICTIONARY, Description, Invalid, shape_of
from .from_classes import has_members
from .raised import Refusal, refusal_for
from .scripts import Script

#: Calls that are made besides the first to find out which of the records are to blame, at most.
MAX_TRIES = 200
#: Errors that are told in full, and characters of the messages of those after them.
MAX_TOLD, MAX_SHORT_CHARS = 100, 200
#: Parameters that take all records at once, and those that take one, whole.
MANY = re.compile(r"rows|records|features|instances|samples|X|(\w+_)?df|frame|data_?frame|new_?data")
ONE = ("data", "row", "record", "instance", "sample", "observation")
_FRAME = re.compile(r"(\w+_)?df|frame|data_?frame|new_?data")
_SEQUENCES = (list, tuple, collections.abc.Sequence)

Run = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
#: A record's result, in a tuple so that it is never taken for something else, or why it has none.
Outcome = Union[Refusal, tuple[Any]]
Record = dict[str, Any]


class Gather(NamedTuple):
    """How many records are given at once.

    Attributes:
        name: The parameter that takes them.
        make: What makes that of them.
        convert: What makes an object of each before, if the hint names a class for them; it refuses those that do not
            fit.
    """

    name: str
    make: Callable[[list[Any]], Any]
    convert: Optional[Convert] = None


class Records:
    """Answers calls with records for one model.

    Args:
        description: The inspected plugin.
        endpoint: What is declared of inputs and outputs; features as dicts.
        run: Calls a function of the model, waiting for it if it is asynchronous; raises ``Refusal``.
        max_result_bytes: Largest encoded result.
    """

    def __init__(self, description: Description, endpoint: Mapping[str, Any], run: Run, max_result_bytes: int):
        self._description = description
        self._outputs: Sequence[Mapping[str, Any]] = endpoint.get("outputs") or ()
        self._inputs = [str(one["name"]) for one in endpoint.get("inputs") or ()]
        self._run = run
        self._max_result_bytes = max_result_bytes
        self._gather: Optional[Gather] = None
        self._whole: Optional[str] = None
        if description.script is not None:
            self._find_ways(description.script)

    def answer(self, records: Any, values: Mapping[str, Any], marked: bool) -> "tuple[bytes, list[tuple[int, Any]]]":
        """One JSON array, with null where a record has no answer, and why those have none.

        Args:
            records: What the call's body says.
            values: What all records have in common, JSON-native.
            marked: Some values may stand for arrays.

        Raises:
            Refusal: The call as a whole cannot be answered.
        """
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise Refusal("malformed", message="Records must be a JSON array of objects.")
        outcomes: list[Optional[Outcome]] = [None] * len(records)
        sound: list[Record] = []
        places: list[int] = []
        for place, record in enumerate(records):
            try:
                sound.append(_restored(record) if marked else record)
                places.append(place)
            except Invalid as error:
                outcomes[place] = Refusal("invalid", issues=error.issues)
        for place, outcome in zip(places, self._outcomes(sound, values) if sound else ()):
            outcomes[place] = outcome
        return self._encoded([outcome for outcome in outcomes if outcome is not None])

    def _outcomes(self, records: list[Record], values: Mapping[str, Any]) -> list[Outcome]:
        hooks = self._description.hooks
        if self._description.script is not None:
            if self._gather is not None and self._gather.name not in records[0]:
                return self._together("predict", records, values, self._gather)
            return [self._alone(record, values) for record in records]
        for hook in ("predict_batch", "predict_data", "predict"):
            if hook in hooks:
                break
        else:
            raise Refusal("missing")
        if hook == "predict_batch":
            gather = _gather_as(_hint(hooks[hook]), "rows", self._inputs) or Gather("rows", list)
            return self._together(hook, records, values, gather)
        return [self._of_model(hook, record, values) for record in records]

    # All at once.

    def _find_ways(self, script: Script) -> None:
        """See how a script's function takes many records at once, and which parameter takes a single one whole."""
        if script.gather is not None:
            self._gather = Gather(*script.gather)
            return
        shape = shape_of(script.predict)
        name = next(iter(shape.positional), None)
        if name is None:
            return
        hint = _hint(script.predict)
        is_mapping = (typing.get_origin(hint) or hint) in (dict, collections.abc.Mapping)
        if is_mapping or has_members(hint) or name in ONE:
            self._whole = name
        needs_more = (
            sum(one.default is one.empty and one.name in shape.positional for one in shape.parameters or ()) > 1
        )
        if not needs_more or MANY.fullmatch(name) or "DataFrame" in str(hint):
            self._gather = _gather_as(hint, name, self._inputs)

    def _together(self, hook: str, records: list[Record], values: Mapping[str, Any], gather: Gather) -> list[Outcome]:
        function = self._description.hooks[hook]
        unknown = [key for key in values if key not in self._description.declared[hook]]
        if unknown and hook not in self._description.any_keyword:
            raise Invalid([(pointer_to(key), "Unknown argument.") for key in unknown])
        kwargs = self._description.deserialize(hook, values)
        tries = [MAX_TRIES]

        def attempt(part: list[Any]) -> list[Outcome]:
            try:
                value = self._run(lambda: function(gather.make(part), **kwargs), (), {})
                return [(one,) for one in scoring.split(_body(value), len(part), self._outputs)]
            except scoring.Unfit as error:
                return [Refusal("model", type="wrong result", message=str(error))] * len(part)
            except Refusal as refusal:
                if len(part) == 1 or tries[0] <= 0:
                    return [refusal] * len(part)
            tries[0] -= 2
            half = len(part) // 2
            return attempt(part[:half]) + attempt(part[half:])

        if gather.convert is None:
            return attempt(records)
        converted = [_converted(record, gather.convert) for record in records]
        sound = [one[0] for one in converted if not isinstance(one, Refusal)]
        outcomes = iter(attempt(sound) if sound else ())
        return [one if isinstance(one, Refusal) else next(outcomes) for one in converted]

    # One by one.

    def _alone(self, record: Record, values: Mapping[str, Any]) -> Outcome:
        function = self._description.hooks["predict"]
        try:
            if self._whole is not None and self._whole not in record:
                kwargs = self._with_whole(self._whole, record, values)
            else:
                kwargs = self._description.deserialize("predict", self._named({**values, **record}))
            return (_body(self._run(function, (), kwargs)),)
        except Invalid as error:
            return Refusal("invalid", issues=error.issues)
        except BaseException as error:
            return refusal_for(error)

    def _with_whole(self, name: str, record: Record, values: Mapping[str, Any]) -> Record:
        """The function's arguments for a record that it takes whole, under a name that no caller knows."""
        try:
            return self._description.deserialize("predict", {**values, name: record})
        except Invalid as error:
            inside = pointer_to(name) + "/"
            cut = len(inside) - 1
            raise Invalid([(at[cut:] if at.startswith(inside) else at, text) for at, text in error.issues]) from None

    def _named(self, given: Record) -> Record:
        """A record by the names of the function's parameters, which cannot have blanks or dots.

        Raises:
            Invalid: It has members that the function does not take, or has not what that needs.
        """
        declared = self._description.declared["predict"]
        if given.keys() != declared.keys():
            by_spelling = {re.sub(r"\W", "_", key): key for key in given if key not in declared}
            for name in declared:
                if name not in given and name in by_spelling:
                    given[name] = given.pop(by_spelling[name])
        issues = [
            (pointer_to(key), "This argument is required.") for key in declared if _lacks(declared[key], key, given)
        ]
        if "predict" not in self._description.any_keyword:
            issues += [(pointer_to(key), "Unknown argument.") for key in given if key not in declared]
        if issues:
            raise Invalid(issues)
        return given

    def _of_model(self, hook: str, record: Record, values: Mapping[str, Any]) -> Outcome:
        """An installed model's answer to one record."""
        function = self._description.hooks[hook]
        try:
            if hook == "predict_data":
                value = self._run(function, (record,), self._description.deserialize(hook, values))
            else:
                given = self._description.deserialize(hook, self._named({**values, **record}))
                in_one = self._description.styles.get(hook) == DICTIONARY
                value = self._run(function, (given,), {}) if in_one else self._run(function, (), given)
            return (frameworks.result_of(value, False).value,)
        except Invalid as error:
            return Refusal("invalid", issues=error.issues)
        except BaseException as error:
            return refusal_for(error)

    # The answer.

    def _encoded(self, outcomes: list[Outcome]) -> "tuple[bytes, list[tuple[int, Any]]]":
        rows: list[Any] = []
        refused: dict[int, Refusal] = {}
        for place, outcome in enumerate(outcomes):
            if isinstance(outcome, Refusal):
                refused[place] = outcome
                rows.append(None)
                continue
            try:
                rows.append(scoring.row(outcome[0], self._outputs) if self._outputs else outcome[0])
            except scoring.Unfit as error:
                refused[place] = Refusal("model", type="wrong result", message=str(error))
                rows.append(None)
            except BaseException as error:  # an object of the model's own may raise anything when it is looked at
                refused[place] = refusal_for(error)
                rows.append(None)
        try:
            body = encoding.encode(rows, self._max_result_bytes)
        except encoding.Unencodable:
            body = self._encoded_one_by_one(rows, refused)
        return body, _told_once(refused)

    def _encoded_one_by_one(self, rows: list[Any], refused: dict[int, Refusal]) -> bytes:
        pieces = []
        for place, value in enumerate(rows):
            try:
                pieces.append(encoding.encode(value, self._max_result_bytes))
            except encoding.Unencodable as error:
                refused[place] = Refusal("result", message=str(error))
                pieces.append(b"null")
        body = b"[" + b",".join(pieces) + b"]"
        if len(body) > self._max_result_bytes:
            raise Refusal("result", message=f"it is larger than {self._max_result_bytes} bytes as JSON")
        return body


def _told_once(refused: Mapping[int, Refusal]) -> "list[tuple[int, Any]]":
    """Why records have no answer, in order; a traceback with the first of its kind alone."""
    told: set[str] = set()
    found: list[tuple[int, Any]] = []
    for place in sorted(refused):
        error = dict(refused[place].error)
        if len(found) > MAX_TOLD and "message" in error:
            error["message"] = error["message"][:MAX_SHORT_CHARS]
        traceback = error.get("traceback")
        if traceback and (traceback in told or len(told) > 20):
            error["traceback"] = ""
        elif traceback:
            told.add(traceback)
        found.append((place, error))
    return found


def _restored(record: Record) -> Record:
    issues = []
    for key, value in record.items():
        try:
            record[key] = arrays.restored(value)
        except ValueError as error:
            issues.append((pointer_to(key), str(error)))
    if issues:
        raise Invalid(issues)
    return record


def _body(value: Any) -> Any:
    """A result without the response that it may be wrapped in.

    Raises:
        Refusal: The response says that there is none.
    """
    response = responses.opened(value)
    if response is None:
        return value
    if response.status >= 400:
        raise responses.refusal(response)
    return response.body


def _lacks(declared: Any, key: str, given: Mapping[str, Any]) -> bool:
    return key not in given and bool(declared.plain.get("required"))


def _hint(function: Callable[..., Any]) -> Any:
    """The type hint of a function's first parameter; None without one."""
    parameters = shape_of(function).parameters or ()
    return from_hints.bare(from_hints.annotations(function).get(parameters[0].name)) if parameters else None


def _converted(record: Record, convert: Convert) -> Outcome:
    try:
        return (convert(record),)
    except Exception as error:  # whatever the author's class raises, it refuses
        return Refusal("invalid", issues=Unfit.issues_of(error, ""))


def _gather_as(hint: Any, name: str, names: Sequence[str]) -> Optional[Gather]:
    """How a parameter of this type and name takes many records; None if it takes no more than one."""
    if "DataFrame" in str(hint):
        return Gather(name, lambda records: _frame(records, names))
    if "ndarray" in str(hint):
        return Gather(name, lambda records: _array(records, names))
    if (typing.get_origin(hint) or hint) in _SEQUENCES:
        items = from_hints.bare((typing.get_args(hint) or (dict,))[0])
        if (typing.get_origin(items) or items) in _SEQUENCES:
            return Gather(name, lambda records: [[record.get(key) for key in names or record] for record in records])
        if items in (int, float, str, bool):
            return None
        return Gather(name, list, from_hints.describe(items)[1] if has_members(items) else None)
    if hint is not None or not MANY.fullmatch(name):
        return None
    if _FRAME.fullmatch(name) or (name == "X" and "pandas" in sys.modules):
        return Gather(name, lambda records: _frame(records, names))
    if name == "X" and "numpy" in sys.modules:
        return Gather(name, lambda records: _array(records, names))
    return Gather(name, list)


def _frame(records: list[Record], names: Sequence[str]) -> Any:
    try:
        import pandas
    except ImportError:
        return records
    return pandas.DataFrame(records, columns=list(names) or None)


def _array(records: list[Record], names: Sequence[str]) -> Any:
    import numpy

    keys = list(names or records[0])
    if len(keys) == 1 and isinstance(records[0].get(keys[0]), (list, numpy.ndarray)):
        return numpy.asarray([record.get(keys[0]) for record in records])
    rows = [[record.get(key) for key in keys] for record in records]
    numeric = all(value is None or isinstance(value, (int, float)) for row in rows for value in row)
    return numpy.asarray(rows, dtype=float if numeric else None)
