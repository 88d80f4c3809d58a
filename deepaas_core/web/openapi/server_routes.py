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
    server = fields.String(
        allow_none=True, metadata={"description": "Of a run whose files are with another server: where that is."}
    )
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
    environment = fields.Dict(
        metadata={"description": "Its environment's name (null: the server's own) and the version of its Python."}
    )
    serving = fields.Dict(metadata={"description": "Which run its model comes from; null: as it was installed."})
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
    queue_position = fields.Integer(allow_none=True, metadata={"description": "While it is queued: 1 is next."})
    progress = fields.Dict(allow_none=True, metadata={"description": "How far it is: done, total, fraction."})
    metrics = fields.Dict(metadata={"description": "The last value of each metric it reported."})
    retry_of = fields.String(allow_none=True, metadata={"description": "The run that this one tries again."})
    promote_if = fields.Dict(
        allow_none=True, metadata={"description": "The condition on which its model is served, and whether it is met."}
    )
    links = fields.Dict()


_PROBLEMS = {
    400: "The request cannot be read.",
    404: "There is no such thing.",
    406: "The result cannot be given in any media type that the request accepts.",
    408: "The body did not arrive in time.",
    409: "It is in a state that does not allow this.",
    413: "The body is larger than this server takes.",
    415: "This route does not read bodies of this media type.",
    416: "There is no such part.",
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
        "description": "What the run has printed, or the last of it.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
    document = answer("OpenAPI 3.0.", {"type": "object"})
    return {
        f"{API}/models": {"get": _operation(_MODELS, "list_models", "List the models", models)},
        f"{API}/runs": {"get": _list_runs()},
        f"{API}/runs/{{id}}": {
            "get": _run("get_run", "Read a run", run, 404, 503),
            "delete": _delete_run(run),
        },
        f"{API}/runs/compare": {"get": _compare_runs()},
        f"{API}/runs/{{id}}/retry": {"post": _retry_run()},
        f"{API}/runs/{{id}}/events": {"get": _events()},
        f"{API}/runs/{{id}}/metrics": {"get": _metrics()},
        f"{API}/runs/{{id}}/plot.svg": {"get": _plot()},
        f"{API}/runs/{{id}}/artifacts": {
            "get": _run("list_artifacts", "List the files it keeps", _KEPT, 404, 409, 503)
        },
        f"{API}/runs/{{id}}/artifacts/{{name}}": {"get": _artifact()},
        f"{API}/runs/{{id}}/cancel": {
            "post": _run("cancel_run", "Cancel a run", run, 404, 409, 503),
        },
        f"{API}/runs/{{id}}/log": {
            "get": _with(
                _in_parts(_run("get_run_log", "Read what a run has printed", log, 404, 409, 416, 503)),
                _query("follow", {"type": "boolean", "default": False}, "Go on until the run is over."),
                _RANGE,
            ),
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
        "since": {"type": "string", "format": "date-time", "description": "Only runs created at this time or later."},
        "until": {"type": "string", "format": "date-time", "description": "Only runs created before this time."},
    }
    operation = _operation(_RUNS, "list_runs", "List training runs", _page(page), 422, 503)
    return {**operation, "parameters": [{"name": name, "in": "query", "schema": one} for name, one in filters.items()]}


def _page(properties: Json) -> Json:
    return answer("The runs, the newest first.", members(properties, list(properties)))


def _run(name: str, summary: str, ok: Json, *statuses: int) -> Json:
    one = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}, "description": "The run's id."}
    return {**_operation(_RUNS, name, summary, ok, *statuses), "parameters": [one]}


def _query(name: str, schema: Json, description: str, where: str = "query") -> Json:
    return {"name": name, "in": where, "schema": schema, "description": description}


def _with(operation: Json, *parameters: Json) -> Json:
    return {**operation, "parameters": [*operation.get("parameters", ()), *parameters]}


def _as(description: str, media_type: str, example: str = "") -> Json:
    told = {"example": example} if example else {}
    return {"description": description, "content": {media_type: {"schema": {"type": "string", **told}}}}


_KEPT = answer("The files.", members({"artifacts": {"type": "array", "items": {"type": "object"}}}, ["artifacts"]))
#: Given with whatever starts a run.
CONDITION = _query(
    "X-Promote-If",
    {"type": "string"},  # an example would be filled in by Swagger UI, and hold back models that report no such metric
    "Serve the trained model only if the last value of a metric is so, such as `accuracy >= 0.9`.",
    "header",
)
_RANGE = _query("Range", {"type": "string", "example": "bytes=0-999"}, "Only this part.", "header")
_FORMAT = _query("format", {"type": "string", "enum": ["json", "csv"]}, "Instead of `Accept`.")


