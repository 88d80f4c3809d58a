"""What goes into an endpoint and what comes out, as tables and as the fields of a form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from deepaas_core.domain.arguments import Argument, Kind
from deepaas_core.domain.service import Endpoint, Feature, FeatureType

_MAX_CLASSES = 40
#: Rows of a table for one argument, and how deep its members are shown.
_MAX_MEMBERS, _MAX_DEPTH = 40, 3
_SECRET = "••••"


@dataclass(frozen=True)
class Column:
    """An input or output in a table.

    Attributes:
        shape: Lengths of its axes, in words.
        notes: What else holds of it, each a few words.
    """

    name: str
    type: str
    shape: str = ""
    notes: tuple[str, ...] = ()
    help: str = ""


@dataclass(frozen=True)
class Field:
    """An input in a form.

    Attributes:
        widget: ``number``, ``integer``, ``choice``, ``text``, ``image`` or ``json``.
        options: Of a choice: what is shown, and the value as JSON.
        value: What it shows at first; for a choice, the JSON of an option.
        least, most: Bounds of a number, as text.
    """

    name: str
    widget: str
    required: bool
    value: str = ""
    options: tuple[tuple[str, str], ...] = ()
    least: str = ""
    most: str = ""
    help: str = ""


def of_inputs(features: Iterable[Feature]) -> Sequence[Column]:
    """The rows of the table of an endpoint's inputs."""
    return [_of_feature(feature, (_presence(feature),)) for feature in features]


def of_outputs(features: Iterable[Feature]) -> Sequence[Column]:
    """The rows of the table of an endpoint's outputs."""
    return [_of_feature(feature, ()) for feature in features]


def of_fetched(endpoint: Endpoint) -> Sequence[Column]:
    """The rows of a table of what an endpoint fetches; of inputs, with what is said of them."""
    declared = {feature.name: feature for feature in endpoint.inputs}
    made = []
    for enrichment in endpoint.enrichments:
        note = f"fetched from {enrichment.dataset} by {', '.join(enrichment.keys)}"
        for name in enrichment.columns:
            feature = declared.get(name)
            made.append(Column(name, "", "", (note,)) if feature is None else _of_feature(feature, (note,)))
    return made


def of_arguments(arguments: Iterable[Argument]) -> Sequence[Column]:
    """The rows of the table of a function's arguments, and of their members."""
    return [row for argument in arguments for row in islice(_of_argument(argument, "", 0), _MAX_MEMBERS)]


def _of_argument(argument: Argument, above: str, depth: int) -> Iterator[Column]:
    name = above + argument.key
    yield Column(
        name,
        f"{argument.kind} of {argument.items.kind}" if argument.items else str(argument.kind),
        notes=(
            _presence_of(argument),
            *_bounds(argument.minimum, argument.maximum),
            *([_one_of(argument.choices)] if argument.choices else []),
        ),
        help=argument.help,
    )
    if depth < _MAX_DEPTH:
        inside = f"{name}[]." if argument.items else f"{name}."
        for member in (argument.items or argument).properties:
            yield from _of_argument(member, inside, depth + 1)


def _of_feature(feature: Feature, presence: tuple[str, ...]) -> Column:
    notes = (*presence, *_bounds(feature.minimum, feature.maximum))
    if feature.classes:
        notes = (*notes, _one_of(feature.classes))
    shape = " × ".join("any" if length is None else str(length) for length in feature.shape)
    return Column(feature.name, str(feature.type), shape, notes, feature.help)


def _presence(feature: Feature) -> str:
    if feature.required:
        return "required"
    return "may be left out" if feature.default is None else f"default {_shown(feature.default)}"


def _presence_of(argument: Argument) -> str:
    if argument.required:
        return "required"
    if not argument.has_default or argument.default is None:
        return "may be left out"
    return f"default {_SECRET if argument.secret else _shown(argument.default)}"


def _bounds(least: float | None, most: float | None) -> Sequence[str]:
    if least is not None and most is not None:
        return [f"{_number(least)} to {_number(most)}"]
    return [f"{sign} {_number(bound)}" for sign, bound in (("≥", least), ("≤", most)) if bound is not None]


def _one_of(values: Sequence[Any]) -> str:
    shown = ", ".join(map(_shown, values[:_MAX_CLASSES]))
    more = len(values) - _MAX_CLASSES
    return f"one of: {shown}, and {more} more" if more > 0 else f"one of: {shown}"


def _number(bound: float) -> str:
    return str(int(bound)) if float(bound).is_integer() else repr(bound)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False, default=str)


# Forms.


def field_of(feature: Feature, value: Any) -> Field:
    """A field for an input that begins with a value."""
    choices: Sequence[Any] = feature.classes
    if feature.type is FeatureType.BOOLEAN:
        choices = (True, False)
    widgets = {
        FeatureType.NUMBER: "number",
        FeatureType.INTEGER: "integer",
        FeatureType.TEXT: "text",
        FeatureType.IMAGE: "image",
    }
    widget = "choice" if choices else widgets.get(feature.type, "text" if not feature.shape else "json")
    return _field(
        *(feature.name, widget, feature.required, value, choices, feature.help), feature.minimum, feature.maximum
    )


def field_of_argument(argument: Argument, value: Any) -> Field:
    """A field for an argument that begins with a value."""
    choices: Sequence[Any] = argument.choices
    if argument.kind is Kind.BOOLEAN:
        choices = (True, False)
    widget = "choice" if choices else _WIDGETS.get(argument.kind, "text")
    return _field(
        *(argument.key, widget, argument.required, value, choices, argument.help), argument.minimum, argument.maximum
    )


_WIDGETS = {
    Kind.NUMBER: "number",
    Kind.DECIMAL: "number",
    Kind.DURATION: "number",
    Kind.INTEGER: "integer",
    Kind.ARRAY: "json",
    Kind.OBJECT: "json",
    Kind.ANY: "json",
}


def _field(
    name: str,
    widget: str,
    required: bool,
    value: Any,
    choices: Sequence[Any],
    help: str,
    least: float | None,
    most: float | None,
) -> Field:
    is_text = widget == "text" and isinstance(value, str)
    return Field(
        name,
        widget,
        required,
        "" if widget == "image" or value is None else value if is_text else json.dumps(value, ensure_ascii=False),
        tuple((_shown(choice), json.dumps(choice, ensure_ascii=False)) for choice in choices),
        "" if least is None else _number(least),
        "" if most is None else _number(most),
        help,
    )
