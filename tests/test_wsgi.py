from __future__ import annotations

import logging
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

from djsession import AccessDenied, ConfigurationError, Gate, Session, SessionMiddleware, dumps
from djsession.wsgi import (
    DECODED_KEY,
    SESSION_KEY,
    check_request,
    decode_request,
    is_open,
    request_path,
)
from tests.helpers.gates import make_gate
from tests.helpers.sessions import KEY, OTHER_KEY, XIA, Capture
from tests.helpers.tokens import REFUSED
from tests.helpers.wsgi import Recorder, call

JWT = dumps(XIA, KEY, "jwt")


def cookie(session: dict[str, Any], key: str = KEY) -> dict[str, Any]:
    return {"REQUEST_METHOD": "GET", "HTTP_COOKIE": f'sessionid="{dumps(session, key)}"'}


class TestWsgiRequestPath:
    def test_the_path_of_a_request_is_path_info(self) -> None:
        assert request_path({"PATH_INFO": "/a/b", "SCRIPT_NAME": "/c"}) == "/a/b"
        assert request_path({"PATH_INFO": ""}) == request_path({}) == "/"

    def test_the_path_is_decoded_from_utf_8(self) -> None:
        # The server decodes the bytes of the URL as latin-1 (PEP 3333).
        path = "/café/林".encode().decode("latin-1")
        assert request_path({"PATH_INFO": path}) == "/café/林"

    @pytest.mark.parametrize(
        "path",
        [
            "/static/\xff",
            "/caf\xe9",
            "/static/\xc0\xae\xc0\xae/app",
            "/static/\xc0\xaf..",
            "/static/\xe0\x80\xae",
            "/static/\xed\xa0\x80",
            "/static/\u2215",
            "/static/\u2215\xff",
            "/static/\ud800",
        ],
        ids=ascii,
    )
    def test_what_is_not_utf_8_becomes_a_replacement_character(self, path: str) -> None:
        assert "\ufffd" in request_path({"PATH_INFO": path})


class TestWsgiPeer:
    """With trusted_proxies, the address of the connection decides."""

    def test_the_peer_is_the_address_of_the_connection(self) -> None:
        gate = make_gate(trusted_proxies=["192.0.2.1"])
        environ = cookie(XIA)
        forwarded = {"HTTP_X_FORWARDED_FOR": "192.0.2.1"}
        assert decode_request(gate, {**environ, "REMOTE_ADDR": "192.0.2.1"}) == XIA
        assert decode_request(gate, {**environ, **forwarded, "REMOTE_ADDR": "10.0.0.7"}) is None

    @pytest.mark.parametrize("address", ["10.0.0.7", "192.0.2.1", "", "localhost"])
    @pytest.mark.parametrize("replaced", [{"REMOTE_ADDR": "192.0.2.1"}, {}, {"REMOTE_ADDR": None}])
    def test_an_address_that_passed_through_proxy_fix_is_not_one(
        self, address: str, replaced: dict[str, Any]
    ) -> None:
        # There may have been several of them, and the key holds what the last one replaced.
        gate = make_gate(trusted_proxies=["0.0.0.0/0", "::/0", "unix"])
        environ = {**cookie(XIA), "REMOTE_ADDR": address}
        assert decode_request(gate, environ.copy()) == XIA
        assert decode_request(gate, {**environ, "werkzeug.proxy_fix.orig": replaced}) is None


