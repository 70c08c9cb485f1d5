"""Each example behind the real proxy: what the browser sees, and what the application saw."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from datetime import UTC, datetime
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from djsession import dumps
from tests.helpers.proxy import LARGE, SESSIONS, Browser, without
from tests.helpers.sessions import KEY, XIA


def seen_session(browser: Browser, example: str) -> Any:
    """Return the session that an example saw."""
    if example == "hello":
        match = re.search(r"<pre>(.*)</pre>", browser.get("/session").text, re.DOTALL)
        assert match
        return json.loads(unescape(match[1]))
    return browser.get("/session").json()


def test_the_application_sees_the_user_who_signed_in_at_the_proxy(
    browser: Browser, example: str
) -> None:
    browser.sign_in("xia")
    answer = browser.get("/app/")
    assert answer.status == 200
    assert "Hello, xia" in answer.text
    assert without(seen_session(browser, example), "exp", "last_visited") == without(
        XIA, "last_visited"
    )


def test_last_visited_is_null_on_the_first_visit_and_a_date_on_the_second(echo: Browser) -> None:
    echo.sign_in("日本")
    assert echo.get("/app/").json()["session"]["last_visited"] is None
    before = datetime.now(UTC)
    visited = echo.get("/app/").json()["session"]["last_visited"]
    assert abs((datetime.fromisoformat(visited) - before).total_seconds()) < 60


def test_a_visitor_on_an_open_path_passes_with_the_cookie_backend_only(
    browser: Browser, backend: str
) -> None:
    answer = browser.get("/public/")
    if backend == "cookie":
        assert answer.status == 200
        assert "isitor" in answer.text
    else:
        # "Authorization: Bearer" with nothing behind it is not a session, and the path is not open.
        assert answer.status == 403


def test_a_visitor_on_a_closed_path_never_gets_to_the_application(browser: Browser) -> None:
    answer = browser.get("/app/")
    assert answer.status == 302
    assert answer.headers["Location"].startswith("/proxy/login/")


def test_signing_out_at_the_proxy_ends_the_session(browser: Browser) -> None:
    browser.sign_in("xia")
    assert browser.get("/app/").status == 200
    browser.sign_out()
    assert browser.get("/app/").status == 302


def test_a_browser_that_changes_users_is_the_new_user_at_once(browser: Browser) -> None:
    assert "Hello, xia" in browser.sign_in("xia").get("/app/").text
    assert "Hello, large" in browser.sign_in("large").get("/app/").text
    assert "Hello, xia" in browser.sign_in("xia").get("/app/").text


def test_a_session_of_6_kb_reaches_the_application(browser: Browser, example: str) -> None:
    browser.sign_in("large")
    assert browser.get("/app/").status == 200
    assert without(seen_session(browser, example), "exp", "last_visited") == without(
        LARGE, "last_visited"
    )


def test_a_username_outside_ascii_reaches_the_application(browser: Browser, example: str) -> None:
    browser.sign_in("日本")
    assert "日本" in browser.get("/app/").text
    assert seen_session(browser, example)["roles"] == SESSIONS["日本"]["roles"]


def test_an_application_keeps_what_it_writes(browser: Browser, example: str) -> None:
    browser.sign_in("xia")
    if example in ("hello", "fastapi"):  # which write nothing
        assert browser.get("/app/").status == 200
        # There are only the proxy's own cookies.
        assert "djsession_local" not in {cookie.name for cookie in browser.cookies}
        return

    def visits() -> str:
        match = re.search(r"visits: (\d+)|(\d+) time", browser.get("/app/").text)
        assert match
        return match[1] or match[2]

    assert [visits() for _ in range(3)] == ["1", "2", "3"]
    browser.sign_in("large")
    assert visits() == "1"  # another user of the same browser finds nothing of it


def test_a_cookie_of_the_browsers_own_is_no_session(echo: Browser) -> None:
    answer = echo.get("/public/", Cookie="sessionid=forged; theme=dark")
    assert answer.status in (200, 403)
    if answer.status == 200:
        assert answer.json()["session"] == {}
        assert answer.json()["REMOTE_USER"] is None


@pytest.mark.parametrize("format", ["openssl", "jwt"])
def test_a_token_in_the_browsers_cookie_does_not_count(
    echo: Browser, backend: str, format: Any
) -> None:
    # One that a mockup login left there, or that somebody planted.
    planted = dumps({"username": "mallory"}, KEY, format)
    answer = echo.get("/public/", Cookie=f"sessionid={planted}")
    if backend == "cookie":
        assert answer.json()["session"] == {}
    else:
        assert answer.status == 403


@pytest.mark.parametrize("format", ["openssl", "jwt"])
def test_a_token_in_the_browsers_header_never_wins(
    echo: Browser, backend: str, format: Any
) -> None:
    echo.sign_in("xia")
    planted = dumps({"username": "mallory"}, KEY, format)
    answer = echo.get("/app/", Authorization=f"Bearer {planted}")
    if backend == "cookie" and format == "jwt":
        assert answer.status == 403  # two different sessions
    else:
        assert answer.json()["session"]["username"] == "xia"


def test_the_proxy_drops_the_cookie_of_its_name(echo: Browser) -> None:
    echo.sign_in("xia")
    own = {cookie.name: cookie.value for cookie in echo.cookies}["sessionid"]
    assert echo.get("/app/").status == 200
    cookies = {cookie.name: cookie.value for cookie in echo.cookies}
    assert cookies == {"sessionid": own, "theme": "dark"}
    assert "theme=dark" in echo.get("/app/").json()["cookie"]


def test_a_form_reaches_the_application_through_the_proxy(echo: Browser) -> None:
    echo.sign_in("xia")
    body = urlencode({"name": "Größe", "b": "1 2"}).encode()
    seen = echo.request("/app/?q=1", body).json()
    assert seen["method"] == "POST"
    assert seen["query"] == "q=1"
    assert b64decode(seen["body"]) == body
    assert seen["REMOTE_USER"] == "xia"


def test_an_upload_reaches_the_application_through_the_proxy(echo: Browser) -> None:
    echo.sign_in("xia")
    data = bytes(range(256)) * 50
    body = (
        b'--b\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n--b--\r\n"
    )
    seen = echo.request("/app/", body, Content_Type="multipart/form-data; boundary=b").json()
    assert seen["content_type"].startswith("multipart/form-data")
    assert data in b64decode(seen["body"])
    assert seen["session"]["username"] == "xia"


def test_the_application_sees_exactly_the_session_that_the_proxy_sent(
    echo: Browser, backend: str
) -> None:
    echo.sign_in("xia")
    seen = echo.get("/app/").json()["session"]
    assert without(seen, "exp", "last_visited") == without(XIA, "last_visited")
    assert ("exp" in seen) == (backend == "jwt")
