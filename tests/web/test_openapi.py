"""The OpenAPI document: valid whatever a model declares, and true to what the server does."""

import json

import orjson
import pytest
from openapi_spec_validator import validate

from deepaas_core.domain.arguments import Argument, Arguments, Kind
from deepaas_core.domain.model import Capability, Model, Source
from deepaas_core.web import openapi

FUNCTIONS = (
    Capability.PREDICT,
    Capability.PREDICT_DATA,
    Capability.PREDICT_FILE,
    Capability.PREDICT_URL,
    Capability.TRAIN,
)
SCRIPT = "<script>alert(1)</script>"


def argument(name, kind=Kind.STRING, **more):
    return Argument(name=name, key=name, kind=kind, has_default="default" in more, **more)


def model(*arguments, name="digits", functions=FUNCTIONS, **more):
    declared = Arguments({one.key: one for one in arguments})
    source = Source(name, "deepaas.model", "digits", "digits", "1.0", summary="Reads digits.")
    return Model(source, frozenset(functions), dict.fromkeys(functions, declared), **more)


def build(*models):
    document = openapi.build(models, title="Test", version="1")
    validate(document)
    return document


def body(document, route, media_type="application/json", name="digits"):
    operation = document["paths"][f"/api/v1/models/{name}/{route}"]["post"]
    return operation["requestBody"]["content"][media_type]


def field(route="train", media_type="application/json", **about):
    """The schema of one argument, as a route tells of it."""
    return body(build(model(argument("x", **about))), route, media_type)["schema"]["properties"]["x"]


def test_a_server_without_models_has_a_valid_document():
    assert "/api/v1/models" in build()["paths"]


def test_every_function_of_a_model_has_a_route_of_its_own():
    paths = build(model())["paths"]
    for suffix in ("", "/predict", "/predict/data", "/predict/file", "/predict/url", "/train", "/train-args"):
        assert f"/api/v1/models/digits{suffix}" in paths


def test_a_missing_function_has_no_route_and_is_told_in_the_models_description():
    document = build(model(functions=(Capability.TRAIN,)))
    assert "/api/v1/models/digits/predict/file" not in document["paths"]
    [tag] = [tag for tag in document["tags"] if tag["name"] == "digits"]
    assert "predict_file(path, **kwargs)" in tag["description"]


def test_an_argument_says_what_its_author_said():
    told = field(
        kind=Kind.INTEGER, default=20, help="Passes over the data.", minimum=0, exclusive_minimum=True, maximum=99
    )
    assert told == {
        "type": "integer",
        "default": 20,
        "description": "Passes over the data.",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 99,
    }


def test_choices_and_null_are_told():
    assert field(choices=("adam", "sgd"), nullable=True, default=None) == {
        "type": "string",
        "nullable": True,
        "enum": ["adam", "sgd", None],
        "default": None,
    }


def test_a_default_of_a_hook_that_wants_text_is_told_as_what_it_means():
    assert field(kind=Kind.NUMBER, text=True, default="0.1")["default"] == 0.1


@pytest.mark.parametrize(
    "about",
    [
        {"kind": Kind.INTEGER, "default": "many"},
        {"kind": Kind.INTEGER, "default": True},
        {"kind": Kind.NUMBER, "default": 7.0, "maximum": 5},
        {"kind": Kind.STRING, "default": "c", "choices": ("a", "b")},
        {"kind": Kind.STRING, "default": "AB", "pattern": "[a-z]+"},
        {"kind": Kind.DATE, "default": "yesterday"},
        {"kind": Kind.ARRAY, "default": ["a"], "items": argument("", Kind.INTEGER)},
    ],
)
def test_a_default_that_its_own_schema_refuses_is_told_in_words(about):
    told = field(**about)
    assert "default" not in told
    assert "Default: " in told["description"]


def test_a_secret_is_a_password_and_its_default_is_not_told():
    document = build(model(argument("key", secret=True, default="hunter2")))
    assert body(document, "train")["schema"]["properties"]["key"]["format"] == "password"
    assert "hunter2" not in json.dumps(document)


def test_a_pattern_that_browsers_cannot_compile_is_told_in_words():
    told = field(pattern=r"(?P<year>\d+)\Z")
    assert "pattern" not in told
    assert r"(?P<year>\d+)\Z" in told["description"]


