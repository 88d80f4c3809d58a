"""One training run: a supervisor, and the process below it that calls the model's ``train``.

The supervisor leads the run's session and imports nothing of the model, so whatever the model does to its own process
(exit, crash, being killed for want of memory) there is somebody left to say how it ended, whether or not a server is
there to hear it. It leaves in the run's folder

    result.json   what ``train`` returned or raised; written by the process below
    exit.json     how that process ended: {"code": 3} or {"signal": 9, "out_of_memory": true}

both put in place in one step, so that they are there whole or not at all.
"""

import contextlib
import ctypes
import errno
import inspect
import io
import json
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn, Optional

from . import compat, describing, encoding, loading

NOT_TAKEN = 75
#: The process below ends with this code when what train returned could not be written.
NOT_KEPT = 74
#: Room for ``exit.json`` is taken when the run begins, so that a full disk cannot keep us from saying how it ended.
LAST_WORDS_BYTES = 512
#: A full disk is given so long to have room again.
PATIENCE_S = 600.0
#: Predictions come first where both want the processor.
NICENESS = 5
HEARTBEAT_S = 2.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ASKED_TO_STOP = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(path: str) -> int:
    """Execute the run whose job file this is; only one process ever gets to.

    Returns:
        The exit code: 0 once there is an ``exit.json``.
    """
    job = _take(path)
    if job is None:
        return NOT_TAKEN
    folder = os.path.dirname(os.path.abspath(path))
    os.umask(0o077)
    os.nice(NICENESS)
    _close_inherited_files()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    for number in _ASKED_TO_STOP:
        signal.signal(number, signal.SIG_IGN)
    killed_before, supervisor = _killed_for_memory(), os.getpid()
    child = os.fork()
    if child == 0:
        _work(job, folder, supervisor)
    signal.signal(signal.SIGTERM, lambda *_: _send(child, signal.SIGTERM))
    _beat(folder)
    with contextlib.suppress(OSError):
        _write_new(os.path.join(folder, "exit.json"), b" " * LAST_WORDS_BYTES)
    ending = _wait_for(child)
    if ending.get("signal") == signal.SIGKILL:
        ending["out_of_memory"] = _killed_for_memory() > killed_before
    _write(folder, "exit.json", json.dumps(dict(ending, at=time.time())).encode().ljust(LAST_WORDS_BYTES))
    _end_what_is_left()
    return 0


# The supervisor.


def _take(path: str) -> Optional[dict[str, Any]]:
    """Read the job and make it disappear, arguments and all; None if another process has taken it."""
    mine = f"{path}.{os.getpid()}"
    try:
        os.rename(path, mine)
    except FileNotFoundError:
        return None
    with open(mine, encoding="utf-8") as file:
        job: dict[str, Any] = json.load(file)
    os.unlink(mine)
    return job


def _beat(folder: str) -> None:
    """Touch the file ``heartbeat`` from now on, for servers that cannot see our process."""

    def touch(*_: object) -> None:
        with contextlib.suppress(OSError):
            descriptor = os.open(os.path.join(folder, "heartbeat"), os.O_WRONLY | os.O_CREAT, 0o600)
            os.utime(descriptor)
            os.close(descriptor)

    signal.signal(signal.SIGALRM, touch)
    signal.setitimer(signal.ITIMER_REAL, HEARTBEAT_S, HEARTBEAT_S)
    touch()


def _close_inherited_files() -> None:
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(int(name))


def _wait_for(child: int) -> dict[str, Any]:
    """Wait until the child has ended, cleaning up after orphans that come to us meanwhile."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            if os.WIFSIGNALED(status):
                return {"signal": os.WTERMSIG(status)}
            return {"code": os.WEXITSTATUS(status)}


def _end_what_is_left() -> None:
    """Kill what the model started and left behind: as each parent dies, its children become ours."""
    give_up = time.monotonic() + 5
    while time.monotonic() < give_up:
        for pid in _children():
            _send(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def _children() -> Iterator[int]:
    if not os.path.isdir("/proc/self"):
        return
    for name in os.listdir("/proc"):
        if name.isdigit() and _parent(int(name)) == os.getpid():
            yield int(name)


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0


def _killed_for_memory() -> int:
    """How many processes this machine has killed so far because it ran out of memory."""
    try:
        with open("/proc/vmstat", "rb") as file:
            return next((int(line.split()[1]) for line in file if line.startswith(b"oom_kill ")), 0)
    except OSError:
        return 0


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


# The process below.


def _work(job: dict[str, Any], folder: str, supervisor: int) -> NoReturn:
    """Call ``train``, leave its result, and end."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        os._exit(1)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        setattr(sys, name, _Log(descriptor).as_text())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, _stop)
    _let_forks_end()
    if job.get("resume"):
        os.environ["DEEPAAS_CORE_RESUME_DIR"] = job["resume"]
    worker, code = os.getpid(), 0
    try:
        word = b'{"ok":true,"result":' + _train(job)
    except _Stopped:
        _end_by(signal.SIGTERM)
    except BaseException as error:
        _tell(error)
        word, code = b'{"ok":false,"error":' + json.dumps(_describe(error)).encode(), 1
    if os.getpid() == worker:  # a process that the model forked may run on into here
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            _write(folder, "result.json", word + b',"at":' + repr(time.time()).encode() + b"}")
        except OSError as error:
            _tell(error)
            code = NOT_KEPT
    _leave(code)


