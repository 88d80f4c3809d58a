"""Every answer of a server under load has its entry in the log, however the server is stopped."""

from __future__ import annotations

import csv
import http.client
import json
import signal
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from deepaas_core.cli import main
from tests.e2e.server import Server, until

pytestmark = pytest.mark.e2e
DOUBLE = "def predict_data(data):\n    return data * 2\n"


@pytest.fixture
def server(tmp_path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.install("double", DOUBLE)
    yield server
    server.end()


class Client(threading.Thread):
    """Asks again and again over one connection, until there is nobody to answer.

    Attributes:
        answered: The ids of the requests that were.
    """

    def __init__(self, url: str):
        super().__init__(daemon=True)
        self.answered: list[str] = []
        self._address = urlsplit(url).netloc
        self.start()

    def run(self) -> None:
        while True:
            connection = http.client.HTTPConnection(self._address, timeout=10)
            try:
                while True:
                    self._ask(connection)
            except (http.client.HTTPException, ConnectionResetError, BrokenPipeError):
                continue  # this connection has ended
            except OSError:
                return
            finally:
                connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/api/v1/models/double/predict/data", b'{"data": 21}', headers)
        response = connection.getresponse()
        if response.status == 200 and response.read():
            self.answered.append(response.headers["X-Request-ID"])


def logged(server: Server) -> Counter[str]:
    with sqlite3.connect(server.folder / "data" / "predictions.db") as database:
        return Counter(request for (request,) in database.execute("SELECT request FROM predictions WHERE status = 200"))


def ask_and_end(server: Server, number: signal.Signals) -> list[str]:
    """What was answered to some clients by the time that a signal had ended the server."""
    clients = [Client(server.url) for _ in range(8)]
    until(lambda: all(len(client.answered) >= 20 for client in clients), within_s=60)
    server.process.send_signal(number)
    server.process.wait(40)
    for client in clients:
        client.join(20)
        assert not client.is_alive()
    return [request for client in clients for request in client.answered]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_nothing_that_was_answered_is_missing_after_a_stop(server, processes):
    server.start("--prediction-log-log", "full", "--http-workers", processes)
    answered = ask_and_end(server, signal.SIGTERM)
    found = logged(server)
    assert set(answered) - set(found) == set()
    assert set(found.values()) == {1}
    assert len(found) - len(answered) <= 8  # answers that were not read any more


def test_nothing_that_was_answered_is_missing_after_a_kill_if_answers_wait_for_their_entries(server):
    server.start("--prediction-log-log", "full", "--prediction-log-durable")
    answered = ask_and_end(server, signal.SIGKILL)
    assert answered
    assert set(answered) - set(logged(server)) == set()


def test_the_log_is_read_labelled_and_counted_on_the_command_line(server, capsys, tmp_path):
    server.start("--prediction-log-log", "full")
    requests = [server.predict("double", {"data": number}).headers["X-Request-ID"] for number in (1, 2)]

    def command(*arguments):
        code = main([*arguments, "--server", server.url])
        return code, capsys.readouterr().out

    code, said = command("log", "double", "--json")
    assert code == 0
    assert [entry["request"] for entry in json.loads(said)["predictions"]] == requests[::-1]
    assert requests[0] in command("log", "--status", "2xx")[1]
    assert command("log", "double", "--csv", str(tmp_path / "log.csv"))[0] == 0
    with (tmp_path / "log.csv").open(newline="") as file:
        assert [row["number"] for row in csv.DictReader(file)] == ["4.0", "2.0"]
    (tmp_path / "labels.csv").write_text(f"request,label\n{requests[0]},2\n{requests[1]},5\nnone,1\n")
    assert command("log", "label", str(tmp_path / "labels.csv")) == (0, "2 labelled, 1 not in the log\n")
    seen = json.loads(command("log", "statistics", "double", "--json")[1])
    assert seen["labels"]["classification"]["accuracy"] == 0.5
    assert "predicted 4" in command("log", "statistics", "double")[1]
    assert command("log", "statistics", "other")[0] == 4
    assert command("log", "--status", "many")[0] == 1
