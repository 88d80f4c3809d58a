"""A test query as a call: the rows of a prediction or the arguments of a function in, what they become out.

They are checked and put to the generation as those of real calls are.
"""

from __future__ import annotations

from typing import Any

import orjson

from deepaas_core import errors
from deepaas_core.domain.model import Capability
from deepaas_core.domain.service import EndpointKind, Query
from deepaas_core.executors.base import Call
from deepaas_core.serving.answering import look_up, rows_of, run_query, table_of
from deepaas_core.serving.enricher import Enricher
from deepaas_core.serving.enriching import scorer_of
from deepaas_core.serving.predictor import Predictor
from deepaas_core.serving.rehearsing import Ask
from deepaas_core.serving.scoring import refuse_whole
from deepaas_core.serving.services import Live


def asking(predictor: Predictor, enricher: Enricher) -> Ask:
    """What asks the parts of a generation by a predictor, and its datasets by an enricher."""

    async def ask(live: Live, query: Query) -> Any:
        arguments = dict(query.arguments)
        endpoint = live.endpoint(query.endpoint)
        if endpoint.kind.takes_rows and not query.rows:
            raise errors.InvalidInput([errors.Issue("/rows", f"A {endpoint.kind} is tested with rows.")])
        if endpoint.kind is EndpointKind.LOOKUP:
            enriched = await look_up(enricher, live, endpoint, query.rows or ())
            refuse_whole(enriched.refused)
            return rows_of(enriched, {})
        if endpoint.kind is EndpointKind.SQL:
            table = table_of(endpoint, await run_query(enricher, endpoint, arguments))
            return table.get("rows", table)
        variant = "" if "" in endpoint.targets else arguments.pop(endpoint.chosen_by, "")
        if not isinstance(variant, str):
            raise errors.InvalidInput([errors.Issue(f"/{endpoint.chosen_by}", "Must be the name of a variant.")])
        endpoint, model = live.part(query.endpoint, variant)
        if endpoint.kind is EndpointKind.PREDICTION or query.rows is not None:
            portion = await scorer_of(predictor, enricher, live, endpoint, model, arguments).score(
                list(query.rows or ())
            )
            refuse_whole(portion.refused)
            return orjson.loads(portion.body)
        values = model.arguments_of(Capability.PREDICT).load_exact(arguments)
        prediction = await predictor.predict(model, Call(Capability.PREDICT, values))
        if prediction.pieces is not None:
            prediction.pieces.close()
            return None
        return orjson.loads(prediction.body) if prediction.media_type is None and prediction.path is None else None

    return ask
