"""Django's messages in a cookie, bound to the user that they were written for.

By default Django keeps messages in a signed cookie. It stays in the browser when another user signs
in, and Django would show the first user's messages to the second. The username is therefore part of
the signature: for anybody else the cookie counts as forged.
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
    """Have Django sign its messages for the user of the session."""
    init: Callable[..., None] = CookieStorage.__init__

    @wraps(init)
    def bound(self: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        try:
            username = session_of(request).username
        except ConfigurationError:  # the request passed none of our middlewares
            username = None
        if username is not None:
            # In ASCII: a lone surrogate, which a username may contain, cannot be encoded.
            self.key_salt = f"{self.key_salt}:{username!a}"
        init(self, request, *args, **kwargs)

    CookieStorage.__init__ = bound
