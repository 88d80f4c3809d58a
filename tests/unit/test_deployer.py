"""What becomes of the rollouts of servers that are lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from deepaas_core.domain.deployment import Generation, Rollout, RolloutState
from deepaas_core.domain.service import Service
from deepaas_core.errors import GenerationInUse
from deepaas_core.serving.deployer import Deployer
from deepaas_core.stores.memory import MemoryServiceStore

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
async def store():
    """Records in which another server is about to make a generation live."""
    made = MemoryServiceStore()
    await made.add_generation(Generation("churn", "v1", "0" * 64, Service("churn"), NOW))
    await made.add_rollout(Rollout("1" * 32, "churn", {"v1": 1.0}, {}, RolloutState.BUILDING, NOW, server="other"))
    return made


async def minded(store, peers, until):
    """Let another server watch until something is so."""
    minding = asyncio.create_task(Deployer(store, None, None, None, None, "ours").mind(peers, 0.05))
    while not await until():
        await asyncio.sleep(0.01)
    minding.cancel()


async def test_the_rollout_of_a_lost_server_has_failed_and_is_in_nobodys_way(store):
    async def peers():
        return {"other": SimpleNamespace(seen_at=NOW)}

    async def over():
        return (await store.rollout("churn", "1" * 32)).state.over

    await minded(store, peers, over)
    assert "lost" in (await store.rollout("churn", "1" * 32)).reason
    await store.remove_generation("churn", "v1")


async def test_a_server_that_gives_signs_of_life_goes_on(store):
    looks = []

    async def peers():
        looks.append(NOW + timedelta(seconds=len(looks)))
        return {"other": SimpleNamespace(seen_at=looks[-1])}

    async def watched():
        return len(looks) > 20

    await minded(store, peers, watched)
    with pytest.raises(GenerationInUse):
        await store.remove_generation("churn", "v1")
