"""The prediction log: what answered requests leave in it, and what can be asked of it."""

import csv
import html
import io
import json
import re

import pyarrow.parquet
import pytest

LOG = "/api/v1/predictions"
MODEL = """
    def predict_data(data, scale: float = 1.0):
        if data == "fail":
            raise ValueError("no")
        return {"prediction": "good" if data["age"] > 30 else "bad", "probabilities": {"good": 0.5, "bad": 0.5}}

    def get_predict_args():
        return {"scale": {"default": "1.0"}}
"""
DOUBLE = "def predict_data(data):\n    return data * 2"
ANYTHING = "def predict(name: str, iban: str = ''):\n    return [len(name)]"


async def predict(client, data, model="churn", **headers):
    response = await client.post(f"/api/v1/models/{model}/predict/data", json={"data": data}, headers=headers)
    await response.read()
    return response


async def logged(client, **asked):
    response = await client.get(LOG, params=asked)
    assert response.status == 200, await response.text()
    return (await response.json())["predictions"]


async def test_a_prediction_leaves_an_entry(serve):
    client = await serve("--prediction-log-log", "full", churn=MODEL)
    answer = await predict(client, {"age": 40}, **{"X-Context": '{"customer": 7}'})
    [entry] = await logged(client)
    assert entry["request"] == answer.headers["X-Request-ID"]
    assert (entry["service"], entry["endpoint"], entry["generation"]) == ("churn", "predict_data", "1.0")
    assert (entry["status"], entry["error"], entry["token"], entry["row"]) == (200, None, None, None)
    assert entry["inputs"] == {"data": {"age": 40}, "scale": 1.0}
    assert entry["output"] == (await answer.json())["prediction"]
    assert entry["context"] == {"customer": 7}
    assert entry["prediction"]["category"] == "good"
    assert 0 < entry["duration_s"] < 60
    assert entry["at"].endswith("Z")


async def test_nothing_is_logged_unless_it_is_asked_for(serve):
    client = await serve(churn=MODEL)
    await predict(client, {"age": 40})
    assert await logged(client) == []


async def test_the_express_lane_leaves_entries_too(serve):
    client = await serve("--prediction-log-log", "full", double=DOUBLE)
    answers = [await predict(client, number, "double") for number in range(20)]
    found = await logged(client, model="double")
    assert [entry["request"] for entry in found] == [answer.headers["X-Request-ID"] for answer in reversed(answers)]
    assert [entry["prediction"]["number"] for entry in reversed(found)] == [2.0 * number for number in range(20)]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ('{"data": "fail"}', 500, "ModelFailure"),
        ("{", 400, "MalformedBody"),
        ('{"data": 1, "scale": "x"}', 422, "InvalidInput"),
    ],
)
async def test_errors_are_logged_as_such(serve, body, status, error):
    client = await serve("--prediction-log-log", "full", churn=MODEL)
    headers = {"Content-Type": "application/json"}
    answer = await client.post("/api/v1/models/churn/predict/data", data=body, headers=headers)
    assert answer.status == status
    [entry] = await logged(client, status=str(status))
    assert (entry["status"], entry["error"], entry["output"]) == (status, error, None)
    assert await logged(client, status="2xx") == []


async def test_what_is_not_there_leaves_no_entry(serve):
    client = await serve("--prediction-log-log", "full", churn=MODEL)
    assert (await predict(client, 1, "other")).status == 404
    assert await logged(client) == []


async def test_clients_of_deepaas_leave_entries(serve):
    client = await serve("--prediction-log-log", "full", lengths=ANYTHING)
    assert (await client.post("/v2/models/lengths/predict/?name=Ada")).status == 200
    [entry] = await logged(client)
    assert (entry["endpoint"], entry["inputs"]) == ("predict", {"name": "Ada", "iban": ""})
    assert entry["prediction"]["number"] == 3.0


async def test_redacted_names_are_nowhere_in_the_log(serve):
    client = await serve("--prediction-log-log", "full", "--prediction-log-redact", "IBAN", lengths=ANYTHING)
    await client.post("/api/v1/models/lengths/predict", json={"name": "Ada", "iban": "DE123456"})
    [entry] = await logged(client)
    assert entry["inputs"] == {"name": "Ada", "iban": "[redacted]"}
    assert "DE123456" not in json.dumps(entry)


