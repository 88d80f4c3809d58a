"""Length and SHA-256 of an upload."""

from bench_models import work


def predict_file(path):
    with open(path, "rb") as file:
        return work.digest(file)
