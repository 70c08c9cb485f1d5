"""The session engine of the jwt. For SESSION_ENGINE."""

from __future__ import annotations

from .base import SessionStore as _SessionStore

__all__ = ["SessionStore"]


class SessionStore(_SessionStore):
    """The session of a request, whichever format its token has; writes the format jwt."""

    token_format = "jwt"