async def test_a_durable_answer_comes_with_its_entry(serve):
    client = await serve(
        "--prediction-log-log",
        "full",
        "--prediction-log-durable",
        "--prediction-log-write-every-ms",
        "60000",
        double=DOUBLE,
    )
    assert (await predict(client, 2, "double")).status == 200
    assert len(await logged(client)) == 1


async def test_pages_lead_from_one_to_the_next(serve):
    client = await serve("--prediction-log-log", "full", double=DOUBLE)
    for number in range(5):
        await predict(client, number, "double")
    numbers, address = [], f"{LOG}?limit=2"
    while address:
        page = await (await client.get(address)).json()
        numbers.append([entry["inputs"]["data"] for entry in page["predictions"]])
        address = page["next"]
    assert numbers == [[4, 3], [2, 1], [0]]


async def test_entries_can_be_had_as_files(serve):
    client = await serve("--prediction-log-log", "full", churn=MODEL)
    for age in (20, 40):
        await predict(client, {"age": age})
    table = await client.get(LOG, params={"format": "csv"})
    assert table.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(await table.text())))
    assert [row["category"] for row in rows] == ["good", "bad"]
    assert json.loads(rows[0]["inputs"]) == {"data": {"age": 40}, "scale": 1.0}
    lines = await client.get(LOG, headers={"Accept": "application/x-ndjson"}, params={"limit": "1"})
    [line] = (await lines.text()).splitlines()
    assert json.loads(line)["prediction"]["category"] == "good"
    parquet = await client.get(LOG, headers={"Accept": "application/vnd.apache.parquet"})
    read = pyarrow.parquet.read_table(io.BytesIO(await parquet.read())).to_pylist()
    assert [row["category"] for row in read] == ["good", "bad"]
    assert json.loads(read[0]["probabilities"]) == {"good": 0.5, "bad": 0.5}
    assert list(client.scratch.iterdir()) == []
    assert (await client.get(LOG, headers={"Accept": "image/png"})).status == 406


@pytest.mark.parametrize(
    "asked",
    ["status=abc", "status=900", "since=yesterday", "limit=0", "before=1", "before=zz", "format=xml", "service=%00"],
)
async def test_what_cannot_be_asked_is_said(serve, asked):
    client = await serve(churn=MODEL)
    response = await client.get(f"{LOG}?{asked}")
    assert response.status == 422
    [issue] = (await response.json())["errors"]
    assert issue["pointer"] == "/" + asked.partition("=")[0]


async def test_labels_make_quality(serve):
    client = await serve("--prediction-log-log", "full", churn=MODEL)
    answers = [await predict(client, {"age": age}) for age in (20, 40, 50)]
    requests = [answer.headers["X-Request-ID"] for answer in answers]
    labels = [{"request": request, "label": "good"} for request in [*requests, "none"]]
    told = await (await client.post(f"{LOG}/labels", json=labels)).json()
    assert told == {"labelled": 3, "unknown": 1, "unknown_requests": [{"request": "none", "row": None}]}
    seen = await (await client.get("/api/v1/models/churn/statistics")).json()
    told = seen["labels"]["classification"]
    assert told["accuracy"] == pytest.approx(2 / 3)
    assert told["classes"] == ["bad", "good"]
    assert told["confusion"] == [[0, 0], [1, 2]]
    assert seen["generations"]["1.0"]["labels"]["classification"]["count"] == 3
    assert {entry["label"] for entry in await logged(client, labelled="true")} == {"good"}


@pytest.mark.parametrize(
    ("labels", "pointer"),
    [
        ({"request": "r"}, ""),
        ([{"request": "r"}], "/0"),
        ([{"request": "r", "label": 1, "more": 2}], "/0"),
        ([{"request": 5, "label": 1}], "/0/request"),
        ([{"request": "r", "label": [1]}], "/0/label"),
        ([{"request": "r", "label": 1}, {"request": "r", "label": 1, "row": -1}], "/1/row"),
    ],
)
async def test_labels_that_are_none_are_refused(serve, labels, pointer):
    client = await serve(churn=MODEL)
    response = await client.post(f"{LOG}/labels", json=labels)
    assert response.status == 422
    assert (await response.json())["errors"][0]["pointer"] == pointer


