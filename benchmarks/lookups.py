"""How long a lookup takes, and what it costs: ``python -m benchmarks.lookups [--rows 5000000] [--folder DIR]``.

The same table is looked up in the index of a bundled file, and behind a connection to a PostgreSQL server that is
started for this. Times are those of one lookup as an enrichment makes it, in the event loop of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import asyncpg
import psutil

from deepaas_core.datasets.base import Rows
from deepaas_core.datasets.opening import OpenDatasets
from deepaas_core.domain.dataset import Dataset
from deepaas_core.settings import Connection
from tests.postgres import Postgres, binaries

COLUMNS = ["card_id", "card_fico_score", "card_age", "issued", "name"]
ALONE, TOGETHER, AT_ONCE = 20_000, 200, 100


def row(number: int) -> tuple[str, int, float, str, str]:
    return f"C{number:08d}", number % 850, number % 4000 / 7, f"20{number % 20:02d}-01-{number % 28 + 1:02d}", "Ada L."


def write_csv(path: Path, count: int) -> None:
    order = list(range(count))
    random.Random(1).shuffle(order)
    with path.open("w") as file:
        file.write(",".join(COLUMNS) + "\n")
        file.writelines(",".join(map(str, row(number))) + "\n" for number in order)


async def fill(url: str, path: Path) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute(
        "CREATE TABLE cards (card_id text, card_fico_score integer, card_age double precision, issued date, name text)"
    )
    await connection.copy_to_table("cards", source=path, format="csv", header=True)
    await connection.execute("CREATE INDEX ON cards (card_id)")
    await connection.execute("ANALYZE cards")
    await connection.close()


async def measure(what: str, rows: Rows, count: int, memory: Callable[[], float]) -> None:
    def keys(number: int) -> list[tuple[str]]:
        return [(row(random.randrange(count))[0],) for _ in range(number)]

    async def one() -> None:
        [[found]] = await rows.find(COLUMNS[:1], keys(1), COLUMNS[1:])
        assert len(found) == 4

    async def many() -> None:
        found = await rows.find(COLUMNS[:1], keys(AT_ONCE), COLUMNS[1:])
        assert all(len(each) == 1 for each in found)

    before = memory()
    first = await timed(one, 1)
    alone = await timed(one, ALONE)
    together = await timed(many, TOGETHER)
    print(
        f"| {what} | {first[0] * 1e3:.2f} | {ms(alone, 50)} | {ms(alone, 99)} | {ms(alone, 99.9)} "
        f"| {ms(together, 50)} | {ms(together, 99)} | {memory() - before:.1f} |"
    )


async def timed(call: Callable[[], Awaitable[None]], times: int) -> list[float]:
    took = []
    for _ in range(times):
        started = time.perf_counter()
        await call()
        took.append(time.perf_counter() - started)
    return took


def ms(took: Sequence[float], percentile: float) -> str:
    return f"{statistics.quantiles(took, n=1000)[int(percentile * 10) - 1] * 1e3:.3f}"


async def main(count: int, folder: Path) -> None:
    process = psutil.Process()
    path, index = folder / "cards.csv", folder / "cards.index"
    write_csv(path, count)
    print(f"{count} rows, {path.stat().st_size / 2**20:.0f} MiB of CSV")
    dataset, datasets = Dataset("cards", path.name), OpenDatasets({})
    started = time.perf_counter()
    await datasets.index(dataset, folder, index, COLUMNS, [("card_id",)])
    print(f"indexed in {time.perf_counter() - started:.1f} s, {index.stat().st_size / 2**20:.0f} MiB on disk")
    started = time.perf_counter()
    rows = await datasets.open_bundled(dataset, index)
    print(f"opened in {(time.perf_counter() - started) * 1e3:.1f} ms")
    print()
    print(f"| | first, ms | one p50 | one p99 | one p99.9 | {AT_ONCE} together p50 | p99 | MB grown |")
    print("|---|---|---|---|---|---|---|---|")
    await measure("bundled", rows, count, lambda: process.memory_full_info().uss / 1e6)
    await rows.close()
    programs = binaries()
    if programs is None:
        print("\nPostgreSQL is not installed: nothing to refer to.")
        return
    there = folder / "postgresql"
    there.mkdir(mode=0o755)
    postgres = Postgres(programs, there)
    postgres.start()
    try:
        await fill(postgres.url(), path)
        datasets = OpenDatasets({"there": Connection(postgres.url())})
        rows = await datasets.open_referenced(Dataset("cards", connection="there", table="cards"))
        await measure("PostgreSQL", rows, count, lambda: process.memory_full_info().uss / 1e6)
        await datasets.close()
    finally:
        postgres.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path, help="where its files are made, and removed; a temporary folder")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="lookups-") as made:
        Path(made).chmod(0o755)
        asyncio.run(main(given.rows, Path(made)))
