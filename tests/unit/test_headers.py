"""Which status and headers a function may give its answer."""

import pytest

from deepaas_core.domain.headers import NotAllowed, checked


def test_a_status_and_headers_are_taken_as_they_are_in_their_order():
    headers = [["Set-Cookie", "a=1"], ["X-Model", "é; v=1"], ("Set-Cookie", "b=2")]
    assert checked(201, headers) == (201, (("Set-Cookie", "a=1"), ("X-Model", "é; v=1"), ("Set-Cookie", "b=2")))
    assert checked(None, []) == (None, ())


@pytest.mark.parametrize("status", [0, 101, 199, 600, "200", 200.0, True])
def test_a_status_is_one_that_ends_a_request(status):
    with pytest.raises(NotAllowed, match="from 200 to 599"):
        checked(status, [])


@pytest.mark.parametrize(
    "name",
    [
        "Content-Length",
        "content-type",
        "Transfer-Encoding",
        "CONNECTION",
        "Upgrade",
        "Server",
        "X-Service-Generation",
        "Content-Security-Policy",
        "X-Frame-Options",
        "Access-Control-Allow-Origin",
        "Strict-Transport-Security",
    ],
)
def test_headers_of_the_server_are_refused_by_name(name):
    with pytest.raises(NotAllowed, match=f"the header {name} is the server's"):
        checked(200, [(name, "1")])


@pytest.mark.parametrize("text", ["a\r\nSet-Cookie: b=1", "a\nb", "a\0b", " a", "a ", "中", "\x7f"])
def test_a_header_is_one_line_of_latin_1(text):
    with pytest.raises(NotAllowed, match="single line"):
        checked(200, [("X-A", text)])


@pytest.mark.parametrize(
    "headers", ["X-A: 1", ["X-A"], [("X-A", 1)], [("X-A", "1", "2")], 5, [("X A", "1")], [("", "1")]]
)
def test_headers_are_pairs_of_name_and_text(headers):
    with pytest.raises(NotAllowed):
        checked(200, headers)


def test_headers_are_bounded():
    with pytest.raises(NotAllowed, match="more than 100 headers"):
        checked(200, [("X-A", "1")] * 101)
    with pytest.raises(NotAllowed, match="more than"):
        checked(200, [("X-A", "1" * 20_000)])
