"""Automation: training, checking, publishing and deploying by the clock, after runs, or because somebody asks.

What is to be done stands in the record before it is begun, each cause once, and so does the outcome of every step; so a
server that comes back goes on where it was, and of several servers on one database one does it.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from deepaas_core import errors
from deepaas_core.domain.automation import (
    Automation,
    Execution,
    StepName,
    StepState,
    automations_of,
    named,
    shared,
)
from deepaas_core.domain.deployment import Deployment, Generation, RolloutState, percent
from deepaas_core.domain.model import SERVICE_GROUP, Capability, Environment, Model, Source
from deepaas_core.domain.silence import Silence
from deepaas_core.domain.timetable import Timetable
from deepaas_core.domain.training import Run, RunState
from deepaas_core.publishing.archive import files_of, pack, remove_folder
from deepaas_core.serving.catalog import Catalog
from deepaas_core.serving.deployer import Deployments
from deepaas_core.serving.likeness import CheckFailed, compare
from deepaas_core.serving.publisher import Wish
from deepaas_core.serving.services import Services
from deepaas_core.serving.trainer import Trainer
from deepaas_core.stores.base import AutomationStore, PredictionStore

log = logging.getLogger(__name__)

#: How often it is looked for something to do.
LOOK_EVERY_S = 1.0
#: How often a training run or a rollout is looked at that is waited for.
POLL_S = 0.25
#: What a training leaves is found by the next generation in this folder of its own.
MODEL_FOLDER = "model"
#: Successful runs that are looked at, of one model, the newest first.
RECENT_RUNS = 50


class Workshop(Protocol):
    """Has the folders and environments of generations; see ``stage.Stage``."""

    async def workshop(self, generation: Generation) -> tuple[Environment | None, Path]: ...


class _NotOurs(Exception):
    """An execution is in the record otherwise than it was left here."""


@dataclass(frozen=True)
class Live:
    """A service as its automations see it: the generation that most of the traffic goes to."""

    deployment: Deployment
    generation: Generation
    automations: Mapping[str, Automation]


class Automations:
    """The automations of all services: what there are, what they have done, and asking for one.

    Args:
        store: Keeps the executions.
        services: The services.
        clock: Tells the time, in aware UTC.
    """

    def __init__(
        self, store: AutomationStore, services: Services, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ):
        self._store, self._services, self._clock = store, services, clock
        self._read: dict[str, Mapping[str, Automation]] = {}

    def live(self, service: str) -> Live:
        """A service with the automations of what is live.

        Raises:
            ServiceNotFound: There is none.
            NothingDeployed: No generation is live.
        """
        standing = self._services.standing(service)
        shares = {version: part for version, part in standing.deployment.shares.items() if version in standing.kept}
        if not shares:
            raise errors.NothingDeployed(service)
        generation = standing.kept[max(shares, key=lambda version: shares[version])].generation
        if generation.digest not in self._read:
            try:
                self._read[generation.digest] = automations_of(generation.definition)
            except (ValueError, KeyError, TypeError, errors.InvalidInput) as error:  # written by a newer version
                log.error("automations cannot be read", extra={"service": service, "reason": str(error)})
                self._read[generation.digest] = {}
        return Live(standing.deployment, generation, self._read[generation.digest])

    def all_live(self) -> Iterator[Live]:
        """Every service that answers and has automations."""
        for service in self._services.names():
            with suppress(errors.NotFound, errors.Unavailable, errors.NothingDeployed):
                live = self.live(service)
                if live.automations and live.deployment.enabled:
                    yield live

    def next_time(self, automation: Automation) -> datetime | None:
        """When an automation is due next, if it goes by the clock."""
        return Timetable(automation.schedule).next(self._clock()) if automation.schedule else None

    async def ask(self, service: str, automation: str) -> Execution:
        """Ask for an automation to be done now; it is on record when this returns.

        Raises:
            ServiceNotFound, NothingDeployed: There is none.
            AutomationNotFound: What is live has none of this name.
            StoreUnavailable: It cannot be recorded right now.
        """
        live = self.live(service)
        if automation not in live.automations:
            raise errors.AutomationNotFound(service, automation)
        asked = Execution.of(service, live.automations[automation], live.generation.version, "request", self._clock())
        await self._store.add(asked)
        return asked

    async def executions(self, service: str, automation: str | None, limit: int) -> Sequence[Execution]:
        """The last executions of a service, newest first.

        Raises:
            ServiceNotFound: There is none.
        """
        self._services.standing(service)
        return await self._store.list(service, automation, limit)

    async def execution(self, service: str, execution_id: str) -> Execution:
        """One execution.

        Raises:
            ServiceNotFound, ExecutionNotFound: There is none.
        """
        self._services.standing(service)
        return await self._store.get(service, execution_id)


class Automator:
    """Does what automations ask for.

    Args:
        automations: What there is to be done, and asking for it.
        store: Keeps the executions.
        services: The services.
        deployer: Publishes and deploys.
        workshop: Has folders and environments.
        trainer: Runs trainings.
        catalog: Has the installed models.
        predictions: Has recent inputs.
        scratch: For folders that are needed once.
        server: The id of this server, where others use the records as well.
        lease_s: Seconds without a sign of life after which another server is taken for lost, and its executions over.
        clock: Tells the time, in aware UTC.
    """

    def __init__(
        self,
        automations: Automations,
        store: AutomationStore,
        services: Services,
        deployer: Deployments,
        workshop: Workshop,
        trainer: Trainer,
        catalog: Catalog,
        predictions: PredictionStore,
        scratch: Path,
        server: str = "",
        lease_s: float = 20.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ):
        self._automations, self._store, self._services = automations, store, services
        self._deployer, self._workshop, self._trainer = deployer, workshop, trainer
        self._catalog, self._predictions, self._scratch = catalog, predictions, scratch
        self._server, self._clock = server, clock
        self._silence = Silence.watched(lease_s, LOOK_EVERY_S)
        self._going: dict[str, asyncio.Task[None]] = {}
        self._done_at: dict[tuple[str, str, str], datetime] = {}
        self._answered: set[tuple[str, str, str]] = set()

    async def run(self) -> None:
        """Look for something to do, and do it, until cancelled; what goes on then is gone on with at the next start."""
        try:
            while True:
                try:
                    await self.look()
                except errors.StoreUnavailable as error:
                    log.warning("automations cannot be looked up", extra={"reason": str(error)})
                except Exception:
                    log.exception("automations failed")
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            for task in self._going.values():
                task.cancel()
            await asyncio.gather(*self._going.values(), return_exceptions=True)

    async def look(self) -> None:
        """Record what has become due, and take up what is recorded and nobody does."""
        found = list(self._automations.all_live())
        keys = {_key(live, automation) for live in found for automation in live.automations.values()}
        self._done_at = {key: at for key, at in self._done_at.items() if key in keys}
        for live in found:
            for automation in live.automations.values():
                await self._by_the_clock(live, automation)
                await self._after_runs(live, automation)
        if not found and not self._going:
            return
        waiting = [one for one in await self._store.open() if one.id not in self._going]
        lost = await self._lost([one for one in waiting if one.server not in ("", self._server)])
        for execution in waiting:
            if execution.server in ("", self._server) or execution.server in lost:
                taken = replace(execution, server=self._server)
                if taken == execution or await self._store.replace(execution, taken):
                    self._take_up(taken)

    async def _lost(self, theirs: Sequence[Execution]) -> Set[str]:
        """The servers of these executions that are lost."""
        servers = {execution.server for execution in theirs}
        peers = await self._trainer.peers() if servers else {}
        signs = {server: peers[server].seen_at if server in peers else None for server in servers}
        lost = self._silence.look(asyncio.get_running_loop().time(), signs)
        for server in lost:
            log.warning("server lost, its automations are gone on with here", extra={"server": server})
        return lost

    # What is due.

    async def _by_the_clock(self, live: Live, automation: Automation) -> None:
        if not automation.schedule:
            return
        service, now, key = live.generation.service, self._clock(), _key(live, automation)
        if key not in self._done_at:
            last = await self._store.last(service, automation.name, "schedule")
            known = [live.deployment.changed_at, last and last.created_at]
            self._done_at[key] = max((at for at in known if at), default=now)  # no schedule holds before it is live
        due = Timetable(automation.schedule).next(self._done_at[key])
        if due is None or due > now:
            return
        self._done_at[key] = now  # what was missed meanwhile is done once
        execution = Execution.of(service, automation, live.generation.version, "schedule", now, due.isoformat())
        await self._store.add(execution)

    async def _after_runs(self, live: Live, automation: Automation) -> None:
        """Answer to the successful runs that were asked for since the automation was first published."""
        if not automation.after_run_of:
            return
        service = live.generation.service
        kept = self._services.standing(service).generations
        since = min(one.created_at for one in kept if automation.name in one.definition.automations)
        runs = await self._trainer.list(
            model=automation.after_run_of, state=RunState.SUCCEEDED, limit=RECENT_RUNS, since=since
        )
        for run in reversed(runs):
            cause = service, automation.name, run.id
            if cause not in self._answered:
                version, now = live.generation.version, self._clock()
                await self._store.add(Execution.of(service, automation, version, "run", now, run.id, run.id))
                self._answered.add(cause)

    # Doing it.

    def _take_up(self, execution: Execution) -> None:
        task = asyncio.create_task(self._carry_out(execution))
        self._going[execution.id] = task
        task.add_done_callback(lambda _: self._going.pop(execution.id, None))

    async def _carry_out(self, execution: Execution) -> None:
        try:
            await self._all_steps(execution)
        except _NotOurs:
            log.warning("an automation is another server's by now, or deleted", extra=_extra(execution))

    async def _all_steps(self, execution: Execution) -> None:
        while (step := execution.next) is not None:
            try:
                execution = await self._move(execution, execution.moved(step, StepState.RUNNING, "", self._clock()))
                execution, text = await self._do(execution, step)
                state = StepState.DONE
            except _NotOurs:
                raise
            except errors.StoreUnavailable as error:
                log.warning("an automation waits", extra={**_extra(execution), "reason": str(error)})
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            except (errors.DeepaasError, CheckFailed) as error:
                state, text = StepState.FAILED, str(error)
            except Exception:
                log.exception("unforeseen error")
                state, text = StepState.FAILED, "The server failed; its log has more."
            moved = execution.moved(step, state, text, self._clock())
            execution = await self._move(execution, moved)
            tell = log.error if state is StepState.FAILED else log.info
            tell("automation", extra={**_extra(execution), "step": str(step), "state": str(state), "text": text})

    async def _move(self, old: Execution, new: Execution) -> Execution:
        while True:
            try:
                if await self._store.replace(old, new) or await self._store.get(new.service, new.id) == new:
                    return new
            except errors.ExecutionNotFound:
                raise _NotOurs from None
            except errors.StoreUnavailable:
                await asyncio.sleep(LOOK_EVERY_S)
            else:
                raise _NotOurs

    async def _do(self, execution: Execution, step: StepName) -> tuple[Execution, str]:
        """Do one step.

        Returns:
            The execution with what is known more, and what to say of the step.
        """
        generation = self._services.kept(execution.service, execution.base).kept.generation
        automations = automations_of(generation.definition)
        if execution.automation not in automations:
            raise errors.AutomationNotFound(execution.service, execution.automation)
        automation = automations[execution.automation]
        match step:
            case StepName.TRAIN:
                return await self._train(execution, automation, generation)
            case StepName.CHECK:
                return execution, await self._check(execution, automation, generation)
            case StepName.PUBLISH:
                return await self._publish(execution, automation, generation)
            case StepName.DEPLOY:
                return execution, await self._deploy(execution, automation)

    async def _train(
        self, execution: Execution, automation: Automation, generation: Generation
    ) -> tuple[Execution, str]:
        if execution.run is None:
            model = await self._trained(automation, generation)
            run = await self._trainer.start(model, automation.arguments)
            execution = await self._move(execution, replace(execution, run=run.id))
        assert execution.run is not None
        run = await self._ended(execution.run)
        if run.state is not RunState.SUCCEEDED:
            reason = f": {run.error.message}" if run.error else ""
            raise CheckFailed(f"Training run {run.id} {run.state}{reason}")
        metrics = ", ".join(f"{name} = {value:.6g}" for name, value in _metrics(run).items())
        return execution, f"Training run {run.id} succeeded{': ' if metrics else ''}{metrics}."

    async def _trained(self, automation: Automation, generation: Generation) -> Model:
        """What is trained: an installed model, or a function of the generation's scripts."""
        target = automation.train
        assert target is not None
        if not target.script:
            return self._catalog.offering(target.model or target.function, Capability.TRAIN)
        environment, folder = await self._workshop.workshop(generation)
        source = Source(
            name=f"{generation.service}@{generation.version}:{target.function}",
            group=SERVICE_GROUP,
            target=f"{folder / target.script}:{target.function}",
            distribution=generation.service,
            version=generation.version,
            environment=environment,
        )
        return Model(source, frozenset({Capability.TRAIN}))

    async def _ended(self, run_id: str) -> Run:
        while not (run := await self._trainer.get(run_id)).state.over:
            await asyncio.sleep(POLL_S)
        return run

    async def _check(self, execution: Execution, automation: Automation, generation: Generation) -> str:
        said = []
        if automation.conditions:
            assert execution.run is not None
            run = await self._trainer.get(execution.run)
            metrics = _metrics(run)
            for condition in automation.conditions:
                found = metrics.get(condition.metric)
                told = f"{condition.metric} is {'not known' if found is None else f'{found:.6g}'}"
                if not condition.met_by(run.said.metrics, run.result):
                    raise CheckFailed(f"{told}, which is not {condition}.")
                said.append(f"{told} ({condition})")
        if automation.drift is not None:
            _, folder = await self._workshop.workshop(generation)
            said.append(await compare(automation.drift, generation, folder, self._predictions))
        return "; ".join(said) + "."

    async def _publish(
        self, execution: Execution, automation: Automation, generation: Generation
    ) -> tuple[Execution, str]:
        service = generation.service
        mark = f"Automation {automation.name}, execution {execution.id}."
        for one in self._services.standing(service).generations:
            if one.notes.startswith(mark):  # published, and interrupted before that was noted
                return replace(execution, version=one.version), f"Generation {one.version} is published."
        number = max(one.number for one in self._services.standing(service).generations) + 1
        version = named(automation.publish, execution.base, number, execution.run, self._clock())
        _, folder = await self._workshop.workshop(generation)
        model = await self._model_of(execution)
        archive = self._scratch / f"automation-{uuid.uuid4().hex}.zip"
        try:
            await asyncio.to_thread(_pack, folder, model, archive)
            notes = f"{mark} Made of {execution.base}{f' and training run {execution.run}' if execution.run else ''}."
            wish = Wish(version, notes, unique=True, allow_apt=generation.definition.allow_apt)
            published = await self._deployer.publish(archive, service, wish)
        except OSError as error:
            raise errors.StoreUnavailable(f"The new generation cannot be put together: {error.strerror}") from error
        finally:
            archive.unlink(missing_ok=True)
        return replace(execution, version=published.version), f"Generation {published.version} is published."

    async def _model_of(self, execution: Execution) -> Path | None:
        if execution.run is None:
            return None
        return await self._trainer.model_folder(execution.run)

    async def _deploy(self, execution: Execution, automation: Automation) -> str:
        service, version = execution.service, execution.version or execution.base
        assert automation.deploy is not None
        live = self._services.standing(service).deployment.shares
        shares = shared(live, version, automation.deploy)
        told = ", ".join(f"{name} {percent(share)}" for name, share in shares.items())
        if dict(live) != shares:
            rollout = await self._deployer.deploy(service, shares)
            while not rollout.state.over:
                await asyncio.sleep(POLL_S)
                rollout = await self._deployer.rollout(service, rollout.id)
            if rollout.state is not RolloutState.LIVE:
                raise CheckFailed(f"Rollout {rollout.id} failed: {rollout.reason}")
        return f"Live: {told}."


def _key(live: Live, automation: Automation) -> tuple[str, str, str]:
    """One with another schedule is another one."""
    return live.generation.service, automation.name, automation.schedule


def _metrics(run: Run) -> dict[str, float]:
    """The last value of each metric that a run reported or returned."""
    returned = run.result if isinstance(run.result, Mapping) else {}
    together = {**returned, **run.said.metrics}
    return {name: value for name, value in together.items() if isinstance(value, int | float)}


def _pack(folder: Path, model: Path | None, archive: Path) -> None:
    """The archive of a generation's folder, with the files of a new model in place of those before."""
    copy = archive.with_suffix("")
    try:
        for name, path in files_of(folder):
            if model is None or not name.startswith(f"{MODEL_FOLDER}/"):
                _copy(path, copy / name)
        for name, path in files_of(model) if model is not None else ():
            _copy(path, copy / MODEL_FOLDER / name)
        pack(copy, archive)
    finally:
        remove_folder(copy)


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def _extra(execution: Execution) -> dict[str, str]:
    return {"service": execution.service, "automation": execution.automation, "execution": execution.id}
