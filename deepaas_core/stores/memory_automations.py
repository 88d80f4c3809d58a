"""Executions of automations in memory, for tests and for trying things out."""

from __future__ import annotations

from collections.abc import Sequence

from deepaas_core.domain.automation import Execution, ExecutionState
from deepaas_core.errors import ExecutionNotFound


class MemoryAutomationStore:
    """Keeps executions of automations as long as it lives."""

    def __init__(self) -> None:
        self._executions: dict[str, Execution] = {}

    async def add(self, execution: Execution) -> bool:
        due = execution.service, execution.automation, execution.due
        if any((one.service, one.automation, one.due) == due for one in self._executions.values()):
            return False
        self._executions[execution.id] = execution
        return True

    async def get(self, service: str, execution_id: str) -> Execution:
        found = self._executions.get(execution_id)
        if found is None or found.service != service:
            raise ExecutionNotFound(service, execution_id)
        return found

    async def list(self, service: str, automation: str | None = None, limit: int = 100) -> Sequence[Execution]:
        newest = reversed(self._executions.values())
        return [one for one in newest if one.service == service and automation in (None, one.automation)][:limit]

    async def open(self) -> Sequence[Execution]:
        return [one for one in self._executions.values() if one.state is ExecutionState.RUNNING]

    async def last(self, service: str, automation: str, cause: str) -> Execution | None:
        return next((one for one in await self.list(service, automation, 1000) if one.cause == cause), None)

    async def replace(self, old: Execution, new: Execution) -> bool:
        if self._executions.get(old.id) != old:
            return False
        self._executions[old.id] = new
        return True

    async def forget(self, service: str) -> None:
        self._executions = {key: one for key, one in self._executions.items() if one.service != service}
