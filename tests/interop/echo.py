"""An application behind SessionMiddleware that answers with what it saw."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from djsession import SessionMiddleware


def echo(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    seen = {
        "session": environ["djsession.session"],
        "REMOTE_USER": environ.get("REMOTE_USER"),
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "query": environ["QUERY_STRING"],
        "content_type": environ.get("CONTENT_TYPE", ""),
        "body": b64encode(body).decode(),
        "cookie": environ.get("HTTP_COOKIE", ""),
    }
    start_response(
        "200 OK",
        [
            ("Content-Type", "application/json"),
            ("Set-Cookie", "sessionid=from-the-application; Path=/"),
            ("Set-Cookie", "theme=dark; Path=/"),
        ],
    )
    return [json.dumps(seen).encode()]


application = SessionMiddleware(echo)