async def test_statistics_come_in_numbers_and_pictures(serve):
    client = await serve("--prediction-log-log", "full", churn=MODEL)
    for data in ({"age": 20}, {"age": 40}, {"age": 50}, "fail"):
        await predict(client, data)
    address = "/api/v1/models/churn/statistics"
    seen = await (await client.get(address)).json()
    assert (seen["total"], seen["errors"], seen["error_rate"]) == (4, 1, 0.25)
    assert seen["statuses"] == {"200": 3, "500": 1}
    assert seen["generations"]["1.0"]["share"] == 1.0
    assert seen["latency_s"]["count"] == 3
    assert {name: one["total"] for name, one in seen["predictions"]["classes"].items()} == {"good": 2, "bad": 1}
    assert sum(point["total"] for point in seen["timeline"]["points"]) == 4
    assert (await (await client.get(address, params={"status": "5xx"})).json())["total"] == 1
    for name in ("traffic", "statuses", "latency", "generations", "predictions", "quality"):
        picture = await client.get(f"{address}/{name}.svg")
        assert picture.headers["Content-Type"] == "image/svg+xml; charset=utf-8"
        assert (await picture.text()).startswith("<svg")
    assert (await client.get(f"{address}/nothing.svg")).status == 404
    assert (await client.get("/api/v1/models/other/statistics")).status == 404
    assert (await client.get("/api/v1/services/other/statistics")).status == 404


async def test_a_class_cannot_break_a_picture(serve):
    client = await serve("--prediction-log-log", "full", echo="def predict_data(data):\n    return data")
    await predict(client, '"><script>alert(1)</script>', "echo")
    picture = await (await client.get("/api/v1/models/echo/statistics/predictions.svg")).text()
    assert "<script" not in picture


async def test_who_may_not_read_a_model_sees_none_of_its_entries(serve):
    client = await serve("--prediction-log-log", "full", churn=MODEL, double=DOUBLE)
    made = {}
    for name, rights, names in (
        ("all", ["admin"], None),
        ("reader", ["read"], ["double"]),
        ("caller", ["predict"], ["double"]),
    ):
        headers = {"Authorization": f"Bearer {made['all']}"} if made else {}
        asked = {"label": name, "rights": rights, "names": names}
        response = await client.post("/api/v1/tokens", json=asked, headers=headers)
        made[name] = (await response.json())["token"]
    shown = {name: {"Authorization": f"Bearer {text}"} for name, text in made.items()}
    await predict(client, {"age": 40}, **shown["all"])
    answer = await predict(client, 2, "double", **shown["caller"])
    [entry] = (await (await client.get(LOG, headers=shown["reader"])).json())["predictions"]
    assert entry["service"] == "double"
    assert entry["token"] in {token["id"] for token in await tokens(client, shown["all"])}
    everything = await (await client.get(LOG, headers=shown["all"])).json()
    assert len(everything["predictions"]) == 2
    assert made["caller"] not in json.dumps(everything)
    for asked in ("?service=churn", "?model=churn"):
        assert (await client.get(LOG + asked, headers=shown["reader"])).status == 403
    assert (await client.get(LOG, headers=shown["caller"])).status == 403
    assert (await client.get(LOG)).status == 401
    assert (await client.get("/api/v1/models/double/statistics", headers=shown["caller"])).status == 403
    label = [{"request": answer.headers["X-Request-ID"], "label": 4}]
    assert (await client.post(f"{LOG}/labels", json=label, headers=shown["reader"])).status == 403
    told = await client.post(f"{LOG}/labels", json=label, headers=shown["caller"])
    assert (await told.json())["labelled"] == 1


async def tokens(client, headers):
    return (await (await client.get("/api/v1/tokens", headers=headers)).json())["tokens"]


async def test_there_is_a_page_for_people(serve):
    client = await serve("--prediction-log-log", "full", churn=MODEL)
    empty = await (await client.get("/statistics/churn")).text()
    assert "Nothing has been logged" in empty
    await predict(client, {"age": 40})
    response = await client.get("/statistics/churn", params={"generation": '1.0"><b>', "since": "2020-01-01"})
    assert "Nothing has been logged" in await response.text()
    response = await client.get("/statistics/churn?since=2020-01-01")
    page = await response.text()
    assert "1 prediction," in page
    assert "<script" not in page
    assert "form-action 'self'" in response.headers["Content-Security-Policy"]
    for address in re.findall(r'src="\.\./(api[^"]+)"', page):
        assert (await client.get("/" + html.unescape(address))).status == 200
    assert (await client.get("/statistics/other")).status == 404
    assert (await client.get("/statistics/churn?until=soon")).status == 422
