"""Mockup logins within the URLs of a project, for development only."""

from __future__ import annotations
