"""The page of what a model or a service has predicted: figures, and a picture of each view."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from deepaas_core.domain.prediction_log import Wanted
from deepaas_core.errors import InvalidInput, Issue, ModelNotFound
from deepaas_core.web.keys import CATALOG, RECORDER, SERVICES
from deepaas_core.web.times import moment

#: The views, as the native API calls them, and what they are called here.
_VIEWS = {
    "traffic": "Predictions over time",
    "predictions": "What was predicted",
    "generations": "Share of generations",
    "latency": "Time to answer",
    "statuses": "Statuses",
    "quality": "Quality, by labels",
}
_ASKED = ("since", "until", "generation", "endpoint")


async def contents(request: web.Request) -> dict[str, Any]:
    """What the page shows."""
    name = request.match_info["model"]
    kind = _kind(request, name)
    asked = {part: text for part in _ASKED if (text := request.query.get(part, "").strip())}
    for part, text in asked.items():
        if not text.isprintable():
            raise InvalidInput([Issue(f"/{part}", "Must be printable.")])
    recorder = request.app[RECORDER]
    await recorder.written()
    wanted = Wanted(
        service=name,
        endpoint=asked.get("endpoint", ""),
        generation=asked.get("generation", ""),
        since=moment("since", asked.get("since")),
        until=moment("until", asked.get("until")),
    )
    seen = await recorder.store.statistics(wanted)
    address = f"../api/v1/{kind}/{quote(name, safe='')}/statistics"
    query = f"?{urlencode(asked)}" if asked else ""
    return {
        "name": name,
        "kind": kind,
        "asked": {part: asked.get(part, "") for part in _ASKED},
        "total": seen.total,
        "failed": seen.failed,
        "labelled": seen.labelled,
        "first": f"{seen.first:%Y-%m-%d %H:%M}" if seen.first else "",
        "last": f"{seen.last:%Y-%m-%d %H:%M}" if seen.last else "",
        "views": [(title, f"{address}/{view}.svg{query}") for view, title in _VIEWS.items()],
        "document": address + query,
        "table": f"../api/v1/predictions?{urlencode({'service': name, **asked, 'format': 'csv'})}",
    }


def _kind(request: web.Request, name: str) -> str:
    if request.app[CATALOG].serves(name):
        return "models"
    if request.app[SERVICES].knows(name):
        return "services"
    raise ModelNotFound(name)
