"""The caching headers of a response, for shared caches and for Django's own page cache.

``cache_page`` stores the response of a view before any middleware sees it. Without the headers that
say whom the response was made for, Django would answer the next user with it. They are therefore
set before Django's cache middleware, which ``cache_page`` uses as well, looks at a response.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

from django.middleware.cache import UpdateCacheMiddleware
from django.utils.cache import has_vary_header

from ..caching import caching_headers
from ..wsgi import DECODED_KEY
from .backends.base import SessionStore
from .conf import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

__all__ = ["add_caching_headers", "install"]

_INSTALLED = "djsession_is_installed"


def add_caching_headers(request: HttpRequest, response: HttpResponse) -> None:
    """Set Cache-Control and Vary of a response to a request that passed the gate."""
    is_personal = _is_personal(request) or _may_read_session_later(request, response)
    headers = response.headers
    earlier = headers.get("Cache-Control", ""), headers.get("Vary", "")
    cache_control, vary = caching_headers(*earlier, is_personal=is_personal)
    if cache_control != earlier[0]:
        headers["Cache-Control"] = cache_control
    if vary != earlier[1]:
        headers["Vary"] = vary


def _is_personal(request: HttpRequest) -> bool:
    decoded = request.META.get(DECODED_KEY)
    if not hasattr(request, "djsession_is_sent"):
        # The request came through the middleware for WSGI only.
        return decoded.session is not None
    session = request.session
    # The project may have replaced the session by one of another kind, which may be anybody's.
    is_local_open = session.is_local_open if isinstance(session, SessionStore) else True
    return bool(request.djsession_is_sent or is_local_open)


def _may_read_session_later(request: HttpRequest, response: HttpResponse) -> bool:
    """Return whether a response that streams may yet read the local session of its request."""
    name = get_settings().local_session_cookie_name
    return bool(getattr(response, "streaming", False)) and name in request.COOKIES


def install() -> None:
    """Have Django's page cache see the headers of a response that it is about to store."""
    process_response: Callable[..., Any] = UpdateCacheMiddleware.process_response
    if getattr(process_response, _INSTALLED, False):
        return

    @wraps(process_response)
    def with_headers(self: Any, request: HttpRequest, response: HttpResponse) -> Any:
        # A request that passed none of our middlewares is none of our business.
        if hasattr(request, "djsession_is_sent") or DECODED_KEY in request.META:
            add_caching_headers(request, response)
            # Older versions of Django store what says "no-store", "Private" or "Vary: *".
            if has_vary_header(response, "*") or (
                _is_personal(request) and has_vary_header(response, "Cookie")
            ):
                return response
        return process_response(self, request, response)

    setattr(with_headers, _INSTALLED, True)
    UpdateCacheMiddleware.process_response = with_headers
