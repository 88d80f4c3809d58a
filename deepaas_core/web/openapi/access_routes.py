"""Tokens and access in the document: their routes, and how a request shows its token."""

from __future__ import annotations

from apispec import APISpec
from marshmallow import Schema, fields

from deepaas_core.domain.access import TokenState
from deepaas_core.web.access import LimitsSchema, NewTokenSchema, RuleSchema
from deepaas_core.web.openapi.parts import API, Json, answer, members, problems, reference

TAG = "Access"
DESCRIPTION = "Who may call what. For administrators, but for who wants to know what their own token gives."


class _TokenSchema(LimitsSchema):
    id = fields.String(required=True)
    hint = fields.String(required=True, metadata={"description": "What the token begins with."})
    label = fields.String(required=True)
    state = fields.String(required=True, metadata={"enum": [str(state) for state in TokenState]})
    rights = fields.List(fields.String(), required=True)
    names = fields.List(fields.String(), allow_none=True, metadata={"description": "Null: all."})
    created_at = fields.DateTime()
    expires_at = fields.DateTime(allow_none=True)
    revoked_at = fields.DateTime(allow_none=True)


_SCHEMAS: dict[str, type[Schema]] = {
    "Token": _TokenSchema,
    "NewToken": NewTokenSchema,
    "AccessRule": RuleSchema,
}


def declare_components(spec: APISpec) -> None:
    """Add the schemas that the routes refer to."""
    for name, schema in _SCHEMAS.items():
        spec.components.schema(name, schema=schema())


def access_paths() -> dict[str, Json]:
    """The operations, by path and method."""
    token = answer("The token, without its text.", reference("Token"))
    tokens = answer("All tokens, the newest first.", members({"tokens": _list("Token")}, ["tokens"]))
    shown = {"token": {"type": "string", "description": "Its text. Nobody can see it again."}}
    made = answer("The token.", {"allOf": [reference("Token"), members(shown, ["token"])]})
    said = answer("What was said.", reference("AccessRule"))
    everything = answer("Whether tokens are asked for, and what was said of names.", {"type": "object"})
    create = _operation("create_token", "Make a token", {}, 400, 408, 413, 422, 503)
    create["responses"]["201"] = made
    del create["responses"]["200"]
    forget = _operation("delete_access", "Let the settings say who may call it", {}, 422, 503)
    forget["responses"]["204"] = {"description": "Done."}
    del forget["responses"]["200"]
    return {
        f"{API}/tokens": {
            "get": _operation("list_tokens", "List the tokens", tokens, 503),
            "post": {**create, "requestBody": _body("NewToken")},
        },
        f"{API}/tokens/{{id}}": {
            "delete": {
                **_operation("revoke_token", "Withdraw a token", token, 404, 503),
                "parameters": [_in_path("id", "The token's id.")],
            }
        },
        f"{API}/access": {"get": _operation("get_access", "See who may call what", everything, 503)},
        f"{API}/access/{{name}}": {
            "put": {
                **_operation("put_access", "Say who may call a model or service", said, 400, 408, 413, 422, 503),
                "parameters": [_in_path("name", "The model or service.")],
                "requestBody": _body("AccessRule"),
            },
            "delete": {**forget, "parameters": [_in_path("name", "The model or service.")]},
        },
        f"{API}/whoami": {
            "get": _operation("whoami", "What may I do?", answer("Who you are to this server.", {"type": "object"}))
        },
    }


#: Routes that anybody may ask.
_OPEN = ("/livez", "/readyz")
_REFUSALS = {
    401: "A token is needed, and there is none that is good.",
    403: "The token does not give the right that this needs.",
    429: "There were more requests than are allowed; `Retry-After` says when to try again.",
}


def ask_for_tokens(document: Json, cookie: str) -> None:
    """Say in a document how requests show their token, and what answers them if that is not good.

    Args:
        document: It is changed.
        cookie: The name of the cookie that may carry the token; empty for none.
    """
    schemes: Json = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "The token, as `Authorization: Bearer`."},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The token in a header."},
        "basic": {"type": "http", "scheme": "basic", "description": "The token as user name, and no password."},
    }
    if cookie:
        schemes["cookie"] = {
            "type": "apiKey",
            "in": "cookie",
            "name": cookie,
            "description": "The token in a cookie. Browsers send it by themselves; no page can set it here.",
        }
    components = document["components"]
    components["securitySchemes"] = schemes
    components["responses"] |= {
        str(status): {**components["responses"]["404"], "description": told} for status, told in _REFUSALS.items()
    }
    document["security"] = [{name: []} for name in schemes]
    for path, operations in document["paths"].items():
        for operation in (operations[method] for method in ("get", "post", "put", "delete") if method in operations):
            if path.startswith(_OPEN):
                operation["security"] = []
            else:
                operation["responses"] |= problems(*_REFUSALS)


def _operation(name: str, summary: str, ok: Json, *statuses: int) -> Json:
    responses = {"200": ok, **problems(*statuses)}
    return {"tags": [TAG], "operationId": name, "summary": summary, "responses": responses}


def _list(name: str) -> Json:
    return {"type": "array", "items": reference(name)}


def _body(name: str) -> Json:
    return {"required": True, "content": {"application/json": {"schema": reference(name)}}}


def _in_path(name: str, description: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}, "description": description}
