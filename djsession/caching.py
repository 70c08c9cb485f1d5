"""The caching headers of a response, for every middleware and adapter.

A response that passed the gate depends on the session, even if the view did not read it: without a
session the response might have been a 403. A shared cache in front of the application must know
that (RFC 9111):

- Each response gets ``Vary: Cookie, Authorization``, since one of these headers carries the
  session.
- A response gets ``private`` if the request carried a session or the local session was used, in
  case a cache ignores parts of ``Vary``.

An application that marks a response as ``public`` overrides both rules.
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

#: The caching headers of a refusal. A cache must not store it.
REFUSAL_HEADERS = (("Cache-Control", "no-store"), ("Vary", _VARY_VALUE))

#: The names of the headers that this module changes, in lower case.
CACHING_NAMES = ("cache-control", "vary")

_IMPERSONAL_HEADERS = [("Vary", _VARY_VALUE)]
_PERSONAL_HEADERS = [("Vary", _VARY_VALUE), ("Cache-Control", "private")]


def caching_headers(cache_control: str, vary: str, *, is_personal: bool) -> tuple[str, str]:
    """Return the values of Cache-Control and Vary for a response that passes the gate.

    ``cache_control`` and ``vary`` are the values that the application set, or ``""``. The result
    has ``""`` for a header that the response does not need. ``is_personal`` is true if the request
    carried a session, or if the local session was read or written or its cookie was set.
    """
    if not cache_control and not vary:
        return "private" if is_personal else "", _VARY_VALUE
    directives = {item.strip().lower() for item in _QUOTED.sub('""', cache_control).split(",")}
    if "public" in directives:
        return cache_control, vary
    # private="Set-Cookie" is not enough, since it restricts only that header.
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
    """Return the caching headers to change in a response that passes the gate.

    ``headers`` are all headers of the response. Each returned header replaces all headers with the
    same name. See :func:`caching_headers`.
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
    headers: Iterable[tuple[str, str]], is_personal: bool
) -> list[tuple[str, str]]:
    """Return a WSGI response's headers with the caching headers added or changed.

    PEP 3333 requires a list, but servers such as gunicorn accept any iterable.
    """
    if not isinstance(headers, list):
        headers = list(headers)
    for name, _ in headers:
        if len(name) in (4, 13) and name.lower() in CACHING_NAMES:
            changes = caching_changes(headers, is_personal=is_personal)
            replaced = [name.lower() for name, _ in changes]
            return [*(header for header in headers if header[0].lower() not in replaced), *changes]
    # The fast path for most responses, which do not have any caching headers yet.
    return headers + (_PERSONAL_HEADERS if is_personal else _IMPERSONAL_HEADERS)