def _train(job: dict[str, Any]) -> bytes:
    compat.install()
    plugin = loading.load(job["target"])
    if loading.is_script(job["target"]):  # its one function is what trains
        plugin = types.SimpleNamespace(train=plugin.predict)
    description = describing.describe(plugin)
    hook = description.hooks.get("train")
    if hook is None:
        raise NotImplementedError("The model package that is installed now has no function train.")
    values = description.deserialize("train", job["values"])
    value = hook(values) if description.styles.get("train") == "dictionary" else hook(**values)
    if inspect.iscoroutine(value):
        import asyncio  # slow to load, and seldom needed

        value = asyncio.run(value)
    return encoding.encode(value, job["max_result_bytes"])


class _Log(io.FileIO):
    """What the model prints goes here; on a full disk it is lost, and the training is not."""

    def __init__(self, descriptor: int):
        super().__init__(descriptor, "w", closefd=False)

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            return len(data)

    def as_text(self) -> io.TextIOWrapper:
        return io.TextIOWrapper(self, "utf-8", "backslashreplace", write_through=True)


class _Stopped(BaseException):
    """Somebody asked this run to stop; on its way out, the model can put things in order."""


def _stop(number: int, frame: Optional[FrameType]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Stopped


def _let_forks_end() -> None:
    """Let SIGTERM end what the model forks, e.g. a ``Pool``, whatever it is doing; on our way out it may wait for ever.

    A fork may be asked before it knows how to end, so it is not asked until then.
    """
    before = threading.local()

    def block() -> None:
        before.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def unblock() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before.mask)

    def end_when_asked() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        unblock()

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=end_when_asked)


def _end_by(number: int) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(1)


def _leave(code: int) -> NoReturn:
    """End now: exit handlers and threads of the model get a moment, and no more."""
    timer = threading.Timer(2.0, os._exit, args=(code,))
    timer.daemon = True
    timer.start()
    sys.exit(code)


def _tell(error: BaseException) -> None:
    """Put the traceback into the log as well, where people look first."""
    with contextlib.suppress(Exception):  # the model may have closed or replaced them
        sys.stdout.flush()
        sys.stderr.write(encoding.describe_exception(error)["traceback"])
        sys.stderr.flush()


def _describe(error: BaseException) -> dict[str, str]:
    if isinstance(error, describing.Invalid):
        issues = ["{}: {}".format(pointer or "(all)", detail) for pointer, detail in error.issues]
        return {"kind": "InvalidInput", "message": "; ".join(issues), "traceback": ""}
    if isinstance(error, encoding.Unencodable):
        message = f"What train returned cannot be encoded: {error}"
        return {"kind": "result", "message": message, "traceback": ""}
    described = encoding.describe_exception(error)
    if isinstance(error, SystemExit):
        described["message"] = "train called sys.exit({})".format(described["message"])
    return described


def _write(folder: str, name: str, content: bytes) -> None:
    """Put a file in place in one step, on disk when this returns; try again while there is no room for it."""
    path, give_up = os.path.join(folder, name), time.monotonic() + PATIENCE_S
    while True:
        try:
            _write_new(path, content)
            os.replace(path + ".new", path)
            break
        except OSError as error:
            if error.errno not in _NO_ROOM or time.monotonic() > give_up:
                raise
        time.sleep(1)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _write_new(path: str, content: bytes) -> None:
    """Write the file that is to replace another, over what it has: that takes no room that it does not have yet."""
    descriptor = os.open(path + ".new", os.O_WRONLY | os.O_CREAT, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
