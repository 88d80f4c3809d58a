"""What the prediction log costs, and whether every answer has its entry: a steady load, and SIGTERM in the midst of it.

    python -m benchmarks.prediction_log --rate 500 --seconds 10 [--http-workers 2] [--durable]

The same load is put to a server without the log, for comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp

MODEL = "def predict_data(data):\n    return {'prediction': sum(data)}\n"
BODY = {"data": [0.5] * 20}


def install(folder: Path) -> Path:
    """A package with one model, as pip would leave it."""
    info = folder / "site" / "model_sum.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: model-sum\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[deepaas.model]\nsum = model_sum\n")
    (folder / "site" / "model_sum.py").write_text(MODEL)
    return folder / "site"


async def load(
    url: str, rate: float, seconds: float, process: subprocess.Popen[bytes]
) -> tuple[list[str], list[float]]:
    """Ask at a steady rate; near the end, tell the server to stop.

    Returns:
        The ids of the requests that were answered, and how long each took, in seconds.
    """
    answered, took = [], []

    async def ask(session: aiohttp.ClientSession) -> None:
        started = time.perf_counter()
        try:
            async with session.post(url, json=BODY) as response:
                await response.read()
                if response.status == 200:
                    answered.append(response.headers["X-Request-ID"])
                    took.append(time.perf_counter() - started)
        except (aiohttp.ClientError, ConnectionError):
            return

    connector = aiohttp.TCPConnector(limit=64)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        began, number, stopping = time.perf_counter(), 0, False
        while (now := time.perf_counter() - began) < seconds + 0.5:
            if now > seconds and not stopping:
                process.send_signal(signal.SIGTERM)
                stopping = True
            while number < now * rate:
                group.create_task(ask(session))
                number += 1
            await asyncio.sleep(0.002)
    return answered, took


async def ready(base: str) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(600):
            try:
                async with session.get(f"{base}/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
    raise SystemExit("the server does not become ready")


def run(given: argparse.Namespace, *settings: str) -> tuple[list[str], list[float], Counter[str]]:
    """One server under load, until it has ended; what was answered, how quickly, and what is in its log."""
    with tempfile.TemporaryDirectory(prefix="prediction-log-") as name:
        folder = Path(name)
        site = install(folder)
        command = [sys.executable, "-m", "deepaas_core", "serve", "--port", str(given.port), "--model", "sum"]
        command += ["--data-dir", str(folder / "data"), "--http-workers", str(given.http_workers), *settings]
        path = os.pathsep.join((str(site), str(Path(__file__).parents[1])))
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stdout=log, stderr=log)
        base = f"http://127.0.0.1:{given.port}"
        try:
            asyncio.run(ready(base))
            url = f"{base}/api/v1/models/sum/predict/data"
            answered, took = asyncio.run(load(url, given.rate, given.seconds, process))
            process.wait(60)
        finally:
            process.kill()
        entries = Counter[str]()
        if settings:
            with sqlite3.connect(folder / "data" / "predictions.db") as database:
                entries.update(one for (one,) in database.execute("SELECT request FROM predictions WHERE status=200"))
    return answered, took, entries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=500, help="requests a second")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--http-workers", type=int, default=1)
    parser.add_argument("--port", type=int, default=5597)
    parser.add_argument("--durable", action="store_true")
    given = parser.parse_args()
    durable = ("--prediction-log-durable",) if given.durable else ()
    for title, settings in (("without", ()), ("with", ("--prediction-log-log", "full", *durable))):
        answered, took, entries = run(given, *settings)
        marks = statistics.quantiles(took, n=100)
        print(
            f"{title:8} {len(answered)} answers, {len(answered) / given.seconds:.0f}/s, "
            f"p50 {1000 * marks[49]:.2f} ms, p99 {1000 * marks[98]:.2f} ms"
        )
        if settings:
            missing, twice = set(answered) - set(entries), [one for one, number in entries.items() if number > 1]
            more = len(set(entries) - set(answered))
            print(f"         {len(entries)} entries, {len(missing)} missing, {len(twice)} twice, {more} not received")


if __name__ == "__main__":
    main()
