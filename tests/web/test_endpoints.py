"""Calls of a service's endpoints: rows, files of rows, and functions."""

from __future__ import annotations

import base64
import io
import json
import random
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from openapi_spec_validator import validate
from PIL import Image

from deepaas_core.publishing import grammar
from tests.services import make_live, packed

ENDPOINTS = "/api/v1/services/credit/endpoints"
RISK = ENDPOINTS + "/risk/predict"
CODE = """
    class Response:
        def __init__(self, body, status=200, content_type=None, headers=()):
            self.body, self.status, self.content_type, self.headers = body, status, content_type, headers

    def logistic(duration: int, amount: float, age: int = 30, surcharge: float = 0.0):
        if duration == 13:
            raise RuntimeError("unlucky")
        bad = min(1.0, amount / 20000 + surcharge)
        return {"good": 1 - bad, "bad": bad}

    def forest(df):
        assert list(df.columns) == ["duration", "amount", "age"]
        return ["good"] * len(df)

    def loose(duration: int, amount: float = 1.0):
        return {"product": duration * amount}

    def table(rows):
        return [sorted(row.items()) for row in rows]

    def explain(a: int, b: float = 2.0, words: list[str] = ()):
        return {"product": a * b, "words": list(words)}

    def one(values: list):
        return len(values)

    def custom(kind):
        headers = [("X-Mine", "1"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
        return Response(f"<b>{kind}</b>", 201, "text/html", headers)

    def picture(image):
        return {"mean": float(image.mean()), "shape": list(image.shape)}
"""
DEFINITION = """
name = "credit"
[endpoints.risk]
kind = "prediction"
variants.logistic = "score.py:logistic"
variants.forest = "score.py:forest"
[endpoints.risk.inputs]
duration = { type = "integer", minimum = 1 }
amount = { minimum = 0 }
age = { type = "integer", required = false, default = 30 }
[endpoints.risk.outputs]
risk = { type = "categorical", classes = ["bad", "good"] }
[endpoints.loose]
kind = "prediction"
script = "score.py:loose"
[endpoints.table]
kind = "prediction"
script = "score.py:table"
[endpoints.explain]
kind = "function"
script = "score.py:explain"
[endpoints.one]
kind = "function"
script = "score.py:one"
[endpoints.custom]
kind = "function"
script = "score.py:custom"
[endpoints.bare]
kind = "function"
script = "score.py:explain"
bare = true
[endpoints.picture]
kind = "prediction"
script = "score.py:picture"
inputs.image = { type = "image", shape = [4, 6, 3] }
bare = true
"""
SMALL, LARGE = {"duration": 6, "amount": 1000}, {"duration": 48, "amount": 15000, "age": 22}
GOOD = {"risk": "good", "probabilities": {"risk": {"bad": 0.05, "good": 0.95}}}
BAD = {"risk": "bad", "probabilities": {"risk": {"bad": 0.75, "good": 0.25}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(serve_all):
    """A server on which the service is live."""
    client = await serve_all()
    await make_live(client, "/api/v1/services/credit", packed(CODE, DEFINITION))
    return client


async def answer(response: Any, status: int = 200) -> Any:
    assert response.status == status, await response.text()
    assert response.headers["X-Service-Generation"] == "v1"
    return await response.json(content_type=None)


async def pointers(response: Any) -> dict[str, str]:
    document = await answer(response, 422)
    assert document["type"] == "/problems/invalid-input"
    return {issue["pointer"]: issue["detail"] for issue in document["errors"]}


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", (9, 9), (10, 20, 30, 0)).save(file, "PNG")
    return file.getvalue()


# Rows as JSON.


async def test_rows_are_answered_in_order_with_class_and_probabilities(client):
    for body in ({"rows": [SMALL, LARGE]}, [SMALL, LARGE]):
        assert await answer(await client.post(RISK, json=body)) == {
            "service": "credit",
            "generation": "v1",
            "endpoint": "risk",
            "rows": [GOOD, BAD],
        }


async def test_json_is_read_whatever_its_type_says(client):
    body = json.dumps(SMALL).encode()
    for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        response = await client.post(RISK, data=body, headers=headers, skip_auto_headers=["Content-Type"])
        assert (await answer(response))["rows"] == [GOOD]


async def test_one_row_comes_as_an_object_a_query_or_a_form(client):
    form = aiohttp.FormData({"duration": "6", "amount": "1000"}, default_to_multipart=True)
    for response in (
        await client.post(RISK, json=SMALL),
        await client.get(RISK, params=SMALL),
        await client.post(RISK, data={"duration": "6", "amount": "1000"}),
        await client.post(RISK, data=form),
    ):
        assert (await answer(response))["rows"] == [GOOD]


async def test_no_rows_are_no_answers(client):
    assert (await answer(await client.post(RISK, json={"rows": []})))["rows"] == []


async def test_a_parameter_chooses_the_model(client):
    for response in (
        await client.post(RISK, json={"rows": [SMALL], "model": "forest"}),
        await client.post(RISK, json=SMALL | {"model": "forest"}),
        await client.post(RISK, json=[SMALL], params={"model": "forest"}),
        await client.get(RISK, params=SMALL | {"model": "forest"}),
    ):
        assert (await answer(response))["rows"] == [{"risk": "good"}]
    assert await pointers(await client.post(RISK, json={"rows": [SMALL], "model": "tree"})) == {
        "/model": "Must be one of: logistic, forest."
    }


async def test_other_arguments_of_the_function_hold_for_all_rows(client):
    response = await client.post(RISK, json={"rows": [SMALL, SMALL], "surcharge": 0.7})

    assert [row["risk"] for row in (await answer(response))["rows"]] == ["bad", "bad"]
    assert await pointers(await client.post(RISK, json={"rows": [SMALL], "surcharg": 1})) == {
        "/surcharg": "Unknown parameter. Did you mean 'surcharge'?"
    }


async def test_rows_that_are_wrong_refuse_the_request_and_are_named(client):
    rows = [SMALL, {"duration": 0, "amont": 3}, {"duration": 1, "amount": "x"}, 7]

    assert await pointers(await client.post(RISK, json={"rows": rows})) == {
        "/rows/1/amont": "Unknown input. Did you mean 'amount'?",
        "/rows/1/duration": "Must be a whole number of at least 1.",
        "/rows/1/amount": "This input is required.",
        "/rows/2/amount": "Must be a number of at least 0.",
        "/rows/3": "Must be an object of inputs by name.",
    }


async def test_rows_that_are_wrong_are_told_in_their_place_if_that_is_wanted(client):
    rows = [SMALL, {"duration": 1}, {"duration": 13, "amount": 1}, LARGE]

    told = (await answer(await client.post(RISK, json={"rows": rows, "errors": "rows"})))["rows"]

    assert (told[0], told[3]) == (GOOD, BAD)
    assert told[1]["error"]["errors"] == [{"pointer": "/amount", "detail": "This input is required."}]
    assert told[2]["error"]["type"] == "/problems/model-failure"
    assert "unlucky" not in json.dumps(told)


async def test_a_row_that_the_model_fails_with_is_its_own_fault(client):
    unlucky = {"duration": 13, "amount": 1}

    document = await answer(await client.post(RISK, json={"rows": [SMALL, unlucky, LARGE, unlucky]}), 500)

    assert document["type"] == "/problems/model-failure"
    assert [issue["pointer"] for issue in document["errors"]] == ["/rows/1", "/rows/3"]
    assert document["errors"][0]["detail"] == "Model 'credit@v1:risk:logistic' raised RuntimeError."


async def test_many_rows_are_more_than_one_call(client):
    rows = [{"duration": 1 + at % 12, "amount": at} for at in range(1700)]

    told = (await answer(await client.post(RISK, json={"rows": rows})))["rows"]

    assert [row["probabilities"]["risk"]["bad"] for row in told] == [at / 20000 for at in range(1700)]


async def test_what_cannot_be_read_is_told(client):
    for body in (b"{", b'{"rows": [{"duration": NaN}]}', b"\xff{", b"nonsense"):
        response = await client.post(RISK, data=body, headers={"Content-Type": "application/json"})
        assert (await answer(response, 400))["type"] == "/problems/malformed-body"


async def test_json_of_another_shape_is_refused(client):
    for body in (3, "x", None, {"rows": 3}, {"rows": None}, {"rows": [[1]]}, [1], True):
        await answer(await client.post(RISK, json=body), 422)


async def test_without_inputs_the_functions_own_arguments_are_what_a_row_must_have(client):
    path = ENDPOINTS + "/loose/predict"

    assert (await answer(await client.post(path, json={"rows": [{"duration": 3}]})))["rows"] == [{"product": 3.0}]
    assert await pointers(await client.post(path, json={"rows": [{"duration": "x", "amount": 1}, {"amount": 1}]})) == {
        "/rows/0/duration": "Must be an integer.",
        "/rows/1/duration": "This argument is required.",
    }


async def test_a_function_that_takes_whole_rows_gets_what_was_sent(client):
    rows = [{"b": 1, "a": "x"}, {"c": None}]

    told = await answer(await client.post(ENDPOINTS + "/table/predict", json={"rows": rows}))

    assert told["rows"] == [[["a", "x"], ["b", 1]], [["c", None]]]


# Pictures.


async def test_a_picture_comes_as_a_file_or_as_text(client):
    path = ENDPOINTS + "/picture/predict"
    form = aiohttp.FormData()
    form.add_field("image", picture(), filename="x.png", content_type="image/png")
    text = base64.b64encode(picture()).decode()
    expected = {"mean": 20.0, "shape": [4, 6, 3]}

    assert await answer(await client.post(path, data=form)) == expected
    assert await answer(await client.post(path, json={"image": f"data:image/jpg;base64,{text}"})) == expected
    unpadded = base64.b64encode(picture() + b".").decode().rstrip("=")
    assert await answer(await client.post(path, json={"image": unpadded})) == expected
    assert await answer(await client.post(path, json=[{"image": text}])) == [expected]


# Files of rows.


async def send_csv(
    client, text: str | bytes, path: str = RISK, accept: str = "*/*", kind: str = "text/csv", **query: str
):
    body = text if isinstance(text, bytes) else text.encode()
    return await client.post(path, data=body, headers={"Content-Type": kind, "Accept": accept}, params=query)


async def test_a_csv_file_is_answered_by_one_with_a_line_for_each_row(client):
    response = await send_csv(client, "id,amount,duration\n7,1000,6\n8,15000,48\n9,,3\n10,1,x\n11,1,2,3\n12,5,13\n")

    assert response.status == 200
    assert response.content_type == "text/csv"
    assert response.headers["X-Service-Generation"] == "v1"
    assert (await response.text()).splitlines() == [
        "risk,probability_bad,probability_good,error",
        "good,0.05,0.95,",
        "bad,0.75,0.25,",
        ",,,amount: This input is required.",
        ",,,duration: Must be a whole number of at least 1.",
        ',,,"This row has 4 cells, and there are 3 columns."',
        ",,,Model 'credit@v1:risk:logistic' raised RuntimeError.",
    ]


async def test_a_csv_file_is_recognised_without_its_type(client):
    for kind in ("application/x-www-form-urlencoded", "application/octet-stream", "text/plain"):
        response = await send_csv(client, "amount,duration\n1000,6\n", kind=kind)
        assert (await response.text()).splitlines()[1] == "good,0.05,0.95,"


async def test_a_csv_file_comes_in_a_form_beside_parameters(client):
    form = aiohttp.FormData({"model": "forest"})
    form.add_field("file", b"amount,duration\n1000,6\n", filename="rows.csv", content_type="application/vnd.ms-excel")

    assert (await (await client.post(RISK, data=form)).text()).splitlines()[1] == "good,,,"


async def test_latin_1_is_read_if_it_is_said(client):
    text = "straße,zahl\nmüller,3\n".encode("latin-1")
    path = ENDPOINTS + "/table/predict"
    said = await send_csv(client, text, path, kind="text/csv; charset=latin-1", accept="application/json")
    unsaid = await send_csv(client, text, path)

    assert (await answer(said))["rows"] == [[["straße", "müller"], ["zahl", 3]]]
    assert unsaid.status == 400


async def test_a_file_that_as_a_whole_is_not_right_is_refused(client):
    assert await pointers(await send_csv(client, "amount,Duration\n1,2\n")) == {
        "/duration": "There is no such column. Did you mean 'Duration'?"
    }
    assert (await send_csv(client, "")).status in (400, 422)
    assert (await send_csv(client, "amount,amount,duration\n1,2,3\n")).status == 422
    assert (await send_csv(client, "amount,duration\n1,2\n", modell="x")).status == 422
    assert (await send_csv(client, "amount,duration\n1,2\n", accept="image/png")).status == 406


async def test_a_large_file_is_answered_piece_by_piece_and_in_order(client):
    text = "amount,duration\n" + "".join(f"{'x' if at == 999 else at},6\n" for at in range(3000))
    expected = [at / 20000 for at in range(3000) if at != 999]

    lines = (await (await send_csv(client, text)).text()).splitlines()[1:]
    assert "amount: Must be a number" in lines[999]
    assert [float(line.split(",")[1]) for line in lines if line.endswith(",")] == expected

    for accept in ("application/json", "application/x-ndjson"):
        body = await (await send_csv(client, text, accept=accept)).text()
        rows = json.loads(body)["rows"] if accept == "application/json" else list(map(json.loads, body.splitlines()))
        assert "error" in rows.pop(999)
        assert [row["probabilities"]["risk"]["bad"] for row in rows] == expected


async def test_a_parquet_file_is_a_file_of_rows_too(client):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"amount": [1000.0, None], "duration": [6, 7], "id": ["a", "b"]}), file)
    headers = {"Content-Type": "application/vnd.apache.parquet"}

    rows = (await answer(await client.post(RISK, data=file.getvalue(), headers=headers)))["rows"]

    assert rows[0] == GOOD
    assert rows[1]["error"]["errors"] == [{"pointer": "/amount", "detail": "This input is required."}]
    assert (await client.post(RISK, data=b"PAR1nonsense", headers=headers)).status == 400


