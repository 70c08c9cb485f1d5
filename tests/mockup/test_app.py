from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from html import escape
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import ConfigurationError, SessionError, SessionMiddleware, dumps, loads
from djsession.errors import MockupError
from djsession.mockup import MockupApp
from tests.helpers.mockup_client import (
    HTML,
    LOCAL,
    SESSIONS,
    cookie_of,
    get,
    post,
    post_json,
    request,
)
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.strategies import ANY_SESSIONS
from tests.helpers.tokens import token_of
from tests.helpers.wsgi import Answer, Recorder, call

DAY = 86_400
SIGNED_IN = {"HTTP_COOKIE": f'sessionid="{dumps(XIA, KEY)}"'}


def document(answer: Answer) -> Any:
    assert answer.headers["Content-Type"] == "application/json"
    return json.loads(answer.body)


class TestProfileAndUserDocuments:
    """What an adapter whose framework routes them asks for."""

    ASKED: tuple[tuple[Any, str], ...] = (
        (MockupApp.respond_profile, "xia"),
        (MockupApp.respond_user, "xia"),
    )

    @pytest.fixture
    def ask(self, inside: Recorder) -> Callable[..., Answer]:
        def ask(method: Any, name: str, sessions: Any = SESSIONS, **environ: Any) -> Answer:
            app = MockupApp(inside, sessions, secret_key=KEY)

            def send(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
                return app.send(method(app, environ, name), environ, start_response)

            return request(send, environ.pop("REQUEST_METHOD", "GET"), "/anywhere", **environ)

        return ask

    def test_an_organization_is_as_its_session_has_it(self, ask: Callable[..., Answer]) -> None:
        answer = ask(MockupApp.respond_profile, "cowork", **SIGNED_IN)
        assert answer.code == 200
        assert document(answer) == {"slug": "cowork", "printable_name": "Chamoix"}
        assert answer.headers["Cache-Control"] == "no-store"
        assert ask(MockupApp.respond_profile, "alice", **SIGNED_IN).code == 404

    def test_the_organization_in_the_requests_session_comes_first(
        self, ask: Callable[..., Answer]
    ) -> None:
        sessions = {
            "alice": {"roles": {"manager": [{"slug": "xia", "printable_name": "Another"}]}},
            "xia": XIA,
        }
        answer = ask(MockupApp.respond_profile, "xia", sessions, **SIGNED_IN)
        assert document(answer)["printable_name"] == "Xia Lee"

    def test_a_date_is_written_as_in_a_token(self, ask: Callable[..., Answer]) -> None:
        created_at = datetime(2017, 9, 14, 23, 16, 55, tzinfo=UTC)
        sessions = {"bob": {"roles": {"manager": [{"slug": "bob", "created_at": created_at}]}}}
        answer = ask(MockupApp.respond_profile, "bob", sessions, **SIGNED_IN)
        assert document(answer)["created_at"] == "2017-09-14T23:16:55+00:00"

    @pytest.mark.parametrize(
        ("fields", "name"),
        [
            ({}, "bob"),
            ({"full_name": " Bob Doe "}, "Bob Doe"),
            ({"full_name": "Bob Doe", "first_name": "B", "last_name": "D"}, "Bob Doe"),
            ({"full_name": 5, "first_name": "Bob", "last_name": "Doe"}, "Bob Doe"),
            ({"first_name": "", "last_name": "Doe"}, "Doe"),
        ],
    )
    def test_a_user_has_a_slug_a_name_and_an_address(
        self, fields: dict[str, Any], name: str, ask: Callable[..., Answer]
    ) -> None:
        sessions = {"bob": {**fields, "email": "bob@example.com", "api_key": "s3cret"}}
        answer = ask(MockupApp.respond_user, "bob", sessions, **SIGNED_IN)
        assert document(answer) == {
            "slug": "bob",
            "username": "bob",
            "printable_name": name,
            "email": "bob@example.com",
        }
        assert ask(MockupApp.respond_user, "xia", sessions, **SIGNED_IN).code == 404

    def test_only_head_and_get_are_allowed(self, ask: Callable[..., Answer]) -> None:
        for method, name in self.ASKED:
            assert ask(method, name, REQUEST_METHOD="HEAD", **SIGNED_IN)[::2] == ("200 OK", b"")
            answer = ask(method, name, REQUEST_METHOD="POST", **SIGNED_IN)
            assert (answer.code, answer.headers["Allow"]) == (405, "GET, HEAD")

    def test_a_client_that_is_not_signed_in_gets_401(self, ask: Callable[..., Answer]) -> None:
        visitor = f'sessionid="{dumps({}, KEY)}"'
        for method, name in self.ASKED:
            for cookie in (None, visitor, f'sessionid="{dumps(XIA, OTHER_KEY)}"'):
                answer = ask(method, name, HTTP_COOKIE=cookie)
                assert answer.code == 401
                assert document(answer) == {"detail": "Not signed in."}

    def test_a_client_on_another_machine_gets_403(self, ask: Callable[..., Answer]) -> None:
        for method, name in self.ASKED:
            answer = ask(method, name, **SIGNED_IN, REMOTE_ADDR="203.0.113.7")
            assert answer.code == 403
            assert b"xia" not in answer.body


@pytest.fixture
def app(inside: Recorder) -> MockupApp:
    return MockupApp(inside, SESSIONS, secret_key=KEY)


class TestLoginPage:
    def test_it_lists_the_users_with_roles_organizations_and_plans(self, app: MockupApp) -> None:
        answer = get(app, "/login/")
        assert answer.code == 200
        page = answer.body.decode()
        for text in (
            "Continue as </span><strong>alice</strong>",
            "manager of Chamoix",
            "manager of Xia Lee",
            "basic <small>until 2030-01-01</small>",
            "x&lt;y&gt;",
            "No roles",
        ):
            assert text in page

    def test_it_needs_no_outside_asset_and_no_script(self, app: MockupApp) -> None:
        class Links(HTMLParser):
            found: list[str] = []  # noqa: RUF012

            def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
                assert tag not in ("script", "link", "img", "iframe", "object", "use", "image")
                self.found += [v or "" for k, v in attrs if k in ("src", "href", "action")]
                assert not [k for k, _ in attrs if k.startswith("on") or k == "style"]

        answer = get(app, "/login/")
        Links().feed(answer.body.decode())
        assert set(Links.found) == {"/login/", "/djsession/"}

    def test_its_policy_allows_its_one_style_sheet_and_nothing_unsafe(self, app: MockupApp) -> None:
        import base64
        import hashlib

        answer = get(app, "/login/")
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe-" not in policy
        assert "default-src 'none'" in policy
        style = answer.body.decode().partition("<style>")[2].partition("</style>")[0]
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in policy
        page = get(app, "/djsession/", HTTP_COOKIE=f"sessionid={dumps(XIA, KEY)}").body.decode()
        assert page.count("<script") == 1
        script = page.partition("<script>")[2].partition("</script>")[0]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"script-src 'sha256-{digest}'" in policy
        assert answer.headers["Cache-Control"] == "no-store"

    def test_names_are_escaped(self, inside: Recorder) -> None:
        evil = "\"><script>alert('1')</script>"
        sessions = {
            evil: {
                "roles": {
                    evil: [
                        {
                            "slug": evil,
                            "printable_name": evil,
                            "subscriptions": [{"plan": evil, "ends_at": None}],
                        }
                    ]
                }
            }
        }
        app = MockupApp(inside, sessions, secret_key=KEY)
        page = get(app, f"/login/?{urlencode({'next': '/' + evil})}").body.decode()
        assert "<script" not in page
        assert "&lt;script&gt;" in page
        assert post(app, "/login/", {"user": evil}).code == 303

    def test_head_has_only_the_headers(self, app: MockupApp) -> None:
        answer = request(app, "HEAD", "/login/")
        assert answer.code == 200
        assert answer.body == b""
        assert answer.headers == get(app, "/login/").headers

    def test_it_says_who_is_signed_in(self, app: MockupApp) -> None:
        page = get(app, "/login/", HTTP_COOKIE=f"sessionid={dumps(XIA, KEY)}").body.decode()
        assert "Signed in as <strong>xia</strong>" in page

    def test_it_is_found_without_the_slash(self, app: MockupApp) -> None:
        assert get(app, "/login").code == 200

    def test_other_methods_are_not_allowed(self, app: MockupApp) -> None:
        for path in ("/login/", "/logout/", "/api/auth"):
            answer = request(app, "DELETE", path)
            assert answer.code == 405
            assert answer.headers["Allow"] == "GET, HEAD, POST"

    def test_looking_at_it_logs_no_refusal(
        self, app: MockupApp, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO):
            get(app, "/login/")
        assert caplog.text == ""


class TestSigningIn:
    @pytest.mark.parametrize("fields", [{"user": "xia"}, {"username": "xia", "password": "any"}])
    def test_a_click_and_the_form_both_sign_in(
        self, fields: dict[str, str], app: MockupApp, inside: Recorder
    ) -> None:
        answer = post(app, "/login/", {**fields, "next": "/app/?a=b"})
        assert answer.code == 303
        assert answer.headers["Location"] == "/app/?a=b"
        cookie = cookie_of(answer)
        session = loads(cookie.value, KEY)
        assert session.pop("exp")
        assert session == XIA
        assert get(app, "/app/", HTTP_COOKIE=f"sessionid={cookie.value}").body == b"inside"
        assert inside.environs[0]["REMOTE_USER"] == "xia"

    def test_a_username_that_differs_from_the_entrys_name_signs_in(self, app: MockupApp) -> None:
        answer = post(app, "/login/", {"username": "x<y>", "password": ""})
        assert loads(cookie_of(answer).value, KEY).username == "x<y>"

    def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(self, app: MockupApp) -> None:
        cookie = cookie_of(post(app, "/login/", {"user": "xia"}))
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert cookie["path"] == "/"
        assert not cookie["secure"]
        assert not cookie["expires"]
        secure = cookie_of(post(app, "/login/", {"user": "xia"}, **{"wsgi.url_scheme": "https"}))
        assert secure["secure"]

    @pytest.mark.parametrize("name", ["root", "", "<b>root</b>", "XIA", "xia "])
    def test_an_unknown_user_sees_the_login_page_again(self, name: str, app: MockupApp) -> None:
        answer = post(app, "/login/", {"username": name, "next": "/app/"})
        assert answer.code == 401
        page = answer.body.decode()
        assert "Unknown mockup user" in page
        assert 'name="next" value="/app/"' in page
        assert "Set-Cookie" not in answer.headers
        assert "<b>root" not in page

    @pytest.mark.parametrize(
        "url",
        [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "evil",
            "/\r\nX: y",
            "javascript:alert(1)",
            "",
            "/login/",
            "/login",
            "/logout/?next=/app",
        ],
    )
    def test_next_never_leaves_the_site_nor_undoes_the_login(
        self, url: str, app: MockupApp
    ) -> None:
        assert post(app, "/login/", {"user": "xia", "next": url}).headers["Location"] == "/"
        query = urlencode({"next": url})
        assert post(app, f"/login/?{query}", {"user": "xia"}).headers["Location"] == "/"
        assert 'name="next" value="/"' in get(app, f"/login/?{query}").body.decode()

    @pytest.mark.parametrize(
        "headers",
        [
            {"HTTP_SEC_FETCH_SITE": "cross-site"},
            {"HTTP_SEC_FETCH_SITE": "same-site"},
            {"HTTP_ORIGIN": "https://evil.example"},
            {"HTTP_ORIGIN": "null"},
        ],
    )
    def test_another_site_cannot_sign_in_or_out(
        self, headers: dict[str, str], app: MockupApp
    ) -> None:
        for answer in (
            post(app, "/login/", {"user": "xia"}, **headers),
            post(app, "/logout/", {}, **headers),
            post_json(app, {"username": "xia", "password": ""}, **headers),
        ):
            assert answer.code == 403
            assert "Set-Cookie" not in answer.headers

    def test_the_same_site_can_sign_in(self, app: MockupApp) -> None:
        for headers in (
            {"HTTP_SEC_FETCH_SITE": "same-origin", "HTTP_ORIGIN": "http://localhost:5173"},
            {"HTTP_ORIGIN": "http://localhost:8000"},
        ):
            assert post(app, "/login/", {"user": "xia"}, **headers).code == 303

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (b"user=xia", "text/plain"),
            (b"user=xia", ""),
            (b"user=xia", "multipart/form-data; boundary=x"),
            (b"user=%ff", "application/x-www-form-urlencoded"),
            (b"\xff\xfe", "application/x-www-form-urlencoded"),
            (b"user=" + b"x" * 70_000, "application/x-www-form-urlencoded"),
        ],
    )
    def test_a_form_that_cannot_be_read_is_a_bad_request(
        self, body: bytes, content_type: str, app: MockupApp
    ) -> None:
        assert request(app, "POST", "/login/", body, CONTENT_TYPE=content_type).code == 400

    def test_a_body_without_a_length_is_a_bad_request(self, app: MockupApp) -> None:
        for length in ("", "x", "-1"):
            environ = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
            answer = call(
                app,
                {
                    "REQUEST_METHOD": "POST",
                    "PATH_INFO": "/login/",
                    **LOCAL,
                    "CONTENT_LENGTH": length,
                    "wsgi.url_scheme": "http",
                    "wsgi.input": BytesIO(b"user=xia"),
                    **environ,
                },
            )
            assert answer.code == 400


