"""The stage: where generations run. It brings them up, warm, and takes them down when nobody needs them.

A generation that is not live runs only if it was asked for under its own address, and for a while after its last call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from deepaas_core import errors
from deepaas_core.domain.deployment import Generation, part_name
from deepaas_core.domain.model import SERVICE_GROUP, Environment, Source
from deepaas_core.domain.service import Endpoint, Target
from deepaas_core.executors.base import ExecutorState
from deepaas_core.publishing.archive import Archives
from deepaas_core.publishing.building import Built, complaint_of
from deepaas_core.serving.catalog import Catalog
from deepaas_core.serving.indexes import Indexes
from deepaas_core.serving.services import Kept, Parts, Services

log = logging.getLogger(__name__)

#: Where somebody can say what is missing, by what Python and R call that.
_NEEDED = {"ModuleNotFoundError": "requirements-py.txt", "packageNotFoundError": "requirements-r.txt"}
LOOK_EVERY_S = 1.0
DRAIN_S = 30.0

#: Finds the entry point of a model in an environment; None if there is none of this name.
Find = Callable[[str, Environment], Source | None]
#: Told that a generation's environment is being built, before that begins.
OnBuilding = Callable[[], Awaitable[None]]
#: Asks the other processes of this server to let go of a generation; whether all of them do.
LetGo = Callable[[str, str], Awaitable[bool]]


class Build(Protocol):
    """See ``publishing.building.Builder``."""

    def ready(self, folder: Path) -> Built | None: ...

    def build(self, folder: Path, log: IO[bytes], with_apt: bool = False) -> Built: ...

    def tidy(self, needed_by: Iterable[Path], over: Iterable[Path] = ()) -> None: ...


@dataclass(eq=False)
class _Running:
    """A generation that runs, or ran a moment ago."""

    generation: Generation
    parts: Parts
    used_at: float = field(default_factory=time.monotonic)


async def _nothing() -> None:
    """Nobody wants to know."""


async def _nobody(_service: str, _version: str) -> bool:
    """There are no other processes."""
    return True


class Stage:
    """Runs generations.

    Args:
        catalog: Gets the parts.
        services: Is told what runs.
        archives: Have the generations' folders.
        builder: Makes their environments.
        find: Finds models in environments.
        logs: Folder of the builds' logs.
        idle_s: Seconds without a call after which a generation is taken down that is not live.
        indexes: Of the data that travels in generations.

    Attributes:
        let_go: See ``LetGo``.
    """

    def __init__(
        self,
        catalog: Catalog,
        services: Services,
        archives: Archives,
        builder: Build,
        find: Find,
        logs: Path,
        idle_s: float,
        indexes: Indexes,
    ):
        self.let_go: LetGo = _nobody
        self._catalog, self._services = catalog, services
        self._archives, self._builder, self._find = archives, builder, find
        self._logs, self._idle_s, self._indexes = logs, idle_s, indexes
        self._running: dict[tuple[str, str], _Running] = {}
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._building: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._used: Counter[str] = Counter()

    def runs(self, generation: Generation) -> bool:
        """Whether a generation is up."""
        running = self._running.get((generation.service, generation.version))
        return running is not None and running.generation == generation

    def uses(self, digest: str) -> bool:
        """Whether something of this content is built, starts, runs, or ends."""
        return self._used[digest] > 0 or any(each.generation.digest == digest for each in self._running.values())

    def touched(self, part: str) -> None:
        """Another process calls a part."""
        service, _, rest = part.partition("@")
        running = self._running.get((service, rest.partition(":")[0]))
        if running is not None:
            running.used_at = time.monotonic()

    def log_of(self, digest: str) -> Path:
        """Where the log of a build is, if there was one."""
        return self._logs / f"{digest}.log"

    async def bring_up(self, generation: Generation, on_building: OnBuilding = _nothing) -> None:
        """See to it that a generation runs, warm.

        Raises:
            GenerationFailed: It cannot be built or started, with the reason; nothing is left of the attempt.
        """
        key = generation.service, generation.version
        async with self._locks[key]:
            with self._using(generation):
                await self._bring_up(key, generation, on_building)

    async def _bring_up(self, key: tuple[str, str], generation: Generation, on_building: OnBuilding) -> None:
        before = self._running.get(key)
        if before is not None and before.generation == generation:
            before.used_at = time.monotonic()
            self._services.runs(*key, before.parts)
            return
        if before is not None:  # of a service that was deleted and published anew
            await self._remove(before)
        built, folder = await self._build(generation, on_building)
        sources, parts = self._plan(generation, folder, built)
        await self._start(generation, sources, parts)
        self._running[key] = _Running(generation, parts)
        self._services.runs(*key, parts)
        log.info("generation up", extra={"service": key[0], "generation": key[1]})

    async def build(self, generation: Generation) -> None:
        """See to it that what a generation needs is built.

        Raises:
            GenerationFailed: It cannot be, with the reason.
        """
        with self._using(generation):
            await self._build(generation, _nothing)

    async def tidy(self, named: Collection[str], over: Collection[str] = ()) -> None:
        """Remove what was made for generations that are there no more.

        Args:
            named: The digests of those that are there.
            over: The digests of those that were deleted just now, and do not run any more.
        """

        def tidy() -> None:
            folders = list(self._archives.unpacked())
            needed = [folder for folder in folders if folder.name in named or self.uses(folder.name)]
            self._builder.tidy(needed, [folder for folder in folders if folder.name in over])
            for file in self._logs.glob("*.log"):
                if file.stem not in named and not self.uses(file.stem):
                    file.unlink(missing_ok=True)

        await asyncio.to_thread(tidy)

    async def workshop(self, generation: Generation) -> tuple[Environment | None, Path]:
        """The environment of a generation, if it has one of its own, and its folder.

        Raises:
            GenerationFailed: It cannot be built.
        """
        built, folder = await self._build(generation, _nothing)
        return built.environment, folder

    async def check_tables(self, generation: Generation) -> None:
        """See to it that the tables that a generation refers to are there, and as it needs them.

        Raises:
            GenerationFailed: They are not.
        """
        try:
            await self._indexes.check_tables(generation)
        except errors.DatasetUnusable as error:
            raise errors.GenerationFailed(str(error)) from error

    async def keep(self) -> None:
        """Take down what nobody needs, from now on."""
        while True:
            await asyncio.sleep(min(LOOK_EVERY_S, self._idle_s))
            for key in list(self._running):
                try:
                    await self._retire(key)
                except Exception:
                    log.exception("generation cannot be taken down")

    # Building.

    async def _build(self, generation: Generation, on_building: OnBuilding) -> tuple[Built, Path]:
        try:
            folder = await asyncio.to_thread(self._archives.folder, generation.digest)
            await self._indexes.ensure(generation)
        except errors.DatasetUnusable as error:
            raise errors.GenerationFailed(str(error)) from error
        except (OSError, errors.ArchiveRefused) as error:
            raise errors.GenerationFailed(f"Its archive cannot be unpacked here: {error}") from error
        self._indexes.check_connections(generation)
        async with self._building[generation.digest]:
            built = await asyncio.to_thread(self._builder.ready, folder)
            if built is None:
                await on_building()
                built = await asyncio.to_thread(self._build_now, generation, folder)
        return built, folder

    def _build_now(self, generation: Generation, folder: Path) -> Built:
        path = self.log_of(generation.digest)
        extra = {"service": generation.service, "generation": generation.version}
        log.info("building environment", extra=extra)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with path.open("wb", buffering=0) as file:
                built = self._builder.build(folder, file, generation.definition.allow_apt)
        except OSError as error:
            raise errors.GenerationFailed(f"Its environment cannot be built: {error}") from error
        except errors.GenerationFailed as error:
            log.error("environment not built", extra={**extra, "reason": str(error)})
            said = complaint_of(path).replace(f"{folder}/", "")
            more = f"All that was said: deepaas-core generations log {generation.service} {generation.version}"
            raise errors.GenerationFailed("\n".join(filter(None, (str(error), said, said and more)))) from error
        return built

    # Starting.

    def _plan(self, generation: Generation, folder: Path, built: Built) -> tuple[list[Source], Parts]:
        """The catalog's new entries, and what every endpoint runs in."""
        sources, parts = [], {}
        for endpoint, variant, target in _targets(generation):
            if target.model and built.environment is None:
                if not self._catalog.serves(target.model):
                    raise errors.GenerationFailed(
                        f"Endpoint {endpoint.name!r} is the model {target.model!r}, which is not installed here."
                    )
                parts[endpoint.name, variant] = target.model
                continue
            name = part_name(generation.service, generation.version, endpoint.name, variant)
            parts[endpoint.name, variant] = name
            sources.append(self._source(generation, endpoint, target, name, folder, built))
        return sources, parts

    def _source(
        self, generation: Generation, endpoint: Endpoint, target: Target, name: str, folder: Path, built: Built
    ) -> Source:
        at = f"{folder / target.script}:{target.function}"
        if target.model:
            assert built.environment is not None
            found = self._find(target.model, built.environment)
            if found is None:
                raise errors.GenerationFailed(
                    f"Endpoint {endpoint.name!r} is the model {target.model!r}, which none of the packages in its "
                    "requirements declares."
                )
            at = found.target
        told: dict[str, Any] = {
            "inputs": [asdict(feature) for feature in endpoint.inputs],
            "outputs": [asdict(feature) for feature in endpoint.outputs],
        }
        if built.r_library is not None:
            told["r_library"] = str(built.r_library)
        return Source(
            name=name,
            group=SERVICE_GROUP,
            target=at,
            distribution=generation.service,
            version=generation.version,
            environment=built.environment,
            settings=endpoint.workers,
            endpoint=told,
        )

    async def _start(self, generation: Generation, sources: list[Source], parts: Parts) -> None:
        names = {source.name for source in sources}
        try:
            for source in sources:
                self._catalog.add(source)
            for name in set(parts.values()):
                await self._until_ready(name)
        except BaseException:
            await self._remove_parts(names, drain_s=0.0)
            raise

    async def _until_ready(self, name: str) -> None:
        while True:
            entry = self._catalog.part(name)
            if entry.state is ExecutorState.READY and entry.model is not None:
                return
            if entry.state in (ExecutorState.FAILED, ExecutorState.STOPPED):
                file = next((file for kind, file in _NEEDED.items() if kind in entry.reason), "")
                hint = f" What it needs is named in {file}." if file else ""
                raise errors.GenerationFailed(f"{name} does not start. {entry.reason.rstrip('.')}.{hint}")
            await self._catalog.changed()

    # Taking down.

    @contextmanager
    def _using(self, generation: Generation) -> Iterator[None]:
        """What is made of a generation is not tidied away meanwhile."""
        self._used[generation.digest] += 1
        try:
            yield
        finally:
            self._used[generation.digest] -= 1

    async def _retire(self, key: tuple[str, str]) -> None:
        running = self._running.get(key)
        if running is None or not self._is_idle(key, running):
            return
        async with self._locks[key]:
            if not self._is_idle(key, running) or self._running.get(key) is not running:
                return
            if not await self.let_go(*key) or not self._is_idle(key, running):
                self._services.runs(*key, running.parts)  # for those that have let go
                return
            await self._remove(running)
            log.info("generation down", extra={"service": key[0], "generation": key[1]})

    def _is_idle(self, key: tuple[str, str], running: _Running) -> bool:
        kept = self._kept(key)
        if kept is None or kept.generation != running.generation:
            return True  # it was deleted; who called it has his answer, or soon gets it
        if kept.leases or key[1] in self._services.standing(key[0]).deployment.live:
            running.used_at = time.monotonic()
        return time.monotonic() - max(running.used_at, kept.used_at) >= self._idle_s

    def _kept(self, key: tuple[str, str]) -> Kept | None:
        with suppress(errors.NotFound):
            return self._services.kept(*key).kept
        return None

    async def _remove(self, running: _Running) -> None:
        generation = running.generation
        key = generation.service, generation.version
        if self._running.get(key) is running:
            del self._running[key]
        kept = self._kept(key)
        if kept is not None and kept.generation == generation:
            self._services.runs(*key, None)
        with self._using(generation):
            await self._remove_parts(set(running.parts.values()), DRAIN_S)

    async def _remove_parts(self, names: set[str], drain_s: float) -> None:
        ours = [name for name in names if self._catalog.has(name) and not self._catalog.serves(name)]
        await asyncio.gather(*(self._catalog.remove(name, drain_s) for name in ours))


def _targets(generation: Generation) -> Iterator[tuple[Endpoint, str, Target]]:
    for endpoint in generation.definition.endpoints.values():
        for variant, target in endpoint.targets.items():
            yield endpoint, variant, target
