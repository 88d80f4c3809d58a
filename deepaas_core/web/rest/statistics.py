"""What the predictions of a model or a service come down to, over the native API: in numbers and in pictures."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from aiohttp import web

from deepaas_core import errors
from deepaas_core.domain.prediction_log import Latency, Statistics
from deepaas_core.serving.reviewer import Compared, Review
from deepaas_core.web.keys import CATALOG, RECORDER, SERVICES
from deepaas_core.web.rest import charts
from deepaas_core.web.rest.answers import json_response
from deepaas_core.web.rest.models import MODEL, PREFIX
from deepaas_core.web.rest.predictions import read_wanted
from deepaas_core.web.rest.runs import iso
from deepaas_core.web.routes import READ, get

SERVICE = PREFIX + "/services/{service}"
#: What generations together, and predictions of none that is known, are called in a picture.
_ALL_PARTS, _UNKNOWN = "all", "unknown"


async def get_statistics(request: web.Request) -> web.Response:
    """What the predictions of a model or service come down to."""
    name, found = await _review(request)
    return json_response({"name": name, **document_of(found)})


async def get_picture(request: web.Request) -> web.Response:
    """One view of the statistics, as a picture."""
    draw = PICTURES.get(request.match_info["picture"])
    if draw is None:
        raise errors.NotFound(f"There is no such picture; there are {', '.join(PICTURES)}.")
    name, found = await _review(request)
    picture = await asyncio.to_thread(draw, name, found)
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'", "Cache-Control": "no-cache"}
    body = picture.encode("utf-8", "replace")
    return web.Response(body=body, content_type="image/svg+xml", charset="utf-8", headers=headers)


async def _review(request: web.Request) -> tuple[str, Review]:
    wanted, recorder = read_wanted(request), request.app[RECORDER]
    await recorder.written()
    found = await recorder.reviewer.review(wanted)
    if not found.statistics.total:
        model = request.match_info.get("model")
        if model is not None:
            request.app[CATALOG].entry(model)
        elif not request.app[SERVICES].knows(wanted.service):
            raise errors.ServiceNotFound(wanted.service)
    return wanted.service, found


def document_of(found: Review) -> dict[str, Any]:
    """What many entries come down to, as plain data."""
    seen = found.statistics
    points = [
        {"at": iso(_at(seen, place)), "total": total, "errors": failed}
        for place, (total, failed) in sorted(seen.timeline.items())
    ]
    return {
        "first": iso(seen.first),
        "last": iso(seen.last),
        "total": seen.total,
        "errors": seen.failed,
        "error_rate": _part(seen.failed, seen.total),
        "statuses": _sums(seen, lambda endpoint, generation, status: str(status)),
        "endpoints": _sums(seen, lambda endpoint, generation, status: endpoint),
        "latency_s": _latency(seen.latency.get("")),
        "generations": {name: _generation(found, name) for name in _generations(seen)},
        "timeline": {"step_s": seen.step_s, "points": points},
        "predictions": _predictions(seen),
        "labels": {"labelled": seen.labelled, **_quality(found.quality)},
    }


def _generations(seen: Statistics) -> Sequence[str]:
    return sorted({generation for _, generation, _ in seen.counts if generation})


def _generation(found: Review, name: str) -> dict[str, Any]:
    seen = found.statistics
    counts = [(status, number) for (_, generation, status), number in seen.counts.items() if generation == name]
    total, failed = sum(number for _, number in counts), sum(number for status, number in counts if status >= 400)
    return {
        "total": total,
        "share": _part(total, seen.total),
        "errors": failed,
        "error_rate": _part(failed, total),
        "latency_s": _latency(seen.latency.get(name)),
        "labels": _quality(found.by_generation.get(name, Compared())),
    }


def _latency(latency: Latency | None) -> dict[str, Any] | None:
    if latency is None:
        return None
    told = {name: value if name == "count" else round(value, 6) for name, value in asdict(latency).items()}
    return {("max" if name == "most" else name): value for name, value in told.items()}


def _predictions(seen: Statistics) -> dict[str, Any]:
    together: dict[str, dict[str, int]] = {}
    for (category, generation), number in seen.categories.items():
        together.setdefault(category, {})[generation] = number
    classes = {
        name: {"total": sum(counts.values()), "generations": counts}
        for name, counts in sorted(together.items(), key=lambda one: -sum(one[1].values()))
    }
    spread = seen.numbers
    return {
        "classes": classes,
        "other_classes": seen.other,
        "numbers": {"edges": list(spread.edges), "generations": {name: list(n) for name, n in spread.counts.items()}},
    }


def _quality(compared: Compared) -> dict[str, Any]:
    return {
        "classification": None if compared.classified is None else asdict(compared.classified),
        "regression": None if compared.estimated is None else asdict(compared.estimated),
    }


def _sums(seen: Statistics, key: Callable[[str, str, int], str]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for parts, number in seen.counts.items():
        name = key(*parts)
        sums[name] = sums.get(name, 0) + number
    return dict(sorted(sums.items()))


def _part(some: int, of: int) -> float | None:
    return round(some / of, 6) if of else None


def _at(seen: Statistics, place: int) -> datetime:
    """When a place of the timeline begins."""
    assert seen.since is not None
    return seen.since + timedelta(seconds=place * seen.step_s)


def _draw_traffic(name: str, found: Review) -> str:
    seen, last = found.statistics, max(found.statistics.timeline, default=-1)
    step = timedelta(seconds=seen.step_s)
    form = "%H:%M" if step >= timedelta(minutes=1) else "%H:%M:%S"
    if (last + 1) * step >= timedelta(days=1):
        form = "%d %b" if step >= timedelta(days=1) else f"%d %b {form}"
    places = [_at(seen, place).strftime(form) for place in range(last + 1)]
    counts = [seen.timeline.get(place, (0, 0)) for place in range(last + 1)]
    series = {"all": [float(total) for total, _ in counts], "errors": [float(failed) for _, failed in counts]}
    return charts.bars(f"{name} · predictions", places, series, f"in {_in_words(step)}")


def _in_words(step: timedelta) -> str:
    for name, unit in {"d": timedelta(days=1), "h": timedelta(hours=1), "min": timedelta(minutes=1)}.items():
        if step >= unit:
            return f"{step / unit:g} {name}"
    return f"{step.total_seconds():g} s"


def _draw_statuses(name: str, found: Review) -> str:
    sums = _sums(found.statistics, lambda endpoint, generation, status: str(status))
    return charts.bars(f"{name} · statuses", list(sums), {"answers": [float(number) for number in sums.values()]})


def _draw_latency(name: str, found: Review) -> str:
    latency = found.statistics.latency
    parts = {part: one for part, one in sorted(latency.items()) if part} or latency
    marks = {part: (one.p50, one.p90, one.p95, one.p99) for part, one in parts.items()}
    series = {part or _ALL_PARTS: [1000 * seconds for seconds in some] for part, some in marks.items()}
    return charts.bars(f"{name} · time to answer", ["p50", "p90", "p95", "p99"], series, "ms")


def _draw_generations(name: str, found: Review) -> str:
    seen = found.statistics
    shares = {part: [100 * (_generation(found, part)["share"] or 0)] for part in _generations(seen)}
    return charts.bars(f"{name} · share of generations", ["share"], shares, "%")


def _draw_predictions(name: str, found: Review) -> str:
    seen = found.statistics
    if seen.categories:
        told = _predictions(seen)["classes"]
        parts = sorted({part for one in told.values() for part in one["generations"]})
        heights: Mapping[str, Sequence[float]] = {
            part or _UNKNOWN: [float(one["generations"].get(part, 0)) for one in told.values()] for part in parts
        }
        return charts.bars(f"{name} · predicted classes", list(told), heights)
    spread = seen.numbers
    heights = {part or _UNKNOWN: [float(number) for number in counts] for part, counts in sorted(spread.counts.items())}
    places = [f"{(low + high) / 2:.4g}" for low, high in pairwise(spread.edges)]
    return charts.bars(f"{name} · predicted numbers", places, heights)


def _draw_quality(name: str, found: Review) -> str:
    classified, estimated = found.quality.classified, found.quality.estimated
    if classified is None and estimated is not None:
        marks = {"MAE": estimated.mae, "RMSE": estimated.rmse, "|bias|": math.fabs(estimated.bias)}
        title = f"{name} · {estimated.count} compared" + ("" if estimated.r2 is None else f", R² {estimated.r2:.3f}")
        return charts.bars(title, list(marks), {"error": list(marks.values())})
    if classified is None:
        return charts.matrix(f"{name} · quality", [], [])
    area = "" if classified.auc is None else f", AUC {classified.auc:.3f}"
    title = f"{name} · accuracy {classified.accuracy:.3f}{area}"
    return charts.matrix(title, classified.classes, classified.confusion)


#: What can be drawn, by the name of the picture.
PICTURES: Mapping[str, Callable[[str, Review], str]] = {
    "traffic": _draw_traffic,
    "statuses": _draw_statuses,
    "latency": _draw_latency,
    "generations": _draw_generations,
    "predictions": _draw_predictions,
    "quality": _draw_quality,
}

ROUTES = [
    get(MODEL + "/statistics", get_statistics, READ),
    get(SERVICE + "/statistics", get_statistics, READ),
    get(MODEL + "/statistics/{picture}.svg", get_picture, READ),
    get(SERVICE + "/statistics/{picture}.svg", get_picture, READ),
]
