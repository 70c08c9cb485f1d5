"""The padding oracle: neither the answer nor its time shows which check failed."""

from __future__ import annotations

import math
import random
import socket
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import permutations
from typing import Any

import pytest

from djsession import SessionCodec, SessionError
from tests.helpers.servers import Serve
from tests.helpers.sessions import KEY
from tests.helpers.tokens import token_of, token_of_blocks

# As much JSON in as many characters as in a session from the proxy.
ORGANIZATION = b'{"slug": "abc", "printable_name": "ABC Ltd", "created_at": "2024-01-01T00:00:00"},'


def causes(organizations: int) -> dict[str, str]:
    """Return a token for each cause of a refusal. All tokens have the same length.

    Each defect is at the end, where an attacker alters a token: everything before it has been
    parsed when the defect shows. The checks of a session that is valid JSON, such as that of
    repeated names, are left out: an altered token reaches them as rarely as it is accepted.
    """
    start = b'{"username": "x", "a": [' + ORGANIZATION * organizations
    whole = start + b'"........"]}'
    tokens = {
        "padding": token_of_blocks(whole.ljust(len(whole) // 16 * 16 + 16, b"\0")),
        "encoding": token_of(start + b'"\xff\xff\xff\xff\xff\xff\xff\xff"]}'),
        "JSON": token_of(start + b'"........",,'),
        "delimiter": token_of(start + b'"........"::'),
        "not an object": token_of(b'["username", "x", "a", [' + start[24:] + b'"........"]]'),
    }
    assert len({len(token) for token in tokens.values()}) == 1
    return tokens


CAUSES = causes(0)
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


def test_the_rank_test_tells_samples_apart() -> None:
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
    return {
        cause: f'GET /app/ HTTP/1.1\r\nHost: x\r\nCookie: sessionid="{token}"\r\n\r\n'.encode()
        for cause, token in CAUSES.items()
    }


def test_neither_the_answer_nor_its_time_shows_which_check_failed(serve: Serve) -> None:
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


# How much faster one cause may be refused than another, as a share of what the slower one takes.
# The work is the same up to a few per cent: instead of a text that is not ASCII, a decoy is parsed.
# Returning at the first failed check saves the parsing, about half of the time for a long token.
TOLERANCE = 0.1


def distinguishable(
    loads: Callable[[str], object], tokens: dict[str, str], rounds: int = 1_000
) -> dict[tuple[str, str], float]:
    """Return the pairs of causes (faster, slower) that the time of a refusal tells apart.

    The value is the p-value of the rank test after the faster cause has got the tolerance.
    """
    times: dict[str, list[float]] = {cause: [] for cause in tokens}
    order = list(tokens.items())
    for _ in range(rounds):
        # At random, so that other load on the machine is spread evenly over the causes.
        random.shuffle(order)
        for cause, token in order:
            started = time.perf_counter()
            with suppress(SessionError):
                loads(token)
            times[cause].append(time.perf_counter() - started)
    found = {}
    for faster, slower in permutations(tokens, 2):
        median = statistics.median(times[slower])
        shifted = [taken + TOLERANCE * median for taken in times[faster]]
        p = rank_test(shifted, times[slower])
        if p < 0.001 and statistics.median(shifted) < median:
            found[faster, slower] = p
    return found


def assert_same_time(tokens: dict[str, str]) -> None:
    for _ in range(3):  # machines are noisy
        found = distinguishable(SessionCodec(KEY).loads, tokens)
        if not found:
            return
    pytest.fail(f"(faster, slower) tokens that can be told apart: {found}")


@pytest.mark.parametrize("organizations", [0, 5, 50])
def test_no_cause_of_a_refusal_takes_another_time_in_process(organizations: int) -> None:
    """Without the noise of a socket, and with tokens long enough for skipped work to show."""
    assert_same_time(causes(organizations))


def test_the_time_of_a_refusal_does_not_show_where_an_altered_token_stops_being_json() -> None:
    """An attacker who alters a block in a long string could read the string from that."""
    whole = b'{"username": "' + b"x" * 100 + b'", "a": [' + ORGANIZATION * 50 + b"1]}"
    changes = {
        "outside a string": (0, b"\x80"),
        "in a string": (40, b"\x80"),
        "in a string with a quote": (40, b'\x80"'),
        "in a string with a control character": (40, b"\x80\x01"),
        "at the end": (len(whole) - 1, b"\x80"),
    }
    tokens = {
        name: token_of(whole[:at] + change + whole[at + len(change) :])
        for name, (at, change) in changes.items()
    }
    assert_same_time(tokens)


def test_the_timing_test_notices_an_early_return() -> None:
    codec = SessionCodec(KEY)

    def loads(token: str) -> None:
        try:
            codec.loads(token)
        finally:
            if token != CAUSES["padding"]:
                end = time.perf_counter() + 50e-6
                while time.perf_counter() < end:
                    pass

    found = distinguishable(loads, CAUSES)
    assert found.keys() >= {("padding", cause) for cause in CAUSES if cause != "padding"}
