"""Services over the native API: published, deployed, split, rolled back, tested, withdrawn."""

from __future__ import annotations

import asyncio
import io
import zipfile

import pytest

from tests import services
from tests.services import DEFINITION, ZIP, answering, checked, packed, settled

SERVICE = "/api/v1/services/churn"


async def publish(client, archive: bytes, status: int = 201, **query: str):
    return await services.publish(client, SERVICE, archive, status, **query)


async def deploy(client, **shares: float):
    return await settled(client, await client.put(f"{SERVICE}/deployment", json={"shares": shares}))


async def read(client, path: str = "", status: int = 200):
    response = await client.get(SERVICE + path)
    assert response.status == status, await response.text()
    return await response.json()


async def problem(response, status: int) -> dict:
    document = await response.json()
    assert response.status == status, document
    assert response.content_type == "application/problem+json"
    return document


async def test_versions_follow_one_another(serve):
    client = await serve()
    assert [(await publish(client, answering(n)))["version"] for n in range(3)] == ["v1", "v2", "v3"]
    assert (await publish(client, answering(4), version="v7"))["version"] == "v7"
    assert (await publish(client, answering(5)))["version"] == "v8"
    assert [each["number"] for each in (await read(client, "/generations"))["generations"]] == [1, 2, 3, 4, 5]


async def test_a_unique_version_gets_a_number(serve):
    client = await serve()
    versions = [(await publish(client, answering(0), version="auto", unique="true"))["version"] for _ in range(3)]
    assert versions == ["auto", "auto1", "auto2"]


async def test_the_same_content_has_the_same_digest(serve):
    client = await serve()
    one, two, three = [await publish(client, archive) for archive in (answering(1), answering(1), answering(2))]
    assert one["digest"] == two["digest"] != three["digest"]


async def test_a_version_is_never_published_twice(serve):
    client = await serve()
    await publish(client, answering(1), version="v1")
    told = await publish(client, answering(2), version="v1", status=409)
    assert told["type"] == "/problems/version-taken"


async def test_an_archive_comes_as_a_form_too(serve):
    import aiohttp

    client = await serve()
    form = aiohttp.FormData({"notes": "long " * 2000, "version": "first"})
    form.add_field("file", answering(1), filename="churn.zip")
    response = await client.post(f"{SERVICE}/generations", data=form)
    assert response.status == 201, await response.text()
    assert (await response.json())["version"] == "first"
    assert len((await read(client, "/generations/first"))["notes"]) == 10_000


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"", "application/zip", 422, "archive-refused"),
        (b"nonsense", "application/zip", 422, "archive-refused"),
        (b"{}", "application/json", 415, "unsupported-media"),
        (packed(definition="name = 3"), "application/zip", 422, "definition-refused"),
        (packed(definition=DEFINITION.replace("predict", "other")), "application/zip", 422, "definition-refused"),
    ],
)
async def test_what_cannot_be_published_is_said(serve, body, kind, status, said):
    client = await serve()
    response = await client.post(f"{SERVICE}/generations", data=body, headers={"Content-Type": kind})
    assert (await problem(response, status))["type"] == f"/problems/{said}"
    assert (await (await client.get("/api/v1/services")).json())["services"] == []


async def test_why_a_generation_cannot_be_copied_is_said(serve, tmp_path):
    settings = tmp_path / "settings.toml"
    settings.write_text(
        '[infrastructure.away]\nurl = "http://127.0.0.1:9"\n'
        f'[infrastructure.secret]\nurl = "http://127.0.0.1:9"\ntoken_file = "{tmp_path}/none"\n'
    )
    client = await serve("--config", str(settings))
    await publish(client, answering(1))
    for name, why in (("away", "http://127.0.0.1:9 cannot be reached."), ("secret", "cannot be read from its file")):
        response = await client.post(f"{SERVICE}/copy", json={"infrastructure": name, "version": "v1"})
        assert why in (await problem(response, 502))["detail"]


@pytest.mark.parametrize("query", [{"version": "../x"}, {"version": "a b"}, {"notes": "\0"}, {"unique": "2"}])
async def test_names_that_cannot_be_used_are_named(serve, query):
    client = await serve()
    response = await client.post(f"{SERVICE}/generations", data=answering(1), headers=ZIP, params=query)
    told = await problem(response, 422)
    assert told["errors"][0]["pointer"].lstrip("/") in query


