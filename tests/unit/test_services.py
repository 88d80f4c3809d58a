"""The table of services: who answers, and when nobody does."""

import json
from datetime import UTC, datetime

import pytest

from deepaas_core import errors
from deepaas_core.domain.deployment import Deployment, Generation
from deepaas_core.domain.model import SERVICE_GROUP, Source
from deepaas_core.domain.service import Endpoint, EndpointKind, Feature, FeatureType, Query, Service, Target
from deepaas_core.executors.base import ExecutorState
from deepaas_core.plugins.inspection import inspect
from deepaas_core.serving.catalog import Catalog
from deepaas_core.serving.services import Services

NOW = datetime(2024, 5, 1, tzinfo=UTC)
CHURN = Service(
    "churn",
    endpoints={
        "score": Endpoint(
            "score",
            EndpointKind.PREDICTION,
            targets={"tree": Target("score.py", "tree"), "line": Target("score.py", "line")},
            default_variant="tree",
            inputs=(Feature("age"), Feature("picture", FeatureType.IMAGE, shape=(None, 8, 3))),
            outputs=(Feature("leaves", FeatureType.CATEGORICAL, classes=("no", "yes")),),
        )
    },
    queries=(Query("score", rows=[{"age": 3}], expected=[{"leaves": "no"}]),),
)


class Ready:
    """An executor that is always ready."""

    state, reason = ExecutorState.READY, ""
    description = {"capabilities": ["predict"]}  # noqa: RUF012

    def __init__(self, on_change):
        self._on_change = on_change

    def start(self):
        self._on_change()

    async def close(self, drain_s):
        self.state = ExecutorState.STOPPED


def generation(version: str, number: int = 1, service: Service = CHURN) -> Generation:
    return Generation(service.name, version, "0" * 64, service, NOW, number)


@pytest.fixture
def catalog():
    return Catalog([], [], lambda source, on_change: Ready(on_change), inspect)


@pytest.fixture
def woken():
    return []


@pytest.fixture
async def services(catalog, woken):
    async def wake(service, version):
        woken.append((service, version))

    return Services(catalog, wake)


def run(catalog, services, version):
    parts = {("score", variant): f"churn@{version}:score:{variant}" for variant in ("tree", "line")}
    for name in parts.values():
        catalog.add(Source(name, SERVICE_GROUP, "/x/score.py:tree", "churn", version))
    services.runs("churn", version, parts)


def test_a_service_survives_being_written_down():
    assert Service.from_plain(json.loads(json.dumps(CHURN.to_plain()))) == CHURN


def test_a_generation_survives_being_written_down():
    assert Generation.from_plain(json.loads(json.dumps(generation("v1").to_plain()))) == generation("v1")


async def test_shares_choose_the_generation(services):
    services.replace({"churn": Deployment("churn", {"v2": 1.0})}, [generation("v1"), generation("v2", 2)])
    assert services.choose("churn").version == "v2"
    assert services.choose("churn", "v1").version == "v1"


async def test_the_same_key_stays_with_its_generation(services):
    shares = {"v1": 0.5, "v2": 0.5}
    services.replace({"churn": Deployment("churn", shares)}, [generation("v1"), generation("v2", 2)])
    for key in map(str, range(20)):
        assert len({services.choose("churn", dispatch_key=key).version for _ in range(20)}) == 1


async def test_what_cannot_answer_says_why(services):
    with pytest.raises(errors.ServiceNotFound):
        services.choose("churn")
    services.replace({"churn": Deployment("churn")}, [generation("v1")])
    with pytest.raises(errors.NothingDeployed):
        services.choose("churn")
    with pytest.raises(errors.GenerationNotFound):
        services.choose("churn", "v7")
    services.replace({"churn": Deployment("churn", {"v1": 1.0}, enabled=False)}, [generation("v1")])
    for version in (None, "v1"):
        with pytest.raises(errors.ServiceDisabled):
            services.choose("churn", version)


async def test_a_running_generation_gives_its_parts(catalog, services):
    services.replace({"churn": Deployment("churn", {"v1": 1.0})}, [generation("v1")])
    with pytest.raises(errors.ModelNotReady, match="still starting"):
        services.choose("churn").part("score")
    run(catalog, services, "v1")
    live = services.choose("churn")
    assert live.part("score")[1].name == "churn@v1:score:tree"
    assert live.part("score", "line")[1].name == "churn@v1:score:line"
    with pytest.raises(errors.EndpointNotFound):
        live.part("other")
    with pytest.raises(errors.InvalidInput, match="tree, line"):
        live.part("score", "forest")


async def test_parts_are_not_among_the_models(catalog, services):
    services.replace({"churn": Deployment("churn", {"v1": 1.0})}, [generation("v1")])
    run(catalog, services, "v1")
    assert catalog.entries() == ()
    with pytest.raises(errors.ModelNotFound):
        catalog.entry("churn@v1:score:tree")
    assert not catalog.serves("churn@v1:score:tree")


async def test_a_generation_that_is_only_kept_is_woken(services, woken):
    services.replace({"churn": Deployment("churn", {"v2": 1.0})}, [generation("v1"), generation("v2", 2)])
    await services.awake(services.choose("churn", "v1"))
    assert woken == [("churn", "v1")]
    with pytest.raises(errors.ModelNotReady):  # it is on its way by itself
        await services.awake(services.choose("churn", "v2"))


async def test_nobody_is_cut_off(catalog, services):
    services.replace({"churn": Deployment("churn", {"v1": 1.0})}, [generation("v1")])
    run(catalog, services, "v1")
    live = services.choose("churn")
    with services.using(live):
        assert not services.let_go("churn", "v1")
    assert services.let_go("churn", "v1")
    with pytest.raises(errors.ModelNotReady):
        services.choose("churn").part("score")


async def test_another_process_takes_the_table_over(catalog, services):
    services.replace({"churn": Deployment("churn", {"v1": 1.0}, changed_at=NOW)}, [generation("v1")])
    run(catalog, services, "v1")
    other = Services(catalog, services._wake)
    other.take_over(json.loads(json.dumps(services.to_plain())))
    assert other.choose("churn").part("score", "line")[1].name == "churn@v1:score:line"
    assert other.ready()


async def test_a_part_that_stops_says_nothing_of_its_successor(catalog):
    class Slow(Ready):
        async def close(self, drain_s):
            self.state = ExecutorState.STOPPED
            self._on_change()

    catalog._make_executor = lambda source, on_change: Slow(on_change)
    source = Source("churn@v1:score", SERVICE_GROUP, "/x/score.py:tree", "churn", "v1")
    catalog.add(source)
    told = []
    catalog.watch(lambda entry: told.append((entry.name, entry.state, catalog.has(entry.name))))
    await catalog.remove(source.name, 0)
    assert told == [(source.name, ExecutorState.READY, False)]
