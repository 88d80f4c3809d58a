"""The page of a service, and its sample code over REST: what they say, and that strangers' texts stay texts."""

from __future__ import annotations

import asyncio
import json
import re
from html import unescape

import pytest

from deepaas_core.web.samples import LANGUAGES, TOKEN
from tests.services import ZIP, packed, publish, settled

SCRIPT = "<script>alert(1)</script>"
DEFINITION = """
name = "credit"
title = "Will it be paid back?"
description = "Says it plainly."

[endpoints.score]
kind = "prediction"
help = "One row, one answer."
variants.logistic = "score.py:predict"
variants.forest = "score.py:predict"

[endpoints.score.inputs]
duration = { type = "integer", minimum = 1, maximum = 120, help = "Months." }
"Größe \\"x\\"" = { default = 1.5 }
purpose = { type = "categorical", classes = ["car", "<b>house</b>"] }
photo = { type = "image", shape = [-1, 224, 3], required = false }

[endpoints.score.outputs]
creditability = { type = "categorical", classes = ["bad", "good"] }

[endpoints.plain]
kind = "function"
script = "score.py:plain"

[[tests]]
endpoint = "score"
name = "a small credit"
rows = [{ duration = 6, purpose = "car" }]
arguments = { model = "forest" }
"""
CODE = """
def predict(row):
    return "good"

def plain(hours: float, bonus: int = 3):
    '''Points.

    Args:
        hours: Of learning.
    '''
    return hours
"""
README = f"""# About credits

{SCRIPT} [here](javascript:alert(1)) [there](https://example.org) ![photo](https://example.org/x.png)

| a | b |
|---|:-:|
| 1 | 2 |
"""


async def published(client, definition=DEFINITION, readme=README, service="credit", **query):
    files = {"README__md": readme}
    return (await publish(client, f"/api/v1/services/{service}", packed(CODE, definition, **files), **query))["version"]


async def deployed(client, service="credit", becomes="live", **shares):
    rollout = await settled(client, await client.put(f"/api/v1/services/{service}/deployment", json={"shares": shares}))
    assert rollout["state"] == becomes, rollout


async def page(client, path="/services/credit", status=200):
    response = await client.get(path, headers={"Accept": "text/html"})
    assert response.status == status
    return await response.text()


