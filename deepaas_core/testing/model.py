"""A plugin whose every call says what it shall do; the contract suites run on it. Standard library only."""

import os
import signal
import sys
import time


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("not even that")

    __repr__ = __str__


class Unpicklable(Exception):
    def __init__(self, needed, also_needed):
        super().__init__("cannot be rebuilt from this text alone")


calls = 0
_kept = []


def get_metadata():
    return {"description": "does as it is told", "version": "9.9", "pid": os.getpid()}


def predict_data(data, **kwargs):
    """Do what ``data["do"]`` says; other data is given back."""
    global calls
    calls += 1
    order = data.get("do") if isinstance(data, dict) else None
    if order is None:
        return data
    return _ORDERS[order](data)


def predict(**kwargs):
    """Say what was told to be said, piece by piece; fail in the middle if told to."""
    return _say(kwargs["words"].split(), kwargs["fail_at"], kwargs["forever"])


def get_predict_args():
    return {
        "words": {"default": "one two three", "type": "str"},
        "fail_at": {"default": -1, "type": "int"},
        "forever": {"default": False, "type": "bool"},
    }


def _say(words, fail_at, forever):
    for number, word in enumerate(words):
        if number == fail_at:
            raise ValueError("lost for words")
        yield word
    while forever:
        yield "x" * 10_000


def predict_file(path, **kwargs):
    with open(path, "rb") as file:
        content = file.read()
    return {"size": len(content), "suffix": os.path.splitext(path)[1], "path": path}


def _raise(data):
    raise {"ValueError": ValueError, "NotImplementedError": NotImplementedError, "AttributeError": AttributeError}[
        data["kind"]
    ](data.get("text", ""))


def _unprintable(data):
    raise Unprintable


def _unpicklable(data):
    raise Unpicklable(1, 2)


def _spin(data):
    while True:
        pass


def _sleep(data):
    time.sleep(data["seconds"])
    return data["seconds"]


def _flood(data):
    for _ in range(data["lines"]):
        print("x" * 200)
    return data["lines"]


def _fork(data):
    child = os.fork()
    if child == 0:
        time.sleep(600)
    return child


def _forget_to_leave_the_fork(data):
    """Both the process and its copy go on into the serving loop."""
    os.fork()
    return "once"


def _overflow(data):
    def down():
        return down()

    return down()


_ORDERS = {
    "raise": _raise,
    "unprintable": _unprintable,
    "unpicklable": _unpicklable,
    "sys.exit": lambda data: sys.exit(data.get("code", 1)),
    "interrupt": lambda data: (_ for _ in ()).throw(KeyboardInterrupt),
    "os._exit": lambda data: os._exit(data.get("code", 1)),
    "signal": lambda data: os.kill(os.getpid(), getattr(signal, data["signal"])),
    "spin": _spin,
    "sleep": _sleep,
    "flood": _flood,
    "fork": _fork,
    "fork twice": _forget_to_leave_the_fork,
    "overflow": _overflow,
    "close descriptors": lambda data: os.closerange(3, 256),
    "pid": lambda data: os.getpid(),
    "calls": lambda data: calls,
    "complex": lambda data: {"predictions": [1, 2, {"mask": 1j}]},
    "nan": lambda data: [float("nan"), float("inf"), 1.5],
    "environment": lambda data: dict(os.environ),
    "directory": lambda data: os.environ.get("DEEPAAS_CORE_MODEL_DIR"),
    "keep": lambda data: _kept.append(bytearray(data["mb"] * 2**20)),
    "print": lambda data: print(data["text"]),
}
