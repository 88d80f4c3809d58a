"""The composition root: the only place that picks concrete parts and puts them together."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import importlib.util
import json
import logging
import os
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

from deepaas_core import errors
from deepaas_core.datasets.opening import OpenDatasets
from deepaas_core.domain.access import TokenState
from deepaas_core.domain.model import Capability, Environment, Model, Problem, Source
from deepaas_core.domain.rehearsal import Outcome
from deepaas_core.domain.retention import Retention, Rule
from deepaas_core.domain.service import EndpointKind, Query, Service
from deepaas_core.domain.training import Place
from deepaas_core.executors.base import Executor, OnChange
from deepaas_core.executors.companion import keep
from deepaas_core.executors.interpreters import inherited
from deepaas_core.executors.pool import Limits, Pool
from deepaas_core.executors.process import Launch, StartFailed, memory_of
from deepaas_core.executors.process import describe as describe_process
from deepaas_core.executors.runs import RunProcesses
from deepaas_core.executors.worker.guard import Guard
from deepaas_core.executors.worker.loading import is_script
from deepaas_core.plugins.discovery import Discovery, discover
from deepaas_core.plugins.editing import SourceCode, locate
from deepaas_core.plugins.environments import read_environments
from deepaas_core.plugins.inspection import inspect
from deepaas_core.publishing import definition
from deepaas_core.publishing.archive import Archives, pack
from deepaas_core.publishing.building import Builder
from deepaas_core.serving.asking import asking
from deepaas_core.serving.automator import Automations, Automator
from deepaas_core.serving.catalog import Catalog, Entry
from deepaas_core.serving.deployer import Deployer
from deepaas_core.serving.enricher import Enricher
from deepaas_core.serving.gatekeeper import Gatekeeper, is_loopback
from deepaas_core.serving.indexes import Indexes
from deepaas_core.serving.limiter import Spend
from deepaas_core.serving.predictor import Predictor
from deepaas_core.serving.publisher import Publisher, Wish
from deepaas_core.serving.recorder import Recorder
from deepaas_core.serving.rehearsing import Rehearsal
from deepaas_core.serving.reloader import Reloader
from deepaas_core.serving.renewer import Renewer
from deepaas_core.serving.services import Services
from deepaas_core.serving.stage import Stage
from deepaas_core.serving.trainer import OnServe, Served, Trainer
from deepaas_core.settings import Settings, Store
from deepaas_core.stores import migrations
from deepaas_core.stores.base import AutomationStore, ServiceStore
from deepaas_core.stores.database import Database
from deepaas_core.stores.memory import MemoryServiceStore
from deepaas_core.stores.memory_automations import MemoryAutomationStore
from deepaas_core.stores.sql import SqlRunStore
from deepaas_core.stores.sql_automations import SqlAutomationStore
from deepaas_core.stores.sql_predictions import SqlPredictionStore
from deepaas_core.stores.sql_services import SqlServiceStore
from deepaas_core.stores.sql_tokens import SqlTokenStore
from deepaas_core.telemetry.metrics import Counts

if TYPE_CHECKING:
    from deepaas_core.web.app import Listener
    from deepaas_core.web.processes import HttpProcesses

log = logging.getLogger(__name__)

#: Called once every model has settled: the URL, the models, and what cannot be offered.
OnReady = Callable[[str, Sequence[Entry], Sequence[Problem]], None]
Listening: TypeAlias = "Listener | HttpProcesses"
#: Held by whoever looks after the runs: the server, or while there is none, its presence for a moment at a time.
TENDING = "tending.lock"
TENDING_TIMEOUT_S = 5.0
#: How long a stop may take at least to write the last entries of the prediction log.
LAST_ENTRIES_S = 2.0


class Folders:
    """The folders of one server.

    Attributes:
        data: What is kept: the store, and usually the runs and their models.
        scratch: What is not: uploads and the workers' temporary files; one for each server process.
    """

    def __init__(self, store: Store):
        self.data = Path(store.data_dir)
        self._locks: list[IO[str]] = []
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._claim("server.lock", 0)
            self._claim(TENDING, 2 * TENDING_TIMEOUT_S)
            runs_of(store).mkdir(mode=0o700, parents=True, exist_ok=True)
            place_of(store)
            self.scratch = Path(tempfile.mkdtemp(prefix="deepaas-core-"))
        except OSError as error:
            self._release()
            text = f"The data folder {self.data} cannot be used: {error.filename or self.data}: {error.strerror}."
            raise errors.SettingsError(text) from error

    def _claim(self, name: str, wait_s: float) -> None:
        """Keep others out of the data folder; the claim ends with this process, however it ends."""
        lock, give_up = (self.data / name).open("a"), time.monotonic() + wait_s
        self._locks.append(lock)
        while not try_lock(lock):
            if time.monotonic() > give_up:
                self._release()
                what = f"Another server uses the data folder {self.data}"
                raise errors.SettingsError(f"{what}; give this one another (setting store.data_dir).")
            time.sleep(0.1)

    def _release(self) -> None:
        for lock in self._locks:
            lock.close()

    def worker(self, model: str) -> Path:
        folder = self.scratch / f"model-{model}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def close(self) -> None:
        """Remove what is not kept, and let another server in."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self._release()


