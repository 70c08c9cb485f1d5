"""What a request has: ``request.djsession``, ``request.session``, and its response's headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyramid.request import Request
from pyramid.response import Response

from ..caching import REFUSAL_HEADERS, with_caching_headers
from ..gate import Gate
from ..session import Session
from ..wsgi import DECODED_KEY, SESSION_KEY, decode_request
from .session import REFUSED_KEY, PyramidSession
from .settings import installed

__all__ = [
    "add_caching_headers",
    "djsession_deriver",
    "open_request",
    "refuse",
    "session_factory",
    "session_of",
]

View = Callable[[Any, Request], Any]


def open_request(gate: Gate, request: Request) -> Session | None:
    """Set ``request.djsession``, and return the session that a request carries, or None.

    The response gets the caching headers by a callback, since tweens over that of djsession make
    some responses, those to exceptions for example, and may use the session.
    """
    environ, attributes = request.environ, request.__dict__
    session = decode_request(gate, environ)
    if "djsession" not in attributes:
        # Once: two callbacks that each want to be the last one would never end.
        request.add_response_callback(add_caching_headers)
    # Not by setattr(), for which WebOb does more.
    attributes["djsession"] = environ[SESSION_KEY]
    return session


def session_of(request: Request) -> Session:
    """Return the Session of a request, whatever the gate says; empty when it carries none."""
    attributes = request.__dict__
    if "djsession" not in attributes:
        # Before the tween, or in a subrequest without tweens.
        open_request(installed(request.registry).gate, request)
    session: Session = attributes["djsession"]
    return session


def djsession_deriver(view: View, info: Any) -> View:
    """Set ``request.djsession`` for a view that the tween did not run for: in a subrequest."""

    # Neither a request property, for which Pyramid makes a class with each request, nor a
    # subscriber, which makes it look for more of them four times: either costs more than the
    # decryption.
    def derived(context: Any, request: Request) -> Any:
        if "djsession" not in request.__dict__:
            session_of(request)
        return view(context, request)

    return derived


def session_factory(request: Request) -> PyramidSession:
    """Return ``request.session``."""
    return PyramidSession(session_of(request), request)


def refuse(request: Request) -> None:
    """Keep what renders a refusal from reading or writing the application's own session."""
    request.environ[REFUSED_KEY] = True
    if isinstance(request.__dict__.get("session"), PyramidSession):
        # A tween over that of djsession has opened it.
        del request.__dict__["session"]


def add_caching_headers(request: Request, response: Response) -> None:
    """Add the caching headers to a response. For ``add_response_callback``."""
    if request.response_callbacks:
        # After those that the application added, which may use the session.
        request.add_response_callback(add_caching_headers)
        return
    environ, session = request.environ, request.__dict__.get("session")
    is_personal = environ[DECODED_KEY].session is not None
    if session is not None:
        if not isinstance(session, PyramidSession) or session.is_local_open:
            # A session of another factory may be anybody's.
            is_personal = True
        else:
            # Without a reference cycle the request is freed at once.
            del request.__dict__["session"]
    if REFUSED_KEY in environ:
        response.headers.update(REFUSAL_HEADERS)
    else:
        response.headerlist = with_caching_headers(response.headerlist, is_personal=is_personal)