async def test_what_cannot_be_built_is_said_before_anybody_deploys_it(serve):
    client = await serve()
    await publish(client, packed(requirements_DASH_py__txt="./no-such-thing.whl\n"))
    told = await problem(await client.post(f"{SERVICE}/generations/v1/build"), 409)
    assert told["detail"].startswith("requirements-py.txt could not be installed.\nerror:")
    assert told["detail"].endswith("All that was said: deepaas-core generations log churn v1")
    assert "unpacked" not in told["detail"]
    log = await (await client.get(f"{SERVICE}/generations/v1/log")).text()
    assert "no-such-thing.whl" in log
    await publish(client, answering(1))
    assert (await (await client.post(f"{SERVICE}/generations/v2/build")).json())["state"] == "stopped"


async def test_nothing_is_left_of_a_generation_that_is_deleted(serve, tmp_path):
    client = await serve("--services-idle-s", "0.1")
    await publish(client, answering(1))
    await publish(client, answering(1))
    digest = (await publish(client, answering(2)))["digest"]
    await client.post(f"{SERVICE}/generations/v1/test")
    await client.post(f"{SERVICE}/generations/v3/test")
    for version in ("v1", "v3"):
        assert (await client.delete(f"{SERVICE}/generations/{version}")).status == 204
    data = tmp_path / "data"
    while (data / "generations" / f"{digest}.zip").exists() or (data / "unpacked" / digest).exists():
        await asyncio.sleep(0.05)
    assert (await client.get(f"{SERVICE}/generations/v2/archive")).status == 200  # v2 has what v1 had


async def test_publishing_can_be_switched_off(serve):
    client = await serve("--no-services-publish")
    response = await client.post(f"{SERVICE}/generations", data=answering(1), headers=ZIP)
    assert "services.publish" in (await problem(response, 403))["detail"]


async def test_a_deployed_generation_is_live(serve):
    client = await serve()
    await publish(client, answering(1), notes="The first one.")
    rollout = await deploy(client, v1=1)
    assert (rollout["state"], rollout["before"]) == ("live", {})
    document = await read(client)
    assert document["shares"] == {"v1": 1.0}
    assert document["endpoints"] == [{"name": "score", "kind": "function", "help": ""}]
    generation = await read(client, "/generations/v1")
    assert (generation["state"], generation["share"], generation["notes"]) == ("ready", 1.0, "The first one.")
    assert (await client.get("/readyz")).status == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"shares": {"v1": 0.5}}, "/shares"),
        ({"shares": {}}, "/shares"),
        ({"shares": {"v1": 0.5, "v9": 0.5}}, "/shares/v9"),
        ({"shares": {"v1": "1"}}, "/shares/v1"),
        ({"shares": {"v1": True}}, "/shares/v1"),
        ({"shares": {"v1": 1.5, "v2": -0.5}}, "/shares/v1"),
        ({"shares": [1]}, "/shares"),
        ({"version": 1}, "/version"),
        ({"version": "v1", "shares": {"v1": 1}}, ""),
        ({}, ""),
    ],
)
async def test_shares_that_cannot_be_used_are_named(serve, body, pointer):
    client = await serve()
    for _ in range(2):
        await publish(client, answering(1))
    told = await problem(await client.put(f"{SERVICE}/deployment", json=body), 422)
    assert told["errors"][0]["pointer"] == pointer


async def test_a_generation_that_does_not_start_leaves_the_old_one_live(serve):
    client = await serve()
    await publish(client, answering(1))
    await deploy(client, v1=1)
    await publish(client, packed("import no_such_module\ndef predict(): ...\n"))
    rollout = await deploy(client, v2=1)
    assert rollout["state"] == "failed"
    assert "no_such_module" in rollout["reason"]
    assert "requirements-py.txt" in rollout["reason"]
    assert (await read(client, "/deployment"))["shares"] == {"v1": 1.0}
    assert (await read(client, "/generations/v2"))["state"] == "stopped"


async def test_a_generation_that_fails_its_test_queries_does_not_go_live(serve):
    client = await serve()
    await publish(client, checked(expected=1, answer=2))
    rollout = await deploy(client, v1=1)
    assert rollout["state"] == "failed"
    assert "2 instead of 1" in rollout["reason"]
    assert (await read(client, "/deployment"))["shares"] == {}


async def test_a_rollback_goes_to_the_shares_before(serve):
    client = await serve()
    for n in (1, 2):
        await publish(client, answering(n))
    await deploy(client, v1=0.3, v2=0.7)
    await deploy(client, v2=1)
    await settled(client, await client.post(f"{SERVICE}/rollback"))
    assert (await read(client, "/deployment"))["shares"] == {"v1": 0.3, "v2": 0.7}
    states = [each["state"] for each in (await read(client, "/rollouts"))["rollouts"]]
    assert states == ["live"] * 3
    await deploy(client, v1=0.3, v2=0.7)  # changes nothing, so that there is nothing of it to be taken back
    await settled(client, await client.post(f"{SERVICE}/rollback"))
    assert (await read(client, "/deployment"))["shares"] == {"v2": 1.0}


