"""The ASGI middleware around a Django project, and the address of the connection under ASGI."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from django.views.debug import ExceptionReporter

from djsession import SessionCodec
from djsession.asgi import SessionMiddleware, decode_scope
from tests.helpers.asgi import make_scope
from tests.helpers.django_clients import cookie
from tests.helpers.django_handlers import by_asgi, urlconf
from tests.helpers.gates import make_gate
from tests.helpers.sessions import KEY, XIA

# Under ASGI a view runs in a thread, which would have a connection of its own to the database.
WITHOUT_DATABASE = {"USER_SOURCE": "session"}


def around_django(**settings: Any) -> SessionMiddleware:
    return SessionMiddleware(ASGIHandler(), secret_key=KEY, **settings)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch, settings: Any) -> list[str]:
    """The tokens that were decoded, without those of mockup sessions."""
    settings.DJSESSION = WITHOUT_DATABASE
    tokens: list[str] = []
    original = SessionCodec.try_loads

    def try_loads(self: SessionCodec, token: str) -> Any:
        tokens.append(token)
        return original(self, token)

    monkeypatch.setattr(SessionCodec, "try_loads", try_loads)
    return tokens


def test_the_asgi_middleware_around_django_decodes_a_token_once(decoded: list[str]) -> None:
    answer = by_asgi("/whoami", app=around_django(), HTTP_COOKIE=cookie())
    assert answer.code == 200
    assert b'"xia"' in answer.body
    assert len(decoded) == 1
    # Without it, Django's own middleware decodes.
    assert by_asgi("/whoami", HTTP_COOKIE=cookie()).code == 200
    assert len(decoded) == 2


def test_the_asgi_middleware_around_django_decodes_a_refused_token_once(decoded: list[str]) -> None:
    broken = cookie(key="another key")
    answer = by_asgi("/whoami", app=around_django(), HTTP_COOKIE=broken)
    assert (answer.code, answer.body) == (403, b"Forbidden\n")
    # Where the path is open outside and not inside, Django's own middleware refuses.
    answer = by_asgi("/whoami", app=around_django(allowed_no_session=["/"]), HTTP_COOKIE=broken)
    assert answer.code == 403
    assert len(decoded) == 2


def test_djangos_settings_decide_where_they_are_stricter_than_those_around_it(
    decoded: list[str],
) -> None:
    with override_settings(DJSESSION={**WITHOUT_DATABASE, "FORMATS": ["jwt"]}):
        assert by_asgi("/whoami", app=around_django(), HTTP_COOKIE=cookie()).code == 403


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_djangos_error_page_shows_no_session_of_the_asgi_middleware(is_async: bool) -> None:
    requests: list[HttpRequest] = []
    reports: list[str] = []

    def fail(request: HttpRequest) -> HttpResponse:
        requests.append(request)
        assert request.scope["djsession.session"] == XIA
        raise LookupError

    async def afail(request: HttpRequest) -> HttpResponse:
        return fail(request)

    def report(request: HttpRequest) -> HttpResponse:
        reporter = ExceptionReporter(request, *sys.exc_info())
        reports.extend([reporter.get_traceback_text(), reporter.get_traceback_html()])
        return HttpResponse(status=500)

    urls = urlconf([path("", afail if is_async else fail)], handler500=report)
    with override_settings(ROOT_URLCONF=urls, DJSESSION=WITHOUT_DATABASE):
        assert by_asgi("/", app=around_django(), HTTP_COOKIE=cookie()).code == 500
    assert len(reports) == 2
    [request] = requests
    assert not [name for name in request.META if name.startswith("djsession")]
    token = cookie().partition('"')[2]
    for text in reports:
        assert "LookupError" in text
        assert "djsession.decoded" not in text
        for secret in (KEY, XIA["site"]["email"], XIA["roles"]["manager"][0]["email"], token[:30]):
            assert secret not in text


def trusting(address: str) -> Any:
    ours = {**WITHOUT_DATABASE, "TRUSTED_PROXIES": [address, "unix"]}
    return override_settings(DJSESSION=ours)


@pytest.mark.parametrize(
    ("client", "forwarded", "code"),
    [
        (("10.0.0.7", 50_000), "192.0.2.1", 200),
        (("192.0.2.1", 50_000), "10.0.0.7", 403),
        # What the proxy middleware of uvicorn and Hypercorn leaves.
        (("10.0.0.7", 0), "10.0.0.7", 403),
        (("10.0.0.7", 1), "10.0.0.7:1", 403),
        (("", 0), "", 403),
        (None, "10.0.0.7", 200),
    ],
)
def test_the_peer_in_django_under_asgi_is_the_address_of_the_connection(
    client: Any, forwarded: str, code: int
) -> None:
    headers = {"HTTP_COOKIE": cookie(), "HTTP_X_FORWARDED_FOR": forwarded}
    with trusting("10.0.0.7"):
        assert by_asgi("/whoami", scope={"client": client}, **headers).code == code
        for settings in ({}, {"allowed_no_session": ["/whoami"]}):
            app = around_django(trusted_proxies=["10.0.0.7", "unix"], **settings)
            assert by_asgi("/whoami", app=app, scope={"client": client}, **headers).code == code


def test_what_the_asgi_middleware_found_is_not_in_request_meta() -> None:
    scope = make_scope((b"cookie", cookie().encode()))
    decode_scope(make_gate(), scope)
    added = set(scope) - set(make_scope())
    assert added == {"djsession.decoded", "djsession.session", "user", "auth"}
