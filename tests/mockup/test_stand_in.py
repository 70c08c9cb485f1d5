"""The stand-in: what the application receives, what the browser gets back, and what is refused."""

from __future__ import annotations

import hmac
import http.client
import json
import re
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable
from datetime import datetime
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import (
    ConfigurationError,
    Session,
    SessionError,
    SessionMiddleware,
    dumps,
    loads,
)
from djsession.codec import SessionCodec
from djsession.gate import Gate
from djsession.mockup import MockupApp
from djsession.mockup.stand_in import METHODS, StandIn, normalize_path
from djsession.settings import Settings
from tests.helpers.mockup_client import HTML, get, post, post_json, request
from tests.helpers.proxy import LARGE
from tests.helpers.servers import exchange, running_app
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.tokens import OPAQUE
from tests.helpers.wsgi import Recorder

SETTINGS = Settings(secret_key=KEY)
SESSIONS: dict[str, Any] = {"xia": XIA, "alice": {}, "large": LARGE}
RULES: list[dict[str, Any]] = [
    {"path": "/static/", "allow": "any"},
    {"path": "/app/{profile}/", "roles": ["manager"]},
    {"path": "/visits/", "allow": "authenticated", "engaged": "app"},
    {"path": "/both/", "allow": "authenticated", "engaged": "app,tutorial"},
    {"path": "/", "allow": "authenticated"},
]
OWN = "djsession_stand_in_8000"
REMOTE: list[dict[str, Any]] = [
    {"REMOTE_ADDR": "192.0.2.1"},
    {"REMOTE_ADDR": ""},
    {"HTTP_HOST": "evil.example"},
    {"HTTP_HOST": "localhost.evil.example"},
    {"HTTP_HOST": None},
    {"HTTP_ORIGIN": "https://evil.example"},
    {"HTTP_ORIGIN": "null"},
    {"HTTP_X_FORWARDED_FOR": "192.0.2.1"},
    {"HTTP_X_FORWARDED_HOST": "evil.example"},
    {"HTTP_VIA": "1.1 evil.example"},
    {"SERVER_PROTOCOL": "HTTP/1.0"},
]
CROSS_SITE = {"HTTP_SEC_FETCH_SITE": "cross-site"}


def stand_in(inside: Callable[..., Iterable[bytes]], **options: Any) -> StandIn:
    options = {"sessions": {"sessions": SESSIONS, "rules": RULES}, "settings": SETTINGS, **options}
    return StandIn(inside, options.pop("sessions"), options.pop("settings"), **options)


@pytest.fixture(params=["openssl", "jwt"])
def format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app(inside: Recorder) -> StandIn:
    return stand_in(inside)


@pytest.fixture
def jwt_app(inside: Recorder) -> StandIn:
    return stand_in(inside, format="jwt")


def sign_in(app: Callable[..., Any], name: str = "xia") -> str:
    """Sign in with the login page, and return the Cookie header of the browser."""
    answer = post(app, "/login/", {"user": name})
    assert answer.code == 303
    return answer.headers["Set-Cookie"].partition(";")[0]


