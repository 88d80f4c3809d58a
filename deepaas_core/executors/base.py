"""The contract of an executor: whatever runs one model's functions, wherever it runs them.

An executor is given plain values and gives back an encoded result; it raises the errors of the domain. It knows
nothing of HTTP, and those who use it know nothing of processes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from deepaas_core import errors
from deepaas_core.domain.headers import NotAllowed, checked
from deepaas_core.domain.model import Capability, Source
from deepaas_core.executors.shelf import Loan
from deepaas_core.executors.streaming import Pieces


class ExecutorState(StrEnum):
    """Whether a model's executor can take calls.

    ``restarting`` still takes them: they wait for the worker that is being brought up.
    """

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(slots=True)
class Call:
    """One call of one hook.

    Attributes:
        hook: Which function.
        values: Checked arguments, JSON-native, by the key a request uses.
        payload: What the hook's first argument is made from: ``{"path": …}`` of a file, ``{"url": …}``, or for data
            ``{"form": "json" | "text" | "npy" | "bytes"}``; may add ``filename``, ``content_type``, ``charset``.
            ``{"form": "records"}`` with the hook ``predict`` asks for one answer to each object of a JSON array;
            ``values`` are then what all of them have in common. ``{"form": "arguments"}`` only has the model's own
            fields look at ``values``, and calls nothing.
        body: The bytes of the data.
        accept: ``application/x-npy`` or ``application/octet-stream`` when an array is wanted as it is.
        stream: Whoever asks can take the answer piece by piece, if the hook is a generator.
        timeout_s: Seconds from now within which the answer must be there.
        loan: The slot that ``body`` already lies in, if it does; whoever makes the call holds it until that is over.
    """

    hook: Capability
    values: Mapping[str, Any] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | bytearray | memoryview = b""
    accept: str | None = None
    stream: bool = False
    timeout_s: float = 30.0
    loan: Loan | None = None

    def header(self) -> dict[str, Any]:
        """The call as the header of a frame, without its id."""
        header: dict[str, Any] = {"hook": self.hook}
        if self.values:
            header["values"] = self.values
        if self.payload:
            header["payload"] = self.payload
        if self.accept:
            header["accept"] = self.accept
        if self.stream:
            header["stream"] = True
        return header

    @classmethod
    def from_header(cls, header: Mapping[str, Any], body: bytes | bytearray | memoryview, timeout_s: float) -> Call:
        """The call that ``header`` was made from."""
        return cls(
            Capability(header["hook"]),
            header.get("values", {}),
            header.get("payload", {}),
            body,
            accept=header.get("accept"),
            stream=header.get("stream", False),
            timeout_s=timeout_s,
        )


@dataclass(slots=True)
class Result:
    """One answer of one hook, already encoded.

    Attributes:
        body: JSON, or the bytes of ``media_type``.
        media_type: None for JSON.
        path: A file the model made, to be sent instead of ``body``.
        duration_s: How long the hook itself took.
        pieces: The answer piece by piece, each encoded as JSON, instead of ``body``; whoever takes it closes it.
        status: The HTTP status that the function of a script chose, 200 to 599; None if it chose none.
        headers: The HTTP headers that it added; see ``domain.headers``.
        refused: Of a call with records, the error of each that has no answer; ``body`` has null in its place.
    """

    body: bytes
    media_type: str | None = None
    path: Path | None = None
    duration_s: float = 0.0
    pieces: Pieces | None = None
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    refused: Mapping[int, errors.DeepaasError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Activity:
    """What an executor is doing right now, for those who watch it.

    Attributes:
        waiting: Calls that wait for a worker.
        workers: Workers that can take calls.
        restarts: Workers that were restarted since the executor was made.
        pids: The worker processes, where there are any.
    """

    waiting: int = 0
    workers: int = 0
    restarts: int = 0
    pids: tuple[int, ...] = ()


class Executor(Protocol):
    """Runs the functions of one model."""

    state: ExecutorState
    reason: str
    description: Mapping[str, Any] | None

    def start(self) -> None:
        """Begin to bring the model up; ``on_change`` tells of every step."""

    def call(self, call: Call) -> Awaitable[Result]:
        """Run one hook. Cancelling what is returned gives the call up.

        Either a coroutine, or a future, which spares whoever waits a task.

        Raises:
            DeepaasError: ``ModelNotReady``, ``Overloaded``, ``ModelTimeout``, ``ModelFailure`` and its kinds,
                ``ModelRefusal``, ``CapabilityMissing``, ``InvalidInput``, ``MalformedBody``, ``SourceUnavailable``,
                ``AddressRefused``.
        """
        ...

    def lend(self) -> Loan | None:
        """A slot to put the large body of a call into, where that spares a copy; None if there is none to be had."""
        ...

    async def replace(self, model_dir: Path | None, source: Source | None = None) -> None:
        """Serve another trained model, or other code: the new is warm before it gets its first call, none is lost.

        Args:
            model_dir: Folder of the trained model to serve from now on; None for none.
            source: Where to load the code from, as it is installed now; None leaves that as it was.

        Raises:
            ModelNotReady: The new one could not be started; the old one goes on.
        """

    async def close(self, drain_s: float) -> None:
        """Finish what has begun, for so long at most, and leave nothing behind."""

    def activity(self) -> Activity:
        """What it is doing right now."""
        ...


#: Called after every change of an executor's state, reason or description.
OnChange = Callable[[], None]


def result_of(model: str, hook: Capability, head: Mapping[str, Any], body: bytes, duration_s: float) -> Result:
    """What a worker answered, by what it says of it besides the bytes.

    Raises:
        UnencodableResult: Status or headers are none that a function may set.
        TypeError, ValueError, LookupError: It is no such head.
    """
    result = Result(body, head.get("media_type"), Path(head["path"]) if head.get("path") else None, duration_s)
    if "status" in head or "headers" in head:
        try:
            result.status, result.headers = checked(head.get("status"), head.get("headers") or ())
        except NotAllowed as error:
            raise errors.UnencodableResult(model, str(error)) from None
    if "refused" in head:
        result.refused = {int(place): failure(model, hook, error) for place, error in head["refused"]}
    return result


def failure(model: str, hook: Capability, error: Mapping[str, Any]) -> errors.DeepaasError:
    """The domain's error for what a worker says went wrong."""
    message = str(error.get("message", ""))
    match error.get("kind"):
        case "invalid":
            return errors.InvalidInput([errors.Issue(str(at), str(what)) for at, what in error.get("issues", ())])
        case "refusal":
            code = int(error["code"])
            reason = str(error.get("reason", ""))
            return errors.ModelRefusal(
                model, code if 400 <= code < 600 else 500, reason, message, str(error.get("document", ""))
            )
        case "missing":
            return errors.CapabilityMissing(model, hook.function, raised=True)
        case "malformed":
            return errors.MalformedBody(message)
        case "media":
            return errors.UnsupportedMedia(message)
        case "acceptable":
            return errors.NotAcceptable(message)
        case "refused":
            return errors.AddressRefused(message)
        case "source":
            return errors.SourceUnavailable("The URL could not be fetched.")
        case "result":
            return errors.UnencodableResult(model, message)
        case _:
            raised = error.get("type") or error.get("kind") or "Exception"
            return errors.ModelFailure(model, str(raised), message, str(error.get("traceback", "")))
