"""What a service does by itself, as its page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aiohttp import web

from deepaas_core.domain.access import Right
from deepaas_core.domain.automation import Automation, Execution, StepName, StepState
from deepaas_core.domain.deployment import percent
from deepaas_core.errors import NothingDeployed, StoreUnavailable
from deepaas_core.web.auth import caller
from deepaas_core.web.keys import AUTOMATIONS

_MARKS = {
    StepState.DONE: "✓",
    StepState.FAILED: "✗",
    StepState.RUNNING: "…",
    StepState.WAITING: "·",
    StepState.LEFT_OUT: "·",
}


@dataclass(frozen=True)
class Shown:
    """One step.

    Attributes:
        what: What it is to do.
        mark: How far it came the last time, as one character; empty if it never was done.
        said: What came of it.
    """

    name: str
    what: str
    mark: str
    state: str
    said: str


@dataclass(frozen=True)
class Row:
    """One automation in the table."""

    name: str
    when: str
    next_time: str
    last_time: str
    steps: Sequence[Shown]


async def rows(request: web.Request, service: str) -> Sequence[Row]:
    """The automations of what is live of a service; none for those who may not see what became of them."""
    automations = request.app[AUTOMATIONS]
    if not caller(request).may(Right.READ, service):
        return []
    try:
        found = automations.live(service).automations.values()
        last = {one.name: await automations.executions(service, one.name, 1) for one in found}
    except (NothingDeployed, StoreUnavailable):
        return []
    return [_row(one, automations.next_time(one), next(iter(last[one.name]), None)) for one in found]


def _row(automation: Automation, next_time: datetime | None, last: Execution | None) -> Row:
    done = {step.name: step for step in last.steps} if last else {}
    steps = []
    for name in automation.steps:
        step = done.get(name)
        mark, state, said = (_MARKS[step.state], str(step.state), step.text) if step else ("", "", "")
        steps.append(Shown(str(name), _what(automation, name), mark, state, said))
    return Row(
        automation.name, _when(automation), _minute(next_time), _minute(last.created_at if last else None), steps
    )


def _when(automation: Automation) -> str:
    if automation.schedule:
        return automation.schedule
    return f"after runs of {automation.after_run_of}" if automation.after_run_of else "when asked"


def _what(automation: Automation, step: StepName) -> str:
    match step:
        case StepName.TRAIN:
            return str(automation.train)
        case StepName.CHECK:
            conditions = [str(condition) for condition in automation.conditions]
            if automation.drift is not None:
                conditions.append(f"inputs of {automation.drift.endpoint} like {automation.drift.reference}")
            return ", ".join(conditions)
        case StepName.PUBLISH:
            return automation.publish
        case StepName.DEPLOY:
            return percent(automation.deploy or 0.0)


def _minute(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else ""
