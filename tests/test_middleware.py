from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import ConfigurationError, Session, SessionMiddleware, dumps

from .conftest import KEY, OTHER_KEY, XIA, Capture, Recorder, call


def cookie(session: dict[str, Any], key: str = KEY) -> dict[str, Any]:
    return {"REQUEST_METHOD": "GET", "HTTP_COOKIE": f'sessionid="{dumps(session, key)}"'}


def test_every_capture_of_the_real_proxy_is_read_to_the_byte(
    capture: Capture, inside: Recorder
) -> None:
    app = SessionMiddleware(inside, secret_key=capture.secret_key)
    answer = call(app, dict(capture.environ))
    if capture.session is None:
        assert answer.code == 403
        assert inside.environs == []
        return
    assert answer.code == 200
    [environ] = inside.environs
    assert environ["djsession.session"] == capture.session
    assert type(environ["djsession.session"]) is Session
    assert environ.get("REMOTE_USER") == capture.session.get("username")
    # The request is passed on as it was.
    assert {name: environ[name] for name in capture.environ} == capture.environ


def test_no_capture_passes_with_another_key(capture: Capture, inside: Recorder) -> None:
    app = SessionMiddleware(inside, secret_key="another key")
    assert call(app, dict(capture.environ)).code == 403
    assert inside.environs == []


def test_a_refusal_is_text(inside: Recorder) -> None:
    answer = call(SessionMiddleware(inside, secret_key=KEY), {"REQUEST_METHOD": "GET"})
    assert answer.status == "403 Forbidden"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.body == b"Forbidden\n"
    assert answer.headers["Content-Length"] == str(len(answer.body))


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "application/json, text/plain, */*",
        "application/vnd.api+json",
        "application/problem+json",
        "text/html;q=0.5, application/json",
        "Application/JSON",
    ],
)
def test_a_refusal_is_json_for_who_asks_for_it(accept: str, inside: Recorder) -> None:
    environ = {"REQUEST_METHOD": "GET", "HTTP_ACCEPT": accept}
    answer = call(SessionMiddleware(inside, secret_key=KEY), environ)
    assert answer.code == 403
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body == b'{"detail": "Forbidden"}\n'


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "text/html, application/json;q=0.9",
        "application/json;q=0",
        "application/jsonx",
        "\x00;;q=,",
    ],
)
def test_a_refusal_is_text_for_all_others(accept: str, inside: Recorder) -> None:
    environ = {"REQUEST_METHOD": "GET", "HTTP_ACCEPT": accept}
    answer = call(SessionMiddleware(inside, secret_key=KEY), environ)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("accept", ["", "application/json"])
def test_head_is_answered_with_the_headers_of_get(accept: str, inside: Recorder) -> None:
    app = SessionMiddleware(inside, secret_key=KEY)
    get, head = (
        call(app, {"REQUEST_METHOD": method, "HTTP_ACCEPT": accept}) for method in ("GET", "HEAD")
    )
    assert head.body == b""
    assert (head.status, head.headers) == (get.status, get.headers)


