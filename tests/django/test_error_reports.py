"""Django's error reports contain neither a key nor a token nor a session."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import django
import pytest
from django.contrib.sessions.models import Session as Row
from django.core import mail
from django.core.cache import caches
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, Client, RequestFactory, override_settings
from django.urls import path
from django.views.debug import (
    ExceptionReporter,
    SafeExceptionReporterFilter,
    get_default_exception_reporter_filter,
)

from djsession import ConfigurationError, dumps
from djsession.django.conf import get_codec, get_gate, get_settings
from djsession.django.middleware import SessionMiddleware
from tests.helpers.django_clients import as_user, cookie, run
from tests.helpers.django_handlers import urlconf
from tests.helpers.sessions import KEY, OTHER_KEY, XIA

SECRET = "Zs3cret" * 5
BEARER = f"Bearer {dumps(XIA, KEY, 'jwt')}"
CARRIED: list[dict[str, str]] = [{"HTTP_COOKIE": cookie()}, {"HTTP_AUTHORIZATION": BEARER}]


class ViewError(Exception):
    """An exception of the application."""


def reports_of(request: HttpRequest, caught: pytest.ExceptionInfo[Exception]) -> list[str]:
    """Return Django's reports on an exception, without the frame of the test itself."""
    reporter = ExceptionReporter(request, caught.type, caught.value, caught.tb.tb_next)
    return [reporter.get_traceback_text(), reporter.get_traceback_html()]


def check(report: str, headers: dict[str, str] | None = None) -> None:
    assert "SessionMiddleware" in report or "djsession" in report
    for value in (headers or {}).values():
        for token in re.findall(r"[\w+/=.-]{40,}", value):
            # Reports shorten long values.
            assert token[:30] not in report
    for secret in (KEY, OTHER_KEY, SECRET, XIA["site"]["email"]):
        assert secret not in report


