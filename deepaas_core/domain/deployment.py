"""Generations of a service, and which of them answers."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from deepaas_core.domain.service import Service


@dataclass(frozen=True)
class Generation:
    """A frozen packaging of a service, never changed after publishing.

    Attributes:
        version: What its author calls it, unique within the service.
        digest: SHA-256 of its archive, in hexadecimal; names its content.
        number: Counts the generations of a service from 1, in the order in which they were published.
    """

    service: str
    version: str
    digest: str
    definition: Service
    created_at: datetime
    number: int = 0
    notes: str = ""
    size_bytes: int = 0


@dataclass(frozen=True)
class Deployment:
    """Which generations of a service are live.

    Attributes:
        shares: Part of the traffic by version; the parts sum to one. Empty while nothing is deployed.
        enabled: Whether it answers at all.
        revision: Grows with every change.
    """

    service: str
    shares: Mapping[str, float] = field(default_factory=dict)
    enabled: bool = True
    changed_at: datetime | None = None
    revision: int = 0


class RolloutState(StrEnum):
    """How far a change of a deployment is. Only ``live`` has changed anything for callers."""

    STARTING = "starting"
    TESTING = "testing"
    LIVE = "live"
    FAILED = "failed"


def dispatch(shares: Mapping[str, float], key: str | None = None) -> str:
    """Choose the version that answers a request.

    The same key keeps its version while the shares hold; shifting shares moves as few keys as possible.

    Args:
        shares: Non-negative weights by version, any scale; at least one is positive.
        key: Dispatch key, e.g. a customer's id; None draws at random.

    Raises:
        ValueError: No share is positive.

    Source:
        Rendezvous hashing (Thaler & Ravishankar, 1998), weighted after Schindelhauer & Schomaker (2005).
    """
    live = {version: share for version, share in shares.items() if share > 0}
    if not live:
        raise ValueError("no share is positive")
    if len(live) == 1:
        return next(iter(live))
    if key is None:
        return random.choices(list(live), list(live.values()))[0]
    return max(live, key=lambda version: live[version] / -math.log(_unit(version, key)))


def _unit(version: str, key: str) -> float:
    """A number strictly between 0 and 1, evenly spread over keys and independent between versions."""
    digest = hashlib.blake2b(f"{version}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return ((int.from_bytes(digest, "big") >> 12) + 0.5) / 2**52
