"""Services in the document: publishing, deploying, testing and copying them."""

from __future__ import annotations

from apispec import APISpec
from marshmallow import Schema, fields

from deepaas_core.domain.deployment import RolloutState
from deepaas_core.web.openapi.parts import API, JSON, MULTIPART, Json, answer, members, problems, reference

TAG = "Services"
DESCRIPTION = "Generations of services are published, deployed, split and rolled back here."

_SHARES = {"description": "Part of the traffic by version; the parts sum to one.", "example": {"v1": 0.3, "v2": 0.7}}


class _EndpointSchema(Schema):
    name = fields.String(required=True)
    kind = fields.String(required=True)
    help = fields.String()
    variants = fields.List(fields.String(), metadata={"description": "Where there are some."})
    chosen_by = fields.String(metadata={"description": "The parameter that chooses a variant."})


class _DeploymentSchema(Schema):
    shares = fields.Dict(keys=fields.String(), values=fields.Float(), metadata=_SHARES)
    enabled = fields.Boolean(metadata={"description": "Whether it answers."})
    changed_at = fields.DateTime(allow_none=True)
    revision = fields.Integer(metadata={"description": "Grows with every change."})


class _NamedDeploymentSchema(_DeploymentSchema):
    service = fields.String(required=True)


class _ServiceSchema(_DeploymentSchema):
    name = fields.String(required=True)
    title = fields.String()
    description = fields.String()
    endpoints = fields.List(fields.Nested(_EndpointSchema))
    generations = fields.List(fields.String(), metadata={"description": "Versions, the oldest first."})
    links = fields.Dict()


class _GenerationSchema(Schema):
    service = fields.String(required=True)
    version = fields.String(required=True)
    number = fields.Integer(metadata={"description": "Counts from 1."})
    digest = fields.String(metadata={"description": "SHA-256 of the manifest of its files."})
    created_at = fields.DateTime()
    notes = fields.String()
    size_bytes = fields.Integer()
    share = fields.Float(metadata={"description": "Its part of the traffic."})
    state = fields.String(metadata={"description": "starting, ready, restarting or failed; stopped while not needed."})
    reason = fields.String()
    endpoints = fields.List(fields.Nested(_EndpointSchema))
    links = fields.Dict()


class _RolloutSchema(Schema):
    id = fields.String(required=True)
    service = fields.String(required=True)
    state = fields.String(required=True, metadata={"enum": [str(state) for state in RolloutState]})
    shares = fields.Dict(keys=fields.String(), values=fields.Float(), metadata=_SHARES)
    before = fields.Dict(metadata={"description": "The shares that these take the place of."})
    reason = fields.String(metadata={"description": "Why it failed."})
    created_at = fields.DateTime()
    finished_at = fields.DateTime(allow_none=True)
    links = fields.Dict()


class _OutcomeSchema(Schema):
    endpoint = fields.String(required=True)
    name = fields.String()
    passed = fields.Boolean(required=True)
    problem = fields.String(metadata={"description": "Why it was not passed."})
    answer = fields.Raw(allow_none=True)
    duration_s = fields.Float()


_SCHEMAS: dict[str, type[Schema]] = {
    "Service": _ServiceSchema,
    "Generation": _GenerationSchema,
    "Deployment": _NamedDeploymentSchema,
    "Rollout": _RolloutSchema,
    "Outcome": _OutcomeSchema,
}
_SERVICE, _VERSION = ("service", "The service's name."), ("version", "The generation's version.")


def declare_components(spec: APISpec) -> None:
    """Add the schemas that the routes refer to."""
    for name, schema in _SCHEMAS.items():
        spec.components.schema(name, schema=schema())