@pytest.mark.parametrize("headers", CARRIED, ids=["cookie", "bearer"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_the_report_of_a_view_that_fails_shows_no_credential(
    headers: dict[str, str], is_async: bool
) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise ViewError

    async def aview(request: HttpRequest) -> HttpResponse:
        raise ViewError

    if is_async:
        request = AsyncRequestFactory().get("/")
        request.META.update(headers)
        with pytest.raises(ViewError) as caught:
            run(SessionMiddleware(aview)(request))
    else:
        request = RequestFactory().get("/", **headers)
        with pytest.raises(ViewError) as caught:
            SessionMiddleware(view)(request)
    reports = reports_of(request, caught)
    assert not [name for name in request.META if name.startswith("djsession")]
    for report in reports:
        check(report, headers)


class LaxFilter(SafeExceptionReporterFilter):  # type: ignore[misc]
    """A filter of a project, which masks less than Django's."""

    hidden_settings = re.compile("KEY|PASSWORD")


NAMES: list[tuple[dict[str, Any], str, str]] = [
    ({"DJSESSION": {}}, "sessionid", "djsession_local"),
    (
        {"DJSESSION": {"COOKIE_NAME": "proxied", "LOCAL_SESSION_COOKIE_NAME": "mine"}},
        "proxied",
        "mine",
    ),
    (
        {"DEPLOYUTILS": {"SESSION_COOKIE_NAME": "djaodjin"}, "DJSESSION": {}},
        "djaodjin",
        "djsession_local",
    ),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("overrides", "proxied", "local"), NAMES, ids=["default", "own", "old"])
@pytest.mark.parametrize("transport", ["cookie", "bearer"])
def test_the_debug_page_masks_what_carries_a_session(
    overrides: dict[str, Any], proxied: str, local: str, transport: str
) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        request.session["cart"] = "apple"
        if request.GET:
            raise ViewError
        return HttpResponse()

    client = Client(raise_request_exception=False)
    with override_settings(ROOT_URLCONF=urlconf([path("", view)]), DEBUG=True, **overrides):
        if transport == "cookie":
            client.cookies[proxied] = dumps(XIA, KEY)
        else:
            client.defaults["HTTP_AUTHORIZATION"] = BEARER
        client.get("/")
        client.cookies["theme"] = "a dark one"
        for accept in ("text/html", "text/plain"):
            page = client.get("/?fail=1", headers={"Accept": accept})
            assert page.status_code == 500
            text = page.content.decode()
            assert "ViewError" in text
            for name in (local, proxied):
                if name in client.cookies:
                    assert client.cookies[name].value[:30] not in text
            assert BEARER[7:37] not in text
            if accept == "text/html":
                assert local in text
                assert "a dark one" in text


@pytest.mark.parametrize("name", ["django.views.debug.SafeExceptionReporterFilter", "LaxFilter"])
def test_the_report_of_a_failure_before_the_middleware_shows_no_credential(name: str) -> None:
    headers = {
        "HTTP_COOKIE": f"other={dumps(XIA, KEY)}; djsession_local={SECRET}",
        "HTTP_AUTHORIZATION": BEARER,
    }
    request = RequestFactory().get("/", **headers)
    name = name if "." in name else f"{__name__}.{name}"
    with override_settings(
        DEFAULT_EXCEPTION_REPORTER_FILTER=name, DJSESSION={"COOKIE_NAME": "other"}
    ):
        get_default_exception_reporter_filter.cache_clear()
        try:
            report = ExceptionReporter(request, ViewError, ViewError(), None).get_traceback_html()
        finally:
            get_default_exception_reporter_filter.cache_clear()
    assert "djsession_local" in report
    check(report, headers)


def test_with_a_wrong_setting_every_cookie_is_masked() -> None:
    request = RequestFactory().get("/", HTTP_COOKIE=f"other={SECRET}")
    with override_settings(DJSESSION={"UNKNOWN": 1}):
        report = ExceptionReporter(request, ViewError, ViewError(), None).get_traceback_html()
    assert "djsession" in report
    check(report, {})


REFUSED: list[dict[str, str]] = [
    {"HTTP_COOKIE": cookie(key=OTHER_KEY)},
    {"HTTP_AUTHORIZATION": f"Bearer {dumps(XIA, OTHER_KEY, 'jwt')}"},
    {"HTTP_COOKIE": cookie(), "HTTP_AUTHORIZATION": "Bearer"},
    {
        "HTTP_COOKIE": cookie(),
        "HTTP_AUTHORIZATION": f"Bearer {dumps({**XIA, 'username': 'alice'}, KEY, 'jwt')}",
    },
    {"HTTP_COOKIE": cookie() + "; " + cookie({**XIA, "username": "alice"})},
    {"HTTP_COOKIE": cookie(), "HTTP_X_TRUST": "REMOTE_ADDR"},
]


@pytest.mark.parametrize("headers", REFUSED, ids=range(len(REFUSED)))
def test_the_report_of_a_403_page_that_fails_shows_no_credential(headers: dict[str, str]) -> None:
    def handler(request: HttpRequest, exception: Exception) -> HttpResponse:
        raise ValueError("the page is broken") from exception

    reports: list[str] = []

    def report(request: HttpRequest, *_: Any) -> HttpResponse:
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.extend([reporter.get_traceback_text(), reporter.get_traceback_html()])
        return HttpResponse(status=500)

    trusted = {"TRUSTED_PROXIES": ["10.0.0.7"]} if "HTTP_X_TRUST" in headers else {}
    with override_settings(
        ROOT_URLCONF=urlconf([], handler403=handler, handler500=report), DJSESSION=trusted
    ):
        client = Client(raise_request_exception=False)
        assert client.get("/", **headers).status_code == 500
    assert len(reports) == 2
    for text in reports:
        assert "the page is broken" in text
        check(text, headers)


def test_the_mail_about_a_view_that_fails_shows_no_credential() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        session = request.djsession
        assert session.username == "xia"
        raise ValueError

    # From Django 6.0 on, addresses stand by themselves.
    address = "admin@example.com"
    admins = [address] if django.VERSION >= (6, 0) else [("a", address)]
    with override_settings(ROOT_URLCONF=urlconf([path("", view)]), ADMINS=admins, DJSESSION={}):
        as_user(Client(raise_request_exception=False)).get("/")
    [message] = mail.outbox
    text = str(message.message())
    assert "ValueError" in text
    check(text, {"HTTP_COOKIE": cookie()})
    assert XIA["roles"]["manager"][0]["email"] not in text


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"DJAODJIN_SECRET_KEY": f'"{SECRET}"'}, "a quote"),
    ({"DJAODJIN_SECRET_KEY": [SECRET, 5]}, "secret"),
    ({"DJAODJIN_SECRET_KEY": f"{SECRET}é"}, "ASCII"),
    ({"DJAODJIN_SECRET_KEY": SECRET, "DJSESSION": {"UNKNOWN": SECRET}}, "UNKNOWN"),
    ({"DJAODJIN_SECRET_KEY": SECRET, "DJSESSION": {"UPDATE_USER": SECRET}}, "update_user"),
    ({"DJSESSION": {"DJAODJIN_SECRET_KEY": SECRET, "FORMATS": ["x"]}}, "formats"),
    ({"DEPLOYUTILS": {"DJAODJIN_SECRET_KEY": f" {SECRET}"}, "DJAODJIN_SECRET_KEY": None}, "white"),
    (
        {"DJAODJIN_SECRET_KEY": SECRET, "DJSESSION": {"LOCAL_SESSION_COOKIE_NAME": "sessionid"}},
        "the proxy drops",
    ),
]


