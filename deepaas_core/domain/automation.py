"""Automation of a service: train, check, publish and deploy without anybody being there."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from string import Template
from typing import Any

from deepaas_core.domain.reports import Condition
from deepaas_core.domain.service import Service, Target


class StepName(StrEnum):
    """The steps, in their order; one that an automation does not ask for is left out."""

    TRAIN = "train"
    CHECK = "check"
    PUBLISH = "publish"
    DEPLOY = "deploy"


class StepState(StrEnum):
    """How far a step is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    #: A step before it has failed.
    LEFT_OUT = "left_out"


@dataclass(frozen=True)
class DriftCheck:
    """Recent inputs must look like the training data.

    Attributes:
        reference: The training data, a CSV file in the service's folder.
        endpoint: Whose inputs, out of the prediction log.
        features: Which of them, each with its column in the file; none means all columns that the file and the
            endpoint's inputs have in common.
        recent: So many of the last rows are looked at.
        at_least: With fewer there is nothing to be said, and the check lets pass.
        most: The largest population stability index that is not drift.
    """

    reference: str
    endpoint: str
    features: Mapping[str, str] = field(default_factory=dict)
    recent: int = 1000
    at_least: int = 100
    most: float = 0.2


@dataclass(frozen=True)
class Automation:
    """What is done by itself, and when.

    Attributes:
        name: Its id within the service.
        schedule: When, as five fields of cron in UTC; empty if not by the clock.
        after_run_of: The installed model after whose successful runs it is done; empty if not after runs.
        train: What makes the new model: a function of the service's scripts, or an installed model; None trains
            nothing (as after a run, whose model is taken then).
        arguments: What ``train`` is called with.
        conditions: What the run's metrics must reach.
        drift: How recent inputs must be.
        publish: The version of the new generation; may hold ``${…}``, see ``named``; a number is added where it is
            taken. Empty publishes nothing.
        deploy: Part of the traffic that the new generation gets; the live ones share the rest as they did. None leaves
            it undeployed.
    """

    name: str
    schedule: str = ""
    after_run_of: str = ""
    train: Target | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    drift: DriftCheck | None = None
    publish: str = ""
    deploy: float | None = None

    @property
    def steps(self) -> tuple[StepName, ...]:
        """The steps it asks for."""
        asked = {
            StepName.TRAIN: self.train is not None,
            StepName.CHECK: bool(self.conditions) or self.drift is not None,
            StepName.PUBLISH: bool(self.publish),
            StepName.DEPLOY: self.deploy is not None,
        }
        return tuple(step for step, wanted in asked.items() if wanted)


def automations_of(service: Service) -> Mapping[str, Automation]:
    """The automations of a service, by name.

    Raises:
        ValueError, KeyError, TypeError, InvalidInput: They are not as ``service.toml`` may say them.
    """
    return {name: _automation(name, told) for name, told in service.automations.items()}


def _automation(name: str, told: Mapping[str, Any]) -> Automation:
    more = dict(told)
    train, drift = more.pop("train", None), more.pop("drift", None)
    conditions = tuple(Condition.parse(text) for text in more.pop("check", ()))
    if train is not None:
        script, _, function = train.rpartition(":")
        train = Target(script=script, function=function) if script else Target(model=function)
    compared = None if drift is None else drift_check(drift)
    return Automation(name, train=train, conditions=conditions, drift=compared, **more)


def drift_check(told: Mapping[str, Any]) -> DriftCheck:
    """A check of drift, as ``service.toml`` may say it."""
    features = told.get("features", {})
    by_name = features if isinstance(features, Mapping) else {name: name for name in features}
    return DriftCheck(**{**told, "features": by_name})


#: What may stand in the version that an automation publishes.
VARIABLES = ("version", "number", "date", "run")


def named(template: str, version: str, number: int, run: str | None, at: datetime) -> str:
    """The version that a template means.

    Args:
        template: May hold ``${version}``, ``${number}``, ``${date}`` and ``${run}``.
        version: The version that was live before.
        number: Counts the service's generations.
        run: The training run's id, of which the first eight digits are taken.
        at: The day, written as 20261121.

    Raises:
        ValueError: It holds another variable, or a dollar sign that belongs to none.
    """
    values = {"version": version, "number": str(number), "date": f"{at:%Y%m%d}", "run": (run or "")[:8]}
    try:
        return Template(template).substitute(values)
    except (KeyError, ValueError):
        known = ", ".join(f"${{{name}}}" for name in VARIABLES)
        raise ValueError(f"{template!r} may hold {known}; any other $ must be written as $$.") from None


def shared(live: Mapping[str, float], version: str, part: float) -> dict[str, float]:
    """The shares when a new version takes its part, and those that are live share the rest as they did."""
    others = {name: share for name, share in live.items() if name != version and share > 0}
    if not others or part >= 1:
        return {version: 1.0}
    whole = sum(others.values())
    return {**{name: share / whole * (1 - part) for name, share in others.items()}, version: part}


@dataclass(frozen=True)
class Step:
    """One step of an execution.

    Attributes:
        text: What came of it, for people.
        at: When its state changed last.
    """

    name: StepName
    state: StepState = StepState.WAITING
    text: str = ""
    at: datetime | None = None


class ExecutionState(StrEnum):
    """How far an execution is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Execution:
    """One time that an automation is done.

    Attributes:
        id: 128 random bits in hexadecimal.
        cause: ``schedule``, ``run`` or ``request``.
        due: What it answers to, once only: the time of the schedule, or the run's id; its own id if it was asked for.
        base: The version out of which the new one is made.
        run: The training run, once there is one.
        version: The new generation, once there is one.
        server: Which server does it; empty as long as none has taken it up, or where there is only one.
    """

    id: str
    service: str
    automation: str
    cause: str
    due: str
    base: str
    created_at: datetime
    steps: tuple[Step, ...]
    state: ExecutionState = ExecutionState.RUNNING
    run: str | None = None
    version: str | None = None
    server: str = ""

    @classmethod
    def of(
        cls, service: str, automation: Automation, base: str, cause: str, at: datetime, due: str = "", run: str = ""
    ) -> Execution:
        """A new one."""
        own = uuid.uuid4().hex
        steps = tuple(Step(name) for name in automation.steps)
        return cls(own, service, automation.name, cause, due or own, base, at, steps, run=run or None)

    @property
    def next(self) -> StepName | None:
        """The step that is to be done now; None if there is none any more."""
        open_steps = (step.name for step in self.steps if step.state in (StepState.WAITING, StepState.RUNNING))
        return next(open_steps, None) if self.state is ExecutionState.RUNNING else None

    def moved(self, step: StepName, state: StepState, text: str, at: datetime) -> Execution:
        """With one step further; a step that fails ends it, the last one done completes it."""
        steps = [replace(one, state=state, text=text, at=at) if one.name is step else one for one in self.steps]
        if state is StepState.FAILED:
            after = [one.name for one in self.steps].index(step) + 1
            steps[after:] = [replace(one, state=StepState.LEFT_OUT, at=at) for one in steps[after:]]
            return replace(self, steps=tuple(steps), state=ExecutionState.FAILED)
        over = all(one.state is StepState.DONE for one in steps)
        return replace(self, steps=tuple(steps), state=ExecutionState.SUCCEEDED if over else self.state)
