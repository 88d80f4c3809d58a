"""One HTTP process of several: it answers requests, and asks the main process for everything that only that one has.

It is forked from this program for ``web.processes``, and has its own application over the same use cases; only the
executors are others. Training runs it records and reads by itself, the main process is told of them and executes them.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import logging
import os
import selectors
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deepaas_core import app
from deepaas_core.domain.model import Problem, Source
from deepaas_core.executors.base import OnChange
from deepaas_core.executors.link import Link, Note, Reply
from deepaas_core.executors.remote import Remote
from deepaas_core.executors.worker import frames
from deepaas_core.executors.worker.serve import die_with
from deepaas_core.plugins.inspection import inspect
from deepaas_core.serving.automator import Automations
from deepaas_core.serving.catalog import Catalog
from deepaas_core.serving.limiter import Charge
from deepaas_core.serving.predictor import Predictor
from deepaas_core.serving.remote_deployer import RemoteDeployer
from deepaas_core.serving.services import Services
from deepaas_core.serving.trainer import Trainer
from deepaas_core.settings import Settings
from deepaas_core.stores.database import Database
from deepaas_core.stores.sql_automations import SqlAutomationStore
from deepaas_core.telemetry import logs
from deepaas_core.web import app as web_app
from deepaas_core.web.deepaas.debugging import Passing
from deepaas_core.web.nursery import ORDER, SIGNALS
from deepaas_core.web.processes import (
    COUNTS,
    GONE,
    HELLO,
    JOIN,
    LET_GO,
    LOGGED,
    METRICS,
    MOVED,
    PROBLEMS,
    SERVICES,
    SPEND,
    STATE,
    STOP,
    SYNC,
    WAKE,
)

log = logging.getLogger(__name__)

#: What was counted is handed over this often, so that little of it is lost if the process is.
TELL_COUNTS_EVERY_S = 1.0
#: The main process waits no longer than a second beyond the time for draining.
LAST_ENTRIES_S = 0.9
#: A host has an address or two, rarely more.
MAX_SOCKETS = 64


class Front:
    """This process's end of the link, and what it learns over it."""

    def __init__(self, connection: socket.socket, listening: Sequence[socket.socket]):
        self._listening = listening
        loop = asyncio.get_running_loop()
        self.hello: asyncio.Future[Mapping[str, Any]] = loop.create_future()
        self.stopping: asyncio.Future[float] = loop.create_future()
        self._remotes: dict[str, Remote] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._catalog: Catalog | None = None
        self._trainer: Trainer | None = None
        self._predictor: Predictor | None = None
        self._services: Services | None = None
        answers = {COUNTS: self._counts, LET_GO: self._let_go, SYNC: self._sync}
        notes: dict[str, Note] = {
            HELLO: self.hello.set_result,
            STATE: self._state,
            PROBLEMS: self._problems,
            MOVED: self._moved,
            SERVICES: self._take_over,
            GONE: self._gone,
            STOP: self.stop,
        }
        self._link = Link(connection, answers, notes, closed=lambda: os._exit(0))

    def stop(self, drain_s: float) -> None:
        """Accept no more requests; a second time changes nothing."""
        if not self.stopping.done():
            self.stopping.set_result(drain_s)

    async def serve(self) -> None:
        """Answer requests until the main process says that it is enough."""
        hello = await self.hello
        settings = Settings.from_plain(hello["settings"])
        logs.configure(settings.log.level, settings.log.format, settings.log.file)
        if settings.deepaas.debug_endpoint:
            self._tell_what_is_logged()
        database = await Database.open(settings.store.url, Path(settings.store.data_dir))
        trainer = self._trainer = app.trainer_of(settings, database)
        trainer.on_moved = lambda run: self._link.tell(MOVED, run.id)
        catalog = self._catalog = Catalog(
            [Source.from_plain(source) for source in hello["sources"]],
            [Problem(**problem) for problem in hello["problems"]],
            self._make_executor,
            inspect,
        )
        app.connect(trainer, catalog)
        predictor = self._predictor = app.predictor_of(settings, catalog)
        services = self._services = Services(catalog, self._wake)
        services.take_over((await self._link.ask(JOIN)).value)
        guard, scratch = app.guard_of(settings), Path(hello["scratch"])
        gatekeeper = app.gatekeeper_of(settings, database, self._spend)
        await gatekeeper.look()
        recorder = app.recorder_of(settings, predictor.counts)
        automations = Automations(SqlAutomationStore(database), services)
        enricher = app.enricher_of(settings, services)
        published = services, RemoteDeployer(self._link), automations, enricher
        of_all = self._scrape, self._logged
        application = web_app.build(
            settings, catalog, predictor, trainer, guard, scratch, gatekeeper, *published, recorder, *of_all
        )
        listener = web_app.Listener(application, settings, self._listening)
        await listener.start()
        gc.freeze()  # as in the main process
        tasks = [asyncio.create_task(self._tell_counts()), asyncio.create_task(gatekeeper.watch())]
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop, settings.shutdown.drain_s)
        drain_s = await self.stopping
        deadline = asyncio.get_running_loop().time() + drain_s
        await listener.stop(drain_s)
        await recorder.close(max(LAST_ENTRIES_S, deadline - asyncio.get_running_loop().time()))
        for task in tasks:
            task.cancel()
        await trainer.close()
        await enricher.close()
        await database.close()

    def _make_executor(self, source: Source, on_change: OnChange) -> Remote:
        made = self._remotes[source.name] = Remote(source.name, self._link, on_change)
        return made

    def _state(self, state: Mapping[str, Any]) -> None:
        assert self._catalog is not None
        source = Source.from_plain(state["source"])
        if not self._catalog.has(source.name):
            self._catalog.add(source)
        entry = self._catalog.part(source.name)
        entry.model_dir = Path(state["model_dir"]) if state["model_dir"] else None
        entry.notice = state["notice"]
        self._remotes[source.name].told(state)
        entry.comes_from(source)

    def _problems(self, problems: Sequence[Mapping[str, Any]]) -> None:
        assert self._catalog is not None
        self._catalog.complain(Problem(**problem) for problem in problems)

    def _gone(self, name: str) -> None:
        assert self._catalog is not None
        del self._remotes[name]
        task = asyncio.create_task(self._catalog.remove(name, 0.0))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    # Services.

    def _take_over(self, table: Sequence[Mapping[str, Any]]) -> None:
        if self._services is not None:
            self._services.take_over(table)

    async def _wake(self, service: str, version: str) -> None:
        """Have a generation brought up; the new table comes before the answer does."""
        await self._link.ask(WAKE, [service, version])

    async def _let_go(self, value: Sequence[str], _: frames.Buffer) -> Reply:
        assert self._services is not None
        return Reply(self._services.let_go(*value))

    async def _sync(self, _: Any, __: frames.Buffer) -> Reply:
        """What was told before this was asked has been taken in by now."""
        return Reply()

    def _moved(self, _: str) -> None:
        if self._trainer is not None:
            self._trainer.nudge()

    async def _spend(self, charges: Sequence[Charge]) -> float:
        """Take requests from the buckets of the main process, which all HTTP processes share."""
        return float((await self._link.ask(SPEND, [asdict(charge) for charge in charges])).value)

    # The log, where it is shown.

    def _tell_what_is_logged(self) -> None:
        """Tell the main process every line, whichever thread logs it."""
        loop = asyncio.get_running_loop()

        def tell(line: str) -> None:
            with suppress(RuntimeError):  # the loop is closed, and this process at its end
                loop.call_soon_threadsafe(self._link.tell, LOGGED, line)

        logging.getLogger().addHandler(Passing(tell))

    async def _logged(self, line: str) -> Sequence[str]:
        lines: Sequence[str] = (await self._link.ask(LOGGED, line)).value
        return lines

    # Metrics.

    async def _scrape(self, accept: str) -> tuple[bytes, str]:
        reply = await self._link.ask(METRICS, accept)
        return bytes(reply.body), reply.value

    async def _counts(self, _: Any, __: frames.Buffer) -> Reply:
        return Reply(self._counted())

    def _counted(self) -> Mapping[str, Any] | None:
        return None if self._predictor is None else self._predictor.counts.to_plain()

    async def _tell_counts(self) -> None:
        while True:
            await asyncio.sleep(TELL_COUNTS_EVERY_S)
            self._link.tell(COUNTS, self._counted())