async def test_rows_sent_as_json_may_be_answered_as_csv(client):
    response = await client.post(RISK, json={"rows": [SMALL]}, headers={"Accept": "text/csv"})

    assert (await response.text()).splitlines()[1] == "good,0.05,0.95,"


# Functions.


async def test_a_function_gets_arguments_by_name(client):
    path = ENDPOINTS + "/explain"
    expected = {
        "service": "credit",
        "generation": "v1",
        "endpoint": "explain",
        "result": {"product": 6.0, "words": ["x"]},
    }

    assert await answer(await client.post(path, json={"a": 3, "words": ["x"]})) == expected
    assert await answer(await client.get(path, params=[("a", "3"), ("words", "x")])) == expected | {
        "result": {"product": 6.0, "words": ["x"]}
    }
    assert await answer(await client.post(path, data={"a": "3", "words": '["x"]'})) == expected
    assert (await answer(await client.post(path, json={"a": 3}, params={"b": "1"})))["result"]["product"] == 3.0


async def test_what_is_wrong_with_arguments_is_named(client):
    path = ENDPOINTS + "/explain"

    assert await pointers(await client.post(path, json={"a": "x", "c": 1})) == {
        "/a": "Must be an integer.",
        "/c": "Unknown argument.",
    }
    assert await pointers(await client.post(path)) == {"/a": "This argument is required."}
    assert await pointers(await client.post(path, json=3)) == {
        "": "Must be an object of arguments by name; there are: a, b, words."
    }


