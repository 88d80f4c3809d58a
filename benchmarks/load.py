"""Who asks: wrk for throughput, and plain sockets where answers are few or each of them matters."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
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
    try:
        output = process.communicate()[0]
    finally:
        process.kill()  # it still runs if we were interrupted
    lines = [line for line in output.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(f"wrk failed: {output}")
    found = json.loads(lines[0].removeprefix("RESULT ").replace("-nan", "0").replace("nan", "0"))
    rate = (found["requests"] - found["refused"]) / found["seconds"]
    return Sample(rate, found["p50_us"], found["p99_us"], found["requests"], found["refused"] + found["failed"])


def wrk(port: int, ask: Ask, connections: int, seconds: float) -> Sample:
    """One round of load over kept connections."""
    return finish_wrk(start_wrk(port, ask, connections, seconds))


def heavy(
    port: int, ask: Ask, connections: int, seconds: float, meanwhile: Callable[[], object] = lambda: None
) -> Sample:
    """One round of requests with large bodies, some of which take longer than the round: none is cut off.

    Args:
        port: Who is asked.
        ask: What is asked.
        connections: Kept ones; each asks at least once.
        seconds: No request begins later than this.
        meanwhile: Called again and again until the last answer has come.
    """
    content, began = message(ask), time.perf_counter()
    found: list[float] = []
    bad: list[str] = []

    def keep_asking() -> None:
        try:
            with Connection(port) as connection:
                while True:
                    sent = time.perf_counter()
                    status, _ = connection.send(content, ask.repeat)
                    if status != 200:
                        raise ValueError(f"status {status}")
                    found.append(time.perf_counter() - sent)
                    if bad or time.perf_counter() - began >= seconds:
                        return
        except (OSError, ValueError) as error:
            bad.append(str(error))

    threads = [threading.Thread(target=keep_asking, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        meanwhile()
        threads[0].join(0.02)
    took = time.perf_counter() - began
    found.sort()
    p50, p99 = (statistics.median(found), quantile(found, 0.99)) if found else (0.0, 0.0)
    return Sample(len(found) / took, p50 * 1e6, p99 * 1e6, len(found), len(bad))


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

    def send(self, content: bytes, repeat: int = 1) -> tuple[int, bytes]:
        """Like ``ask``, with a request that was made before; its body is sent so many times."""
        self._socket.sendall(content)
        if repeat > 1:
            again = memoryview(content)[content.index(b"\r\n\r\n") + 4 :]
            for _ in range(repeat - 1):
                self._socket.sendall(again)
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
            body = _unchunked(body)
        return int(lines[0].split()[1]), body

    def _receive(self) -> bytes:
        received = self._socket.recv(1 << 20)
        if not received:
            raise ConnectionResetError("The server closed the connection.")
        return received


def _unchunked(body: bytes) -> bytes:
    """A body without the lengths of its chunks."""
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole


def message(ask: Ask) -> bytes:
    """A request as it goes over the line."""
    content = ask.content()
    head = [f"{'POST' if ask.body else 'GET'} {ask.path} HTTP/1.1", "Host: 127.0.0.1"]
    if ask.body:
        head += [f"Content-Type: {ask.media_type}", f"Content-Length: {len(content) * ask.repeat}"]
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
