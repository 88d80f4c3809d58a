"""Who asks: wrk for throughput, and a plain socket where single answers matter."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from benchmarks.environments import HERE
from benchmarks.targets import CASES, Ask

PATIENCE_S = 60


@dataclass(frozen=True)
class Sample:
    """What one round of load showed.

    Attributes:
        rate: Answers 2xx a second.
        p50_us, p99_us: Latencies in microseconds.
        requests: All answers.
        bad: Answers that were no 2xx, and requests without an answer.
    """

    rate: float
    p50_us: float
    p99_us: float
    requests: int
    bad: int


def start_wrk(port: int, ask: Ask, connections: int, seconds: float) -> subprocess.Popen[str]:
    """Start wrk without waiting for it."""
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{max(1, round(seconds))}s"]
    command += ["--timeout", f"{PATIENCE_S}s", "--script", str(HERE / "post.lua"), f"http://127.0.0.1:{port}{ask.path}"]
    command += [
        "--",
        str(CASES / ask.body),
        ask.media_type,
        *(f"{name}={value}" for name, value in ask.headers.items()),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish_wrk(process: subprocess.Popen[str]) -> Sample:
    """What a started wrk has measured."""
    output = process.communicate()[0]
    lines = [line for line in output.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(f"wrk failed: {output}")
    found = json.loads(lines[0].removeprefix("RESULT ").replace("-nan", "0").replace("nan", "0"))
    rate = (found["requests"] - found["refused"]) / found["seconds"]
    return Sample(rate, found["p50_us"], found["p99_us"], found["requests"], found["refused"] + found["failed"])


def wrk(port: int, ask: Ask, connections: int, seconds: float) -> Sample:
    """One round of load over kept connections."""
    return finish_wrk(start_wrk(port, ask, connections, seconds))


class Connection:
    """One kept connection that asks and waits.

    Args:
        port: Of the server.
    """

    def __init__(self, port: int):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def ask(self, ask: Ask) -> tuple[int, bytes]:
        """Status and body of one answer.

        Raises:
            OSError, ValueError: The connection broke, or the answer is none.
        """
        return self.send(message(ask))

    def send(self, content: bytes) -> tuple[int, bytes]:
        """Like ``ask``, with a request that was made before."""
        self._socket.sendall(content)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        headers = dict(line.split(":", 1) for line in lines[1:])
        if "content-length" in headers:
            while len(body) < int(headers["content-length"]):
                body += self._receive()
        else:
            while not body.endswith(b"0\r\n\r\n"):
                body += self._receive()
        return int(lines[0].split()[1]), body

    def _receive(self) -> bytes:
        received = self._socket.recv(1 << 20)
        if not received:
            raise ConnectionResetError("The server closed the connection.")
        return received


def message(ask: Ask) -> bytes:
    """A request as it goes over the line."""
    content = ask.content()
    head = [f"{'POST' if ask.body else 'GET'} {ask.path} HTTP/1.1", "Host: 127.0.0.1"]
    if ask.body:
        head += [f"Content-Type: {ask.media_type}", f"Content-Length: {len(content)}"]
    head += [f"{name}: {value}" for name, value in ask.headers.items()]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


def latencies_ms(port: int, ask: Ask, seconds: float, pause_s: float = 0.002) -> list[float]:
    """Latencies of one client that asks, waits for the answer, and pauses; in milliseconds, sorted."""
    content, found = message(ask), []
    end = time.perf_counter() + seconds
    with Connection(port) as connection:
        while (began := time.perf_counter()) < end:
            status, _ = connection.send(content)
            if status != 200:
                raise ValueError(f"status {status}")
            found.append((time.perf_counter() - began) * 1e3)
            time.sleep(pause_s)
    return sorted(found)


def quantile(ordered: list[float], share: float) -> float:
    """The value below which this share of the sorted values lies."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def answers(value: Any, expected: Any) -> bool:
    """Whether what was expected stands anywhere in a decoded answer; numbers may differ in the fourth digit."""
    if isinstance(value, dict):
        return any(answers(member, expected) for member in value.values())
    if isinstance(value, list):
        return any(answers(member, expected) for member in value)
    if isinstance(expected, float) and isinstance(value, int | float):
        return abs(value - expected) < 1e-4 * abs(expected)
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return answers(json.loads(value), expected)
        except ValueError:
            return False
    return bool(value == expected)