async def test_a_list_sends_many_records_to_a_function(client):
    path = ENDPOINTS + "/explain"

    assert [
        one["product"] for one in (await answer(await client.post(path, json=[{"a": 1}, {"a": 2, "b": 3}])))["result"]
    ] == [
        2.0,
        6.0,
    ]
    assert await pointers(await client.post(path, json=[{"a": 1}, {"b": 2}])) == {"/1/a": "This argument is required."}
    assert (await pointers(await client.post(path, json=[{"a": 1}, 3]))).keys() == {"/1"}


async def test_a_list_of_other_things_is_the_only_argument(client):
    assert (await answer(await client.post(ENDPOINTS + "/one", json=[1, 2, 3])))["result"] == 3


async def test_a_function_may_answer_as_it_likes(client):
    response = await client.post(ENDPOINTS + "/custom", json={"kind": "x"})

    assert (response.status, response.content_type, await response.text()) == (201, "text/html", "<b>x</b>")
    assert response.headers["X-Mine"] == "1"
    assert response.headers.getall("Set-Cookie") == ["a=1", "b=2"]
    assert response.headers["X-Service-Generation"] == "v1"


async def test_an_answer_may_be_bare(client):
    assert await answer(await client.post(ENDPOINTS + "/bare", json={"a": 1})) == {"product": 2.0, "words": []}


