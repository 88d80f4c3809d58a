"""Models written for DEEPaaS, both generations, run unmodified."""

import io

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


async def test_an_http_exception_raised_on_purpose_keeps_its_status_and_its_reason(serve):
    client = await serve(second=SECOND)
    form = FormData({"top": "9"})
    form.add_field("image", io.BytesIO(b"pixels"), filename="cat.png")
    response = await client.post("/api/v1/models/second/predict", data=form)
    assert response.status == 400
    assert (await response.json())["detail"] == "nine is not nice"


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
    assert response.status == 400
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


NEGOTIATED = [
    ("*/*", "application/json", b'{"accept":"application/json"}'),
    ("text/*;q=0.5, application/json;q=0.1", "text/plain", b"text"),
    ("image/webp, image/png", "image/png", b"\x89PNG\r\n\x1a\n..."),
    ("application/pdf", "application/pdf", b"%PDF-"),
]


async def test_the_answer_has_the_media_type_that_the_request_accepts(serve):
    headed = DRAWING.replace("LOCATION", "location='headers'")
    client = await serve(drawing=DRAWING.replace("LOCATION", ""), headed=headed)
    for model in ("drawing", "headed"):
        for accept, media_type, body in NEGOTIATED:
            response = await client.post(f"/api/v1/models/{model}/predict", headers={"Accept": accept})
            assert response.content_type == media_type, (model, accept)
            assert body in await response.read(), (model, accept)


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
    headed = DRAWING.replace("LOCATION", "location='headers'")
    client = await serve(drawing=DRAWING.replace("LOCATION", ""), headed=headed)
    assert (await client.post("/api/v1/models/headed/predict", headers=headers)).status == 406
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


REFUSING = """
    import marshmallow, webargs
    from aiohttp.web import *
    from werkzeug import exceptions
    from werkzeug.wrappers import Response as Given

    class HTTPException(Exception):
        def __init__(self, status_code, detail):
            self.status_code, self.detail = status_code, detail

    Starlette = HTTPException

    def predict(raised: str):
        raise eval(raised)
"""
REFUSED = {
    "HTTPNotFound(text='no nine')": (404, "no nine"),
    "HTTPBadRequest(reason='no ten')": (400, "no ten"),
    "HTTPBadRequest(reason=NotImplementedError())": (400, "NotImplementedError"),
    "HTTPConflict()": (409, "Conflict"),
    "HTTPServiceUnavailable(reason='later')": (503, "later"),
    "exceptions.BadRequest('no eleven')": (400, "no eleven"),
    "exceptions.HTTPException(response=Given('no coffee', 409))": (409, "no coffee"),
    "exceptions.ImATeapot()": (418, "This server is a teapot, not a coffee machine"),
    "Starlette(451, 'no twelve')": (451, "no twelve"),
}


async def test_an_http_exception_is_told_in_its_own_words(serve):
    client, seen = await serve(refusing=REFUSING), {}
    for raised in REFUSED:
        response = await client.post("/api/v1/models/refusing/predict", json={"raised": raised})
        document = await response.json()
        assert document["type"] == "/problems/model-refusal", document
        seen[raised] = (response.status, document["detail"])
    assert seen == REFUSED


async def test_an_http_exception_while_fetching_is_still_the_models_word(serve):
    code = "from aiohttp.web import *\n\ndef predict_url(url):\n    raise HTTPBadRequest(reason='no picture')\n"
    client = await serve("--fetch-allow", "127.0.0.1", picky=code)
    response = await client.post("/api/v1/models/picky/predict/url", json={"url": "http://127.0.0.1/x"})
    assert (response.status, (await response.json())["detail"]) == (400, "no picture")


async def test_a_validation_error_of_the_model_is_about_the_input(serve):
    client = await serve(refusing=REFUSING)
    for raised in (
        "marshmallow.ValidationError({'top': ['too high']})",
        "webargs.ValidationError('too high', field_name='top')",
    ):
        response = await client.post("/api/v1/models/refusing/predict", json={"raised": raised})
        assert response.status == 422
        assert [error["detail"] for error in (await response.json())["errors"]] == ["too high"]


