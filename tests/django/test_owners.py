"""Local sessions belong to one user: what happens to them when another one comes."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session as Row
from django.test import AsyncClient, Client, override_settings

from djsession.django.backends.base import SessionStore
from djsession.errors import ProxiedKeyError
from tests.helpers.django_clients import as_user, avisit, run, store, visit
from tests.helpers.sessions import XIA

ALICE = {**XIA, "username": "alice"}
VISITOR: dict[str, Any] = {}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _database() -> Any:
    local = {
        "LOCAL_SESSION_ENGINE": "django.contrib.sessions.backends.db",
        "ALLOWED_NO_SESSION": ["/open/"],
    }
    with override_settings(DJSESSION=local):
        yield


class Browser:
    """A browser whose user changes; its local cookie stays."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    def call(self, session: dict[str, Any], method: str, *arguments: Any) -> Any:
        """Return what a method of request.session returns in a request of a user.

        In an asynchronous view it is the method without blocking, such as ``aget`` for ``get``.
        """
        as_user(self.client, session)
        if isinstance(self.client, AsyncClient):
            return run(
                avisit(self.client, lambda session: getattr(session, f"a{method}")(*arguments))
            )
        return visit(
            self.client, lambda session: getattr(session, method)(*arguments), "/open/session"
        )

    def read(self, session: dict[str, Any], key: str) -> Any:
        return self.call(session, "get", key)

    def write(self, session: dict[str, Any], key: str, value: Any) -> None:
        self.call(session, "update", {key: value})

    @property
    def local_id(self) -> str:
        return str(self.client.cookies["djsession_local"].value)

    @local_id.setter
    def local_id(self, value: str) -> None:
        self.client.cookies["djsession_local"] = value


@pytest.fixture(params=[Client, AsyncClient], ids=["sync", "async"])
def browser(request: pytest.FixtureRequest) -> Browser:
    return Browser(request.param())


@pytest.mark.parametrize(
    ("first", "then"),
    [(VISITOR, XIA), (XIA, ALICE), (XIA, VISITOR)],
    ids=["a visitor signs in", "another user", "a user signs out"],
)
def test_another_owner_of_a_browser_gets_a_new_local_session(
    browser: Browser, first: dict[str, Any], then: dict[str, Any]
) -> None:
    browser.write(first, "cart", "apple")
    before = browser.local_id
    assert browser.read(then, "cart") is None
    assert browser.local_id == before  # reading stores nothing
    browser.write(then, "cart", "pear")
    assert browser.local_id != before
    # The first one's stored data stays where it is.
    assert DatabaseStore(before)["cart"] == "apple"
    assert Row.objects.count() == 2
    assert browser.read(then, "cart") == "pear"
    browser.local_id = before
    assert browser.read(first, "cart") == "apple"


@pytest.mark.parametrize("method", ["flush", "cycle_key", "save", "create"])
def test_another_owner_cannot_change_the_local_session_of_the_first(
    browser: Browser, method: str
) -> None:
    browser.write(XIA, "cart", "apple")
    before = browser.local_id
    for session in (ALICE, VISITOR):
        browser.local_id = before
        browser.call(session, method)
        assert DatabaseStore(before)["cart"] == "apple"
    browser.local_id = before
    assert browser.read(XIA, "cart") == "apple"


@pytest.mark.parametrize("session", [XIA, VISITOR], ids=["a user", "a visitor"])
def test_django_does_not_take_over_a_session_id_that_its_store_does_not_know(
    browser: Browser, session: dict[str, Any]
) -> None:
    planted = "a" * 32
    browser.local_id = planted
    browser.write(session, "cart", "apple")
    assert browser.local_id != planted
    assert not DatabaseStore().exists(planted)


@pytest.mark.parametrize("session", [XIA, VISITOR], ids=["a user", "a visitor"])
def test_django_does_not_take_over_an_empty_session_that_somebody_stored(
    browser: Browser, session: dict[str, Any]
) -> None:
    store = DatabaseStore()
    store.create()
    assert store.session_key
    browser.local_id = store.session_key
    browser.write(session, "cart", "apple")
    assert browser.local_id != store.session_key
    assert list(DatabaseStore(store.session_key).keys()) == []


@pytest.mark.parametrize("attacker", [VISITOR, ALICE], ids=["a visitor", "another user"])
def test_an_id_that_an_attacker_planted_is_worth_nothing_once_the_user_has_signed_in(
    browser: Browser, attacker: dict[str, Any]
) -> None:
    hers = Browser(Client())
    hers.write(attacker, "cart", "bait")
    browser.local_id = hers.local_id
    assert browser.read(XIA, "cart") is None
    browser.write(XIA, "address", "5 Main Street")
    assert hers.read(attacker, "address") is None
    assert hers.read(attacker, "cart") == "bait"
    # The other way: the user's id in the attacker's browser.
    hers.local_id = browser.local_id
    assert hers.read(attacker, "address") is None


def test_the_owner_of_a_local_session_cannot_be_written(xia: Client) -> None:
    with pytest.raises(ProxiedKeyError):
        store(xia, "_djsession_user", "alice")
    with pytest.raises(ProxiedKeyError):
        visit(xia, lambda session: session.update({"_djsession_user": "alice"}))


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("setdefault", ("cart", 1)), ("update", ({"cart": 1},)), ("pop", ("cart", None))],
)
def test_writing_to_request_session_counts_as_access(
    browser: Browser, method: str, arguments: tuple[Any, ...]
) -> None:
    """Middlewares of other packages look at ``accessed``."""
    original = SessionStore.__init__
    stores: list[SessionStore] = []

    def spy(self: SessionStore, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        stores.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SessionStore, "__init__", spy)
        browser.call(XIA, method, *arguments)
    seen = [store.accessed for store in stores if store._request is not None]
    assert seen == [True]
