"""The use case of a prediction: a model, a capability and checked inputs become one answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from deepaas_core import errors
from deepaas_core.domain.model import Model
from deepaas_core.domain.prediction import Prediction
from deepaas_core.executors.base import Call
from deepaas_core.serving.catalog import Catalog
from deepaas_core.telemetry.metrics import Counts

log = logging.getLogger(__name__)


class Predictor:
    """Predicts with the models of a catalog.

    Args:
        catalog: The models.
        timeout_s: A model's time limit, in seconds, by its name.

    Attributes:
        counts: What became of the calls.
    """

    def __init__(self, catalog: Catalog, timeout_s: Callable[[str], float]):
        self.counts = Counts()
        self._catalog = catalog
        self._timeout_s = timeout_s

    async def predict(self, model: Model, call: Call, timeout_s: float | None = None) -> Prediction:
        """Run one call.

        Args:
            model: As the catalog offered it.
            call: The hook and its checked inputs; its ``timeout_s`` is set here.
            timeout_s: The caller's own limit; it can only lower the model's.

        Raises:
            DeepaasError: See ``executors.base.Executor.call``.
        """
        limit_s = self._timeout_s(model.name)
        call.timeout_s = limit_s if timeout_s is None else min(limit_s, timeout_s)
        started = time.perf_counter()
        try:
            result = await self._catalog.entry(model.name).executor.call(call)
        except errors.ModelFailure as failure:
            log.error(
                "model failed",
                extra={
                    "model": model.name,
                    "hook": str(call.hook),
                    "kind": failure.kind,
                    "text": failure.message,
                    "traceback": failure.traceback,
                },
            )
            self._count(call, model, type(failure).__name__)
            raise
        except errors.DeepaasError as error:
            self._count(call, model, type(error).__name__)
            raise
        except asyncio.CancelledError:
            self._count(call, model, "Cancelled")
            raise
        self._count(call, model, "ok", result.duration_s or time.perf_counter() - started)
        return Prediction(
            model.name, model.version, result.body, result.media_type, result.path, result.duration_s, result.pieces
        )

    def _count(self, call: Call, model: Model, outcome: str, seconds: float | None = None) -> None:
        self.counts.call(model.name, call.hook, outcome, seconds)
