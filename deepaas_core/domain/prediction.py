"""One answer to one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from deepaas_core.errors import DeepaasError


class Pieces(Protocol):
    """An answer that comes piece by piece, each encoded as JSON."""

    def __aiter__(self) -> Self: ...

    async def __anext__(self) -> bytes: ...

    def close(self) -> None:
        """Take no more; the model is told to stop."""


@dataclass(slots=True)
class Prediction:
    """What a model answered, already encoded.

    Attributes:
        model: The model's name.
        version: Its version when it answered.
        body: JSON, or the bytes of ``media_type``.
        media_type: None for JSON.
        path: A file that the model made, to be sent instead of ``body``.
        duration_s: How long the model's own function took.
        pieces: The answer piece by piece instead of ``body``; whoever takes it closes it.
        status: The HTTP status that a script's function chose; None if it left that to us.
        headers: The HTTP headers that it added, checked; a name may come more than once.
        refused: Of a call with many records, those that have no answer, by position; ``body`` has null there.
    """

    model: str
    version: str
    body: bytes
    media_type: str | None = None
    path: Path | None = None
    duration_s: float = 0.0
    pieces: Pieces | None = None
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    refused: Mapping[int, DeepaasError] = field(default_factory=dict)