async def test_there_must_be_something_to_go_back_to(serve):
    client = await serve()
    await publish(client, answering(1))
    await problem(await client.post(f"{SERVICE}/rollback"), 409)
    await deploy(client, v1=1)
    await problem(await client.post(f"{SERVICE}/rollback"), 409)


async def test_what_is_live_cannot_be_deleted_and_the_rest_can(serve):
    client = await serve()
    for n in (1, 2):
        await publish(client, answering(n))
    await deploy(client, v1=1)
    told = await problem(await client.delete(f"{SERVICE}/generations/v1"), 409)
    assert told["type"] == "/problems/generation-in-use"
    assert (await client.delete(f"{SERVICE}/generations/v2")).status == 204
    await problem(await client.delete(f"{SERVICE}/generations/v2"), 404)
    await problem(await client.delete(SERVICE), 409)
    assert (await client.post(f"{SERVICE}/disable")).status == 200
    assert (await client.delete(SERVICE)).status == 204
    await problem(await client.get(SERVICE), 404)


async def test_a_service_that_takes_the_name_of_a_deleted_one_begins_anew(serve):
    client, archive = await serve(), packed(definition=DEFINITION + '[automations.renew]\npublish = "renewed"\n')
    await publish(client, archive)
    await deploy(client, v1=1)
    assert (await client.post(f"{SERVICE}/automations/renew/run")).status == 202
    assert len((await read(client, "/executions"))["executions"]) == 1
    assert (await client.post(f"{SERVICE}/disable")).status == 200
    assert (await client.delete(SERVICE)).status == 204
    assert (await publish(client, archive))["number"] == 1
    assert (await read(client, "/executions"))["executions"] == []


async def test_what_was_published_can_be_had_again(serve):
    client = await serve()
    await publish(client, answering(1))
    response = await client.get(f"{SERVICE}/generations/v1/archive")
    content = await response.read()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["score.py", "service.toml", "MANIFEST.sha256"]
    assert (await publish(client, content))["digest"] == (await read(client, "/generations/v1"))["digest"]


async def test_generations_are_compared_file_by_file(serve):
    client = await serve()
    await publish(client, packed(old__txt="x", same__txt="x"))
    await publish(client, packed("def predict(): ...", new__txt="x", same__txt="x"))
    found = await read(client, "/generations/v2/diff")
    assert (found["with"], found["added"], found["removed"], found["changed"], found["definition"]) == (
        "v1",
        ["new.txt"],
        ["old.txt"],
        ["score.py"],
        False,
    )
    assert await read(client, "/generations/v1/diff?with=v2") == found | {
        "generation": "v1",
        "with": "v2",
        "added": ["old.txt"],
        "removed": ["new.txt"],
    }
    await problem(await client.get(f"{SERVICE}/generations/v1/diff"), 422)


async def test_test_queries_are_stored_and_asked(serve):
    client = await serve()
    await publish(client, packed("def predict(x: float):\n    return {'double': 2 * x, 'more': 1}\n"))
    good = {"endpoint": "score", "name": "good", "arguments": {"x": 2}, "expected": {"double": 4.0000001}}
    bad = {"endpoint": "score", "name": "bad", "arguments": {"x": 3}, "expected": {"double": 5}, "tolerance": 0.5}
    stored = await client.put(f"{SERVICE}/queries", json={"queries": [good]})
    assert stored.status == 200
    assert (await deploy(client, v1=1))["state"] == "live"
    await client.post(f"{SERVICE}/queries", json={"queries": [bad]})
    assert [each["name"] for each in (await read(client, "/queries"))["queries"]] == ["good", "bad"]
    response = await client.post(f"{SERVICE}/test")
    document = await response.json()
    assert (document["passed"], document["failed"]) == (1, 1)
    assert response.headers["X-Service-Generation"] == "v1"
    assert document["outcomes"][1]["problem"].endswith("instead of 5.")
    asked = await client.post(f"{SERVICE}/generations/v1/test", json={"queries": [good]})
    assert (await asked.json())["failed"] == 0


