"""Accept headers are weighed as HTTP says."""

import pytest

from deepaas_core.web import negotiation

OFFERED = ["application/json", "image/png", "text/plain"]


@pytest.mark.parametrize(
    "header, chosen",
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("image/*", "image/png"),
        ("application/json;q=0.5, image/png", "image/png"),
        ("text/plain;q=0.9, */*;q=0.1", "text/plain"),
        ("application/json;q=0, */*", "image/png"),
        ("audio/ogg", None),
        ("IMAGE/PNG", "image/png"),
        ("image/png;q=high", None),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
    ],
)
def test_the_best_liked_type_is_chosen(header, chosen):
    assert negotiation.choose(header, OFFERED) == chosen


def test_among_equals_the_authors_default_is_chosen():
    assert negotiation.choose("*/*", OFFERED, default="text/plain") == "text/plain"


@pytest.mark.parametrize(
    "headers, wanted",
    [
        ({}, None),
        ({"Accept": "*/*"}, None),
        ({"Accept": "application/x-npy"}, "application/x-npy"),
        ({"Accept": "application/octet-stream, */*;q=0.1"}, "application/octet-stream"),
        ({"Accept": "application/json, application/x-npy;q=0.1"}, None),
    ],
)
def test_an_arrays_memory_is_given_only_to_those_who_prefer_it(headers, wanted):
    assert negotiation.array_type(headers) == wanted


@pytest.mark.parametrize(
    "header, chosen",
    [
        ("image/png", "image/png"),
        ("image/webp", "image/*"),
        ("image/webp;q=0.5, application/json;q=0.4", "image/*"),
        ("audio/ogg", None),
        ("*/*", "application/json"),
    ],
)
def test_a_range_is_offered_for_what_lies_in_it(header, chosen):
    assert negotiation.choose(header, ["application/json", "image/*", "image/png"]) == chosen
