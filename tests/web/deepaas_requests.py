"""Thousands of small requests, each about one argument, whose answers by the real DEEPaaS are known.

``deepaas_answers.json`` has what DEEPaaS 2.6.0 answered, with marshmallow 3.26 and webargs 5.5. It is written by
``python -m benchmarks.deepaas --record``, which also sends the same requests to this server, with the same libraries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import ClientResponse, FormData

ANSWERS = Path(__file__).with_name("deepaas_answers.json")

#: What an argument can be; the function says what it was given.
KINDS = """
    import enum
    from marshmallow import ValidationError, fields as more
    from webargs import fields, validate

    class Colour(enum.Enum):
        RED = "r"
        BLUE = "b"

    class Upper(fields.Str):
        def _deserialize(self, value, attr, data, **kwargs):
            text = super()._deserialize(value, attr, data, **kwargs)
            if text == "abc":
                raise ValidationError("Not that.")
            return text.upper()

    def even(value):
        if value % 2:
            raise ValidationError("Must be even.")

    def get_predict_args():
        return {
            "i": fields.Int(),
            "range": fields.Int(validate=validate.Range(1, 100)),
            "above": fields.Float(validate=validate.Range(min=0, min_inclusive=False)),
            "f": fields.Float(),
            "b": fields.Bool(),
            "s": fields.Str(),
            "length": fields.Str(validate=validate.Length(2, 4)),
            "pattern": fields.Str(validate=validate.Regexp("^[a-c]+$")),
            "one": fields.Str(validate=validate.OneOf(["a", "abc"])),
            "none": fields.Str(validate=validate.NoneOf(["a", "abc"])),
            "equal": fields.Int(validate=validate.Equal(7)),
            "twofold": fields.Int(validate=[validate.Range(min=2), even]),
            "nullable": fields.Int(allow_none=True),
            "strict": fields.Int(strict=True),
            "nan": fields.Float(allow_nan=True),
            "ja": fields.Bool(truthy={"ja"}, falsy={"nein"}),
            "upper": Upper(),
            "said": fields.Int(error_messages={"invalid": "Say a number.", "null": "Say something."}),
            "u": fields.Url(),
            "mail": fields.Email(),
            "uuid": fields.UUID(),
            "decimal": fields.Decimal(places=2),
            "year": fields.DateTime(format="%Y"),
            "day": fields.Date(),
            "dt": fields.DateTime(),
            "time": fields.Time(),
            "delta": fields.TimeDelta(),
            "colour": more.Enum(Colour),
            "ip": more.IP(),
            "raw": fields.Raw(),
            "li": fields.List(fields.Int()),
            "ls": fields.List(fields.Str(), validate=validate.Length(max=2)),
            "lo": fields.List(fields.Str(validate=validate.OneOf(["a", "abc"]))),
            "only": fields.List(fields.Str(), validate=validate.ContainsOnly(["a", "abc"])),
            "lnull": fields.List(fields.Int(allow_none=True)),
            "ll": fields.List(fields.List(fields.Int())),
            "ln": fields.List(fields.Nested({"x": fields.Int()})),
            "split": fields.DelimitedList(fields.Int()),
            "pair": fields.Tuple((fields.Int(), fields.Str())),
            "d": fields.Dict(),
            "typed": fields.Dict(keys=fields.Str(), values=fields.Int()),
            "nest": fields.Nested({"x": fields.Int(required=True), "deep": fields.Nested({"y": fields.Float()})}),
            "query": fields.Int(location="query"),
            "form": fields.Int(location="form"),
            "json": fields.Int(location="json"),
            "head": fields.Str(location="headers"),
            "cook": fields.Str(location="cookies"),
            "renamed": fields.Int(data_key="key"),
        }

    def predict(**kwargs):
        return {key: repr(value) for key, value in kwargs.items()}
