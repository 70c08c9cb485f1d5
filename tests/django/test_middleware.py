"""SessionMiddleware: which requests pass, and what a view finds, under WSGI and ASGI."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import sys
import threading
from typing import Any

import pytest
from asgiref.sync import SyncToAsync
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, Client, RequestFactory, override_settings
from django.urls import path, reverse_lazy

from djsession import ConfigurationError, Session, dumps, openssl
from djsession import SessionMiddleware as WSGIMiddleware
from djsession.django.backends.base import SessionStore
from djsession.django.middleware import SessionMiddleware
from tests.helpers.django_clients import as_user, cookie
from tests.helpers.django_handlers import by_asgi, by_wsgi, connections_kept, urlconf
from tests.helpers.sessions import KEY, OTHER_KEY, XIA, Capture
from tests.helpers.wsgi import call

JWT_OF_XIA = f"Bearer {dumps(XIA, KEY, 'jwt')}"
JWT_OF_ALICE = f"Bearer {dumps({'username': 'alice'}, KEY, 'jwt')}"

TOKEN = re.compile(r"[\w+/=.-]{40,}")

GARBAGE = "U2FsdGVkX18AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


def get(**meta: Any) -> HttpRequest:
    return RequestFactory().get("/app/", **meta)


def through(request: HttpRequest) -> HttpRequest:
    SessionMiddleware(lambda _: HttpResponse())(request)
    return request


def test_the_middleware_sets_request_djsession() -> None:
    request = through(get(HTTP_COOKIE=cookie()))
    assert isinstance(request.djsession, Session)
    assert request.djsession == XIA
    assert isinstance(request.session, SessionStore)
    assert request.session["roles"] == XIA["roles"]
    assert request.META["REMOTE_USER"] == "xia"


def test_the_middleware_takes_a_jwt_from_the_authorization_header() -> None:
    token = dumps(XIA, KEY, format="jwt")
    request = through(get(HTTP_AUTHORIZATION=f"Bearer {token}"))
    assert request.djsession.username == "xia"


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"HTTP_COOKIE": "sessionid=garbage"},
        {"HTTP_COOKIE": f"sessionid={GARBAGE}"},
        {"HTTP_COOKIE": cookie(key=OTHER_KEY)},
        {"HTTP_AUTHORIZATION": "Bearer "},
        {"HTTP_AUTHORIZATION": "Bearer a.b.c"},
        {"REMOTE_USER": "xia"},
        {"djsession.session": Session(XIA)},
    ],
    ids=[
        "nothing",
        "garbage",
        "base64",
        "other key",
        "empty",
        "not a jwt",
        "REMOTE_USER",
        "planted",
    ],
)
def test_the_middleware_refuses_a_request_without_a_session(meta: dict[str, Any]) -> None:
    request = get(**meta)
    seen: list[HttpRequest] = []
    response = SessionMiddleware(seen.append)(request)
    assert seen == []
    assert response.status_code == 403
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Vary"] == "Cookie, Authorization"
    assert request.session.get("username") is None
    assert "REMOTE_USER" not in request.META


def test_the_403_page_of_the_project_may_read_the_session() -> None:
    response = Client().get("/")
    assert response.status_code == 403
    assert b"<h1>Not for you</h1>" in response.content
    assert b"xia" not in response.content


def test_the_middleware_answers_every_refusal_alike() -> None:
    answers = set()
    for value in ("", "garbage", GARBAGE, dumps(XIA, OTHER_KEY)):
        client = Client()
        client.cookies["sessionid"] = value
        response = client.get("/unknown")
        answers.add((response.status_code, response.content, str(sorted(response.headers.items()))))
    assert len(answers) == 1


def test_the_log_of_a_refusal_in_django_has_the_reason_and_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = Client()
    client.cookies["sessionid"] = token = dumps(XIA, OTHER_KEY)
    with caplog.at_level(logging.INFO):
        client.get("/")
    [record] = [item for item in caplog.records if item.name == "djsession"]
    assert record.levelname == "WARNING"
    assert "DJAODJIN_SECRET_KEY" in record.getMessage()
    assert KEY not in caplog.text
    assert token not in caplog.text


def test_an_anonymous_visitor_with_a_session_passes() -> None:
    response = as_user(Client(), {}).get("/whoami")
    assert response.json() == {"user": "", "pk": None}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/open/nothing", 200),
        ("/about/", 200),  # reverse_lazy("about")
        ("/static/unknown.css", 404),  # STATIC_URL = "static/"
        ("/open/../whoami", 403),
        ("/open/%2e%2e/whoami", 403),
        ("/openly", 403),
        ("/open/日本", 200),
        ("/open/%E6%97%A5%E6%9C%AC", 200),
        ("/open/%E9", 403),
        ("/whoami", 403),
        ("/", 403),
    ],
)
def test_paths_that_need_no_session_in_django(path: str, status: int) -> None:
    assert Client().get(path).status_code == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/open/nothing", 200),
        ("/open/日本", 200),
        ("/about/", 200),
        ("/", 403),
        ("/whoami", 403),
        ("/openly", 403),
        ("/open/../whoami", 403),
        ("/open/%2e%2e/whoami", 403),
        ("/open/\udce9", 403),
    ],
)
@pytest.mark.usefixtures("db")
def test_paths_that_need_no_session_in_django_under_asgi(path: str, status: int) -> None:
    assert by_asgi(path).code == status


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("target", ["*", "whoami", ""])
def test_a_target_that_is_not_a_path_is_refused(target: str) -> None:
    assert by_wsgi(target, REQUEST_METHOD="OPTIONS").status == "403 Forbidden"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"DJAODJIN_SECRET_KEY": ""}, "DJAODJIN_SECRET_KEY"),
        ({"DJAODJIN_SECRET_KEY": None}, "DJAODJIN_SECRET_KEY"),
        ({"DJAODJIN_SECRET_KEY": "clé"}, "ASCII"),
        ({"DJSESSION": {"ALOWED_NO_SESSION": []}}, "did you mean ALLOWED_NO_SESSION"),
        ({"DJSESSION": {"ALLOWED_NO_SESSION": "/static/"}}, "list of paths"),
        ({"DJSESSION": ["/static/"]}, "must be a dict"),
        ({"DJSESSION": {"USER_SOURCE": "ldap"}}, "user_source"),
        ({"DJSESSION": {"UPDATE_USER": "yes"}}, "update_user"),
        ({"DJSESSION": {"MOCKUP_ALLOW_REMOTE": "false"}}, "mockup_allow_remote"),
        ({"DJSESSION": {"TRUSTED_PROXIES": "10.0.0.7"}}, "trusted_proxies"),
        ({"DJSESSION": {"TRUSTED_PROXIES": []}}, "trusted_proxies"),
        ({"DJSESSION": {"ALLOWED_NO_SESSION": ["/a/../b"]}}, "no path ever matches '/a/../b'"),
        ({"DJSESSION": {"LOCAL_SESSION_COOKIE_NAME": "sessionid"}}, "the proxy drops"),
        ({"DJSESSION": {"LOCAL_SESSION_ENGINE": "no.such"}}, "no.such cannot be used"),
        (
            {"DJSESSION": {"LOCAL_SESSION_ENGINE": "djsession.django.backends.encrypted_cookies"}},
            "one of Django's own",
        ),
        ({"SESSION_ENGINE": "django.contrib.sessions.backends.db"}, "SESSION_ENGINE must be"),
    ],
    ids=str,
)
def test_a_wrong_setting_stops_the_application_at_start_up(
    overrides: dict[str, Any], message: str
) -> None:
    with override_settings(**overrides), pytest.raises(ConfigurationError, match=message):
        SessionMiddleware(lambda _: HttpResponse())


def test_the_settings_of_deployutils_are_read_as_they_are() -> None:
    deployutils = {
        "APP_NAME": "not for here",
        "DEPLOYED_SERVERS": None,
        "ALLOWED_NO_SESSION": ["/whoami", reverse_lazy("about")],
        "SESSION_COOKIE_NAME": "djaodjin",
        "MOCKUP_SESSIONS": {"xia": XIA},
    }
    with override_settings(DEPLOYUTILS=deployutils, DJSESSION={}):
        request = RequestFactory().get("/app/", HTTP_COOKIE=f"djaodjin={dumps(XIA, KEY)}")
        assert through(request).djsession == XIA
        request = RequestFactory().get("/about/")
        assert through(request).djsession == {}
    with override_settings(DEPLOYUTILS=deployutils, DJSESSION={"COOKIE_NAME": "sessionid"}):
        assert through(get(HTTP_COOKIE=cookie())).djsession == XIA
    with override_settings(
        DEPLOYUTILS={"DJAODJIN_SECRET_KEY": OTHER_KEY}, DJSESSION={}, DJAODJIN_SECRET_KEY=None
    ):
        assert through(get(HTTP_COOKIE=cookie(key=OTHER_KEY))).djsession == XIA


def test_settings_come_from_the_environment_and_the_project_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DJAODJIN_SECRET_KEY", OTHER_KEY)
    monkeypatch.setenv("DJSESSION_UPDATE_USER", "true")
    monkeypatch.setenv("DJSESSION_MOCKUP_HOSTS", "one.example, two.example")
    from djsession.django.conf import get_settings

    with override_settings(DJSESSION={}):
        settings = get_settings()
        assert settings.secret_key == (KEY,)
        assert settings.update_user is True
        assert list(settings.mockup_hosts) == ["one.example", "two.example"]
    with override_settings(DJSESSION={"UPDATE_USER": False}, DJAODJIN_SECRET_KEY=None):
        assert get_settings().secret_key == (OTHER_KEY,)
        assert get_settings().update_user is False
    monkeypatch.setenv("DJSESSION_UPDATE_USER", "perhaps")
    with override_settings(DJSESSION={}), pytest.raises(ConfigurationError, match="true or false"):
        get_settings()


@pytest.mark.parametrize(
    ("meta", "username"),
    [
        ({"HTTP_AUTHORIZATION": f"Bearer {dumps(XIA, KEY)}"}, None),
        ({"HTTP_COOKIE": f"sessionid={dumps(XIA, KEY, 'jwt')}"}, "xia"),
        (
            {
                "HTTP_COOKIE": f"sessionid={dumps(XIA, KEY, 'jwt')}",
                "HTTP_AUTHORIZATION": "Bearer x",
            },
            None,
        ),
        ({"HTTP_COOKIE": cookie(), "HTTP_AUTHORIZATION": "Bearer an-api-key"}, "xia"),
        ({"HTTP_COOKIE": cookie(), "HTTP_AUTHORIZATION": "Bearer"}, None),
        ({"HTTP_COOKIE": cookie(), "HTTP_AUTHORIZATION": JWT_OF_XIA}, "xia"),
        ({"HTTP_COOKIE": cookie(), "HTTP_AUTHORIZATION": JWT_OF_ALICE}, None),
        ({"HTTP_COOKIE": cookie({}), "HTTP_AUTHORIZATION": JWT_OF_ALICE}, None),
        ({"HTTP_COOKIE": f"{cookie()}; {cookie({'username': 'alice'})}"}, None),
    ],
    ids=[
        "cookie format in the header",
        "jwt in the cookie",
        "jwt in the cookie and a header",
        "an API key beside the cookie",
        "an empty header beside the cookie",
        "the same session twice",
        "two users",
        "a visitor and a user",
        "two cookies",
    ],
)
def test_where_a_token_counts_in_django(meta: dict[str, Any], username: str | None) -> None:
    request = get(**meta)
    seen: list[Any] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request.djsession.username)
        return HttpResponse()

    response = SessionMiddleware(view)(request)
    assert (seen, response.status_code) == (([], 403) if username is None else ([username], 200))


def test_only_trusted_proxies_can_send_a_session() -> None:
    with override_settings(DJSESSION={"TRUSTED_PROXIES": ["10.0.0.7", "10.1.0.0/16"]}):
        for peer in ("10.0.0.7", "10.1.2.3"):
            assert through(get(HTTP_COOKIE=cookie(), REMOTE_ADDR=peer)).djsession == XIA
        for meta in ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "10.0.0.7"}, {}):
            assert through(get(HTTP_COOKIE=cookie(), **meta)).djsession == {}


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("send", [by_wsgi, by_asgi])
def test_trusted_proxies_with_each_handler_of_django(send: Any) -> None:
    for trusted, status in (("127.0.0.1", 200), ("10.0.0.7", 403)):
        with override_settings(DJSESSION={"TRUSTED_PROXIES": [trusted]}):
            assert send("/", HTTP_COOKIE=cookie()).code == status


def test_a_peer_that_proxy_fix_replaced_is_not_trusted() -> None:
    replaced = {"werkzeug.proxy_fix.orig": {"REMOTE_ADDR": "192.0.2.1"}}
    with override_settings(DJSESSION={"TRUSTED_PROXIES": ["10.0.0.7"]}):
        request = get(HTTP_COOKIE=cookie(), REMOTE_ADDR="10.0.0.7", **replaced)
        assert through(request).djsession == {}


def test_the_jwt_format_needs_no_other_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "joserfc", None)
    monkeypatch.setitem(sys.modules, "jwt", None)
    assert through(get(HTTP_AUTHORIZATION=JWT_OF_XIA)).djsession.username == "xia"


def test_tokens_of_rotated_keys_decode_in_django() -> None:
    with override_settings(DJAODJIN_SECRET_KEY=[OTHER_KEY, KEY]):
        assert through(get(HTTP_COOKIE=cookie())).djsession == XIA
        assert through(get(HTTP_COOKIE=cookie(key=OTHER_KEY))).djsession == XIA


def test_a_view_that_asks_for_nothing_costs_no_query_and_no_cookie(
    django_assert_num_queries: Any, db: None
) -> None:
    client = as_user(Client())
    with django_assert_num_queries(0):
        response = client.get("/")
    assert response.status_code == 200
    assert not response.cookies


def test_each_captured_request_of_the_proxy_is_read_in_django(capture: Capture) -> None:
    """Each capture of the real proxy, through Django's own handler."""
    seen: list[Any] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request.djsession)
        return HttpResponse()

    environ = RequestFactory().get("/").environ | capture.environ
    environ["wsgi.input"] = io.BytesIO()
    with override_settings(DJAODJIN_SECRET_KEY=capture.secret_key, ALLOWED_HOSTS=["*"]):
        from django.core.handlers.wsgi import WSGIRequest

        request = WSGIRequest(environ)
        if capture.session is None:
            assert SessionMiddleware(view)(request).status_code == 403
            assert seen == []
        else:
            SessionMiddleware(view)(request)
            assert {key: value for key, value in seen[0].items() if key != "exp"} == {
                key: value for key, value in capture.session.items() if key != "exp"
            }


