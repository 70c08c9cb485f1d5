"""SessionMiddleware: the gate in front of any WSGI application."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .errors import AccessDenied
from .gate import Gate
from .settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

__all__ = ["SessionMiddleware", "forbidden"]


class SessionMiddleware:
    """Lets a request through to ``app`` with its session, or answers 403.

    ::

        from djsession import SessionMiddleware

        application = SessionMiddleware(application, allowed_no_session=["/static/"])

    Behind it ``environ["djsession.session"]`` always holds a Session, and
    ``environ["REMOTE_USER"]`` the username when somebody is signed in, whatever the server or
    the client put there.

    It trusts whoever knows the key, which is the proxy. It must be the only way in: an
    application server that can be reached past the proxy still refuses requests without a
    token, and accepts a token of the cookie format that was once overheard, for that format
    does not expire. Put it outside of everything that reads the session or REMOTE_USER.

    A setting that is not given comes from the environment: see README.rst. Raises
    ConfigurationError when one is missing or wrong.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        secret_key: str | Sequence[str] | None = None,
        cookie_name: str | None = None,
        allowed_no_session: Sequence[str] | None = None,
        max_token_size: int | None = None,
        formats: Sequence[str] | None = None,
    ) -> None:
        self.app = app
        self.gate = Gate(
            Settings.from_environ(
                secret_key=secret_key,
                cookie_name=cookie_name,
                allowed_no_session=allowed_no_session,
                max_token_size=max_token_size,
                formats=formats,
            )
        )

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            self.gate.open(environ)
        except AccessDenied:
            return forbidden(environ, start_response)
        return self.app(environ, start_response)


def forbidden(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """A WSGI application: 403, the same whatever the cause, as text or as JSON."""
    if _prefers_json(environ.get("HTTP_ACCEPT", "")):
        content_type, body = "application/json", b'{"detail": "Forbidden"}\n'
    else:
        content_type, body = "text/plain; charset=utf-8", b"Forbidden\n"
    start_response(
        "403 Forbidden",
        [
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Vary", "Accept"),
            ("X-Content-Type-Options", "nosniff"),
        ],
    )
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


_JSON = re.compile(r"application/(?:[\w.-]+\+)?json", re.ASCII)
_QUALITY = re.compile(r";\s*q\s*=\s*([01](?:\.\d{0,3})?)", re.ASCII)


def _prefers_json(accept: str) -> bool:
    """Whether an Accept header (RFC 9110 section 12.5.1) names JSON, and no text above it."""
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