def test_every_refusal_looks_the_same_from_outside(inside: Recorder) -> None:
    from .test_codec import REFUSED

    app = SessionMiddleware(inside, secret_key=KEY)
    answers = [
        call(app, {"REQUEST_METHOD": "GET", "HTTP_COOKIE": f'sessionid="{token}"'})
        for _, token in REFUSED.values()
    ]
    answers.append(call(app, {"REQUEST_METHOD": "GET"}))
    answers.append(call(app, cookie(XIA, OTHER_KEY)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].code == 403


@pytest.mark.parametrize("name", ["REMOTE_USER", "djsession.session"])
def test_what_was_in_the_environ_before_counts_for_nothing(name: str, inside: Recorder) -> None:
    app = SessionMiddleware(inside, secret_key=KEY, allowed_no_session=["/"])
    call(app, {"PATH_INFO": "/", "REMOTE_USER": "root", "djsession.session": Session(XIA)})
    [environ] = inside.environs
    assert environ["djsession.session"] == {}
    assert "REMOTE_USER" not in environ


def test_open_paths_pass_with_an_empty_session(inside: Recorder) -> None:
    app = SessionMiddleware(inside, secret_key=KEY, allowed_no_session=("/static/",))
    assert call(app, {"PATH_INFO": "/static/a.css"}).code == 200
    assert inside.environs[0]["djsession.session"] == {}


class Body:
    """An iterable as an application may return it, with a close()."""

    def __init__(self) -> None:
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield b"a"

    def close(self) -> None:
        self.closed += 1


def test_the_iterable_and_its_close_are_untouched() -> None:
    body = Body()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Body:
        start_response("200 OK", [])
        return body

    result = SessionMiddleware(app, secret_key=KEY)(cookie(XIA), lambda *_: lambda data: None)
    assert result is body
    assert body.closed == 0


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize("session", [XIA, {}, None])
def test_it_keeps_to_the_protocol_on_both_sides(method: str, session: Any) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return []

    wrapped = validator(SessionMiddleware(validator(app), secret_key=KEY))
    environ: dict[str, Any] = {} if session is None else cookie(session)
    environ.update(REQUEST_METHOD=method, QUERY_STRING="")
    setup_testing_defaults(environ)
    environ["wsgi.input"], environ["wsgi.errors"] = BytesIO(), sys.stderr
    assert call(wrapped, environ).code == (403 if session is None else 200)


def test_threads_do_not_mix_sessions() -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["djsession.session"]["username"].encode()]

    wrapped = SessionMiddleware(app, secret_key=KEY)
    environs = [cookie({"username": f"user{number}"}) for number in range(50)]

    def ask(number: int) -> bool:
        answer = call(wrapped, dict(environs[number % 50]))
        return answer.body == f"user{number % 50}".encode()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(2000)))


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "HTTP_COOKIE",
                "HTTP_AUTHORIZATION",
                "HTTP_ACCEPT",
                "PATH_INFO",
                "SCRIPT_NAME",
                "REQUEST_METHOD",
                "REMOTE_USER",
                "QUERY_STRING",
            ]
        ),
        st.text() | st.text().map("Bearer ".__add__) | st.text().map("sessionid=".__add__),
    )
)
def test_no_environ_makes_it_raise(environ: dict[str, Any]) -> None:
    app = SessionMiddleware(Recorder(), secret_key=KEY, allowed_no_session=["/login"])
    assert call(app, environ).code in (200, 403)


def test_settings_come_from_the_environment(
    inside: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJAODJIN_SECRET_KEY", f"{OTHER_KEY},{KEY}")
    monkeypatch.setenv("DJSESSION_ALLOWED_NO_SESSION", "/static/, /login")
    app = SessionMiddleware(inside)
    for key in (KEY, OTHER_KEY):
        assert call(app, cookie(XIA, key)).code == 200
    assert call(app, {"PATH_INFO": "/login"}).code == 200


def test_explicit_settings_win_over_the_environment(
    inside: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJAODJIN_SECRET_KEY", OTHER_KEY)
    monkeypatch.setenv("DJSESSION_ALLOWED_NO_SESSION", "/login")
    app = SessionMiddleware(inside, secret_key=KEY, allowed_no_session=())
    assert call(app, cookie(XIA)).code == 200
    assert call(app, cookie(XIA, OTHER_KEY)).code == 403
    assert call(app, {"PATH_INFO": "/login", "REQUEST_METHOD": "GET"}).code == 403


@pytest.mark.parametrize("key", [None, "", []])
def test_without_a_key_it_does_not_start(key: Any, inside: Recorder) -> None:
    with pytest.raises(ConfigurationError, match="DJAODJIN_SECRET_KEY"):
        SessionMiddleware(inside, secret_key=key)
