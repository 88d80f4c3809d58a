"""One answer to one request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self


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
    """

    model: str
    version: str
    body: bytes
    media_type: str | None = None
    path: Path | None = None
    duration_s: float = 0.0
    pieces: Pieces | None = None
