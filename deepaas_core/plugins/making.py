"""Environments that we make ourselves, with uv, in the data folder, and know by name.

An environment cannot be moved once it is made, so it is made in place; a file that is written last says that it is
complete. What was left by a crash has no such file, and the next attempt takes its place.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from deepaas_core.domain.model import Environment
from deepaas_core.errors import EnvironmentFailed, EnvironmentNotFound, SettingsError
from deepaas_core.plugins.environments import FINISHED, complaint, read_environment

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Wish:
    """What an environment shall have.

    Attributes:
        python: A version, or the path of a Python.
        requirements: Requirement files.
        packages: Packages, as pip takes them.
    """

    python: str = sys.executable
    requirements: Sequence[Path] = ()
    packages: Sequence[str] = ()


@dataclass(frozen=True)
class Made:
    """An environment of ours; ``environment`` is None if it was never finished."""

    name: str
    folder: Path
    environment: Environment | None = None
    asked: Sequence[str] = ()


class Workshop:
    """Makes, lists and removes environments.

    Args:
        root: The folder that holds them.
        output: A file for what uv has to say; None leaves that on standard error.
    """

    def __init__(self, root: Path, output: IO[bytes] | None = None):
        self._root = root
        self._output = output

    def create(self, name: str, wish: Wish) -> Made:
        """Make an environment.

        Raises:
            SettingsError: The name cannot be one, is taken, or there is no uv.
            EnvironmentFailed: uv could not make it; nothing is left of it.
        """
        if not _NAME.fullmatch(name):
            expected = "letters, digits and . _ - only, a letter or digit first, at most 64"
            raise SettingsError(f"{name!r} cannot be the name of an environment ({expected}).")
        if not wish.requirements and not wish.packages:
            raise SettingsError("Say what the environment shall have: packages, or --requirements FILE.")
        for file in wish.requirements:
            if not file.is_file():
                raise SettingsError(f"There is no file of requirements {file}.")
        uv = _uv()
        folder = self._root / name
        with self._claimed(name):
            if (folder / FINISHED).exists():
                raise SettingsError(f"There is an environment {name!r} already: deepaas-core environment remove {name}")
            try:
                return self._make(uv, name, folder, wish)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def list(self) -> Sequence[Made]:
        """All of them, by name."""
        return [self._look(path) for path in sorted(self._root.glob("[!.]*/"))]

    def remove(self, name: str) -> None:
        """Remove an environment with everything in it.

        Raises:
            EnvironmentNotFound: There is none of this name.
            SettingsError: Something runs in it.
        """
        folder = self._root / name
        if not _NAME.fullmatch(name) or not folder.is_dir():
            raise EnvironmentNotFound(name)
        with self._claimed(name):
            user = next(_processes_of(folder), None)
            if user is not None:
                raise SettingsError(f"Process {user.pid} runs in the environment {name!r}; stop its server or run.")
            (folder / FINISHED).unlink(missing_ok=True)
            shutil.rmtree(folder)

    def _make(self, uv: str, name: str, folder: Path, wish: Wish) -> Made:
        self._run([uv, "venv", "--quiet", "--no-project", "--clear", "--python", wish.python, str(folder)])
        environment = read_environment(folder, name)
        reason = complaint(environment)
        if reason:
            raise EnvironmentFailed(reason)
        files = [part for file in wish.requirements for part in ("--requirements", str(file))]
        self._run([uv, "pip", "install", "--python", environment.interpreter, *files, "--", *wish.packages])
        asked = [*(f"-r {file}" for file in wish.requirements), *wish.packages]
        (folder / FINISHED).write_text(json.dumps({"python": environment.python, "asked": asked}))
        return Made(name, folder, environment, asked)

    def _run(self, command: Sequence[str]) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
        out = self._output
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment, check=False)
        if done.returncode:
            raise EnvironmentFailed(f"uv {command[1]} ended with exit code {done.returncode}; what it says is above.")

    def _look(self, folder: Path) -> Made:
        try:
            said: Any = json.loads((folder / FINISHED).read_text())
            return Made(folder.name, folder, read_environment(folder, folder.name), said["asked"])
        except (OSError, ValueError, KeyError, TypeError, SettingsError):
            return Made(folder.name, folder)

    @contextmanager
    def _claimed(self, name: str) -> Iterator[None]:
        """Keep others from making or removing the same environment meanwhile."""
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self._root / f".{name}.lock").open("a")
        except OSError as error:
            raise SettingsError(f"The data folder {self._root.parent} cannot be used: {error.strerror}.") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SettingsError(f"Somebody else is making or removing the environment {name!r}.") from None
            yield


def _uv() -> str:
    """The program uv: ours if it was installed along with us, else the one on the path."""
    own = Path(sysconfig.get_path("scripts")) / "uv"
    found = str(own) if os.access(own, os.X_OK) else shutil.which("uv")
    if found is None:
        raise SettingsError(
            "Environments are made by uv, which is not installed: pip install 'deepaas-core[environments]'. "
            "Or make one by other means, and serve it by its folder: deepaas-core serve --environment FOLDER."
        )
    return found


def _processes_of(folder: Path) -> Iterator[psutil.Process]:
    """The living processes that were started by the environment's own Python."""
    own = os.path.join(os.path.abspath(folder), "bin", "")
    for process in psutil.process_iter():
        try:
            if next(iter(process.cmdline()), "").startswith(own):
                yield process
        except psutil.Error:
            continue
