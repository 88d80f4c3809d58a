"""What answered requests leave in the prediction log, whatever they are answered by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from multidict import istr

from deepaas_core import errors
from deepaas_core.domain.arguments import Arguments
from deepaas_core.domain.model import Model
from deepaas_core.domain.prediction import Prediction
from deepaas_core.domain.prediction_log import LogRules
from deepaas_core.executors.base import Call
from deepaas_core.serving.predictor import Begun
from deepaas_core.serving.recorder import Recorder
from deepaas_core.serving.transcript import Left, Seen, spare
from deepaas_core.telemetry.logs import request_id
from deepaas_core.web.auth import caller
from deepaas_core.web.keys import PREDICTOR, RECORDER
from deepaas_core.web.problems import status_of

#: What a caller wants to find in the log again, as JSON.
CONTEXT = istr("X-Context")
MAX_CONTEXT_CHARS = 8192
CLIENT_GONE = 499


class Recording:
    """The answering of one request, as a context; what comes of it is noted at its end, errors included.

    Args:
        request: The request.
        service: The model's or service's name.
        endpoint: Of a service; of a model, its function.
        generation: Of a service, if that is known already.
        said: What the author of the service says of its log.
    """

    def __init__(
        self,
        request: web.Request,
        service: str,
        endpoint: str,
        generation: str = "",
        said: Mapping[str, Any] | None = None,
    ):
        self._recorder, self._predictor = request.app[RECORDER], request.app[PREDICTOR]
        rules = self._recorder.rules(service, generation, said or {})
        self._seen: Seen | None = None
        if rules is None or not self._recorder.chooses(rules):
            return
        self._started = time.perf_counter()
        self._seen = Seen(rules, time.time(), request_id.get(), service, endpoint, generation)
        self._seen.token = caller(request).token
        context = request.headers.get(CONTEXT)
        if context is not None:
            self._seen.context = context[:MAX_CONTEXT_CHARS]

    async def __aenter__(self) -> Self:
        return self

    async def predict(self, model: Model, call: Call) -> Prediction:
        """Run the call that the request asks for; see ``Predictor.predict``."""
        begun = self._predictor.begin(model, call)
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
            seen.secrets = secrets_of(model, call)
            seen.inputs = spare(call, seen.rules.max_bytes)
            seen.size += size_of(seen.inputs)

    def answered(self, prediction: Prediction) -> None:
        """This is the answer."""
        seen = self._seen
        if seen is not None:
            seen.status = prediction.status or 200
            seen.output = spared(prediction, seen.rules)
            seen.size += len(prediction.body) if seen.output is prediction else 0

    async def __aexit__(self, kind: type | None, error: BaseException | None, _: TracebackType | None) -> None:
        seen = self._seen
        if seen is None or isinstance(error, errors.NotFound):  # whoever asks for what is not there fills no log
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
    seen.secrets = secrets_of(begun.model, begun.call)
    seen.size = len(begun.call.body) + len(prediction.body)
    recorder.note(seen)


def spared(prediction: Prediction, rules: LogRules) -> Prediction | Left:
    """A prediction to be kept for a while, without its body where that is long."""
    if len(prediction.body) <= rules.max_bytes:
        return prediction
    return Left(len(prediction.body), {"content_type": prediction.media_type} if prediction.media_type else {})


def secrets_of(model: Model, call: Call) -> frozenset[str]:
    """The names of a call's arguments that nobody is to see."""
    arguments = model.arguments.get(call.hook, Arguments())
    return frozenset(key.casefold() for key, argument in arguments.items() if argument.secret)


def size_of(inputs: Any) -> int:
    """About how much memory inputs take that wait for being written."""
    if not isinstance(inputs, Call):
        return 0
    return len(inputs.body) + sum(map(_weight, inputs.values.values()))


def _weight(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_weight, value.values()))
    return sum(map(_weight, value)) if isinstance(value, Sequence) else 16
