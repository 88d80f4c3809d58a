"""The catalog: which models there are, and whether each can answer.

Every model stands for itself. One that cannot be offered is listed with its reason; the others do not notice. The parts
of published services are entries, too, found by their names; they are not listed among the models.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deepaas_core import errors
from deepaas_core.domain.model import SERVICE_GROUP, Capability, Model, Problem, Source
from deepaas_core.executors.base import Executor, ExecutorState, OnChange

log = logging.getLogger(__name__)

MakeExecutor = Callable[[Source, OnChange], Executor]
#: Told which entry has changed; None for the list of models that cannot be offered.
Watcher = Callable[["Entry | None"], None]
Inspect = Callable[[Source, Mapping[str, Any]], Model]


class Entry:
    """One model of the catalog and the executor that runs it.

    Attributes:
        model_dir: The folder of the trained model it serves; None when there is none.
        notice: Why what is served is not what is installed now; empty when it is.
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
        self.notice = ""
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
        return self._complaint or self.executor.reason or self.notice

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

    def comes_from(self, source: Source) -> None:
        """Take over what a package says of itself now."""
        if source != self.source:
            self.source, self._described = source, None
            self._executor_changed()

    def silence(self) -> None:
        """Tell nobody any more how it is."""
        self._changed = lambda _: None

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
        self._make_executor, self._inspect = make_executor, inspect
        self._change = asyncio.Event()
        self._entries: dict[str, Entry] = {}
        self._leaving: set[Entry] = set()
        for source in sources:
            self._put(source, model_dirs.get(source.name))

    def start(self) -> None:
        """Begin to bring up every model, side by side."""
        for entry in self._entries.values():
            entry.executor.start()

    def entries(self) -> Sequence[Entry]:
        """Every model that can be offered, by name."""
        return tuple(entry for entry in self._entries.values() if entry.source.group != SERVICE_GROUP)

    def with_parts(self) -> Sequence[Entry]:
        """Every model, and every part of a service."""
        return tuple(self._entries.values())

    def entry(self, name: str) -> Entry:
        """The entry of this name.

        Raises:
            ModelNotFound: There is none.
            ModelNotReady: It is declared, but cannot be offered.
        """
        entry = self._entries.get(name)
        if entry is not None and entry.source.group != SERVICE_GROUP:
            return entry
        for problem in self.problems:
            if problem.name == name:
                raise errors.ModelNotReady(name, problem.reason, retry_after_s=60)
        raise errors.ModelNotFound(name)

    def part(self, name: str) -> Entry:
        """The entry of this name, be it a model's or that of a part of a service.

        Raises:
            ModelNotFound, ModelNotReady: See ``entry``.
        """
        entry = self._entries.get(name)
        return self.entry(name) if entry is None else entry

    def serves(self, name: str) -> bool:
        """Whether there is a model of this name, in whatever state."""
        return self.has(name) and self._entries[name].source.group != SERVICE_GROUP

    def has(self, name: str) -> bool:
        """Whether there is a model or a part of this name."""
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
        return not self.problems and all(entry.state is ExecutorState.READY for entry in self.entries())

    async def settled(self) -> None:
        """Wait until no model is in its first start any more."""
        while any(entry.state is ExecutorState.STARTING for entry in self.entries()):
            await self.changed()

    async def changed(self) -> None:
        """Wait for the next change of anything."""
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
        """Let a model's code be loaded anew, as its package is now; warm before the first call reaches it.

        Raises:
            ModelNotReady: The new code does not start. The old workers go on, if there are any, and the entry's
                ``notice`` says so.
        """
        entry = self.entry(source.name)
        async with entry.switching:
            try:
                await entry.executor.replace(entry.model_dir, source)
            except errors.ModelNotReady as error:
                if entry.answers:
                    self.note(entry.name, f"The code loaded before goes on, not what is installed now: {error.reason}")
                raise
            entry.comes_from(source)
            self.note(entry.name, "")

    def note(self, name: str, notice: str) -> None:
        """Say why what is served is not what is installed now; nothing if it is."""
        entry = self.entry(name)
        entry.notice = notice
        self._changed(entry)

    def add(self, source: Source, model_dir: Path | None = None) -> None:
        """Offer one more model, and begin to bring it up."""
        entry = self._put(source, model_dir)
        entry.executor.start()
        self._changed(entry)

    async def remove(self, name: str, drain_s: float) -> None:
        """Offer an entry no more, and stop it, letting what has begun finish within ``drain_s`` seconds.

        Raises:
            ModelNotFound: There is none of this name.
        """
        entry = self.part(name)
        self._entries = {each: other for each, other in self._entries.items() if other is not entry}
        self._changed(entry)
        entry.silence()  # there may be another one of this name while it stops
        self._leaving.add(entry)  # for close, should nobody wait for this to the end
        await entry.executor.close(drain_s)
        self._leaving.discard(entry)

    def complain(self, problems: Iterable[Problem]) -> None:
        """List other models than before that are declared and cannot be offered."""
        self.problems = tuple(problems)
        self._changed(None)

    async def close(self, drain_s: float) -> None:
        """Stop every model, letting what has begun finish within ``drain_s`` seconds."""
        entries = (*self._entries.values(), *self._leaving)
        await asyncio.gather(*(entry.executor.close(drain_s) for entry in entries))

    def watch(self, watcher: Watcher) -> None:
        """Call somebody after each change of a model."""
        self._watchers.append(watcher)

    def _put(self, source: Source, model_dir: Path | None) -> Entry:
        entry = Entry(source, self._make_executor, self._inspect, self._changed, model_dir)
        self._entries = dict(sorted({**self._entries, source.name: entry}.items()))
        return entry

    def _changed(self, entry: Entry | None) -> None:
        self.revision += 1
        self._change.set()
        for watcher in self._watchers:
            watcher(entry)
