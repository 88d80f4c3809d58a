"""Predicting over the native API, on real workers."""

import io
import json

import numpy as np
import pytest
import pytest_asyncio
from aiohttp import FormData

ECHO = """
    def get_predict_args():
        return {"top": {"default": 3, "type": int, "range": [1, 10], "help": "how many"}}

    def predict_data(data, **kwargs):
        return {"type": type(data).__name__, "data": data, **kwargs}

    def predict_file(path, **kwargs):
        import os
        with open(path, "rb") as file:
            return {"size": len(file.read()), "suffix": os.path.splitext(path)[1], "path": path, **kwargs}

    def predict_url(url, **kwargs):
        return {"url": url, **kwargs}
"""
BASE = "/api/v1/models/echo/predict"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(serve_all):
    return await serve_all("--fetch-allow", "127.0.0.1", echo=ECHO)


async def prediction(response):
    assert response.status == 200, await response.text()
    document = await response.json()
    assert (document["model"], document["version"]) == ("echo", "1.0")
    return document["prediction"]


async def problem(response, status):
    assert response.status == status, await response.text()
    assert response.content_type == "application/problem+json"
    document = await response.json()
    assert document["status"] == status
    assert document["request_id"] == response.headers["X-Request-ID"]
    return document


async def test_data_comes_from_a_json_object_with_other_arguments_beside_it(client):
    answer = await prediction(await client.post(f"{BASE}/data", json={"data": [1, 2.5, None], "top": 5}))
    assert answer == {"type": "list", "data": [1, 2.5, None], "top": 5}


async def test_json_that_is_no_object_is_the_data_itself(client):
    answer = await prediction(await client.post(f"{BASE}/data?top=2", json=[[1], [2]]))
    assert answer == {"type": "list", "data": [[1], [2]], "top": 2}


async def test_curl_without_a_content_type_is_understood(client):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await prediction(await client.post(f"{BASE}/data", data=b'{"data": 1, "top": 4}', headers=form))
    assert answer == {"type": "int", "data": 1, "top": 4}


@pytest.mark.parametrize(
    "media_type, body, kind, seen",
    [
        ("text/plain", "héllo".encode(), "str", "héllo"),
        ("text/csv", b"a,b\n1,2\n", "str", "a,b\n1,2\n"),
        ("text/plain; charset=latin-1", b"h\xe9llo", "str", "héllo"),
        ("application/octet-stream", b"\x00\x01", "bytes", "AAE="),
        ("image/png", b"\x89PNG", "bytes", "iVBORw=="),
    ],
)
async def test_data_may_be_any_body(client, media_type, body, kind, seen):
    answer = await prediction(await client.post(f"{BASE}/data", data=body, headers={"Content-Type": media_type}))
    assert answer == {"type": kind, "data": seen, "top": 3}


async def test_an_array_arrives_as_an_array(client):
    file = io.BytesIO()
    np.save(file, np.arange(6, dtype="float32").reshape(2, 3))
    headers = {"Content-Type": "application/x-npy"}
    answer = await prediction(await client.post(f"{BASE}/data", data=file.getvalue(), headers=headers))
    assert answer == {"type": "ndarray", "data": [[0, 1, 2], [3, 4, 5]], "top": 3}


async def test_data_may_be_a_multipart_field(client):
    form = FormData({"top": "7"})
    form.add_field("data", '{"a": 1}', content_type="application/json")
    assert await prediction(await client.post(f"{BASE}/data", data=form)) == {
        "type": "dict",
        "data": {"a": 1},
        "top": 7,
    }


async def test_a_file_is_given_under_a_private_name_and_removed_afterwards(client):
    form = FormData({"top": "1"})
    form.add_field("data", io.BytesIO(b"12345"), filename="../../etc/seven.PNG", content_type="image/png")
    answer = await prediction(await client.post(f"{BASE}/file", data=form))
    assert (answer["size"], answer["suffix"], answer["top"]) == (5, ".PNG", 1)
    assert "seven" not in answer["path"]
    assert list(client.scratch.iterdir()) == []


async def test_a_file_may_be_the_body_itself(client):
    answer = await prediction(await client.post(f"{BASE}/file", data=b"123", headers={"Content-Type": "image/png"}))
    assert (answer["size"], answer["suffix"]) == (3, ".png")


async def test_a_url_is_handed_on_once_the_guard_has_passed_it(client):
    url = str(client.make_url("/livez"))
    assert (await prediction(await client.post(f"{BASE}/url", json={"url": url})))["url"] == url
    assert (await prediction(await client.post(f"{BASE}/url", data={"url": url, "top": "2"})))["top"] == 2


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/", "ftp://example.org/", "http://[::1]/", "http://user:pw@127.0.0.1/", "file:///etc/passwd", "x"],
)
async def test_a_url_that_leads_inward_is_refused(client, url):
    document = await problem(await client.post(f"{BASE}/url", json={"url": url}), 422)
    assert document["type"] == "/problems/address-refused"


