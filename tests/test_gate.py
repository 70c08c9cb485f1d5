from __future__ import annotations

import logging
from base64 import b64encode
from contextlib import suppress
from typing import Any

import pytest

from djsession import AccessDenied, ConfigurationError, Gate, Session, Settings, dumps

from .conftest import KEY, OTHER_KEY, XIA
from .test_jwt import forge
from .test_transport import OPAQUE


def gate(*allowed: str, key: Any = KEY, **settings: Any) -> Gate:
    return Gate(Settings(secret_key=key, allowed_no_session=allowed, **settings))


def opens(path: str, *allowed: str, script_name: str = "") -> bool:
    environ = {"SCRIPT_NAME": script_name, "PATH_INFO": path}
    admitted = gate(*allowed).admits(environ)
    try:
        session = gate(*allowed).open(environ)
    except AccessDenied:
        assert not admitted
        return False
    assert admitted
    assert session == {}
    return True


def cookie(token: str) -> dict[str, Any]:
    return {"PATH_INFO": "/app/", "HTTP_COOKIE": f'sessionid="{token}"'}


class TestPaths:
    @pytest.mark.parametrize("path", ["/login", "/login/", "/login/x", "/login/x/y"])
    @pytest.mark.parametrize("entry", ["/login", "/login/"])
    def test_an_entry_opens_itself_and_what_is_below(self, path: str, entry: str) -> None:
        assert opens(path, entry)

    @pytest.mark.parametrize(
        "path", ["/login-admin", "/loginx", "/Login", "/log", "/", "", "/x/login", "login", "*"]
    )
    def test_it_opens_nothing_else(self, path: str) -> None:
        assert not opens(path, "/login")

    def test_no_entry_opens_nothing(self) -> None:
        assert not opens("/")
        assert not opens("")

    def test_the_home_page_is_an_entry_of_its_own(self) -> None:
        assert opens("/", "/")
        assert opens("", "/")
        assert not opens("/app", "/")

    def test_the_home_page_of_a_mount_opens_nothing_below(self) -> None:
        mounted = Gate(Settings(secret_key=KEY, allowed_no_session=["/app/", "/"]), home="/app/")
        for path, is_open in (("/", True), ("/app", True), ("/app/", True), ("/app/x", False)):
            assert mounted.admits({}, path) == is_open, path

    @pytest.mark.parametrize(
        ("script_name", "path", "is_open"),
        [
            # As a proxy in front of gunicorn would say where the application is.
            ("/app", "/login", True),
            ("/app", "/login/", True),
            ("/app", "/login/x", True),
            ("/app", "/", False),
            # As somebody else would.
            ("/open", "/secret", False),
            ("/open/", "/secret", False),
            ("/open", "", False),
            ("/open/x", "/secret", False),
            ("/app/login", "/secret", False),
        ],
    )
    def test_a_mount_point_that_a_header_names_is_in_no_entry(
        self, script_name: str, path: str, is_open: bool
    ) -> None:
        environ = {"SCRIPT_NAME": script_name, "PATH_INFO": path, "HTTP_SCRIPT_NAME": script_name}
        assert gate("/app/login", "/open/", "/").admits(environ) == is_open

    def test_several_entries(self) -> None:
        assert opens("/static/a.css", "/login", "/static")
        assert not opens("/app", "/login", "/static")

    @pytest.mark.parametrize(
        "path",
        [
            # As WSGI servers pass them: decoded once.
            "/static/../app",
            "/static/..",
            "/static/./x",
            "/static/.",
            "/static//app",
            "//static/x",
            "/static/\\..\\app",
            "/static\\..\\app",
            "/static/..\\app",
            "/static/..;/app",
            "/static/..;x=1/app",
            "/static/.;/app",
            # Encoded twice: an application may decode again.
            "/static/%2e%2e/app",
            "/static/%2E%2E%2Fapp",
            "/static/..%2fapp",
            "/static/%5c..",
            "/static/%252e%252e/app",
            "/static/%00",
            # Control characters, and dots and slashes in overlong or broken UTF-8.
            "/static/\x00",
            "/static/a\r\nb",
            "/static/\x7f",
            "/static/\xc0\xae\xc0\xae/app",
            "/static/\xc0\xaf..",
            "/static/\xe0\x80\xae",
            "/static/\xff",
            # Not what PEP 3333 passes at all.
            "/static/\u2215",
            "/static/\ud800",
            "static/x",
        ],
    )
    def test_a_path_that_can_be_read_in_two_ways_is_under_no_entry(self, path: str) -> None:
        assert not opens(path, "/static")

    @pytest.mark.parametrize(
        "path",
        ["/static/...", "/static/.well-known", "/static/a..b", "/static/a;b", "/static/100%"],
    )
    def test_dots_within_a_name_are_part_of_it(self, path: str) -> None:
        assert opens(path, "/static")

    def test_the_mount_point_counts(self) -> None:
        assert opens("/login/x", "/app/login", script_name="/app")
        assert opens("", "/app", script_name="/app")
        assert not opens("/login", "/login", script_name="/app")

    @pytest.mark.parametrize(
        ("script_name", "path"),
        [("/log", "in"), ("/login/..", "/app"), ("/login/", "/x"), ("/login/.", "./app")],
    )
    def test_a_path_split_in_an_odd_place_is_under_no_entry(
        self, script_name: str, path: str
    ) -> None:
        assert not opens(path, "/login", script_name=script_name)

    def test_an_entry_may_be_outside_ascii(self) -> None:
        # The server decodes the bytes of the URL as latin-1 (PEP 3333).
        path = "/café/林".encode().decode("latin-1")
        assert opens(path, "/café")
        assert opens(path, "/café/林")
        assert not opens("/café", "/café")
        assert not opens("/cafe", "/café")

    @pytest.mark.parametrize("entry", ["", "static/", "https://cdn.example.com/static/", "*"])
    def test_an_entry_that_is_no_path_stops_the_application(self, entry: str) -> None:
        with pytest.raises(ConfigurationError, match="allowed_no_session"):
            gate(entry)

    @pytest.mark.parametrize("entry", ["//", "/a//b", "/a/../b", "/./a", "/a\\b", "/a%2fb", "/\n"])
    def test_an_entry_that_no_path_is_under_stops_the_application(self, entry: str) -> None:
        with pytest.raises(ConfigurationError, match="allowed_no_session"):
            gate(entry)


