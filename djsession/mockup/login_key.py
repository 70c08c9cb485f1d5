"""The key that a sign-in needs when mockup logins answer requests from other machines."""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING

from .navigation import query_parameter

if TYPE_CHECKING:
    from webob import Request, Response

__all__ = ["COOKIE_NAME", "LoginKey"]

#: The cookie that lets a browser sign in again without the key in the URL.
COOKIE_NAME = "djsession_mockup_key"

_PARAMETER = "key"


class LoginKey:
    """A random key, which is new for each start. The login URL contains it: keep it out of logs."""

    def __init__(self) -> None:
        self._value = secrets.token_urlsafe()

    def url(self, login_url: str) -> str:
        """Return the URL of the login page with the key."""
        return f"{login_url}?{_PARAMETER}={self._value}"

    def is_in(self, request: Request) -> bool:
        """Whether a request carries this key, in its URL or else in the cookie."""
        offered = query_parameter(request.environ, _PARAMETER) or _cookie(request)
        # This takes the same time for every wrong key of the same length.
        return hmac.compare_digest(offered.encode("utf-8", "replace"), self._value.encode("ascii"))

    def remember(self, request: Request, response: Response) -> None:
        """Set the cookie. Neither scripts nor requests from other sites can use it."""
        response.set_cookie(
            COOKIE_NAME,
            self._value,
            path="/",
            secure=request.scheme == "https",
            httponly=True,
            samesite="Strict",
        )

    @staticmethod
    def is_in_url(request: Request) -> bool:
        """Whether the URL of a request carries a key, right or wrong."""
        return bool(query_parameter(request.environ, _PARAMETER))


def _cookie(request: Request) -> str:
    try:
        return request.cookies.get(COOKIE_NAME, "")
    except UnicodeError:  # not every server restricts the environ to latin-1 (PEP 3333)
        return ""
