"""The pages in Pyramid, with ``djsession.local_secret`` for the local session."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound, exception_response
from pyramid.request import Request
from pyramid.response import Response

from tests.caching.pages import ENTRIES, answer


class PyramidVisit:
    def __init__(self, request: Request) -> None:
        self._request = request
        self.path: str = request.path_info
        self.query_string: str = request.query_string
        self.if_none_match: str | None = request.headers.get("If-None-Match")

    @property
    def local(self) -> MutableMapping[str, Any]:
        local: MutableMapping[str, Any] = self._request.session
        return local

    def session(self) -> str | None:
        username: str | None = self._request.djsession.username
        return username

    def merged_session(self) -> str | None:
        username: str | None = self._request.session.get("username")
        return username

    def user(self) -> str | None:
        username: str | None = self._request.authenticated_userid
        return username

    def remote_user(self) -> str | None:
        username: str | None = self._request.remote_user
        return username


def show(request: Request) -> Response:
    status, headers, body = answer(PyramidVisit(request))
    if "raise" in request.params:
        raise HTTPFound(dict(headers)["Location"]) if status == 302 else exception_response(status)
    return Response(body.encode(), status, [("Content-Type", "text/plain"), *headers])


config = Configurator(
    settings={
        "djsession.allowed_no_session": "\n".join(ENTRIES),
        "djsession.local_secret": "a secret of the tests",
    }
)
config.include("djsession.pyramid")
config.add_route("open", "/open/{page}")
config.add_route("page", "/{page}")
config.add_view(show, route_name="open")
config.add_view(show, route_name="page")
application = config.make_wsgi_app()