class TestSessions:
    def test_a_session_passes_anywhere(self) -> None:
        environ = cookie(dumps(XIA, KEY))
        assert gate().open(environ) == XIA
        assert environ["djsession.session"] == XIA
        assert environ["REMOTE_USER"] == "xia"

    def test_a_session_without_a_user_passes_too(self) -> None:
        environ = {**cookie(dumps({}, KEY)), "REMOTE_USER": "root"}
        session = gate().open(environ)
        assert session == {}
        assert type(session) is Session
        assert "REMOTE_USER" not in environ

    def test_no_session_is_refused_and_leaves_nothing_behind(self) -> None:
        environ = {"PATH_INFO": "/app/", "REMOTE_USER": "root", "djsession.session": Session(XIA)}
        with pytest.raises(AccessDenied):
            gate().open(environ)
        assert environ["djsession.session"] == {}
        assert "REMOTE_USER" not in environ

    def test_on_an_open_path_a_refused_token_is_an_empty_session(self) -> None:
        environ = {**cookie(dumps(XIA, OTHER_KEY)), "PATH_INFO": "/login", "REMOTE_USER": "root"}
        assert gate("/login").open(environ) == {}
        assert environ["djsession.session"] == {}
        assert "REMOTE_USER" not in environ

    def test_every_refusal_is_the_same(self) -> None:
        messages = set()
        for token in ("", "garbage", dumps(XIA, OTHER_KEY), forge({"alg": "none"}), OPAQUE):
            with pytest.raises(AccessDenied) as caught:
                gate().open(cookie(token))
            messages.add(str(caught.value))
        assert messages == {"Forbidden"}

    def test_the_first_cookie_that_decodes_counts(self) -> None:
        good, other = dumps({"username": "good"}, KEY), dumps({"username": "other"}, KEY)
        header = f"sessionid=garbage; sessionid={good}; sessionid={other}"
        assert gate().open({"HTTP_COOKIE": header}).username == "good"

    def test_only_four_cookies_are_tried(self) -> None:
        good = dumps(XIA, KEY)
        three = "; ".join(["sessionid=garbage"] * 3)
        assert gate().open({"HTTP_COOKIE": f"{three}; sessionid={good}"}) == XIA
        with pytest.raises(AccessDenied):
            gate().open({"HTTP_COOKIE": f"{three}; sessionid=garbage; sessionid={good}"})

    def test_the_cookie_comes_before_the_bearer_token(self) -> None:
        environ = {
            **cookie(dumps({"username": "cookie"}, KEY)),
            "HTTP_AUTHORIZATION": f"Bearer {dumps({'username': 'bearer'}, KEY, 'jwt')}",
        }
        assert gate().open(environ).username == "cookie"

    @pytest.mark.parametrize("format", ["openssl", "jwt"])
    @pytest.mark.parametrize("transport", ["cookie", "bearer"])
    def test_either_format_travels_either_way(self, format: Any, transport: str) -> None:
        token = dumps(XIA, KEY, format)
        environ = {
            "cookie": {"HTTP_COOKIE": f"sessionid={token}"},
            "bearer": {"HTTP_AUTHORIZATION": f"Bearer {token}"},
        }[transport]
        assert gate().open(environ).username == "xia"

    def test_another_cookie_name(self) -> None:
        environ = {"HTTP_COOKIE": f"djs={dumps(XIA, KEY)}"}
        assert gate(cookie_name="djs").open(environ) == XIA
        with pytest.raises(AccessDenied):
            gate().open(environ)

    def test_keys_rotate(self) -> None:
        for key in (KEY, OTHER_KEY):
            assert gate(key=[KEY, OTHER_KEY]).open(cookie(dumps(XIA, key))) == XIA

    def test_the_size_limit_holds(self) -> None:
        with pytest.raises(AccessDenied):
            gate(max_token_size=100).open(cookie(dumps(XIA, KEY)))


