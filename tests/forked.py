"""The command as a process of its own, forked from one that has loaded it: most of what a start costs is loading."""

from __future__ import annotations

import atexit
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [
        *("deepaas_core.app", "deepaas_core.cli.serve", "deepaas_core.web.app", "deepaas_core.web.processes"),
        *("aiosqlite", "asyncpg", "sqlalchemy.dialects.postgresql.asyncpg", "uvloop", "tests.forked"),
    ]
)


class Forked:
    """A running command, to be treated as a ``subprocess.Popen``.

    Args:
        arguments: What is typed after ``deepaas-core``.
        env: All its variables.
        cwd: Where it runs.
        log: Where its output goes, and what it complains of.
    """

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str], cwd: Path, log: IO[Any]):
        self._process = _processes.Process(target=_run, args=(list(arguments), dict(env), cwd, log.name))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("deepaas-core", timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Nothing happens if it has ended."""
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def _run(arguments: list[str], env: dict[str, str], cwd: Path, log: str) -> None:
    """What an interpreter does before it runs ``python -m deepaas_core``, and then that."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    for stream in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND), stream)
    sys.argv = ["deepaas-core", *arguments]
    sys.path[:0] = env.get("PYTHONPATH", "").split(os.pathsep)
    sys.dont_write_bytecode = bool(env.get("PYTHONDONTWRITEBYTECODE"))
    importlib.invalidate_caches()
    from deepaas_core.cli import main

    try:
        sys.exit(main(arguments))
    finally:
        atexit._run_exitfuncs()
