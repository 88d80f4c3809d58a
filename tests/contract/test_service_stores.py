"""What every place that keeps services promises."""

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from deepaas_core.domain.deployment import Deployment, Generation, Rollout, RolloutState
from deepaas_core.domain.service import Endpoint, EndpointKind, Feature, FeatureType, Query, Service, Target
from deepaas_core.errors import (
    Conflict,
    GenerationInUse,
    GenerationNotFound,
    RolloutNotFound,
    ServiceNotFound,
    VersionTaken,
)
from deepaas_core.stores.database import Database
from deepaas_core.stores.memory import MemoryServiceStore
from deepaas_core.stores.sql_services import SqlServiceStore

NOW = datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)
LATER = datetime(2024, 5, 2, tzinfo=UTC)


def a_service(name: str = "churn") -> Service:
    colour = Feature("colour \x00 ü", FeatureType.CATEGORICAL, classes=("red", 1, None))
    picture = Feature("picture", FeatureType.IMAGE, shape=(None, 8, 3))
    endpoint = Endpoint("score", EndpointKind.PREDICTION, {"": Target("score.py", "predict")}, inputs=(colour, picture))
    return Service(name, endpoints={"score": endpoint}, queries=(Query("score", rows=[{"a": 1.5}], expected=[1]),))


def a_generation(version: str = "v1", service: str = "churn") -> Generation:
    return Generation(service, version, "0" * 64, a_service(service), NOW, notes="ü", size_bytes=2**40)


def a_rollout(shares, before=None, service: str = "churn") -> Rollout:
    return Rollout(uuid.uuid4().hex, service, shares, before or {}, RolloutState.STARTING, NOW)


