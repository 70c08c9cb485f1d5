"""Authentication for Django REST framework.

Behind SessionMiddleware its own ``SessionAuthentication`` works as it is: it takes
``request.user``, and checks the CSRF token. ``BearerAuthentication`` is for projects that are
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
    """Takes the token of the ``Authorization: Bearer`` header, and no other.

    A request without one, or with one that is refused, gets a 401 with ``WWW-Authenticate``.
    ``request.auth`` is the Session, and so is ``request.djsession``.

    It takes no CSRF token. The JWT session backend of the proxy makes the header of the browser's
    cookie, so that any site could have a browser send it: an unsafe method is refused where the
    browser says that it comes from another origin, unless that is in CSRF_TRUSTED_ORIGINS. For
    the pages of a site SessionAuthentication is the better choice.

    It works with and without SessionMiddleware. With it, the paths of the API have to be in
    ALLOWED_NO_SESSION, or a refusal is its 403. Without it, ``private`` replaces the view's own
    Cache-Control.
    """

    def authenticate(self, request: Request) -> tuple[Any, Session] | None:
        """Return the user and the Session of a request, or None when it carries no token.

        Raises AuthenticationFailed for a token that is refused, and a user who is not active.
        """
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not bearer_token(header):
            return None
        if request.method not in _SAFE_METHODS and _is_cross_origin(request._request):
            raise AuthenticationFailed(_("The request comes from another site."))
        if not hasattr(request._request, "djsession_is_sent"):
            _set_caching_headers(request)
        # What SessionMiddleware found may be from the cookie.
        gate = get_gate()
        session = gate.decode(None, header, peer_of(gate, request._request)).session
        if session is None:
            raise AuthenticationFailed(_("The token is not valid."))
        if session.username is None:
            return None
        django_request = request._request
        if not getattr(django_request, "djsession_is_sent", True):
            # To SessionMiddleware the request has no session: its cookie carries another one, say.
            raise AuthenticationFailed(_("The token is not valid."))
        found = getattr(django_request, "djsession", None)
        if found and found.username != session.username:
            # request.session is that of the cookie's user.
            raise AuthenticationFailed(_("The token is not valid."))
        django_request.djsession = session
        user = user_of(django_request, session)
        if user is None:
            raise AuthenticationFailed(_("The token is not valid."))
        return user, session

    def authenticate_header(self, request: Request) -> str:
        """Return the ``WWW-Authenticate`` of a 401 (RFC 6750 section 3)."""
        return "Bearer"


def _set_caching_headers(request: Request) -> None:
    """Have the view keep its answer out of shared caches, where SessionMiddleware does not."""
    view = request.parser_context.get("view")
    if view is not None:
        # The view copies these to its response. A Vary is merged with that of the response.
        view.headers["Cache-Control"] = "private"
        view.headers["Vary"] = ", ".join(
            value for value in (view.headers.get("Vary"), "Cookie, Authorization") if value
        )


def _is_cross_origin(request: HttpRequest) -> bool:
    """Whether a browser says that a page of another origin sends this request.

    By Sec-Fetch-Site (W3C Fetch Metadata), and by Origin as Django compares it. Clients other
    than browsers send neither.
    """
    site = request.META.get("HTTP_SEC_FETCH_SITE")
    if site in ("same-origin", "none"):
        return False
    if "HTTP_ORIGIN" in request.META:
        return not CsrfViewMiddleware(lambda _: HttpResponse())._origin_verified(request)
    return site is not None


#: What djaodjin-deployutils calls it.
JWTAuthentication = BearerAuthentication
