"""Answers of endpoints that run no code: lookups and queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from deepaas_core import errors
from deepaas_core.domain.service import Endpoint
from deepaas_core.serving.answering import look_up, rows_of, run_query, table_of
from deepaas_core.serving.scoring import Portion, refuse_whole
from deepaas_core.serving.services import Live
from deepaas_core.web import negotiation
from deepaas_core.web.keys import ENRICHER
from deepaas_core.web.records import NOTHING, Sent
from deepaas_core.web.rest.rows import Answering, answer_rows


async def answer_lookup(
    request: web.Request, live: Live, endpoint: Endpoint, sent: Sent, how: Answering, apart: bool
) -> web.Response:
    """Fetch the rows that have keys.

    Args:
        request: Whose answer it is.
        live: The chosen generation.
        endpoint: The lookup.
        sent: The keys.
        how: How the answer is given.
        apart: Whether a key that cannot be looked up is told in its place.
    """
    rows, single, where = _keys(sent)
    enriched = await look_up(request.app[ENRICHER], live, endpoint, rows)
    if not apart and single and enriched.refused:
        raise enriched.refused[0]
    if not apart:
        refuse_whole(enriched.refused, where)
    portion = Portion(len(rows), orjson.dumps(rows_of(enriched, {})), enriched.refused)
    return answer_rows(portion, how, single)


def _keys(sent: Sent) -> tuple[list[Any], bool, str]:
    """What is looked up, whether it is one that was not put into a list, and where the list is."""
    if sent.table is not None:
        raise errors.UnsupportedMedia("A lookup takes keys as JSON, in the query of the URL, or as fields of a form.")
    document = sent.document
    if document is NOTHING:
        return [dict(sent.fields)], True, ""
    if isinstance(document, list):
        return document, False, ""
    if isinstance(document, Mapping) and isinstance(document.get("rows"), list):
        unknown = [name for name in document if name != "rows"]
        if unknown:
            raise errors.InvalidInput([errors.Issue(f"/{name}", "Unknown parameter.") for name in unknown])
        return document["rows"], False, "/rows"
    return [document], True, ""


async def answer_query(request: web.Request, live: Live, endpoint: Endpoint, sent: Sent) -> web.Response:
    """Run a query with the parameters of a JSON object, a form, or the query of the URL."""
    document: Any = {} if sent.document is NOTHING else sent.document
    if not isinstance(document, dict) or sent.table is not None:
        raise errors.InvalidInput([errors.Issue("", "Must be an object of parameters by name.")])
    table = table_of(endpoint, await run_query(request.app[ENRICHER], endpoint, {**sent.fields, **document}))
    if not endpoint.bare:
        table = {"service": live.service, "generation": live.version, "endpoint": endpoint.name, **table}
    return web.Response(body=orjson.dumps(table, option=orjson.OPT_NON_STR_KEYS), content_type=negotiation.JSON)
