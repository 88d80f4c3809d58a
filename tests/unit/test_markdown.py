"""READMEs of strangers as HTML."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepaas_core.web.ui.markdown import rendered

PIECES = st.sampled_from(
    [
        *("<script>", "<img src=x onerror=alert(1)>", "[a](", "javascript:x", ")", "![", "](", "http://x/", "data:"),
        *("`", "```\n", "\n\n", "# ", "| a |\n|:-:|\n", "&#106;", "<http://x>", '"', "'", "\\", "\x00", " onclick=x"),
    ]
)


@settings(max_examples=100)
@given(st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join))
def test_nothing_that_comes_out_does_anything(text):
    tags = re.findall(r"<[^>]*>", rendered(text))
    for tag in tags:
        assert re.match(r"</?(?!script|style|iframe|object|form|svg|link|meta)[a-z0-9]+", tag)
        assert not re.search(r"\s(on\w+|style)=", re.sub(r'"[^"]*"', '""', tag))
        for address in re.findall(r'(?:href|src)="([^"]*)"', tag):
            assert re.match(r"https?:|mailto:|data:image/", address, re.IGNORECASE)


@pytest.mark.parametrize(
    "text, html",
    [
        ("# Title", "<h3>Title</h3>"),
        ("[there](https://example.org)", '<a href="https://example.org" rel="noopener noreferrer nofollow">there</a>'),
        ("[the code](score.py)", "<a>the code</a>"),
        ("![a *map*](https://example.org/map.png)", "<p>a map</p>"),
        ("~~no~~", "<s>no</s>"),
        ("<b>x</b>", "&lt;b&gt;x&lt;/b&gt;"),
    ],
)
def test_what_it_says_is_shown(text, html):
    assert html in rendered(text)