"""

#: What has to be there, and what is there if nothing is sent.
NEEDS = """
    from webargs import fields, validate

    def get_predict_args():
        return {
            "i": fields.Int(required=True),
            "s": fields.Str(required=True, validate=validate.Length(min=1)),
            "li": fields.List(fields.Int(), required=True),
            "pic": fields.Field(type="file", location="form", required=True),
            "said": fields.Int(required=True, error_messages={"required": "Say something."}),
            "given": fields.Str(missing="a", validate=validate.OneOf(["a", "b"])),
            "some": fields.List(fields.Int(), missing=[1, 2]),
            "nothing": fields.Str(allow_none=True, missing=None),
            "made": fields.Int(missing=lambda: 42),
        }

    def predict(pic, **kwargs):
        sent = [pic.name, pic.content_type, open(pic.filename).read()] if hasattr(pic, "filename") else pic
        return {"pic": sent, **{key: repr(value) for key, value in kwargs.items()}}
"""

MODELS = {"kinds": KINDS, "needs": NEEDS}

TEXTS = (
    *(
        "",
        " ",
        "0",
        "1",
        "-1",
        "2",
        "7",
        "100",
        "101",
        "1.0",
        "1.5",
        "1.555",
        "1e3",
        "nan",
        "inf",
        "0x10",
        "1_0",
        " 5 ",
    ),
    *("true", "True", "yes", "on", "off", "ja", "null", "None", "a", "abc", "abcde", "RED", "ü", "+", "a&b"),
    *("1,2", "1,x", "[1,2]", '[1,"a"]', '[{"x":1}]', '{"x":1}', '{"x":"y"}', '{"x":1,"deep":{"y":2}}'),
    *("2026", "2026-01-02", "2026-1-2", "20260102", "2026-01-02T03:04:05", "2026-01-02T03:04:05Z", "03:04", "25:00"),
    *("a@b.org", "a@b", "127.0.0.1", "::1", "300.1.1.1", "12345678-1234-5678-1234-567812345678", "9" * 32),
    *("http://localhost:80/x", "https://example.org", "//x"),
)
_VAST = 10**20
VALUES = (
    *(None, True, False, 0, 1, 2, 7, -1, 101, 1.0, 1.5, _VAST, 1e300, "", "1", "1.5", "a", "abc", "RED", "yes"),
    *("2026-01-02", "2026-01-02T03:04:05", [], [1], [1, 2, 3], [1, "a"], ["1", "a"], ["a"], ["a", "c"], [None], [[1]]),
    *([{"x": 1}], [{"x": "y"}], [1, {"x": 1}], {}, {"x": 1}, {"x": "1"}, {"x": None}, {"x": 1, "z": 2}),
    *({"x": 1, "deep": {"y": "z"}}, {"x": 1, "deep": {"y": 2}}, {"a": 1.5}),
)
FEW = ("1", "abc", '{"x":1}')
#: All that is needed, as text.
ENOUGH = {"i": "1", "s": "x", "li": "1", "said": "1"}
_BY_VERSION = frozenset({"day", "dt", "time", "delta", "split"})
_ARGUMENTS = tuple(line.split('"')[1] for line in KINDS.splitlines() if line.startswith('            "'))
_OBJECTS = frozenset({"d", "typed", "nest", "ln", "pair"})


class Asked(NamedTuple):
    """One request.

    Attributes:
        model: Which is asked.
        argument: What it is about.
        way: How that is sent.
        value: What is sent: for ``needs``, what of all that is needed is left out.
    """

    model: str
    argument: str
    way: str
    value: Any

    @property
    def by_version(self) -> bool:
        """Whether other versions of marshmallow and webargs read it otherwise."""
        return self.argument in _BY_VERSION

    @property
    def path(self) -> str:
        return f"/v2/models/{self.model}/predict/"

    def options(self) -> dict[str, Any]:
        """What of aiohttp's client sends it."""
        if self.model == "needs":
            return _needed(self.way, self.value)
        name = "key" if self.argument == "renamed" else self.argument
        return _WAYS[self.way](name, self.value)

    @property
    def mended(self) -> str:
        """Why our answer may be another one; empty if it must be the same."""
        if self.model == "kinds" and self.argument in _OBJECTS and self.way != "json" and self._has_parts:
            return "the JSON text of an object is taken for one, also in a query or a form"
        if self.argument in ("pair", "split") and self.way in ("query twice", "form twice", "file"):
            return "what is sent several times is taken for a tuple as well"
        if self.argument in ("strict", "raw") and self.value == _VAST:
            return "an integer beyond 64 bits in a JSON body is read as a floating-point number"
        return ""

    @property
    def _has_parts(self) -> bool:
        return isinstance(self.value, str) and self.value.startswith(("{", "["))