def cookies_of(environ: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = (item.partition("=") for item in environ.get("HTTP_COOKIE", "").split("; ") if item)
    return [(name, value) for name, _, value in pairs]


def session_of(environ: dict[str, Any], format: str = "openssl") -> Session:
    """Return the session that the stand-in attached to a request."""
    if format == "jwt":
        scheme, token = environ["HTTP_AUTHORIZATION"].split(" ")
        assert scheme == "Bearer"
    else:
        [token] = [value for name, value in cookies_of(environ) if name == "sessionid"]
        assert token[0] == token[-1] == '"'
        token = token[1:-1]
    return loads(token, KEY)


def ask(port: int, method: str, target: str, lines: str = "") -> bytes:
    """Send a request as it is, and return the whole answer. ``lines`` are further headers."""
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{lines}Connection: close\r\n\r\n"
    return exchange(port, head.encode())


def without(session: Session, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in session.items() if key not in keys}


class TestWhatTheApplicationReceives:
    def test_a_token_with_the_session_of_the_user_is_attached(
        self, inside: Recorder, format: str
    ) -> None:
        app = stand_in(inside, format=format)
        assert get(app, "/a", HTTP_COOKIE=sign_in(app)).body == b"inside"
        [environ] = inside.environs
        session = session_of(environ, format)
        assert without(session, "exp") == XIA
        if format == "jwt":
            assert "HTTP_COOKIE" not in environ
            assert 7_190 < session["exp"] - time.time() <= 7_200
        else:
            assert "exp" not in session
            assert "HTTP_AUTHORIZATION" not in environ

    def test_a_gate_behind_it_accepts_the_request(self, inside: Recorder, format: str) -> None:
        app = stand_in(SessionMiddleware(inside, secret_key=KEY), format=format)
        cookie = f"{sign_in(app)}; sessionid={OPAQUE}"
        assert get(app, "/a", HTTP_COOKIE=cookie).body == b"inside"
        assert inside.environs[0]["djsession.session"].username == "xia"

    def test_each_request_carries_another_token(self, inside: Recorder, app: StandIn) -> None:
        cookie = sign_in(app)
        for _ in range(3):
            get(app, "/a", HTTP_COOKIE=cookie)
        assert len({environ["HTTP_COOKIE"] for environ in inside.environs}) == 3

    def test_a_visitor_has_an_empty_session_or_an_empty_bearer_header(
        self, inside: Recorder, app: StandIn, jwt_app: StandIn
    ) -> None:
        get(app, "/static/a")
        get(
            jwt_app, "/static/a", HTTP_COOKIE=f"sessionid={OPAQUE}", HTTP_AUTHORIZATION="Basic eA=="
        )
        first, second = inside.environs
        assert session_of(first) == {}
        assert second["HTTP_AUTHORIZATION"] == "Bearer"
        assert second["HTTP_COOKIE"] == f"sessionid={OPAQUE}"

    def test_a_jwt_is_fresh_even_if_the_file_says_when_it_expires(self, inside: Recorder) -> None:
        sessions = {"sessions": {"xia": {**XIA, "exp": int(time.time()) + 9_999_999}}}
        app = stand_in(inside, sessions=sessions, format="jwt")
        get(app, "/app/", HTTP_COOKIE=sign_in(app))
        [received] = inside.environs
        assert session_of(received, "jwt")["exp"] <= time.time() + 7_200

    def test_a_token_left_in_the_cookie_does_not_contradict_the_jwt(
        self, inside: Recorder, jwt_app: StandIn
    ) -> None:
        left = dumps({"username": "dana"}, KEY)
        own = sign_in(jwt_app)
        get(jwt_app, "/app/xia/", HTTP_COOKIE=f'a=1; sessionid="{left}"; {own}')
        [received] = inside.environs
        assert received["HTTP_COOKIE"] == "a=1"
        assert session_of(received, "jwt").username == "xia"

    def test_the_cookie_stays_where_it_was(self, inside: Recorder, app: StandIn) -> None:
        own = sign_in(app)
        for sent, names in (
            ("a=1; sessionid=old; b=2; {own}", ["a", "sessionid", "b"]),
            ("{own}; sessionid=old; a=1", ["sessionid", "a"]),
            ("sessionid=old; a=1; sessionid=older;{own}", ["sessionid", "a"]),
            ("a=1; {own}; b=2", ["a", "b", "sessionid"]),
            ("a=1;{own};a=2", ["a", "a", "sessionid"]),
            ("{own}", ["sessionid"]),
            ("sessionid ; sessionid\xa0=x; {own};; =; a", ["sessionid", "a"]),
        ):
            get(app, "/a", HTTP_COOKIE=sent.format(own=own))
            environ = inside.environs[-1]
            assert [name for name, _ in cookies_of(environ)] == names
            assert session_of(environ).username == "xia"

    def test_other_cookies_stay_as_they_are(self, inside: Recorder, app: StandIn) -> None:
        sent = 'a="x y=z"; b=; csrftoken=q=w; d; SessionID=x; xsessionid=y; \xe9=\xe9'
        get(app, "/a", HTTP_COOKIE=f"{sent}; {sign_in(app)}")
        assert inside.environs[0]["HTTP_COOKIE"].startswith(f"{sent}; sessionid=")

    def test_cookie_name_changes_the_cookie_that_is_replaced(self, inside: Recorder) -> None:
        app = stand_in(inside, settings=Settings(secret_key=KEY, cookie_name="sid"))
        get(app, "/a", HTTP_COOKIE=f"sessionid=x; sid=y; {sign_in(app)}")
        assert [name for name, _ in cookies_of(inside.environs[0])] == ["sessionid", "sid"]

    def test_its_own_cookies_are_not_forwarded(self, inside: Recorder, format: str) -> None:
        app = stand_in(inside, format=format)
        # The browser also sends that of a stand-in at another port, in front of something else.
        cookie = f"{sign_in(app)}; {OWN}=x; djsession_stand_in_1=y; djsession_mockup_key=z; a=1"
        get(app, "/a", HTTP_COOKIE=cookie)
        get(app, "/static/", HTTP_COOKIE=cookie)
        for environ in inside.environs:
            assert "djsession" not in environ["HTTP_COOKIE"]
            assert "a=1" in environ["HTTP_COOKIE"]

    def test_the_clients_authorization_header_is_kept_or_replaced_by_the_jwt(
        self, inside: Recorder, app: StandIn, jwt_app: StandIn
    ) -> None:
        for value in ("Basic eA==", "Bearer own-api-key", "Bearer a.b.c", "Bearer"):
            get(app, "/a", HTTP_COOKIE=sign_in(app), HTTP_AUTHORIZATION=value)
            assert inside.environs[-1]["HTTP_AUTHORIZATION"] == value
            get(jwt_app, "/a", HTTP_COOKIE=sign_in(jwt_app), HTTP_AUTHORIZATION=value)
            assert session_of(inside.environs[-1], "jwt").username == "xia"

    def test_options_carries_the_session_without_a_visit(
        self, inside: Recorder, format: str
    ) -> None:
        app = stand_in(inside, format=format)
        cookie = sign_in(app, "alice")
        for path in ("/visits/", "/app/xia/"):
            request(app, "OPTIONS", path, HTTP_COOKIE=cookie)
            session = session_of(inside.environs[-1], format)
            assert without(session, "exp") == {"username": "alice"}
        request(app, "OPTIONS", "/app/xia/")
        if format == "jwt":
            assert inside.environs[-1]["HTTP_AUTHORIZATION"] == "Bearer"
        else:
            assert session_of(inside.environs[-1]) == {}
        get(app, "/visits/", HTTP_COOKIE=cookie)
        assert session_of(inside.environs[-1], format)["last_visited"] is None

    def test_options_needs_a_rule_that_matches(self, inside: Recorder) -> None:
        rules = [{"path": "/app/", "allow": "authenticated"}]
        app = stand_in(inside, sessions={"sessions": SESSIONS, "rules": rules})
        assert request(app, "OPTIONS", "/app/").body == b"inside"
        assert request(app, "OPTIONS", "/other/").code == 403
        assert request(stand_in(inside, sessions=SESSIONS), "OPTIONS", "/x").body == b"inside"

    def test_the_host_is_kept_and_the_clients_address_is_added(
        self, inside: Recorder, app: StandIn
    ) -> None:
        get(app, "/static/")
        get(app, "/static/", HTTP_HOST="dev.localhost:8000", HTTP_X_FORWARDED_FOR="127.0.0.9")
        first, second = inside.environs
        assert first["HTTP_X_FORWARDED_FOR"] == first["HTTP_X_REAL_IP"] == "127.0.0.1"
        assert first["HTTP_HOST"] == "localhost:8000"
        assert second["HTTP_HOST"] == "dev.localhost:8000"

    def test_hop_by_hop_headers_are_removed(self, inside: Recorder, format: str) -> None:
        app = stand_in(inside, format=format)
        headers = {
            "HTTP_CONNECTION": "keep-alive, Upgrade,HTTP2-Settings , X-Own,,x_other",
            "HTTP_UPGRADE": "h2c",
            "HTTP_HTTP2_SETTINGS": "AAMAAABkAARAAAAAAAIAAAAA",
            **{f"HTTP_{name}": "x" for name in ("KEEP_ALIVE", "TE", "TRAILER", "TRAILERS")},
            **{
                f"HTTP_PROXY_{name}": "x"
                for name in ("AUTHORIZATION", "AUTHENTICATE", "CONNECTION")
            },
            "HTTP_PROXY": "http://evil.example",
            "HTTP_X_OWN": "x",
            "HTTP_X_OTHER": "x",
            "HTTP_SCRIPT_NAME": "/static",
        }
        get(app, "/a", HTTP_COOKIE=sign_in(app), HTTP_X_KEPT="x", **headers)
        [environ] = inside.environs
        assert not set(headers) & set(environ)
        assert environ["HTTP_X_KEPT"] == "x"

    @pytest.mark.parametrize(
        "named",
        [
            "Cookie, Authorization, X-Forwarded-For, X-Real-IP, Host",
            "cookie,authorization,x-forwarded-for,x-real-ip,host,transfer-encoding",
            "\tCOOKIE , AUTHORIZATION\t,close",
            "X-Djsession-Stand-In",
        ],
    )
    def test_a_client_cannot_remove_what_is_added(
        self, named: str, inside: Recorder, format: str
    ) -> None:
        app = stand_in(inside, format=format)
        get(app, "/a", HTTP_COOKIE=f"{sign_in(app)}; a=1", HTTP_CONNECTION=named)
        [environ] = inside.environs
        assert session_of(environ, format).username == "xia"
        assert environ["HTTP_X_FORWARDED_FOR"] == environ["HTTP_X_REAL_IP"] == "127.0.0.1"
        assert environ["HTTP_HOST"] == "localhost:8000"
        assert "HTTP_CONNECTION" not in environ
        assert environ["HTTP_X_DJSESSION_STAND_IN"]

    def test_names_with_underscores_never_arrive(self, inside: Recorder) -> None:
        with running_app(stand_in(inside)) as port:
            lines = "X_Forwarded_For: 192.0.2.1\r\nX_Real-IP: 192.0.2.1\r\nCook_ie: a=b\r\n"
            assert ask(port, "GET", "/static/", lines).endswith(b"inside")
        [environ] = inside.environs
        assert environ["HTTP_X_FORWARDED_FOR"] == environ["HTTP_X_REAL_IP"] == "127.0.0.1"
        assert not any("192.0.2.1" in str(value) for value in environ.values())

    def test_a_session_too_large_for_a_browsers_cookie_is_attached(
        self, inside: Recorder, format: str
    ) -> None:
        sessions = {"huge": {**LARGE, "username": "huge", "note": "x" * 30_000}}
        app = stand_in(
            inside,
            sessions=sessions,
            format=format,
            settings=Settings(secret_key=KEY, max_token_size=100_000),
        )
        cookie = sign_in(app, "huge")
        assert len(cookie) < 200
        get(app, "/a", HTTP_COOKIE=cookie)
        token = inside.environs[0]["HTTP_AUTHORIZATION" if format == "jwt" else "HTTP_COOKIE"]
        assert len(token) > 40_000

    def test_edits_of_the_file_show_at_once(self, inside: Recorder, tmp_path: Path) -> None:
        path = tmp_path / "sessions.yaml"

        def write(text: str) -> None:
            path.with_suffix(".new").write_text(text)
            path.with_suffix(".new").replace(path)

        write("xia: {email: old@example.com}\n")
        app = stand_in(inside, sessions=path)
        cookie = sign_in(app)
        get(app, "/a", HTTP_COOKIE=cookie)
        assert session_of(inside.environs[-1])["email"] == "old@example.com"
        write("sessions:\n  xia: {email: new@example.com}\nrules:\n  - {path: /a, allow: any}\n")
        get(app, "/a", HTTP_COOKIE=cookie)
        assert session_of(inside.environs[-1])["email"] == "new@example.com"
        assert get(app, "/b", HTTP_COOKIE=cookie).code == 403
        write("zoe: {}\n")
        assert get(app, "/a", HTTP_COOKIE=cookie, **HTML).code == 302
        write("xia: [broken\n")
        assert get(app, "/a", HTTP_COOKIE=cookie, **HTML).code == 302


class TestLastVisited:
    def visit(self, app: StandIn, inside: Recorder, path: str, cookie: str) -> Any:
        get(app, path, HTTP_COOKIE=cookie)
        return session_of(inside.environs[-1])["last_visited"]

    def test_it_is_null_on_the_first_visit_and_then_the_date(
        self, inside: Recorder, app: StandIn
    ) -> None:
        cookie = sign_in(app, "alice")
        assert self.visit(app, inside, "/visits/", cookie) is None
        since = self.visit(app, inside, "/visits/", cookie)
        assert abs(datetime.fromisoformat(since).timestamp() - time.time()) < 60
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", since)
        assert self.visit(app, inside, "/visits/", cookie) == since

    def test_a_path_with_several_tags_names_the_visited_ones_until_all_are(
        self, inside: Recorder, app: StandIn
    ) -> None:
        cookie = sign_in(app, "alice")
        assert self.visit(app, inside, "/visits/", cookie) is None
        assert self.visit(app, inside, "/both/", cookie) == "app"
        assert datetime.fromisoformat(self.visit(app, inside, "/both/", cookie))
        assert datetime.fromisoformat(self.visit(app, inside, "/visits/", cookie))

    def test_it_is_kept_for_each_user(self, inside: Recorder, app: StandIn) -> None:
        for name in ("alice", "large"):
            assert self.visit(app, inside, "/visits/", sign_in(app, name)) is None

    def test_without_a_tag_it_is_null_and_a_date_in_the_file_wins(self, inside: Recorder) -> None:
        sessions = {"a": {}, "b": {"last_visited": "2020-01-01T00:00:00+00:00"}}
        app = stand_in(inside, sessions={"sessions": sessions, "rules": RULES})
        for _ in range(2):
            assert self.visit(app, inside, "/x", sign_in(app, "a")) is None
            assert self.visit(app, inside, "/visits/", sign_in(app, "b")).startswith("2020")


class TestSignInCookie:
    def test_it_is_http_only_and_lax_and_not_the_session_cookie(self, app: StandIn) -> None:
        answer = post(app, "/login/", {"user": "xia"})
        [morsel] = SimpleCookie(answer.headers["Set-Cookie"]).values()
        assert morsel.key == OWN
        assert (morsel["httponly"], morsel["samesite"], morsel["path"]) == (True, "Lax", "/")
        assert not morsel["domain"]
        assert "sessionid" not in answer.headers["Set-Cookie"]

    def test_each_port_has_its_own_cookie(self, inside: Recorder) -> None:
        app = stand_in(inside)
        with running_app(app) as first, running_app(app) as second:
            cookies = {}
            for port in (first, second):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                form = {"Content-Type": "application/x-www-form-urlencoded"}
                connection.request("POST", "/login/", b"user=xia", form)
                response = connection.getresponse()
                response.read()
                cookies[port] = str(response.headers["Set-Cookie"]).partition(";")[0]
                assert cookies[port].startswith(f"djsession_stand_in_{port}=")
                connection.request("GET", "/a", headers={"Cookie": cookies[port]})
                assert connection.getresponse().read() == b"inside"
                connection.request("GET", "/a", headers={"Cookie": cookies[first]})
                response = connection.getresponse()
                response.read()
                assert response.status == (200 if port == first else 403)
                connection.close()

    def test_logout_deletes_it(self, app: StandIn) -> None:
        cookie = sign_in(app)
        answer = get(app, "/logout/", HTTP_COOKIE=cookie)
        [morsel] = SimpleCookie(answer.headers["Set-Cookie"]).values()
        assert (morsel.key, morsel.value, morsel["max-age"]) == (OWN, "", "0")

    def refused(self, app: StandIn, value: str) -> bool:
        answer = get(app, "/a", HTTP_COOKIE=f"{OWN}={value}", **HTML)
        assert answer.code in (200, 302)
        return answer.code == 302

    def test_a_forged_cookie_does_not_sign_in(self, app: StandIn, inside: Recorder) -> None:
        value = sign_in(app).partition("=")[2]
        assert not self.refused(app, value)
        name, expires_at, signature = value.split("~")

        def encoded(text: str) -> str:
            return urlsafe_b64encode(text.encode()).decode().rstrip("=")

        assert name == encoded("xia")
        for forged in (
            *("", "~~", "xia", name, f"{name}~{expires_at}", f"{name}~{expires_at}~"),
            f"{encoded('alice')}~{expires_at}~{signature}",
            f"{name}~{int(expires_at) + 1}~{signature}",
            f"{name}~0{expires_at}~{signature}",
            f"{name}~{expires_at}~{'0' * 64}",
            f"{name}~{expires_at}~{signature.upper()}",
            f"{name}~{expires_at}~{signature[:-1]}",
            f"{name}={'~'}{expires_at}~{signature}",
            f"{name}~{expires_at}~{signature}~",
            f" {name}~\xb2{expires_at}~{signature}",
            f'"{value}"',
            f"{value}\xe9",
        ):
            assert self.refused(app, forged), forged

    def test_an_expired_cookie_does_not_sign_in(
        self, app: StandIn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        value = sign_in(app).partition("=")[2]
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 86_395)
        assert not self.refused(app, value)
        monkeypatch.setattr(time, "time", lambda: now + 86_401)
        assert self.refused(app, value)

    def test_a_cookie_signed_with_another_key_does_not_sign_in(
        self, app: StandIn, inside: Recorder
    ) -> None:
        other = stand_in(inside, settings=Settings(secret_key=OTHER_KEY))
        assert self.refused(app, sign_in(other).partition("=")[2])

    def test_a_cookie_signed_with_the_secret_key_itself_does_not_sign_in(
        self, app: StandIn
    ) -> None:
        """The key is derived, so that no signature made elsewhere with the secret key counts."""
        name, expires_at, _ = sign_in(app).partition("=")[2].split("~")
        text = f"{name}~{expires_at}".encode()
        signature = hmac.digest(KEY.encode(), text, "sha256").hex()
        assert self.refused(app, f"{name}~{expires_at}~{signature}")

    def test_a_cookie_under_another_name_does_not_sign_in(self, app: StandIn) -> None:
        value = sign_in(app).partition("=")[2]
        for name in ("sessionid", "djsession_stand_in_8001", OWN.upper(), f"x{OWN}"):
            assert get(app, "/a", HTTP_COOKIE=f"{name}={value}").code == 403

    def test_a_cookie_of_a_user_removed_from_the_file_does_not_sign_in(
        self, inside: Recorder
    ) -> None:
        value = sign_in(stand_in(inside)).partition("=")[2]
        assert self.refused(stand_in(inside, sessions={"alice": {}}), value)

    def test_the_gate_never_accepts_it(self, app: StandIn) -> None:
        value = sign_in(app).partition("=")[2]
        codec = SessionCodec(KEY)
        for text in (value, value.partition("~")[0], *value.split("~")):
            with pytest.raises(SessionError):
                codec.loads(text)
        gate = Gate(Settings(secret_key=KEY, cookie_name=OWN))
        received = {"HTTP_COOKIE": f"{OWN}={value}"}
        refused = Recorder()
        assert get(SessionMiddleware.from_gate(refused, gate), "/a", **received).code == 403
        assert not refused.environs

    def test_a_token_of_the_application_does_not_sign_in(
        self, app: StandIn, inside: Recorder
    ) -> None:
        get(app, "/a", HTTP_COOKIE=sign_in(app))
        received = inside.environs[-1]["HTTP_COOKIE"]
        assert get(app, "/a", HTTP_COOKIE=received).code == 403
        assert get(app, "/a", HTTP_COOKIE=received.replace("sessionid", OWN)).code == 403

    def test_users_with_names_outside_ascii_sign_in(self, inside: Recorder) -> None:
        app = stand_in(inside, sessions={"日本": {}, "a;b=c~d": {}})
        for name in ("日本", "a;b=c~d"):
            get(app, "/a", HTTP_COOKIE=sign_in(app, name))
            assert session_of(inside.environs[-1]).username == name


class TestStandInResponses:
    def answer(self, *headers: tuple[str, str], **environ: Any) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []

        def inside(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", list(headers))
            return [b""]

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            found.extend(headers)

        app = stand_in(inside)
        variables = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/static/",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_PORT": "8000",
        }
        list(app({**variables, **environ}, start))
        return found

    def test_the_application_cannot_set_the_cookies_of_the_stand_in(self) -> None:
        kept = [("Set-Cookie", "csrftoken=x; Path=/"), ("set-cookie", "sessionid2=y")]
        dropped = [
            *("sessionid=evil", " sessionid = evil", "sessionid"),
            *(f"{OWN}=evil", "djsession_stand_in_1=evil", "djsession_mockup_key=evil"),
        ]
        headers = [(name, value) for value in dropped for name in ("Set-Cookie", "SET-COOKIE")]
        assert self.answer(*headers, *kept) == kept

    def test_hop_by_hop_headers_are_removed_from_the_response(self) -> None:
        names = [
            *("Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "Upgrade"),
            *("Proxy-Authenticate", "Proxy-Connection", "X-Own", "x-other"),
        ]
        headers = [(name, "x-own, X-Other") for name in names]
        kept = [("Content-Length", "0"), ("ETag", "x"), ("Location", "//evil.example/")]
        assert self.answer(*headers, *kept) == kept

    def test_a_response_replaced_with_exc_info_is_filtered_too(self) -> None:
        def broken(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [])
            try:
                raise ValueError
            except ValueError:
                start_response("500 Error", [("Set-Cookie", "sessionid=x")], sys.exc_info())
            return [b"replaced"]

        with running_app(stand_in(broken)) as port:
            answer = ask(port, "GET", "/static/")
        assert answer.startswith(b"HTTP/1.1 500 Error")
        assert b"sessionid" not in answer


class TestStandInAccess:
    def test_visitors_go_to_the_login_page(self, app: StandIn, inside: Recorder) -> None:
        answer = get(app, "/a?b=c", **HTML)
        assert (answer.code, answer.headers["Location"]) == (302, "/login/?next=%2Fa%3Fb%3Dc")
        assert get(app, "/a").code == 403
        assert not inside.environs

    def test_a_user_without_the_role_is_refused(self, app: StandIn, inside: Recorder) -> None:
        cookie = sign_in(app, "alice")
        answer = get(app, "/app/xia/", HTTP_COOKIE=cookie)
        assert answer.code == 403
        assert "/app/{profile}" in json.loads(answer.body)["detail"]
        assert get(app, "/app/xia/", HTTP_COOKIE=cookie, **HTML).code == 403
        assert not inside.environs
        assert get(app, "/app/xia/", HTTP_COOKIE=sign_in(app)).body == b"inside"
        assert get(app, "/app/other/", HTTP_COOKIE=sign_in(app)).code == 403

    @pytest.mark.parametrize("method", ["CONNECT", "TRACE", "PROPFIND", "get", "PURGE", "QUERY"])
    def test_a_method_that_the_proxy_does_not_forward_is_405(
        self, method: str, app: StandIn, inside: Recorder
    ) -> None:
        with running_app(app) as port:
            assert ask(port, method, "/static/").startswith(b"HTTP/1.1 405")
        assert not inside.environs
        assert method not in METHODS

    @pytest.mark.parametrize("remote", REMOTE)
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/static/a.css"),
            ("GET", "/a"),
            ("POST", "/a"),
            ("OPTIONS", "/a"),
            ("GET", "/login/"),
            ("POST", "/login/"),
            ("POST", "/api/auth"),
            ("GET", "/djsession/"),
            ("DELETE", "/login/"),
            ("GET", "/\x00"),
        ],
    )
    def test_host_and_peer_are_checked_on_every_request(
        self, method: str, path: str, remote: dict[str, Any], app: StandIn, inside: Recorder
    ) -> None:
        answer = request(app, method, path, HTTP_COOKIE=sign_in(app), **remote)
        assert answer.code == 403
        assert b"djsession serve --allow-remote" in answer.body
        assert "Set-Cookie" not in answer.headers
        assert not inside.environs

    def test_a_websocket_from_another_host_or_site_is_refused(self, inside: Recorder) -> None:
        app = stand_in(inside, websockets=True)
        upgrade = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"}
        assert get(app, "/static/", HTTP_HOST="evil.example", **upgrade).code == 403
        assert get(app, "/static/", **CROSS_SITE, **upgrade).code == 403
        assert not inside.environs
        assert get(app, "/static/", **upgrade).code == 200
        assert inside.environs[0]["HTTP_UPGRADE"] == "websocket"
        assert inside.environs[0]["HTTP_CONNECTION"] == "Upgrade"

    def test_a_websocket_is_refused_without_the_option(
        self, app: StandIn, inside: Recorder, caplog: pytest.LogCaptureFixture
    ) -> None:
        for value in ("websocket", "WebSocket", " websocket "):
            answer = get(app, "/static/", HTTP_UPGRADE=value, HTTP_CONNECTION="Upgrade")
            assert answer.code == 501
            assert b"--websockets" in answer.body
        assert not inside.environs
        # Browsers do not show the body.
        [record] = caplog.records
        assert "a WebSocket was refused: GET /static/. " in record.getMessage()
        assert "--websockets" in record.getMessage()

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_unsafe_requests_from_another_site_are_refused_with_jwt(
        self, site: str, jwt_app: StandIn, app: StandIn, inside: Recorder
    ) -> None:
        cookie = sign_in(jwt_app)
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            for path in ("/a", "/static/"):
                answer = request(
                    jwt_app, method, path, HTTP_COOKIE=cookie, HTTP_SEC_FETCH_SITE=site
                )
                assert answer.code == 403
        assert not inside.environs
        for method in ("GET", "HEAD", "OPTIONS"):
            request(jwt_app, method, "/a", HTTP_COOKIE=cookie, HTTP_SEC_FETCH_SITE=site)
        for own in ("same-origin", "none", None):
            post(jwt_app, "/a", {}, HTTP_COOKIE=cookie, HTTP_SEC_FETCH_SITE=own)
        # The cookie format leaves it to the application, as the proxy does.
        post(app, "/a", {}, HTTP_COOKIE=sign_in(app), HTTP_SEC_FETCH_SITE=site)
        assert len(inside.environs) == 7

    def test_remote_clients_need_the_key_to_sign_in(self, inside: Recorder) -> None:
        app = stand_in(inside, allow_remote=True, print_login_url=False)
        remote = {"REMOTE_ADDR": "192.0.2.1", "HTTP_HOST": "dev.example:8000"}
        assert get(app, "/static/", **remote).body == b"inside"
        assert post(app, "/login/", {"user": "xia"}, **remote).code == 403
        assert post_json(app, {"username": "xia", "password": "x"}, **remote).code == 403
        assert get(app, "/a", **remote).code == 403
        assert post(app, app.login_path, {"user": "xia"}, **remote).code == 303


