"""Authentication for Django REST framework.

Behind SessionMiddleware its own ``SessionAuthentication`` works as it is: it takes
``request.user``, and checks the CSRF token. ``BearerAuthentication`` is for projects that are an
API alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.urls import get_script_prefix
from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from ..transport import bearer_token, candidates
from .backends.auth import user_of
from .conf import get_gate

if TYPE_CHECKING:
    from rest_framework.request import Request

    from ..session import Session

__all__ = ["BearerAuthentication", "JWTAuthentication"]


class BearerAuthentication(BaseAuthentication):  # type: ignore[misc]
    """Takes the token of the ``Authorization: Bearer`` header, and no other.

    A request without one, or with one that is refused, gets a 401 with ``WWW-Authenticate``. It
    takes no CSRF token: a token in a cookie does not count, and an unsafe method that a browser
    says comes from another site is refused, for the proxy makes the header of a browser's cookie.
    For pages of a site behind the proxy, SessionAuthentication is the better choice.

    It works with and without SessionMiddleware; where that is, the
    paths of the API have to be in ALLOWED_NO_SESSION, or a refusal is its 403.

    ``request.auth`` is the Session, and so is ``request.djsession``.
    """

    def authenticate(self, request: Request) -> tuple[Any, Session] | None:
        """Return the user and the Session of a request, or None when it carries no token.

        Raises AuthenticationFailed for a token that is refused, and a user who is not active.
        """
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not bearer_token(header):
            return None
        site = request.META.get("HTTP_SEC_FETCH_SITE", "none")
        if request.method not in ("GET", "HEAD", "OPTIONS") and site not in ("none", "same-origin"):
            raise AuthenticationFailed(_("The request comes from another site."))
        gate, environ = get_gate(get_script_prefix()), request.META
        cookie = {"HTTP_COOKIE": environ.get("HTTP_COOKIE", "")}
        if candidates(cookie, gate.settings.cookie_name):
            # What the gate found may be from the cookie.
            environ = {"HTTP_AUTHORIZATION": header}
        session = gate.decode(environ)
        if session is None:
            raise AuthenticationFailed(_("The token is not valid."))
        if session.username is None:
            return None
        django_request = request._request
        django_request.djsession = session
        user = user_of(django_request, session)
        if user is None:
            raise AuthenticationFailed(_("The token is not valid."))
        return user, session

    def authenticate_header(self, request: Request) -> str:
        """Return the ``WWW-Authenticate`` of a 401 (RFC 6750 section 3)."""
        return "Bearer"


#: What djaodjin-deployutils calls it.
JWTAuthentication = BearerAuthentication
