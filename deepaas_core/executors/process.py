"""One worker: a process that runs a model, and the server's end of the line to it.

The line is read and written by the event loop itself; no helper threads, and what is sent within one pass of the loop
leaves in one system call.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil

from deepaas_core import errors
from deepaas_core.domain.model import Capability, Environment
from deepaas_core.executors.base import Call, Result, failure, result_of
from deepaas_core.executors.interpreters import inherited, interpreter_of
from deepaas_core.executors.output import Output
from deepaas_core.executors.shelf import Shelf
from deepaas_core.executors.streaming import Pieces
from deepaas_core.executors.worker import frames, slots
from deepaas_core.executors.worker.loading import is_in_r

log = logging.getLogger(__name__)

PROGRAM = Path(__file__).parent / "worker"
#: Every process of a worker carries this in its environment, so that those which left its group are found again.
TAG = "DEEPAAS_CORE_WORKER_ID"
RECEIVE_BYTES = 1 << 18
_KEPT_SETTINGS = ("DEEPAAS_CORE_MODEL_DIR",)


class StartFailed(Exception):
    """The worker did not come up; the text is the reason, fit to be shown."""


@dataclass(frozen=True)
class Launch:
    """How to start a worker of one model.

    Attributes:
        model: The model's name, for logs.
        target: The entry point's target.
        environment: Whose Python and libraries the model uses; None for the server's own.
        model_dir: Folder of the trained model it serves; None when there is none.
        scratch: Folder for the worker's temporary files.
        warm: Whether the model's ``warm`` is called.
        guard: Address rules for ``predict_url``, as plain data.
        endpoint: What the worker is to know of the endpoint it answers; see ``domain.model.Source``.
    """

    model: str
    target: str
    environment: Environment | None = None
    model_dir: Path | None = None
    scratch: Path | None = None
    startup_timeout_s: float = 120.0
    warm: bool = True
    max_result_bytes: int = 64 * 2**20
    guard: Mapping[str, Any] = field(default_factory=dict)
    endpoint: Mapping[str, Any] = field(default_factory=dict)

    def variables(self, tag: str) -> dict[str, str]:
        """The worker's environment variables."""
        variables = inherited(self.environment) | {TAG: tag}
        if self.model_dir is not None:
            variables["DEEPAAS_CORE_MODEL_DIR"] = str(self.model_dir)
        if self.scratch is not None:
            variables["TMPDIR"] = str(self.scratch)
        return variables


class Ticket(asyncio.Future[Result]):
    """A call on its way: the future of its result, and where it has got to.

    Cancelling it gives the call up: what has not begun is not begun.

    Attributes:
        shipment: What carries it; None while it waits for a worker.
        pieces: Its answer, once that has begun to come piece by piece.
        alone: It is not to be merged with others: the batch it was in has crashed.
    """

    __slots__ = ("_owner", "alone", "call", "pieces", "shipment")

    def __init__(self, call: Call, owner: Owner, loop: asyncio.AbstractEventLoop):
        super().__init__(loop=loop)
        self._owner = owner
        self.call = call
        self.shipment: Shipment | None = None
        self.pieces: Pieces | None = None
        self.alone = False

    @property
    def open(self) -> bool:
        """Whether its caller still waits, for the answer or for more of it."""
        return not self.done() or self.pieces is not None

    def cancel(self, msg: Any = None) -> bool:
        given_up = super().cancel(msg)
        if given_up:
            self._owner.given_up(self)
        return given_up

    def fail(self, error: errors.DeepaasError) -> None:
        """Tell the caller what went wrong, if there is still one."""
        if self.pieces is not None:
            self.pieces.finish(error)
            self.pieces = None
        elif not self.done():
            self.set_exception(error)


class Shipment:
    """What is sent to a worker as one frame: a single call, or a batch of calls with equal arguments."""

    __slots__ = ("batch", "id", "loans", "taken_back", "tickets", "worker")

    def __init__(self, number: int, tickets: list[Ticket], batch: bool, worker: Worker):
        self.id = number
        self.tickets = tickets
        self.batch = batch
        self.worker = worker
        self.loans = [ticket.call.loan for ticket in tickets if ticket.call.loan is not None]
        self.taken_back = False
        for ticket in tickets:
            ticket.shipment = self
        for loan in self.loans:
            loan.hold()

    def over(self) -> None:
        """The worker reads nothing of it any more."""
        for loan in self.loans:
            loan.let_go()
        self.loans = []
        for ticket in self.tickets:
            ticket.shipment = None  # else the two would keep each other, and what was sent, until garbage is collected

    def frame(self) -> list[frames.Buffer]:
        """The pieces of its frame."""
        header = self.tickets[0].call.header()
        header["id"] = self.id
        if self.batch:
            header["hook"] = Capability.PREDICT_BATCH
            header["rows"] = len(self.tickets)
            header["buffers"] = [len(ticket.call.body) for ticket in self.tickets]
        elif self.loans:
            header["slot"] = [self.loans[0].number, self.loans[0].size]
            return frames.encode(header)
        return frames.encode(header, *(ticket.call.body for ticket in self.tickets))


