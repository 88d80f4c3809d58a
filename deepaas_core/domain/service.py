"""A service: what one folder with a ``service.toml`` offers to others, as plain values.

What the file looks like is known to ``publishing.definition``; what becomes of a published service, to
``domain.deployment``. Here is what both speak of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from deepaas_core.domain.dataset import ColumnType, Dataset
from deepaas_core.domain.enrichment import Enrichment, Reaction

#: What a service, an endpoint, a version or a variant may be called: it stands in URLs, file names and logs.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NAME_EXPECTED = "letters, digits and . _ - only, a letter or digit first, at most 63"


class EndpointKind(StrEnum):
    """What an endpoint does.

    ``prediction`` maps rows of features to rows of outputs; ``function`` is called with arguments and answers whatever
    it returns; ``lookup`` fetches the row of a dataset that has given keys; ``sql`` runs a query with parameters.
    """

    PREDICTION = "prediction"
    FUNCTION = "function"
    LOOKUP = "lookup"
    SQL = "sql"

    @property
    def takes_rows(self) -> bool:
        """Whether it answers rows; the others answer arguments."""
        return self in (EndpointKind.PREDICTION, EndpointKind.LOOKUP)


class FeatureType(StrEnum):
    """What one value of a row is.

    ``number`` is any real number, ``categorical`` one of the feature's classes, ``array`` numbers of the feature's
    shape (row-major, nested), ``image`` a picture that the model gets as ``(height, width, channels)``, uint8.
    """

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXT = "text"
    CATEGORICAL = "categorical"
    ARRAY = "array"
    IMAGE = "image"


@dataclass(frozen=True)
class Feature:
    """A named input or output of a prediction.

    Attributes:
        name: The key of a row; may hold dots and blanks.
        shape: Lengths of an array's axes, or ``(height, width, channels)`` of an image; None in it means any length.
        required: A row without it is refused; an empty cell of a CSV file is a row without it.
        default: Taken where a row has none; meaningful only if not ``required``.
        minimum, maximum: Bounds of a number, inclusive.
        classes: Of a categorical feature, in the order in which a model gives their probabilities.
    """

    name: str
    type: FeatureType = FeatureType.NUMBER
    shape: tuple[int | None, ...] = ()
    required: bool = True
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    classes: tuple[Any, ...] = ()
    help: str = ""


@dataclass(frozen=True)
class Target:
    """What an endpoint runs: a function of a script in the service's folder, or an installed model.

    Attributes:
        script: Path below the service's folder, e.g. ``score.py`` or ``score.R``; empty for a model.
        function: Its function.
        model: Name of an installed model; empty for a script.
    """

    script: str = ""
    function: str = ""
    model: str = ""

    def __str__(self) -> str:
        return self.model or f"{self.script}:{self.function}"


@dataclass(frozen=True)
class Endpoint:
    """A named function of a service.

    Attributes:
        targets: What it runs, by the name of the variant; one alone has the empty name.
        chosen_by: The parameter by which a request chooses a variant.
        default_variant: The variant for requests that choose none.
        inputs: What a row must have; none means whatever the function's own arguments say.
        outputs: What an answered row has; none means whatever the function returns.
        bare: Answers are the value itself, without the envelope that names service and generation.
        workers: Settings of the group ``workers`` that hold for this endpoint alone.
        options: What an ``sql`` endpoint needs to know, checked when the file was read; see ``sql_query.SqlQuery``.
        enrichments: What is fetched for each row, one after the other; of a ``lookup``, all that it does.
    """

    name: str
    kind: EndpointKind
    targets: Mapping[str, Target] = field(default_factory=dict)
    chosen_by: str = "model"
    default_variant: str = ""
    inputs: tuple[Feature, ...] = ()
    outputs: tuple[Feature, ...] = ()
    help: str = ""
    bare: bool = False
    workers: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    enrichments: tuple[Enrichment, ...] = ()

    @property
    def keys(self) -> frozenset[str]:
        """The names in a row by which its enrichments search."""
        return frozenset(name for enrichment in self.enrichments for name in enrichment.keys)

    @property
    def fetched(self) -> tuple[str, ...]:
        """The names under which its enrichments put into a row what they find."""
        return tuple(dict.fromkeys(name for enrichment in self.enrichments for name in enrichment.columns))


@dataclass(frozen=True)
class Query:
    """A test query: a request that a generation must answer before it goes live.

    Attributes:
        endpoint: Which endpoint is asked.
        rows: For a prediction, the rows.
        arguments: For a function, its arguments; for a prediction, its parameters (such as the variant).
        expected: What must come back, row by row or as the value; None if any answer will do.
        tolerance: How far a number may be from the expected one, absolutely.
    """

    endpoint: str
    name: str = ""
    rows: Sequence[Mapping[str, Any]] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    expected: Any = None
    tolerance: float = 1e-6


@dataclass(frozen=True)
class Service:
    """A service as its folder describes it.

    Attributes:
        name: Its id.
        endpoints: By name, in the author's order.
        queries: What a generation is tested with.
        log: What its author says of the prediction log; see ``prediction_log.LogRules.over``.
        readme: Its ``README.md``: Markdown, a stranger's.
        automations: What is done by itself, by name; see ``automation.automations_of``.
        datasets: What its enrichments fetch from, by name.
        allow_apt: Whoever published it asked for the packages of the system that it needs to be installed.
    """

    name: str
    title: str = ""
    description: str = ""
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    queries: tuple[Query, ...] = ()
    log: Mapping[str, Any] = field(default_factory=dict)
    readme: str = ""
    automations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    datasets: Mapping[str, Dataset] = field(default_factory=dict)
    allow_apt: bool = False

    def needed_of(self, dataset: str) -> tuple[list[str], list[tuple[str, ...]]]:
        """The columns of a dataset that its enrichments use, and the keys by which they search."""
        using = [
            enrichment
            for endpoint in self.endpoints.values()
            for enrichment in endpoint.enrichments
            if enrichment.dataset == dataset
        ]
        keys = [tuple(sorted(enrichment.keys.values())) for enrichment in using]
        fetched = [column for enrichment in using for column in enrichment.columns.values()]
        return list(dict.fromkeys([*(column for key in keys for column in key), *fetched])), list(dict.fromkeys(keys))

    def to_plain(self) -> dict[str, Any]:
        """All of it as JSON-native data."""
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Service:
        """The service that ``to_plain`` was given."""
        endpoints = {name: _endpoint(endpoint) for name, endpoint in plain["endpoints"].items()}
        queries = tuple(Query(**query) for query in plain["queries"])
        datasets = {name: _dataset(dataset) for name, dataset in plain.get("datasets", {}).items()}
        return cls(**{**plain, "endpoints": endpoints, "queries": queries, "datasets": datasets})


def _endpoint(plain: Mapping[str, Any]) -> Endpoint:
    read: dict[str, Any] = {
        "kind": EndpointKind(plain["kind"]),
        "targets": {variant: Target(**target) for variant, target in plain["targets"].items()},
        "inputs": tuple(map(_feature, plain["inputs"])),
        "outputs": tuple(map(_feature, plain["outputs"])),
        "enrichments": tuple(map(_enrichment, plain.get("enrichments", ()))),
    }
    return Endpoint(**{**plain, **read})


def _dataset(plain: Mapping[str, Any]) -> Dataset:
    return Dataset(**{**plain, "types": {name: ColumnType(kind) for name, kind in plain["types"].items()}})


def _enrichment(plain: Mapping[str, Any]) -> Enrichment:
    reactions: dict[str, Any] = {name: Reaction(told) for name, told in plain.items() if name.startswith("on_")}
    return Enrichment(**{**plain, **reactions})


def _feature(plain: Mapping[str, Any]) -> Feature:
    tuples = {name: tuple(plain[name]) for name in ("shape", "classes")}
    return Feature(**{**plain, "type": FeatureType(plain["type"]), **tuples})
