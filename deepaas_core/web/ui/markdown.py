"""Markdown of strangers as HTML that does nothing: no HTML of theirs, no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from markupsafe import Markup

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_OUTSIDE = ("http", "https", "mailto")
#: The page's own headings stand above those of a text.
_HEADINGS = {f"h{level}": f"h{min(level + 2, 6)}" for level in range(1, 7)}


def rendered(text: str) -> Markup:
    """A text as HTML."""
    parser = _parser()
    tokens = parser.parse(text)
    for token in tokens:
        token.tag = _HEADINGS.get(token.tag, token.tag)
        token.attrs.pop("style", None)  # of a table's cell; the policy of the page forbids them
        if token.children:
            token.children = [_harmless(child) for child in token.children]
    return Markup(parser.renderer.render(tokens, parser.options, {}))


def _harmless(token: Token) -> Token:
    """A link to outside, without saying where from; other links and pictures lead nowhere here, and become text."""
    if token.type == "link_open":
        address = str(token.attrs.get("href", ""))
        leads_out = urlsplit(address).scheme.lower() in _OUTSIDE
        token.attrs = {"href": address, "rel": "noopener noreferrer nofollow"} if leads_out else {}
    elif token.type == "image" and not str(token.attrs.get("src", "")).startswith("data:image/"):
        token.type, token.tag, token.attrs = "text", "", {}
        token.content, token.children = _words(token.children or ()), None
    return token


def _words(tokens: Sequence[Token]) -> str:
    return "".join(token.content for token in tokens)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # as for the templates, no start should wait for it

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
