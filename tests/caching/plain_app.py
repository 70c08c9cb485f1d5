"""The pages behind the WSGI middleware. There is no local session."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from djsession import SessionMiddleware
from tests.caching.pages import ENTRIES, answer


class PlainVisit:
    def __init__(self, environ: dict[str, Any]) -> None:
        self._environ = environ
        self.path: str = environ["PATH_INFO"]
        self.query_string: str = environ["QUERY_STRING"]
        self.if_none_match: str | None = environ.get("HTTP_IF_NONE_MATCH")

    @property
    def local(self) -> MutableMapping[str, Any]:
        raise NotImplementedError

    def session(self) -> str | None:
        username: str | None = self._environ["djsession.session"].username
        return username

    merged_session = session

    def remote_user(self) -> str | None:
        return self._environ.get("REMOTE_USER")

    user = remote_user


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    status, headers, body = answer(PlainVisit(environ))

    start_response(
        f"{status} {HTTPStatus(status).phrase}", [("Content-Type", "text/plain"), *headers]
    )
    return [body.encode()] if body else []


application = SessionMiddleware(app, allowed_no_session=ENTRIES)
