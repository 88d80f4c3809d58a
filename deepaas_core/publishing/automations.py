"""What of an automation in a ``service.toml`` cannot be, besides what its grammar says."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from deepaas_core.domain.automation import DriftCheck, drift_check, named
from deepaas_core.domain.drift import comparable
from deepaas_core.domain.service import NAME, NAME_EXPECTED, Endpoint, EndpointKind
from deepaas_core.domain.timetable import Timetable
from deepaas_core.errors import did_you_mean

Complaints = Iterator[tuple[tuple[str, ...], str]]
_STEPS = ("train", "check", "drift", "publish")


def complaints(table: Mapping[str, Any], endpoints: Mapping[str, Endpoint], folder: Path) -> Complaints:
    """What is wrong with an automation whose members are of the right types: where in its table, and a sentence."""
    if not any(step in table for step in _STEPS):
        yield (), f"Must have a step: {', '.join(f'`{step}`' for step in _STEPS[:-1])} or `{_STEPS[-1]}`."
    if "train" in table and "after_run_of" in table:
        yield ("after_run_of",), "What follows another run trains nothing itself; leave out this or `train`."
    if "check" in table and "train" not in table and "after_run_of" not in table:
        yield ("check",), "Needs a run whose metrics can be looked at: `train` or `after_run_of`."
    if "arguments" in table and "train" not in table:
        yield ("arguments",), "Only what has `train` has this."
    if "deploy" in table and "publish" not in table:
        yield ("deploy",), "Needs something new to deploy: `publish`."
    if "schedule" in table:
        try:
            Timetable(table["schedule"])
        except ValueError as error:
            yield ("schedule",), str(error)
    if "publish" in table:
        yield from _of_version(table["publish"])
    if "drift" in table:
        yield from _of_drift(table["drift"], endpoints, folder)


def _of_version(template: str) -> Complaints:
    try:
        version = named(template, "v1", 1, "0" * 32, datetime(2026, 1, 1, tzinfo=UTC))
    except ValueError as error:
        yield ("publish",), str(error)
    else:
        if not NAME.fullmatch(version):
            yield ("publish",), f"Must be a version when its variables are filled in: {NAME_EXPECTED}."


def _of_drift(table: Mapping[str, Any], endpoints: Mapping[str, Endpoint], folder: Path) -> Complaints:
    reference, name = table["reference"], table["endpoint"]
    if reference.startswith("/") or ".." in PurePosixPath(reference).parts or not (folder / reference).is_file():
        yield ("drift", "reference"), "Must be a file in this folder."
    endpoint = endpoints.get(name)
    if endpoint is None:
        yield ("drift", "endpoint"), f"There is no endpoint {name!r}.{did_you_mean(name, endpoints)}"
    elif endpoint.kind is not EndpointKind.PREDICTION or not (endpoint.inputs or table.get("features")):
        yield ("drift", "endpoint"), "Must be a prediction that declares its inputs."
    elif (folder / reference).is_file():
        yield from _of_features(drift_check(table), endpoint, folder)


def _of_features(check: DriftCheck, endpoint: Endpoint, folder: Path) -> Complaints:
    """What is asked to be compared must be sent by callers, and be in the file."""
    try:
        with (folder / check.reference).open(newline="", encoding="utf-8-sig") as file:
            columns = next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        yield ("drift", "reference"), "Must be a CSV file."
        return
    inputs = [feature.name for feature in comparable(endpoint)]
    if not check.features and not set(inputs) & set(columns):
        said = f"Has none of the columns {', '.join(inputs)}; `features` can say which of its columns are meant."
        yield ("drift", "reference"), said
    for name, column in check.features.items():
        if inputs and name not in inputs:
            said = f"{name!r} is no input that is a number or a class.{did_you_mean(name, inputs)}"
            yield ("drift", "features"), said
        elif column not in columns:
            yield ("drift", "features"), f"{check.reference} has no column {column!r}.{did_you_mean(column, columns)}"
