"""Which status and headers a function may give its answer.

What frames an answer on the wire, what says who the server is, and what protects browsers stay the server's own: a
function that sets one of those is wrong, and is told so, instead of being half obeyed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MAX_HEADERS = 100
MAX_HEADERS_CHARS = 16 * 1024
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
#: Visible characters, blanks and tabs inside; nothing that could begin another line.
_TEXT = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
#: Of one connection alone, or of how a body is framed and encoded.
_FRAMING = """
    connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade
    content-length content-encoding content-type
"""
#: Who answers, and what the request was.
_IDENTITY = "alt-svc date server x-accel-redirect x-generation x-request-id x-sendfile x-service-generation"
#: What keeps the pages of this server safe.
_SAFETY = """
    clear-site-data content-security-policy content-security-policy-report-only cross-origin-embedder-policy
    cross-origin-opener-policy cross-origin-resource-policy origin-agent-cluster permissions-policy referrer-policy
    refresh service-worker-allowed sourcemap strict-transport-security x-content-type-options x-frame-options
    x-xss-protection
"""
_OURS = frozenset(f"{_FRAMING} {_IDENTITY} {_SAFETY}".split())


class NotAllowed(Exception):
    """A status or a header that a function may not set; the text says which, and why."""


def checked(status: object, headers: object) -> tuple[int | None, tuple[tuple[str, str], ...]]:
    """The status and headers that a function wants, if it may have them.

    Args:
        status: 200 to 599; None leaves it to the server.
        headers: Pairs of name and text, in order; a name may come more than once.

    Raises:
        NotAllowed: It may not.
    """
    if status is not None and (not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599):
        raise NotAllowed(f"its status must be a whole number from 200 to 599, not {status!r:.60}")
    if not isinstance(headers, Iterable) or isinstance(headers, str | bytes):
        raise NotAllowed("its headers must be pairs of name and text")
    pairs = tuple(_pair(one) for one in headers)
    if len(pairs) > MAX_HEADERS or sum(len(name) + len(text) for name, text in pairs) > MAX_HEADERS_CHARS:
        raise NotAllowed(f"it has more than {MAX_HEADERS} headers, or more than {MAX_HEADERS_CHARS} characters of them")
    return status, pairs


def _pair(one: object) -> tuple[str, str]:
    match one:
        case [str(name), str(text)]:
            pass
        case _:
            raise NotAllowed(f"its headers must be pairs of name and text, not {one!r:.60}")
    if not _NAME.fullmatch(name):
        raise NotAllowed(f"{name!a:.60} is no name of a header")
    if name.lower() in _OURS or name.lower().startswith("access-control-"):
        raise NotAllowed(f"the header {name} is the server's to set")
    if not _TEXT.fullmatch(text):
        raise NotAllowed(f"the header {name} must be a single line of Latin-1 text")
    return name, text
