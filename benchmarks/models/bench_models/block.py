"""Takes 50 ms, sleeping or computing."""

from bench_models import work


def predict_data(data: str) -> str:
    """``sleep`` or ``compute``."""
    return work.block(data)
