"""Sample code says in every language what was meant, whatever the names and texts in it are."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from types import ModuleType, SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from deepaas_core.web import samples

URL = "http://127.0.0.1:5000/api/v1/services/s/endpoints/e/predict"
#: Quotes and escapes of all the languages, and characters that are not what they look like.
HOSTILE = (
    "',\";`$(id)\\",
    "'''\"\"\"",
    "\\u0041\\N{DIGIT ONE}%s{{x}}{% x %}${y}",
    "line\nfeed\r\ttab\0\x1b\x7f\x85",
    "Größe ß 😀 \u2028\u2029\u202e\u200b\ufeff\xad",
    "*/ -->\n</script>",
    "__proto__",
    "constructor",
    "if",
    "NULL",
    "a b.c",
    "",
)
hostile = st.sampled_from(HOSTILE)
texts = st.text(max_size=12) | hostile
numbers = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9)
leaves = st.none() | st.booleans() | numbers | texts
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=8) | st.dictionaries(texts, inner, max_size=4))
bodies = st.dictionaries(texts, values, max_size=5)
ALL = {name: name for name in HOSTILE}
thorough = settings(max_examples=20)


def written(language, body):
    return samples.write(language, samples.Asked(URL, body, answer="rows", token=True))


def same(sent, meant):
    """Whether this was sent; a large float may have been written as a whole number."""
    if isinstance(sent, dict) and isinstance(meant, dict):
        return sent.keys() == meant.keys() and all(same(sent[key], meant[key]) for key in meant)
    if isinstance(sent, list) and isinstance(meant, list):
        return len(sent) == len(meant) and all(map(same, sent, meant))
    if isinstance(meant, float) and isinstance(sent, int) and not isinstance(sent, bool):
        return float(sent) == meant
    return sent == meant and isinstance(sent, bool) == isinstance(meant, bool)


class Interpreter:
    """Runs samples, and gives what each would send."""

    def __init__(self, *command: str):
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def sent_by(self, source):
        self._process.stdin.write(json.dumps(source) + "\n")
        self._process.stdin.flush()
        return json.loads(json.loads(self._process.stdout.readline()))

    def close(self):
        self._process.stdin.close()
        self._process.wait(timeout=20)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def node():
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    interpreter = Interpreter(
        "node",
        "-e",
        """
        require("readline").createInterface({input: process.stdin}).on("line", (line) => {
          const fetch = async (url, {body}) => {
            console.log(JSON.stringify(body));
            return {ok: true, json: async () => ({rows: []})};
          };
          new Function("fetch", "console", JSON.parse(line))(fetch, {log() {}});
        });
        """,
    )
    yield interpreter
    interpreter.close()


@pytest.fixture(scope="module")
def r():
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    jsonlite = subprocess.run(["Rscript", "-e", "library(jsonlite)"], stderr=subprocess.DEVNULL, check=False)
    if jsonlite.returncode:
        pytest.skip("R's package jsonlite is not installed")
    interpreter = Interpreter(
        *("env", "LC_ALL=C.UTF-8", "Rscript", "-e"),
        """
        input <- file("stdin", "r")
        while (length(line <- readLines(input, 1, encoding = "UTF-8"))) {
          sample <- new.env()
          sample$library <- sample$add_headers <- sample$content_type_json <- sample$print <- function(...) NULL
          sample$toJSON <- jsonlite::toJSON
          sample$fromJSON <- function(text) list()
          sample$content <- function(...) ""
          sample$http_error <- function(...) FALSE
          sample$POST <- function(url, ..., body) cat(jsonlite::toJSON(body, auto_unbox = TRUE), "\\n", sep = "")
          eval(parse(text = jsonlite::fromJSON(line), encoding = "UTF-8"), sample)
        }
        """,
    )
    yield interpreter
    interpreter.close()


def sent_by_python(source):
    sent = []

    def post(url, *, json, headers, timeout):
        sent.append((url, json, headers))
        return SimpleNamespace(ok=True, json=lambda: {"rows": []})

    library = ModuleType("requests")
    library.post = post
    with patch.dict(sys.modules, requests=library):
        exec(compile(source.encode(), "sample.py", "exec"), {})
    [(url, body, headers)] = sent
    assert (url, headers) == (URL, {"Authorization": f"Bearer {samples.TOKEN}"})
    return body


def sent_by_shell(source):
    arguments = shlex.split(source.replace("\\\n", ""))
    assert arguments[:4] == ["curl", "-X", "POST", URL]
    return json.loads(arguments[arguments.index("-d") + 1])


def sent_by_java(source):
    """What it sends, given that within what we write a text in Java is one in JSON; see the end-to-end test, too."""
    assert source.isascii()
    [_, text] = source.split("String body =\n")
    pieces = text.partition(";\n        HttpRequest")[0].split("\n            + ")
    return json.loads("".join(json.loads(piece.strip()) for piece in pieces))


def sent_by_visual_basic(source):
    assert source.isascii()
    assert max(map(len, source.splitlines())) < 1000  # its editor takes no more than 1023
    pieces = re.findall(r'^    body = (?:body & )?"((?:[^"]|"")*)"$', source, re.MULTILINE)
    return json.loads("".join(pieces).replace('""', '"'))


@thorough
@given(bodies)
@example(ALL)
def test_samples_send_what_was_meant(body):
    assert sent_by_python(written("python", body)) == body
    assert sent_by_shell(written("curl", body)) == body
    assert sent_by_java(written("java", body)) == body
    assert sent_by_visual_basic(written("vba", body)) == body


@thorough
@given(bodies)
@example(ALL)
@example({"a": 2**53 + 1})
def test_samples_in_javascript_send_what_was_meant(node, body):
    assert same(node.sent_by(written("javascript", body)), body)


@thorough
@given(bodies)
@example(ALL)
@example({"a": 2**53 + 1, "b": 0.1 + 0.2})
@example({"a": {}, "b": [], "c": [[], {}, None, [None]], "d": [1], "e": 100000, "f": 1e5, "g": 1.0})
def test_samples_in_r_send_what_was_meant(r, body):
    assert same(r.sent_by(written("r", body)), body)


@pytest.mark.parametrize("language", samples.LANGUAGES)
def test_nothing_in_a_sample_is_invisible(language):
    asked = samples.Asked(URL, ALL, answer="rows", value="x")
    text = samples.write(language, asked)
    assert [char for char in text if not char.isprintable() and char != "\n"] == []
