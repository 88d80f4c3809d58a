"""Functions of scripts in R: a process of R below this one, and what makes it look like a function in Python.

R reads questions from a pipe and writes answers to another, in frames like those of the worker line; what it prints
goes where this process prints. The two live and die together: R ends when its pipe does, and on Linux at once with this
process, however that ends; when R ends, so does this process, by the same signal or exit code, and the server does
what it does when a worker is lost.
"""

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, NoReturn, Optional

from . import frames
from .declared import Declared
from .raised import Refusal, http_refusal
from .records import Record
from .responses import JSON
from .scripts import Script

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "r", "worker.R")
INSTALL = "Debian and Ubuntu have it as r-base-core, with r-cran-jsonlite"
_PR_SET_PDEATHSIG = 1
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class RFailed(Exception):
    """R, or the script, did not start; the text says why."""


class Response:
    """What ``deepaas_response`` gave in R; see ``responses``."""

    def __init__(self, body: Any, status: Any, content_type: Any, headers: Sequence[Any]):
        self.body, self.status, self.content_type, self.headers = body, status, content_type, headers


class Table:
    """Many records as columns by name."""

    def __init__(self, records: Sequence[Record], names: Sequence[str] = ()):
        keys = list(names) or list(dict.fromkeys(key for record in records for key in record))
        self.count = len(records)
        self.columns = {key: [record.get(key) for record in records] for key in keys}


def load(path: str, function: str, endpoint: Mapping[str, Any], max_result_bytes: int) -> Script:
    """Start R, let it run a script, and find its function.

    Raises:
        RFailed: It does not come up.
    """
    process = Process(path, function, max_result_bytes, endpoint.get("r_library"))
    ready = process.start()
    inputs = endpoint.get("inputs") or ()
    names = [str(one["name"]) for one in inputs]
    levels = {str(one["name"]): one["classes"] for one in inputs if one.get("classes")}

    def predict(*tables: Table, **values: Any) -> Any:
        asked: dict[str, Any] = {"values": values}
        for table in tables:
            asked.update(count=table.count, columns=table.columns)
            asked["levels"] = {name: levels[name] for name in table.columns if name in levels}
        return process.ask(asked)

    predict.__doc__ = ready["docs"]
    gather = (ready["table"], lambda records: Table(records, names)) if ready["table"] else None
    return Script(predict, _declared(ready["arguments"], ready["docs"]), ready["any_keyword"], gather)


def _declared(arguments: Sequence[dict[str, Any]], comments: str) -> dict[str, Declared]:
    explained = dict(re.findall(r"^@param\s+(\S+)\s+(.+)$", comments, re.MULTILINE))
    found = {}
    for plain in arguments:
        if plain["name"] in explained:
            plain["help"] = explained[plain["name"]]
        found[plain["name"]] = Declared(plain)
    return found