def try_lock(file: IO[str]) -> bool:
    """Claim a file for as long as it is open; whether that could be had at once."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def runs_of(store: Store) -> Path:
    """The folder that holds the runs' folders."""
    return store.runs_dir or Path(store.data_dir) / "runs"


def place_of(store: Store) -> Place:
    """This server and its folder of runs, as the records name them; nameless where there are no others.

    Raises:
        OSError: A folder cannot be read, or at first not be written.
    """
    if not store.url:
        return Place()
    return Place(_name_of(Path(store.data_dir) / "server-id"), _name_of(runs_of(store) / "home-id"))


def _name_of(path: Path) -> str:
    """What a folder is called, whatever its path is; the first who asks gives it a name."""
    if not path.exists():
        new = path.with_name(f"{path.name}.{os.getpid()}")
        new.write_text(uuid.uuid4().hex)
        with suppress(FileExistsError):
            os.link(new, path)
        new.unlink()
    return path.read_text()


def environments_of(store: Store) -> Path:
    """The folder of the environments that we have made."""
    return Path(store.data_dir) / "environments"


def found_by(settings: Settings, only: Collection[str] = ()) -> Discovery:
    """What the packages of all the environments declare that the settings name.

    Args:
        settings: They may name models, too.
        only: Names of models, in place of those in the settings.

    Raises:
        PluginError: A model that is wanted by name is not declared by any package.
        SettingsError: There is no such environment.
    """
    environments = read_environments(settings.models.environments, environments_of(settings.store))
    return discover(only or settings.models.only, environments=environments)


def installed_by_now(settings: Settings) -> Discovery:
    """As ``found_by``, but a model that is wanted and gone is simply not there."""
    environments = read_environments(settings.models.environments, environments_of(settings.store))
    return discover(environments=environments).of(settings.models.only)


async def source_of(source: Source) -> SourceCode | None:
    """Where the source of a model lies that is edited; None if there is none."""
    return await locate(source, inherited(source.environment))


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def launch_of(source: Source, settings: Settings, scratch: Path | None, model_dir: Path | None) -> Launch:
    """How a worker of this model is started."""
    workers = settings.workers_for(source.name, source.settings)
    return Launch(
        model=source.name,
        target=source.target,
        environment=source.environment,
        model_dir=model_dir,
        scratch=scratch,
        startup_timeout_s=workers.startup_timeout_s,
        warm=workers.warm,
        max_result_bytes=workers.max_result_mb * 2**20,
        guard=guard_of(settings).to_plain(),
        endpoint=source.endpoint,
    )


def guard_of(settings: Settings) -> Guard:
    """Which addresses a ``predict/url`` may lead to.

    Raises:
        SettingsError: ``fetch.allow`` has an entry that cannot be read.
    """
    try:
        return Guard(enabled=settings.fetch.guard, allow=settings.fetch.allow)
    except ValueError as error:
        raise errors.SettingsError(f"fetch.allow: {error}") from error


