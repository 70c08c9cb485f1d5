"""WSGI applications for the servers of the benchmark: bare, with djsession, with deployutils."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any

from djsession import SessionMiddleware

from .measuring import KEY


def bare(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "3")])
    return [b"xia"]


djsession = SessionMiddleware(bare, secret_key=KEY)


def deployutils(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """Decode the session as the middleware of deployutils does, which needs Django."""
    from deployutils.crypt import decrypt

    cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
    environ["session"] = json.loads(decrypt(cookies["sessionid"].value, KEY))
    return bare(environ, start_response)
