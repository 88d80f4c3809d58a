"""How each hook is called: from plain values on the line to the author's function, and back to an answer."""

import contextlib
import inspect
import io
import math
import os
import re
import sys
import types
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, Callable, NamedTuple, Optional, Union

from . import arrays, encoding, frames, frameworks, guard, media, responses
from .describing import DICTIONARY, Description, Invalid
from .dictionary import Payload
from .raised import Refusal, is_source_trouble, refusal_for, told
from .records import Records

JSON_TYPES = ("application/json", "*/*")
NPY, OCTETS = "application/x-npy", "application/octet-stream"
MAX_DEPTH = 100
MAX_NPY_HEAD_BYTES = 64 * 1024
#: One that does not end goes on to the end of the text, so that no text takes long.
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_AS_IT_IS = contextlib.nullcontext()
_NPY_HEADERS = {(1, 0): "read_array_header_1_0", (2, 0): "read_array_header_2_0"}


class Answer(NamedTuple):
    """What goes back: JSON bytes, raw bytes of a media type, a file the model made, or pieces of JSON one by one.

    Attributes:
        refused: Of many records, the position of each that has no answer, and why.
    """

    body: bytes
    media_type: Optional[str] = None
    path: Optional[str] = None
    pieces: Optional[Iterator[bytes]] = None
    status: Optional[int] = None
    headers: Sequence[tuple[str, str]] = ()
    refused: Sequence[tuple[int, Mapping[str, Any]]] = ()

    def head(self) -> dict[str, Any]:
        """What its frame says besides its bytes."""
        head: dict[str, Any] = {}
        if self.media_type is not None:
            head["media_type"] = self.media_type
        if self.path is not None:
            head["path"] = self.path
        if self.pieces is not None:
            head["end"] = True
        if self.status is not None:
            head["status"] = self.status
        if self.headers:
            head["headers"] = self.headers
        if self.refused:
            head["refused"] = self.refused
        return head


Outcome = Union[Answer, Refusal]


