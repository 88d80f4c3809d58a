"""What every target does, so that targets differ only in how they serve it.

Run as a program, it prints the rows that are sent to the estimators and the answers that are expected, as JSON.
"""

import hashlib
import json
import time

FEATURES = 20
ROWS = 64
CLASS = 100


def logistic():
    """A logistic regression; ``predict`` takes (rows, 20) floats and gives (rows,) classes: 100 or 101."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=500).fit(*_training_set())


def forest():
    """A forest of 100 trees; takes and gives what ``logistic`` does."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(100, random_state=0, n_jobs=1).fit(*_training_set())


def mean(numbers):
    """The mean of numbers: a list, or an array of float32."""
    import numpy

    return float(numpy.asarray(numbers, dtype=numpy.float32).mean())


def digest(file):
    """Length in bytes and SHA-256 of an open binary file."""
    length, sha256 = 0, hashlib.sha256()
    while piece := file.read(2**18):
        length += len(piece)
        sha256.update(piece)
    return {"length": length, "sha256": sha256.hexdigest()}


def digest_bytes(content):
    """The same of bytes that are in memory already."""
    return {"length": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def block(how):
    """Take 50 ms: ``sleep``, or ``compute`` (of this thread's own time, in Python, holding the interpreter)."""
    if how == "sleep":
        time.sleep(0.05)
    else:
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            sum(range(1000))
    return how


def _training_set():
    from sklearn.datasets import make_classification

    features, classes = make_classification(2000, FEATURES, n_informative=10, flip_y=0.1, random_state=0)
    return features, classes + CLASS


def _sample():
    features, _ = _training_set()
    rows = features[:ROWS].round(4)
    return {
        "rows": rows.tolist(),
        "logistic": logistic().predict(rows).tolist(),
        "forest": forest().predict(rows).tolist(),
    }


if __name__ == "__main__":
    print(json.dumps(_sample()))
