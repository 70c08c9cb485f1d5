from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession.mockup.navigation import is_browser, is_cross_site, request_url, safe_next


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("application/json, text/html", True),
        ("text/html;q=0.9, */*", False),
        ("text/html-like", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_a_browser_is_recognized_by_accept_as_at_the_proxy(accept: str, expected: bool) -> None:
    assert is_browser({"HTTP_ACCEPT": accept}) is expected


@pytest.mark.parametrize(
    ("headers", "cross"),
    [
        ({}, False),
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, False),
        ({"HTTP_SEC_FETCH_SITE": "none"}, False),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, True),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, True),
        ({"HTTP_SEC_FETCH_SITE": ""}, True),
        ({"HTTP_ORIGIN": "http://localhost:8000"}, False),
        ({"HTTP_ORIGIN": "https://localhost:8000"}, True),
        ({"HTTP_ORIGIN": "http://localhost:8001"}, True),
        ({"HTTP_ORIGIN": "http://localhost"}, True),
        ({"HTTP_ORIGIN": "https://evil.example"}, True),
        ({"HTTP_ORIGIN": "null"}, True),
        ({"HTTP_ORIGIN": ""}, True),
        ({"HTTP_ORIGIN": "https://evil.example", "HTTP_SEC_FETCH_SITE": "cross-site"}, True),
    ],
)
def test_cross_site_requests_are_recognized(headers: dict[str, str], cross: bool) -> None:
    environ = {"wsgi.url_scheme": "http", "HTTP_HOST": "localhost:8000", **headers}
    assert is_cross_site(environ) is cross


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/app/", "/app/"),
        ("/app/?a=b&c=d#e", "/app/?a=b&c=d#e"),
        ("/caf%C3%A9", "/caf%C3%A9"),
        ("/café", "/caf%C3%A9"),
        ("/a/http://example.com", "/a/http://example.com"),
    ],
)
def test_safe_next_keeps_a_path_of_this_site(url: str, expected: str) -> None:
    assert safe_next(url, "/default") == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app",
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\\/evil.example",
        "/a\\..\\..\\evil",
        "https://evil.example",
        "https:evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        "data:text/html,x",
        " //evil.example",
        " /app",
        "\t//evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r/evil.example",
        "/app\r\nSet-Cookie: a=b",
        "/\x00/evil.example",
        "/app\x7f",
        "@evil.example",
        "/\ud800",
        "?next=/",
        "#a",
    ],
)
def test_safe_next_replaces_a_url_that_could_leave_the_site(url: str) -> None:
    assert safe_next(url, "/default") == "/default"


@given(st.text())
def test_safe_next_is_always_a_printable_ascii_path(url: str) -> None:
    safe = safe_next(url, "/default")
    assert safe.startswith("/")
    assert not safe.startswith(("//", "/\\"))
    assert safe.isascii()
    assert safe.isprintable()


def test_request_url_is_quoted() -> None:
    environ: dict[str, Any] = {
        "SCRIPT_NAME": "/app",
        "PATH_INFO": "/café #?%".encode().decode("latin-1"),
        "QUERY_STRING": "a=%20",
    }
    assert request_url(environ) == "/app/caf%C3%A9%20%23%3F%25?a=%20"