@pytest.mark.parametrize(
    "body, pointer",
    [
        ({"data": 1, "top": "many"}, "/top"),
        ({"data": 1, "top": 11}, "/top"),
        ({"data": 1, "tops": 1}, "/tops"),
        ({"top": 1}, "/data"),
    ],
)
async def test_what_is_wrong_with_an_argument_is_told_field_by_field(client, body, pointer):
    document = await problem(await client.post(f"{BASE}/data", json=body), 422)
    assert [error["pointer"] for error in document["errors"]] == [pointer]
    assert document["errors"][0]["detail"]


@pytest.mark.parametrize(
    "named", ["filename*=utf-8''n%C3%A4chster%20Stern.png", "filename*=iso-8859-1'de'n%E4chster.png"]
)
async def test_a_file_name_may_be_written_as_rfc_5987_says(client, named):
    head = f'--x\r\nContent-Disposition: form-data; name="data"; {named}\r\nContent-Type: image/png\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = await client.post(f"{BASE}/file", data=head.encode() + b"12345\r\n--x--\r\n", headers=headers)
    assert response.status == 200, await response.text()


@pytest.mark.parametrize(
    "path, body, media_type, status",
    [
        ("data", b'{"data": NaN}', "application/json", 400),
        ("data", b'{"data": ', "application/json", 400),
        ("data", b'{"data": }', "application/json", 400),
        ("data", b'{"data": 1}}', "application/json", 400),
        ("data", b'{"data": 1, 2}', "application/json", 400),
        ("data", b'{"data": [1]], [2]}', "application/json", 400),
        ("data", b'{"data": 1} \n]', "application/json", 400),
        ("data", b'{"data": "\xff"}', "application/json", 400),
        ("data", b'{"data": ' + b"[" * 200 + b"]" * 200 + b"}", "application/json", 400),
        ("data", b"[" * 100_000, "application/json", 400),
        ("data", b"not an array", "application/x-npy", 400),
        ("data", b"\xff", "text/plain", 400),
        ("data", b"x", "text/plain; charset=klingon", 400),
        ("data", b"broken", "multipart/form-data; boundary=x", 400),
        ("data", b"broken", "multipart/form-data", 400),
        ("url", b'["no object"]', "application/json", 422),
        ("url", b"<xml/>", "application/xml", 415),
        ("url", b'{"url": 5}', "application/json", 422),
        ("file", b"", "image/png", 422),
    ],
)
async def test_bodies_that_cannot_be_used_are_the_callers_fault(client, path, body, media_type, status):
    response = await client.post(f"{BASE}/{path}", data=body, headers={"Content-Type": media_type})
    await problem(response, status)


async def test_a_body_over_the_limit_is_refused(serve):
    client = await serve("--web-max-body-mb", "1", echo=ECHO)
    await problem(await client.post(f"{BASE}/data", data=io.BytesIO(b"x" * (2**20 + 1))), 413)


async def test_a_callers_own_limit_can_only_lower_the_models(serve):
    client = await serve(slow="import time\ndef predict_data(data): time.sleep(data); return data\n")
    path = "/api/v1/models/slow/predict/data"
    document = await problem(await client.post(path, json={"data": 5}, headers={"X-Timeout-S": "0.2"}), 504)
    assert "0.2 s" in document["detail"]
    await problem(await client.post(path, json={"data": 5}, headers={"X-Timeout-S": "soon"}), 422)


async def test_a_missing_function_says_what_the_author_would_have_to_write(serve):
    client = await serve(bare="")
    for route, function in [
        ("predict", "predict(**kwargs)"),
        ("predict/data", "predict_data(data, **kwargs)"),
        ("predict/file", "predict_file(path, **kwargs)"),
        ("predict/url", "predict_url(url, **kwargs)"),
        ("train", "train(**kwargs)"),
    ]:
        document = await problem(await client.post(f"/api/v1/models/bare/{route}"), 501)
        assert document["function"] == function
        assert function in document["detail"]


async def test_a_model_without_any_hook_still_lists_with_its_packages_metadata(serve):
    client = await serve(bare="")
    [model] = (await (await client.get("/api/v1/models")).json())["models"]
    assert (model["name"], model["version"], model["capabilities"]) == ("bare", "1.0", [])
    assert model["metadata"]["description"] == "The bare plugin."


async def test_a_models_failure_is_not_told_in_full_unless_the_operator_allows_it(serve):
    source = "def predict_data(data): raise ValueError('the secret of the model')\n"
    client = await serve(failing=source)
    document = await problem(await client.post("/api/v1/models/failing/predict/data", json={"data": 1}), 500)
    assert document["type"] == "/problems/model-failure"
    assert "ValueError" in document["detail"]
    assert "secret" not in json.dumps(document)


