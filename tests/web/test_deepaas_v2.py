"""Version 2 of DEEPaaS's API, as its clients know it."""

import asyncio
import io
import re

import pytest
from aiohttp import FormData
from openapi_spec_validator import OpenAPIV2SpecValidator

from deepaas_core.serving import predictor
from deepaas_core.web.keys import TRAINER
from tests.web import deepaas_requests

MODEL = """
    import time
    from webargs import fields, validate

    def get_metadata():
        return {"name": "Everything", "author-email": {"a": 1}}

    def get_predict_args():
        return {
            "i": fields.Int(missing=7, validate=validate.Range(1, 100), description="a number"),
            "f": fields.Float(),
            "b": fields.Bool(),
            "s": fields.Str(),
            "one": fields.Str(validate=validate.OneOf(["a", "b"])),
            "li": fields.List(fields.Int()),
            "ls": fields.List(fields.Str()),
            "d": fields.Dict(),
            "day": fields.Date(),
            "zip_data": fields.Field(data_key="zip", type="file", location="form"),
            "many": fields.List(fields.Field(type="file", location="form")),
            "head": fields.Str(location="headers"),
            "jo": fields.Int(location="json"),
            "n": fields.Int(allow_none=True),
            "len": fields.Str(validate=validate.Length(2, 4)),
            "nest": fields.Nested({"x": fields.Int(required=True)}),
            "made": fields.Int(missing=lambda: 42),
            "u": fields.Url(),
        }

    def predict(**kwargs):
        if kwargs["i"] == 13:
            raise ValueError("thirteen")
        if kwargs["i"] == 14:
            raise NotImplementedError
        for name in ("zip_data", "many"):
            files = kwargs.get(name)
            if files is not None and not isinstance(files, str):
                kwargs[name] = [
                    [f.name, f.original_filename, f.content_type, open(f.filename).read()]
                    for f in (files if name == "many" else [files])
                ]
        return kwargs

    def get_train_args():
        return {
            "epochs": fields.Int(missing=1),
            "sleep": fields.Float(missing=0),
            "file_": fields.Field(data_key="file", type="file", location="form"),
            "when": fields.Date(),
        }

    def train(**kwargs):
        time.sleep(kwargs["sleep"])
        if kwargs["epochs"] == 13:
            raise ValueError("thirteen")
        if "file_" in kwargs:
            return open(kwargs["file_"].filename).read()
        return {"epochs": kwargs["epochs"], "when": kwargs.get("when")}
"""

HEADED = """
    from webargs import fields, validate

    def get_predict_args():
        kinds = validate.OneOf(["image/png", "application/json", "text/plain"])
        return {"accept": fields.Str(missing="application/json", validate=kinds, LOCATION)}

    schema = {"accept": fields.Str(required=True)}

    def predict(accept):
        if accept == "image/png":
            return b"png"
        return "text" if accept == "text/plain" else {"accept": accept}
"""

PREDICT = "/v2/models/all/predict/"
TRAIN = "/v2/models/all/train/"


async def test_versions_are_told_to_programs_and_the_page_is_shown_to_people(serve):
    client = await serve(all=MODEL)
    document = await (await client.get("/")).json()
    assert document == {
        "versions": [
            {
                "version": "stable",
                "id": "v2",
                "links": [{"rel": "self", "type": "application/json", "href": "/v2/"}],
            }
        ],
        "links": [
            {"rel": "help", "type": "text/html", "href": "/api"},
            {"rel": "describedby", "type": "application/json", "href": "/swagger.json"},
        ],
    }
    assert await (await client.get("/v2/")).json() == document["versions"][0]
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    assert (await client.get("/", headers=browser)).content_type == "text/html"


async def test_a_model_is_described_by_its_authors_words_over_ours(serve):
    client = await serve(all=MODEL)
    document = await (await client.get("/v2/models/all/")).json()
    assert (document["id"], document["name"]) == ("all", "Everything")
    assert document["links"] == [{"rel": "self", "href": "/v2/models/all"}]
    assert document["author-email"] == {"a": 1}
    listed = await (await client.get("/v2/models/")).json()
    assert listed == {"models": [document]}


