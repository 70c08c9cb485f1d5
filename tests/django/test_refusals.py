"""A refused request: the project's own 403, which stores nothing and may not be stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.sessions.models import Session as Row
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import engines
from django.test import AsyncRequestFactory, Client, override_settings
from django.urls import path

from djsession import dumps
from djsession.django.middleware import SessionMiddleware
from tests.django.views import nothing
from tests.helpers.django_clients import as_user, cookie, read, run, store
from tests.helpers.django_handlers import by_asgi, by_wsgi, urlconf
from tests.helpers.sessions import KEY, OTHER_KEY
from tests.helpers.wsgi import Answer

Send = Callable[..., Answer]

REFUSED: dict[str, dict[str, str]] = {
    "nothing": {},
    "garbage": {"HTTP_COOKIE": "sessionid=garbage"},
    "another key": {"HTTP_COOKIE": cookie(key=OTHER_KEY)},
    "an empty header": {"HTTP_COOKIE": cookie(), "HTTP_AUTHORIZATION": "Bearer"},
    "two sessions": {
        "HTTP_COOKIE": cookie(),
        "HTTP_AUTHORIZATION": f"Bearer {dumps({'username': 'alice'}, KEY, 'jwt')}",
    },
    "a script name": {"HTTP_SCRIPT_NAME": "/"},
}


@pytest.fixture(params=[by_wsgi, by_asgi], ids=["WSGI", "ASGI"])
def send(request: pytest.FixtureRequest) -> Send:
    function: Send = request.param
    return function


@pytest.mark.usefixtures("db")
def test_every_refusal_is_the_projects_own_page_with_the_same_headers(send: Send) -> None:
    answers = {
        cause: send(target, **meta)
        for cause, meta in REFUSED.items()
        for target in ("/", "/whoami", "/no/such/page")
    }
    assert len({str(answer) for answer in answers.values()}) == 1
    answer = answers["nothing"]
    assert answer.code == 403
    assert answer.body.startswith(b"<h1>Not for you</h1>")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Vary"] == "Cookie, Authorization"
    assert "Set-Cookie" not in answer.headers


def say_public(request: HttpRequest, exception: Exception) -> HttpResponse:
    headers = {"Cache-Control": "public, max-age=60", "Vary": "Accept"}
    return HttpResponse("mine", status=403, headers=headers)


@pytest.mark.usefixtures("db")
def test_a_handler_of_the_project_does_not_choose_the_caching_headers(send: Send) -> None:
    with override_settings(ROOT_URLCONF=urlconf([], handler403=say_public)):
        answer = send("/")
    assert (answer.code, answer.body) == (403, b"mine")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Vary"] == "Cookie, Authorization"


def test_a_403_of_a_view_is_not_a_refusal_of_the_gate(send: Send) -> None:
    with override_settings(DJSESSION={"USER_SOURCE": "session"}):
        answer = send("/course/", HTTP_COOKIE=cookie({"username": "dana"}))
    assert answer.code == 403
    assert answer.headers["Cache-Control"] == "private"


def write(request: HttpRequest) -> None:
    request.session["cart"] = "apple"


def save(request: HttpRequest) -> None:
    request.session["cart"] = "apple"
    request.session.save()


def create(request: HttpRequest) -> None:
    request.session.create()
    request.session["cart"] = "apple"
    request.session.save(must_create=True)


def renew(request: HttpRequest) -> None:
    request.session.cycle_key()
    request.session.set_expiry(300)
    request.session.modified = True


def empty(request: HttpRequest) -> None:
    request.session.clear()
    request.session.save()


def save_local(request: HttpRequest) -> None:
    local = request.session.local
    local["cart"] = "apple"
    local.save()
    local.create()
    local.save()
    local.cycle_key()


WRITERS = [
    write,
    save,
    create,
    renew,
    empty,
    save_local,
    lambda request: request.session.flush(),
    logout,
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("engine", ["db", "signed_cookies"])
def test_a_refused_request_stores_nothing_in_the_local_session(send: Send, engine: str) -> None:
    local = {
        "LOCAL_SESSION_ENGINE": f"django.contrib.sessions.backends.{engine}",
        "ALLOWED_NO_SESSION": ["/open/"],
    }
    with override_settings(DJSESSION=local):
        xia, visitor = as_user(Client()), Client()
        for client, target in ((xia, "/session"), (visitor, "/open/session")):
            store(client, "cart", "pear", target)
        before = list(Row.objects.order_by("pk").values())
        for writer in WRITERS:
            for client in (xia, visitor, None):
                for save_always in (False, True):
                    with override_settings(SESSION_SAVE_EVERY_REQUEST=save_always):
                        check_that_nothing_is_sent(send, writer, client)
        assert list(Row.objects.order_by("pk").values()) == before
        assert read(xia, "cart") == "pear"
        assert read(visitor, "cart", path="/open/session") == "pear"


def check_that_nothing_is_sent(
    send: Send, writer: Callable[[HttpRequest], None], client: Client | None
) -> None:
    def handler(request: HttpRequest, exception: Exception) -> HttpResponse:
        assert request.session.get("cart") is None
        writer(request)
        return HttpResponse(status=403)

    local = f"djsession_local={client.cookies['djsession_local'].value}" if client else ""
    with override_settings(ROOT_URLCONF=urlconf([], handler403=handler)):
        answer = send("/", HTTP_COOKIE=f"{local}; sessionid=garbage")
    assert answer.code == 403
    # The cookie is not deleted either, since the session that it names still exists.
    assert "Set-Cookie" not in answer.headers


@pytest.mark.usefixtures("db")
def test_a_403_template_of_the_project_stores_nothing(send: Send) -> None:
    def handler(request: HttpRequest, exception: Exception) -> HttpResponse:
        text = "{{ request.session.save }}{{ request.session.set_test_cookie }}"
        template = engines["django"].from_string(text)
        return HttpResponse(template.render({}, request), status=403)

    with override_settings(
        ROOT_URLCONF=urlconf([], handler403=handler),
        DJSESSION={"LOCAL_SESSION_ENGINE": "django.contrib.sessions.backends.db"},
    ):
        answer = send("/", HTTP_COOKIE="djsession_local=" + "a" * 32)
    assert (answer.code, answer.body) == (403, b"NoneNone")
    assert "Set-Cookie" not in answer.headers
    assert Row.objects.count() == 0


@pytest.mark.usefixtures("db")
def test_a_middleware_in_front_gets_the_refusal_as_a_response(send: Send) -> None:
    """An exception would bypass our middleware, and the response would lack our headers."""
    outer = "django.middleware.http.ConditionalGetMiddleware"
    with override_settings(MIDDLEWARE=[outer, *settings.MIDDLEWARE]):
        answer = send("/", HTTP_IF_NONE_MATCH="*")
    assert answer.code == 403
    assert answer.headers["Cache-Control"] == "no-store"


def test_debug_does_not_replace_the_403() -> None:
    with override_settings(DEBUG=True, DJSESSION={}):
        response = Client().get("/")
    assert response.status_code == 403
    assert response.content.startswith(b"<h1>Not for you</h1>")
    assert response.headers["Cache-Control"] == "no-store"


def test_a_refused_request_does_not_reach_a_view() -> None:
    reached: list[Any] = []

    def view(request: HttpRequest) -> HttpResponse:
        reached.append(request)
        return render(request, "403.html")

    with override_settings(ROOT_URLCONF=urlconf([path("", view), path("about/", nothing)])):
        assert Client().get("/").status_code == 403
        assert Client(headers={"Remote-User": "xia"}).get("/").status_code == 403
    assert reached == []


@pytest.mark.django_db(transaction=True)
def test_an_async_middleware_in_front_of_a_refusal_reads_and_stores_nothing() -> None:
    local = {
        "LOCAL_SESSION_ENGINE": "django.contrib.sessions.backends.db",
        "ALLOWED_NO_SESSION": ["/open/"],
    }

    async def scenario(request: Any) -> list[Any]:
        response = await SessionMiddleware(never)(request)
        assert response.status_code == 403
        session = request.session
        found = [
            await session.aget("cart"),
            await session.ahas_key("cart"),
            await session.apop("cart", 0),
        ]
        await session.aset("cart", "apple")
        await session.asave()
        await session.acreate()
        local = await session.aopen_local()
        await local.aset("cart", "apple")
        await local.asave()
        await local.acreate()
        await session.aflush()
        return found

    async def never(request: HttpRequest) -> HttpResponse:
        raise AssertionError

    with override_settings(DJSESSION=local):
        visitor = Client()
        store(visitor, "cart", "pear", path="/open/session")
        before = list(Row.objects.values())
        factory = AsyncRequestFactory()
        factory.cookies["djsession_local"] = visitor.cookies["djsession_local"].value
        assert run(scenario(factory.get("/"))) == [None, False, 0]
        assert list(Row.objects.values()) == before
