"""Models written for DEEPaaS, both generations, run unmodified."""

import io

import pytest
from aiohttp import FormData

OLDEST = """
    def get_train_args():
        return {
            "epochs": {"default": "10", "help": "how many", "required": False},
            "layers": {"default": "[1, 2]", "help": "JSON", "required": False},
        }

    def get_test_args():
        return {"threshold": {"default": "0.50", "help": "cut", "required": False}}

    def train(user_conf):
        return user_conf

    def predict_data(args):
        file = args["files"][0]
        return {"filename": file.filename, "content": file.read().decode(), "threshold": args["threshold"]}

    def predict_url(*args):
        return args[0]["urls"]
"""

SECOND = """
    from aiohttp import web
    from deepaas.model.v2.wrapper import UploadedFile
    from webargs import fields, validate

    warmed = []

    schema = {"seen": fields.Str(required=True)}

    def warm():
        warmed.append(True)

    def get_predict_args():
        return {
            "image": fields.Field(required=True, type="file", location="form", description="an image"),
            "top": fields.Int(missing=3, validate=validate.Range(1, 10), description="how many"),
            "when": fields.Date(missing=None, allow_none=True),
        }

    def predict(**kwargs):
        image = kwargs["image"]
        if kwargs["top"] == 9:
            raise web.HTTPBadRequest(reason="nine is not nice")
        assert isinstance(image, UploadedFile)
        with open(image.filename) as file:
            content = file.read()
        when = kwargs["when"] and kwargs["when"].year
        seen = [image.name, image.original_filename, image.content_type, content, kwargs["top"], when, warmed]
        return {"seen": " ".join(map(str, seen))}
"""


async def test_a_model_of_the_first_generation_gets_its_dictionaries(serve):
    client = await serve("--fetch-allow", "127.0.0.1", oldest=OLDEST)
    form = FormData({"threshold": "0.90"})
    form.add_field("data", io.BytesIO(b"pixels"), filename="a.png", content_type="image/png")
    response = await client.post("/api/v1/models/oldest/predict/data", data=form)
    assert (await response.json())["prediction"] == {"filename": "a.png", "content": "pixels", "threshold": "0.90"}
    url = str(client.make_url("/livez"))
    response = await client.post("/api/v1/models/oldest/predict/url", json={"url": url})
    assert (await response.json())["prediction"] == [url]


async def test_a_model_of_the_second_generation_gets_fields_files_and_warmth(serve):
    client = await serve(second=SECOND)
    form = FormData({"top": "5", "when": "2026-01-02"}, quote_fields=False)
    form.add_field("image", io.BytesIO(b"pixels"), filename="my cat.png", content_type="image/png")
    response = await client.post("/api/v1/models/second/predict", data=form)
    assert response.status == 200, await response.text()
    assert (await response.json())["prediction"] == {"seen": "image my cat.png image/png pixels 5 2026 [True]"}


async def test_an_http_exception_raised_on_purpose_is_the_models_word_about_the_input(serve):
    client = await serve(second=SECOND)
    form = FormData({"top": "9"})
    form.add_field("image", io.BytesIO(b"pixels"), filename="cat.png")
    response = await client.post("/api/v1/models/second/predict", data=form)
    assert response.status == 422
    assert "nine is not nice" in await response.text()


async def test_a_missing_file_is_named(serve):
    client = await serve(second=SECOND)
    response = await client.post("/api/v1/models/second/predict", data={"top": "5"})
    assert response.status == 422
    assert [error["pointer"] for error in (await response.json())["errors"]] == ["/image"]


async def test_a_model_whose_metadata_cannot_be_read_predicts_all_the_same(serve):
    code = """
        from aiohttp.web import HTTPBadRequest

        def get_metadata():
            try:
                raise FileNotFoundError("No PKG-INFO.")
            except Exception as error:
                raise HTTPBadRequest(reason=error)

        def predict(**kwargs):
            return 1
    """
    client = await serve(vague=code)
    response = await client.post("/api/v1/models/vague/predict")
    assert (await response.json())["prediction"] == 1
    document = await (await client.get("/api/v1/models/vague")).json()
    assert document["metadata"]["description"] == "The vague plugin."