async def test_a_missing_slash_is_put_right(serve):
    client = await serve(all=MODEL)
    for path in ("/v2", "/v2/models", "/v2/models/all", "/v2/models/all/train", "/v2/debug"):
        response = await client.get(path + "?x=1", allow_redirects=False)
        assert (response.status, response.headers["Location"]) == (308, path + "/?x=1")


async def test_a_prediction_survives_the_missing_slash(serve):
    client = await serve(all=MODEL)
    response = await client.post("/v2/models/all/predict?i=3", data={"s": "kept"})
    assert (await response.json())["predictions"] == {"i": 3, "s": "kept", "made": 42}


ABSENT = [
    ("GET", "/v2/nowhere", 404, "404: Not Found"),
    ("GET", "/v2/models/none/", 404, "404: Not Found"),
    ("GET", "/v2/models/all/train/00000000000000000000000000000000", 404, "404: Not Found"),
    ("GET", "/v2/models/all/train/word", 404, "404: Not Found"),
    ("GET", PREDICT, 405, "405: Method Not Allowed"),
    ("HEAD", "/v2/models/", 405, ""),
    ("PUT", "/v2/models/", 405, "405: Method Not Allowed"),
]


async def test_what_is_not_there_is_told_as_text(serve):
    client = await serve(all=MODEL)
    for method, path, status, body in ABSENT:
        response = await client.request(method, path)
        assert (response.status, response.content_type, await response.text()) == (status, "text/plain", body), path
        assert ("Allow" in response.headers) == (status == 405)


READ = [
    ("", {}, {}),
    ("i=5", {}, {"i": 5}),
    ("i=+5+&f=1e3", {}, {"i": 5, "f": 1000.0}),
    ("i=1_0", {}, {"i": 10}),
    ("b=yes&s=", {}, {"b": True, "s": ""}),
    ("b=off&one=b", {}, {"b": False, "one": "b"}),
    ("i=5", {"data": {"i": "6", "s": "form"}}, {"i": 5, "s": "form"}),
    ("", {"json": {"i": 6, "li": [1, 2], "n": None}}, {"i": 6, "li": [1, 2], "n": None}),
    ("", {"json": {"li": 1}}, {"li": [1]}),
    ("", {"json": [1, 2]}, {}),
    ("", {"data": b"", "headers": {"Content-Type": "application/json"}}, {}),
    ("", {"data": b'{"i": 5}', "headers": {"Content-Type": "text/plain"}}, {}),
    ("i=1&i=2&li=1&li=2&ls=1,2", {}, {"i": 1, "li": [1, 2], "ls": ["1,2"]}),
    ("unknown=1", {"json": {"unknown": 2}}, {}),
    ('d={"a":1}', {}, {"d": {"a": 1}}),
    ("", {"data": {"nest": '{"x": 1}'}}, {"nest": {"x": 1}}),
    ("head=query&jo=1", {"headers": {"head": "header"}}, {"head": "header"}),
    ("jo=1", {"json": {"jo": 2}}, {"jo": 2}),
    ("day=2026-01-02", {}, {"day": "2026-01-02"}),
    ("zip_data=1", {"json": {"zip": "x"}}, {}),
    ("", {"data": {"zip": "text"}}, {"zip_data": "text"}),
    ("u=http://localhost:80/x", {}, {"u": "http://localhost:80/x"}),
]


async def test_arguments_are_looked_for_and_read_as_deepaas_does(serve):
    client = await serve(all=MODEL)
    for query, body, seen in READ:
        response = await client.post(f"{PREDICT}?{query}", **body)
        assert response.status == 200, (query, body, await response.text())
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        expected = {"status": "OK", "predictions": {"i": 7, "made": 42, **seen}}
        assert await response.json() == expected, (query, body)


