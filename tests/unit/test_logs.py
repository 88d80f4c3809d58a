"""One record is one line, whoever wrote the text in it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from deepaas_core.telemetry import logs

HOSTILE = {
    "line breaks": "a\n12:00:00 INFO    forged\r\nb",
    "other line breaks": "a\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029b",
    "escape sequences": "\x1b[2J\x1b]0;title\x07\x9b31m",
    "turned writing": "\u202etxt.exe\u202c \u2066\u2069\u200f",
    "half a character": "\ud800",
    "a nul": "\x00",
}


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What the log has written since the last look; the logging of the tests themselves is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)


log = logging.getLogger("deepaas_core.test")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("form", ["text", "json"])
def test_nothing_in_a_message_or_a_field_can_end_its_line_or_steer_a_terminal(written, form, text):
    logs.configure("info", form)
    log.info("said %s", text, extra={"line": text})
    [line] = written().splitlines()
    assert line.isprintable()
    line.encode()


def test_a_field_cannot_be_taken_for_two(written):
    logs.configure("info", "text")
    for value in ['x" model="digits', "x model=digits", "x=y", "back\\", 'x\\" y="', ""]:
        log.info("said", extra={"line": value, "end": "1"})
    lines = written().splitlines()
    field = r'\w+=(?:"(?:[^"\\]|\\.)*"|[^\s"=\\]+)'
    assert [re.fullmatch(rf"\S+ INFO    said ({field}) ({field})", line)[2] for line in lines] == ["end=1"] * len(lines)


def test_a_record_for_people_is_a_phrase_and_its_fields(written):
    logs.configure("info", "auto")
    log.info("worker ready", extra={"model": "digits", "pid": 12, "reason": "all is well"})
    assert re.fullmatch(r'\d\d:\d\d:\d\d INFO    worker ready model=digits pid=12 reason="all is well"\n', written())


def test_a_record_for_machines_is_strict_json_with_an_aware_time(written):
    logs.configure("info", "json")
    log.warning("loss", extra={"pid": 12, "loss": float("nan"), "seconds": 0.5, "other": {("a",): object}, "ok": True})

    def never(constant):
        raise AssertionError(constant)

    record = json.loads(written(), parse_constant=never)
    assert datetime.fromisoformat(record["time"]).tzinfo is not None
    assert (record["level"], record["logger"], record["message"]) == ("warning", "deepaas_core.test", "loss")
    assert (record["pid"], record["loss"], record["seconds"], record["ok"]) == (12, "nan", 0.5, True)


def test_a_field_never_takes_the_place_of_what_is_ours(written):
    logs.configure("info", "json")
    log.info("real", extra={"level": "forged", "time": "forged", "logger": "forged"})
    record = json.loads(written())
    assert "forged" not in record.values()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_record_carries_the_id_of_its_request_and_of_no_other(written, form):
    logs.configure("info", form)
    token = logs.request_id.set("abc-1")
    log.info("inside")
    logs.request_id.reset(token)
    log.info("outside")
    inside, outside = written().splitlines()
    assert "abc-1" in inside
    assert "request" not in outside


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_has_a_limit(written, form):
    logs.configure("info", form)
    log.info("x" * 1_000_000, extra={"line": "\n" * 1_000_000})
    [line] = written().splitlines()
    assert len(line) < 5 * logs.MAX_LINE


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_told_without_a_line_that_could_be_a_record(written, form):
    logs.configure("info", form)
    try:
        raise ValueError("first\n12:00:00 INFO    forged\x85{}\n" + "y" * 1_000_000)
    except ValueError:
        log.exception("failed")
    text = written()
    first, *rest = text.splitlines()
    assert "failed" in first
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    assert len(text) < 10 * logs.MAX_LINE


@pytest.mark.parametrize("level, heard", [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_says_what_is_written(written, level, heard):
    logs.configure(level)
    log.debug("one")
    log.info("two")
    log.warning("three")
    log.error("four")
    assert len(written().splitlines()) == heard


def test_setting_up_twice_does_not_write_twice(written):
    logs.configure("info")
    logs.configure("info")
    log.info("once")
    assert len(written().splitlines()) == 1


@pytest.mark.parametrize("form", ["text", "json"])
def test_many_lines_written_at_once_look_like_records(written, form):
    texts = ["127.0.0.1 GET / 200 12 1.0ms abc", "a %s b", *HOSTILE.values(), "x" * 20_000]
    logs.configure("info", form)
    for text in texts:
        log.info("%s", text)
    one_by_one = written()
    logs.write_lines(log, texts)
    clock = r"\d\d:\d\d:\d\d(\.\d\d\dZ)?"
    assert re.sub(clock, "", written()) == re.sub(clock, "", one_by_one)


def test_many_lines_are_kept_from_a_log_that_does_not_want_them(written):
    logs.configure("warning", "text")
    logs.write_lines(log, ["quiet"])
    assert written() == ""
