"""Where a request to the mockup pages comes from, and where its answer may lead."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

__all__ = [
    "is_browser",
    "is_cross_site",
    "query_parameter",
    "request_url",
    "safe_next",
    "script_url",
]

_UNSAFE = re.compile("[\x00-\x20\x7f\\\\]")
# What a path may hold unescaped (RFC 3986 section 3.3).
_PATH_SAFE = "/:@!$&'()*+,;=~"


def is_cross_site(environ: dict[str, Any]) -> bool:
    """Whether a page on another site sent this request.

    Browsers report this in Sec-Fetch-Site (W3C Fetch Metadata). If the header is missing, the
    Origin decides. Clients that are not browsers send neither.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        return False
    return bool(origin != f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}")


def is_browser(environ: dict[str, Any]) -> bool:
    """Whether the client is a browser that loads a page, since it asks for HTML by name.

    Like the proxy, this does not count a client that gives HTML a weight (``text/html;q=0.9``).
    """
    accepted = environ.get("HTTP_ACCEPT", "").split(",")
    return "text/html" in (item.strip() for item in accepted)


def request_url(environ: dict[str, Any]) -> str:
    """Return the path and the query of a request, as a URL without scheme and host."""
    url = script_url(environ) + _quote_path(environ.get("PATH_INFO", ""))
    query: str | None = environ.get("QUERY_STRING")
    return f"{url}?{query}" if query else url


def script_url(environ: dict[str, Any]) -> str:
    """Return SCRIPT_NAME, where the application is mounted, as the start of a URL."""
    return _quote_path(environ.get("SCRIPT_NAME", ""))


def query_parameter(environ: dict[str, Any], name: str) -> str:
    """Return the last value of a parameter of the query string, or ``""``."""
    query: str = environ.get("QUERY_STRING", "")
    return dict(parse_qsl(query)).get(name, "")


def safe_next(url: str, default: str) -> str:
    """Return the URL if it stays on this site, else ``default``.

    Only an absolute path passes. Browsers read a backslash as a slash and drop tabs and line
    ends (WHATWG URL Standard), so the URL must not contain any of those.
    """
    if not url.startswith("/") or url.startswith("//") or _UNSAFE.search(url):
        return default
    try:
        parts = urlsplit(url)
        if parts.scheme or parts.netloc:
            return default
        # Existing escapes are kept.
        return quote(url, safe=_PATH_SAFE + "?#[]%")
    except ValueError:  # a broken IPv6 address, a lone surrogate
        return default


def _quote_path(path: str) -> str:
    # PEP 3333 passes bytes as latin-1.
    return quote(path.encode("latin-1", "replace"), safe=_PATH_SAFE)
