"""Whether what a model is asked now looks like what it was trained on."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from deepaas_core.domain.reports import is_number
from deepaas_core.domain.service import Endpoint, Feature, FeatureType

#: Into so many parts of equal size the values seen in training are divided.
PARTS = 10
#: Values that are no numbers are told apart up to so many; the rarer ones count as one.
CLASSES = 50
#: Of what was seen at a place or not at all, so much is assumed, that no ratio is infinite.
_FLOOR = 0.5


def population_stability(trained_on: Sequence[Any], asked: Sequence[Any]) -> float:
    """The population stability index of one feature: 0 for the same distribution, above 0.2 usually called drift.

    The part of it that mere chance explains in samples of these sizes is taken off, so that few values do not look
    like drift.

    Args:
        trained_on: The feature's values in the training data; None and what is missing count as a value of its own.
        asked: Its values in recent requests.

    Returns:
        The index, 0 or more; 0 if there are no values on one side.

    Source:
        Siddiqi, Credit Risk Scorecards (2006); its bias under no drift, Yurdakul & Naranjo, "Statistical properties
        of the population stability index" (2020).
    """
    if not trained_on or not asked:
        return 0.0
    before, now = _divided(trained_on, asked)
    places = before.keys() | now.keys()
    index = 0.0
    for place in places:
        share = max(before[place], _FLOOR) / len(trained_on)
        recent = max(now[place], _FLOOR) / len(asked)
        index += (recent - share) * math.log(recent / share)
    chance = (len(places) - 1) * (1 / len(trained_on) + 1 / len(asked))
    return max(0.0, index - chance)


def comparable(endpoint: Endpoint) -> tuple[Feature, ...]:
    """The inputs that can be compared: numbers and classes."""
    return tuple(one for one in endpoint.inputs if one.type not in (FeatureType.ARRAY, FeatureType.IMAGE))


def drifted(
    trained_on: Mapping[str, Sequence[Any]], asked: Mapping[str, Sequence[Any]], most: float
) -> Mapping[str, float]:
    """The features whose recent values are further from those of the training data than is allowed.

    Args:
        trained_on: Values by feature.
        asked: The recent values of the same features.
        most: The largest index that is not drift.

    Returns:
        Their indices, the worst first.
    """
    found = {feature: population_stability(values, asked[feature]) for feature, values in trained_on.items()}
    return dict(sorted(((name, index) for name, index in found.items() if index > most), key=lambda one: -one[1]))


def _divided(before: Sequence[Any], now: Sequence[Any]) -> tuple[Counter[Any], Counter[Any]]:
    """How many values of each side are at each place: a class, or a part of the range of the numbers."""
    numbers = sorted(float(value) for value in before if is_number(value))
    if len(numbers) * 2 < len(before):
        usual = {value for value, _ in Counter(map(_text, before)).most_common(CLASSES)}
        return tuple(  # type: ignore[return-value]
            Counter(text if text in usual else "(another)" for text in map(_text, side)) for side in (before, now)
        )
    cuts = _cuts(numbers)
    return tuple(  # type: ignore[return-value]
        Counter(bisect_right(cuts, float(value)) if is_number(value) else _text(value) for value in side)
        for side in (before, now)
    )


def _cuts(numbers: Sequence[float]) -> list[float]:
    """Where the parts meet; fewer where one number is so frequent that it fills several of them."""
    last = len(numbers) - 1
    ends = [numbers[round(part * last / PARTS)] for part in range(PARTS + 1)]
    return sorted({upper for lower, upper in pairwise(ends[:-1]) if upper > lower} | {ends[-1]})


def _text(value: Any) -> str:
    return "" if value is None else str(value)
