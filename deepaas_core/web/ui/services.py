"""The page of a service: what it is for, what goes in and comes out, how to call it, and its generations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiohttp import web
from markupsafe import Markup

from deepaas_core import errors
from deepaas_core.domain.access import Right
from deepaas_core.domain.arguments import Arguments
from deepaas_core.domain.deployment import Generation, RolloutState, percent, shown_shares
from deepaas_core.domain.example import MAX_CHARS, body_of, sent_to
from deepaas_core.domain.service import Endpoint, EndpointKind
from deepaas_core.executors.base import ExecutorState
from deepaas_core.serving.services import Live, Services, Standing
from deepaas_core.web import addresses
from deepaas_core.web.auth import caller, needs_token
from deepaas_core.web.keys import DEPLOYER, SERVICES
from deepaas_core.web.samples import LANGUAGES, Asked, Language, write
from deepaas_core.web.samples.requests import arguments_of, of_endpoint, path_of
from deepaas_core.web.ui import automations, columns, latency
from deepaas_core.web.ui.columns import Column, Field
from deepaas_core.web.ui.markdown import rendered

_MAX_QUERIES = 20


@dataclass(frozen=True)
class Card:
    """A service on the landing page."""

    name: str
    title: str
    state: str
    reason: str
    description: str
    endpoints: tuple[tuple[str, str], ...]
    shares: tuple[Share, ...]


@dataclass(frozen=True)
class Share:
    """A part of the traffic, as a part of a bar.

    Attributes:
        percent: In words.
        start, width: Of the bar, in percent.
        shade: From 1 on.
    """

    version: str
    percent: str
    start: float
    width: float
    shade: int


@dataclass(frozen=True)
class Sample:
    """A program, in the pieces around the address of this server."""

    language: Language
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """One endpoint.

    Attributes:
        path: Where it is asked, below the address of the server.
        takes_rows: Whether a request is a list of rows.
        variants: What a request may choose, the default one first.
        example: A request, as JSON.
        queries: Names and bodies of test queries, as JSON.
    """

    name: str
    kind: str
    help: Markup
    path: str
    takes_rows: bool
    variants: tuple[str, ...]
    chosen_by: str
    inputs: Sequence[Column]
    outputs: Sequence[Column]
    fields: Sequence[Field]
    example: str
    queries: Sequence[tuple[str, str]]
    samples: Sequence[Sample]
    latency: str


@dataclass(frozen=True)
class Row:
    """One generation in the table."""

    version: str
    share: str
    state: str
    reason: str
    published: str
    notes: Markup


def card(services: Services, name: str) -> Card:
    """What the landing page shows of a service."""
    standing = services.standing(name)
    state, reason = _state(services, name, standing)
    definition = services.shown(name).definition if standing.kept else None
    endpoints = definition.endpoints.values() if definition else ()
    return Card(
        name,
        definition.title if definition else "",
        state,
        reason,
        definition.description if definition else "",
        tuple((endpoint.name, str(endpoint.kind)) for endpoint in endpoints),
        _shares(standing),
    )


async def values_of(request: web.Request) -> Mapping[str, Any]:
    """What the template shows of the service that the path names.

    Raises:
        ServiceNotFound, GenerationNotFound, NothingDeployed: There is nothing to be shown.
    """
    services, name = request.app[SERVICES], request.match_info["service"]
    live, standing = services.shown(name, request.query.get("generation") or None), services.standing(name)
    state, reason = _state(services, name, standing)
    token, origin = needs_token(request, Right.PREDICT, name), addresses.origin(request)
    endpoints = live.definition.endpoints.values()
    return {
        "service": live.definition,
        "name": name,
        "version": live.version,
        "chosen": "generation" in request.query,
        "state": state,
        "reason": reason,
        "rollout": await _last_rollout(request, name),
        "shares": _shares(standing),
        "readme": rendered(live.definition.readme),
        "endpoints": [await _section(request, live, endpoint, origin, token) for endpoint in endpoints],
        "generations": [_row(services, standing, each) for each in reversed(standing.generations)],
        "published": _day(live.kept.generation),
        "notes": rendered(live.kept.generation.notes),
        "document": _document_path(request, live),
        "token": token,
        "automations": await automations.rows(request, name),
        "may_read": caller(request).may(Right.READ, name),
        "may_download": caller(request).may(Right.PUBLISH, name),
        "origin": origin,
    }


async def _last_rollout(request: web.Request, name: str) -> str:
    """What became of the last change, if it is not what is live, for those who may know."""
    if not caller(request).may(Right.READ, name):
        return ""
    with suppress(errors.StoreUnavailable):
        for rollout in await request.app[DEPLOYER].rollouts(name, 1):
            wanted = shown_shares(rollout.shares)
            if rollout.state is RolloutState.FAILED:
                return f"The last rollout ({wanted}, {rollout.created_at:%Y-%m-%d %H:%M} UTC) failed. {rollout.reason}"
            if not rollout.state.over:
                return f"A rollout goes on: {wanted}, {rollout.state}."
    return ""


def _state(services: Services, name: str, standing: Standing) -> tuple[str, str]:
    """How a service is, in a word that has a colour, and why if that needs to be said."""
    if not standing.deployment.enabled:
        return "disabled", ""
    live = [version for version in sorted(standing.deployment.live) if version in standing.kept]
    if not live:
        return "not deployed", ""
    told = {version: services.state(name, version) for version in live}
    wrong = [(version, *one) for version, one in told.items() if one[0] is not ExecutorState.READY]
    if not wrong:
        return "live", ""
    version, state, reason = wrong[0]
    return str(state), f"{version}: {reason}" if reason else ""


def _shares(standing: Standing) -> tuple[Share, ...]:
    def made() -> Iterator[Share]:
        start = 0.0
        largest_first = sorted(standing.deployment.shares.items(), key=lambda item: -item[1])
        for shade, (version, share) in enumerate(largest_first, 1):
            yield Share(version, percent(share), start, share * 100, shade)
            start += share * 100

    return tuple(share for share in made() if share.width > 0)


def _row(services: Services, standing: Standing, generation: Generation) -> Row:
    state, reason = services.state(generation.service, generation.version)
    share = next((one.percent for one in _shares(standing) if one.version == generation.version), "")
    return Row(generation.version, share, str(state), reason, _day(generation), rendered(generation.notes))


def _day(generation: Generation) -> str:
    return f"{generation.created_at:%Y-%m-%d %H:%M} UTC"


async def _section(request: web.Request, live: Live, endpoint: Endpoint, origin: str, token: bool) -> Section:
    asked, arguments = of_endpoint(live, endpoint, origin, token), arguments_of(live, endpoint)
    parts = live.kept.parts or {}
    path = path_of(live.service, endpoint)
    return Section(
        endpoint.name,
        str(endpoint.kind),
        rendered(endpoint.help),
        path,
        endpoint.kind.takes_rows,
        tuple(sorted((one for one in endpoint.targets if one), key=lambda one: one != endpoint.default_variant)),
        endpoint.chosen_by,
        _inputs(endpoint, arguments),
        _outputs(endpoint),
        _fields(endpoint, arguments, asked),
        json.dumps(asked.body, ensure_ascii=False, indent=2) if asked else "{}",
        list(_queries(live, endpoint)),
        samples_of(asked, origin),
        await latency.told(
            request,
            live.service,
            live.version,
            endpoint.name,
            [part for (name, _), part in parts.items() if name == endpoint.name],
        ),
    )


def samples_of(asked: Asked | None, origin: str) -> Sequence[Sample]:
    """Programs that make a request, in all languages."""
    if asked is None:
        return []
    return [Sample(language, tuple(write(name, asked).split(origin))) for name, language in LANGUAGES.items()]


def _inputs(endpoint: Endpoint, arguments: Arguments | None) -> Sequence[Column]:
    if endpoint.kind is EndpointKind.LOOKUP:
        return columns.of_inputs(sent_to(endpoint))
    if endpoint.inputs or endpoint.enrichments:
        return [*columns.of_inputs(sent_to(endpoint)), *columns.of_fetched(endpoint)]
    return columns.of_arguments((arguments or {}).values())


def _outputs(endpoint: Endpoint) -> Sequence[Column]:
    if endpoint.kind is EndpointKind.LOOKUP:
        return columns.of_fetched(endpoint)
    return columns.of_outputs(endpoint.outputs)


def _fields(endpoint: Endpoint, arguments: Arguments | None, asked: Asked | None) -> Sequence[Field]:
    """The fields of a form for one row or one call; none if it is easier to write JSON."""
    body: Any = asked.body if asked else {}
    rows = body.get("rows")
    first = rows[0] if rows and endpoint.kind.takes_rows else body
    to_send = sent_to(endpoint)
    if to_send:
        return [columns.field_of(feature, first.get(feature.name, feature.default)) for feature in to_send]
    if arguments is None or arguments.any_other:
        return []
    return [
        columns.field_of_argument(argument, first.get(argument.key, None if argument.secret else argument.default))
        for argument in arguments.values()
    ]


def _queries(live: Live, endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    found = [query for query in live.definition.queries if query.endpoint == endpoint.name]
    for number, query in enumerate(found[:_MAX_QUERIES], 1):
        text = json.dumps(body_of(query), ensure_ascii=False)
        if len(text) <= MAX_CHARS:
            yield query.name or f"Test query {number}", text


def _document_path(request: web.Request, live: Live) -> str:
    """Where the OpenAPI document is of what the page shows, below the address of the server."""
    path = f"api/v1/services/{quote(live.service, safe='')}"
    if "generation" in request.query:
        path += f"/generations/{quote(live.version, safe='')}"
    return f"{path}/openapi.json"
