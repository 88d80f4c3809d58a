"""The use case of a prediction: a model, a capability and checked inputs become one answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from deepaas_core import errors
from deepaas_core.domain.model import Capability, Model, Source
from deepaas_core.domain.prediction import Prediction
from deepaas_core.executors.base import Call, Result
from deepaas_core.executors.shelf import Loan
from deepaas_core.serving.catalog import Catalog
from deepaas_core.telemetry.metrics import Counts

log = logging.getLogger(__name__)

#: How long a look at arguments may take before it is given up.
LOOK_S = 5.0


@dataclass(slots=True)
class Begun:
    """A call on its way.

    Attributes:
        model: As the catalog offered it.
        call: What it is asked.
        started: When it began, by ``time.perf_counter``.
        result: Cancelling it gives the call up.
        token: Id of the token of who asked, where that is not known otherwise.
    """

    model: Model
    call: Call
    started: float
    result: asyncio.Future[Result]
    token: str = ""


class Predictor:
    """Predicts with the models of a catalog.

    Args:
        catalog: The models.
        timeout_s: A model's time limit, in seconds, by where it comes from.

    Attributes:
        counts: What became of the calls.
    """

    def __init__(self, catalog: Catalog, timeout_s: Callable[[Source], float]):
        self.counts = Counts()
        self._catalog = catalog
        self._timeout_s = timeout_s

    async def predict(self, model: Model, call: Call, timeout_s: float | None = None) -> Prediction:
        """Run one call; see ``begin`` and ``outcome``."""
        return await self.outcome(self.begin(model, call, timeout_s))

    async def look_at(self, model: Model, hook: Capability, values: Mapping[str, Any]) -> None:
        """Let the model's own fields look at arguments, if only they know all that is right; see ``judged``."""
        arguments = model.arguments_of(hook)
        if any(arguments[key].up_to_the_model for key in values if key in arguments):
            await self.judged(model, hook, values)

    async def judged(self, model: Model, hook: Capability, values: Mapping[str, Any]) -> bool:
        """Let the model's own fields look at all of its arguments.

        A model that is busy or not there is not waited for long: whoever calls it later is told.

        Args:
            model: The model.
            hook: Which function's arguments.
            values: By key, as they would be for a call; what is required and not there is told, too.

        Returns:
            Whether they have looked, and found nothing wrong.

        Raises:
            InvalidInput: They refuse them.
        """
        call = Call(hook, values, payload={"form": "arguments"}, timeout_s=LOOK_S)
        with suppress(errors.Unavailable, errors.ModelTimeout, errors.ModelFailure):
            await self._catalog.entry(model.name).executor.call(call)
            return True
        return False

    def begin(self, model: Model, call: Call, timeout_s: float | None = None) -> Begun:
        """Begin a call, for whoever comes back for its outcome.

        Args:
            model: As the catalog offered it.
            call: The hook and its checked inputs; its ``timeout_s`` is set here.
            timeout_s: The caller's own limit; it can only lower the model's.
        """
        limit_s = self._timeout_s(model.source)
        call.timeout_s = limit_s if timeout_s is None else min(limit_s, timeout_s)
        executor, started = self._catalog.part(model.name).executor, time.perf_counter()
        try:
            result: asyncio.Future[Result] = asyncio.ensure_future(executor.call(call))
        except errors.DeepaasError as error:
            result = asyncio.get_running_loop().create_future()
            result.set_exception(error)
        return Begun(model, call, started, result)

    def lend(self, model: str) -> Loan | None:
        """See ``executors.base.Executor.lend``."""
        return self._catalog.part(model).executor.lend()

    async def outcome(self, begun: Begun) -> Prediction:
        """What became of a call.

        Raises:
            DeepaasError: See ``executors.base.Executor.call``.
        """
        model, call = begun.model, begun.call
        try:
            await begun.result
        except errors.ModelFailure as failure:
            _say_that_it_failed(begun, failure)
            self._count(call, model, type(failure).__name__)
            raise
        except errors.DeepaasError as error:
            self._count(call, model, type(error).__name__)
            raise
        except asyncio.CancelledError:
            self.given_up(begun)
            raise
        return self.answered(begun)

    def answered(self, begun: Begun) -> Prediction:
        """The answer of a call that has one."""
        model, result = begun.model, begun.result.result()
        failures = [error for error in result.refused.values() if isinstance(error, errors.ModelFailure)]
        if failures:
            _say_that_it_failed(begun, failures[0], records=len(failures))
        self._count(begun.call, model, "ok", result.duration_s or time.perf_counter() - begun.started)
        return Prediction(
            model.name,
            model.version,
            result.body,
            result.media_type,
            result.path,
            result.duration_s,
            result.pieces,
            result.status,
            result.headers,
            result.refused,
        )

    def given_up(self, begun: Begun) -> None:
        """Nobody waits for the outcome any more, and the call has been cancelled."""
        self._count(begun.call, begun.model, "Cancelled")

    def _count(self, call: Call, model: Model, outcome: str, seconds: float | None = None) -> None:
        self.counts.call(model.name, call.hook, outcome, seconds)


def _say_that_it_failed(begun: Begun, failure: errors.ModelFailure, **more: int) -> None:
    log.error(
        "model failed",
        extra={
            "model": begun.model.name,
            "hook": str(begun.call.hook),
            "kind": failure.kind,
            "text": failure.message,
            "traceback": failure.traceback,
            **more,
        },
    )
