"""The link between two processes of one server: questions with answers, and notes, as plain data.

The frames are those of the worker line. Either end may ask. A question can be taken back, an answer may come piece by
piece at the pace of whoever takes it, and an error of the domain arrives as the error it was.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import astuple, dataclass
from itertools import count
from typing import Any

from deepaas_core import errors
from deepaas_core.executors.streaming import Pieces
from deepaas_core.executors.worker import frames

log = logging.getLogger(__name__)

RECEIVE_BYTES = 1 << 18
#: Buffers given to the operating system in one call.
GATHER = 256


class LinkClosed(Exception):
    """The other process has gone."""


@dataclass(slots=True)
class Reply:
    """An answer.

    Attributes:
        value: JSON-native.
        body: Bytes that go with it.
        pieces: More bytes, piece by piece; whoever takes them closes them.
    """

    value: Any = None
    body: frames.Buffer = b""
    pieces: Any = None


#: Answers a question: its value and body in, the reply out.
Answer = Callable[[Any, frames.Buffer], Awaitable[Reply]]
Note = Callable[[Any], None]


class Link:
    """One end of a link.

    Args:
        connection: A stream socket; the link owns it from now on.
        answers: What can be asked of this end, by name.
        notes: What this end can be told, by name.
        closed: Called once, when the other end has gone.
    """

    def __init__(
        self,
        connection: socket.socket,
        answers: Mapping[str, Answer],
        notes: Mapping[str, Note],
        closed: Callable[[], None] = lambda: None,
    ):
        connection.setblocking(False)
        self._socket = connection
        self._answers, self._notes, self._on_closed = answers, notes, closed
        self._loop = asyncio.get_running_loop()
        self._decoder = frames.Decoder()
        self._outgoing: deque[frames.Buffer] = deque()
        self._flush_due = self._writing = self._closed = False
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[Reply]] = {}
        self._arriving: dict[int, Pieces] = {}
        self._answering: dict[int, asyncio.Task[None]] = {}
        self._gates: dict[int, asyncio.Event] = {}
        self._loop.add_reader(connection.fileno(), self._readable)

    async def ask(self, name: str, value: Any = None, body: frames.Buffer = b"") -> Reply:
        """Ask the other end; cancelling takes the question back.

        Raises:
            DeepaasError: What the other end raised.
            LinkClosed: It has gone.
        """
        if self._closed:
            raise LinkClosed
        number = next(self._numbers)
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._send({"ask": number, "name": name, "value": value}, body)
        self._asked[number] = future
        try:
            return await future
        except asyncio.CancelledError:
            self._drop(number)
            raise
        finally:
            del self._asked[number]

    def tell(self, name: str, value: Any = None) -> None:
        """Tell the other end something; nothing comes back."""
        if not self._closed:
            self._send({"note": name, "value": value})

    def close(self) -> None:
        """Hang up. Questions that are still open fail, those of the other end are dropped."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket.fileno())
        if self._writing:
            self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for future in self._asked.values():
            if not future.done():
                future.set_exception(LinkClosed())
        for pieces in self._arriving.values():
            pieces.finish(LinkClosed())
        for task in self._answering.values():
            task.cancel()
        self._on_closed()

    # What arrives.

    def _readable(self) -> None:
        try:
            while not self._closed:
                data = self._socket.recv(RECEIVE_BYTES)
                if not data:
                    self.close()
                    return
                for header, body in self._decoder.feed(data):
                    self._received(header, body)
                if len(data) < RECEIVE_BYTES:
                    return
        except BlockingIOError:
            return
        except OSError:
            self.close()
        except (frames.BrokenLine, KeyError, TypeError):
            log.exception("link broken")
            self.close()

    def _received(self, header: dict[str, Any], body: frames.Buffer) -> None:
        if "reply" in header:
            self._replied(header, body)
        elif "ask" in header:
            self._begin(header, body)
        elif "piece" in header:
            self._piece(header, body)
        elif "drop" in header:
            self._dropped(header["drop"])
        elif "hold" in header:
            self._held(header["hold"], header["held"])
        else:
            self._notes[header["note"]](header["value"])

    def _replied(self, header: dict[str, Any], body: frames.Buffer) -> None:
        number = header["reply"]
        future = self._asked.get(number)
        if future is None or future.done():
            return  # it was taken back
        if "error" in header:
            future.set_exception(error_from(header["error"]))
            return
        pieces = None
        if header.get("pieces"):
            pieces = self._arriving[number] = Pieces(
                lambda held: self._send({"hold": number, "held": held}), lambda: self._leave(number)
            )
        future.set_result(Reply(header["value"], body, pieces))

    def _piece(self, header: dict[str, Any], body: frames.Buffer) -> None:
        number = header["piece"]
        pieces = self._arriving.get(number)
        if pieces is None:
            return
        if not header.get("end"):
            pieces.push(bytes(body))
            return
        del self._arriving[number]
        pieces.finish(error_from(header["error"]) if "error" in header else None)

    def _leave(self, number: int) -> None:
        if self._arriving.pop(number, None) is not None:
            self._drop(number)

    def _drop(self, number: int) -> None:
        if not self._closed:
            self._send({"drop": number})

    # What is asked of this end.

    def _begin(self, header: dict[str, Any], body: frames.Buffer) -> None:
        number = header["ask"]
        task = self._loop.create_task(self._answer(number, self._answers[header["name"]], header["value"], body))
        self._answering[number] = task
        task.add_done_callback(lambda _: self._answering.pop(number, None))

    async def _answer(self, number: int, answer: Answer, value: Any, body: frames.Buffer) -> None:
        reply = None
        try:
            reply = await answer(value, body)
            if reply.pieces is None:
                self._send({"reply": number, "value": reply.value}, reply.body)
            else:
                self._send({"reply": number, "value": reply.value, "pieces": True}, reply.body)
                await self._pass_on(number, reply.pieces)
        except errors.DeepaasError as error:
            self._fail(number, error, begun=reply is not None)
        except Exception:
            log.exception("unforeseen error")
            self._fail(number, errors.DeepaasError(), begun=reply is not None)

    async def _pass_on(self, number: int, pieces: Pieces) -> None:
        """Send every piece, as long as the other end does not ask to wait."""
        gate = self._gates[number] = asyncio.Event()
        gate.set()
        try:
            async for piece in pieces:
                self._send({"piece": number}, piece)
                await gate.wait()
            self._send({"piece": number, "end": True})
        finally:
            del self._gates[number]
            pieces.close()

    def _fail(self, number: int, error: errors.DeepaasError, begun: bool) -> None:
        plain = error_to_plain(error)
        self._send({"piece": number, "end": True, "error": plain} if begun else {"reply": number, "error": plain})

    def _dropped(self, number: int) -> None:
        task = self._answering.get(number)
        if task is not None:
            task.cancel()

    def _held(self, number: int, held: bool) -> None:
        gate = self._gates.get(number)
        if gate is not None:
            (gate.clear if held else gate.set)()

    # What leaves.

    def _send(self, header: dict[str, Any], body: frames.Buffer = b"") -> None:
        if self._closed:
            return
        self._outgoing.extend(frames.encode(header, body))
        if not self._flush_due and not self._writing:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Send what has gathered within one pass of the loop, in as few system calls as can be."""
        self._flush_due = False
        if self._closed:
            return
        outgoing = self._outgoing
        try:
            while outgoing:
                sent = self._socket.sendmsg([*outgoing][:GATHER] if len(outgoing) > 1 else [outgoing[0]])
                while sent:
                    first = outgoing.popleft()
                    if sent < len(first):
                        outgoing.appendleft(memoryview(first)[sent:])
                        break
                    sent -= len(first)
        except BlockingIOError:
            if not self._writing:
                self._writing = True
                self._loop.add_writer(self._socket.fileno(), self._flush)
            return
        except OSError:
            self.close()
            return
        if self._writing:
            self._writing = False
            self._loop.remove_writer(self._socket.fileno())


def error_to_plain(error: errors.DeepaasError) -> dict[str, Any]:
    """An error as its class's name and arguments."""
    kind = next(base for base in type(error).__mro__ if base.__module__ == errors.__name__)
    if isinstance(error, errors.DefinitionRefused):
        return {"kind": kind.__name__, "faults": [astuple(fault) for fault in error.faults]}
    if isinstance(error, errors.InvalidInput):
        return {"kind": kind.__name__, "issues": [[issue.pointer, issue.detail] for issue in error.issues]}
    return {"kind": kind.__name__, "arguments": [_plain(argument) for argument in error.args]}


def error_from(plain: Mapping[str, Any]) -> errors.DeepaasError:
    """The error that ``error_to_plain`` was given."""
    if "faults" in plain:
        return errors.DefinitionRefused([errors.Fault(*fault) for fault in plain["faults"]])
    if "issues" in plain:
        return errors.InvalidInput([errors.Issue(pointer, detail) for pointer, detail in plain["issues"]])
    kind: type[errors.DeepaasError] = getattr(errors, plain["kind"])
    return kind(*plain["arguments"])


def _plain(argument: object) -> object:
    """An argument of an error as it crosses; states become their text, and what no frame holds becomes one."""
    return argument if argument is None or isinstance(argument, bool | int | float | str) else str(argument)