class TestSigningOut:
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_the_cookie_is_taken_away(self, method: str, app: MockupApp) -> None:
        answer = request(app, method, "/logout/")
        assert answer.code == 303
        assert answer.headers["Location"] == "/login/"
        cookie = cookie_of(answer)
        assert cookie.value == ""
        assert cookie["max-age"] == "0"
        assert cookie["path"] == "/"

    def test_next_is_followed_on_this_site_only(self, app: MockupApp) -> None:
        assert get(app, "/logout/?next=/bye").headers["Location"] == "/bye"
        assert get(app, "/logout/?next=//evil.example").headers["Location"] == "/login/"


class TestAuthApi:
    def test_a_login_gives_a_jwt_and_the_cookie(self, app: MockupApp) -> None:
        answer = post_json(app, {"username": "xia", "password": "any"})
        assert answer.code == 201
        assert answer.headers["Content-Type"].startswith("application/json")
        token = json.loads(answer.body)["token"]
        session = loads(token, KEY)
        assert session.pop("exp") > 0
        assert session == XIA
        assert loads(cookie_of(answer).value, KEY).username == "xia"
        authorization = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
        assert get(app, "/app/", **authorization).body == b"inside"

    def test_a_session_gets_a_fresh_token(self, app: MockupApp) -> None:
        old = dumps({"username": "xia", "exp": 4_000_000_000}, KEY, "jwt")
        answer = get(app, "/api/auth", HTTP_AUTHORIZATION=f"Bearer {old}")
        assert answer.code == 200
        session = loads(json.loads(answer.body)["token"], KEY)
        assert session.pop("exp") < 4_000_000_000
        # As the file has it now.
        assert session == XIA

    @pytest.mark.parametrize("session", [None, {}, {"username": "root"}])
    def test_without_a_session_of_a_mockup_user_there_is_no_token(
        self, session: Any, app: MockupApp
    ) -> None:
        headers = {} if session is None else {"HTTP_COOKIE": f"sessionid={dumps(session, KEY)}"}
        answer = get(app, "/api/auth", **headers)
        assert answer.code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert json.loads(answer.body) == {"detail": "Not signed in."}

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"", 400),
            (b"{", 400),
            (b"\xff", 400),
            (b"[" * 60_000, 400),
            (b'{"username": ' + b"9" * 5000 + b"}", 400),
            (b"x" * 70_000, 400),
            ([], 400),
            ("xia", 400),
            (None, 400),
            ({}, 400),
            ({"username": 1}, 400),
            ({"username": ["xia"]}, 400),
            ({"username": "root", "password": "<b>"}, 401),
            ({"username": "\ud800"}, 401),
            ({"username": ""}, 401),
        ],
        ids=lambda value: repr(value)[:20],
    )
    def test_bad_input_is_answered_in_json(self, body: Any, code: int, app: MockupApp) -> None:
        answer = post_json(app, body)
        assert answer.code == code
        assert json.loads(answer.body)["detail"]
        assert "Set-Cookie" not in answer.headers

    def test_another_content_type_is_a_bad_request(self, app: MockupApp) -> None:
        answer = post_json(app, {"username": "xia"}, CONTENT_TYPE="text/plain")
        assert answer.code == 400
        charset = "application/json; charset=utf-8"
        assert post_json(app, {"username": "xia"}, CONTENT_TYPE=charset).code == 201


