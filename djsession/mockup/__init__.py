"""Mockup logins: a YAML file of sessions and a login page in place of the proxy.

For development only.
"""

from __future__ import annotations

from .app import MockupApp
from .sessions import MockupSessions

__all__ = ["MockupApp", "MockupSessions"]
