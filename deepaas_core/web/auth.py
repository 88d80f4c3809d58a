"""Who calls: reads tokens from requests, and lets in who has the right that a route needs, before a body is read.

A token comes as ``Authorization: Bearer``, as the user name of ``Authorization: Basic`` with an empty password, in
``X-API-Key``, or in a cookie; never in the URL. What somebody may know nothing of is not there for them (404); what
they know of and may not do is forbidden (403).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

from aiohttp import web
from aiohttp.web_urldispatcher import AbstractRoute
from multidict import istr

from deepaas_core import errors
from deepaas_core.domain.access import EVERYBODY, Principal, Right
from deepaas_core.domain.model import Problem
from deepaas_core.serving.catalog import Entry
from deepaas_core.serving.gatekeeper import Gatekeeper
from deepaas_core.web.keys import CATALOG, GATEKEEPER, SETTINGS, TRAINER
from deepaas_core.web.protocol import begun_before
from deepaas_core.web.routes import PREDICT, Handler, Need, Route

REALM = "deepaas-core"
_AUTHORIZATION, _API_KEY, _COOKIE = istr("Authorization"), istr("X-API-Key"), istr("Cookie")

#: What each route needs.
NEEDS = web.AppKey("needs", dict[AbstractRoute, Need])
#: Requests of somebody with a token that are being answered, by the token's id and their own.
UNDER_WAY = web.AppKey("under_way", dict[str, dict[int, web.Request]])
_CALLER = web.RequestKey("caller", Principal)
_REFUSAL = web.RequestKey("refusal", errors.DeepaasError)
_MAX_BODY = web.RequestKey("max_body_bytes", int)


def guard(
    app: web.Application,
    gatekeeper: Gatekeeper,
    routes: Iterable[Route],
    base: str = "",
    expecting: Callable[[web.Request], Awaitable[web.StreamResponse | None]] | None = None,
) -> None:
    """Add routes to an application that has ``guarding`` among its middlewares.

    Args:
        app: It gets the routes, and what is needed to guard them.
        gatekeeper: Who knows the tokens.
        routes: What is offered.
        base: What stands before every path.
        expecting: Answers ``Expect: 100-continue``.
    """
    app[GATEKEEPER], app[UNDER_WAY], app[NEEDS] = gatekeeper, {}, {}
    for route in routes:
        for method in (route.method, "HEAD") if route.answers_head else (route.method,):
            added = app.router.add_route(method, base + route.path, route.handler, expect_handler=expecting)
            app[NEEDS][added] = route.needs
    gatekeeper.on_change = partial(_end_withdrawn, app)


def caller(request: web.Request) -> Principal:
    """Who calls."""
    return request[_CALLER]


def demand(request: web.Request, right: Right, name: str) -> None:
    """Insist on a right over a model or service whose name the path did not tell.

    Raises:
        Unauthenticated: There is no token.
        Forbidden: It does not give the right.
    """
    if not caller(request).may(right, name):
        raise _refusal(caller(request), right)


def visible(request: web.Request) -> tuple[list[Entry], list[Problem]]:
    """The models that the caller may know of: those that are offered, and those that cannot be."""
    catalog, principal = request.app[CATALOG], caller(request)
    entries = [entry for entry in catalog.entries() if principal.sees(entry.name)]
    return entries, [problem for problem in catalog.problems if principal.sees(problem.name)]


def needs_token(request: web.Request, right: Right, name: str) -> bool:
    """Whether only those with a token have this right over a model or service."""
    return not request.app[GATEKEEPER].anybody.may(right, name)


def max_body_bytes(request: web.Request, most: int) -> int:
    """The largest body that this caller may send, where so much may be sent by anybody."""
    return min(most, request[_MAX_BODY]) if _MAX_BODY in request else most


@web.middleware
async def guarding(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let nobody through who may not come in."""
    await admit(request)
    refusal = request.get(_REFUSAL)
    if refusal is not None:
        raise refusal
    token = caller(request).token
    if not token:
        return await handler(request)
    under_way = request.app[UNDER_WAY].setdefault(token, {})
    under_way[id(request)] = request
    try:
        return await handler(request)
    finally:
        del under_way[id(request)]
        if not under_way:
            del request.app[UNDER_WAY][token]


async def admit(request: web.Request) -> bool:
    """Decide about a request, once; whether it may come in."""
    if _CALLER in request:
        return True
    if _REFUSAL in request:
        return False
    gatekeeper = request.app[GATEKEEPER]
    if gatekeeper.free or request.match_info.http_exception is not None:
        request[_CALLER] = EVERYBODY if gatekeeper.free else gatekeeper.anybody
        return True
    try:
        await _decide(request)
    except errors.DeepaasError as error:
        request[_REFUSAL] = error
        return False
    return True


