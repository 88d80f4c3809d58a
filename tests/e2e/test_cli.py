"""The command, as people and scripts meet it: what it prints, where, and with which exit code."""

from __future__ import annotations

import fcntl
import http.server
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import textwrap
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

import pytest

from deepaas_core import cli
from tests.commands import Done, run_here

ROOT = Path(__file__).parents[2]
MODELS = {
    "echo": """
        def predict_data(data, times: int = 1):
            '''Say it again.

            Args:
                times: How often.
            '''
            return [data] * times

        def predict_file(path):
            with open(path, "rb") as file:
                return {"bytes": len(file.read())}

        def train(epochs: int = 2, fail: bool = False, wait: bool = False, until: str = ""):
            import os, time
            from deepaas_core import run
            for epoch in range(epochs):
                print("epoch", epoch, flush=True)
            run.progress(1, 4)
            run.report(epoch=epochs, loss=0.125, **{"note": "\x1b[2J"})
            while wait or until and not os.path.exists(until):
                time.sleep(0.05)
            if folder := run.model_dir():
                (folder / "weights.txt").write_text("1")
                run.artifact(folder / "weights.txt")
            if fail:
                raise ValueError("diverged")
            return {"epochs": epochs}
        """,
    "broken": "import a_module_that_nobody_has",
}

pytestmark = pytest.mark.e2e


def install(site: Path, name: str, code: str) -> None:
    """Put a package with one model where Python finds it, as pip would."""
    module = re.sub(r"\W", "_", f"model_{name}")
    (site / f"{module}.py").write_text(textwrap.dedent(code))
    info = site / f"{module}_package-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {module}_package\nVersion: 1.5\nSummary: For tests.\n"
    )
    (info / "entry_points.txt").write_text(f"[deepaas.model]\n{name} = {module}\n")


@pytest.fixture(scope="session")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the models are installed."""
    site = tmp_path_factory.mktemp("site")
    for name, code in MODELS.items():
        install(site, name, code)
    install(site, "bad name", "")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEEPAAS_")}
    home = tmp_path_factory.mktemp("home")
    return {**kept, "HOME": str(home), "COLUMNS": "200", "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}


def command(arguments: Sequence[str | os.PathLike[str]]) -> list[str]:
    return [sys.executable, "-m", "deepaas_core", *map(str, arguments)]


@pytest.fixture
def run(environ: dict[str, str], tmp_path: Path) -> Callable[..., Done]:
    """``run("models", "--json")`` runs the command to its end."""

    def run_command(*arguments: str | os.PathLike[str], **more: str) -> Done:
        site = Path(environ["PYTHONPATH"].partition(os.pathsep)[0])
        done = run_here(cli.main, [str(argument) for argument in arguments], environ | more, tmp_path, site)
        assert not re.search("^Traceback", done.stderr, re.MULTILINE)  # a model's is indented, in the log
        return done

    return run_command


@contextmanager
def serving(environ: dict[str, str], data: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server and what it has said until it was ready."""
    argv = command(["--port", "0", "--data-dir", data, *arguments])
    with (data.parent / "server.log").open("w") as log:
        server = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        said = ""
        while "Ctrl-C" not in said:
            line = server.stdout.readline()
            assert line, (data.parent / "server.log").read_text()
            said += line
        yield server, said
    finally:
        server.terminate()
        server.communicate(timeout=30)


