"""Read the session that the DjaoDjin proxy attaches to each request, in any Python web application.

These are the public names. Importing them does not import a framework, WebOb or PyYAML.
"""

from __future__ import annotations

from .codec import SessionCodec, dumps, loads
from .errors import AccessDenied, ConfigurationError, DjsessionError, SessionError
from .gate import Gate
from .session import Organization, Session, Subscription
from .settings import Settings
from .wsgi import SessionMiddleware

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
