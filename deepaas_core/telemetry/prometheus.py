"""The page that Prometheus reads, made from what was counted and measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from deepaas_core.telemetry.metrics import BOUNDS, Counts, Gauges, Labels, Series

PREFIX = "deepaas_core_"
_BUCKETS = (*map(str, BOUNDS), "+Inf")


def render(counts: Counts, gauges: Gauges, accept: str = "") -> tuple[bytes, str]:
    """The page that Prometheus reads.

    Args:
        counts: Of all processes together.
        gauges: Of this moment.
        accept: The request's ``Accept``, by which the format is chosen.

    Returns:
        The page and its content type.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(counts, gauges))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Collector:
    """Hands over what there is in the terms of ``prometheus_client``."""

    def __init__(self, counts: Counts, gauges: Gauges):
        self._counts, self._gauges = counts, gauges

    def collect(self) -> Iterator[Metric]:
        yield from self._counted()
        yield from self._of_models()
        gauges = self._gauges
        yield _gauge("info", "Always 1; the label says which version serves.", ["version"], [((gauges.version,), 1)])
        runs = (((state,), number) for state, number in gauges.runs.items())
        yield _gauge("training_runs", "Training runs on record.", ["state"], runs)
        yield _gauge(
            "process_resident_memory_bytes", "Memory of our processes.", ["process", "model"], gauges.memory.items()
        )
        yield _gauge("http_processes", "Processes that answer requests.", [], [((), gauges.http_processes)])

    def _counted(self) -> Iterator[Metric]:
        counts = self._counts
        labels = ["method", "route", "model"]
        yield _counter("http_requests", "Requests answered.", [*labels, "status"], counts.requests)
        yield _histogram("http_request_duration_seconds", "Time to answer.", labels, counts.requests)
        labels = ["model", "hook"]
        yield _counter("model_calls", "Calls of models' functions.", [*labels, "outcome"], counts.calls)
        yield _histogram("model_call_duration_seconds", "Time that models' functions took.", labels, counts.calls)

        entries = CounterMetricFamily(
            PREFIX + "prediction_log_entries", "Entries of the prediction log.", labels=["outcome"]
        )
        for outcome, number in counts.entries.items():
            entries.add_metric([outcome], number)
        yield entries

    def _of_models(self) -> Iterator[Metric]:
        models = self._gauges.models
        waiting = (((model.name,), model.waiting) for model in models)
        yield _gauge("model_queue_length", "Calls that wait for a worker.", ["model"], waiting)
        workers = (((model.name,), model.workers) for model in models)
        yield _gauge("model_workers", "Workers that can take calls.", ["model"], workers)
        states = (((model.name, state), int(model.state == state)) for model in models for state in self._gauges.states)
        yield _gauge("model_state", "1 for the state that the model is in.", ["model", "state"], states)
        restarts = CounterMetricFamily(PREFIX + "model_worker_restarts", "Workers restarted.", labels=["model"])
        for model in models:
            restarts.add_metric([model.name], model.restarts)
        yield restarts


def _gauge(name: str, text: str, labels: list[str], values: Iterable[tuple[Labels, float]]) -> Metric:
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for given, value in values:
        family.add_metric(given, value)
    return family


def _counter(name: str, text: str, labels: list[str], table: Mapping[Labels, Series]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for given, series in table.items():
        for outcome, number in series.outcomes.items():
            family.add_metric([*given, outcome], number)
    return family


def _histogram(name: str, text: str, labels: list[str], table: Mapping[Labels, Series]) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, text, labels=labels)
    for given, series in table.items():
        total, buckets = 0, []
        for bound, number in zip(_BUCKETS, series.buckets, strict=True):
            total += number
            buckets.append((bound, total))
        family.add_metric(given, buckets, series.seconds)
    return family
