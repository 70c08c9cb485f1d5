"""The cost of decoding and of the WSGI middleware, in floors, beside djaodjin-deployutils.

Run it with ``nox -s bench -- decode``.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from typing import Any

from deployutils.crypt import decrypt

from djsession import SessionCodec, SessionMiddleware

from .measuring import (
    KEY,
    ROUNDS,
    SIZES,
    Call,
    at_least,
    at_most,
    headline,
    jwt_floor,
    less,
    measure,
    openssl_floor,
    ratio,
    session_of,
    wsgi_call,
)

#: In floors, for each size.
LOADS_TARGETS = (1.15, 1.30, 1.55)
MIDDLEWARE_TARGETS = (1.30, 1.45, 1.60)
JWT_TARGET = 1.25


def noop(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    start_response("200 OK", [])
    return [b"xia"]


def calls_for(session: dict[str, Any]) -> dict[str, Call]:
    codec, key = SessionCodec(KEY), KEY.encode()
    openssl, jwt = codec.dumps(session), codec.dumps(session, "jwt")
    middleware = SessionMiddleware(noop, secret_key=KEY)
    return {
        "openssl floor": lambda: openssl_floor(openssl, key),
        "openssl loads": lambda: codec.loads(openssl),
        "noop": wsgi_call(noop, f'sessionid="{openssl}"'),
        "openssl middleware": wsgi_call(middleware, f'sessionid="{openssl}"'),
        "jwt floor": lambda: jwt_floor(jwt, key),
        "jwt loads": lambda: codec.loads(jwt),
        "jwt middleware": wsgi_call(middleware, f'sessionid="{jwt}"'),
        "deployutils": lambda: json.loads(decrypt(openssl, KEY)),
    }


def main() -> None:
    headline(
        f"medians of {ROUNDS} interleaved rounds; a floor is what decoding costs without checks"
    )
    print(f"\n{'JSON':>6}  {'what':<44} {'us':>7} {'floors':>7}  target")
    for size, loads_target, middleware_target in zip(
        SIZES, LOADS_TARGETS, MIDDLEWARE_TARGETS, strict=True
    ):
        session = session_of(size)
        times = measure(calls_for(session))
        openssl, jwt = times["openssl floor"], times["jwt floor"]
        through = less(times["openssl middleware"], times["noop"])
        for what, took, floor, target in (
            ("openssl floor: base64, 3 x MD5, AES, json", openssl, openssl, None),
            ("openssl, SessionCodec.loads", times["openssl loads"], openssl, loads_target),
            ("openssl, SessionMiddleware less no-op app", through, openssl, middleware_target),
            ("openssl, deployutils", times["deployutils"], openssl, None),
            ("jwt floor: base64, HMAC-SHA256, json", jwt, jwt, None),
            ("jwt, SessionCodec.loads", times["jwt loads"], jwt, JWT_TARGET),
            (
                "jwt, SessionMiddleware less no-op app",
                less(times["jwt middleware"], times["noop"]),
                jwt,
                None,
            ),
        ):
            floors = ratio(took, floor)
            line = f"{size:>6}  {what:<44} {statistics.median(took):7.1f} {floors:7.2f}"
            print(line if target is None else f"{line}  {at_most(target, floors)}")
        if size == SIZES[0]:
            times_as_long = ratio(times["deployutils"], times["openssl loads"])
            what = f"{'deployutils, in SessionCodec.loads':<44} {'':>7} {times_as_long:7.2f}"
            print(f"{size:>6}  {what}  {at_least(1.60, times_as_long)}")
        print()


if __name__ == "__main__":
    main()