def executor_of(settings: Settings, source: Source, launch: Launch, on_change: OnChange) -> Executor:
    """The executor that the settings ask for; a script always has processes of its own."""
    workers = settings.workers_for(source.name, source.settings)
    delay_ms = workers.max_batch_delay_ms
    limits = Limits(
        workers=workers.count,
        max_queue=workers.max_queue,
        restart_pause_max_s=workers.restart_backoff_max_s,
        max_batch_size=workers.max_batch_size,
        max_batch_delay_s=None if delay_ms is None else delay_ms / 1000,
        max_calls=workers.max_calls,
        max_memory_bytes=workers.memory_limit_mb * 2**20 if workers.memory_limit_mb else None,
    )
    if workers.executor == "inline" and launch.environment is None and not is_script(launch.target):
        from deepaas_core.executors.inline import Inline  # it loads all that a worker does

        return Inline(launch, limits, on_change)
    return Pool(launch, limits, on_change, partial(inspect, source))


def trainer_of(settings: Settings, database: Database) -> Trainer:
    """The use case of training, over a database."""
    training = settings.training
    return Trainer(
        SqlRunStore(database),
        RunProcesses(runs_of(settings.store), cancel_grace_s=training.cancel_grace_s),
        max_concurrent_runs=training.max_concurrent_runs,
        max_concurrent_runs_per_model=training.max_concurrent_runs_per_model or None,
        place=place_of(settings.store),
        lease_s=training.lease_s,
        retention=Retention(
            *(
                Rule(getattr(settings.retention, f"{what}_days"), getattr(settings.retention, f"{what}_count"))
                for what in ("runs", "logs", "artifacts")
            )
        ),
    )


def connect(trainer: Trainer, catalog: Catalog) -> None:
    """Let a trainer see the models of a catalog, and the catalog serve what was trained."""
    trainer.on_serve = switching(catalog)
    trainer.offered = lambda: {
        entry.name: entry.model
        for entry in catalog.entries()
        if entry.model is not None and Capability.TRAIN in entry.model.capabilities
    }
    trainer.in_use = lambda model: catalog.entry(model).model_dir if catalog.serves(model) else None


def switching(catalog: Catalog) -> OnServe:
    """What lets a catalog serve the trained model that a trainer names."""

    async def switch(model: str, served: Served) -> None:
        with suppress(errors.ModelNotFound):  # trained by a server that had more models than this one
            await catalog.switch(model, served.folder)

    return switch


def predictor_of(settings: Settings, catalog: Catalog) -> Predictor:
    """The use case of a prediction, with each model's own time limit."""
    return Predictor(catalog, lambda source: settings.workers_for(source.name, source.settings).timeout_s)


def recorder_of(settings: Settings, counts: Counts) -> Recorder:
    """The prediction log of one process, whose counts these are; it is opened when it is first needed."""
    opened = partial(Database.open, settings.store.url, Path(settings.store.data_dir), migrations.PREDICTIONS)
    return Recorder(SqlPredictionStore(opened), settings.prediction_log, counts)


def gatekeeper_of(settings: Settings, database: Database, spend: Spend | None = None) -> Gatekeeper:
    """Who lets callers in, by the tokens of a database.

    Args:
        settings: Where the server listens, and what of access was said in them.
        database: Where the tokens are.
        spend: See ``Gatekeeper``.
    """
    store, loopback = SqlTokenStore(database), is_loopback(settings.web.host)
    return Gatekeeper(store, settings.access, loopback=loopback, spend=spend)


def _warn_of_open_doors(settings: Settings, gatekeeper: Gatekeeper) -> None:
    beyond = not is_loopback(settings.web.host)
    if not any(gatekeeper.state(token) is TokenState.VALID for token in gatekeeper.records.tokens):
        if settings.access.tokens == "on":
            log.warning("tokens are asked for, and there is none: deepaas-core token create")
        elif beyond and gatekeeper.asks:
            rights = "predict, train and read" if settings.access.beyond_loopback == "train" else "predict and read"
            log.warning(
                f"listening beyond this machine without tokens: everybody may {rights}, nobody may do more",
                extra={"host": settings.web.host},
            )
    if beyond and not gatekeeper.asks:
        log.warning(
            "listening beyond this machine without tokens: everybody may do everything",
            extra={"host": settings.web.host},
        )


@dataclass(frozen=True)
class Publication:
    """All that has to do with published services.

    Attributes:
        services: Which generation answers.
        deployer: Changes that.
        stage: Where generations run.
        automations: What services do by themselves.
        enricher: What joins the data of datasets to records.
    """

    services: Services
    deployer: Deployer
    stage: Stage
    automations: Automations
    enricher: Enricher


