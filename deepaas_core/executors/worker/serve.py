"""The serving loop: load the model, say what it offers, then answer one call after the other.

The model's functions run in the main thread, as models expect. The loop reads everything that has arrived before it
starts the next call, so a call the server took back is never begun.
"""

import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from typing import Any

from . import compat, encoding, frames, guard, scripts, slots
from .calling import Caller, Outcome
from .describing import Description, describe
from .loading import is_script, load
from .raised import Refusal

PROTOCOL = 1
_PR_SET_PDEATHSIG = 1


#: How often, at most, the line is read while there are calls to work on: often enough to hear that one was taken back.
READ_EVERY_S = 0.001


class Line:
    """The worker's end of the line.

    A process that the model forked may run on into this loop with a copy of the socket; it must never answer, so
    everything here ends such a process at once.
    """

    def __init__(self, connection: socket.socket):
        self._socket = connection
        self._decoder = frames.Decoder()
        self._pid = os.getpid()
        self._waiting: deque[frames.Frame] = deque()
        self._taken_back: set[int] = set()
        self._read_at = 0.0
        self._incoming: list[slots.Slot] = []
        self._outgoing: list[slots.Slot] = []
        self._free: set[int] = set()

    def open_slots(self, incoming: list[int], outgoing: list[int]) -> None:
        """Use these descriptors for what is large."""
        for descriptor in (*incoming, *outgoing):
            os.set_inheritable(descriptor, False)
        self._incoming = [slots.Slot(descriptor) for descriptor in incoming]
        self._outgoing = [slots.Slot(descriptor) for descriptor in outgoing]
        self._free = set(range(len(outgoing)))

    def send_answer(self, header: dict[str, Any], body: bytes) -> None:
        """Send an answer, a large one through a slot if one is free."""
        if len(body) >= slots.LARGE_BYTES and self._free:
            slot = self._free.pop()
            self._outgoing[slot].write(body)
            self.send({**header, "slot": [slot, len(body)]})
        else:
            self.send(header, body)

    def send(self, header: dict[str, Any], *buffers: frames.Buffer) -> None:
        if os.getpid() != self._pid:
            os._exit(0)
        for piece in frames.encode(header, *buffers):
            self._socket.sendall(piece)

    def is_taken_back(self, call: int) -> bool:
        """Whether the server does not want the rest of this call's answer."""
        self._read(block=False)
        return call in self._taken_back

    def next(self) -> frames.Frame:
        """The next call; blocks until there is one.

        Raises:
            EOFError: The server has closed its end.
        """
        while True:
            if not self._waiting or time.perf_counter() - self._read_at > READ_EVERY_S:
                self._read(block=not self._waiting)
            while self._waiting:
                header, body = self._waiting.popleft()
                if header.get("id") not in self._taken_back:
                    if self._taken_back:  # what is older has been answered
                        self._taken_back = {call for call in self._taken_back if call > header["id"]}
                    return header, body
                self._taken_back.discard(header["id"])
                self.send({"id": header["id"], "error": {"kind": "cancelled"}, "s": 0})

    def _read(self, block: bool) -> None:
        while True:
            try:
                data = self._socket.recv(1 << 18, 0 if block else socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            finally:
                self._read_at = time.perf_counter()
            if not data:
                raise EOFError
            for header, body in self._decoder.feed(data):
                if "cancel" in header:
                    self._taken_back.add(header["cancel"])
                elif "freed" in header:
                    self._free.add(header["freed"])
                else:
                    if "slot" in header:
                        slot, size = header["slot"]
                        body = self._incoming[slot].view(size)
                    self._waiting.append((header, body))
                    block = False
            if len(data) < 1 << 18 and not block:
                return


def main(descriptor: int) -> None:
    """Serve the model that the first frame names on the inherited socket, until the server closes it."""
    os.set_inheritable(descriptor, False)  # processes that the model starts must not hold the line open
    line = Line(socket.socket(fileno=descriptor))
    config, _ = line.next()
    line.open_slots(*config["slots"])
    die_with(config["parent"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches the whole group; the server decides
    try:
        caller, description = prepare(config)
    except BaseException as error:
        failed = encoding.describe_exception(error)
        if is_script(config["target"]):
            failed["place"] = scripts.place(error, config["target"])
        line.send({"failed": failed})
        _leave(1)
    gc.freeze()  # the model's libraries and weights stay; to look through them again and again holds up calls
    line.send({"ready": description})
    try:
        while True:
            header, body = line.next()
            _serve_one(line, caller, header, body)
    except (EOFError, OSError):
        _leave(0)


def prepare(config: dict[str, Any]) -> tuple[Caller, dict[str, Any]]:
    """Load, inspect and warm the model that ``config`` names.

    Returns:
        What calls its hooks, and its description as plain data.

    Raises:
        BaseException: Whatever the model raises on the way.
    """
    compat.install()
    most, endpoint = config.get("max_result_bytes", 64 * 2**20), config.get("endpoint") or {}
    plugin = load(config["target"], endpoint, most)
    description = describe(plugin)
    plain = description.plain()
    plain["metadata"] = _tell("get_metadata", description)
    plain["signature"] = _tell("get_signature", description)
    warm = description.hooks.get("warm")
    if warm is not None and config.get("warm", True):
        with contextlib.suppress(NotImplementedError):
            warm()
    plain.update(protocol=PROTOCOL, python=sys.version.split()[0], pid=os.getpid())
    rules = guard.Guard.from_plain(config.get("guard") or {})
    return Caller(description, rules, most, endpoint), plain


def _tell(name: str, description: Description) -> Any:
    """What a hook without arguments says about the model, as plain data; a failure of it is only a warning."""
    hook = description.hooks.get(name)
    if hook is None:
        return None
    try:
        return frames.loads(encoding.encode(hook()))
    except NotImplementedError:
        return None
    except Exception as error:  # the model can predict all the same
        told = encoding.describe_exception(error)
        description.warnings.append(f"{name}() failed: {told['kind']}: {told['message']}"[:2000])
        return None


def _serve_one(line: Line, caller: Caller, header: dict[str, Any], body: frames.Buffer) -> None:
    started = time.perf_counter()
    call = header["id"]
    if "rows" in header:
        outcomes = caller.call_batch(header, frames.split(header, body))
        heads = [_head(outcome) for outcome in outcomes]
        bodies = [b"" if isinstance(outcome, Refusal) else outcome.body for outcome in outcomes]
        line.send({"id": call, "rows": heads, "s": time.perf_counter() - started}, *bodies)
        return
    try:
        answer = caller.call(header, body)
        if answer.pieces is not None:
            for piece in answer.pieces:
                if line.is_taken_back(call):
                    break
                line.send({"id": call, "piece": True}, piece)
    except Refusal as refusal:
        line.send({**_head(refusal), "id": call, "s": time.perf_counter() - started})
        return
    line.send_answer({**_head(answer), "id": call, "s": time.perf_counter() - started}, answer.body)


def _head(answer: Outcome) -> dict[str, Any]:
    """What an answer's frame says besides its bytes."""
    return {"error": answer.error} if isinstance(answer, Refusal) else answer.head()


def die_with(parent: int) -> None:
    """See to it that this process ends when the server does, even when it is killed."""
    try:
        libc: list[Any] = [ctypes.CDLL(None, use_errno=True)]
        asked = sys.platform == "linux" and libc[0].prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) == 0
    except (OSError, AttributeError):
        asked = False
    if os.getppid() != parent:
        os._exit(0)
    if not asked:
        threading.Thread(target=_watch, args=(parent,), name="deepaas-core-parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


def _leave(code: int) -> None:
    """End now: exit handlers and non-daemon threads of the model get a moment, and no more."""
    timer = threading.Timer(1.0, os._exit, args=(code,))
    timer.daemon = True
    timer.start()
    sys.exit(code)
