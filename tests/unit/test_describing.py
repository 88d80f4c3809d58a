"""What is read from a plugin, in each of the three spellings, and what its hooks are given in return."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import pathlib
import uuid
from collections import OrderedDict
from types import SimpleNamespace
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

import marshmallow
import pytest
from webargs import fields, validate

from deepaas_core.domain.arguments import Arguments, Upload
from deepaas_core.executors.worker import compat
from deepaas_core.executors.worker.describing import Description, Invalid, describe
from deepaas_core.executors.worker.from_hints import explanations

compat.install()

UPLOAD = Upload(name="f", filename="/tmp/u", content_type="image/png", original_filename="a.png")


def anything(**kwargs: Any) -> Any:
    return kwargs


def one_dictionary(user_conf: dict[str, Any]) -> Any:
    return user_conf


def plugin(**hooks: Any) -> Any:
    return SimpleNamespace(**hooks)


def trained(declared: Any, train: Any = anything) -> Description:
    return describe(plugin(get_train_args=lambda: declared, train=train))


def described(declared: Any, train: Any = anything) -> dict[str, dict[str, Any]]:
    """The plain arguments of ``train``, by name, as they cross the line; but for whether they are fields."""
    text = json.dumps(trained(declared, train).plain()).replace(', "by_field": true', "")
    return {argument.pop("name"): argument for argument in json.loads(text)["arguments"]["train"]}


def given(declared: Any, sent: dict[str, Any], train: Any = anything) -> dict[str, Any]:
    """What ``train`` is given for a request, once both sides have had their say."""
    description = trained(declared, train)
    plain = json.loads(json.dumps(description.plain()))
    values = Arguments.from_plain(plain["arguments"]["train"]).load(sent)
    return description.deserialize("train", values)


# Hooks and styles.


def test_hooks_are_found_on_modules_instances_and_objects():
    class Model:
        def get_test_args(self):
            return {"a": {"default": "1"}}

        def predict(self, **kwargs): ...

        train = "not a function"

    description = describe(Model())
    plain = description.plain()
    assert plain["capabilities"] == ["get_predict_args", "predict"]
    assert description.hooks.keys() == {"get_predict_args", "predict"}
    assert plain["warnings"] == ["train is not a function but a str; it is left out."]


def test_a_plugin_without_hooks_offers_nothing():
    plain = describe(plugin()).plain()
    assert plain["capabilities"] == []
    assert plain["arguments"] == plain["styles"] == {}
    assert plain["response"] is None


def test_a_declaration_that_is_not_implemented_is_not_there():
    def get_train_args():
        raise NotImplementedError

    plain = describe(plugin(get_train_args=get_train_args, train=lambda lr=0.1: lr)).plain()
    assert plain["capabilities"] == ["train"]
    assert plain["arguments"]["train"] == [{"name": "lr", "kind": "number", "default": 0.1}]


def test_any_other_failure_of_a_declaration_is_the_models_failure():
    with pytest.raises(ZeroDivisionError):
        describe(plugin(get_train_args=lambda: 1 / 0))
    with pytest.raises(TypeError, match="must return a dict of arguments, not a list"):
        describe(plugin(get_train_args=list))


def test_arguments_are_described_for_a_declaration_without_its_function():
    plain = describe(plugin(get_predict_args=lambda: {"a": {}})).plain()
    assert [argument["name"] for argument in plain["arguments"]["predict"]] == ["a"]
    assert plain["capabilities"] == ["get_predict_args"]


@pytest.mark.parametrize(
    "hook, function, style",
    [
        ("train", lambda user_conf: 0, "dictionary"),
        ("train", lambda whatever: 0, "dictionary"),
        ("train", lambda *args: 0, "dictionary"),
        ("train", lambda a: 0, "keywords"),
        ("train", lambda **kwargs: 0, "keywords"),
        ("train", lambda x, **kwargs: 0, "keywords"),
        ("predict", lambda args: 0, "dictionary"),
        ("predict_data", lambda args: 0, "dictionary"),
        ("predict_data", lambda *args: 0, "dictionary"),
        ("predict_data", lambda test_args: 0, "dictionary"),
        ("predict_data", lambda data: 0, "keywords"),
        ("predict_data", lambda args, **kwargs: 0, "keywords"),
        ("predict_url", lambda args: 0, "dictionary"),
        ("predict_url", lambda url, a=1: 0, "keywords"),
        ("predict_file", lambda path: 0, "keywords"),
    ],
)
def test_a_hook_takes_keywords_or_one_dictionary(hook, function, style):
    declared = {"a": {"default": "1"}}
    description = describe(
        plugin(get_train_args=lambda: declared, get_predict_args=lambda: declared, **{hook: function})
    )
    assert description.styles[hook] == style
    assert description.declared[hook]["a"].plain.get("text", False) is (style == "dictionary")


def test_a_hook_that_cannot_take_an_argument_is_not_given_it():
    description = trained({"a": {"default": "1"}, "b": {"default": "2"}}, lambda a, c: 0)
    assert description.deserialize("train", {"a": 1, "b": 2}) == {"a": 1}
    assert description.warnings == [
        "get_train_args() declares 'b', but train() takes no such argument; it is not passed on.",
        "train() needs 'c', but get_train_args() does not declare it.",
    ]


def test_the_payload_is_no_argument():
    declared = {"data": fields.Raw(required=True), "top": fields.Int(load_default=3)}
    description = describe(
        plugin(get_predict_args=lambda: declared, predict=anything, predict_data=lambda data, **kw: 0)
    )
    assert list(description.declared["predict_data"]) == ["top"]
    assert list(description.declared["predict"]) == ["data", "top"]


# A dict of dicts.


def test_strings_stay_strings_for_a_hook_that_takes_one_dictionary():
    declared = {
        "lr": {"default": "0.10", "help": "Rate", "required": False},
        "epochs": {"default": 20},
        "sizes": {"default": "[1,  2]"},
        "none": {"default": None},
        "n": {"default": "3", "type": int},
        "must": {"required": True},
    }
    found = described(declared, one_dictionary)
    assert found["lr"] == {"kind": "string", "text": True, "help": "Rate", "default": "0.10"}
    assert found["n"] == {"kind": "integer", "default": 3}
    assert found["must"] == {"kind": "string", "text": True, "required": True}
    assert given(declared, {"must": True, "sizes": [3]}, one_dictionary) == {
        "lr": "0.10",
        "epochs": "20",
        "sizes": "[3]",
        "none": None,
        "n": 3,
        "must": "true",
    }


@pytest.mark.parametrize(
    "spec, kind, default",
    [
        ({"default": "0.1"}, "number", 0.1),
        ({"default": "20"}, "integer", 20),
        ({"default": "true"}, "boolean", True),
        ({"default": "False"}, "boolean", False),
        ({"default": "[1,2]"}, "array", [1, 2]),
        ({"default": '{"a": 1}'}, "object", {"a": 1}),
        ({"default": "adam"}, "string", "adam"),
        ({"default": '"adam"'}, "string", "adam"),
        ({"default": ""}, "string", ""),
        ({"default": "null"}, "any", None),
        ({"default": None, "type": "int"}, "integer", None),
        ({"default": "0.1", "type": float}, "number", 0.1),
        ({"default": "1", "type": "float"}, "number", 1.0),
        ({"default": "1", "type": "str"}, "string", "1"),
        ({"default": "1", "range": [0, 1.0]}, "number", 1),
        ({"default": "3", "choices": ["3", "5"]}, "integer", 3),
        ({"default": "a", "action": "append"}, "array", ["a"]),
        (5, "integer", 5),
    ],
)
def test_what_a_default_says_decides_the_type_for_keywords(spec, kind, default):
    (argument,) = described({"x": spec}).values()
    assert (argument["kind"], argument["default"]) == (kind, default)
    assert given({"x": spec}, {}) == {"x": default}


def test_more_can_be_said_of_an_argument_in_a_dict():
    spec = {"type": "int", "range": {"min": "1", "max": 9}, "choices": ["1", 5], "nullable": True, "secret": True}
    assert described({"x": {**spec, "location": "headers"}})["x"] == {
        "kind": "integer",
        "minimum": 1,
        "maximum": 9,
        "choices": [1, 5],
        "nullable": True,
        "secret": True,
        "location": "header",
    }


def test_a_type_can_be_a_function_of_the_authors():
    declared = {"x": {"type": lambda text: text.split("-"), "default": "a"}}
    assert given(declared, {"x": "1-2"}) == {"x": ["1", "2"]}
    with pytest.raises(Invalid) as caught:
        given({"x": {"type": lambda text: decimal.Decimal(text) / 0}}, {"x": "1"})
    assert caught.value.issues[0][0] == "/x"


def test_dates_are_dates_by_whatever_name_the_type_goes():
    declared = {"a": {"type": "date", "default": "2024-01-02"}, "b": {"type": datetime.date}}
    assert given(declared, {"b": "2024-01-03"}) == {"a": datetime.date(2024, 1, 2), "b": datetime.date(2024, 1, 3)}


def test_a_pattern_is_held_by_the_worker():
    with pytest.raises(Invalid, match="Must match"):
        given({"x": {"type": "str", "pattern": "[a-z]+$"}}, {"x": "A"})


def test_a_file_of_a_dict_arrives_as_its_generation_knows_it(tmp_path):
    (tmp_path / "u").write_bytes(b"content")
    upload = Upload(UPLOAD, filename=str(tmp_path / "u"))
    declared = {"f": {"type": "file", "default": None}}
    assert given(declared, {"f": upload})["f"].original_filename == "a.png"
    storage = given(declared, {"f": upload}, one_dictionary)["f"]
    assert (storage.filename, storage.read()) == ("a.png", b"content")
    assert given(declared, {}) == {}


# Fields.


def test_fields_are_described_as_what_they_are():
    class Color(enum.Enum):
        RED = 1

    declared = OrderedDict(
        s=fields.Str(required=True, metadata={"description": "A text.", "location": "form"}, data_key="text"),
        i=fields.Int(load_default=3, validate=validate.Range(1, 5, max_inclusive=False)),
        b=fields.Bool(load_default=False),
        one=fields.Str(validate=[validate.OneOf(("a", "b"))], metadata={"enum": ["a", "b"]}),
        li=fields.List(fields.Float(validate=validate.Range(min=0)), validate=validate.Length(equal=2)),
        di=fields.Dict(allow_none=True),
        re=fields.Str(validate=validate.Regexp("a+"), metadata={"secret": True}),
        raw=fields.Raw(),
        file=fields.Field(metadata={"type": "file"}),
        nest=fields.Nested({"x": fields.Int(required=True), "y": fields.Str(load_default="z")}),
        color=fields.Enum(Color),
        fmt=fields.Date(format="%Y"),
        now=fields.DateTime(load_default=datetime.datetime.now),
        eq=fields.Int(validate=validate.Equal(7)),
        only=fields.List(fields.Str(), validate=validate.ContainsOnly(["a"])),
        shown=fields.Int(dump_only=True),
    )
    assert described(declared) == {
        "s": {"kind": "string", "required": True, "help": "A text.", "location": "form", "key": "text"},
        "i": {"kind": "integer", "default": 3, "minimum": 1, "maximum": 5, "exclusive_maximum": True},
        "b": {"kind": "boolean", "default": False},
        "one": {"kind": "string", "choices": ["a", "b"], "help": "Known values: a, b."},
        "li": {
            "kind": "array",
            "items": {"name": "", "kind": "number", "minimum": 0},
            "min_length": 2,
            "max_length": 2,
        },
        "di": {"kind": "object", "nullable": True},
        "re": {"kind": "string", "pattern": "a+", "secret": True},
        "raw": {"kind": "any", "opaque": True},
        "file": {"kind": "file"},
        "nest": {
            "kind": "object",
            "properties": [
                {"name": "x", "kind": "integer", "required": True},
                {"name": "y", "kind": "string", "default": "z"},
            ],
            "own_rules": True,
        },
        "color": {"kind": "string", "choices": ["RED"]},
        "fmt": {"kind": "date", "opaque": True},
        "now": {"kind": "datetime", "computed_default": True},
        "eq": {"kind": "integer", "choices": [7], "own_rules": True},
        "only": {"kind": "array", "items": {"name": "", "kind": "string", "choices": ["a"]}, "own_rules": True},
    }


@pytest.mark.parametrize(
    "field",
    [
        fields.Int(error_messages={"required": "Say how many."}),
        fields.Int(validate=lambda number: number % 2 == 0),
        fields.Int(validate=validate.Range(1, 5, error="No.")),
        fields.Str(validate=validate.NoneOf(["a"])),
        fields.Str(validate=validate.And(validate.Length(2), validate.NoneOf("x"))),
        fields.Dict(values=fields.Int()),
    ],
    ids=["words", "function", "words of a validator", "none of", "and", "parts"],
)
def test_of_a_field_that_has_more_to_say_that_is_known(field):
    assert described({"x": field})["x"]["own_rules"] is True


@pytest.mark.parametrize(
    "field", [fields.Int(strict=True), fields.Float(allow_nan=True), fields.IP()], ids=["strict", "nan", "ip"]
)
def test_a_field_that_reads_in_its_own_way_is_left_to_itself(field):
    assert described({"x": field})["x"]["opaque"] is True


def test_values_go_through_the_authors_own_fields():
    declared = {
        "d": fields.Date(),
        "u": fields.UUID(attribute="ident"),
        "t": fields.TimeDelta(),
        "de": fields.Decimal(),
        "many": fields.List(fields.Date(), data_key="days"),
        "tuple": fields.Tuple((fields.Int(), fields.Str())),
        "split": fields.DelimitedList(fields.Int()),
        "nest": fields.Nested({"x": fields.Int(required=True), "y": fields.Str(load_default="z")}),
    }
    sent = {
        "d": "2024-01-02",
        "u": "12345678123456781234567812345678",
        "t": "90",
        "de": "1.10",
        "days": ["2024-01-02"],
        "tuple": ["5", "6"],
        "split": "1,2",
        "nest": '{"x": "1"}',
    }
    assert given(declared, sent) == {
        "d": datetime.date(2024, 1, 2),
        "ident": uuid.UUID("12345678123456781234567812345678"),
        "t": datetime.timedelta(seconds=90),
        "de": decimal.Decimal("1.10"),
        "many": [datetime.date(2024, 1, 2)],
        "tuple": (5, "6"),
        "split": [1, 2],
        "nest": {"x": 1, "y": "z"},
    }
    assert given({"split": fields.DelimitedList(fields.Int())}, {"split": [1, 2]}) == {"split": [1, 2]}


def test_a_default_reaches_the_hook_as_the_author_wrote_it():
    moment, thing, mutable = datetime.datetime(2024, 1, 2), object(), [1]
    declared = {
        "moment": fields.DateTime(load_default=moment),
        "odd": fields.Int(load_default="not a number"),
        "thing": fields.Raw(load_default=thing),
        "list": fields.List(fields.Int(), load_default=mutable),
        "made": fields.Str(load_default=lambda: "made"),
        "none": fields.Str(load_default=None),
        "absent": fields.Str(),
    }
    first = given(declared, {})
    assert first == {
        "moment": moment,
        "odd": "not a number",
        "thing": thing,
        "list": [1],
        "made": "made",
        "none": None,
    }
    assert first["list"] is not mutable


def test_the_authors_validators_have_the_last_word():
    class Even(fields.Int):
        def _deserialize(self, value, attr, data, **kwargs):
            number = super()._deserialize(value, attr, data, **kwargs)
            if number % 2:
                raise marshmallow.ValidationError("Must be even.")
            return number

    declared = {"even": Even(), "short": fields.Str(validate=lambda text: len(text) < 3, data_key="a/b")}
    assert described(declared)["even"] == {"kind": "integer", "opaque": True}
    with pytest.raises(Invalid) as caught:
        given(declared, {"even": "3", "a/b": "long"})
    assert caught.value.issues == [("/even", "Must be even."), ("/a~1b", "Invalid value.")]


def test_an_upload_arrives_as_the_class_that_the_model_imports():
    from deepaas.model.v2.wrapper import UploadedFile

    declared = {
        "one": fields.Field(metadata={"type": "file", "location": "form"}),
        "many": fields.List(fields.Raw(metadata={"type": "file"})),
        "raw": fields.Raw(),
    }
    found = given(declared, {"one": UPLOAD, "many": [UPLOAD, UPLOAD], "raw": UPLOAD})
    assert isinstance(found["one"], UploadedFile)
    assert found["one"].original_filename == "a.png"
    assert [type(one) for one in found["many"]] == [UploadedFile, UploadedFile]
    assert isinstance(found["raw"], UploadedFile)


def test_bound_fields_schemas_and_their_classes_are_declarations_too():
    class Args(marshmallow.Schema):
        a = fields.Int(load_default=1)

    for declared in (Args, Args(), Args().fields, dict(Args().fields)):
        assert given(declared, {"a": "2"}) == {"a": 2}


def test_a_nested_schema_that_takes_more_is_left_to_itself():
    class Loose(marshmallow.Schema):
        class Meta:
            unknown = marshmallow.INCLUDE

        a = fields.Int()

    assert described({"n": fields.Nested(Loose)})["n"] == {"kind": "object", "own_rules": True}
    assert given({"n": fields.Nested(Loose)}, {"n": {"a": "1", "b": 2}}) == {"n": {"a": 1, "b": 2}}


def test_what_deepaas_models_of_today_write_works():
    """The calls that are typical of published packages, in the spelling that marshmallow 4 refuses."""
    declared = {
        "image": fields.Field(required=True, type="file", location="form", description="An image."),
        "urls": fields.Url(required=False, missing=None, description="Where it is."),
        "top": fields.Integer(missing=5, required=False, validate=validate.Range(min=1, max=10), help="How many."),
        "net": fields.Str(missing="resnet", enum=["resnet", "vgg"], description="The network."),
        "accept": fields.Str(
            missing="application/json", location="headers", validate=validate.OneOf(["application/json", "image/png"])
        ),
        "demo-list-of-floats": fields.List(fields.Float(), missing=[0.1], validate=validate.Length(max=4)),
        "flag": fields.Boolean(missing=False),
        "opts": fields.Str(missing="{}"),
    }
    found = described(declared)
    assert found["image"] == {"kind": "file", "required": True, "help": "An image.", "location": "form"}
    assert found["net"]["help"] == "The network. Known values: resnet, vgg."
    assert found["accept"]["location"] == "header"
    values = given(declared, {"image": UPLOAD, "net": "other", "top": "7", "flag": "True"})
    assert values.pop("image").filename == "/tmp/u"
    assert values == {
        "urls": None,
        "top": 7,
        "net": "other",
        "accept": "application/json",
        "demo-list-of-floats": [0.1],
        "flag": True,
        "opts": "{}",
    }


# Type hints.


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class Bounds(NamedTuple):
    ge: float | None = None
    lt: float | None = None


def hinted(  # noqa: D417 - only some are explained
    self_explaining: Annotated[int, Bounds(ge=1, lt=9), "How many."],
    day: datetime.date,
    *,
    rate: float = 0.1,
    flag=False,
    size: Size = Size.SMALL,
    mode: Literal["a", "b", None] = "a",
    maybe: Optional[int] = None,  # noqa: UP045
    either: Union[int, str] = 1,  # noqa: UP007
    days: list[datetime.date] = [],  # noqa: B006
    amounts: dict[str, decimal.Decimal] | None = None,
    where: pathlib.Path = pathlib.Path("/x"),
    ident: uuid.UUID | None = None,
    pair: tuple[int, int] = (1, 2),
    names: set[str] = frozenset(),
    unresolved: NotThere = None,  # noqa: F821
    **rest: Any,
) -> None:
    """Train.

    Args:
        day: The day
            it starts.
        rate (float): How fast.

    Returns:
        Nothing.
    """


def test_type_hints_defaults_and_docstrings_declare_arguments():
    plain = describe(plugin(train=hinted)).plain()
    found = {argument.pop("name"): argument for argument in plain["arguments"]["train"]}
    assert found == {
        "self_explaining": {
            "kind": "integer",
            "minimum": 1,
            "maximum": 9,
            "exclusive_maximum": True,
            "help": "How many.",
            "required": True,
        },
        "day": {"kind": "date", "required": True, "help": "The day it starts."},
        "rate": {"kind": "number", "default": 0.1, "help": "How fast."},
        "flag": {"kind": "boolean", "default": False},
        "size": {"kind": "string", "choices": ["s", "l"], "default": "s"},
        "mode": {"kind": "string", "choices": ["a", "b"], "nullable": True, "default": "a"},
        "maybe": {"kind": "integer", "nullable": True, "default": None},
        "either": {"kind": "any", "default": 1},
        "days": {"kind": "array", "items": {"name": "", "kind": "date"}, "default": []},
        "amounts": {"kind": "object", "nullable": True, "default": None},
        "where": {"kind": "string", "default": "/x"},
        "ident": {"kind": "uuid", "nullable": True, "default": None},
        "pair": {
            "kind": "array",
            "items": {"name": "", "kind": "integer"},
            "min_length": 2,
            "max_length": 2,
            "default": [1, 2],
        },
        "names": {"kind": "array", "items": {"name": "", "kind": "string"}, "default": []},
        "unresolved": {"kind": "any", "nullable": True, "default": None},
    }


def test_values_become_what_the_hints_say():
    description = describe(plugin(train=hinted))
    sent = {
        "self_explaining": 1,
        "day": "2024-01-02",
        "size": "l",
        "days": ["2024-01-03"],
        "amounts": {"a": "1.5"},
        "where": "/y",
        "ident": "12345678-1234-5678-1234-567812345678",
        "pair": [3, 4],
        "names": ["n"],
    }
    assert description.deserialize("train", sent) == {
        "self_explaining": 1,
        "day": datetime.date(2024, 1, 2),
        "size": Size.LARGE,
        "days": [datetime.date(2024, 1, 3)],
        "amounts": {"a": decimal.Decimal("1.5")},
        "where": pathlib.Path("/y"),
        "ident": uuid.UUID("12345678-1234-5678-1234-567812345678"),
        "pair": (3, 4),
        "names": {"n"},
    }


def test_the_payload_is_left_out_of_hinted_arguments():
    def predict_data(data: bytes, top: int = 3) -> None: ...

    assert list(describe(plugin(predict_data=predict_data)).declared["predict_data"]) == ["top"]


def test_numpy_docstrings_are_read():
    text = """Train.

    Parameters
    ----------
    rate : float, optional
        How fast,
        in steps.
    a, b : int
        Two numbers.

    Returns
    -------
    c : int
        Nothing of ours.
    """
    assert explanations(text) == {"rate": "How fast, in steps.", "a": "Two numbers.", "b": "Two numbers."}


# Response schemas.


@pytest.mark.parametrize("form", ["dict", "class", "instance"])
def test_a_response_schema_is_described_and_checked(form):
    members = {"label": fields.Str(required=True), "when": fields.Date()}
    made = marshmallow.Schema.from_dict(members)
    description = describe(plugin(schema={"dict": members, "class": made, "instance": made()}[form]))
    assert description.plain()["response"] == [
        {"name": "label", "kind": "string", "by_field": True, "required": True},
        {"name": "when", "kind": "date", "by_field": True},
    ]
    assert description.check_response({"label": "a"}) is None
    assert description.check_response({"label": 1}) == "/label: Not a valid string."
    assert description.check_response([1]) is not None


def test_a_date_fits_a_response_schema_as_it_will_be_sent():
    description = describe(plugin(schema={"when": fields.Date()}))
    assert description.check_response({"when": datetime.date(2024, 1, 2)}) is None


@pytest.mark.parametrize("schema", ["text", {"a": 1}, 5])
def test_a_schema_that_is_none_is_a_warning(schema):
    plain = describe(plugin(schema=schema)).plain()
    assert plain["response"] is None
    assert len(plain["warnings"]) == 1