def _delete_run(run: Json) -> Json:
    operation = _run("delete_run", "Cancel a run, or delete one that is over", run, 404, 409, 422, 503)
    operation["responses"]["204"] = {"description": "It is deleted, with everything it left."}
    return _with(operation, _query("purge", {"type": "boolean", "default": False}, "Delete it, with all its files."))


def _retry_run() -> Json:
    operation = _run("retry_run", "Start a run like this one", {}, 400, 404, 408, 409, 413, 422, 501, 503)
    del operation["responses"]["200"]
    operation["responses"]["202"] = answer("The new run, which has been put in line.", reference("Run"))
    changes = {"type": "object", "description": "Arguments that are to be different; secrets must be given again."}
    resume = {"type": "boolean", "default": False, "description": "Go on from the model that the run left."}
    asked = {**members({"arguments": changes, "resume": resume}, []), "additionalProperties": False}
    body = {"content": {"application/json": {"schema": asked}}}
    return {**_with(operation, CONDITION), "requestBody": body}


def _compare_runs() -> Json:
    rows = {"type": "array", "items": {"type": "object"}}
    differing = {"type": "array", "items": {"type": "string"}, "description": "Arguments that are not all the same."}
    ok = answer("Arguments and final metrics.", members({"runs": rows, "differing": differing}, ["runs"]))
    ok["content"]["text/csv"] = {"schema": {"type": "string"}}
    ids = {**_query("ids", {"type": "string", "minLength": 1}, "Ids of runs, separated by commas."), "required": True}
    return _with(_operation(_RUNS, "compare_runs", "Compare runs", ok, 404, 422, 503), ids, _FORMAT)


def _events() -> Json:
    example = 'id: 84\nevent: metrics\ndata: {"at":"2024-05-01T12:30:15.5Z","epoch":1,"loss":0.5}\n\n'
    told = "State, metrics, progress and artifacts as they come; the last event is `end`."
    ok = _as(told, "text/event-stream", example)
    operation = _run("get_run_events", "Watch a run", ok, 404, 409, 503)
    operation["responses"]["204"] = {"description": "Everything has been seen."}
    last = _query("Last-Event-ID", {"type": "string"}, "Go on after this event.", "header")
    return _with(operation, last, _query("after", {"type": "string"}, "The same, where no header can be sent."))


def _metrics() -> Json:
    page = {
        "reports": {"type": "integer"},
        "last": {"type": "object"},
        "metrics": {"type": "array", "items": {"type": "object"}},
        "next": {"type": "string", "nullable": True},
    }
    ok = answer("The reports, the oldest first; as CSV all of them.", members(page, list(page)))
    ok["content"]["text/csv"] = {"schema": {"type": "string"}}
    return _with(
        _run("get_run_metrics", "Read what a run has measured", ok, 404, 406, 409, 422, 503),
        _query("limit", {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 1000}, "Reports on a page."),
        _query("after", {"type": "string"}, "Begin after this place; `next` has it."),
        _query("points", {"type": "integer", "minimum": 1, "maximum": 5000}, "About so many, evenly from all."),
        _FORMAT,
    )


def _plot() -> Json:
    points = _query("points", {"type": "integer", "minimum": 1, "maximum": 5000, "default": 400}, "How fine.")
    picture = _as("A picture for light and dark pages.", "image/svg+xml", "<svg>…</svg>")
    return _with(_run("get_run_plot", "See the learning curves", picture, 404, 409, 422, 503), points)


def _artifact() -> Json:
    name = {**_query("name", {"type": "string"}, "The file's name in the listing.", "path"), "required": True}
    file = _as("The file.", "application/octet-stream")
    return _with(_in_parts(_run("get_artifact", "Read a file it keeps", file, 404, 409, 416, 503)), name)


def _in_parts(operation: Json) -> Json:
    """An operation whose answer can be read in parts, as one that says so."""
    responses = operation["responses"]
    part = {**responses["200"], "description": "The part that `Range` asks for."}
    return {**operation, "responses": {**responses, "206": part}}


def _readyz() -> Json:
    operation = _operation(_SERVER, "readyz", "Can every model answer?", answer("Yes.", {"type": "object"}))
    operation["responses"]["503"] = answer("Not yet, or not all: which, and why.", {"type": "object"})
    return operation


def _operation(tag: str, name: str, summary: str, ok: Json, *statuses: int) -> Json:
    responses = {"200": ok, **problems(*statuses)}
    return {"tags": [tag], "operationId": name, "summary": summary, "responses": responses}
