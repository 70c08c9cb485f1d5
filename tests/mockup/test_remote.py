"""``allow_remote``: every request is answered, and a sign-in needs the key of the login URL."""

from __future__ import annotations

import hmac
import json
import logging
import re
from html import escape
from typing import Any

import pytest

from djsession import dumps, loads
from djsession.mockup import MockupApp
from djsession.mockup.login_key import COOKIE_NAME
from tests.helpers.mockup_client import HTML, SESSIONS, cookie_of, get, post, post_json, request
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.wsgi import Answer, Recorder

FROM_AFAR = {
    "REMOTE_ADDR": "203.0.113.7",
    "HTTP_HOST": "dev.example.com",
    "SERVER_PROTOCOL": "HTTP/1.0",
    "HTTP_X_FORWARDED_FOR": "203.0.113.7",
}


@pytest.fixture
def app(inside: Recorder) -> MockupApp:
    return MockupApp(inside, SESSIONS, secret_key=KEY, allow_remote=True)


@pytest.fixture
def key(app: MockupApp) -> str:
    match = re.fullmatch(r"/login/\?key=([\w-]{43})", app.login_path)
    assert match is not None
    return match[1]


def in_cookie(key: str) -> dict[str, str]:
    return {"HTTP_COOKIE": f"{COOKIE_NAME}={key}"}


def assert_refused(answer: Answer) -> None:
    assert answer.code == 403
    assert "Set-Cookie" not in answer.headers
    assert b"token" not in answer.body


