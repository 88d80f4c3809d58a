"""Fetching what a client's URL leads to, without becoming the client's way into the network behind the server.

A name is looked up once, every address it has is checked, and the connection goes to a checked address: there is no
second look-up that could say something else. Redirects are followed by hand, each checked like the first. The rules
themselves are ``executors/worker/guard.py``, which also holds the models that fetch by themselves to them.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from deepaas_core import errors
from deepaas_core.executors.worker.guard import Guard, Refused, parse_address

#: Looks up a name and a port, and answers every address; raises OSError if there are none.
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

LOOKUP_TIMEOUT_S = 5.0
MAX_BYTES = 32 * 2**20
MAX_REDIRECTS = 3

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {"User-Agent": "deepaas-core", "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}", re.ASCII)
_CHUNK_BYTES = 2**18


@dataclass(frozen=True)
class Checked:
    """A URL that may be fetched, and the addresses to connect to for it."""

    url: str
    scheme: str
    host: str
    port: int
    addresses: tuple[str, ...]


async def look_up(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as the system's resolver gives them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def check(url: str, guard: Guard, resolver: Resolver | None = None) -> Checked:
    """Check a URL, and every address that its name has.

    Raises:
        AddressRefused: It is not a URL that this server fetches from, or leads to where the guard does not let through.
        SourceUnavailable: Its name does not exist, or cannot be looked up in time.
    """
    try:
        scheme, host, port = guard.check_url(url)
    except Refused as refused:
        raise errors.AddressRefused(f"The URL is refused: {refused}.") from None
    addresses = (host,) if parse_address(host) else await _addresses(host, port, resolver or look_up)
    try:
        for address in addresses:
            guard.check_address(address, port, host)
    except Refused as refused:
        raise errors.AddressRefused(f"The URL is refused: {refused}.") from None
    return Checked(url, scheme, host, port, addresses)


async def _addresses(host: str, port: int, resolver: Resolver) -> tuple[str, ...]:
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT_S):
            addresses = tuple(dict.fromkeys(await resolver(host, port)))
    except (OSError, UnicodeError):  # TimeoutError is an OSError
        addresses = ()
    if not addresses:
        raise errors.SourceUnavailable("The URL could not be fetched: its host is not known.")
    return addresses


class Fetcher:
    """The guarded client.

    Every hop has a connection of its own, so that none goes to an address checked for another.

    Args:
        guard: The rules for addresses.
        max_bytes: Largest content, after decompression.
        resolver: Looks names up; the system's by default.
    """

    def __init__(self, guard: Guard, max_bytes: int = MAX_BYTES, resolver: Resolver | None = None):
        self._guard = guard
        self._max_bytes = max_bytes
        self._resolver = resolver

    async def fetch_to(self, url: str, path: Path, timeout_s: float = 30.0) -> str:
        """Fetch a URL into a new file.

        Args:
            url: As the client gave it.
            path: Where the content goes; nothing is left there when fetching fails.
            timeout_s: For everything together: looking up, redirects, content.

        Returns:
            The media type that the source gives, without parameters.

        Raises:
            AddressRefused: It, or a redirect, leads to where the guard does not let through.
            SourceUnavailable: The source does not answer, or not with content.
            PayloadTooLarge: The content is larger than ``max_bytes``.
        """
        file = await asyncio.to_thread(path.open, "xb")
        try:
            async with asyncio.timeout(timeout_s):
                media_type = await self._follow(url, file)
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, TimeoutError):
                raise _unavailable(f"it took longer than {timeout_s:g} s") from None
            raise
        finally:
            file.close()
        return media_type

    async def _follow(self, url: str, file: BinaryIO) -> str:
        for _ in range(MAX_REDIRECTS + 1):
            checked = await check(url, self._guard, self._resolver)
            answer = await self._fetch(checked, file)
            if isinstance(answer, str):
                return answer
            url = answer.url
        raise _unavailable(f"it was redirected more than {MAX_REDIRECTS} times")

    async def _fetch(self, checked: Checked, file: BinaryIO) -> str | _Redirect:
        target = URL(checked.url)
        if ((target.host or "").rstrip("."), target.port) != (checked.host, checked.port):
            raise errors.AddressRefused("The URL is refused: it cannot be read in one way only.")
        connector = aiohttp.TCPConnector(resolver=_Pinned(checked), use_dns_cache=False, force_close=True)
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, headers=_HEADERS
                ) as session,
                session.get(target, allow_redirects=False) as response,
            ):
                if response.status in _REDIRECTS:
                    return _Redirect(_location(checked.url, response))
                return await self._keep(response, file)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError):
            raise _unavailable("no secure connection to it is possible") from None
        except aiohttp.ClientConnectorError:
            raise _unavailable("no connection to it is possible") from None
        except aiohttp.ClientPayloadError:
            raise _unavailable("its content broke off, or is not compressed as it says") from None
        except (aiohttp.ClientError, ConnectionError, ValueError):
            raise _unavailable("its answer cannot be read") from None

    async def _keep(self, response: aiohttp.ClientResponse, file: BinaryIO) -> str:
        if response.status != 200:
            raise _unavailable(f"it answered with status {response.status}")
        if (response.content_length or 0) > self._max_bytes:
            raise errors.PayloadTooLarge(self._max_bytes)
        size = 0
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            size += len(chunk)
            if size > self._max_bytes:
                raise errors.PayloadTooLarge(self._max_bytes)
            await asyncio.to_thread(file.write, chunk)
        media_type = response.content_type
        return media_type if _MEDIA_TYPE.fullmatch(media_type) else "application/octet-stream"


@dataclass(frozen=True)
class _Redirect:
    url: str


def _location(url: str, response: aiohttp.ClientResponse) -> str:
    location = response.headers.get("Location", "")
    if not location:
        raise _unavailable("it was redirected to nowhere")
    with suppress(ValueError):  # a bracket at the wrong place
        return urljoin(url, location)
    raise errors.AddressRefused("The URL is refused: it was redirected to what is not a URL.")


def _unavailable(reason: str) -> errors.SourceUnavailable:
    return errors.SourceUnavailable(f"The URL could not be fetched: {reason}.")


class _Pinned(AbstractResolver):
    """Answers the addresses that were checked, whatever it is asked for."""

    def __init__(self, checked: Checked):
        self._checked = checked

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=self._checked.port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._checked.addresses
        ]

    async def close(self) -> None:
        """Nothing is held open."""