class TestMockupTokenExpiry:
    @pytest.mark.parametrize("formats", [["openssl", "jwt"], ["jwt"]])
    def test_a_token_expires_after_a_day(self, formats: list[str], inside: Recorder) -> None:
        app = MockupApp(inside, SESSIONS, secret_key=KEY, formats=formats)
        answers = [post(app, "/login/", {"user": "xia"}), post_json(app, {"username": "xia"})]
        tokens = [cookie_of(answer).value for answer in answers]
        tokens.append(json.loads(answers[1].body)["token"])
        for token in tokens:
            exp = loads(token, KEY)["exp"]
            assert isinstance(exp, int)
            assert 0 <= time.time() + DAY - exp < 60

    @pytest.mark.parametrize("exp", [1, 4_000_000_000, "never", None])
    @pytest.mark.parametrize("formats", [["openssl", "jwt"], ["jwt"]])
    def test_exp_in_a_mockup_session_does_not_change_the_expiry(
        self, exp: Any, formats: list[str], inside: Recorder
    ) -> None:
        sessions = {"xia": {**XIA, "exp": exp}}
        app = MockupApp(inside, sessions, secret_key=KEY, formats=formats)
        cookie = cookie_of(post(app, "/login/", {"user": "xia"}))
        assert 0 <= time.time() + DAY - loads(cookie.value, KEY)["exp"] < 60


