"""A running target: its processes, its memory, and its end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.environments import FOLDER
from benchmarks.load import Connection
from benchmarks.targets import Ask, Target, folder_of, free_port

#: Cores: one for all processes of the server, one for whoever asks.
SERVER_CORE, LOAD_CORE = 0, 1
STARTUP_S = 120.0
#: Within this time a server that answers one question must answer the others as well.
OTHERS_S = 45.0
POLL_S = 0.01
#: A server rests when its processes take less than this share of a core.
RESTING_SHARE, RESTING_LIMIT_S = 0.25, 15.0
MARK = "BENCHMARK_RUN"


class CannotServe(Exception):
    """The target did not start, or does not answer as it should."""


class Server:
    """A target that was started with some models.

    Args:
        target: Which.
        models: What it serves.

    Attributes:
        port: Where it listens.
        log: What it writes.
    """

    def __init__(self, target: Target, models: Sequence[str]):
        self.target = target
        self.port = free_port()
        self.log = FOLDER / "logs" / f"{target.name.replace(' ', '-')}.log"
        self._mark = uuid.uuid4().hex
        self.log.parent.mkdir(exist_ok=True)
        self._folder = folder_of(self.port)
        self._folder.mkdir()
        environ = {**os.environ, "TMPDIR": str(self._folder), **target.environ(models), MARK: self._mark}
        command = ["taskset", "--cpu-list", str(SERVER_CORE), *target.command(self.port, models)]
        self._started = time.perf_counter()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environ, start_new_session=True
            )
        share_niceness(self._process.pid)

    def wait(self, ask: Ask, patience_s: float = STARTUP_S) -> float:
        """Seconds from the start to the first answer 200.

        Args:
            ask: What is asked.
            patience_s: How long after the start it may come.

        Raises:
            CannotServe: There was none in time.
        """
        while time.perf_counter() - self._started < patience_s:
            with contextlib.suppress(OSError, ValueError), Connection(self.port) as connection:
                if connection.ask(ask)[0] == 200:
                    took = time.perf_counter() - self._started
                    for pid in self.pids():
                        share_niceness(pid)
                    return took
            if self._process.poll() is not None:
                raise CannotServe(f"ended with code {self._process.returncode}: {self.last_words()}")
            time.sleep(POLL_S)
        raise CannotServe(f"no answer 200 within {patience_s:.0f} s: {self.last_words()}")

    def last_words(self) -> str:
        """The last line that the target wrote."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "(nothing written)"

    def pids(self) -> list[int]:
        """All its processes, found by what they were given in their environment or by their parents."""
        parents: dict[int, int] = {}
        found = {self._process.pid}
        mark = f"{MARK}={self._mark}".encode()
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                    if mark in (folder / "environ").read_bytes():
                        found.add(int(folder.name))
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return sorted(found)

    def memory_mb(self) -> float:
        """Memory of all its processes, what they share counted once (PSS), in MiB."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        return total / 1024

    def processor_s(self) -> float:
        """Processor time that all its processes have used, those that have ended included, in seconds."""
        ticks = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += sum(int(field) for field in fields[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def rest(self) -> None:
        """Wait until it has worked off what was asked of it, so that others can have their turn."""
        end = time.monotonic() + RESTING_LIMIT_S
        while time.monotonic() < end:
            before, began = self.processor_s(), time.monotonic()
            time.sleep(0.06)
            if self.processor_s() - before < RESTING_SHARE * (time.monotonic() - began):
                return

    def stop(self) -> None:
        """End all its processes and remove what it wrote, its log excepted."""
        pids = self.pids()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        for pid in {*pids, *self.pids()}:
            with contextlib.suppress(OSError):
                if f"{MARK}={self._mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def share_niceness(pid: int) -> None:
    """Give the session of a process our own niceness: Linux grants sessions equal shares, whatever their processes'."""
    if os.nice(0):
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/autogroup").write_text(str(os.nice(0)))


@contextlib.contextmanager
def serving(target: Target, models: Sequence[str], asks: Sequence[str]) -> Iterator[Server]:
    """A server that answers, and that is gone afterwards.

    Args:
        target: Who serves.
        models: What it serves.
        asks: What is asked of it first; its health without any.

    Raises:
        CannotServe: See ``Server.wait``.
    """
    server = Server(target, models)
    try:
        server.wait(target.asks[asks[0]] if asks else Ask(target.health))
        for ask in asks[1:]:
            with contextlib.suppress(CannotServe):
                server.wait(target.asks[ask], OTHERS_S)
        yield server
    finally:
        server.stop()
