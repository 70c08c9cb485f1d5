"""Masking in Django's error reports: the debug page and the mails to ADMINS.

Django masks one cookie, SESSION_COOKIE_NAME. The local session has another one, and the proxy's may
have any name. They are masked in the filter that Django uses by default and that a project's own
derives from, so that it makes no difference how far a request came before it failed.
"""

from __future__ import annotations

from functools import cache, wraps
from typing import TYPE_CHECKING, Any

from django.views.debug import SafeExceptionReporterFilter

from ..errors import ConfigurationError
from .conf import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

__all__ = ["install"]


@cache
def install() -> None:
    """Have Django's error reports mask whatever carries a session."""
    for name in ("get_safe_cookies", "get_safe_request_meta"):
        method = getattr(SafeExceptionReporterFilter, name)
        setattr(SafeExceptionReporterFilter, name, _masking(method))


def _masking(method: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @wraps(method)
    def masked(self: Any, request: HttpRequest) -> dict[str, Any]:
        found = method(self, request)
        return {**found, **dict.fromkeys(_carriers(found), self.cleansed_substitute)}

    return masked


def _carriers(found: dict[str, Any]) -> set[str]:
    """Return which of some cookies or entries of META carry a session."""
    try:
        settings = get_settings()
    except ConfigurationError:
        # Which cookies they are is one of the settings.
        return set(found)
    cookies = {settings.cookie_name, settings.local_session_cookie_name}
    return found.keys() & {*cookies, "HTTP_COOKIE", "HTTP_AUTHORIZATION"}