class TestWsgiOpenPaths:
    def opens(self, *allowed: str, **environ: Any) -> bool:
        gate = make_gate(*allowed)
        found = is_open(gate, dict(environ))
        try:
            session = check_request(gate, dict(environ))
        except AccessDenied:
            assert not found
        else:
            assert found
            assert session == {}
        code = call(SessionMiddleware.from_gate(Recorder(), gate), dict(environ)).code
        assert code == (200 if found else 403)
        return found

    def test_the_path_is_path_info(self) -> None:
        assert self.opens("/login", PATH_INFO="/login/x")
        assert not self.opens("/login", PATH_INFO="/secret")
        assert not self.opens("/login", PATH_INFO="/secret", QUERY_STRING="/login")
        assert not self.opens("/login", PATH_INFO="/secret", REQUEST_URI="/login", RAW_URI="/login")

    def test_an_empty_path_is_the_home_page(self) -> None:
        for environ in ({}, {"PATH_INFO": ""}, {"PATH_INFO": "/"}):
            assert self.opens("/", **environ)
            assert not self.opens("/login", **environ)

    @pytest.mark.parametrize("mount", ["/login", "/login/", "/login/x", "/", "/app"])
    def test_a_mount_point_never_opens_a_path(self, mount: str) -> None:
        for path in ("/secret", "/x", "", "/"):
            assert not self.opens("/login", SCRIPT_NAME=mount, PATH_INFO=path)

    @pytest.mark.parametrize(
        ("mount", "path"), [("/log", "in"), ("/login/..", "/app"), ("/login", "/../app")]
    )
    def test_a_path_split_in_an_odd_place_is_not_open(self, mount: str, path: str) -> None:
        assert not self.opens("/login", SCRIPT_NAME=mount, PATH_INFO=path)

    def test_entries_are_below_the_mount_point(self) -> None:
        assert self.opens("/login", SCRIPT_NAME="/app", PATH_INFO="/login")
        assert not self.opens("/app/login", SCRIPT_NAME="/app", PATH_INFO="/login")

    @pytest.mark.parametrize("mount", ["/app", "/", "", "/login"])
    def test_a_header_that_moves_the_mount_point_closes_all_paths(self, mount: str) -> None:
        for path in ("/login", "/login/x", "/", ""):
            assert not self.opens(
                "/login", "/", SCRIPT_NAME="", PATH_INFO=path, HTTP_SCRIPT_NAME=mount
            )

    def test_a_header_that_moves_the_mount_point_does_not_close_a_session(self) -> None:
        environ = {**cookie(XIA), "HTTP_SCRIPT_NAME": "/app"}
        assert check_request(make_gate(), environ) == XIA

    @pytest.mark.parametrize("name", ["HTTP_X_FORWARDED_PREFIX", "HTTP_PATH_INFO", "HTTP_X_PATH"])
    def test_other_headers_do_not_close_a_path(self, name: str) -> None:
        assert not self.opens("/login", PATH_INFO="/secret", **{name: "/login"})
        assert self.opens("/login", PATH_INFO="/login", **{name: "/secret"})

    def test_no_path_is_open_where_the_adapter_says_so(self) -> None:
        with pytest.raises(AccessDenied):
            check_request(make_gate("/login"), {"PATH_INFO": "/login"}, may_be_open=False)
        assert check_request(make_gate(), cookie(XIA), may_be_open=False) == XIA

    @pytest.mark.parametrize(
        "path",
        [
            "/login/../app",
            "/login//app",
            "/login/%2e%2e/app",
            "/login/..;/app",
            "/login\\..\\app",
            "/login/\x00",
            "/login/\xc0\xae\xc0\xae/app",
            "/login/\xff",
            "/login/\ufffd",
            "/login/\u2215",
            "/login/" + chr(0xD800),
            "login/x",
        ],
        ids=ascii,
    )
    def test_a_path_that_can_be_read_in_two_ways_is_not_open(self, path: str) -> None:
        assert not self.opens("/login", PATH_INFO=path)

    def test_an_entry_may_be_outside_ascii(self) -> None:
        assert self.opens("/café", PATH_INFO="/café/林".encode().decode("latin-1"))
        assert not self.opens("/café", PATH_INFO="/café")


