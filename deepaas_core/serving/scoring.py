"""The use case of many rows: checked, put to an endpoint's part in calls of a good size, and answered in order."""

from __future__ import annotations

import asyncio
import time
import types
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import orjson

from deepaas_core import errors
from deepaas_core.domain.arguments import Arguments
from deepaas_core.domain.features import Checked, Checker
from deepaas_core.domain.loose import LooseChecker
from deepaas_core.domain.model import Capability, Model
from deepaas_core.domain.service import Endpoint
from deepaas_core.executors.base import Call
from deepaas_core.serving.once import once_of_each
from deepaas_core.serving.predictor import Predictor

#: Rows that are checked at once in the loop of the server; more, and pictures, are checked on a thread.
FEW = 50
#: Calls that are under way for one request.
AHEAD = 3
#: A table's first call is small, since nobody knows how long a row takes; the next ones aim at this.
FIRST_ROWS, GOOD_CALL_S = 50, 0.5
#: Rows that are named at most when a request is refused because of them.
MAX_ISSUES = 100

_RECORDS = {"form": "records"}


@dataclass(frozen=True)
class Portion:
    """What came of some rows.

    Attributes:
        count: How many rows they were.
        body: A JSON array with an answer to each; null for one that has none.
        refused: Why those have none, by position.
        duration_s: How long the model worked on them.
    """

    count: int
    body: bytes = b"[]"
    refused: Mapping[int, errors.DeepaasError] = field(default_factory=dict)
    duration_s: float = 0.0


@dataclass(frozen=True)
class Scored:
    """What one call with rows was given and what came of it, for whoever keeps that.

    Attributes:
        first: The place of its first row in the request.
        at: When its rows were taken up, as a Unix time.
        records: The rows as the model got them, and the keys by which something was fetched; None for one that was
            refused.
        portion: The answers; None if the call failed.
        error: Why it did.
        duration_s: Seconds from the call's beginning to its end.
    """

    first: int
    at: float
    records: Sequence[Mapping[str, Any] | None]
    portion: Portion | None
    error: BaseException | None
    duration_s: float


#: Is told of every call, before its answers go out.
Witness = Callable[[Scored], Awaitable[None]]


class Scorer:
    """Puts rows to one part of a generation.

    Args:
        predictor: Calls it.
        model: The part.
        endpoint: Whose part it is.
        values: Arguments that all rows have in common.
        timeout_s: The caller's own limit for each call.
        witness: Is told of every call; None if nobody wants to know.
    """

    def __init__(
        self,
        predictor: Predictor,
        model: Model,
        endpoint: Endpoint,
        values: Mapping[str, Any],
        timeout_s: float | None = None,
        witness: Witness | None = None,
    ):
        self.checker = _checker_of(endpoint, model.arguments_of(Capability.PREDICT))
        self._predictor, self._model = predictor, model
        self._values, self._timeout_s = values, timeout_s
        self._witness, self._taken = witness, 0

    @property
    def names(self) -> list[str]:
        """What a row may have; empty if that is not known."""
        return self.checker.names

    def missing(self, names: Collection[str]) -> list[errors.Issue]:
        """What a table with these columns lacks."""
        return self.checker.missing(names)

    async def score(self, rows: Sequence[Any]) -> Portion:
        """Answer rows that came as JSON; what is wrong with one spoils no other.

        Raises:
            DeepaasError: A call as a whole failed.
        """
        first, at = self._take(len(rows))
        checked = await self._check(rows)
        size = self.checker.call_rows
        if len(rows) <= size:
            return await self._witnessed(first, at, checked)
        parts = [
            Checked(
                checked.records[begin : begin + size],
                {place - begin: found for place, found in checked.issues.items() if begin <= place < begin + size},
            )
            for begin in range(0, len(rows), size)
        ]
        waiting = iter(enumerate(parts))

        async def following() -> Awaitable[Portion] | None:
            number, part = next(waiting, (0, None))
            return None if part is None else self._witnessed(first + number * size, at, part)

        async with aclosing(in_order(following)) as portions:
            return _joined([portion async for portion in portions])

    async def issues(self, rows: Sequence[Any]) -> Mapping[int, list[errors.Issue]]:
        """What is wrong with rows, before anybody is asked anything."""
        return (await self._check(rows)).issues

    async def score_cells(
        self,
        table: Mapping[str, Sequence[str]],
        count: int,
        comma: bool = False,
        wrong: Mapping[int, list[errors.Issue]] = types.MappingProxyType({}),
    ) -> Portion:
        """Answer rows that came as text; see ``score``.

        Args:
            table: The cells of each column.
            count: How many rows there are.
            comma: Whether a comma in a number is a decimal point.
            wrong: What is wrong with rows that could not even be read, by position.
        """
        first, at = self._take(count)
        checked = await self._check_cells(table, count, comma)
        for place, found in wrong.items():
            checked.records[place], checked.issues[place] = None, found
        return await self._witnessed(first, at, checked)

    def _take(self, count: int) -> tuple[int, float]:
        """The place of so many more rows in the request, and the time, by which they are in the same order.

        It is asked before anything is waited for, so that they keep both.
        """
        first = self._taken
        self._taken += count
        return first, time.time()

    async def _check(self, rows: Sequence[Any]) -> Checked:
        return await self._apart(len(rows), lambda: self.checker.check(rows))

    async def _check_cells(self, table: Mapping[str, Sequence[str]], count: int, comma: bool) -> Checked:
        return await self._apart(count, lambda: self.checker.check_cells(table, count, comma))

    async def _apart(self, count: int, check: Callable[[], Checked]) -> Checked:
        if count <= FEW and self.checker.call_rows > FEW:
            return check()
        return await asyncio.to_thread(check)

    def _noted(self, checked: Checked) -> Sequence[Mapping[str, Any] | None]:
        return checked.records

    async def _witnessed(self, first: int, at: float, checked: Checked) -> Portion:
        if self._witness is None:
            return await self._answer(checked)
        started = time.perf_counter()
        try:
            portion = await self._answer(checked)
        except BaseException as error:
            await self._witness(Scored(first, at, self._noted(checked), None, error, time.perf_counter() - started))
            raise
        await self._witness(Scored(first, at, self._noted(checked), portion, None, time.perf_counter() - started))
        return portion

    async def _answer(self, checked: Checked) -> Portion:
        sound = [record for record in checked.records if record is not None]
        refused: dict[int, errors.DeepaasError] = {
            place: errors.InvalidInput(found) for place, found in checked.issues.items()
        }
        if not sound:
            return Portion(len(checked.records), b"[" + b",".join([b"null"] * len(checked.records)) + b"]", refused)
        call = Call(Capability.PREDICT, self._values, _RECORDS, orjson.dumps(sound))
        prediction = await self._predictor.predict(self._model, call, self._timeout_s)
        body = prediction.body
        if not checked.issues:
            refused.update(prediction.refused)
        else:
            places = [place for place, record in enumerate(checked.records) if record is not None]
            refused.update({places[place]: error for place, error in prediction.refused.items()})
            answers = iter(orjson.loads(body))
            body = orjson.dumps([None if record is None else next(answers) for record in checked.records])
        return Portion(len(checked.records), body, refused, prediction.duration_s)


