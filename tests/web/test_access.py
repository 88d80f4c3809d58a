"""Who may come in: every route by every kind of token, and what those see who may not see everything."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from openapi_spec_validator import validate

from deepaas_core.domain.access import EVERYBODY, Limits, Policy, Right, make_token
from deepaas_core.domain.model import Problem
from deepaas_core.errors import StoreUnavailable
from deepaas_core.serving.gatekeeper import Gatekeeper
from deepaas_core.settings import Access
from deepaas_core.web.auth import NEEDS
from deepaas_core.web.keys import CATALOG, TRAINER
from deepaas_core.web.routes import NOTHING

MODEL = """
import time
from deepaas_core import run

def get_metadata():
    return {"description": "knows the treasure"}

def predict_data(data, **kwargs):
    if data == "bad":
        raise ValueError
    return data

def predict(**kwargs):
    return "treasure"

def train(steps: int = 1):
    for step in range(steps):
        run.report(step=step)
        time.sleep(0.05)
    return steps
"""
OTHER = "def predict_data(data): return data"
HEALTH = {"/livez", "/readyz", "/readyz/{model}"}
DATA = "/api/v1/models/treasure/predict/data"
#: So that the tests themselves are not slowed.
PATIENT = ("--access-wrong-tokens-per-minute", "100000")
BODY = {"data": 1}


async def token(client, *rights, names=("treasure",), **given):
    _, text = await client.gatekeeper.create("tests", rights or (Right.PREDICT,), EVERYBODY, names=names, **given)
    return text


async def expired(client, *rights):
    now = datetime.now(UTC)
    kept, text = make_token("tests", rights, now - timedelta(hours=2), expires_at=now - timedelta(hours=1))
    await client.gatekeeper._store.add(kept)
    await client.gatekeeper.look()
    return text


async def revoked(client, *rights):
    kept, text = await client.gatekeeper.create("tests", rights, EVERYBODY)
    await client.gatekeeper.revoke(kept.id, EVERYBODY)
    return text


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


def routes(client, run="0" * 32):
    """Every route of the server: its declaration, its method, and an address with a model and a run in it."""
    names = {"model": "treasure", "service": "treasure", "run": run}
    for route, need in client.app[NEEDS].items():
        path = re.sub(r"{(\w+)(:[^}]*)?}", lambda found: names.get(found[1], "x"), route.resource.canonical)
        yield route.resource.canonical, need, route.method, path


@pytest.fixture
async def locked(serve):
    """A server with two models that asks for tokens."""
    return await _locked(serve)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate(serve_all):
    """The same for tests that leave it as it is."""
    return await _locked(serve_all)


async def _locked(serve):
    problems = [Problem("treasure_map", "The treasure cannot be loaded.", "treasure-package")]
    client = await serve(*PATIENT, "--deepaas-v1", "1.x", problems=problems, treasure=MODEL, other=OTHER)
    await client.gatekeeper.create("operator", [Right.ADMIN], EVERYBODY)
    return client


async def test_every_route_says_what_it_needs(serve):
    for version in ("0.x", "1.x"):
        client = await serve("--deepaas-v1", version)
        assert set(client.app[NEEDS]) == set(client.app.router.routes())
        assert {path for path, need, *_ in routes(client) if need == NOTHING} == HEALTH


@pytest.mark.parametrize("version", ["0.x", "1.x"])
@pytest.mark.parametrize("kind", ["no", "wrong", "expired", "revoked"])
async def test_no_route_but_health_answers_to_a_token_that_is_not_good(serve, kind, version):
    client = await serve(*PATIENT, "--deepaas-v1", version, treasure=MODEL)
    await client.gatekeeper.create("operator", [Right.ADMIN], EVERYBODY)
    texts = {"no": None, "wrong": "dc_" + 48 * "x"}
    if kind in ("expired", "revoked"):
        texts[kind] = await {"expired": expired, "revoked": revoked}[kind](client, Right.ADMIN)
    headers = {} if kind == "no" else bearer(texts[kind])
    for path, _, method, address in routes(client):
        response = await client.request(method, address, headers=headers, json=BODY, allow_redirects=False)
        if path in HEALTH:
            assert response.status == 200
            assert "treasure" not in await response.text()
            continue
        assert response.status == 401, f"{method} {path}"
        assert [value.split()[0] for value in response.headers.getall("WWW-Authenticate")] == ["Bearer", "Basic"]
        assert "treasure" not in await response.text()


async def test_nothing_of_a_model_is_seen_with_a_token_for_another(locked):
    run = await locked.app[TRAINER].start(_model(locked), {})
    foreign = await token(locked, Right.PREDICT, Right.TRAIN, Right.PUBLISH, names=["other"])
    for path, need, method, address in routes(locked, run.id):
        response = await locked.request(method, address, headers=bearer(foreign), json=BODY, allow_redirects=False)
        text = (await response.text()).replace(address, "")
        if "{model}" in path or "{run}" in path or "{service}" in path:
            assert response.status == (200 if path in HEALTH else 404), f"{method} {path}"
            told = text if "{run}" in path else text.replace("'treasure'", "")  # which is what was asked for
            assert "treasure" not in told, f"{method} {path}"
        elif need == NOTHING or need.partly:
            assert response.status not in (401, 403, 500), f"{method} {path}"
            assert "treasure" not in text, f"{method} {path}"
        else:
            assert response.status == 403, f"{method} {path}"
            assert "treasure" not in text


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/models/other/../treasure/predict/data",
        "/api/v1/models/other/%2e%2e/treasure/predict/data",
        "/api/v1/models/other%2f..%2ftreasure/predict/data",
        "/api/v1/models/%74reasure/predict/data",
        "/api/v1/models/treasure%00/predict/data",
        "/api/v1//models/treasure/predict/data",
        "//api/v1/models/treasure/predict/data",
        "/api/v1/models/treasure/predict/data/",
        "/api/v1/models/TREASURE/predict/data",
        "/api/v1/models/treasure;other/predict/data",
        "/livez/../api/v1/models/treasure/predict/data",
        "/livez%2f..%2fapi/v1/models/treasure/predict/data",
        "http://x/api/v1/models/treasure/predict/data",
    ],
)
@pytest.mark.parametrize("shown", ["", "foreign"])
async def test_no_spelling_of_a_path_leads_past_the_gate(gate, path, shown):
    header = f"X-API-Key: {await token(gate, names=['other'])}\r\n" if shown else ""
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{header}Content-Length: 10\r\n"
    writer.write(head.encode() + b'Connection: close\r\n\r\n{"data":1}')
    status = int((await asyncio.wait_for(reader.readline(), 5)).split()[1])
    assert status in (400, 401, 404, 405)
    assert b"prediction" not in await reader.read()
    writer.close()


async def test_who_may_only_read_changes_nothing_and_predicts_nothing(locked):
    reading = await token(locked, Right.READ)
    for path, _, method, address in routes(locked):
        response = await locked.request(method, address, headers=bearer(reading), json=BODY, allow_redirects=False)
        if method not in ("GET", "HEAD"):
            assert response.status in (403, 404, 308), f"{method} {path}"
    assert (await locked.post(DATA, headers=bearer(reading), json=BODY)).status == 403


async def test_who_may_only_predict_sees_no_runs(locked):
    run = await locked.app[TRAINER].start(_model(locked), {})
    predicting = await token(locked, Right.PREDICT)
    for path, _, method, address in routes(locked, run.id):
        if "/runs" in path or "/train" in path.removesuffix("/train-args"):
            response = await locked.request(method, address, headers=bearer(predicting), allow_redirects=False)
            assert response.status in (403, 404, 308), f"{method} {path}"
    assert (await locked.get("/metrics", headers=bearer(predicting))).status == 403


async def test_who_may_train_may_read_and_not_predict(locked):
    training = await token(locked, Right.TRAIN)
    started = await locked.post("/api/v1/models/treasure/train", headers=bearer(training), json={})
    assert started.status == 202
    assert (await locked.get(started.headers["Location"], headers=bearer(training))).status == 200
    assert (await locked.post(DATA, headers=bearer(training), json=BODY)).status == 403


async def test_only_an_administrator_makes_tokens(locked):
    everything_else = await token(locked, *(right for right in Right if right is not Right.ADMIN), names=None)
    asked = {"label": "more", "rights": ["admin"]}
    assert (await locked.post("/api/v1/tokens", headers=bearer(everything_else), json=asked)).status == 403
    assert (await locked.get("/metrics", headers=bearer(everything_else))).status == 200


# How a token comes.


def basic(user, password=""):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize("more", [{}, {"X-Request-ID": "usual-way"}], ids=["express", "usual"])
async def test_a_token_may_come_in_four_ways(locked, more):
    text = await token(locked)
    for headers in (
        bearer(text),
        {"authorization": f"bearer  {text}"},
        basic(text),
        {"X-API-Key": text},
        {"Cookie": f"a=b; deepaas_core_token={text}"},
        {**basic("proxy", "secret"), "X-API-Key": text},
    ):
        response = await locked.post(DATA, headers={**headers, **more}, json=BODY)
        assert (await response.json())["prediction"] == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic /w=="},
        {"Authorization": "Digest x"},
        {"Authorization": "Bearer \udcff\udcfe"},
        {"X-API-Key": ""},
        {"Cookie": "deepaas_core_token="},
        {"Cookie": ";;;=;"},
        {"Authorization": "x" * 5000},
    ],
    ids=str,
)
async def test_what_is_no_token_is_a_wrong_one(gate, headers):
    assert (await gate.post(DATA, headers=headers, json=BODY)).status == 401


async def test_a_token_does_not_come_in_the_address_or_with_a_password(gate):
    text = await token(gate)
    assert (await gate.post(f"{DATA}?token={text}&access_token={text}", json=BODY)).status == 401
    assert (await gate.post(DATA, headers=basic(text, "secret"), json=BODY)).status == 401


async def test_the_cookie_has_the_name_that_the_settings_say(serve):
    client = await serve("--access-cookie", "sesame", treasure=MODEL)
    text = await token(client)
    assert (await client.post(DATA, headers={"Cookie": f"sesame={text}"}, json=BODY)).status == 200
    assert (await client.post(DATA, headers={"Cookie": f"deepaas_core_token={text}"}, json=BODY)).status == 401


async def test_a_script_in_a_page_does_not_make_the_browser_ask_for_a_name(gate):
    response = await gate.get("/api/v1/models", headers={"Sec-Fetch-Mode": "cors"})
    assert [value.split()[0] for value in response.headers.getall("WWW-Authenticate")] == ["Bearer"]


@pytest.mark.parametrize(
    "mode, site, asks",
    [
        ("navigate", "none", True),
        ("no-cors", "same-origin", True),
        ("same-origin", "same-origin", True),
        ("no-cors", "cross-site", False),
        ("cors", "same-origin", False),
    ],
)
async def test_our_own_pages_get_what_they_are_made_of_with_what_somebody_came_in(gate, mode, site, asks):
    headers = {"Sec-Fetch-Mode": mode, "Sec-Fetch-Site": site}
    response = await gate.get("/docs/pages.css", headers=headers)
    assert response.status == 401
    schemes = [value.split()[0] for value in response.headers.getall("WWW-Authenticate")]
    assert ("Basic" in schemes) == asks


async def test_a_foreign_page_changes_nothing_by_somebodys_cookie(gate):
    _, text = await gate.gatekeeper.create("operator", [Right.ADMIN], EVERYBODY)
    headers = {"Cookie": f"deepaas_core_token={text}", "Origin": "https://evil.example"}
    assert (await gate.post("/api/v1/tokens", headers=headers, json={})).status == 403


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"], ids=["", "expect"])
async def test_a_body_is_not_asked_for_before_the_token_is_seen(gate, expect):
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
    head = (
        f"POST {DATA} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9000000\r\n{expect}\r\n"
    )
    writer.write(head.encode())
    assert b" 401 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


async def test_a_body_that_is_expected_is_asked_for_when_the_token_is_good(gate):
    text = await token(gate)
    response = await gate.post(DATA, headers=bearer(text), json=BODY, expect100=True)
    assert response.status == 200


# What is open to whom.


async def test_without_any_token_everything_is_open_on_loopback(serve):
    client = await serve(treasure=MODEL)
    assert (await client.post(DATA, json=BODY, headers=bearer("whatever"))).status == 200
    assert (await client.post("/api/v1/models/treasure/train", json={})).status == 202
    assert "securitySchemes" not in (await (await client.get("/openapi.json")).json())["components"]


async def test_beyond_loopback_and_without_any_token_only_predicting_and_reading_is_open(serve):
    client = await serve(loopback=False, treasure=MODEL)
    assert (await client.post(DATA, json=BODY, headers=basic("None"))).status == 200
    assert (await client.get("/api/v1/runs")).status == 200
    assert (await client.get("/metrics")).status == 200
    for method, path in (
        ("POST", "/api/v1/models/treasure/train"),
        ("GET", "/api/v1/tokens"),
        ("PUT", "/api/v1/access/x"),
    ):
        assert (await client.request(method, path, json={})).status == 401
    assert (await client.post("/v2/models/treasure/train/")).status == 401


async def test_tokens_that_are_switched_off_are_not_asked_for(serve):
    client = await serve("--access-tokens", "off", loopback=False, treasure=MODEL)
    await token(client)
    assert (await client.post(DATA, json=BODY)).status == 200
    assert (await client.get("/api/v1/tokens")).status == 200


async def test_what_is_open_does_not_close_or_open_with_time(serve):
    client = await serve(treasure=MODEL)
    await expired(client, Right.PREDICT)
    assert (await client.post(DATA, json=BODY)).status == 401


async def test_a_public_model_needs_no_token_and_minds_no_wrong_one(locked):
    await locked.gatekeeper.set_rule("treasure", Policy.PUBLIC, Limits(), EVERYBODY)
    revoked_one, foreign = await revoked(locked, Right.PREDICT), await token(locked, names=["other"])
    for headers in ({}, basic("None"), bearer(revoked_one), bearer(foreign)):
        assert (await locked.post(DATA, headers=headers, json=BODY)).status == 200
    listed = await (await locked.get("/api/v1/models")).json()
    assert [model["name"] for model in listed["models"]] == ["treasure"]
    assert (await locked.get("/api/v1/runs")).status == 401
    assert (await locked.post("/api/v1/models/treasure/train", json={})).status == 401
    assert (await locked.post("/api/v1/models/other/predict/data", json=BODY)).status == 401


async def test_where_all_is_public_a_name_can_be_closed(serve):
    client = await serve("--access-default", "public", treasure=MODEL, other=OTHER)
    assert (await client.post(DATA, json=BODY)).status == 200
    await client.gatekeeper.set_rule("treasure", Policy.TOKENS, Limits(), EVERYBODY)
    assert (await client.post(DATA, json=BODY)).status == 401
    assert (await client.post("/api/v1/models/other/predict/data", json=BODY)).status == 200
    assert "treasure" not in await (await client.get("/openapi.json")).text()


# What lists show.


async def test_runs_are_listed_for_those_who_may_read_them(locked):
    runs = [await locked.app[TRAINER].start(_model(locked), {}) for _ in range(2)]
    own, foreign = await token(locked, Right.READ), await token(locked, Right.READ, names=["other"])
    listed = await (await locked.get("/api/v1/runs", headers=bearer(own))).json()
    assert {run["id"] for run in listed["runs"]} == {run.id for run in runs}
    for query in ("", "?model=treasure", f"?before={runs[1].id}"):
        assert (await (await locked.get(f"/api/v1/runs{query}", headers=bearer(foreign))).json())["runs"] == []
    compared = await locked.get(f"/api/v1/runs/compare?ids={runs[0].id}", headers=bearer(foreign))
    assert compared.status == 404


async def test_the_openapi_document_tells_how_to_show_a_token_and_of_what_one_may_see(locked):
    own, foreign = await token(locked), await token(locked, names=["other"])
    document = await (await locked.get("/openapi.json", headers=bearer(own))).json()
    assert "/api/v1/models/treasure/predict/data" in document["paths"]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "basic", "key", "cookie"}
    assert {"401", "403", "429"} <= set(document["paths"][DATA]["post"]["responses"])
    other = await (await locked.get("/openapi.json", headers=bearer(foreign))).json()
    assert DATA not in other["paths"]
    for told in (document, other):
        validate(told)


async def test_who_am_i_says_what_a_token_gives(locked):
    text = await token(locked, Right.TRAIN, limits=Limits(5, 10))
    told = await (await locked.get("/api/v1/whoami", headers=bearer(text))).json()
    assert (told["label"], told["may"]) == ("tests", [{"rights": ["train"], "names": ["treasure"]}])
    assert (told["requests_per_s"], told["burst"]) == (5, 10)


# Tokens over the API.


async def test_an_administrator_makes_lists_and_revokes_tokens(locked):
    _, text = await locked.gatekeeper.create("operator", [Right.ADMIN], EVERYBODY)
    asked = {"label": "Ada", "rights": ["predict"], "names": ["treasure"], "expires_in_s": 60}
    response = await locked.post("/api/v1/tokens", headers=bearer(text), json=asked)
    made = await response.json()
    assert (response.status, response.headers["Cache-Control"]) == (201, "no-store")
    assert re.fullmatch(r"dc_[A-Za-z0-9]{48}", made["token"])
    assert (await locked.post(DATA, headers=bearer(made["token"]), json=BODY)).status == 200
    listed = await locked.get("/api/v1/tokens", headers=bearer(text))
    assert made["token"] not in await listed.text()
    assert (await listed.json())["tokens"][0] == {key: value for key, value in made.items() if key != "token"}
    gone = await locked.delete(f"/api/v1/tokens/{made['id']}", headers=bearer(text))
    assert (await gone.json())["state"] == "revoked"
    assert (await locked.post(DATA, headers=bearer(made["token"]), json=BODY)).status == 401


@pytest.mark.parametrize(
    "asked, pointers",
    [
        ({}, ["/label", "/rights"]),
        ({"label": " ", "rights": []}, ["/label", "/rights"]),
        ({"label": "a\nb", "rights": ["fly", "read"], "names": []}, ["/label", "/rights/0", "/names"]),
        ({"label": "a", "rights": ["admin"], "names": ["x"]}, ["/names"]),
        ({"label": "a", "rights": ["read"], "names": ["ok", ""]}, ["/names/1"]),
        ({"label": "a", "rights": ["read"], "expires_at": "2001-01-01T00:00:00Z"}, ["/expires_at"]),
        ({"label": "a", "rights": ["read"], "expires_in_s": 1e300}, ["/expires_in_s"]),
        ({"label": "a", "rights": ["read"], "requests_per_s": 0, "burst": 0}, ["/requests_per_s", "/burst"]),
        ({"label": "a", "rights": ["read"], "max_body_mb": -1}, ["/max_body_mb"]),
        ({"label": "a", "rights": ["read"], "more": 1}, ["/more"]),
    ],
    ids=str,
)
async def test_a_token_that_cannot_be_is_refused_with_all_reasons(gate, asked, pointers):
    _, operator = await gate.gatekeeper.create("operator", [Right.ADMIN], EVERYBODY)
    response = await gate.post("/api/v1/tokens", json=asked, headers=bearer(operator))
    assert response.status == 422
    assert sorted(issue["pointer"] for issue in (await response.json())["errors"]) == sorted(pointers)


async def test_who_may_call_a_model_is_said_over_the_api(serve):
    client = await serve(treasure=MODEL)
    put = await client.put("/api/v1/access/treasure", json={"policy": "tokens", "requests_per_s": 2})
    assert put.status == 200
    assert (await client.post(DATA, json=BODY)).status == 401
    _, text = await client.gatekeeper.create("operator", [Right.ADMIN], EVERYBODY)
    told = await (await client.get("/api/v1/access", headers=bearer(text))).json()
    assert told["names"]["treasure"]["policy"] == "tokens"
    assert (await client.delete("/api/v1/access/treasure", headers=bearer(text))).status == 204


# How often, and how much.


@pytest.mark.parametrize("more", [{}, {"X-Request-ID": "usual-way"}], ids=["express", "usual"])
async def test_a_token_may_come_only_so_often(locked, more):
    text, other = await token(locked, limits=Limits(0.01, 3)), await token(locked)
    statuses = [(await locked.post(DATA, headers={**bearer(text), **more}, json=BODY)).status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]
    refused = await locked.post(DATA, headers={**bearer(text), **more}, json=BODY)
    assert 90 <= int(refused.headers["Retry-After"]) <= 100
    assert (await locked.post(DATA, headers={**bearer(other), **more}, json=BODY)).status == 200


async def test_a_prediction_that_fails_counts_once(locked):
    text = await token(locked, limits=Limits(0.01, 2))
    statuses = [(await locked.post(DATA, headers=bearer(text), json={"data": "bad"})).status for _ in range(3)]
    assert statuses == [500, 500, 429]


async def test_a_model_takes_only_so_many_predictions_from_all_callers(locked):
    await locked.gatekeeper.set_rule("treasure", None, Limits(0.01, 2), EVERYBODY)
    statuses = [(await locked.post(DATA, headers=bearer(await token(locked)), json=BODY)).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert (await locked.get("/api/v1/models/treasure", headers=bearer(await token(locked)))).status == 200


async def test_a_model_is_limited_where_no_tokens_are_asked_for_too(serve):
    client = await serve("--access-model-requests-per-s", "0.01", "--access-model-burst", "1", treasure=MODEL)
    assert [(await client.post(DATA, json=BODY)).status for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    "path, content_type",
    [
        ("/api/v1/models/treasure/predict/data", "application/json"),
        ("/api/v1/models/treasure/predict/data", "application/octet-stream"),
        ("/api/v1/models/treasure/predict", "application/json"),
        ("/v2/models/treasure/predict/", "application/json"),
    ],
)
async def test_a_token_may_send_only_so_much(gate, path, content_type, chunked):
    text = await token(gate, limits=Limits(max_body_mb=0.001))
    headers = {**bearer(text), "Content-Type": content_type}

    async def pieces():
        yield json.dumps({"data": "x" * 5000}).encode()

    body = pieces() if chunked else json.dumps({"data": "x" * 5000})
    assert (await gate.post(path, headers=headers, data=body)).status == 413
    assert (await gate.post(DATA, headers=bearer(text), json=BODY)).status == 200


async def test_wrong_tokens_are_slowed_and_a_good_one_is_not(serve):
    client = await serve("--access-wrong-tokens-per-minute", "5", treasure=MODEL)
    text = await token(client)
    statuses = [(await client.post(DATA, headers=bearer(f"wrong {n}"), json=BODY)).status for n in range(8)]
    assert statuses == [401] * 5 + [429] * 3
    refused = await client.get("/v2/models/", headers=bearer("wrong"))
    assert (refused.status, refused.headers["Retry-After"]) == (429, "12")
    assert (await client.post(DATA, headers=bearer(text), json=BODY)).status == 200
    assert (await client.post(DATA, json=BODY)).status == 401


# What becomes known elsewhere.


def _sharing(client) -> Gatekeeper:
    """Another server on the same records."""
    return Gatekeeper(client.gatekeeper._store, Access())


async def test_a_token_that_is_made_elsewhere_works_at_once(locked):
    _, text = await _sharing(locked).create("elsewhere", [Right.PREDICT], EVERYBODY)
    assert (await locked.post(DATA, headers=bearer(text), json=BODY)).status == 200


@pytest.mark.parametrize("more", [{}, {"X-Request-ID": "usual-way"}], ids=["express", "usual"])
async def test_a_token_that_is_revoked_elsewhere_stops_within_5_s(locked, more):
    kept, text = await _sharing(locked).create("elsewhere", [Right.PREDICT], EVERYBODY)
    assert (await locked.post(DATA, headers={**bearer(text), **more}, json=BODY)).status == 200
    await _sharing(locked).revoke(kept.id, EVERYBODY)
    async with asyncio.timeout(5):
        while (await locked.post(DATA, headers={**bearer(text), **more}, json=BODY)).status != 401:
            await asyncio.sleep(0.05)


async def test_a_stream_ends_when_its_token_is_revoked(locked):
    run = await locked.app[TRAINER].start(_model(locked), {"steps": 1000})
    kept, text = await locked.gatekeeper.create("watcher", [Right.READ], EVERYBODY)
    response = await locked.get(f"/api/v1/runs/{run.id}/events", headers=bearer(text))
    assert response.status == 200
    await response.content.readline()
    await _sharing(locked).revoke(kept.id, EVERYBODY)
    with pytest.raises(Exception, match=r"(?i)payload|closed|reset|disconnect"):
        async with asyncio.timeout(5):
            while await response.content.readany():
                pass
    await locked.app[TRAINER].cancel(run.id)


async def test_tokens_are_not_believed_for_long_while_the_records_are_away(locked, monkeypatch):
    text = await token(locked)
    await locked.gatekeeper.set_rule("other", Policy.PUBLIC, Limits(), EVERYBODY)

    async def away():
        raise StoreUnavailable("The database is away.")

    monkeypatch.setattr(locked.gatekeeper._store, "revision", away)
    locked.gatekeeper._looked_at -= 10
    response = await locked.post(DATA, headers=bearer(text), json=BODY)
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert (await locked.post("/api/v1/models/other/predict/data", json=BODY)).status == 200
    monkeypatch.undo()
    assert (await locked.post(DATA, headers=bearer(text), json=BODY)).status == 200


async def test_no_token_is_ever_logged(locked, caplog):
    caplog.set_level(logging.DEBUG)
    text, wrong = await token(locked), "dc_" + 48 * "y"
    for shown in (text, wrong):
        await locked.post(DATA, headers=bearer(shown), json=BODY)
        await locked.get("/api/v1/models", headers=basic(shown))
    assert text not in caplog.text
    assert wrong not in caplog.text


def _model(client):
    return client.app[CATALOG].entry("treasure").serving()
