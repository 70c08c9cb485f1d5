from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession.transport import candidates

OPAQUE = "jhme0v4oa4t76b9qcokx8r4zqjxfhdiy"


def cookies(header: str, name: str = "sessionid") -> list[str]:
    found = candidates({"HTTP_COOKIE": header}, name)
    assert all(transport == "cookie" for transport, _ in found)
    return [token for _, token in found]


def bearer(header: str) -> list[str]:
    found = candidates({"HTTP_AUTHORIZATION": header}, "sessionid")
    assert all(transport == "bearer" for transport, _ in found)
    return [token for _, token in found]


@pytest.mark.parametrize(
    "header",
    [
        "sessionid=abc",
        'sessionid="abc"',
        '_ga=GA1.2; csrftoken=x; sessionid="abc"; theme="dark mode"',
        'a=1;sessionid="abc";b=2',
        ' sessionid = "abc" ',
        "sessionid=abc; xsessionid=no; sessionidx=no; sessionid2=no",
        'other="sessionid=no"; sessionid=abc',
    ],
)
def test_the_cookie_is_found(header: str) -> None:
    assert cookies(header) == ["abc"]


@pytest.mark.parametrize(
    "header",
    ["", ";", "a=1", "sessionid", "sessionid=", 'sessionid=""', 'sessionid="', "SESSIONID=abc"],
)
def test_there_is_no_cookie(header: str) -> None:
    assert cookies(header) == []


def test_base64_padding_stays() -> None:
    assert cookies('sessionid="ab+/cd=="') == ["ab+/cd=="]


def test_a_quote_on_one_side_is_no_quoting() -> None:
    assert cookies('sessionid="abc') == ['"abc']


def test_another_name() -> None:
    assert cookies("sessionid=no; djsession=abc", "djsession") == ["abc"]


def test_the_first_four_are_tried() -> None:
    header = "; ".join(f"sessionid=token{number}" for number in range(200))
    assert cookies(header) == ["token0", "token1", "token2", "token3"]


@pytest.mark.parametrize("value", [OPAQUE, f'"{OPAQUE}"', OPAQUE.upper()])
def test_the_proxys_own_session_id_is_no_token(value: str) -> None:
    assert cookies(f"sessionid={value}") == []


@pytest.mark.parametrize("value", [OPAQUE + "x", OPAQUE[1:], OPAQUE[1:] + "=", OPAQUE[1:] + "é"])
def test_what_only_resembles_it_is_tried(value: str) -> None:
    assert cookies(f"sessionid={value}") == [value]


def test_it_does_not_count_among_the_four() -> None:
    header = "; ".join([f"sessionid={OPAQUE}"] * 5 + ["sessionid=abc"])
    assert cookies(header) == ["abc"]


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER   abc  ", " Bearer abc"])
def test_the_bearer_token_is_found(header: str) -> None:
    assert bearer(header) == ["abc"]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "Bearerabc", "abc"])
def test_there_is_no_bearer_token(header: str) -> None:
    assert bearer(header) == []


def test_cookies_come_before_the_header() -> None:
    environ = {"HTTP_COOKIE": "sessionid=abc; sessionid=def", "HTTP_AUTHORIZATION": "Bearer ghi"}
    assert candidates(environ, "sessionid") == [
        ("cookie", "abc"),
        ("cookie", "def"),
        ("bearer", "ghi"),
    ]


def test_no_headers_no_candidates() -> None:
    assert candidates({}, "sessionid") == []


@given(st.text(), st.text())
def test_no_header_makes_it_raise(cookie: str, authorization: str) -> None:
    environ = {"HTTP_COOKIE": cookie, "HTTP_AUTHORIZATION": authorization}
    for _, token in candidates(environ, "sessionid"):
        assert token in cookie or token in authorization
