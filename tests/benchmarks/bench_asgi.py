"""What the ASGI middleware adds to a bare application, in floors of decoding.

Run it with ``nox -s bench -- asgi``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from djsession import SessionCodec

from .asgi_apps import bare, djsession
from .measuring import (
    KEY,
    OTHER_COOKIES,
    ROUNDS,
    SIZES,
    Call,
    at_most,
    headline,
    jwt_floor,
    less,
    measure,
    openssl_floor,
    ratio,
    session_of,
)

#: In floors, for the first size and the cookie format.
TARGET = 1.5

FLOORS: dict[Any, Callable[[str, bytes], Any]] = {"openssl": openssl_floor, "jwt": jwt_floor}


def asgi_call(app: Any, *headers: tuple[bytes, bytes]) -> Call:
    """Return a call that sends a request to an ASGI application, without an event loop.

    The applications never wait, so one step runs them to the end.
    """
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"localhost"),
            (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64)"),
            (b"accept", b"text/html,*/*;q=0.8"),
            (b"accept-language", b"en"),
            (b"accept-encoding", b"gzip, deflate"),
            (b"x-forwarded-for", b"203.0.113.9"),
            *headers,
        ],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
    }

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200, message

    def call() -> None:
        try:
            app(scope.copy(), receive, send).send(None)
        except StopIteration:
            return
        raise AssertionError("the application waits for something")

    return call


def main() -> None:
    headline(f"medians of {ROUNDS} interleaved rounds; what it adds to a bare ASGI application")
    print(f"\n{'JSON':>6}  {'what':<44} {'us':>7} {'floors':>7}  target")
    for size in SIZES:
        for name, floor in FLOORS.items():
            token = SessionCodec(KEY).dumps(session_of(size), name)
            headers = [(b"cookie", f'{OTHER_COOKIES}sessionid="{token}"'.encode())]
            if name == "jwt":
                headers = [(b"authorization", f"Bearer {token}".encode())]
            times = measure(
                {
                    "floor": lambda token=token, floor=floor: floor(token, KEY.encode()),  # type: ignore[misc]
                    "bare": asgi_call(bare, *headers),
                    "djsession": asgi_call(djsession, *headers),
                }
            )
            added = less(times["djsession"], times["bare"])
            floors = ratio(added, times["floor"])
            line = f"{size:>6}  {f'{name}, SessionMiddleware':<44} {statistics.median(added):7.1f}"
            has_target = (size, name) == (SIZES[0], "openssl")
            print(f"{line} {floors:7.2f}{f'  {at_most(TARGET, floors)}' if has_target else ''}")
        print()


if __name__ == "__main__":
    main()
