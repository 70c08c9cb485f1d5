"""A shared cache in front of each adapter: a real nginx, with ``proxy_cache`` on."""

from __future__ import annotations

import pytest

from tests.caching.pages import ETAG
from tests.helpers.caching_sites import BACKENDS, VISITOR, SignIn, Site, by_cookie, cookie_of, url

PAGES = [
    "session",
    "merged-session",
    "user",
    "remote-user",
    "gate",
    "forbidden",
    "missing",
    "redirect",
    "cookie",
    "etag",
]
STATUS = {"forbidden": 403, "missing": 404, "redirect": 302}

with_local_session = pytest.mark.parametrize(
    "site", [adapter for adapter in BACKENDS if adapter != "plain"], indirect=True
)


@pytest.mark.parametrize("page", PAGES)
def test_nginx_serves_a_page_of_a_user_to_nobody_else(
    site: Site, page: str, signed_in: SignIn
) -> None:
    target, bodies = url(f"/{page}"), []
    alice, bob = signed_in("alice"), signed_in("bob")
    for username, user in (("alice", alice), ("bob", bob), ("alice", alice)):
        reply = site.get(target, user)
        assert (reply.status, reply.cache == "HIT") == (STATUS.get(page, 200), False)
        assert page == "gate" or username in reply.body
        bodies.append(reply.body)
        if page == "cookie":
            assert reply.all("Set-Cookie") == [f"theme={username}"]
        refused = site.get(target, VISITOR)
        assert refused.status == 403
        assert refused.cache != "HIT"
        assert refused.all("Set-Cookie") == []
        assert not any(name in refused.body for name in ("alice", "bob", " #"))
    assert len(set(bodies)) == 3


@pytest.mark.parametrize("page", STATUS)
def test_nginx_serves_a_raised_response_to_nobody_else(
    site: Site, page: str, signed_in: SignIn
) -> None:
    # As an exception, where the framework has one for it.
    target = url(f"/{page}", "raise=yes")
    alice, bob = signed_in("alice"), signed_in("bob")
    for username, user in (("alice", alice), ("bob", bob), ("alice", alice)):
        reply = site.get(target, user)
        assert reply.cache != "HIT"
        assert reply.status == STATUS[page]
        if page == "redirect":
            assert reply.all("Location")[0].endswith(username)
        refused = site.get(target, VISITOR)
        assert (refused.status, refused.cache == "HIT") == (403, False)


def test_nginx_does_not_store_an_unknown_page_of_a_user(site: Site, signed_in: SignIn) -> None:
    target = url("/there/is/no/such/page")
    for user in (signed_in("alice"), signed_in("bob")):
        reply = site.get(target, user)
        # The plain application has no router.
        assert reply.status == (500 if site.adapter == "plain" else 404)
        assert reply.cache != "HIT"
        assert site.get(target, VISITOR).status == 403


def test_nginx_answers_304_to_the_user_of_a_page_only(site: Site, signed_in: SignIn) -> None:
    target = url("/etag")
    for username in ("alice", "bob", "alice"):
        reply = site.get(target, {**signed_in(username), "If-None-Match": ETAG})
        assert (reply.status, reply.cache == "HIT") == (304, False)
        assert site.get(target, {"If-None-Match": ETAG}).status == 403
        assert site.get(target, VISITOR).status == 403
        reply = site.get(target, signed_in(username))
        assert (reply.status, reply.cache == "HIT") == (200, False)
        assert username in reply.body


@pytest.mark.parametrize("page", PAGES)
def test_nginx_shows_each_reader_their_own_open_page(
    site: Site, page: str, signed_in: SignIn
) -> None:
    target = url(f"/open/{page}")
    alice, bob = signed_in("alice"), signed_in("bob")
    readers = (
        *(("None", VISITOR), ("alice", alice), ("None", VISITOR), ("bob", bob)),
        *(("alice", alice), ("None", VISITOR)),
    )
    bodies = []
    for username, reader in readers:
        reply = site.get(target, reader)
        assert reply.status == STATUS.get(page, 200)
        assert page == "gate" or username in reply.body
        if page == "cookie":
            assert reply.all("Set-Cookie") == [f"theme={username}"]
        if reader is not VISITOR:
            assert reply.cache != "HIT"
            bodies.append(reply.body)
        else:
            assert reply.body not in bodies
    assert len(set(bodies)) == 3


