"""Where HTTP processes come from: a process that has loaded all that they need, and is forked for each.

The first of several is so up after one time of loading, the others with it, and one that is lost is replaced in
milliseconds; what they have loaded they share. The main process itself could not be forked: it has threads.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from deepaas_core.executors.companion import spawn

#: The program; see ``front``.
PROGRAM = "deepaas_core.front"
#: What asks for a process; its sockets come with it.
ORDER = b"fork"
#: Where the program finds its orders.
ORDERS_FD = 3
#: What reaches all processes of a server, and is for the main process to decide about.
SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
TRIES, LOOK_EVERY_S = 40, 0.05


class Child:
    """A process that was forked.

    Attributes:
        pid: Its number.
        code: Its exit code, negative for a signal; None as long as it runs.
    """

    def __init__(self, pid: int):
        self.pid = pid
        self.code: int | None = None
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        """Wait for the exit code."""
        await self._ended.wait()
        assert self.code is not None
        return self.code

    def kill(self) -> None:
        """End it; nothing happens if it has ended."""
        if self.code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def give_up(self) -> None:
        """End it, and wait no longer for word of that: who would bring it may be stuck."""
        self.kill()
        if self.code is None:
            self.end(0)

    def end(self, code: int) -> None:
        """Note that it has ended."""
        self.code = code
        self._ended.set()


class Nursery:
    """Forks processes from one that is started when the first is asked for, and anew if it was lost."""

    def __init__(self) -> None:
        self._template: int | None = None
        self._orders: socket.socket | None = None
        self._said = b""
        self._children: dict[int, Child] = {}
        self._ordered: deque[asyncio.Future[Child]] = deque()
        self._burials: set[asyncio.Task[None]] = set()

    async def fork(self, sockets: Sequence[socket.socket]) -> Child:
        """Make a process that gets these sockets; once this has been begun, they may be closed.

        Raises:
            OSError: There is none, because the system does not allow it, or what is forked has ended.
        """
        if self._orders is None:
            self._start()
        assert self._orders is not None
        socket.send_fds(self._orders, [ORDER], [one.fileno() for one in sockets])
        forked: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._ordered.append(forked)
        return await forked

    async def close(self) -> None:
        """End what is forked, and with it whatever process has not ended by now."""
        self._lose("the server stops")
        await asyncio.gather(*self._burials)

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._template = spawn(
                (PROGRAM, str(ORDERS_FD), str(os.getpid())),
                {},
                [(os.POSIX_SPAWN_DUP2, theirs.fileno(), ORDERS_FD)],
                # A service manager signals all processes of a server, and one that loads has no handlers yet.
                setsigmask=SIGNALS,
            )
        self._orders, self._said = ours, b""
        asyncio.get_running_loop().add_reader(ours, self._hear)

    def _hear(self) -> None:
        """Take in which processes have begun and ended."""
        assert self._orders is not None
        try:
            piece = self._orders.recv(65536)
        except OSError:
            piece = b""
        if not piece:
            self._lose("what HTTP processes are forked from has ended")
            return
        *lines, self._said = (self._said + piece).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "code" in said:
                self._children.pop(said["pid"]).end(said["code"])
                continue
            forked = self._ordered.popleft()
            if "pid" in said:
                child = self._children[said["pid"]] = Child(said["pid"])
                if not forked.done():  # nobody waits for one that was given up
                    forked.set_result(child)
            elif not forked.done():
                forked.set_exception(OSError(said["failed"]))

    def _lose(self, reason: str) -> None:
        """What is forked has ended, or is to: the processes end with it."""
        if self._orders is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._orders)
        self._orders.close()
        self._orders = None
        while self._ordered:
            forked = self._ordered.popleft()
            if not forked.done():
                forked.set_exception(OSError(reason))
        if self._template is not None:
            burial = loop.create_task(_bury(self._template, list(self._children)))
            self._burials.add(burial)
            burial.add_done_callback(self._burials.discard)
            self._template = None
        while self._children:
            self._children.popitem()[1].end(-signal.SIGKILL)


async def _bury(template: int, orphans: list[int]) -> None:
    """See to it that a process that has nothing to do any more ends, and that nothing is left of it in the system.

    Args:
        template: Its number.
        orphans: What it was the parent of: ours, if there is nobody else above us, as in a container.
    """
    for number in range(TRIES):
        if _reaped(template):
            break
        if number == TRIES // 2:
            with suppress(ProcessLookupError):
                os.kill(template, signal.SIGKILL)
        await asyncio.sleep(LOOK_EVERY_S)
    for _ in range(TRIES):
        orphans = [pid for pid in orphans if not _reaped(pid)]
        if not orphans:
            break
        await asyncio.sleep(LOOK_EVERY_S)


def _reaped(pid: int) -> bool:
    """Whether a process has ended, or is nobody of ours."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
