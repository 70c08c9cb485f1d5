"""Local sessions belong to one user: what happens to them when another one comes."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.contrib.sessions.models import Session as Row
from django.test import AsyncClient, Client, override_settings

from djsession.django.backends.base import SessionStore
from djsession.errors import ProxiedKeyError
from tests.helpers.django_clients import ado, as_user, do, run
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


def sync_calls(client: Any, *calls: list[Any]) -> list[Any]:
    return do(client, *calls, path="/open/session")


def async_calls(client: Any, *calls: list[Any]) -> list[Any]:
    names = {"[]=": "aset", "get": "aget"}
    sent = [[names.get(name, f"a{name}"), *arguments] for name, *arguments in calls]
    return run(ado(client, *sent, path="/asession"))


@pytest.fixture(params=["sync", "async"])
def browser(request: pytest.FixtureRequest) -> Any:
    return Browser(
        *((Client(), sync_calls), (AsyncClient(), async_calls))[request.param == "async"]
    )


class Browser:
    """A browser whose user changes; its local cookie stays."""

    def __init__(self, client: Any, calls: Any) -> None:
        self.client, self._calls = client, calls

    def call(self, session: dict[str, Any], *calls: list[Any]) -> list[Any]:
        found: list[Any] = self._calls(as_user(self.client, session), *calls)
        return found

    @property
    def local_id(self) -> str:
        return str(self.client.cookies["djsession_local"].value)

    @local_id.setter
    def local_id(self, value: str) -> None:
        self.client.cookies["djsession_local"] = value


@pytest.mark.parametrize(
    ("first", "then"),
    [(VISITOR, XIA), (XIA, ALICE), (XIA, VISITOR)],
    ids=["a visitor signs in", "another user", "a user signs out"],
)
def test_another_owner_gets_a_new_session(
    browser: Browser, first: dict[str, Any], then: dict[str, Any]
) -> None:
    browser.call(first, ["[]=", "cart", "apple"])
    before = browser.local_id
    assert browser.call(then, ["get", "cart"]) == [None]
    assert browser.local_id == before  # reading stores nothing
    browser.call(then, ["[]=", "cart", "pear"])
    assert browser.local_id != before
    # The first one's stored data stays where it is.
    assert DatabaseStore(before)["cart"] == "apple"
    assert Row.objects.count() == 2
    assert browser.call(then, ["get", "cart"]) == ["pear"]
    browser.local_id = before
    assert browser.call(first, ["get", "cart"]) == ["apple"]


@pytest.mark.parametrize("calls", [["flush"], ["cycle_key"], ["save"], ["create"]])
def test_another_owner_cannot_change_what_is_stored(browser: Browser, calls: list[Any]) -> None:
    browser.call(XIA, ["[]=", "cart", "apple"])
    before = browser.local_id
    for session in (ALICE, VISITOR):
        browser.local_id = before
        browser.call(session, calls)
        assert DatabaseStore(before)["cart"] == "apple"
    browser.local_id = before
    assert browser.call(XIA, ["get", "cart"]) == ["apple"]


@pytest.mark.parametrize("session", [XIA, VISITOR], ids=["a user", "a visitor"])
def test_an_id_that_the_store_does_not_know_is_not_taken_over(
    browser: Browser, session: dict[str, Any]
) -> None:
    planted = "a" * 32
    browser.local_id = planted
    browser.call(session, ["[]=", "cart", "apple"])
    assert browser.local_id != planted
    assert not DatabaseStore().exists(planted)


@pytest.mark.parametrize("session", [XIA, VISITOR], ids=["a user", "a visitor"])
def test_an_empty_session_that_somebody_stored_is_not_taken_over(
    browser: Browser, session: dict[str, Any]
) -> None:
    store = DatabaseStore()
    store.create()
    assert store.session_key
    browser.local_id = store.session_key
    browser.call(session, ["[]=", "cart", "apple"])
    assert browser.local_id != store.session_key
    assert list(DatabaseStore(store.session_key).keys()) == []


@pytest.mark.parametrize("attacker", [VISITOR, ALICE], ids=["a visitor", "another user"])
def test_an_id_that_an_attacker_planted_is_worth_nothing_once_the_user_has_signed_in(
    browser: Browser, attacker: dict[str, Any]
) -> None:
    hers = Browser(Client(), sync_calls)
    hers.call(attacker, ["[]=", "cart", "bait"])
    browser.local_id = hers.local_id
    assert browser.call(XIA, ["get", "cart"]) == [None]
    browser.call(XIA, ["[]=", "address", "5 Main Street"])
    assert hers.call(attacker, ["get", "address"], ["get", "cart"]) == [None, "bait"]
    # The other way: the user's id in the attacker's browser.
    hers.local_id = browser.local_id
    assert hers.call(attacker, ["get", "address"]) == [None]


def test_an_owner_cannot_be_written(xia: Client) -> None:
    for call in (["[]=", "_djsession_user", "alice"], ["update", {"_djsession_user": "alice"}]):
        with pytest.raises(ProxiedKeyError):
            do(xia, call)


@pytest.mark.parametrize(
    "calls",
    [["[]=", "cart", 1], ["setdefault", "cart", 1], ["update", {"cart": 1}], ["pop", "cart", None]],
    ids=lambda calls: calls[0],
)
def test_writing_counts_as_access(browser: Browser, calls: list[Any]) -> None:
    """Middlewares of other packages look at ``accessed``."""
    original = SessionStore.__init__
    stores: list[SessionStore] = []

    def spy(self: SessionStore, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        stores.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SessionStore, "__init__", spy)
        browser.call(XIA, calls)
    seen = [store.accessed for store in stores if store._request is not None]
    assert seen == [True]