WRONG = [
    ("i=5.0&f=abc", {}, {"i": ["Not a valid integer."], "f": ["Not a valid number."]}),
    ("i=", {}, {"i": ["Not a valid integer."]}),
    ("i=0x10&b=maybe", {}, {"i": ["Not a valid integer."], "b": ["Not a valid boolean."]}),
    ("i=101", {}, {"i": ["Must be greater than or equal to 1 and less than or equal to 100."]}),
    ("f=nan", {}, {"f": ["Special numeric values (nan or infinity) are not permitted."]}),
    ("one=", {}, {"one": ["Must be one of: a, b."]}),
    ("len=long-one", {}, {"len": ["Length must be between 2 and 4."]}),
    ("li=x&li=2", {}, {"li": {"0": ["Not a valid integer."]}}),
    ("li=1,2", {}, {"li": {"0": ["Not a valid integer."]}}),
    ("d=x", {}, {"d": ["Not a valid mapping type."]}),
    ("day=x&u=//x", {}, {"day": ["Not a valid date."], "u": ["Not a valid URL."]}),
    ("", {"json": {"i": None, "s": 1}}, {"i": ["Field may not be null."], "s": ["Not a valid string."]}),
    ("", {"json": {"nest": {}}}, {"nest": {"x": ["Missing data for required field."]}}),
    ("", {"json": {"nest": {"x": 1, "y": 2}}}, {"nest": {"y": ["Unknown field."]}}),
]


async def test_all_that_is_wrong_is_told_at_once_in_marshmallows_words(serve):
    client = await serve(all=MODEL)
    for query, body, told in WRONG:
        response = await client.post(f"{PREDICT}?{query}", **body)
        assert (response.status, response.headers["Content-Type"]) == (422, "application/json"), (query, body)
        assert await response.json() == told


OWN = """
    import os, time
    from pathlib import Path
    from webargs import fields, validate

    class Even(fields.Int):
        def _deserialize(self, value, attr, data, **kwargs):
            number = super()._deserialize(value, attr, data, **kwargs)
            if number % 2:
                raise self.make_error("odd")
            return number
        default_error_messages = {"odd": "Must be even."}

    def get_predict_args():
        return {
            "even": Even(missing=2),
            "small": fields.Int(missing=1, validate=lambda number: number < 10),
            "plain": fields.Int(missing=1, validate=validate.Range(0, 9)),
            "must": fields.Str(required=True, error_messages={"required": "Say it."}),
            "long": fields.Bool(missing=False),
        }

    def predict(even, small, plain, must, long):
        if long:
            folder = Path(os.environ["DEEPAAS_TEST_GATE"])
            (folder / "begun").touch()
            while not (folder / "end").exists():
                time.sleep(0.01)
        return [even, small, plain, must]

    get_train_args = get_predict_args
    train = predict
"""


async def test_what_only_the_model_can_judge_is_told_with_all_the_rest_in_its_words(serve):
    client = await serve(own=OWN)
    for path in ("/v2/models/own/predict/", "/v2/models/own/train/"):
        response = await client.post(f"{path}?even=3&small=x&plain=10")
        assert response.status == 422
        assert await response.json() == {
            "even": ["Must be even."],
            "small": ["Not a valid integer."],
            "plain": ["Must be greater than or equal to 0 and less than or equal to 9."],
            "must": ["Say it."],
        }
    assert await (await client.get("/v2/models/own/train/")).json() == []


HINTED = """
    import datetime

    def get_predict_args():
        return {
            "word": {"type": "str", "pattern": "[a-z]+$"},
            "count": {"type": "int", "default": 1},
            "wait": {"type": datetime.timedelta},
        }

    def predict(**kwargs):
        return {key: repr(value) for key, value in kwargs.items()}
"""


async def test_arguments_that_are_no_fields_are_judged_here(serve):
    client = await serve(hinted=HINTED)
    response = await client.post("/v2/models/hinted/predict/?word=ABC&count=x&wait=soon")
    assert response.status == 422
    assert await response.json() == {"count": ["Not a valid integer."], "wait": ["Not a valid period of time."]}
    response = await client.post("/v2/models/hinted/predict/?word=abc&count=2&wait=90")
    wait = "datetime.timedelta(seconds=90)"
    assert (await response.json())["predictions"] == {"word": "'abc'", "count": "2", "wait": wait}


