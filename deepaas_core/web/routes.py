"""How routes are declared: method, path, handler, and the right that they need, without which there is no route.

A path with ``{model}`` or ``{service}`` is about what is named there, one with ``{run}`` about the model of that run;
the right is needed over that name. A path without is about the server as a whole, and the right is needed over all
names; unless it is needed ``partly``, over any name, because the handler shows or does nothing else: it filters by
``auth.caller(request)``, or calls ``auth.demand`` once it knows which name it is about.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from aiohttp import web

from deepaas_core.domain.access import ANY_RIGHT, Right

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Need:
    """What somebody must have to come in.

    Attributes:
        any_of: One of these rights; none is nothing at all.
        partly: Whether any name will do where the path says none.
    """

    any_of: frozenset[Right]
    partly: bool = False


#: Whoever asks whether the server lives and is ready.
NOTHING = Need(frozenset())
#: To see that something is there and how it is called.
SEE = Need(ANY_RIGHT)
PREDICT = Need(frozenset({Right.PREDICT}))
READ = Need(frozenset({Right.READ}))
TRAIN = Need(frozenset({Right.TRAIN}))
PUBLISH = Need(frozenset({Right.PUBLISH}))
ADMIN = Need(frozenset({Right.ADMIN}))


def partly(need: Need) -> Need:
    """The same, over any name."""
    return replace(need, partly=True)


@dataclass(frozen=True)
class Route:
    """One method on one path.

    Attributes:
        answers_head: It answers HEAD as well, as GET but without the body.
    """

    method: str
    path: str
    handler: Handler
    needs: Need
    answers_head: bool = False


def get(path: str, handler: Handler, needs: Need) -> Route:
    """A route that shows something."""
    return Route("GET", path, handler, needs, answers_head=True)


def get_alone(path: str, handler: Handler, needs: Need) -> Route:
    """A route that knows GET but no HEAD: it streams, it asks a model, or its protocol says so."""
    return Route("GET", path, handler, needs)


def post(path: str, handler: Handler, needs: Need) -> Route:
    """A route that does something."""
    return Route("POST", path, handler, needs)


def put(path: str, handler: Handler, needs: Need) -> Route:
    """A route that puts something in place of what was there."""
    return Route("PUT", path, handler, needs)


def delete(path: str, handler: Handler, needs: Need) -> Route:
    """A route that takes something away."""
    return Route("DELETE", path, handler, needs)
