"""A Pyramid application behind the session proxy.

Serve it with mockup logins on your machine, with the key in development.ini::

    pserve examples/pyramid_app/development.ini

and behind the proxy, with the key of your site in the environment::

    export DJAODJIN_SECRET_KEY=... DJSESSION_LOCAL_SECRET=...
    gunicorn -c examples/gunicorn.conf.py "examples.pyramid_app:main({})"
"""

from __future__ import annotations

from typing import Any

from pyramid.authorization import Allow
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPSeeOther
from pyramid.request import Request
from pyramid.response import Response
from pyramid.view import forbidden_view_config, view_config

from djsession.redact import mask


def main(global_config: dict[str, str], **settings: Any) -> Any:
    """Return the WSGI application."""
    config = Configurator(settings=settings)
    config.include("djsession.pyramid")
    config.add_route("session", "/session")
    config.add_route("course", "/course")
    config.add_route("note", "/note")
    config.add_route("manage", "/manage/{slug}", factory=Managed)
    config.add_route("about", "/about")
    config.add_route("index", "/*path")
    config.scan()
    return config.make_wsgi_app()


class Managed:
    """An organization's page, for its managers."""

    def __init__(self, request: Request) -> None:
        self.__acl__ = [(Allow, f"manager:{request.matchdict['slug']}", "manage")]


@view_config(route_name="index")
def index(request: Request) -> Response:
    request.session["visits"] = visits = request.session.get("visits", 0) + 1
    lines = [f"Hello, {request.authenticated_userid or 'visitor'}", f"visits: {visits}"]
    lines += request.session.pop_flash()
    return Response("\n".join(lines) + "\n", content_type="text/plain")


@view_config(route_name="session", renderer="json")
def session(request: Request) -> Any:
    # The proxy may send credentials along, which do not belong on a page.
    return mask(request.djsession)


@view_config(route_name="manage", permission="manage")
def manage(request: Request) -> Response:
    text = f"{request.authenticated_userid} manages {request.matchdict['slug']}"
    return Response(text, content_type="text/plain")


@view_config(route_name="course", djsession_plan=["basic", "all-courses"])
def course(request: Request) -> Response:
    return Response("for subscribers", content_type="text/plain")


@view_config(route_name="note", request_method="POST")
def note(request: Request) -> Response:
    request.session.flash("noted")
    return HTTPSeeOther("/")


@view_config(route_name="about")
def about(request: Request) -> Response:
    return Response("open to anyone", content_type="text/plain")


@forbidden_view_config()
def forbidden(request: Request) -> Response:
    return Response("This page is not for you.\n", 403, content_type="text/plain")
