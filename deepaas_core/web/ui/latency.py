"""How long answers of an endpoint took, in words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from aiohttp import web

from deepaas_core.domain.prediction_log import Wanted
from deepaas_core.errors import StoreUnavailable
from deepaas_core.telemetry.metrics import BOUNDS
from deepaas_core.web.keys import COUNTS, RECORDER

LOOKED_BACK = timedelta(days=7)
#: A page is not to wait for the statistics of many millions.
PATIENCE_S = 1.0
#: Of fewer calls, an average says more than percentiles.
FEW = 20


async def told(request: web.Request, service: str, version: str, endpoint: str, parts: Iterable[str]) -> str:
    """What is known of an endpoint of a generation: from the prediction log, else what this process has counted.

    Args:
        request: Who wants to know.
        service: Its name.
        version: Which generation of it.
        endpoint: Which of its endpoints.
        parts: The catalog's names of what answers it.
    """
    return await _logged(request, service, version, endpoint) or _counted(request, parts)


async def _logged(request: web.Request, service: str, version: str, endpoint: str) -> str:
    wanted = Wanted(service=service, endpoint=endpoint, generation=version, since=datetime.now(UTC) - LOOKED_BACK)
    try:
        async with asyncio.timeout(PATIENCE_S):
            found = await request.app[RECORDER].store.statistics(wanted)
    except (StoreUnavailable, TimeoutError):
        return ""
    latency = found.latency.get("")
    if latency is None:
        return ""
    days, failed = LOOKED_BACK.days, found.failed / found.total
    return (
        f"Logged in the last {days} days: {found.total}, {failed:.2%} of them errors. "
        f"Half of the answers took at most {_shown(latency.p50)}, 95 % at most {_shown(latency.p95)}."
    )


def _counted(request: web.Request, parts: Iterable[str]) -> str:
    names = set(parts)
    found = [series for (name, _), series in request.app[COUNTS].calls.items() if name in names]
    buckets = [sum(counts) for counts in zip(*(series.buckets for series in found), strict=True)]
    total = sum(buckets)
    if not total:
        return ""
    if total < FEW:
        mean_s = sum(series.seconds for series in found) / total
        return f"Calls since the start: {total}, computed in {_shown(mean_s)} on average."
    half, most = (_within(buckets, total * part) for part in (0.5, 0.95))
    return f"Half of the {total} calls since the start were computed {half}, 95 % {most}."


def _within(buckets: list[int], wanted: float) -> str:
    for bound, reached in zip(BOUNDS, accumulate(buckets), strict=False):
        if reached >= wanted:
            return f"within {_shown(bound)}"
    return f"in more than {_shown(BOUNDS[-1])}"


def _shown(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
