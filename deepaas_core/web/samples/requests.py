"""The requests that samples make: to an endpoint of a service, or to a function of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from deepaas_core.domain.arguments import Arguments
from deepaas_core.domain.example import MAX_CHARS, example_of
from deepaas_core.domain.model import Capability, Model
from deepaas_core.domain.service import Endpoint, EndpointKind, Query, Service
from deepaas_core.domain.sql_query import SqlQuery
from deepaas_core.errors import DeepaasError
from deepaas_core.serving.services import Live
from deepaas_core.web import openapi
from deepaas_core.web.openapi.bodies import Declared
from deepaas_core.web.openapi.parts import API, JSON, strict
from deepaas_core.web.openapi.schemas import convert
from deepaas_core.web.samples import Asked

_FUNCTIONS = {
    Capability.PREDICT_DATA: "predict/data",
    Capability.PREDICT: "predict",
    Capability.PREDICT_URL: "predict/url",
    Capability.TRAIN: "train",
}


def path_of(service: str, endpoint: Endpoint) -> str:
    """Where an endpoint is asked, below the address of the server."""
    path = f"{API}/services/{quote(service, safe='')}/endpoints/{quote(endpoint.name, safe='')}"
    return f"{path}/predict" if endpoint.kind is EndpointKind.PREDICTION else path


def of_endpoint(live: Live, endpoint: Endpoint, origin: str, token: bool) -> Asked | None:
    """A request to an endpoint; None if every one is too long to be read.

    Args:
        live: The generation that would answer.
        endpoint: One of its endpoints.
        origin: The address of the server, percent-encoded.
        token: Whether a token must be shown.
    """
    service = live.definition
    known = arguments_of(live, endpoint)
    body = example_of(service, endpoint, None if known is None else example_arguments(known))
    if body is None:
        return None
    member = "result" if endpoint.kind is EndpointKind.FUNCTION else "rows"
    return Asked(
        f"{origin}{path_of(live.service, endpoint)}",
        strict(body),
        answer="" if endpoint.bare else member,
        token=token,
        value=_value_in(service, endpoint),
    )


def arguments_of(live: Live, endpoint: Endpoint) -> Arguments | None:
    """What the function or query behind an endpoint takes; None if that is not known while it does not run."""
    if endpoint.kind is EndpointKind.SQL:
        return SqlQuery.from_options(endpoint.options).parameters
    if not endpoint.targets:
        return None
    try:
        return live.part(endpoint.name)[1].arguments_of(Capability.PREDICT)
    except DeepaasError:  # it may be stopped at any time
        return None


def example_arguments(arguments: Arguments) -> Mapping[str, Any]:
    """Arguments that should do."""
    plugin = MarshmallowPlugin(schema_name_resolver=lambda schema: "")
    APISpec("", "", openapi.VERSION, plugins=[plugin])  # without one, a plugin converts nothing
    example: Mapping[str, Any] = Declared(arguments, convert(arguments, plugin)).json({})["example"]
    return example


def of_model(model: Model, origin: str, token: bool) -> Iterator[tuple[str, Asked]]:
    """The functions of a model, each with a request to it, as far as one fits into a JSON object that can be read."""
    paths: Mapping[str, Any] = openapi.build([model], title="", version="")["paths"]
    for capability, name in _FUNCTIONS.items():
        path = f"{API}/models/{quote(model.name, safe='')}/{name}"
        content = paths.get(path, {}).get("post", {}).get("requestBody", {}).get("content", {})
        body = content.get(JSON, {}).get("example")
        if capability in model.capabilities and isinstance(body, dict) and len(str(body)) <= MAX_CHARS:
            member = "" if capability is Capability.TRAIN else "prediction"
            yield str(capability), Asked(f"{origin}{path}", body, member, token)


def _value_in(service: Service, endpoint: Endpoint) -> str:
    """The name of something in the answers, of plain characters."""
    names = [feature.name for feature in endpoint.outputs]
    if endpoint.kind is EndpointKind.LOOKUP:
        names += [name for enrichment in endpoint.enrichments for name in enrichment.columns]
    names += [name for query in service.queries if query.endpoint == endpoint.name for name in _expected(query)]
    return next((name for name in names if name.isascii() and name.replace("_", "").isalnum()), "")


def _expected(query: Query) -> Sequence[str]:
    one = query.expected[0] if isinstance(query.expected, list) and query.expected else query.expected
    return list(one) if isinstance(one, dict) else []
