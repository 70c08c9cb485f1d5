"""The response to a refused request, which is the same for every shell and every cause."""

from __future__ import annotations

import re

from .caching import REFUSAL_HEADERS

__all__ = ["refusal"]

_JSON = re.compile(r"application/(?:[\w.-]+\+)?json", re.ASCII)
_QUALITY = re.compile(r";\s*q\s*=\s*([01](?:\.\d{0,3})?)", re.ASCII)


def refusal(accept: str) -> tuple[list[tuple[str, str]], bytes]:
    """Return the headers and the body of a 403, as text or as JSON.

    ``accept`` is the request's Accept header, or ``""`` if the header is missing.
    """
    if _prefers_json(accept):
        content_type, body = "application/json", b'{"detail": "Forbidden"}\n'
    else:
        content_type, body = "text/plain; charset=utf-8", b"Forbidden\n"
    caching = dict(REFUSAL_HEADERS)
    headers = {
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        **caching,
        "Vary": f"{caching['Vary']}, Accept",
        "X-Content-Type-Options": "nosniff",
    }
    return list(headers.items()), body


def _prefers_json(accept: str) -> bool:
    """Return whether an Accept header (RFC 9110 section 12.5.1) prefers JSON to text."""
    json = text = 0.0
    for item in accept.lower().split(","):
        media_type = item.partition(";")[0].strip()
        match = _QUALITY.search(item)
        quality = float(match[1]) if match else 1.0
        if _JSON.fullmatch(media_type):
            json = max(json, quality)
        elif media_type in ("text/html", "text/plain"):
            text = max(text, quality)
    return json > 0 and json >= text