ODD = """
    import os, sys

    class HTTPException(Exception):
        @property
        def status(self):
            raise KeyboardInterrupt

        def __str__(self):
            sys.exit(1)

    class Unreadable:
        def __iter__(self):
            sys.exit(2)

        def read(self):
            sys.exit(3)

    class ValidationError(Exception):
        messages = {}
        messages["again"] = messages

    class Response:
        status_code = 200

        def get_data(self):
            raise GeneratorExit

    def get_predict_args():
        from webargs import fields, validate
        from marshmallow import fields as own

        class Leaving(own.Field):
            def _deserialize(self, *_, **__):
                sys.exit(4)

        return {
            "what": fields.Str(load_default="fine"),
            "leave": Leaving(required=False),
            "accept": fields.Str(load_default="*/*", validate=validate.OneOf(["text/plain", "*/*"])),
        }

    def predict(what, **kwargs):
        if what == "fine":
            return what
        value = eval(what)
        if isinstance(value, BaseException):
            raise value
        return value
"""


HANGING = [
    {"what": "HTTPException()"},
    {"what": "ValidationError()"},
    {"what": "SystemExit(0)"},
    {"what": "KeyboardInterrupt()"},
    {"what": "GeneratorExit()"},
    {"what": "StopIteration()"},
    {"what": "Response()"},
    {"what": "Unreadable()"},
    {"what": "Unreadable()", "accept": "text/plain"},
    {"what": "(lambda: (yield sys.exit(5)))()"},
    {"what": "os._exit(6)"},
    {"leave": "1"},
]


async def test_nothing_that_a_model_raises_hangs_it(serve):
    client = await serve(odd=ODD)
    for sent in HANGING:
        response = await client.post("/api/v1/models/odd/predict", json=sent)
        assert response.status == 500, sent
        told = (await response.json())["type"]
        assert told in ("/problems/model-failure", "/problems/model-crashed", "/problems/unencodable-result"), sent
        response = await client.post("/api/v1/models/odd/predict", json={})
        assert (await response.json())["prediction"] == "fine", sent


FIRST_WITH_FLASK = """
    import json, sys, types
    from werkzeug.wrappers import Response

    def predict_data(args):
        kind = args["kind"]
        if kind == "pair":
            return {"message": "no such label"}, 404
        if kind == "text":
            return "not today", 503, {"Retry-After": "9"}
        if kind == "fine":
            return {"label": "cat"}, 200
        if kind == "json":
            return Response(json.dumps({"label": "dog"}), mimetype="application/json")
        if kind == "png":
            return Response(b"pixels", mimetype="image/png")
        if kind == "refused":
            return Response(json.dumps({"message": "not you"}), 403, mimetype="application/json")
        return [1, 404]

    def get_test_args():
        return {"kind": {"default": "list", "help": "", "required": False}}
"""


FLASK_ANSWERS = {
    "pair": (404, "no such label"),
    "text": (503, "not today"),
    "fine": (200, {"label": "cat"}),
    "json": (200, {"label": "dog"}),
    "refused": (403, "not you"),
    "list": (200, [1, 404]),
}


async def test_a_model_of_the_first_generation_may_answer_as_flask_wants_it(serve):
    client, seen = await serve(first=FIRST_WITH_FLASK), {}
    for kind in FLASK_ANSWERS:
        response = await client.post("/api/v1/models/first/predict/data", json={"data": "x", "kind": kind})
        document = await response.json()
        seen[kind] = (response.status, document.get("prediction", document.get("detail")))
    assert seen == FLASK_ANSWERS
    response = await client.post("/api/v1/models/first/predict/data", json={"data": "x", "kind": "png"})
    assert (response.status, response.content_type, await response.read()) == (200, "image/png", b"pixels")


async def test_a_raw_answer_is_as_limited_as_any(serve):
    code = """
        import io
        from webargs import fields, validate

        def get_predict_args():
            return {
                "accept": fields.Str(load_default="text/plain", validate=validate.OneOf(["text/plain"])),
                "file": fields.Bool(load_default=False),
            }

        def predict(accept, file):
            return io.BytesIO(bytes(2**21)) if file else "x" * 2**21
    """
    client = await serve("--workers-max-result-mb", "1", large=code)
    for file in (True, False):
        response = await client.post("/api/v1/models/large/predict", json={"file": file})
        assert response.status == 500
        assert "larger than 1048576 bytes" in (await response.json())["detail"]


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
