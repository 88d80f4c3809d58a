"""A model without a server: one worker, brought up for one command."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepaas_core import app
from deepaas_core.domain.model import Capability, Model, Source
from deepaas_core.errors import CapabilityMissing, PluginError
from deepaas_core.executors.base import Call, Executor, ExecutorState, Result
from deepaas_core.plugins.inspection import inspect
from deepaas_core.settings import Settings

TIMEOUT_S = 365 * 24 * 3600.0


@dataclass(frozen=True)
class Alone:
    """A model that is up.

    Attributes:
        model: What it offers.
        folder: For files that its calls need; gone with it.
    """

    model: Model
    folder: Path
    _executor: Executor

    async def call(self, hook: Capability, values: dict[str, Any], **more: Any) -> Result:
        """Call one of its functions, however long that takes.

        Raises:
            DeepaasError: See ``executors.base.Executor.call``.
        """
        if hook not in self.model.capabilities:
            raise CapabilityMissing(self.model.name, hook.function)
        return await self._executor.call(Call(hook, values, timeout_s=TIMEOUT_S, **more))


def chosen(settings: Settings) -> Source:
    """The one model that is meant.

    Raises:
        PluginError: It is not there, or there are several and none was named.
    """
    found = app.found_by(settings)
    if len(found.sources) == 1 and not (settings.models.only and found.problems):
        return found.sources[0]
    names = sorted(source.name for source in found.sources)
    if names:
        raise PluginError(
            f"There are several models ({', '.join(names)}); name one by --model-name or the variable DEEPAAS_V2_MODEL."
        )
    raise PluginError(" ".join(problem.reason for problem in found.problems) or "No model is installed.")


@asynccontextmanager
async def brought_up(source: Source, settings: Settings) -> AsyncIterator[Alone]:
    """A model's worker, loaded and warm.

    Raises:
        PluginError: It cannot be started.
    """
    changed = asyncio.Event()
    with tempfile.TemporaryDirectory(prefix="deepaas-core-") as name:
        folder = Path(name)
        executor = app.executor_of(settings, source, app.launch_of(source, settings, folder, None), changed.set)
        executor.start()
        try:
            while executor.state is ExecutorState.STARTING:
                await changed.wait()
                changed.clear()
            if executor.description is None:
                raise PluginError(f"Model {source.name!r} cannot be started. {executor.reason}")
            yield Alone(inspect(source, executor.description), folder, executor)
        finally:
            await executor.close(1.0)