async def test_the_operator_can_let_clients_see_the_text_of_a_models_failure(serve):
    source = "def predict_data(data): raise ValueError('too blue')\n"
    client = await serve("--web-show-model-errors", failing=source)
    document = await problem(await client.post("/api/v1/models/failing/predict/data", json={"data": 1}), 500)
    assert "too blue" in document["detail"]


async def test_a_model_can_say_that_the_input_is_to_blame(serve):
    source = """
        class InputError(ValueError):
            def __init__(self, text, argument=""):
                super().__init__(text)
                self.argument = argument

        def predict_data(data):
            raise InputError("Must be 8 by 8.", argument="data")
    """
    client = await serve(strict=source)
    document = await problem(await client.post("/api/v1/models/strict/predict/data", json={"data": 1}), 422)
    assert document["errors"] == [{"pointer": "/data", "detail": "Must be 8 by 8."}]


async def test_a_broken_model_is_shown_with_its_reason_and_stops_nobody_else(serve):
    client = await serve(broken="import no_such_library\n", echo=ECHO)
    ready = await client.get("/readyz")
    assert ready.status == 503
    models = (await ready.json())["models"]
    assert models["echo"]["state"] == "ready"
    assert "no_such_library" in models["broken"]["reason"]
    document = await problem(await client.post("/api/v1/models/broken/predict/data", json={"data": 1}), 503)
    assert "no_such_library" in document["detail"]
    await prediction(await client.post(f"{BASE}/data", json={"data": 1}))
    assert (await client.get("/readyz/echo")).status == 200


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/nothing/here", 404),
        ("GET", "/api/v1/models/nobody", 404),
        ("POST", "/api/v1/models/nobody/predict/data", 404),
        ("GET", "/api/v1/runs/nothing", 404),
        ("GET", f"{BASE}/data", 405),
        ("DELETE", "/api/v1/models/echo", 405),
    ],
)
async def test_http_s_own_errors_are_problem_documents_too(client, method, path, status):
    await problem(await client.request(method, path), status)


async def test_an_array_is_given_as_it_is_to_those_who_accept_that(serve):
    client = await serve(
        array="import numpy\ndef predict_data(data): return numpy.arange(data, dtype='float32')\n",
        words="def predict_data(data): return 'no array'\n",
    )
    headers = {"Accept": "application/x-npy"}
    response = await client.post("/api/v1/models/array/predict/data", json={"data": 4}, headers=headers)
    assert response.content_type == "application/x-npy"
    assert np.load(io.BytesIO(await response.read())).tolist() == [0, 1, 2, 3]
    await problem(await client.post("/api/v1/models/words/predict/data", json={"data": 4}, headers=headers), 406)


async def test_a_returned_file_is_sent_with_its_type(serve):
    source = """
        import tempfile
        from deepaas_core import ReturnedFile

        def predict_data(data):
            if data == "foreign":
                return ReturnedFile("/etc/hostname", "text/plain")
            with tempfile.NamedTemporaryFile("w", suffix=".svg", delete=False) as file:
                file.write("<svg/>")
            return ReturnedFile(file.name, "image/svg+xml")
    """
    client = await serve(drawing=source)
    path = "/api/v1/models/drawing/predict/data"
    response = await client.post(path, json={"data": 1})
    assert (response.content_type, await response.text()) == ("image/svg+xml", "<svg/>")
    await problem(await client.post(path, json={"data": "foreign"}), 500)


async def test_no_browser_guesses_what_an_answer_is(client):
    for response in (
        await client.post(f"{BASE}/data", json={"data": "<script>"}),
        await client.post(f"{BASE}/data?top=2", json={"data": "<script>"}),
        await client.post(f"{BASE}/nowhere", data="<script>"),
        await client.get("/api/v1/models"),
    ):
        assert response.headers.getall("X-Content-Type-Options") == ["nosniff"]


async def test_a_form_post_of_a_foreign_page_is_refused(client):
    headers = {"Origin": "https://evil.example"}
    await problem(await client.post(f"{BASE}/data", data={"data": "x"}, headers=headers), 403)
    own = {"Origin": str(client.make_url("/")).rstrip("/")}
    await prediction(await client.post(f"{BASE}/data", data={"data": "x"}, headers=own))


async def test_a_callers_request_id_is_kept_when_it_is_a_plain_word(client):
    assert (await client.get("/livez", headers={"X-Request-ID": "abc-1"})).headers["X-Request-ID"] == "abc-1"
    assert (await client.get("/livez", headers={"X-Request-ID": "a b"})).headers["X-Request-ID"] != "a b"