async def test_a_busy_model_is_not_asked_for_long_what_is_wrong(serve, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPAAS_TEST_GATE", str(tmp_path))
    monkeypatch.setattr(predictor, "LOOK_S", 0.1)
    client = await serve(own=OWN)
    path = "/v2/models/own/predict/"
    busy = asyncio.create_task(client.post(path, params={"long": "true", "must": "x"}))
    while not (tmp_path / "begun").exists():
        await asyncio.sleep(0.01)
    plain = await client.post(path, params={"plain": "x", "must": "x"})
    own = await client.post(path, params={"plain": "x", "even": "3"})
    (tmp_path / "end").touch()
    assert (plain.status, await plain.json()) == (422, {"plain": ["Not a valid integer."]})
    missing = ["Missing data for required field."]
    assert (own.status, await own.json()) == (422, {"plain": ["Not a valid integer."], "must": missing})
    assert (await busy).status == 200


async def test_a_body_that_is_not_json_is_told(serve):
    client = await serve(all=MODEL)
    response = await client.post(PREDICT, data=b"{", headers={"Content-Type": "application/json"})
    assert (response.status, await response.json()) == (400, {"json": ["Invalid JSON body."]})


async def test_one_file_and_many_reach_predict(serve):
    client = await serve(all=MODEL)
    form = FormData({"i": "3"})
    form.add_field("zip", io.BytesIO(b"zipped"), filename="a b.zip", content_type="application/zip")
    for number in "12":
        form.add_field("many", io.BytesIO(number.encode()), filename=f"{number}.txt")
    form.add_field("unasked", io.BytesIO(b"x"), filename="x.txt")
    seen = (await (await client.post(PREDICT, data=form)).json())["predictions"]
    [[name, shown, media_type, content]] = seen["zip_data"]
    assert (name, re.sub("%20", " ", shown), media_type, content) == ("zip", "a b.zip", "application/zip", "zipped")
    assert [file[3] for file in seen["many"]] == ["1", "2"]


async def test_a_file_where_text_is_wanted_is_refused(serve):
    client = await serve(all=MODEL)
    form = FormData()
    form.add_field("s", io.BytesIO(b"x"), filename="x.txt")
    response = await client.post(PREDICT, data=form)
    assert (response.status, await response.json()) == (422, {"s": ["Not a valid string."]})


async def test_nothing_in_a_json_body_passes_for_a_file(serve):
    client = await serve(all=MODEL)
    told = {"name": "many", "filename": "/etc/passwd", "content_type": "text/plain", "original_filename": "x"}
    for sent in ({"d": told}, {"many": [told]}):
        response = await client.post(PREDICT, json=sent)
        assert response.status == 422, await response.text()


async def test_a_failure_of_the_model_is_its_own_and_a_missing_function_is_told(serve):
    client = await serve(all=MODEL, bare="x = 1")
    response = await client.post(PREDICT + "?i=13")
    assert response.status == 500
    assert (await response.text()).startswith("500 Internal Server Error\n\nModel 'all' raised ValueError.")
    assert (await client.post(PREDICT + "?i=14")).status == 501
    response = await client.post("/v2/models/bare/predict/")
    reason = "Not implemented by underlying model (loaded 'bare')"
    assert (response.status, response.reason, await response.text()) == (501, reason, f"501: {reason}")


NEGOTIATED = [
    ("*/*", "application/json", b'{"accept":"application/json"}'),
    ("text/plain", "text/plain", b"text"),
    ("text/*;q=0.5, application/json;q=0.1", "text/plain", b"text"),
    ("image/webp, image/png", "image/png", b"png"),
    ("", "application/json", b'{"accept":"application/json"}'),
]


@pytest.mark.parametrize("location", ["", "location='headers'"])
async def test_the_header_accept_is_read_as_http_says(serve, location):
    client = await serve(headed=HEADED.replace("LOCATION", location))
    for accept, media_type, body in NEGOTIATED:
        response = await client.post("/v2/models/headed/predict/", headers={"Accept": accept})
        assert (response.content_type, await response.read()) == (media_type, body)


async def test_the_argument_accept_outranks_the_header_and_must_be_a_choice(serve):
    client = await serve(headed=HEADED.replace("LOCATION", ""))
    path = "/v2/models/headed/predict/"
    response = await client.post(path + "?accept=image/png", headers={"Accept": "text/plain"})
    assert (response.headers["Content-Type"], await response.read()) == ("image/png", b"png")
    response = await client.post(path + "?accept=audio/ogg")
    assert response.status == 422
    assert await response.json() == {"accept": ["Must be one of: image/png, application/json, text/plain."]}


@pytest.fixture
def serve_and_train(serve):
    """As ``serve``, and trainings begin."""

    async def start(*argv, **plugins):
        client = await serve(*argv, **plugins)
        await client.server.app[TRAINER].resume()
        return client

    return start


async def until_over(client, address):
    while (training := await (await client.get(address)).json())["status"] == "running":
        await asyncio.sleep(0.05)
    return training


async def test_a_training_is_asked_for_watched_and_forgotten(serve_and_train):
    client = await serve_and_train(all=MODEL)
    response = await client.post(TRAIN, params={"epochs": "3", "when": "2026-01-02"})
    begun = await response.json()
    assert (response.status, begun["status"]) == (200, "running")
    assert begun["args"] == {"epochs": 3, "sleep": 0, "when": "2026-01-02"}
    assert re.fullmatch(r"[0-9a-f]{32}", begun["uuid"])
    done = await until_over(client, TRAIN + begun["uuid"])
    assert done["status"] == "done"
    assert done["result"]["output"] == {"epochs": 3, "when": "2026-01-02"}
    assert re.fullmatch(r"\d:\d\d:\d\d(\.\d{6})?", done["result"]["duration"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", done["result"]["finish_date"])
    assert await (await client.get(TRAIN)).json() == [done]
    response = await client.delete(TRAIN + begun["uuid"])
    assert (response.status, await response.json()) == (200, done)
    assert (await client.get(TRAIN + begun["uuid"])).status == 404


async def test_a_training_that_fails_says_why(serve_and_train):
    client = await serve_and_train(all=MODEL)
    begun = await (await client.post(TRAIN, json={"epochs": 13})).json()
    failed = await until_over(client, TRAIN + begun["uuid"])
    assert (failed["status"], failed["message"]) == ("error", "thirteen")


async def test_a_training_that_goes_on_is_cancelled(serve_and_train):
    client = await serve_and_train(all=MODEL)
    begun = await (await client.post(TRAIN, params={"sleep": "60"})).json()
    response = await client.delete(TRAIN + begun["uuid"])
    assert (response.status, (await response.json())["status"]) == (200, "cancelled")
    assert (await client.get(TRAIN + begun["uuid"])).status == 404
    assert await (await client.get(TRAIN)).json() == []
    run = await (await client.get(f"/api/v1/runs/{begun['uuid']}")).json()
    assert run["state"] == "cancelled"


async def test_runs_of_one_api_are_seen_in_the_other(serve_and_train):
    client = await serve_and_train(all=MODEL)
    run = await (await client.post("/api/v1/models/all/train", json={"epochs": 2})).json()
    assert (await until_over(client, TRAIN + run["id"]))["result"]["output"]["epochs"] == 2
    dashed = f"{run['id'][:8]}-{run['id'][8:12]}-{run['id'][12:16]}-{run['id'][16:20]}-{run['id'][20:]}"
    assert (await client.get(TRAIN + dashed)).status == 200


async def test_a_file_reaches_train(serve_and_train):
    client = await serve_and_train(all=MODEL)
    form = FormData()
    form.add_field("file", io.BytesIO(b"rows"), filename="rows.csv")
    begun = await (await client.post(TRAIN, data=form)).json()
    assert begun["args"]["file_"] == "rows.csv"
    assert (await until_over(client, TRAIN + begun["uuid"]))["result"]["output"] == "rows"


async def test_a_training_is_not_begun_with_what_it_cannot_use(serve):
    client = await serve(all=MODEL)
    response = await client.post(TRAIN, json={"epochs": "x", "when": "y"})
    assert response.status == 422
    assert await response.json() == {"epochs": ["Not a valid integer."], "when": ["Not a valid date."]}


async def test_what_is_switched_off_answers_402(serve):
    client = await serve("--no-deepaas-predict-endpoint", "--no-deepaas-train-endpoint", all=MODEL)
    for method, path in (("POST", PREDICT), ("POST", TRAIN), ("GET", TRAIN)):
        response = await client.request(method, path)
        assert (response.status, await response.text()) == (402, "402: Payment Required")
    paths = (await (await client.get("/swagger.json")).json())["paths"]
    assert not [path for path in paths if "predict" in path or "train" in path]


async def test_front_ends_find_what_they_need_in_the_swagger_document(serve):
    client = await serve(headed=HEADED.replace("LOCATION", "location='headers'"), all=MODEL)
    document = await (await client.get("/swagger.json")).json()
    assert document["swagger"] == "2.0"
    predict = document["paths"]["/v2/models/headed/predict/"]["post"]
    assert predict["produces"] == ["image/png", "application/json", "text/plain", "*/*"]
    [accept] = predict["parameters"]
    assert accept == {
        "in": "header",
        "name": "accept",
        "required": False,
        "type": "string",
        "enum": ["image/png", "application/json", "text/plain"],
        "default": "application/json",
    }
    assert list(document["definitions"]["ModelPredictionResponse"]["properties"]) == ["accept"]
    parameters = {each["name"]: each for each in document["paths"][PREDICT]["post"]["parameters"]}
    assert list(parameters)[:4] == ["i", "f", "b", "s"]
    assert parameters["i"] == {
        "in": "query",
        "name": "i",
        "required": False,
        "type": "integer",
        "format": "int32",
        "minimum": 1,
        "maximum": 100,
        "description": "a number",
        "default": 7,
    }
    assert (parameters["zip"]["in"], parameters["zip"]["type"]) == ("formData", "file")
    assert parameters["li"]["collectionFormat"] == "multi"
    assert "default" not in parameters["made"]


async def test_the_swagger_document_is_valid_whatever_arguments_there_are(serve):
    client = await serve(kinds=deepaas_requests.KINDS, all=MODEL)
    document = await (await client.get("/swagger.json")).json()
    paths = [path for path in document["paths"] if path.endswith("/predict/")]
    for path in paths:
        operation = document["paths"][path]["post"]  # this language knows no cookies, DEEPaaS's document names them
        operation["parameters"] = [one for one in operation["parameters"] if one["in"] != "cookie"]
    OpenAPIV2SpecValidator(document).validate()
    said = {each["name"]: each for each in document["paths"]["/v2/models/kinds/predict/"]["post"]["parameters"]}
    assert said["nest"] == {"in": "query", "name": "nest", "required": False, "type": "string", "format": "json"}
    assert said["ln"]["items"] == {"type": "string", "format": "json"}
    assert len(paths) == 2


async def test_the_pages_are_where_deepaas_has_them(serve):
    client = await serve(all=MODEL)
    response = await client.get("/ui", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (302, "/api")
    page = await (await client.get("/api")).text()
    assert "swagger.json" in page
    assert (await client.get("/api/")).status == 404


async def test_everything_lies_below_the_base_path(serve):
    client = await serve("--web-base-path", "/ml", all=MODEL)
    assert (await (await client.get("/ml/v2/")).json())["links"][0]["href"] == "/ml/v2/"
    response = await client.post("/ml/v2/models/all/predict?i=3")
    assert (await response.json())["predictions"]["i"] == 3
    assert "/ml/v2/models/all/predict/" in (await (await client.get("/ml/swagger.json")).json())["paths"]
    assert (await client.get("/v2/")).status == 404


async def test_without_version_2_nothing_of_it_is_there(serve):
    client = await serve("--no-deepaas-v2", all=MODEL)
    for path in ("/v2/", "/v2/models/", "/swagger.json", "/api"):
        assert (await client.get(path)).status == 404
    assert (await client.get("/")).content_type == "text/html"


PRINTING = """
    def predict(**_):
        print("predicting, in a worker")

    def train(**_):
        print("training, in a run")
"""


async def test_what_models_print_is_shown_if_it_may_be(serve_and_train, caplog):
    caplog.set_level("INFO")
    client = await serve_and_train("--deepaas-debug-endpoint", loud=PRINTING)
    await client.post("/v2/models/loud/predict/")
    training = await (await client.post("/v2/models/loud/train/")).json()
    await until_over(client, f"/v2/models/loud/train/{training['uuid']}")
    response = await client.get("/v2/debug/")
    assert (response.status, response.content_type) == (200, "text/plain")
    shown = await response.text()
    for text in ("predicting, in a worker", "--- DEBUG MARKER ", f"TRAINING {training['uuid']}", "training, in a run"):
        assert text in shown


async def test_what_models_print_is_not_shown_unless_it_may_be(serve):
    client = await serve(loud=PRINTING)
    response = await client.get("/v2/debug/")
    assert (response.status, await response.text()) == (204, "")


async def test_without_its_page_the_document_is_still_there(serve):
    client = await serve("--no-deepaas-doc-endpoint", all=MODEL)
    links = (await (await client.get("/")).json())["links"]
    assert [link["href"] for link in links] == ["/swagger.json"]
    assert [(await client.get(path)).status for path in ("/swagger.json", "/api", "/ui")] == [200, 404, 404]


async def test_the_versions_are_at_the_base_path_with_and_without_a_slash(serve):
    client = await serve("--web-base-path", "/x", all=MODEL)
    for path in ("/x", "/x/"):
        document = await (await client.get(path)).json()
        assert document["versions"][0]["links"][0]["href"] == "/x/v2/"
    page = await client.get("/x", headers={"Accept": "text/html"}, allow_redirects=False)
    assert (page.status, page.headers["Location"]) == (308, "/x/")


PICKY = """
    from webargs import fields, validate, ValidationError

    class Even(fields.Integer):
        def _deserialize(self, *args, **kwargs):
            number = super()._deserialize(*args, **kwargs)
            if number % 2:
                raise ValidationError("Must be even.")
            return number

    def get_train_args():
        return {"epochs": Even(missing=2), "name": fields.Str(validate=validate.Regexp("[a-z]+$"))}

    def train(**given):
        return given
"""


async def test_what_only_the_models_own_fields_know_is_told_before_a_training_begins(serve):
    client = await serve(picky=PICKY)
    response = await client.post("/v2/models/picky/train/", data={"epochs": "3", "name": "A"})
    assert response.status == 422
    assert await response.json() == {
        "epochs": ["Must be even."],
        "name": ["String does not match expected pattern."],
    }
    assert await (await client.get("/v2/models/picky/train/")).json() == []
    response = await client.post("/v2/models/picky/train/", data={"epochs": "4", "name": "a"})
    assert (response.status, (await response.json())["args"]["name"]) == (200, "a")


async def test_what_is_not_there_is_404_whatever_was_to_be_done_with_it(serve):
    client = await serve(all=MODEL)
    for method, path in (("PUT", "/v2/models/none"), ("DELETE", "/v2/models/none/"), ("PUT", "/v2/models/none/train")):
        response = await client.request(method, path)
        assert (response.status, await response.text()) == (404, "404: Not Found")
    assert (await client.put("/v2/models/all/")).status == 405


async def test_slashes_that_a_client_has_doubled_are_merged(serve):
    client = await serve(all=MODEL)
    at = str(client.make_url("/"))
    for path in ("/v2/models/all/", "//v2//models/all/"):
        async with client.session.get(at + path + "?x=%2F%2F", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (308, "/v2/models/all/?x=//")
    async with client.session.get(f"{at}/example.org/v2/", allow_redirects=False) as response:
        assert response.status == 404


async def test_the_document_never_has_two_bodies_for_one_request(serve):
    client = await serve(all=MODEL)
    document = await (await client.get("/swagger.json")).json()
    places = [parameter["in"] for parameter in document["paths"]["/v2/models/all/predict/"]["post"]["parameters"]]
    assert "formData" in places
    assert "body" not in places
