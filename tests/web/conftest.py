"""A real application over real workers, for plugins that a test writes down."""

import asyncio
import textwrap
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp.test_utils import BaseTestServer, TestClient
from yarl import URL

from deepaas_core import app as composition
from deepaas_core.domain.model import Source
from deepaas_core.executors.pool import Limits, Pool
from deepaas_core.executors.runs import RunProcesses
from deepaas_core.plugins.inspection import inspect
from deepaas_core.serving.catalog import Catalog
from deepaas_core.serving.gatekeeper import Gatekeeper
from deepaas_core.serving.predictor import Predictor
from deepaas_core.serving.recorder import Recorder
from deepaas_core.serving.trainer import Trainer
from deepaas_core.settings import Settings
from deepaas_core.stores.memory import MemoryRunStore, MemoryServiceStore, MemoryTokenStore
from deepaas_core.stores.memory_automations import MemoryAutomationStore
from deepaas_core.stores.memory_predictions import MemoryPredictionStore
from deepaas_core.web import app as web_app


class Listening(BaseTestServer):
    """The listener of the real server, as aiohttp's test client wants it."""

    def __init__(self, listener: web_app.Listener):
        super().__init__()
        self._listener = listener
        self.app = listener.app

    async def start_server(self, loop=None, **_):
        await self._listener.start()
        self.port = self._listener.port
        self._root = URL(f"http://127.0.0.1:{self.port}")

    async def close(self):
        await self._listener.stop(2.0)

    async def _make_runner(self, **_):
        raise NotImplementedError


def pytest_collection_modifyitems(items):
    """Run on one event loop whatever shares servers."""
    for item in items:
        if "serve_all" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest.fixture
async def serve(aiohttp_client, tmp_path):
    """``await serve(name="source code", …)`` gives a client of a server that offers these plugins."""
    async with serving(tmp_path, aiohttp_client) as start:
        yield start


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serve_all(tmp_path_factory):
    """What ``serve`` is to one test, to all tests of a module, which leave the servers as they are."""
    async with AsyncExitStack() as clients:

        async def new_client(server):
            return await clients.enter_async_context(TestClient(server))

        async with serving(tmp_path_factory.mktemp("shared"), new_client) as start:
            yield start


@asynccontextmanager
async def serving(folder: Path, new_client):
    """Gives what starts servers below a folder, and ends them."""
    opened, watching = [], []
    code, scratch = folder / "plugins", folder / "scratch"
    code.mkdir()

    async def start(*argv: str, problems=(), loopback=True, **plugins: str):
        settings = Settings.load(["--port", "0", "--data-dir", str(folder / "data"), *argv], {})
        sources = [_install(code, name, source) for name, source in plugins.items()]
        scratch.mkdir(exist_ok=True)

        def make_executor(source, on_change):
            launch = composition.launch_of(source, settings, scratch, None)
            return Pool(launch, Limits(), on_change)

        catalog = Catalog(sources, problems, make_executor, inspect)
        trainer = Trainer(MemoryRunStore(), RunProcesses(folder / "runs"))
        guard = composition.guard_of(settings)
        gatekeeper = Gatekeeper(MemoryTokenStore(), settings.access, loopback=loopback)
        await gatekeeper.look()
        watching.append(asyncio.create_task(gatekeeper.watch()))
        predictor = Predictor(catalog, lambda source: settings.workers_for(source.name, source.settings).timeout_s)
        stores = MemoryServiceStore(), MemoryAutomationStore()
        publication = composition.publication_of(settings, *stores, catalog, predictor, scratch)
        recorder = Recorder(MemoryPredictionStore(), settings.prediction_log, predictor.counts)
        published = publication.services, publication.deployer, publication.automations, publication.enricher
        application = web_app.build(
            settings, catalog, predictor, trainer, guard, scratch, gatekeeper, *published, recorder
        )
        opened.append((catalog, trainer, publication, recorder))
        catalog.start()
        await publication.deployer.start()
        client = await new_client(Listening(web_app.Listener(application, settings)))
        await catalog.settled()
        client.scratch = scratch
        client.gatekeeper = gatekeeper
        return client

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(code))
        yield start
        for task in watching:
            task.cancel()
        for catalog, trainer, publication, recorder in opened:
            await recorder.close(2.0)
            await publication.deployer.close()
            await publication.enricher.close()
            await trainer.close()
            await catalog.close(drain_s=2.0)


def _install(folder: Path, name: str, source: str) -> Source:
    module = f"plugin_{name}"
    (folder / f"{module}.py").write_text(textwrap.dedent(source))
    return Source(name, "deepaas.model", module, f"{name}-package", "1.0", summary=f"The {name} plugin.")
