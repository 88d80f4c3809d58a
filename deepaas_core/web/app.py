"""The web application: its routes, what surrounds every request, and how it listens."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from aiohttp import web

from deepaas_core import errors
from deepaas_core.executors.worker.guard import Guard
from deepaas_core.serving.automator import Automations
from deepaas_core.serving.catalog import Catalog
from deepaas_core.serving.deployer import Deployments
from deepaas_core.serving.enricher import Enricher
from deepaas_core.serving.gatekeeper import Gatekeeper
from deepaas_core.serving.gauges import measure, page
from deepaas_core.serving.observer import Observer
from deepaas_core.serving.predictor import Predictor
from deepaas_core.serving.recorder import Recorder
from deepaas_core.serving.services import Services
from deepaas_core.serving.trainer import Trainer
from deepaas_core.settings import Settings
from deepaas_core.telemetry.metrics import Counts
from deepaas_core.web import auth, deepaas, health, keys, memory, metrics, negotiation, observe, problems, routes
from deepaas_core.web.express import Express
from deepaas_core.web.protocol import Connection
from deepaas_core.web.rest import automations as automation_routes
from deepaas_core.web.rest import documents, endpoints, models, predictions, runs, samples, statistics, tokens, watching
from deepaas_core.web.rest import services as service_routes
from deepaas_core.web.ui import pages

BACKLOG = 1024
#: How long, when the server ends, connections without a request are kept for one that is on its way.
LAST_REQUESTS_S, LAST_PASSES = 0.25, 50
#: aiohttp's own access log is off; ours is in ``observe``.
_NO_LOG = logging.getLogger("deepaas_core.web.no_log")
_NO_LOG.disabled = True


def build(
    settings: Settings,
    catalog: Catalog,
    predictor: Predictor,
    trainer: Trainer,
    guard: Guard,
    scratch: Path,
    gatekeeper: Gatekeeper,
    services: Services,
    deployer: Deployments,
    automations: Automations,
    enricher: Enricher,
    recorder: Recorder,
    scrape: keys.Scrape | None = None,
    logged: keys.Logged | None = None,
) -> web.Application:
    """The application over the given parts; opens and closes none of them.

    A process that is not the whole server is told how to ``scrape`` the metrics of all, and what was ``logged``.
    """
    base = settings.web.base_path.rstrip("/")
    app = web.Application(
        middlewares=[observe.observing, deepaas.middleware(settings.deepaas, base), auth.guarding],
        client_max_size=settings.web.max_body_bytes,
    )
    app[keys.SETTINGS] = settings
    app[keys.CATALOG] = catalog
    app[keys.PREDICTOR] = predictor
    app[keys.TRAINER] = trainer
    app[keys.OBSERVER] = Observer(trainer)
    app[keys.RECORDER] = recorder
    app[keys.SERVICES] = services
    app[keys.DEPLOYER] = deployer
    app[keys.AUTOMATIONS] = automations
    app[keys.ENRICHER] = enricher
    app[keys.GUARD] = guard
    app[keys.SCRATCH] = scratch
    app[keys.COUNTS] = predictor.counts
    deepaas.prepare(app, logged)
    app[keys.SCRAPE] = scrape or partial(_scrape, catalog, trainer, services, predictor.counts)
    offered = (
        *([routes.get("", _get_base, routes.partly(routes.SEE))] if base else []),
        routes.get("/", _get_root if settings.deepaas.v2 else pages.get_landing, routes.partly(routes.SEE)),
        *deepaas.routes(settings.deepaas, pages.get_deepaas_docs),  # before the pages: 0.x shares paths with them
        *health.ROUTES,
        *metrics.ROUTES,
        *problems.ROUTES,
        *models.ROUTES,
        *runs.ROUTES,
        *pages.ROUTES,
        *watching.ROUTES,
        *predictions.ROUTES,
        *statistics.ROUTES,
        *tokens.ROUTES,
        *samples.ROUTES,
        *endpoints.ROUTES,
        *documents.ROUTES,
        *service_routes.ROUTES,
        *automation_routes.ROUTES,
    )
    auth.guard(app, gatekeeper, offered, base, _expecting)
    app.cleanup_ctx.append(observe.access_log)
    return app


async def _scrape(
    catalog: Catalog, trainer: Trainer, services: Services, counts: Counts, accept: str
) -> tuple[bytes, str]:
    counts.keep(services.counts)
    return page(counts, await measure(catalog, trainer), accept)


async def _get_root(request: web.Request) -> web.StreamResponse:
    """The page for people for whoever prefers pages; for programs, the versions of DEEPaaS's API."""
    chosen = negotiation.choose(request.headers.get("Accept", ""), (negotiation.JSON, "text/html"))
    settings = request.app[keys.SETTINGS].deepaas
    page = pages.get_deepaas_docs if settings.v1 == "0.x" and settings.doc_endpoint else pages.get_landing
    return await (page if chosen == "text/html" else deepaas.get_root)(request)