class TestWsgiEnviron:
    def test_a_session_is_put_where_users_look(self) -> None:
        environ = cookie(XIA)
        session = decode_request(make_gate(), environ)
        assert session == XIA
        assert environ[SESSION_KEY] is session
        assert environ["REMOTE_USER"] == "xia"
        assert (SESSION_KEY, DECODED_KEY) == ("djsession.session", "djsession.decoded")

    def test_a_session_without_a_user(self) -> None:
        environ = {**cookie({}), "REMOTE_USER": "root"}
        session = check_request(make_gate(), environ)
        assert session == {}
        assert type(session) is Session
        assert "REMOTE_USER" not in environ

    @pytest.mark.parametrize("allowed", [(), ("/app",)])
    def test_without_a_session_nothing_of_it_is_left(self, allowed: Any) -> None:
        environ = {"PATH_INFO": "/app/", "REMOTE_USER": "root", SESSION_KEY: Session(XIA)}
        gate = make_gate(*allowed)
        if allowed:
            assert check_request(gate, environ) == {}
        else:
            with pytest.raises(AccessDenied):
                check_request(gate, environ)
        assert environ[SESSION_KEY] == {}
        assert type(environ[SESSION_KEY]) is Session
        assert "REMOTE_USER" not in environ

    def test_a_refused_token_leaves_an_empty_session(self) -> None:
        environ = {**cookie(XIA, OTHER_KEY), "PATH_INFO": "/login", "REMOTE_USER": "root"}
        assert decode_request(make_gate("/login"), environ) is None
        assert environ[SESSION_KEY] == {}
        assert "REMOTE_USER" not in environ
        assert check_request(make_gate("/login"), environ) == {}

    @pytest.mark.parametrize(
        ("username", "native"),
        [
            ("xia", "xia"),
            ("xia lee", "xia lee"),
            ("café", "caf\xc3\xa9"),
            ("林", "\xe6\x9e\x97"),
            ("a\u3000b", "a\xe3\x80\x80b"),
        ],
    )
    def test_remote_user_is_a_native_string(self, username: str, native: str) -> None:
        environ = cookie({"username": username})
        decode_request(make_gate(), environ)
        assert environ["REMOTE_USER"] == native
        assert native.encode("latin-1").decode() == username

    @pytest.mark.parametrize(
        "username",
        ["a\nb", "a\r\nX: y", "a\0", "a\x7f", "a\x85b", "a\x9f", "a\u2028", "\ud800", "", " ", 7],
        ids=ascii,
    )
    def test_a_username_that_cannot_be_passed_is_left_out(self, username: Any) -> None:
        environ = {**cookie({"username": username}), "REMOTE_USER": "root"}
        decode_request(make_gate(), environ)
        assert "REMOTE_USER" not in environ


class TestWsgiStacking:
    def decode_with(self, *gates: Gate, **environ: Any) -> list[str | None]:
        """Return who is signed in after each gate in turn, None without a session."""
        found = []
        for gate in gates:
            session = decode_request(gate, environ)
            assert environ[SESSION_KEY] == ({} if session is None else session)
            username = None if session is None else session.username
            assert environ.get("REMOTE_USER") == username
            found.append(username)
        return found

    def test_a_token_is_decoded_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        inner = make_gate()
        monkeypatch.setattr(inner.codec, "try_loads", lambda token: pytest.fail("decoded again"))
        assert self.decode_with(make_gate(), inner, **cookie(XIA)) == ["xia", "xia"]

    @pytest.mark.parametrize(
        "settings",
        [
            {"key": OTHER_KEY},
            {"cookie_name": "djs"},
            {"max_token_size": 100},
            {"formats": ["jwt"]},
            {"trusted_proxies": ["10.0.0.7"]},
        ],
        ids=lambda item: next(iter(item)),
    )
    def test_a_gate_with_other_settings_looks_again(self, settings: Any) -> None:
        environ = {**cookie(XIA), "REMOTE_ADDR": "192.0.2.1"}
        strict = make_gate(**settings)
        assert self.decode_with(make_gate(), strict, **environ) == ["xia", None]
        assert self.decode_with(strict, make_gate(), **environ) == [None, "xia"]

    def test_headers_that_a_middleware_changed_are_decoded_again(self) -> None:
        gate = make_gate()
        environ = {**cookie(XIA), "HTTP_AUTHORIZATION": f"Bearer {JWT}"}
        decode_request(gate, environ)
        environ["HTTP_AUTHORIZATION"] = "Bearer"
        assert decode_request(gate, environ) is None
        environ["HTTP_AUTHORIZATION"] = f"Bearer {JWT}"
        environ["HTTP_COOKIE"] = f"sessionid={dumps({'username': 'dana'}, KEY)}"
        assert decode_request(gate, environ) is None  # two different sessions
        del environ["HTTP_AUTHORIZATION"]
        session = decode_request(gate, environ)
        assert session is not None
        assert session.username == "dana"

    def test_a_peer_that_proxy_fix_replaced_is_not_trusted(self) -> None:
        gate = make_gate(trusted_proxies=["10.0.0.7"])
        environ: dict[str, Any] = {**cookie(XIA), "REMOTE_ADDR": "10.0.0.7"}
        assert self.decode_with(gate, **environ) == ["xia"]
        environ["werkzeug.proxy_fix.orig"] = {"REMOTE_ADDR": "192.0.2.1"}
        assert self.decode_with(gate, **environ) == [None]

    def test_a_refusal_is_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        environ = {**cookie(XIA, OTHER_KEY), "PATH_INFO": "/app/", "QUERY_STRING": "q=secret"}
        app = SessionMiddleware.from_gate(Recorder(), make_gate())
        with caplog.at_level(logging.INFO, "djsession"):
            assert call(app, environ).code == 403
        [record] = caplog.records
        assert record.getMessage().startswith("GET /app/ refused: cookie sessionid: ")
        assert "q=secret" not in caplog.text

    def test_what_is_kept_for_others_shows_nothing(self) -> None:
        environ = cookie(XIA)
        decode_request(make_gate(), environ)
        kept = repr(environ[DECODED_KEY]) + repr(environ[SESSION_KEY])
        assert environ["HTTP_COOKIE"][15:40] not in kept
        assert "xia" not in kept


