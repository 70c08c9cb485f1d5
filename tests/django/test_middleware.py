"""SessionMiddleware: who gets through, what a view finds, under WSGI and ASGI."""

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
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, Client, RequestFactory, override_settings
from django.urls import reverse_lazy, set_script_prefix
from django.views.debug import ExceptionReporter

from djsession import ConfigurationError, Session, dumps
from djsession.django.backends.base import SessionStore
from djsession.django.middleware import SessionMiddleware
from tests.conftest import KEY, OTHER_KEY, XIA, Capture
from tests.django.conftest import as_user, cookie, run

BEARER = f"Bearer {dumps(XIA, KEY, 'jwt')}"

GARBAGE = "U2FsdGVkX18AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


def get(**meta: Any) -> HttpRequest:
    return RequestFactory().get("/app/", **meta)


def through(request: HttpRequest) -> HttpRequest:
    SessionMiddleware(lambda _: HttpResponse())(request)
    return request


def test_sets_the_session_of_the_proxy() -> None:
    request = through(get(HTTP_COOKIE=cookie()))
    assert isinstance(request.djsession, Session)
    assert request.djsession == XIA
    assert isinstance(request.session, SessionStore)
    assert request.session["roles"] == XIA["roles"]
    assert request.META["REMOTE_USER"] == "xia"


def test_a_jwt_in_the_header_is_a_session_too() -> None:
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
def test_refuses_without_a_session(meta: dict[str, Any]) -> None:
    request = get(**meta)
    with pytest.raises(PermissionDenied) as refusal:
        through(request)
    assert str(refusal.value) == ""
    assert request.session.get("username") is None
    assert "REMOTE_USER" not in request.META


def test_the_403_page_of_the_project_shows_and_may_read_the_session() -> None:
    response = Client().get("/")
    assert response.status_code == 403
    assert b"<h1>Not for you</h1>" in response.content
    assert b"xia" not in response.content


def test_every_refusal_is_the_same() -> None:
    answers = set()
    for value in ("", "garbage", GARBAGE, dumps(XIA, OTHER_KEY)):
        client = Client()
        client.cookies["sessionid"] = value
        response = client.get("/unknown")
        answers.add((response.status_code, response.content, str(sorted(response.headers.items()))))
    assert len(answers) == 1


def test_the_reason_is_in_the_log_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    client = Client()
    client.cookies["sessionid"] = token = dumps(XIA, OTHER_KEY)
    with caplog.at_level(logging.INFO):
        client.get("/")
    [record] = [item for item in caplog.records if item.name == "djsession"]
    assert record.levelname == "WARNING"
    assert "DJAODJIN_SECRET_KEY" in record.getMessage()
    assert KEY not in caplog.text
    assert token not in caplog.text


def test_an_anonymous_visitor_whom_the_proxy_lets_through_is_let_through() -> None:
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
def test_paths_that_need_no_session(path: str, status: int) -> None:
    assert Client().get(path).status_code == status


def asgi_status(path: str) -> int:
    """Return the status of a request as an ASGI server passes it: the path decoded."""
    statuses: list[int] = []
    scope = AsyncRequestFactory().get("/").scope | {"path": path}

    async def scenario() -> None:
        events = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Any:
            try:
                return next(events)
            except StopIteration:
                return await asyncio.sleep(60)

        async def send(event: Any) -> None:
            if event["type"] == "http.response.start":
                statuses.append(event["status"])

        await ASGIHandler()(scope, receive, send)

    run(scenario())
    return statuses[0]


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
def test_paths_that_need_no_session_under_asgi(path: str, status: int) -> None:
    assert asgi_status(path) == status


@pytest.mark.usefixtures("db")
def test_lazy_and_relative_entries_follow_the_script_prefix() -> None:
    def call(path: str, script_name: str) -> str:
        statuses: list[str] = []
        environ = RequestFactory().get(path).environ | {
            "PATH_INFO": path,
            "SCRIPT_NAME": script_name,
        }
        WSGIHandler()(environ, lambda status, headers: statuses.append(status))
        return statuses[0][:3]

    try:
        assert call("/about/", "/mounted") == "200"
        assert call("/static/x", "/mounted") == "404"
        assert call("/open/nothing", "/mounted") == "403"  # an absolute path is one of the site
        assert call("/about/", "") == "200"
        assert call("/whoami", "/about") == "403"
        with override_settings(DJSESSION={"ALLOWED_NO_SESSION": [reverse_lazy("home")]}):
            for mount in ("/mounted", ""):
                assert call("/", mount) == "200"
                assert call("/whoami", mount) == "403"
    finally:
        set_script_prefix("/")


