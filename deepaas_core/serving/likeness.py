"""Whether what a service was asked lately, out of the prediction log, looks like its training data."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from deepaas_core.domain.automation import DriftCheck
from deepaas_core.domain.deployment import Generation
from deepaas_core.domain.drift import comparable, drifted
from deepaas_core.domain.features import Checker
from deepaas_core.domain.prediction_log import REDACTED, Wanted
from deepaas_core.domain.service import Feature, FeatureType
from deepaas_core.stores.base import PredictionStore

#: Statuses of requests whose inputs the model has seen.
ANSWERED = 2


class CheckFailed(Exception):
    """A check does not let the new model pass; the text says why."""


async def compare(check: DriftCheck, generation: Generation, folder: Path, predictions: PredictionStore) -> str:
    """Compare recent inputs with the training data.

    Args:
        check: What is compared.
        generation: Whose inputs.
        folder: Its files.
        predictions: Has the recent inputs.

    Returns:
        What to say of them: they look alike, or are too few.

    Raises:
        CheckFailed: They do not look alike, or cannot be compared.
        StoreUnavailable: The prediction log cannot be read right now.
    """
    wanted = Wanted(service=generation.service, endpoint=check.endpoint, status=ANSWERED)
    entries = await predictions.find(wanted, check.recent)
    rows = await asyncio.to_thread(_rows, [entry.inputs for entry in entries if entry.inputs])
    if len(rows) < check.at_least:
        return f"the prediction log has only {len(rows)} recent inputs, of which nothing can be said"
    far = await asyncio.to_thread(_drifted, check, generation, folder / check.reference, rows)
    if far:
        told = ", ".join(f"{name} ({index:.2f})" for name, index in far.items())
        raise CheckFailed(
            f"{len(rows)} recent inputs have drifted from {check.reference}: {told}; {check.most:g} is allowed."
        )
    return f"{len(rows)} recent inputs look like {check.reference}"


def _rows(texts: Sequence[str]) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for text in texts:
        with suppress(ValueError):  # cut short
            row = json.loads(text)
            if isinstance(row, dict):
                rows.append(row)
    return rows


def _drifted(
    check: DriftCheck, generation: Generation, reference: Path, rows: Sequence[Mapping[str, Any]]
) -> Mapping[str, float]:
    inputs = {feature.name: feature for feature in comparable(generation.definition.endpoints[check.endpoint])}
    cells = _cells(reference, check.features or {name: name for name in inputs})
    missing = check.features.keys() - cells.keys()
    if missing or not cells:
        names = ", ".join(sorted(missing or inputs))
        raise CheckFailed(f"{reference.name} has no column for {names}.")
    before, now = {}, {}
    for name, column in cells.items():
        values = [row.get(name) for row in rows]
        if REDACTED in values:
            raise CheckFailed(f"{name} cannot be compared: the prediction log keeps no value of it.")
        before[name], now[name] = _as_model_sees(inputs.get(name) or _guessed(name, column), column, values)
    return drifted(before, now, check.most)


def _cells(path: Path, features: Mapping[str, str]) -> dict[str, list[str]]:
    """The columns of a CSV file that are features, by the names of these; those that are not there are left out."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            columns = {name: column for name, column in features.items() if column in (table.fieldnames or ())}
            found: dict[str, list[str]] = {name: [] for name in columns}
            for row in table:
                for name, column in columns.items():
                    found[name].append(row[column] or "")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CheckFailed(f"{path.name} cannot be read: {error}.") from None
    return found


def _guessed(name: str, cells: Sequence[str]) -> Feature:
    """What a feature is that nobody has declared."""
    numbers = Checker([Feature(name, required=False)]).check_cells({name: cells}, len(cells))
    return Feature(name, FeatureType.TEXT if numbers.issues else FeatureType.NUMBER, required=False)


def _as_model_sees(feature: Feature, cells: Sequence[str], values: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Cells of a file and values of requests, each as what the model gets for it; None where it would refuse it."""
    name = feature.name
    checker = Checker([replace(feature, required=False, minimum=None, maximum=None)])
    sides = checker.check_cells({name: cells}, len(cells)), checker.check([{name: value} for value in values])
    before, now = ([(record or {}).get(name) for record in side.records] for side in sides)
    return before, now