def publication_of(
    settings: Settings,
    store: ServiceStore,
    executions: AutomationStore,
    catalog: Catalog,
    predictor: Predictor,
    scratch: Path,
) -> Publication:
    """Published services, over their stores and the archives in a folder.

    Raises:
        SettingsError: The folders cannot be made.
    """
    data, chosen = Path(settings.store.data_dir).absolute(), settings.services
    archives = archives_of(settings)
    try:
        archives.make_folders()
    except OSError as error:
        raise errors.SettingsError(f"The folder {error.filename} cannot be used: {error.strerror}.") from error
    services = Services(catalog, lambda service, version: deployer.wake(service, version))
    builder = Builder(data / "built", chosen.allow_apt, chosen.cran)
    enricher = enricher_of(settings, services)
    indexes = Indexes(enricher.datasets, archives)
    stage = Stage(catalog, services, archives, builder, model_in, data / "build-logs", chosen.idle_s, indexes)
    publisher = Publisher(store, archives, definition.read, scratch, chosen.max_unpacked_mb * 2**20, indexes)
    rehearsal = Rehearsal(services, asking(predictor, enricher))
    deployer = Deployer(store, publisher, stage, services, rehearsal, place_of(settings.store).server)
    deployer.forget = executions.forget
    return Publication(services, deployer, stage, Automations(executions, services), enricher)


def archives_of(settings: Settings) -> Archives:
    """The archives of generations, and what came out of them."""
    data = Path(settings.store.data_dir).absolute()
    return Archives(settings.services.archives_dir or data / "generations", data / "unpacked")


def enricher_of(settings: Settings, services: Services) -> Enricher:
    """What joins the data of datasets to records, in each process that answers requests.

    Raises:
        SettingsError: The URL of a connection cannot be used.
    """
    enricher = Enricher(OpenDatasets(settings.connections), archives_of(settings).index)
    services.watch(lambda: enricher.keep_only(services.digests()))
    return enricher


def model_in(name: str, environment: Environment) -> Source | None:
    """The model of this name that an environment's packages declare."""
    found = discover(path=[], environments=[environment])
    return next((source for source in found.sources if source.name == name), None)


