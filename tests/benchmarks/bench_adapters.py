"""What an adapter costs over the bare framework: in floors of decoding, within one run.

Beside it, what the framework's own signed session costs, holding the same data; and what the
floor itself costs when a view of the bare framework calls it, between all that a request does,
instead of a loop that does nothing else. Run it with ``nox -s bench``.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from typing import Any

from bench_decode import KEY, ROUNDS, floor, measure, session_of
from flask import Flask
from flask import session as flask_session
from pyramid.config import Configurator
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory

from djsession import SessionCodec
from djsession.flask import DjSession

Row = Callable[[], object]
OTHERS = "_ga=GA1.2.111.222; csrftoken=abcDEF123; "


View = Callable[[Any], str]


def reads(session: Any) -> str:
    username: str = session["username"]
    return username


def flask_app(view: View, djsession: bool = False) -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a secret of the application", DJAODJIN_SECRET_KEY=KEY)
    if djsession:
        DjSession(app)
    app.add_url_rule("/", view_func=lambda: view(flask_session))
    return app


def pyramid_app(view: View, djsession: bool = False, factory: Any = None) -> Any:
    config = Configurator(settings={"djsession.secret_key": KEY} if djsession else {})
    if djsession:
        config.include("djsession.pyramid")
    if factory is not None:
        config.set_session_factory(factory)
    config.add_route("view", "/")
    if view is reads:
        config.add_view(lambda request: Response(view(request.session)), route_name="view")
    else:
        config.add_view(lambda request: Response(view(None)), route_name="view")
    return config.make_wsgi_app()


def row(app: Any, cookie: str) -> Row:
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "HTTP_COOKIE": OTHERS + cookie,
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
    }

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        assert status.startswith("200"), status

    def call() -> bytes:
        result = app(dict(environ), start_response)
        body = b"".join(result)
        if hasattr(result, "close"):
            result.close()
        assert body == b"xia", body
        return body

    return call


def signed_by_flask(session: dict[str, Any]) -> str:
    app = flask_app(reads)
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    return f"session={serializer.dumps(session)}"


def signed_by_pyramid(session: dict[str, Any], factory: Any) -> str:
    from pyramid.request import Request

    request, response = Request.blank("/"), Response()
    signed = factory(request)
    signed.update(session)
    signed._set_cookie(response)
    return response.headers["Set-Cookie"].partition(";")[0]


def main() -> None:
    python = ".".join(map(str, sys.version_info[:3]))
    print(f"Python {python}; medians of {ROUNDS} interleaved rounds; what each adds to the bare")
    print("framework, in microseconds and in floors of decoding the same session\n")
    print(f"{'session':>8}  {'what':<46} {'us':>8} {'floors':>7}  target")
    for size in (330, 1_400):
        session = session_of(size)
        token = SessionCodec(KEY).dumps(session)
        cookie = f'sessionid="{token}"'
        factory = SignedCookieSessionFactory("a secret of the application", reissue_time=None)

        def floored(_: Any, token: str = token) -> str:
            return str(floor(token, KEY.encode())["username"])

        times = measure(
            {
                "floor": lambda token=token: floor(token, KEY.encode()),
                "flask": row(flask_app(lambda _: "xia"), ""),
                "flask, floor": row(flask_app(floored), ""),
                "flask, djsession": row(flask_app(reads, djsession=True), cookie),
                "flask, own": row(flask_app(reads), signed_by_flask(session)),
                "pyramid": row(pyramid_app(lambda _: "xia"), ""),
                "pyramid, floor": row(pyramid_app(floored), ""),
                "pyramid, djsession": row(pyramid_app(reads, djsession=True), cookie),
                "pyramid, own": row(
                    pyramid_app(reads, factory=factory), signed_by_pyramid(session, factory)
                ),
            }
        )
        for name, what, target in (
            ("flask, djsession", "Flask, djsession", "at most 2.00"),
            ("flask, own", "Flask, its own signed session", ""),
            ("flask, floor", "Flask, the floor called by its view", ""),
            ("pyramid, djsession", "Pyramid, djsession", "at most 2.00"),
            ("pyramid, own", "Pyramid, SignedCookieSessionFactory", ""),
            ("pyramid, floor", "Pyramid, the floor called by its view", ""),
        ):
            bare = times[name.partition(",")[0]]
            added = [whole - part for whole, part in zip(times[name], bare, strict=True)]
            floors = statistics.median(a / b for a, b in zip(added, times["floor"], strict=True))
            line = f"{what:<46} {statistics.median(added):8.1f} {floors:7.2f}  {target}"
            print(f"{len(json.dumps(session)):>8}  {line}".rstrip())
        print()


if __name__ == "__main__":
    main()
