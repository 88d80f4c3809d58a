"""Services that a test writes down, packed as they are published, and brought on a server."""

from __future__ import annotations

import asyncio
import io
import textwrap
import zipfile
from typing import Any

import aiohttp
from aiohttp.test_utils import TestClient

ZIP = {"Content-Type": "application/zip"}

DEFINITION = """
name = "churn"
title = "Churn"

[endpoints.score]
kind = "function"
script = "score.py:predict"
"""


def packed(code: str = "def predict(x: float):\n    return x\n", definition: str = DEFINITION, **files: str) -> bytes:
    """The archive of a service with one script; other files are given by their names with ``__`` for the dot."""
    archive = io.BytesIO()
    texts = {"service.toml": definition, "score.py": code}
    texts |= {name.replace("__", ".").replace("_DASH_", "-"): text for name, text in files.items()}
    with zipfile.ZipFile(archive, "w") as made:
        for name, text in texts.items():
            made.writestr(name, textwrap.dedent(text))
    return archive.getvalue()


def answering(value: object) -> bytes:
    """The archive of a service that always answers the same."""
    return packed(f"def predict():\n    return {value!r}\n")


def checked(expected: object, answer: object) -> bytes:
    """The archive of a service that answers one thing, and whose test query expects another."""
    test = f"""
[[tests]]
endpoint = "score"
expected = {expected!r}
"""
    return packed(f"def predict():\n    return {answer!r}\n", DEFINITION + test)


async def publish(client: TestClient[Any, Any], service: str, archive: bytes, status: int = 201, **query: str) -> Any:
    """Publish a generation of a service, by its path; what is answered."""
    response = await client.post(f"{service}/generations", data=archive, headers=ZIP, params=query)
    document = await response.json()
    assert response.status == status, document
    return document


async def settled(client: TestClient[Any, Any], response: aiohttp.ClientResponse) -> Any:
    """The rollout that was asked for, when it is over."""
    rollout = await response.json()
    assert response.status == 202, rollout
    while rollout["state"] not in ("live", "failed"):
        await asyncio.sleep(0.02)
        rollout = await (await client.get(rollout["links"]["self"])).json()
    return rollout


async def make_live(client: TestClient[Any, Any], service: str, archive: bytes) -> None:
    """Publish the first generation of a service, and wait until it is live."""
    version = (await publish(client, service, archive))["version"]
    rollout = await settled(client, await client.put(f"{service}/deployment", json={"version": version}))
    assert rollout["state"] == "live", rollout