async def _listener_of(
    settings: Settings,
    catalog: Catalog,
    predictor: Predictor,
    trainer: Trainer,
    scratch: Path,
    gatekeeper: Gatekeeper,
    publication: Publication,
    recorder: Recorder,
) -> Listening:
    """What accepts connections: this process itself, or several others for it."""
    # Loaded here and on a thread, because that takes as long as most models do, which load at the same time.
    if settings.web.http_workers > 1:
        processes = await asyncio.to_thread(import_module, "deepaas_core.web.processes")
        made = processes.HttpProcesses(
            settings, catalog, trainer, scratch, publication.services, publication.deployer, publication.stage
        )
        return cast("HttpProcesses", made)
    web = await asyncio.to_thread(import_module, "deepaas_core.web.app")
    published = publication.services, publication.deployer, publication.automations, publication.enricher
    app = web.build(
        settings, catalog, predictor, trainer, guard_of(settings), scratch, gatekeeper, *published, recorder
    )
    return cast("Listener", web.Listener(app, settings))


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[Catalog, Listening, Renewer, Deployer]]:
    """A server that accepts requests; on leaving, it drains and leaves nothing behind.

    Raises:
        SettingsError: The port or the data folder cannot be used.
        PluginError: A model that was asked for is not installed.
    """
    found = found_by(settings)
    async with AsyncExitStack() as leaving:
        folders = Folders(settings.store)
        leaving.callback(folders.close)
        database = await Database.open(settings.store.url, folders.data)
        leaving.push_async_callback(database.close)
        trainer = trainer_of(settings, database)
        gatekeeper = gatekeeper_of(settings, database)
        await gatekeeper.look()
        _warn_of_open_doors(settings, gatekeeper)
        await trainer.recover()
        served = {source.name: (await trainer.current(source.name)).folder for source in found.sources}

        async def folder_of(name: str) -> Path | None:
            served[name] = (await trainer.current(name)).folder
            return served[name]

        def make_executor(source: Source, on_change: OnChange) -> Executor:
            launch = launch_of(source, settings, folders.worker(source.name), served.get(source.name))
            return executor_of(settings, source, launch, on_change)

        catalog = Catalog(found.sources, found.problems, make_executor, inspect, served)
        renewer = Renewer(catalog, partial(installed_by_now, settings), folder_of)
        connect(trainer, catalog)
        predictor = predictor_of(settings, catalog)
        recorder = recorder_of(settings, predictor.counts)
        executions = SqlAutomationStore(database)
        stores = SqlServiceStore(database), executions
        publication = publication_of(settings, *stores, catalog, predictor, folders.scratch)
        leaving.push_async_callback(publication.enricher.close)
        catalog.start()
        try:
            listener = await _listener_of(
                settings, catalog, predictor, trainer, folders.scratch, gatekeeper, publication, recorder
            )
            await publication.deployer.start()
            await listener.start()
            saying = await _say_that_we_are_here(settings, listener.port, trainer)
            await trainer.resume()
        except BaseException:
            await publication.deployer.close()
            await trainer.close()
            await catalog.close(0)
            raise
        renewing = [asyncio.create_task(renewer.run()), asyncio.create_task(gatekeeper.watch())]
        renewing.append(asyncio.create_task(recorder.tidy()))
        if place_of(settings.store).server:
            renewing.append(asyncio.create_task(publication.deployer.mind(trainer.peers, settings.training.lease_s)))
        automator = Automator(
            publication.automations,
            executions,
            publication.services,
            publication.deployer,
            publication.stage,
            trainer,
            catalog,
            recorder.store,
            folders.scratch,
            place_of(settings.store).server,
            settings.training.lease_s,
        )
        renewing.append(asyncio.create_task(automator.run()))
        if settings.models.reload:
            renewing.append(asyncio.create_task(Reloader(catalog, renewer, source_of).run()))
        try:
            yield catalog, listener, renewer, publication.deployer
        finally:
            saying.cancel()
            await _cancelled(renewing)
            await _stop(listener, catalog, trainer, publication.deployer, recorder, settings.shutdown.drain_s)


async def _say_that_we_are_here(settings: Settings, port: int, trainer: Trainer) -> asyncio.Task[None]:
    """Tell the other servers on the database of us, and keep the process that goes on telling; see ``presence``."""
    if not settings.store.url:
        return asyncio.create_task(asyncio.sleep(0))
    address = settings.web.public_url or _url(settings, port)
    with suppress(errors.StoreUnavailable):  # the process will say so, and try again
        await trainer.greet(address)  # that process takes a second to load, and runs begin before
    environment = {"DEEPAAS_CORE_PRESENCE": json.dumps(settings.to_plain())}
    return asyncio.create_task(keep(("deepaas_core.presence", str(os.getpid()), address), environment))


async def _stop(
    listener: Listening, catalog: Catalog, trainer: Trainer, deployer: Deployer, recorder: Recorder, drain_s: float
) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + drain_s
    await listener.stop(drain_s)
    recorded = asyncio.create_task(recorder.close(max(LAST_ENTRIES_S, deadline - loop.time())))
    await deployer.close()
    await trainer.close()
    await catalog.close(max(1.0, deadline - loop.time()))
    await recorded


