"""A page of metrics as Prometheus reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


class Page:
    """The samples of a page, by name and labels."""

    def __init__(self, text: str):
        self.samples = {
            (sample.name.removeprefix("deepaas_core_"), frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """The value of the one sample that has exactly these labels; 0 if there is none."""
        return self.samples.get((name, frozenset(labels.items())), 0)
