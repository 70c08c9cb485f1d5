"""The padding oracle: which check has failed cannot be told, neither by the answer nor by time."""

from __future__ import annotations

import math
import random
import socket
import time
from typing import Any

import pytest

from djsession import SessionCodec, SessionError
from tests.conftest import KEY, Serve
from tests.test_codec import token_of, token_of_blocks

# As long as each other, so that the length says nothing.
CAUSES = {
    "padding": token_of_blocks(b'{"username": "x", "a": "........"}'.ljust(48, b"\0")),
    "UTF-8": token_of(b'{"username": "x", "a": "\xff\xff\xff\xff\xff\xff\xff"}'),
    "JSON": token_of(b'{"username": "x", "a": "........",,'),
    "no object": token_of(b'["username", "x", "a", "........"]'),
}
REQUESTS = 2_000


def rank_test(one: list[float], other: list[float]) -> float:
    """Return the two-sided p-value of Mann and Whitney's U test, by its normal approximation."""
    ranked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    ranks, index = 0.0, 0
    while index < len(ranked):
        end = index
        while end + 1 < len(ranked) and ranked[end + 1][0] == ranked[index][0]:
            end += 1
        mean = (index + end) / 2 + 1
        ranks += mean * sum(1 for _, which in ranked[index : end + 1] if which == 0)
        index = end + 1
    n, m = len(one), len(other)
    u = ranks - n * (n + 1) / 2
    z = (u - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    return math.erfc(abs(z) / math.sqrt(2))


def test_the_rank_test_tells_what_differs() -> None:
    chance = random.Random(1)
    same = [chance.gauss(1, 0.2) for _ in range(2_000)]
    also = [chance.gauss(1, 0.2) for _ in range(2_000)]
    later = [chance.gauss(1.05, 0.2) for _ in range(2_000)]
    assert rank_test(same, also) > 0.001
    assert rank_test(same, later) < 0.001


class Connection:
    """One kept-alive connection: its set-up is not measured."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, request: bytes) -> tuple[float, bytes]:
        started = time.perf_counter()
        self.socket.sendall(request)
        received = self.socket.recv(65536)
        taken = time.perf_counter() - started
        head, _, body = received.partition(b"\r\n\r\n")
        while len(body) < 10:
            body += self.socket.recv(65536)
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"date:")]
        return taken, b"\r\n".join(lines) + body


def requests() -> dict[str, bytes]:
    assert len({len(token) for token in CAUSES.values()}) == 1
    return {
        cause: f'GET /app/ HTTP/1.1\r\nHost: x\r\nCookie: sessionid="{token}"\r\n\r\n'.encode()
        for cause, token in CAUSES.items()
    }


def test_which_check_failed_is_told_neither_by_the_answer_nor_by_the_time(serve: Serve) -> None:
    port = serve(
        "-m",
        "gunicorn",
        "-b",
        "127.0.0.1:{port}",
        "-k",
        "gthread",
        "--threads",
        "1",
        "--keep-alive",
        "60",
        "examples.hello:application",
        DJAODJIN_SECRET_KEY=KEY,
    )
    found: Any = None
    for _ in range(3):  # machines are noisy
        found = compare(port)
        if min(found.values()) >= 0.001:
            break
    else:
        pytest.fail(f"the causes can be told apart: {found}")


def compare(port: int) -> dict[tuple[str, str], float]:
    """Return the p-value of each pair of causes; the answers must be the same."""
    times: dict[str, list[float]] = {cause: [] for cause in CAUSES}
    answers = set()
    with Connection(port) as connection:
        order = list(requests().items())
        for _, request in order * 50:
            connection.ask(request)
        for _ in range(REQUESTS):
            random.shuffle(order)
            for cause, request in order:
                taken, answer = connection.ask(request)
                times[cause].append(taken)
                answers.add(answer)
    assert len(answers) == 1
    assert answers.pop().startswith(b"HTTP/1.1 403 Forbidden\r\n")
    return {
        (one, other): rank_test(times[one], times[other])
        for one in CAUSES
        for other in CAUSES
        if one < other
    }


def test_a_figure_without_the_socket(capsys: pytest.CaptureFixture[str]) -> None:
    """Printed, not judged: what differs here drowns in the socket."""
    codec, times = SessionCodec(KEY), {cause: [] for cause in CAUSES}  # type: ignore[var-annotated]
    order = list(CAUSES.items())
    for _ in range(REQUESTS):
        random.shuffle(order)
        for cause, token in order:
            started = time.perf_counter()
            with pytest.raises(SessionError):
                codec.loads(token)
            times[cause].append(time.perf_counter() - started)
    with capsys.disabled():
        medians = {cause: sorted(taken)[REQUESTS // 2] * 1e6 for cause, taken in times.items()}
        print("\nin process, microseconds:", {cause: round(us, 2) for cause, us in medians.items()})
    assert all(medians.values())