def serve(settings: Settings, on_ready: OnReady) -> int:
    """Serve until a signal ends it.

    Returns:
        The process's exit code.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(settings, on_ready))


async def _serve(settings: Settings, on_ready: OnReady) -> int:
    if settings.models.reload and importlib.util.find_spec("watchfiles") is None:
        raise errors.SettingsError("models.reload needs watchfiles: pip install 'deepaas-core[reload]'")
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop_or_quit, stopped)
    async with running(settings) as (catalog, listener, renewer, deployer):
        _on_hangup(loop, renewer.ask, stopped.set)
        settled = asyncio.create_task(_settled(catalog, deployer))
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.wait([settled, waiting], return_when=asyncio.FIRST_COMPLETED)
        if settled.done():
            gc.freeze()  # what is there by now stays; to look through it again and again holds up requests
            on_ready(_url(settings, listener.port), catalog.entries(), catalog.problems)
        await waiting
        settled.cancel()
        log.info("stopping")
    return 0


async def _settled(catalog: Catalog, deployer: Deployer) -> None:
    await asyncio.gather(catalog.settled(), deployer.settled())


def _on_hangup(loop: asyncio.AbstractEventLoop, renew: Callable[[], None], stop: Callable[[], None]) -> None:
    """SIGHUP renews the models, unless it tells that the terminal has gone from which the server was started."""
    bound = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _has_terminal()  # else it was started by nohup

    def hung_up() -> None:
        if bound and not _has_terminal():
            stop()
        else:
            renew()

    loop.add_signal_handler(signal.SIGHUP, hung_up)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _stop_or_quit(stopped: asyncio.Event) -> None:
    """The first signal asks for an orderly end; the second one gets an immediate one."""
    if stopped.is_set():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    stopped.set()


def _url(settings: Settings, port: int) -> str:
    host = settings.web.host if settings.web.host not in ("0.0.0.0", "::", "") else "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{settings.web.base_path.rstrip('/')}/"


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """What makes the event loop: uvloop's where there is one."""
    try:
        import uvloop
    except ImportError:  # there is none for this platform
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def describe(source: Source, settings: Settings) -> Model:
    """Start a model's worker once, just to see what the model offers.

    Raises:
        PluginError: It cannot be offered, with the reason.
    """
    with tempfile.TemporaryDirectory(prefix="deepaas-core-") as scratch:
        try:
            return inspect(source, await describe_process(launch_of(source, settings, Path(scratch), None)))
        except StartFailed as error:
            raise errors.PluginError(f"Model {source.name!r} cannot be started. {error}") from error


@dataclass(frozen=True)
class Tried:
    """What became of a service that was only tried out.

    Attributes:
        start_s: Seconds until it was up, warm, without the building of its environment.
        outcomes: What it answered.
        memory_bytes: What its processes held after that.
    """

    start_s: float
    outcomes: Sequence[Outcome]
    memory_bytes: int


async def try_out(settings: Settings, folder: Path, arguments: Mapping[str, Any] | None = None) -> Tried:
    """Bring a service's folder up just to see whether it works, and ask its test queries.

    Args:
        settings: How its workers are started.
        folder: With a ``service.toml``.
        arguments: What to ask its first endpoint besides, if that takes arguments.

    Raises:
        DefinitionRefused, ArchiveRefused: It is no service.
        GenerationFailed: It does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="deepaas-core-") as name:
        scratch = Path(name)
        store = replace(settings.store, data_dir=scratch / "data")
        services = replace(settings.services, archives_dir=None)
        settings = replace(settings, store=store, services=services)

        def make_executor(source: Source, on_change: OnChange) -> Executor:
            return executor_of(settings, source, launch_of(source, settings, scratch, None), on_change)

        found = found_by(settings)
        catalog = Catalog(found.sources, found.problems, make_executor, inspect)
        stores = MemoryServiceStore(), MemoryAutomationStore()
        publication = publication_of(settings, *stores, catalog, predictor_of(settings, catalog), scratch)
        try:
            await asyncio.to_thread(pack, folder, scratch / "draft.zip")
            service = definition.read(folder)
            wanted = {target.model for one in service.endpoints.values() for target in one.targets.values()}
            for entry in catalog.entries():
                if entry.name in wanted:
                    entry.executor.start()
            draft = await publication.deployer.publish(scratch / "draft.zip", service.name, Wish("draft"))
            await publication.stage.build(draft)
            started = time.perf_counter()
            await publication.stage.bring_up(draft)
            start_s = time.perf_counter() - started
            queries = list(service.queries)
            if arguments or not queries:
                queries += _plain_query(service, arguments or {})
            _, outcomes = await publication.deployer.rehearse(service.name, "draft", queries)
            pids = [pid for entry in catalog.with_parts() for pid in entry.executor.activity().pids]
            return Tried(start_s, outcomes, sum(memory_of(pid, with_children=True) for pid in pids))
        finally:
            await publication.deployer.close()
            await publication.enricher.close()
            await catalog.close(0)


def _plain_query(service: Service, arguments: Mapping[str, Any]) -> Sequence[Query]:
    """A question to the first endpoint that is a function."""
    functions = (one.name for one in service.endpoints.values() if one.kind is EndpointKind.FUNCTION)
    first = next(functions, None)
    return () if first is None or not arguments else (Query(first, arguments=arguments),)
