"""The OpenAPI document: every model's routes spelled out with its own arguments.

What a route takes follows from the same marshmallow schema that checks its requests, through apispec; what OpenAPI
can say and a marshmallow field cannot (files, secrets, open bounds) is added from the argument itself.

The document is OpenAPI 3.0.3, not 3.1: Swagger UI draws its forms (file pickers, menus, number fields) from a
property's single ``type``, and 3.1 spells "may be null" as a list of types. Every text and value from a model is
hostile until it is strict JSON here: a default that its own schema refuses becomes a sentence, a pattern that
browsers cannot compile is told and not enforced, HTML in an explanation is shown as it was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from deepaas_core.domain.model import Model
from deepaas_core.web.openapi import (
    access_routes,
    automation_routes,
    endpoint_routes,
    prediction_routes,
    sample_routes,
    server_routes,
    service_routes,
)
from deepaas_core.web.openapi.endpoint_routes import Described, EndpointRoutes
from deepaas_core.web.openapi.model_routes import ModelRoutes
from deepaas_core.web.openapi.parts import strict, text

VERSION = "3.0.3"

_INTRODUCTION = (
    "Predictions and training runs of the installed models. Errors are problem documents (RFC 9457). "
    "Arguments go into the body or, where the body is the data itself, into the query."
)


def build(
    models: Sequence[Model],
    services: Sequence[Described] = (),
    *,
    title: str,
    version: str,
    base_path: str = "",
    tokens: bool = False,
    cookie: str = "",
) -> dict[str, Any]:
    """Make the OpenAPI document of a server that offers these models.

    Args:
        models: Those that have been described; one that has not started yet has no routes to spell out.
        services: Those whose endpoints are to be spelled out.
        title: What the API is called.
        version: The server's version.
        base_path: Under which all routes lie, e.g. ``/ml``; the empty string is the root.
        tokens: Whether requests must show one.
        cookie: The name of the cookie that may carry it; empty for none.
    """
    plugin = _plugin()
    spec = _spec(plugin, title, version, base_path, _INTRODUCTION)
    server_routes.declare_components(spec)
    access_routes.declare_components(spec)
    service_routes.declare_components(spec)
    automation_routes.declare_components(spec)
    for model in models:
        ModelRoutes(model, spec, plugin).write()
    for service in services:
        _write(service, spec, plugin)
    others = {
        module.TAG: module.DESCRIPTION
        for module in (service_routes, automation_routes, prediction_routes, access_routes)
    }
    for tag, description in {**server_routes.TAGS, **others}.items():
        spec.tag({"name": tag, "description": description})
    paths = {
        **server_routes.server_paths(),
        **service_routes.service_paths(),
        **endpoint_routes.generic_paths(),
        **sample_routes.sample_paths(),
        **automation_routes.automation_paths(),
        **prediction_routes.prediction_paths(),
        **access_routes.access_paths(),
    }
    for path, operations in paths.items():
        spec.path(path, operations=operations)
    document: dict[str, Any] = strict(spec.to_dict())
    if tokens:
        access_routes.ask_for_tokens(document, cookie)
    return document


def build_service(service: Described, *, base_path: str = "", tokens: bool = False, cookie: str = "") -> dict[str, Any]:
    """Make the OpenAPI document of one service alone; see ``build``."""
    plugin = _plugin()
    title = service.definition.title or service.name
    spec = _spec(plugin, text(title), service.version, base_path, text(service.definition.description))
    server_routes.declare_components(spec)
    _write(service, spec, plugin)
    document: dict[str, Any] = strict(spec.to_dict())
    if tokens:
        access_routes.ask_for_tokens(document, cookie)
    return document


def _plugin() -> MarshmallowPlugin:
    return MarshmallowPlugin(schema_name_resolver=lambda schema: "")  # no names: everything is written in place


def _spec(plugin: MarshmallowPlugin, title: str, version: str, base_path: str, introduction: str) -> APISpec:
    return APISpec(
        title=title,
        version=version,
        openapi_version=VERSION,
        plugins=[plugin],
        info={"description": introduction},
        servers=[{"url": base_path or "/"}],
    )


def _write(service: Described, spec: APISpec, plugin: MarshmallowPlugin) -> None:
    routes = EndpointRoutes(service, plugin)
    spec.tag(routes.tag)
    for path, operations in routes.paths().items():
        spec.path(path, operations=operations)
