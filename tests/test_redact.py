from __future__ import annotations

import json
from typing import Any

import pytest

from djsession.redact import MASK, mask, redact

CREDENTIALS = {
    "secret_key": "AKIA-one",
    "access_key": "AKIA-two",
    "security_token": "AKIA-three",
    "session_key": "AKIA-four",
    "db_password": "AKIA-five",
    "apiToken": "AKIA-six",
    "pwd": "AKIA-seven",
    "passphrase": "AKIA-eight",
    "Authorization": "AKIA-nine",
    "jwt": "AKIA-ten",
    "cookie": "AKIA-eleven",
    "api-key": "AKIA-twelve",
    "privateKey": ["AKIA-thirteen"],
    "credentials": {"a": "AKIA-fourteen"},
}


@pytest.mark.parametrize("name", CREDENTIALS)
def test_a_credential_is_masked_at_any_depth(name: str) -> None:
    value = {name: CREDENTIALS[name]}
    assert mask(value) == {name: MASK}
    assert mask({"a": [[value]]}) == {"a": [[{name: MASK}]]}
    assert mask(({"a": value},)) == [{"a": {name: MASK}}]


@pytest.mark.parametrize(
    "value",
    [{"username": "xia"}, {"roles": {"manager": [{"slug": "a"}]}}, [1, True, None, 1.5], "x"],
)
def test_what_is_not_a_credential_is_kept(value: Any) -> None:
    assert mask(value) == value


def test_a_null_credential_is_shown_to_be_null() -> None:
    assert mask({"secret_key": None}) == {"secret_key": None}


def test_masking_does_not_change_the_original() -> None:
    value = {"a": {"password": "AKIA"}}
    mask(value)
    assert value == {"a": {"password": "AKIA"}}


def test_a_number_that_json_does_not_have_becomes_text() -> None:
    assert json.loads(json.dumps(mask({"a": float("inf")}), allow_nan=False)) == {"a": "inf"}


def test_secrets_are_masked_wherever_they_occur() -> None:
    value = {"note": "the key is k3y-abcdef!", "k3y-abcdef!": 1, "n": 1234567}
    assert mask(value, ["k3y-abcdef!", "1234567"]) == {
        "note": f"the key is {MASK}",
        MASK: 1,
        "n": MASK,
    }


def test_a_secret_is_masked_in_a_text_and_in_json() -> None:
    secret = 'a"b\\cé-long'
    assert redact(f"x {secret} y", [secret]) == f"x {MASK} y"
    text = json.dumps({"a": secret})
    assert redact(text, [secret]) == f'{{"a": "{MASK}"}}'


def test_the_longest_secret_is_masked_first() -> None:
    assert redact("secret-and-more", ["secret", "secret-and-more"]) == MASK


def test_a_secret_of_a_few_characters_is_not_searched_for() -> None:
    assert redact("a cab", ["a"]) == "a cab"