def service_paths() -> dict[str, Json]:
    """The operations, by path and method."""
    service, generation = f"{API}/services/{{service}}", f"{API}/services/{{service}}/generations/{{version}}"
    one, deployment = answer("The service.", reference("Service")), answer("As it is now.", reference("Deployment"))
    paths: dict[str, Json] = {
        f"{API}/services": {"get": _operation("list_services", "List the services", _many("services", "Service"))},
        service: {
            "get": _of_service("get_service", "Read a service", one),
            "delete": _gone(_of_service("delete_service", "Delete a service that does not answer", {}, 409)),
        },
        f"{service}/enable": {"post": _of_service("enable_service", "Let it answer", deployment)},
        f"{service}/disable": {"post": _of_service("disable_service", "Let it answer no more", deployment)},
        f"{service}/generations": {
            "get": _of_service("list_generations", "List its generations", _many("generations", "Generation")),
            "post": _publish(),
        },
        generation: {
            "get": _of_generation("get_generation", "Read a generation", answer("It.", reference("Generation"))),
            "delete": _gone(_of_generation("delete_generation", "Delete a generation that is not live", {}, 409)),
        },
        f"{generation}/archive": {"get": _of_generation("get_archive", "Download a generation", _file("zip"))},
        f"{generation}/diff": {"get": _diff()},
        f"{generation}/build": {"post": _built()},
        f"{generation}/log": {"get": _of_generation("get_build_log", "Read how it was built", _plain())},
        f"{generation}/test": {"post": _test(_of_generation("test_generation", "Test a generation", {}, 503))},
        f"{service}/deployment": {
            "get": _of_service("get_deployment", "Read which generations are live", deployment),
            "put": _deploy(),
        },
        f"{service}/rollback": {"post": _begun(_of_service("rollback", "Go back to what was live before", {}, 409))},
        f"{service}/rollouts": {"get": _rollouts()},
        f"{service}/rollouts/{{rollout}}": {"get": _rollout()},
        f"{service}/queries": _queries(),
        f"{service}/test": {"post": _test(_of_service("test_service", "Test the live generation", {}, 503))},
        f"{service}/copy": {"post": _copy()},
        f"{API}/infrastructures": {
            "get": _operation("list_infrastructures", "List the servers to which generations can be copied", _others())
        },
    }
    return paths


def _publish() -> Json:
    operation = _of_service("publish", "Publish a generation", {}, 400, 408, 409, 413, 415, 422)
    del operation["responses"]["200"]
    operation["responses"]["201"] = answer("It is kept for good.", reference("Generation"))
    archive = {"schema": {"type": "string", "format": "binary"}}
    form = members({"file": {"type": "string", "format": "binary", "description": "A zip or a tar.gz."}}, ["file"])
    content = {MULTIPART: {"schema": form}, "application/zip": archive, "application/gzip": archive}
    return {
        **_with(
            operation,
            _query("version", "What to call it; without, the next `vN`.", {"type": "string"}),
            _query("notes", "What is to be said of it.", {"type": "string"}),
            _query("unique", "Put a number behind a version that is taken.", {"type": "boolean", "default": False}),
            _query("allow_apt", "Install missing packages of the system.", {"type": "boolean", "default": False}),
        ),
        "requestBody": {"required": True, "content": content},
    }


def _built() -> Json:
    ok = answer("All that it needs is there.", reference("Generation"))
    return _of_generation("build_generation", "Build what it needs, on this server", ok, 409)


def _deploy() -> Json:
    operation = _begun(_of_service("deploy", "Make generations live", {}, 400, 408, 413, 422))
    shares = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1}}
    asked = members({"shares": shares, "version": {"type": "string", "description": "The one that gets all."}}, [])
    return {**operation, "requestBody": _body(asked, {"version": "v1"})}


def _diff() -> Json:
    told = answer("Paths of files: added, removed, changed.", {"type": "object"})
    operation = _of_generation("diff_generation", "Compare it with another generation", told, 422)
    return _with(operation, _query("with", "The other one; without, the one before.", {"type": "string"}))


