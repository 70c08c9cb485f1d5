"""The Session of a Django request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import asgi, wsgi
from ..errors import ConfigurationError
from ..session import Session
from ..wsgi import SESSION_KEY
from .conf import is_test_environment

if TYPE_CHECKING:
    from django.http import HttpRequest

    from ..gate import Gate

__all__ = ["forced_session", "peer_of", "session_of"]


def peer_of(gate: Gate, request: HttpRequest) -> str | None:
    """Return the address of the connection if the gate reads it.

    Returns REPLACED_PEER if the address may have been replaced.
    """
    if not gate.reads_peer:
        return None
    scope = getattr(request, "scope", None)
    return wsgi.peer_of(request.META) if scope is None else asgi.peer_of(scope)


def session_of(request: HttpRequest) -> Session:
    """Return the Session of a request, which may also be a Django REST framework request.

    Raises ConfigurationError if the request did not pass djsession's middleware.
    """
    session = getattr(request, "djsession", None)
    if session is None:
        # The WSGI middleware is used instead, or this is a test without a middleware.
        session = request.META.get(SESSION_KEY, forced_session(request))
    if not isinstance(session, Session):
        raise ConfigurationError(
            "the request has no session: djsession.django.middleware.SessionMiddleware is not in"
            " MIDDLEWARE"
        )
    return session


def forced_session(request: HttpRequest) -> Session | None:
    """Return a session for the user that a test passed to force_authenticate(), or None."""
    user = getattr(request, "_force_auth_user", None)
    if user is None or not is_test_environment():
        return None
    return Session(username=user.get_username())
