"""The real proxy: what it needs, whom it knows, and a browser in front of it."""

from __future__ import annotations

import json
import os
from http.cookiejar import CookieJar
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, Request, build_opener

from tests.helpers.sessions import XIA

#: An interpreter with djaodjin-rules and gunicorn; only the interop session of nox has one.
PROXY_PYTHON = os.environ.get("DJSESSION_TEST_PROXY_PYTHON", "")

LARGE = {
    **XIA,
    "username": "large",
    "roles": {
        "manager": [
            {"slug": f"organization-{number}", "printable_name": "An organization " + "x" * 40}
            for number in range(70)
        ]
    },
}
SESSIONS: dict[str, dict[str, Any]] = {
    "xia": XIA,
    "large": LARGE,
    "日本": {
        **XIA,
        "username": "日本",
        "roles": {"manager": [{"slug": "cafe", "printable_name": "Café Größe 東京"}]},
    },
}
# The proxy's cookie stays within the 8 KB that servers accept in one header.
assert 6_000 < len(json.dumps(LARGE)) < 8_000


def without(session: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in session.items() if key not in keys}


class Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


class Browser:
    """The browser's side of the proxy, with its cookies."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.cookies = CookieJar()
        self._opener = build_opener(HTTPCookieProcessor(self.cookies), _NoRedirect)

    def request(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        names.setdefault("Accept", "text/html,*/*;q=0.8")  # the proxy redirects browsers alone
        request = Request(self.base + path, body, names)
        try:
            with self._opener.open(request, timeout=30) as response:
                return Answer(response.status, response.headers, response.read())
        except HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    get = request

    def sign_in(self, username: str) -> Browser:
        assert self.get(f"/proxy/login/{quote(username)}").status == 200
        return self

    def sign_out(self) -> Browser:
        assert self.get("/proxy/logout").status == 200
        return self
