"""The prediction log in the document: entries, labels, statistics and their pictures."""

from __future__ import annotations

from deepaas_core.web.openapi.parts import API, JSON, Json, answer, members, problems

TAG = "Prediction log"
DESCRIPTION = (
    "What was predicted, if the server or a service keeps that; what would have been right; what it comes down to."
)

_PICTURES = ("traffic", "statuses", "latency", "generations", "predictions", "quality")
_TEXT: Json = {"type": "string"}
_TIME: Json = {"type": "string", "format": "date-time"}


def prediction_paths() -> dict[str, Json]:
    """The operations, by path and method."""
    paths: dict[str, Json] = {
        f"{API}/predictions": {"get": _list()},
        f"{API}/predictions/labels": {"post": _label()},
    }
    for of in ("model", "service"):
        one = {**_query(of, "Its name.", _TEXT), "in": "path", "required": True}
        address = f"{API}/{of}s/{{{of}}}/statistics"
        numbers = answer(
            "Counts, error rate, latency, predictions and quality, also by generation.", {"type": "object"}
        )
        read = _operation(
            f"get_{of}_statistics", f"What the predictions of a {of} come down to", numbers, 404, 422, 503
        )
        paths[address] = {"get": {**read, "parameters": [one, *_filters()]}}
        picture = {"name": "picture", "in": "path", "required": True, "schema": {"type": "string", "enum": _PICTURES}}
        drawn = {"description": "For light and dark pages.", "content": {"image/svg+xml": {"schema": _TEXT}}}
        draw = _operation(f"draw_{of}_statistics", f"See the statistics of a {of}", drawn, 404, 422, 503)
        paths[address + "/{picture}.svg"] = {"get": {**draw, "parameters": [one, picture, *_filters()]}}
    return paths


def _list() -> Json:
    entries = {"type": "array", "items": {"type": "object"}}
    following = {"type": "string", "nullable": True, "description": "The address of the next page; null on the last."}
    page = answer("Entries, the newest first.", members({"predictions": entries, "next": following}, ["predictions"]))
    for media_type in ("text/csv", "application/x-ndjson", "application/vnd.apache.parquet"):
        page["content"][media_type] = {"schema": {"type": "string", "format": "binary"}}
    return {
        **_operation("list_predictions", "Read the prediction log", page, 406, 422, 503),
        "parameters": [
            _query("service", "Only of this service.", _TEXT),
            _query("model", "Only of this model.", _TEXT),
            *_filters(),
            _query("request", "Only the request of this id.", _TEXT),
            _query("labelled", "Only those with a label.", {"type": "boolean", "default": False}),
            _query("limit", "How many at most; on a page 100, and at most 1000.", {"type": "integer", "minimum": 1}),
            _query("before", "Only entries older than the one of this id.", _TEXT),
            _query(
                "format",
                "Instead of `Accept`; all but JSON gives everything.",
                _one_of("json", "csv", "ndjson", "parquet"),
            ),
        ],
    }


def _label() -> Json:
    label = {
        "request": {**_TEXT, "description": "What the answer had in `X-Request-ID`."},
        "row": {"type": "integer", "nullable": True, "description": "Of a request with several rows, from 0 on."},
        "label": {"description": "A class or a number."},
    }
    schema = {"type": "array", "items": members(label, ["request", "label"])}
    counts = {"labelled": {"type": "integer"}, "unknown": {"type": "integer"}}
    ok = answer("How many were found in the log.", members(counts, list(counts)))
    operation = _operation("label_predictions", "Say what would have been right", ok, 400, 408, 413, 415, 422, 503)
    return {**operation, "requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def _filters() -> list[Json]:
    return [
        _query("endpoint", "Only of this endpoint; of a model, the function.", _TEXT),
        _query("generation", "Only of this generation; of a model, the version.", _TEXT),
        _query("token", "Only of the token of this id.", _TEXT),
        _query("status", "Only answers of this status; `4xx` for all that begin so.", _TEXT),
        _query("since", "Only from this time on.", _TIME),
        _query("until", "Only from before this time.", _TIME),
    ]


def _one_of(*texts: str) -> Json:
    return {"type": "string", "enum": list(texts)}


def _query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _operation(name: str, summary: str, ok: Json, *statuses: int) -> Json:
    return {"tags": [TAG], "operationId": name, "summary": summary, "responses": {"200": ok, **problems(*statuses)}}
