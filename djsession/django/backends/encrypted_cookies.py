"""The session engine of the encrypted cookie. For SESSION_ENGINE."""

from __future__ import annotations

from .base import SessionStore as _SessionStore

__all__ = ["SessionStore"]


class SessionStore(_SessionStore):
    """The session of a request, whichever format its token has; writes the format openssl."""

    token_format = "openssl"