def main() -> int:
    """Fork an HTTP process whenever the process at the other end of the inherited socket asks for one."""
    descriptor, parent = map(int, sys.argv[1:])
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    die_with(parent)
    os.set_inheritable(descriptor, False)
    app.loop_factory()  # loads it
    gc.collect()
    gc.freeze()  # what all have in common is not to be written to
    template = Template(socket.socket(fileno=descriptor))
    descriptors = template.fork_as_told()
    return 0 if descriptors is None else _be(descriptors)


def _be(descriptors: Sequence[int]) -> int:
    """Be the HTTP process that has this link, and these listening sockets."""

    async def serve() -> None:
        link, *listening = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        link.set_inheritable(False)
        await Front(link, listening).serve()

    with asyncio.Runner(loop_factory=app.loop_factory()) as runner:
        try:
            runner.run(serve())
        except Exception:
            log.exception("http process failed")
            return 1
    return 0


class Template:
    """What HTTP processes are forked from; see ``web.nursery``.

    Args:
        orders: Brings an order for each process, with its sockets, and takes what became of each.
    """

    def __init__(self, orders: socket.socket):
        self._orders = orders
        self._woken, waking = socket.socketpair()
        for one in (self._woken, waking):
            one.setblocking(False)
        signal.set_wakeup_fd(waking.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._waking = waking

    def fork_as_told(self) -> Sequence[int] | None:
        """Fork until nobody is there to order it any more.

        Returns:
            In a process that was forked, the descriptors of its sockets; else None.
        """
        with selectors.DefaultSelector() as selector, suppress(BrokenPipeError, ConnectionResetError):
            for one in (self._orders, self._woken):
                selector.register(one, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._woken in ready:
                    self._woken.recv(4096)
                    self._reap()
                if self._orders in ready:
                    order, descriptors, flags, _ = socket.recv_fds(self._orders, len(ORDER), MAX_SOCKETS)
                    if not order:
                        return None
                    if self._fork(whole=not flags & socket.MSG_CTRUNC):
                        return descriptors
                    for descriptor in descriptors:
                        os.close(descriptor)
        return None

    def _fork(self, whole: bool) -> bool:
        """Fork, if all sockets have come, and say what became of it.

        Returns:
            Whether this is the process that was forked.
        """
        template = os.getpid()
        try:
            if not whole:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            pid = os.fork()
        except OSError as error:  # the others go on
            self._tell({"failed": f"cannot fork: {error.strerror}"})
            return False
        if pid:
            self._tell({"pid": pid})
            return False
        self._leave(template)
        return True

    def _leave(self, template: int) -> None:
        """Keep nothing of the template in the process that was forked."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for one in (self._orders, self._woken, self._waking):
            one.close()
        die_with(template)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                self._tell({"pid": pid, "code": os.waitstatus_to_exitcode(status)})

    def _tell(self, said: Mapping[str, int | str]) -> None:
        self._orders.sendall(json.dumps(said).encode() + b"\n")


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