async def test_an_exception_as_the_reason_of_an_http_exception_is_told(serve):
    code = """
        from aiohttp.web import HTTPBadRequest

        def predict(**kwargs):
            try:
                raise ValueError("no data\\nat all")
            except Exception as error:
                raise HTTPBadRequest(reason=error)
    """
    client = await serve(wrapping=code)
    response = await client.post("/api/v1/models/wrapping/predict")
    assert response.status == 422
    assert "no data at all" in await response.text()


async def test_the_one_dictionary_of_deepaas_0_5_is_given_whatever_the_signature(serve):
    code = """
        def get_test_args():
            return {"graph": {"default": "'small'", "help": "which", "required": False}}

        def predict_data(*args, **kwargs):
            return [[arg["files"][0].filename, arg.graph] for arg in args]

        def predict_url(urls, merge=True):
            return [urls["urls"][0], urls.graph]
    """
    client = await serve("--fetch-allow", "127.0.0.1", middle=code)
    form = FormData()
    form.add_field("data", io.BytesIO(b"pixels"), filename="a.png")
    response = await client.post("/api/v1/models/middle/predict/data", data=form)
    assert (await response.json())["prediction"] == [["a.png", "'small'"]]
    url = str(client.make_url("/livez"))
    response = await client.post("/api/v1/models/middle/predict/url", json={"url": url, "graph": "large"})
    assert (await response.json())["prediction"] == [url, "large"]


async def test_a_model_older_than_deepaas_0_5_finds_the_payload_as_item_0(serve):
    code = """
        def predict_data(*args):
            return [data[0].decode() for data in args]
    """
    client = await serve(oldest=code)
    form = FormData()
    form.add_field("data", io.BytesIO(b"pixels"), filename="a.png")
    response = await client.post("/api/v1/models/oldest/predict/data", data=form)
    assert (await response.json())["prediction"] == ["pixels"]


TEMPLATE = """
    import os
    from collections import OrderedDict
    from webargs import fields

    def get_predict_args():
        arguments = OrderedDict()
        arguments["files"] = fields.Field(missing=None, type="file", data_key="data", location="form")
        arguments["urls"] = fields.Url(missing=None, description="an image's address")
        arguments["top"] = fields.Str(missing="3")
        return arguments

    def predict(**args):
        if not any([args["urls"], args["files"]]):
            return "nothing"
        if args["files"]:
            args["files"] = [args["files"]]
            return predict_data(args)
        args["urls"] = [args["urls"]]
        return predict_url(args)

    def predict_data(args):
        file = args["files"][0]
        with open(file.filename, "rb") as content:
            seen = [file.original_filename, content.read().decode(), args["urls"], args["top"]]
        os.remove(file.filename)
        return seen

    def predict_url(args):
        return [args["urls"], args["files"]]
"""


async def test_the_functions_behind_predict_work_by_themselves(serve):
    client = await serve("--fetch-allow", "127.0.0.1", template=TEMPLATE)
    assert (await (await client.post("/api/v1/models/template/predict")).json())["prediction"] == "nothing"
    for function in ("predict", "predict/data"):
        form = FormData()
        form.add_field("data", io.BytesIO(b"pixels"), filename="a.png")
        response = await client.post(f"/api/v1/models/template/{function}", data=form)
        assert (await response.json())["prediction"] == ["a.png", "pixels", None, "3"]
    url = str(client.make_url("/livez"))
    response = await client.post("/api/v1/models/template/predict/url", json={"url": url})
    assert (await response.json())["prediction"] == [[url], None]


DRAWING = """
    import io
    import tempfile
    from webargs import fields, validate

    PNG = b"\\x89PNG\\r\\n\\x1a\\n..."

    def get_predict_args():
        kinds = ["image/*", "application/json", "text/plain", "application/pdf"]
        return {"accept": fields.Str(missing="application/json", validate=validate.OneOf(kinds), LOCATION)}

    def predict(**kwargs):
        if kwargs["accept"] == "image/*":
            return io.BytesIO(PNG)
        if kwargs["accept"] == "application/pdf":
            file = tempfile.NamedTemporaryFile()
            file.write(b"%PDF-")
            file.seek(0)
            return file
        return "text" if kwargs["accept"] == "text/plain" else kwargs
"""


