"""The caching headers of each adapter, as they leave the application's own server."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from djsession import dumps
from tests.caching.pages import ETAG
from tests.helpers.caching_sites import (
    VISITOR,
    Headers,
    SignIn,
    Site,
    by_bearer,
    by_cookie,
    cookie_of,
    url,
)
from tests.helpers.sessions import KEY, OTHER_KEY

BOTH = ["authorization", "cookie"]

# What the application sets, and what is sent with a session.
CACHE_CONTROL = [
    (None, ["private"]),
    ("max-age=60", ["max-age=60", "private"]),
    ("no-cache", ["no-cache", "private"]),
    ("must-revalidate, s-maxage=60", ["must-revalidate", "private", "s-maxage=60"]),
    ("private", ["private"]),
    ("private, max-age=60", ["max-age=60", "private"]),
    ("Private", ["Private"]),
    ("no-store", ["no-store"]),
    ("NO-STORE", ["NO-STORE"]),
    ("max-age=0, no-store", ["max-age=0", "no-store"]),
    ('private="X-Name"', ["private", 'private="X-Name"']),
    (
        'private="X-Name, X-Other", max-age=60',
        ["max-age=60", "private", 'private="X-Name, X-Other"'],
    ),
    ('no-cache="private, public, no-store"', ['no-cache="private, public, no-store"', "private"]),
    ("x-public", ["private", "x-public"]),
    ("publicly", ["private", "publicly"]),
    ("not-private", ["not-private", "private"]),
]


@pytest.mark.parametrize(("sent", "expected"), CACHE_CONTROL)
def test_a_response_to_a_session_is_private(
    site: Site, sent: str | None, expected: list[str], signed_in: SignIn
) -> None:
    query = {} if sent is None else {"Cache-Control": sent}
    for path in ("/headers", "/open/headers"):
        reply = site.get_directly(url(path, urlencode(query)), signed_in("alice"))
        assert reply.cache_control == expected
        assert reply.vary == BOTH


@pytest.mark.parametrize("sent", [sent for sent, _ in CACHE_CONTROL])
def test_a_response_without_a_session_keeps_its_cache_control(site: Site, sent: str | None) -> None:
    query = {} if sent is None else {"Cache-Control": sent}
    for visitor in (VISITOR, {"Cookie": "theme=dark"}, {"Cookie": "sessionid=garbage"}):
        reply = site.get_directly(url("/open/headers", urlencode(query)), visitor)
        assert ", ".join(reply.all("Cache-Control")) == (sent or "")
        assert reply.vary == BOTH


@pytest.mark.parametrize("sent", ["public", "public, max-age=60", "max-age=60,PUBLIC"])
def test_a_public_response_is_left_as_it_is(site: Site, sent: str, signed_in: SignIn) -> None:
    for vary in ("", "Accept", "Cookie"):
        target = url("/open/headers", urlencode({"Cache-Control": sent, "Vary": vary}))
        for reader in (VISITOR, signed_in("alice")):
            reply = site.get_directly(target, reader)
            assert ", ".join(reply.all("Cache-Control")) == sent
            assert reply.vary == [vary.lower()] * bool(vary)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("Accept", ["accept", *BOTH]),
        ("cookie", BOTH),
        ("COOKIE, authorization", BOTH),
        ("Accept-Encoding, Cookie", ["accept-encoding", *BOTH]),
        ("X-Cookie", [*BOTH, "x-cookie"]),
        ("Authorization", BOTH),
    ],
)
def test_what_a_response_varies_on_is_kept(
    site: Site, sent: str, expected: list[str], signed_in: SignIn
) -> None:
    target = url("/open/headers", urlencode({"Vary": sent}))
    for reader in (VISITOR, signed_in("alice")):
        assert site.get_directly(target, reader).vary == expected


def test_a_response_that_varies_on_everything_still_does(site: Site, signed_in: SignIn) -> None:
    for sent in ("*", "Accept, *"):
        target = url("/open/headers", urlencode({"Vary": sent}))
        for reader in (VISITOR, signed_in("alice")):
            vary = site.get_directly(target, reader).vary
            # Django leaves out the other names.
            assert "*" in vary
            assert set(vary) <= {"accept", "*"}


# A response of Django has one line of each header.
@pytest.mark.parametrize("site", ["plain", "flask", "pyramid"], indirect=True)
def test_caching_headers_on_several_lines_are_read_together(site: Site, signed_in: SignIn) -> None:
    query = urlencode({"Vary": ["Accept", "Cookie"]}, doseq=True)
    reply = site.get_directly(url("/headers", query), signed_in("alice"))
    assert reply.vary == ["accept", *BOTH]
    query = urlencode({"Cache-Control": ["max-age=60", "public"]}, doseq=True)
    reply = site.get_directly(url("/headers", query), signed_in("alice"))
    assert (reply.cache_control, reply.vary) == (["max-age=60", "public"], [])
    query = urlencode({"Cache-Control": ["max-age=60", "no-store"]}, doseq=True)
    reply = site.get_directly(url("/headers", query), signed_in("alice"))
    assert (reply.cache_control, reply.vary) == (["max-age=60", "no-store"], BOTH)


STATUS = {"forbidden": 403, "missing": 404, "redirect": 302}


@pytest.mark.parametrize(
    ("page", "query"),
    [
        *((page, "") for page in ("session", "merged-session", "user", "remote-user", "gate")),
        *((page, "") for page in ("forbidden", "missing", "redirect", "cookie")),
        *((page, "raise=yes") for page in ("forbidden", "missing", "redirect")),
    ],
)
def test_a_response_of_every_status_has_the_caching_headers(
    site: Site, page: str, query: str, signed_in: SignIn
) -> None:
    for path in (f"/{page}", f"/open/{page}"):
        reply = site.get_directly(url(path, query), signed_in("alice"))
        assert reply.status == STATUS.get(page, 200)
        assert (reply.cache_control, reply.vary) == (["private"], BOTH)
    if page != "merged-session":
        reply = site.get_directly(url(f"/open/{page}", query), VISITOR)
        assert reply.status == STATUS.get(page, 200)
        assert (reply.cache_control, reply.vary) == ([], BOTH)


def test_a_304_has_the_caching_headers(site: Site, signed_in: SignIn) -> None:
    condition = {"If-None-Match": ETAG}
    reply = site.get_directly("/etag", {**signed_in("alice"), **condition})
    assert (reply.status, reply.cache_control, reply.vary) == (304, ["private"], BOTH)
    reply = site.get_directly("/open/etag", condition)
    assert (reply.status, reply.cache_control, reply.vary) == (304, [], BOTH)


@pytest.mark.parametrize("site", ["flask", "pyramid", "django"], indirect=True)
def test_an_unknown_page_has_the_caching_headers(site: Site, signed_in: SignIn) -> None:
    reply = site.get_directly("/no/such/page/at/all", signed_in("alice"))
    assert (reply.status, reply.cache_control, reply.vary) == (404, ["private"], BOTH)
    reply = site.get_directly("/open/no/such/page", VISITOR)
    assert (reply.status, reply.cache_control, reply.vary) == (404, [], BOTH)


# Elsewhere the server answers, not the application.
@pytest.mark.parametrize("site", ["flask", "django"], indirect=True)
def test_a_page_that_fails_has_the_caching_headers(site: Site, signed_in: SignIn) -> None:
    reply = site.get_directly("/crash", signed_in("alice"))
    assert (reply.status, reply.cache_control, reply.vary) == (500, ["private"], BOTH)


def test_a_response_to_a_session_without_a_user_is_private(site: Site) -> None:
    nobody = {"Cookie": f'sessionid="{dumps({}, KEY)}"'}
    for path in ("/gate", "/open/gate"):
        reply = site.get_directly(path, nobody)
        assert (reply.status, reply.cache_control, reply.vary) == (200, ["private"], BOTH)


LOCAL = pytest.mark.parametrize("site", ["flask", "pyramid", "django"], indirect=True)


@LOCAL
def test_a_response_that_read_a_local_session_is_private(site: Site) -> None:
    basket = cookie_of(site.get_directly("/open/cart", VISITOR))
    for visitor in (VISITOR, basket, {"Cookie": "session=garbage; djsession_local=garbage"}):
        reply = site.get_directly("/open/basket", visitor)
        assert (reply.cache_control, reply.vary) == (["private"], BOTH)


@LOCAL
def test_a_response_that_wrote_a_local_session_is_private(site: Site) -> None:
    first = site.get_directly("/open/cart", VISITOR)
    assert len(first.all("Set-Cookie")) == 1
    again = site.get_directly("/open/cart", cookie_of(first))
    for reply in (first, again):
        assert (reply.status, reply.cache_control, reply.vary) == (200, ["private"], BOTH)


@LOCAL
def test_a_local_session_that_was_left_alone_makes_nothing_private(site: Site) -> None:
    basket = cookie_of(site.get_directly("/open/cart", VISITOR))
    reply = site.get_directly("/open/gate", basket)
    assert (reply.cache_control, reply.vary) == ([], BOTH)
    assert reply.all("Set-Cookie") == []


@pytest.mark.parametrize("site", ["flask"], indirect=True)
def test_a_response_that_renews_the_cookie_of_a_local_session_is_private(site: Site) -> None:
    kept = site.get_directly("/open/keep", VISITOR)
    reply = site.get_directly("/open/gate", cookie_of(kept))
    # Flask sends the cookie again although the page did not ask for the session.
    assert [line.partition("=")[0] for line in reply.all("Set-Cookie")] == ["session"]
    assert (reply.cache_control, reply.vary) == (["private"], BOTH)


REFUSED: dict[str, Headers] = {
    "nothing": VISITOR,
    "broken cookie": {"Cookie": "sessionid=garbage"},
    "broken bearer": {"Authorization": "Bearer garbage"},
    "empty bearer": {"Authorization": "Bearer"},
    "other cookie": {"Cookie": "theme=dark"},
    "other key": {"Cookie": f'sessionid="{dumps({"username": "alice"}, OTHER_KEY)}"'},
    "two users": {**by_cookie("alice"), **by_bearer("bob")},
}


def test_every_refusal_is_the_same_and_not_to_be_stored(site: Site) -> None:
    seen = set()
    for cause, headers in REFUSED.items():
        for path in ("/session", "/cart", "/headers?Cache-Control=public", "/no/such/page"):
            reply = site.get_directly(path, headers)
            assert reply.status == 403, (cause, path)
            assert "no-store" in reply.cache_control
            assert not {"public", "max-age"}.intersection(reply.cache_control)
            assert {"authorization", "cookie"} <= set(reply.vary)
            assert reply.all("Set-Cookie") == []
            lines = sorted((k.lower(), v) for k, v in reply.headers if k.lower() != "date")
            seen.add((reply.status, tuple(lines), reply.body))
    assert len(seen) == 1
