"""What a caller may send for each kind of argument, and what the model is given for it."""

from __future__ import annotations

from typing import Any

import pytest
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from multidict import MultiDict
from webargs.multidictproxy import MultiDictProxy

from deepaas_core.domain.arguments import Arguments, Kind, Upload, issues
from deepaas_core.domain.model import Capability, Source
from deepaas_core.errors import InvalidInput, PluginError
from deepaas_core.plugins.inspection import inspect

AT_LEAST = "Must be greater than or equal to"


def arguments(*plain: dict[str, Any]) -> Arguments:
    return Arguments.from_plain(plain)


def load(sent: Any, **described: Any) -> Any:
    """What becomes of one value of one argument."""
    return arguments({"name": "x", **described}).load({"x": sent})["x"]


def refusal(sent: Any, **described: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        load(sent, **described)
    (issue,) = caught.value.issues
    assert issue.pointer == "/x"
    return issue.detail


@pytest.mark.parametrize(
    "kind, sent, given",
    [
        ("integer", 5, 5),
        ("integer", "5", 5),
        ("integer", " -7 ", -7),
        ("integer", 5.0, 5),
        ("number", "1e3", 1000.0),
        ("number", 2, 2.0),
        ("boolean", "yes", True),
        ("boolean", "False", False),
        ("boolean", 0, False),
        ("string", "5", "5"),
        ("array", [1, "a"], [1, "a"]),
        ("array", '[1, "a"]', [1, "a"]),
        ("array", 5, [5]),
        ("object", '{"a": [1]}', {"a": [1]}),
        ("any", "[1]", [1]),
        ("any", "word", "word"),
        ("date", "2024-12-31", "2024-12-31"),
        ("datetime", "2024-12-31T23:59:00Z", "2024-12-31T23:59:00+00:00"),
        ("time", "23:59", "23:59:00"),
        ("duration", "90", 90.0),
        ("uuid", "{12345678123456781234567812345678}", "12345678-1234-5678-1234-567812345678"),
        ("decimal", "1.10", "1.10"),
        ("decimal", 0.1, "0.1"),
        ("url", "http://localhost:80/x", "http://localhost:80/x"),
        ("email", "a@b.c", "a@b.c"),
    ],
)
def test_a_value_becomes_what_its_kind_is(kind, sent, given):
    loaded = load(sent, kind=kind)
    assert loaded == given
    assert type(loaded) is type(given)


@pytest.mark.parametrize(
    "kind, sent, expected",
    [
        ("integer", 5.5, "Must be an integer."),
        ("integer", "5.5", "Must be an integer."),
        ("integer", True, "Must be an integer."),
        ("integer", "", "Must be an integer."),
        ("integer", "1e999999999", "Must be an integer."),
        ("integer", 2**64, "Must be an integer of at most 64 bits."),
        ("number", "nan", "Must be a finite number."),
        ("number", float("inf"), "Must be a finite number."),
        ("number", "abc", "Must be a number."),
        ("number", False, "Must be a number."),
        ("boolean", 5, "Must be true or false."),
        ("boolean", 1.0, "Must be true or false."),
        ("boolean", [], "Must be true or false."),
        ("string", 5, "Must be a string."),
        ("string", "\ud800", "Must be valid Unicode text."),
        ("object", "[1]", "Must be an object."),
        ("object", [1], "Must be an object."),
        ("date", "yesterday", "Must be a date such as 2024-12-31."),
        ("datetime", 5, "Must be a date and time such as 2024-12-31T23:59:00Z."),
        ("uuid", "1", "Must be a UUID."),
        ("decimal", "Infinity", "Must be a decimal number."),
        ("url", "//x", "Must be a URL such as https://example.org/a."),
        ("email", "@b", "Must be an e-mail address."),
        ("file", "name.png", "Must be an uploaded file."),
        ("integer", None, "Must not be null."),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_what_was_expected(kind, sent, expected):
    assert refusal(sent, kind=kind) == expected


@pytest.mark.parametrize(
    "described, sent, expected",
    [
        ({"kind": "integer", "minimum": 1, "maximum": 5}, 0, f"{AT_LEAST} 1 and less than or equal to 5."),
        ({"kind": "number", "minimum": 0, "exclusive_minimum": True}, 0, "Must be greater than 0."),
        ({"kind": "decimal", "maximum": 1}, "1.1", "Must be less than or equal to 1."),
        ({"kind": "string", "min_length": 2, "max_length": 4}, "a", "Length must be between 2 and 4."),
        ({"kind": "string", "choices": ["a", "b"]}, "c", "Must be one of: a, b."),
        ({"kind": "array", "max_length": 1}, [1, 2], "Longer than maximum length 1."),
        ({"kind": "string", "text": True, "maximum": 1}, "2", "Must be less than or equal to 1."),
        ({"kind": "string", "text": True, "maximum": 1}, "x", "Must be a number."),
    ],
)  # fmt: skip
def test_bounds_and_choices_hold(described, sent, expected):
    assert refusal(sent, **described) == expected


@pytest.mark.parametrize("sent", [None, "null", ""])
def test_a_nullable_argument_can_be_null_from_anywhere(sent):
    assert load(sent, kind="integer", nullable=True) is None


def test_a_choice_that_reads_like_null_is_still_a_choice():
    assert load("null", kind="string", nullable=True, choices=["null", "x"]) == "null"


@pytest.mark.parametrize(
    "sent, given",
    [
        ("0.10", "0.10"),
        (0.1, "0.1"),
        (True, "true"),
        (None, "null"),
        ([1, "a"], '[1,"a"]'),
        ({"a": None}, '{"a":null}'),
    ],
)
def test_a_hook_that_wants_text_gets_text(sent, given):
    assert load(sent, kind="string", text=True) == given


def test_an_opaque_value_passes_unchanged():
    assert load("5", kind="integer", opaque=True, maximum=1) == "5"
    assert load(None, kind="integer", opaque=True) is None


def test_an_array_says_which_item_is_wrong():
    with pytest.raises(InvalidInput) as caught:
        arguments({"name": "layers", "kind": "array", "items": {"name": "", "kind": "integer"}}).load(
            {"layers": [1, 2, "x"]}
        )
    assert [issue.pointer for issue in caught.value.issues] == ["/layers/2"]


def test_an_array_comes_from_repeated_keys_json_text_or_commas():
    numbers = arguments({"name": "n", "kind": "array", "items": {"name": "", "kind": "integer"}})
    for query in ([("n", "1"), ("n", "2")], [("n", "[1,2]")], [("n", "1,2")]):
        assert numbers.schema().load(MultiDictProxy(MultiDict(query), numbers.schema())) == {"n": [1, 2]}


def test_text_in_an_array_is_not_split_at_its_commas():
    words = arguments({"name": "w", "kind": "array", "items": {"name": "", "kind": "string"}})
    assert words.load({"w": "a,b"}) == {"w": ["a,b"]}


def test_members_of_an_object_are_checked_and_their_defaults_left_to_the_author():
    nested = arguments(
        {
            "name": "o",
            "kind": "object",
            "properties": [{"name": "a/b", "kind": "integer", "required": True}, {"name": "c", "default": 1}],
        }
    )
    assert nested.load({"o": {"a/b": "3"}}) == {"o": {"a/b": 3}}
    with pytest.raises(InvalidInput) as caught:
        nested.load({"o": {"d": 1}})
    assert {(issue.pointer, issue.detail) for issue in caught.value.issues} == {
        ("/o/a~1b", "This argument is required."),
        ("/o/d", "Unknown argument."),
    }


def test_everything_wrong_is_told_at_once():
    with pytest.raises(InvalidInput) as caught:
        arguments({"name": "a", "required": True}, {"name": "b", "kind": "integer"}).load({"b": "x", "zz": 1})
    assert {(issue.pointer, issue.detail) for issue in caught.value.issues} == {
        ("/a", "This argument is required."),
        ("/b", "Must be an integer."),
        ("/zz", "Unknown argument."),
    }


@pytest.mark.parametrize("name", ["fields", "load", "Meta", "a.b", "opts", "demo-list-of-floats", "ü", "context"])
def test_an_argument_may_be_called_anything(name):
    assert arguments({"name": name, "kind": "integer"}).load({name: "1"}) == {name: 1}


def test_a_request_uses_the_key():
    assert arguments({"name": "zip", "key": "zip_data"}).load({"zip_data": "x"}) == {"zip_data": "x"}


def test_defaults_are_applied_as_they_are():
    some = arguments(
        {"name": "a", "kind": "integer", "default": 3},
        {"name": "b", "default": None},
        {"name": "c", "kind": "file", "default": None},
        {"name": "d", "default": 1, "computed_default": True},
        {"name": "e", "kind": "string", "text": True, "default": "0.10"},
        {"name": "f"},
    )
    assert some.load({}) == some.defaults == {"a": 3, "b": None, "e": "0.10"}
    assert some.load({"f": 1}) == {"a": 3, "b": None, "e": "0.10", "f": 1}


def test_what_is_required_must_be_sent_even_if_it_has_a_default():
    some = arguments({"name": "a", "required": True, "default": 1})
    assert some.defaults is None
    with pytest.raises(InvalidInput):
        some.load({})


def test_the_schema_is_built_once():
    some = arguments({"name": "a"})
    assert some.schema() is some.schema()


def test_an_upload_reaches_a_file_argument_and_nothing_else_can_pose_as_one():
    upload = Upload(name="f", filename="/tmp/u", content_type="image/png", original_filename="a.png")
    assert load(upload, kind="file") == dict(upload)
    assert load([upload], kind="array", items={"name": "", "kind": "file"}) == [dict(upload)]
    assert refusal(dict(upload), kind="file") == "Must be an uploaded file."
    assert refusal(dict(upload), kind="any") == "Must be an uploaded file."
    assert refusal({"deep": [dict(upload)]}, kind="any", opaque=True) == "Must be an uploaded file."
    assert refusal(upload, kind="object") == "Must be an object."


def test_deep_and_large_values_are_refused():
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    assert refusal({"a": deep}, kind="any") == "Must not be nested more than 100 levels deep."
    with pytest.raises(InvalidInput, match="more than 1000000 values"):
        load([[0] * 1001] * 1000, kind="any")


def test_a_pointer_can_always_be_encoded():
    (issue,) = issues({"\ud800/~": ["no"]})
    issue.pointer.encode()
    assert issue.pointer.endswith("~1~0")


def test_apispec_describes_the_schema():
    spec = APISpec("t", "1", "3.0.3", plugins=[MarshmallowPlugin()])
    spec.components.schema(
        "Args",
        schema=arguments(
            {"name": "n", "kind": "integer", "minimum": 1, "maximum": 9, "default": 3, "help": "How many."},
            {"name": "c", "kind": "string", "choices": ["a", "b"], "required": True},
            {"name": "f", "kind": "file"},
            {"name": "s", "kind": "string", "secret": True, "default": "hidden"},
            {"name": "d", "kind": "date", "nullable": True},
        ).schema(),
    )
    described = spec.to_dict()["components"]["schemas"]["Args"]
    assert described["required"] == ["c"]
    properties = described["properties"]
    assert properties["n"] == {"type": "integer", "minimum": 1, "maximum": 9, "default": 3, "description": "How many."}
    assert properties["c"]["enum"] == ["a", "b"]
    assert properties["f"] == {"type": "string", "format": "binary"}
    assert properties["s"]["x-secret"] is True
    assert properties["d"]["format"] == "date"


@pytest.mark.parametrize(
    "plain, complaint",
    [
        ("x", "must be described by an object"),
        ({"name": 5}, "'name' must be a string"),
        ({"name": "a", "kind": "tensor"}, "'kind' must be one of"),
        ({"name": "a", "required": "yes"}, "'required' must be true or false"),
        ({"name": "a", "minimum": True}, "'minimum' must be a number"),
        ({"name": "a", "max_length": -1}, "'max_length' must be a whole number"),
        ({"name": "a", "choices": "ab"}, "'choices' must be a list"),
        ({"name": "a", "location": "moon"}, "is no location"),
        ({"name": ""}, "has no name"),
    ],
)
def test_a_description_of_the_wrong_type_is_refused(plain, complaint):
    with pytest.raises(ValueError, match=complaint):
        Arguments.from_plain([plain])


def test_two_arguments_cannot_share_a_key():
    with pytest.raises(ValueError, match="two arguments are called 'a'"):
        arguments({"name": "a"}, {"name": "b", "key": "a"})


# Arguments of functions, which come as JSON.


@pytest.mark.parametrize(
    "described, sent, given",
    [
        ({}, "[1]", "[1]"),
        ({}, "5", "5"),
        ({}, None, None),
        ({}, [5], [5]),
        ({"kind": "array"}, ["1", [2]], ["1", [2]]),
        ({"kind": "array", "items": {"name": "", "kind": "number"}}, [1, [2]], [1.0, 2.0]),
        ({"kind": "integer"}, [5], 5),
        ({"kind": "string"}, ["a"], "a"),
        ({"kind": "boolean"}, [True], True),
        ({"kind": "date"}, ["2024-12-31"], "2024-12-31"),
        ({"kind": "number", "nullable": True}, None, None),
        ({"kind": "number", "nullable": True}, [None], None),
        ({"kind": "object"}, {"a": [1], "b": 2}, {"a": [1], "b": 2}),
        ({"kind": "object", "properties": [{"name": "a", "kind": "integer"}]}, {"a": [1]}, {"a": 1}),
    ],
)
def test_values_that_came_as_json_are_what_they_are(described, sent, given):
    assert arguments({"name": "x", **described}).load_exact({"x": sent}) == {"x": given}


@pytest.mark.parametrize(
    "described, sent, complaint",
    [
        ({"kind": "array"}, "[1]", "Must be a list."),
        ({"kind": "object"}, '{"a": 1}', "Must be an object."),
        ({"kind": "object", "properties": [{"name": "a"}]}, '{"a": 1}', "Must be an object."),
        ({"kind": "object", "properties": [{"name": "a"}]}, {"b": 1}, "Unknown argument."),
        ({"kind": "integer"}, [5, 6], "Must be an integer."),
        ({"kind": "number"}, None, "Must not be null."),
        ({}, float("nan"), "Must be a finite number."),
        (
            {"kind": "array"},
            [{"name": 1, "filename": "/etc/passwd", "content_type": 1, "original_filename": 1}],
            "Must be",
        ),
    ],
)
def test_values_that_came_as_json_are_checked(described, sent, complaint):
    with pytest.raises(InvalidInput, match=complaint):
        arguments({"name": "x", **described}).load_exact({"x": sent})


def test_other_arguments_pass_where_the_function_takes_them_and_are_checked_all_the_same():
    taking = Arguments.from_plain([{"name": "a0", "kind": "integer", "default": 1}], any_other=True)
    assert taking.load_exact({"b": "[1]", "a1": None}) == {"a0": 1, "b": "[1]", "a1": None}
    assert taking.load({"b": "5"}) == {"a0": 1, "b": "5"}
    with pytest.raises(InvalidInput, match="/a0"):
        taking.load_exact({"b": 1, "a0": "x"})
    with pytest.raises(InvalidInput, match="finite"):
        taking.load_exact({"b": float("inf")})
    with pytest.raises(InvalidInput, match="/b: Unknown argument"):
        arguments({"name": "a"}).load_exact({"a": 1, "b": 1})


# Models.

SOURCE = Source("digits", "deepaas.model", "digits.api", "digits-dist", "1.2", summary="Reads digits.", license="MIT")


def test_a_model_is_read_from_its_workers_description():
    model = inspect(
        SOURCE,
        {
            "capabilities": ["train", "get_metadata"],
            "metadata": {"version": "9", "extra": [1]},
            "signature": {"inputs": []},
            "arguments": {"train": [{"name": "lr", "kind": "number"}]},
            "response": [{"name": "label", "kind": "string"}],
            "warnings": ["look"],
        },
    )
    assert model.capabilities == {Capability.TRAIN, Capability.METADATA}
    assert model.arguments[Capability.TRAIN]["lr"].kind is Kind.NUMBER
    assert model.version == "9"
    assert model.metadata["description"] == "Reads digits."
    assert model.response is not None
    assert model.response[0].name == "label"
    assert model.warnings == ("look",)


def test_a_model_that_says_nothing_has_its_distributions_metadata():
    model = inspect(SOURCE, {"capabilities": [], "arguments": {}, "metadata": None})
    assert model.metadata == {
        "name": "digits-dist",
        "version": "1.2",
        "description": "Reads digits.",
        "license": "MIT",
    }


@pytest.mark.parametrize(
    "description, complaint",
    [
        ({"metadata": ["x"]}, r"get_metadata\(\) must return a dict, not a list"),
        ({"signature": 5}, r"get_signature\(\) must return a dict, not a number"),
        ({"capabilities": ["fly"]}, "'fly', which is no capability"),
        ({"capabilities": [1]}, "must be a list of strings"),
        ({"arguments": []}, "must be an object"),
        ({"arguments": {"train": {}}}, "arguments of train must be a list"),
        ({"arguments": {"train": [{"name": 1}]}}, "arguments of train cannot be used"),
        ({"warnings": "x"}, "must be a list of strings"),
    ],
)
def test_a_description_that_is_none_stops_the_model(description, complaint):
    with pytest.raises(PluginError, match=complaint):
        inspect(SOURCE, description)
