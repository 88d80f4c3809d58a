"""A query that a service's author wrote, and the parameters that its callers give.

A query is read once, when the service is: into statements, and each into text and names of parameters in turn. Only
text ever reaches a database as text; values travel beside it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from deepaas_core.domain.argument import Argument, Kind
from deepaas_core.domain.arguments import Arguments

#: What a parameter can be, in the words of ``service.toml``.
PARAMETER_KINDS = {
    "integer": Kind.INTEGER,
    "number": Kind.NUMBER,
    "text": Kind.STRING,
    "boolean": Kind.BOOLEAN,
    "date": Kind.DATE,
    "datetime": Kind.DATETIME,
    "decimal": Kind.DECIMAL,
    "uuid": Kind.UUID,
}
_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**63 - 1

#: What is no placeholder, and what is: comments, quoted text and names, casts; ``:name`` and ``?``; the end.
_TOKEN = re.compile(
    r"""
    (?P<skip> --[^\n]* | /\*.*?(?:\*/|\Z) | '(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z) | `[^`]*(?:`|\Z)
            | \$(?P<tag>[A-Za-z_]?\w*)\$.*?(?:\$(?P=tag)\$|\Z) | :: | := | \w+ )
    | :(?P<name>[A-Za-z_]\w*)
    | (?P<mark>\?)
    | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)


_COMMENT = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)


@dataclass(frozen=True)
class Statement:
    """One statement: ``texts[0]``, the parameter ``names[0]``, ``texts[1]`` and so on; one text more than names."""

    texts: tuple[str, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class SqlQuery:
    """What an ``sql`` endpoint runs.

    Attributes:
        connection: Name of a connection in the server's settings.
        statements: Run one after the other in one transaction; the last that gives rows is what is answered.
        parameters: What callers may give.
        read_only: The database refuses any change.
        max_rows: So many rows are answered at most.
        timeout_s: Limit of the whole, in seconds.
    """

    connection: str
    statements: tuple[Statement, ...]
    parameters: Arguments = field(default_factory=Arguments)
    read_only: bool = True
    max_rows: int = 1000
    timeout_s: float = 10.0

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> SqlQuery:
        """The query of an endpoint, by the members of its table in ``service.toml``.

        Raises:
            ValueError: Query and parameters do not fit together.
        """
        parameters = [parameter(name, **told) for name, told in options.get("parameters", {}).items()]
        return cls(
            connection=options["connection"],
            statements=read_statements(options["query"], [each.name for each in parameters]),
            parameters=Arguments({each.key: each for each in parameters}),
            **{name: options[name] for name in ("read_only", "max_rows", "timeout_s") if name in options},
        )


@dataclass(frozen=True)
class Table:
    """What a query answers.

    Attributes:
        columns: Their names, in order.
        rows: JSON-native values, row by row.
        truncated: There were more rows than the query may answer.
        updated_rows: Of a query that gives no rows: how many it changed; None where the database does not say.
    """

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    truncated: bool = False
    updated_rows: int | None = None


def read_statements(query: str, parameters: Sequence[str]) -> tuple[Statement, ...]:
    """Read a query.

    Args:
        query: Statements, separated by ``;``, with ``:name`` where a parameter goes. If there is no ``:name`` in it,
            each ``?`` stands for the next one of ``parameters``.
        parameters: The names of all parameters.

    Raises:
        ValueError: A placeholder has no parameter, or a parameter no placeholder; or there is no statement at all.
    """
    named = any(token["name"] for token in _TOKEN.finditer(query))
    waiting = [] if named else list(parameters)
    marks = bool(waiting)
    statements = []
    texts: list[str] = []
    names: list[str] = []
    start = 0
    for token in _TOKEN.finditer(query):
        if token["skip"] or (token["mark"] and not marks):
            continue
        text, start = query[start : token.start()], token.end()
        if token["end"]:
            statements.append(Statement((*texts, text), tuple(names)))
            texts, names = [], []
            continue
        if token["mark"] and not waiting:
            raise ValueError(f"it has more ? than the {len(parameters)} parameters that are listed")
        name = token["name"] or waiting.pop(0)
        if name not in parameters:
            raise ValueError(f"it uses :{name}, which is no parameter; text with a colon in it must stand in quotes")
        texts.append(text)
        names.append(name)
    statements.append(Statement((*texts, query[start:]), tuple(names)))
    statements = [statement for statement in statements if any(_bare(text) for text in statement.texts)]
    used = {name for statement in statements for name in statement.names}
    unused = [name for name in parameters if name not in used]
    if unused:
        raise ValueError(f"it does not use the parameter {unused[0]!r}")
    if not statements:
        raise ValueError("it has no statement")
    return tuple(statements)


def _bare(text: str) -> str:
    """Text without its comments and blanks."""
    return _COMMENT.sub("", text).strip()


def parameter(
    name: str, *, type: str = "text", help: str = "", required: bool | None = None, default: Any = None
) -> Argument:
    """A parameter as an argument.

    Args:
        name: As the query spells it.
        type: One of ``PARAMETER_KINDS``.
        help: What it is, for callers.
        required: A request without it is refused; by default if there is no default.
        default: Taken where a request has none; None is the database's null.
    """
    if required is None:
        required = default is None
    return Argument(
        name,
        name,
        PARAMETER_KINDS[type],
        help,
        required=required,
        default=default,
        has_default=not required,
        nullable=not required,
        minimum=_MIN_INTEGER if type == "integer" else None,
        maximum=_MAX_INTEGER if type == "integer" else None,
    )


def for_database(parameters: Arguments, values: Mapping[str, Any]) -> dict[str, Any]:
    """Checked JSON-native values as the types that databases know."""
    return {name: _for_database(parameters[name].kind, value) for name, value in values.items()}


def _for_database(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    if kind is Kind.NUMBER:
        return float(value)
    if kind is Kind.DATE:
        return date.fromisoformat(value)
    if kind is Kind.DATETIME:
        return datetime.fromisoformat(value)
    if kind is Kind.DECIMAL:
        return Decimal(str(value))
    if kind is Kind.UUID:
        return UUID(value)
    return value


def from_database(value: Any) -> Any:
    """A value that a database gave as JSON says it, as results of models are encoded; see reference/results.md."""
    if isinstance(value, int) and abs(value) >= 2**63:
        return float(value)  # more than most who read JSON can take
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Decimal):
        return _from_decimal(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "total_seconds"):
        return value.total_seconds()
    if isinstance(value, Mapping):
        return {str(key): from_database(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [from_database(inner) for inner in value]
    return str(value)


def _from_decimal(value: Decimal) -> int | float | None:
    if not value.is_finite():
        return None
    return int(value) if value == value.to_integral_value() and abs(value) < 2**63 else float(value)
