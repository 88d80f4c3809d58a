"""Tokens, and who may call which model or service, over the native API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from marshmallow import Schema, ValidationError

from deepaas_core.domain.access import Limits, Names, Policy, Rule, Scope, Token
from deepaas_core.domain.arguments import issues
from deepaas_core.errors import InvalidInput, Issue
from deepaas_core.serving.gatekeeper import Gatekeeper
from deepaas_core.web.access import NewTokenSchema, RuleSchema
from deepaas_core.web.auth import caller
from deepaas_core.web.inputs import read_object
from deepaas_core.web.keys import GATEKEEPER
from deepaas_core.web.rest.answers import json_response
from deepaas_core.web.rest.runs import PREFIX, iso
from deepaas_core.web.routes import ADMIN, SEE, delete, get, partly, post, put

TOKENS = PREFIX + "/tokens"
ACCESS = PREFIX + "/access"
LONGEST = timedelta(days=100 * 366)


async def list_tokens(request: web.Request) -> web.Response:
    """Every token that was ever made, the newest first; nobody can see its secret any more."""
    gatekeeper = request.app[GATEKEEPER]
    return json_response({"tokens": [present(token, gatekeeper) for token in reversed(await gatekeeper.tokens())]})


async def create_token(request: web.Request) -> web.Response:
    """Make a token; this answer alone has its text."""
    gatekeeper, asked = request.app[GATEKEEPER], await _read(request, NewTokenSchema())
    token, text = await gatekeeper.create(
        asked["label"],
        asked["rights"],
        caller(request),
        names=asked.get("names"),
        expires_at=_end(asked),
        limits=_limits(asked),
    )
    document = {"token": text, **present(token, gatekeeper)}
    return json_response(document, status=201, **{"Cache-Control": "no-store"})


async def revoke_token(request: web.Request) -> web.Response:
    """Withdraw a token, for good."""
    gatekeeper = request.app[GATEKEEPER]
    token = await gatekeeper.revoke(request.match_info["id"], caller(request))
    return json_response(present(token, gatekeeper))


async def get_access(request: web.Request) -> web.Response:
    """Whether tokens are asked for, and what was said of which name."""
    gatekeeper = request.app[GATEKEEPER]
    rules = await gatekeeper.rules()
    return json_response(
        {
            "tokens_asked_for": gatekeeper.asks,
            "without_token": [_scope(scope) for scope in gatekeeper.anybody.scopes],
            "names": {name: _rule(rule) for name, rule in rules.items()},
        }
    )


async def put_access(request: web.Request) -> web.Response:
    """Say who may call a model or a service, and how often, in place of what was said before."""
    asked = await _read(request, RuleSchema())
    policy, name = asked.get("policy"), request.match_info["name"]
    rule = Rule(None if policy is None else Policy(policy), _limits(asked))
    await request.app[GATEKEEPER].set_rule(name, rule.policy, rule.limits, caller(request))
    return json_response({"name": name, **_rule(rule)})


async def delete_access(request: web.Request) -> web.Response:
    """Let the settings say again who may call a model or a service."""
    await request.app[GATEKEEPER].set_rule(request.match_info["name"], None, Limits(), caller(request))
    return web.Response(status=204)


async def get_whoami(request: web.Request) -> web.Response:
    """Who the caller is to this server, and what they may do."""
    principal = caller(request)
    return json_response(
        {
            "label": principal.label,
            "id": principal.token or None,
            "may": [_scope(scope) for scope in principal.scopes],
            **_shown_limits(principal.limits),
        }
    )


def present(token: Token, gatekeeper: Gatekeeper) -> dict[str, Any]:
    """A token as its document."""
    return {
        "id": token.id,
        "hint": token.hint,
        "label": token.label,
        "state": str(gatekeeper.state(token)),
        **_scope(token.scope),
        "created_at": iso(token.created_at),
        "expires_at": iso(token.expires_at),
        "revoked_at": iso(token.revoked_at),
        **_shown_limits(token.limits),
    }


def _scope(scope: Scope) -> dict[str, Any]:
    return {"rights": sorted(scope.rights), **_names(scope.names)}


def _names(names: Names) -> dict[str, Any]:
    if not names.all_but:
        return {"names": sorted(names.listed)}
    return {"names": None, "all_but": sorted(names.listed)} if names.listed else {"names": None}


def _rule(rule: Rule) -> dict[str, Any]:
    return {"policy": rule.policy and str(rule.policy), **_shown_limits(rule.limits)}


def _shown_limits(limits: Limits) -> dict[str, Any]:
    return {"requests_per_s": limits.requests_per_s, "burst": limits.burst, "max_body_mb": limits.max_body_mb}


async def _read(request: web.Request, schema: Schema) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(await read_object(request))
    except ValidationError as error:
        raise InvalidInput(issues(error.messages)) from None
    return loaded


def _limits(asked: dict[str, Any]) -> Limits:
    return Limits(asked.get("requests_per_s"), asked.get("burst"), asked.get("max_body_mb"))


def _end(asked: dict[str, Any]) -> datetime | None:
    at, seconds = asked.get("expires_at"), asked.get("expires_in_s")
    if at is not None and seconds is not None:
        raise InvalidInput([Issue("/expires_in_s", "Give either this or expires_at.")])
    if seconds is None:
        return None if at is None else at.astimezone(UTC)
    if not 0 < seconds <= LONGEST.total_seconds():
        raise InvalidInput([Issue("/expires_in_s", f"Must be a number from 0 to {LONGEST.total_seconds():.0f}.")])
    return datetime.now(UTC) + timedelta(seconds=seconds)


ROUTES = [
    get(TOKENS, list_tokens, ADMIN),
    post(TOKENS, create_token, ADMIN),
    delete(TOKENS + "/{id}", revoke_token, ADMIN),
    get(ACCESS, get_access, ADMIN),
    put(ACCESS + "/{name}", put_access, ADMIN),
    delete(ACCESS + "/{name}", delete_access, ADMIN),
    get(PREFIX + "/whoami", get_whoami, partly(SEE)),
]
