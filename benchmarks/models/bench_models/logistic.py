"""Logistic regression, a row at a time."""

from bench_models import work

_estimator = work.logistic()


def predict_data(data: list[float]) -> int:
    """The class of one row of 20 numbers."""
    return int(_estimator.predict([data])[0])