async def _get_base(request: web.Request) -> web.StreamResponse:
    """The base path without a slash at its end, where clients of DEEPaaS look; links on the page need the slash."""
    prefers_page = negotiation.choose(request.headers.get("Accept", ""), (negotiation.JSON, "text/html")) == "text/html"
    if prefers_page or not request.app[keys.SETTINGS].deepaas.v2:
        return web.Response(status=308, headers={"Location": f"{request.rel_url.raw_path}/"})
    return await deepaas.get_root(request)


async def _expecting(request: web.Request) -> web.Response | None:
    """Answer ``Expect: 100-continue``; what will be refused whatever its body is, is refused before that is sent."""
    settings = request.app[keys.SETTINGS]
    limit = max(settings.web.max_body_bytes, settings.web.max_upload_bytes)
    if (request.content_length or 0) > limit:
        request_id = os.urandom(8).hex()
        response = problems.present(errors.PayloadTooLarge(limit), request_id)
        response.headers[observe.REQUEST_ID] = request_id
        return response
    if not await auth.admit(request):
        return None
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return None


class Listener:
    """Accepts connections for an application.

    Args:
        app: What answers.
        settings: Where to listen and how patient to be.
        sockets: Listening sockets to take connections from, instead of binding one's own.
    """

    def __init__(self, app: web.Application, settings: Settings, sockets: Sequence[socket.socket] = ()):
        self.app = app
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        self._settings = settings
        self._sockets = sockets
        self._servers: list[asyncio.Server] = []
        self._leaving = False
        self.port = settings.web.port

    async def start(self) -> None:
        """Bind and accept.

        Raises:
            SettingsError: The address cannot be used, e.g. because another server has it.
        """
        memory.keep_freed()
        await self._runner.setup()
        self._express = Express(self.app)
        loop = asyncio.get_running_loop()
        host, port = self._settings.web.host, self._settings.web.port
        try:
            if not self._sockets:
                server = await loop.create_server(self._connection, host, port, backlog=BACKLOG, reuse_address=True)
                self._servers.append(server)
            for bound in self._sockets:
                self._servers.append(await loop.create_server(self._connection, sock=bound, backlog=BACKLOG))
        except OSError as error:
            await self._runner.cleanup()
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
            raise errors.SettingsError(f"Cannot listen on {host} port {port}: {reason}.") from error
        self.port = _port(self._servers[0].sockets)

    def _connection(self) -> Connection:
        manager = self._runner.server
        assert manager is not None
        connection = Connection(
            manager,
            express=self._express,
            loop=asyncio.get_running_loop(),
            access_log=_NO_LOG,
            keepalive_timeout=self._settings.web.keepalive_timeout_s,
        )
        if self._leaving:
            connection.leave()
        return connection

    async def stop(self, drain_s: float) -> None:
        """Accept no more, let requests in flight finish for so long at most, and close everything.

        Whoever had connected, or had a connection, may have sent a request that nobody has read yet; it is answered.
        Who has stopped already does nothing.
        """
        manager = self._runner.server
        if manager is None:
            return
        self._leaving = True
        for connection in manager.connections:
            connection.leave()  # type: ignore[attr-defined]  # they are all of our class
        await self._accept_pending()
        for server in self._servers:
            server.close()
        self.app[keys.OBSERVER].leave()
        await _soon(lambda: not manager.connections, LAST_REQUESTS_S)
        manager.pre_shutdown()
        with suppress(TimeoutError):
            await manager.shutdown(drain_s)
        await self._runner.cleanup()

    async def _accept_pending(self) -> None:
        """Let the loop accept the connections that wait; closing a socket resets what waits at it."""
        pending = select.poll()
        for server in self._servers:
            for listening in server.sockets:
                pending.register(listening.fileno(), select.POLLIN)
        await _soon(lambda: not pending.poll(0), LAST_REQUESTS_S)


async def _soon(condition: Callable[[], bool], within_s: float) -> None:
    """Wait for something that is likely to come about soon, for so long at most.

    On a machine that is overworked the time may pass without the loop having done anything; so it has some passes, too.
    """
    loop = asyncio.get_running_loop()
    deadline, passes = loop.time() + within_s, 0
    while not condition() and (loop.time() < deadline or passes < LAST_PASSES):
        passes += 1
        await asyncio.sleep(0.001)


def _port(sockets: tuple[socket.socket, ...]) -> int:
    return int(sockets[0].getsockname()[1])
