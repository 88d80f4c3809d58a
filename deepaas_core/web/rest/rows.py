"""Answers to many rows: as one JSON document, as a line of JSON each, or as CSV; files of rows piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from deepaas_core import errors
from deepaas_core.domain.service import Endpoint, Feature
from deepaas_core.serving.scoring import FIRST_ROWS, GOOD_CALL_S, Portion, Scorer, in_order, refuse_whole
from deepaas_core.telemetry.logs import request_id
from deepaas_core.web import negotiation, problems
from deepaas_core.web.observe import REQUEST_ID
from deepaas_core.web.records import Table
from deepaas_core.web.tabular import CSV, CsvReader, CsvWriter, ParquetReader

_PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class Answering:
    """How an answer is given.

    Attributes:
        media_type: JSON, NDJSON or CSV.
        show_model_errors: Whether the text of a model's exception may be told.
    """

    service: str
    version: str
    endpoint: Endpoint
    media_type: str
    show_model_errors: bool

    @property
    def member(self) -> str:
        """Where in the envelope the answers are."""
        return "rows" if self.endpoint.kind.takes_rows else "result"

    def head(self) -> bytes:
        """What stands before the answers."""
        if self.endpoint.bare:
            return b""
        head = {"service": self.service, "generation": self.version, "endpoint": self.endpoint.name}
        return orjson.dumps(head)[:-1] + b',"%b":' % self.member.encode()

    @property
    def tail(self) -> bytes:
        return b"" if self.endpoint.bare else b"}"

    def told(self, error: errors.DeepaasError) -> dict[str, Any]:
        """An error as it is told in the place of a row."""
        document = problems.describe(error, "", self.show_model_errors)
        return {name: document[name] for name in document if name != "request_id"}


def wanted_type(request: web.Request, csv_first: bool) -> str:
    """The media type in which the answers are wanted.

    Raises:
        NotAcceptable: None that they can be given in.
    """
    offered = (CSV, negotiation.JSON, negotiation.NDJSON) if csv_first else (negotiation.JSON, negotiation.NDJSON, CSV)
    chosen = negotiation.choose(request.headers.get("Accept", ""), offered)
    if chosen is None:
        raise errors.NotAcceptable(f"Rows can be given as {', '.join(offered)}.")
    return chosen


def answer_rows(portion: Portion, how: Answering, single: bool) -> web.Response:
    """The answer to rows that came as JSON, or to one alone."""
    if how.media_type != negotiation.JSON:
        writer = _Writer(how, ",")
        body = writer.head(portion) + writer.portion(portion) + writer.tail
        return web.Response(body=body, headers={"Content-Type": writer.content_type})
    body = portion.body
    if portion.refused:
        body = orjson.dumps(_answers(portion, how))
    if how.endpoint.bare and single:
        body = body[1:-1]
    return web.Response(body=how.head() + body + how.tail, content_type=negotiation.JSON)


async def answer_table(request: web.Request, table: Table, scorer: Scorer, how: Answering) -> web.StreamResponse:
    """Answer the rows of a file, a few at a time; a row that cannot be answered is told in its place.

    Raises:
        DeepaasError: The file as a whole cannot be used, or not even the first of it can be answered.
    """
    file = await asyncio.to_thread(table.open)
    with file:
        source = await asyncio.to_thread(_Parquet if table.is_parquet else _Csv, file, table, scorer)
        missing = scorer.missing(source.names)
        if missing:
            raise errors.InvalidInput(missing)
        async with aclosing(in_order(source.following)) as portions:
            first = await anext(portions, None) or Portion(0)
            source.begun = True
            if first.refused and len(first.refused) == first.count:
                _refuse_unless_rows(first)
            writer = _Writer(how, source.separator)
            response = web.StreamResponse(headers=_headers(writer, how))
            await response.prepare(request)
            await response.write(writer.head(first) + writer.portion(first))
            async for portion in portions:
                await response.write(writer.portion(portion))
            await response.write(writer.tail)
    await response.write_eof()
    return response


def _headers(writer: _Writer, how: Answering) -> dict[str, str]:
    return {
        "Content-Type": writer.content_type,
        "X-Service-Generation": how.version,
        "X-Content-Type-Options": "nosniff",
        REQUEST_ID: request_id.get(),
    }


def _refuse_unless_rows(portion: Portion) -> None:
    """Refuse all when it is not the rows that are wrong: the model is overloaded, or missing."""
    if not any(isinstance(error, errors.InvalidInput | errors.ModelFailure) for error in portion.refused.values()):
        refuse_whole(portion.refused)


class _Source:
    """A table's portions.

    Attributes:
        begun: Whether something has been sent, so that what goes wrong from now on is told in the place of rows.
    """

    separator = ","
    names: Sequence[str]

    def __init__(self, scorer: Scorer):
        self.begun = False
        self.scorer = scorer
        self._size = min(FIRST_ROWS, scorer.checker.call_rows)

    async def following(self) -> Awaitable[Portion] | None:
        """The next call; see ``in_order``."""
        try:
            read = await asyncio.to_thread(self.read, self._size)
        except errors.DeepaasError as error:
            if not self.begun:
                raise
            return self._failed(error)
        return None if read is None else self._answered(*read)

    def read(self, count: int) -> tuple[Any, int] | None:
        """The next rows, and how many they are."""
        raise NotImplementedError

    async def score(self, rows: Any, count: int) -> Portion:
        """Put rows to the model."""
        raise NotImplementedError

    async def _answered(self, rows: Any, count: int) -> Portion:
        try:
            portion = await self.score(rows, count)
        except errors.DeepaasError as error:
            if not self.begun:
                raise
            return Portion(count, b"[" + b",".join([b"null"] * count) + b"]", dict.fromkeys(range(count), error))
        if count >= self._size:
            self._aim(portion)
        return portion

    async def _failed(self, error: errors.DeepaasError) -> Portion:
        return Portion(1, b"[null]", {0: error})

    def _aim(self, portion: Portion) -> None:
        if portion.duration_s < GOOD_CALL_S / 2:
            self._size = min(self._size * 2, self.scorer.checker.call_rows)
        elif portion.duration_s > GOOD_CALL_S * 2:
            self._size = max(self._size // 2, 1)


class _Csv(_Source):
    def __init__(self, file: Any, table: Table, scorer: Scorer):
        super().__init__(scorer)
        self._reader = CsvReader(file, table.charset, table.media_type == "text/tab-separated-values")
        self.names, self.separator = self._reader.names, self._reader.separator

    def read(self, count: int) -> tuple[Any, int] | None:
        cells = self._reader.read(count)
        return None if cells is None else (cells, cells.count)

    async def score(self, rows: Any, count: int) -> Portion:
        wrong = {at: [issue] for at, issue in rows.wrong.items()}
        return await self.scorer.score_cells(rows.table, count, self._reader.comma, wrong)


class _Parquet(_Source):
    def __init__(self, file: Any, table: Table, scorer: Scorer):
        super().__init__(scorer)
        self._reader = ParquetReader(file, scorer.names or None)
        self.names = self._reader.names
        self._ended = False

    def read(self, count: int) -> tuple[Any, int] | None:
        try:
            rows = None if self._ended else self._reader.read(count)
        except errors.DeepaasError:
            self._ended = True
            raise
        return None if rows is None else (rows, len(rows))

    async def score(self, rows: Any, count: int) -> Portion:
        return await self.scorer.score(rows)


class _Writer:
    """Writes portions in the media type that is wanted."""

    def __init__(self, how: Answering, separator: str):
        self._how, self._separator = how, separator
        self._csv: CsvWriter | None = None
        self._any = False

    @property
    def content_type(self) -> str:
        media_type = self._how.media_type
        return f"{media_type}; charset=utf-8; header=present" if media_type == CSV else media_type

    @property
    def tail(self) -> bytes:
        return b"]" + self._how.tail if self._how.media_type == negotiation.JSON else b""

    def head(self, first: Portion) -> bytes:
        """What comes before the first portion."""
        if self._how.media_type == CSV:
            self._csv = CsvWriter(list(_columns(self._how.endpoint.outputs, first)), self._separator)
            return self._csv.head()
        return self._how.head() + b"[" if self._how.media_type == negotiation.JSON else b""

    def portion(self, portion: Portion) -> bytes:
        """One portion, in place behind those before it."""
        if self._csv is not None:
            wrong = {at: _in_words(self._how.told(error)) for at, error in portion.refused.items()}
            return self._csv.rows(orjson.loads(portion.body), wrong)
        if self._how.media_type == negotiation.JSON:
            if not portion.count:
                return b""
            body = orjson.dumps(_answers(portion, self._how)) if portion.refused else portion.body
            comma, self._any = b"," if self._any else b"", True
            return comma + body[1:-1]
        return b"".join(orjson.dumps(answer) + b"\n" for answer in _answers(portion, self._how))


def _answers(portion: Portion, how: Answering) -> list[Any]:
    """The answers, and errors in the place of those that there are not."""
    answers: list[Any] = orjson.loads(portion.body)
    for at, error in portion.refused.items():
        answers[at] = {"error": how.told(error)}
    return answers


def _in_words(told: Mapping[str, Any]) -> str:
    """An error in one cell."""
    found = [f"{issue['pointer'][1:]}: {issue['detail']}".removeprefix(": ") for issue in told.get("errors", ())]
    return " ".join(found) or str(told["detail"])


def _columns(outputs: Sequence[Feature], first: Portion) -> Iterator[tuple[str, Sequence[str]]]:
    """The columns of an answer as CSV: those that are declared, or else those of the first row that has an answer."""
    row = next((answer for answer in orjson.loads(first.body) if answer is not None), None)
    if not isinstance(row, Mapping) and not outputs:
        yield "result", ()
        return
    names = [output.name for output in outputs] or [name for name in row or () if name != _PROBABILITIES]
    classes = {output.name: [str(one) for one in output.classes] for output in outputs}
    told = row.get(_PROBABILITIES) if isinstance(row, Mapping) else None
    shares: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    for name in names:
        yield name, (name,)
    for name in names:
        found = shares.get(name)
        for one in classes.get(name) or (found if isinstance(found, Mapping) else ()):
            title = f"probability_{one}" if len(names) == 1 else f"{name}_probability_{one}"
            yield title, (_PROBABILITIES, name, one)
