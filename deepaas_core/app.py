"""The composition root: the only place that picks concrete parts and puts them together."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from deepaas_core import errors
from deepaas_core.domain.model import Model, Problem, Source
from deepaas_core.executors.base import Executor, OnChange
from deepaas_core.executors.inline import Inline
from deepaas_core.executors.pool import Limits, Pool
from deepaas_core.executors.process import Launch, StartFailed
from deepaas_core.executors.process import describe as describe_process
from deepaas_core.executors.runs import RunProcesses
from deepaas_core.executors.worker.guard import Guard
from deepaas_core.plugins.discovery import discover
from deepaas_core.plugins.inspection import inspect
from deepaas_core.serving.catalog import Catalog, Entry
from deepaas_core.serving.predictor import Predictor
from deepaas_core.serving.trainer import OnServe, Served, Trainer
from deepaas_core.settings import Settings
from deepaas_core.stores.sql import SqlRunStore
from deepaas_core.web import app as web_app
from deepaas_core.web.processes import HttpProcesses

log = logging.getLogger(__name__)

#: Called once every model has settled: the URL, the models, and what cannot be offered.
OnReady = Callable[[str, Sequence[Entry], Sequence[Problem]], None]
Listening = web_app.Listener | HttpProcesses


class Folders:
    """The folders of one server.

    Attributes:
        data: What is kept: the store, runs and their models.
        scratch: What is not: uploads and the workers' temporary files; one for each server process.
    """

    def __init__(self, data: Path):
        self.data = data
        try:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.runs = data / "runs"
            self.runs.mkdir(mode=0o700, exist_ok=True)
            self._lock = (data / "server.lock").open("w")
        except OSError as error:
            raise errors.SettingsError(f"The data folder {data} cannot be used: {error.strerror}.") from error
        self._claim()
        self.scratch = Path(tempfile.mkdtemp(prefix="deepaas-core-"))

    def _claim(self) -> None:
        """Keep a second server out of the data folder; the claim ends with this process, however it ends."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            text = f"Another server uses the data folder {self.data}; give this one another by --data-dir."
            raise errors.SettingsError(text) from None

    def worker(self, model: str) -> Path:
        folder = self.scratch / f"model-{model}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def close(self) -> None:
        """Remove what is not kept, and let another server in."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self._lock.close()


def launch_of(source: Source, settings: Settings, scratch: Path | None, model_dir: Path | None) -> Launch:
    """How a worker of this model is started."""
    workers = settings.workers_for(source.name)
    return Launch(
        model=source.name,
        target=source.target,
        model_dir=model_dir,
        scratch=scratch,
        startup_timeout_s=workers.startup_timeout_s,
        max_result_bytes=workers.max_result_mb * 2**20,
        guard=guard_of(settings).to_plain(),
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


def executor_of(settings: Settings, launch: Launch, on_change: OnChange) -> Executor:
    """The executor that the settings ask for."""
    workers = settings.workers_for(launch.model)
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
    if workers.executor == "inline":
        return Inline(launch, limits, on_change)
    return Pool(launch, limits, on_change)


def trainer_of(settings: Settings, store: SqlRunStore, runs: Path) -> Trainer:
    """The use case of training, over a store and the folder of runs."""
    processes = RunProcesses(runs, cancel_grace_s=settings.training.cancel_grace_s)
    return Trainer(
        store,
        processes,
        max_concurrent_runs=settings.training.max_concurrent_runs,
        max_concurrent_runs_per_model=settings.training.max_concurrent_runs_per_model or None,
    )


def switching(catalog: Catalog) -> OnServe:
    """What lets a catalog serve the trained model that a trainer names."""

    async def switch(model: str, served: Served) -> None:
        with suppress(errors.ModelNotFound):  # trained by a server that had more models than this one
            await catalog.switch(model, served.folder)

    return switch


def predictor_of(settings: Settings, catalog: Catalog) -> Predictor:
    """The use case of a prediction, with each model's own time limit."""
    return Predictor(catalog, lambda name: settings.workers_for(name).timeout_s)


def _listener_of(settings: Settings, catalog: Catalog, trainer: Trainer, scratch: Path) -> Listening:
    """What accepts connections: this process itself, or several others for it."""
    if settings.web.http_workers > 1:
        return HttpProcesses(settings, catalog, trainer, scratch)
    predictor = predictor_of(settings, catalog)
    return web_app.Listener(web_app.build(settings, catalog, predictor, trainer, guard_of(settings), scratch), settings)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[Catalog, Listening]]:
    """A server that accepts requests; on leaving, it drains and leaves nothing behind.

    Raises:
        SettingsError: The port or the data folder cannot be used.
        PluginError: A model that was asked for is not installed.
    """
    found = discover(settings.models.only)
    folders = Folders(Path(settings.store.data_dir))
    try:
        store = await SqlRunStore.open(settings.store.url, folders.data)
        trainer = trainer_of(settings, store, folders.runs)
        await trainer.recover()
        served = {source.name: (await trainer.current(source.name)).folder for source in found.sources}

        def make_executor(source: Source, on_change: OnChange) -> Executor:
            launch = launch_of(source, settings, folders.worker(source.name), served[source.name])
            return executor_of(settings, launch, on_change)

        catalog = Catalog(found.sources, found.problems, make_executor, inspect, served)
        listener = _listener_of(settings, catalog, trainer, folders.scratch)

        trainer.on_serve = switching(catalog)
        await listener.start()
        catalog.start()
        await trainer.resume()
        try:
            yield catalog, listener
        finally:
            await _stop(listener, catalog, trainer, settings.shutdown.drain_s)
            await store.close()
    finally:
        folders.close()


async def _stop(listener: Listening, catalog: Catalog, trainer: Trainer, drain_s: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + drain_s
    await listener.stop(drain_s)
    await trainer.close()
    await catalog.close(max(1.0, deadline - loop.time()))


def serve(settings: Settings, on_ready: OnReady) -> int:
    """Serve until a signal ends it.

    Returns:
        The process's exit code.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_serve(settings, on_ready))


async def _serve(settings: Settings, on_ready: OnReady) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop_or_quit, stopped)
    async with running(settings) as (catalog, listener):
        settled = asyncio.create_task(catalog.settled())
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.wait([settled, waiting], return_when=asyncio.FIRST_COMPLETED)
        if settled.done():
            on_ready(_url(settings, listener.port), catalog.entries(), catalog.problems)
        await waiting
        settled.cancel()
        log.info("stopping")
    return 0


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
