"""A client that sends requests to a MockupApp as a server on this machine would."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from http.cookies import SimpleCookie
from io import BytesIO
from typing import Any
from urllib.parse import urlencode
from wsgiref.validate import validator

from tests.helpers.sessions import XIA
from tests.helpers.wsgi import Answer, call

SESSIONS: dict[str, Any] = {
    "alice": {"roles": {"manager": [{"slug": "cowork", "printable_name": "Chamoix"}]}},
    "xia": XIA,
    "nobody": {"username": "x<y>"},
}

HTML: dict[str, Any] = {"HTTP_ACCEPT": "text/html,application/xhtml+xml,*/*;q=0.8"}

# What makes a request local.
LOCAL = {
    "REMOTE_ADDR": "127.0.0.1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "localhost:8000",
}


def request(
    app: Callable[..., Any], method: str, url: str, body: bytes = b"", **environ: Any
) -> Answer:
    """Send a request to localhost:8000. A variable that is None is left out."""
    path, _, query = url.partition("?")
    variables = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8000",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **LOCAL,
        **environ,
    }
    present = {name: value for name, value in variables.items() if value is not None}
    return call(validator(app), present)


def get(app: Callable[..., Any], url: str, **environ: Any) -> Answer:
    return request(app, "GET", url, **environ)


def post(app: Callable[..., Any], url: str, fields: dict[str, str], **environ: Any) -> Answer:
    environ = {"CONTENT_TYPE": "application/x-www-form-urlencoded", **environ}
    return request(app, "POST", url, urlencode(fields).encode(), **environ)


def post_json(
    app: Callable[..., Any], document: Any, url: str = "/api/auth", **environ: Any
) -> Answer:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    environ = {"CONTENT_TYPE": "application/json", **environ}
    return request(app, "POST", url, body, **environ)


def cookie_of(answer: Answer, name: str = "sessionid") -> Any:
    return SimpleCookie(answer.headers["Set-Cookie"])[name]
