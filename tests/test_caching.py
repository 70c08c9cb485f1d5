from __future__ import annotations

from typing import Any

import pytest

from djsession.caching import (
    REFUSAL_HEADERS,
    caching_changes,
    caching_headers,
    with_caching_headers,
)

BOTH = "Cookie, Authorization"


@pytest.mark.parametrize(
    ("cache_control", "expected"),
    [
        ("", "private"),
        ("   ", "private"),
        ("max-age=60", "max-age=60, private"),
        ("no-cache", "no-cache, private"),
        ("max-age=0, must-revalidate", "max-age=0, must-revalidate, private"),
        # Already said.
        ("private", "private"),
        ("Private, max-age=60", "Private, max-age=60"),
        ("max-age=60 ,\tPRIVATE", "max-age=60 ,\tPRIVATE"),
        ("no-store", "no-store"),
        ("NO-STORE", "NO-STORE"),
        # Restricted to some headers: the rest may be stored.
        ('private="Set-Cookie"', 'private="Set-Cookie", private'),
        ("private=set-cookie", "private=set-cookie, private"),
        ('no-cache="Set-Cookie"', 'no-cache="Set-Cookie", private'),
        # Within a quoted string, or as a part of another word, it is not a directive.
        ('ext="private"', 'ext="private", private'),
        ('ext="a, private, b"', 'ext="a, private, b", private'),
        ('ext="a, public, b"', 'ext="a, public, b", private'),
        (r'ext="\", public, \""', r'ext="\", public, \"", private'),
        ("x-public", "x-public, private"),
        ("public=1", "public=1, private"),
        ("publicity, no-stores", "publicity, no-stores, private"),
    ],
)
def test_a_personal_response_is_private(cache_control: str, expected: str) -> None:
    assert caching_headers(cache_control, "", is_personal=True) == (expected, BOTH)


@pytest.mark.parametrize(
    "cache_control", ["", "max-age=60", "private", "no-store", "no-cache", 'private="Set-Cookie"']
)
def test_any_other_response_keeps_its_cache_control(cache_control: str) -> None:
    assert caching_headers(cache_control, "", is_personal=False) == (cache_control, BOTH)


@pytest.mark.parametrize("is_personal", [True, False])
@pytest.mark.parametrize(
    "cache_control",
    ["public", "PUBLIC", "public, max-age=60", "max-age=60,Public", 'ext="a, b", public'],
)
@pytest.mark.parametrize("vary", ["", "Accept", "*"])
def test_a_response_that_the_application_calls_public_is_not_private(
    cache_control: str, vary: str, is_personal: bool
) -> None:
    found = caching_headers(cache_control, vary, is_personal=is_personal)
    assert found == (cache_control, vary)


@pytest.mark.parametrize(
    ("vary", "expected"),
    [
        ("", BOTH),
        ("  ", BOTH),
        ("Accept", f"Accept, {BOTH}"),
        ("Accept-Encoding, Origin", f"Accept-Encoding, Origin, {BOTH}"),
        ("Cookie", "Cookie, Authorization"),
        ("cookie", "cookie, Authorization"),
        ("AUTHORIZATION", "AUTHORIZATION, Cookie"),
        ("Authorization , cookie", "Authorization , cookie"),
        ("Cookie2, X-Authorization", f"Cookie2, X-Authorization, {BOTH}"),
        ("*", "*"),
        ("Accept, *", "Accept, *"),
    ],
)
@pytest.mark.parametrize("is_personal", [True, False])
def test_a_response_varies_by_what_carries_the_session(
    vary: str, expected: str, is_personal: bool
) -> None:
    assert caching_headers("no-store", vary, is_personal=is_personal) == ("no-store", expected)


def headers(*items: tuple[str, str], is_personal: bool = True) -> list[tuple[str, str]]:
    """Return the headers in order, those of one name as one."""
    joined: dict[str, str] = {}
    for name, value in with_caching_headers(list(items), is_personal=is_personal):
        name = {"cache-control": "Cache-Control", "vary": "Vary"}.get(name.lower(), name)
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return sorted(joined.items())


def test_caching_headers_are_added_where_there_are_none() -> None:
    assert headers(("X-A", "1")) == [("Cache-Control", "private"), ("Vary", BOTH), ("X-A", "1")]
    assert headers(("X-A", "1"), is_personal=False) == [("Vary", BOTH), ("X-A", "1")]


@pytest.mark.parametrize("kind", [tuple, iter])
@pytest.mark.parametrize("more", [(), (("Vary", "Accept"),)])
def test_headers_need_not_be_a_list(kind: Any, more: tuple[tuple[str, str], ...]) -> None:
    """PEP 3333 requires a list, but gunicorn, for one, takes any iterable."""
    items = (("X-A", "1"), *more)
    found = with_caching_headers(kind(items), is_personal=True)
    assert found == with_caching_headers(list(items), is_personal=True)


def test_names_of_caching_headers_are_read_in_any_case() -> None:
    found = headers(("cache-control", "max-age=60"), ("VARY", "accept"))
    assert found == [("Cache-Control", "max-age=60, private"), ("Vary", f"accept, {BOTH}")]


def test_several_caching_headers_of_one_name_are_read_as_one() -> None:
    found = headers(
        ("Cache-Control", "max-age=60"),
        ("Vary", "Accept"),
        ("X-A", "1"),
        ("Cache-Control", "no-store"),
        ("Vary", "cookie"),
    )
    assert found == [
        ("Cache-Control", "max-age=60, no-store"),
        ("Vary", "Accept, cookie, Authorization"),
        ("X-A", "1"),
    ]
    found = headers(("Cache-Control", "max-age=60"), ("Cache-Control", "public"))
    assert found == [("Cache-Control", "max-age=60, public")]
    found = headers(("Vary", "Accept"), ("Vary", "*"))
    assert found == [("Cache-Control", "private"), ("Vary", "Accept, *")]


def test_other_headers_than_those_of_caching_stay_in_order() -> None:
    items = [("Set-Cookie", "a=1"), ("X-Cache-Control", "public"), ("Set-Cookie", "b=2"), ("V", "")]
    found = with_caching_headers(items, is_personal=True)
    assert [item for item in found if item[0] not in ("Cache-Control", "Vary")] == items
    assert ("Cache-Control", "private") in found


@pytest.mark.parametrize("is_personal", [True, False])
@pytest.mark.parametrize(
    "items",
    [
        [],
        [("X-A", "1")],
        [("Cache-Control", "public")],
        [("cache-control", "no-store"), ("VARY", "*")],
        [("Cache-Control", "max-age=60"), ("Cache-Control", "no-cache"), ("Vary", "Accept")],
    ],
)
def test_the_caching_changes_say_which_headers_to_set(
    items: list[tuple[str, str]], is_personal: bool
) -> None:
    changes = caching_changes(items, is_personal=is_personal)
    kept = [item for item in items if item[0].lower() not in {name.lower() for name, _ in changes}]
    found = with_caching_headers(items, is_personal=is_personal)
    assert sorted(found) == sorted([*kept, *changes])


def test_a_refusal_is_not_stored_and_varies() -> None:
    assert dict(REFUSAL_HEADERS) == {"Cache-Control": "no-store", "Vary": BOTH}