class TestWsgiProxyFix:
    """It replaces the address of the connection by X-Forwarded-For, which any client can set."""

    @pytest.fixture
    def proxy_fix(self) -> Any:
        return pytest.importorskip("werkzeug.middleware.proxy_fix").ProxyFix

    def environ(self, peer: str, forwarded_for: str = "10.0.0.7") -> dict[str, Any]:
        return {
            **cookie(XIA),
            "REMOTE_ADDR": peer,
            "PATH_INFO": "/app/",
            "HTTP_X_FORWARDED_FOR": forwarded_for,
        }

    @pytest.mark.parametrize("outside", [{"x_for": 1}, {"x_for": 0}, {"x_for": 2}, None])
    @pytest.mark.parametrize("inside_it", [{"x_for": 1}, {"x_for": 0}])
    @pytest.mark.parametrize("peer", ["192.0.2.1", "10.0.0.7"])
    def test_behind_proxy_fix_no_session_counts(
        self,
        peer: str,
        inside_it: dict[str, int],
        outside: dict[str, int] | None,
        proxy_fix: Any,
        inside: Recorder,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        app = proxy_fix(
            SessionMiddleware(inside, secret_key=KEY, trusted_proxies=["10.0.0.7", "unix"]),
            **inside_it,
        )
        if outside is not None:
            app = proxy_fix(app, **outside)
        for forwarded_for in ("10.0.0.7", "10.0.0.7, 10.0.0.7", "localhost"):
            caplog.clear()
            assert call(app, self.environ(peer, forwarded_for)).code == 403
            assert "put SessionMiddleware around ProxyFix" in caplog.text
        assert inside.environs == []

    @pytest.mark.parametrize(("peer", "code"), [("10.0.0.7", 200), ("192.0.2.1", 403)])
    def test_around_proxy_fix_the_peer_is_checked(
        self, peer: str, code: int, proxy_fix: Any, inside: Recorder
    ) -> None:
        app = SessionMiddleware(
            proxy_fix(inside, x_for=1), secret_key=KEY, trusted_proxies=["10.0.0.7"]
        )
        environ = self.environ(peer, "203.0.113.9")
        assert call(app, environ).code == code
        for seen in inside.environs:
            assert seen["djsession.session"] == XIA
            assert seen["REMOTE_ADDR"] == "203.0.113.9"
        assert len(inside.environs) == (code == 200)

    def test_without_trusted_proxies_proxy_fix_does_not_matter(
        self, proxy_fix: Any, inside: Recorder
    ) -> None:
        app = proxy_fix(SessionMiddleware(inside, secret_key=KEY), x_for=1)
        assert call(app, self.environ("192.0.2.1")).code == 200


def test_the_wsgi_middleware_reads_every_capture_of_the_proxy(
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


def test_no_capture_of_the_proxy_passes_with_another_key(
    capture: Capture, inside: Recorder
) -> None:
    app = SessionMiddleware(inside, secret_key="another key")
    assert call(app, dict(capture.environ)).code == 403
    assert inside.environs == []


def test_the_wsgi_refusal_is_text(inside: Recorder) -> None:
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
def test_the_wsgi_refusal_is_json_for_a_client_that_prefers_it(
    accept: str, inside: Recorder
) -> None:
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
def test_the_wsgi_refusal_is_text_for_all_others(accept: str, inside: Recorder) -> None:
    environ = {"REQUEST_METHOD": "GET", "HTTP_ACCEPT": accept}
    answer = call(SessionMiddleware(inside, secret_key=KEY), environ)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_the_wsgi_refusal_is_not_stored_by_any_cache(inside: Recorder) -> None:
    for environ in ({}, cookie(XIA, OTHER_KEY), {"HTTP_AUTHORIZATION": "Bearer"}):
        answer = call(SessionMiddleware(inside, secret_key=KEY), dict(environ))
        assert answer.code == 403
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Vary"] == "Cookie, Authorization, Accept"


@pytest.mark.parametrize("accept", ["", "application/json"])
def test_a_refused_head_has_the_headers_of_a_refused_get(accept: str, inside: Recorder) -> None:
    app = SessionMiddleware(inside, secret_key=KEY)
    get, head = (
        call(app, {"REQUEST_METHOD": method, "HTTP_ACCEPT": accept}) for method in ("GET", "HEAD")
    )
    assert head.body == b""
    assert (head.status, head.headers) == (get.status, get.headers)


def test_every_wsgi_refusal_looks_the_same_from_outside(inside: Recorder) -> None:
    app = SessionMiddleware(inside, secret_key=KEY)
    answers = [
        call(app, {"REQUEST_METHOD": "GET", "HTTP_COOKIE": f'sessionid="{token}"'})
        for _, token in REFUSED.values()
    ]
    answers.append(call(app, {"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": "Bearer"}))
    answers.append(call(app, {"REQUEST_METHOD": "GET"}))
    answers.append(call(app, cookie(XIA, OTHER_KEY)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0].code == 403


def test_what_the_environ_held_before_does_not_count(inside: Recorder) -> None:
    app = SessionMiddleware(inside, secret_key=KEY, allowed_no_session=["/"])
    call(app, {"PATH_INFO": "/", "REMOTE_USER": "root", "djsession.session": Session(XIA)})
    [environ] = inside.environs
    assert environ["djsession.session"] == {}
    assert "REMOTE_USER" not in environ


def test_the_wsgi_middleware_passes_open_paths_with_an_empty_session(inside: Recorder) -> None:
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


def test_the_iterable_and_its_close_are_the_applications() -> None:
    body = Body()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Body:
        start_response("200 OK", [])
        return body

    result = SessionMiddleware(app, secret_key=KEY)(cookie(XIA), lambda *_: lambda data: None)
    assert result is body
    assert body.closed == 0


def recording(calls: list[Any], write: Callable[[bytes], object] = len) -> Callable[..., Any]:
    """Return a server's start_response that keeps the arguments of each call."""

    def start_response(*arguments: Any) -> Callable[[bytes], object]:
        calls.append(arguments)
        return write

    return start_response


class TestWsgiResponses:
    """What happens to a response on its way out."""

    def respond(
        self, environ: dict[str, Any], status: str, headers: list[tuple[str, str]]
    ) -> list[tuple[str, str]]:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            start_response(status, headers)
            return []

        wrapped = SessionMiddleware(app, secret_key=KEY, allowed_no_session=["/open"])
        found: list[Any] = []
        wrapped(environ, recording(found))
        [(sent_status, sent)] = found
        assert sent_status == status
        return list(sent)

    @pytest.mark.parametrize("status", ["200 OK", "304 Not Modified", "404 x", "500 x", "302 x"])
    def test_with_a_session_every_response_is_private(self, status: str) -> None:
        for session in (XIA, {}):
            assert sorted(self.respond(cookie(session), status, [("X-A", "1")])) == [
                ("Cache-Control", "private"),
                ("Vary", "Cookie, Authorization"),
                ("X-A", "1"),
            ]

    @pytest.mark.parametrize("environ", [{}, {"HTTP_COOKIE": "sessionid=garbage"}])
    def test_on_an_open_path_it_varies(self, environ: dict[str, Any]) -> None:
        sent = self.respond({**environ, "PATH_INFO": "/open"}, "200 OK", [])
        assert sent == [("Vary", "Cookie, Authorization")]

    def test_on_an_open_path_a_session_makes_it_private_too(self) -> None:
        sent = self.respond({**cookie(XIA), "PATH_INFO": "/open"}, "200 OK", [])
        assert ("Cache-Control", "private") in sent

    def test_a_response_that_the_application_calls_public_stays_public(self) -> None:
        headers = [("Cache-Control", "public, max-age=60")]
        assert self.respond(cookie(XIA), "200 OK", headers) == headers

    def test_the_applications_own_list_of_headers_is_not_changed(self) -> None:
        headers = [("Cache-Control", "max-age=60"), ("Vary", "Accept")]
        sent = self.respond(cookie(XIA), "200 OK", headers)
        assert sorted(sent) == [
            ("Cache-Control", "max-age=60, private"),
            ("Vary", "Accept, Cookie, Authorization"),
        ]
        assert headers == [("Cache-Control", "max-age=60"), ("Vary", "Accept")]

    def test_exc_info_is_passed_on_where_there_is_some(self) -> None:
        found: list[Any] = []
        exc_info = (ValueError, ValueError("x"), None)

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            start_response("200 OK", [])
            start_response("500 Error", [], exc_info)
            return []

        SessionMiddleware(app, secret_key=KEY)(cookie(XIA), recording(found))
        assert [len(arguments) for arguments in found] == [2, 3]
        assert found[1][2] is exc_info
        assert ("Cache-Control", "private") in found[1][1]

    def test_the_write_callable_is_the_servers(self) -> None:
        written: list[bytes] = []

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            start_response("200 OK", [])(b"written")
            return []

        SessionMiddleware(app, secret_key=KEY)(cookie(XIA), recording([], written.append))
        assert written == [b"written"]

    def test_an_exception_of_the_application_comes_out(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            raise LookupError("the application's own")

        with pytest.raises(LookupError, match="the application's own"):
            SessionMiddleware(app, secret_key=KEY)(cookie(XIA), recording([]))

    def test_an_access_denied_of_the_application_is_not_answered_for_it(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
            raise AccessDenied

        with pytest.raises(AccessDenied):
            SessionMiddleware(app, secret_key=KEY)(cookie(XIA), recording([]))


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
@pytest.mark.parametrize("session", [XIA, {}, None])
def test_the_wsgi_middleware_keeps_to_the_protocol_on_both_sides(method: str, session: Any) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return []

    wrapped = validator(SessionMiddleware(validator(app), secret_key=KEY))
    environ: dict[str, Any] = {} if session is None else cookie(session)
    environ.update(REQUEST_METHOD=method, QUERY_STRING="")
    setup_testing_defaults(environ)
    environ["wsgi.input"], environ["wsgi.errors"] = BytesIO(), sys.stderr
    assert call(wrapped, environ).code == (403 if session is None else 200)


def test_threads_of_the_wsgi_middleware_do_not_mix_sessions() -> None:
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
def test_no_environ_makes_the_wsgi_middleware_raise(environ: dict[str, Any]) -> None:
    app = SessionMiddleware(Recorder(), secret_key=KEY, allowed_no_session=["/login"])
    assert call(app, environ).code in (200, 403)


def test_the_wsgi_settings_come_from_the_environment(
    inside: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJAODJIN_SECRET_KEY", f"{OTHER_KEY},{KEY}")
    monkeypatch.setenv("DJSESSION_ALLOWED_NO_SESSION", "/static/, /login")
    app = SessionMiddleware(inside)
    for key in (KEY, OTHER_KEY):
        assert call(app, cookie(XIA, key)).code == 200
    assert call(app, {"PATH_INFO": "/login"}).code == 200


def test_explicit_wsgi_settings_override_the_environment(
    inside: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJAODJIN_SECRET_KEY", OTHER_KEY)
    monkeypatch.setenv("DJSESSION_ALLOWED_NO_SESSION", "/login")
    app = SessionMiddleware(inside, secret_key=KEY, allowed_no_session=())
    assert call(app, cookie(XIA)).code == 200
    assert call(app, cookie(XIA, OTHER_KEY)).code == 403
    assert call(app, {"PATH_INFO": "/login", "REQUEST_METHOD": "GET"}).code == 403


class CallableAsgiApplication:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize(
    "application", [CallableAsgiApplication.__call__, CallableAsgiApplication()]
)
def test_an_asgi_application_in_the_wsgi_middleware_is_an_error(application: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"djsession\.asgi\.SessionMiddleware"):
        SessionMiddleware(application, secret_key=KEY)


@pytest.mark.parametrize("key", [None, "", []])
def test_without_a_key_the_wsgi_middleware_does_not_start(key: Any, inside: Recorder) -> None:
    with pytest.raises(ConfigurationError, match="DJAODJIN_SECRET_KEY"):
        SessionMiddleware(inside, secret_key=key)
