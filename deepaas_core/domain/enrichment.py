"""Enrichment: features that are looked up by key before the model sees the record.

Here are the rules alone: what a record's key is, and what becomes of it with the rows that were found. Who finds them
is ``serving.enricher``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from deepaas_core.domain.dataset import ColumnType, UnfitKey, is_missing, key_value
from deepaas_core.errors import DeepaasError, InvalidInput, Issue, SeveralMatches

#: Of the rows with one key, so many are of interest: whether there is one, and whether it is the only one.
ENOUGH_ROWS = 2


class Reaction(StrEnum):
    """What becomes of a record that cannot be enriched: it is refused, or it is left out without being an error."""

    ERROR = "error"
    IGNORE = "ignore"


class Trouble(StrEnum):
    """Why a record cannot be enriched."""

    KEY_MISSING = "key_missing"
    NO_MATCH = "no_match"
    SEVERAL_MATCHES = "several_matches"


@dataclass(frozen=True)
class Ignored:
    """A record that is left out, as its enrichment says.

    Attributes:
        reason: Why.
        dataset: Where nothing, or too much, was found.
    """

    reason: Trouble
    dataset: str

    def to_plain(self) -> dict[str, Any]:
        """What stands in the place of its answer."""
        return {"ignored": True, "ignored_reason": str(self.reason)}


@dataclass(frozen=True)
class Enrichment:
    """Which columns of a dataset join a record, and by what.

    Attributes:
        dataset: Its name.
        keys: The key, as a record's names → the dataset's columns.
        columns: What is fetched, as a record's names → the dataset's columns. A value that the record brings under
            such a name is replaced.
        on_missing_key: Reaction to a record without a value for a part of the key.
        on_no_match: Reaction to a key that no row has.
        on_several_matches: Reaction to a key that more than one row has.
        return_enriched: What was fetched is shown in the answer.
    """

    dataset: str
    keys: Mapping[str, str]
    columns: Mapping[str, str]
    on_missing_key: Reaction = Reaction.ERROR
    on_no_match: Reaction = Reaction.ERROR
    on_several_matches: Reaction = Reaction.ERROR
    return_enriched: bool = False

    @property
    def used(self) -> tuple[str, ...]:
        """The dataset's columns that it searches by or fetches."""
        return (*self.keys.values(), *self.columns.values())

    def reaction(self, trouble: Trouble) -> Reaction:
        """What this enrichment does about a record that it cannot enrich."""
        return {
            Trouble.KEY_MISSING: self.on_missing_key,
            Trouble.NO_MATCH: self.on_no_match,
            Trouble.SEVERAL_MATCHES: self.on_several_matches,
        }[trouble]

    def key_of(self, record: Mapping[str, Any], types: Mapping[str, ColumnType]) -> tuple[Any, ...] | None:
        """The key of a record, in the order of ``keys``; None if a part of it is missing.

        Args:
            record: JSON-native values by name.
            types: Of the dataset's columns.

        Raises:
            InvalidInput: A part of it is nothing that the column can have.
        """
        key, issues = [], []
        for name, column in self.keys.items():
            value = record.get(name)
            if is_missing(types[column], value):
                return None
            try:
                key.append(key_value(types[column], value))
            except UnfitKey as unfit:
                issues.append(Issue(pointer_to(name), str(unfit)))
        if issues:
            raise InvalidInput(issues)
        return tuple(key)

    def verdict(self, trouble: Trouble, record: Mapping[str, Any]) -> Ignored | DeepaasError:
        """What a record that cannot be enriched is answered with."""
        if self.reaction(trouble) is Reaction.IGNORE:
            return Ignored(trouble, self.dataset)
        if trouble is Trouble.KEY_MISSING:
            missing = [name for name in self.keys if record.get(name) in (None, "")] or list(self.keys)
            return InvalidInput([Issue(pointer_to(name), "This key is required.") for name in missing])
        if trouble is Trouble.SEVERAL_MATCHES:
            return SeveralMatches(self.dataset, tuple(self.keys))
        text = f"No row of dataset {self.dataset!r} has this key."
        return InvalidInput([Issue(pointer_to(name), text) for name in self.keys])


@dataclass
class Enriched:
    """Records with what was fetched for them. Positions are those of the records that were given.

    Attributes:
        records: The records; None where there is an entry in one of the others.
        refused: Records that are errors.
        ignored: Records that are left out.
        shown: Of each record, what is to be shown in the answer.
    """

    records: list[dict[str, Any] | None]
    refused: dict[int, DeepaasError] = field(default_factory=dict)
    ignored: dict[int, Ignored] = field(default_factory=dict)
    shown: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]]) -> Enriched:
        """Records to begin with."""
        return cls([dict(record) for record in records], shown=[{} for _ in records])

    def leave_out(self, place: int, verdict: Ignored | DeepaasError) -> None:
        """Go on without a record."""
        self.records[place] = None
        if isinstance(verdict, Ignored):
            self.ignored[place] = verdict
        else:
            self.refused[place] = verdict

    def join(self, place: int, enrichment: Enrichment, rows: Sequence[Sequence[Any]]) -> None:
        """Add to a record what was found for it.

        Args:
            place: Which record.
            enrichment: What was looked for.
            rows: The values of ``enrichment.columns`` of the rows with its key; ``ENOUGH_ROWS`` of them stand for any
                greater number.
        """
        record = self.records[place]
        assert record is not None
        if len(rows) == 1:
            fetched = dict(zip(enrichment.columns, rows[0], strict=True))
            record.update(fetched)
            if enrichment.return_enriched:
                self.shown[place].update(fetched)
            return
        trouble = Trouble.SEVERAL_MATCHES if rows else Trouble.NO_MATCH
        self.leave_out(place, enrichment.verdict(trouble, record))


def pointer_to(name: str) -> str:
    """A name of a record as a JSON pointer (RFC 6901)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")