def _joined(portions: Sequence[Portion]) -> Portion:
    refused, at = {}, 0
    for portion in portions:
        refused.update({at + place: error for place, error in portion.refused.items()})
        at += portion.count
    bodies = [portion.body[1:-1] for portion in portions]
    return Portion(at, b"[" + b",".join(bodies) + b"]", refused, sum(portion.duration_s for portion in portions))


async def in_order(following: Callable[[], Awaitable[Awaitable[Portion] | None]]) -> AsyncGenerator[Portion, None]:
    """What comes of calls, in the order in which they are begun; some are under way at the same time.

    Args:
        following: Gives the next call, or None after the last.
    """
    under_way: deque[asyncio.Future[Portion]] = deque()
    call: Awaitable[Portion] | None = None
    more, ahead = True, 1  # what the first one tells is good to know before the next
    try:
        while True:
            while more and len(under_way) < ahead:
                call = await following()
                more = call is not None
                if call is not None:
                    under_way.append(asyncio.ensure_future(call))
            if not under_way:
                return
            yield await under_way.popleft()
            ahead = AHEAD
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


def refuse_whole(refused: Mapping[int, errors.DeepaasError], where: str = "/rows") -> None:
    """Refuse a request some of whose rows have no answer.

    Raises:
        InvalidInput: Rows are not as they must be; all of them are named.
        DeepaasError: The model failed with rows; its ``issues`` are those.
    """
    found = [
        errors.Issue(f"{where}/{place}{issue.pointer}", issue.detail)
        for place, error in sorted(refused.items())
        if isinstance(error, errors.InvalidInput)
        for issue in error.issues
    ]
    if found:
        raise errors.InvalidInput(found[:MAX_ISSUES])
    for place in sorted(refused):
        error = refused[place]
        error.issues = tuple(errors.Issue(f"{where}/{at}", str(refused[at])) for at in sorted(refused)[:MAX_ISSUES])
        raise error


@once_of_each(512)
def _checker_of(endpoint: Endpoint, arguments: Arguments) -> Checker | LooseChecker:
    if not endpoint.inputs:
        return LooseChecker(arguments)
    has_default = {key for key, argument in arguments.items() if argument.has_default or argument.computed_default}
    return Checker(endpoint.inputs, has_default)
