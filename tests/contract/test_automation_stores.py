"""What every place that keeps the executions of automations promises."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from deepaas_core.domain.automation import Automation, Execution, StepName, StepState
from deepaas_core.domain.service import Target
from deepaas_core.errors import ExecutionNotFound
from deepaas_core.stores.database import Database
from deepaas_core.stores.memory_automations import MemoryAutomationStore
from deepaas_core.stores.sql_automations import SqlAutomationStore

NOW = datetime(2026, 11, 21, 3, 0, 0, 123456, tzinfo=UTC)
NIGHTLY = Automation("nightly", schedule="0 3 * * *", train=Target("train.py", "train"), publish="auto")


def an_execution(due: str = "", cause: str = "schedule", service: str = "fraud") -> Execution:
    return Execution.of(service, NIGHTLY, "v1", cause, NOW, due)


class AutomationStoreContract:
    """What holds for every place that keeps executions. Heirs give a fixture ``store``."""

    async def test_an_execution_is_kept_as_it_is(self, store):
        execution = replace(an_execution(), run="0" * 32, server="1" * 32)
        execution = execution.moved(StepName.TRAIN, StepState.DONE, "ü \x00", NOW)
        assert await store.add(execution)
        assert await store.get("fraud", execution.id) == execution

    async def test_a_cause_is_answered_once(self, store):
        assert await store.add(an_execution("2026-11-21T03:00:00"))
        assert not await store.add(an_execution("2026-11-21T03:00:00"))
        assert await store.add(an_execution("2026-11-22T03:00:00"))
        assert await store.add(an_execution("2026-11-21T03:00:00", service="other"))

    async def test_of_many_at_once_one_answers_to_a_cause_and_one_takes_it_up(self, store):
        executions = [an_execution("2026-11-21T03:00:00") for _ in range(5)]
        assert sorted(await asyncio.gather(*map(store.add, executions))) == [False] * 4 + [True]
        [execution] = await store.open()
        taken = [store.replace(execution, replace(execution, server=server)) for server in "abcde"]
        assert sorted(await asyncio.gather(*taken)) == [False] * 4 + [True]

    async def test_requests_are_causes_of_their_own(self, store):
        assert await store.add(an_execution(cause="request"))
        assert await store.add(an_execution(cause="request"))

    async def test_one_of_several_takes_an_execution_up(self, store):
        execution = an_execution()
        await store.add(execution)
        assert await store.replace(execution, replace(execution, server="a"))
        assert not await store.replace(execution, replace(execution, server="b"))
        assert (await store.get("fraud", execution.id)).server == "a"

    async def test_those_that_are_not_over_are_found(self, store):
        ended, going_on = an_execution("1"), an_execution("2")
        for execution in (ended, going_on):
            await store.add(execution)
        await store.replace(ended, ended.moved(StepName.TRAIN, StepState.FAILED, "", NOW))
        assert [one.id for one in await store.open()] == [going_on.id]

    async def test_executions_are_listed_newest_first(self, store):
        executions = [an_execution(str(number)) for number in range(3)]
        for execution in (*executions, an_execution(cause="request", service="other")):
            await store.add(execution)
        assert list(await store.list("fraud")) == executions[::-1]
        assert list(await store.list("fraud", "nightly", limit=1)) == executions[:1:-1]
        assert list(await store.list("fraud", "another")) == []
        assert await store.last("fraud", "nightly", "schedule") == executions[2]
        assert await store.last("fraud", "nightly", "request") is None

    async def test_what_is_not_there_is_not_found(self, store):
        execution = an_execution()
        await store.add(execution)
        with pytest.raises(ExecutionNotFound):
            await store.get("other", execution.id)
        await store.forget("fraud")
        with pytest.raises(ExecutionNotFound):
            await store.get("fraud", execution.id)


class TestMemory(AutomationStoreContract):
    @pytest.fixture
    def store(self):
        return MemoryAutomationStore()


class TestSqlite(AutomationStoreContract):
    @pytest.fixture
    async def store(self, tmp_path):
        database = await Database.open("", tmp_path)
        yield SqlAutomationStore(database)
        await database.close()


class TestPostgresql(AutomationStoreContract):
    @pytest.fixture
    async def store(self, postgres, tmp_path):
        database = await Database.open(postgres.with_tables(), tmp_path)
        yield SqlAutomationStore(database)
        await database.close()
