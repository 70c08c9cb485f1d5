"""The caching headers of a response, for shared caches and for Django's own page cache.

``cache_page`` stores a view's response before any middleware sees it. Without the caching headers,
Django would send the stored response to the next user. The headers are therefore set before
Django's cache middleware, which ``cache_page`` uses as well, reads them.
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
    """Set Cache-Control and Vary on the response to a request that passed the gate."""
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
        # The request passed only the WSGI middleware.
        return decoded.session is not None
    session = request.session
    # If the project has replaced the session object, nothing is known about its content.
    is_local_open = session.is_local_open if isinstance(session, SessionStore) else True
    return bool(request.djsession_is_sent or is_local_open)


def _may_read_session_later(request: HttpRequest, response: HttpResponse) -> bool:
    """Return whether a streaming response may still read the request's local session."""
    name = get_settings().local_session_cookie_name
    return bool(getattr(response, "streaming", False)) and name in request.COOKIES


def install() -> None:
    """Have the caching headers set before Django's page cache decides to store a response."""
    process_response: Callable[..., Any] = UpdateCacheMiddleware.process_response
    if getattr(process_response, _INSTALLED, False):
        return

    @wraps(process_response)
    def with_headers(self: Any, request: HttpRequest, response: HttpResponse) -> Any:
        # Leave requests alone that did not pass djsession's middleware.
        if hasattr(request, "djsession_is_sent") or DECODED_KEY in request.META:
            add_caching_headers(request, response)
            # Older versions of Django store responses with "no-store", "Private" or "Vary: *".
            if has_vary_header(response, "*") or (
                _is_personal(request) and has_vary_header(response, "Cookie")
            ):
                return response
        return process_response(self, request, response)

    setattr(with_headers, _INSTALLED, True)
    UpdateCacheMiddleware.process_response = with_headers
