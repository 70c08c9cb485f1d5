from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from djsession import ConfigurationError, Settings

from .conftest import KEY, OTHER_KEY


def test_the_defaults() -> None:
    settings = Settings(KEY)
    assert settings.secret_key == (KEY,)
    assert settings.cookie_name == "sessionid"
    assert settings.allowed_no_session == ()
    assert settings.max_token_size == 65_536


def test_they_cannot_change() -> None:
    settings: Any = Settings(KEY)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.cookie_name = "other"


def test_they_do_not_show_the_key() -> None:
    assert KEY not in repr(Settings(KEY))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("secret_key", 1),
        ("secret_key", b"bytes"),
        ("cookie_name", ""),
        ("cookie_name", "a b"),
        ("cookie_name", "a;b"),
        ("cookie_name", "é"),
        ("cookie_name", "a\n"),
        ("cookie_name", 1),
        ("allowed_no_session", "/static/"),
        ("allowed_no_session", [1]),
        ("allowed_no_session", 1),
        ("allowed_no_session", {"/static/"}),
        ("max_token_size", "65536"),
        ("max_token_size", 0),
        ("max_token_size", True),
        ("max_token_size", 1.5),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_setting(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings(**{"secret_key": KEY, name: value})


def test_from_a_mapping_with_a_prefix() -> None:
    config = {
        "DEBUG": True,
        "DJAODJIN_SECRET_KEY": KEY,
        "DJSESSION_COOKIE_NAME": "djs",
        "DJSESSION_ALLOWED_NO_SESSION": ["/login"],
        "DJSESSION_MAX_TOKEN_SIZE": 100,
    }
    assert Settings.from_mapping(config) == Settings(KEY, "djs", ["/login"], 100)


def test_from_a_mapping_with_another_prefix() -> None:
    config = {"djsession.secret_key": KEY, "djsession.cookie_name": "djs", "pyramid.debug": 1}
    settings = Settings.from_mapping(config, "djsession.", "djsession.secret_key")
    assert settings == Settings(KEY, "djs")


def test_from_a_mapping_without_a_prefix() -> None:
    settings = Settings.from_mapping({"COOKIE_NAME": "djs"}, prefix="", secret_key=KEY)
    assert settings == Settings(KEY, "djs")


@pytest.mark.parametrize(
    ("prefix", "key", "hint"),
    [
        ("DJSESSION_", "DJSESSION_COOKIE_NAMES", "did you mean DJSESSION_COOKIE_NAME?"),
        ("djsession.", "djsession.allow_no_session", "djsession.allowed_no_session?"),
        ("", "MAX_TOKENSIZE", "did you mean MAX_TOKEN_SIZE?"),
        ("DJSESSION_", "DJSESSION_XYZ", "there are DJSESSION_ALLOWED_NO_SESSION, "),
        ("DJSESSION_", "DJSESSION_SECRET_KEY", "the key is DJAODJIN_SECRET_KEY"),
    ],
)
def test_an_unknown_name_is_an_error_that_names_it(prefix: str, key: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_mapping({key: "x"}, prefix, secret_key=KEY)
    assert key in str(caught.value)
    assert hint in str(caught.value)


def test_from_the_environment() -> None:
    environ = {
        "PATH": "/bin",
        "DJAODJIN_SECRET_KEY": f"{OTHER_KEY},{KEY}",
        "DJSESSION_COOKIE_NAME": "djs",
        "DJSESSION_ALLOWED_NO_SESSION": "/static/, /login ,",
        "DJSESSION_MAX_TOKEN_SIZE": "100",
        "DJSESSION_TEST_DATABASE_URL": "not a setting",
    }
    settings = Settings.from_environ(environ)
    assert settings == Settings([OTHER_KEY, KEY], "djs", ["/static/", "/login"], 100)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "DJAODJIN_SECRET_KEY"),
        ({"DJAODJIN_SECRET_KEY": ""}, "DJAODJIN_SECRET_KEY"),
        ({"DJAODJIN_SECRET_KEY": f"{KEY},"}, "DJAODJIN_SECRET_KEY"),
        ({"DJAODJIN_SECRET_KEY": f'"{KEY}"'}, "quote or white space"),
        ({"DJAODJIN_SECRET_KEY": f"{KEY}, {OTHER_KEY}"}, "quote or white space"),
        ({"DJAODJIN_SECRET_KEY": KEY, "DJSESSION_MAX_TOKEN_SIZE": "64K"}, "MAX_TOKEN_SIZE"),
        ({"DJAODJIN_SECRET_KEY": KEY, "DJSESSION_COOKIE": "x"}, "DJSESSION_COOKIE"),
    ],
)
def test_a_wrong_environment_is_an_error(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        Settings.from_environ(environ)
    assert KEY not in str(caught.value)


def test_explicit_values_win_and_none_is_not_given() -> None:
    environ = {"DJAODJIN_SECRET_KEY": OTHER_KEY, "DJSESSION_COOKIE_NAME": "djs"}
    assert Settings.from_environ(environ, secret_key=KEY) == Settings(KEY, "djs")
    assert Settings.from_environ(environ, cookie_name=None) == Settings(OTHER_KEY, "djs")


def test_an_empty_list_wins_over_the_environment() -> None:
    environ = {"DJAODJIN_SECRET_KEY": KEY, "DJSESSION_ALLOWED_NO_SESSION": "/login"}
    assert Settings.from_environ(environ, allowed_no_session=()).allowed_no_session == ()
