"""The session engine for the cookie session backend of the proxy, to set as SESSION_ENGINE."""

from __future__ import annotations

from .base import SessionStore as _SessionStore

__all__ = ["SessionStore"]


class SessionStore(_SessionStore):
    """The session of a request. It reads tokens in both formats, and writes openssl tokens."""

    token_format = "openssl"
