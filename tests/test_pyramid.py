from __future__ import annotations

import gc
import logging
import re
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

pytest.importorskip("pyramid")
pytest.importorskip("webtest")

from pyramid.authentication import CallbackAuthenticationPolicy
from pyramid.authorization import ACLAuthorizationPolicy, Allow, Authenticated, Everyone
from pyramid.config import Configurator
from pyramid.exceptions import ConfigurationConflictError
from pyramid.httpexceptions import HTTPFound, HTTPGone, HTTPNotFound
from pyramid.interfaces import ISecurityPolicy, ISession
from pyramid.paster import get_app
from pyramid.request import Request
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory
from pyramid.tweens import EXCVIEW
from webtest import TestApp
from zope.interface.verify import verifyObject

from djsession import ConfigurationError, Session, SessionMiddleware, dumps
from djsession.errors import MockupError, ProxiedKeyError
from djsession.local_session import MergedSession
from djsession.pyramid import PyramidSession, SecurityPolicy
from djsession.requirements import principals_of
from tests.helpers.commands import ROOT
from tests.helpers.servers import GUNICORN, Serve, free_port, http, post_form, replay_captures
from tests.helpers.sessions import KEY, OTHER_KEY, XIA, Capture

SECRET = "s3cret-of-the-site"
DANA = {"username": "dana", "roles": {"contributor": [{"slug": "cowork"}]}}

Configure = Callable[[Configurator], None]


def me(request: Request) -> Any:
    return {"username": request.authenticated_userid, "session": request.djsession}


def make_app(configure: Configure | None = None, /, **settings: Any) -> Any:
    """Return a test client at an application with a view of every kind that the tests need."""
    return TestApp(make_wsgi_app(configure, **settings))


def make_wsgi_app(configure: Configure | None = None, /, **settings: Any) -> Any:
    settings = {"djsession.secret_key": KEY, "djsession.local_secret": "s", **settings}
    config = Configurator(settings={k: v for k, v in settings.items() if v is not None})
    config.include("djsession.pyramid")
    config.add_route("me", "/me")
    config.add_view(me, route_name="me", renderer="json")
    config.add_static_view("static", str(ROOT / "tests/captures"))

    def view(name: str, function: Callable[[Request], Any]) -> None:
        config.add_route(name, f"/{name}/{{key}}")
        config.add_view(
            lambda request: {"value": function(request)}, route_name=name, renderer="json"
        )

    view("get", lambda request: request.session.get(request.matchdict["key"]))
    view("set", lambda request: request.session.update({request.matchdict["key"]: "7"}))
    view("flash", lambda request: request.session.flash(request.matchdict["key"]))
    view("peek", lambda request: request.session.peek_flash())
    view("pop", lambda request: request.session.pop_flash())
    view("csrf", lambda request: request.session.get_csrf_token())
    view("newcsrf", lambda request: request.session.new_csrf_token())
    view("invalidate", lambda request: request.session.invalidate())
    view("nothing", lambda request: None)
    if configure is not None:
        configure(config)
    return config.make_wsgi_app()


def cookie(session: Any = XIA, key: str = KEY) -> dict[str, str]:
    return {"Cookie": f"sessionid={dumps(session, key)}"}


class Browser:
    """A client that keeps the cookie of the local session, signed in as the test says."""

    def __init__(self, app: Any) -> None:
        self.app, self.local, self.session = app, "", XIA

    def get(self, path: str) -> Any:
        headers = cookie(self.session)
        if self.local:
            headers["Cookie"] += f"; {self.local}"
        self.answer = self.app.get(path, headers=headers)
        # The test client's own jar stays out of it.
        self.app.reset()
        if "Set-Cookie" in self.answer.headers:
            self.local = self.answer.headers["Set-Cookie"].partition(";")[0]
        return self.answer.json["value"]