class TestMockupAppAroundAnApplication:
    def test_a_browser_without_a_session_is_sent_to_the_login_page(
        self, app: MockupApp, inside: Recorder
    ) -> None:
        path = "/café".encode().decode("latin-1")
        answer = get(app, f"{path}?a=b&c=d", **HTML)
        assert answer.code == 303
        assert answer.headers["Location"] == "/login/?next=%2Fcaf%25C3%25A9%3Fa%3Db%26c%3Dd"
        assert inside.environs == []
        # And back again.
        _, _, query = answer.headers["Location"].partition("?")
        back = post(app, f"/login/?{query}", {"user": "xia"})
        assert back.headers["Location"] == "/caf%C3%A9?a=b&c=d"

    def test_a_post_of_a_browser_is_not_repeated_after_the_login(self, app: MockupApp) -> None:
        assert request(app, "POST", "/app/", **HTML).headers["Location"] == "/login/"

    def test_a_client_without_a_session_that_is_not_a_browser_is_refused(
        self, app: MockupApp, inside: Recorder
    ) -> None:
        assert get(app, "/app/").code == 403
        answer = get(app, "/app/", HTTP_ACCEPT="application/json")
        assert answer.code == 403
        assert answer.headers["Content-Type"] == "application/json"
        assert inside.environs == []

    def test_a_token_that_does_not_decode_is_refused_and_a_browser_is_told_why(
        self, app: MockupApp, inside: Recorder
    ) -> None:
        cookie = f"sessionid={dumps(XIA, OTHER_KEY)}"
        answer = get(app, "/app/", HTTP_COOKIE=cookie)
        assert (answer.code, answer.body) == (403, b"Forbidden\n")
        answer = get(app, "/app/?a=b", HTTP_COOKIE=cookie, **HTML)
        assert answer.code == 403
        page = answer.body.decode()
        assert "<h1>The token was not written with this key</h1>" in page
        assert "<dt>Likely cause</dt><dd>It comes from an earlier run of the server" in page
        assert "403 Forbidden: GET /app/<" in page
        # Every 256th token ends in what looks like padding.
        assert re.search('<span class="unseen">failed: </span>(padding|text)<', page)
        assert 'href="/login/?next=%2Fapp%2F%3Fa%3Db">Sign in again</a>' in page
        assert 'href="/djsession/">Inspect the request</a>' in page
        assert KEY not in page
        assert inside.environs == []

    def test_open_paths_pass(self, inside: Recorder) -> None:
        app = MockupApp(inside, SESSIONS, secret_key=KEY, allowed_no_session=["/static"])
        assert get(app, "/static/a.css", **HTML).body == b"inside"
        assert get(app, "/static/../app", **HTML).code == 303

    def test_without_an_application_other_paths_are_404(self) -> None:
        app = MockupApp(sessions=SESSIONS, secret_key=KEY)
        assert get(app, "/").code == 404
        assert get(app, "/login/").code == 200

    def test_it_works_under_a_prefix(self, app: MockupApp) -> None:
        prefix = {"SCRIPT_NAME": "/prefix"}
        answer = get(app, "/app/", **prefix, **HTML)
        assert answer.headers["Location"] == "/prefix/login/?next=%2Fprefix%2Fapp%2F"
        page = get(app, "/login/", **prefix).body.decode()
        assert 'action="/prefix/login/"' in page
        assert 'name="next" value="/prefix/"' in page
        signed_in = post(app, "/login/", {"user": "xia", "next": "/prefix/app/"}, **prefix)
        assert signed_in.headers["Location"] == "/prefix/app/"
        assert cookie_of(signed_in)["path"] == "/"
        assert get(app, "/logout/", **prefix).headers["Location"] == "/prefix/login/"

    def test_its_paths_can_be_moved(self, inside: Recorder) -> None:
        app = MockupApp(
            inside,
            SESSIONS,
            secret_key=KEY,
            login_path="/accounts/in",
            logout_path="/accounts/out",
            api_path="/v1/auth/",
        )
        assert get(app, "/accounts/in").code == 200
        assert get(app, "/accounts/out").headers["Location"] == "/accounts/in"
        assert get(app, "/v1/auth").code == 401
        assert get(app, "/login/").code == 403

    @pytest.mark.parametrize("path", ["", "login", "/", "//", "/é"])
    def test_an_impossible_login_path_is_an_error(self, path: str) -> None:
        with pytest.raises(ConfigurationError, match="login_path"):
            MockupApp(None, SESSIONS, secret_key=KEY, login_path=path)

    def test_it_takes_the_settings_of_the_middleware_it_wraps(self, inside: Recorder) -> None:
        wrapped = SessionMiddleware(
            inside, secret_key=KEY, cookie_name="djs", allowed_no_session=["/open"]
        )
        app = MockupApp(wrapped, SESSIONS)
        token = cookie_of(post(app, "/login/", {"user": "xia"}), "djs").value
        assert get(app, "/app/", HTTP_COOKIE=f"djs={token}").body == b"inside"
        assert get(app, "/open", **HTML).body == b"inside"

    def test_it_narrows_the_settings_of_the_middleware_it_wraps(self, inside: Recorder) -> None:
        wrapped = SessionMiddleware(inside, secret_key=KEY, allowed_no_session=["/a", "/b"])
        app = MockupApp(wrapped, SESSIONS, allowed_no_session=["/a"], formats=["jwt"])
        assert get(app, "/a").body == b"inside"
        assert get(app, "/b").code == 403
        assert "." in cookie_of(post(app, "/login/", {"user": "xia"})).value

    def test_a_refusal_and_its_headers_are_those_of_the_middleware(self, inside: Recorder) -> None:
        app = MockupApp(inside, SESSIONS, secret_key=KEY)
        alone = SessionMiddleware(inside, secret_key=KEY)
        cookie = {"HTTP_COOKIE": f"sessionid={dumps(XIA, KEY)}"}
        for environ in ({}, {"HTTP_ACCEPT": "application/json"}, cookie):
            assert get(app, "/app/", **environ) == get(alone, "/app/", **environ)

    def test_an_unknown_setting_is_an_error(self, inside: Recorder) -> None:
        with pytest.raises(ConfigurationError, match="cookie_nam"):
            MockupApp(inside, SESSIONS, secret_key=KEY, cookie_nam="x")  # type: ignore[call-arg]

    @pytest.mark.parametrize("settings", [{"secret_key": OTHER_KEY}, {"cookie_name": "other"}])
    def test_settings_that_would_refuse_every_login_are_an_error(
        self, settings: dict[str, Any], inside: Recorder
    ) -> None:
        wrapped = SessionMiddleware(inside, secret_key=KEY)
        with pytest.raises(ConfigurationError, match="secret_key and cookie_name"):
            MockupApp(wrapped, SESSIONS, **settings)

    def test_without_a_key_it_does_not_start(self) -> None:
        with pytest.raises(ConfigurationError, match="DJAODJIN_SECRET_KEY"):
            MockupApp(None, SESSIONS)


