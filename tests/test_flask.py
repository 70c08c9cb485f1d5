from __future__ import annotations

import gc
import json
import logging
import re
import subprocess
import sys
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

pytest.importorskip("flask")

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    after_this_request,
    flash,
    get_flashed_messages,
    redirect,
    request,
    send_file,
    session,
    stream_with_context,
)
from flask.sessions import SecureCookieSessionInterface
from flask.testing import FlaskClient
from werkzeug.middleware.proxy_fix import ProxyFix

from djsession import ConfigurationError, SessionMiddleware, dumps, loads
from djsession.errors import MockupError, ProxiedKeyError
from djsession.flask import (
    DjSession,
    current_session,
    current_user,
    plan_required,
    role_required,
)
from djsession.flask.click_commands import print_login_address
from djsession.mockup import MockupApp
from tests.helpers.commands import ROOT, environment
from tests.helpers.servers import GUNICORN, Serve, http, replay_captures, running_server
from tests.helpers.sessions import KEY, OTHER_KEY, XIA, Capture

SECRET = "s3cret-of-the-site"
FLASK = ("-m", "flask", "--app")
DANA = {"username": "dana", "roles": {"contributor": [{"slug": "cowork"}]}}


def make_app(**config: Any) -> Flask:
    app = Flask(
        "tests.test_flask",
        root_path=str(ROOT / "tests"),
        static_folder="captures",
        static_url_path="/static",
    )
    app.config.update(SECRET_KEY="s", DJAODJIN_SECRET_KEY=KEY)
    app.config.update(config)

    @app.route("/me")
    def me() -> Any:
        return {"username": current_user.username, "session": dict(current_session)}

    return app


@pytest.fixture
def app() -> Flask:
    app = make_app()
    DjSession(app)
    return app


def client(app: Flask, data: Any = XIA, key: str = KEY) -> FlaskClient:
    """Return a browser with the proxy's cookie for a session, or without one for None."""
    client = app.test_client()
    if data is not None:
        client.set_cookie("sessionid", dumps(data, key))
    return client


def status(browser: FlaskClient, path: str, **options: Any) -> int:
    """Return the status of an answer, and close a file that it is read from."""
    with browser.open(path, **options) as answer:
        return answer.status_code


class TestFlaskGate:
    def test_a_session_is_the_current_session(self, app: Flask) -> None:
        assert client(app).get("/me").json == {"username": "xia", "session": XIA}

    def test_every_capture_is_read(self, capture: Capture) -> None:
        app = make_app(DJAODJIN_SECRET_KEY=capture.secret_key)
        DjSession(app)
        headers = {k[5:].replace("_", "-"): v for k, v in capture.environ.items() if "HTTP_" in k}
        answer = app.test_client(use_cookies=False).get("/me", headers=headers)
        if capture.session is None:
            assert answer.status_code == 403
        else:
            assert answer.json is not None
            assert answer.json["session"] == capture.session

    @pytest.mark.parametrize(
        "token", ["garbage", dumps(XIA, OTHER_KEY), dumps(XIA, OTHER_KEY, "jwt"), "[]", ""]
    )
    def test_requests_without_a_session_are_refused(self, token: str, app: Flask) -> None:
        for headers in ({"Cookie": f"sessionid={token}"}, {"Authorization": f"Bearer {token}"}):
            answer = app.test_client(use_cookies=False).get("/me", headers=headers)
            assert answer.status_code == 403
            assert answer.headers.getlist("Cache-Control") == ["no-store"]
            assert answer.headers.getlist("Vary") == ["Cookie, Authorization"]

    def test_a_token_counts_only_where_the_proxy_sends_it(self, app: Flask) -> None:
        browser = app.test_client(use_cookies=False)
        openssl, jwt = dumps(XIA, KEY), dumps(XIA, KEY, "jwt")
        for headers, code in (
            ({"Authorization": f"Bearer {jwt}"}, 200),
            ({"Authorization": f"Bearer {openssl}"}, 403),
            ({"Cookie": f"sessionid={jwt}"}, 200),
            ({"Cookie": f"sessionid={jwt}", "Authorization": "Bearer somebodys-api-key"}, 403),
            ({"Cookie": f"sessionid={openssl}", "Authorization": "Bearer somebodys-api-key"}, 200),
            ({"Cookie": f"sessionid={openssl}", "Authorization": "Bearer"}, 403),
        ):
            assert browser.get("/me", headers=headers).status_code == code, headers

    def test_two_different_sessions_are_refused(
        self, app: Flask, caplog: pytest.LogCaptureFixture
    ) -> None:
        browser = app.test_client(use_cookies=False)
        bearer = {"Authorization": f"Bearer {dumps(XIA, KEY, 'jwt')}"}
        same = {**bearer, "Cookie": f"sessionid={dumps(XIA, KEY)}"}
        assert browser.get("/me", headers=same).status_code == 200
        for other in (DANA, {}):
            headers = {**bearer, "Cookie": f"sessionid={dumps(other, KEY)}"}
            caplog.clear()
            assert browser.get("/me", headers=headers).status_code == 403
            assert "the request carries two different sessions" in caplog.text

    def test_a_request_that_did_not_come_from_the_proxy_is_refused(self) -> None:
        app = make_app(DJSESSION_TRUSTED_PROXIES=["10.0.0.7", "10.1.0.0/16"])
        DjSession(app)
        for peer, code in (("10.0.0.7", 200), ("10.1.2.3", 200), ("127.0.0.1", 403)):
            answer = client(app).get("/me", environ_overrides={"REMOTE_ADDR": peer})
            assert answer.status_code == code

    @pytest.mark.parametrize(
        "path", ["/me", "/nowhere", "/static/cookie-first-visit.json", "/blue/", "/me/"]
    )
    def test_nothing_of_the_application_runs_before_a_refusal(self, path: str) -> None:
        app = make_app()
        ran: list[str] = []
        blueprint = Blueprint("blue", __name__, url_prefix="/blue")

        @blueprint.route("/")
        def view() -> str:
            ran.append("view")
            return ""

        blueprint.before_request(lambda: ran.append("blueprint"))
        app.register_blueprint(blueprint)
        app.before_request(lambda: ran.append("before"))
        app.url_value_preprocessor(lambda endpoint, values: ran.append("preprocessor"))
        DjSession(app)
        app.before_request_funcs[None].insert(0, lambda: ran.append("first"))
        assert status(client(app, None), path) == 403
        assert status(client(app, None), path, method="POST") == 403
        assert ran == []
        assert status(client(app), path) in (200, 404)
        assert "before" in ran

    def test_the_refusal_is_rendered_by_the_application(self, app: Flask) -> None:
        app.register_error_handler(403, lambda error: ("our own page", 403))
        answer = client(app, None).get("/nowhere")
        assert (answer.status_code, answer.text) == (403, "our own page")

    def test_open_paths_pass_with_an_empty_session(self) -> None:
        app = make_app(DJSESSION_ALLOWED_NO_SESSION=["/me"])
        DjSession(app)
        assert client(app, None).get("/me").json == {"username": None, "session": {}}

    def test_a_visitor_of_the_proxy_passes(self, app: Flask) -> None:
        assert client(app, {}).get("/me").json == {"username": None, "session": {}}

    def test_behind_the_middleware_nothing_is_decoded_twice(
        self, app: Flask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gate = app.extensions["djsession"]
        monkeypatch.setattr(gate.codec, "try_loads", lambda token: pytest.fail("decoded again"))
        with pytest.raises(pytest.fail.Exception):
            client(app).get("/me")
        app.wsgi_app = SessionMiddleware(app.wsgi_app, secret_key=KEY)  # type: ignore[method-assign]
        assert client(app).get("/me").status_code == 200

    def test_a_refused_token_is_warned_about_once(
        self, app: Flask, caplog: pytest.LogCaptureFixture
    ) -> None:
        client(app, XIA, OTHER_KEY).get("/me")
        assert [record.levelno for record in caplog.records] == [logging.WARNING]

    def test_remote_user_is_set(self, app: Flask) -> None:
        app.add_url_rule("/remote", view_func=lambda: str(request.remote_user))
        assert client(app).get("/remote").text == "xia"
        assert client(app, {}).get("/remote", environ_base={"REMOTE_USER": "root"}).text == "None"


class TestFlaskMountPoints:
    """No header that a client can set opens a path."""

    @pytest.fixture
    def app(self) -> Flask:
        app = make_app(DJSESSION_ALLOWED_NO_SESSION=["/static/", "/docs/api", "/"])
        DjSession(app)
        for rule in ("/", "/api", "/docs/api", "/docs/me"):
            app.add_url_rule(rule, rule, lambda: f"{request.root_path}|{request.path}")
        return app

    @pytest.mark.parametrize("prefix", ["/static", "/static/", "/docs", "/", "//", "/static/%2e"])
    def test_x_forwarded_prefix_opens_nothing(self, prefix: str, app: Flask) -> None:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)  # type: ignore[method-assign]
        headers = {"X-Forwarded-Prefix": prefix}
        for path in ("/me", "/api", "/docs/me", "/nowhere"):
            assert status(client(app, None), path, headers=headers) == 403, path
        # Nor does it close what the application has opened.
        for path in ("/", "/docs/api", "/static/cookie-first-visit.json"):
            assert status(client(app, None), path, headers=headers) == 200, path
        answer = client(app).get("/api", headers=headers)
        assert answer.text == f"{prefix.rstrip('/')}|/api"

    @pytest.mark.parametrize("script_name", ["/static", "/docs", "/", "/static/../docs"])
    def test_the_script_name_of_the_server_opens_nothing(
        self, script_name: str, app: Flask
    ) -> None:
        overrides = {"SCRIPT_NAME": script_name}
        for path, code in (("/me", 403), ("/api", 403), ("/docs/api", 200)):
            answer = client(app, None).get(path, environ_overrides={**overrides, "PATH_INFO": path})
            assert answer.status_code == code, path

    def test_with_a_header_script_name_no_path_is_open(self, app: Flask) -> None:
        # gunicorn takes it for the mount point, and removes it from the path.
        headers = {"Script-Name": "/docs"}
        for path in ("/me", "/docs/api", "/"):
            assert client(app, None).get(path, headers=headers).status_code == 403
            assert client(app).get(path, headers=headers).status_code == 200