@pytest.mark.usefixtures("db")
def test_a_mount_point_that_a_header_names_opens_nothing() -> None:
    statuses: list[str] = []
    environ = RequestFactory().get("/whoami").environ | {"SCRIPT_NAME": "/open/x"}
    try:
        for header in ({"HTTP_SCRIPT_NAME": "/open/x"}, {}):
            WSGIHandler()(environ | header, lambda status, headers: statuses.append(status))
    finally:
        set_script_prefix("/")
    # The last is a server that is configured so: the whole application is below an entry.
    assert [status[:3] for status in statuses] == ["403", "200"]


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    "mount", ["/%41", "/a/..", "/a//b", "/a\\b", "/a\x01", "/a b", "/\xc3\xa9"]
)
def test_a_mount_point_of_any_name_is_no_error(mount: str) -> None:
    application = WSGIHandler()

    def status(**more: str) -> str:
        statuses: list[str] = []
        environ = RequestFactory().get("/about/", **more).environ | {"SCRIPT_NAME": mount}
        application(environ, lambda status, headers: statuses.append(status))
        return statuses[0][:3]

    try:
        assert status() == ("200" if mount in ("/a b", "/\xc3\xa9") else "403")
        assert status(HTTP_COOKIE=cookie()) == "200"
    finally:
        set_script_prefix("/")


@pytest.mark.parametrize("headers", [{"HTTP_COOKIE": cookie()}, {"HTTP_AUTHORIZATION": BEARER}])
def test_no_error_report_shows_the_token_or_the_session(headers: dict[str, str]) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise ValueError

    request = RequestFactory().get("/", **headers)
    try:
        SessionMiddleware(view)(request)
    except ValueError:
        reporter = ExceptionReporter(request, *sys.exc_info())
    assert not [name for name in request.META if name.startswith("djsession")]
    reporter.tb = reporter.tb.tb_next  # not what this function has
    for report in (reporter.get_traceback_text(), reporter.get_traceback_html()):
        assert XIA["site"]["email"] not in report
        assert not any(token in report for token in re.findall(r"[\w.+/=-]{40,}", str(headers)))
        assert KEY not in report


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("target", ["*", "whoami", ""])
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    statuses: list[str] = []
    environ = RequestFactory().options("/").environ | {"PATH_INFO": target, "SCRIPT_NAME": ""}
    WSGIHandler()(environ, lambda status, headers: statuses.append(status))
    assert statuses == ["403 Forbidden"]


@pytest.mark.parametrize(
    ("entry", "opens"),
    [
        ("https://cdn.example.com/static/", "/static/x"),
        ("//cdn.example.com/whoami", "/whoami"),
    ],
)
def test_an_entry_on_another_host_opens_nothing(entry: str, opens: str) -> None:
    with override_settings(DJSESSION={"ALLOWED_NO_SESSION": [entry]}):
        assert Client().get(opens).status_code == 403


def test_an_empty_entry_is_a_mistake_and_does_not_open_the_site() -> None:
    with (
        override_settings(DJSESSION={"ALLOWED_NO_SESSION": [""]}),
        pytest.raises(ConfigurationError, match="empty entry"),
    ):
        SessionMiddleware(lambda _: HttpResponse())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"DJAODJIN_SECRET_KEY": ""}, "DJAODJIN_SECRET_KEY"),
        ({"DJAODJIN_SECRET_KEY": None}, "DJAODJIN_SECRET_KEY"),
        ({"DJAODJIN_SECRET_KEY": "clé"}, "ASCII"),
        ({"DJSESSION": {"ALOWED_NO_SESSION": []}}, "did you mean ALLOWED_NO_SESSION"),
        ({"DJSESSION": {"ALLOWED_NO_SESSION": "/static/"}}, "list of paths"),
        ({"DJSESSION": ["/static/"]}, "must be a dict"),
        ({"DJSESSION": {"USER_SOURCE": "ldap"}}, "USER_SOURCE"),
        ({"DJSESSION": {"UPDATE_USER": "yes"}}, "UPDATE_USER"),
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


def test_rotated_keys() -> None:
    with override_settings(DJAODJIN_SECRET_KEY=[OTHER_KEY, KEY]):
        assert through(get(HTTP_COOKIE=cookie())).djsession == XIA
        assert through(get(HTTP_COOKIE=cookie(key=OTHER_KEY))).djsession == XIA


def test_an_answer_that_may_depend_on_the_session_says_so() -> None:
    assert as_user(Client()).get("/").headers["Vary"] == "Cookie, Authorization"
    assert "Vary" not in Client().get("/open/nothing").headers
    assert "Cookie" in Client().get("/open/session").headers.get("Vary", "Cookie")


def test_a_view_that_asks_for_nothing_costs_no_query_and_no_cookie(
    django_assert_num_queries: Any, db: None
) -> None:
    client = as_user(Client())
    with django_assert_num_queries(0):
        response = client.get("/")
    assert response.status_code == 200
    assert not response.cookies


def test_requests_as_the_proxy_forwards_them(capture: Capture) -> None:
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
            with pytest.raises(PermissionDenied):
                SessionMiddleware(view)(request)
            assert seen == []
        else:
            SessionMiddleware(view)(request)
            assert {key: value for key, value in seen[0].items() if key != "exp"} == {
                key: value for key, value in capture.session.items() if key != "exp"
            }


def test_under_asgi_no_thread_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: list[Any] = []
    original = SyncToAsync.__call__

    async def spy(self: SyncToAsync, *args: Any, **kwargs: Any) -> Any:
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
        assert asyncio.iscoroutinefunction(middleware) or middleware.async_mode
        factory = AsyncRequestFactory()
        factory.cookies["sessionid"] = dumps(XIA, KEY)
        return await middleware(factory.get("/"))

    response = asyncio.run(scenario())
    assert pushed == []
    assert threads == [threading.get_ident()]
    assert "djsession_local" in response.cookies
