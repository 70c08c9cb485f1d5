"""The WSGI applications in one server; the header ``X-Application`` chooses among them.

Werkzeug's ProxyFix stands in front of all of them and takes the mount point from
``X-Forwarded-Prefix``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application
from flask import Flask
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.response import Response
from pyramid.traversal import resource_path_tuple
from werkzeug.middleware.proxy_fix import ProxyFix

from djsession import SessionMiddleware
from djsession.flask import DjSession
from tests.attacks.applications.pages import ENTRIES, page

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def plain(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    # A decoder that accepts overlong UTF-8 reads a dot and a slash here.
    path = environ["PATH_INFO"].encode("latin-1")
    path = path.replace(b"\xc0\xae", b".").replace(b"\xc0\xaf", b"/")
    body = page(path.decode("utf-8", "replace")).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def flask_application() -> Flask:
    app = Flask(__name__, static_folder=None)
    app.config["DJSESSION_ALLOWED_NO_SESSION"] = ENTRIES
    DjSession(app)

    @app.get("/", defaults={"path": ""})
    @app.get("/<path:path>")
    def show(path: str) -> str:
        return page(f"/{path}")

    return app


class Resource:
    """A resource with a child of every name."""

    def __init__(self, parent: Resource | None = None, name: str = "") -> None:
        self.__parent__, self.__name__ = parent, name

    def __getitem__(self, name: str) -> Resource:
        return Resource(self, name)


def pyramid_application() -> Application:
    def show(context: Resource, request: Request) -> Response:
        return Response(page("/".join(resource_path_tuple(context))))

    settings = {"djsession.allowed_no_session": "\n".join(ENTRIES)}
    config = Configurator(settings=settings, root_factory=lambda request: Resource())
    config.include("djsession.pyramid")
    config.add_view(show, context=Resource)
    application: Application = config.make_wsgi_app()
    return application


APPLICATIONS: dict[str, Any] = {
    "plain": SessionMiddleware(plain, allowed_no_session=ENTRIES),
    "flask": flask_application(),
    "pyramid": pyramid_application(),
    "django": get_wsgi_application(),
}


def choose(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    chosen: Application = APPLICATIONS[environ["HTTP_X_APPLICATION"]]
    return chosen(environ, start_response)


application = ProxyFix(choose, x_prefix=1)
