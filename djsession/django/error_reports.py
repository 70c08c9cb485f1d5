"""Masks sessions in Django's error reports: the debug page and the mails to ADMINS.

Django masks only the cookie SESSION_COOKIE_NAME. The local session uses another cookie, and the
proxy's cookie may have any name. Both are also masked in local variables: a query that fails, for
example, has the local session's key among its parameters.

This changes the class of Django's default filter, from which a project's own filter derives. It
therefore also covers requests that fail before they reach djsession's middleware.
"""

from __future__ import annotations

import sys
from functools import cache, wraps
from pprint import pformat
from typing import TYPE_CHECKING, Any

from django.template.defaultfilters import pprint
from django.views.debug import SafeExceptionReporterFilter

from ..errors import ConfigurationError
from ..redact import redact
from .conf import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

__all__ = ["install"]


@cache
def install() -> None:
    """Make Django's error reports mask everything that carries a session."""
    reports = SafeExceptionReporterFilter
    reports.get_safe_cookies = _without_carriers(reports.get_safe_cookies)
    reports.get_safe_request_meta = _without_carriers(reports.get_safe_request_meta)
    reports.cleanse_special_types = _without_secrets(reports.cleanse_special_types)


def _without_carriers(method: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @wraps(method)
    def masked(self: Any, request: HttpRequest) -> dict[str, Any]:
        found = method(self, request)
        return {**found, **dict.fromkeys(_names_of_carriers(found), self.cleansed_substitute)}

    return masked


def _without_secrets(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def masked(self: Any, request: HttpRequest | None, value: Any) -> Any:
        found = method(self, request, value)
        try:
            # On one line, since pformat() would split a long value, and a secret in it.
            text = pformat(found, width=sys.maxsize)
        except Exception:
            text = pprint(found)  # the report's fallback
        masked = redact(text, _secrets(request))
        return found if masked == text else masked

    return masked


def _names_of_carriers(found: dict[str, Any]) -> set[str]:
    """Return the names of those cookies or META entries that carry a session."""
    try:
        settings = get_settings()
    except ConfigurationError:
        # Without settings the names of the cookies are unknown. Mask everything.
        return set(found)
    cookies = {settings.cookie_name, settings.local_session_cookie_name}
    return found.keys() & {*cookies, "HTTP_AUTHORIZATION", "HTTP_COOKIE"}


def _secrets(request: HttpRequest | None) -> set[str]:
    if request is None:
        return set()
    cookies = request.COOKIES
    bearer = request.META.get("HTTP_AUTHORIZATION", "").rpartition(" ")[2]
    return {bearer, *(cookies[name] for name in _names_of_carriers(cookies))}