async def test_a_draft_is_tested_before_it_is_deployed_and_stops_by_itself(serve):
    client = await serve("--services-idle-s", "0.2")
    await publish(client, checked(expected=1, answer=1))
    document = await (await client.post(f"{SERVICE}/generations/v1/test")).json()
    assert (document["passed"], document["failed"]) == (1, 0)
    while (await read(client, "/generations/v1"))["state"] != "stopped":
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "body",
    [
        *({"queries": 3}, {"queries": [{}]}, {"queries": [{"endpoint": "score", "tolerance": -1}]}, {"other": 1}),
        {"queries": [{"endpoint": "scor"}]},
    ],
)
async def test_test_queries_that_are_none_are_named(serve, body):
    client = await serve()
    await publish(client, answering(1))
    told = await problem(await client.put(f"{SERVICE}/queries", json=body), 422)
    assert told["errors"]


async def test_a_prediction_is_not_tested_with_nothing(serve):
    client = await serve()
    prediction = DEFINITION.replace('kind = "function"', 'kind = "prediction"')
    await publish(client, packed(definition=prediction))
    query = {"endpoint": "score", "arguments": {"x": 1}}
    told = await problem(await client.post(f"{SERVICE}/queries", json={"queries": [query]}), 422)
    assert told["errors"] == [{"pointer": "/queries/0/rows", "detail": "A prediction is tested with rows."}]
    asked = await client.post(f"{SERVICE}/generations/v1/test", json={"queries": [query]})
    assert (await asked.json())["failed"] == 1
    right = {"endpoint": "score", "rows": [{"x": 1}]}
    assert (await client.post(f"{SERVICE}/queries", json={"queries": [right]})).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/generations"),
        ("GET", "/generations/v1"),
        ("DELETE", "/generations/v1"),
        ("GET", "/generations/v1/archive"),
        ("GET", "/generations/v1/diff"),
        ("GET", "/generations/v1/log"),
        ("POST", "/generations/v1/build"),
        ("POST", "/generations/v1/test"),
        ("GET", "/deployment"),
        ("PUT", "/deployment"),
        ("POST", "/rollback"),
        ("POST", "/enable"),
        ("POST", "/disable"),
        ("GET", "/rollouts"),
        ("GET", "/rollouts/1"),
        ("GET", "/queries"),
        ("POST", "/test"),
    ],
)
async def test_what_is_not_there_is_not_found(serve, method, path):
    client = await serve()
    json = {"version": "v1"} if method == "PUT" else None
    await problem(await client.request(method, SERVICE + path, json=json), 404)
    await publish(client, answering(1))
    if "v1" in path:
        await problem(await client.request(method, SERVICE + path.replace("v1", "v2"), json=json), 404)


async def test_a_service_can_only_be_copied_to_where_the_settings_say(serve):
    client = await serve()
    await publish(client, answering(1))
    told = await problem(await client.post(f"{SERVICE}/copy", json={"infrastructure": "prod"}), 404)
    assert told["type"] == "/problems/infrastructure-not-found"
    assert (await (await client.get("/api/v1/infrastructures")).json()) == {"infrastructures": []}


async def test_metrics_name_the_generation_as_long_as_it_is_there(serve):
    client = await serve("--services-idle-s", "0.2")
    for n in (1, 2):
        await publish(client, answering(n))
        await deploy(client, **{f"v{n}": 1})
        assert (await client.post(f"{SERVICE}/endpoints/score", json={})).status == 200
    page = await (await client.get("/metrics")).text()
    assert 'model="churn@v1"' in page
    assert 'deepaas_core_model_calls_total{hook="predict",model="churn@v2:score",outcome="ok"} 1.0' in page
    while (await read(client, "/generations/v1"))["state"] != "stopped":
        await asyncio.sleep(0.05)
    assert (await client.delete(f"{SERVICE}/generations/v1")).status == 204
    page = await (await client.get("/metrics")).text()
    assert "churn@v1" not in page
    assert "churn@v2" in page


async def test_of_two_changes_at_once_the_slower_one_does_not_undo_the_other(serve):
    client = await serve()
    await publish(client, answering(1))
    await publish(client, packed("import time\ntime.sleep(1.5)\n\ndef predict(): ...\n"))
    slow = await client.put(f"{SERVICE}/deployment", json={"version": "v2"})
    assert (await deploy(client, v1=1))["state"] == "live"
    rollout = await settled(client, slow)
    assert (rollout["state"], rollout["reason"]) == ("failed", "Another change of the deployment came first.")
    assert (await read(client, "/deployment"))["shares"] == {"v1": 1.0}


async def test_what_a_rollout_is_about_to_make_live_cannot_be_deleted(serve):
    client = await serve()
    await publish(client, packed("import time\ntime.sleep(1.5)\n\ndef predict(): ...\n"))
    slow = await client.put(f"{SERVICE}/deployment", json={"version": "v1"})
    await problem(await client.delete(f"{SERVICE}/generations/v1"), 409)
    assert (await settled(client, slow))["state"] == "live"