def words(html):
    """What is to be read on a page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


async def test_a_page_says_what_a_service_is_and_takes_and_answers(serve):
    client = await serve()
    await published(client, notes="The **first** one.")
    text = words(await page(client))
    for said in (
        *("Will it be paid back?", "Says it plainly.", "About credits", "One row, one answer.", "not deployed"),
        *("duration integer Months. required 1 to 120", 'Größe "x" number default 1.5', "any × 224 × 3"),
        *("one of: car, <b>house</b>", "creditability categorical one of: bad, good", "a small credit"),
        *("model chooses who answers: logistic (unless something else is said), forest", "The first one."),
    ):
        assert said in text


async def test_a_page_tells_what_a_function_takes_once_it_runs(serve):
    client = await serve()
    await deployed(client, **{await published(client): 1})
    text = words(await page(client))
    assert "hours number Of learning. required" in text
    assert "bonus integer default 3" in text
    assert "live" in text


async def test_a_page_shows_who_gets_what_part_of_the_traffic_and_another_generation_if_asked(serve):
    client = await serve()
    await published(client)
    await published(client, DEFINITION.replace("Says it plainly.", "Says it again."))
    await deployed(client, v1=0.7, v2=0.3)
    text = await page(client)
    assert "Shares of the traffic: v1 70 %, v2 30 %" in text
    assert "Says it plainly." in text
    assert "Says it again." in await page(client, "/services/credit?generation=v2")
    await page(client, "/services/credit?generation=v3", status=404)
    await page(client, "/services/debit", status=404)


async def test_a_page_says_why_the_last_rollout_failed_and_how_to_make_a_generation_live(serve):
    client = await serve()
    await published(client)
    await deployed(client, v1=1)
    await published(
        client, DEFINITION.replace('rows = [{ duration = 6, purpose = "car" }]', "rows = [{ duration = 0 }]")
    )
    await deployed(client, v2=1, becomes="failed")
    text = words(await page(client))
    assert re.search(r"The last rollout \(v2, [-0-9]+ [:0-9]+ UTC\) failed\. Generation 'v2' failed 1 of 1 test", text)
    await deployed(client, v1=1)
    text = words(await page(client))
    assert "failed" not in text
    assert "deepaas-core deploy" not in text


async def test_what_authors_write_is_shown_and_never_run(serve):
    client = await serve()
    definition = DEFINITION.replace("Says it plainly.", SCRIPT).replace("Months.", SCRIPT)
    await published(client, definition.replace("a small credit", f"'{SCRIPT}"), notes=SCRIPT)
    for path in ("/services/credit", "/"):
        text = await page(client, path)
        assert SCRIPT not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        assert not re.search(r'(href|src)="(javascript:|https://example.org/x.png)', text)
        assert " style=" not in text


async def test_a_page_is_made_of_nothing_from_elsewhere(serve):
    client = await serve("--web-base-path", "/ml")
    response = await client.post(
        "/ml/api/v1/services/credit/generations",
        data=packed(CODE, DEFINITION),
        headers=ZIP,
    )
    assert response.status == 201
    answer = await client.get("/ml/services/credit")
    assert "script-src 'self'; style-src 'self'; connect-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    text = await answer.text()
    for address in re.findall(r'<(?:script|link)[^>]+(?:src|href)="\.\./([^"]+)"', text):
        assert (await client.get(f"/ml/{address}")).status == 200
    assert len(re.findall(r"<script", text)) == len(re.findall(r'<script src="\.\./docs/\w+\.js" defer>', text))


async def test_a_page_says_what_is_done_by_itself_and_what_came_of_it(serve):
    client = await serve()
    automation = '\n[automations.renew]\nschedule = "0 3 1 * *"\npublish = "new-${date}"\ndeploy = 0.3\n'
    await deployed(client, **{await published(client, DEFINITION + automation): 1})
    said = r"renew 0 3 1 \* \* next \d{4}-\d\d-01 03:00 UTC last %s publish new-\$\{date\}%s deploy 30 %%"
    assert re.search(said % ("never", ""), words(await page(client)))
    assert (await client.post("/api/v1/services/credit/automations/renew/run")).status == 202
    assert re.search(said % (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC ·", " ·"), words(await page(client)))


async def test_the_landing_page_leads_to_the_services(serve):
    client = await serve()
    await deployed(client, **{await published(client): 1})
    text = await page(client, "/")
    assert '<a href="services/credit">' in text
    assert '<a href="statistics/credit">Statistics</a>' in text
    assert "1 service published here." in text
    assert "No models yet" not in text


async def samples(client, status=200, path="/api/v1/services/credit/samples", **query):
    response = await client.get(path, params=query)
    assert response.status == status, await response.text()
    return await (response.text() if response.content_type == "text/plain" else response.json())


async def test_samples_are_made_of_the_test_queries(serve):
    client = await serve()
    await published(client)
    document = await samples(client)
    assert (document["service"], document["generation"], document["endpoint"]) == ("credit", "v1", "score")
    assert list(document["samples"]) == list(LANGUAGES)
    for text in document["samples"].values():
        assert f"http://127.0.0.1:{client.port}/api/v1/services/credit/endpoints/score/predict" in text
        assert "forest" in text
    assert document["endpoints"] == ["score", "plain"]


async def test_samples_are_made_of_the_inputs_where_there_is_no_test_query(serve):
    client = await serve()
    await published(client, DEFINITION.partition("[[tests]]")[0])
    text = await samples(client, language="curl")
    assert json.loads(re.search(r"-d '(.*)'", text, re.DOTALL)[1]) == {"rows": [{"duration": 1, "purpose": "car"}]}


async def test_samples_of_a_function_are_made_of_its_arguments(serve):
    client = await serve()
    await deployed(client, **{await published(client): 1})
    text = await samples(client, language="python", endpoint="plain")
    assert 'body = {"hours": 1, "bonus": 3}' in text
    assert '["result"]' in text


async def test_samples_show_a_token_where_one_is_asked_for(serve):
    client = await serve("--access-tokens", "on", "--access-default", "tokens")
    _, token = await client.gatekeeper.create("me", ["admin"], client.gatekeeper.anybody)
    client.session.headers["Authorization"] = f"Bearer {token}"
    await published(client)
    document = await samples(client)
    for text in document["samples"].values():
        assert f"Bearer {TOKEN}" in text
        assert token not in text
    assert f"in place of <code>{TOKEN}</code>" in await page(client)


async def test_samples_name_the_address_that_the_caller_knows(serve):
    client = await serve()
    await published(client)
    text = await samples(client, language="curl", server="https://ml.example.org/below/")
    assert "curl -X POST 'https://ml.example.org/below/api/v1/services/credit/" in text


@pytest.mark.parametrize(
    "query, pointer",
    [
        ({"language": "cobol"}, "/language"),
        ({"endpoint": "other"}, "/endpoint"),
        ({"server": "ftp://x"}, "/server"),
        ({"server": "https://x/'; rm -rf"}, "/server"),
        ({"server": "https://[x"}, "/server"),
    ],
)
async def test_what_cannot_be_asked_of_samples_is_named(serve, query, pointer):
    client = await serve()
    await published(client)
    document = await samples(client, 422, **query)
    assert [error["pointer"] for error in document["errors"]] == [pointer]


async def test_a_request_that_nobody_could_read_has_no_samples(serve):
    client = await serve()
    definition = DEFINITION.partition("[endpoints.plain]")[0].replace(
        'photo = { type = "image", shape = [-1, 224, 3], required = false }',
        'pixels = { type = "array", shape = [224, 224, 3] }',
    )
    await published(client, definition)
    assert (await samples(client, 404))["type"] == "/problems/sample-not-found"
    assert "too long to be written down" in await page(client)


async def test_models_have_samples_too(serve):
    client = await serve(echo="def predict_data(data, times: int = 2):\n    return data\n")
    document = await samples(client, path="/api/v1/models/echo/samples")
    assert document["function"] == "predict_data"
    assert '"times": 2' in document["samples"]["python"]
    assert f"http://127.0.0.1:{client.port}/api/v1/models/echo/predict/data" in document["samples"]["r"]


async def test_a_model_has_a_page_with_its_samples(serve):
    echo = "def predict_data(data, times: int = 2):\n    return data\n"
    client = await serve(echo=echo, broken="raise RuntimeError('no weights')")
    assert '<a href="models/echo">Sample code</a>' in await page(client, "/")
    assert '<a href="statistics/echo">Statistics</a>' in await page(client, "/")
    text = await page(client, "/models/echo")
    assert '<a href="../statistics/echo">Statistics</a>' in text
    assert "/api/v1/models/echo/predict/data" in text
    assert "java Sample.java" in text
    assert "no weights" in await page(client, "/models/broken")
    await page(client, "/models/other", status=404)


DATA = """
name = "cards"

