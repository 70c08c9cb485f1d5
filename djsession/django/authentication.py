"""Authentication for Django REST framework.

REST framework's own ``SessionAuthentication`` works with SessionMiddleware: it uses
``request.user``, and checks the CSRF token. ``BearerAuthentication`` is for projects that provide
only an API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed

from ..transport import bearer_token
from .backends.auth import user_of
from .conf import get_gate
from .requests import peer_of

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request

    from ..session import Session

__all__ = ["BearerAuthentication", "JWTAuthentication"]

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")  # RFC 9110 section 9.2.1


class BearerAuthentication(BaseAuthentication):  # type: ignore[misc]
    """Authenticates a request by the token in its ``Authorization: Bearer`` header only.

    A request whose token is refused gets a 401 with ``WWW-Authenticate``. So does a request without
    a token if the view requires a user. ``request.auth`` and ``request.djsession`` are the Session.

    CSRF tokens are not checked. The proxy's JWT session backend creates the header from the
    browser's cookie, so a page of any site could make a browser send a request with it. An unsafe
    method is therefore refused if the browser reports another origin, unless CSRF_TRUSTED_ORIGINS
    contains that origin. For a site's own pages, prefer SessionAuthentication.

    This works with and without SessionMiddleware. With it, add the paths of the API to
    ALLOWED_NO_SESSION: otherwise SessionMiddleware answers 403 first. Without it, ``private``
    replaces the view's own Cache-Control.
    """

    def authenticate(self, request: Request) -> tuple[Any, Session] | None:
        """Return the user and the Session of a request, or None without a token or username.

        Raises AuthenticationFailed if the token is refused or the user is not active.
        """
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not bearer_token(header):
            return None
        if request.method not in _SAFE_METHODS and _is_cross_origin(request._request):
            raise AuthenticationFailed(_("The request comes from another site."))
        if not hasattr(request._request, "djsession_is_sent"):
            _set_caching_headers(request)
        # Decode only the header. SessionMiddleware's result may come from the cookie.
        gate = get_gate()
        session = gate.decode(None, header, peer_of(gate, request._request)).session
        if session is None:
            raise AuthenticationFailed(_("The token is not valid."))
        if session.username is None:
            return None
        django_request = request._request
        if not getattr(django_request, "djsession_is_sent", True):
            # SessionMiddleware found no session, for example because the cookie carries another.
            raise AuthenticationFailed(_("The token is not valid."))
        found = getattr(django_request, "djsession", None)
        if found and found.username != session.username:
            # request.session belongs to the cookie's user.
            raise AuthenticationFailed(_("The token is not valid."))
        django_request.djsession = session
        user = user_of(django_request, session)
        if user is None:
            raise AuthenticationFailed(_("The token is not valid."))
        return user, session

    def authenticate_header(self, request: Request) -> str:
        """Return the value of ``WWW-Authenticate`` for a 401 (RFC 6750 section 3)."""
        return "Bearer"


def _set_caching_headers(request: Request) -> None:
    """Set the caching headers of the view's response, if SessionMiddleware does not do so."""
    view = request.parser_context.get("view")
    if view is not None:
        # The view copies these headers to its response, and merges Vary with an existing Vary.
        view.headers["Cache-Control"] = "private"
        view.headers["Vary"] = ", ".join(
            value for value in (view.headers.get("Vary"), "Cookie, Authorization") if value
        )


def _is_cross_origin(request: HttpRequest) -> bool:
    """Return whether the browser reports that a page of another origin sent the request.

    Browsers report it in Sec-Fetch-Site (W3C Fetch Metadata) and in Origin, which Django compares.
    Other clients send neither header.
    """
    site = request.META.get("HTTP_SEC_FETCH_SITE")
    if site in ("same-origin", "none"):
        return False
    if "HTTP_ORIGIN" in request.META:
        return not CsrfViewMiddleware(lambda _: HttpResponse())._origin_verified(request)
    return site is not None


#: The name in djaodjin-deployutils.
JWTAuthentication = BearerAuthentication