class TestFlaskSettings:
    def test_keywords_win_over_the_configuration_and_that_over_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DJAODJIN_SECRET_KEY", "environment")
        monkeypatch.setenv("DJSESSION_COOKIE_NAME", "environment")
        app = make_app(DJAODJIN_SECRET_KEY=None)
        DjSession(app)
        assert app.extensions["djsession"].settings.secret_key == ("environment",)
        app = make_app(DJSESSION_COOKIE_NAME="config")
        DjSession(app, secret_key="keyword")
        settings = app.extensions["djsession"].settings
        assert (settings.secret_key, settings.cookie_name) == (("keyword",), "config")

    def test_two_applications_keep_theirs_apart(self) -> None:
        extension = DjSession()
        one, two = make_app(), make_app(DJAODJIN_SECRET_KEY=OTHER_KEY)
        extension.init_app(one)
        extension.init_app(two)
        for app, key in ((one, KEY), (two, OTHER_KEY)):
            assert client(app, XIA, key).get("/me").status_code == 200
            other = OTHER_KEY if key == KEY else KEY
            assert client(app, XIA, other).get("/me").status_code == 403

    def test_an_application_is_not_kept_alive(self) -> None:
        extension = DjSession()
        app = make_app()
        extension.init_app(app)
        client(app).get("/me")
        reference = weakref.ref(app)
        del app
        gc.collect()
        assert reference() is None

    def test_an_application_is_freed_by_reference_counting(self) -> None:
        gc.disable()
        try:
            app = with_views(make_app())
            DjSession(app)
            # Flask itself leaves a cycle behind where a view raises or aborts.
            browser = client(app)
            for path in ("/me", "/get/cart", "/set/cart/7", "/pop/cart"):
                assert browser.get(path).status_code == 200
            del browser
            reference = weakref.ref(app)
            del app
            assert reference() is None
        finally:
            gc.enable()

    @pytest.mark.parametrize(
        ("config", "said"),
        [
            ({"DJAODJIN_SECRET_KEY": ""}, "DJAODJIN_SECRET_KEY"),
            ({"DJAODJIN_SECRET_KEY": None}, "DJAODJIN_SECRET_KEY"),
            ({"DJSESSION_COOKIE_NAMES": "x"}, "did you mean DJSESSION_COOKIE_NAME?"),
            ({"DJSESSION_ALLOWED_NO_SESSION": "/a"}, "allowed_no_session: must be a list"),
            ({"DJSESSION_ALLOWED_NO_SESSION": ["static/"]}, "must start with '/'"),
            (
                {"DJSESSION_TRUSTED_PROXIES": ["proxy.example.com"]},
                "'proxy.example.com' does not appear to be",
            ),
            ({"DJSESSION_TRUSTED_PROXIES": []}, "trusted_proxies: must not be empty"),
            (
                {"DJSESSION_MOCKUP_ALLOW_REMOTE": "yes"},
                "mockup_allow_remote: must be True or False",
            ),
            ({"DJSESSION_MOCKUP_HOSTS": "my.test"}, "mockup_hosts: must be a list of strings"),
            ({"SESSION_COOKIE_NAME": "sessionid"}, "SESSION_COOKIE_NAME"),
        ],
    )
    def test_a_wrong_setting_stops_the_application(self, config: dict[str, Any], said: str) -> None:
        with pytest.raises(ConfigurationError, match=said):
            DjSession(make_app(**config))

    @pytest.mark.parametrize(
        ("config", "explicit"),
        [
            ({"DJAODJIN_SECRET_KEY": f"'{SECRET}'"}, {}),
            ({"DJAODJIN_SECRET_KEY": [SECRET, ""]}, {}),
            ({"DJAODJIN_SECRET_KEY": SECRET, "DJSESSION_COOKIES": "x"}, {}),
            ({}, {"secret_key": f" {SECRET}"}),
            ({}, {"secret_key": SECRET, "formats": ["xml"]}),
            ({"SESSION_COOKIE_NAME": "sessionid"}, {"secret_key": SECRET}),
        ],
        ids=range(6),
    )
    def test_the_traceback_of_a_wrong_setting_does_not_show_the_key(
        self, config: dict[str, Any], explicit: dict[str, Any]
    ) -> None:
        def shown(install: Callable[[Flask], object]) -> str:
            app = Flask("shown")
            app.config.update(config)
            with pytest.raises(ConfigurationError) as caught:
                install(app)
            # The frames of this module have to hold the key.
            frames = [
                item for item in walk(caught.value) if item.tb_frame.f_code.co_filename != __file__
            ]
            assert frames
            below = caught.value.with_traceback(frames[0])
            lines = traceback.TracebackException.from_exception(below, capture_locals=True)
            return "".join(lines.format())

        for text in (
            shown(lambda app: DjSession(**explicit).init_app(app)),
            shown(lambda app: DjSession(app, **explicit)),
        ):
            assert "ConfigurationError" in text
            assert SECRET not in text

    def test_proxy_fix_beside_trusted_proxies_is_warned_about(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def make(**config: Any) -> Flask:
            app = make_app(**config)
            app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
            DjSession(app)
            return app

        make()
        assert caplog.text == ""
        app = make(DJSESSION_TRUSTED_PROXIES=["10.0.0.7"])
        assert "SessionMiddleware with trusted_proxies around ProxyFix" in caplog.text
        # An address that ProxyFix may have taken from a header never counts.
        headers = {"X-Forwarded-For": "10.0.0.7"}
        for peer in ("10.0.0.7", "192.0.2.1"):
            overrides = {"REMOTE_ADDR": peer}
            answer = client(app).get("/me", headers=headers, environ_overrides=overrides)
            assert answer.status_code == 403

    def test_installing_the_extension_twice_is_an_error(self, app: Flask) -> None:
        with pytest.raises(ConfigurationError, match="already"):
            DjSession(app)

    def test_a_session_interface_set_afterwards_is_an_error(self, app: Flask) -> None:
        app.session_interface = Flask("other").session_interface
        assert client(app).get("/me").status_code == 500
        app.testing = True
        with pytest.raises(ConfigurationError, match="initialise DjSession last"):
            client(app).get("/me")

    def test_without_the_extension_the_current_session_is_an_error(self) -> None:
        app = make_app()
        with app.test_request_context(), pytest.raises(RuntimeError, match="not installed"):
            current_session.get("username")


def walk(error: BaseException) -> Iterator[TracebackType]:
    """Yield the entries of a traceback, the outermost first."""
    entry = error.__traceback__
    while entry is not None:
        yield entry
        entry = entry.tb_next


def with_views(app: Flask) -> Flask:
    @app.route("/get/<key>")
    def get(key: str) -> Any:
        return {"value": session.get(key)}

    @app.route("/set/<key>/<value>")
    def set(key: str, value: str) -> Any:
        session[key] = value
        return ""

    @app.route("/pop/<key>")
    def pop(key: str) -> Any:
        return {"value": session.pop(key)}

    @app.route("/popitem")
    def popitem() -> Any:
        return dict([session.popitem()])

    @app.route("/clear")
    def clear() -> Any:
        session.clear()
        return ""

    @app.route("/permanent")
    def permanent() -> Any:
        session.permanent = True
        session["a"] = "b"
        return ""

    @app.route("/nested")
    def nested() -> Any:
        session.setdefault("list", []).append(1)
        session.modified = True
        return {"value": session["list"]}

    @app.route("/flash")
    def flash_view() -> Any:
        flash("hello")
        return ""

    @app.route("/flashed")
    def flashed() -> Any:
        return {"value": get_flashed_messages()}

    @app.route("/untouched")
    def untouched() -> str:
        return ""

    return app


class TestFlaskSession:
    def test_what_the_proxy_sent_is_read_and_nothing_is_set(self, app: Flask) -> None:
        answer = client(with_views(app)).get("/get/username")
        assert answer.json == {"value": "xia"}
        assert "Set-Cookie" not in answer.headers
        assert {"Cookie", "Authorization"} <= {item.strip() for item in answer.vary}

    def test_flasks_own_keys_are_not_the_proxys(self, app: Flask) -> None:
        session = {**XIA, "_flashes": 5, "_permanent": "x"}
        browser = client(with_views(app), session)
        assert browser.get("/flashed").json == {"value": []}
        assert browser.get("/get/_flashes").json == {"value": None}

    def test_a_view_that_looks_at_the_user_alone_varies_too(self, app: Flask) -> None:
        app.add_url_rule("/name", "name", lambda: str(current_user.username))
        app.add_url_rule("/roles", "roles", lambda: list(current_session.roles))
        app.add_url_rule("/manage", "manage", role_required("manager")(lambda: ""))
        for path in ("/name", "/roles", "/manage"):
            answer = client(app).get(path)
            assert answer.status_code == 200
            assert {"Cookie", "Authorization"} <= {item.strip() for item in answer.vary}, path

    def test_a_view_that_looks_at_nothing_varies_too(self, app: Flask) -> None:
        # Without a session there would have been a 403.
        answer = client(with_views(app)).get("/untouched")
        assert {"Cookie", "Authorization"} <= {item.strip() for item in answer.vary}
        assert answer.headers["Cache-Control"] == "private"

    def test_writing_a_proxied_key_is_an_error(self, app: Flask) -> None:
        browser = client(with_views(app))
        app.testing = True
        for key in ("username", "roles", "last_visited"):
            with pytest.raises(ProxiedKeyError, match=key):
                browser.get(f"/set/{key}/root")

    def test_what_the_application_writes_is_kept_in_a_cookie_of_its_own(self, app: Flask) -> None:
        browser = client(with_views(app))
        answer = browser.get("/set/cart/7")
        assert answer.headers["Set-Cookie"].startswith("session=")
        assert browser.get("/get/cart").json == {"value": "7"}
        browser.get("/clear")
        assert browser.get_cookie("session") is None
        assert browser.get("/get/cart").json == {"value": None}
        assert browser.get("/get/username").json == {"value": "xia"}

    @pytest.mark.parametrize("data", [XIA, {}], ids=["user", "visitor"])
    @pytest.mark.parametrize("path", ["/pop/cart", "/popitem"])
    def test_taking_the_last_key_out_removes_the_cookie(
        self, path: str, data: dict[str, Any], app: Flask
    ) -> None:
        browser = client(with_views(app), data)
        browser.get("/set/cart/7")
        browser.get("/set/color/red")
        browser.get("/pop/color")
        assert browser.get("/get/cart").json == {"value": "7"}
        answer = browser.get(path)
        assert answer.headers["Set-Cookie"].startswith("session=; Expires=Thu, 01 Jan 1970")
        assert browser.get_cookie("session") is None
        browser.get("/set/cart/8")
        assert browser.get("/get/cart").json == {"value": "8"}
        browser.set_cookie("sessionid", dumps(DANA, KEY))
        assert browser.get("/get/cart").json == {"value": None}

    def test_another_user_on_the_same_browser_finds_nothing(self, app: Flask) -> None:
        browser = client(with_views(app))
        browser.get("/set/cart/7")
        for other in (DANA, {}):
            browser.set_cookie("sessionid", dumps(other, KEY))
            assert browser.get("/get/cart").json == {"value": None}
        browser.set_cookie("sessionid", dumps(DANA, KEY))
        browser.get("/set/cart/8")
        browser.set_cookie("sessionid", dumps(XIA, KEY))
        assert browser.get("/get/cart").json == {"value": None}

    def test_a_local_session_says_nothing_of_the_user(self, app: Flask) -> None:
        # One that was written before djsession was there, by whoever the browser was then.
        browser = client(with_views(app), {})
        with browser.session_transaction() as local:
            local["cart"] = "7"
        serializer = app.session_interface._inner.get_signing_serializer(app)  # type: ignore[attr-defined]
        browser.set_cookie("session", serializer.dumps({"username": "root", "roles": {}}))
        assert browser.get("/get/username").json == {"value": None}

    def test_nested_changes_are_kept_when_marked(self, app: Flask) -> None:
        browser = client(with_views(app))
        assert browser.get("/nested").json == {"value": [1]}
        assert browser.get("/nested").json == {"value": [1, 1]}

    def test_flash_messages_are_shown_once(self, app: Flask) -> None:
        browser = client(with_views(app))
        browser.get("/flash")
        assert browser.get("/flashed").json == {"value": ["hello"]}
        assert browser.get("/flashed").json == {"value": []}

    def test_a_permanent_session_is_renewed_with_each_answer(self, app: Flask) -> None:
        browser = client(with_views(app))
        assert "Expires=" in browser.get("/permanent").headers["Set-Cookie"]
        assert "Expires=" in browser.get("/untouched").headers["Set-Cookie"]

    def test_without_a_secret_key_reading_works_and_writing_raises_what_flask_raises(self) -> None:
        app = with_views(make_app(SECRET_KEY=None, TESTING=True))
        DjSession(app)
        assert client(app).get("/get/username").json == {"value": "xia"}
        assert client(app).get("/get/cart").json == {"value": None}
        with pytest.raises(RuntimeError, match="secret key"):
            client(app).get("/set/cart/7")

    def test_the_test_client_changes_the_local_session(self, app: Flask) -> None:
        browser = client(with_views(app))
        with browser.session_transaction() as local:
            local["cart"] = "7"
        assert browser.get("/get/cart").json == {"value": "7"}

    def test_flask_wtf_protects_forms(self) -> None:
        flask_wtf = pytest.importorskip("flask_wtf")
        app = make_app()
        flask_wtf.CSRFProtect(app)
        DjSession(app)
        app.add_url_rule("/token", view_func=flask_wtf.csrf.generate_csrf)
        app.add_url_rule("/post", view_func=lambda: "posted", methods=["POST"])
        browser = client(app)
        token = browser.get("/token").text
        assert browser.post("/post").status_code == 400
        assert browser.post("/post", data={"csrf_token": token}).text == "posted"
        # Another user's token is no good.
        browser.set_cookie("sessionid", dumps(DANA, KEY))
        assert browser.post("/post", data={"csrf_token": token}).status_code == 400


def with_responses(app: Flask) -> Flask:
    """Add a view for every kind of response."""
    DjSession(app)
    path = ROOT / "tests/captures/cookie-first-visit.json"
    app.register_error_handler(418, lambda error: (f"handled: {error}", 418))

    def stream() -> Iterator[str]:
        yield "one"
        yield "two"

    views: dict[str, Callable[[], Any]] = {
        "text": lambda: "text",
        "redirect": lambda: redirect("/text"),
        "abort": lambda: abort(418),
        "abort-403": lambda: abort(403),
        "abort-with-response": lambda: abort(Response("gone", 410)),
        "raise": lambda: 1 / 0,
        "stream": lambda: Response(stream()),
        "file": lambda: send_file(path, max_age=60),
        "conditional": lambda: send_file(path, conditional=True, etag="x"),
        "no-store": lambda: Response("", headers={"Cache-Control": "no-store"}),
        "public": lambda: Response("", headers={"Cache-Control": "public, max-age=60"}),
        "languages": lambda: Response("", headers={"Vary": "Accept-Language"}),
        "read": lambda: str(session.get("cart")),
        "write": lambda: session.update(cart=1) or "",
        "contains": lambda: str("cart" in session),
        "flashed": lambda: str(get_flashed_messages()),
        "read-and-abort": lambda: abort(418 if session.get("cart") is None else 404),
    }
    for name, view in views.items():
        app.add_url_rule(f"/{name}", name, view)
    return app


RESPONSES = [
    # Path, request headers, status, Cache-Control for a signed-in user and for a visitor.
    ("/text", {}, 200, "private", None),
    ("/nowhere", {}, 404, "private", None),
    ("/me", {"X-HTTP-Method": "PUT"}, 405, "private", None),
    ("/redirect", {}, 302, "private", None),
    ("/abort", {}, 418, "private", None),
    ("/abort-403", {}, 403, "private", None),
    ("/abort-with-response", {}, 410, "private", None),
    ("/raise", {}, 500, "private", None),
    ("/stream", {}, 200, "private", None),
    ("/file", {}, 200, "public, max-age=60", "public, max-age=60"),
    ("/conditional", {}, 200, "no-cache, private", "no-cache"),
    ("/conditional", {"If-None-Match": '"x"'}, 304, "no-cache, private", "no-cache"),
    ("/conditional", {"Range": "bytes=0-3"}, 206, "no-cache, private", "no-cache"),
    ("/static/cookie-first-visit.json", {}, 200, "no-cache, private", "no-cache"),
    ("/static/nowhere", {}, 404, "private", None),
    ("/no-store", {}, 200, "no-store", "no-store"),
    ("/public", {}, 200, "public, max-age=60", "public, max-age=60"),
    ("/read", {}, 200, "private", "private"),
    ("/write", {}, 200, "private", "private"),
    ("/contains", {}, 200, "private", "private"),
    ("/flashed", {}, 200, "private", "private"),
    ("/read-and-abort", {}, 418, "private", "private"),
]


class TestFlaskCaching:
    """What a shared cache in front of the application learns from each kind of response."""

    @pytest.mark.parametrize(("path", "headers", "status", "signed_in", "visitor"), RESPONSES)
    def test_every_kind_of_response_has_the_caching_headers(
        self,
        path: str,
        headers: dict[str, str],
        status: int,
        signed_in: str,
        visitor: str | None,
    ) -> None:
        entries = [path, path.partition("/nowhere")[0] or path]
        app = with_responses(make_app(DJSESSION_ALLOWED_NO_SESSION=entries))
        method = headers.get("X-HTTP-Method", "GET")
        for data, expected in ((XIA, signed_in), (None, visitor)):
            answer = client(app, data).open(path, method=method, headers=headers)
            assert answer.status_code == status
            assert answer.headers.getlist("Cache-Control") == ([expected] if expected else [])
            vary = [] if (expected or "").startswith("public") else ["Cookie, Authorization"]
            assert answer.headers.getlist("Vary") == vary
            answer.close()

    def test_other_values_of_vary_are_kept(self) -> None:
        app = with_responses(make_app())
        answer = client(app).get("/languages")
        assert answer.headers.getlist("Vary") == ["Accept-Language, Cookie, Authorization"]

    def test_a_visitor_of_the_proxy_has_a_session(self) -> None:
        answer = client(with_responses(make_app()), {}).get("/text")
        assert answer.headers["Cache-Control"] == "private"

    def test_a_cookie_that_is_renewed_is_private(self) -> None:
        app = with_responses(make_app(DJSESSION_ALLOWED_NO_SESSION=["/permanent", "/text"]))
        app.add_url_rule("/permanent", "permanent", with_permanent)
        browser = client(app, None)
        browser.get("/permanent")
        # The view does not touch it, and Flask sends the cookie again.
        answer = browser.get("/text")
        assert "Set-Cookie" in answer.headers
        assert answer.headers["Cache-Control"] == "private"

    def test_a_stream_that_may_read_the_local_session_later_is_private(self) -> None:
        app = with_responses(make_app(DJSESSION_ALLOWED_NO_SESSION=["/write", "/later", "/text"]))

        def later() -> Response:
            return Response(stream_with_context(str(session.get("cart")) for _ in range(1)))

        app.add_url_rule("/later", "later", later)
        browser = client(app, None)
        assert "Cache-Control" not in browser.get("/later").headers
        browser.get("/write")
        answer = browser.get("/later")
        assert answer.text == "1"
        assert answer.headers["Cache-Control"] == "private"
        assert answer.headers["Vary"] == "Cookie, Authorization"
        assert "Cache-Control" not in browser.get("/text").headers

    @pytest.mark.parametrize("stage", ["after_request", "blueprint", "after_this_request", "store"])
    def test_an_error_page_that_flask_could_not_finish_has_the_caching_headers(
        self, stage: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = with_responses(make_app(DJSESSION_ALLOWED_NO_SESSION=["/text", "/read", "/raise"]))
        blueprint = Blueprint("blue", __name__)

        def fail(response: Response) -> Response:
            raise ValueError

        def fail_to_save(*arguments: Any) -> None:
            raise ConnectionError

        if stage == "blueprint":
            blueprint.after_app_request(fail)
            app.register_blueprint(blueprint)
        elif stage == "after_request":
            app.after_request(fail)
        elif stage == "after_this_request":
            app.before_request(lambda: after_this_request(fail) and None)
        else:
            monkeypatch.setattr(SecureCookieSessionInterface, "save_session", fail_to_save)
        paths = ["/read"] if stage == "store" else ["/text", "/read", "/raise", "/nowhere"]
        for path in paths:
            for data in (XIA, None):
                answer = client(app, data).get(path)
                is_refused = path == "/nowhere" and data is None
                if is_refused and stage == "after_this_request":
                    continue  # The refusal comes before the function that would register it.
                assert answer.status_code == 500
                expected = ["no-store"] if is_refused else ["private"]
                if data is None and path in ("/text", "/raise"):
                    expected = []
                assert answer.headers.getlist("Cache-Control") == expected, path
                assert answer.headers.getlist("Vary") == ["Cookie, Authorization"], path

    def test_a_refusal_is_no_store_whatever_renders_it(self) -> None:
        app = with_responses(make_app())

        @app.errorhandler(403)
        def page(error: Exception) -> Response:
            headers = {"Cache-Control": "public, max-age=60", "Vary": "Accept"}
            return Response("our own page", 403, headers)

        for path in ("/text", "/nowhere", "/static/cookie-first-visit.json"):
            answer = client(app, None).get(path)
            assert (answer.status_code, answer.text) == (403, "our own page")
            assert answer.headers.getlist("Cache-Control") == ["no-store"]
            assert answer.headers.getlist("Vary") == ["Cookie, Authorization"]


def with_permanent() -> str:
    session.permanent = True
    session["a"] = "b"
    return ""


class TestFlaskUser:
    def test_current_user_is_what_flask_login_expects(self, app: Flask) -> None:
        with app.test_request_context(headers={"Cookie": f"sessionid={dumps(XIA, KEY)}"}):
            assert current_user.username == current_user.get_id() == "xia"
            assert current_user.is_authenticated
            assert current_user.is_active
            assert not current_user.is_anonymous
            assert current_user.session == XIA
            assert "xia" not in repr(current_user._get_current_object())  # type: ignore[attr-defined]
        with app.test_request_context(headers={"Cookie": f"sessionid={dumps({}, KEY)}"}):
            assert current_user.get_id() is None
            assert current_user.is_anonymous
            assert not current_user.is_authenticated
            assert not current_user.is_active

    def test_flask_login_knows_the_user(self, app: Flask) -> None:
        flask_login = pytest.importorskip("flask_login")
        manager = flask_login.LoginManager(app)
        DjSession.init_login_manager(manager)

        @app.route("/private")
        @flask_login.login_required  # type: ignore[untyped-decorator]
        def private() -> str:
            return str(flask_login.current_user.username)

        answer = client(app).get("/private")
        assert answer.text == "xia"
        assert "Set-Cookie" not in answer.headers
        assert client(app, {}).get("/private").status_code == 401

    @pytest.mark.parametrize("protection", ["basic", "strong"])
    def test_flask_logins_session_protection_does_not_refuse_the_user(
        self, protection: str
    ) -> None:
        flask_login = pytest.importorskip("flask_login")
        app = with_views(make_app(SESSION_PROTECTION=protection))
        DjSession(app)
        DjSession.init_login_manager(flask_login.LoginManager(app))
        app.add_url_rule(
            "/private",
            view_func=flask_login.login_required(lambda: str(flask_login.current_user.username)),
        )
        browser = client(app)
        for agent in ("one", "another"):
            answer = browser.get("/private", headers={"User-Agent": agent})
            assert (answer.status_code, answer.text) == (200, "xia")
            # Nor does it with a local session, which it would compare with the browser.
            browser.get("/set/cart/7")
        assert browser.get("/get/cart").json == {"value": "7"}
        assert client(app, {}).get("/private").status_code == 401

    def test_flask_login_needs_no_secret_key(self) -> None:
        flask_login = pytest.importorskip("flask_login")
        app = make_app(SECRET_KEY=None)
        DjSession(app)
        DjSession.init_login_manager(flask_login.LoginManager(app))
        app.add_url_rule("/who", view_func=lambda: str(flask_login.current_user.is_authenticated))
        assert client(app).get("/who").text == "True"
        assert client(app, {}).get("/who").text == "False"

    @pytest.mark.parametrize("protection", ["basic", "strong", None])
    @pytest.mark.parametrize("source", ["remember", "junk", "session"])
    def test_flask_login_finds_a_user_nowhere_else(
        self, source: str, protection: str | None
    ) -> None:
        flask_login = pytest.importorskip("flask_login")
        app = make_app(DJSESSION_ALLOWED_NO_SESSION=["/who"], SESSION_PROTECTION=protection)
        manager = flask_login.LoginManager(app)

        class Local:
            username = "mallory"
            is_authenticated = is_active = True
            is_anonymous = False

        # As it was before the application had the proxy.
        manager.user_loader(lambda id: Local())
        app.add_url_rule(
            "/who", view_func=lambda: str(getattr(flask_login.current_user, "username", None))
        )
        DjSession(app)
        DjSession.init_login_manager(manager)
        with app.app_context():
            remembered = flask_login.encode_cookie("mallory")
        for data, expected in ((XIA, "xia"), ({}, "None"), (None, "None")):
            browser = client(app, data)
            if source == "session":
                local: Any
                with browser.session_transaction() as local:
                    local.update({"_user_id": "mallory", "_fresh": True, "_id": "x"})
                    local.permanent = True
            else:
                value = remembered if source == "remember" else "junk"
                browser.set_cookie("remember_token", value)
            for _ in range(2):
                answer = browser.get("/who")
                assert (answer.status_code, answer.text) == (200, expected)

    def test_templates_have_current_user_and_current_session(self, app: Flask) -> None:
        from flask import render_template_string

        text = "{{ current_user.username }} {{ current_session.managed_accounts[0] }}"
        app.add_url_rule("/page", view_func=lambda: render_template_string(text))
        assert client(app).get("/page").text == "xia xia"


class TestFlaskDecorators:
    @pytest.fixture
    def app(self) -> Flask:
        app = make_app()
        DjSession(app)

        @app.route("/any")
        @role_required("manager")
        def any_manager() -> str:
            return "yes"

        @app.route("/of/<slug>")
        @role_required("manager", "contributor", account="slug")
        def of(slug: str) -> str:
            return slug

        @app.route("/wrong/<slug>")
        @role_required("manager", account="account")
        def wrong(slug: str) -> str:
            return slug

        @app.route("/plan")
        @plan_required("basic", "other")
        def plan() -> str:
            return "yes"

        @app.route("/none")
        @plan_required("other")
        def none() -> str:
            return "yes"

        return app

    @pytest.mark.parametrize(
        ("path", "session", "code"),
        [
            ("/any", XIA, 200),
            ("/any", DANA, 403),
            ("/any", {}, 403),
            ("/of/xia", XIA, 200),
            ("/of/cowork", XIA, 403),
            ("/of/cowork", DANA, 200),
            ("/of/cowork", {}, 403),
            ("/plan", XIA, 200),
            ("/plan", DANA, 403),
            ("/plan", {}, 403),
            ("/none", XIA, 403),
            ("/wrong/xia", XIA, 500),
        ],
    )
    def test_decorators_allow_users_with_the_role_or_plan_only(
        self, path: str, session: Any, code: int, app: Flask
    ) -> None:
        assert client(app, session).get(path).status_code == code

    def test_the_log_says_what_a_view_requires(
        self, app: Flask, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "djsession")
        client(app, XIA).get("/of/xia")
        client(app, XIA).get("/of/co%0Awork?token=a")
        client(app, {}).post("/any")
        client(app, {}).get("/none")
        assert caplog.messages == [
            "GET /of/co\\nwork refused: the view requires the role manager or contributor in the"
            " organization of its argument slug, but the user does not have it",
            "GET /none refused: the view requires the plan other for any organization, but nobody"
            " is signed in",
        ]

    def test_async_views_are_decorated_too(self, app: Flask) -> None:
        @app.route("/async")
        @role_required("manager")
        async def view() -> Response:
            return Response("yes")

        assert client(app).get("/async").text == "yes"
        assert client(app, DANA).get("/async").status_code == 403

    def test_decorators_without_a_role_or_plan_are_an_error(self) -> None:
        for decorator in (role_required, plan_required):
            with pytest.raises(ConfigurationError):
                decorator()
            with pytest.raises(ConfigurationError):
                decorator(lambda: "the parentheses were forgotten")  # type: ignore[arg-type]


class TestFlaskMockups:
    def make(self, tmp_path: Path, debug: bool, text: str = "xia: {}\n", **config: Any) -> Flask:
        path = tmp_path / "sessions.yaml"
        path.write_text(text)
        app = make_app(DEBUG=debug, DJSESSION_ALLOWED_NO_SESSION=["/static/"], **config)
        DjSession(app, mockup=path)
        return app

    def test_in_debug_mode_one_can_sign_in(self, tmp_path: Path) -> None:
        browser = self.make(tmp_path, True).test_client()
        html = {"Accept": "text/html"}
        assert browser.get("/me", headers=html).headers["Location"] == "/login/?next=%2Fme"
        assert browser.get("/me").status_code == 403
        answer = browser.post("/login/", data={"user": "xia", "next": "/me"})
        assert answer.status_code == 303
        found: Any = browser.get("/me").json
        assert found["session"].pop("exp") > time.time()
        assert found == {"username": "xia", "session": {"username": "xia"}}
        assert browser.get("/logout/").status_code == 303
        assert browser.get("/me").status_code == 403

    def test_the_inspector_lists_the_requests_of_the_application(self, tmp_path: Path) -> None:
        browser = self.make(tmp_path, True).test_client()
        browser.get("/first")
        browser.post("/login/", data={"user": "xia"})
        browser.get("/me")
        page = browser.get("/djsession/").text
        listed = re.findall("<code>(/.*?)</code>.*?<span>(.*?)</span>", page)
        assert listed == [("/me", "200"), ("/first", "403")]

    def test_mockups_answer_this_machine_only(self, tmp_path: Path) -> None:
        app = self.make(tmp_path, True)
        for overrides in (
            {"REMOTE_ADDR": "192.0.2.1"},
            {"SERVER_PROTOCOL": "HTTP/1.0"},
            {"HTTP_HOST": "example.com"},
            {"HTTP_X_FORWARDED_FOR": "192.0.2.1"},
        ):
            for path in ("/login/", "/me"):
                answer = client(app).get(path, environ_overrides=overrides)
                assert answer.status_code == 403, overrides

    def test_a_setting_lets_other_machines_in_with_a_key(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        app = self.make(tmp_path, True, DJSESSION_MOCKUP_ALLOW_REMOTE=True)
        remote = {"REMOTE_ADDR": "192.0.2.1", "HTTP_HOST": "example.com"}
        browser = app.test_client()
        assert browser.get("/login/", environ_overrides=remote).status_code == 403
        [key] = re.findall(r"/login/\?key=(\S+)", capsys.readouterr().err)
        answer = browser.get(f"/login/?key={key}", environ_overrides=remote, follow_redirects=True)
        assert "xia" in answer.text
        del remote["HTTP_HOST"]  # which the cookie of the client is not for
        assert client(app).get("/me", environ_overrides=remote).status_code == 200

    def test_a_setting_names_further_hosts(self, tmp_path: Path) -> None:
        def login(app: Flask, host: str) -> int:
            overrides = {"HTTP_HOST": host, "HTTP_ORIGIN": f"http://{host}"}
            return client(app).get("/login/", environ_overrides=overrides).status_code

        app = self.make(tmp_path, True, DJSESSION_MOCKUP_HOSTS=["my.test", "10.0.0.7"])
        for host, code in (("my.test:5000", 200), ("10.0.0.7", 200), ("other.test", 403)):
            assert login(app, host) == code, host
        remote = {"REMOTE_ADDR": "10.0.0.7", "HTTP_HOST": "my.test"}
        assert client(app).get("/login/", environ_overrides=remote).status_code == 403
        assert login(self.make(tmp_path, True), "my.test") == 403

    def test_the_environment_has_the_settings_of_mockups(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "sessions.yaml").write_text("xia: {}\n")
        monkeypatch.setenv("DJSESSION_MOCKUP", str(tmp_path / "sessions.yaml"))
        monkeypatch.setenv("DJSESSION_MOCKUP_HOSTS", "my.test,other.test")
        app = make_app(DEBUG=True)
        DjSession(app)
        for host, code in (("other.test", 200), ("third.test", 403)):
            answer = client(app).get("/login/", environ_overrides={"HTTP_HOST": host})
            assert answer.status_code == code

    def test_mockups_answer_in_place_of_the_applications_own_pages(self, tmp_path: Path) -> None:
        app = self.make(tmp_path, True)
        for path in ("/login", "/login/", "/logout"):
            app.add_url_rule(path, path, lambda: "our own")
        for is_debug in (True, False):
            app.debug = is_debug
            for path in ("/login", "/login/", "/logout"):
                assert (client(app).get(path).text == "our own") is not is_debug

    def test_without_debug_mode_there_is_no_login_page(self, tmp_path: Path) -> None:
        app = self.make(tmp_path, False)
        for path in ("/login/", "/api/auth", "/me"):
            assert app.test_client().get(path).status_code == 403
            assert client(app).get("/login/").status_code == 404

    def test_debug_mode_may_be_switched_on_later(self, tmp_path: Path) -> None:
        app = self.make(tmp_path, False)
        app.debug = True
        assert app.test_client().get("/login/").status_code == 200
        app.debug = False
        assert app.test_client().get("/login/").status_code == 403

    def test_mistakes_in_the_file_show_at_start_up(self, tmp_path: Path) -> None:
        with pytest.raises(MockupError, match="expected a session"):
            self.make(tmp_path, True, "xia: 1\n")
        self.make(tmp_path, False, "xia: 1\n")


class TestFlaskCommands:
    def test_encrypt_and_decrypt_use_the_key_of_the_application(self, app: Flask) -> None:
        run = app.test_cli_runner().invoke
        token = run(args=["djsession", "encrypt"], input=json.dumps(XIA)).output.strip()
        assert loads(token, KEY) == XIA
        jwt = run(args=["djsession", "encrypt", "--format", "jwt"], input="{}").output.strip()
        assert loads(jwt, KEY).username is None
        assert json.loads(run(args=["djsession", "decrypt", token]).output) == XIA
        header = f"Cookie: sessionid={token}"
        assert json.loads(run(args=["djsession", "decrypt"], input=header).output) == XIA

    def test_a_refused_token_is_exit_code_1(self, app: Flask) -> None:
        run = app.test_cli_runner().invoke
        for command, token in (("decrypt", dumps(XIA, OTHER_KEY, "jwt")), ("decrypt", "")):
            result = run(args=["djsession", command, token])
            assert result.exit_code == 1
            assert "Error: " in result.output
        assert run(args=["djsession", "encrypt"], input="[]").exit_code == 1

    def test_the_doctor_command_says_why_a_token_is_refused(self, app: Flask) -> None:
        run = app.test_cli_runner().invoke
        result = run(args=["djsession", "doctor", dumps(XIA, OTHER_KEY, "jwt")])
        assert result.exit_code == 1
        assert "signature    FAILED" in result.output
        assert "differs from the key at the proxy" in " ".join(result.output.split())
        result = run(args=["djsession", "doctor", dumps(XIA, KEY)])
        assert result.exit_code == 0
        assert "The session decodes." in result.output
        assert KEY not in result.output
        assert run(args=["djsession", "doctor", " "]).exit_code == 1

    def test_the_commands_run_by_the_flask_command(self) -> None:
        result = subprocess.run(
            [sys.executable, *FLASK, "examples.flask_app", "djsession", "encrypt"],
            input="{}",
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=environment(DJAODJIN_SECRET_KEY=KEY),
            check=True,
        )
        assert loads(result.stdout.strip(), KEY) == {}


@pytest.mark.server
class TestFlaskRunPrintsTheLoginUrl:
    """``flask run`` prints where to sign in."""

    PRINTED = re.compile(r"Sign in at (\S+) as one of: (.*)")

    @pytest.fixture
    def site(self, tmp_path: Path) -> Path:
        (tmp_path / "sessions.yaml").write_text("xia: {}\ndana: {}\n")
        (tmp_path / "site_app.py").write_text(
            "from flask import Flask\n"
            "from djsession.flask import DjSession\n"
            "app = Flask(__name__)\n"
            "DjSession(app, mockup='sessions.yaml')\n"
        )
        return tmp_path

    @contextmanager
    def run(self, site: Path, *options: str, **variables: Any) -> Iterator[tuple[int, Path]]:
        log = site / "server.log"
        command = (sys.executable, *FLASK, "site_app", "run", "--port={port}", *options)
        variables.setdefault("DJAODJIN_SECRET_KEY", KEY)
        with running_server(command, log, cwd=site, **variables) as port:
            http(port)
            yield port, log

    def reload(self, site: Path, log: Path) -> None:
        source = site / "site_app.py"
        source.write_text(source.read_text() + "# changed\n")
        deadline = time.monotonic() + 60
        while log.read_text().count("Debugger is active") < 2 and time.monotonic() < deadline:
            time.sleep(0.1)

    def test_the_url_is_printed_once_whatever_the_reloader_does(self, site: Path) -> None:
        with self.run(site, "--debug") as (port, log):
            self.reload(site, log)
            assert http(port, "/login/")[0] == 200
            expected = [(f"http://127.0.0.1:{port}/login/", "xia, dana")]
            assert self.PRINTED.findall(log.read_text()) == expected

    def test_the_url_has_the_key_of_the_process_that_answers(self, site: Path) -> None:
        with self.run(site, "--debug", DJSESSION_MOCKUP_ALLOW_REMOTE="true") as (port, log):
            for expected in (1, 2):
                urls = [url for url, _ in self.PRINTED.findall(log.read_text())]
                assert len(urls) == expected
                address, key = urls[-1].split("?key=")
                assert address == f"http://127.0.0.1:{port}/login/"
                assert http(port, f"/login/?key={key}")[0] == 303
                if expected == 1:
                    self.reload(site, log)
                    http(port)

    def test_the_url_has_the_key_where_there_is_no_reloader(self, site: Path) -> None:
        options = ("--debug", "--no-reload")
        with self.run(site, *options, DJSESSION_MOCKUP_ALLOW_REMOTE="true") as (port, log):
            printed = log.read_text()
            [(url, _)] = self.PRINTED.findall(printed)
            assert printed.count("?key=") == 1
            assert http(port, url.removeprefix(f"http://127.0.0.1:{port}"))[0] == 303

    def test_the_url_is_printed_in_debug_mode_only(self, site: Path) -> None:
        with self.run(site) as (port, log):
            assert http(port, "/login/")[0] == 403
            assert self.PRINTED.findall(log.read_text()) == []

    @pytest.mark.parametrize(
        ("options", "address"),
        [
            ({"host": "0.0.0.0"}, "http://localhost:5000/login/"),
            ({"host": "::"}, "http://localhost:5000/login/"),
            ({"host": "::1"}, "http://[::1]:5000/login/"),
            ({"host": "my.test", "cert": "adhoc", "port": 80}, "https://my.test:80/login/"),
            ({"port": 0}, "/login/"),
            ({"host": "unix:///tmp/site.sock"}, "/login/"),
        ],
    )
    def test_the_url_follows_the_options(
        self, options: dict[str, Any], address: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        mockups = MockupApp(None, {"xia": {}}, secret_key=KEY)
        options = {"host": "127.0.0.1", "port": 5000, "cert": None, "reload": None, **options}
        print_login_address(options, mockups, has_key=False)
        assert self.PRINTED.findall(capsys.readouterr().err) == [(address, "xia")]

    @pytest.mark.parametrize("debug", ["--debug", "--no-debug"])
    def test_other_commands_of_flask_print_no_url(self, debug: str, site: Path) -> None:
        result = subprocess.run(
            [sys.executable, *FLASK, "site_app", debug, "routes"],
            capture_output=True,
            text=True,
            cwd=site,
            env=environment(DJAODJIN_SECRET_KEY=KEY, DJSESSION_MOCKUP_ALLOW_REMOTE="true"),
            check=True,
        )
        assert "static" in result.stdout
        assert "login" not in result.stdout + result.stderr


@pytest.mark.server
class TestFlaskExample:
    APP = "examples.flask_app:create_app()"

    def test_gunicorn_answers_each_captured_request(self, serve: Serve, tmp_path: Path) -> None:
        lines = "from examples.flask_app import create_app\napplication = create_app()\n"
        for username, page in replay_captures(serve, tmp_path, lines, SECRET_KEY="s"):
            assert f"<h1>Hello, {username}</h1>" in page

    def test_the_example_refuses_without_a_session_and_keeps_visits_apart(
        self, serve: Callable[..., int]
    ) -> None:
        port = serve(*GUNICORN, self.APP, DJAODJIN_SECRET_KEY=KEY, SECRET_KEY="s")
        assert http(port, "/")[0] == 403
        assert http(port, "/nowhere")[0] == 403
        assert http(port, "/about")[2] == b"open to anyone"
        # The mockups are only for debug mode.
        assert http(port, "/login/")[0] == 403
        cookie = f"sessionid={dumps(XIA, KEY)}"
        _, headers, body = http(port, "/", Cookie=cookie)
        assert b"1 times" in body
        local = headers["set-cookie"].partition(";")[0]
        assert b"2 times" in http(port, "/", Cookie=f"{cookie}; {local}")[2]
        other = f"sessionid={dumps(DANA, KEY)}; {local}"
        assert b"1 times" in http(port, "/", Cookie=other)[2]
        assert http(port, "/manage/xia", Cookie=cookie)[2] == b"xia manages xia"
        assert http(port, "/manage/cowork", Cookie=cookie)[0] == 403
        assert http(port, "/course", Cookie=cookie)[0] == 200
        assert http(port, "/course", Cookie=other)[0] == 403
