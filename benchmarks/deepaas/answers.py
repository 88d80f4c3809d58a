"""The same requests to the real DEEPaaS and to this server, and where their answers differ.

There are those of ``tests/web/test_deepaas_v2.py``, for its model ``MODEL`` under the name ``all``; and thousands about
one argument each, of ``tests/web/deepaas_requests.py``. Differences that remain are the faults of DEEPaaS that are
mended on purpose; see ``docs/reference/deepaas-api.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp

from tests.web import deepaas_requests
from tests.web.test_deepaas_v2 import ABSENT, PREDICT, READ, WRONG


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    body: dict[str, Any]


def asked() -> Iterator[Asked]:
    """Every request whose answers are compared."""
    for query, body, _ in (*READ, *WRONG):
        yield Asked("POST", f"{PREDICT}?{query}", body)
    for method, path, *_ in ABSENT:
        yield Asked(method, path, {})
    for path in ("/", "/v2/", "/v2", "/v2/models/all", "/v2/debug/", "/ui"):
        yield Asked("GET", path, {})


async def answer(session: aiohttp.ClientSession, server: str, one: Asked) -> tuple[int, str, str, Any]:
    """Status, content type, where to go instead, and body: as JSON if it is that."""
    async with session.request(one.method, server + one.path, allow_redirects=False, **one.body) as response:
        media_type = response.headers.get("Content-Type", "").replace(" ", "").lower()
        body = await (response.json() if "json" in media_type else response.text())
        return response.status, media_type, response.headers.get("Location", ""), body


async def compare(theirs: str, ours: str) -> tuple[int, int]:
    """Print what differs; gives how many answers do, and of how many."""
    differing, count = 0, 0
    async with aiohttp.ClientSession() as session:
        for one in asked():
            count += 1
            told = [await answer(session, server, one) for server in (theirs, ours)]
            if told[0] != told[1]:
                differing += 1
                print(f"{one.method} {one.path} {one.body or ''}\n  DEEPaaS  {told[0]}\n  here     {told[1]}")
    print(f"{differing} of {count} answers differ.")
    return differing, count


@dataclass
class Compared:
    """What both servers made of the requests about one argument each.

    Attributes:
        theirs: The answers of DEEPaaS.
        mended: How many answers differ on purpose.
        wrong: How many differ, and must not.
    """

    theirs: list[tuple[deepaas_requests.Asked, list[Any]]] = field(default_factory=list)
    mended: int = 0
    wrong: int = 0

    @property
    def count(self) -> int:
        """How many requests there were."""
        return len(self.theirs)

    @property
    def equal(self) -> int:
        """How many got equal answers."""
        return self.count - self.mended - self.wrong


async def compare_arguments(theirs: str, ours: str) -> Compared:
    """Send each of those requests to both; prints where answers differ that must not."""
    found = Compared()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        for asked in deepaas_requests.requests():
            told = [await _told(session, server, asked) for server in (theirs, ours)]
            found.theirs.append((asked, told[0]))
            if told[0] == told[1]:
                continue
            if asked.mended:
                found.mended += 1
            else:
                found.wrong += 1
                print(f"!! {asked}\n  DEEPaaS  {told[0]}\n  here     {told[1]}")
    return found


async def _told(session: aiohttp.ClientSession, server: str, asked: deepaas_requests.Asked) -> list[Any]:
    async with session.post(server + asked.path, **asked.options()) as response:
        return await deepaas_requests.answer_of(response)
