"""Generations of a service, and which of them answers."""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

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

    def to_plain(self) -> dict[str, Any]:
        """All of it as JSON-native data."""
        return {**asdict(self), "created_at": self.created_at.isoformat()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Generation:
        """The generation that ``to_plain`` was given."""
        created_at = datetime.fromisoformat(plain["created_at"])
        return cls(**{**plain, "created_at": created_at, "definition": Service.from_plain(plain["definition"])})


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

    @property
    def live(self) -> frozenset[str]:
        """The versions that get a part of the traffic."""
        return frozenset(version for version, share in self.shares.items() if share > 0)

    def to_plain(self) -> dict[str, Any]:
        """All of it as JSON-native data."""
        return {**asdict(self), "changed_at": self.changed_at and self.changed_at.isoformat()}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Deployment:
        """The deployment that ``to_plain`` was given."""
        changed_at = plain["changed_at"]
        return cls(**{**plain, "changed_at": datetime.fromisoformat(changed_at) if changed_at else None})


class RolloutState(StrEnum):
    """How far a change of a deployment is. Only ``live`` has changed anything for callers."""

    BUILDING = "building"
    STARTING = "starting"
    TESTING = "testing"
    LIVE = "live"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self in (RolloutState.LIVE, RolloutState.FAILED)


@dataclass(frozen=True)
class Rollout:
    """One change of which generations are live, asked for and, if all goes well, done.

    Attributes:
        id: 32 hexadecimal digits.
        shares: What is to be.
        before: The shares that these took the place of, or would have.
        reason: Why it failed, in sentences.
        server: The id of the server that carries it out; empty where there are no others.
        revision: The deployment's after it; 0 as long as it is not live.
    """

    id: str
    service: str
    shares: Mapping[str, float]
    before: Mapping[str, float]
    state: RolloutState
    created_at: datetime
    finished_at: datetime | None = None
    reason: str = ""
    server: str = ""
    revision: int = 0

    def to_plain(self) -> dict[str, Any]:
        """All of it as JSON-native data."""
        finished_at = self.finished_at and self.finished_at.isoformat()
        return {**asdict(self), "created_at": self.created_at.isoformat(), "finished_at": finished_at}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Rollout:
        """The rollout that ``to_plain`` was given."""
        finished_at = plain["finished_at"]
        read: dict[str, Any] = {
            "state": RolloutState(plain["state"]),
            "created_at": datetime.fromisoformat(plain["created_at"]),
            "finished_at": datetime.fromisoformat(finished_at) if finished_at else None,
        }
        return cls(**{**plain, **read})

    def fail(self, at: datetime, reason: str) -> Rollout:
        """This one, given up."""
        return replace(self, state=RolloutState.FAILED, finished_at=at, reason=reason)


def part_name(service: str, version: str, endpoint: str, variant: str = "") -> str:
    """What the catalog calls the part of a running generation that answers one endpoint."""
    return ":".join((f"{service}@{version}", endpoint, *([variant] if variant else [])))


_NUMBERED = re.compile(r"v(\d{1,9})")


def next_version(versions: Collection[str]) -> str:
    """The version of a generation that nobody gave one: ``v1``, then the number after the greatest so far."""
    numbers = [int(found[1]) for version in versions if (found := _NUMBERED.fullmatch(version))]
    return f"v{max(numbers, default=0) + 1}"


def unique_version(wanted: str, versions: Collection[str]) -> str:
    """A version, with the first number behind it that makes it another one than those that there are."""
    names = (wanted, *(f"{wanted}{number}" for number in range(1, len(versions) + 1)))
    return next(name for name in names if name not in versions)


def share_complaints(shares: Mapping[str, Any], known: Collection[str]) -> Sequence[tuple[str, str]]:
    """What is wrong with shares: the version, or nothing for the whole, and what was expected."""
    complaints = []
    for version, share in shares.items():
        if version not in known:
            complaints.append((version, "There is no such generation."))
        elif isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            complaints.append((version, "Must be a number from 0 to 1."))
    if not complaints and abs(sum(shares.values()) - 1) > 1e-6:
        total = f"{sum(shares.values()):g}" if shares else "nothing"
        complaints.append(("", f"The shares must sum to one, and sum to {total}."))
    return complaints


def percent(share: float) -> str:
    """A share as people read it: ``30 %``, ``0.25 %``."""
    return f"{share:.4%}".rstrip("%").rstrip("0").rstrip(".") + " %"


def shown_shares(shares: Mapping[str, float]) -> str:
    """Shares as people read them: ``v1 70 %, v2 30 %``; of one generation alone its version."""
    parts = shares.items()
    return ", ".join(f"{version} {percent(share)}" if len(parts) > 1 else version for version, share in parts)


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