@pytest.fixture(scope="session")
def server(environ: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server; ``serve`` is the default command."""
    folder = tmp_path_factory.mktemp("server")
    with serving(environ, folder / "data", "--model", "echo") as (_, said):
        yield address(said)


@pytest.fixture
def ask(run: Callable[..., Done], server: str) -> Callable[..., Done]:
    """Run a command that talks to the running server."""

    def ask_server(*arguments: str | os.PathLike[str]) -> Done:
        return run(*arguments, DEEPAAS_CORE_SERVER=server)

    return ask_server


class Screen:
    """A terminal of 100 columns in which a command runs, and what it has shown, without colours."""

    def __init__(self, arguments: Sequence[str], environ: dict[str, str]):
        self.seen = ""
        self._terminal, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self._command = subprocess.Popen(command(arguments), env=environ, stdin=inner, stdout=inner, stderr=inner)
        os.close(inner)

    def until(self, pattern: str) -> re.Match[str]:
        """Read on until the screen shows something."""
        deadline = time.monotonic() + 30
        while not (found := re.search(pattern, re.sub(r"\x1b\[[0-9;?]*[mhlKA]", "", self.seen))):
            assert time.monotonic() < deadline, self.seen
            assert self._read(deadline), self.seen
        return found

    def interrupt(self) -> None:
        self._command.send_signal(signal.SIGINT)

    def exit_code(self) -> int:
        while self._read(time.monotonic() + 30):
            pass
        return self._command.wait(timeout=30)

    def close(self) -> None:
        self._command.kill()
        self._command.wait()
        os.close(self._terminal)

    def _read(self, deadline: float) -> bool:
        readable, _, _ = select.select([self._terminal], [], [], max(0, deadline - time.monotonic()))
        with suppress(OSError):  # how a terminal says that nobody writes any more
            piece = os.read(self._terminal, 65536) if readable else b""
            self.seen += piece.decode("utf-8", "replace")
            return bool(piece)
        return False


@pytest.fixture
def on_terminal(environ: dict[str, str], server: str) -> Callable[..., AbstractContextManager[Screen]]:
    """Run a command that talks to the running server in a terminal."""
    kept = {name: value for name, value in environ.items() if name not in ("COLUMNS", "NO_COLOR")}

    def show(*arguments: str) -> AbstractContextManager[Screen]:
        return closing(Screen(arguments, {**kept, "TERM": "xterm", "DEEPAAS_CORE_SERVER": server}))

    return show


def address(said: str) -> str:
    return re.search(r"Models +(http://\S+)", said)[1]


def test_help_says_what_the_exit_codes_mean(run):
    for arguments in (["--help"], ["predict", "--help"]):
        done = run(*arguments)
        assert done.returncode == 0
        for code in range(5):
            assert re.search(rf"^  {code}  \w+", done.stdout, re.MULTILINE)


def test_help_of_serve_says_defaults_and_every_setting(run):
    out = run("serve", "--help").stdout
    assert "(default: 5000)" in out
    assert "--workers-timeout-s" in out


def test_nothing_heavy_is_loaded_before_a_command_needs_it(environ):
    code = "import deepaas_core, deepaas_core.cli, sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    ).stdout
    heavy = {"aiohttp", "alembic", "asyncio", "importlib_metadata", "marshmallow", "numpy", "rich", "sqlalchemy"}
    assert heavy & set(loaded.split()) == set()


def test_models_lists_what_is_declared_without_loading_it(run):
    done = run("models")
    assert done.returncode == 1  # one of them has a name that cannot be served
    assert re.search(r"echo .*model_echo_package .*1\.5 .*model_echo .*For tests\.", done.stdout)
    assert re.search(r"broken .*model_broken", done.stdout)
    assert re.search(r"✗ bad name \(.*\)\n.*cannot stand in a URL", done.stdout)


def test_models_are_json_for_machines(run):
    done = run("models", "--json", "--model", "echo")
    [listed] = json.loads(done.stdout)
    assert (done.returncode, listed["name"], listed["target"], listed["problems"]) == (0, "echo", "model_echo", [])


def test_check_shows_what_a_client_will_see(run):
    done = run("check", "echo")
    assert done.returncode == 0
    assert re.search(r"/predict/data +200 +predict_data\S.* times: integer = 1", done.stdout)
    assert re.search(r"/predict/url +501 ", done.stdout)
    assert re.search(r"/train +202 .* epochs: integer = 2", done.stdout)


def test_check_shows_where_a_model_fails_to_start(run):
    done = run("check", "broken")
    assert done.returncode == 1
    assert "import a_module_that_nobody_has" in done.stderr


def test_check_of_all_tells_what_is_wrong_with_which(run):
    done = run("check", "--json")
    reports = json.loads(done.stdout)
    problems = {report["name"]: " ".join(report["problems"]) for report in reports if report["problems"]}
    assert done.returncode == 1
    assert "a_module_that_nobody_has" in problems["broken"]
    assert "URL" in problems["bad name"]
    assert "echo" not in problems


@pytest.mark.parametrize(
    "arguments", [["check", "cow"], ["models", "--model", "cow"], ["--model", "cow", "--port", "0"]]
)
def test_a_model_that_nobody_installed_is_not_found(run, arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (4, "")
    assert "No installed package declares a model 'cow'; there is bad name, broken, " in done.stderr


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--prot", "1"], "no argument '--prot'. Did you mean '--port'?"),
        (["--port", "many"], "--port must be a whole number from 0 to 65535, not 'many'."),
        (["--config", "missing.toml"], "missing.toml cannot be read"),
        (["--port", "1", "models"], "the command stands first: deepaas-core models"),
        (["cook"], "invalid choice: 'cook'"),
        (["predict", "echo", "--arg", "times"], "--arg must be NAME=VALUE, not 'times'."),
        (["predict", "echo", "--file", "missing.png"], "missing.png cannot be read"),
        (["predict", "echo", "--data", "1", "--url", "http://x"], "not allowed with"),
        (["predict", "echo", "--server", "localhost:5000"], "--server must be an address like http://127.0.0.1:5000"),
        (["predict", "echo", "--server", "http://[::1"], "--server must be an address"),
        (["runs", "cancel"], "the following arguments are required: ID"),
        (["runs", "lgo"], "'lgo' is not the id of a run"),
        (["runs", "abc", "--model", "echo"], "are for the list"),
    ],
)
def test_a_command_that_cannot_be_used_says_why_and_ends_with_2(run, arguments, told):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr


def test_serve_says_where_to_click_and_what_is_wrong_and_ends_in_good_order(environ, tmp_path):
    with serving(environ, tmp_path / "data") as (server, said):
        assert re.search(r"✓ echo 1\.5 .*predict_data", said)
        assert re.search(r"✗ broken .*a_module_that_nobody_has", said)
        assert re.search(r"✗ bad name .*cannot stand in a URL", said)
        assert f"Swagger  {address(said)}docs" in said
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0


def test_a_port_that_is_taken_is_told(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("--model", "echo", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(": Address already in use.")


def test_predict_prints_the_prediction_or_the_whole_answer(ask):
    assert json.loads(ask("predict", "echo", "--data", '{"a": 1}', "--arg", "times=2").stdout) == [{"a": 1}, {"a": 1}]
    assert json.loads(ask("predict", "echo", "--data", "plain text").stdout) == ["plain text"]
    answer = json.loads(ask("predict", "echo", "--data", "[]", "--json").stdout)
    assert answer == {"model": "echo", "version": "1.5", "prediction": [[]]}


def test_predict_uploads_a_file(ask, tmp_path):
    (tmp_path / "seven.png").write_bytes(bytes(1000))
    assert json.loads(ask("predict", "echo", "--file", tmp_path / "seven.png").stdout) == {"bytes": 1000}


def test_wrong_arguments_are_told_field_by_field(ask):
    done = ask("predict", "echo", "--data", "1", "--arg", "times=often", "--arg", "tmies=1")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"^  /times: ", done.stderr, re.MULTILINE)
    assert re.search(r"^  /tmies: ", done.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments, code, told",
    [
        (["predict", "cow", "--data", "1"], 4, "No model is named 'cow'."),
        (["predict", "../x", "--data", "1"], 4, "'../x'"),
        (["train", "cow"], 4, "No model is named 'cow'."),
        (["runs", "0" * 32], 4, "No training run has the id"),
        (["runs", "log", "0" * 32], 4, "No training run has the id"),
        (["predict", "echo", "--url", "http://x.example"], 1, "predict_url(url, **kwargs)"),
        (["runs", "--state", "lazy"], 1, "/state: Must be one of"),
    ],
)
def test_what_the_server_refuses_is_told_in_its_words(ask, arguments, code, told):
    done = ask(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr


def test_with_json_a_refusal_is_the_problem_document(ask):
    done = ask("predict", "cow", "--data", "1", "--json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (4, 404)


def test_train_and_follow_prints_the_log_and_how_it_ended(ask):
    done = ask("train", "echo", "--arg", "epochs=3", "--follow")
    assert done.returncode == 0
    assert "epoch 0\nepoch 1\nepoch 2\n" in done.stdout
    assert re.search(r"echo  succeeded", done.stdout)


def test_a_followed_run_that_fails_is_a_failure(ask):
    done = ask("train", "echo", "--arg", "fail=true", "--follow", "--json")
    run = json.loads(done.stdout)
    assert (done.returncode, run["state"], run["error"]["message"]) == (1, "failed", "diverged")


def test_runs_can_be_listed_read_and_cancelled(ask):
    started = json.loads(ask("train", "echo", "--arg", "wait=true", "--json").stdout)["id"]
    assert started in ask("runs", "--model", "echo").stdout
    assert len(json.loads(ask("runs", "--limit", "1", "--json").stdout)["runs"]) == 1
    cancelled = ask("runs", "cancel", started)
    assert (cancelled.returncode, "cancelled" in cancelled.stdout) == (0, True)
    assert json.loads(ask("runs", started, "--json").stdout)["state"] == "cancelled"


def test_a_list_of_runs_that_nobody_looks_at_is_plain_and_whole(ask):
    started = json.loads(ask("train", "echo", "--follow", "--json").stdout)
    header, first, *_ = ask("runs").stdout.splitlines()
    assert header.split()[:3] == ["run", "model", "state"]
    assert first.startswith(f"{started['id']}  echo   succeeded")
    assert "note \\x1b[2J" in first
    assert first.endswith(json.dumps(started["arguments"]))


def test_an_id_may_be_cut_short(ask):
    started = json.loads(ask("train", "echo", "--follow", "--json").stdout)["id"]
    assert json.loads(ask("runs", started[:10].upper(), "--json").stdout)["id"] == started


def test_a_run_is_tried_again_with_other_arguments_and_compared(ask):
    first = json.loads(ask("train", "echo", "-a", "epochs=3", "--follow", "--json").stdout)
    retried = ask("runs", "retry", first["id"], "-a", "epochs=4", "--promote-if", "loss < 1", "--follow", "--json")
    second = json.loads(retried.stdout)
    assert (second["retry_of"], second["arguments"]["epochs"], second["promote_if"]["met"]) == (first["id"], 4, True)
    compared = ask("runs", "compare", first["id"], second["id"]).stdout
    assert re.search(rf"{first['id'][:8]} +{second['id'][:8]}.*\nstate +succeeded +succeeded *\nepochs +3 +4", compared)
    assert ask("runs", "compare", first["id"], second["id"], "--csv").stdout.startswith("id,model,")


def test_an_earlier_model_is_served_and_its_files_are_saved(ask, tmp_path):
    first, second = (json.loads(ask("train", "echo", "--follow", "--json").stdout)["id"] for _ in range(2))
    assert ask("runs", "serve", first).stdout == f"echo is served by the model of run {first}.\n"
    refused = ask("runs", "delete", first)
    assert (refused.returncode, "is served" in refused.stderr) == (1, True)
    assert "weights.txt" in ask("runs", "files", first).stdout
    assert ask("runs", "files", first, "weights.txt", "--to", tmp_path / "saved").returncode == 0
    assert (tmp_path / "saved").read_text() == "1"
    assert ask("runs", "delete", second).returncode == 0
    assert ask("runs", second).returncode == 4


def test_a_terminal_shows_how_the_runs_go_on_until_they_are_over(ask, on_terminal):
    started = json.loads(ask("train", "echo", "-a", "wait=true", "--json").stdout)["id"]
    with on_terminal("runs", "--limit", "1") as screen:
        screen.until(rf"{started[:8]} +echo +running.* 25%.*loss 0.125")
        ask("runs", "cancel", started)
        screen.until("cancelled")
        assert screen.exit_code() == 0
    assert "\x1b[2J" not in screen.seen


def test_a_terminal_shows_log_and_progress_of_a_followed_run(on_terminal, ask):
    with on_terminal("train", "echo", "-a", "wait=true", "--follow") as screen:
        screen.until("epoch 1\r?\n")
        screen.until("running.* 25%.*loss 0.125")
        screen.interrupt()
        again = screen.until("deepaas-core runs log ([0-9a-f]{8}) --follow")[1]
        assert screen.exit_code() == 130
    assert json.loads(ask("runs", again, "--json").stdout)["state"] == "running"
    assert ask("runs", "cancel", again).returncode == 0


def test_who_follows_a_run_waits_for_a_server_that_is_restarted(environ, tmp_path):
    port = free_port()
    here = f"http://127.0.0.1:{port}"
    arguments = ("--model", "echo", "--port", str(port))
    with serving(environ, tmp_path / "data", *arguments) as (server, _):
        order = command(["train", "echo", "--arg", f"until={tmp_path / 'go'}", "--follow", "--server", here])
        following = subprocess.Popen(order, env=environ, stdout=subprocess.PIPE, text=True)
        while "epoch 1" not in following.stdout.readline():
            pass
        server.kill()
        server.wait()
    with serving(environ, tmp_path / "data", *arguments):
        (tmp_path / "go").touch()
        rest, _ = following.communicate(timeout=60)
    assert following.returncode == 0
    assert "epoch 0" not in rest
    assert "echo  succeeded" in rest


def test_the_log_of_a_run_is_printed_whole_and_as_it_is(ask):
    started = json.loads(ask("train", "echo", "--arg", "epochs=600000", "--follow", "--json").stdout)["id"]
    lines = ask("runs", "log", started).stdout.splitlines()
    assert [line for line in lines if line.startswith("epoch")][-1] == "epoch 599999"
    assert len(lines) >= 600_000  # more than one answer of the server holds


def test_a_server_that_is_not_there_is_told(run):
    done = run("predict", "echo", "--data", "1", "--server", f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, done.stdout) == (3, "")
    assert "no server answers at http://127.0.0.1" in done.stderr


def test_a_server_of_another_kind_is_told(run, tmp_path):
    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        for arguments in (["runs"], ["train", "echo"]):
            done = run(*arguments, "--server", f"http://127.0.0.1:{other.server_port}")
            assert (done.returncode, done.stdout) == (3, "")
            assert "does not answer like a deepaas-core server" in done.stderr
        other.shutdown()


@pytest.mark.parametrize("arguments", [["serve", "--help"], ["models", "--json"], ["models"]])
def test_a_reader_that_leaves_early_is_no_error(environ, arguments):
    buffered = {**environ, "PYTHONUNBUFFERED": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command(arguments), env=buffered, **pipes) as listing:
        listing.stdout.close()
        assert listing.stderr.read() == b""
        assert listing.wait(timeout=30) == 0


def test_a_server_goes_on_when_nobody_reads_what_it_prints(environ, tmp_path):
    port = free_port()
    argv = command(["--model", "echo", "--port", str(port), "--data-dir", tmp_path / "data"])
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=log)
    server.stdout.close()
    try:
        until_ready(f"http://127.0.0.1:{port}", server)
    finally:
        server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=30) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_ready(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"{address}/readyz", timeout=5) as answer:
            assert answer.status == 200
            return
        time.sleep(0.05)
    raise AssertionError("the server did not become ready")
