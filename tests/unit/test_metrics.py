"""What is counted is shown, added up over processes, and cheap."""

import time

from deepaas_core.telemetry.metrics import BOUNDS, Counts, Gauges, ModelGauges
from deepaas_core.telemetry.prometheus import render
from tests.scraped import Page

STATES = ("starting", "ready")
REQUEST = {"method": "POST", "route": "/predict", "model": "digits"}
CALL = {"model": "digits", "hook": "predict_data"}


def shown(counts, gauges=None):
    page, content_type = render(counts, gauges or Gauges("1.0", STATES))
    assert content_type.startswith("text/plain")
    return Page(page.decode())


def counted(*seconds, status=200):
    counts = Counts()
    for each in seconds:
        counts.request(*REQUEST.values(), status, each)
    return counts


def test_requests_are_counted_by_status_and_timed_together():
    counts = counted(0.0007, 0.3)
    counts.request(*REQUEST.values(), 503, 0.0007)
    page = shown(counts)
    assert page.value("http_requests_total", **REQUEST, status="200") == 2
    assert page.value("http_requests_total", **REQUEST, status="503") == 1
    assert page.value("http_request_duration_seconds_bucket", **REQUEST, le="0.001") == 2
    assert page.value("http_request_duration_seconds_bucket", **REQUEST, le="0.5") == 3
    assert page.value("http_request_duration_seconds_count", **REQUEST) == 3
    assert abs(page.value("http_request_duration_seconds_sum", **REQUEST) - 0.3014) < 1e-9


def test_the_longest_duration_has_a_bucket():
    page = shown(counted(BOUNDS[-1] + 1000))
    assert page.value("http_request_duration_seconds_bucket", **REQUEST, le="+Inf") == 1
    assert page.value("http_request_duration_seconds_bucket", **REQUEST, le=str(BOUNDS[-1])) == 0


def test_what_several_processes_counted_adds_up():
    together = Counts()
    for counts in (counted(0.1, 0.2), counted(0.1), counted(0.1, status=404)):
        together.add(counts.to_plain())
    page = shown(together)
    assert page.value("http_requests_total", **REQUEST, status="200") == 3
    assert page.value("http_requests_total", **REQUEST, status="404") == 1
    assert page.value("http_request_duration_seconds_count", **REQUEST) == 4


def test_a_call_without_an_answer_is_counted_and_not_timed():
    counts = Counts()
    counts.call(*CALL.values(), "ok", 0.25)
    counts.call(*CALL.values(), "ModelTimeout", None)
    page = shown(counts)
    assert page.value("model_calls_total", **CALL, outcome="ModelTimeout") == 1
    assert page.value("model_call_duration_seconds_count", **CALL) == 1


def test_a_model_is_in_exactly_one_state():
    page = shown(Counts(), Gauges("1.0", STATES, (ModelGauges("digits", "ready", 3, 2, 1),)))
    assert page.value("model_state", model="digits", state="ready") == 1
    assert page.value("model_state", model="digits", state="starting") == 0
    assert page.value("model_queue_length", model="digits") == 3
    assert page.value("model_workers", model="digits") == 2
    assert page.value("model_worker_restarts_total", model="digits") == 1


def test_open_metrics_are_given_to_those_who_ask():
    page, content_type = render(Counts(), Gauges("1.0", STATES), "application/openmetrics-text")
    assert content_type.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")


def test_counting_costs_next_to_nothing():
    best_s = min(_time(Counts()) for _ in range(5))
    assert best_s / 10_000 < 10e-6  # 1 µs where nothing else runs


def _time(counts):
    started = time.perf_counter()
    for _ in range(10_000):
        counts.request("POST", "/api/v1/models/{model}/predict/data", "digits", 200, 0.001)
    return time.perf_counter() - started
