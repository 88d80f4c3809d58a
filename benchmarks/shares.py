"""How traffic is shared: so many calls of a service with two generations, and what part of them each has answered.

    python -m benchmarks.shares [--calls 100000] [--server http://127.0.0.1:5000]

publishes two generations of a service ``shares`` on a running server, gives them 30 and 70 percent, asks, and prints
what came of it. The exit code is 1 if a call failed, was answered by another generation than its answer says, or if the
parts are further from the shares than chance explains (five standard deviations).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import math
import sys
import time
import zipfile
from collections import Counter

import aiohttp

SERVICE = "/api/v1/services/shares"
SHARES = {"v1": 0.3, "auto_deploy_api": 0.7}
DEFINITION = 'name = "shares"\n[endpoints.who]\nkind = "function"\nscript = "who.py:who"\n'
CALLERS = 16


def packed(version: str) -> bytes:
    """The archive of a generation that answers its own version."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("service.toml", DEFINITION)
        made.writestr("who.py", f"def who():\n    return {version!r}\n")
    return archive.getvalue()


async def deploy(session: aiohttp.ClientSession) -> None:
    """Have both generations live."""
    for version in SHARES:
        async with session.post(
            f"{SERVICE}/generations",
            params={"version": version},
            data=packed(version),
            headers={"Content-Type": "application/zip"},
        ) as answer:
            if answer.status not in (201, 409):
                raise SystemExit(await answer.text())
    async with session.put(f"{SERVICE}/deployment", json={"shares": SHARES}) as answer:
        rollout = await answer.json()
    while rollout["state"] not in ("live", "failed"):
        await asyncio.sleep(0.1)
        async with session.get(rollout["links"]["self"]) as answer:
            rollout = await answer.json()
    if rollout["state"] == "failed":
        raise SystemExit(rollout["reason"])


async def ask(session: aiohttp.ClientSession, calls: int) -> tuple[Counter[str], int, int]:
    """Make the calls; gives who answered how often, how many failed, and how many were misled."""
    answered, left, failed, misled = Counter[str](), calls, 0, 0

    async def caller() -> None:
        nonlocal left, failed, misled
        while left > 0:
            left -= 1
            async with session.post(f"{SERVICE}/endpoints/who", json={}) as answer:
                document = await answer.json()
                if answer.status != 200:
                    failed += 1
                    continue
                version = answer.headers["X-Service-Generation"]
                answered[version] += 1
                misled += not version == document["generation"] == document["result"]

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return answered, failed, misled


async def main(server: str, calls: int) -> int:
    """Measure, and say what came of it."""
    async with aiohttp.ClientSession(server, connector=aiohttp.TCPConnector(limit=CALLERS)) as session:
        await deploy(session)
        began = time.perf_counter()
        answered, failed, misled = await ask(session, calls)
        seconds = time.perf_counter() - began
    fair = True
    for version, share in SHARES.items():
        expected, deviation = calls * share, math.sqrt(calls * share * (1 - share))
        off = (answered[version] - expected) / deviation
        fair = fair and abs(off) < 5
        part = answered[version] / calls
        print(f"{version:>16}  {answered[version]:>8}  {part:.4f} for {share}  ({off:+.2f} deviations)")
    print(f"{calls} calls in {seconds:.1f} s ({calls / seconds:.0f}/s), {failed} failed, {misled} misled")
    return 0 if fair and not failed and not misled else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--server", default="http://127.0.0.1:5000")
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.server, given.calls)))