@pytest.mark.parametrize(("overrides", "message"), WRONG, ids=[item[1] for item in WRONG])
@pytest.mark.parametrize(
    "read", [get_settings, get_gate, get_codec, lambda: SessionMiddleware(HttpResponse)]
)
def test_the_report_of_a_wrong_setting_shows_no_key(
    overrides: dict[str, Any], message: str, read: Callable[[], object]
) -> None:
    with override_settings(**overrides), pytest.raises(ConfigurationError, match=message) as caught:
        read()
    assert SECRET not in str(caught.value)
    # The frame of this function holds the settings.
    reporter = ExceptionReporter(None, caught.type, caught.value, caught.tb.tb_next)
    frames = reporter.get_traceback_frames()
    assert frames
    for frame in frames:
        assert SECRET not in str(frame["vars"]), frame["function"]


def test_the_html_report_of_a_wrong_key_does_not_show_it() -> None:
    with (
        override_settings(DJAODJIN_SECRET_KEY=f'"{SECRET}"'),
        pytest.raises(ConfigurationError) as caught,
    ):
        SessionMiddleware(HttpResponse)
    request = RequestFactory().get("/", HTTP_COOKIE=cookie())
    for report in reports_of(request, caught):
        assert "a quote or white space" in report
        check(report, {"HTTP_COOKIE": cookie()})


def test_the_report_of_an_entry_that_no_path_can_match_shows_no_key() -> None:
    wrong: dict[str, Any] = {"ALLOWED_NO_SESSION": ["/../"]}
    with (
        override_settings(DJAODJIN_SECRET_KEY=SECRET, DJSESSION=wrong),
        pytest.raises(ConfigurationError, match="no path ever matches") as caught,
    ):
        get_gate()
    for report in reports_of(RequestFactory().get("/"), caught):
        check(report)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("engine", ["db", "cached_db", "file", "signed_cookies"])
def test_the_report_of_a_store_that_fails_shows_no_session(engine: str) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        if request.GET:
            request.session.get("cart")
            raise ViewError
        request.session["cart"] = "apple"
        return HttpResponse()

    local = {"LOCAL_SESSION_ENGINE": f"django.contrib.sessions.backends.{engine}"}
    client = as_user(Client(raise_request_exception=False))
    with override_settings(ROOT_URLCONF=urlconf([path("", view)]), DEBUG=True, DJSESSION=local):
        client.get("/")
        key = client.cookies["djsession_local"].value
        caches["default"].clear()
        with connection.schema_editor() as editor:
            editor.alter_db_table(Row, "django_session", "elsewhere")
        try:
            page = client.get("/?fail=1").content.decode()
        finally:
            with connection.schema_editor() as editor:
                editor.alter_db_table(Row, "elsewhere", "django_session")
    # The first two fail while they read: their table is gone.
    assert ("session_key" in page) is engine.endswith("db")
    assert key[:30] not in page
    check(page, {"HTTP_COOKIE": cookie()})


def test_the_report_masks_the_variables_of_a_view() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        token = request.COOKIES["sessionid"]  # noqa: F841
        header = {"Cookie": [request.META["HTTP_COOKIE"]]}  # noqa: F841
        headers = [(b"cookie", request.META["HTTP_COOKIE"].encode())]  # noqa: F841
        other = "a dark one"  # noqa: F841
        raise ViewError

    client = as_user(Client(raise_request_exception=False))
    with override_settings(ROOT_URLCONF=urlconf([path("", view)]), DEBUG=True, DJSESSION={}):
        text = client.get("/").content.decode()
    assert "a dark one" in text
    # The report prints long bytes in several lines.
    token = client.cookies["sessionid"].value
    assert not [start for start in range(0, len(token), 20) if token[start : start + 20] in text]