def _rollouts() -> Json:
    operation = _of_service("list_rollouts", "List the last changes", _many("rollouts", "Rollout"), 422)
    limit = {"type": "integer", "minimum": 1, "maximum": 200, "default": 20}
    return _with(operation, _query("limit", "How many at most.", limit))


def _rollout() -> Json:
    operation = _of_service("get_rollout", "Read how a change goes on", answer("It.", reference("Rollout")))
    return _with(operation, _path("rollout", "The rollout's id."))


def _queries() -> Json:
    ok = answer("All of them.", {"type": "object"})
    said = (400, 408, 413, 422)
    return {
        "get": _of_service("get_queries", "Read its test queries", ok),
        "put": {**_of_service("put_queries", "Replace its test queries", ok, *said), "requestBody": _asked()},
        "post": {**_of_service("post_queries", "Add test queries", ok, *said), "requestBody": _asked()},
    }


def _test(operation: Json) -> Json:
    outcomes = {"type": "array", "items": reference("Outcome")}
    counts = {name: {"type": "integer"} for name in ("passed", "failed")}
    ok = answer("What became of each query.", members({"outcomes": outcomes, **counts}, ["outcomes"]))
    responses = {**operation["responses"], "200": ok, **problems(400, 408, 413, 422)}
    return {**operation, "responses": responses, "requestBody": {**_asked(), "required": False}}


def _copy() -> Json:
    ok = answer("It is live there.", {"type": "object"})
    operation = _of_service("copy_service", "Copy a generation to another server", ok, 400, 408, 413, 422, 502, 503)
    asked = {
        "infrastructure": {"type": "string"},
        "version": {"type": "string", "description": "Without, the live one."},
    }
    return {**operation, "requestBody": _body(members(asked, ["infrastructure"]), {})}


def _asked() -> Json:
    query = {
        "endpoint": {"type": "string"},
        "name": {"type": "string"},
        "rows": {"type": "array", "items": {"type": "object"}},
        "arguments": {"type": "object"},
        "expected": {"description": "What must come back; without, any answer will do."},
        "tolerance": {"type": "number", "minimum": 0},
    }
    return _body(members({"queries": {"type": "array", "items": members(query, ["endpoint"])}}, ["queries"]), {})


def _body(schema: Json, example: Json) -> Json:
    return {"content": {JSON: {"schema": schema, **({"example": example} if example else {})}}}


def _others() -> Json:
    return answer("Names, stages and addresses.", {"type": "object"})


def _many(name: str, schema: str) -> Json:
    return answer("All of them.", members({name: {"type": "array", "items": reference(schema)}}, [name]))


def _file(kind: str) -> Json:
    content = {f"application/{kind}": {"schema": {"type": "string", "format": "binary"}}}
    return {"description": "The files as they were published.", "content": content}


def _plain() -> Json:
    return {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}}


def _gone(operation: Json) -> Json:
    del operation["responses"]["200"]
    operation["responses"]["204"] = {"description": "It is deleted."}
    return operation


def _begun(operation: Json) -> Json:
    del operation["responses"]["200"]
    operation["responses"]["202"] = answer("It is begun; the rollout says how it goes on.", reference("Rollout"))
    return operation


def _of_generation(name: str, summary: str, ok: Json, *statuses: int) -> Json:
    return _with(_operation(name, summary, ok, 404, *statuses), _path(*_SERVICE), _path(*_VERSION))


def _of_service(name: str, summary: str, ok: Json, *statuses: int) -> Json:
    return _with(_operation(name, summary, ok, 404, 503, *statuses), _path(*_SERVICE))


def _path(name: str, description: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": description}


def _query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _with(operation: Json, *parameters: Json) -> Json:
    return {**operation, "parameters": [*operation.get("parameters", ()), *parameters]}


def _operation(name: str, summary: str, ok: Json, *statuses: int) -> Json:
    responses = {"200": ok, **problems(*statuses)}
    return {"tags": [TAG], "operationId": name, "summary": summary, "responses": responses}