class Caller:
    """Calls one model's hooks.

    Args:
        description: The inspected plugin.
        rules: Which addresses a ``predict_url`` call may connect to.
        max_result_bytes: Largest encoded result.
        endpoint: The inputs and outputs of the endpoint that the model answers, each a list of features as dicts.
    """

    def __init__(
        self,
        description: Description,
        rules: guard.Guard,
        max_result_bytes: int,
        endpoint: Mapping[str, Any] = types.MappingProxyType({}),
    ):
        self._description = description
        self._records = Records(description, endpoint, self._run, max_result_bytes)
        self._guard = rules
        self._max_result_bytes = max_result_bytes
        self._loop: Any = None

    def call(self, request: Mapping[str, Any], body: frames.Buffer) -> Answer:
        """Answer one call.

        Raises:
            Refusal: The call failed, for a reason that its ``error`` tells.
        """
        if request["hook"] not in self._description.hooks and request["hook"] == "predict_data":
            [outcome] = self.call_batch(request, [body])  # the model has only predict_batch
            if isinstance(outcome, Refusal):
                raise outcome
            return outcome
        if request["hook"] == "predict" and (request.get("payload") or {}).get("form") == "records":
            return self._call_records(request, body)
        afterwards: list[Callable[[], None]] = []
        try:
            if (request.get("payload") or {}).get("form") == "arguments":
                self._description.deserialize(request["hook"], request.get("values") or {}, judging=True)
                return Answer(b"null")
            function, args, kwargs = self._arguments(request, body, afterwards)
            in_one = self._in_one(request["hook"])
            given = args[0] if in_one else kwargs
            with frameworks.request_around(given) if "flask" in sys.modules else _AS_IT_IS:
                if request["hook"] == "predict_url":
                    value = self._fetching(function, args, kwargs)
                else:
                    value = self._run(function, args, kwargs)
            if isinstance(value, (types.GeneratorType, AsyncIterator)):
                if request.get("stream"):
                    return Answer(b"", pieces=self._pieces(value))
                value = self._run(self._collect, (value,), {})
            if self._description.script is not None:
                return self._answer_of_script(value, request.get("accept"))
            first_generation = in_one and request["hook"] in ("predict_data", "predict_url")
            value, status, headers = frameworks.result_of(value, first_generation)
            answer = self._answer(value, request.get("accept"), given.get("accept"))
            return answer._replace(status=status, headers=headers) if status or headers else answer
        except Invalid as error:
            raise Refusal("invalid", issues=error.issues) from error
        except BaseException as error:  # also what a field raises that checks, or a value that is encoded
            raise refusal_for(error) from None
        finally:
            for step in afterwards:
                step()

    def _call_records(self, request: Mapping[str, Any], body: frames.Buffer) -> Answer:
        records = read_json(body)
        try:
            marked = arrays.MARK.encode() in bytes(body)
            encoded, refused = self._records.answer(records, request.get("values") or {}, marked)
        except Invalid as error:
            raise Refusal("invalid", issues=error.issues) from error
        except BaseException as error:
            raise refusal_for(error) from None
        return Answer(encoded, refused=refused)

    def _answer_of_script(self, value: Any, wanted: Optional[str]) -> Answer:
        response = responses.opened(value)
        if response is None:
            return self._answer(value, wanted, None)
        if response.media_type is not None:
            answer = self._bounded(Answer(response.body, response.media_type))
        else:
            answer = self._answer(response.body, None, None)
        return answer._replace(status=response.status, headers=response.headers)

    def call_batch(self, request: Mapping[str, Any], bodies: Sequence[frames.Buffer]) -> list[Outcome]:
        """Answer many calls by one call of ``predict_batch``; what is wrong with one row spoils no other."""
        function = self._description.hooks["predict_batch"]
        try:
            kwargs = self._description.deserialize("predict_batch", request.get("values") or {})
        except Invalid as error:
            return [Refusal("invalid", issues=error.issues)] * len(bodies)
        except BaseException as error:
            return [refusal_for(error)] * len(bodies)
        outcomes: list[Optional[Outcome]] = [None] * len(bodies)
        rows: list[Any] = []
        places: list[int] = []
        for place, body in enumerate(bodies):
            try:
                rows.append(_data(request.get("payload") or {}, body))
                places.append(place)
            except Refusal as refusal:
                outcomes[place] = refusal
        for place, outcome in zip(places, self._predict_rows(function, rows, kwargs)):
            outcomes[place] = outcome if isinstance(outcome, Refusal) else self._encoded(outcome[0], request, kwargs)
        return [outcome for outcome in outcomes if outcome is not None]

    def _predict_rows(
        self, function: Callable[..., Any], rows: list[Any], kwargs: dict[str, Any]
    ) -> list[Union[Refusal, tuple[Any]]]:
        """One result a row. When the model fails, the rows are tried again in halves, down to the one to blame."""
        if not rows:
            return []
        try:
            results = _listed(self._run(self._batch, (function, rows, kwargs), {}))
        except Refusal as refusal:
            if len(rows) == 1:
                return [refusal]
            half = len(rows) // 2
            first = self._predict_rows(function, rows[:half], kwargs)
            return first + self._predict_rows(function, rows[half:], kwargs)
        if results is None or len(results) != len(rows):
            returned = "no list" if results is None else f"{len(results)} results"
            message = f"predict_batch returned {returned} for {len(rows)} rows"
            return [Refusal("model", type="wrong number of results", message=message)] * len(rows)
        return [(result,) for result in results]

    def _batch(self, function: Callable[..., Any], rows: list[Any], kwargs: dict[str, Any]) -> Any:
        value = function(self._gathered(function, rows), **kwargs)
        return self._await(value) if inspect.iscoroutine(value) else value

    @staticmethod
    def _gathered(function: Callable[..., Any], rows: list[Any]) -> Any:
        """The rows as the author wants them: the annotation of the first parameter may ask for an array or a frame."""
        wanted = str(next(iter(getattr(function, "__annotations__", {}).values()), ""))
        if "ndarray" in wanted or "NDArray" in wanted:
            return sys.modules["numpy"].asarray(rows)
        if "DataFrame" in wanted:
            return sys.modules["pandas"].DataFrame(rows)
        return rows

    def _encoded(self, value: Any, request: Mapping[str, Any], kwargs: Mapping[str, Any]) -> Outcome:
        try:
            return self._answer(value, request.get("accept"), kwargs.get("accept"))
        except BaseException as error:
            return refusal_for(error)

    def _pieces(self, value: Any) -> Iterator[bytes]:
        """Each thing a generator yields, as JSON.

        Raises:
            Refusal: The generator, or encoding what it yielded, failed.
        """
        while True:
            try:
                item = next(value) if isinstance(value, types.GeneratorType) else self._await(value.__anext__())
                piece = self._answer(item, None, None).body
            except (StopIteration, StopAsyncIteration):
                return
            except BaseException as error:
                raise refusal_for(error) from None
            yield piece

    def _collect(self, value: Any) -> list[Any]:
        if isinstance(value, types.GeneratorType):
            return list(value)

        async def collect() -> list[Any]:
            return [item async for item in value]

        return list(self._await(collect()))

    def _arguments(
        self, request: Mapping[str, Any], body: frames.Buffer, afterwards: list[Callable[[], None]]
    ) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        hook = request["hook"]
        function = self._description.hooks[hook]
        values = self._description.deserialize(hook, request.get("values") or {})
        if hook in ("predict", "train"):
            return (function, (values,), {}) if self._in_one(hook) else (function, (), values)
        if not self._in_one(hook):
            return function, (_payload(hook, request, body),), values
        sent = request.get("payload") or {}
        payload = Payload(hook, sent, body, _data(sent, body) if hook == "predict_data" else None)
        afterwards.append(payload.forget)
        return function, (payload.put_into(values, self._description.payload_names.get(hook)),), {}

    def _in_one(self, hook: str) -> bool:
        """Whether everything goes into one dictionary."""
        return self._description.styles.get(hook) == DICTIONARY

    def _run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            value = function(*args, **kwargs)
            return self._await(value) if inspect.iscoroutine(value) else value
        except Refusal:
            raise
        except BaseException as error:
            raise refusal_for(error) from None

    def _await(self, coroutine: Any) -> Any:
        if self._loop is None:  # one loop for the worker's life, so that a model may keep clients open on it
            import asyncio  # 30 ms that a start of a worker should not take for the few that need it

            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(coroutine)

    def close(self) -> None:
        """Let go of the loop that asynchronous hooks ran on."""
        if self._loop is not None:
            self._loop.close()

    def _fetching(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with guard.guarding(self._guard) as watch:
            try:
                value = function(*args, **kwargs)
                if isinstance(value, (types.GeneratorType, AsyncIterator)):
                    return self._collect(value)  # not streamed: what it fetches is watched only in here
                return self._await(value) if inspect.iscoroutine(value) else value
            except BaseException as error:
                if watch.refusal is not None:
                    raise Refusal("refused", message=str(watch.refusal)) from None
                if is_source_trouble(error):
                    raise Refusal("source", **told(error)) from None
                raise refusal_for(error) from None

    def _answer(self, value: Any, wanted: Optional[str], accept: Any) -> Answer:
        if type(value).__name__ == "ReturnedFile" and hasattr(value, "path"):
            return Answer(b"", str(value.content_type), os.fspath(value.path))
        if isinstance(value, frameworks.Body):
            return self._bounded(Answer(*value))
        if isinstance(accept, str) and accept not in JSON_TYPES:
            raw = media.raw(value, self._max_result_bytes + 1)
            if raw is not None:
                return self._bounded(Answer(raw, media.concrete(accept, value, raw)))
        if wanted is not None:
            return self._bounded(_array(value, wanted))
        complaint = self._description.check_response(value)
        if complaint is not None:
            raise Refusal("result", message="it does not fit the model's own response schema: " + complaint)
        try:
            return Answer(encoding.encode(value, self._max_result_bytes))
        except encoding.Unencodable as error:
            raise Refusal("result", message=str(error)) from None

    def _bounded(self, answer: Answer) -> Answer:
        if len(answer.body) > self._max_result_bytes:
            raise Refusal("result", message=f"it is larger than {self._max_result_bytes} bytes")
        return answer


def _listed(results: Any) -> Optional[list[Any]]:
    """The results of a batch, row by row; None if they are not a sequence of rows."""
    if hasattr(results, "to_dict") and hasattr(results, "columns"):
        return list(results.to_dict("records"))
    if isinstance(results, (str, bytes, dict)) or not hasattr(results, "__iter__"):
        return None
    return list(results)


def _payload(hook: str, request: Mapping[str, Any], body: frames.Buffer) -> Any:
    payload = request.get("payload") or {}
    if hook == "predict_file":
        return payload["path"]
    if hook == "predict_url":
        return payload["url"]
    return _data(payload, body)


def _data(payload: Mapping[str, Any], body: frames.Buffer) -> Any:
    """The value of ``data``: JSON, text, a numpy array, or the bytes as they came."""
    form = payload.get("form")
    if form == "json":
        return read_json(body)
    if form == "text":
        try:
            return bytes(body).decode(payload.get("charset") or "utf-8")
        except (ValueError, LookupError):  # not every codec says what it cannot read by a UnicodeDecodeError
            raise Refusal("malformed", message="The text is not in the charset it claims to be in.") from None
    if form == "npy":
        return _read_npy(body)
    return bytes(body)


def read_json(body: frames.Buffer) -> Any:
    """Decode strict JSON that a client sent: no NaN, no lone surrogates, at most 100 levels deep."""
    text = bytes(body)
    if _is_deep(text):
        raise Refusal("malformed", message=f"The JSON is nested more than {MAX_DEPTH} levels deep.")
    try:
        value = frames.loads(text)
    except (ValueError, RecursionError):
        raise Refusal("malformed", message="The body is not valid JSON.") from None
    return value


def _is_deep(text: bytes) -> bool:
    """Whether the brackets of a JSON text go too deep, as far as the parser's own limit leaves that to be asked.

    Strings are left out only when they could be what makes it look deep.
    """
    if not _has_many(text, b"[") and not _has_many(text, b"{"):
        return False
    return _depth(text) > MAX_DEPTH and (b'"' not in text or _depth(_STRINGS.sub(b"", text)) > MAX_DEPTH)


def _depth(text: bytes) -> int:
    brackets = text.translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _has_many(text: bytes, bracket: bytes) -> bool:
    """Whether a bracket comes so often that half the allowed depth is possible; most texts can be told in no time."""
    at = -1
    for _ in range(MAX_DEPTH // 2):
        at = text.find(bracket, at + 1)
        if at < 0:
            return False
    return True


def _read_npy(body: frames.Buffer) -> Any:
    """The array in a ``.npy`` body, copied once into memory that is the model's own."""
    try:
        import numpy
    except ImportError:
        raise Refusal("media", message="This model has no numpy, so it cannot read application/x-npy.") from None
    try:
        head = io.BytesIO(bytes(body[:MAX_NPY_HEAD_BYTES]))
        version = numpy.lib.format.read_magic(head)
        if version not in _NPY_HEADERS:
            return numpy.load(io.BytesIO(body), allow_pickle=False)
        shape, by_column, dtype = getattr(numpy.lib.format, _NPY_HEADERS[version])(head)
        if dtype.hasobject or dtype.itemsize * math.prod(shape) != len(body) - head.tell():
            raise ValueError("objects, or another size than the header says")
        array = numpy.frombuffer(body, dtype, offset=head.tell())
        return array.reshape(shape, order="F" if by_column else "C").copy(order="K")
    except Exception:
        raise Refusal("malformed", message="The body is not a numpy array in the .npy format.") from None


def _array(value: Any, wanted: str) -> Answer:
    """An array's memory, for a request that accepts ``application/x-npy`` or ``application/octet-stream``."""
    if isinstance(value, (bytes, bytearray, memoryview)) and wanted == OCTETS:
        return Answer(bytes(value), OCTETS)
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, (numpy.ndarray, numpy.generic)) or value.dtype.hasobject:
        raise Refusal("acceptable", message=f"This result is not an array, so it cannot be given as {wanted}.")
    array = numpy.ascontiguousarray(value)
    if wanted == OCTETS:
        return Answer(array.tobytes(), OCTETS)
    file = io.BytesIO()
    numpy.save(file, array, allow_pickle=False)
    return Answer(file.getvalue(), NPY)
