"""Sessions of the DjaoDjin proxy for any WSGI application.

The package's front door; see README.rst. Nothing here imports a framework, WebOb, PyYAML or
joserfc.
"""

from __future__ import annotations

from .codec import SessionCodec, dumps, loads
from .errors import AccessDenied, ConfigurationError, DjsessionError, SessionError
from .gate import Gate
from .middleware import SessionMiddleware
from .session import Organization, Session, Subscription
from .settings import Settings

__all__ = [
    "AccessDenied",
    "ConfigurationError",
    "DjsessionError",
    "Gate",
    "Organization",
    "Session",
    "SessionCodec",
    "SessionError",
    "SessionMiddleware",
    "Settings",
    "Subscription",
    "dumps",
    "loads",
]
