"""Automations of services over the native API: what there are, what they have done, and asking for one."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from deepaas_core import errors
from deepaas_core.domain.automation import Automation, Execution
from deepaas_core.web.keys import AUTOMATIONS
from deepaas_core.web.rest.answers import json_response
from deepaas_core.web.rest.runs import base_of, iso, whole_number
from deepaas_core.web.rest.services import DEFAULT_LIMIT, MAX_LIMIT, SERVICE
from deepaas_core.web.routes import PUBLISH, READ, get, post

ALL = SERVICE + "/automations"
ONE = ALL + "/{automation}"
EXECUTIONS = SERVICE + "/executions"
EXECUTION = EXECUTIONS + "/{execution}"


async def list_automations(request: web.Request) -> web.Response:
    """What a service does by itself, by what is live of it, with the last time that each was done."""
    automations, service = request.app[AUTOMATIONS], request.match_info["service"]
    try:
        found = list(automations.live(service).automations.values())
    except errors.NothingDeployed:
        found = []
    documents = []
    for automation in found:
        last = await automations.executions(service, automation.name, 1)
        next_time = iso(automations.next_time(automation))
        documents.append(_automation(automation, next_time) | {"last": _execution(last[0], request) if last else None})
    return json_response({"automations": documents})


async def run_automation(request: web.Request) -> web.Response:
    """Do an automation now; that it will be done is on record when this is answered."""
    info = request.match_info
    asked = await request.app[AUTOMATIONS].ask(info["service"], info["automation"])
    document = _execution(asked, request)
    return json_response(document, status=202, Location=document["links"]["self"])


async def list_executions(request: web.Request) -> web.Response:
    """The last executions of a service's automations, newest first."""
    limit = whole_number("limit", request.query.get("limit"), DEFAULT_LIMIT, MAX_LIMIT)
    automation = request.query.get("automation")
    found = await request.app[AUTOMATIONS].executions(request.match_info["service"], automation, limit)
    return json_response({"executions": [_execution(each, request) for each in found]})


async def get_execution(request: web.Request) -> web.Response:
    """One execution, step by step."""
    info = request.match_info
    return json_response(
        _execution(await request.app[AUTOMATIONS].execution(info["service"], info["execution"]), request)
    )


def _automation(automation: Automation, next_time: str | None) -> dict[str, Any]:
    drift = automation.drift
    return {
        "name": automation.name,
        "schedule": automation.schedule or None,
        "next_at": next_time,
        "after_run_of": automation.after_run_of or None,
        "train": automation.train and str(automation.train),
        "check": [str(condition) for condition in automation.conditions],
        "drift": drift and {"endpoint": drift.endpoint, "reference": drift.reference, "most": drift.most},
        "publish": automation.publish or None,
        "deploy": automation.deploy,
    }


def _execution(execution: Execution, request: web.Request) -> dict[str, Any]:
    path = EXECUTION.format(service=execution.service, execution=execution.id)
    return {
        "id": execution.id,
        "service": execution.service,
        "automation": execution.automation,
        "state": str(execution.state),
        "cause": execution.cause,
        "created_at": iso(execution.created_at),
        "base": execution.base,
        "run": execution.run,
        "version": execution.version,
        "steps": [
            {"name": str(step.name), "state": str(step.state), "text": step.text, "at": iso(step.at)}
            for step in execution.steps
        ],
        "links": {"self": f"{base_of(request)}{path}"},
    }


ROUTES = [
    get(ALL, list_automations, READ),
    post(ONE + "/run", run_automation, PUBLISH),
    get(EXECUTIONS, list_executions, READ),
    get(EXECUTION, get_execution, READ),
]
