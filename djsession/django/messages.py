"""Django's messages in a cookie, bound to the user that they were written for.

By default Django keeps messages in a signed cookie. The cookie stays in the browser when another
user signs in, and Django would show the first user's messages to the second. The username is
therefore part of the signature, so for any other user the cookie counts as forged.
"""

from __future__ import annotations

from functools import cache, wraps
from typing import TYPE_CHECKING, Any

from django.contrib.messages.storage.cookie import CookieStorage

from ..errors import ConfigurationError
from .requests import session_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

__all__ = ["install"]


@cache
def install() -> None:
    """Make Django's signature of messages depend on the session's user."""
    init: Callable[..., None] = CookieStorage.__init__

    @wraps(init)
    def bound(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        try:
            username = session_of(request).username
        except ConfigurationError:  # the request did not pass djsession's middleware
            username = None
        if username is not None:
            # !a escapes lone surrogates, which a username may contain and which cannot be encoded.
            self.key_salt = f"{self.key_salt}:{username!a}"
        init(self, request, *args, **kwargs)

    CookieStorage.__init__ = bound
