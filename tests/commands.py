"""Commands that run in the test's own process: to start an interpreter costs a hundred times what they do."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from deepaas_core import cli

Main = Callable[[Sequence[str]], int]
#: How long a thread of a command may take to end after it, on a machine that is overworked.
ENDING_S = 30


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def run_here(main: Main, argv: Sequence[str], environ: Mapping[str, str], folder: Path, *places: Path) -> Done:
    """Run a command as a process of its own would be run.

    Args:
        main: What the command's entry point names.
        argv: What is typed after its name.
        environ: All its variables.
        folder: Where it is run.
        places: Where Python finds packages besides; the command's children are told by its variables.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    found = [*map(str, places), *sys.path]
    before = set(threading.enumerate())
    with (
        patch.dict(os.environ, environ, clear=True),
        patch.object(sys, "path", found),
        chdir(folder),
        redirect_stdout(out),
        redirect_stderr(err),
        _log_as_before(),
    ):
        try:
            code = main(argv)
        except SystemExit as end:
            code = end.code
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(ENDING_S)
        assert not thread.is_alive(), f"the command leaves {thread} behind"
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return Done(int(code or 0), *texts)


def typed(*arguments: str | os.PathLike[str], folder: Path | None = None, **environ: str) -> Done:
    """What comes of ``deepaas-core`` with these arguments.

    Args:
        arguments: What is typed after its name.
        folder: Where it is typed.
        environ: Variables besides those of the test.
    """
    known = {**os.environ, "COLUMNS": "200", **environ}
    return run_here(cli.main, [str(each) for each in arguments], known, folder or Path.cwd())


@contextmanager
def _log_as_before() -> Iterator[None]:
    """Undo what a command does to the log of the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        root.handlers[:] = handlers
        root.setLevel(level)
