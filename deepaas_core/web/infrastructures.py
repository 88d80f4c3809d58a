"""Other servers of ours, as this one sees them when it copies a generation there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from deepaas_core import errors
from deepaas_core.domain.deployment import Generation
from deepaas_core.settings import Infrastructure

CONNECT_TIMEOUT_S, ANSWER_TIMEOUT_S = 10.0, 60.0
LOOK_EVERY_S = 0.5
_CONFLICT = 409


async def copy_to(there: Infrastructure, generation: Generation, archive: Path, timeout_s: float) -> dict[str, Any]:
    """Publish a generation on another server, and deploy it there.

    Args:
        there: The server.
        generation: What to copy; one that is there already is only deployed.
        archive: Its archive.
        timeout_s: How long it may take to be live.

    Returns:
        The rollout as the other server shows it.

    Raises:
        InfrastructureFailed: It cannot be reached, refuses, or the generation does not become live there.
    """
    try:
        async with asyncio.timeout(timeout_s), _session(there) as session:
            other = _Other(session, there.url.rstrip("/") + "/api/v1")
            path = f"/services/{quote(generation.service)}"
            await _publish(other, path, generation, archive)
            rollout = await other.ask("PUT", f"{path}/deployment", json={"version": generation.version})
            while rollout["state"] not in ("live", "failed"):
                await asyncio.sleep(LOOK_EVERY_S)
                rollout = await other.ask("GET", f"{path}/rollouts/{rollout['id']}")
    except TimeoutError as error:
        raise errors.InfrastructureFailed(f"{there.url} did not bring it up within {timeout_s:g} s.") from error
    except aiohttp.ClientConnectionError as error:
        raise errors.InfrastructureFailed(f"{there.url} cannot be reached.") from error
    except (aiohttp.ClientError, OSError, KeyError, TypeError, ValueError) as error:
        raise errors.InfrastructureFailed(
            f"{there.url} does not answer as it should: {type(error).__name__}."
        ) from error
    if rollout["state"] != "live":
        raise errors.InfrastructureFailed(f"{there.url} did not bring it up: {rollout.get('reason')}")
    return rollout


async def _publish(other: _Other, path: str, generation: Generation, archive: Path) -> None:
    with archive.open("rb") as file:
        form = aiohttp.FormData({"version": generation.version, "notes": generation.notes})
        form.add_field("allow_apt", str(generation.definition.allow_apt).lower())
        form.add_field("file", file, filename="archive.zip", content_type="application/zip")
        status, answer = await other.try_to_ask("POST", f"{path}/generations", data=form)
    if status == _CONFLICT:
        known = await other.ask("GET", f"{path}/generations/{quote(generation.version)}")
        if known.get("digest") != generation.digest:
            raise errors.InfrastructureFailed(
                f"Generation {generation.version!r} is another one there; publish this one under another version."
            )
    elif status >= 400:
        raise errors.InfrastructureFailed(_told(status, answer))


class _Other:
    """The native API of another server."""

    def __init__(self, session: aiohttp.ClientSession, base: str):
        self._session, self._base = session, base

    async def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        status, answer = await self.try_to_ask(method, path, **options)
        if status >= 400:
            raise errors.InfrastructureFailed(_told(status, answer))
        return answer

    async def try_to_ask(self, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
        async with self._session.request(method, self._base + path, allow_redirects=False, **options) as response:
            answer = json.loads(await response.content.read(2**20))
            if not isinstance(answer, dict):
                raise ValueError
            return response.status, answer


@asynccontextmanager
async def _session(there: Infrastructure) -> AsyncIterator[aiohttp.ClientSession]:
    token = there.token
    if not token and there.token_file is not None:
        try:
            token = (await asyncio.to_thread(there.token_file.read_text)).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise errors.InfrastructureFailed(f"The token for {there.url} cannot be read from its file.") from error
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=ANSWER_TIMEOUT_S)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield session


def _told(status: int, answer: dict[str, Any]) -> str:
    return f"The other server refuses ({status}): {answer.get('detail') or answer.get('title')}"
