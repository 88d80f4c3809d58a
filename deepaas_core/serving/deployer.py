"""Deploying: which generations of a service are live, and how that changes without losing a request.

The record says what is to be. A rollout is recorded before it is acknowledged; what it needs is brought up, warm, and
passes its test queries before the record changes, in one step; then the table of services follows. Several servers on
one database each follow the record as soon as they have brought up what it names, and go on as before until then.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence, Set
from contextlib import suppress
from contextvars import Context
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from deepaas_core import errors
from deepaas_core.domain.deployment import Deployment, Generation, Rollout, RolloutState, share_complaints
from deepaas_core.domain.rehearsal import Outcome
from deepaas_core.domain.service import Query
from deepaas_core.domain.silence import Silence
from deepaas_core.serving.publisher import Difference, Publisher, Wish
from deepaas_core.serving.rehearsing import Rehearsal, all_queries, verdict
from deepaas_core.serving.services import Services
from deepaas_core.serving.stage import Stage
from deepaas_core.stores.base import Peer, ServiceStore

log = logging.getLogger(__name__)

#: How often other servers' changes are looked for.
FOLLOW_EVERY_S = 1.0
TIDY_EVERY_S = 3600.0
#: How often it is looked whether what was deleted still runs.
FORGET_EVERY_S = 0.2
#: How often rollouts of other servers are looked at.
MIND_EVERY_S = 5.0
RETRY_PAUSE_MAX_S = 30.0
MAX_QUERIES = 200
#: How long a switch is tried when the records cannot be reached.
SWITCH_PATIENCE_S = 60.0
MAX_LOG_BYTES = 2**20


class Deployments(Protocol):
    """What can be done with services; see ``Deployer``."""

    async def publish(self, archive: Path, service: str, wish: Wish) -> Generation: ...

    async def deploy(self, service: str, shares: Mapping[str, float]) -> Rollout: ...

    async def rollback(self, service: str) -> Rollout: ...

    async def set_enabled(self, service: str, enabled: bool) -> Deployment: ...

    async def remove_generation(self, service: str, version: str) -> None: ...

    async def remove_service(self, service: str) -> None: ...

    async def rollout(self, service: str, rollout: str) -> Rollout: ...

    async def rollouts(self, service: str, limit: int) -> Sequence[Rollout]: ...

    async def rehearse(
        self, service: str, version: str | None = None, queries: Sequence[Query] | None = None
    ) -> tuple[str, Sequence[Outcome]]: ...

    async def queries(self, service: str) -> Sequence[Query]: ...

    async def set_queries(self, service: str, queries: Sequence[Query]) -> None: ...

    async def diff(self, service: str, version: str, other: str) -> Difference: ...

    async def archive(self, service: str, version: str) -> Path: ...

    async def build(self, service: str, version: str) -> None: ...

    async def build_log(self, service: str, version: str) -> str: ...


class Deployer:
    """Publishes, deploys and withdraws generations. Implements ``Deployments``.

    Args:
        store: Keeps the records.
        publisher: Makes generations of archives.
        stage: Runs them.
        services: The table that callers look at.
        rehearsal: Asks the test queries.
        server: The id of this server, where others use the records as well.
        clock: Tells the time, in aware UTC.

    Attributes:
        spread: Waits until the other processes of this server have the table as it is.
        forget: Forgets what else is on record of a service that was deleted.
    """

    def __init__(
        self,
        store: ServiceStore,
        publisher: Publisher,
        stage: Stage,
        services: Services,
        rehearsal: Rehearsal,
        server: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self.spread: Callable[[], Awaitable[None]] = _nobody
        self.forget: Callable[[str], Awaitable[None]] = _nobody
        self._store, self._publisher, self._stage = store, publisher, stage
        self._services, self._rehearsal = services, rehearsal
        self._server, self._clock = server, clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._raising: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._waking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._looking = asyncio.Lock()
        self._revision = -1
        self._records: Mapping[str, Deployment] = {}
        self._followed: Mapping[str, int] = {}

    # The life of the server.

    async def start(self) -> None:
        """Take up what is on record; what was begun and not finished has failed. What is live is brought up meanwhile.

        Raises:
            StoreUnavailable: The records cannot be reached.
        """
        for rollout in await self._store.open_rollouts():
            if rollout.server == self._server:
                reason = "The server ended while this went on; what was live before is live."
                await self._store.advance(rollout, rollout.fail(self._clock(), reason))
                log.warning("rollout failed", extra=_extra(rollout) | {"reason": reason})
        await self.look()
        self._go(self._stage.keep())
        self._go(self._tidy())
        if self._server:
            self._go(self._follow())

    async def close(self) -> None:
        """Begin nothing any more; a rollout that goes on fails at the next start, unless it is done by now."""
        tasks = [*self._tasks, *self._raising.values(), *self._waking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until nothing is being brought up because it is live."""
        while self._raising:
            await asyncio.wait(tuple(self._raising.values()))

    async def wake(self, service: str, version: str) -> None:
        """Bring up a generation that is kept, because somebody calls it.

        Raises:
            ModelNotReady: It cannot be brought up.
        """
        generation = self._generation(service, version)
        key = service, version
        if key not in self._waking:  # a task of its own, so that who asked first may leave
            self._waking[key] = _task(self._stage.bring_up(generation))
            self._waking[key].add_done_callback(lambda _: self._waking.pop(key, None))
        try:
            await asyncio.shield(self._waking[key])
        except errors.GenerationFailed as error:
            raise errors.ModelNotReady(f"{service}@{version}", str(error), retry_after_s=60) from error

    # What others ask for.

    async def publish(self, archive: Path, service: str, wish: Wish) -> Generation:
        """Make a generation of an archive; see ``Publisher.publish``."""
        published = await self._publisher.publish(archive, service, wish)
        await self._look_after_change()
        return published

    async def deploy(self, service: str, shares: Mapping[str, float]) -> Rollout:
        """Begin to make generations live, with these shares of the traffic.

        Raises:
            ServiceNotFound: There is none.
            InvalidInput: The shares cannot be used.
        """
        await self.look()
        standing = self._services.standing(service)
        complaints = share_complaints(shares, standing.kept)
        if complaints:
            raise errors.InvalidInput([errors.Issue(_pointer(version), said) for version, said in complaints])
        wanted = {version: float(share) for version, share in shares.items() if share > 0}
        rollout = Rollout(
            id=uuid.uuid4().hex,
            service=service,
            shares=wanted,
            before=self._records[service].shares,
            state=RolloutState.STARTING,
            created_at=self._clock(),
            server=self._server,
        )
        await self._store.add_rollout(rollout)
        log.info("rollout begun", extra=_extra(rollout))
        self._go(self._carry_out(rollout))
        return rollout

    async def rollback(self, service: str) -> Rollout:
        """Begin to make live again what was so before the last change.

        Raises:
            ServiceNotFound: There is none.
            Conflict: Nothing was live before, or a generation of it is there no more.
        """
        standing = self._services.standing(service)
        rollouts = await self._store.rollouts(service, 1000)
        done = [one for one in rollouts if one.state is RolloutState.LIVE and one.shares != one.before]
        if not done or not done[0].before:
            raise errors.Conflict(f"Nothing was live of service {service!r} before what is live now.")
        for version in done[0].before:
            if version not in standing.kept:
                raise errors.Conflict(f"Generation {version!r}, which was live before, has been deleted.")
        return await self.deploy(service, done[0].before)

    async def set_enabled(self, service: str, enabled: bool) -> Deployment:
        """Let a service answer, or not.

        Raises:
            ServiceNotFound: There is none.
        """
        deployment = await self._store.set_enabled(service, enabled, self._clock())
        log.info("service enabled" if enabled else "service disabled", extra={"service": service})
        await self._look_after_change()
        return deployment

    async def remove_generation(self, service: str, version: str) -> None:
        """Delete a generation.

        Raises:
            ServiceNotFound, GenerationNotFound: There is none.
            GenerationInUse: It is live, or about to be.
        """
        generation = self._generation(service, version)
        await self._store.remove_generation(service, version)
        log.info("generation deleted", extra={"service": service, "generation": version})
        await self._look_after_change()
        self._go(self._forget({generation.digest}))

    async def remove_service(self, service: str) -> None:
        """Delete a service with everything of it.

        Raises:
            ServiceNotFound: There is none.
            Conflict: It answers.
        """
        digests = {generation.digest for generation in await self._store.generations(service)}
        await self._store.remove_service(service)
        await self.forget(service)
        log.info("service deleted", extra={"service": service})
        await self._look_after_change()
        self._go(self._forget(digests))

    async def rollout(self, service: str, rollout: str) -> Rollout:
        """One rollout.

        Raises:
            ServiceNotFound, RolloutNotFound: There is none.
        """
        self._services.standing(service)
        found = await self._store.rollout(service, rollout)
        if found.state is RolloutState.LIVE and found.revision > self._followed.get(service, 0):
            await self._look_after_change()  # who is told that it is live may rely on it
        return found

    async def rollouts(self, service: str, limit: int) -> Sequence[Rollout]:
        """The last rollouts of a service, newest first.

        Raises:
            ServiceNotFound: There is none.
        """
        self._services.standing(service)
        return await self._store.rollouts(service, limit)

    async def rehearse(
        self, service: str, version: str | None = None, queries: Sequence[Query] | None = None
    ) -> tuple[str, Sequence[Outcome]]:
        """Ask test queries of a generation.

        Args:
            service: Its name.
            version: The generation; None takes the one that most of the traffic goes to.
            queries: What to ask; None asks the generation's own and the service's.

        Returns:
            The version, and what became of each query.

        Raises:
            ServiceNotFound, GenerationNotFound, NothingDeployed: There is none.
            ModelNotReady: It cannot be brought up.
        """
        standing = self._services.standing(service)
        if version is None:
            if not standing.deployment.live:
                raise errors.NothingDeployed(service)
            version = max(standing.deployment.shares, key=lambda each: standing.deployment.shares[each])
        generation = self._generation(service, version)
        if queries is None:
            queries = all_queries(generation.definition, await self._store.queries(service))
        return version, await self._rehearsal.run(service, version, queries)

    async def queries(self, service: str) -> Sequence[Query]:
        """The test queries that are stored with a service.

        Raises:
            ServiceNotFound: There is none.
        """
        return await self._store.queries(service)

    async def set_queries(self, service: str, queries: Sequence[Query]) -> None:
        """Store the test queries of a service, in place of those before.

        Raises:
            ServiceNotFound: There is none.
            InvalidInput: There are too many.
        """
        if len(queries) > MAX_QUERIES:
            raise errors.InvalidInput([errors.Issue("/queries", f"There may be {MAX_QUERIES} at most.")])
        await self._store.set_queries(service, queries)

    async def diff(self, service: str, version: str, other: str) -> Difference:
        """How a generation differs from another one.

        Raises:
            ServiceNotFound, GenerationNotFound: There is none.
        """
        return await self._publisher.diff(self._generation(service, version), self._generation(service, other))

    async def archive(self, service: str, version: str) -> Path:
        """Where a generation's archive is.

        Raises:
            ServiceNotFound, GenerationNotFound, NotFound: There is none.
        """
        return self._publisher.archive(self._generation(service, version))

    async def build(self, service: str, version: str) -> None:
        """See to it that what a generation needs is built on this server; it goes on even if nobody waits any more.

        Raises:
            ServiceNotFound, GenerationNotFound: There is none.
            GenerationFailed: It cannot be built, with the reason.
        """
        await asyncio.shield(self._go(self._stage.build(self._generation(service, version))))

    async def build_log(self, service: str, version: str) -> str:
        """What was said when a generation's environment was built here, at most the last MiB; empty if nothing was.

        Raises:
            ServiceNotFound, GenerationNotFound: There is none.
        """
        path = self._stage.log_of(self._generation(service, version).digest)
        with suppress(OSError):
            return path.read_bytes()[-MAX_LOG_BYTES:].decode("utf-8", "replace")
        return ""

    # Rollouts.

    async def _carry_out(self, rollout: Rollout) -> None:
        try:
            reason = await self._try(rollout)
        except errors.DeepaasError as error:
            reason = str(error) or error.title()
        except Exception:
            log.exception("unforeseen error")
            reason = "The server failed; its log has more."
        if not reason:
            return
        now = await self._sure(self._store.rollout(rollout.service, rollout.id))
        if now is None or now.state.over:
            return
        await self._sure(self._store.advance(now, now.fail(self._clock(), reason)))
        log.error("rollout failed", extra=_extra(rollout) | {"reason": reason})
        await self._look_after_change()

    async def _try(self, rollout: Rollout) -> str:
        """Carry a rollout out.

        Returns:
            Why it failed; nothing if it did not.
        """
        generations = [self._generation(rollout.service, version) for version in rollout.shares]
        step = rollout

        async def move(state: RolloutState) -> None:
            nonlocal step
            if step.state is not state:
                before, step = step, replace(step, state=state)
                await self._store.advance(before, step)

        for generation in generations:
            await self._stage.bring_up(generation, lambda: move(RolloutState.BUILDING))
            await move(RolloutState.STARTING)
        await move(RolloutState.TESTING)
        for generation in generations:
            await self._stage.check_tables(generation)
        for generation in generations:
            if generation.version not in rollout.before:
                _, outcomes = await self.rehearse(rollout.service, generation.version)
                if problem := verdict(generation.version, outcomes):
                    return problem
        for generation in generations:  # the tests may have taken long
            await self._stage.bring_up(generation)
        return await self._switch(step)

    async def _switch(self, rollout: Rollout) -> str:
        give_up = asyncio.get_running_loop().time() + SWITCH_PATIENCE_S
        while True:
            try:
                live = await self._store.go_live(rollout, self._clock())
                break
            except errors.StoreUnavailable:
                if asyncio.get_running_loop().time() > give_up:
                    raise
                await asyncio.sleep(0.5)
        if live is None:
            return "Another change of the deployment came first."
        await self._look_after_change()
        log.info("rollout live", extra=_extra(live))
        return ""

    async def _sure(self, attempt: Coroutine[Any, Any, Any]) -> Any:
        """Something that is to be recorded; if it cannot, the next start finds it open, and says so."""
        try:
            return await attempt
        except errors.DeepaasError as error:
            log.warning("rollout cannot be recorded", extra={"reason": str(error)})
            return None

    # Following the records.

    async def look(self) -> None:
        """Bring the table up to the records, as far as what they name runs here.

        Raises:
            StoreUnavailable: They cannot be reached.
        """
        async with self._looking:
            revision = await self._store.revision()
            if revision != self._revision:
                generations = await self._store.generations()
                self._records = await self._store.deployments()
                self._revision = revision
            else:
                generations = [kept for name in self._services.names() for kept in self._known(name)]
            self._services.replace(
                {name: self._effective(record, generations) for name, record in self._records.items()}, generations
            )
        for record in self._records.values():
            for version in record.live if record.enabled else ():
                generation = next((g for g in self._known(record.service) if g.version == version), None)
                if generation is not None and not self._stage.runs(generation):
                    self._raise(generation)

    def _effective(self, record: Deployment, generations: Sequence[Generation]) -> Deployment:
        """What callers get: the record, or the shares before as long as what the record names does not run here."""
        by_version = {each.version: each for each in generations if each.service == record.service}
        up = all(version in by_version and self._stage.runs(by_version[version]) for version in record.live)
        with suppress(errors.ServiceNotFound):
            now = self._services.standing(record.service).deployment
            answers = now.live and all(
                version in by_version and self._stage.runs(by_version[version]) for version in now.live
            )
            if not up and answers:
                return replace(record, shares=now.shares)
        return record

    def _known(self, service: str) -> Sequence[Generation]:
        return self._services.standing(service).generations

    def _generation(self, service: str, version: str) -> Generation:
        return self._services.kept(service, version).kept.generation

    def _raise(self, generation: Generation) -> None:
        """Bring up what is live, and try again until it is up or live no more."""
        key = generation.service, generation.version
        if key not in self._raising:
            task = self._raising[key] = _task(self._bring_up_live(generation))
            task.add_done_callback(lambda _: self._raising.pop(key, None))

    async def _bring_up_live(self, generation: Generation) -> None:
        service, version = generation.service, generation.version
        try:
            await self._stage.bring_up(generation)
        except errors.GenerationFailed as error:
            log.error("generation not up", extra={"service": service, "generation": version, "reason": str(error)})
            self._services.runs(service, version, None, str(error))
            self._go(self._again())
            return
        except Exception:
            log.exception("unforeseen error")
            self._services.runs(service, version, None, "The server failed; its log has more.")
            self._go(self._again())
            return
        await self._look_after_change()

    async def _again(self) -> None:
        await asyncio.sleep(RETRY_PAUSE_MAX_S)
        await self._look_after_change()

    async def _look_after_change(self) -> None:
        try:
            await self.look()
            followed = {name: record.revision for name, record in self._records.items()}
            await self.spread()
            self._followed = followed
        except errors.StoreUnavailable as error:
            log.warning("services cannot be looked up", extra={"reason": str(error)})
            self._go(self._look_soon())

    async def _look_soon(self) -> None:
        await asyncio.sleep(FOLLOW_EVERY_S)
        await self._look_after_change()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_EVERY_S)
            with suppress(errors.StoreUnavailable):
                if await self._store.revision() != self._revision:
                    await self.look()

    async def mind(self, peers: Callable[[], Awaitable[Mapping[str, Peer]]], lease_s: float) -> None:
        """Give up, from now on, the rollouts of servers that are lost, so that they stand in nobody's way.

        Args:
            peers: Tells when the other servers were last seen.
            lease_s: Seconds without a sign of life after which one is taken for lost.
        """
        pause_s = min(MIND_EVERY_S, lease_s / 4)
        silence = Silence.watched(lease_s, pause_s)
        while True:
            try:
                theirs = {one.id: one for one in await self._store.open_rollouts() if one.server != self._server}
                seen = await peers() if theirs else {}
                signs = {id: seen[one.server].seen_at if one.server in seen else None for id, one in theirs.items()}
                for lost in silence.look(asyncio.get_running_loop().time(), signs):
                    reason = "The server that carried this out is lost; what was live before is live."
                    if await self._store.advance(theirs[lost], theirs[lost].fail(self._clock(), reason)):
                        log.warning("rollout failed", extra=_extra(theirs[lost]) | {"reason": reason})
            except errors.StoreUnavailable as error:
                log.warning("rollouts of other servers cannot be seen", extra={"reason": str(error)})
            except Exception:
                log.exception("rollouts of other servers cannot be seen")
            await asyncio.sleep(pause_s)

    async def _tidy(self) -> None:
        while True:
            try:
                await self._stage.tidy(await self._publisher.tidy(self._stage.uses))
            except Exception as error:
                log.warning("archives cannot be tidied up", extra={"reason": str(error)})
            await asyncio.sleep(TIDY_EVERY_S)

    async def _forget(self, digests: Set[str]) -> None:
        """Remove the files of generations that were deleted, once nothing of them runs here any more."""
        while any(map(self._stage.uses, digests)):
            await asyncio.sleep(FORGET_EVERY_S)
        try:
            named = {generation.digest for generation in await self._store.generations()}
            await self._stage.tidy(named, over=digests - named)
            for digest in digests:
                await self._publisher.forget(digest)
        except Exception as error:  # there is a next time to tidy up
            log.warning("archives cannot be tidied up", extra={"reason": str(error)})

    def _go(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = _task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _nobody(*_: str) -> None:
    """There are no other processes."""


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task that is no part of the request that asked for it: what it starts lives on, and logs for itself."""
    return asyncio.create_task(work, context=Context())


def _pointer(version: str) -> str:
    return f"/shares/{version}" if version else "/shares"


def _extra(rollout: Rollout) -> dict[str, Any]:
    return {"service": rollout.service, "rollout": rollout.id, "shares": dict(rollout.shares)}
