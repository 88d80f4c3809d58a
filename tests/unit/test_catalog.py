"""What the catalog does with what runs."""

from __future__ import annotations

import asyncio

from deepaas_core.domain.model import SERVICE_GROUP, Source
from deepaas_core.executors.base import ExecutorState
from deepaas_core.serving.catalog import Catalog


class Slow:
    """An executor that is closed only once somebody has waited for it to the end."""

    state, reason, description = ExecutorState.READY, "", None

    def __init__(self):
        self.may_end, self.closed = asyncio.Event(), False

    def start(self):
        """It is ready."""

    async def close(self, drain_s):
        await self.may_end.wait()
        self.closed = True


async def test_what_was_being_taken_down_when_the_server_ends_is_ended_too():
    executor = Slow()
    catalog = Catalog([], [], lambda source, on_change: executor, lambda source, description: None)
    catalog.add(Source("score@v1:score", SERVICE_GROUP, "/x/score.py:predict", "score", "v1"))
    removing = asyncio.create_task(catalog.remove("score@v1:score", 30.0))
    await asyncio.sleep(0)
    removing.cancel()
    await asyncio.wait([removing])
    executor.may_end.set()
    await catalog.close(1.0)
    assert executor.closed
