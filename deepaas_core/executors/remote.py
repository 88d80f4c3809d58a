"""The executor of a process that only speaks HTTP: the model's workers belong to another process of the server.

A call crosses the link as it is, and so does what comes of it; queue, deadlines and workers are on the other side, so
that however many processes speak HTTP, a model has one queue and one set of workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from deepaas_core import errors
from deepaas_core.domain.model import Source
from deepaas_core.executors.base import Activity, Call, Executor, ExecutorState, OnChange, Result
from deepaas_core.executors.link import Link, Reply, error_from, error_to_plain
from deepaas_core.executors.worker import frames

#: What is asked over the link.
CALL, REPLACE = "call", "replace"


class Remote:
    """One model's executor beyond a link. Implements ``executors.base.Executor``."""

    def __init__(self, model: str, link: Link, on_change: OnChange = lambda: None):
        self.state = ExecutorState.STARTING
        self.reason = ""
        self.description: Mapping[str, Any] | None = None
        self._model = model
        self._link = link
        self._on_change = on_change

    def start(self) -> None:
        """The workers are started where they are; ``told`` says how far they are."""

    async def call(self, call: Call) -> Result:
        if self.state not in (ExecutorState.READY, ExecutorState.RESTARTING):
            raise errors.ModelNotReady(self._model, self.reason or "It is still starting.")
        value = {"model": self._model, "timeout_s": call.timeout_s, **call.header()}
        reply = await self._link.ask(CALL, value, call.body)
        media_type, path, duration_s, status, headers, refused = reply.value
        return Result(
            bytes(reply.body),
            media_type,
            Path(path) if path else None,
            duration_s,
            reply.pieces,
            status,
            tuple((name, text) for name, text in headers),
            {place: error_from(plain) for place, plain in refused},
        )

    def lend(self) -> None:
        return None

    async def replace(self, model_dir: Path | None, source: Source | None = None) -> None:
        folder = model_dir and str(model_dir)
        value = {"model": self._model, "model_dir": folder, "source": source and asdict(source)}
        await self._link.ask(REPLACE, value)

    async def close(self, drain_s: float) -> None:
        self.state, self.reason = ExecutorState.STOPPED, "The server is stopping."
        self._on_change()

    def activity(self) -> Activity:
        return Activity()

    def told(self, state: Mapping[str, Any]) -> None:
        """Take over what the other side says of the model."""
        self.state = ExecutorState(state["state"])
        self.reason = state["reason"]
        if "description" in state:
            self.description = state["description"]
        self._on_change()


async def answer_call(executor: Executor, value: Mapping[str, Any], body: frames.Buffer) -> Reply:
    """Run a call that came over a link."""
    result = await executor.call(Call.from_header(value, body, value["timeout_s"]))
    path = None if result.path is None else str(result.path)
    refused = [(place, error_to_plain(error)) for place, error in result.refused.items()]
    said = [result.media_type, path, result.duration_s, result.status, result.headers, refused]
    return Reply(said, result.body, result.pieces)


def state_of(executor: Executor, with_description: bool) -> dict[str, Any]:
    """What ``Remote.told`` takes."""
    state: dict[str, Any] = {"state": str(executor.state), "reason": executor.reason}
    if with_description:
        state["description"] = executor.description
    return state