class TestRemoteUser:
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
    def test_it_is_a_native_string(self, username: str, native: str) -> None:
        environ = cookie(dumps({"username": username}, KEY))
        gate().open(environ)
        assert environ["REMOTE_USER"] == native
        assert native.encode("latin-1").decode() == username

    @pytest.mark.parametrize(
        "username",
        ["a\nb", "a\r\nX: y", "a\0", "a\x7f", "a\x85b", "a\x9f", "a\u2028", "\ud800", "", " ", 7],
    )
    def test_a_username_that_cannot_be_passed_is_left_out(self, username: Any) -> None:
        environ = {**cookie(dumps({"username": username}, KEY)), "REMOTE_USER": "root"}
        gate().open(environ)
        assert "REMOTE_USER" not in environ


class TestStacking:
    def test_a_token_is_decoded_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        outer, inner = gate(), gate()
        environ = cookie(dumps(XIA, KEY))
        first = outer.open(environ)
        monkeypatch.setattr(inner.codec, "loads", lambda token: pytest.fail("decoded again"))
        assert inner.open(environ) is first

    def test_what_it_keeps_for_others_shows_nothing(self) -> None:
        environ = cookie(dumps(XIA, KEY))
        gate().open(environ)
        kept = repr(environ["djsession.opening"]) + repr(environ["djsession.session"])
        assert environ["HTTP_COOKIE"][10:30] not in kept
        assert "xia" not in kept

    def test_a_refused_token_is_refused_and_logged_once(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        environ = {**cookie(dumps(XIA, OTHER_KEY)), "PATH_INFO": "/login"}
        gate("/login").open(environ)
        with pytest.raises(AccessDenied):
            gate().open(environ)
        assert len(caplog.records) == 1

    def test_an_inner_gate_has_its_own_open_paths(self) -> None:
        environ = {"PATH_INFO": "/login"}
        assert gate("/login").open(environ) == {}
        with pytest.raises(AccessDenied):
            gate().open(environ)

    def test_an_inner_gate_with_another_key_decodes_for_itself(self) -> None:
        environ = cookie(dumps(XIA, KEY))
        gate().open(environ)
        with pytest.raises(AccessDenied):
            gate(key=OTHER_KEY).open(environ)
        assert "REMOTE_USER" not in environ

    def test_headers_that_changed_in_between_are_decoded_again(self) -> None:
        environ = cookie(dumps(XIA, KEY))
        gate().open(environ)
        environ["HTTP_COOKIE"] = f"sessionid={dumps({'username': 'dana'}, KEY)}"
        assert gate().open(environ).username == "dana"

    def test_a_session_that_something_else_put_there_counts_for_nothing(self) -> None:
        environ = {"PATH_INFO": "/app/", "djsession.session": Session(XIA)}
        with pytest.raises(AccessDenied):
            gate().open(environ)


class TestWarnings:
    def warnings(self, caplog: pytest.LogCaptureFixture, **environ: str) -> list[str]:
        with caplog.at_level(logging.INFO, "djsession"), suppress(AccessDenied):
            gate().open({"PATH_INFO": "/app/", **environ})
        return [item.getMessage() for item in caplog.records if item.levelno >= logging.WARNING]

    def test_a_refused_token_is_warned_about_once_with_reason_and_remedy(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        token = dumps(XIA, OTHER_KEY, "jwt")
        [message] = self.warnings(caplog, HTTP_COOKIE=f"sessionid={token}; sessionid=garbage")
        assert "the signature of the jwt does not verify" in message
        assert "DJAODJIN_SECRET_KEY is not the key the proxy encrypts with" in message
        assert "the token is not base64" in message
        assert token not in message
        assert KEY not in message

    @pytest.mark.parametrize("token", ["garbage", forge({"alg": "none"}), "not-a-session"])
    def test_a_bearer_token_alone_is_warned_about(
        self, token: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        [message] = self.warnings(caplog, HTTP_AUTHORIZATION=f"Bearer {token}")
        assert "bearer Authorization" in message

    def test_an_opaque_cookie_beside_a_valid_bearer_token_is_fine(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        authorization = f"Bearer {dumps(XIA, KEY, 'jwt')}"
        headers = {"HTTP_COOKIE": f"sessionid={OPAQUE}", "HTTP_AUTHORIZATION": authorization}
        assert self.warnings(caplog, **headers) == []

    def test_a_foreign_bearer_token_beside_a_valid_cookie_is_fine(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        headers = {"HTTP_COOKIE": f"sessionid={dumps(XIA, KEY)}"}
        assert self.warnings(caplog, **headers, HTTP_AUTHORIZATION="Bearer not-a-session") == []

    def test_an_opaque_cookie_alone_is_no_sign_of_a_wrong_key(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        headers = {"HTTP_COOKIE": f"sessionid={OPAQUE}", "HTTP_AUTHORIZATION": "Bearer"}
        assert self.warnings(caplog, **headers) == []
        [record] = caplog.records
        assert "no session token" in record.getMessage()
        assert record.levelno == logging.INFO

    def test_no_warning_names_the_path_or_the_user(self, caplog: pytest.LogCaptureFixture) -> None:
        token = b64encode(b"Salted__" + bytes(40)).decode()
        self.warnings(caplog, PATH_INFO="/users/xia/", HTTP_COOKIE=f"sessionid={token}")
        assert "xia" not in caplog.text
