"""A test query as a call: the rows of a prediction or the arguments of a function in, what they become out."""

from __future__ import annotations

import json
from typing import Any

import orjson

from deepaas_core import errors
from deepaas_core.domain.model import Capability
from deepaas_core.domain.service import EndpointKind, Query
from deepaas_core.executors.base import Call
from deepaas_core.serving.predictor import Predictor
from deepaas_core.serving.rehearsing import Ask
from deepaas_core.serving.services import Live


def asking(predictor: Predictor) -> Ask:
    """What asks the parts of a generation by a predictor."""

    async def ask(live: Live, query: Query) -> Any:
        arguments = dict(query.arguments)
        endpoint = live.endpoint(query.endpoint)
        variant = str(arguments.pop(endpoint.chosen_by, "")) if "" not in endpoint.targets else ""
        endpoint, model = live.part(query.endpoint, variant)
        if endpoint.kind is EndpointKind.PREDICTION or query.rows is not None:
            rows = json.dumps(list(query.rows or ())).encode()
            call = Call(Capability.PREDICT, arguments, {"form": "records"}, rows)
        else:
            call = Call(Capability.PREDICT, arguments)
        prediction = await predictor.predict(model, call)
        for place, refused in prediction.refused.items():
            raise errors.InvalidInput([errors.Issue(f"/rows/{place}", str(refused))])
        return orjson.loads(prediction.body) if prediction.media_type is None and not prediction.path else None

    return ask
