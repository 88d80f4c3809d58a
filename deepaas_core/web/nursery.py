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
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

#: The program; see ``front``.
PROGRAM = "deepaas_core.front"
#: What asks for a process; its sockets come with it.
ORDER = b"fork"


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

    def end(self, code: int) -> None:
        """Note that it has ended."""
        self.code = code
        self._ended.set()


class Nursery:
    """Forks processes from one that is started when the first is asked for, and anew if it was lost."""

    def __init__(self) -> None:
        self._template: asyncio.subprocess.Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._orders: socket.socket | None = None
        self._said = b""
        self._children: dict[int, Child] = {}
        self._ordered: deque[asyncio.Future[Child]] = deque()

    async def fork(self, sockets: Sequence[socket.socket]) -> Child:
        """Make a process that gets these sockets; once this has been begun, they may be closed.

        Raises:
            OSError: There is none, because what is forked did not start, or has ended.
        """
        if self._orders is None:
            self._orders, theirs = socket.socketpair()
            self._said = b""
            asyncio.get_running_loop().add_reader(self._orders, self._hear)
            self._starting = asyncio.create_task(self._start(theirs))
        forked: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._ordered.append(forked)
        socket.send_fds(self._orders, [ORDER], [one.fileno() for one in sockets])
        return await forked

    async def close(self) -> None:
        """End what is forked; the processes are to have ended by now."""
        self._lose()
        if self._starting is not None:
            await self._starting
        if self._template is not None:
            await self._template.wait()

    async def _start(self, orders: socket.socket) -> None:
        if self._template is not None:
            await self._template.wait()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with orders:
            try:
                self._template = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", PROGRAM, str(orders.fileno()), str(os.getpid())),
                    stdin=subprocess.DEVNULL,
                    pass_fds=[orders.fileno()],
                    env=environment,
                )
            except OSError as error:
                self._lose(str(error))

    def _hear(self) -> None:
        """Take in which processes have begun and ended."""
        assert self._orders is not None
        try:
            piece = self._orders.recv(65536)
        except OSError:
            piece = b""
        if not piece:
            self._lose()
            return
        *lines, self._said = (self._said + piece).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "code" in said:
                self._children.pop(said["pid"]).end(said["code"])
                continue
            child = self._children[said["pid"]] = Child(said["pid"])
            forked = self._ordered.popleft()
            if not forked.done():  # nobody waits for one that was given up
                forked.set_result(child)

    def _lose(self, reason: str = "what HTTP processes are forked from has ended") -> None:
        """What is forked has ended, or is to: the processes end with it."""
        if self._orders is None:
            return
        asyncio.get_running_loop().remove_reader(self._orders)
        self._orders.close()
        self._orders = None
        while self._ordered:
            forked = self._ordered.popleft()
            if not forked.done():
                forked.set_exception(OSError(reason))
        while self._children:
            self._children.popitem()[1].end(-signal.SIGKILL)
