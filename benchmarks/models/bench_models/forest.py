"""A forest of 100 trees; calls that come together are answered together."""

import numpy

from bench_models import work

_estimator = work.forest()


def predict_batch(rows: numpy.ndarray) -> numpy.ndarray:
    """The class of each row of 20 numbers."""
    return _estimator.predict(rows)