class TestMockupAppStart:
    def test_hosts_must_be_a_list(self) -> None:
        with pytest.raises(ConfigurationError, match="hosts"):
            MockupApp(None, SESSIONS, secret_key=KEY, hosts="localhost")

    @pytest.mark.parametrize("value", ["false", "0", 1, None])
    def test_allow_remote_must_be_a_bool(self, value: Any) -> None:
        with pytest.raises(ConfigurationError, match="allow_remote must be True or False"):
            MockupApp(None, SESSIONS, secret_key=KEY, allow_remote=value)

    def test_it_says_that_it_is_for_development(self, caplog: pytest.LogCaptureFixture) -> None:
        MockupApp(None, SESSIONS, secret_key=KEY)
        [record] = caplog.records
        assert record.levelno == logging.WARNING
        assert "For development only" in record.getMessage()

    def test_a_session_that_a_browser_would_drop_is_refused_by_name_and_size(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "sessions.yaml"
        path.write_text(f"small: {{}}\nbig:\n  bio: {'x' * 3000}\n")
        with pytest.raises(MockupError) as caught:
            MockupApp(None, path, secret_key=KEY)
        [problem] = caught.value.problems
        assert problem.startswith(f"{path}:2: big: its cookie would have ")
        assert "bytes and browsers drop cookies over 4096" in problem

    def test_the_size_limit_counts_the_whole_cookie_with_its_attributes(self) -> None:
        # Name, value and attributes: what RFC 6265 section 6.1 counts.
        for size in range(2900, 3100):
            try:
                app = MockupApp(None, {"xia": {"bio": "x" * size}}, secret_key=KEY)
            except MockupError:
                break
            headers = {"wsgi.url_scheme": "https"}
            answer = post(app, "/login/", {"user": "xia"}, **headers)
            assert len(answer.headers["Set-Cookie"]) <= 4096
        else:
            pytest.fail("no size was refused")

    def test_what_json_cannot_hold_is_refused(self) -> None:
        with pytest.raises(MockupError, match="not allowed in JSON"):
            MockupApp(None, {"xia": {"thing": object()}}, secret_key=KEY)

    def test_what_the_gate_would_refuse_is_refused_at_once(self) -> None:
        deep: Any = 1
        for _ in range(100):
            deep = [deep]
        with pytest.raises(MockupError, match="its token would be refused because"):
            MockupApp(None, {"xia": {"deep": deep}}, secret_key=KEY)
        with pytest.raises(MockupError, match="last_visited may contain"):
            MockupApp(None, {"xia": {"last_visited": "2030-01-01 09:00:00"}}, secret_key=KEY)


class TestMockupAppWithAnEditedFile:
    def test_an_edited_file_shows_at_once(self, tmp_path: Path) -> None:
        path = tmp_path / "sessions.yaml"
        path.write_text("alice: {}\n")
        app = MockupApp(None, path, secret_key=KEY)
        assert post(app, "/login/", {"user": "xia"}).code == 401
        path.write_text("xia: {}\n")
        assert post(app, "/login/", {"user": "xia"}).code == 303

    def test_a_broken_edit_shows_its_mistakes_and_the_last_good_users(self, tmp_path: Path) -> None:
        path = tmp_path / "sessions.yaml"
        path.write_text("alice: {}\n")
        app = MockupApp(None, path, secret_key=KEY)
        path.write_text("alice: {roles: <script>}\nxia: 1\n")
        page = get(app, "/login/").body.decode()
        assert f"{path}:1: roles is a string" in page
        assert f"{path}:2: xia is a number" in page
        assert "<script" not in page
        assert post(app, "/login/", {"user": "alice"}).code == 303
        path.write_text("alice: {}\n")
        assert "mistakes" not in get(app, "/login/").body.decode()


TEXT = st.text() | st.sampled_from(["localhost", "/login/", "/api/auth", "/logout/", "POST", "GET"])


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "HTTP_COOKIE",
                "HTTP_AUTHORIZATION",
                "HTTP_ACCEPT",
                "PATH_INFO",
                "SCRIPT_NAME",
                "QUERY_STRING",
                "HTTP_HOST",
                "HTTP_ORIGIN",
                "HTTP_FORWARDED",
                "HTTP_VIA",
                "HTTP_X_FORWARDED_FOR",
                "HTTP_X_FORWARDED_PROTO",
                "REMOTE_ADDR",
                "SERVER_PROTOCOL",
                "CONTENT_TYPE",
                "CONTENT_LENGTH",
            ]
        ),
        TEXT,
    ),
    st.sampled_from(["GET", "POST", "HEAD", "PUT"]),
    st.sampled_from(["/login/", "/logout/", "/api/auth", "/app/"]),
    st.binary(),
    st.booleans(),
)
def test_no_request_makes_the_mockup_app_raise(
    environ: dict[str, str], method: str, path: str, body: bytes, allow_remote: bool
) -> None:
    app = MockupApp(Recorder(), SESSIONS, secret_key=KEY, allow_remote=allow_remote)
    answer = call(
        app,
        {
            "REQUEST_METHOD": method,
            **LOCAL,
            "PATH_INFO": path,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(body),
            **environ,
        },
    )
    assert answer.code < 500