class Owner(Protocol):
    """Who has a worker, and is told what becomes of the calls it was given.

    Attributes:
        shelf: What is large reaches the worker through its slots.
    """

    shelf: Shelf

    def settled(self, shipment: Shipment, duration_s: float) -> None:
        """The worker has answered, after so many seconds of the model's own time."""

    def progressed(self, ticket: Ticket) -> None:
        """A piece of an answer has come."""

    def left(self, ticket: Ticket) -> None:
        """The caller takes no more pieces."""

    def given_up(self, ticket: Ticket) -> None:
        """The caller has gone before there was an answer."""

    def lost(self, worker: Worker, reason: str) -> None:
        """The worker has ended; what it had not answered is still in its ``pending``."""


class Worker:
    """A running worker.

    Attributes:
        pending: What was sent and is not answered, oldest first; it is working on the first.
        calls: How many it has answered.
        gone: Done when the process has ended and been cleaned up after; its result is the reason.
    """

    def __init__(
        self,
        launch: Launch,
        owner: Owner,
    ):
        self.launch = launch
        self.pending: deque[Shipment] = deque()
        self.calls = 0
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[str] = self._loop.create_future()
        self._ready: asyncio.Future[Mapping[str, Any]] = self._loop.create_future()
        self._owner = owner
        self._decoder = frames.Decoder(max_body_bytes=launch.max_result_bytes + 2**20)
        self._outgoing: deque[frames.Buffer] = deque()
        self._flush_due = False
        self._writing = False
        self._ending = ""
        self._tag = uuid.uuid4().hex
        self._spawn()

    @property
    def pid(self) -> int:
        return self._process.pid

    def memory_bytes(self) -> int:
        """The memory that the process holds by now, with that of its R if it has one; 0 once it is gone."""
        return memory_of(self.pid, with_children=is_in_r(self.launch.target))

    async def start(self) -> Mapping[str, Any]:
        """Wait until the model is loaded and warm.

        Returns:
            The worker's description of the plugin, as plain data.

        Raises:
            StartFailed: It failed, died or took too long; the process is gone.
        """
        try:
            async with asyncio.timeout(self.launch.startup_timeout_s):
                return await asyncio.shield(self._ready)
        except TimeoutError:
            self.kill("did not start in time")
            await self.gone
            raise StartFailed(f"It was not ready within {self.launch.startup_timeout_s:g} s.") from None
        except (StartFailed, asyncio.CancelledError):
            self.kill("stopped while it started")
            await asyncio.shield(self.gone)
            raise

    def send(self, number: int, tickets: list[Ticket], batch: bool = False) -> None:
        """Give the worker one more call, or a batch of them."""
        shipment = Shipment(number, tickets, batch, self)
        body = tickets[0].call.body
        if not batch and not shipment.loans and len(body) >= slots.LARGE_BYTES:
            loan = self._owner.shelf.lend()
            if loan is not None:
                loan.room(len(body))[:] = body
                shipment.loans = [loan]
        try:
            frame = shipment.frame()
        except (TypeError, ValueError):  # nothing was sent, so nobody would ever answer
            shipment.over()
            for ticket in tickets:
                ticket.fail(errors.InvalidInput([errors.Issue("", "Text must be valid Unicode.")]))
            return
        self.pending.append(shipment)
        self._send(frame)

    def take_back(self, shipment: Shipment) -> None:
        """Ask the worker not to begin a call that it may already have received, or to stop streaming its answer."""
        if not shipment.taken_back:
            shipment.taken_back = True
            self._send(frames.encode({"cancel": shipment.id}))

    def hold(self, held: bool) -> None:
        """Read no more from the worker, so that it waits; or read on."""
        if held:
            self._loop.remove_reader(self._socket.fileno())
        elif self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket.fileno(), self._readable)

    def kill(self, reason: str) -> None:
        """End the process and its children at once."""
        self._ending = self._ending or reason
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def retire(self, within_s: float) -> None:
        """Let the worker finish what it holds, for so long at most, and end it."""
        self._ending = self._ending or "retired"
        self._closing = True
        if not self._ready.done():
            self.kill("not needed any more")
        elif not self.pending and not self._outgoing:
            self._hang_up()
        try:
            async with asyncio.timeout(within_s):
                await asyncio.shield(self.gone)
        except TimeoutError:
            self.kill("retired")
            await self.gone

    # How it is started and how its end is noticed.

    def _spawn(self) -> None:
        self._closing = False
        ours, theirs = socket.socketpair()
        incoming = self._owner.shelf.descriptors
        outgoing = [slots.create() for _ in range(slots.COUNT)]
        self._from_worker = [slots.Slot(descriptor) for descriptor in outgoing]
        arguments = [interpreter_of(self.launch.environment), str(PROGRAM), "serve", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno(), *incoming, *outgoing],
                env=self.launch.variables(self._tag),
                start_new_session=True,
            )
        ours.setblocking(False)
        self._socket = ours
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._outputs = [
            Output(self._loop, os.dup(pipe.fileno()), self.launch.model, stream)
            for pipe, stream in ((self._process.stdout, "stdout"), (self._process.stderr, "stderr"))
        ]
        self._process.stdout.close()
        self._process.stderr.close()
        self._loop.add_reader(ours.fileno(), self._readable)
        self._watch_exit()
        config = {
            "target": self.launch.target,
            "parent": os.getpid(),
            "max_result_bytes": self.launch.max_result_bytes,
            "warm": self.launch.warm,
            "guard": self.launch.guard,
            "endpoint": self.launch.endpoint,
            "slots": [incoming, outgoing],
        }
        self._send(frames.encode(config))

    def _watch_exit(self) -> None:
        if hasattr(os, "pidfd_open"):
            self._pidfd = os.pidfd_open(self._process.pid)
            self._loop.add_reader(self._pidfd, self._exited)
        else:
            self._pidfd = -1
            waiting = self._loop.run_in_executor(None, self._process.wait)
            waiting.add_done_callback(lambda _: self._exited())

    def _exited(self) -> None:
        """The process has ended: take its last words, then settle what it held."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        code = self._process.wait()
        self._readable()
        self._loop.remove_reader(self._socket.fileno())
        if self._writing:
            self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for slot in self._from_worker:
            slot.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # children it left behind in its group
        for output in self._outputs:
            output.close()
        reason = self._ending or _how_it_ended(code)
        if not self._ready.done():
            self._ready.set_exception(StartFailed(f"Its process ended while it started ({reason})."))
        if not self._ready.cancelled():
            self._ready.exception()  # whoever stopped waiting is not told again
        self._owner.lost(self, reason)
        sweep = self._loop.run_in_executor(None, kill_tagged, TAG, self._tag)
        sweep.add_done_callback(lambda _: self._cleaned_up(reason))

    def _cleaned_up(self, reason: str) -> None:
        if not self.gone.done():
            self.gone.set_result(reason)

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    # The line.

    def _send(self, frame: list[frames.Buffer]) -> None:
        self._outgoing.extend(frame)
        if not self._flush_due and not self._writing:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_due = False
        outgoing = self._outgoing
        try:
            while outgoing:
                sent = self._socket.sendmsg([outgoing[0]] if len(outgoing) == 1 else list(outgoing)[:256])
                while sent:
                    first = outgoing.popleft()
                    if sent < len(first):
                        outgoing.appendleft(memoryview(first)[sent:])
                        break
                    sent -= len(first)
        except BlockingIOError:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._socket.fileno(), self._flush)
            return
        except OSError:  # it is dying; its exit tells the rest
            outgoing.clear()
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._socket.fileno())
        if self._closing and not self.pending:
            self._hang_up()

    def _readable(self) -> None:
        try:
            while True:
                data = self._socket.recv(RECEIVE_BYTES)
                if not data:
                    self._hung_up()
                    return
                for header, body in self._decoder.feed(data):
                    self._received(header, body)
                if len(data) < RECEIVE_BYTES:
                    return
        except BlockingIOError:
            return
        except (OSError, frames.BrokenLine, LookupError, TypeError, AttributeError, ValueError) as error:
            self.kill(f"broke the protocol: {type(error).__name__}")
            self._loop.remove_reader(self._socket.fileno())

    def _hung_up(self) -> None:
        """The worker closed its end; unless it was told to go, it will be of no more use."""
        self._loop.remove_reader(self._socket.fileno())
        if not self._closing:
            self._loop.call_later(1.0, self.kill, "closed its line")

    def _received(self, header: Mapping[str, Any], body: frames.Buffer) -> None:
        if "ready" in header:
            self._ready.set_result(header["ready"])
            return
        if "failed" in header:
            failed = header["failed"]
            log.error("model failed to start", extra={"model": self.launch.model, "traceback": failed["traceback"]})
            self._ready.set_exception(StartFailed(_why(failed)))
            return
        shipment = self.pending[0] if self.pending else None
        if shipment is None or shipment.id != header["id"]:
            raise frames.BrokenLine("an answer to something that was not asked")
        if "piece" in header:
            self._received_piece(shipment.tickets[0], bytes(body))
            return
        if "slot" in header:
            body = self._take_from_slot(*header["slot"])
        duration_s = float(header["s"])
        if shipment.batch:
            self._received_batch(shipment, header, body, duration_s)
        else:
            self._answer(shipment.tickets[0], header, bytes(body), duration_s)
        self.pending.popleft()
        shipment.over()
        self.calls += len(shipment.tickets)
        self._owner.settled(shipment, duration_s)
        if self._closing and not self.pending:
            self._hang_up()

    def _take_from_slot(self, slot: int, size: int) -> bytes:
        """A large answer, copied out so that the slot is free for the next."""
        if not 0 <= size <= self.launch.max_result_bytes + 2**20:
            raise frames.BrokenLine("an answer is larger than allowed")
        body = bytes(self._from_worker[slot].view(size))
        self._from_worker[slot].release(size)
        self._send(frames.encode({"freed": slot}))
        return body

    def _received_batch(
        self, shipment: Shipment, header: Mapping[str, Any], body: frames.Buffer, duration_s: float
    ) -> None:
        heads, view, start = header["rows"], memoryview(body), 0
        lengths = header.get("buffers") or [len(body)]
        if not len(heads) == len(lengths) == len(shipment.tickets):
            raise frames.BrokenLine("an answer for another number of rows")
        for ticket, head, length in zip(shipment.tickets, heads, lengths, strict=True):
            self._answer(ticket, head, bytes(view[start : start + length]), duration_s)
            start += length

    def _answer(self, ticket: Ticket, head: Mapping[str, Any], body: bytes, duration_s: float) -> None:
        """Settle a call with what the worker says of it."""
        if "error" in head:
            ticket.fail(failure(self.launch.model, ticket.call.hook, head["error"]))
        elif ticket.pieces is not None:
            ticket.pieces.finish()
            ticket.pieces = None
        elif not ticket.done():
            try:
                result = result_of(self.launch.model, ticket.call.hook, head, body, duration_s)
            except errors.DeepaasError as error:
                ticket.fail(error)
                return
            if "end" in head:  # a stream without a single piece
                result.pieces = self._begin_pieces(ticket)
            ticket.set_result(result)
            if result.pieces is not None:
                result.pieces.finish()
                ticket.pieces = None

    def _received_piece(self, ticket: Ticket, piece: bytes) -> None:
        if ticket.pieces is None:
            if ticket.done():
                return  # nobody wants it any more; the worker has been told
            result = Result(b"", pieces=self._begin_pieces(ticket))
            ticket.set_result(result)
        assert ticket.pieces is not None
        ticket.pieces.push(piece)
        self._owner.progressed(ticket)

    def _begin_pieces(self, ticket: Ticket) -> Pieces:
        ticket.pieces = Pieces(self.hold, lambda: self._owner.left(ticket))
        return ticket.pieces


class Nobody:
    """The owner of a worker that gets no calls but its own."""

    def __init__(self) -> None:
        self.shelf = Shelf(0)

    def settled(self, shipment: Shipment, duration_s: float) -> None: ...
    def progressed(self, ticket: Ticket) -> None: ...
    def left(self, ticket: Ticket) -> None: ...
    def given_up(self, ticket: Ticket) -> None: ...
    def lost(self, worker: Worker, reason: str) -> None: ...


async def describe(launch: Launch) -> Mapping[str, Any]:
    """Start a worker once, just to see what its model offers; gives the description as plain data.

    Raises:
        StartFailed: It does not come up.
    """
    worker = Worker(launch, Nobody())
    try:
        return await worker.start()
    finally:
        if not worker.gone.done():
            await worker.retire(within_s=2.0)


def memory_of(pid: int, with_children: bool) -> int:
    """The memory that a process holds, in bytes; 0 if it is gone."""
    try:
        process = psutil.Process(pid)
        children = process.children() if with_children else []
        return sum(int(one.memory_info().rss) for one in (process, *children))
    except psutil.Error:
        return 0


def kill_tagged(name: str, value: str) -> int:
    """Kill every process whose environment has ``name=value``; returns how many there were."""
    killed = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(name) == value:
                process.kill()
                killed += 1
    return killed


def _why(failed: Mapping[str, Any]) -> str:
    """What a worker says about its failure to start, on one line."""
    text = f"{failed['kind']}: {failed['message']}"
    place = failed.get("place")
    return f"{text} ({place})" if place and place not in text else text


def _how_it_ended(code: int) -> str:
    """An exit status in words: ``exit code 3`` or ``signal SIGSEGV``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
