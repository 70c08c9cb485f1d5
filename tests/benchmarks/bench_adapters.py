"""The cost of an adapter over the bare framework, in floors of decoding.

Two rows put it into proportion: the framework's own signed session with the same data, and a view
of the bare framework that calls the floor, which is dearer there than in a loop that does nothing
else. Run it with ``nox -s bench -- adapters``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from flask import Flask
from flask import session as flask_session
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory

from djsession import SessionCodec
from djsession.flask import DjSession

from .measuring import (
    KEY,
    ROUNDS,
    SIZES,
    at_most,
    headline,
    less,
    measure,
    openssl_floor,
    ratio,
    session_of,
    wsgi_call,
)

#: Each adapter, in floors.
TARGET = 2.0

View = Callable[[Any], str]


def constant(session: Any) -> str:
    return "xia"


def reads(session: Any) -> str:
    username: str = session["username"]
    return username


def flask_app(view: View, *, djsession: bool = False) -> Flask:
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a secret of the application", DJAODJIN_SECRET_KEY=KEY)
    if djsession:
        DjSession(app)
    app.add_url_rule("/", view_func=lambda: view(flask_session))
    return app


def pyramid_app(view: View, *, djsession: bool = False, factory: Any = None) -> Any:
    config = Configurator(settings={"djsession.secret_key": KEY} if djsession else {})
    if djsession:
        config.include("djsession.pyramid")
    if factory is not None:
        config.set_session_factory(factory)
    has_session = djsession or factory is not None
    config.add_route("view", "/")
    config.add_view(
        lambda request: Response(view(request.session if has_session else None)),
        route_name="view",
    )
    return config.make_wsgi_app()


def signed_by_flask(session: dict[str, Any]) -> str:
    app = flask_app(reads)
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    return f"session={serializer.dumps(session)}"


def signed_by_pyramid(session: dict[str, Any], factory: Any) -> str:
    request, response = Request.blank("/"), Response()
    signed = factory(request)
    signed.update(session)
    signed._set_cookie(response)
    return str(response.headers["Set-Cookie"]).partition(";")[0]


def main() -> None:
    headline(f"medians of {ROUNDS} interleaved rounds; what each adds to the bare framework")
    print(f"\n{'JSON':>6}  {'what':<44} {'us':>7} {'floors':>7}  target")
    for size in SIZES[:2]:
        session = session_of(size)
        token = SessionCodec(KEY).dumps(session)
        cookie = f'sessionid="{token}"'
        factory = SignedCookieSessionFactory("a secret of the application", reissue_time=None)

        def decodes(session: Any, token: str = token) -> str:
            return reads(openssl_floor(token, KEY.encode()))

        own = pyramid_app(reads, factory=factory)
        times = measure(
            {
                "floor": lambda token=token: openssl_floor(token, KEY.encode()),  # type: ignore[misc]
                "Flask": wsgi_call(flask_app(constant), ""),
                "Flask, djsession": wsgi_call(flask_app(reads, djsession=True), cookie),
                "Flask, its own signed session": wsgi_call(
                    flask_app(reads), signed_by_flask(session)
                ),
                "Flask, the view calls the floor": wsgi_call(flask_app(decodes), ""),
                "Pyramid": wsgi_call(pyramid_app(constant), ""),
                "Pyramid, djsession": wsgi_call(pyramid_app(reads, djsession=True), cookie),
                "Pyramid, SignedCookieSessionFactory": wsgi_call(
                    own, signed_by_pyramid(session, factory)
                ),
                "Pyramid, the view calls the floor": wsgi_call(pyramid_app(decodes), ""),
            }
        )
        for name, whole in times.items():
            framework, _, what = name.partition(", ")
            if not what:
                continue
            added = less(whole, times[framework])
            floors = ratio(added, times["floor"])
            line = f"{size:>6}  {name:<44} {statistics.median(added):7.1f} {floors:7.2f}"
            ours = what == "djsession" and size == SIZES[0]
            print(f"{line}  {at_most(TARGET, floors)}" if ours else line)
        print()


if __name__ == "__main__":
    main()
