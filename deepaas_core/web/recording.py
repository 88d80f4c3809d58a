"""What answered requests leave in the prediction log, whatever they are answered by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType, TracebackType
from typing import Any, Self

import orjson
from aiohttp import web
from multidict import istr

from deepaas_core import errors
from deepaas_core.domain.model import Model
from deepaas_core.domain.prediction import Prediction
from deepaas_core.domain.prediction_log import LogRules
from deepaas_core.domain.service import Feature
from deepaas_core.executors.base import Call
from deepaas_core.serving.predictor import Begun
from deepaas_core.serving.recorder import Recorder
from deepaas_core.serving.scoring import FEW, Scored, Witness
from deepaas_core.serving.transcript import Left, Seen, spare
from deepaas_core.telemetry.logs import request_id
from deepaas_core.web.auth import caller
from deepaas_core.web.keys import PREDICTOR, RECORDER
from deepaas_core.web.problems import status_of

#: What a caller wants to find in the log again, as JSON.
CONTEXT = istr("X-Context")
MAX_CONTEXT_CHARS = 8192
#: Rows that are noted in one go.
AT_ONCE = 250
CLIENT_GONE = 499


class Recording:
    """The answering of one request, as a context; what comes of it is noted at its end, errors included.

    A request with rows leaves a note for each of them, as soon as it is answered, instead of one for itself.

    Args:
        request: The request.
        service: The model's or service's name.
        endpoint: Of a service; of a model, its function.
        generation: Of a service, if that is known already.
        said: What the author of the service says of its log.
        first_output: The first declared output.
    """

    def __init__(
        self,
        request: web.Request,
        service: str,
        endpoint: str,
        generation: str = "",
        said: Mapping[str, Any] = MappingProxyType({}),
        first_output: Feature | None = None,
    ):
        self._recorder, self._predictor = request.app[RECORDER], request.app[PREDICTOR]
        self._seen: Seen | None = None
        self._single = self._has_rows = False
        rules = self._recorder.rules(service, generation, said)
        if rules is None:
            return
        self._started = time.perf_counter()
        self._seen = Seen(rules, time.time(), request_id.get(), service, endpoint, generation)
        self._seen.token, self._seen.first_output = caller(request).token, first_output
        context = request.headers.get(CONTEXT)
        if context is not None:
            self._seen.context = context[:MAX_CONTEXT_CHARS]

    async def __aenter__(self) -> Self:
        return self

    async def predict(self, model: Model, call: Call, timeout_s: float | None = None) -> Prediction:
        """Run the call that the request asks for; see ``Predictor.predict``."""
        begun = self._predictor.begin(model, call, timeout_s)
        self.asks(begun)
        prediction = await self._predictor.outcome(begun)
        self.answered(prediction)
        return prediction

    def asks(self, begun: Begun) -> None:
        """The request is understood, and this is the call that it asks for."""
        seen = self._seen
        if seen is not None:
            call, model = begun.call, begun.model
            self._started = min(self._started, begun.started)  # it may have been on the express lane first
            seen.generation = seen.generation or model.version
            seen.arguments = model.arguments_of(call.hook)
            seen.inputs = spare(call, seen.rules.max_bytes)
            seen.size += size_of(seen.inputs)

    def asks_for_rows(self, rows: Any, *, single: bool) -> None:
        """The request is about these rows, or only one that is not in a list; of many, each tells for itself."""
        if self._seen is not None:
            self._single = single
            if single:
                self._seen.inputs, self._seen.size = rows, weight(rows)

    def answered(self, prediction: Prediction) -> None:
        """This is the answer."""
        seen = self._seen
        if seen is not None:
            seen.status = prediction.status or 200
            seen.output = spared(prediction, seen.rules)
            seen.size += len(prediction.body) if seen.output is prediction else 0

    @property
    def witness(self) -> Witness | None:
        """What is to be told of the rows of the request; None if nobody keeps that."""
        return None if self._seen is None else self._scored

    async def _scored(self, scored: Scored) -> None:
        assert self._seen is not None
        if self._single and (scored.error is not None or (scored.portion is not None and scored.portion.refused)):
            return  # its error is that of the request
        self._has_rows = True
        few = len(scored.records) <= FEW
        seen = (
            _rows(self._seen, scored, self._single)
            if few
            else await asyncio.to_thread(_rows, self._seen, scored, self._single)
        )
        chosen = [one for one in seen if self._recorder.chooses(one.rules)]
        kept = []
        for start in range(0, len(chosen), AT_ONCE):
            await self._recorder.room()  # what a file brings would be too much at once
            kept += [future for one in chosen[start : start + AT_ONCE] if (future := self._recorder.note(one))]
        if kept:
            await asyncio.gather(*kept)

    async def __aexit__(self, kind: type | None, error: BaseException | None, _: TracebackType | None) -> None:
        seen = self._seen
        if seen is None or self._has_rows or isinstance(error, errors.NotFound):  # who asks for what is not there
            return
        if not self._recorder.chooses(seen.rules):
            return
        seen.duration_s = time.perf_counter() - self._started
        seen.at = time.time() - seen.duration_s
        if error is not None:
            seen.status, seen.error = _status(error), type(error).__name__
        kept = self._recorder.note(seen)
        if kept is not None and error is None:
            try:
                await kept
            except errors.StoreUnavailable:
                if isinstance(seen.output, Prediction) and seen.output.pieces is not None:
                    seen.output.pieces.close()
                raise
        elif kept is not None:
            kept.add_done_callback(asyncio.Future.exception)  # the answer is an error anyway


def _rows(request: Seen, scored: Scored, single: bool) -> list[Seen]:
    """What is to be noted of each row of one call."""
    answers: Sequence[Any] = [None] * len(scored.records)
    refused: Mapping[int, BaseException] = dict.fromkeys(range(len(answers)), scored.error) if scored.error else {}
    if scored.portion is not None:
        answers, refused = orjson.loads(scored.portion.body), scored.portion.refused
    found = []
    for place, (record, answer) in enumerate(zip(scored.records, answers, strict=True)):
        seen = replace(request, at=scored.at, duration_s=scored.duration_s, inputs=record, output=answer)
        seen.row = None if single else scored.first + place
        seen.size = weight(record) + weight(answer)
        error = refused.get(place)
        if error is not None:
            seen.status, seen.error, seen.output = _status(error), type(error).__name__, None
        found.append(seen)
    return found


def _status(error: BaseException) -> int:
    if isinstance(error, errors.DeepaasError):
        return status_of(error)
    if isinstance(error, web.HTTPException):
        return error.status
    return CLIENT_GONE if isinstance(error, asyncio.CancelledError | ConnectionError) else 500


def note_plain(recorder: Recorder, rules: LogRules, begun: Begun, prediction: Prediction, request: str) -> None:
    """Note what was answered on the express lane."""
    now, seconds = time.time(), time.perf_counter() - begun.started
    seen = Seen(rules, now - seconds, request, prediction.model, str(begun.call.hook), prediction.version)
    seen.token, seen.duration_s = begun.token, seconds
    seen.inputs, seen.output = spare(begun.call, rules.max_bytes), spared(prediction, rules)
    seen.arguments = begun.model.arguments_of(begun.call.hook)
    seen.size = len(begun.call.body) + len(prediction.body)
    recorder.note(seen)


def spared(prediction: Prediction, rules: LogRules) -> Prediction | Left:
    """A prediction to be kept for a while, without its body where that is long."""
    if len(prediction.body) <= rules.max_bytes:
        return prediction
    return Left(len(prediction.body), {"content_type": prediction.media_type} if prediction.media_type else {})


def size_of(inputs: Call | Left) -> int:
    """About how much memory inputs take that wait for being written."""
    if not isinstance(inputs, Call):
        return 0
    return len(inputs.body) + weight(inputs.values)


def weight(value: Any) -> int:
    """About how many bytes JSON-native data takes in memory."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(weight, value.values()))
    return sum(map(weight, value)) if isinstance(value, Sequence) else 16
