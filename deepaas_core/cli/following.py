"""Following a run on the command line: its log as it grows and, on a terminal, a bar that says how far it is."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from rich.live import Live

from deepaas_core.cli.exits import Exit
from deepaas_core.cli.server import Server, is_away
from deepaas_core.cli.showing import OVER, WITHOUT_SUCCESS, print_run, progress_line, short
from deepaas_core.cli.terminal import Terminal, harmless_log

LOOK_EVERY_S = 0.4
#: A server that is restarted is waited for; the run goes on without it.
GIVE_UP_AFTER_S = 120.0
#: A line this long is shown before it ends.
LONG_LINE_BYTES = 2**16

T = TypeVar("T")


async def finish(server: Server, run: dict[str, Any], given: argparse.Namespace) -> int:
    """What a command does that has started a run: follow it if asked to, and say how it is.

    Returns:
        The exit code.
    """
    if given.follow:
        run = await follow(server, run, quiet=given.json)
    if given.json:
        print(json.dumps(run))
    else:
        print_run(Terminal(highlight=False), run, with_traceback=not given.follow)
    return exit_code(run, given.follow)


def exit_code(run: dict[str, Any], followed: bool) -> int:
    """What tells a script how the run is, as far as somebody waited for that."""
    if run["state"] in WITHOUT_SUCCESS:
        return Exit.FAILED
    return Exit.INTERRUPTED if followed and run["state"] not in OVER else Exit.OK


async def follow(server: Server, run: dict[str, Any], quiet: bool = False) -> dict[str, Any]:
    """Print a run's log until the run is over; Ctrl-C only ends the following.

    Returns:
        The run as it was last seen.
    """
    follower = _Follower(server, run, quiet)
    with suppress(asyncio.CancelledError):
        await follower.go_on()
    if follower.run["state"] not in OVER:
        again = f"deepaas-core runs log {short(run)} --follow"
        print(f"The run goes on without you. To watch it again: {again}", file=sys.stderr)
    return follower.run


class _Follower:
    def __init__(self, server: Server, run: dict[str, Any], quiet: bool):
        self.run = run
        self._server = server
        self._screen = None if quiet else _Screen()
        self._offset = 0
        self._away_since: float | None = None

    async def go_on(self) -> None:
        try:
            while True:
                over = self.run["state"] in OVER  # what it printed before that is all there by now
                await self._sure(self._print_log)
                if over:
                    return
                self._show()
                await asyncio.sleep(LOOK_EVERY_S)
                self.run = await self._sure(lambda: self._server.ask("GET", f"/runs/{self.run['id']}"))
        finally:
            if self._screen is not None:
                self._screen.leave()

    async def _print_log(self) -> None:
        if self._screen is None:
            return
        while content := await self._server.read_log(self.run["id"], self._offset):
            self._offset += len(content)
            self._screen.write(content)

    async def _sure(self, action: Callable[[], Awaitable[T]]) -> T:
        """Try for a while if the server is away."""
        while True:
            try:
                result = await action()
            except Exception as error:
                self._miss(error)
            else:
                self._away_since = None
                return result
            self._show()
            await asyncio.sleep(LOOK_EVERY_S)

    def _miss(self, error: Exception) -> None:
        now = time.monotonic()
        if not is_away(error) or (self._away_since is not None and now - self._away_since > GIVE_UP_AFTER_S):
            raise error
        if self._away_since is None:
            self._away_since = now
            if self._screen is None or not self._screen.has_bar:
                print("The server does not answer; the run goes on. Trying again …", file=sys.stderr)

    def _show(self) -> None:
        if self._screen is not None:
            self._screen.show(self.run, self._away_since is not None)


class _Screen:
    """Standard output: bytes as they are for a file or a pipe; on a terminal lines, and a bar below them."""

    def __init__(self) -> None:
        self._terminal = Terminal(highlight=False)
        self.has_bar = self._terminal.is_terminal
        self._bar = Live(console=self._terminal, transient=True, auto_refresh=False, redirect_stdout=False)
        self._line = b""

    def write(self, content: bytes) -> None:
        if not self.has_bar:
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
            return
        whole, newline, self._line = (self._line + content).rpartition(b"\n")
        if len(self._line) > LONG_LINE_BYTES:
            whole, newline, self._line = whole + newline + self._line, b"\n", b""
        if newline:
            self._bar.stop()
            sys.stdout.write(harmless_log(whole.decode("utf-8", "replace")) + "\n")
            sys.stdout.flush()

    def show(self, run: dict[str, Any], away: bool) -> None:
        if self.has_bar:
            self._bar.update(progress_line(run, away))
            self._bar.start(refresh=True)
            self._bar.refresh()

    def leave(self) -> None:
        if self._line:
            self.write(b"\n")
        self._bar.stop()
