from __future__ import annotations

from typing import Any

import pytest

from djsession import Session
from djsession.errors import DjsessionError, ProxiedKeyError
from djsession.merged import OWNER, MergedSession

from .conftest import XIA


class Store(dict[str, Any]):
    """What a framework keeps between requests."""

    opened = 0

    def open(self) -> Store:
        self.opened += 1
        return self


def merged(store: Store, **session: Any) -> MergedSession[Store]:
    return MergedSession(Session(session or XIA), store.open)


def test_what_the_proxy_sent_is_read_without_opening_the_local_part() -> None:
    store = Store()
    session = merged(store)
    assert session["username"] == "xia"
    assert "roles" in session
    assert session.get("site") == XIA["site"]
    assert session.get("roles", {}) == XIA["roles"]
    assert "Session over" in repr(session)
    assert store.opened == 0
    assert not session.is_local_open


def test_the_rest_is_local_and_opened_once() -> None:
    store = Store({OWNER: "xia", "cart": [1]})
    session = merged(store)
    assert session["cart"] == [1]
    session["seen"] = True
    assert store == {OWNER: "xia", "cart": [1], "seen": True}
    assert store.opened == 1


@pytest.mark.parametrize("key", ["username", "roles", "site", "last_visited", "invoice_keys"])
def test_a_proxied_key_is_read_only(key: str) -> None:
    store = Store()
    session = merged(store, **XIA, invoice_keys=[])
    for change in (
        lambda: session.__setitem__(key, "root"),
        lambda: session.__delitem__(key),
        lambda: session.pop(key),
        lambda: session.update({key: "root"}),
    ):
        with pytest.raises(ProxiedKeyError, match=f"'{key}' comes from the session proxy"):
            change()
    assert store == {}
    assert issubclass(ProxiedKeyError, DjsessionError)


@pytest.mark.parametrize("key", ["username", "roles", "site", "last_visited"])
def test_what_only_the_proxy_says_cannot_be_said_locally(key: str) -> None:
    store = Store({key: "root"})
    session = merged(store, invoice_keys=[])
    assert key not in session
    assert key not in list(session)
    with pytest.raises(ProxiedKeyError):
        session[key] = "root"


def test_the_owner_is_hidden() -> None:
    store = Store({OWNER: "xia", "a": 1})
    session = merged(store)
    assert OWNER not in session
    assert OWNER not in list(session)
    assert len(session) == len(XIA) + 1
    with pytest.raises(ProxiedKeyError):
        session[OWNER] = "root"


@pytest.mark.parametrize("owner", ["dana", None])
def test_another_user_finds_nothing(owner: str | None) -> None:
    store = Store({"cart": [1], **({OWNER: owner} if owner else {})})
    session = merged(store)
    assert "cart" not in session
    session["cart"] = [2]
    assert store == {OWNER: "xia", "cart": [2]}


def test_a_visitor_finds_nothing_of_a_user_and_owns_nothing() -> None:
    store = Store({OWNER: "xia", "cart": [1]})
    session = merged(store, invoice_keys=[])
    assert "cart" not in session
    session["cart"] = [2]
    assert store == {"cart": [2]}


def test_the_flag_of_a_cookie_is_nobodys_and_stays() -> None:
    store = Store({"_permanent": True})
    assert merged(store)["_permanent"] is True


def test_reading_writes_nothing() -> None:
    store = Store()
    session = merged(store)
    assert "cart" not in session
    assert dict(session) == XIA
    assert store == {}


def test_it_is_cleared_of_what_is_local() -> None:
    store = Store({OWNER: "xia", "a": 1})
    session = merged(store)
    assert session.popitem() == ("a", 1)
    with pytest.raises(KeyError):
        session.popitem()
    session["b"] = 2
    del session["b"]
    session["c"] = 3
    session.clear()
    assert store == {}
    assert session["username"] == "xia"
