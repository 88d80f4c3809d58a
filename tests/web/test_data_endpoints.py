"""Enrichments, lookups and queries of a service, over REST."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import pytest_asyncio

from tests.services import ZIP, packed, settled

SERVICE = "/api/v1/services/fraud"
ENDPOINTS = SERVICE + "/endpoints"
CARDS = """\
card_id,card_fico_score,card_age,code
C1,700,3.5,007
C2,500,,008
C3,600,1,009
C3,601,1,009
C4,,1,010
"""
CODE = """
def predict(amount: float, card_fico_score: int, country: str = ""):
    return {"fraud": amount / card_fico_score, "country": country}

def loose(rows):
    return [{"seen": sorted(row)} for row in rows]
"""
DATASETS = """
name = "fraud"

[datasets.cards]
file = "cards.csv"

[datasets.merchants]
connection = "warehouse"
table = "merchants"

"""
DATA = (
    DATASETS
    + """
[endpoints.cards]
kind = "lookup"

[[endpoints.cards.enrichments]]
dataset = "cards"
keys = ["card_id"]
columns = { score = "card_fico_score", age = "card_age", code = "code" }
on_missing_key = "ignore"

[endpoints.payments]
kind = "sql"
connection = "warehouse"
query = "SELECT id, country FROM merchants WHERE country = :country ORDER BY id"
parameters = { country = "text" }
max_rows = 2

[endpoints.records]
kind = "sql"
connection = "warehouse"
query = "SELECT id, country FROM merchants WHERE id >= ? ORDER BY id"
parameters = { low = { type = "integer", default = 2 } }
records = true
bare = true

[endpoints.writes]
kind = "sql"
connection = "warehouse"
query = "DELETE FROM merchants"

[[tests]]
endpoint = "cards"
rows = [{ card_id = "C1" }]
expected = [{ score = 700 }]

[[tests]]
endpoint = "records"
arguments = { low = 4 }
expected = [{ id = 4, country = "IT" }]
"""
)
PREDICTIONS = (
    DATASETS
    + """
[endpoints.fraud]
kind = "prediction"
script = "score.py:predict"

[[endpoints.fraud.enrichments]]
dataset = "cards"
keys = ["card_id"]
columns = ["card_fico_score"]
on_no_match = "ignore"

[endpoints.declared]
kind = "prediction"
script = "score.py:predict"
inputs = { amount = "number", card_fico_score = "integer", country = { type = "text", default = "" } }
outputs = { fraud = "number", country = "text" }

[[endpoints.declared.enrichments]]
dataset = "cards"
keys = { card = "card_id" }
columns = ["card_fico_score"]
return_enriched = true

[[endpoints.declared.enrichments]]
dataset = "merchants"
keys = { merchant = "id" }
columns = ["country"]
on_missing_key = "ignore"
on_no_match = "ignore"
return_enriched = true

[endpoints.loose]
kind = "prediction"
script = "score.py:loose"

[[endpoints.loose.enrichments]]
dataset = "cards"
keys = ["card_id"]
columns = { score = "card_fico_score" }

[[tests]]
endpoint = "declared"
rows = [{ amount = 7, card = "C1", merchant = 1 }]
expected = [{ fraud = 0.01 }]

