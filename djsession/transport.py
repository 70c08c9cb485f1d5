"""Where a token travels: the tokens that a WSGI environ may carry.

Cookies are split by hand, as browsers and RFC 6265 section 4.1 write them: a general parser
costs as much as the decryption.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

__all__ = ["MAX_COOKIES", "Transport", "bearer_token", "candidates", "is_quoted"]

Transport = Literal["cookie", "bearer"]

#: Cookies of the configured name that are tried. A browser sends more than one when paths or
#: domains overlap; each one tried costs a decryption.
MAX_COOKIES = 4


def candidates(environ: Mapping[str, Any], cookie_name: str) -> list[tuple[Transport, str]]:
    """Return the transport and the token of all that could carry a session, in order to try.

    Cookies of the configured name come first, at most MAX_COOKIES, without their quotes; then
    the Authorization header. The proxy's own session id is left out: it is no token, and no
    sign of a wrong key.
    """
    found: list[tuple[Transport, str]] = []
    header = environ.get("HTTP_COOKIE")
    if header:
        for pair in header.split(";"):
            if cookie_name not in pair:
                continue
            name, _, value = pair.partition("=")
            if name.strip() != cookie_name:
                continue
            value = value.strip()
            if value[:1] == value[-1:] == '"':
                value = value[1:-1]
            if value and not (len(value) == 32 and value.isalnum() and value.isascii()):
                found.append(("cookie", value))
                if len(found) == MAX_COOKIES:
                    break
    header = environ.get("HTTP_AUTHORIZATION")
    if header:
        token = bearer_token(header)
        if token:
            found.append(("bearer", token))
    return found


def is_quoted(environ: Mapping[str, Any], token: str) -> bool:
    """Whether a token stands in double quotes in the Cookie header, as the proxy sends it."""
    return f'"{token}"' in environ.get("HTTP_COOKIE", "")


def bearer_token(header: str) -> str:
    """Return the token of an Authorization header of the scheme Bearer (RFC 6750), or ``""``.

    For a visitor who is not signed in the proxy sends the scheme and nothing behind it.
    """
    scheme, _, token = header.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
