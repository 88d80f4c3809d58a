"""The table of services: which generation answers a request, and what it runs in.

The table is this process's own copy of the records, exchanged as a whole when they change, so that a choice costs no
question to anybody and each request is answered by one generation. Whoever calls holds a lease meanwhile; a generation
is stopped only when nobody does.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from deepaas_core import errors
from deepaas_core.domain.deployment import Deployment, Generation, dispatch
from deepaas_core.domain.model import Model
from deepaas_core.domain.service import Endpoint, Service
from deepaas_core.executors.base import ExecutorState
from deepaas_core.serving.catalog import Catalog

#: The catalog's entries of a running generation, by endpoint and variant.
Parts = Mapping[tuple[str, str], str]
#: Brings a generation up that is kept and does not run.
Wake = Callable[[str, str], Awaitable[None]]


@dataclass(eq=False)
class Kept:
    """A generation, and how it is here.

    Attributes:
        parts: What it runs in; None while it does not run.
        reason: Why it does not, if it is live and should.
        leases: Calls that go on.
        used_at: When the last one ended, by ``time.monotonic``.
    """

    generation: Generation
    parts: Parts | None = None
    reason: str = ""
    leases: int = 0
    used_at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Standing:
    """A service as this process knows it."""

    deployment: Deployment
    kept: Mapping[str, Kept] = field(default_factory=dict)

    @property
    def generations(self) -> Sequence[Generation]:
        """In the order in which they were published."""
        return sorted((each.generation for each in self.kept.values()), key=lambda one: one.number)


class Live:
    """A generation that was chosen to answer a request."""

    __slots__ = ("_catalog", "kept", "service", "version")

    def __init__(self, catalog: Catalog, kept: Kept):
        self._catalog = catalog
        self.kept = kept
        self.service = kept.generation.service
        self.version = kept.generation.version

    @property
    def definition(self) -> Service:
        return self.kept.generation.definition

    def endpoint(self, name: str) -> Endpoint:
        """One of its endpoints.

        Raises:
            EndpointNotFound: It has none of this name.
        """
        try:
            return self.definition.endpoints[name]
        except KeyError:
            raise errors.EndpointNotFound(self.service, self.version, name) from None

    def part(self, endpoint: str, variant: str = "") -> tuple[Endpoint, Model]:
        """What answers an endpoint, ready to be called.

        Args:
            endpoint: Its name.
            variant: Which of its targets; empty for the default one.

        Raises:
            EndpointNotFound: It has none of this name.
            InvalidInput: The endpoint has no such variant.
            ModelNotReady: It cannot answer right now.
        """
        found = self.endpoint(endpoint)
        variant = variant or found.default_variant
        if variant not in found.targets:
            known = ", ".join(found.targets)
            raise errors.InvalidInput([errors.Issue(f"/{found.chosen_by}", f"Must be one of: {known}.")])
        if self.kept.parts is None:
            reason = self.kept.reason or "It is still starting."
            raise errors.ModelNotReady(f"{self.service}@{self.version}", reason)
        return found, self._catalog.part(self.kept.parts[found.name, variant]).serving()


class Services:
    """All services of this server.

    Args:
        catalog: Has the parts.
        wake: Brings up a generation that is kept and asked for.

    Attributes:
        revision: Grows with every change.
    """

    def __init__(self, catalog: Catalog, wake: Wake):
        self.revision = 0
        self._catalog = catalog
        self._wake = wake
        self._standing: dict[str, Standing] = {}
        self._watchers: list[Callable[[], None]] = []

    # Who calls.

    def choose(self, service: str, version: str | None = None, dispatch_key: str | None = None) -> Live:
        """Choose the generation that answers a request.

        Args:
            service: Its name.
            version: The generation that is asked for; None leaves it to the shares.
            dispatch_key: What keeps a caller on one side of the shares, e.g. a customer's id.

        Raises:
            ServiceNotFound, GenerationNotFound: There is none.
            ServiceDisabled: It does not answer.
            NothingDeployed: No generation is live.
        """
        standing = self.standing(service)
        if not standing.deployment.enabled:
            raise errors.ServiceDisabled(service)
        if version is None:
            if not standing.deployment.live:
                raise errors.NothingDeployed(service)
            version = dispatch(standing.deployment.shares, dispatch_key)
        return self.kept(service, version)

    def kept(self, service: str, version: str) -> Live:
        """A generation, whether it is live or not, and whether its service answers or not.

        Raises:
            ServiceNotFound, GenerationNotFound: There is none.
        """
        try:
            return Live(self._catalog, self.standing(service).kept[version])
        except KeyError:
            raise errors.GenerationNotFound(service, version) from None

    @contextmanager
    def using(self, live: Live) -> Iterator[Live]:
        """Keep a generation from being stopped; to be entered as soon as it is chosen."""
        kept = live.kept
        kept.leases += 1
        try:
            yield live
        finally:
            kept.leases -= 1
            kept.used_at = time.monotonic()

    async def awake(self, live: Live) -> None:
        """Wait until a generation runs; one that is not live is started when it is asked for.

        Raises:
            ModelNotReady: It is live and still starting, or cannot be started.
        """
        kept = live.kept
        if kept.parts is not None:
            return
        if live.version in self.standing(live.service).deployment.live:
            raise errors.ModelNotReady(f"{live.service}@{live.version}", kept.reason or "It is still starting.")
        await self._wake(live.service, live.version)

    # Who looks.

    def names(self) -> Sequence[str]:
        """All services, by name."""
        return sorted(self._standing)

    def standing(self, service: str) -> Standing:
        """How a service is.

        Raises:
            ServiceNotFound: There is none of this name.
        """
        try:
            return self._standing[service]
        except KeyError:
            raise errors.ServiceNotFound(service) from None

    def shown(self, service: str, version: str | None = None) -> Live:
        """The generation that says what a service is: the one with most of the traffic, else the newest.

        Args:
            service: Its name.
            version: Another one that is asked for.

        Raises:
            ServiceNotFound, GenerationNotFound: There is none.
            NothingDeployed: It has no generation at all.
        """
        standing = self.standing(service)
        if version is None:
            shares = {one: share for one, share in standing.deployment.shares.items() if one in standing.kept}
            newest = [each.version for each in standing.generations[-1:]]
            version = next(iter(sorted(shares, key=lambda one: -shares[one]) or newest), None)
        if version is None:
            raise errors.NothingDeployed(service)
        return self.kept(service, version)

    def knows(self, service: str, version: str | None = None) -> bool:
        """Whether there is a service, or a generation, of this name."""
        standing = self._standing.get(service)
        return standing is not None and (version is None or version in standing.kept)

    def counts(self, name: str) -> bool:
        """Whether what metrics call by a name is there: a generation ``churn@v1``, a part of it, or no generation."""
        service, at, rest = name.partition("@")
        return not at or self._catalog.serves(name) or self.knows(service, rest.partition(":")[0])

    def state(self, service: str, version: str) -> tuple[ExecutorState, str]:
        """How a generation is here, and why.

        ``stopped`` is said of one that is kept and does not run.
        """
        standing = self.standing(service)
        kept = standing.kept[version]
        if kept.parts is None:
            if kept.reason:
                return ExecutorState.FAILED, kept.reason
            live = version in standing.deployment.live
            return (ExecutorState.STARTING if live else ExecutorState.STOPPED), ""
        entries = [self._catalog.part(name) for name in set(kept.parts.values()) if self._catalog.has(name)]
        worst = max(entries, key=lambda entry: _BADNESS[entry.state], default=None)
        return (ExecutorState.READY, "") if worst is None else (worst.state, worst.reason)

    def ready(self) -> bool:
        """Whether every live generation of every service that is not disabled can answer."""
        return all(
            self.state(name, version)[0] is ExecutorState.READY
            for name, standing in self._standing.items()
            if standing.deployment.enabled
            for version in standing.deployment.live
            if version in standing.kept
        )

    def digests(self) -> frozenset[str]:
        """The contents of all generations that are kept."""
        return frozenset(
            kept.generation.digest for standing in self._standing.values() for kept in standing.kept.values()
        )

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call somebody after each change."""
        self._watchers.append(watcher)

    # Who deploys.

    def replace(self, deployments: Mapping[str, Deployment], generations: Sequence[Generation]) -> None:
        """Take over what the records say; what runs of what is still there goes on."""
        standing: dict[str, dict[str, Kept]] = {name: {} for name in deployments}
        for generation in generations:
            old = self._kept(generation.service, generation.version)
            same = old is not None and old.generation == generation
            kept = standing.setdefault(generation.service, {})
            kept[generation.version] = old if old is not None and same else Kept(generation)
        self._standing = {
            name: Standing(deployments.get(name, Deployment(name)), kept) for name, kept in standing.items()
        }
        self._changed()

    def runs(self, service: str, version: str, parts: Parts | None, reason: str = "") -> None:
        """Note that a generation runs in these parts; or that it does not, and why."""
        kept = self._kept(service, version)
        if kept is not None:
            kept.parts, kept.reason, kept.used_at = parts, reason, time.monotonic()
            self._changed()

    def let_go(self, service: str, version: str) -> bool:
        """Call a generation no more until it runs anew, if nobody does right now; whether that is so."""
        kept = self._kept(service, version)
        if kept is None:
            return True
        if kept.leases:
            return False
        kept.parts = None
        return True

    # Other processes of this server.

    def to_plain(self) -> list[Any]:
        """The table as plain data, for ``take_over``."""
        return [
            {
                "deployment": standing.deployment.to_plain(),
                "kept": [
                    {
                        "generation": kept.generation.to_plain(),
                        "parts": None if kept.parts is None else [[*key, name] for key, name in kept.parts.items()],
                        "reason": kept.reason,
                    }
                    for kept in standing.kept.values()
                ],
            }
            for standing in self._standing.values()
        ]

    def take_over(self, plain: Sequence[Mapping[str, Any]]) -> None:
        """Be as another process's table is; leases stay."""
        deployments, generations, running = {}, [], []
        for standing in plain:
            deployment = Deployment.from_plain(standing["deployment"])
            deployments[deployment.service] = deployment
            for kept in standing["kept"]:
                generations.append(Generation.from_plain(kept["generation"]))
                parts = kept["parts"] and {(endpoint, variant): name for endpoint, variant, name in kept["parts"]}
                running.append((parts, kept["reason"]))
        self.replace(deployments, generations)
        for generation, (parts, reason) in zip(generations, running, strict=True):
            self.runs(generation.service, generation.version, parts, reason)

    def _kept(self, service: str, version: str) -> Kept | None:
        standing = self._standing.get(service)
        return None if standing is None else standing.kept.get(version)

    def _changed(self) -> None:
        self.revision += 1
        for watcher in self._watchers:
            watcher()


_BADNESS = {
    ExecutorState.READY: 0,
    ExecutorState.RESTARTING: 1,
    ExecutorState.STARTING: 2,
    ExecutorState.STOPPED: 3,
    ExecutorState.FAILED: 4,
}
