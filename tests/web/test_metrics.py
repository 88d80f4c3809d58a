"""The page of metrics over HTTP."""

from tests.scraped import Page

ECHO = """
def predict_data(data):
    if data == "bad":
        raise ValueError
    return data
"""
DATA = "/api/v1/models/{model}/predict/data"
CALL = {"model": "echo", "hook": "predict_data"}


async def scraped(client):
    response = await client.get("/metrics")
    assert response.status == 200
    assert response.content_type == "text/plain"
    return Page(await response.text())


async def test_requests_and_calls_are_counted_by_what_became_of_them(serve):
    client = await serve(echo=ECHO)
    for data in (1, 2, "bad"):
        await client.post(DATA.format(model="echo"), json=data)
    page = await scraped(client)
    request = {"method": "POST", "route": DATA, "model": "echo"}
    assert page.value("http_requests_total", **request, status="200") == 2
    assert page.value("http_requests_total", **request, status="500") == 1
    assert page.value("http_request_duration_seconds_count", **request) == 3
    assert page.value("model_calls_total", **CALL, outcome="ok") == 2
    assert page.value("model_calls_total", **CALL, outcome="ModelFailure") == 1
    assert page.value("model_call_duration_seconds_count", **CALL) == 2


async def test_the_state_of_models_runs_and_processes_is_shown(serve):
    client = await serve(echo=ECHO, broken="import nothing_like_this")
    page = await scraped(client)
    assert page.value("model_state", model="echo", state="ready") == 1
    assert page.value("model_state", model="broken", state="failed") == 1
    assert page.value("model_workers", model="echo") == 1
    assert page.value("model_workers", model="broken") == 0
    assert ("training_runs", frozenset({("state", "queued")})) in page.samples
    assert page.value("process_resident_memory_bytes", process="server", model="") > 10e6
    assert page.value("process_resident_memory_bytes", process="worker", model="echo") > 1e6


async def test_what_clients_make_up_adds_no_series(serve):
    async def make_up(number):
        await client.get(f"/nothing/{number}")
        await client.get(f"/api/v1/models/nobody-{number}")
        await client.get(f"/api/v1/runs/{number:032x}")
        await client.post(DATA.format(model=f"nobody-{number}"), json=1)
        await client.request("PROPFIND", f"/livez?{number}")
        await scraped(client)

    client = await serve(echo=ECHO)
    await make_up(0)
    before = set((await scraped(client)).samples)
    for number in range(1, 20):
        await make_up(number)
    assert set((await scraped(client)).samples) == before
