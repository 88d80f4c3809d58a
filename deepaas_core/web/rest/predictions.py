"""The prediction log over the native API: what was predicted, and what would have been right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from aiohttp import web

from deepaas_core import errors
from deepaas_core.domain.access import Right
from deepaas_core.domain.prediction_log import Label, Wanted
from deepaas_core.domain.prediction_log import moment as at_once
from deepaas_core.serving.reviewer import entries
from deepaas_core.web.auth import caller, demand
from deepaas_core.web.inputs import read_body, reading
from deepaas_core.web.keys import RECORDER, SETTINGS
from deepaas_core.web.rest.answers import json_response
from deepaas_core.web.rest.exports import EXPORTS, cut, document_of, format_of
from deepaas_core.web.rest.models import PREFIX
from deepaas_core.web.rest.runs import whole_number
from deepaas_core.web.routes import READ, Need, get_alone, partly, post
from deepaas_core.web.times import moment

PREDICTIONS = PREFIX + "/predictions"
DEFAULT_PAGE, MAX_PAGE = 100, 1000
MAX_LABELS = 100_000
MAX_UNKNOWN_SHOWN = 1000
#: Who calls a model learns later what would have been right; so does who trains it.
_LABELS = Need(frozenset({Right.PREDICT, Right.TRAIN}))


async def list_predictions(request: web.Request) -> web.StreamResponse:
    """What was predicted, newest first: as JSON a page at a time, else all of it."""
    wanted, form = read_wanted(request), format_of(request)
    recorder = request.app[RECORDER]
    await recorder.written()
    before = _entry_id(request.query.get("before"))
    if form != "json":
        text = request.query.get("limit")
        limit = None if text is None else whole_number("limit", text, 0, 10**9 - 1)
        found = cut(entries(recorder.store, wanted, before), limit)
        return await EXPORTS[form](request, found)
    limit = whole_number("limit", request.query.get("limit"), DEFAULT_PAGE, MAX_PAGE)
    page = await recorder.store.find(wanted, limit + 1, before)
    following = str(request.rel_url.update_query(before=page[limit - 1].id)) if len(page) > limit else None
    return json_response({"predictions": [document_of(entry) for entry in page[:limit]], "next": following})


async def post_labels(request: web.Request) -> web.Response:
    """Say what would have been right."""
    labels = _labels(await _body(request))
    recorder = request.app[RECORDER]
    await recorder.written()
    names = caller(request).names(Right.PREDICT, Right.TRAIN)
    unknown = await recorder.store.label(labels, names, at_once())
    shown = [{"request": label.request, "row": label.row} for label in unknown[:MAX_UNKNOWN_SHOWN]]
    return json_response({"labelled": len(labels) - len(unknown), "unknown": len(unknown), "unknown_requests": shown})


def read_wanted(request: web.Request) -> Wanted:
    """Which entries a request is about, of those that the caller may read.

    Raises:
        InvalidInput: It says so in a way that cannot be read.
        Forbidden: It is about what the caller may not read.
    """
    query, path = request.query, request.match_info
    names = caller(request).names(Right.READ)
    service = path.get("service") or path.get("model") or query.get("service") or query.get("model") or ""
    if service and service not in names:
        demand(request, Right.READ, service)
    asked = {name: query.get(name, "") for name in ("endpoint", "generation", "token", "request")}
    for name, text in {**asked, "service": service}.items():
        if "\0" in text or not text.isprintable():
            raise errors.InvalidInput([errors.Issue(f"/{name}", "Must be a name, with printable letters only.")])
    return Wanted(
        service=service,
        **asked,
        status=_status(query.get("status")),
        since=moment("since", query.get("since")),
        until=moment("until", query.get("until")),
        labelled=query.get("labelled", "false").lower() in ("true", "1"),
        names=names,
    )


def _status(text: str | None) -> int | None:
    """A status, or by its first digit all that begin so."""
    if text is None:
        return None
    digits = text.lower().removesuffix("xx")
    if not (digits.isascii() and digits.isdigit() and len(digits) in (1, 3) and "1" <= digits[0] <= "5"):
        raise errors.InvalidInput([errors.Issue("/status", "Must be a status like 422, or 4xx for all that begin so.")])
    return int(digits)


def _entry_id(text: str | None) -> str | None:
    if text is not None:
        try:
            known = len(bytes.fromhex(text)) == 16
        except ValueError:
            known = False
        if not known:
            raise errors.InvalidInput([errors.Issue("/before", "Must be the id of an entry.")])
    return text


async def _body(request: web.Request) -> Any:
    with reading(request):
        body = await read_body(request, request.app[SETTINGS])
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise errors.MalformedBody("The body is not valid JSON.") from None


def _labels(told: Any) -> Sequence[Label]:
    if not isinstance(told, list) or len(told) > MAX_LABELS:
        raise errors.InvalidInput([errors.Issue("", f"Must be a list of at most {MAX_LABELS} labels.")])
    labels, issues = [], []
    for place, one in enumerate(told):
        issue = _issue(one)
        if issue is None:
            labels.append(Label(one["request"], one["label"], one.get("row")))
        else:
            issues.append(errors.Issue(f"/{place}{issue.pointer}", issue.detail))
    if issues:
        raise errors.InvalidInput(issues[:100])
    return labels


def _issue(label: Any) -> errors.Issue | None:
    """What is wrong with a label as it was sent; None if nothing is."""
    if not isinstance(label, dict) or not {"request", "label"} <= set(label) <= {"request", "label", "row"}:
        return errors.Issue("", "Must have `request`, `label` and, if it is about one of several rows, `row`.")
    request, row, value = label["request"], label.get("row"), label["label"]
    if not (isinstance(request, str) and 0 < len(request) <= 64 and request.isprintable()):
        return errors.Issue("/request", "Must be the id of a request, as X-Request-ID had it.")
    if row is not None and not (isinstance(row, int) and not isinstance(row, bool) and 0 <= row < 2**31):
        return errors.Issue("/row", "Must be a whole number, from 0 on.")
    if not isinstance(value, str | int | float) or (isinstance(value, str) and len(value) > 1000):
        return errors.Issue("/label", "Must be a class or a number.")
    return None


ROUTES = [
    get_alone(PREDICTIONS, list_predictions, partly(READ)),
    post(PREDICTIONS + "/labels", post_labels, partly(_LABELS)),
]
