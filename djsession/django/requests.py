"""The Session of a Django request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ConfigurationError
from ..session import Session
from ..wsgi import SESSION_KEY

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ["session_of"]


def session_of(request: HttpRequest) -> Session:
    """Return the Session of a request, also of one of Django REST framework's.

    Raises ConfigurationError when no middleware has opened the gate for it.
    """
    session = getattr(request, "djsession", None)
    if session is None:
        # Behind the middleware for WSGI.
        session = request.META.get(SESSION_KEY)
    if not isinstance(session, Session):
        raise ConfigurationError(
            "the request has no session: djsession.django.middleware.SessionMiddleware is not in"
            " MIDDLEWARE"
        )
    return session
