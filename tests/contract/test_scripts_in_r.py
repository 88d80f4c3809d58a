"""Functions of scripts in R, with the real R: values there and back, errors, print-outs, and its end."""

import asyncio
import json
import logging
import os
import signal
import textwrap

import psutil
import pytest

from deepaas_core import errors
from deepaas_core.domain.model import Capability, Source
from deepaas_core.executors.base import Call, ExecutorState
from deepaas_core.executors.pool import Limits, Pool
from deepaas_core.executors.process import Launch
from deepaas_core.plugins.inspection import inspect
from deepaas_core.testing.executors import answer, records, up
from tests.r import r

__all__ = ["r"]
pytestmark = pytest.mark.usefixtures("r")


@pytest.fixture
async def served(tmp_path):
    """Writes a script in R down and serves a function of it."""
    pools = []

    async def serve(script, function="predictor", endpoint=None):
        folder = tmp_path / f"folder {len(pools)}"
        folder.mkdir()
        (folder / "score.R").write_text(textwrap.dedent(script))
        launch = Launch("score", f"{folder}/score.R:{function}", endpoint=endpoint or {}, max_result_bytes=100_000)
        pools.append(Pool(launch, Limits(restart_pause_max_s=0.1)))
        return await up(pools[-1])

    yield serve
    await asyncio.gather(*(pool.close(drain_s=1.0) for pool in pools))


def call(timeout_s=20.0, **values):
    return Call(Capability.PREDICT, values, timeout_s=timeout_s)


def arguments(pool):
    return inspect(Source("score", "service", "", "score", "v1"), pool.description).arguments[Capability.PREDICT]


async def until(condition, within_s=20):
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.01)


def r_of(pool):
    """The process id of R below the one worker."""
    return psutil.Process(pool.pids[0]).children()[0].pid


