"""Services over the native API: publish generations, say which of them are live, take that back, test, and copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from aiohttp import web
from marshmallow import Schema, ValidationError, fields, validate
from multipart import MultipartSegment

from deepaas_core import errors
from deepaas_core.domain.arguments import issues
from deepaas_core.domain.deployment import Deployment, Generation, Rollout
from deepaas_core.domain.rehearsal import Outcome
from deepaas_core.domain.service import Endpoint, Query
from deepaas_core.serving.publisher import Wish
from deepaas_core.serving.rehearsing import complaints
from deepaas_core.serving.services import Services
from deepaas_core.web.auth import caller
from deepaas_core.web.infrastructures import copy_to
from deepaas_core.web.inputs import read_object
from deepaas_core.web.keys import DEPLOYER, SCRATCH, SERVICES, SETTINGS
from deepaas_core.web.rest.answers import json_response
from deepaas_core.web.rest.runs import PREFIX, base_of, iso, whole_number, yes_or_no
from deepaas_core.web.routes import ADMIN, PUBLISH, READ, SEE, delete, get, partly, post, put
from deepaas_core.web.scratch import Folder
from deepaas_core.web.uploads import Budget, Held, Saved, read_form, save_body

ALL_SERVICES = PREFIX + "/services"
SERVICE = ALL_SERVICES + "/{service}"
GENERATIONS = SERVICE + "/generations"
GENERATION = GENERATIONS + "/{version}"
DEPLOYMENT = SERVICE + "/deployment"
ROLLOUTS = SERVICE + "/rollouts"
INFRASTRUCTURES = PREFIX + "/infrastructures"
DEFAULT_LIMIT, MAX_LIMIT = 20, 200
_ARCHIVES = ("application/zip", "application/x-zip-compressed", "application/gzip", "application/x-gzip")
_ANY_BYTES = "application/octet-stream"


class QuerySchema(Schema):
    """What can be said of a test query."""

    endpoint = fields.String(required=True)
    name = fields.String()
    rows = fields.List(fields.Dict(keys=fields.String()), allow_none=True)
    arguments = fields.Dict(keys=fields.String())
    expected = fields.Raw(allow_none=True)
    tolerance = fields.Float(validate=validate.Range(min=0))


# Services.


async def list_services(request: web.Request) -> web.Response:
    """Every service that the caller may know of."""
    services = request.app[SERVICES]
    names = [name for name in services.names() if caller(request).sees(name)]
    return json_response({"services": [_service(services, name, request) for name in names]})


async def get_service(request: web.Request) -> web.Response:
    """One service: its endpoints, its generations, and which of them are live."""
    return json_response(_service(request.app[SERVICES], request.match_info["service"], request))


async def delete_service(request: web.Request) -> web.Response:
    """Delete a service that does not answer, with everything of it."""
    await request.app[DEPLOYER].remove_service(request.match_info["service"])
    return web.Response(status=204)


async def enable_service(request: web.Request) -> web.Response:
    """Let a service answer."""
    return _deployment(await request.app[DEPLOYER].set_enabled(request.match_info["service"], True))


async def disable_service(request: web.Request) -> web.Response:
    """Let a service answer no more, whatever is deployed."""
    return _deployment(await request.app[DEPLOYER].set_enabled(request.match_info["service"], False))


# Generations.


async def publish(request: web.Request) -> web.Response:
    """Make a generation of the archive in the body; it is kept for good when this is answered."""
    if not request.app[SETTINGS].services.publish:
        raise errors.Forbidden("Publishing over the network is switched off here (services.publish).")
    service, said = request.match_info["service"], dict(request.query)
    with Folder(request.app[SCRATCH]) as own:
        path = own.new_file("archive")
        if request.content_type == "multipart/form-data":
            receiver = _Archive(own, Budget(request))
            await read_form(request, receiver, receiver.budget)
            if receiver.saved is None:
                raise errors.InvalidInput([errors.Issue("/file", "Must be an archive.")])
            path, said = receiver.saved.path, said | receiver.texts()
        elif request.content_type in (*_ARCHIVES, _ANY_BYTES):
            await save_body(request, path, Budget(request))
        else:
            kinds = ", ".join(_ARCHIVES)
            raise errors.UnsupportedMedia(f"An archive comes as {kinds}, or as the field `file` of a form.")
        unique, allow_apt = (yes_or_no(name, said.get(name)) for name in ("unique", "allow_apt"))
        wish = Wish(said.get("version", ""), said.get("notes", ""), unique, allow_apt)
        published = await request.app[DEPLOYER].publish(path, service, wish)
    location = f"{base_of(request)}{GENERATION.format(service=service, version=published.version)}"
    return json_response(_generation(published, request), status=201, Location=location)


async def list_generations(request: web.Request) -> web.Response:
    """The generations of a service, in the order in which they were published."""
    standing = request.app[SERVICES].standing(request.match_info["service"])
    return json_response({"generations": [_generation(each, request) for each in standing.generations]})


async def get_generation(request: web.Request) -> web.Response:
    """One generation."""
    return json_response(_generation(_asked(request), request))


async def delete_generation(request: web.Request) -> web.Response:
    """Delete a generation that is not live."""
    info = request.match_info
    await request.app[DEPLOYER].remove_generation(info["service"], info["version"])
    return web.Response(status=204)


async def get_archive(request: web.Request) -> web.StreamResponse:
    """The archive of a generation: the same files as were published, as a zip file."""
    generation = _asked(request)
    path = await request.app[DEPLOYER].archive(generation.service, generation.version)
    name = quote(f"{generation.service}-{generation.version}.zip")
    return web.FileResponse(
        path,
        headers={
            "Content-Type": _ARCHIVES[0],
            "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
            "X-Content-Type-Options": "nosniff",
        },
    )


async def get_diff(request: web.Request) -> web.Response:
    """Which files a generation has that another has not, and the other way round."""
    generation = _asked(request)
    other = request.query.get("with") or _before(request.app[SERVICES], generation)
    found = await request.app[DEPLOYER].diff(generation.service, generation.version, other)
    return json_response({"generation": generation.version, "with": other, **asdict(found)})


async def build_generation(request: web.Request) -> web.Response:
    """Build what a generation needs on this server; answered when that is done, however long it takes."""
    generation = _asked(request)
    await request.app[DEPLOYER].build(generation.service, generation.version)
    return json_response(_generation(generation, request))


async def get_build_log(request: web.Request) -> web.Response:
    """What was said when the environment of a generation was built on this server."""
    generation = _asked(request)
    text = await request.app[DEPLOYER].build_log(generation.service, generation.version)
    return web.Response(text=text, content_type="text/plain", charset="utf-8")


# Deployments.


async def get_deployment(request: web.Request) -> web.Response:
    """Which generations of a service are live."""
    return _deployment(request.app[SERVICES].standing(request.match_info["service"]).deployment)


async def put_deployment(request: web.Request) -> web.Response:
    """Begin to make generations live; they are when the rollout is."""
    asked = await read_object(request)
    version, shares = asked.pop("version", None), asked.pop("shares", None)
    if asked or (version is None) == (shares is None):
        text = "Must have either `shares`, the part of each generation, or `version`, the one that gets all."
        raise errors.InvalidInput([errors.Issue("", text)])
    if version is not None:
        if not isinstance(version, str):
            raise errors.InvalidInput([errors.Issue("/version", "Must be the version of a generation.")])
        shares = {version: 1.0}
    if not isinstance(shares, dict):
        raise errors.InvalidInput([errors.Issue("/shares", "Must be an object.")])
    return _accepted(await request.app[DEPLOYER].deploy(request.match_info["service"], shares), request)


async def post_rollback(request: web.Request) -> web.Response:
    """Begin to make live again what was so before."""
    return _accepted(await request.app[DEPLOYER].rollback(request.match_info["service"]), request)


async def list_rollouts(request: web.Request) -> web.Response:
    """The last rollouts of a service, newest first."""
    limit = whole_number("limit", request.query.get("limit"), DEFAULT_LIMIT, MAX_LIMIT)
    found = await request.app[DEPLOYER].rollouts(request.match_info["service"], limit)
    return json_response({"rollouts": [_rollout(each, request) for each in found]})


async def get_rollout(request: web.Request) -> web.Response:
    """One rollout, as it is now."""
    info = request.match_info
    return json_response(_rollout(await request.app[DEPLOYER].rollout(info["service"], info["rollout"]), request))


# Test queries.


async def get_queries(request: web.Request) -> web.Response:
    """The test queries that are stored with a service."""
    queries = await request.app[DEPLOYER].queries(request.match_info["service"])
    return json_response({"queries": [_query(query) for query in queries]})


async def put_queries(request: web.Request) -> web.Response:
    """Store the test queries of a service, in place of those before."""
    queries = await _queries_to_store(request)
    await request.app[DEPLOYER].set_queries(request.match_info["service"], queries)
    return json_response({"queries": [_query(query) for query in queries]})


async def post_queries(request: web.Request) -> web.Response:
    """Store more test queries with a service."""
    service, deployer = request.match_info["service"], request.app[DEPLOYER]
    queries = [*await deployer.queries(service), *await _queries_to_store(request)]
    await deployer.set_queries(service, queries)
    return json_response({"queries": [_query(query) for query in queries]})


async def post_test(request: web.Request) -> web.Response:
    """Ask test queries of a generation, or of the one that is live; those of the body, or those that are stored."""
    asked = await read_object(request)
    info = request.match_info
    queries = _read_queries(asked) if asked else None
    version, outcomes = await request.app[DEPLOYER].rehearse(info["service"], info.get("version"), queries)
    document = {
        "service": info["service"],
        "generation": version,
        "passed": sum(outcome.passed for outcome in outcomes),
        "failed": sum(not outcome.passed for outcome in outcomes),
        "outcomes": [_outcome(outcome) for outcome in outcomes],
    }
    response = json_response(document)
    response.headers["X-Service-Generation"] = version
    return response


# Other infrastructures.


async def list_infrastructures(request: web.Request) -> web.Response:
    """The servers to which generations can be copied."""
    known = request.app[SETTINGS].infrastructures
    documents = [{"name": name, "stage": one.stage, "url": one.url} for name, one in sorted(known.items())]
    return json_response({"infrastructures": documents})


async def post_copy(request: web.Request) -> web.Response:
    """Publish a generation on another server, and deploy it there; answers when it is live."""
    asked = await read_object(request)
    infrastructure, version = asked.pop("infrastructure", None), asked.pop("version", None)
    if asked or not isinstance(infrastructure, str) or not isinstance(version, str | None):
        text = "Must have `infrastructure`, the name of one, and may have `version`."
        raise errors.InvalidInput([errors.Issue("", text)])
    known = request.app[SETTINGS].infrastructures
    if infrastructure not in known:
        raise errors.InfrastructureNotFound(infrastructure)
    services, service = request.app[SERVICES], request.match_info["service"]
    if version is None:
        deployment = services.standing(service).deployment
        if not deployment.live:
            raise errors.NothingDeployed(service)
        version = max(deployment.shares, key=lambda each: deployment.shares[each])
    generation = services.kept(service, version).kept.generation
    archive = await request.app[DEPLOYER].archive(service, version)
    timeout_s = request.app[SETTINGS].services.copy_timeout_s
    rollout = await copy_to(known[infrastructure], generation, archive, timeout_s)
    return json_response(
        {
            "deployment": f"{service}-on-{infrastructure}",
            "service": service,
            "generation": version,
            "infrastructure": infrastructure,
            "stage": known[infrastructure].stage,
            "url": known[infrastructure].url,
            "rollout": rollout,
        }
    )


# How things are shown.


def _asked(request: web.Request) -> Generation:
    info = request.match_info
    return request.app[SERVICES].kept(info["service"], info["version"]).kept.generation


def _before(services: Services, generation: Generation) -> str:
    """The generation that was published before another one."""
    earlier = [each for each in services.standing(generation.service).generations if each.number < generation.number]
    if not earlier:
        raise errors.InvalidInput([errors.Issue("/with", "There is none before it; say with which to compare it.")])
    return earlier[-1].version


def _service(services: Services, name: str, request: web.Request) -> dict[str, Any]:
    standing = services.standing(name)
    generations = {each.version: each for each in standing.generations}
    shares = {version: share for version, share in standing.deployment.shares.items() if version in generations}
    shown = max(shares, key=lambda each: shares[each]) if shares else next(reversed(generations), "")
    definition = generations[shown].definition if shown else None
    base = f"{base_of(request)}{SERVICE.format(service=name)}"
    return {
        "name": name,
        "title": definition.title if definition else "",
        "description": definition.description if definition else "",
        "endpoints": [_endpoint(each) for each in definition.endpoints.values()] if definition else [],
        "generations": list(generations),
        **_deployed(standing.deployment),
        "links": {"self": base, "generations": f"{base}/generations", "deployment": f"{base}/deployment"},
    }


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    chosen = {"variants": list(endpoint.targets), "chosen_by": endpoint.chosen_by} if "" not in endpoint.targets else {}
    return {"name": endpoint.name, "kind": str(endpoint.kind), "help": endpoint.help, **chosen}


def _generation(generation: Generation, request: web.Request) -> dict[str, Any]:
    services, service, version = request.app[SERVICES], generation.service, generation.version
    state, reason, share = "stopped", "", 0.0
    if services.knows(service, version):
        told, reason = services.state(service, version)
        state, share = str(told), services.standing(service).deployment.shares.get(version, 0.0)
    base = f"{base_of(request)}{GENERATION.format(service=service, version=version)}"
    return {
        "service": service,
        "version": version,
        "number": generation.number,
        "digest": generation.digest,
        "created_at": iso(generation.created_at),
        "notes": generation.notes,
        "size_bytes": generation.size_bytes,
        "share": share,
        "state": state,
        "reason": reason,
        "endpoints": [_endpoint(each) for each in generation.definition.endpoints.values()],
        "links": {"self": base, "archive": f"{base}/archive", "diff": f"{base}/diff", "log": f"{base}/log"},
    }


def _deployed(deployment: Deployment) -> dict[str, Any]:
    return {
        "shares": dict(deployment.shares),
        "enabled": deployment.enabled,
        "changed_at": iso(deployment.changed_at) if deployment.changed_at else None,
        "revision": deployment.revision,
    }


def _deployment(deployment: Deployment) -> web.Response:
    return json_response({"service": deployment.service, **_deployed(deployment)})


def _accepted(rollout: Rollout, request: web.Request) -> web.Response:
    document = _rollout(rollout, request)
    return json_response(document, status=202, Location=document["links"]["self"])


def _rollout(rollout: Rollout, request: web.Request) -> dict[str, Any]:
    base = f"{base_of(request)}{ROLLOUTS.format(service=rollout.service)}"
    return {
        "id": rollout.id,
        "service": rollout.service,
        "state": str(rollout.state),
        "shares": dict(rollout.shares),
        "before": dict(rollout.before),
        "reason": rollout.reason,
        "created_at": iso(rollout.created_at),
        "finished_at": iso(rollout.finished_at) if rollout.finished_at else None,
        "links": {"self": f"{base}/{rollout.id}"},
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {**asdict(outcome), "passed": outcome.passed}


def _query(query: Query) -> Mapping[str, Any]:
    return asdict(query)


async def _queries_to_store(request: web.Request) -> Sequence[Query]:
    name = request.match_info["service"]
    queries, standing = _read_queries(await read_object(request)), request.app[SERVICES].standing(name)
    found = complaints(queries, standing.generations, known=await request.app[DEPLOYER].queries(name))
    if found:
        raise errors.InvalidInput(found)
    return queries


def _read_queries(asked: Mapping[str, Any]) -> Sequence[Query]:
    if set(asked) != {"queries"}:
        raise errors.InvalidInput([errors.Issue("", "Must have `queries`, a list, and nothing else.")])
    try:
        return [Query(**plain) for plain in QuerySchema(many=True).load(asked["queries"])]
    except ValidationError as error:
        told = issues(error.messages_dict)
        raise errors.InvalidInput([errors.Issue(f"/queries{one.pointer}", one.detail) for one in told]) from None


class _Archive:
    """Takes the one file of a form, and what is said beside it."""

    def __init__(self, folder: Folder, budget: Budget):
        self.budget = budget
        self.saved: Saved | None = None
        self._folder = folder
        self._texts: dict[str, Held] = {}

    def begin(self, part: MultipartSegment) -> Held | Saved:
        if part.filename and self.saved is None:
            self.saved = Saved(self._folder.new_file("archive"), self.budget)
            return self.saved
        held = self._texts[part.name] = Held(self.budget)
        return held

    def end(self, part: MultipartSegment, content: Held | Saved) -> None:
        """Nothing more is to be done with it."""

    def texts(self) -> dict[str, str]:
        """What is said beside the file, by name."""
        return {name: held.content.decode("utf-8", "replace") for name, held in self._texts.items()}


ROUTES = [
    get(ALL_SERVICES, list_services, partly(SEE)),
    get(SERVICE, get_service, SEE),
    delete(SERVICE, delete_service, PUBLISH),
    post(SERVICE + "/enable", enable_service, PUBLISH),
    post(SERVICE + "/disable", disable_service, PUBLISH),
    post(GENERATIONS, publish, PUBLISH),
    get(GENERATIONS, list_generations, READ),
    get(GENERATION, get_generation, READ),
    delete(GENERATION, delete_generation, PUBLISH),
    get(GENERATION + "/archive", get_archive, PUBLISH),
    get(GENERATION + "/diff", get_diff, READ),
    post(GENERATION + "/build", build_generation, PUBLISH),
    get(GENERATION + "/log", get_build_log, PUBLISH),
    post(GENERATION + "/test", post_test, PUBLISH),
    get(DEPLOYMENT, get_deployment, READ),
    put(DEPLOYMENT, put_deployment, PUBLISH),
    post(SERVICE + "/rollback", post_rollback, PUBLISH),
    get(ROLLOUTS, list_rollouts, READ),
    get(ROLLOUTS + "/{rollout}", get_rollout, READ),
    get(SERVICE + "/queries", get_queries, READ),
    put(SERVICE + "/queries", put_queries, PUBLISH),
    post(SERVICE + "/queries", post_queries, PUBLISH),
    post(SERVICE + "/test", post_test, PUBLISH),
    post(SERVICE + "/copy", post_copy, ADMIN),
    get(INFRASTRUCTURES, list_infrastructures, partly(READ)),
]
