"""From a folder with a ``service.toml`` to the service it describes, or to everything that is wrong with it."""

from __future__ import annotations

import datetime
import math
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from deepaas_core.domain.dataset import Dataset
from deepaas_core.domain.enrichment import Enrichment
from deepaas_core.domain.features import Checker
from deepaas_core.domain.service import Endpoint, EndpointKind, Feature, FeatureType, Query, Service, Target
from deepaas_core.errors import DefinitionRefused, Fault, did_you_mean
from deepaas_core.publishing import automations, data, scripts
from deepaas_core.publishing.complaints import Complaint, Place, complaints_of
from deepaas_core.publishing.grammar import FILE
from deepaas_core.publishing.places import Places

MAX_FILE_BYTES = 2**20
README = "README.md"
#: What of it is shown.
MAX_README_BYTES = 2**16
#: What JSON, and so the worker line, can carry.
_INTEGERS = range(-(2**63), 2**64)
_MAX_FAULTS = 50


def read(folder: Path) -> Service:
    """The service that a folder describes.

    Raises:
        DefinitionRefused: It cannot be used; all that is wrong is named, with file and line.
    """
    text = _text(folder / FILE)
    try:
        table = tomllib.loads(text)
    except ValueError as error:
        said = str(error)
        found = re.search(r" \(at line (\d+), column \d+\)$", said)
        line, said = (int(found[1]), said[: found.start()]) if found else (len(text.splitlines()), said)
        raise DefinitionRefused([Fault(FILE, line, "", f"This is not valid TOML: {said}.")]) from None
    reader = _Reader(folder)
    service = reader.service(table)
    if reader.complaints or reader.faults:
        places = Places(text)
        faults = [Fault(FILE, places.line_of(where), _dotted(where), said) for where, said in reader.complaints]
        faults = sorted(faults, key=lambda fault: fault.line) + reader.faults
        raise DefinitionRefused(faults[:_MAX_FAULTS])
    return service


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise DefinitionRefused([Fault(FILE, 0, "", f"It is larger than {MAX_FILE_BYTES} bytes.")])
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        raise DefinitionRefused([Fault(FILE, 0, "", "There is no such file in the folder.")]) from None
    except OSError as error:
        raise DefinitionRefused([Fault(FILE, 0, "", f"It cannot be read: {error.strerror}.")]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DefinitionRefused([Fault(FILE, line, "", "This is not UTF-8.")]) from None


def _dotted(place: Place) -> str:
    """A place as TOML would name it."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if re.fullmatch(r"[\w-]+", step) else f'"{step}"')
    return text


class _Reader:
    """Reads one file's tables.

    Attributes:
        complaints: What is wrong with them.
        faults: What is wrong with other files that they name.
    """

    def __init__(self, folder: Path):
        self.complaints: list[Complaint] = []
        self.faults: list[Fault] = []
        self._folder = folder
        self._scripts: dict[str, scripts.Script] = {}

    def service(self, table: Mapping[str, Any]) -> Service:
        plain = self._plain(table, ())
        self.complaints += complaints_of(plain)
        tables = plain.get("endpoints")
        datasets = self._datasets(plain.get("datasets"))
        endpoints = {
            name: self._endpoint(name, endpoint, list(datasets))
            for name, endpoint in (tables if isinstance(tables, dict) else {}).items()
            if isinstance(endpoint, dict) and self._is_sound(("endpoints", name, "kind")) and "kind" in endpoint
        }
        tests = plain.get("tests")
        queries = [
            self._query(at, test, endpoints, tables)
            for at, test in enumerate(tests if isinstance(tests, list) else [])
            if self._is_sound(("tests", at))
        ]
        told = plain.get("automations", {})
        for name, automation in (told if isinstance(told, dict) else {}).items():
            self._check_automation(("automations", name), automation, endpoints)
        return Service(
            name=str(plain.get("name")),
            title=plain.get("title", ""),
            description=plain.get("description", ""),
            endpoints=endpoints,
            queries=tuple(queries),
            readme=self._readme(),
            automations=told,
            log=plain.get("log", {}),
            datasets=datasets,
        )

    def _check_automation(self, place: Place, table: Any, endpoints: Mapping[str, Endpoint]) -> None:
        if not self._is_sound(place):
            return
        if ":" in table.get("train", ""):
            self._target({"script": table["train"]}, (*place, "train"))
        for where, said in automations.complaints(table, endpoints, self._folder):
            self._complain((*place, *where), said)

    def _readme(self) -> str:
        try:
            with (self._folder / README).open("rb") as file:
                text = file.read(MAX_README_BYTES).decode("utf-8-sig", "replace")
        except FileNotFoundError:
            return ""
        except OSError as error:
            self.faults.append(Fault(README, 0, "", f"It cannot be read: {error.strerror}."))
            return ""
        return text.replace("\r\n", "\n").replace("\0", "\ufffd")

    def _is_sound(self, place: Place) -> bool:
        return not any(where[: len(place)] == place for where, _ in self.complaints)

    def _complain(self, place: Place, said: str) -> None:
        self.complaints.append((place, said))

    def _plain(self, value: Any, place: Place) -> Any:
        """The value in the terms of JSON: dates become text."""
        if isinstance(value, dict):
            return {key: self._plain(inner, (*place, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._plain(inner, (*place, at)) for at, inner in enumerate(value)]
        if isinstance(value, datetime.date | datetime.time):
            return value.isoformat()
        if isinstance(value, float) and not math.isfinite(value):
            self._complain(place, "Must be a finite number.")
        elif isinstance(value, int) and value not in _INTEGERS:
            self._complain(place, "Must be a number of at most 64 bits.")
        return value

    # Endpoints.

    def _endpoint(self, name: str, table: Mapping[str, Any], datasets: Sequence[str]) -> Endpoint:
        place = ("endpoints", name)
        kind = EndpointKind(table["kind"])
        enrichments = self._enrichments(table.get("enrichments", ()), (*place, "enrichments"), datasets)
        told = {"help": table.get("help", ""), "bare": table.get("bare", False)}
        if kind is EndpointKind.LOOKUP:
            return Endpoint(name, kind, **told, enrichments=enrichments)
        if kind is EndpointKind.SQL:
            return Endpoint(name, kind, **told, options=self._query_options(table, place))
        targets = self._targets(table, place)
        default, chosen_by = table.get("default", next(iter(targets), "")), table.get("chosen_by", "model")
        inputs = self._features(table.get("inputs", {}), (*place, "inputs"))
        outputs = self._features(table.get("outputs", {}), (*place, "outputs"))
        for member in ("default", "chosen_by"):
            if member in table and "variants" not in table:
                self._complain((*place, member), "Only an endpoint with `variants` has this.")
        if targets and "variants" in table and default not in targets:
            close = did_you_mean(str(default), targets)
            self._complain((*place, "default"), f"Must be one of the variants: {', '.join(targets)}.{close}")
        if "variants" in table and any(feature.name == chosen_by for feature in inputs):
            where = "chosen_by" if "chosen_by" in table else "inputs"
            self._complain(
                (*place, where), f"An input is called {chosen_by!r}, as is the parameter that chooses a variant."
            )
        return Endpoint(
            name=name,
            kind=kind,
            targets=targets,
            chosen_by=chosen_by,
            default_variant=default if "variants" in table else "",
            inputs=inputs,
            outputs=outputs,
            workers=table.get("workers", {}),
            enrichments=enrichments,
            **told,
        )

    def _datasets(self, tables: Any) -> dict[str, Dataset]:
        datasets = {}
        for name, table in (tables if isinstance(tables, dict) else {}).items():
            place = ("datasets", name)
            if isinstance(table, dict) and self._is_sound(place):
                self._complain_below(place, data.dataset_complaints(table, self._folder))
                datasets[name] = data.dataset(name, table)
            elif isinstance(table, dict):
                datasets[name] = Dataset(name)  # there is more to say of that than that nobody knows it
        return datasets

    def _enrichments(self, tables: Any, place: Place, datasets: Sequence[str]) -> tuple[Enrichment, ...]:
        if not isinstance(tables, list | tuple) or not self._is_sound(place):
            return ()
        for at, table in enumerate(tables):
            self._complain_below((*place, at), data.enrichment_complaints(table, datasets))
        return tuple(map(data.enrichment, tables))

    def _query_options(self, table: Mapping[str, Any], place: Place) -> Mapping[str, Any]:
        if not self._is_sound(place):
            return {}
        self._complain_below(place, data.query_complaints(table))
        return data.query_options(table)

    def _complain_below(self, place: Place, complaints: Iterable[Complaint]) -> None:
        for where, said in complaints:
            self._complain((*place, *where), said)

    def _targets(self, table: Mapping[str, Any], place: Place) -> dict[str, Target]:
        given = [member for member in ("script", "model", "variants") if member in table]
        if len(given) != 1:
            self._complain(place, "Must have exactly one of `script`, `model` and `variants`.")
            return {}
        [member] = given
        if not self._is_sound((*place, member)):
            return {}
        if member != "variants":
            return {"": self._target({member: table[member]}, (*place, member))}
        return {
            variant: self._target({"script": told} if isinstance(told, str) else told, (*place, member, variant))
            for variant, told in table[member].items()
        }

    def _target(self, table: Mapping[str, Any], place: Place) -> Target:
        if "model" in table:
            return Target(model=table["model"])
        path, _, function = table["script"].rpartition(":")
        parts = PurePosixPath(path).parts
        if path.startswith("/") or ".." in parts:
            self._complain(place, "Must be a script in this folder, or in one below it.")
            return Target(script=path, function=function)
        relative = str(PurePosixPath(*parts))
        if relative not in self._scripts:
            self._scripts[relative] = scripts.look_into(self._folder, relative)
            self.faults += self._scripts[relative].faults
        missing = self._scripts[relative].complaint(function)
        if missing:
            self._complain(place, missing)
        return Target(script=relative, function=function)

    def _features(self, table: Any, place: Place) -> tuple[Feature, ...]:
        if not isinstance(table, dict):
            return ()
        return tuple(
            self._feature(name, told, (*place, name)) for name, told in table.items() if self._is_sound((*place, name))
        )

    def _feature(self, name: str, told: Any, place: Place) -> Feature:
        table: Mapping[str, Any] = {"type": told} if isinstance(told, str) else told
        kind = FeatureType(table.get("type", "number"))
        feature = Feature(
            name=name,
            type=kind,
            shape=tuple(None if length < 0 else length for length in table.get("shape", ())),
            required=table.get("required", "default" not in table),
            default=table.get("default"),
            minimum=table.get("minimum"),
            maximum=table.get("maximum"),
            classes=tuple(table.get("classes", ())),
            help=table.get("help", ""),
        )
        is_input = place[2] == "inputs"
        for member, said in _feature_complaints(feature, table, is_input):
            self._complain((*place, member) if member in table else place, said)
        if is_input and feature.default is not None and self._is_sound(place):
            self._check_default(feature, (*place, "default"))
        return feature

    def _check_default(self, feature: Feature, place: Place) -> None:
        if feature.type is FeatureType.IMAGE:
            self._complain(place, "A picture takes no default.")
            return
        alone = Checker([replace(feature, default=None)])
        for issue in alone.check([{feature.name: feature.default}]).issues.get(0, ()):
            self._complain(place, issue.detail)

    # Test queries.

    def _query(self, at: int, table: Mapping[str, Any], endpoints: Mapping[str, Endpoint], told: Any) -> Query:
        place = ("tests", at)
        query = Query(**table)
        if query.endpoint not in told:
            close = did_you_mean(query.endpoint, told)
            self._complain((*place, "endpoint"), f"There is no endpoint {query.endpoint!r}.{close}")
            return query
        endpoint = endpoints.get(query.endpoint)
        if endpoint is None:  # there is more to say of that than of this
            return query
        if endpoint.kind.takes_rows:
            self._check_rows(query, endpoint, place)
        elif query.rows is not None:
            self._complain((*place, "rows"), "Only a prediction and a lookup take rows; this takes `arguments`.")
        return query

    def _check_rows(self, query: Query, endpoint: Endpoint, place: Place) -> None:
        if query.rows is None:
            self._complain(place, f"A {endpoint.kind} is tested with `rows`.")
            return
        if query.expected is not None and (
            not isinstance(query.expected, list) or len(query.expected) != len(query.rows)
        ):
            self._complain((*place, "expected"), f"Must be a list of one row for each of the {len(query.rows)} rows.")
        variant = query.arguments.get(endpoint.chosen_by)
        if "" not in endpoint.targets and variant is not None and variant not in endpoint.targets:
            known = ", ".join(endpoint.targets)
            self._complain((*place, "arguments", endpoint.chosen_by), f"Must be one of the variants: {known}.")
        self._check_inputs(query.rows, endpoint, (*place, "rows"))

    def _check_inputs(self, rows: Sequence[Mapping[str, Any]], endpoint: Endpoint, place: Place) -> None:
        """See whether rows are right; what enrichments will fetch for them, or search by, nobody knows yet."""
        if endpoint.enrichments or not endpoint.inputs or not self._is_sound(("endpoints", endpoint.name)):
            return
        if any(feature.type is FeatureType.IMAGE for feature in endpoint.inputs):  # not for us to unpack
            return
        for at, issues in Checker(endpoint.inputs).check(rows).issues.items():
            for issue in issues:
                name = issue.pointer[1:].replace("~1", "/").replace("~0", "~")
                self._complain((*place, at, name) if name in rows[at] else (*place, at), f"{name}: {issue.detail}")


_NUMBERS = (FeatureType.NUMBER, FeatureType.INTEGER)
_SHAPED = (FeatureType.ARRAY, FeatureType.IMAGE)


def _feature_complaints(feature: Feature, table: Mapping[str, Any], is_input: bool) -> Iterator[tuple[str, str]]:
    """What is wrong with a feature whose members are of the right types: which member, and a sentence."""
    for member, kinds in (("minimum", _NUMBERS), ("maximum", _NUMBERS), ("shape", _SHAPED)):
        if member in table and feature.type not in kinds:
            yield member, f"Only a feature of the type {' or '.join(kinds)} has this."
    if "classes" in table and feature.type is not FeatureType.CATEGORICAL:
        yield "classes", "Only a feature of the type categorical has this."
    if is_input and feature.type is FeatureType.CATEGORICAL and not feature.classes:
        yield "classes", "A categorical input needs its `classes`."
    if feature.minimum is not None and feature.maximum is not None and feature.minimum > feature.maximum:
        yield "minimum", "Must not be greater than `maximum`."
    if feature.type is FeatureType.IMAGE and (
        len(feature.shape) != 3 or feature.shape[2] not in (1, 3, 4) or 0 in feature.shape
    ):
        yield "shape", "An image needs a `shape` of height, width and channels (1, 3 or 4), e.g. [224, 224, 3]."
    if not is_input and ("default" in table or "required" in table):
        yield ("default" if "default" in table else "required"), "Only an input has this."
    if table.get("required") and "default" in table:
        yield "default", "A required input takes no default."
