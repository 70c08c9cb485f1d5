"""What decoding costs: ratios within one run, against a floor and against deployutils.

Run it with ``nox -s bench``. Each row is the median of interleaved rounds. Times differ from
machine to machine and from run to run; only the ratios, taken within each round, mean anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from djsession import SessionCodec, SessionMiddleware

KEY = "k3y!@#$%^*-_=+ab"
ROUNDS = 201
SECONDS_PER_ROUND = 0.003


def session_of(size: int) -> dict[str, Any]:
    """Return a session like the documented one, of about ``size`` characters of JSON."""
    session: dict[str, Any] = {
        "username": "xia",
        "roles": {"manager": []},
        "site": {"printable_name": "Chamoix Coworking", "email": "support@cowork.net"},
        "last_visited": None,
    }
    organizations = session["roles"]["manager"]
    while len(json.dumps(session)) < size - 100:
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
    return session


def floor(token: str, passphrase: bytes) -> Any:
    """The least that decoding must do, in a straight line, with no check."""
    raw = base64.b64decode(token)
    salted = passphrase + raw[8:16]
    first = hashlib.md5(salted).digest()
    second = hashlib.md5(first + salted).digest()
    third = hashlib.md5(second + salted).digest()
    decryptor = Cipher(algorithms.AES(first + second), modes.CBC(third)).decryptor()
    plaintext = decryptor.update(raw[16:]) + decryptor.finalize()
    return json.loads(plaintext[: -plaintext[-1]])


def measure(rows: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Return the times of one call of each, in microseconds, round by round."""
    loops = {}
    for name, call in rows.items():
        call()
        started = time.perf_counter()
        for _ in range(20):
            call()
        once = (time.perf_counter() - started) / 20
        loops[name] = max(1, int(SECONDS_PER_ROUND / max(once, 1e-8)))
    times: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(ROUNDS):
        for name, call in rows.items():
            repeat = range(loops[name])
            started = time.perf_counter()
            for _ in repeat:
                call()
            times[name].append((time.perf_counter() - started) / loops[name] * 1e6)
    return times


def ratio(over: list[float], under: list[float]) -> float:
    """The median of the ratios within each round: what slows a whole round does not count."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def noop(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


def rows_for(session: dict[str, Any]) -> dict[str, Callable[[], object]]:
    codec = SessionCodec(KEY)
    token = codec.dumps(session)
    passphrase = KEY.encode()
    middleware = SessionMiddleware(noop, secret_key=KEY)
    cookie = f'_ga=GA1.2.111.222; csrftoken=abcDEF123; sessionid="{token}"'
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/app/", "HTTP_COOKIE": cookie}

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        pass

    rows: dict[str, Callable[[], object]] = {
        "floor": lambda: floor(token, passphrase),
        "loads": lambda: codec.loads(token),
        "noop": lambda: noop(dict(environ), start_response),
        "middleware": lambda: middleware(dict(environ), start_response),
    }
    try:
        from deployutils.crypt import decrypt
    except ImportError:
        pass
    else:
        rows["deployutils"] = lambda: json.loads(decrypt(token, KEY))
    try:
        signed = codec.dumps(session, "jwt", max_age=10**6)
    except Exception as missing:
        print(f"no jwt row: {missing}")
    else:
        rows["loads, jwt"] = lambda: codec.loads(signed)
    return rows


def main() -> None:
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"Python {python}; medians of {ROUNDS} interleaved rounds; ratios within each round\n")
    print(f"{'session':>8}  {'what':<38} {'us':>8} {'ratio':>7}  target")
    for size in (330, 1_400, 6_000):
        session = session_of(size)
        times = measure(rows_for(session))
        base, loads = times["floor"], times["loads"]
        pairs = zip(times["middleware"], times["noop"], strict=True)
        through = [whole - noop for whole, noop in pairs]
        table = [
            ("floor: base64, 3 x MD5, AES, json", base, base, ""),
            ("SessionCodec.loads", loads, base, "at most 1.10"),
            ("SessionMiddleware, less the no-op app", through, base, "at most 1.25"),
        ]
        if "loads, jwt" in times:
            table.append(("SessionCodec.loads of a jwt", times["loads, jwt"], base, ""))
        if "deployutils" in times:
            peer = times["deployutils"]
            table.append(("deployutils decrypt + json.loads", peer, base, ""))
            goal = "at least 1.60" if size == 330 else ""
            table.append(("deployutils, times SessionCodec.loads", peer, loads, goal))
        length = len(json.dumps(session))
        for what, over, under, target in table:
            us, times_as_long = statistics.median(over), ratio(over, under)
            print(f"{length:>8}  {what:<38} {us:8.1f} {times_as_long:7.2f}  {target}".rstrip())
        print()


if __name__ == "__main__":
    main()
