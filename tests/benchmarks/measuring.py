"""What the benchmarks share: sessions of a given size, floors, timing and the table.

Times are CPU times, which other processes affect only a little. They differ from machine to
machine all the same. Therefore the rows of a table are measured in turn, for many rounds, and only
ratios within one round are compared: whatever slows down a whole round does not change them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from io import BytesIO
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY = "k3y!@#$%^*-_=+ab"
#: Characters of JSON: the documented session, and users with more organizations.
SIZES = (334, 1_400, 6_000)
#: What browsers send beside the token.
OTHER_COOKIES = "_ga=GA1.2.111.222; csrftoken=abcDEF123; "

ROUNDS = 201
SECONDS_PER_ROUND = 0.003

Call = Callable[[], object]
Times = list[float]


def session_of(size: int) -> dict[str, Any]:
    """Return a session like the documented one, with ``size`` characters of JSON."""
    site = {"printable_name": "Chamoix Coworking", "email": "support@cowork.net"}
    organizations: list[dict[str, Any]] = []
    session = {
        "username": "xia",
        "roles": {"manager": organizations},
        "site": site,
        "last_visited": None,
    }
    while True:
        number = len(organizations)
        organizations.append(
            {
                "slug": f"xia-{number}",
                "printable_name": "Xia Lee",
                "created_at": "2017-09-14T23:16:55Z",
                "email": "xia@example.com",
                "subscriptions": [{"plan": "basic", "ends_at": "2030-01-01T09:00:00Z"}],
            }
        )
        if len(json.dumps(session)) > size:
            organizations.pop()
            site["printable_name"] += "x" * (size - len(json.dumps(session)))
            return session


def openssl_floor(token: str, passphrase: bytes) -> Any:
    """Decode a token of the openssl format in a straight line, without any check."""
    raw = base64.b64decode(token)
    salted = passphrase + raw[8:16]
    first = hashlib.md5(salted).digest()
    second = hashlib.md5(first + salted).digest()
    third = hashlib.md5(second + salted).digest()
    decryptor = Cipher(algorithms.AES(first + second), modes.CBC(third)).decryptor()
    plaintext = decryptor.update(raw[16:]) + decryptor.finalize()
    return json.loads(plaintext[: -plaintext[-1]])


def jwt_floor(token: str, key: bytes) -> Any:
    """Decode a token of the jwt format in a straight line, without any check.

    The signature is computed but not compared, and the header is not read.
    """
    signed, _, _ = token.rpartition(".")
    hmac.digest(key, signed.encode(), "sha256")
    payload = signed.partition(".")[2]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def measure(
    calls: Mapping[str, Call],
    around: Callable[[str], AbstractContextManager[object]] = lambda name: nullcontext(),
) -> dict[str, Times]:
    """Return how long one call of each takes, in microseconds of CPU time, round by round.

    ``around(name)`` is entered around the calls of each row.
    """
    loops = {}
    for name, call in calls.items():
        with around(name):
            call()
            started = time.process_time()
            for _ in range(20):
                call()
            once = (time.process_time() - started) / 20
        loops[name] = max(1, int(SECONDS_PER_ROUND / once))
    times: dict[str, Times] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            with around(name):
                call()  # fills what entering the context has emptied
                repeat = range(loops[name])
                started = time.process_time()
                for _ in repeat:
                    call()
                times[name].append((time.process_time() - started) / loops[name] * 1e6)
    return times


def less(whole: Times, part: Times) -> Times:
    return [a - b for a, b in zip(whole, part, strict=True)]


def ratio(over: Times, under: Times) -> float:
    """Return the median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def at_most(limit: float, value: float) -> str:
    """Return a target and whether a figure meets it."""
    return f"at most {limit:.2f}  {'met' if value <= limit else 'MISSED'}"


def at_least(limit: float, value: float) -> str:
    """Return a target and whether a figure meets it."""
    return f"at least {limit:.2f}  {'met' if value >= limit else 'MISSED'}"


def headline(*details: str) -> None:
    python = ".".join(map(str, sys.version_info[:3]))
    print(", ".join([f"Python {python}", *details]))


def wsgi_environ(cookie: str, path: str = "/") -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "HTTP_COOKIE": OTHER_COOKIES + cookie,
        "wsgi.input": BytesIO(),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
    }


def wsgi_call(app: Any, cookie: str, path: str = "/") -> Call:
    """Return a call that sends a request to a WSGI application and checks the answer."""
    environ = wsgi_environ(cookie, path)

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        assert status.startswith("200"), status

    def call() -> None:
        result = app(dict(environ), start_response)
        body = b"".join(result)
        if hasattr(result, "close"):
            result.close()
        assert body == b"xia", body

    return call
