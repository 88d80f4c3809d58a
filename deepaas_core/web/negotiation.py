"""The ``Accept`` header: what a client would like, weighed as HTTP says (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

JSON = "application/json"
NDJSON, EVENT_STREAM = "application/x-ndjson", "text/event-stream"
ARRAY_TYPES = ("application/x-npy", "application/octet-stream")


def array_type(headers: Mapping[str, str]) -> str | None:
    """The media type in which an array's memory is wanted as it is; None when JSON will do."""
    header = headers.get("Accept")
    if header is None or header == "*/*" or header == JSON:
        return None
    chosen = choose(header, (JSON, "application/problem+json", *ARRAY_TYPES), JSON)
    return chosen if chosen in ARRAY_TYPES else None


def stream_type(headers: Mapping[str, str]) -> str | None:
    """The media type for an answer that comes piece by piece; None when it is wanted as one JSON document."""
    header = headers.get("Accept")
    if header is None or header == "*/*":
        return NDJSON
    chosen = choose(header, (NDJSON, EVENT_STREAM, JSON)) if header != JSON else None
    return None if chosen == JSON else chosen


def choose(header: str, offered: Sequence[str], default: object = None) -> str | None:
    """The offered media type that the header likes best.

    Args:
        header: An ``Accept`` header; an empty one accepts anything.
        offered: Media types, the server's favourite first; ``image/*`` offers any kind of image.
        default: Preferred among equals when it is offered.

    Returns:
        None when nothing that is offered is acceptable.
    """
    ranges = _parse(header) or [("*/*", 1.0)]
    ordered = sorted(offered, key=lambda media_type: media_type != default)
    quality, _, best = max((*_quality(media_type, ranges), -place) for place, media_type in enumerate(ordered))
    return ordered[-best] if quality > 0 else None


def _parse(header: str) -> list[tuple[str, float]]:
    ranges = []
    for item in header.split(","):
        media_range, *parameters = (piece.strip().lower() for piece in item.split(";"))
        if "/" in media_range:
            ranges.append((media_range, _weight(parameters)))
    return ranges


def _weight(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def _quality(media_type: str, ranges: Sequence[tuple[str, float]]) -> tuple[float, bool]:
    """The weight of the most specific range that covers the media type, and whether it covers all of it."""
    media_type = media_type.lower()
    family, _, kind = media_type.partition("/")
    for wanted in (media_type, f"{family}/*", "*/*"):
        weights = [weight for media_range, weight in ranges if media_range == wanted]
        if weights:
            return max(weights), True
    if kind == "*":
        inside = (weight for media_range, weight in ranges if family in ("*", media_range.partition("/")[0]))
        return max(inside, default=0.0), False
    return 0.0, False