class TestStandInAuthApi:
    def test_a_client_signs_in_with_a_token(self, inside: Recorder, format: str) -> None:
        app = stand_in(inside, format=format)
        answer = post_json(app, {"username": "alice", "password": "any"})
        assert answer.code == 201
        bearer = {"HTTP_AUTHORIZATION": f"Bearer {json.loads(answer.body)['token']}"}
        assert get(app, "/a", **bearer).body == b"inside"
        assert session_of(inside.environs[-1], format).username == "alice"
        if format == "openssl":
            # Beside the cookie it would be a second session of the same user.
            assert "HTTP_AUTHORIZATION" not in inside.environs[-1]
        assert get(app, "/app/xia/", **bearer).code == 403
        own = answer.headers["Set-Cookie"].partition(";")[0]
        assert get(app, "/a", HTTP_COOKIE=own).body == b"inside"

    def test_the_cookie_overrules_a_bearer_token_of_another_user(
        self, inside: Recorder, format: str
    ) -> None:
        app = stand_in(SessionMiddleware(inside, secret_key=KEY), format=format)
        token = json.loads(post_json(app, {"username": "alice"}).body)["token"]
        get(app, "/a", HTTP_COOKIE=sign_in(app), HTTP_AUTHORIZATION=f"Bearer {token}")
        assert inside.environs[0]["djsession.session"].username == "xia"

    def test_a_token_from_elsewhere_or_expired_or_damaged_does_not_sign_in(
        self, app: StandIn, inside: Recorder
    ) -> None:
        good = json.loads(post_json(app, {"username": "alice"}).body)["token"]
        other = stand_in(inside, settings=Settings(secret_key=OTHER_KEY))
        codec = SessionCodec(KEY)
        for token in (
            json.loads(post_json(other, {"username": "alice"}).body)["token"],
            codec.dumps({"username": "alice"}, "openssl"),
            codec.dumps({"username": "nobody", "exp": int(time.time()) + 60}, "jwt"),
            codec.dumps({"username": "alice", "exp": int(time.time()) - 60}, "jwt"),
            good[:-2],
            f"{good}.x",
            sign_in(app).partition("=")[2],
        ):
            assert get(app, "/a", HTTP_AUTHORIZATION=f"Bearer {token}").code == 403
        assert not inside.environs
        assert get(app, "/a", HTTP_AUTHORIZATION=f"Basic {good}").code == 403

    def test_its_token_signs_in_even_if_the_application_excludes_jwt(
        self, inside: Recorder
    ) -> None:
        app = stand_in(inside, settings=Settings(secret_key=KEY, formats=("openssl",)))
        token = json.loads(post_json(app, {"username": "alice"}).body)["token"]
        assert get(app, "/a", HTTP_AUTHORIZATION=f"Bearer {token}").body == b"inside"
        assert "HTTP_AUTHORIZATION" not in inside.environs[0]


