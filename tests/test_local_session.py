from __future__ import annotations

from typing import Any

import pytest

from djsession import Session
from djsession.errors import DjsessionError, ProxiedKeyError
from djsession.local_session import (
    OWNER,
    PROXIED_KEYS,
    LocalPart,
    MergedSession,
    is_proxied,
    is_read_only,
)
from tests.helpers.sessions import XIA

VISITOR: dict[str, Any] = {"invoice_keys": []}


class Store:
    """A framework's sessions: the one that the request names, and new ones."""

    def __init__(self, stored: dict[str, Any] | None = None) -> None:
        self.stored = {} if stored is None else stored
        self.news: list[dict[str, Any]] = []
        self.opened = 0

    def open_stored(self) -> dict[str, Any]:
        self.opened += 1
        return self.stored

    def open_new(self) -> dict[str, Any]:
        self.news.append({})
        return self.news[-1]


def local_part(
    store: Store, session: dict[str, Any], *, is_refused: bool = False
) -> LocalPart[dict[str, Any]]:
    return LocalPart(Session(session), store.open_stored, store.open_new, is_refused=is_refused)


def merged(store: Store, session: dict[str, Any] | None = None) -> MergedSession[dict[str, Any]]:
    proxied = XIA if session is None else session
    return MergedSession(Session(proxied), local_part(store, proxied))


class TestOwnerOfALocalSession:
    """A local session belongs to one user."""

    def test_the_owner_finds_the_local_session_again(self) -> None:
        store = Store({OWNER: "xia", "cart": [1]})
        assert local_part(store, XIA).open() is store.stored
        assert store.news == []

    def test_a_visitor_finds_the_local_session_again(self) -> None:
        store = Store({"cart": [1]})
        assert local_part(store, VISITOR).open() is store.stored

    @pytest.mark.parametrize(
        ("owner", "session"),
        [
            ("dana", XIA),
            (None, XIA),  # a visitor who signs in
            ("xia", VISITOR),
            ("xia", {}),
            ("", VISITOR),
            ("Xia", XIA),
        ],
    )
    def test_a_change_of_owner_starts_a_new_session_and_leaves_the_old_one(
        self, owner: str | None, session: dict[str, Any]
    ) -> None:
        stored = {"cart": [1], **({} if owner is None else {OWNER: owner})}
        store = Store(dict(stored))
        part = local_part(store, session)
        assert part.open() == {}
        part.bind()["cart"] = [2]
        assert store.stored == stored
        username = session.get("username")
        assert store.news == [{"cart": [2], **({OWNER: username} if username else {})}]

    @pytest.mark.parametrize("session", [XIA, VISITOR])
    @pytest.mark.parametrize("stored", [{}, {"_permanent": True}, {"_permanent": False}])
    def test_an_id_that_the_store_does_not_know_is_not_taken_over(
        self, session: dict[str, Any], stored: dict[str, Any]
    ) -> None:
        store = Store(dict(stored))
        opened = local_part(store, session).open()
        assert opened is not store.stored
        assert store.news == [opened]
        assert store.stored == stored

    def test_data_beside_the_flag_of_a_cookie_is_kept(self) -> None:
        store = Store({"_permanent": True, "cart": [1]})
        assert local_part(store, VISITOR).open() is store.stored

    def test_a_session_that_holds_only_its_owner_is_kept(self) -> None:
        store = Store({OWNER: "xia"})
        assert local_part(store, XIA).open() is store.stored

    def test_the_local_session_is_opened_once(self) -> None:
        for stored in ({OWNER: "xia", "a": 1}, {OWNER: "dana"}):
            store = Store(stored)
            part = local_part(store, XIA)
            assert part.open() is part.open() is part.bind()
            assert store.opened == 1
            assert len(store.news) <= 1

    def test_the_local_session_is_not_opened_unasked(self) -> None:
        store = Store()
        part = local_part(store, XIA)
        assert not part.is_open
        assert store.opened == 0
        part.open()
        assert part.is_open

    def test_reading_does_not_bind_the_local_session(self) -> None:
        store = Store()
        assert local_part(store, XIA).open() == {}
        assert store.news == [{}]

    def test_writing_binds_the_local_session_to_its_owner(self) -> None:
        store = Store()
        local_part(store, XIA).bind()["a"] = 1
        local_part(store, VISITOR).bind()["a"] = 1
        assert store.news == [{OWNER: "xia", "a": 1}, {"a": 1}]

    def test_a_stored_session_is_adopted_by_its_owner_only(self) -> None:
        store = Store()
        mine, other = {OWNER: "xia", "a": 1}, {OWNER: "dana", "a": 1}
        assert local_part(store, XIA).adopt(mine) is mine
        assert local_part(store, XIA).adopt(other) == {}
        assert local_part(store, XIA).adopt(None) == {}
        assert other == {OWNER: "dana", "a": 1}