def requests() -> Iterator[Asked]:
    """Every one of them."""
    for argument in (*_ARGUMENTS, "unknown"):
        for way in _WAYS:
            for value in {"query": TEXTS, "json": VALUES}.get(way, FEW):
                if not (argument == "raw" and way == "file"):  # its answer names the server's own file
                    yield Asked("kinds", argument, way, value)
    for left in (*ENOUGH, None):
        for way in _NEEDED:
            yield Asked("needs", left or "", way, left)


def _twice(name: str, value: str) -> list[tuple[str, str]]:
    return [(name, value), (name, "2")]


def _multipart(texts: Iterable[tuple[str, str]], files: Iterable[tuple[str, str]] = ()) -> FormData:
    form = FormData(default_to_multipart=True)
    for name, text in texts:
        form.add_field(name, text)
    for name, content in files:
        form.add_field(name, content.encode(), filename="f.txt", content_type="text/plain")
    return form


_WAYS = {
    "query": lambda name, value: {"params": {name: value}},
    "json": lambda name, value: {"json": {name: value}},
    "form": lambda name, value: {"data": {name: value}},
    "multipart": lambda name, value: {"data": _multipart([(name, value)])},
    "file": lambda name, value: {"data": _multipart([], [(name, value)])},
    "query twice": lambda name, value: {"params": _twice(name, value)},
    "form twice": lambda name, value: {"data": _twice(name, value)},
    "query and json": lambda name, value: {"params": {name: value}, "json": {name: 2}},
    "query and form": lambda name, value: {"params": {name: value}, "data": {name: "2"}},
    "header": lambda name, value: {"headers": {name: value}},
    "cookie": lambda name, value: {"headers": {"Cookie": f"{name}={value}"}},
}
_PICTURE = (("pic", "pixels"),)
_NEEDED = {
    "form and file": lambda texts: {"data": _multipart(texts, _PICTURE)},
    "query and file": lambda texts: {"params": texts, "data": _multipart([], _PICTURE)},
    "no file": lambda texts: {"data": _multipart(texts)},
    "text for a file": lambda texts: {"data": _multipart([*texts, ("pic", "text")])},
    "query": lambda texts: {"params": texts},
    "json": lambda texts: {"json": dict(texts)},
}


def _needed(way: str, left: str | None) -> dict[str, Any]:
    return _NEEDED[way]([(name, text) for name, text in ENOUGH.items() if name != left])


async def answer_of(response: ClientResponse) -> list[Any]:
    """Status, media type and body of an answer; of a prediction only what was predicted."""
    body = await (response.json() if response.content_type == "application/json" else response.text())
    if response.status == 200:
        assert body.keys() == {"status", "predictions"}
        body = body["predictions"]
    return [response.status, response.headers["Content-Type"].replace(" ", "").lower(), body]


def record(answers: Iterable[tuple[Asked, list[Any]]]) -> str:
    """Answers as a document: for each argument the different ones, and after each the requests that got it."""
    found: dict[str, dict[str, dict[str, list[Any]]]] = {}
    for asked, answer in answers:
        of_argument = found.setdefault(f"{asked.model} {asked.argument}", {})
        of_argument.setdefault(json.dumps(answer), {}).setdefault(asked.way, []).append(asked.value)
    lines = (
        f"{json.dumps(name)}: [\n"
        + ",\n".join(f" [{answer}, {json.dumps(ways)}]" for answer, ways in of_argument.items())
        + "\n]"
        for name, of_argument in found.items()
    )
    return "{" + ",\n".join(lines) + "}\n"


def recorded() -> Mapping[str, list[Any]]:
    """The answers of DEEPaaS, by request (see ``key``)."""
    found = {}
    for name, groups in json.loads(ANSWERS.read_text()).items():
        model, argument = name.split(" ")
        for answer, ways in groups:
            for way, values in ways.items():
                for value in values:
                    found[key(Asked(model, argument, way, value))] = answer
    return found


def key(asked: Asked) -> str:
    """A request as text: 1, 1.0 and true are different ones."""
    return json.dumps(asked)
