"""A request to an endpoint that should be answered, for whoever writes the first one."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from deepaas_core.domain.enrichment import Reaction
from deepaas_core.domain.service import Endpoint, EndpointKind, Feature, FeatureType, Query, Service

#: A longer request is none that anybody would like to read.
MAX_CHARS = 4000
MAX_ROWS = 2
#: A white pixel as PNG; pictures are resized to what the model expects.
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg=="
)


def example_of(
    service: Service, endpoint: Endpoint, arguments: Mapping[str, Any] | None = None
) -> Mapping[str, Any] | None:
    """The body of a request to an endpoint.

    It is that of a test query, with no more rows than show how it goes on; else one made up of the declared inputs.

    Args:
        service: Has the test queries.
        endpoint: Which is asked.
        arguments: What may be sent where no inputs are declared, if that is known.

    Returns:
        None if every request is too long to be read.
    """
    queries = [query for query in service.queries if query.endpoint == endpoint.name]
    bodies = [body_of(query, MAX_ROWS) for query in queries]
    to_send = sent_to(endpoint)
    if to_send:
        bodies.append({"rows": [{feature.name: value_of(feature) for feature in to_send if feature.required}]})
    elif endpoint.kind is EndpointKind.PREDICTION:
        bodies.append({"rows": [dict(arguments or {})]})
    else:
        bodies.append(dict(arguments or {}))
    return next((body for body in bodies if len(json.dumps(body)) <= MAX_CHARS), None)


def sent_to(endpoint: Endpoint) -> tuple[Feature, ...]:
    """What a row is sent with: the inputs that are not fetched, and the keys by which the others are."""
    fetched = set(endpoint.fetched)
    inputs = tuple(feature for feature in endpoint.inputs if feature.name not in fetched)
    known = fetched | {feature.name for feature in inputs}
    keys = {
        name: Feature(
            name,
            FeatureType.TEXT,
            required=enrichment.on_missing_key is Reaction.ERROR,
            help=f"By which {enrichment.dataset} is searched.",
        )
        for enrichment in endpoint.enrichments
        for name in enrichment.keys
        if name not in known
    }
    return (*keys.values(), *inputs)


def body_of(query: Query, max_rows: int | None = None) -> Mapping[str, Any]:
    """What a test query sends."""
    if query.rows is None:
        return dict(query.arguments)
    return {"rows": [dict(row) for row in query.rows[:max_rows]], **query.arguments}


def value_of(feature: Feature) -> Any:
    """Some value that a feature may have."""
    if feature.default is not None:
        return feature.default
    match feature.type:
        case FeatureType.CATEGORICAL:
            return feature.classes[0] if feature.classes else "text"
        case FeatureType.TEXT:
            return "text"
        case FeatureType.BOOLEAN:
            return True
        case FeatureType.IMAGE:
            return PIXEL
        case FeatureType.ARRAY:
            return _filled(feature)
        case FeatureType.INTEGER:
            return math.ceil(_number(feature))
        case _:
            return _number(feature)


def _number(feature: Feature) -> float:
    """One, or the nearest number that is allowed."""
    least = 1 if feature.minimum is None else max(1, feature.minimum)
    number = float(least if feature.maximum is None else min(least, feature.maximum))
    return int(number) if number.is_integer() else number


def _filled(feature: Feature) -> Any:
    lengths = [1 if length is None else length for length in feature.shape]
    value: Any = _number(feature)
    if math.prod(lengths) > MAX_CHARS:
        return [value] * (MAX_CHARS + 1)  # too long, too, and quickly made
    for length in reversed(lengths):
        value = [value] * length
    return value
