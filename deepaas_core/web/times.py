"""Times in requests."""

from __future__ import annotations

from datetime import UTC, datetime

from deepaas_core.errors import InvalidInput, Issue


def moment(name: str, text: str | None) -> datetime | None:
    """The time that a query parameter says, taken for UTC if it does not say what it is.

    Raises:
        InvalidInput: It is none.
    """
    try:
        at = None if text is None else datetime.fromisoformat(text.replace(" ", "+"))  # a plus that was not escaped
        if at is not None:
            at = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):  # the latter at either end of time
        raise InvalidInput([Issue(f"/{name}", "Must be a time like 2024-05-01T12:30:00Z.")]) from None
    return at
