"""Mockup logins in the URLs of a project. For development only."""

from __future__ import annotations
