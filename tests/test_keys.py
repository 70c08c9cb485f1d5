from __future__ import annotations

import string
from typing import Any

import pytest

from djsession import ConfigurationError, SessionCodec
from djsession.keys import GENERATED_LENGTH, check_secret_keys, generate_key
from tests.helpers.sessions import KEY, OTHER_KEY


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (KEY, (KEY,)),
        ([KEY], (KEY,)),
        ([KEY, OTHER_KEY], (KEY, OTHER_KEY)),
        ((OTHER_KEY, KEY), (OTHER_KEY, KEY)),
        ("x", ("x",)),
        ("any string at all", ("any string at all",)),
        ("with 'quotes' inside", ("with 'quotes' inside",)),
        ("a" * 1000, ("a" * 1000,)),
    ],
)
def test_the_secret_key_may_be_one_key_or_several(given: Any, expected: tuple[str, ...]) -> None:
    assert check_secret_keys(given) == expected


@pytest.mark.parametrize("key", [None, "", [], (), [""], [KEY, ""], ["", KEY]])
def test_a_missing_key_is_an_error_that_says_where_to_set_it(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="set DJAODJIN_SECRET_KEY"):
        check_secret_keys(key)


@pytest.mark.parametrize("key", [b"bytes", 1, [1], [KEY, None], {"a": 1}, {KEY}, iter([KEY])])
def test_a_key_of_another_type_is_an_error(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="secret_key must be a str"):
        check_secret_keys(key)


@pytest.mark.parametrize("key", ["clé", "k3y\u2026", "\ufeff" + KEY, KEY + "\xa0", "\ud800"])
def test_a_key_outside_ascii_is_an_error_that_does_not_show_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="a character outside ASCII") as caught:
        check_secret_keys([KEY, key])
    assert KEY not in str(caught.value)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "key",
    [f"'{KEY}'", f'"{KEY}"', f"{KEY}\n", f"{KEY}\r", f" {KEY}", f"{KEY}'", f'"{KEY}', "\t", "'"],
)
def test_quotes_and_white_space_around_a_key_are_an_error_that_does_not_show_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="quote or white space") as caught:
        check_secret_keys([OTHER_KEY, key])
    assert KEY not in str(caught.value)
    assert OTHER_KEY not in str(caught.value)


def test_a_generated_key_consists_of_letters_and_digits() -> None:
    keys = [generate_key() for _ in range(300)]
    assert len(set(keys)) == 300
    assert {len(key) for key in keys} == {GENERATED_LENGTH} == {32}
    # 9,600 characters have all 62 of them, but for a chance of 1 in 10**65.
    assert set("".join(keys)) == set(string.ascii_letters + string.digits)


def test_a_generated_key_encodes_and_decodes() -> None:
    codec = SessionCodec(generate_key())
    assert codec.loads(codec.dumps({"username": "xia"})).username == "xia"
