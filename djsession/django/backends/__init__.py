"""The session engines and the authentication backend."""

from __future__ import annotations
