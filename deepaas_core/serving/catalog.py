"""The catalog: which models there are, and whether each can answer.

Every model stands for itself. One that cannot be offered is listed with its reason; the others do not notice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deepaas_core import errors
from deepaas_core.domain.model import Capability, Model, Problem, Source
from deepaas_core.executors.base import Executor, ExecutorState, OnChange

log = logging.getLogger(__name__)

MakeExecutor = Callable[[Source, OnChange], Executor]
Watcher = Callable[["Entry"], None]
Inspect = Callable[[Source, Mapping[str, Any]], Model]


class Entry:
    """One model of the catalog and the executor that runs it.

    Attributes:
        model_dir: The folder of the trained model it serves; None when there is none.
        switching: Held while its workers are replaced.
    """

    def __init__(
        self,
        source: Source,
        make_executor: MakeExecutor,
        inspect: Inspect,
        changed: Watcher,
        model_dir: Path | None = None,
    ):
        self.source = source
        self.model_dir = model_dir
        self.switching = asyncio.Lock()
        self.model: Model | None = None
        self._inspect = inspect
        self._described: Mapping[str, Any] | None = None
        self._complaint = ""
        self._changed = changed
        self.executor = make_executor(source, self._executor_changed)

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def state(self) -> ExecutorState:
        return ExecutorState.FAILED if self._complaint else self.executor.state

    @property
    def reason(self) -> str:
        return self._complaint or self.executor.reason

    @property
    def answers(self) -> bool:
        """Whether it takes calls."""
        return self.model is not None and self.state in (ExecutorState.READY, ExecutorState.RESTARTING)

    def serving(self) -> Model:
        """The model, if it can take calls.

        Raises:
            ModelNotReady: It cannot, with the reason.
        """
        if self.model is None or not self.answers:
            raise errors.ModelNotReady(self.name, self.reason or "It is still starting.")
        return self.model

    def _executor_changed(self) -> None:
        description = self.executor.description
        if description is not None and description is not self._described:
            self._described = description
            try:
                self.model = self._inspect(self.source, description)
                self._complaint = ""
            except errors.PluginError as error:
                self.model, self._complaint = None, str(error)
            for warning in self.model.warnings if self.model else ():
                log.warning("model warning", extra={"model": self.name, "warning": warning})
        self._changed(self)


class Catalog:
    """All models of this server.

    Attributes:
        revision: Grows with every change, so that what is derived from the catalog can be kept until then.
        problems: Declared models that cannot be offered.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        problems: Iterable[Problem],
        make_executor: MakeExecutor,
        inspect: Inspect,
        model_dirs: Mapping[str, Path | None] = MappingProxyType({}),
    ):
        self.revision = 0
        self._watchers: list[Watcher] = []
        self.problems = tuple(problems)
        self._change = asyncio.Event()
        self._entries = {
            source.name: Entry(source, make_executor, inspect, self._changed, model_dirs.get(source.name))
            for source in sorted(sources, key=lambda source: source.name)
        }

    def start(self) -> None:
        """Begin to bring up every model, side by side."""
        for entry in self._entries.values():
            entry.executor.start()

    def entries(self) -> Sequence[Entry]:
        """Every model that can be offered, by name."""
        return tuple(self._entries.values())

    def entry(self, name: str) -> Entry:
        """The entry of this name.

        Raises:
            ModelNotFound: There is none.
            ModelNotReady: It is declared, but cannot be offered.
        """
        try:
            return self._entries[name]
        except KeyError:
            for problem in self.problems:
                if problem.name == name:
                    raise errors.ModelNotReady(name, problem.reason, retry_after_s=60) from None
            raise errors.ModelNotFound(name) from None

    def serves(self, name: str) -> bool:
        """Whether there is a model of this name, in whatever state."""
        return name in self._entries

    def offering(self, name: str, capability: Capability) -> Model:
        """The model of this name, if it has the capability and can take calls.

        Raises:
            ModelNotFound, ModelNotReady: See ``entry`` and ``Entry.serving``.
            CapabilityMissing: Its package has no such function.
        """
        model = self.entry(name).serving()
        if capability not in model.capabilities:
            raise errors.CapabilityMissing(name, capability.function)
        return model

    def ready(self) -> bool:
        """Whether every declared model can answer."""
        return not self.problems and all(entry.state is ExecutorState.READY for entry in self._entries.values())

    async def settled(self) -> None:
        """Wait until no model is in its first start any more."""
        while any(entry.state is ExecutorState.STARTING for entry in self._entries.values()):
            self._change.clear()
            await self._change.wait()

    async def switch(self, name: str, model_dir: Path | None) -> None:
        """Let a model serve from another folder, warm before the first call reaches it.

        Raises:
            ModelNotReady: The new one does not start; the old one goes on.
        """
        entry = self.entry(name)
        async with entry.switching:
            await entry.executor.replace(model_dir)
            entry.model_dir = model_dir
        self._changed(entry)

    async def renew(self, source: Source) -> None:
        """Let a model's code be loaded anew, as its package is now; the workers are replaced one by one.

        Raises:
            ModelNotReady: The new code does not start; the old workers go on.
        """
        entry = self.entry(source.name)
        async with entry.switching:
            before, entry.source = entry.source, source
            try:
                await entry.executor.replace(entry.model_dir)
            except BaseException:
                entry.source = before
                raise
            finally:
                self._changed(entry)

    async def close(self, drain_s: float) -> None:
        """Stop every model, letting what has begun finish within ``drain_s`` seconds."""
        await asyncio.gather(*(entry.executor.close(drain_s) for entry in self._entries.values()))

    def watch(self, watcher: Watcher) -> None:
        """Call somebody after each change of a model."""
        self._watchers.append(watcher)

    def _changed(self, entry: Entry) -> None:
        self.revision += 1
        self._change.set()
        for watcher in self._watchers:
            watcher(entry)