class ServiceStoreContract:
    """What holds for every place that keeps services. Heirs give a fixture ``store``."""

    async def test_a_generation_is_kept_as_it_is(self, store):
        kept = await store.add_generation(a_generation())
        assert kept == replace(a_generation(), number=1)
        assert list(await store.generations()) == [kept]
        assert await store.deployments() == {"churn": Deployment("churn")}

    async def test_generations_are_numbered_within_their_service(self, store):
        added = [await store.add_generation(a_generation(f"v{n}", name)) for n in (1, 2) for name in ("churn", "other")]
        assert [each.number for each in added] == [1, 1, 2, 2]
        assert list(await store.generations("other")) == [added[1], added[3]]

    async def test_a_version_is_given_once_even_to_one_that_is_deleted(self, store):
        await store.add_generation(a_generation())
        with pytest.raises(VersionTaken):
            await store.add_generation(replace(a_generation(), digest="1" * 64))
        await store.remove_generation("churn", "v1")
        assert list(await store.generations()) == []
        assert await store.versions("churn") == {"v1"}
        with pytest.raises(VersionTaken):
            await store.add_generation(a_generation())
        assert (await store.add_generation(a_generation("v2"))).number == 2

    async def test_of_many_who_publish_a_version_one_does(self, store):
        tried = await asyncio.gather(*(store.add_generation(a_generation()) for _ in range(8)), return_exceptions=True)
        assert [type(each) for each in tried].count(VersionTaken) == 7

    async def test_a_rollout_goes_live_in_one_step(self, store):
        await store.add_generation(a_generation())
        rollout = a_rollout({"v1": 1.0})
        await store.add_rollout(rollout)
        assert list(await store.open_rollouts()) == [rollout]
        live = await store.go_live(rollout, LATER)
        assert live == replace(rollout, state=RolloutState.LIVE, finished_at=LATER, revision=1)
        assert await store.rollout("churn", rollout.id) == live
        assert await store.deployments() == {"churn": Deployment("churn", {"v1": 1.0}, True, LATER, 1)}
        assert list(await store.open_rollouts()) == []

    async def test_a_rollout_does_not_undo_what_came_between(self, store):
        for version in ("v1", "v2"):
            await store.add_generation(a_generation(version))
        first, second = a_rollout({"v1": 1.0}), a_rollout({"v1": 0.5, "v2": 0.5})
        for rollout in (first, second):
            await store.add_rollout(rollout)
        assert await store.go_live(first, LATER) is not None
        assert await store.go_live(second, LATER) is None
        assert await store.go_live(first, LATER) is None
        assert (await store.deployments())["churn"].shares == {"v1": 1.0}

    async def test_of_many_who_switch_one_does(self, store):
        await store.add_generation(a_generation())
        rollouts = [a_rollout({"v1": 1.0}) for _ in range(8)]
        for rollout in rollouts:
            await store.add_rollout(rollout)
        done = await asyncio.gather(*(store.go_live(rollout, LATER) for rollout in rollouts))
        assert sum(each is not None for each in done) == 1
        assert (await store.deployments())["churn"].revision == 1

    async def test_a_failed_rollout_never_goes_live(self, store):
        await store.add_generation(a_generation())
        rollout = a_rollout({"v1": 1.0})
        await store.add_rollout(rollout)
        testing = replace(rollout, state=RolloutState.TESTING)
        assert await store.advance(rollout, testing)
        assert not await store.advance(rollout, testing)
        failed = testing.fail(LATER, "no")
        assert await store.advance(testing, failed)
        assert await store.go_live(testing, LATER) is None
        assert list(await store.rollouts("churn", 5)) == [failed]

    async def test_rollouts_come_newest_first(self, store):
        await store.add_generation(a_generation())
        rollouts = [a_rollout({"v1": 1.0}) for _ in range(3)]
        for rollout in rollouts:
            await store.add_rollout(rollout)
        assert list(await store.rollouts("churn", 2)) == rollouts[:0:-1]
        with pytest.raises(RolloutNotFound):
            await store.rollout("other", rollouts[0].id)

    async def test_what_is_not_there_is_not_rolled_out(self, store):
        await store.add_generation(a_generation())
        with pytest.raises(GenerationNotFound):
            await store.add_rollout(a_rollout({"v1": 0.5, "v7": 0.5}))
        assert list(await store.rollouts("churn", 5)) == []

    async def test_what_is_in_use_is_not_deleted(self, store):
        for version in ("v1", "v2"):
            await store.add_generation(a_generation(version))
        live, coming = a_rollout({"v1": 1.0}), a_rollout({"v2": 1.0})
        await store.add_rollout(live)
        await store.go_live(live, LATER)
        await store.add_rollout(coming)
        for version in ("v1", "v2"):
            with pytest.raises(GenerationInUse):
                await store.remove_generation("churn", version)
        await store.advance(coming, coming.fail(LATER, "no"))
        await store.remove_generation("churn", "v2")
        with pytest.raises(GenerationNotFound):
            await store.remove_generation("churn", "v2")

    async def test_a_service_is_disabled_and_enabled(self, store):
        await store.add_generation(a_generation())
        disabled = await store.set_enabled("churn", False, LATER)
        assert disabled == Deployment("churn", {}, False, LATER, 1) == (await store.deployments())["churn"]
        assert await store.set_enabled("churn", False, NOW) == disabled
        assert (await store.set_enabled("churn", True, LATER)).enabled
        with pytest.raises(ServiceNotFound):
            await store.set_enabled("other", True, NOW)

    async def test_a_service_that_answers_is_not_deleted(self, store):
        for name in ("churn", "other"):
            await store.add_generation(a_generation(service=name))
        rollout = a_rollout({"v1": 1.0})
        await store.add_rollout(rollout)
        await store.go_live(rollout, LATER)
        with pytest.raises(Conflict):
            await store.remove_service("churn")
        await store.set_enabled("churn", False, LATER)
        await store.remove_service("churn")
        assert list(await store.deployments()) == ["other"]
        assert list(await store.rollouts("churn", 5)) == []
        assert [each.service for each in await store.generations()] == ["other"]
        assert (await store.add_generation(a_generation())).number == 1
        with pytest.raises(ServiceNotFound):
            await store.remove_service("none")

    async def test_test_queries_are_kept(self, store):
        with pytest.raises(ServiceNotFound):
            await store.queries("churn")
        await store.add_generation(a_generation())
        assert list(await store.queries("churn")) == []
        queries = [Query("score", "ü", rows=[{"a": None}], expected=[0.5]), Query("f", arguments={"x": [1]})]
        await store.set_queries("churn", queries)
        assert list(await store.queries("churn")) == queries
        with pytest.raises(ServiceNotFound):
            await store.set_queries("other", queries)

    async def test_every_change_for_callers_is_a_new_revision(self, store):
        seen = [await store.revision()]

        async def changed():
            seen.append(await store.revision())
            return seen[-1] > seen[-2]

        await store.add_generation(a_generation())
        assert await changed()
        rollout = a_rollout({"v1": 1.0})
        await store.add_rollout(rollout)
        assert await changed()
        await store.go_live(rollout, NOW)
        assert await changed()
        await store.set_enabled("churn", False, NOW)
        assert await changed()
        await store.remove_service("churn")
        assert await changed()
        assert not await changed()


class TestMemory(ServiceStoreContract):
    @pytest.fixture
    def store(self):
        return MemoryServiceStore()


class TestSqlite(ServiceStoreContract):
    @pytest.fixture
    async def store(self, tmp_path):
        database = await Database.open("", tmp_path)
        yield SqlServiceStore(database)
        await database.close()


class TestPostgresql(ServiceStoreContract):
    @pytest.fixture
    async def store(self, postgres, tmp_path):
        database = await Database.open(postgres.with_tables(), tmp_path)
        yield SqlServiceStore(database)
        await database.close()
