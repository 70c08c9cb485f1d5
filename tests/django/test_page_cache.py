"""Caching headers, and Django's own page cache: ``cache_page``, sync and async.

``tests/caching`` does the same over sockets, with the middlewares that cache a whole site.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import cache
from django.core.handlers.wsgi import WSGIHandler
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.middleware.cache import UpdateCacheMiddleware
from django.template.response import TemplateResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_control, cache_page, never_cache
from django.views.decorators.http import condition, require_safe
from django.views.decorators.vary import vary_on_headers

from djsession import SessionMiddleware as WSGIMiddleware
from djsession.django import page_cache
from djsession.django.middleware import SessionMiddleware
from djsession.django.requests import session_of
from tests.helpers.django_clients import as_user, cookie, run
from tests.helpers.django_handlers import connections_kept, urlconf
from tests.helpers.sessions import KEY
from tests.helpers.wsgi import call

MADE = count()
BOTH = "Cookie, Authorization"


def text_for(request: HttpRequest) -> str:
    """Return whom the page is for, and a number that is different for each page made."""
    return f"{session_of(request).username} {next(MADE)}"


def plain(request: HttpRequest) -> HttpResponse:
    return HttpResponse(text_for(request))


async def aplain(request: HttpRequest) -> HttpResponse:
    return HttpResponse(text_for(request))


def template(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, "page.html", {"text": text_for(request)})


class ClassView(View):  # type: ignore[misc]
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(text_for(request))


def cart(request: HttpRequest) -> HttpResponse:
    """Write without reading."""
    text = text_for(request)
    request.session["cart"] = text
    return HttpResponse(text)


async def acart(request: HttpRequest) -> HttpResponse:
    text = text_for(request)
    await request.session.aset("cart", text)
    return HttpResponse(text)


def cart_in_template(request: HttpRequest) -> TemplateResponse:
    """Write while the page is rendered, after the view."""
    return TemplateResponse(request, "cart.html", {"text": text_for(request)})


def basket(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.session.get("cart")))


async def abasket(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await request.session.aget("cart")))


def basket_later(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(str(request.session.get("cart")) for _ in range(1))


async def abasket_later(request: HttpRequest) -> StreamingHttpResponse:
    async def stream() -> AsyncIterator[str]:
        yield str(await request.session.aget("cart"))

    return StreamingHttpResponse(stream())


def with_headers(cache_control: str, vary: str = "") -> Callable[[HttpRequest], HttpResponse]:
    def view(request: HttpRequest) -> HttpResponse:
        headers = {"Cache-Control": cache_control} | ({"Vary": vary} if vary else {})
        return HttpResponse(text_for(request), headers=headers)

    return view


stored = cache_page(60)
VIEWS: dict[str, Any] = {
    "plain": stored(plain),
    "async": stored(aplain),
    "template": stored(template),
    "class": stored(ClassView.as_view()),
    "method": method_decorator(stored, "dispatch")(ClassView).as_view(),
    "inside": require_safe(stored(plain)),
    "outside": stored(require_safe(plain)),
    "twice": stored(stored(plain)),
    "vary": stored(vary_on_headers("Accept")(plain)),
    "vary-outside": vary_on_headers("Accept")(stored(plain)),
    "no-store": stored(cache_control(no_store=True)(plain)),
    "Private": stored(with_headers("Private")),
    "no-store-star": stored(with_headers("no-store", "*")),
    "star": stored(with_headers("max-age=60", "*")),
    "never": stored(never_cache(plain)),
    "etag": stored(condition(etag_func=lambda request: '"same-for-all"')(plain)),
}
CARTS = {
    "cart": stored(cart),
    "acart": stored(acart),
    "cart-in-template": stored(cart_in_template),
    "cart-no-store": stored(cache_control(no_store=True)(cart)),
}

URLS = urlconf(
    [
        *(
            path(f"{prefix}{name}", view)
            for name, view in {**VIEWS, **CARTS}.items()
            for prefix in ("", "open/")
        ),
        path("open/basket", stored(basket)),
        path("open/abasket", stored(abasket)),
        path("open/public", stored(with_headers("public, max-age=60"))),
        path("open/fresh", plain),
        path("open/fresh-cart", cart),
        path("open/fresh-basket", basket),
        path("open/basket-later", basket_later),
        path("open/abasket-later", abasket_later),
        path("open/missing", lambda request: (_ for _ in ()).throw(Http404)),
        path("fresh", plain),
    ]
)
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "loaders": [
                (
                    "django.template.loaders.locmem.Loader",
                    {
                        "page.html": "{{ text }}",
                        "cart.html": "{{ text }}{{ request.session.set_test_cookie|default:'' }}",
                        "403.html": "Not for you",
                    },
                )
            ],
            "context_processors": ["django.template.context_processors.request"],
        },
    }
]


@pytest.fixture(autouse=True)
def _project() -> Iterator[None]:
    # The default engine keeps a cart in its cookie: no database is needed.
    caches = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    with override_settings(
        ROOT_URLCONF=URLS,
        TEMPLATES=TEMPLATES,
        CACHES=caches,
        DJSESSION={"ALLOWED_NO_SESSION": ["/open/"]},
    ):
        cache.clear()
        yield
        cache.clear()


Get = Callable[..., Any]


def by_client(
    target: str, session: dict[str, Any] | None = None, local: str = "", **headers: str
) -> Any:
    return prepared(Client(), session, local).get(target, headers=headers)


def by_async_client(
    target: str, session: dict[str, Any] | None = None, local: str = "", **headers: str
) -> Any:
    return run(prepared(AsyncClient(), session, local).get(target, headers=headers))


def prepared(client: Any, session: dict[str, Any] | None, local: str) -> Any:
    if session is not None:
        as_user(client, session)
    if local:
        client.cookies["djsession_local"] = local
    return client


@pytest.fixture(params=[by_client, by_async_client], ids=["WSGI", "ASGI"])
def get(request: pytest.FixtureRequest) -> Get:
    function: Get = request.param
    return function


ALICE, BOB = {"username": "alice"}, {"username": "bob"}


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("name", VIEWS)
def test_cache_page_serves_a_page_of_a_user_to_nobody_else(get: Get, name: str) -> None:
    seen = []
    for session in (ALICE, BOB, ALICE):
        response = get(f"/{name}", session)
        assert response.status_code == 200
        assert response.content.decode().startswith(f"{session['username']} ")
        seen.append(response.content)
        refused = get(f"/{name}")
        assert refused.status_code == 403
        assert refused.headers["Cache-Control"] == "no-store"
    # The second request of the same user is not answered from the cache either.
    assert len(set(seen)) == 3


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("name", VIEWS)
def test_cache_page_shows_each_reader_their_own_open_page(get: Get, name: str) -> None:
    for session in (None, ALICE, None, BOB, {}, ALICE, None):
        username = (session or {}).get("username")
        assert get(f"/open/{name}", session).content.decode().startswith(f"{username} ")


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("name", ["plain", "async", "template", "class", "inside"])
def test_cache_page_stores_a_page_of_visitors_and_does_not_show_it_to_users(
    get: Get, name: str
) -> None:
    first = get(f"/open/{name}")
    assert get(f"/open/{name}").content == first.content
    for session in (ALICE, {}):
        assert get(f"/open/{name}", session).content != first.content
    assert get(f"/open/{name}", authorization="Bearer garbage").content != first.content


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("name", CARTS)
def test_cache_page_serves_the_cart_of_a_visitor_to_nobody_else(get: Get, name: str) -> None:
    replies = [get(f"/open/{name}") for _ in range(3)]
    assert len({reply.content for reply in replies}) == 3
    for reply in replies:
        assert reply.cookies["djsession_local"].value
        assert {"private", "no-store"} & set(reply.headers["Cache-Control"].split(", "))
        assert reply.headers["Vary"] == BOTH


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("name", ["basket", "abasket"])
def test_cache_page_shows_the_basket_of_a_visitor_to_nobody_else(get: Get, name: str) -> None:
    browser = Client()
    text = browser.get("/open/fresh-cart").content
    for _ in range(2):
        local = browser.cookies["djsession_local"].value
        assert get(f"/open/{name}", local=local).content == text
        assert get(f"/open/{name}").content == b"None"


@pytest.mark.usefixtures("db")
def test_a_stream_that_may_read_the_basket_later_is_private() -> None:
    browser = Client()
    text = browser.get("/open/fresh-cart").content
    local = browser.cookies["djsession_local"].value
    response = by_client("/open/basket-later", local=local)
    assert response.headers["Cache-Control"] == "private"
    assert response.headers["Vary"] == BOTH
    assert response.getvalue() == text
    assert "Cache-Control" not in by_client("/open/basket-later").headers

    async def areply(local: str) -> tuple[str | None, bytes]:
        client = prepared(AsyncClient(), None, local)
        response = await client.get("/open/abasket-later")
        parts = [part async for part in response.streaming_content]
        return response.headers.get("Cache-Control"), b"".join(parts)

    assert run(areply(local)) == ("private", text)
    assert run(areply("")) == (None, b"None")


@pytest.mark.usefixtures("db")
def test_cache_page_answers_head_to_the_same_reader_only() -> None:
    first = Client().get("/open/plain")
    assert Client().head("/open/plain").headers["Expires"] == first.headers["Expires"]
    response = as_user(Client(), ALICE).head("/open/plain")
    assert response.headers["Cache-Control"] == "private"
    assert "Expires" not in response.headers


@pytest.mark.usefixtures("db")
def test_cache_page_stores_a_public_page_for_all(get: Get) -> None:
    first = get("/open/public")
    for session in (None, ALICE):
        response = get("/open/public", session)
        assert response.content == first.content
        assert "Vary" not in response.headers
        assert "private" not in response.headers["Cache-Control"]


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("outside", [False, True], ids=["inside", "outside"])
def test_a_304_of_django_has_the_caching_headers(get: Get, outside: bool) -> None:
    conditional = "django.middleware.http.ConditionalGetMiddleware"
    ours = list(settings.MIDDLEWARE)
    place = 0 if outside else len(ours)
    with override_settings(
        MIDDLEWARE=[*ours[:place], conditional, *ours[place:]],
        ROOT_URLCONF=urlconf([path("", lambda request: HttpResponse("the same"))]),
        DJSESSION={"ALLOWED_NO_SESSION": ["/"]},
    ):
        etag = get("/").headers["ETag"]
        for session, private in ((ALICE, "private"), (None, None)):
            response = get("/", session, if_none_match=etag)
            assert response.status_code == 304
            assert response.headers.get("Cache-Control") == private
            assert response.headers["Vary"] == BOTH


@pytest.mark.usefixtures("db")
def test_cache_page_answers_304_to_the_same_reader(get: Get) -> None:
    etag = '"same-for-all"'
    for session, private in ((ALICE, True), (None, False), (BOB, True)):
        response = get("/open/etag", session, if_none_match=etag)
        assert response.status_code == 304
        assert ("private" in response.headers.get("Cache-Control", "")) is private
        assert response.headers["Vary"] == BOTH


@pytest.mark.usefixtures("db")
def test_every_response_of_django_that_passes_has_the_caching_headers(get: Get) -> None:
    for target, session, private in (
        ("/fresh", ALICE, "private"),
        ("/fresh", {}, "private"),
        ("/open/fresh", ALICE, "private"),
        ("/open/fresh", None, None),
        ("/open/fresh-cart", None, "private"),
        ("/open/fresh-basket", None, "private"),
        ("/open/missing", ALICE, "private"),
        ("/open/missing", None, None),
        ("/no-such", ALICE, "private"),
    ):
        response = get(target, session)
        assert response.headers.get("Cache-Control") == private, (target, session)
        assert response.headers["Vary"] == BOTH


@pytest.mark.usefixtures("db")
def test_the_cache_of_a_project_behind_the_middleware_for_wsgi_only() -> None:
    """``cache_page`` stores before that middleware sees the response."""
    with override_settings(MIDDLEWARE=[]):
        application = WSGIMiddleware(WSGIHandler(), secret_key=KEY, allowed_no_session=["/open/"])

        def body(target: str, **headers: str) -> str:
            with connections_kept():
                environ = RequestFactory().get(target, headers=headers).environ
                return call(application, environ).body.decode()

        for name in ("plain", "template"):
            for session in (ALICE, BOB, ALICE):
                expected = f"{session['username']} "
                assert body(f"/{name}", cookie=cookie(session)).startswith(expected)
                assert body(f"/open/{name}", cookie=cookie(session)).startswith(expected)
                assert body(f"/open/{name}").startswith("None ")


@pytest.mark.parametrize(
    ("session", "headers", "is_stored"),
    [
        (ALICE, {"Cache-Control": "no-store"}, False),
        (ALICE, {"Cache-Control": "Private"}, False),
        (ALICE, {"Cache-Control": "no-store", "Vary": "*"}, False),
        (ALICE, {}, False),
        (ALICE, {"Cache-Control": "public"}, True),
        (None, {}, True),
    ],
    ids=str,
)
def test_nothing_of_a_user_reaches_the_page_cache_of_any_django_version(
    session: dict[str, Any] | None,
    headers: dict[str, str],
    is_stored: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Older versions of Django store responses that newer ones do not."""
    passed: list[HttpResponse] = []

    def process_response(self: Any, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        passed.append(response)
        return response

    monkeypatch.setattr(UpdateCacheMiddleware, "process_response", process_response)
    page_cache.install()

    def view(request: HttpRequest) -> HttpResponse:
        return UpdateCacheMiddleware(plain).process_response(request, HttpResponse(headers=headers))

    meta = {} if session is None else {"HTTP_COOKIE": cookie(session)}
    response = SessionMiddleware(view)(RequestFactory().get("/open/fresh", **meta))
    assert response.status_code == 200
    assert bool(passed) is is_stored
