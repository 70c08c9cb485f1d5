"""``request.djsession``, ``request.session``, and the caching headers of the response."""

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
from .settings import state_of

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

    A callback adds the caching headers to the response, since some responses, such as those for
    exceptions, come from tweens above djsession's, which may also use the session.
    """
    environ, attributes = request.environ, request.__dict__
    session = decode_request(gate, environ)
    if "djsession" not in attributes:
        # Only once: two callbacks that both try to run last would loop forever.
        request.add_response_callback(add_caching_headers)
    # This is faster than WebOb's setattr().
    attributes["djsession"] = environ[SESSION_KEY]
    return session


def session_of(request: Request) -> Session:
    """Return the Session of a request, even of a refused one. It may be empty."""
    attributes = request.__dict__
    if "djsession" not in attributes:
        # The tween has not run yet, or this is a subrequest without tweens.
        open_request(state_of(request.registry).gate, request)
    session: Session = attributes["djsession"]
    return session


def djsession_deriver(view: View, info: Any) -> View:
    """Set ``request.djsession`` for a view that is called without the tween, in a subrequest."""

    # A request property would make Pyramid create a class for each request, and a subscriber would
    # add four look-ups. Each costs more than the decryption.
    def derived(context: Any, request: Request) -> Any:
        if "djsession" not in request.__dict__:
            session_of(request)
        return view(context, request)

    return derived


def session_factory(request: Request) -> PyramidSession:
    """Return the object for ``request.session``."""
    return PyramidSession(session_of(request), request)


def refuse(request: Request) -> None:
    """Keep the view that renders a refusal from using the application's own session."""
    request.environ[REFUSED_KEY] = True
    if isinstance(request.__dict__.get("session"), PyramidSession):
        # A tween above djsession's has opened it.
        del request.__dict__["session"]


def add_caching_headers(request: Request, response: Response) -> None:
    """Add the caching headers to a response. A callback for ``add_response_callback``."""
    if request.response_callbacks:
        # Run after the application's own callbacks, which may use the session.
        request.add_response_callback(add_caching_headers)
        return
    environ, session = request.environ, request.__dict__.get("session")
    is_personal = environ[DECODED_KEY].session is not None
    if session is not None:
        if not isinstance(session, PyramidSession) or session.is_local_open:
            # Nothing is known about a session from another factory.
            is_personal = True
        else:
            # Break the reference cycle, so that the request is freed at once.
            del request.__dict__["session"]
    if REFUSED_KEY in environ:
        response.headers.update(REFUSAL_HEADERS)
    else:
        response.headerlist = with_caching_headers(response.headerlist, is_personal)