class TestRemoteLoginKey:
    def test_it_is_made_anew_for_each_start(self, app: MockupApp) -> None:
        other = MockupApp(None, SESSIONS, secret_key=KEY, allow_remote=True)
        assert app.login_path != other.login_path

    def test_the_login_url_is_printed_and_not_logged(
        self, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            app = MockupApp(None, SESSIONS, secret_key=KEY, allow_remote=True)
            get(app, app.login_path)
            get(app, "/login/?key=wrong")
        out, err = capsys.readouterr()
        assert out == ""
        assert err == f"Mockup logins: sign in at {app.login_path}\n"
        assert app.login_path.partition("=")[2] not in caplog.text
        assert "anyone who has the login URL can sign in" in caplog.text

    def test_print_login_url_false_prints_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        MockupApp(None, SESSIONS, secret_key=KEY, allow_remote=True, print_login_url=False)
        assert capsys.readouterr().err == ""

    def test_without_allow_remote_there_is_no_key(
        self, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        app = MockupApp(None, SESSIONS, secret_key=KEY)
        assert app.login_path == "/login/"
        assert capsys.readouterr().err == ""
        assert "anyone on this machine can sign in" in caplog.text
        assert post(app, "/login/", {"user": "xia"}).code == 303

    def test_it_is_compared_in_constant_time(
        self, app: MockupApp, key: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        compared: list[tuple[bytes, bytes]] = []

        def compare(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return False

        monkeypatch.setattr(hmac, "compare_digest", compare)
        assert get(app, f"/login/?key={key}").code == 403
        assert get(app, "/login/", **in_cookie(key)).code == 403
        assert compared == [(key.encode(), key.encode())] * 2


class TestRemoteExplanations:
    """How far an altered token came is nobody's business without the key: it helps to forge one."""

    BROKEN = dumps(XIA, OTHER_KEY)

    @pytest.mark.parametrize("path", ["/djsession/", "/app/"])
    def test_without_the_key_nobody_sees_why_a_token_is_refused(
        self, app: MockupApp, path: str
    ) -> None:
        headers = {"HTTP_COOKIE": f"sessionid={self.BROKEN}"}
        answer = get(app, path, **FROM_AFAR, **HTML, **headers)
        assert answer.code in (303, 403)
        for said in (b"PKCS#7", b"key and IV", b"checks passed"):
            assert said not in answer.body

    @pytest.mark.parametrize("path", ["/djsession/", "/app/"])
    def test_with_the_key_a_client_sees_why_a_token_is_refused(
        self, app: MockupApp, key: str, path: str
    ) -> None:
        headers = {"HTTP_COOKIE": f"{COOKIE_NAME}={key}; sessionid={self.BROKEN}"}
        assert b"key and IV" in get(app, path, **FROM_AFAR, **HTML, **headers).body


class TestRemoteLoginPage:
    def test_the_url_with_the_key_sets_a_cookie_and_loses_the_key(
        self, app: MockupApp, key: str
    ) -> None:
        answer = get(app, app.login_path, **FROM_AFAR, **HTML)
        assert answer.code == 303
        assert answer.headers["Location"] == "/login/"
        assert answer.headers["Cache-Control"] == "no-store"
        assert key not in answer.body.decode()
        cookie = cookie_of(answer, COOKIE_NAME)
        assert cookie.value == key
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        assert cookie["path"] == "/"
        assert not cookie["secure"]
        assert not cookie["expires"]
        assert not cookie["max-age"]
        secure = get(app, app.login_path, **{"wsgi.url_scheme": "https"})
        assert cookie_of(secure, COOKIE_NAME)["secure"]
        page = get(app, "/login/", **FROM_AFAR, **HTML, **in_cookie(key))
        assert page.code == 200
        assert b'value="xia"' in page.body
        assert key not in page.body.decode()

    def test_next_survives_if_it_stays_on_the_site(self, app: MockupApp) -> None:
        answer = get(app, f"{app.login_path}&next=%2Fapp%2F%3Fa%3Db%26key%3Dc")
        assert answer.headers["Location"] == "/login/?next=%2Fapp%2F%3Fa%3Db%26key%3Dc"
        answer = get(app, f"{app.login_path}&next=//evil.example")
        assert answer.headers["Location"] == "/login/?next=%2F"

    def test_under_a_prefix_the_redirect_keeps_it(self, app: MockupApp) -> None:
        answer = get(app, app.login_path, SCRIPT_NAME="/prefix")
        assert answer.headers["Location"] == "/prefix/login/"
        assert cookie_of(answer, COOKIE_NAME)["path"] == "/"

    @pytest.mark.parametrize("query", ["", "?key=", "?key=wrong", "?key=%ff", "?next=/app/"])
    def test_without_the_key_it_says_what_to_do_and_has_no_buttons(
        self, query: str, app: MockupApp, key: str
    ) -> None:
        answer = get(app, f"/login/{query}", **HTML)
        assert_refused(answer)
        page = answer.body.decode()
        assert "Open the login URL that the application printed when it started" in page
        for absent in ("<button", "<form", "<input", "xia", "alice", key):
            assert absent not in page
        text = get(app, f"/login/{query}")
        assert_refused(text)
        assert text.headers["Content-Type"].startswith("text/plain")
        assert b"login URL that the application printed" in text.body

    def test_a_wrong_key_is_refused_exactly_like_a_missing_one(self, app: MockupApp) -> None:
        variants: tuple[dict[str, Any], ...] = ({}, HTML)
        for headers in variants:
            absent = get(app, "/login/", **headers)
            assert get(app, "/login/?key=wrong", **headers) == absent
            assert get(app, "/login/", **in_cookie("wrong"), **headers) == absent
            assert request(app, "HEAD", "/login/?key=wrong", **headers).code == 403

    def test_a_key_in_the_url_is_not_repeated(self, app: MockupApp) -> None:
        evil = "<script>alert(1)</script>"
        page = get(app, f"/login/?key={evil}", **HTML).body.decode()
        assert evil not in page
        assert escape(evil) not in page


class TestRemoteSigningIn:
    def test_the_key_in_the_cookie_signs_in_as_any_user(
        self, app: MockupApp, key: str, inside: Recorder
    ) -> None:
        for name in ("xia", "alice"):
            answer = post(app, "/login/", {"user": name}, **FROM_AFAR, **in_cookie(key))
            assert answer.code == 303
            token = cookie_of(answer).value
            headers = {**FROM_AFAR, "HTTP_COOKIE": f"sessionid={token}"}
            assert get(app, "/app/", **headers).body == b"inside"
            assert inside.environs[-1]["REMOTE_USER"] == name

    def test_the_key_in_the_url_signs_in(self, app: MockupApp) -> None:
        assert post(app, app.login_path, {"user": "xia"}, **FROM_AFAR).code == 303

    @pytest.mark.parametrize(
        "fields", [{"user": "xia"}, {"username": "xia", "password": ""}, {"username": "nobody"}, {}]
    )
    @pytest.mark.parametrize(
        ("url", "cookie"),
        [
            ("/login/", {}),
            ("/login/?key=wrong", {}),
            ("/login/?key=%C3%A9", {}),
            ("/login/", in_cookie("wrong")),
            ("/login/", in_cookie("")),
            ("/login/", in_cookie("\xe9")),
            ("/login/", {"HTTP_COOKIE": f"sessionid={dumps(XIA, KEY)}"}),
        ],
    )
    def test_without_the_key_nobody_signs_in(
        self, url: str, cookie: dict[str, str], fields: dict[str, str], app: MockupApp
    ) -> None:
        assert_refused(post(app, url, fields, **cookie))
        assert_refused(post(app, url, {**fields, "key": "wrong"}, **cookie, **HTML))

    @pytest.mark.parametrize("longer", ["{}x", "x{}", "{} ", "{}%00"])
    def test_the_key_must_be_exact(self, longer: str, app: MockupApp, key: str) -> None:
        assert_refused(post(app, f"/login/?key={longer.format(key)}", {"user": "xia"}))
        assert_refused(post(app, f"/login/?key={key[:-1]}", {"user": "xia"}))
        assert_refused(post(app, f"/login/?key={key.swapcase()}", {"user": "xia"}))

    def test_a_wrong_key_in_the_url_overrules_a_right_one_in_the_cookie(
        self, app: MockupApp, key: str
    ) -> None:
        assert_refused(post(app, "/login/?key=wrong", {"user": "xia"}, **in_cookie(key)))

    @pytest.mark.parametrize(
        "headers",
        [
            {"HTTP_SEC_FETCH_SITE": "cross-site"},
            {"HTTP_SEC_FETCH_SITE": "same-site"},
            {"HTTP_ORIGIN": "https://evil.example"},
            {"HTTP_ORIGIN": "null"},
        ],
    )
    def test_another_site_cannot_sign_in_or_out_even_with_the_key(
        self, headers: dict[str, str], app: MockupApp, key: str
    ) -> None:
        headers = {**headers, **in_cookie(key)}
        assert_refused(post(app, app.login_path, {"user": "xia"}, **headers))
        assert_refused(post(app, "/logout/", {}, **headers))
        assert_refused(post_json(app, {"username": "xia"}, f"/api/auth?key={key}", **headers))


class TestRemoteAuthApi:
    def test_the_key_may_be_in_the_url_or_the_cookie(self, app: MockupApp, key: str) -> None:
        for url, cookie in ((f"/api/auth?key={key}", {}), ("/api/auth", in_cookie(key))):
            answer = post_json(app, {"username": "xia"}, url, **FROM_AFAR, **cookie)
            assert answer.code == 201
            assert loads(json.loads(answer.body)["token"], KEY).username == "xia"

    @pytest.mark.parametrize("username", ["xia", "nobody"])
    @pytest.mark.parametrize(
        ("url", "cookie"),
        [("/api/auth", {}), ("/api/auth?key=wrong", {}), ("/api/auth", in_cookie("wrong"))],
    )
    def test_without_the_key_nobody_signs_in(
        self, url: str, cookie: dict[str, str], username: str, app: MockupApp
    ) -> None:
        answer = post_json(app, {"username": username}, url, **cookie)
        assert answer.code == 403
        assert "Set-Cookie" not in answer.headers
        document = json.loads(answer.body)
        assert list(document) == ["detail"]
        assert "login URL that the application printed" in document["detail"]

    def test_a_session_still_gets_its_token_without_the_key(self, app: MockupApp) -> None:
        cookie = {"HTTP_COOKIE": f"sessionid={dumps(XIA, KEY)}"}
        assert get(app, "/api/auth", **FROM_AFAR, **cookie).code == 200
        assert get(app, "/api/auth", **FROM_AFAR).code == 401


class TestRemoteClientsOfTheApplication:
    @pytest.mark.parametrize(
        "environ",
        [{}, FROM_AFAR, {"HTTP_ORIGIN": "https://evil.example"}, {"HTTP_VIA": "1.1 x"}],
    )
    def test_requests_from_everywhere_reach_the_gate(
        self, environ: dict[str, str], app: MockupApp
    ) -> None:
        assert get(app, "/app/", **environ).code == 403
        cookie = {"HTTP_COOKIE": f"sessionid={dumps(XIA, KEY)}"}
        assert get(app, "/app/", **environ, **cookie).body == b"inside"
        assert get(app, "/app/", **environ, **HTML).headers["Location"] == "/login/?next=%2Fapp%2F"

    def test_a_browser_that_is_refused_is_still_told_why(self, app: MockupApp) -> None:
        environ: dict[str, Any] = {**FROM_AFAR, **HTML}
        environ |= {"REQUEST_METHOD": "GET", "PATH_INFO": "/app/", "QUERY_STRING": ""}
        answer = app.refuse(environ)
        assert answer is not None
        assert answer.status_code == 303