class TestPyramidGate:
    def test_a_session_is_request_djsession(self) -> None:
        assert make_app().get("/me", headers=cookie()).json == {"username": "xia", "session": XIA}

    @pytest.mark.parametrize("root", ["/secret", "/", "", "/\xff"])
    def test_no_header_moves_an_open_path(self, root: str) -> None:
        def traversal(config: Configurator) -> None:
            config.set_root_factory(lambda request: {"secret": {}})
            config.add_view(lambda request: Response("seen"), context=dict)

        app = make_app(traversal, **{"djsession.allowed_no_session": "/"})
        assert app.get("/").text == "seen"
        # What Pyramid puts in front of the path that it traverses.
        headers = {"X-Vhm-Root": root}
        assert app.get("/", headers=headers, expect_errors=True).status_code == 403
        if root.isascii():
            assert app.get("/", headers={**headers, **cookie()}).text == "seen"

    def test_every_capture_is_read(self, capture: Capture) -> None:
        app = make_app(**{"djsession.secret_key": capture.secret_key})
        headers = {
            name[5:].replace("_", "-"): value
            for name, value in capture.environ.items()
            if name.startswith("HTTP_")
        }
        answer = app.get("/me", headers=headers, expect_errors=True)
        assert answer.status_code == (403 if capture.session is None else 200)
        if capture.session is not None:
            assert answer.json["session"] == capture.session

    @pytest.mark.parametrize(
        "path", ["/me", "/nowhere", "/static/cookie-first-visit.json", "/get/a", "/"]
    )
    @pytest.mark.parametrize("token", ["", "garbage", dumps(XIA, OTHER_KEY)])
    def test_requests_without_a_session_are_refused_before_routing(
        self, path: str, token: str
    ) -> None:
        ran = []

        def watching(config: Configurator) -> None:
            config.add_subscriber(lambda event: ran.append(event), "pyramid.events.BeforeTraversal")
            config.add_subscriber(lambda event: ran.append(event), "pyramid.events.ContextFound")

        app = make_app(watching)
        headers = {"Cookie": f"sessionid={token}"} if token else {}
        answer = app.get(path, headers=headers, status=403)
        assert answer.headers.getall("Cache-Control") == ["no-store"]
        assert answer.headers.getall("Vary") == ["Cookie, Authorization"]
        assert ran == []

    def test_the_refusal_is_rendered_by_the_application(self) -> None:
        def with_a_page(config: Configurator) -> None:
            def forbidden(request: Request) -> Response:
                assert request.djsession == {}
                assert request.identity is None
                request.session.get("anything")
                return Response("our own page", 403)

            config.add_forbidden_view(forbidden)

        assert make_app(with_a_page).get("/nowhere", status=403).text == "our own page"

    def test_a_token_counts_only_where_the_proxy_sends_it(self) -> None:
        app = make_app()
        openssl, jwt = dumps(XIA, KEY), dumps(XIA, KEY, "jwt")
        for headers, code in (
            ({"Authorization": f"Bearer {jwt}"}, 200),
            ({"Authorization": f"Bearer {openssl}"}, 403),
            ({"Cookie": f"sessionid={jwt}", "Authorization": "Bearer somebodys-api-key"}, 403),
            ({"Cookie": f"sessionid={openssl}", "Authorization": "Bearer somebodys-api-key"}, 200),
            ({"Cookie": f"sessionid={openssl}", "Authorization": "Bearer"}, 403),
            ({"Cookie": f"sessionid={openssl}", "Authorization": f"Bearer {jwt}"}, 200),
            (
                {"Cookie": f"sessionid={dumps(DANA, KEY)}", "Authorization": f"Bearer {jwt}"},
                403,
            ),
        ):
            assert app.get("/me", headers=headers, expect_errors=True).status_code == code, headers

    def test_a_request_that_did_not_come_from_the_proxy_is_refused(self) -> None:
        app = make_app(**{"djsession.trusted_proxies": "10.0.0.7\n 10.1.0.0/16"})
        for peer, code in (("10.0.0.7", 200), ("10.1.2.3", 200), ("127.0.0.1", 403)):
            app.get("/me", headers=cookie(), extra_environ={"REMOTE_ADDR": peer}, status=code)

    @pytest.mark.parametrize("script_name", ["/static", "/docs", "/static/../docs", "/"])
    def test_the_script_name_of_the_server_opens_nothing(self, script_name: str) -> None:
        app = make_wsgi_app(**{"djsession.allowed_no_session": "/static/ /docs/me"})

        def status(path: str, **environ: str) -> int:
            # The test client would take the mount point from the path.
            request = Request.blank(path, {**environ, "PATH_INFO": path})
            response = request.get_response(app)
            assert response.body
            return int(response.status_code)

        captured = "/static/cookie-first-visit.json"
        assert status("/me", SCRIPT_NAME=script_name) == 403
        assert status(captured, SCRIPT_NAME=script_name) == 200
        # gunicorn takes this header for the mount point, and removes it from the path.
        assert status(captured, HTTP_SCRIPT_NAME="/docs") == 403
        assert status("/me", HTTP_SCRIPT_NAME="/docs", HTTP_COOKIE=cookie()["Cookie"]) == 200

    def test_open_paths_pass_with_an_empty_session(self) -> None:
        app = make_app(**{"djsession.allowed_no_session": "/static/\n  /me"})
        assert app.get("/me").json == {"username": None, "session": {}}
        assert app.get("/static/cookie-first-visit.json").json["proxy"]
        app.get("/get/a", status=403)

    def test_a_visitor_of_the_proxy_passes(self) -> None:
        answer = make_app().get("/me", headers=cookie({}))
        assert answer.json == {"username": None, "session": {}}

    def test_behind_the_middleware_nothing_is_decoded_twice(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = make_wsgi_app()
        gate = app.registry["djsession.state"].gate
        monkeypatch.setattr(gate.codec, "try_loads", lambda token: pytest.fail("decoded again"))
        with pytest.raises(pytest.fail.Exception):
            TestApp(app).get("/me", headers=cookie())
        stacked = TestApp(SessionMiddleware(app, secret_key=KEY))
        assert stacked.get("/me", headers=cookie()).json["username"] == "xia"

    def test_a_refused_token_is_warned_about_once(self, caplog: pytest.LogCaptureFixture) -> None:
        make_app().get("/me", headers=cookie(XIA, OTHER_KEY), status=403)
        assert [item.levelno for item in caplog.records if item.name == "djsession"] == [
            logging.WARNING
        ]

    def test_explicit_tweens_with_the_gate_work(self) -> None:
        tweens = "pyramid.tweens.excview_tween_factory\ndjsession.pyramid.tween_factory"
        app = make_app(**{"pyramid.tweens": tweens})
        assert app.get("/me", headers=cookie()).json["username"] == "xia"
        app.get("/me", status=403)

    def test_explicit_tweens_without_the_gate_do_not_start(self) -> None:
        with pytest.raises(ConfigurationError, match="does not contain"):
            make_app(**{"pyramid.tweens": "pyramid.tweens.excview_tween_factory"})

    @pytest.mark.parametrize("name", ["authenticated_userid", "session"])
    @pytest.mark.parametrize("over", [EXCVIEW, "djsession.pyramid.tween_factory"])
    def test_a_tween_before_the_gate_may_ask_who_is_there(self, name: str, over: str) -> None:
        def with_a_tween(config: Configurator) -> None:
            config.registry["tests.asks"] = name
            config.add_tween("tests.test_pyramid.asking_tween_factory", over=over)

        app = make_app(with_a_tween)
        answer = app.get("/me", headers=cookie())
        assert answer.json["username"] == "xia"
        assert answer.headers.getall("Cache-Control") == ["private"]
        assert answer.headers.getall("Vary") == ["Cookie, Authorization"]
        answer = app.get("/me", status=403)
        assert answer.headers.getall("Cache-Control") == ["no-store"]


def with_subrequests(config: Configurator) -> None:
    """Add views that answer with the response to a subrequest to the path in ``to``."""

    def answer(request: Request) -> Response:
        if request.matchdict["how"] == "blank":
            subrequest = Request.blank(request.params["to"])
        else:
            subrequest = request.copy_get()
            subrequest.path_info = request.params["to"]
        use_tweens = "tweens" in request.params
        return request.invoke_subrequest(subrequest, use_tweens=use_tweens)

    config.add_route("subrequest", "/subrequest/{how}")
    config.add_view(answer, route_name="subrequest")


class TestPyramidSubrequests:
    def test_a_new_request_has_no_session(self) -> None:
        app = make_app(with_subrequests)
        answer = app.get("/subrequest/blank?to=/me", headers=cookie())
        assert answer.json == {"username": None, "session": {}}

    def test_with_tweens_the_gate_decides_about_it(self) -> None:
        app = make_app(with_subrequests, **{"djsession.allowed_no_session": "/get"})
        answer = app.get("/subrequest/blank?to=/me&tweens", headers=cookie(), status=403)
        assert answer.headers["Cache-Control"] == "no-store"
        answer = app.get("/subrequest/blank?to=/get/username&tweens", headers=cookie())
        assert answer.json == {"value": None}

    @pytest.mark.parametrize("tweens", ["", "&tweens"])
    @pytest.mark.parametrize("trusted", [None, "10.0.0.7"])
    def test_a_copy_of_the_request_has_its_session(self, tweens: str, trusted: str | None) -> None:
        app = make_app(with_subrequests, **{"djsession.trusted_proxies": trusted})
        app.extra_environ["REMOTE_ADDR"] = "10.0.0.7"
        answer = app.get(f"/subrequest/copy?to=/me{tweens}", headers=cookie())
        assert answer.json == {"username": "xia", "session": XIA}
        assert answer.headers.getall("Cache-Control") == ["private"]
        assert answer.headers.getall("Vary") == ["Cookie, Authorization"]

    @pytest.mark.parametrize("tweens", ["", "&tweens"])
    def test_what_a_visitors_copy_reads_of_the_local_session_makes_its_response_private(
        self, tweens: str
    ) -> None:
        app = make_app(with_subrequests, **{"djsession.allowed_no_session": "/subrequest /get"})
        answer = app.get(f"/subrequest/copy?to=/get/cart{tweens}")
        assert answer.headers.getall("Cache-Control") == ["private"]

    @pytest.mark.parametrize("tweens", ["", "&tweens"])
    def test_what_a_copy_writes_is_kept(self, tweens: str) -> None:
        browser = Browser(make_app(with_subrequests))
        browser.get(f"/subrequest/copy?to=/set/cart{tweens}")
        assert browser.get("/get/cart") == "7"

    @pytest.mark.parametrize("use_tweens", [False, True])
    def test_a_copy_of_a_refused_request_stores_nothing(self, use_tweens: bool) -> None:
        def with_a_page(config: Configurator) -> None:
            def page(request: Request) -> Response:
                subrequest = request.copy_get()
                subrequest.path_info = "/set/cart"
                return request.invoke_subrequest(subrequest, use_tweens=use_tweens)

            config.add_forbidden_view(page)

        app = make_app(with_a_page, **{"djsession.allowed_no_session": "/set"})
        answer = app.get("/me")
        assert answer.json == {"value": None}
        assert "Set-Cookie" not in answer.headers
        assert answer.headers.getall("Cache-Control") == ["no-store"]


RESPONSES = [
    # Path, request headers, status, Cache-Control for a signed-in user and for a visitor.
    ("/text", {}, 200, "private", None),
    ("/nowhere", {}, 404, "private", None),
    ("/raise-not-found", {}, 404, "private", None),
    ("/raise-response", {}, 410, "private", None),
    ("/redirect", {}, 302, "private", None),
    ("/raise-redirect", {}, 302, "private", None),
    ("/error", {}, 500, "private", None),
    ("/etag", {}, 200, "private", None),
    ("/etag", {"If-None-Match": '"x"'}, 304, "private", None),
    ("/stream", {}, 200, "private", None),
    ("/static/cookie-first-visit.json", {}, 200, "private", None),
    ("/static/nowhere", {}, 404, "private", None),
    ("/aged/cookie-first-visit.json", {}, 200, "max-age=60, private", "max-age=60"),
    ("/no-store", {}, 200, "no-store", "no-store"),
    ("/public", {}, 200, "public, max-age=60", "public, max-age=60"),
    ("/read", {}, 200, "private", "private"),
    ("/write", {}, 200, "private", "private"),
    ("/peek", {}, 200, "private", "private"),
    ("/read-and-raise", {}, 404, "private", "private"),
]


def asking_tween_factory(handler: Any, registry: Any) -> Any:
    """A tween of the application that looks at the session before the gate has decided."""

    def tween(request: Request) -> Any:
        found = getattr(request, registry["tests.asks"])
        if isinstance(found, PyramidSession):
            found.get("cart")
        return handler(request)

    return tween


def raising_tween_factory(handler: Any, registry: Any) -> Any:
    """A tween of the application that raises before the tween of djsession has run."""

    def tween(request: Request) -> Any:
        raise LookupError

    return tween


def with_responses(config: Configurator) -> None:
    """Add a view for every kind of response."""

    def raising(response: Any) -> Any:
        raise response

    def read_and_raise(request: Request) -> Any:
        request.session.get("cart")
        raise HTTPNotFound

    def etag(request: Request) -> Response:
        response = Response("text", conditional_response=True)
        response.etag = "x"
        return response

    views: dict[str, Callable[[Request], Any]] = {
        "text": lambda request: Response("text"),
        "raise-not-found": lambda request: raising(HTTPNotFound()),
        "raise-response": lambda request: raising(HTTPGone()),
        "redirect": lambda request: HTTPFound("/text"),
        "raise-redirect": lambda request: raising(HTTPFound("/text")),
        "error": lambda request: 1 / 0,
        "etag": etag,
        "stream": lambda request: Response(app_iter=iter([b"one", b"two"])),
        "no-store": lambda request: Response(headerlist=[("Cache-Control", "no-store")]),
        "public": lambda request: Response(headerlist=[("Cache-Control", "public, max-age=60")]),
        "languages": lambda request: Response(headerlist=[("Vary", "Accept-Language")]),
        "read": lambda request: Response(str(request.session.get("cart"))),
        "write": lambda request: Response(str(request.session.update(cart=1))),
        "peek": lambda request: Response(str(request.session.peek_flash())),
        "read-and-raise": read_and_raise,
    }
    for name, view in views.items():
        route = f"responses-{name}"
        config.add_route(route, f"/{name}")
        config.add_view(view, route_name=route)
    config.add_static_view("aged", str(ROOT / "tests/captures"), cache_max_age=60)
    # As applications render their own pages of errors.
    config.add_exception_view(lambda request: Response("oh", 500), context=Exception)


class TestPyramidCaching:
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
        app = make_app(with_responses, **{"djsession.allowed_no_session": path})
        for session, expected in ((XIA, signed_in), (None, visitor)):
            app.reset()
            sent = {**headers, **(cookie(session) if session else {})}
            answer = app.get(path, headers=sent, status=status)
            assert answer.headers.getall("Cache-Control") == ([expected] if expected else [])
            vary = [] if "public" in (expected or "") else ["Cookie, Authorization"]
            assert answer.headers.getall("Vary") == vary

    def test_other_values_of_vary_are_kept(self) -> None:
        answer = make_app(with_responses).get("/languages", headers=cookie())
        assert answer.headers.getall("Vary") == ["Accept-Language, Cookie, Authorization"]

    def test_a_visitor_of_the_proxy_has_a_session(self) -> None:
        answer = make_app(with_responses).get("/text", headers=cookie({}))
        assert answer.headers["Cache-Control"] == "private"

    def test_a_session_of_the_applications_own_factory_counts_as_touched(self) -> None:
        def with_factory(config: Configurator) -> None:
            with_responses(config)
            config.set_session_factory(SignedCookieSessionFactory("t", cookie_name="own"))

        app = make_app(with_factory, **{"djsession.allowed_no_session": "/read /text"})
        assert app.get("/read").headers["Cache-Control"] == "private"
        app.reset()
        assert "Cache-Control" not in app.get("/text").headers

    @pytest.mark.parametrize(
        "use",
        [
            lambda request: request.session.update(cart=1),
            lambda request: request.session.get("cart"),
        ],
        ids=["write", "read"],
    )
    def test_a_callback_of_a_view_touches_the_session(self, use: Callable[[Request], Any]) -> None:
        def view(request: Request) -> Response:
            request.add_response_callback(lambda request, response: use(request))
            return Response("text")

        def with_a_callback(config: Configurator) -> None:
            config.add_route("callback", "/callback")
            config.add_view(view, route_name="callback")

        answer = make_app(with_a_callback, **{"djsession.allowed_no_session": "/callback"}).get(
            "/callback"
        )
        assert answer.headers.getall("Cache-Control") == ["private"]
        assert answer.headers.getall("Vary") == ["Cookie, Authorization"]

    @pytest.mark.parametrize("name", ["djsession", "authenticated_userid", "session"])
    def test_an_exception_view_answers_for_a_tween_before_the_gate(self, name: str) -> None:
        def page(request: Request) -> Response:
            found = getattr(request, name)
            return Response(found if isinstance(found, str) else str(found.get("username")), 500)

        def with_a_tween(config: Configurator) -> None:
            config.add_tween(
                "tests.test_pyramid.raising_tween_factory",
                over="djsession.pyramid.tween_factory",
                under=EXCVIEW,
            )
            config.add_exception_view(page, context=LookupError)

        answer = make_app(with_a_tween).get("/me", headers=cookie(), status=500)
        assert answer.text == "xia"
        assert answer.headers.getall("Cache-Control") == ["private"]
        assert answer.headers.getall("Vary") == ["Cookie, Authorization"]

    def test_a_refusal_is_no_store_whatever_renders_it(self) -> None:
        def with_a_page(config: Configurator) -> None:
            def page(request: Request) -> Response:
                response = Response("our own page", 403)
                response.headers.update({"Cache-Control": "public, max-age=60", "Vary": "Accept"})
                return response

            config.add_forbidden_view(page)

        app = make_app(with_a_page)
        for path in ("/me", "/nowhere", "/static/cookie-first-visit.json"):
            answer = app.get(path, status=403)
            assert answer.text == "our own page"
            assert answer.headers.getall("Cache-Control") == ["no-store"]
            assert answer.headers.getall("Vary") == ["Cookie, Authorization"]


def walk(error: BaseException) -> Iterator[TracebackType]:
    """Yield the entries of a traceback, the outermost first."""
    entry = error.__traceback__
    while entry is not None:
        yield entry
        entry = entry.tb_next


class TestPyramidSettings:
    def test_lists_in_ini_files_are_split_as_pyramid_does(self) -> None:
        keys = f"{OTHER_KEY}\n   {KEY}"
        app = make_app(**{"djsession.secret_key": keys, "djsession.max_token_size": "1000"})
        for key in (KEY, OTHER_KEY):
            assert app.get("/me", headers=cookie(XIA, key)).json["username"] == "xia"
        # A list may also be on one line, as elsewhere in an ini file.
        app = make_app(**{"djsession.secret_key": keys, "djsession.formats": "jwt openssl"})
        assert app.get("/me", headers=cookie()).json["username"] == "xia"
        app = make_app(**{"djsession.secret_key": keys, "djsession.max_token_size": "1000"})
        app.get("/me", headers=cookie({**XIA, "bio": "x" * 900}), status=403)

    def test_the_environment_fills_in_missing_settings(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DJAODJIN_SECRET_KEY", OTHER_KEY)
        app = make_app(**{"djsession.secret_key": None})
        app.get("/me", headers=cookie(XIA, OTHER_KEY))
        app = make_app()
        app.get("/me", headers=cookie())
        app.get("/me", headers=cookie(XIA, OTHER_KEY), status=403)

    def test_the_directive_wins_over_the_ini_file(self) -> None:
        app = make_app(lambda config: config.add_djsession(secret_key=OTHER_KEY))
        app.get("/me", headers=cookie(XIA, OTHER_KEY))
        app.get("/me", headers=cookie(), status=403)

    def test_two_add_djsession_directives_conflict(self) -> None:
        def twice(config: Configurator) -> None:
            for key in (KEY, OTHER_KEY):
                config.add_djsession(secret_key=key)

        with pytest.raises(ConfigurationConflictError):
            make_app(twice)

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"djsession.secret_key": None}, "DJAODJIN_SECRET_KEY"),
            ({"djsession.secret_key": ""}, "DJAODJIN_SECRET_KEY"),
            ({"djsession.secret_key": f'"{KEY}"'}, "quote or white space"),
            ({"djsession.max_token_size": "64K"}, "max_token_size"),
            ({"djsession.cookie": "x"}, "unknown setting djsession.cookie"),
            ({"djsession.allowed_no_session": "static"}, "must start with '/'"),
            ({"djsession.local_session_factory": "nowhere.at_all"}, "local_session_factory"),
            ({"djsession.local_session_factory": "sys.path"}, "local_session_factory"),
            ({"djsession.local_cookie_name": "sessionid"}, "local_cookie_name"),
            ({"djsession.trusted_proxies": "proxy.example.com"}, "does not appear to be an"),
            ({"djsession.trusted_proxies": ""}, "trusted_proxies: must not be empty"),
            ({"djsession.formats": "openssl, jwt"}, "formats: must be a list"),
            ({"djsession.mockup_allow_remote": "maybe"}, "mockup_allow_remote: must be true"),
            ({"djsession.local_cookie_secure": "maybe"}, "local_cookie_secure: must be true"),
            ({"djsession.local_cookie_samesite": "strict"}, 'must be "Lax", "Strict" or "None"'),
            ({"djsession.local_cookie_samesite": "None"}, "set local_cookie_secure = true"),
        ],
    )
    def test_a_wrong_setting_stops_the_application(
        self, settings: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=said):
            make_app(**settings)

    def test_two_applications_keep_theirs_apart(self) -> None:
        one, two = make_app(), make_app(**{"djsession.secret_key": OTHER_KEY})
        for app, key in ((one, KEY), (two, OTHER_KEY)):
            app.get("/me", headers=cookie(XIA, key))
            app.get("/me", headers=cookie(XIA, OTHER_KEY if key == KEY else KEY), status=403)

    def test_a_key_with_a_doubled_percent_sign_is_explained(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        make_app(**{"djsession.secret_key": "a%%b"})
        assert "A '%' must be doubled in an ini file, but nowhere else" in caplog.text
        caplog.clear()
        make_app(**{"djsession.secret_key": "a%b"})
        assert caplog.text == ""

    @pytest.mark.parametrize(
        ("settings", "options"),
        [
            ({"djsession.secret_key": f'"{SECRET}"'}, {}),
            ({"djsession.secret_key": SECRET, "djsession.cookie": "x"}, {}),
            ({"djsession.secret_key": SECRET, "djsession.max_token_size": "64K"}, {}),
            ({"djsession.secret_key": SECRET, "djsession.local_session_factory": "no.where"}, {}),
            ({"djsession.secret_key": SECRET, "djsession.local_cookie_name": "sessionid"}, {}),
            ({}, {"secret_key": f" {SECRET}"}),
            ({}, {"secret_key": SECRET, "formats": ["xml"]}),
            ({}, {"secret_key": "x", "local_secret": SECRET, "cookies": "x"}),
        ],
        ids=range(8),
    )
    def test_the_traceback_of_a_wrong_setting_does_not_show_the_key(
        self, settings: dict[str, str], options: dict[str, Any]
    ) -> None:
        config = Configurator(settings=settings)
        with pytest.raises(ConfigurationError) as caught:
            start(config, options)
        text = frames_below(caught.value)
        assert "ConfigurationError" in text
        assert SECRET not in text
        # Not even the package's own frames, where Pyramid's are between them.
        assert caught.value.__cause__ is caught.value.__context__ is None


def start(config: Configurator, options: dict[str, Any]) -> Any:
    config.include("djsession.pyramid")
    if options:
        config.add_djsession(**options)
    return config.make_wsgi_app()


def frames_below(error: BaseException) -> str:
    """Return the traceback as an error reporter shows it, without the frames of this module."""
    frames = [item for item in walk(error) if item.tb_frame.f_code.co_filename != __file__]
    assert frames
    below = error.with_traceback(frames[0])
    lines = traceback.TracebackException.from_exception(below, capture_locals=True).format()
    return "".join(lines)


def own_policy(config: Configurator) -> None:
    class Own(SecurityPolicy):
        def authenticated_userid(self, request: Request) -> str | None:
            return "theirs"

        def permits(self, request: Request, context: Any, permission: str) -> bool:
            return permission == "theirs"

    config.set_security_policy(Own())


def own_legacy_policies(config: Configurator) -> None:
    class Own(CallbackAuthenticationPolicy):  # type: ignore[misc]
        def unauthenticated_userid(self, request: Request) -> str:
            return "theirs"

    config.set_authorization_policy(ACLAuthorizationPolicy())
    config.set_authentication_policy(Own())


def own_session_factory(config: Configurator) -> None:
    config.set_session_factory(SignedCookieSessionFactory("t", cookie_name="own"))


Install = Callable[[Configurator, Configure], None]


def after(config: Configurator, own: Configure) -> None:
    config.include("djsession.pyramid")
    own(config)


def before(config: Configurator, own: Configure) -> None:
    own(config)
    config.include("djsession.pyramid")


def committed_before(config: Configurator, own: Configure) -> None:
    own(config)
    config.commit()
    config.include("djsession.pyramid")


def included_after(config: Configurator, own: Configure) -> None:
    config.include("djsession.pyramid")
    config.include(own)


def included_before(config: Configurator, own: Configure) -> None:
    config.include(own)
    config.include("djsession.pyramid")


# How an application installs its own policies and factories, and djsession.
INSTALLATIONS = [after, before, committed_before, included_after, included_before]


class TestPyramidSession:
    def test_request_session_is_an_isession(self) -> None:
        request = Request.blank("/")
        request.registry = make_wsgi_app().registry
        session = PyramidSession(Session(XIA), request)
        assert verifyObject(ISession, session)
        assert session.new is True
        assert session.created == session.local.created <= time.time()
        assert isinstance(session, MergedSession)

    def test_a_request_that_reads_it_is_freed_at_once(self) -> None:
        requests: list[weakref.ref[Any]] = []

        def reading(config: Configurator) -> None:
            def read(request: Request) -> Response:
                requests.append(weakref.ref(request))
                return Response(request.session["username"])

            config.add_route("read", "/read")
            config.add_view(read, route_name="read")

        app = make_wsgi_app(reading)
        environ = Request.blank("/read", headers=cookie()).environ
        gc.disable()
        try:
            app(environ, lambda status, headers, exc_info=None: None)
            [request] = requests
            assert request() is None
        finally:
            gc.enable()

    def test_what_the_proxy_sent_is_read_and_nothing_is_set(self) -> None:
        answer = make_app().get("/get/username", headers=cookie())
        assert answer.json == {"value": "xia"}
        assert "Set-Cookie" not in answer.headers
        answer = make_app().get("/get/nothing", headers=cookie())
        assert answer.json == {"value": None}
        assert "Set-Cookie" not in answer.headers

    @pytest.mark.parametrize("key", ["username", "roles", "site"])
    def test_writing_a_proxied_key_is_an_error(self, key: str) -> None:
        with pytest.raises(ProxiedKeyError, match=key):
            make_app().get(f"/set/{key}", headers=cookie())

    def test_what_the_application_writes_is_kept_in_a_cookie_of_its_own(self) -> None:
        browser = Browser(make_app())
        browser.get("/set/cart")
        assert browser.local.startswith("djsession_local=")
        assert "HttpOnly" in browser.answer.headers["Set-Cookie"]
        assert browser.get("/get/cart") == "7"
        browser.get("/invalidate/x")
        assert browser.get("/get/cart") is None
        assert browser.get("/get/username") == "xia"

    @pytest.mark.parametrize(
        ("settings", "attributes"),
        [
            ({}, {"samesite=lax"}),
            ({"local_cookie_secure": "true"}, {"secure", "samesite=lax"}),
            ({"local_cookie_samesite": "Strict"}, {"samesite=strict"}),
            (
                {"local_cookie_samesite": "None", "local_cookie_secure": "true"},
                {"secure", "samesite=none"},
            ),
        ],
    )
    def test_settings_restrict_where_the_cookie_goes(
        self, settings: dict[str, str], attributes: set[str]
    ) -> None:
        browser = Browser(
            make_app(**{f"djsession.{name}": value for name, value in settings.items()})
        )
        browser.get("/set/cart")
        sent = browser.answer.headers["Set-Cookie"].lower().split("; ")
        assert set(sent[1:]) - {"path=/", "httponly"} == attributes
        assert browser.get("/get/cart") == "7"

    def test_another_user_on_the_same_browser_finds_nothing(self) -> None:
        browser = Browser(make_app())
        browser.get("/set/cart")
        browser.get("/flash/hello")
        token = browser.get("/csrf/x")
        kept = browser.local
        for other in (DANA, {}):
            browser.local, browser.session = kept, other
            assert browser.get("/get/cart") is None
            browser.local = kept
            assert browser.get("/peek/x") == []
            browser.local = kept
            assert browser.get("/csrf/x") != token
        browser.local, browser.session = kept, XIA
        assert browser.get("/get/cart") == "7"
        assert browser.get("/csrf/x") == token

    def test_flash_queues_work(self) -> None:
        browser = Browser(make_app())
        browser.get("/flash/one")
        browser.get("/flash/two")
        assert browser.get("/peek/x") == ["one", "two"]
        assert browser.get("/pop/x") == ["one", "two"]
        assert browser.get("/pop/x") == []

    def test_csrf_tokens_work(self) -> None:
        browser = Browser(make_app())
        token = browser.get("/csrf/x")
        assert browser.get("/csrf/x") == token
        assert browser.get("/newcsrf/x") != token

    def test_nested_changes_are_kept_when_marked(self) -> None:
        def nested(config: Configurator) -> None:
            def append(request: Request) -> Any:
                request.session.setdefault("list", []).append(1)
                request.session.changed()
                return {"value": request.session["list"]}

            config.add_route("nested", "/nested")
            config.add_view(append, route_name="nested", renderer="json")

        browser = Browser(make_app(nested))
        assert browser.get("/nested") == [1]
        assert browser.get("/nested") == [1, 1]

    @pytest.mark.parametrize("path", ["/set/a", "/flash/a", "/csrf/a", "/newcsrf/a"])
    def test_without_a_secret_a_write_names_the_setting(self, path: str) -> None:
        app = make_app(**{"djsession.local_secret": None})
        for session in (XIA, {}):
            with pytest.raises(ConfigurationError, match=r"djsession\.local_secret"):
                app.get(path, headers=cookie(session))

    def test_without_a_secret_reading_works(self) -> None:
        app = make_app(**{"djsession.local_secret": None})
        for path, value in (
            ("/get/username", "xia"),
            ("/get/cart", None),
            ("/peek/x", []),
            ("/pop/x", []),
            ("/invalidate/x", None),
        ):
            assert app.get(path, headers=cookie()).json == {"value": value}

    def test_the_application_may_name_a_factory(self) -> None:
        stores: list[Any] = []

        def factory(request: Request) -> Any:
            stores.append(SignedCookieSessionFactory("t", cookie_name="named")(request))
            return stores[-1]

        app = make_app(lambda config: config.add_djsession(local_session_factory=factory))
        app.get("/get/username", headers=cookie())
        assert stores == []
        answer = app.get("/set/cart", headers=cookie())
        assert answer.headers["Set-Cookie"].startswith("named=")
        assert stores[-1]["cart"] == "7"

    @pytest.mark.parametrize("install", INSTALLATIONS)
    def test_an_own_session_factory_wins(self, install: Install) -> None:
        config = Configurator(settings={"djsession.secret_key": KEY})
        install(config, own_session_factory)
        config.add_route("set", "/set")
        config.add_view(
            lambda request: Response(str(request.session.update(username="7"))), route_name="set"
        )
        answer = TestApp(config.make_wsgi_app()).get("/set", headers=cookie())
        assert answer.headers["Set-Cookie"].startswith("own=")


class Root:
    __acl__ = (
        (Allow, "theirs", "theirs"),
        (Allow, "manager:xia", "manage"),
        (Allow, "role:contributor", "contribute"),
        (Allow, "plan:basic", "learn"),
        (Allow, "dana", "be dana"),
        (Allow, Authenticated, "enter"),
        (Allow, Everyone, "look"),
    )

    def __init__(self, request: Request) -> None:
        pass


PERMISSIONS = ["manage", "contribute", "learn", "be dana", "enter", "look"]


class TestPyramidSecurity:
    def test_the_policy_is_a_security_policy(self) -> None:
        assert verifyObject(ISecurityPolicy, SecurityPolicy())

    @pytest.mark.parametrize(
        ("session", "allowed"),
        [
            (XIA, ["manage", "learn", "enter", "look"]),
            (DANA, ["contribute", "be dana", "enter", "look"]),
            ({}, ["look"]),
        ],
    )
    @pytest.mark.parametrize("traversal", [False, True])
    def test_permissions_follow_roles_plans_and_names(
        self, session: Any, allowed: list[str], traversal: bool
    ) -> None:
        def permitted(config: Configurator) -> None:
            if traversal:
                config.set_root_factory(Root)
            for number, permission in enumerate(PERMISSIONS):
                name = f"p{number}"
                if not traversal:
                    config.add_route(name, f"/{name}", factory=Root)
                config.add_view(
                    lambda request: Response("yes"),
                    permission=permission,
                    **({"name": name} if traversal else {"route_name": name}),
                )

        app = make_app(permitted)
        answers = [
            app.get(f"/p{number}", headers=cookie(session), expect_errors=True).status_code
            for number in range(len(PERMISSIONS))
        ]
        assert answers == [200 if item in allowed else 403 for item in PERMISSIONS]

    def test_the_principals_of_a_user(self) -> None:
        assert principals_of(Session(XIA)) == [
            "system.Everyone",
            "system.Authenticated",
            "xia",
            "role:manager",
            "manager:xia",
            "plan:basic",
        ]
        assert principals_of(Session()) == ["system.Everyone"]
        # Roles of a session without a user are nobody's.
        assert principals_of(Session(roles=XIA["roles"])) == ["system.Everyone"]

    @pytest.mark.parametrize(
        "username", ["role:manager", "manager:xia", "plan:basic", "system.Everyone", "system.x"]
    )
    def test_no_username_is_taken_for_another_principal(self, username: str) -> None:
        assert principals_of(Session(username=username)) == [Everyone, Authenticated]

    def test_no_role_or_slug_is_taken_for_another_principal(self) -> None:
        session = Session(
            username="x",
            roles={
                "role": [{"slug": "manager"}],
                "plan": [{"slug": "basic"}],
                "manager:xia": [{"slug": "y"}],
                "empty": [],
            },
        )
        assert principals_of(session)[2:] == ["x", "role:role", "role:plan"]

    def test_identity_and_userid_are_those_of_the_session(self) -> None:
        seen: list[Any] = []

        def looking(config: Configurator) -> None:
            def look(request: Request) -> Response:
                seen.append((request.identity, request.authenticated_userid))
                return Response("")

            config.add_route("look", "/look")
            config.add_view(look, route_name="look")

        app = make_app(looking)
        app.get("/look", headers=cookie())
        app.get("/look", headers=cookie({}))
        assert seen == [(XIA, "xia"), (None, None)]
        assert type(seen[0][0]) is Session

    @pytest.mark.parametrize("own", [own_policy, own_legacy_policies])
    @pytest.mark.parametrize("install", INSTALLATIONS)
    @pytest.mark.filterwarnings("ignore:Authentication and authorization policies")
    def test_an_own_policy_wins(self, install: Install, own: Configure) -> None:
        config = Configurator(settings={"djsession.secret_key": KEY})
        install(config, own)
        config.add_route("me", "/me")
        config.add_view(me, route_name="me", renderer="json")
        for permission in ("theirs", "manage"):
            config.add_route(permission, f"/{permission}", factory=Root)
            config.add_view(
                lambda request: Response("yes"), route_name=permission, permission=permission
            )
        app = TestApp(config.make_wsgi_app())
        assert app.get("/me", headers=cookie()).json == {"username": "theirs", "session": XIA}
        assert app.get("/theirs", headers=cookie()).text == "yes"
        # xia may do this, by the policy that is installed otherwise.
        app.get("/manage", headers=cookie(), status=403)

    def test_without_an_own_policy_it_is_the_proxys_at_once(self) -> None:
        # Where each call takes effect when it is made, views have to be secured as well.
        config = Configurator(settings={"djsession.secret_key": KEY}, autocommit=True)
        config.include("djsession.pyramid")
        config.add_route("manage", "/manage", factory=Root)
        config.add_view(lambda request: Response(""), route_name="manage", permission="manage")
        app = TestApp(config.make_wsgi_app())
        app.get("/manage", headers=cookie(), status=200)
        app.get("/manage", headers=cookie(DANA), status=403)

    @pytest.mark.parametrize(
        ("predicate", "session", "code"),
        [
            ({"djsession_role": "manager"}, XIA, 200),
            ({"djsession_role": "manager"}, DANA, 404),
            ({"djsession_role": ["manager", "contributor"]}, DANA, 200),
            ({"djsession_role": "manager"}, {}, 404),
            ({"djsession_plan": "basic"}, XIA, 200),
            ({"djsession_plan": ["other", "basic"]}, XIA, 200),
            ({"djsession_plan": "other"}, XIA, 404),
            ({"djsession_plan": "basic"}, {}, 404),
            ({"djsession_plan": "basic", "djsession_role": "contributor"}, XIA, 404),
        ],
    )
    def test_view_predicates_require_roles_and_plans(
        self, predicate: dict[str, Any], session: Any, code: int
    ) -> None:
        def viewed(config: Configurator) -> None:
            config.add_route("view", "/view")
            config.add_view(lambda request: Response("yes"), route_name="view", **predicate)

        make_app(viewed).get("/view", headers=cookie(session), status=code)

    @pytest.mark.parametrize("value", ["", [], [1], [""]])
    @pytest.mark.parametrize("predicate", ["djsession_role", "djsession_plan"])
    def test_a_predicate_without_a_role_or_plan_is_an_error(
        self, predicate: str, value: Any
    ) -> None:
        def viewed(config: Configurator) -> None:
            config.add_route("view", "/view")
            config.add_view(lambda request: None, route_name="view", **{predicate: value})

        with pytest.raises(Exception, match=f"{predicate} takes a name"):
            make_app(viewed)


LOCAL = {"REMOTE_ADDR": "127.0.0.1", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost"}


class TestPyramidMockups:
    def make(
        self,
        tmp_path: Path,
        text: str = "xia: {}\n",
        /,
        switch: str | None = "pyramid.reload_templates",
        **settings: Any,
    ) -> Any:
        """Return a client on this machine."""
        path = tmp_path / "sessions.yaml"
        path.write_text(text)
        if switch is not None:
            settings[switch] = "true"
        app = make_app(**{"djsession.mockup": str(path), **settings})
        app.extra_environ.update(LOCAL)
        return app

    def test_one_can_sign_in_at_the_mockup_login(self, tmp_path: Path) -> None:
        app = self.make(tmp_path)
        answer = app.get("/me", headers={"Accept": "text/html"}, status=303)
        assert answer.headers["Location"].endswith("/login/?next=%2Fme")
        app.get("/me", status=403)
        page = app.get("/login/")
        assert "xia" in page
        assert "style-src 'sha256-" in page.headers["Content-Security-Policy"]
        answer = app.post("/login/", {"user": "xia", "next": "/me"}, status=303)
        token = answer.headers["Set-Cookie"].partition(";")[0]
        found = app.get("/me", headers={"Cookie": token}).json
        assert found["session"].pop("exp") > time.time()
        assert found == {"username": "xia", "session": {"username": "xia"}}

    def test_the_inspector_lists_the_requests_of_the_application(self, tmp_path: Path) -> None:
        app = self.make(tmp_path)
        app.get("/first", status=403)
        app.get("/me", headers=cookie())
        page = app.get("/djsession/").text
        listed = re.findall("<code>(/.*?)</code>.*?<span>(.*?)</span>", page)
        assert listed == [("/me", "200"), ("/first", "403")]

    @pytest.mark.parametrize(
        "environ",
        [
            {"HTTP_HOST": "example.com"},
            {"REMOTE_ADDR": "192.0.2.1"},
            {"SERVER_PROTOCOL": "HTTP/1.0"},
            {"HTTP_X_FORWARDED_FOR": "192.0.2.1"},
        ],
    )
    def test_mockups_answer_this_machine_only(
        self, environ: dict[str, str], tmp_path: Path
    ) -> None:
        app = self.make(tmp_path)
        for path in ("/login/", "/me"):
            app.get(path, headers=cookie(), status=[200])
            app.get(path, headers=cookie(), extra_environ={**LOCAL, **environ}, status=403)

    def test_a_setting_adds_host_names(self, tmp_path: Path) -> None:
        hosts = "dev.example.com\n  192.0.2.7"
        app = self.make(tmp_path, **{"djsession.mockup_hosts": hosts})
        for host, status in (
            ("dev.example.com", 200),
            ("192.0.2.7:8000", 200),
            ("localhost", 200),
            ("example.com", 403),
        ):
            app.get("/login/", extra_environ={**LOCAL, "HTTP_HOST": host}, status=status)
        # Other machines stay outside.
        remote = {"REMOTE_ADDR": "192.0.2.7", "HTTP_HOST": "dev.example.com"}
        app.get("/login/", extra_environ={**LOCAL, **remote}, status=403)

    def test_a_setting_lets_other_machines_in_with_a_key(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        app = self.make(tmp_path, **{"djsession.mockup_allow_remote": "true"})
        [key] = re.findall(r"/login/\?key=(\S+)", capsys.readouterr().err)
        app.extra_environ.update(REMOTE_ADDR="192.0.2.1", HTTP_HOST="example.com")
        app.get("/login/", status=403)
        app.post("/login/", {"user": "xia"}, status=403)
        assert "xia" in app.get(f"/login/?key={key}").follow()

    @pytest.mark.parametrize(
        "switch",
        [
            "pyramid.reload_all",
            "pyramid.reload_templates",
            "pyramid.debug_all",
            "pyramid.debug_notfound",
            "djsession.mockup_without_debug",
        ],
    )
    def test_each_development_setting_switches_mockups_on(
        self, switch: str, tmp_path: Path
    ) -> None:
        assert "xia" in self.make(tmp_path, switch=switch).get("/login/")

    @pytest.mark.parametrize(
        "settings", [{}, {"pyramid.debug_all": "false"}, {"djsession.mockup_without_debug": "0"}]
    )
    def test_without_a_development_setting_mockups_are_off(
        self, settings: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = self.make(tmp_path, switch=None, **settings)
        for path in ("/login/", "/api/auth", "/me"):
            app.get(path, status=403)
        app.get("/login/", headers=cookie(), status=404)
        [message] = [item.getMessage() for item in caplog.records if "mockup" in item.getMessage()]
        assert "pyramid.reload_templates" in message
        assert "djsession.mockup_without_debug" in message

    def test_without_the_setting_there_is_no_login_page(self) -> None:
        make_app(**{"pyramid.reload_all": "true"}).get("/login/", headers=cookie(), status=404)

    def test_mistakes_in_the_file_show_at_start_up(self, tmp_path: Path) -> None:
        with pytest.raises(MockupError, match="expected a session"):
            self.make(tmp_path, "xia: 1\n")


@pytest.mark.parametrize("install", [after, before])
def test_pyramid_works_with_the_debug_toolbar(install: Install, tmp_path: Path) -> None:
    pytest.importorskip("pyramid_debugtoolbar")
    path = tmp_path / "sessions.yaml"
    path.write_text("xia: {}\n")
    config = Configurator(
        settings={
            "debugtoolbar.hosts": "127.0.0.1",
            "djsession.secret_key": KEY,
            "djsession.mockup": str(path),
            "pyramid.reload_templates": "true",
        }
    )
    install(config, lambda config: config.include("pyramid_debugtoolbar"))
    config.add_route("me", "/me")
    config.add_view(me, route_name="me", renderer="json")
    app = TestApp(config.make_wsgi_app(), extra_environ=LOCAL)
    assert app.get("/me", headers=cookie()).json["username"] == "xia"
    app.get("/me", status=403)
    # The toolbar reads the body of a request before the mockups do.
    signed_in = app.post("/login/", {"user": "xia", "next": "/me"}, status=303)
    app.reset()
    token = signed_in.headers["Set-Cookie"].partition(";")[0]
    assert app.get("/me", headers={"Cookie": token}).json["username"] == "xia"
    app.post_json("/api/auth", {"username": "xia", "password": ""}, status=201)


class TestPyramidExample:
    APP = "examples.pyramid_app:main({})"

    @pytest.mark.server
    def test_gunicorn_answers_each_captured_request(self, serve: Serve, tmp_path: Path) -> None:
        lines = "from examples.pyramid_app import main\napplication = main({})\n"
        for username, page in replay_captures(serve, tmp_path, lines, DJSESSION_LOCAL_SECRET="s"):
            assert f"Hello, {username}\n" in page

    @pytest.mark.server
    def test_the_example_refuses_without_a_session_and_keeps_visits_apart(
        self, serve: Callable[..., int]
    ) -> None:
        port = serve(
            *GUNICORN,
            self.APP,
            DJAODJIN_SECRET_KEY=KEY,
            DJSESSION_LOCAL_SECRET="s",
            DJSESSION_ALLOWED_NO_SESSION="/about",
        )
        assert http(port, "/")[0] == http(port, "/nowhere")[0] == 403
        assert http(port, "/about")[2] == b"open to anyone"
        header = f"sessionid={dumps(XIA, KEY)}"
        _, headers, body = http(port, "/", Cookie=header)
        assert b"visits: 1" in body
        local = headers["set-cookie"].partition(";")[0]
        assert b"visits: 2" in http(port, "/", Cookie=f"{header}; {local}")[2]
        other = f"sessionid={dumps(DANA, KEY)}; {local}"
        assert b"visits: 1" in http(port, "/", Cookie=other)[2]
        assert http(port, "/manage/xia", Cookie=header)[2] == b"xia manages xia"
        assert http(port, "/manage/cowork", Cookie=header)[0] == 403
        assert http(port, "/course", Cookie=header)[0] == 200
        assert http(port, "/course", Cookie=other)[0] == 404

    @pytest.mark.server
    def test_pserve_serves_development_ini_with_mockup_logins(
        self, serve: Callable[..., int], tmp_path: Path
    ) -> None:
        port = free_port()
        ini = development_ini(tmp_path, port)
        serve("-m", "pyramid.scripts.pserve", str(ini), port=port)
        status, headers, _ = http(port, "/", Accept="text/html")
        assert (status, headers["location"].endswith("/login/?next=%2F")) == (303, True)
        assert b"xia" in http(port, "/login/")[2]
        assert http(port, "/about")[0] == 200
        token = dumps(XIA, "only-for-development")
        assert http(port, "/", Cookie=f"sessionid={token}")[0] == 200

    @pytest.mark.server
    def test_djsession_serve_stands_in_front_of_pserve(
        self, serve: Callable[..., int], tmp_path: Path
    ) -> None:
        upstream = free_port()
        ini = development_ini(tmp_path, upstream)
        serve("-m", "pyramid.scripts.pserve", str(ini), port=upstream)
        port = serve(
            *("-m", "djsession", "serve", f"http://127.0.0.1:{upstream}", "--port={port}"),
            *("--mockup", "examples/sessions.yaml"),
            DJAODJIN_SECRET_KEY="only-for-development",
        )
        status, headers, _ = post_form(port, "/login/", "username=xia")
        cookie = headers["set-cookie"].partition(";")[0]
        assert status == 303
        assert http(port, "/session", Cookie=cookie)[0] == 200

    def test_a_percent_sign_in_a_key_is_doubled_in_an_ini_file(self, tmp_path: Path) -> None:
        ini = development_ini(tmp_path, key="k3y!@#$%%^*-_=+ab")
        app = TestApp(get_app(str(ini)))
        app.extra_environ.update(LOCAL)
        assert app.get("/session", headers=cookie()).json == XIA


def development_ini(folder: Path, port: int = 0, key: str = "only-for-development") -> Path:
    """Write the example's development.ini with another port and key, and mockups beside it."""
    text = (ROOT / "examples/pyramid_app/development.ini").read_text()
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    text = text.replace("secret_key = only-for-development\n", f"secret_key = {key}\n")
    (folder / "app").mkdir(exist_ok=True)
    (folder / "sessions.yaml").write_text("xia: {}\n")
    path = folder / "app/development.ini"
    path.write_text(text)
    return path
