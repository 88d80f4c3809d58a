"""Several processes that answer requests, on one port, over the same models.

The models' workers, their queues and the runs stay with the main process; each HTTP process has a link to it. The main
process makes the listening sockets, one for each HTTP process, and keeps them: the kernel spreads connections over
them, and while a process that ended is replaced, its connections wait instead of being refused.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deepaas_core import errors
from deepaas_core.domain.model import Source
from deepaas_core.domain.training import Run
from deepaas_core.executors import remote
from deepaas_core.executors.link import Link, LinkClosed, Reply
from deepaas_core.executors.worker import frames
from deepaas_core.serving.catalog import Catalog, Entry
from deepaas_core.serving.deployer import Deployer
from deepaas_core.serving.gauges import measure, page
from deepaas_core.serving.limiter import Charge, Limiter
from deepaas_core.serving.remote_deployer import DEPLOYER, answer_deployment
from deepaas_core.serving.services import Services
from deepaas_core.serving.stage import Stage
from deepaas_core.serving.trainer import Trainer
from deepaas_core.settings import Settings
from deepaas_core.telemetry.metrics import Counts
from deepaas_core.web.app import BACKLOG
from deepaas_core.web.deepaas.debugging import Capture
from deepaas_core.web.nursery import Child, Nursery

log = logging.getLogger(__name__)

#: What is told over the link, and what is asked besides calls.
HELLO, STATE, PROBLEMS, MOVED, STOP = "hello", "state", "problems", "moved", "stop"
JOIN, COUNTS, METRICS, SPEND, LOGGED = "join", "counts", "metrics", "spend", "logged"
SERVICES, GONE, WAKE, LET_GO, SYNC = "services", "gone", "wake", "let-go", "sync"
#: How long a scrape waits for a process that is busy; its last known counts are shown then.
COUNTS_TIMEOUT_S = 1.0
SOUND_S = 10.0
PAUSE_MAX_S = 5.0


class HttpProcess:
    """One of the processes, and its successors on the same sockets."""

    def __init__(self, number: int, sockets: Sequence[socket.socket]):
        self.number = number
        self.sockets = sockets
        self.process: Child | None = None
        self.link: Link | None = None
        self.joined = False
        self.counts: Mapping[str, Any] | None = None
        self.described: dict[str, object] = {}

    def push(self, entry: Entry) -> None:
        """Tell the process how a model is; what it offers only when that has changed."""
        if not self.joined or self.link is None:
            return
        description = entry.executor.description
        news = self.described.get(entry.name, self) is not description
        self.described[entry.name] = description
        folder = entry.model_dir and str(entry.model_dir)
        state = remote.state_of(entry.executor, with_description=news)
        self.link.tell(STATE, {"source": asdict(entry.source), "model_dir": folder, "notice": entry.notice, **state})

    def tell(self, name: str, value: Any) -> None:
        """Tell the process something, if it is there."""
        if self.joined and self.link is not None:
            self.link.tell(name, value)

    async def fetch_counts(self) -> None:
        """Ask the process what it has counted by now."""
        if self.link is None or not self.joined:
            return
        with suppress(TimeoutError, LinkClosed):
            async with asyncio.timeout(COUNTS_TIMEOUT_S):
                self.counts = (await self.link.ask(COUNTS)).value


class HttpProcesses:
    """Accepts connections by several processes. Does for them what a ``Listener`` does for one.

    Args:
        settings: Where to listen, and how many processes.
        catalog: The models; their executors are in this process.
        trainer: The runs; it is this process that starts them.
        scratch: Folder of uploads.
        services: Which generation of a service answers.
        deployer: Changes that.
        stage: Where generations run.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        trainer: Trainer,
        scratch: Path,
        services: Services,
        deployer: Deployer,
        stage: Stage,
    ):
        self._settings = settings
        self._catalog = catalog
        self._trainer = trainer
        self._scratch = scratch
        self._processes: list[HttpProcess] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._departed = Counts()
        self._limiter = Limiter()
        self._capture = Capture()
        self._nursery = Nursery()
        self._stopping = False
        self.port = settings.web.port
        self._services, self._deployer, self._stage = services, deployer, stage
        catalog.watch(self._changed)
        services.watch(self._tell_services)
        stage.let_go = self._let_go
        deployer.spread = self._spread

    async def start(self) -> None:
        """Bind, and start the processes; connections wait until one is up.

        Raises:
            SettingsError: The address cannot be used, e.g. because another server has it.
        """
        web = self._settings.web
        try:
            groups = bind(web.host, web.port, web.http_workers)
        except OSError as error:
            reason = error.strerror or error
            raise errors.SettingsError(f"Cannot listen on {web.host} port {web.port}: {reason}.") from error
        self.port = groups[0][0].getsockname()[1]
        self._trainer.on_moved = self._moved_here
        if self._settings.deepaas.debug_endpoint:
            self._capture.begin()
        self._processes = [HttpProcess(number, sockets) for number, sockets in enumerate(groups, 1)]
        self._keepers = [asyncio.create_task(self._keep(process)) for process in self._processes]

    async def stop(self, drain_s: float) -> None:
        """Accept no more, let requests in flight finish for so long at most, and end the processes."""
        self._stopping = True
        for process in self._processes:
            for listening in process.sockets:
                listening.close()
            if process.link is not None:
                process.link.tell(STOP, drain_s)
            else:
                self._keepers[process.number - 1].cancel()
        if self._keepers:
            await asyncio.wait(self._keepers, timeout=drain_s + 1.0)
        for process in self._processes:
            if process.process is not None:
                process.process.kill()
        await self._nursery.close()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self._capture.end()

    # One process after the other.

    async def _keep(self, process: HttpProcess) -> None:
        loop, pause_s = asyncio.get_running_loop(), 0.0
        while True:
            began = loop.time()
            lost: dict[str, Any]
            try:
                running = process.process = await self._spawn(process)
                log.info("http process started", extra={"pid": running.pid})
                lost = {"code": await running.wait(), "pid": running.pid}
            except OSError as error:
                lost = {"reason": str(error)}
            await self._clean_up(process)
            if self._stopping:
                return
            pause_s = 0.0 if loop.time() - began > SOUND_S else min(PAUSE_MAX_S, max(0.1, 2 * pause_s))
            log.warning("http process lost", extra={**lost, "restart_s": pause_s})
            await asyncio.sleep(pause_s)

    async def _spawn(self, process: HttpProcess) -> Child:
        ours, theirs = socket.socketpair()
        process.link = Link(ours, self._answers(process), self._notes(process), lambda: self._hung_up(process))
        hello = {
            "settings": self._settings.to_plain(),
            "sources": [asdict(entry.source) for entry in self._catalog.with_parts()],
            "problems": [asdict(problem) for problem in self._catalog.problems],
            "scratch": str(self._scratch),
        }
        process.link.tell(HELLO, hello)
        with theirs:
            return await self._nursery.fork([theirs, *process.sockets])

    def _hung_up(self, process: HttpProcess) -> None:
        """The link is broken: without it a process is of no use."""
        if process.process is not None:
            asyncio.get_running_loop().call_later(1.0, process.process.give_up)

    async def _clean_up(self, process: HttpProcess) -> None:
        """Keep what the process has counted; drop what it was doing and what it left on disk."""
        process.joined = False
        process.described.clear()
        if process.counts is not None:
            self._departed.add(process.counts)
            process.counts = None
        if process.link is not None:
            process.link.close()
            process.link = None
        if process.process is not None:
            await asyncio.to_thread(_remove, self._scratch, f"request-{process.process.pid}-*")
            process.process = None

    # What a process asks and tells.

    def _answers(self, process: HttpProcess) -> dict[str, Any]:
        async def join(_: Any, __: frames.Buffer) -> Reply:
            process.joined = True
            for entry in self._catalog.with_parts():
                process.push(entry)
            return Reply(self._services.to_plain())

        return {
            JOIN: join,
            remote.CALL: self._call,
            remote.REPLACE: self._replace,
            METRICS: self._metrics,
            LOGGED: self._logged,
            SPEND: self._spend,
            WAKE: self._wake,
            DEPLOYER: self._deploy,
        }

    def _notes(self, process: HttpProcess) -> dict[str, Any]:
        def moved(run_id: str) -> None:
            self._trainer.nudge()
            self._tell_moved(run_id, but=process)

        def counts(plain: Mapping[str, Any]) -> None:
            process.counts = plain

        return {MOVED: moved, COUNTS: counts, LOGGED: self._capture.keep}

    async def _call(self, value: Mapping[str, Any], body: frames.Buffer) -> Reply:
        self._stage.touched(value["model"])
        return await remote.answer_call(self._catalog.part(value["model"]).executor, value, body)

    async def _replace(self, value: Mapping[str, Any], _: frames.Buffer) -> Reply:
        folder, source = value["model_dir"], value["source"]
        if source is None:
            await self._catalog.switch(value["model"], Path(folder) if folder else None)
        else:
            await self._catalog.renew(Source.from_plain(source))
        return Reply()

    async def _spend(self, charges: Sequence[Mapping[str, Any]], _: frames.Buffer) -> Reply:
        return Reply(self._limiter.spend_now([Charge(**charge) for charge in charges]))

    async def _wake(self, value: Sequence[str], _: frames.Buffer) -> Reply:
        service, version = value
        await self._deployer.wake(service, version)
        return Reply()

    async def _deploy(self, value: Sequence[Any], _: frames.Buffer) -> Reply:
        return await answer_deployment(self._deployer, value)

    async def _logged(self, line: str, _: frames.Buffer) -> Reply:
        return Reply(await self._capture.with_line(line))

    async def _metrics(self, accept: str, _: frames.Buffer) -> Reply:
        await asyncio.gather(*(process.fetch_counts() for process in self._processes))
        together = Counts()
        for counted in (self._departed.to_plain(), *(process.counts for process in self._processes)):
            if counted is not None:
                together.add(counted)
        together.keep(self._services.counts)
        pids = [process.process.pid for process in self._processes if process.process is not None]
        body, content_type = page(together, await measure(self._catalog, self._trainer, pids), accept)
        return Reply(content_type, body)

    # What the processes are told.

    def _changed(self, entry: Entry | None) -> None:
        for process in self._processes:
            if entry is not None and not self._catalog.has(entry.name):
                process.described.pop(entry.name, None)
                process.tell(GONE, entry.name)
            elif entry is not None:
                process.push(entry)
            elif process.joined and process.link is not None:
                process.link.tell(PROBLEMS, [asdict(problem) for problem in self._catalog.problems])

    def _tell_services(self) -> None:
        if self._processes:
            table = self._services.to_plain()
            for process in self._processes:
                process.tell(SERVICES, table)

    async def _let_go(self, service: str, version: str) -> bool:
        """Have every process let go of a generation that none of them calls."""
        answers = [self._asked_to_let_go(process, service, version) for process in self._processes]
        return all(await asyncio.gather(*answers))

    async def _asked_to_let_go(self, process: HttpProcess, service: str, version: str) -> bool:
        if process.link is None or not process.joined:
            return True
        answer = await self._soon(process, LET_GO, [service, version])
        return answer is not None and bool(answer.value)

    async def _spread(self) -> None:
        """Wait until every process has what it was told by now, if it is not too busy."""
        await asyncio.gather(*(self._soon(process, SYNC) for process in self._processes if process.joined))

    @staticmethod
    async def _soon(process: HttpProcess, name: str, value: Any = None) -> Reply | None:
        """Ask a process something, and wait for a while; None if it is busy, or gone."""
        if process.link is None:
            return None
        try:
            async with asyncio.timeout(COUNTS_TIMEOUT_S):
                return await process.link.ask(name, value)
        except (TimeoutError, LinkClosed):
            return None

    def _moved_here(self, run: Run) -> None:
        self._tell_moved(run.id)

    def _tell_moved(self, run_id: str, but: HttpProcess | None = None) -> None:
        for process in self._processes:
            if process is not but and process.link is not None and process.joined:
                process.link.tell(MOVED, run_id)


def bind(host: str, port: int, number: int) -> list[list[socket.socket]]:
    """Listening sockets for so many processes, each with one for every address that the host has.

    Raises:
        OSError: An address cannot be used, or another server has it.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    groups: list[list[socket.socket]] = [[] for _ in range(number)]
    for family, (name, _, *rest) in addresses:
        with _bound(family, (name, port, *rest), shared=False) as alone:  # refused if any other server has it
            port = alone.getsockname()[1]
        for group in groups:
            group.append(_bound(family, (name, port, *rest), shared=True))
    for listening in (one for group in groups for one in group):
        listening.listen(BACKLOG)
    return groups


def _bound(family: int, address: tuple[Any, ...], shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def _remove(folder: Path, pattern: str) -> None:
    for left in folder.glob(pattern):
        shutil.rmtree(left, ignore_errors=True)