async def _decide(request: web.Request) -> None:
    gatekeeper = request.app[GATEKEEPER]
    need = request.app[NEEDS][request.match_info.route]
    texts = shown(request.headers, request.app[SETTINGS].access.cookie)
    if not need.any_of:
        request[_CALLER] = gatekeeper.known(texts) or gatekeeper.anybody
        return
    name = _named(request)
    principal = gatekeeper.known(texts) if gatekeeper.fresh else None
    if principal is None:
        if _is_public(gatekeeper.anybody, need, name, texts, request):
            principal = gatekeeper.anybody
        else:
            principal = await gatekeeper.recognise(texts, request.remote or "")
    name = await _check(request, principal, need, name)
    request[_CALLER] = principal
    limit = gatekeeper.max_body_mb(principal, name)
    if limit is not None:
        request[_MAX_BODY] = int(limit * 2**20)
        if (request.content_length or 0) > request[_MAX_BODY]:
            raise errors.PayloadTooLarge(request[_MAX_BODY])
    if begun_before(request) is None:  # what has been on the express lane was counted there
        await gatekeeper.charge(principal, name if need == PREDICT else None)


def _is_public(anybody: Principal, need: Need, name: str | None, texts: list[str], request: web.Request) -> bool:
    """Whether no token is needed, so that a wrong one does no harm; some clients always send one."""
    if name is not None:
        return anybody.may_any(need.any_of, name)
    if anybody.may_everywhere(need.any_of):
        return True
    return not texts and need.partly and anybody.may_somewhere(need.any_of)


async def _check(request: web.Request, principal: Principal, need: Need, name: str | None) -> str | None:
    """See whether somebody has what a route needs; gives the name that it is about."""
    if principal.may_everywhere(need.any_of):
        return name
    run = request.match_info.get("run")
    if name is None and run is not None:
        if not principal.may_somewhere(need.any_of):
            raise _refusal(principal, *need.any_of)
        name = (await request.app[TRAINER].get(run)).model
        if not principal.may(Right.READ, name):
            raise errors.RunNotFound(run)
    if name is None:
        allowed = need.partly and principal.may_somewhere(need.any_of)
    else:
        allowed = principal.may_any(need.any_of, name)
        if not allowed and principal.token and not principal.sees(name):
            raise errors.ModelNotFound(name) if "model" in request.match_info else errors.ServiceNotFound(name)
    if not allowed:
        raise _refusal(principal, *need.any_of)
    return name


def _named(request: web.Request) -> str | None:
    return request.match_info.get("model") or request.match_info.get("service")


def _refusal(principal: Principal, *rights: Right) -> errors.DeepaasError:
    if not principal.token:
        return errors.Unauthenticated("A token is needed for this, and there was none.")
    if len(rights) == len(Right):
        return errors.Forbidden("The token does not reach this.")
    return errors.Forbidden(f"The token does not give the right {' or '.join(sorted(rights))} that this needs.")


def shown(headers: Mapping[str, str], cookie: str) -> list[str]:
    """The tokens, or what might be some, that a request shows, in the order in which they count."""
    texts = []
    scheme, _, text = headers.get(_AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer":
        texts.append(text.strip())
    elif scheme:
        texts.append(_user(text.strip()) if scheme.lower() == "basic" else "")
    if _API_KEY in headers:
        texts.append(headers[_API_KEY].strip())
    if cookie and _COOKIE in headers:
        pairs = (pair.partition("=") for pair in headers[_COOKIE].split(";"))
        texts += [value.strip().strip('"') for name, _, value in pairs if name.strip() == cookie]
    return texts


def _user(text: str) -> str:
    """The user name of ``Basic``, if there is no password with it; nothing is never a token."""
    try:
        user, _, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return ""
    return "" if password else user


def challenge(request: web.Request, response: web.StreamResponse) -> None:
    """Say how to prove who one is.

    A script in a page must not make the browser ask its user for a name, unless it is ours and says so by its mode.
    What our pages are made of lies elsewhere than they do, so a browser must hear again that it may show who asks.
    """
    wrong = ', error="invalid_token"' if shown(request.headers, request.app[SETTINGS].access.cookie) else ""
    response.headers.add("WWW-Authenticate", f'Bearer realm="{REALM}"{wrong}')
    mode, site = request.headers.get("Sec-Fetch-Mode", "navigate"), request.headers.get("Sec-Fetch-Site")
    if mode in ("navigate", "same-origin") or (mode == "no-cors" and site == "same-origin"):
        response.headers.add("WWW-Authenticate", f'Basic realm="{REALM}", charset="UTF-8"')


def _end_withdrawn(app: web.Application) -> None:
    """Cut off answers that are under way, to whoever's token is no longer good."""
    for token, requests in app[UNDER_WAY].items():
        if not app[GATEKEEPER].is_good(token):
            for request in requests.values():
                if request.writer.output_size > 0 and request.transport is not None:
                    request.transport.abort()