class Process:
    """R with a script.

    Args:
        path: The script.
        function: Which of its functions is called.
        max_result_bytes: A larger result is refused.
        library: A folder of R packages, besides those that are installed.
    """

    def __init__(self, path: str, function: str, max_result_bytes: int, library: Optional[str] = None):
        program = shutil.which("Rscript")
        if program is None:
            raise RFailed(f"{os.path.basename(path)} needs R, and there is no Rscript on the path; {INSTALL}")
        self._path = path
        self._max_result_bytes = max_result_bytes
        questions, self._asks = os.pipe()
        self._answers, answers = os.pipe()
        folder, file = os.path.split(path)
        self._process = subprocess.Popen(
            [
                program,
                "--no-save",
                "--no-restore",
                "--no-init-file",
                PROGRAM,
                str(questions),
                str(answers),
                file,
                function,
            ],
            stdin=subprocess.DEVNULL,
            pass_fds=[questions, answers],
            cwd=folder,
            env=_environment(library),
            preexec_fn=_end_with_parent(),
        )
        os.close(questions)
        os.close(answers)
        self._incoming: BinaryIO = os.fdopen(self._answers, "rb")

    def start(self) -> dict[str, Any]:
        """Wait for what R says of the function.

        Raises:
            RFailed: The script does not run, or has no such function.
        """
        try:
            told, _ = self._receive()
        except EOFError:
            code = self._process.wait()
            how = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
            raise RFailed(f"R ended while it loaded {os.path.basename(self._path)} ({how})") from None
        if "failed" in told:
            raise RFailed(told["failed"])
        threading.Thread(target=self._follow, name="deepaas-core-r", daemon=True).start()
        ready: dict[str, Any] = told["ready"]
        return ready

    def ask(self, asked: Mapping[str, Any]) -> Any:
        """What the function returns.

        Args:
            asked: ``values`` are its arguments by name; ``columns`` of ``count`` records are its first one, if there
                are any, and ``levels`` tells which values some of them can have.

        Raises:
            Refusal: It fails, or cannot be asked this.
        """
        body = frames.dumps(_plain(asked))
        if _NUL.search(body):
            raise Refusal("invalid", issues=[("", "Text for R must not hold the character NUL.")])
        for piece in frames.encode({}, body):
            self._send(piece)
        try:
            told, answer = self._receive()
        except EOFError:
            self._end()
        if "error" in told:
            raise _refusal(told["error"])
        value = answer if told.get("raw") else frames.loads(answer)
        if "response" not in told:
            return value
        said = told["response"]
        if said.get("content_type") == JSON:
            said["content_type"] = None
        return Response(value, said.get("status") or 200, said.get("content_type"), said.get("headers") or ())

    def _send(self, data: frames.Buffer) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._asks, view) :]
        except BrokenPipeError:
            self._end()

    def _receive(self) -> "tuple[dict[str, Any], bytes]":
        head, size = frames.PREFIX.unpack(self._exactly(frames.PREFIX.size))
        told = frames.loads(self._exactly(head))
        if size > self._max_result_bytes:
            while size:
                size -= len(self._exactly(min(size, 1 << 20)))
            raise Refusal("result", message=f"it is larger than {self._max_result_bytes} bytes")
        return told, self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = self._incoming.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def _follow(self) -> None:
        self._process.wait()
        self._end()

    def _end(self) -> NoReturn:
        """End as R has ended."""
        code = self._process.wait()
        if code < 0:
            os.kill(os.getpid(), -code)
        os._exit(code if code >= 0 else 1)  # a signal may be one that does not end us


def _refusal(error: Mapping[str, Any]) -> Refusal:
    """What an error in R means."""
    if error.get("unencodable"):
        return Refusal("result", message=error["message"])
    status = error.get("status")
    if status is not None and 400 <= status <= 599:
        return http_refusal(status, "", error["message"])
    call = error.get("call")
    message = f"Error in {call}: {error['message']}" if call else error["message"]
    trail = [error["trail"]] if isinstance(error["trail"], str) else error["trail"]
    traceback = "\n".join([*trail, message])
    return Refusal("model", type=error["type"], message=message[:2000], traceback=traceback[:20_000])


def _plain(value: Any) -> Any:
    """Values without numpy arrays, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(item) if isinstance(item, (dict, list)) or hasattr(item, "tolist") else item for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def _environment(library: Optional[str]) -> "dict[str, str]":
    variables = dict(os.environ)
    if library is not None:
        variables["R_LIBS"] = os.pathsep.join(filter(None, (library, variables.get("R_LIBS"))))
    said = variables.get("LC_ALL") or variables.get("LC_CTYPE") or variables.get("LANG") or ""
    if "utf-8" not in said.lower() and "utf8" not in said.lower():
        variables["LC_ALL"] = "C.UTF-8"
    return variables


def _end_with_parent() -> Optional[Any]:
    """What R's process does before it becomes R, so that it ends with this one."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return ask
