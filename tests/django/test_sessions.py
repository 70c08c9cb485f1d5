"""request.session: the proxy's part read-only, the application's part bound to its user."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session as Row
from django.http import HttpRequest, HttpResponse
from django.test import (
    AsyncClient,
    AsyncRequestFactory,
    Client,
    RequestFactory,
    override_settings,
)
from django.urls import path
from django.utils import timezone

from djsession import DjsessionError, dumps
from djsession.django import conf
from djsession.django.backends import encrypted_cookies, jwt_session_store
from djsession.django.middleware import SessionMiddleware
from djsession.errors import ProxiedKeyError
from tests.helpers.django_clients import as_user, avisit, cookie, read, respond, run, store, visit
from tests.helpers.django_handlers import urlconf
from tests.helpers.sessions import KEY, XIA

ALICE = {**XIA, "username": "alice"}
ENGINES = ["signed_cookies", "db", "cache", "cached_db", "file"]


def engine(name: str, **more: Any) -> Any:
    return override_settings(
        DJSESSION={
            "LOCAL_SESSION_ENGINE": f"django.contrib.sessions.backends.{name}",
            "ALLOWED_NO_SESSION": ["/open/"],
            **more,
        }
    )


@pytest.fixture(params=ENGINES)
def any_engine(request: pytest.FixtureRequest, db: None) -> Any:
    with engine(request.param):
        yield request.param


def test_request_session_reads_what_the_proxy_sent(xia: Client) -> None:
    def steps(session: Any) -> None:
        assert session.get("username") == "xia"
        assert session.get("roles", {}) == XIA["roles"]
        assert session.get("nothing", 7) == 7
        assert "site" in session
        assert session.has_key("username")
        assert list(session.keys()) == list(XIA)

    visit(xia, steps)


def test_what_a_view_writes_is_there_at_the_next_request(any_engine: str, xia: Client) -> None:
    def first(session: Any) -> None:
        session["cart"] = ["apple"]
        session.update({"color": "red", "n": 1})

    def second(session: Any) -> None:
        assert session.get("cart") == ["apple"]
        assert session.get("color") == "red"
        assert session.pop("n") == 1

    def third(session: Any) -> None:
        assert session.get("n") is None
        assert session.setdefault("m", 2) == 2

    def fourth(session: Any) -> None:
        assert session.get("m") == 2
        assert list(session.keys()) == ["cart", "color", "m", *XIA]

    for steps in (first, second, third, fourth):
        visit(xia, steps)


@pytest.mark.parametrize("name", ENGINES)
def test_the_asynchronous_methods_of_request_session(name: str, transactional_db: None) -> None:
    async def write(session: Any) -> None:
        await session.aset("cart", ["apple"])
        await session.aupdate({"color": "red", "n": 1})

    async def take_out(session: Any) -> None:
        assert await session.aget("cart") == ["apple"]
        assert await session.aget("username") == "xia"
        assert await session.apop("n") == 1
        assert await session.apop("none", 3) == 3

    async def look(session: Any) -> None:
        assert not await session.ahas_key("n")
        assert await session.ahas_key("roles")
        assert await session.asetdefault("m", 2) == 2
        assert await session.asetdefault("color", "blue") == "red"
        assert list(await session.akeys()) == ["cart", "color", "m", *XIA]
        assert len(list(await session.avalues())) == 3 + len(XIA)

    async def set_test_cookie(session: Any) -> None:
        await session.aset_test_cookie()

    async def delete_test_cookie(session: Any) -> None:
        assert await session.atest_cookie_worked()
        await session.adelete_test_cookie()

    async def set_expiry(session: Any) -> None:
        assert not await session.atest_cookie_worked()
        await session.aset_expiry(300)

    async def cycle_key(session: Any) -> None:
        assert 290 < await session.aget_expiry_age() <= 300
        await session.acycle_key()

    async def flush(session: Any) -> None:
        assert await session.aget("color") == "red"
        await session.aflush()

    async def create(session: Any) -> None:
        assert await session.aget("color") is None
        assert await session.aget("username") == "xia"
        await session.acreate()

    async def save(session: Any) -> None:
        await session.aset("late", 1)
        await session.asave()

    async def look_again(session: Any) -> None:
        assert await session.aget("late") == 1

    async def scenario() -> None:
        client = as_user(AsyncClient())
        for steps in (write, take_out, look, set_test_cookie, delete_test_cookie, set_expiry):
            await avisit(client, steps)
        for steps in (cycle_key, flush, create, save, look_again):
            await avisit(client, steps)

    with engine(name):
        run(scenario())


@pytest.mark.parametrize("key", ["username", "roles", "site", "last_visited"])
def test_what_the_proxy_sent_is_read_only_in_request_session(key: str, xia: Client) -> None:
    writes: list[Any] = [
        lambda session: session.__setitem__(key, 1),
        lambda session: session.update({"a": 1, key: 2}),
        lambda session: session.pop(key),
        lambda session: session.__delitem__(key),
    ]
    for write in writes:
        with pytest.raises(ProxiedKeyError, match=f"{key}.*read-only"):
            visit(xia, write)
    # The application cannot set it either where the proxy sent nothing.
    with pytest.raises(ProxiedKeyError):
        store(as_user(Client(), {}), key, "xia")
    assert issubclass(ProxiedKeyError, DjsessionError)


def test_a_key_that_the_proxy_does_not_send_is_not_read_from_what_the_application_wrote() -> None:
    client = as_user(Client(), {"username": "dana"})
    store(client, "more", 1)
    assert read(client, "roles") is None
    assert read(client, "more") == 1
    assert visit(client, lambda session: "_djsession_user" in session) is False


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["_auth_user_id", "_auth_user_backend", "_auth_user_hash"])
def test_a_session_cannot_name_the_user_as_django_does(name: str) -> None:
    evil = {**XIA, name: "4711"}

    def look(session: Any) -> None:
        assert session.get(name) != "4711"
        assert name not in list(session.keys())
        assert "4711" not in str(list(session.items()))

    async def alook(session: Any) -> None:
        assert await session.aget(name) != "4711"
        assert name not in await session.akeys()
        assert "4711" not in str(list(await session.aitems()))

    visit(as_user(Client(), evil), look)
    run(avisit(as_user(AsyncClient(), evil), alook))


@pytest.mark.django_db
def test_the_frameworks_own_keys_are_not_the_proxys() -> None:
    odd = {**XIA, "_session_expiry": "zz", "_messages": 5, "_csrftoken": [], "_mine": 1}
    client = as_user(Client(), odd)

    def steps(session: Any) -> None:
        assert session.get("_mine") is None
        assert session.get_expiry_age() == 1209600
        assert session.setdefault("_mine", 2) == 2
        assert session.get("_mine") == 2
        assert "_messages" not in list(session.keys())

    visit(client, steps)
    assert client.get("/messages").status_code == 200


def test_the_local_session_is_opened_only_when_asked_for(db: None, xia: Client) -> None:
    with engine("db"):
        store(xia, "a", 1)
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(
            connection,
        ) as queries:
            read(xia, "username")
            visit(xia, lambda session: "roles" in session)
        assert len(queries) == 0
        with CaptureQueriesContext(connection) as queries:
            response = respond(xia, lambda session: session["a"])
        assert len(queries) == 1  # it was read, but not saved
        assert not response.cookies


def test_the_local_session_has_a_cookie_of_its_own(xia: Client) -> None:
    def write(session: Any) -> None:
        session["a"] = 1

    response = respond(xia, write)
    assert list(response.cookies) == ["djsession_local"]
    morsel = response.cookies["djsession_local"]
    assert morsel["httponly"]
    assert morsel["samesite"] == "Lax"
    assert morsel["max-age"] == 1209600
    with engine("signed_cookies", LOCAL_SESSION_COOKIE_NAME="mine"):
        response = respond(as_user(Client()), write)
        assert list(response.cookies) == ["mine"]


def test_another_user_of_the_browser_finds_no_local_session(any_engine: str) -> None:
    browser = as_user(Client())
    store(browser, "cart", ["apple"])
    for other in (ALICE, {}):
        as_user(browser, other)
        assert read(browser, "cart") is None
    as_user(browser, XIA)
    assert read(browser, "cart") == ["apple"]  # nobody else has written
    as_user(browser, ALICE)
    store(browser, "cart", ["pear"])
    assert read(browser, "cart") == ["pear"]
    as_user(browser, XIA)
    assert read(browser, "cart") is None


def test_another_user_does_not_write_into_the_row_of_the_first(db: None) -> None:
    with engine("db"):
        browser = as_user(Client())
        store(browser, "cart", ["apple"])
        first = browser.cookies["djsession_local"].value
        as_user(browser, ALICE)
        store(browser, "cart", ["pear"])
        assert browser.cookies["djsession_local"].value != first
        assert DatabaseStore(first)["cart"] == ["apple"]


def test_a_garbled_cookie_of_the_local_session_counts_as_none(any_engine: str, xia: Client) -> None:
    xia.cookies["djsession_local"] = "garbage-garbage"
    assert read(xia, "a") is None
    store(xia, "a", 1)
    assert read(xia, "a") == 1


def test_flush_forgets_what_is_local_and_takes_the_cookie_away(any_engine: str) -> None:
    client = as_user(Client())
    store(client, "a", 1)

    def steps(session: Any) -> None:
        session.flush()
        assert session.get("username") == "xia"

    response = respond(client, steps)
    assert response.cookies["djsession_local"]["max-age"] == 0
    assert read(client, "a") is None
    assert read(client, "username") == "xia"


def test_djangos_logout_flushes_the_local_session(db: None, xia: Client) -> None:
    with engine("db"):
        store(xia, "a", 1)
        assert Row.objects.count() == 1
        response = xia.get("/logout-view")
        assert response.content == b"True"
        assert Row.objects.count() == 0
        assert read(xia, "a") is None
        assert xia.get("/whoami").json()["user"] == "xia"  # until the proxy says otherwise


def test_cycle_key_changes_the_key_and_keeps_the_data(db: None, xia: Client) -> None:
    with engine("db"):
        store(xia, "a", 1)
        before = xia.cookies["djsession_local"].value
        visit(xia, lambda session: session.cycle_key())
        assert xia.cookies["djsession_local"].value != before
        assert read(xia, "a") == 1
        # Without local data there is nothing to protect, so no row is made.
        visit(as_user(Client(), ALICE), lambda session: session.cycle_key())
        assert Row.objects.count() == 1


def test_test_cookies_and_expiry_of_the_local_session(any_engine: str, xia: Client) -> None:
    visit(xia, lambda session: session.set_test_cookie())
    assert visit(xia, lambda session: session.test_cookie_worked()) is True
    visit(xia, lambda session: session.delete_test_cookie())
    assert visit(xia, lambda session: session.test_cookie_worked()) is False
    visit(xia, lambda session: session.set_expiry(300))
    assert 290 < visit(xia, lambda session: session.get_expiry_age()) <= 300
    assert xia.cookies["djsession_local"]["max-age"] == 300
    visit(xia, lambda session: session.set_expiry(0))
    assert visit(xia, lambda session: session.get_expire_at_browser_close()) is True
    assert xia.cookies["djsession_local"]["max-age"] == ""
    visit(xia, lambda session: session.set_expiry(None))
    assert visit(xia, lambda session: session.get_expire_at_browser_close()) is False


def in_request(view: Any, **meta: Any) -> HttpResponse:
    """Call a function with request.session, inside the middleware."""

    def get_response(request: HttpRequest) -> HttpResponse:
        view(request.session)
        return HttpResponse()

    return SessionMiddleware(get_response)(RequestFactory().get("/", HTTP_COOKIE=cookie(), **meta))


def test_the_rest_of_the_session_api() -> None:
    def view(session: Any) -> None:
        assert session.is_empty() is False
        assert bool(session) is True
        assert session.modified is False
        session["nested"] = {"a": 1}
        session.modified = False
        session["nested"]["a"] = 2
        assert session.modified is False
        session.modified = True
        assert session.modified is True
        assert dict(session.items())["nested"] == {"a": 2}
        assert set(session) == {"nested", *XIA}
        assert {"a": 2} in list(session.values())
        assert session.load()["username"] == "xia"
        session.set_expiry(timedelta(hours=1))
        assert 3590 <= session.get_expiry_age() <= 3600
        assert session.get_expiry_date() > timezone.now()
        del session["nested"]
        with pytest.raises(KeyError):
            session["nested"]
        with pytest.raises(KeyError):
            del session["nested"]
        assert session.pop("nested", None) is None
        with pytest.raises(KeyError):
            session.pop("nested")
        session["a"] = 1
        session.clear()
        assert session.get("a") is None
        assert session["username"] == "xia"
        assert session.decode(session.encode({"a": 1})) == {"a": 1}

    in_request(view)


def test_create_save_exists_and_delete_of_request_session(db: None) -> None:
    def view(session: Any) -> None:
        assert session.session_key is None
        session.create()
        key = session.session_key
        assert key is not None
        assert len(key) == 32
        assert session.exists(key)
        session["a"] = 1
        session.save()
        assert DatabaseStore(key)["a"] == 1
        session.delete(key)
        assert not session.exists(key)
        session.create()

    with engine("db"):
        response = in_request(view)
        assert len(response.cookies["djsession_local"].value) == 32


def test_a_local_session_deleted_meanwhile_is_a_400_as_in_django(db: None) -> None:
    def view(session: Any) -> None:
        session["a"] = 2
        Row.objects.all().delete()

    with engine("db"):
        client = as_user(Client())
        store(client, "a", 1)
        value = client.cookies["djsession_local"].value
        response = in_request_with(view, value)
        assert response.status_code == 400
        assert response.headers["Cache-Control"] == "private"
        assert response.headers["Vary"] == "Cookie, Authorization"
        assert not response.cookies


@pytest.mark.django_db(transaction=True)
def test_a_local_session_deleted_meanwhile_is_a_400_in_an_async_view() -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        await request.session.aset("a", 2)
        await Row.objects.all().adelete()
        return HttpResponse()

    with engine("db"):
        client = as_user(AsyncClient())
        run(avisit(client, lambda session: session.aset("a", 1)))
        with override_settings(ROOT_URLCONF=urlconf([path("", view)])):
            response = run(client.get("/"))
        assert response.status_code == 400
        assert response.headers["Cache-Control"] == "private"
        assert "djsession_local" not in response.cookies


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_store_that_fails_is_a_500_with_the_caching_headers(
    is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("no space left")

    async def afail(*args: Any, **kwargs: Any) -> None:
        fail()

    async def awrite(request: HttpRequest) -> HttpResponse:
        await request.session.aset("a", 1)
        return HttpResponse()

    with engine("db"):
        monkeypatch.setattr(DatabaseStore, "save", fail)
        monkeypatch.setattr(DatabaseStore, "asave", afail)
        if is_async:
            client = as_user(AsyncClient(raise_request_exception=False))
            with override_settings(ROOT_URLCONF=urlconf([path("", awrite)])):
                response = run(client.get("/"))
        else:
            client = as_user(Client(raise_request_exception=False))
            response = respond(client, lambda session: session.__setitem__("a", 1))
    assert response.status_code == 500
    assert response.headers["Cache-Control"] == "private"
    assert not response.cookies


def in_request_with(view: Any, local: str) -> HttpResponse:
    def get_response(request: HttpRequest) -> HttpResponse:
        view(request.session)
        return HttpResponse()

    request = RequestFactory().get("/", HTTP_COOKIE=f"{cookie()}; djsession_local={local}")
    return SessionMiddleware(get_response)(request)


def test_nothing_is_saved_of_a_request_that_failed() -> None:
    def get_response(request: HttpRequest) -> HttpResponse:
        request.session["a"] = 1
        return HttpResponse(status=500)

    response = SessionMiddleware(get_response)(RequestFactory().get("/", HTTP_COOKIE=cookie()))
    assert not response.cookies


def test_save_every_request_renews_the_cookie(xia: Client) -> None:
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        assert not xia.get("/").cookies
        store(xia, "a", 1)
        assert "djsession_local" in xia.get("/").cookies


def test_the_class_of_deployutils_setting_is_the_local_session(db: None) -> None:
    with override_settings(
        DEPLOYUTILS={"BACKEND_SESSION_STORE": "django.contrib.sessions.backends.db.SessionStore"},
        DJSESSION={},
    ):
        client = as_user(Client())
        store(client, "a", 1)
        assert read(client, "a") == 1
        assert Row.objects.count() == 1


def test_expired_rows_are_cleared_by_the_command(transactional_db: None, xia: Client) -> None:
    from django.core.management import call_command

    with engine("db"):
        visit(xia, lambda session: session.update({"a": 1}) or session.set_expiry(-5))
        assert Row.objects.count() == 1
        call_command("clearsessions")
        assert Row.objects.count() == 0
        run(encrypted_cookies.SessionStore.aclear_expired())


@pytest.mark.parametrize("storage", ["session", "cookie", "fallback"])
def test_messages_of_every_storage(storage: str, xia: Client) -> None:
    name = storage.capitalize() + "Storage"
    with override_settings(MESSAGE_STORAGE=f"django.contrib.messages.storage.{storage}.{name}"):
        xia.post("/messages", {"message": "saved"})
        assert xia.get("/messages").json() == ["saved"]
        assert xia.get("/messages").json() == []


def test_the_csrf_token_may_be_in_the_session() -> None:
    with override_settings(CSRF_USE_SESSIONS=True):
        client = as_user(Client(enforce_csrf_checks=True))
        token = client.get("/form").content.decode()
        assert client.post("/form", {"csrfmiddlewaretoken": token}).status_code == 200
        assert client.post("/form", {}).status_code == 403
        # Another user's token does not count.
        as_user(client, ALICE)
        assert client.post("/form", {"csrfmiddlewaretoken": token}).status_code == 403


@pytest.mark.parametrize(
    ("module", "format"), [(encrypted_cookies, "openssl"), (jwt_session_store, "jwt")]
)
def test_each_engine_writes_its_format_and_reads_both(module: Any, format: Any) -> None:
    from djsession import dumps, loads
    from djsession.codec import token_format

    for known in ("openssl", "jwt"):
        store = module.SessionStore(dumps(XIA, KEY, format=known))
        assert store["username"] == "xia"
        token = store.session_key
        assert token_format(token) == format
        assert loads(token, KEY).username == "xia"


def test_a_session_store_made_of_garbage_is_empty() -> None:
    store = encrypted_cookies.SessionStore("garbage")
    assert store.get("username") is None
    assert store.is_empty()


def test_a_store_without_a_request_is_empty_where_the_peer_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def username() -> Any:
        return encrypted_cookies.SessionStore(dumps(XIA, KEY)).get("username")

    with override_settings(DJSESSION={"TRUSTED_PROXIES": ["10.0.0.7"]}):
        # Test clients have no peer.
        assert username() == "xia"
        monkeypatch.setattr(conf, "is_test_environment", lambda: False)
        assert username() is None
    assert username() == "xia"


def test_reading_a_key_of_the_proxy_does_not_open_the_local_session() -> None:
    request = RequestFactory().get("/", HTTP_COOKIE=cookie())
    SessionMiddleware(lambda request: HttpResponse(request.session["username"]))(request)
    assert request.session.is_local_open is False


def answer_of(view: Any, browser: Any) -> Any:
    """Return the response to an asynchronous view of a browser, by ASGI."""

    async def scenario() -> Any:
        return await browser.get("/")

    with override_settings(ROOT_URLCONF=urlconf([path("", view)])):
        return run(scenario())


@pytest.fixture
def abrowser(transactional_db: None) -> Any:
    """A browser with a local session in the database, which an event loop cannot wait for."""
    with engine("db"):
        browser = as_user(AsyncClient())
        run(avisit(browser, lambda session: session.aset("nested", {"n": 1})))
        yield browser


def test_what_does_not_read_the_store_does_not_block_an_async_view(abrowser: Any) -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        session = request.session
        found = [session.session_key, session.is_empty(), bool(session), session.modified]
        session.modified = True
        assert session.modified is True
        assert session.is_local_open is False
        return HttpResponse(repr(found))

    key = abrowser.cookies["djsession_local"].value
    Row.objects.update(expire_date=timezone.now() + timedelta(minutes=1))
    response = answer_of(view, abrowser)
    assert response.content == b"[None, False, True, False]"
    assert response.cookies["djsession_local"].value == key
    assert Row.objects.get().expire_date > timezone.now() + timedelta(hours=1)
    assert DatabaseStore(key)["nested"] == {"n": 1}


def test_session_key_of_a_local_session_that_an_async_view_opened(abrowser: Any) -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        await request.session.aload()
        return HttpResponse(str(request.session.session_key))

    key = abrowser.cookies["djsession_local"].value
    assert answer_of(view, abrowser).content == key.encode()
    assert answer_of(view, as_user(abrowser, ALICE)).content == b"None"


def test_session_key_is_known_to_its_owner_only(db: None) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(request.session.session_key))

    with engine("db"):
        browser = as_user(Client())
        store(browser, "a", 1)
        key = browser.cookies["djsession_local"].value
        with override_settings(ROOT_URLCONF=urlconf([path("", view)])):
            assert browser.get("/").content == key.encode()
            assert as_user(browser, ALICE).get("/").content == b"None"


def test_clear_does_not_block_an_async_view_and_empties_the_row(abrowser: Any) -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        request.session.clear()
        assert request.session.is_local_open is False
        return HttpResponse(str(await request.session.aget("nested")))

    key = abrowser.cookies["djsession_local"].value
    assert answer_of(view, as_user(abrowser, ALICE)).content == b"None"
    assert DatabaseStore(key)["nested"] == {"n": 1}
    abrowser.cookies["djsession_local"] = key
    assert answer_of(view, as_user(abrowser, XIA)).content == b"None"
    assert "nested" not in DatabaseStore(key)
    assert DatabaseStore(key).exists(key)


@pytest.mark.parametrize("is_user", [True, False], ids=["user", "visitor"])
def test_an_empty_session_reads_no_store(is_user: bool, db: None) -> None:
    def emptiness(**meta: Any) -> Any:
        request = RequestFactory().get(
            "/open/", HTTP_COOKIE="; ".join([*([cookie()] if is_user else []), *meta.values()])
        )
        SessionMiddleware(lambda _: HttpResponse())(request)
        assert request.session.is_local_open is False
        return request.session.is_empty(), bool(request.session)

    with engine("db"):
        assert emptiness() == (not is_user, is_user)
        # As in Django: whether the key is known shows when the session is read.
        assert emptiness(local="djsession_local=12345678") == (False, True)
        assert emptiness(local="djsession_local=1234567") == (not is_user, is_user)


def test_load_reads_the_store_again(db: None) -> None:
    def view(session: Any) -> None:
        session["a"] = 2
        assert session.load()["a"] == 1
        assert session["a"] == 2
        Row.objects.all().delete()
        assert "a" not in session.load()
        assert session.load()["username"] == "xia"

    with engine("db"):
        client = as_user(Client())
        store(client, "a", 1)
        in_request_with(view, client.cookies["djsession_local"].value)


def test_aload_reads_the_store_again(abrowser: Any) -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        session = request.session
        await session.aset("nested", 2)
        assert (await session.aload())["nested"] == {"n": 1}
        await Row.objects.all().adelete()
        assert await session.aget("nested") == 2
        return HttpResponse("nested" in await session.aload())

    assert answer_of(view, abrowser).content == b"False"


def test_reading_and_writing_count_as_access() -> None:
    calls: list[Any] = [
        lambda session: session.get("a"),
        lambda session: session.get("username"),
        lambda session: "a" in session,
        lambda session: session.keys(),
        lambda session: session.update({"a": 1}),
        lambda session: session.__setitem__("a", 1),
        lambda session: session.pop("a", None),
        lambda session: session.setdefault("a", 1),
        lambda session: session.clear(),
        lambda session: session.flush(),
        lambda session: session.cycle_key(),
        lambda session: session.save(),
    ]

    def view(session: Any) -> None:
        assert session.accessed is False
        for call in calls:
            session.accessed = False
            call(session)
            assert session.accessed is True

    in_request(view)


def test_the_age_of_the_local_cookie_is_that_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def view(session: Any) -> None:
        assert session.get_expiry_age() == 60

    monkeypatch.setattr(DatabaseStore, "get_session_cookie_age", lambda self: 60)
    with engine("db"):
        in_request(view)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("control", [None, "public, max-age=60"])
def test_a_response_that_renews_the_cookie_varies(is_async: bool, control: str | None) -> None:
    headers = {} if control is None else {"Cache-Control": control}

    async def aview(request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers=headers)

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers=headers)

    visitor = Client()
    store(visitor, "a", 1, path="/open/session")
    factory = AsyncRequestFactory() if is_async else RequestFactory()
    factory.cookies["djsession_local"] = visitor.cookies["djsession_local"].value
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        answer = SessionMiddleware(aview if is_async else view)(factory.get("/open/"))
        response = run(answer) if is_async else answer
    assert "djsession_local" in response.cookies
    assert "Cookie" in response.headers["Vary"]
    assert response.headers["Cache-Control"] == (control or "private")
