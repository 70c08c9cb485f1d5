"""What a request has: ``request.djsession``, ``request.session``, and its response's headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyramid.request import Request
from pyramid.response import Response

from ..caching import REFUSAL_HEADERS, with_caching_headers
from ..local_session import LocalPart
from ..session import Session
from ..wsgi import DECODED_KEY, SESSION_KEY, decode_request
from .session import PyramidSession, Unstored
from .settings import installed

__all__ = [
    "REFUSED_KEY",
    "add_caching_headers",
    "add_refusal_headers",
    "djsession_deriver",
    "session_factory",
    "session_of",
]

#: In the environ of a request that the tween refused.
REFUSED_KEY = "djsession.refused"

View = Callable[[Any, Request], Any]


def session_of(request: Request) -> Session:
    """Return the Session of a request, whatever the gate says; empty when it carries none."""
    environ = request.environ
    if SESSION_KEY not in environ:
        # Before the tween, or in a subrequest without tweens.
        decode_request(installed(request.registry).gate, environ)
        request.add_response_callback(add_caching_headers)
    session: Session = environ[SESSION_KEY]
    return session


def djsession_deriver(view: View, info: Any) -> View:
    """Set ``request.djsession`` for a view where the tween has not: in a subrequest."""

    # Neither a request property, for which Pyramid makes a class with each request, nor a
    # subscriber, which makes it look for more of them four times: either costs more than the
    # decryption.
    def derived(context: Any, request: Request) -> Any:
        if not hasattr(request, "djsession"):
            request.djsession = session_of(request)
        return view(context, request)

    return derived


def session_factory(request: Request) -> PyramidSession:
    is_refused = REFUSED_KEY in request.environ
    factory = Unstored if is_refused else installed(request.registry).local_factory

    callbacks = (request.response_callbacks, request.finished_callbacks)
    before: list[int] = []

    def open_stored() -> Any:
        before[:] = map(len, callbacks)
        return factory(request)

    def open_new() -> Any:
        # The stored session belongs to somebody else. Its callbacks must not run: they would send
        # its cookie again, and store again what was read, over what its owner has written since.
        for queue, length in zip(callbacks, before, strict=False):
            while len(queue) > length:
                queue.pop()
        # As for a request without cookies, so that the store draws a new id.
        environ = request.environ
        cookie = environ.pop("HTTP_COOKIE", None)
        try:
            return factory(request)
        finally:
            if cookie is not None:
                environ["HTTP_COOKIE"] = cookie

    proxied = session_of(request)
    return PyramidSession(proxied, LocalPart(proxied, open_stored, open_new, is_refused=is_refused))


def add_refusal_headers(request: Request, response: Response) -> None:
    for name, value in REFUSAL_HEADERS:
        response.headers[name] = value


def add_caching_headers(request: Request, response: Response) -> None:
    if request.response_callbacks:
        # After those that the application added, which may use the session.
        request.add_response_callback(add_caching_headers)
        return
    # request.session is there once it was asked for; one of another factory may be anybody's.
    session = request.__dict__.get("session")
    is_local_open = session is not None and (
        not isinstance(session, PyramidSession) or session.local_part.is_open
    )
    response.headerlist = with_caching_headers(
        response.headerlist,
        is_personal=is_local_open or request.environ[DECODED_KEY].session is not None,
    )