class TestStandInPaths:
    @pytest.mark.parametrize(
        ("target", "path"),
        [
            ("/", "/"),
            ("/static", "/static"),
            ("/static/", "/static/"),
            ("/static/.", "/static/"),
            ("/static/./a", "/static/a"),
            ("/static//a", "/static/a"),
            ("/static///", "/static/"),
            ("//static/a", "/static/a"),
            ("/static%2Fa", "/static/a"),
            ("/static%2f%2fa", "/static/a"),
            ("/a/../static/", "/static/"),
            ("/a/%2e%2e/static/", "/static/"),
            ("/%2e%2e/%2E%2e/static/%2e", "/static/"),
            ("/static/a/..", "/static/"),
            ("/static/;x", "/static/;x"),
            ("/static/a;b=c/d", "/static/a;b=c/d"),
            ("/static/..;/a", "/static/..;/a"),
            ("/static/a%5C..%5Cb", "/static/a\\..\\b"),
            ("/static/...", "/static/..."),
            ("/static/.a", "/static/.a"),
            ("/static/%252e%252e/a", "/static/%2e%2e/a"),
            ("/static/%3Fa", "/static/?a"),
            ("/static/%C3%A9", "/static/\xe9"),
        ],
    )
    def test_the_path_that_the_rules_match_is_the_path_that_is_forwarded(
        self, target: str, path: str, inside: Recorder
    ) -> None:
        rules = [{"path": "/static/", "allow": "any"}, {"path": "/", "allow": "authenticated"}]
        app = stand_in(inside, sessions={"sessions": SESSIONS, "rules": rules})
        with running_app(app) as port:
            answer = ask(port, "GET", target)
        assert answer.startswith(b"HTTP/1.1 200" if path.startswith("/static") else b"HTTP/1.1 403")
        for environ in inside.environs:
            assert environ["PATH_INFO"].encode("latin-1").decode() == path

    @pytest.mark.parametrize(
        "target",
        [
            *("/static/../a", "/static/%2e%2e/a", "/static/.%2e/a", "/static/%2E./a"),
            *("/static/..%2Fa", "/static%2f..%2fa", "/static//..//../a", "/static/./../a"),
            *("/STATIC/", "/%73tatic%2f%2e%2e%2fa", "/staticx/", "/;/static/", "/%5Cstatic/"),
            *("/a/static/", "/static;/a", "/%252e/static/", "/static%5C..%5Ca", "/static%252Fa"),
        ],
    )
    def test_a_rule_that_opens_a_folder_opens_nothing_else(
        self, target: str, app: StandIn, inside: Recorder
    ) -> None:
        with running_app(app) as port:
            assert ask(port, "GET", target).startswith(b"HTTP/1.1 403")
        assert not inside.environs

    @pytest.mark.parametrize(
        "target", ["/%00", "/a%0d%0ab", "/%7f", "/%E9", "/%C0%AE/", "/%ED%A0%80"]
    )
    def test_an_invalid_path_is_a_bad_request(
        self, target: str, app: StandIn, inside: Recorder
    ) -> None:
        with running_app(app) as port:
            assert ask(port, "GET", target).startswith(b"HTTP/1.1 400")
        assert not inside.environs

    def test_the_pages_answer_under_their_normalized_paths(self, app: StandIn) -> None:
        for path in ("/login", "/login/", "/login//", "/x/../login/"):
            assert get(app, path).code == 200

    @given(st.lists(st.sampled_from(["", ".", "..", "/", "a", "é", ";", "%2e", "\\"])).map("".join))
    def test_a_normalized_path_is_in_its_final_form(self, text: str) -> None:
        path = normalize_path("/" + text.encode().decode("latin-1"))
        assert path is not None
        assert normalize_path(path.encode().decode("latin-1")) == path
        inner = path.removesuffix("/").split("/")[1:]
        assert path.startswith("/")
        assert {"", ".", ".."}.isdisjoint(inner)

    @given(st.text(st.characters(max_codepoint=255)))
    def test_normalizing_any_bytes_is_idempotent_or_refused(self, text: str) -> None:
        path = normalize_path(text)
        if path is not None:
            assert text.startswith("/")
            assert path.isprintable() or not re.search("[\x00-\x1f\x7f]", path)
            assert normalize_path(path.encode().decode("latin-1")) == path


