"""Tokens made and revoked on the command line, while servers of one or several processes run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import Done, typed
from tests.e2e.server import Server, until

pytestmark = pytest.mark.e2e
MODEL = "def predict_data(data): return data"
#: Enough new connections that every process gets some.
MANY = 24
#: What is promised, and as much again for a machine that is busy with other tests.
WITHIN_S = 10


def command(server: Server, *arguments: str) -> Done:
    """The real command over a server's records."""
    return typed(*arguments, "--data-dir", server.folder / "data")


def new_token(server: Server, label: str, *arguments: str) -> str:
    done = command(server, "token", "create", label, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def statuses(server: Server, token: str, number: int = MANY) -> set[int]:
    return {server.predict("echo", {"data": 1}, X_API_Key=token).status for _ in range(number)}


def closed(server: Server) -> None:
    """Wait until every process has seen that there is a token now."""
    until(lambda: {server.predict("echo", {"data": 1}).status for _ in range(MANY)} == {401})


@pytest.fixture(params=["1", "2"], ids=["one process", "two http processes"])
def echo(server: Server, request: pytest.FixtureRequest) -> Server:
    server.install("echo", MODEL)
    return server.start("--http-workers", request.param)


def test_tokens_are_made_and_revoked_while_the_server_runs(echo: Server):
    assert echo.predict("echo", {"data": 1}).status == 200
    token = new_token(echo, "Ada", "--for", "echo", "--expires", "1h")
    assert statuses(echo, token) == {200}
    closed(echo)
    assert command(echo, "token", "revoke", "Ada").returncode == 0
    until(lambda: 200 not in statuses(echo, token), WITHIN_S)
    assert token not in echo.log
    assert token.encode() not in b"".join(file.read_bytes() for file in (echo.folder / "data").glob("deepaas_core.db*"))


def test_a_limit_holds_for_all_processes_together(echo: Server):
    token = new_token(echo, "Ada", "--requests-per-s", "0.01", "--burst", "7")
    closed(echo)
    answers = [echo.predict("echo", {"data": 1}, X_API_Key=token).status for _ in range(MANY)]
    assert answers == [200] * 7 + [429] * (MANY - 7)


def test_a_token_that_was_printed_outlives_a_kill(server: Server):
    server.install("echo", MODEL)
    server.start()
    admin = new_token(server, "operator", "--right", "admin")
    made = server.ask("/api/v1/tokens", {"label": "Ada", "rights": ["predict"]}, X_API_Key=admin).json
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    server.start()
    assert statuses(server, made["token"], 1) == {200}


@pytest.fixture
def two(tmp_path: Path, postgres) -> Iterator[list[Server]]:
    """Two servers on one database."""
    url, servers = postgres.with_tables(), []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        servers.append(Server(tmp_path / name))
        servers[-1].install("echo", MODEL)
        servers[-1].start("--store-url", url)
    yield servers
    for server in servers:
        server.end()
        for process in server.presences():
            process.kill()


def test_what_one_server_makes_and_revokes_holds_for_the_other(two: list[Server]):
    one, other = two
    asked = {"label": "operator", "rights": ["admin"]}
    admin = one.ask("/api/v1/tokens", asked).json["token"]
    made = one.ask("/api/v1/tokens", {"label": "Ada", "rights": ["predict"]}, X_API_Key=admin).json
    assert statuses(other, made["token"], 1) == {200}
    assert other.ask(f"/api/v1/tokens/{made['id']}", method="DELETE", X_API_Key=admin).status == 200
    until(lambda: statuses(one, made["token"], 1) == {401}, WITHIN_S)
    assert other.predict("echo", {"data": 1}).status == 401


@pytest.mark.parametrize(
    "arguments, said",
    [
        ((), "everybody may predict and read, nobody may do more"),
        (("--access-tokens", "off"), "everybody may do everything"),
        (("--access-tokens", "on"), "tokens are asked for, and there is none"),
    ],
)
def test_who_may_come_is_said_at_the_start(server: Server, arguments, said):
    server.install("echo", MODEL)
    server.start("--host", "0.0.0.0", *arguments)
    assert said in server.log


def test_commands_show_the_token_of_their_environment(server: Server):
    server.install("echo", MODEL)
    server.start()
    token = new_token(server, "Ada", "--right", "predict,read")

    def ask(**environ: str) -> Done:
        return typed("predict", "echo", "--data", "7", "--server", server.url, **environ)

    closed(server)
    assert "A token is needed" in ask().stderr
    assert ask(DEEPAAS_CORE_TOKEN=token).stdout.strip() == "7"


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (("token", "create", "x", "--right", "fly"), 2, "rights/0: Must be one of"),
        (("token", "create", " "), 2, "label: Must say"),
        (("token", "create", "x", "--expires", "soon"), 2, "--expires must be like 90m"),
        (("token", "create", "x", "--expires", "2001-01-01"), 2, "expires_at: Must be a time to come"),
        (("token", "create", "x", "--burst", "few"), 2, "--burst must be a number"),
        (("token", "create", "x", "--right", "admin", "--for", "y"), 2, "names: A token with the right admin"),
        (("token", "revoke", "nobody"), 4, "No token has the id 'nobody'"),
        (("access", "x", "--requests-per-s", "-1"), 2, "requests_per_s: Must be a number above 0"),
        (("access", "--burst", "3"), 2, "Of which model or service?"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_with_a_reason(server: Server, arguments, code, said):
    done = command(server, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr


def test_who_may_call_a_model_is_said_and_shown(server: Server):
    assert command(server, "access", "echo", "public", "--requests-per-s", "5").returncode == 0
    assert command(server, "access", "echo", "--burst", "9").returncode == 0
    shown = command(server, "access").stdout
    assert [cell.strip() for cell in shown.splitlines()[3].split("│")[1:-1]] == ["echo", "public", "5", "9", ""]
    command(server, "access", "echo", "default", "--requests-per-s", "none", "--burst", "none")
    assert "Nothing was said" in command(server, "access").stdout