def test_predict_file_asks_for_a_file_beside_its_arguments():
    form = body(build(model(argument("top", Kind.INTEGER, default=3))), "predict/file", "multipart/form-data")
    assert form["schema"]["properties"]["data"]["format"] == "binary"
    assert form["schema"]["properties"]["top"]["default"] == 3
    assert form["schema"]["required"] == ["data"]


def test_a_file_argument_is_a_file_in_a_form_and_not_in_json():
    file, size = argument("audio", Kind.FILE), argument("size", Kind.INTEGER)
    document = build(model(file, size))
    assert "audio" not in body(document, "predict")["schema"]["properties"]
    assert body(document, "predict", "multipart/form-data")["schema"]["properties"]["audio"]["format"] == "binary"


def test_a_required_file_leaves_no_way_but_a_form():
    document = build(model(argument("audio", Kind.FILE, required=True)))
    content = document["paths"]["/api/v1/models/digits/predict"]["post"]["requestBody"]["content"]
    assert list(content) == ["multipart/form-data"]


def test_raw_data_has_its_arguments_in_the_query_and_does_not_fill_them_in():
    operation = build(model(argument("top", Kind.INTEGER, default=3, required=True)))["paths"][
        "/api/v1/models/digits/predict/data"
    ]["post"]
    [parameter] = operation["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == ("top", "query", False)
    assert "default" not in parameter["schema"]
    assert {"text/plain", "text/csv", "application/x-npy", "application/octet-stream"} < set(
        operation["requestBody"]["content"]
    )


def test_an_argument_of_the_payloads_name_is_the_payload():
    properties = body(build(model(argument("url", Kind.INTEGER))), "predict/url")["schema"]["properties"]
    assert properties["url"]["type"] == "string"


def test_an_argument_for_one_place_stands_in_that_place_alone():
    declared = [argument(place, location=place) for place in ("query", "header", "json", "form")]
    operation = build(model(*declared))["paths"]["/api/v1/models/digits/train"]["post"]
    found = {(one["name"], one["in"]) for one in operation["parameters"]} - {("X-Promote-If", "header")}
    assert found == {("query", "query"), ("header", "header")}
    content = operation["requestBody"]["content"]
    assert list(content["application/json"]["schema"]["properties"]) == ["json"]
    assert list(content["multipart/form-data"]["schema"]["properties"]) == ["form"]


def test_the_example_of_data_is_the_models_own():
    document = build(model(signature={"example": [[1, 2], [3, 4]]}))
    assert body(document, "predict/data")["example"] == {"data": [[1, 2], [3, 4]]}
    assert body(document, "predict/data", "text/csv")["schema"]["example"] == "1,2\n3,4"


def test_the_example_of_data_has_the_shape_of_the_models_inputs():
    signature = {"inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, 2, 3]}]}
    assert body(build(model(signature=signature)), "predict/data")["example"] == {"data": [[[0.0] * 3] * 2]}


def test_an_example_holds_the_defaults_and_whatever_is_required():
    declared = [
        argument("epochs", Kind.INTEGER, default=20),
        argument("optional"),
        argument("rate", Kind.NUMBER, required=True, minimum=0, maximum=1),
    ]
    document = build(model(*declared))
    example = body(document, "train")["example"]
    assert example == {"epochs": 20, "rate": 0.5}
    Arguments({one.key: one for one in declared}).load(example)


def test_a_declared_response_is_told():
    document = build(model(response=(argument("digit", Kind.INTEGER, required=True),)))
    answer = document["paths"]["/api/v1/models/digits/predict/url"]["post"]["responses"]["200"]
    envelope = answer["content"]["application/json"]["schema"]["properties"]
    assert envelope["prediction"]["properties"]["digit"]["type"] == "integer"


def test_a_models_choice_of_media_types_is_told():
    document = build(model(argument("accept", choices=("application/json", "image/png", "*/*"))))
    answer = document["paths"]["/api/v1/models/digits/predict"]["post"]["responses"]["200"]
    assert list(answer["content"]) == ["application/json", "image/png"]


def test_operations_have_names_of_their_own():
    document = build(model(), model(name="runs"), model(name="Server"), model(name="a b"))
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    tags = [tag["name"] for tag in document["tags"]]
    assert len(tags) == len(set(tags))


def test_the_document_of_a_hostile_model_is_valid_strict_json():
    names = ["data", "url", "a b", "é", "{id}", "$ref", "a\nb", "required", "\ud800", "../x", SCRIPT]
    hostile = model(
        *(argument(name, default=SCRIPT, help=SCRIPT * 5000, choices=(SCRIPT, SCRIPT, "b")) for name in names),
        argument("nan", Kind.NUMBER, default=float("nan"), minimum=float("-inf"), maximum=float("inf")),
        argument("odd", Kind.STRING, min_length=-3, max_length=0, pattern="(", default="x"),
        argument("huge", Kind.INTEGER, default=2**80),
        argument("nested", Kind.ANY, default=json.loads("[" * 900 + "]" * 900)),
        argument("mixed", Kind.ANY, choices=(1, "1", True, None, 1.0), default=True),
        argument("deep", Kind.OBJECT, required=True, properties=(argument("in", Kind.OBJECT, required=True),)),
        argument("list", Kind.ARRAY, items=argument("", Kind.ARRAY, items=argument("", Kind.FILE))),
        name="we ird/{x}%",
        metadata={"description": SCRIPT + "![x](http://elsewhere.example/x.png)", "version": SCRIPT},
        signature={"inputs": "nonsense", "example": {"a": float("inf"), "b": "\ud800"}},
        response=(argument(SCRIPT, Kind.ANY),),
    )
    document = build(hostile)
    assert len(orjson.dumps(document)) < 2_000_000
    assert f"\\{SCRIPT[:-9]}\\{SCRIPT[-9:]}!\\[x]" in document["tags"][0]["description"]


async def test_the_servers_document_is_valid_and_names_every_route_of_the_api(serve):
    client = await serve(everything="\n".join(f"def {one}(x): ..." for one in FUNCTIONS))
    document = await (await client.get("/openapi.json")).json()
    validate(document)
    told = {
        (method.upper(), path.replace("{model}", "everything"))
        for path, operations in document["paths"].items()
        for method in operations
    }
    routes = [(route.method, route.resource.canonical) for route in client.server.app.router.routes()]
    offered = {
        (method, path.replace("{model}", "everything").replace("{run}", "{id}"))
        for method, path in routes
        if path.startswith("/api/v1") and method != "HEAD"
    }
    assert offered <= told


async def test_the_examples_of_the_document_are_requests_that_work(serve):
    client = await serve(echo="def predict_data(data, times: int = 2):\n    return [data] * times\n")
    document = await (await client.get("/openapi.json")).json()
    example = body(document, "predict/data", name="echo")["example"]
    response = await client.post("/api/v1/models/echo/predict/data", json=example)
    assert response.status == 200
    assert (await response.json())["prediction"] == [example["data"]] * 2


async def test_nothing_is_filled_in_that_the_reader_did_not_ask_for(serve):
    """Swagger UI sends examples along: a condition would hold the trained model back, a made-up run is not there."""
    client = await serve(echo="def train(epochs: int = 1): ...")
    document = await (await client.get("/openapi.json")).json()
    train = document["paths"]["/api/v1/models/echo/train"]["post"]
    condition = next(one for one in train["parameters"] if one["in"] == "header")
    assert not {"example", "default"} & {*condition, *condition["schema"]}
    served = body(document, "serve", name="echo")["schema"]["properties"]["run"]
    assert (await client.post("/api/v1/models/echo/serve", json={"run": served["example"]})).status == 200


async def test_answers_that_can_be_read_in_parts_say_so(serve):
    document = await (await (await serve()).get("/openapi.json")).json()
    for path in ("log", "artifacts/{name}"):
        responses = document["paths"][f"/api/v1/runs/{{id}}/{path}"]["get"]["responses"]
        assert responses["206"]["content"] == responses["200"]["content"]


async def test_the_document_is_kept_by_its_tag_until_the_catalog_changes(serve):
    client = await serve(echo="def predict_data(data):\n    return data\n")
    first = await client.get("/openapi.json")
    again = await client.get("/openapi.json", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status == 304


async def test_below_a_base_path_the_document_says_so(serve):
    client = await serve("--web-base-path", "/ml", echo="def predict_data(data):\n    return data\n")
    document = await (await client.get("/ml/openapi.json")).json()
    assert document["servers"] == [{"url": "/ml"}]
