"""request.session: the proxy's part read-only, the application's part bound to its user."""

from __future__ import annotations

import json
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
from tests.django.handlers import urlconf
from tests.helpers.django_clients import ado, as_user, cookie, do, run
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


def test_reads_what_the_proxy_sent(xia: Client) -> None:
    found = do(
        xia,
        ["get", "username"],
        ["get", "roles", {}],
        ["get", "nothing", 7],
        ["in", "site"],
        ["has_key", "username"],
        ["keys"],
    )
    assert found == ["xia", XIA["roles"], 7, True, True, list(XIA)]


def test_what_is_written_is_there_at_the_next_request(any_engine: str, xia: Client) -> None:
    do(xia, ["[]=", "cart", ["apple"]], ["update", {"color": "red", "n": 1}])
    assert do(xia, ["get", "cart"], ["get", "color"], ["pop", "n"]) == [["apple"], "red", 1]
    assert do(xia, ["get", "n"], ["setdefault", "m", 2]) == [None, 2]
    assert do(xia, ["get", "m"], ["keys"]) == [2, ["cart", "color", "m", *XIA]]


@pytest.mark.parametrize("name", ENGINES)
def test_the_same_without_blocking(name: str, transactional_db: None) -> None:
    async def scenario() -> None:
        client = as_user(AsyncClient())
        await ado(client, ["aset", "cart", ["apple"]], ["aupdate", {"color": "red", "n": 1}])
        assert await ado(
            client, ["aget", "cart"], ["aget", "username"], ["apop", "n"], ["apop", "none", 3]
        ) == [["apple"], "xia", 1, 3]
        assert await ado(
            client,
            ["ahas_key", "n"],
            ["ahas_key", "roles"],
            ["asetdefault", "m", 2],
            ["asetdefault", "color", "blue"],
            ["akeys"],
        ) == [False, True, 2, "red", ["cart", "color", "m", *XIA]]
        assert len((await ado(client, ["avalues"]))[0]) == 3 + len(XIA)
        await ado(client, ["aset_test_cookie"])
        assert await ado(client, ["atest_cookie_worked"], ["adelete_test_cookie"]) == [True, None]
        assert await ado(client, ["atest_cookie_worked"]) == [False]
        await ado(client, ["aset_expiry", 300])
        assert 290 < (await ado(client, ["aget_expiry_age"]))[0] <= 300
        await ado(client, ["acycle_key"])
        assert await ado(client, ["aget", "color"]) == ["red"]
        await ado(client, ["aflush"])
        assert await ado(client, ["aget", "color"], ["aget", "username"]) == [None, "xia"]
        await ado(client, ["acreate"])
        await ado(client, ["aset", "late", 1], ["asave"])
        assert await ado(client, ["aget", "late"]) == [1]

    with engine(name):
        run(scenario())


@pytest.mark.parametrize("key", ["username", "roles", "site", "last_visited"])
def test_what_the_proxy_sent_is_read_only(key: str, xia: Client) -> None:
    for calls in (
        ["[]=", key, 1],
        ["update", {"a": 1, key: 2}],
        ["pop", key],
        ["__delitem__", key],
    ):
        with pytest.raises(ProxiedKeyError, match=f"{key}.*read-only"):
            do(xia, calls)
    # The application cannot set it either where the proxy sent nothing.
    with pytest.raises(ProxiedKeyError):
        do(as_user(Client(), {}), ["[]=", key, "xia"])
    assert issubclass(ProxiedKeyError, DjsessionError)


def test_a_key_that_the_proxy_does_not_send_is_not_read_from_what_the_application_wrote() -> None:
    client = as_user(Client(), {"username": "dana"})
    do(client, ["[]=", "more", 1])
    assert do(client, ["get", "roles"], ["in", "_djsession_user"], ["get", "more"]) == [
        None,
        False,
        1,
    ]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["_auth_user_id", "_auth_user_backend", "_auth_user_hash"])
def test_a_session_cannot_name_the_user_as_django_does(name: str) -> None:
    evil = {**XIA, name: "4711"}
    for found in (
        do(as_user(Client(), evil), ["get", name], ["keys"], ["items"]),
        run(ado(as_user(AsyncClient(), evil), ["aget", name], ["akeys"], ["aitems"])),
    ):
        assert "4711" not in str(found)
        assert name not in found[1]


@pytest.mark.django_db
def test_the_frameworks_own_keys_are_not_the_proxys() -> None:
    odd = {**XIA, "_session_expiry": "zz", "_messages": 5, "_csrftoken": [], "_mine": 1}
    client = as_user(Client(), odd)
    assert do(client, ["get", "_mine"], ["get_expiry_age"]) == [None, 1209600]
    assert do(client, ["setdefault", "_mine", 2], ["get", "_mine"]) == [2, 2]
    assert "_messages" not in do(client, ["keys"])[0]
    assert client.get("/messages").status_code == 200