@pytest.mark.parametrize("location", ["", "location='headers'"])
@pytest.mark.parametrize(
    "accept, media_type, body",
    [
        ("*/*", "application/json", b'{"accept":"application/json"}'),
        ("text/*;q=0.5, application/json;q=0.1", "text/plain", b"text"),
        ("image/webp, image/png", "image/png", b"\x89PNG\r\n\x1a\n..."),
        ("application/pdf", "application/pdf", b"%PDF-"),
    ],
)
async def test_the_answer_has_the_media_type_that_the_request_accepts(serve, location, accept, media_type, body):
    client = await serve(drawing=DRAWING.replace("LOCATION", location))
    response = await client.post("/api/v1/models/drawing/predict", headers={"Accept": accept})
    assert response.content_type == media_type
    assert body in await response.read()


async def test_the_argument_accept_outranks_the_header(serve):
    client = await serve(drawing=DRAWING.replace("LOCATION", ""))
    headers = {"Accept": "application/json"}
    path = "/api/v1/models/drawing/predict"
    assert (await client.post(path, params={"accept": "text/plain"}, headers=headers)).content_type == "text/plain"
    headers = {"Accept": "text/plain"}
    response = await client.post(path, params={"accept": "*/*"}, headers=headers)
    assert (await response.json())["prediction"] == {"accept": "application/json"}
    assert (await client.post(path, params={"accept": "text"}, headers=headers)).status == 422


async def test_a_model_that_asks_for_the_header_is_never_called_for_what_it_cannot_give(serve):
    headers = {"Accept": "audio/ogg"}
    client = await serve(drawing=DRAWING.replace("LOCATION", "location='headers'"))
    response = await client.post("/api/v1/models/drawing/predict", headers=headers)
    assert response.status == 406
    client = await serve(drawing=DRAWING.replace("LOCATION", ""))
    response = await client.post("/api/v1/models/drawing/predict", headers=headers)
    assert (await response.json())["prediction"] == {"accept": "application/json"}


async def test_a_required_media_type_comes_from_the_header(serve):
    code = """
        from webargs import fields, validate

        def get_predict_args():
            choices = validate.OneOf(["application/json", "text/plain"])
            return {"accept": fields.Str(required=True, validate=choices, metadata={"location": "headers"})}

        def predict(accept):
            return accept
    """
    client = await serve(strict=code)
    response = await client.post("/api/v1/models/strict/predict")
    assert (await response.json())["prediction"] == "application/json"


@pytest.mark.parametrize(
    "raised, told",
    [
        ("HTTPNotFound(text='no nine')", "no nine"),
        ("HTTPBadRequest(reason='no ten')", "no ten"),
        ("HTTPBadRequest(reason=NotImplementedError())", "NotImplementedError"),
        ("HTTPConflict()", "Conflict"),
    ],
)
async def test_an_http_exception_is_told_in_its_own_words(serve, raised, told):
    client = await serve(refusing=f"from aiohttp.web import *\n\ndef predict(**kwargs):\n    raise {raised}\n")
    response = await client.post("/api/v1/models/refusing/predict")
    assert [error["detail"] for error in (await response.json())["errors"]] == [told]


async def test_no_default_at_all_stays_nothing_in_a_dictionary_of_texts(serve):
    code = """
        def get_test_args():
            return {"weights": {"default": None, "help": "a file", "required": False}}

        def predict_data(args):
            return args["weights"]
    """
    client = await serve(bare=code)
    path, body = "/api/v1/models/bare/predict/data", {"data": "x"}
    assert (await (await client.post(path, data=body)).json())["prediction"] is None
    assert (await (await client.post(path, data={**body, "weights": "w"})).json())["prediction"] == "w"


async def test_several_files_in_one_field_arrive_as_a_list(serve):
    code = """
        from deepaas.model.v2.wrapper import UploadedFile
        from webargs import fields

        def get_predict_args():
            file = fields.Field(type="file", location="form")
            return {"demo-files": fields.List(file, required=True, type="file", location="form")}

        def predict(**kwargs):
            return [isinstance(file, UploadedFile) and file.original_filename for file in kwargs["demo-files"]]
    """
    client = await serve(many=code)
    form = FormData()
    for name in ("a.png", "b.png"):
        form.add_field("demo-files", io.BytesIO(b"pixels"), filename=name)
    response = await client.post("/api/v1/models/many/predict", data=form)
    assert (await response.json())["prediction"] == ["a.png", "b.png"]
