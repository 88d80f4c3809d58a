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
import sys
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from deepaas_core.executors.base import Call, Result, failure
from deepaas_core.executors.output import Output
from deepaas_core.executors.worker import frames

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
        interpreter: The Python that has the model's libraries.
        model_dir: Folder of the trained model it serves; None when there is none.
        scratch: Folder for the worker's temporary files.
        guard: Address rules for ``predict_url``, as plain data.
    """

    model: str
    target: str
    interpreter: str = sys.executable
    model_dir: Path | None = None
    scratch: Path | None = None
    startup_timeout_s: float = 120.0
    max_result_bytes: int = 64 * 2**20
    guard: Mapping[str, Any] = field(default_factory=dict)

    def environment(self, tag: str) -> dict[str, str]:
        """The worker's environment: the server's own, without the server's settings and secrets."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DEEPAAS_CORE_")}
        environment[TAG] = tag
        environment["PYTHONUNBUFFERED"] = "1"
        if self.model_dir is not None:
            environment["DEEPAAS_CORE_MODEL_DIR"] = str(self.model_dir)
        if self.scratch is not None:
            environment["TMPDIR"] = str(self.scratch)
        return environment


class Ticket:
    """A call on its way: its future, and where it has got to."""

    __slots__ = ("call", "future", "id", "taken_back", "timer", "worker")

    def __init__(self, number: int, call: Call, future: asyncio.Future[Result]):
        self.id = number
        self.call = call
        self.future = future
        self.worker: Worker | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.taken_back = False


class Worker:
    """A running worker.

    Attributes:
        pending: Calls sent and not answered, oldest first; the first is the one it is working on.
        gone: Done when the process has ended and been cleaned up after; its result is the reason.
    """

    def __init__(
        self,
        launch: Launch,
        settled: Callable[[Worker, Ticket, float], None],
        lost: Callable[[Worker, str], None],
    ):
        self.launch = launch
        self.pending: deque[Ticket] = deque()
        self.calls = 0
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[str] = self._loop.create_future()
        self._ready: asyncio.Future[Mapping[str, Any]] = self._loop.create_future()
        self._settled, self._lost = settled, lost
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

    def send(self, ticket: Ticket) -> None:
        """Give the worker one more call."""
        ticket.worker = self
        self.pending.append(ticket)
        header = ticket.call.header()
        header["id"] = ticket.id
        self._send(header, ticket.call.body)

    def take_back(self, ticket: Ticket) -> None:
        """Ask the worker not to begin a call that it may already have received."""
        if not ticket.taken_back:
            ticket.taken_back = True
            self._send({"cancel": ticket.id})

    def kill(self, reason: str) -> None:
        """End the process and its children at once."""
        self._ending = self._ending or reason
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def retire(self, within_s: float) -> None:
        """Let the worker finish what it holds, for so long at most, and end it."""
        self._ending = "retired"
        self._closing = True
        if not self.pending and not self._outgoing:
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
        arguments = [self.launch.interpreter, str(PROGRAM), "serve", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                env=self.launch.environment(self._tag),
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
        self._send(
            {
                "target": self.launch.target,
                "parent": os.getpid(),
                "max_result_bytes": self.launch.max_result_bytes,
                "guard": self.launch.guard,
            }
        )

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
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # children it left behind in its group
        for output in self._outputs:
            output.close()
        reason = self._ending or _how_it_ended(code)
        if not self._ready.done():
            self._ready.set_exception(StartFailed(f"Its process ended while it started ({reason})."))
        if not self._ready.cancelled():
            self._ready.exception()  # whoever stopped waiting is not told again
        self._lost(self, reason)
        sweep = self._loop.run_in_executor(None, kill_tagged, TAG, self._tag)
        sweep.add_done_callback(lambda _: self._cleaned_up(reason))

    def _cleaned_up(self, reason: str) -> None:
        if not self.gone.done():
            self.gone.set_result(reason)

    def _hang_up(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    # The line.

    def _send(self, header: dict[str, Any], *buffers: frames.Buffer) -> None:
        self._outgoing.extend(frames.encode(header, *buffers))
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
        except (OSError, frames.BrokenLine, KeyError, TypeError, AttributeError, ValueError) as error:
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
            self._ready.set_exception(StartFailed(f"{failed['kind']}: {failed['message']}"))
            return
        ticket = self.pending.popleft()
        if ticket.id != header["id"]:
            self.pending.appendleft(ticket)
            raise frames.BrokenLine("an answer to something that was not asked")
        self.calls += 1
        future = ticket.future
        if not future.done():
            if "error" in header:
                future.set_exception(failure(self.launch.model, ticket.call.hook, header["error"]))
            else:
                path = header.get("path")
                future.set_result(
                    Result(bytes(body), header.get("media_type"), Path(path) if path else None, header["s"])
                )
        self._settled(self, ticket, float(header["s"]))
        if self._closing and not self.pending:
            self._hang_up()


def kill_tagged(name: str, value: str) -> int:
    """Kill every process whose environment has ``name=value``; returns how many there were."""
    killed = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(name) == value:
                process.kill()
                killed += 1
    return killed


def _how_it_ended(code: int) -> str:
    """An exit status in words: ``exit code 3`` or ``signal SIGSEGV``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