# Generations.


async def test_a_generation_can_be_asked_for(client):
    path = "/api/v1/services/credit/generations/{}/endpoints/risk/predict"

    assert (await answer(await client.post(path.format("v1"), json=SMALL)))["rows"] == [GOOD]
    assert (await answer(await client.post(RISK, json=SMALL, headers={"X-Generation": "v1"})))["rows"] == [GOOD]
    assert (await client.post(path.format("v2"), json=SMALL)).status == 404
    assert (await client.post(RISK, json=SMALL, headers={"X-Generation": "v2"})).status == 404


async def test_an_endpoint_that_there_is_not_is_told(client):
    assert (await answer(await client.post(ENDPOINTS + "/risks/predict", json=SMALL), 404))["type"] == (
        "/problems/endpoint-not-found"
    )


# Documents.


async def test_a_service_has_a_valid_document_of_its_own(client):
    document = await answer(await client.get("/api/v1/services/credit/openapi.json"))

    validate(document)
    paths = document["paths"]
    assert set(paths) == {
        *(f"{ENDPOINTS}/{name}/predict" for name in ("risk", "loose", "table", "picture")),
        *(f"{ENDPOINTS}/{name}" for name in ("explain", "one", "custom", "bare")),
    }
    risk = paths[RISK]["post"]
    rows = risk["requestBody"]["content"]["application/json"]["schema"]["properties"]["rows"]
    assert rows["items"]["required"] == ["duration", "amount"]
    assert rows["items"]["properties"]["duration"] == {"type": "integer", "minimum": 1}
    [chosen] = [one for one in risk["parameters"] if one["name"] == "model"]
    assert chosen["schema"]["enum"] == ["logistic", "forest"]
    assert "text/csv" in risk["responses"]["200"]["content"]
    explain = paths[f"{ENDPOINTS}/explain"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert explain["required"] == ["a"]


async def test_the_examples_of_the_document_are_answered(client):
    document = await answer(await client.get("/api/v1/services/credit/openapi.json"))

    for path in (RISK, ENDPOINTS + "/loose/predict", ENDPOINTS + "/explain", ENDPOINTS + "/picture/predict"):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        await answer(await client.post(path, json=content["application/json"]["example"]))


class Chance:
    """Makes requests up: some nearly right, some anything."""

    NAMES = ("duration", "amount", "age", "a", "b", "words", "values", "image", "rows", "model", "errors", "", "é/~")
    TEXTS = (
        "",
        "forest",
        "rows",
        "1",
        "-0",
        "NaN",
        "1e999",
        "\x00",
        "\ud800",
        "é",
        "data:image/png;base64,AAAA",
        "x" * 999,
    )
    NUMBERS = (0, 1, 13, -1, 2**53, 2**64, 0.5, 1e308, -1e-320)
    TYPES = (
        "application/json",
        "text/csv",
        "text/csv; charset=utf-16",
        "application/x-www-form-urlencoded",
        "text/plain",
    )
    ACCEPTS = ("*/*", "application/json", "text/csv", "application/x-ndjson", "image/png")

    def __init__(self, seed: int):
        self.random = random.Random(seed)

    def value(self, depth: int = 3) -> Any:
        kinds = [self.text, self.number, lambda: None, lambda: True]
        if depth:
            kinds += [lambda: self.object(depth - 1), lambda: [self.value(depth - 1) for _ in range(self.few())]] * 2
        return self.random.choice(kinds)()

    def object(self, depth: int) -> dict[str, Any]:
        return {self.random.choice(self.NAMES): self.value(depth) for _ in range(self.few())}

    def few(self) -> int:
        return self.random.randrange(4)

    def text(self) -> str:
        return self.random.choice(self.TEXTS)

    def number(self) -> float:
        return self.random.choice(self.NUMBERS)

    def table(self) -> bytes:
        cells = [*self.NAMES, *map(str, self.NUMBERS), '"', '"a\n;b"', " ", "x,y"]
        lines = (self.random.choice(",;\t").join(self.random.choices(cells, k=3)) for _ in range(self.few()))
        return (
            self.random.choice(("\ufeff", "")).encode() + self.random.choice(("\n", "\r\n", "\r")).join(lines).encode()
        )

    def body(self) -> bytes:
        anything = self.random.randbytes(self.random.randrange(30))
        return self.random.choice((json.dumps(self.value()).encode(), self.table(), anything))

    def request(self) -> dict[str, Any]:
        query = {
            self.random.choice(self.NAMES): self.text().encode("utf-8", "replace").decode() for _ in range(self.few())
        }
        headers = {"Content-Type": self.random.choice(self.TYPES), "Accept": self.random.choice(self.ACCEPTS)}
        return {"params": query, "headers": headers, "data": self.body()}


@pytest.mark.parametrize(
    "path", [RISK, ENDPOINTS + "/loose/predict", ENDPOINTS + "/explain", ENDPOINTS + "/picture/predict"]
)
async def test_whatever_is_sent_is_answered_as_the_document_says(client, path):
    document = await answer(await client.get("/api/v1/services/credit/openapi.json"))
    documented = document["paths"][path]["post"]["responses"]
    chance = Chance(seed=len(path))
    for _ in range(150):
        sent = chance.request()
        response = await client.post(path, **sent)
        told = await response.read()
        assert str(response.status) in documented, (sent, told)
        kinds = ["application/problem+json"] if response.status != 200 else documented["200"]["content"]
        assert response.content_type in kinds, (sent, told)
        if response.status == 500:
            assert json.loads(told)["type"] == "/problems/model-failure", (sent, told)


async def test_the_endpoints_are_in_the_servers_document_too(client):
    document = await (await client.get("/openapi.json")).json()

    validate(document)
    assert RISK in document["paths"]
    assert "credit (service)" in [tag["name"] for tag in document["tags"]]


async def test_the_schema_of_the_definition_is_given_to_editors(client):
    response = await client.get("/api/v1/schemas/service.json")

    assert response.content_type == "application/schema+json"
    assert await response.json(content_type=None) == grammar.SCHEMA
