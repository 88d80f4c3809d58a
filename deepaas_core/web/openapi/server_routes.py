"""What stands for itself, whatever models there are: runs, health, and the documents that all routes share."""

from __future__ import annotations

from apispec import APISpec
from marshmallow import EXCLUDE, Schema, fields

from deepaas_core.domain.training import RunState
from deepaas_core.web.openapi.parts import API, Json, answer, members, problems, reference

_MODELS, _RUNS, _SERVER = "Models", "Training runs", "Server"

TAGS = {
    _MODELS: "What is installed here.",
    _RUNS: "A training is started at its model, then watched and cancelled here.",
    _SERVER: "Whether the server lives, and whether it is ready.",
}


class _IssueSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    pointer = fields.String(required=True, metadata={"description": "JSON pointer to the input.", "example": "/epochs"})
    detail = fields.String(required=True, metadata={"example": "Not a valid integer."})


class _ProblemSchema(Schema):
    type = fields.String(required=True, metadata={"example": "/problems/invalid-input"})
    title = fields.String(required=True, metadata={"example": "One or more inputs are not what the model declares"})
    status = fields.Integer(required=True, metadata={"example": 422})
    detail = fields.String(metadata={"example": "One input is not usable."})
    request_id = fields.String(metadata={"description": "Under which the server's log has more."})
    function = fields.String(metadata={"description": "With 501: what the author would have to write."})
    errors = fields.List(fields.Nested(_IssueSchema), metadata={"description": "With 422: one for each input."})


class _ModelSchema(Schema):
    name = fields.String(required=True)
    state = fields.String(required=True, metadata={"description": "starting, ready, restarting, failed or stopped."})
    reason = fields.String(metadata={"description": "Why it is not ready; empty if it is."})
    version = fields.String()
    capabilities = fields.List(fields.String(), metadata={"description": "The functions that its package has."})
    metadata = fields.Dict(metadata={"description": "What its author says of it."})
    signature = fields.Dict(allow_none=True, metadata={"description": "Names, datatypes and shapes of its inputs."})
    distribution = fields.Dict(metadata={"description": "The package it comes from."})
    links = fields.Dict()


class _RunErrorSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    kind = fields.String(
        required=True, metadata={"description": "The type of the model's exception.", "example": "ValueError"}
    )
    message = fields.String()
    traceback = fields.String()


class _RunSchema(Schema):
    id = fields.String(required=True)
    model = fields.String(required=True)
    version = fields.String()
    state = fields.String(required=True, metadata={"enum": [str(state) for state in RunState]})
    arguments = fields.Dict(metadata={"description": "What train was called with; secrets are not kept."})
    created_at = fields.DateTime(metadata={"description": "UTC, like all times."})
    started_at = fields.DateTime(allow_none=True)
    finished_at = fields.DateTime(allow_none=True)
    duration_s = fields.Float(allow_none=True)
    result = fields.Raw(allow_none=True, metadata={"description": "What train returned."})
    error = fields.Nested(_RunErrorSchema, allow_none=True)
    links = fields.Dict()


_PROBLEMS = {
    400: "The request cannot be read.",
    404: "There is no such thing.",
    406: "The result cannot be given in any media type that the request accepts.",
    408: "The body did not arrive in time.",
    409: "It is in a state that does not allow this.",
    413: "The body is larger than this server takes.",
    415: "This route does not read bodies of this media type.",
    416: "The log has no such part.",
    422: "Inputs are not what the model declares; `errors` names each.",
    500: "The model failed; the server's log says how.",
    501: "The model does not implement this.",
    502: "The URL could not be fetched.",
    503: "This cannot be done now; `Retry-After` says when to try again.",
    504: "The model did not answer in time.",
}


_METRICS = {
    "description": "Of the whole server, for Prometheus; OpenMetrics if `Accept` asks for it.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


def declare_components(spec: APISpec) -> None:
    """Add the schemas and responses that routes refer to."""
    for name, schema in {"Problem": _ProblemSchema, "Model": _ModelSchema, "Run": _RunSchema}.items():
        spec.components.schema(name, schema=schema(unknown=EXCLUDE))
    content = {"application/problem+json": {"schema": reference("Problem")}}
    for status, description in _PROBLEMS.items():
        spec.components.response(str(status), {"description": description, "content": content})


def server_paths() -> dict[str, Json]:
    """The operations of every path that is not a model's, by method."""
    models = answer("All models.", members({"models": {"type": "array", "items": reference("Model")}}, ["models"]))
    run = answer("The run.", reference("Run"))
    log = {
        "description": "What the run has printed, or the last of it; `Range` asks for a part (206).",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    document = answer("OpenAPI 3.0.", {"type": "object"})
    return {
        f"{API}/models": {"get": _operation(_MODELS, "list_models", "List the models", models)},
        f"{API}/runs": {"get": _list_runs()},
        f"{API}/runs/{{id}}": {
            "get": _run("get_run", "Read a run", run, 404, 503),
            "delete": _run("delete_run", "Cancel a run", run, 404, 409, 503),
        },
        f"{API}/runs/{{id}}/cancel": {
            "post": _run("cancel_run", "Cancel a run", run, 404, 409, 503),
        },
        f"{API}/runs/{{id}}/log": {
            "get": _run("get_run_log", "Read what a run has printed", log, 404, 416, 503),
        },
        "/livez": {"get": _operation(_SERVER, "livez", "Does the server live?", answer("Yes.", {"type": "object"}))},
        "/readyz": {"get": _readyz()},
        "/metrics": {"get": _operation(_SERVER, "get_metrics", "Read the metrics", _METRICS)},
        "/openapi.json": {"get": _operation(_SERVER, "get_openapi", "Read this document", document)},
    }


def _list_runs() -> Json:
    page = {
        "runs": {"type": "array", "items": reference("Run")},
        "next": {"type": "string", "nullable": True, "description": "The address of the next page; null on the last."},
    }
    limit = {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}
    filters = {
        "model": {"type": "string", "description": "Only runs of this model."},
        "state": {
            "type": "string",
            "enum": [str(state) for state in RunState],
            "description": "Only runs in this state.",
        },
        "limit": {**limit, "description": "How many at most."},
        "before": {"type": "string", "description": "Only runs older than the one of this id."},
    }
    operation = _operation(_RUNS, "list_runs", "List training runs", _page(page), 422, 503)
    return {**operation, "parameters": [{"name": name, "in": "query", "schema": one} for name, one in filters.items()]}


def _page(properties: Json) -> Json:
    return answer("The runs, the newest first.", members(properties, list(properties)))


def _run(name: str, summary: str, ok: Json, *statuses: int) -> Json:
    one = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}, "description": "The run's id."}
    return {**_operation(_RUNS, name, summary, ok, *statuses), "parameters": [one]}


def _readyz() -> Json:
    operation = _operation(_SERVER, "readyz", "Can every model answer?", answer("Yes.", {"type": "object"}))
    operation["responses"]["503"] = answer("Not yet, or not all: which, and why.", {"type": "object"})
    return operation


def _operation(tag: str, name: str, summary: str, ok: Json, *statuses: int) -> Json:
    responses = {"200": ok, **problems(*statuses)}
    return {"tags": [tag], "operationId": name, "summary": summary, "responses": responses}
