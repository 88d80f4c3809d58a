"""Automations in the document: what services do by themselves."""

from __future__ import annotations

from apispec import APISpec
from marshmallow import Schema, fields

from deepaas_core.domain.automation import ExecutionState, StepName, StepState
from deepaas_core.web.openapi.parts import API, Json, answer, members, problems, reference

TAG = "Automations"
DESCRIPTION = "What services do by themselves: train, check, publish and deploy."


class _StepSchema(Schema):
    name = fields.String(required=True, metadata={"enum": [str(name) for name in StepName]})
    state = fields.String(required=True, metadata={"enum": [str(state) for state in StepState]})
    text = fields.String(metadata={"description": "What came of it."})
    at = fields.DateTime(allow_none=True)


class _ExecutionSchema(Schema):
    id = fields.String(required=True)
    service = fields.String(required=True)
    automation = fields.String(required=True)
    state = fields.String(required=True, metadata={"enum": [str(state) for state in ExecutionState]})
    cause = fields.String(metadata={"enum": ["schedule", "run", "request"]})
    created_at = fields.DateTime()
    base = fields.String(metadata={"description": "The version out of which a new one is made."})
    run = fields.String(allow_none=True, metadata={"description": "The training run."})
    version = fields.String(allow_none=True, metadata={"description": "The new version, once there is one."})
    steps = fields.List(fields.Nested(_StepSchema))
    links = fields.Dict()


class _AutomationSchema(Schema):
    name = fields.String(required=True)
    schedule = fields.String(allow_none=True, metadata={"description": "Five fields of cron, in UTC."})
    next_at = fields.DateTime(allow_none=True)
    after_run_of = fields.String(allow_none=True, metadata={"description": "The model whose runs it follows."})
    train = fields.String(allow_none=True)
    check = fields.List(fields.String())
    drift = fields.Dict(allow_none=True)
    publish = fields.String(allow_none=True)
    deploy = fields.Float(allow_none=True, metadata={"description": "The part of the traffic for the new version."})
    last = fields.Nested(_ExecutionSchema, allow_none=True)


def declare_components(spec: APISpec) -> None:
    """Add the schemas that the routes refer to."""
    for name, schema in {"Execution": _ExecutionSchema, "Automation": _AutomationSchema}.items():
        spec.components.schema(name, schema=schema())


def automation_paths() -> dict[str, Json]:
    """The operations, by path and method."""
    service = f"{API}/services/{{service}}"
    run = _operation("run_automation", "Do an automation now", "automation", responses={})
    run["responses"] = {"202": answer("It will be done.", reference("Execution")), **run["responses"]}
    listed = _operation("list_executions", "List what automations have done", responses=_many("Execution"))
    listed["parameters"] += [
        {"name": "automation", "in": "query", "description": "Only of this one.", "schema": {"type": "string"}},
        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 200, "default": 20}},
    ]
    one = {"200": answer("It.", reference("Execution"))}
    return {
        f"{service}/automations": {
            "get": _operation("list_automations", "List what a service does by itself", responses=_many("Automation"))
        },
        f"{service}/automations/{{automation}}/run": {"post": run},
        f"{service}/executions": {"get": listed},
        f"{service}/executions/{{execution}}": {
            "get": _operation("get_execution", "Read an execution", "execution", responses=one)
        },
    }


def _operation(name: str, summary: str, *in_path: str, responses: Json) -> Json:
    return {
        "operationId": name,
        "summary": summary,
        "tags": [TAG],
        "parameters": [
            {"name": part, "in": "path", "required": True, "schema": {"type": "string"}}
            for part in ("service", *in_path)
        ],
        "responses": {**responses, **problems(404, 422, 503)},
    }


def _many(schema: str) -> Json:
    name = f"{schema.lower()}s"
    listed = {"type": "array", "items": reference(schema)}
    return {"200": answer("The last of them first.", members({name: listed}, [name]))}
