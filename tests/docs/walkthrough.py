"""Follow a Markdown page the way a reader does: write the files it shows, type its commands, compare what appears.

The page needs no invisible mark-up. What a code block is follows from its first line:

    ```python title="model.py"       a file (any language with a title)
    ```console                       commands after ``$``, each with the output a reader is promised
    ```console title="server"        a command that goes on running in a second terminal; a later one replaces it
    ```console repeat                "repeat until": typed again until the output is the promised one
    ```sh, ```json, …                not followed

In promised output ``...`` stands for anything, and any white space equals any other.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

PATIENCE_S = 30.0
_FENCE = re.compile(r"^```(?P<language>[\w+-]+)(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = re.compile(r"^\$ (?P<command>(?:.*\\\n)*.*)\n?(?P<output>(?:(?!\$ ).*(?:\n|\Z))*)", re.MULTILINE)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class File:
    """A file to write, relative to the folder the reader is in."""

    path: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command to type, and the output that is promised for it (empty: nothing is promised)."""

    line: int
    command: str
    output: str
    repeat: bool = False
    server: bool = False


Step = File | Command


def steps(page: str) -> Iterator[Step]:
    """The steps of a page, in order."""
    for fence in _FENCE.finditer(page):
        title = _TITLE.search(fence["info"])
        if fence["language"] == "console":
            line = page.count("\n", 0, fence.start()) + 2
            server = title is not None and title[1] == "server"
            yield from _commands(fence["text"], line, repeat="repeat" in fence["info"].split(), server=server)
        elif title is not None:
            yield File(title[1], fence["text"])


def _commands(block: str, first_line: int, repeat: bool, server: bool) -> Iterator[Command]:
    """Split a console block at its ``$`` prompts; a line that ends in a backslash goes on."""
    for part in re.finditer(
        r"^\$ (?P<command>(?:.*\\\n)*.*)\n?(?P<output>(?:(?!\$ ).*(?:\n|\Z))*)", block, re.MULTILINE
    ):
        yield Command(
            first_line + block.count("\n", 0, part.start()),
            part["command"],
            part["output"].rstrip("\n"),
            repeat,
            server,
        )


def matches(promised: str, seen: str) -> bool:
    """Whether output is as promised, ``...`` standing for anything."""
    pieces = [r"\s+".join(map(re.escape, piece.split())) for piece in promised.split("...")]
    return re.fullmatch(r"\s*" + r".*".join(rf"\s*{piece}\s*" for piece in pieces), seen, re.DOTALL) is not None


class Reader(AbstractContextManager["Reader"]):
    """Someone with an empty folder and two terminals.

    Args:
        folder: Where to begin.
        environ: The whole environment of both terminals.
        replace: What the page says → what it is here, e.g. a port that is free.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], replace: Mapping[str, str] | None = None):
        self._environ = dict(environ)
        self._replace = dict(replace or {})
        self._log = folder.with_name(folder.name + ".server.log")
        self._server: subprocess.Popen[bytes] | None = None
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=self._environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._keys, self._screen = self._shell.stdin, self._shell.stdout

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_server()
        self._keys.close()
        self._shell.wait(timeout=PATIENCE_S)
        self._screen.close()

    def follow(self, page: str) -> None:
        """Do everything the page says.

        Raises:
            AssertionError: A command failed, or its output was not the promised one; says in which line.
        """
        for step in steps(self._here(page)):
            match step:
                case File():
                    self._write(step)
                case Command(server=True):
                    self._serve(step)
                case Command():
                    self._type(step)

    def _here(self, text: str) -> str:
        for promised, actual in self._replace.items():
            text = text.replace(promised, actual)
        return text

    def _run(self, command: str) -> tuple[int, str]:
        """Run in the first terminal, keeping its folder and variables; returns exit code and output."""
        self._keys.write(f"{command}\nprintf '\\n=== done %d\\n' $?\n")
        self._keys.flush()
        seen: list[str] = []
        for line in self._screen:
            if line.startswith("=== done "):
                return int(line.split()[-1]), "".join(seen)
            seen.append(line)
        raise AssertionError(f"The shell ended at: {command}\n{''.join(seen)}")

    def _write(self, file: File) -> None:
        path = Path(self._run("pwd")[1].strip(), file.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)

    def _type(self, step: Command) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            code, seen = self._run(step.command)
            if code == 0 and (not step.output or matches(step.output, seen)):
                return
            if not step.repeat or time.monotonic() > deadline:
                break
            time.sleep(0.2)  # what a reader does, too; bounded by the deadline
        raise AssertionError(self._disappointment(step, f"exit code {code}\n{seen}"))

    def _serve(self, step: Command) -> None:
        self._stop_server()
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                ["bash", "-c", f"exec {step.command}"],
                cwd=self._run("pwd")[1].strip(),
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE_S
        while not matches(step.output, self._log.read_text()):
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(self._disappointment(step, ""))
            time.sleep(0.1)

    def _stop_server(self) -> None:
        """Ctrl-C, and the server has to leave in good order."""
        if self._server is None:
            return
        server, self._server = self._server, None
        os.killpg(server.pid, signal.SIGINT)
        try:
            code = server.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
            raise
        assert code == 0, f"the server left with {code}:\n{self._log.read_text()}"

    def _disappointment(self, step: Command, seen: str) -> str:
        log = self._log.read_text() if self._log.exists() else ""
        return f"line {step.line}: $ {step.command}\n\npromised:\n{step.output}\n\nseen:\n{seen}\n\nserver:\n{log}"
