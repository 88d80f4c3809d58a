"""Version 1 of DEEPaaS's API, in both forms that it had."""

import io

import pytest
from aiohttp import FormData

from deepaas_core.web.keys import TRAINER

MODEL = """
    def get_train_args():
        return {"epochs": {"default": "10", "help": "how many", "required": False}}

    def get_test_args():
        return {
            "threshold": {"default": "0.50", "help": "cut", "required": False},
            "graph": {"help": "which", "required": True},
        }

    def train(user_conf):
        if user_conf["epochs"] == "13":
            raise ValueError("thirteen")
        return user_conf

    def predict_data(args):
        if args["graph"] == "teapot":
            return {"message": "short and stout"}, 418
        if args["graph"] == "made":
            return {"id": 7}, 201, {"Location": "/things/7", "Server": "mine"}
        if args["graph"] == "wrong":
            return {"errors": ["too small"], "code": 3}, 409
        file = args["files"][0]
        return [file.filename, file.read().decode(), args["threshold"], args["graph"]]

    def predict_url(args):
        return args["urls"]
"""


@pytest.mark.parametrize("flavour, prefix", [("0.x", "/models"), ("1.x", "/v1/models")])
async def test_a_file_urls_and_trainings(serve, flavour, prefix):
    client = await serve("--deepaas-v1", flavour, "--fetch-allow", "127.0.0.1", old=MODEL)
    await client.server.app[TRAINER].resume()
    listed = await (await client.get(prefix + ("/" if flavour == "0.x" else ""))).json()
    assert [(model["id"], model["links"][0]["href"]) for model in listed["models"]] == [("old", f"{prefix}/old")]
    assert await (await client.get(f"{prefix}/old")).json() == listed["models"][0]
    form = FormData({"threshold": "0.90"})
    form.add_field("data", io.BytesIO(b"pixels"), filename="a.png", content_type="image/png")
    response = await client.post(f"{prefix}/old/predict?graph=small", data=form)
    assert await response.json() == ["a.png", "pixels", "0.90", "small"]
    urls = [str(client.make_url("/livez")), str(client.make_url("/readyz"))]
    response = await client.post(f"{prefix}/old/predict", params=[("url", url) for url in urls] + [("graph", "x")])
    assert await response.json() == urls
    response = await client.put(f"{prefix}/old/train?epochs=3")
    assert (response.status, await response.json()) == (200, {"epochs": "3"})
    response = await client.put(f"{prefix}/old/train?epochs=13")
    assert response.status == 500
    assert "ValueError" in await response.text()


async def test_errors_of_version_0_are_messages_in_json(serve):
    client = await serve("--deepaas-v1", "0.x", old=MODEL)
    form = FormData()
    form.add_field("data", io.BytesIO(b"pixels"), filename="a.png")
    response = await client.post("/models/old/predict?graph=teapot", data=form)
    assert (response.status, await response.json()) == (418, {"message": "short and stout"})
    response = await client.post("/models/old/predict?graph=small")
    told = {"message": "You must provide either 'url' or 'data' in the payload"}
    assert (response.status, await response.json()) == (400, told)
    response = await client.post("/models/old/predict?url=http://example.org")
    assert response.status == 400
    assert await response.json() == {
        "errors": {"graph": "which Missing data for required field."},
        "message": "Input payload validation failed",
    }
    response = await client.get("/models/none")
    assert (response.status, await response.json()) == (404, {"message": "Not Found"})


async def test_errors_of_version_1_are_text(serve):
    client = await serve("--deepaas-v1", "1.x", bare="x = 1")
    response = await client.put("/v1/models/bare/train")
    assert (response.status, response.content_type) == (501, "text/plain")
    assert [one["id"] for one in (await (await client.get("/")).json())["versions"]] == ["v1", "v2"]
    assert (await (await client.get("/v1/")).json())["id"] == "v1"


async def answer_about(client, graph):
    form = FormData({"graph": graph})
    form.add_field("data", io.BytesIO(b"pixels"), filename="a.png")
    return await client.post("/models/old/predict", data=form)


async def test_a_model_chooses_status_and_headers_of_its_answer(serve):
    client = await serve("--deepaas-v1", "0.x", old=MODEL)
    response = await answer_about(client, "made")
    assert (response.status, await response.json()) == (201, {"id": 7})
    assert response.headers["Location"] == "/things/7"
    assert response.headers["Server"] != "mine"


async def test_a_model_chooses_the_body_of_its_refusal(serve):
    client = await serve("--deepaas-v1", "0.x", old=MODEL)
    response = await answer_about(client, "wrong")
    assert (response.status, await response.json()) == (409, {"errors": ["too small"], "code": 3})


@pytest.mark.parametrize(
    ("path", "head", "allowed"),
    [
        ("/models/", 200, "GET, HEAD, OPTIONS"),
        ("/models/old", 200, "GET, HEAD, OPTIONS"),
        ("/models/old/predict", 405, "POST, OPTIONS"),
        ("/models/old/train", 405, "PUT, OPTIONS"),
    ],
)
async def test_version_0_answers_head_and_options_as_flask_did(serve, path, head, allowed):
    client = await serve("--deepaas-v1", "0.x", old=MODEL)
    assert (await client.head(path)).status == head
    response = await client.options(path)
    assert (response.status, response.headers["Allow"]) == (200, allowed)


async def test_browsers_find_swagger_ui_at_the_root_as_in_version_0(serve):
    client = await serve("--deepaas-v1", "0.x", second="def predict(): pass")
    assert "swagger.json" in await (await client.get("/", headers={"Accept": "text/html"})).text()
    assert "versions" in await (await client.get("/")).json()