class TestStandInWarnings:
    """What the stand-in forwards and the proxy does not is logged, once each."""

    @pytest.mark.parametrize(
        ("method", "target", "headers", "said"),
        [
            ("GET", "/static/?tag=a&b=1&tag=c", {}, "the last value of each name in a query"),
            (
                "PUT",
                "/static/",
                {"CONTENT_TYPE": "multipart/form-data; boundary=x"},
                "not have a body",
            ),
        ],
    )
    def test_a_request_that_the_proxy_would_change_is_logged_once(
        self,
        method: str,
        target: str,
        headers: dict[str, Any],
        said: str,
        app: StandIn,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        for _ in range(2):
            assert request(app, method, target, **headers).code == 200
        assert caplog.text.count(said) == 1
        assert f"{method} /static/" in caplog.text
        assert "tag" not in caplog.text

    @pytest.mark.parametrize(
        ("header", "said"),
        [
            (("set-cookie", "csrftoken=1"), "spelled Set-Cookie"),
            (("Content-Encoding", "br"), "leaves its body compressed"),
        ],
    )
    def test_a_response_that_the_proxy_would_change_is_logged_once(
        self, header: tuple[str, str], said: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def application(environ: Any, start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [header, ("Content-Type", "text/plain")])
            return [b"x"]

        app = stand_in(application)
        for _ in range(2):
            assert get(app, "/static/").headers[header[0]] == header[1]
        assert caplog.text.count(said) == 1

    @pytest.mark.parametrize("target", ["/static/?a=1&b=1", "/static/"])
    def test_nothing_is_logged_about_other_requests(
        self, target: str, app: StandIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        multipart: dict[str, Any] = {"CONTENT_TYPE": "multipart/form-data; boundary=x"}
        assert request(app, "POST", target, **multipart).code == 200
        assert "the proxy" not in caplog.text


class TestStandInInspector:
    def test_it_reports_what_the_application_would_receive(
        self, inside: Recorder, format: str
    ) -> None:
        app = stand_in(inside, format=format)
        cookie = sign_in(app)
        page = get(app, "/djsession/", HTTP_COOKIE=cookie, **HTML)
        assert page.code == 200
        assert b"xia" in page.body
        assert cookie.partition("=")[2].encode() not in page.body
        assert not inside.environs

    def test_a_look_is_not_a_visit(self, inside: Recorder, app: StandIn) -> None:
        cookie = sign_in(app, "alice")
        get(app, "/djsession/", HTTP_COOKIE=cookie)
        get(app, "/visits/", HTTP_COOKIE=cookie)
        assert session_of(inside.environs[-1])["last_visited"] is None


class TestMockupAppBesideAStandIn:
    def test_it_still_writes_a_token(self, inside: Recorder) -> None:
        app = MockupApp(inside, {"xia": XIA}, secret_key=KEY)
        cookie = sign_in(app)
        assert cookie.startswith("sessionid=")
        assert get(app, "/a", HTTP_COOKIE=cookie).body == b"inside"
        assert inside.environs[0]["djsession.session"].username == "xia"

    def test_the_cookie_of_a_stand_in_does_not_sign_in(
        self, inside: Recorder, app: StandIn
    ) -> None:
        mockup = MockupApp(inside, {"xia": XIA}, secret_key=KEY)
        assert get(mockup, "/a", HTTP_COOKIE=sign_in(app)).code == 403


def test_a_stand_in_with_wrong_options_is_an_error(inside: Recorder) -> None:
    settings = Settings(secret_key=KEY, formats=("jwt",))
    with pytest.raises(ConfigurationError, match="use --format jwt"):
        stand_in(inside, settings=settings)
    stand_in(inside, settings=settings, format="jwt")
    with pytest.raises(ConfigurationError):
        stand_in(inside, login_path="login")
    with pytest.raises(ConfigurationError):
        stand_in(inside, allow_remote="false")