[datasets.cards]
file = "cards.csv"

[endpoints.card]
kind = "lookup"

[[endpoints.card.enrichments]]
dataset = "cards"
keys = ["card_id"]
columns = ["score", "age"]
"""


async def test_a_lookup_says_by_what_it_searches_and_what_it_fetches(serve):
    client = await serve()
    archive = packed(CODE, DATA, cards__csv="card_id,score,age\nC1,700,3\n")
    made = await client.post("/api/v1/services/cards/generations", data=archive, headers=ZIP)
    assert made.status == 201, await made.text()
    text = words(await page(client, "/services/cards"))
    assert "card_id text By which cards is searched. required" in text
    assert "score fetched from cards by card_id" in text
    found = await samples(client, path="/api/v1/services/cards/samples", language="python")
    assert 'body = {"rows": [{"card_id": "text"}]}' in found


async def test_measured_latency_is_told_from_calls_and_better_from_the_log(serve):
    client = await serve("--prediction-log-log", "sampled", "--prediction-log-sample", "0")
    await deployed(client, **{await published(client): 1})
    address = "/api/v1/services/credit/endpoints/plain"
    assert (await client.post(address, json={"hours": 1})).status == 200
    assert "Calls since the start: 1, computed in" in await page(client)
    for _ in range(20):
        await client.post(address, json={"hours": 1})
    assert "Half of the 21 calls since the start were computed within" in await page(client)


async def test_latency_is_told_from_the_prediction_log_where_there_is_one(serve):
    client = await serve("--prediction-log-log", "full")
    await deployed(client, **{await published(client): 1})
    await client.post("/api/v1/services/credit/endpoints/plain", json={"hours": 1})
    async with asyncio.timeout(10):
        while "Logged in the last 7 days: 1, 0.00% of them errors." not in await page(client):
            await asyncio.sleep(0.05)
