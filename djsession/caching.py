"""The caching headers of a response, for every middleware and adapter.

A response behind the gate was made for whoever the session says, even where the view looked at
nothing: without a session there would have been a 403. A shared cache in front of the application
must know that (RFC 9111):

- ``Vary: Cookie, Authorization``, since the session travels in one of these;
- ``private`` where the request carried a session or the view touched the visitor's local session,
  since a cache may key on less than it should.

An application that marks a response ``public`` has decided for itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = [
    "CACHING_NAMES",
    "REFUSAL_HEADERS",
    "caching_changes",
    "caching_headers",
    "with_caching_headers",
]

_VARY = ("Cookie", "Authorization")
_VARY_VALUE = ", ".join(_VARY)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')

#: The caching headers of a refusal: nobody else's request may be answered with it.
REFUSAL_HEADERS = (("Cache-Control", "no-store"), ("Vary", _VARY_VALUE))

#: The headers that the rule is about, in lower case.
CACHING_NAMES = ("cache-control", "vary")

_IMPERSONAL = (("Vary", _VARY_VALUE),)
_PERSONAL = (("Vary", _VARY_VALUE), ("Cache-Control", "private"))


def caching_headers(cache_control: str, vary: str, *, is_personal: bool) -> tuple[str, str]:
    """Return the values of Cache-Control and Vary for a response that passes the gate.

    Takes those that the application set, ``""`` for a header that it did not set; returns ``""``
    for a header that the response does not need. ``is_personal`` says whether the request carried a
    session, or whether a local session was read, written or its cookie set.
    """
    if not cache_control and not vary:
        return "private" if is_personal else "", _VARY_VALUE
    directives = {item.strip().lower() for item in _QUOTED.sub('""', cache_control).split(",")}
    if "public" in directives:
        return cache_control, vary
    # private="Set-Cookie" restricts that one header and lets the rest be stored.
    if is_personal and not directives & {"private", "no-store"}:
        cache_control = f"{cache_control}, private" if cache_control.strip() else "private"
    if not vary.strip():
        return cache_control, _VARY_VALUE
    names = {name.strip().lower() for name in vary.split(",")}
    if "*" not in names:
        vary = ", ".join([vary, *(name for name in _VARY if name.lower() not in names)])
    return cache_control, vary


def caching_changes(
    headers: Iterable[tuple[str, str]], *, is_personal: bool
) -> tuple[tuple[str, str], ...]:
    """Return the headers to set on a response that passes the gate, given those that it has.

    Each replaces all headers of its name. See :func:`caching_headers`.
    """
    cache_control = vary = ""
    for name, value in headers:
        if len(name) == 13 and name.lower() == "cache-control":
            cache_control = f"{cache_control}, {value}" if cache_control else value
        elif len(name) == 4 and name.lower() == "vary":
            vary = f"{vary}, {value}" if vary else value
    new_control, new_vary = caching_headers(cache_control, vary, is_personal=is_personal)
    changes = []
    if new_control != cache_control:
        changes.append(("Cache-Control", new_control))
    if new_vary != vary:
        changes.append(("Vary", new_vary))
    return tuple(changes)


def with_caching_headers(
    headers: list[tuple[str, str]], *, is_personal: bool
) -> list[tuple[str, str]]:
    """Return the headers of a response, as in WSGI, with the caching headers."""
    for name, _ in headers:
        if len(name) in (4, 13) and name.lower() in CACHING_NAMES:
            changes = caching_changes(headers, is_personal=is_personal)
            replaced = [name.lower() for name, _ in changes]
            return [*(header for header in headers if header[0].lower() not in replaced), *changes]
    # What most responses need: those without caching headers of their own.
    return [*headers, *(_PERSONAL if is_personal else _IMPERSONAL)]
