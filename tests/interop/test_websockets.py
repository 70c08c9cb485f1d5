"""WebSockets beside the real proxy, which does not forward them: nginx asks it for the session."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from djsession import dumps, loads
from tests.helpers.commands import ROOT
from tests.helpers.nginx import running_nginx
from tests.helpers.proxy import Browser
from tests.helpers.servers import DAPHNE, HYPERCORN, UVICORN, Serve, connect, receive_until
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.websockets import open_websocket, refusal

pytest.importorskip("fastapi")


@pytest.fixture
def proxy(sites: Callable[[str, str], int], backend: str) -> int:
    """The port of the proxy in front of the FastAPI example."""
    return sites("fastapi", backend)


@pytest.fixture
def server() -> tuple[str, ...]:
    """The command that serves the application behind nginx."""
    return UVICORN


@pytest.fixture
def browser(proxy: int, server: tuple[str, ...], serve: Serve, tmp_path: Path) -> Iterator[Browser]:
    """A browser at nginx, with the configuration that the documents show."""
    application = serve(
        *server,
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


def cookies_of(browser: Browser) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies)


def handshake(browser: Browser, path: str, headers: dict[str, str]) -> tuple[Any, ...]:
    """Return the arguments with which a page of the site opens a WebSocket in the browser."""
    sent = {"Cookie": cookies_of(browser), "Origin": browser.base, **headers}
    sent = {name: value for name, value in sent.items() if value}
    return int(browser.base.rpartition(":")[2]), path, sent, sent.pop("Origin")


def websocket(browser: Browser, path: str = "/live", **headers: str) -> Any:
    return open_websocket(*handshake(browser, path, headers))


def refused(browser: Browser, **headers: str) -> int:
    return refusal(*handshake(browser, "/live", headers))


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
    assert refused(browser) == 403
    assert refused(browser, Accept="text/html") == 403
    browser.sign_in("xia").sign_out()
    assert refused(browser) == 403


def test_what_a_client_adds_to_the_handshake_counts_for_nothing(browser: Browser) -> None:
    for key in (KEY, OTHER_KEY):
        token = dumps({"username": "large", "roles": {}}, key, "jwt")
        planted = {"Authorization": f"Bearer {token}", "X-Session-Token": token}
        assert refused(browser, **planted) == 403
    assert refused(browser, Cookie=f'sessionid="{dumps(XIA, KEY)}"') == 403
    browser.sign_in("xia")
    with websocket(browser, **planted) as socket:
        assert socket.recv() == "connected as xia"


def test_a_page_of_another_site_cannot_open_one(browser: Browser) -> None:
    browser.sign_in("xia")
    for origin in ("https://evil.example", "null"):
        assert refused(browser, Origin=origin) == 403


EACH_SERVER = pytest.mark.parametrize(
    "server", [UVICORN, HYPERCORN, DAPHNE], ids=lambda server: server[1]
)


@EACH_SERVER
def test_nginx_passes_nothing_but_the_handshake_of_a_websocket(browser: Browser) -> None:
    browser.sign_in("xia")
    # HTTP/2 would let a client send requests that the proxy never sees: Hypercorn speaks it.
    http2 = "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAMAAABkAAQAAP__\n"
    port = int(browser.base.rpartition(":")[2])
    for method, headers, status in (
        ("GET", http2, 400),
        ("GET", "Connection: close\n", 400),
        ("POST", "Connection: close\n", 403),
        ("POST", http2, 403),
    ):
        sent = f"Host: 127.0.0.1\nCookie: {cookies_of(browser)}\n{headers}"
        request = f"{method} /live HTTP/1.1\n{sent}\n".replace("\n", "\r\n")
        with connect(port) as connection:
            connection.sendall(request.encode())
            head = receive_until(connection, b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), (method, headers)


@EACH_SERVER
def test_the_application_sees_the_path_that_nginx_has_compared(browser: Browser) -> None:
    browser.sign_in("xia")
    for path in ("//live", "/./live", "/manage/cowork/../../live", "/x/..%2Flive", "/%6Cive?a=b"):
        with websocket(browser, path) as socket:
            assert socket.recv() == "connected as xia", path


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