class TestLocalSessionOfARefusedRequest:
    """A request that the gate refused reads nothing and writes nothing."""

    @pytest.mark.parametrize("stored", [{OWNER: "xia", "cart": [1]}, {"cart": [1]}])
    @pytest.mark.parametrize("session", [XIA, {}])
    def test_a_refused_request_reads_nothing(
        self, stored: dict[str, Any], session: dict[str, Any]
    ) -> None:
        store = Store(dict(stored))
        part = local_part(store, session, is_refused=True)
        assert part.is_refused
        assert part.open() == {}
        part.bind()["cart"] = [2]
        assert store.opened == 0
        assert store.stored == stored

    def test_what_was_open_before_a_refusal_is_forgotten(self) -> None:
        store = Store({"cart": [1]})
        part = local_part(store, {})
        assert part.open() == {"cart": [1]}
        part.refuse()
        assert part.is_refused
        assert not part.is_open
        assert part.open() == {}
        assert store.stored == {"cart": [1]}

    def test_a_request_that_passes_is_not_refused(self) -> None:
        assert not local_part(Store(), XIA).is_refused


class TestMergedSession:
    def test_what_the_proxy_sent_is_read_without_opening_the_local_part(self) -> None:
        store = Store()
        session = merged(store)
        assert session["username"] == "xia"
        assert "roles" in session
        assert session.get("site") == XIA["site"]
        assert session.get("roles", {}) == XIA["roles"]
        assert "Session over" in repr(session)
        assert store.opened == 0
        assert not session.local_part.is_open

    def test_what_only_the_proxy_sets_is_missing_without_opening_the_local_part(self) -> None:
        store = Store(dict.fromkeys(PROXIED_KEYS, "root"))
        session = merged(store, VISITOR)
        for key in (*PROXIED_KEYS, OWNER):
            assert key not in session
            assert session.get(key) is None
            with pytest.raises(KeyError):
                session[key]
        assert store.opened == 0

    def test_a_repr_shows_no_value(self) -> None:
        session = merged(Store({OWNER: "xia", "cart": "apples"}))
        assert session["cart"] == "apples"
        assert "apples" not in repr(session)
        assert "xia" not in repr(session)

    def test_the_rest_is_local_and_opened_once(self) -> None:
        store = Store({OWNER: "xia", "cart": [1]})
        session = merged(store)
        assert session["cart"] == [1]
        session["seen"] = True
        assert store.stored == {OWNER: "xia", "cart": [1], "seen": True}
        assert session.local is store.stored
        assert store.opened == 1

    @pytest.mark.parametrize("key", ["username", "roles", "site", "last_visited", "invoice_keys"])
    def test_a_proxied_key_is_read_only(self, key: str) -> None:
        store = Store()
        session = merged(store, {**XIA, "invoice_keys": []})
        for change in (
            lambda: session.__setitem__(key, "root"),
            lambda: session.__delitem__(key),
            lambda: session.pop(key),
            lambda: session.update({key: "root"}),
        ):
            with pytest.raises(ProxiedKeyError, match=f"'{key}' comes from the session proxy"):
                change()
        assert store.stored == {}
        assert store.news == []
        assert issubclass(ProxiedKeyError, DjsessionError)

    @pytest.mark.parametrize("key", sorted(PROXIED_KEYS))
    def test_what_only_the_proxy_sets_cannot_be_set_locally(self, key: str) -> None:
        session = merged(Store({key: "root", "a": 1}), VISITOR)
        assert key not in session
        assert key not in list(session)
        with pytest.raises(ProxiedKeyError):
            session[key] = "root"

    def test_the_owner_is_hidden(self) -> None:
        session = merged(Store({OWNER: "xia", "a": 1}))
        assert OWNER not in session
        assert OWNER not in list(session)
        assert len(session) == len(XIA) + 1
        with pytest.raises(ProxiedKeyError):
            session[OWNER] = "root"
        with pytest.raises(ProxiedKeyError):
            del session[OWNER]

    def test_an_owner_that_the_proxy_sends_does_not_count(self) -> None:
        session = merged(Store({OWNER: "xia", "a": 1}), {**XIA, OWNER: "dana"})
        assert OWNER not in session
        assert session["a"] == 1

    def test_another_user_finds_nothing(self) -> None:
        store = Store({OWNER: "dana", "cart": [1]})
        session = merged(store)
        assert "cart" not in session
        session["cart"] = [2]
        assert store.stored == {OWNER: "dana", "cart": [1]}
        assert store.news == [{OWNER: "xia", "cart": [2]}]

    def test_reading_writes_nothing(self) -> None:
        store = Store()
        session = merged(store)
        assert "cart" not in session
        assert dict(session) == XIA
        assert store.stored == {}
        assert store.news == [{}]

    def test_clear_removes_what_is_local(self) -> None:
        store = Store({OWNER: "xia", "a": 1})
        session = merged(store)
        assert session.popitem() == ("a", 1)
        with pytest.raises(KeyError):
            session.popitem()
        session["b"] = 2
        del session["b"]
        session["c"] = 3
        session.clear()
        assert store.stored == {}
        assert session["username"] == "xia"

    @pytest.mark.parametrize("flags", [{}, {"_permanent": True}])
    def test_taking_out_the_last_key_removes_the_owner(self, flags: dict[str, Any]) -> None:
        store = Store({OWNER: "xia", "a": 1, "b": 2, **flags})
        session = merged(store)
        del session["b"]
        assert store.stored == {OWNER: "xia", "a": 1, **flags}
        assert session.popitem() == ("a", 1)
        assert store.stored == flags
        session["c"] = 3
        assert store.stored == {OWNER: "xia", "c": 3, **flags}
        assert session.pop("c") == 3
        assert store.stored == flags

    def test_what_is_written_after_clearing_belongs_to_the_user(self) -> None:
        store = Store({OWNER: "xia", "a": 1})
        session = merged(store)
        session.clear()
        session["b"] = 2
        assert store.stored == {OWNER: "xia", "b": 2}


class TestNamesThatFrameworksReserve:
    """Names with an underscore in front belong to the frameworks."""

    @pytest.mark.parametrize("key", ["_auth_user_id", "_permanent", "_flashes", "_csrft_", "_"])
    def test_the_proxy_cannot_set_a_reserved_name(self, key: str) -> None:
        sent = Session({key: "sent", "plain": 1})
        assert not is_proxied(sent, key)
        assert not is_read_only(sent, key)
        store = Store({OWNER: "xia", key: "stored"})
        session = merged(store, {**XIA, key: "sent"})
        assert session[key] == "stored"
        session[key] = "written"
        assert store.stored[key] == "written"
        assert list(session).count(key) == 1

    def test_other_names_are_the_proxys_where_it_sent_them(self) -> None:
        sent = Session({"plain": 1})
        assert is_proxied(sent, "plain")
        assert is_read_only(sent, "plain")
        assert not is_proxied(sent, "other")
        assert not is_read_only(sent, "other")

    @pytest.mark.parametrize("key", [*sorted(PROXIED_KEYS), OWNER])
    def test_names_of_the_proxy_are_read_only_whatever_it_sent(self, key: str) -> None:
        assert is_read_only(Session(), key)
