"""What the applications do: POST counts one more, GET shows the count."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any

#: What each server of a site has in common: it finds the same sessions there.
REDIS_URL = os.environ["REDIS_URL"]


def answer(
    environ: dict[str, Any], username: str | None, session: MutableMapping[str, Any]
) -> dict[str, Any]:
    """Return what a page says. ``session`` is the framework's own."""
    if environ["REQUEST_METHOD"] == "POST":
        session["count"] = session.get("count", 0) + 1
        session["counted_for"] = username
    return {
        "username": username,
        "count": session.get("count", 0),
        "counted_for": session.get("counted_for"),
        "port": int(environ["SERVER_PORT"]),
    }