def test_the_local_session_is_opened_only_when_asked_for(db: None, xia: Client) -> None:
    with engine("db"):
        do(xia, ["[]=", "a", 1])
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(
            connection,
        ) as queries:
            do(xia, ["get", "username"], ["get", "site"], ["in", "roles"])
        assert len(queries) == 0
        with CaptureQueriesContext(connection) as queries:
            response = xia.post("/session", '[["get", "a"]]', content_type="application/json")
        assert response.json() == [1]
        assert len(queries) == 1  # it was read, but not saved
        assert not response.cookies


def test_a_cookie_of_its_own(xia: Client) -> None:
    response = xia.post("/session", '[["[]=", "a", 1]]', content_type="application/json")
    assert list(response.cookies) == ["djsession_local"]
    morsel = response.cookies["djsession_local"]
    assert morsel["httponly"]
    assert morsel["samesite"] == "Lax"
    assert morsel["max-age"] == 1209600
    with engine("signed_cookies", LOCAL_SESSION_COOKIE_NAME="mine"):
        response = as_user(Client()).post(
            "/session", '[["[]=", "a", 1]]', content_type="application/json"
        )
        assert list(response.cookies) == ["mine"]


def test_another_user_of_the_browser_finds_nothing(any_engine: str) -> None:
    browser = as_user(Client())
    do(browser, ["[]=", "cart", ["apple"]])
    for other in (ALICE, {}):
        as_user(browser, other)
        assert do(browser, ["get", "cart"], ["keys"])[0] is None
    as_user(browser, XIA)
    assert do(browser, ["get", "cart"]) == [["apple"]]  # nobody else has written
    as_user(browser, ALICE)
    do(browser, ["[]=", "cart", ["pear"]])
    assert do(browser, ["get", "cart"]) == [["pear"]]
    as_user(browser, XIA)
    assert do(browser, ["get", "cart"]) == [None]


def test_another_user_does_not_write_into_the_row_of_the_first(db: None) -> None:
    with engine("db"):
        browser = as_user(Client())
        do(browser, ["[]=", "cart", ["apple"]])
        first = browser.cookies["djsession_local"].value
        as_user(browser, ALICE)
        do(browser, ["[]=", "cart", ["pear"]])
        assert browser.cookies["djsession_local"].value != first
        assert DatabaseStore(first)["cart"] == ["apple"]


def test_a_cookie_that_is_not_the_applications_is_as_none(any_engine: str, xia: Client) -> None:
    xia.cookies["djsession_local"] = "garbage-garbage"
    assert do(xia, ["get", "a"]) == [None]
    do(xia, ["[]=", "a", 1])
    assert do(xia, ["get", "a"]) == [1]


def test_flush_forgets_what_is_local_and_takes_the_cookie_away(any_engine: str) -> None:
    client = as_user(Client())
    do(client, ["[]=", "a", 1])
    response = client.post("/session", '[["flush"], ["get", "username"]]', "application/json")
    assert response.json() == [None, "xia"]
    assert response.cookies["djsession_local"]["max-age"] == 0
    assert do(client, ["get", "a"], ["get", "username"]) == [None, "xia"]


def test_logout_flushes(db: None, xia: Client) -> None:
    with engine("db"):
        do(xia, ["[]=", "a", 1])
        assert Row.objects.count() == 1
        response = xia.get("/logout-view")
        assert response.content == b"True"
        assert Row.objects.count() == 0
        assert do(xia, ["get", "a"]) == [None]
        assert xia.get("/whoami").json()["user"] == "xia"  # until the proxy says otherwise


def test_cycle_key_changes_the_key_and_keeps_the_data(db: None, xia: Client) -> None:
    with engine("db"):
        do(xia, ["[]=", "a", 1])
        before = xia.cookies["djsession_local"].value
        do(xia, ["cycle_key"])
        assert xia.cookies["djsession_local"].value != before
        assert do(xia, ["get", "a"]) == [1]
        # Without local data there is nothing to protect, so no row is made.
        do(as_user(Client(), ALICE), ["cycle_key"])
        assert Row.objects.count() == 1


def test_test_cookies_and_expiry(any_engine: str, xia: Client) -> None:
    do(xia, ["set_test_cookie"])
    assert do(xia, ["test_cookie_worked"], ["delete_test_cookie"]) == [True, None]
    assert do(xia, ["test_cookie_worked"]) == [False]
    do(xia, ["set_expiry", 300])
    assert 290 < do(xia, ["get_expiry_age"])[0] <= 300
    assert xia.cookies["djsession_local"]["max-age"] == 300
    do(xia, ["set_expiry", 0])
    assert do(xia, ["get_expire_at_browser_close"]) == [True]
    assert xia.cookies["djsession_local"]["max-age"] == ""
    do(xia, ["set_expiry", None])
    assert do(xia, ["get_expire_at_browser_close"]) == [False]


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