@given(ANY_SESSIONS, st.sampled_from([KEY, OTHER_KEY]))
def test_the_inspector_renders_any_session(session: dict[str, Any], key: str) -> None:
    app = MockupApp(Recorder(), SESSIONS, secret_key=key)
    token = token_of(json.dumps(session).encode(), KEY)
    cookie = f"sessionid={token}"
    assert get(app, "/djsession/", HTTP_COOKIE=cookie).code == 200
    answer = get(app, "/app/", HTTP_COOKIE=cookie, HTTP_ACCEPT="text/html")
    try:
        loads(token, key)
    except SessionError:
        assert answer.code == 403
    else:
        assert answer.code == 200


CREDENTIALS = {"secret_key": "AKIA-one", "nested": {"password": "AKIA-two"}}


class TestInspectorOfMockupApp:
    def inspect(self, app: MockupApp, session: dict[str, Any] | None, **environ: str) -> str:
        if session is not None:
            environ["HTTP_COOKIE"] = f'a=b; sessionid="{dumps(session, KEY)}"'
        answer = get(app, "/djsession/", **environ)
        assert answer.code == 200
        assert answer.headers["Cache-Control"] == "no-store"
        assert "style-src 'sha256-" in answer.headers["Content-Security-Policy"]
        return answer.body.decode()

    def test_it_shows_the_steps_and_the_session(self, app: MockupApp) -> None:
        page = self.inspect(app, {**XIA, "email": "xia@example.com"})
        for said in (
            "Signed in as</p><h1>xia</h1>",
            "17 checks passed</summary>",
            '<span class="unseen">passed: </span>Salted__',
            "<strong>Xia Lee</strong> <small>xia</small></div><div>manager</div>",
            "basic <small>until 2030-01-01</small>",
            "<summary>roles <small",
        ):
            assert said in page
        assert "adapter" not in page

    def test_a_visitor_and_a_missing_token_are_shown_as_normal(self, app: MockupApp) -> None:
        assert "<h1>Nobody is signed in</h1>" in self.inspect(app, {})
        page = self.inspect(app, None)
        assert "<h1>Nobody is signed in</h1>" in page
        # That is normal, and not an error.
        assert 'class="hero bad"' not in page
        assert 'class="panel bad"' not in page

    def test_a_jwt_in_the_header_is_shown_with_its_expiry(self, app: MockupApp) -> None:
        token = dumps(XIA, KEY, "jwt")
        page = self.inspect(app, None, HTTP_AUTHORIZATION=f"Bearer {token}")
        assert "<code>Authorization: Bearer</code>" in page
        assert '<span class="unseen">passed: </span>signature' in page
        assert "<dt>Expires</dt><dd>in 2 hours" in page

    def test_a_refused_token_is_explained_and_its_user_not_shown(self, app: MockupApp) -> None:
        page = self.inspect(app, None, HTTP_COOKIE=f"sessionid={dumps(XIA, OTHER_KEY)}")
        assert "from an earlier run of the server" in page
        assert "xia" not in page

    def test_credentials_are_masked_and_names_escaped(self, app: MockupApp) -> None:
        evil = "<script>alert(1)</script>"
        organization = {"slug": evil, "subscriptions": [{"plan": evil, "ends_at": None}]}
        session = {"username": evil, "roles": {evil: [organization]}, evil: evil, **CREDENTIALS}
        page = self.inspect(app, session)
        assert "<script>alert" not in page
        assert "AKIA" not in page
        assert KEY not in page
        assert "********" in page

    @pytest.mark.parametrize("key", [KEY, "<k3y>&\"quotes'="])
    def test_the_key_is_masked_wherever_it_is(self, key: str, inside: Recorder) -> None:
        app = MockupApp(inside, SESSIONS, secret_key=key)
        session = {"username": f"x{key}", "note": [f"the key is {key}."], key: 1}
        cookie = f"sessionid={dumps(session, key)}"
        page = get(app, "/djsession/", HTTP_COOKIE=cookie).body.decode()
        assert "the key is ********." in page
        assert key not in page
        assert escape(key) not in page

    def test_a_deeply_nested_session_is_abridged(self, app: MockupApp) -> None:
        deep: Any = 1
        for _ in range(50):
            deep = {"a": deep}
        assert "<code>...</code>" in self.inspect(app, {"deep": deep})

    def test_a_key_of_digits_is_masked_as_a_number(self, inside: Recorder) -> None:
        key = "1234567890123456"
        app = MockupApp(inside, SESSIONS, secret_key=key)
        cookie = f"sessionid={dumps({'n': int(key)}, key)}"
        assert key not in get(app, "/djsession/", HTTP_COOKIE=cookie).body.decode()

    def test_half_a_surrogate_pair_and_a_huge_number_are_shown(self, app: MockupApp) -> None:
        page = self.inspect(app, {"username": "x\ud800", "n": 10**400, "\udfff": ["\udfff"]})
        assert "<h1>x\\ud800</h1>" in page

    def test_post_is_not_allowed(self, app: MockupApp) -> None:
        assert post(app, "/djsession/", {}).code == 405

    def test_inspector_path_moves_it(self, inside: Recorder) -> None:
        app = MockupApp(inside, SESSIONS, secret_key=KEY, inspector_path="/why")
        assert get(app, "/why").code == 200
        assert get(app, "/djsession/").code == 403

    def test_the_middleware_without_mockups_has_no_inspector(self, inside: Recorder) -> None:
        app = SessionMiddleware(inside, secret_key=KEY)
        cookie = f"sessionid={dumps(XIA, KEY)}"
        assert get(app, "/djsession/", HTTP_COOKIE=cookie).body == b"inside"
