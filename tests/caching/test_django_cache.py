"""Django's own cache: ``cache_page`` on a view, and the middleware that caches the whole site."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.helpers.caching_sites import (
    VISITOR,
    Headers,
    Reply,
    SignIn,
    cookie_of,
    get,
    running_backend,
    url,
)

Get = Callable[[str, Headers], Reply]

#: For each way to cache: whether the middleware caches the whole site, and where the pages are.
CACHES = {"middleware": ("yes", ""), "cache_page": ("", "cached/"), "vary": ("", "varied/")}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The projects that run already, by ``SITE_CACHE``."""
    with ExitStack() as stack:

        class Ports(dict[str, int]):
            def __missing__(self, site_cache: str) -> int:
                folder = tmp_path_factory.mktemp("django")
                server = running_backend("django", folder, site_cache=site_cache)
                self[site_cache] = stack.enter_context(server)
                return self[site_cache]

        yield Ports()


class Cached:
    """A project with one of Django's caches."""

    def __init__(self, port: int, folder: str) -> None:
        self._port, self._folder = port, folder

    def url(self, page: str, query: str = "", *, is_open: bool = False) -> str:
        return url(f"/{'open/' if is_open else ''}{self._folder}{page}", query)

    def get(self, target: str, headers: Headers) -> Reply:
        return get(self._port, target, headers)


@pytest.fixture(params=CACHES)
def project(request: pytest.FixtureRequest, ports: dict[str, int]) -> Cached:
    site_cache, folder = CACHES[request.param]
    return Cached(ports[site_cache], folder)


# Those that show whose page it is.
PAGES = ["session", "merged-session", "user", "remote-user", "cookie", "etag"]


@pytest.mark.parametrize("page", [*PAGES, "gate"])
def test_djangos_cache_serves_a_page_of_a_user_to_nobody_else(
    project: Cached, page: str, signed_in: SignIn
) -> None:
    target, bodies = project.url(page), []
    alice, bob = signed_in("alice"), signed_in("bob")
    for username, user in (("alice", alice), ("bob", bob), ("alice", alice)):
        reply = project.get(target, user)
        assert reply.status == 200
        assert page == "gate" or username in reply.body
        assert page != "cookie" or reply.all("Set-Cookie") == [f"theme={username}"]
        bodies.append(reply.body)
        assert project.get(target, VISITOR).status == 403
    assert bodies[0] != bodies[1]


@pytest.mark.parametrize("page", PAGES)
def test_djangos_cache_shows_each_reader_their_own_open_page(
    project: Cached, page: str, signed_in: SignIn
) -> None:
    target = project.url(page, is_open=True)
    alice, bob = signed_in("alice"), signed_in("bob")
    for username, reader in (
        *(("alice", alice), ("None", VISITOR), ("bob", bob), ("None", VISITOR)),
        *(("alice", alice), ("None", {"Cookie": "theme=dark"})),
    ):
        assert f" {username}" in project.get(target, reader).body


def test_djangos_cache_serves_a_cart_to_its_visitor_only(project: Cached) -> None:
    target = project.url("cart", is_open=True)
    replies = [project.get(target, visitor) for visitor in (VISITOR, VISITOR, {"Cookie": "a=b"})]
    assert len({reply.body for reply in replies}) == 3
    for reply in replies:
        assert len(reply.all("Set-Cookie")) == 1
    assert len({reply.all("Set-Cookie")[0] for reply in replies}) == 3
    assert project.get(target, cookie_of(replies[0])).body != replies[0].body


def test_djangos_cache_shows_a_basket_to_its_visitor_only(project: Cached) -> None:
    first = project.get(project.url("cart", is_open=True), VISITOR)
    target = project.url("basket", is_open=True)
    for _ in range(2):
        assert (
            f"basket apple {first.body.split()[2]} " in project.get(target, cookie_of(first)).body
        )
        assert "basket None" in project.get(target, VISITOR).body


def test_djangos_cache_stores_no_refusal(project: Cached, signed_in: SignIn) -> None:
    target = project.url("session")
    for refused in (VISITOR, {"Cookie": "sessionid=garbage"}):
        assert project.get(target, refused).status == 403
        assert "session alice" in project.get(target, signed_in("alice")).body
        assert project.get(target, refused).status == 403


def test_djangos_cache_stores_an_open_page_for_visitors(project: Cached) -> None:
    target = project.url("gate", is_open=True)
    assert project.get(target, VISITOR).body == project.get(target, VISITOR).body


def test_djangos_cache_stores_a_public_page_for_visitors(project: Cached) -> None:
    target = project.url("headers", "Cache-Control=public,+max-age=60", is_open=True)
    first, second = project.get(target, VISITOR), project.get(target, VISITOR)
    assert first.body == second.body
    assert second.cache_control == ["max-age=60", "public"]