def test_create_save_exists_delete(db: None) -> None:
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


def test_a_session_deleted_meanwhile_is_a_400_as_in_django(db: None) -> None:
    def view(session: Any) -> None:
        session["a"] = 2
        Row.objects.all().delete()

    with engine("db"):
        client = as_user(Client())
        do(client, ["[]=", "a", 1])
        value = client.cookies["djsession_local"].value
        response = in_request_with(view, value)
        assert response.status_code == 400
        assert response.headers["Cache-Control"] == "private"
        assert response.headers["Vary"] == "Cookie, Authorization"
        assert not response.cookies


@pytest.mark.django_db(transaction=True)
def test_the_same_400_without_blocking() -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        await request.session.aset("a", 2)
        await Row.objects.all().adelete()
        return HttpResponse()

    with engine("db"):
        client = as_user(AsyncClient())
        run(ado(client, ["aset", "a", 1]))
        with override_settings(ROOT_URLCONF=urlconf([path("", view)])):
            response = run(client.get("/"))
        assert response.status_code == 400
        assert response.headers["Cache-Control"] == "private"
        assert "djsession_local" not in response.cookies


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_store_that_fails_is_a_500_with_the_headers(
    is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("no space left")

    async def afail(*args: Any, **kwargs: Any) -> None:
        fail()

    with engine("db"):
        monkeypatch.setattr(DatabaseStore, "save", fail)
        monkeypatch.setattr(DatabaseStore, "asave", afail)
        call = ["aset", "a", 1] if is_async else ["[]=", "a", 1]
        kind = AsyncClient if is_async else Client
        client = as_user(kind(raise_request_exception=False))
        answer = client.post(
            "/asession" if is_async else "/session", json.dumps([call]), "application/json"
        )
        response = run(answer) if is_async else answer
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
        do(xia, ["[]=", "a", 1])
        assert "djsession_local" in xia.get("/").cookies


def test_the_class_of_deployutils_setting_is_the_local_session(db: None) -> None:
    with override_settings(
        DEPLOYUTILS={"BACKEND_SESSION_STORE": "django.contrib.sessions.backends.db.SessionStore"},
        DJSESSION={},
    ):
        client = as_user(Client())
        do(client, ["[]=", "a", 1])
        assert do(client, ["get", "a"]) == [1]
        assert Row.objects.count() == 1


def test_expired_rows_are_cleared_by_the_command(transactional_db: None, xia: Client) -> None:
    from django.core.management import call_command

    with engine("db"):
        do(xia, ["[]=", "a", 1], ["set_expiry", -5])
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


def test_a_store_made_of_garbage_is_empty() -> None:
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


def test_a_key_of_the_proxy_does_not_open_the_local_session() -> None:
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
        run(ado(browser, ["aset", "nested", {"n": 1}]))
        yield browser


def test_what_does_not_read_the_store_in_django_does_not_block(abrowser: Any) -> None:
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


def test_the_key_of_a_session_that_was_opened_without_blocking(abrowser: Any) -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        await request.session.aload()
        return HttpResponse(str(request.session.session_key))

    key = abrowser.cookies["djsession_local"].value
    assert answer_of(view, abrowser).content == key.encode()
    assert answer_of(view, as_user(abrowser, ALICE)).content == b"None"


def test_the_key_is_that_of_its_owner_only(db: None) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(str(request.session.session_key))

    with engine("db"):
        browser = as_user(Client())
        do(browser, ["[]=", "a", 1])
        key = browser.cookies["djsession_local"].value
        with override_settings(ROOT_URLCONF=urlconf([path("", view)])):
            assert browser.get("/").content == key.encode()
            assert as_user(browser, ALICE).get("/").content == b"None"


def test_clearing_does_not_block_and_empties_the_row(abrowser: Any) -> None:
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
        do(client, ["[]=", "a", 1])
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


def test_the_age_of_the_cookie_is_that_of_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
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
    do(visitor, ["[]=", "a", 1], path="/open/session")
    factory = AsyncRequestFactory() if is_async else RequestFactory()
    factory.cookies["djsession_local"] = visitor.cookies["djsession_local"].value
    with override_settings(SESSION_SAVE_EVERY_REQUEST=True):
        answer = SessionMiddleware(aview if is_async else view)(factory.get("/open/"))
        response = run(answer) if is_async else answer
    assert "djsession_local" in response.cookies
    assert "Cookie" in response.headers["Vary"]
    assert response.headers["Cache-Control"] == (control or "private")
