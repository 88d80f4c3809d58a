"""What the predictions of services leave in the log: an entry for each row, and what their authors say of it."""

from __future__ import annotations

import pytest

from tests.services import make_live, packed

SERVICE = "/api/v1/services/credit"
RISK = f"{SERVICE}/endpoints/risk/predict"
CODE = """
    def logistic(amount: float, name: str = ""):
        if amount == 13:
            raise RuntimeError("unlucky")
        bad = min(1.0, amount / 20000)
        return {"good": 1 - bad, "bad": bad}

    def twice(amount: float):
        return 2 * amount

    def add(a: int, b: int = 2):
        return a + b
"""
DEFINITION = """
name = "credit"
[log]
log = "full"
redact = ["name"]
[endpoints.risk]
kind = "prediction"
script = "score.py:logistic"
inputs.amount = { minimum = 0 }
inputs.name = { type = "text", default = "" }
outputs.risk = { type = "categorical", classes = ["bad", "good"] }
[endpoints.twice]
kind = "prediction"
script = "score.py:twice"
inputs.amount = "number"
outputs.doubled = "number"
[endpoints.add]
kind = "function"
script = "score.py:add"
"""


@pytest.fixture
async def client(serve):
    """A server on which the service is live."""
    client = await serve("--prediction-log-max-waiting", "600")
    await make_live(client, SERVICE, packed(CODE, DEFINITION))
    return client


async def logged(client, **asked):
    entries = (await (await client.get("/api/v1/predictions", params=asked)).json())["predictions"]
    return entries[::-1]


async def test_each_row_is_an_entry(client):
    rows = [{"amount": 1000, "name": "Ada"}, {"amount": 15000}]
    answer = await client.post(RISK, json={"rows": rows})
    told = await logged(client, service="credit", generation="v1", endpoint="risk")
    assert [entry["row"] for entry in told] == [0, 1]
    assert {entry["request"] for entry in told} == {answer.headers["X-Request-ID"]}
    assert [entry["prediction"]["category"] for entry in told] == ["good", "bad"]
    assert told[1]["prediction"]["probabilities"] == {"bad": 0.75, "good": 0.25}
    assert told[0]["inputs"] == {"amount": 1000, "name": "[redacted]"}
    assert told[0]["output"] == (await answer.json())["rows"][0]


async def test_one_row_is_one_entry_without_a_number(client):
    await client.post(RISK, json={"amount": 1000})
    [entry] = await logged(client)
    assert (entry["row"], entry["status"], entry["prediction"]["category"]) == (None, 200, "good")


async def test_what_is_declared_as_a_number_is_no_class_even_if_it_is_whole(client):
    await client.post(f"{SERVICE}/endpoints/twice/predict", json={"amount": 4})
    [entry] = await logged(client)
    assert (entry["prediction"]["number"], entry["prediction"]["category"]) == (8, None)


async def test_a_row_that_is_refused_or_fails_is_an_entry_with_its_error(client):
    rows = [{"amount": 1000}, {"amount": -1}, {"amount": 13}]
    await client.post(RISK, json={"rows": rows, "errors": "rows"})
    told = sorted(await logged(client), key=lambda entry: entry["row"])
    assert [(entry["status"], entry["error"]) for entry in told] == [
        (200, None),
        (422, "InvalidInput"),
        (500, "ModelFailure"),
    ]


async def test_a_request_that_is_refused_as_a_whole_is_one_entry(client):
    assert (await client.post(RISK, json={"rows": [{"amount": -1}, {"amount": 5}]})).status == 422
    assert (await client.post(RISK, json={"amount": "x"})).status == 422
    many, one = await logged(client)
    assert (many["row"], many["status"], many["inputs"]) == (None, 422, None)
    assert (one["row"], one["status"], one["inputs"]) == (None, 422, {"amount": "x"})


async def test_every_row_of_a_file_has_its_entry_in_its_place(client):
    lines = ["amount,name", *(f"{number},n{number}" for number in range(3000))]
    answer = await client.post(RISK, data="\n".join(lines), headers={"Content-Type": "text/csv"})
    assert answer.status == 200
    await answer.read()
    seen = []
    address = "/api/v1/predictions?limit=1000"
    while address:
        page = await (await client.get(address)).json()
        seen += [(entry["row"], entry["inputs"]["amount"]) for entry in page["predictions"]]
        address = page["next"]
    assert seen == [(number, number) for number in reversed(range(3000))]


async def test_a_function_leaves_its_arguments_and_its_result(client):
    await client.get(f"{SERVICE}/endpoints/add?a=40")
    [entry] = await logged(client)
    assert (entry["endpoint"], entry["generation"]) == ("add", "v1")
    assert entry["inputs"]["a"] == 40
    assert entry["prediction"]["number"] == 42.0


async def test_a_service_has_statistics(client):
    answer = await client.post(RISK, json={"rows": [{"amount": 1000}, {"amount": 15000}]})
    label = {"request": answer.headers["X-Request-ID"], "row": 1, "label": "good"}
    await client.post("/api/v1/predictions/labels", json=[label])
    seen = await (await client.get(f"{SERVICE}/statistics")).json()
    assert seen["total"] == 2
    assert seen["generations"]["v1"]["share"] == 1.0
    assert seen["generations"]["v1"]["labels"]["classification"]["confusion"] == [[0, 0], [1, 0]]
    picture = await client.get(f"{SERVICE}/statistics/quality.svg")
    assert picture.status == 200


async def test_tests_of_a_generation_leave_no_entries(client):
    query = {"endpoint": "risk", "rows": [{"amount": 1}]}
    assert (await client.post(f"{SERVICE}/test", json={"tests": [query]})).status in (200, 422)
    assert await logged(client) == []