"""
)


async def try_to_publish(client, definition: str = DATA, cards: str = CARDS):
    data = packed(CODE, definition, cards__csv=cards)
    return await client.post(f"{SERVICE}/generations", data=data, headers=ZIP)


async def published(client, *given, **more) -> str:
    answer = await try_to_publish(client, *given, **more)
    assert answer.status == 201, await answer.text()
    return (await answer.json())["version"]


async def deploy(client, version: str = "v1") -> dict:
    return await settled(client, await client.put(f"{SERVICE}/deployment", json={"version": version}))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(serve_all, tmp_path_factory):
    """A server on which the lookups and queries are live."""
    return await started(serve_all, tmp_path_factory.mktemp("data"), DATA)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def predicting(serve_all, tmp_path_factory):
    """A server on which the predictions are live."""
    return await started(serve_all, tmp_path_factory.mktemp("predicting"), PREDICTIONS)


async def started(serve, tmp_path, definition: str):
    """A server on which the service is live, with a warehouse."""
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as warehouse, warehouse:
        warehouse.execute("CREATE TABLE merchants (id integer, country text)")
        warehouse.executemany("INSERT INTO merchants VALUES (?, ?)", [(1, "IT"), (2, "FR"), (3, "FR"), (4, "IT")])
        warehouse.execute("INSERT INTO merchants VALUES (5, 'IT')")
        warehouse.execute("DELETE FROM merchants WHERE id = 5")
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[connection.warehouse]\nurl = "sqlite+aiosqlite:///{tmp_path}/warehouse.db"\n')
    client = await serve("--config", str(settings))
    rollout = await deploy(client, await published(client, definition))
    assert rollout["state"] == "live", str(rollout)
    return client


async def ask(client, endpoint: str, body, status: int = 200):
    answer = await client.post(f"{ENDPOINTS}/{endpoint}", json=body)
    assert answer.status == status, await answer.text()
    return await answer.json()


# Enrichment.


async def test_rows_are_enriched_before_the_model_sees_them(predicting):
    client = predicting
    answer = await ask(client, "fraud/predict", {"rows": [{"amount": 7, "card_id": "C1"}]})
    assert answer["rows"] == [{"fraud": 0.01, "country": ""}]
    answer = await ask(client, "declared/predict", {"rows": [{"amount": 5, "card": "C2", "merchant": 2}]})
    enriched = {"card_fico_score": 500, "country": "FR"}
    assert answer["rows"] == [{"fraud": 0.01, "country": "FR", "enriched": enriched}]
    answer = await client.get(f"{ENDPOINTS}/declared/predict?amount=7&card=C1&merchant=4")
    assert (await answer.json())["rows"][0]["country"] == "IT"
    answer = await ask(client, "loose/predict", {"rows": [{"card_id": "C1", "x": 1}]})
    assert answer["rows"] == [{"seen": ["card_id", "score", "x"]}]
    rows = [{"amount": 7, "card": "C1", "merchant": 1, "card_fico_score": 1}]  # a caller cannot say what is fetched
    assert (await ask(client, "declared/predict", {"rows": rows}))["rows"][0]["fraud"] == 0.01


async def test_a_row_that_cannot_be_enriched_is_ignored_or_an_error_that_names_its_key(predicting):
    client = predicting
    rows = [{"amount": 7, "card_id": "C9"}, {"amount": 5, "card_id": "C2"}]
    answer = await ask(client, "fraud/predict", {"rows": rows})
    assert answer["rows"] == [{"ignored": True, "ignored_reason": "no_match"}, {"fraud": 0.01, "country": ""}]
    problem = await ask(client, "fraud/predict", {"rows": [{"amount": 7, "card_id": "C1"}, {"amount": 7}]}, 422)
    assert problem["errors"] == [{"pointer": "/rows/1/card_id", "detail": "This key is required."}]
    problem = await ask(client, "fraud/predict", {"amount": 7, "card_id": 1.5}, 422)
    assert problem["errors"] == [{"pointer": "/card_id", "detail": "Must be text."}]
    problem = await ask(client, "fraud/predict", {"rows": [{"amount": 7, "card_id": "C3"}]}, 409)
    assert problem["type"] == "/problems/several-matches"
    problem = await ask(client, "declared/predict", {"amount": 5, "card": "C1", "merchant": 2, "cart": 1}, 422)
    assert [error["pointer"] for error in problem["errors"]] == ["/cart"]
    rows = [*({"amount": 7, "card_id": key} for key in ("C3", "C1", "C9", None)), 5]
    answer = await ask(client, "fraud/predict?errors=rows", {"rows": rows})
    assert [next(iter(row)) for row in answer["rows"]] == ["error", "fraud", "ignored", "error", "error"]
    assert [row["error"]["status"] for row in answer["rows"] if "error" in row] == [409, 422, 422]


async def test_of_what_is_fetched_and_does_not_fit_it_is_said_where_it_comes_from(predicting):
    said = "This input is required. It is fetched from dataset 'cards'."
    problem = await ask(predicting, "declared/predict", {"amount": 7, "card": "C4", "merchant": 1}, status=422)
    assert problem["errors"] == [{"pointer": "/card_fico_score", "detail": said}]
    answer = await predicting.post(
        f"{ENDPOINTS}/declared/predict", data="amount,card,merchant\n7,C4,1\n", headers={"Content-Type": "text/csv"}
    )
    assert said in await answer.text()


async def test_many_rows_and_files_of_rows_are_enriched_in_order(predicting):
    client = predicting
    rows = [{"amount": at, "card_id": f"C{1 + at % 2}"} for at in range(3000)]
    answer = await ask(client, "fraud/predict", {"rows": rows})
    assert [row["fraud"] for row in answer["rows"]] == [at / (500 if at % 2 else 700) for at in range(3000)]
    text = "merchant,amount,card\n1,7,C1\n9,7,C1\n2,5,C2\n2,5,C9\n,5,C2\n"
    answer = await client.post(f"{ENDPOINTS}/declared/predict", data=text, headers={"Content-Type": "text/csv"})
    assert (await answer.text()).splitlines() == [
        "fraud,country,error",
        "0.01,IT,",
        ",,",
        "0.01,FR,",
        ",,card: No row of dataset 'cards' has this key.",
        ",,",
    ]


# Lookups.


async def test_a_lookup_answers_rows_with_their_types(client):
    answer = await ask(client, "cards/lookup", {"rows": [{"card_id": "C2"}, {"card_id": "C1"}, {"card_id": None}]})
    assert answer == {
        "service": "fraud",
        "generation": "v1",
        "endpoint": "cards",
        "rows": [
            {"score": 500, "age": None, "code": "008"},
            {"score": 700, "age": 3.5, "code": "007"},
            {"ignored": True, "ignored_reason": "key_missing"},
        ],
    }


async def test_a_lookup_takes_one_key_alone_a_list_and_the_query_of_the_url(client):
    found = {"score": 700, "age": 3.5, "code": "007"}
    assert (await ask(client, "cards/lookup", {"card_id": "C1"}))["rows"] == [found]
    assert (await ask(client, "cards", [{"card_id": "C1"}]))["rows"] == [found]
    assert (await (await client.get(f"{ENDPOINTS}/cards/lookup?card_id=C1")).json())["rows"] == [found]


@pytest.mark.parametrize(
    "body, pointer",
    [
        ({"rows": [{"card_id": "C1"}, {"card_id": "C9"}]}, "/rows/1/card_id"),
        ({"rows": [{"card": "C1"}]}, "/rows/0/card"),
        ({"card_id": "C9"}, "/card_id"),
        ({"rows": [5]}, "/rows/0"),
        ({"rows": [], "limit": 5}, "/limit"),
        (5, ""),
    ],
)
async def test_a_lookup_names_what_is_wrong(client, body, pointer):
    assert [error["pointer"] for error in (await ask(client, "cards/lookup", body, 422))["errors"]] == [pointer]


async def test_a_lookup_can_tell_errors_row_by_row_and_be_csv(client):
    rows = [{"card_id": "C9"}, {"card_id": "C1"}]
    answer = await ask(client, "cards/lookup?errors=rows", {"rows": rows})
    assert answer["rows"][0]["error"]["status"] == 422
    answer = await client.post(f"{ENDPOINTS}/cards/lookup", json=rows[1:], headers={"Accept": "text/csv"})
    assert (await answer.text()) == "score,age,code,error\n700,3.5,007,\n"


# Queries.


async def test_a_query_answers_columns_and_rows(client):
    assert await ask(client, "payments/query", {"country": "FR"}) == {
        "service": "fraud",
        "generation": "v1",
        "endpoint": "payments",
        "columns": ["id", "country"],
        "rows": [[2, "FR"], [3, "FR"]],
    }


async def test_a_query_takes_its_parameters_from_the_url_or_a_form(client):
    answer = await client.get(f"{ENDPOINTS}/payments?country=IT")
    assert (await answer.json())["rows"] == [[1, "IT"], [4, "IT"]]
    answer = await client.post(f"{ENDPOINTS}/payments/query", data={"country": "FR"})
    assert (await answer.json())["rows"] == [[2, "FR"], [3, "FR"]]


async def test_rows_can_be_objects_without_an_envelope(client):
    answer = await client.post(f"{ENDPOINTS}/records/query")
    records = [{"id": 2, "country": "FR"}, {"id": 3, "country": "FR"}]
    assert await answer.json() == {"columns": ["id", "country"], "rows": [*records, {"id": 4, "country": "IT"}]}
    assert answer.headers["X-Service-Generation"] == "v1"


@pytest.mark.parametrize(
    "body, pointer", [({}, "/country"), ({"country": 5}, "/country"), ({"country": "FR", "x": 1}, "/x"), ([1], "")]
)
async def test_a_query_names_what_is_wrong_with_its_parameters(client, body, pointer):
    assert [error["pointer"] for error in (await ask(client, "payments/query", body, 422))["errors"]] == [pointer]


async def test_a_query_that_may_only_read_changes_nothing(client):
    problem = await ask(client, "writes/query", {}, 500)
    assert problem["type"] == "/problems/query-failed"
    assert "may only read" in problem["detail"]
    assert (await ask(client, "payments/query", {"country": "FR"}))["rows"]


# Publishing.


async def test_a_file_that_cannot_be_used_is_told_when_it_is_published(client):
    answer = await try_to_publish(client, cards="card_id,score\nC1\n")
    assert answer.status == 422
    problem = await answer.json()
    assert problem["type"] == "/problems/dataset-unusable"
    assert "cards.csv, line 2" in problem["detail"]


async def test_a_column_that_is_missing_is_told_when_it_is_published(client):
    answer = await try_to_publish(client, DATA.replace('"card_age"', '"card_years"'))
    assert "no column 'card_years'" in (await answer.json())["detail"]


async def test_what_cannot_become_an_input_is_told_when_it_is_published(predicting):
    answer = await try_to_publish(predicting, PREDICTIONS, cards=CARDS.replace("700", "high"))
    assert answer.status == 422
    assert "'card_fico_score' holds text, but is the input 'card_fico_score'" in (await answer.json())["detail"]


@pytest.mark.parametrize(
    "change, reason",
    [
        (('table = "merchants"', 'table = "shops"'), "has no table 'shops'"),
        (('"country"', '"county"'), "no column 'county'; there are: id, country."),
    ],
)
async def test_a_table_that_is_not_there_keeps_a_generation_from_going_live(predicting, change, reason):
    rollout = await deploy(predicting, await published(predicting, PREDICTIONS.replace(*change)))
    assert rollout["state"] == "failed"
    assert reason in rollout["reason"]


async def test_a_connection_that_the_server_does_not_have_keeps_a_generation_from_going_live(client):
    rollout = await deploy(client, await published(client, DATA.replace('"warehouse"', '"nowhere"')))
    assert rollout["state"] == "failed"
    assert "no connection 'nowhere'" in rollout["reason"]
    assert (await ask(client, "cards/lookup", {"card_id": "C1"}))["generation"] == "v1"


async def test_a_generation_looks_into_its_own_data(client):
    version = await published(client, cards=CARDS.replace("700", "1400").replace("C1", "C8"))
    new = await client.post(f"{SERVICE}/generations/{version}/endpoints/cards/lookup", json={"card_id": "C8"})
    assert (await new.json())["rows"][0]["score"] == 1400
    assert (await ask(client, "cards/lookup", {"card_id": "C1"}))["rows"][0]["score"] == 700


# What is said of them.


async def test_the_services_own_document_describes_lookups_and_queries(client):
    answer = await client.get(f"{SERVICE}/openapi.json")
    assert answer.status == 200, await answer.text()
    paths = (await answer.json())["paths"]
    assert paths[f"{ENDPOINTS}/cards/lookup"]["post"]
    assert paths[f"{ENDPOINTS}/payments/query"]["post"]


@pytest.mark.parametrize("endpoint", ["cards", "payments"])
async def test_there_is_sample_code_for_them(client, endpoint):
    answer = await client.get(f"{SERVICE}/samples?endpoint={endpoint}")
    assert answer.status == 200, await answer.text()


async def test_the_page_of_the_service_shows_them(client):
    answer = await client.get("/services/fraud", headers={"Accept": "text/html"})
    assert answer.status == 200
    assert "payments" in await answer.text()


# The prediction log.


async def test_lookups_and_queries_are_logged_as_they_were_asked(serve, tmp_path):
    client = await started(serve, tmp_path, DATA + '\n[log]\nlog = "full"\n')
    await ask(client, "cards/lookup", {"card_id": "C1"})
    await client.get(f"{ENDPOINTS}/payments?country=FR")
    found = (await (await client.get("/api/v1/predictions")).json())["predictions"]
    payments, cards = sorted(found, key=lambda entry: entry["endpoint"], reverse=True)
    assert (cards["inputs"], cards["status"]) == ({"card_id": "C1"}, 200)
    assert cards["output"]["rows"][0]["score"] == 700
    assert (payments["inputs"], payments["generation"]) == ({"country": "FR"}, "v1")
    assert len(payments["output"]["rows"]) == 2


async def test_the_log_has_what_a_row_was_sent_with_and_what_was_fetched(serve, tmp_path):
    client = await started(serve, tmp_path, PREDICTIONS + '\n[log]\nlog = "full"\n')
    await ask(client, "declared/predict", {"amount": 7, "card": "C1", "merchant": 2})
    table = {"data": "amount,card,merchant,more\n7,C1,2,x\n", "headers": {"Content-Type": "text/csv"}}
    assert (await client.post(f"{ENDPOINTS}/declared/predict", **table)).status == 200
    [of_table, of_row] = (await (await client.get("/api/v1/predictions")).json())["predictions"]
    known = {"amount": 7, "card": "C1", "card_fico_score": 700, "country": "FR"}
    assert of_row["inputs"] == known | {"merchant": 2}
    assert of_table["inputs"] == known | {"merchant": "2"}