def test_the_async_middleware_of_django_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: list[Any] = []
    original = SyncToAsync.__call__

    async def spy(self: SyncToAsync[..., Any], *args: Any, **kwargs: Any) -> Any:
        pushed.append(self.func)
        return await original(self, *args, **kwargs)

    monkeypatch.setattr(SyncToAsync, "__call__", spy)
    threads: list[int] = []

    async def view(request: HttpRequest) -> HttpResponse:
        threads.append(threading.get_ident())
        await request.session.aset("seen", request.djsession.username)
        return HttpResponse()

    async def scenario() -> HttpResponse:
        middleware = SessionMiddleware(view)
        assert middleware.async_mode
        factory = AsyncRequestFactory()
        factory.cookies["sessionid"] = dumps(XIA, KEY)
        return await middleware(factory.get("/"))

    response = asyncio.run(scenario())
    assert pushed == []
    assert threads == [threading.get_ident()]
    assert "djsession_local" in response.cookies


class TestDjangoBehindTheMiddlewareForWSGI:
    """Django with our middleware, inside djsession.SessionMiddleware."""

    @staticmethod
    def call(monkeypatch: pytest.MonkeyPatch, key: str = KEY) -> tuple[int, int, dict[str, Any]]:
        """Return the status, the number of decryptions, and request.META as the view has it."""
        decryptions: list[None] = []
        decrypt = openssl.decrypt

        def counting(*arguments: Any) -> bytes:
            decryptions.append(None)
            return decrypt(*arguments)

        monkeypatch.setattr(openssl, "decrypt", counting)
        metas: list[dict[str, Any]] = []

        def view(request: HttpRequest) -> HttpResponse:
            assert request.djsession == XIA
            metas.append(dict(request.META))
            return HttpResponse()

        environ = RequestFactory().get("/").environ | {"HTTP_COOKIE": cookie(key=key)}
        with override_settings(ROOT_URLCONF=urlconf([path("", view)])):
            application = WSGIMiddleware(WSGIHandler(), secret_key=key)
            with connections_kept():
                answer = call(application, environ)
        return answer.code, len(decryptions), metas[0] if metas else environ

    @pytest.mark.usefixtures("db")
    def test_a_token_is_decoded_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.call(monkeypatch)[:2] == (200, 1)

    @pytest.mark.usefixtures("db")
    def test_nothing_of_the_session_stays_in_request_meta(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        meta = self.call(monkeypatch)[2]
        assert not [name for name in meta if name.startswith("djsession")]
        # Only the header itself still holds the token.
        assert [name for name, value in meta.items() if TOKEN.search(repr(value))] == [
            "HTTP_COOKIE"
        ]

    @pytest.mark.usefixtures("db")
    def test_a_session_decoded_with_another_key_is_not_taken_over(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.call(monkeypatch, OTHER_KEY)[0] == 403
