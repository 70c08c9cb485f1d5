"""WebSockets beside the real proxy, which does not forward them: nginx asks it for the session."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from djsession import dumps, loads
from tests.helpers.commands import ROOT
from tests.helpers.nginx import running_nginx
from tests.helpers.proxy import Browser
from tests.helpers.servers import UVICORN, Serve
from tests.helpers.sessions import KEY, OTHER_KEY, XIA

pytest.importorskip("fastapi")
client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")


@pytest.fixture
def proxy(sites: Callable[[str, str], int], backend: str) -> int:
    """The port of the proxy in front of the FastAPI example."""
    return sites("fastapi", backend)


@pytest.fixture
def browser(proxy: int, serve: Serve, tmp_path: Path) -> Iterator[Browser]:
    """A browser at nginx, with the configuration that the documents show."""
    application = serve(
        *UVICORN,
        "examples.fastapi_app:app",
        DJAODJIN_SECRET_KEY=KEY,
        WEBSOCKETS_MAX_LINE_LENGTH="32768",
    )
    http = (ROOT / "examples/nginx.conf").read_text(encoding="utf-8")
    for pattern, text in (
        (r"listen 80", "listen 127.0.0.1:{port}"),
        (r"http://10\.0\.0\.7", f"http://127.0.0.1:{proxy}"),
        (r"http://127\.0\.0\.1:8000", f"http://127.0.0.1:{application}"),
    ):
        http, count = re.subn(pattern, text, http)
        assert count, pattern
    with running_nginx(http, tmp_path) as port:
        yield Browser(port)


@contextmanager
def websocket(browser: Browser, **headers: str) -> Iterator[Any]:
    """Open a WebSocket as a page of the site does, with the cookies of the browser."""
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies)
    sent = {"Cookie": cookies, **headers} if cookies else headers
    url = browser.base.replace("http", "ws", 1) + "/live"
    origin = sent.pop("Origin", browser.base)
    with client.connect(url, additional_headers=sent, origin=origin, proxy=None) as socket:
        yield socket


def refusal(browser: Browser, **headers: str) -> int:
    with pytest.raises(exceptions.InvalidStatus) as caught, websocket(browser, **headers):
        pass
    return int(caught.value.response.status_code)


@pytest.mark.parametrize("username", ["xia", "large", "日本"])
def test_a_websocket_has_the_session_of_who_signed_in_at_the_proxy(
    browser: Browser, username: str
) -> None:
    browser.sign_in(username)
    assert f"Hello, {username}" in browser.get("/app/").text
    for _ in range(2):
        with websocket(browser) as socket:
            assert socket.recv() == f"connected as {username}"
            socket.send("hello")
            assert socket.recv() == f"{username}: hello"


def test_without_a_session_at_the_proxy_the_handshake_is_a_403(browser: Browser) -> None:
    assert refusal(browser) == 403
    assert refusal(browser, Accept="text/html") == 403
    browser.sign_in("xia").sign_out()
    assert refusal(browser) == 403


def test_what_a_client_adds_to_the_handshake_counts_for_nothing(browser: Browser) -> None:
    for key in (KEY, OTHER_KEY):
        token = dumps({"username": "large", "roles": {}}, key, "jwt")
        planted = {"Authorization": f"Bearer {token}", "X-Session-Token": token}
        assert refusal(browser, **planted) == 403
    assert refusal(browser, Cookie=f'sessionid="{dumps(XIA, KEY)}"') == 403
    browser.sign_in("xia")
    with websocket(browser, **planted) as socket:
        assert socket.recv() == "connected as xia"


def test_a_page_of_another_site_cannot_open_one(browser: Browser) -> None:
    browser.sign_in("xia")
    for origin in ("https://evil.example", "null"):
        assert refusal(browser, Origin=origin) == 403


def test_the_token_for_nginx_is_short_lived_and_does_not_reach_the_browser(
    browser: Browser, proxy: int
) -> None:
    browser.sign_in("xia")
    answer = browser.get("/live-session")
    assert (answer.status, answer.headers["X-Session-Token"]) == (404, None)
    directly = Browser(proxy).sign_in("xia").get("/live-session")
    assert directly.status == 204
    session = loads(directly.headers["X-Session-Token"], KEY)
    assert session.username == "xia"
    assert 0 < session["exp"] - time.time() <= 30