def runs(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# Arguments.


async def test_parameters_and_their_defaults_become_arguments(served):
    pool = await served(
        """
        #' Scores somebody.
        #' @param age in years
        predictor <- function(age, num.periods = 5L, rate = 0.5, sex = c("f", "m"), flag = TRUE, other = NULL,
                              weights = c(1, 2), late = length(age)) {
          list(age, num.periods, rate, match.arg(sex), flag, other, weights, late)
        }
        """
    )
    declared = arguments(pool)
    assert declared["age"].help == "in years"
    assert [name for name, one in declared.items() if one.required] == ["age"]
    assert (declared["num.periods"].kind, declared["rate"].kind, declared["flag"].kind) == (
        "integer",
        "number",
        "boolean",
    )
    assert declared["sex"].choices == ("f", "m")
    values = declared.load_exact({"age": [40], "num.periods": [7], "rate": 1})
    assert answer(await pool.call(call(**values))) == [40, 7, 1, "f", True, None, [1, 2], 1]
    with pytest.raises(errors.InvalidInput) as caught:
        declared.load_exact({"num.periods": 1.5, "sex": "x", "unknown": 1})
    assert {issue.pointer for issue in caught.value.issues} == {"/age", "/num.periods", "/sex", "/unknown"}


async def test_dots_take_whatever_is_sent(served):
    pool = await served("predictor <- function(...) names(list(...))\n")
    assert answer(await pool.call(call(**arguments(pool).load_exact({"a": 1, "b c": 2, "é": 3})))) == ["a", "b c", "é"]


# What JSON is in R.

INTO = [
    ([5], "num 5"),
    (2.5, "num 2.5"),
    ("é中", 'chr "é中"'),
    (True, "logi TRUE"),
    (None, "NULL"),
    ([1, None, 3], "num [1:3] 1 NA 3"),
    (["a", None], 'chr [1:2] "a" NA'),
    ([[1, 2], [3, 4]], "num [1:2, 1:2] 1 3 2 4"),
    ([[1], [2, 3]], "List of 2"),
    ({"a": 1, "b": "x"}, "List of 2"),
    ([{"a": 1}, {"a": None}], "'data.frame': 2 obs. of 1 variable:"),
    ([], "list()"),
]


async def test_json_becomes_the_obvious_thing_in_r(served):
    pool = await served(
        """
        predictor <- function(x) {
          if (is.integer(x)) storage.mode(x) <- "double"
          gsub("\\\\s+", " ", trimws(capture.output(str(x))[[1]]))
        }
        """
    )
    assert [answer(await pool.call(call(x=value))) for value, _ in INTO] == [seen for _, seen in INTO]


TABLES = [
    ([{"a": 1, "b": "x"}, {"a": 2, "b": None}], [2, 3]),
    ({"a": [1, 2], "b": ["x", None]}, [2, 3]),
    ({"a": 1, "b": "x"}, [1, 1]),
]


@pytest.mark.parametrize("name", ["df", "new.data"])
async def test_a_parameter_for_tables_gets_a_data_frame(served, name):
    pool = await served(f"predictor <- function({name}) c(nrow({name}), sum({name}$a))\n")
    assert [answer(await pool.call(call(**{name: value}))) for value, _ in TABLES] == [seen for _, seen in TABLES]


# What R's values are in JSON; the table in docs/reference/results.md.

FROM = {
    "NULL": None,
    "NA": None,
    "NaN": None,
    "-Inf": None,
    "NA_character_": None,
    "TRUE": True,
    "c(TRUE, NA)": [True, None],
    "7L": 7,
    "c(100000L, NA)": [100000, None],
    "0.1": 0.1,
    "1/3": 1 / 3,
    "5": 5,
    "123456789012": 123456789012,
    "2^53": 2**53,
    "1e300": 1e300,
    "c(1, NA, 3)": [1, None, 3],
    "c(a = 1, b = 2)": [1, 2],
    "numeric(0)": [],
    "I(5)": [5],
    "'a\"b\\\\c\\n\\t\\u00e9\\u4e2d'": 'a"b\\c\n\té中',
    "letters[1:3]": ["a", "b", "c"],
    "list(1, 'b', NULL)": [1, "b", None],
    "list(a = 1, b = list(c = 2))": {"a": 1, "b": {"c": 2}},
    "list()": [],
    "setNames(list(), character(0))": {},
    "matrix(1:6, 2)": [[1, 3, 5], [2, 4, 6]],
    "matrix(1:2, 1)": [[1, 2]],
    "matrix(numeric(0), 0, 3)": [],
    "array(1:8, c(2, 2, 2))": [[[1, 5], [3, 7]], [[2, 6], [4, 8]]],
    "data.frame(a = 1:2, b = c('x', NA))": {"a": [1, 2], "b": ["x", None]},
    "data.frame(a = 1)": {"a": [1]},
    "data.frame(f = factor('u'), d = as.Date('2026-01-02'))": {"f": ["u"], "d": ["2026-01-02"]},
    "factor(c('u', NA))": ["u", None],
    "as.Date('2026-01-02')": "2026-01-02",
    "as.POSIXct('2026-01-02 03:04:10', tz = 'UTC')": "2026-01-02T03:04:10Z",
    "as.POSIXct('2026-01-02 03:04:05.25', tz = 'UTC')": "2026-01-02T03:04:05.25Z",
    "as.POSIXlt('2026-01-02 05:04:05', tz = 'Europe/Athens')": "2026-01-02T03:04:05Z",
    "as.difftime(2, units = 'mins')": 120,
    "charToRaw('hi')": "aGk=",
    "numeric_version('1.2')": "1.2",
    "structure(list(1, 2), names = c('a', NA))": {"a": 1, "2": 2},
    "structure(list(a = 1), class = 'mine')": {"a": 1},
    "iconv('\u00e9', 'UTF-8', 'latin1')": "é",
}


async def test_values_of_r_become_the_obvious_json(served):
    pool = await served("predictor <- function(which) eval(parse(text = which, encoding = 'UTF-8'))\n")
    found = {text: answer(await pool.call(call(which=text))) for text in FROM}
    assert found == FROM


CANNOT = [
    ("list(a = list(b = 1i))", r"a\.b: a value of the type complex cannot become JSON"),
    ("list(1, sum)", r"\[2\]: an object of the class function cannot become JSON"),
    ("globalenv()", "result: an object of the class environment"),
    ("list(b = list(a = 1, a = 2))", "b: what has two members called a"),
    ("data.frame(a = 1, a = 2, check.names = FALSE)", "result: what has two members called a"),
    ("strrep('x', 200000)", "larger than 100000 bytes"),
]


async def test_what_cannot_become_json_is_named(served):
    pool = await served("predictor <- function(which) eval(parse(text = which))\n")
    for made, told in CANNOT:
        with pytest.raises(errors.UnencodableResult, match=told):
            await pool.call(call(which=made))


async def test_large_values_go_there_and_back(served):
    pool = await served("predictor <- function(x) length(x)\n")
    assert answer(await pool.call(call(x=list(range(300_000))))) == 300_000


async def test_text_that_r_cannot_hold_is_the_callers_fault(served):
    pool = await served("predictor <- function(x) x\n")
    with pytest.raises(errors.InvalidInput, match="NUL"):
        await pool.call(call(x="a\0b"))
    assert answer(await pool.call(call(x="a\\u0000b"))) == "a\\u0000b"


# Errors and print-outs.


async def test_stop_is_told_with_its_call_and_where_it_came_from(served):
    pool = await served(
        """
        checked <- function(z) {
          if (z < 0) stop("z must not be negative")
          z
        }
        predictor <- function(x) checked(x)
        """
    )
    with pytest.raises(errors.ModelFailure) as caught:
        await pool.call(call(x=-1))
    assert (caught.value.kind, caught.value.message) == ("simpleError", "Error in checked(x): z must not be negative")
    assert "score.R#6: checked(x)" in caught.value.traceback
    assert answer(await pool.call(call(x=1))) == 1


async def test_a_condition_can_carry_a_status(served):
    pool = await served(
        """
        predictor <- function() stop(structure(
          class = c("refused", "error", "condition"), list(message = "not now", call = NULL, http_status_code = 409)
        ))
        """
    )
    with pytest.raises(errors.ModelRefusal) as caught:
        await pool.call(call())
    assert (caught.value.code, caught.value.text) == (409, "not now")


async def test_endless_recursion_is_an_error_and_not_the_end(served):
    pool = await served("deep <- function(n) deep(n + 1)\npredictor <- function(x) if (x) deep(1) else 'fine'\n")
    with pytest.raises(errors.ModelFailure):
        await pool.call(call(x=True))
    assert answer(await pool.call(call(x=False))) == "fine"


async def test_what_r_prints_goes_into_the_log_and_not_into_the_answer(served, caplog):
    caplog.set_level(logging.INFO)
    pool = await served(
        """
        predictor <- function(x) {
          cat("by cat\\n"); print("by print"); message("by message"); warning("by warning"); x
        }
        """
    )
    assert answer(await pool.call(call(x=1))) == 1
    lines = lambda: " ".join(record.line for record in caplog.records if hasattr(record, "line"))  # noqa: E731
    await until(lambda: all(f"by {word}" in lines() for word in ("cat", "print", "message", "warning")))


@pytest.mark.parametrize(
    "script, told",
    [
        ("x <- 1\n\ny <- unknown + 1\n", "object 'unknown' not found (score.R, line 3)"),
        ("library(notThere)\n", "there is no package called"),
        ("f <- function( {\n", "score.R:1:16: unexpected '{'"),
        ("predict0r <- function() 1\nx <- 2\n", "score.R has no function 'predictor'; it has predict0r"),
        ("quit('no', 4)\n", "R ended while it loaded score.R (exit code 4)"),
    ],
)
async def test_a_script_that_does_not_load_says_where_and_why(served, script, told):
    pool = await served(script)
    assert pool.state is ExecutorState.FAILED
    assert told in pool.reason


async def test_without_r_the_reason_says_what_to_install(served, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    pool = await served("predictor <- function() 1\n")
    assert "score.R needs R" in pool.reason
    assert "r-base-core" in pool.reason


async def test_without_jsonlite_the_reason_says_what_to_install(served, monkeypatch, tmp_path):
    for name in ("R_LIBS_SITE", "R_LIBS_USER"):
        monkeypatch.setenv(name, str(tmp_path))
    pool = await served("predictor <- function() 1\n")
    assert "R has no package jsonlite: install r-cran-jsonlite" in pool.reason


async def test_a_script_may_clear_its_workspace_and_runs_in_its_folder(served):
    pool = await served(
        """
        rm(list = ls(all.names = FALSE))
        here <- basename(getwd())
        predictor <- function() list(here, ls(globalenv()))
        """
    )
    assert answer(await pool.call(call())) == ["folder 0", ["here", "predictor"]]


async def test_text_is_utf_8_whatever_the_locale_of_the_server(served, monkeypatch):
    for name in ("LANG", "LC_ALL", "LC_CTYPE"):
        monkeypatch.setenv(name, "C")
    pool = await served('greeting <- "grüß "\npredictor <- function(x) paste0(greeting, toupper(x))\n')
    assert answer(await pool.call(call(x="é"))) == "grüß É"


async def test_packages_of_a_generation_are_found_in_its_library(served, tmp_path):
    pool = await served("predictor <- function() basename(.libPaths()[[1]])\n", endpoint={"r_library": str(tmp_path)})
    assert answer(await pool.call(call())) == tmp_path.name


# Responses.


async def test_a_function_sets_status_media_type_and_headers(served):
    pool = await served(
        """
        predictor <- function(raw) {
          body <- if (raw) as.raw(0:2) else "a,b"
          deepaas_response(body, 201, "text/csv", list("Set-Cookie" = "a=1", "Set-Cookie" = "b=2"))
        }
        """
    )
    result = await pool.call(call(raw=False))
    assert (result.body, result.status, result.media_type) == (b"a,b", 201, "text/csv")
    assert result.headers == (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))
    assert (await pool.call(call(raw=True))).body == b"\0\1\2"


async def test_a_response_without_a_media_type_is_json(served):
    pool = await served("predictor <- function() deepaas_response(list(a = 1), 202)\n")
    result = await pool.call(call())
    assert (answer(result), result.status, result.media_type) == ({"a": 1}, 202, None)


# Records.


async def test_records_are_calls_by_name_and_fail_alone(served):
    pool = await served("predictor <- function(a, b = 2) { if (a < 0) stop('negative'); a * b }\n")
    result = await pool.call(records({"a": 1}, {"a": -1}, {"b": 1}, {"a": 2, "b": 5}))
    assert answer(result) == [2, None, None, 10]
    assert result.refused[1].message == "Error in predictor(a = a): negative"
    assert isinstance(result.refused[2], errors.InvalidInput)


async def test_a_function_of_a_table_gets_all_records_at_once(served):
    endpoint = {
        "inputs": [{"name": "sex", "type": "categorical", "classes": ["f", "m"]}, {"name": "age"}],
        "outputs": [{"name": "risk", "type": "categorical", "classes": ["good", "bad"]}],
    }
    pool = await served(
        """
        predictor <- function(newdata, scale = 100) {
          stopifnot(identical(levels(newdata$sex), c("f", "m")), identical(names(newdata), c("sex", "age")))
          p <- newdata$age / scale
          cbind(p, 1 - p)
        }
        """,
        endpoint=endpoint,
    )
    result = await pool.call(records({"age": 75, "sex": "f"}, {"age": 25, "sex": None}))
    assert answer(result) == [
        {"risk": "good", "probabilities": {"risk": {"good": 0.75, "bad": 0.25}}},
        {"risk": "bad", "probabilities": {"risk": {"good": 0.25, "bad": 0.75}}},
    ]


async def test_a_model_of_r_predicts(served):
    pool = await served("fit <- lm(dist ~ speed, cars)\npredictor <- function(newdata) predict(fit, newdata)\n")
    assert answer(await pool.call(records({"speed": 10}, {"speed": 20}))) == pytest.approx([21.745, 61.069], abs=0.01)


# How it ends.


async def test_a_call_past_its_time_ends_r_and_the_next_is_answered(served):
    pool = await served("predictor <- function(hang) if (hang) repeat {} else 1\n")
    before = r_of(pool)
    with pytest.raises(errors.ModelTimeout):
        await pool.call(call(hang=True, timeout_s=0.3))
    assert answer(await pool.call(call(hang=False))) == 1
    await until(lambda: not runs(before))


@pytest.mark.parametrize(
    "how, told",
    [("quit('no', 3)", "exit code 3"), ("tools::pskill(Sys.getpid(), 9)", "signal SIGKILL")],
    ids=["quits", "is killed"],
)
async def test_when_r_ends_in_a_call_the_worker_is_replaced(served, how, told):
    pool = await served(f"predictor <- function(end) if (end) {how} else 1\n")
    with pytest.raises(errors.ModelCrashed, match=told):
        await pool.call(call(end=True))
    assert answer(await pool.call(call(end=False))) == 1


async def test_when_r_is_killed_while_it_waits_nobody_notices(served):
    pool = await served("predictor <- function() 1\n")
    before = pool.pids[0]
    os.kill(r_of(pool), signal.SIGKILL)
    await until(lambda: pool.pids and pool.pids[0] != before)
    assert answer(await pool.call(call())) == 1


async def test_r_ends_with_its_worker_even_if_that_is_killed_in_the_middle_of_a_call(served):
    pool = await served("predictor <- function() repeat {}\n")
    spinning = r_of(pool)
    asked = asyncio.ensure_future(pool.call(call()))
    await until(lambda: psutil.Process(spinning).status() == psutil.STATUS_RUNNING)
    os.kill(pool.pids[0], signal.SIGKILL)
    with pytest.raises(errors.ModelCrashed):
        await asked
    await until(lambda: not runs(spinning))


async def test_nothing_is_left_when_it_is_closed(served):
    pool = await served("predictor <- function() 1\n")
    left = r_of(pool)
    await pool.close(drain_s=1.0)
    await until(lambda: not runs(left))


async def test_the_memory_of_r_is_its_workers(served):
    pool = await served("kept <- numeric(2e7)\npredictor <- function() length(kept)\n")
    [worker] = pool._ready
    assert worker.memory_bytes() > 150 * 2**20
    assert json.loads((await pool.call(call())).body) == 20_000_000