@pytest.mark.parametrize(
    "refused",
    [
        VISITOR,
        {"Cookie": "sessionid=garbage"},
        {"Authorization": "Bearer garbage"},
        {"Cookie": "theme=dark"},
    ],
    ids=["nothing", "broken cookie", "broken bearer", "other cookie"],
)
def test_nginx_stores_no_refusal(site: Site, refused: dict[str, str]) -> None:
    target = url("/session")
    for username in ("alice", "bob"):
        for _ in range(2):
            reply = site.get(target, refused)
            assert (reply.status, reply.cache == "HIT") == (403, False)
        reply = site.get(target, by_cookie(username))
        assert (reply.status, reply.cache == "HIT") == (200, False)
        assert username in reply.body


@with_local_session
def test_nginx_serves_a_cart_to_its_visitor_only(site: Site) -> None:
    target = url("/open/cart")
    first, second = site.get(target, VISITOR), site.get(target, VISITOR)
    assert second.cache != "HIT"
    assert first.body != second.body
    assert len(first.all("Set-Cookie")) == len(second.all("Set-Cookie")) == 1
    assert first.all("Set-Cookie") != second.all("Set-Cookie")
    # The same browser again.
    again = site.get(target, cookie_of(first))
    assert again.cache != "HIT"
    assert again.body != first.body
    # And somebody without a cart, for whom the response with Vary: Cookie would be stored.
    assert site.get(target, {"Cookie": "theme=dark"}).body not in (first.body, second.body)


@with_local_session
def test_nginx_shows_a_basket_to_its_visitor_only(site: Site) -> None:
    first = site.get(url("/open/cart"), VISITOR)
    apple = first.body.split()[2]
    target = url("/open/basket")
    for _ in range(2):
        shown = site.get(target, cookie_of(first))
        assert f"basket apple {apple} " in shown.body
        assert shown.cache != "HIT"
        reply = site.get(target, VISITOR)
        assert "basket None" in reply.body
        assert reply.cache != "HIT"


@with_local_session
def test_nginx_serves_a_cart_of_a_user_to_nobody_else(site: Site, signed_in: SignIn) -> None:
    target = url("/cart")
    first = site.get(target, signed_in("alice"))
    assert len(first.all("Set-Cookie")) == 1
    second = site.get(target, signed_in("bob"))
    assert second.cache != "HIT"
    assert second.body != first.body
    assert second.all("Set-Cookie") != first.all("Set-Cookie")
    refused = site.get(target, VISITOR)
    assert (refused.status, refused.all("Set-Cookie")) == (403, [])


@pytest.mark.parametrize("path", ["/open/headers", "/headers"])
def test_nginx_stores_a_public_page_for_all(site: Site, path: str, signed_in: SignIn) -> None:
    target = url(path, "Cache-Control=public,+max-age=60")
    first = site.get(target, signed_in("alice"))
    second = site.get(target, signed_in("bob"))
    assert (first.cache, second.cache) == ("MISS", "HIT")
    assert first.body == second.body
    assert second.vary == []
    assert second.cache_control == ["max-age=60", "public"]


@pytest.mark.parametrize("page", ["gate", "remote-user", "missing", "forbidden", "redirect"])
def test_nginx_stores_an_open_page_for_visitors(site: Site, page: str) -> None:
    target = url(f"/open/{page}")
    first, second = site.get(target, VISITOR), site.get(target, VISITOR)
    assert (first.cache, second.cache) == ("MISS", "HIT")
    assert first.body == second.body
    assert second.vary == ["authorization", "cookie"]
    assert second.cache_control == []
