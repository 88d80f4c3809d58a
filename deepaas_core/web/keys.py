"""The keys under which the application holds its parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from aiohttp import web

from deepaas_core.executors.worker.guard import Guard
from deepaas_core.serving.automator import Automations
from deepaas_core.serving.catalog import Catalog
from deepaas_core.serving.deployer import Deployments
from deepaas_core.serving.enricher import Enricher
from deepaas_core.serving.gatekeeper import Gatekeeper
from deepaas_core.serving.observer import Observer
from deepaas_core.serving.predictor import Predictor
from deepaas_core.serving.recorder import Recorder
from deepaas_core.serving.services import Services
from deepaas_core.serving.trainer import Trainer
from deepaas_core.settings import Settings
from deepaas_core.telemetry.metrics import Counts

SETTINGS = web.AppKey("settings", Settings)
CATALOG = web.AppKey("catalog", Catalog)
PREDICTOR = web.AppKey("predictor", Predictor)
TRAINER = web.AppKey("trainer", Trainer)
OBSERVER = web.AppKey("observer", Observer)
RECORDER = web.AppKey("recorder", Recorder)
GATEKEEPER = web.AppKey("gatekeeper", Gatekeeper)
#: Which generation of a service answers.
SERVICES = web.AppKey("services", Services)
#: Changes that.
DEPLOYER: web.AppKey[Deployments] = web.AppKey("deployer")
#: What services do by themselves.
AUTOMATIONS = web.AppKey("automations", Automations)
#: What joins the data of datasets to records.
ENRICHER = web.AppKey("enricher", Enricher)
#: Folder under which every request that carries files gets one of its own.
SCRATCH = web.AppKey("scratch", Path)
#: Which addresses a ``predict/url`` may lead to.
GUARD = web.AppKey("guard", Guard)
#: What this process has counted.
COUNTS = web.AppKey("counts", Counts)
#: Makes the page of metrics of the whole server, for an ``Accept``, and its content type.
Scrape = Callable[[str], Awaitable[tuple[bytes, str]]]
SCRAPE: web.AppKey[Scrape] = web.AppKey("scrape")
#: Adds a line to the newest ones that the whole server has logged, and gives all of them.
Logged = Callable[[str], Awaitable[Sequence[str]]]
LOGGED: web.AppKey[Logged] = web.AppKey("logged")
