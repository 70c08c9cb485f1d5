from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from djsession import ConfigurationError, Gate, Settings
from djsession.settings import SettingsOptions, parser_of, split_at_commas
from tests.helpers.sessions import KEY, OTHER_KEY

# What djsession.pyramid passes for the values of an ini file.
split_at_white_space = str.split


def names() -> set[str]:
    return {item.name for item in dataclasses.fields(Settings)}


def test_settings_have_their_documented_defaults() -> None:
    settings = Settings(KEY)
    assert settings.secret_key == (KEY,)
    assert settings.cookie_name == "sessionid"
    assert settings.allowed_no_session == ()
    assert settings.max_token_size == 65_536
    assert settings.formats == ("openssl", "jwt")
    assert settings.trusted_proxies is None
    assert settings == Settings(secret_key=[KEY])


def test_none_counts_as_a_setting_that_was_not_given() -> None:
    assert Settings(KEY, **dict.fromkeys(names() - {"secret_key"})) == Settings(KEY)


def test_settings_cannot_be_changed() -> None:
    settings: Any = Settings(KEY)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.cookie_name = "other"


def test_a_changed_copy_of_the_settings_is_checked_too() -> None:
    settings = Settings(KEY, trusted_proxies=["::1"], allowed_no_session=["/a"])
    assert dataclasses.replace(settings, cookie_name="djs").cookie_name == "djs"
    assert dataclasses.replace(settings, cookie_name="djs").trusted_proxies == ("::1",)
    with pytest.raises(ConfigurationError, match="cookie_name"):
        dataclasses.replace(settings, cookie_name="a b")


def test_the_repr_of_the_settings_does_not_show_the_key() -> None:
    assert KEY not in repr(Settings(KEY))


def test_every_setting_is_described() -> None:
    for item in dataclasses.fields(Settings):
        parser_of(item)


# For each field: a value in Python, the same in the environment and in an ini file, and what is
# kept.
VALUES: dict[str, tuple[Any, str, str, Any]] = {
    "secret_key": (
        [KEY, OTHER_KEY],
        f"{KEY},{OTHER_KEY}",
        f"{KEY}\n  {OTHER_KEY}",
        (KEY, OTHER_KEY),
    ),
    "cookie_name": ("djs", "djs", "djs", "djs"),
    "allowed_no_session": (
        ["/static/", "/login"],
        " /static/, /login ,",
        "\n/static/\n/login\n",
        ("/static/", "/login"),
    ),
    "max_token_size": (100, "100", " 100 ", 100),
    "formats": (["jwt", "openssl"], "jwt, openssl", "jwt openssl", ("jwt", "openssl")),
    "trusted_proxies": (
        ("10.0.0.7", "10.1.0.0/16", "unix", "::1"),
        "10.0.0.7, 10.1.0.0/16,unix, ::1",
        "10.0.0.7 10.1.0.0/16\nunix\n::1",
        ("10.0.0.7", "10.1.0.0/16", "unix", "::1"),
    ),
    "websocket_origins": (
        ["https://www.example.com", "HTTP://[::1]:8000"],
        "https://www.example.com, http://[::1]:8000",
        "https://www.example.com\n  http://[::1]:8000",
        ("https://www.example.com", "http://[::1]:8000"),
    ),
}


def test_every_setting_is_tested() -> None:
    assert set(VALUES) == names()


@pytest.mark.parametrize("name", VALUES)
def test_a_setting_in_python(name: str) -> None:
    value, _, _, kept = VALUES[name]
    assert getattr(Settings(**{"secret_key": KEY, name: value}), name) == kept


@pytest.mark.parametrize("name", VALUES)
def test_a_setting_in_the_environment(name: str) -> None:
    _, text, _, kept = VALUES[name]
    variable = "DJAODJIN_SECRET_KEY" if name == "secret_key" else f"DJSESSION_{name.upper()}"
    settings = Settings.from_environ({"DJAODJIN_SECRET_KEY": KEY, variable: text, "PATH": "/bin"})
    assert getattr(settings, name) == kept


@pytest.mark.parametrize("name", VALUES)
def test_a_setting_in_an_ini_file(name: str) -> None:
    _, _, text, kept = VALUES[name]
    settings = Settings.from_mapping(
        {"djsession.secret_key": KEY, f"djsession.{name}": text, "pyramid.debug": "1"},
        "djsession.",
        "djsession.secret_key",
        split=split_at_white_space,
    )
    assert getattr(settings, name) == kept


@pytest.mark.parametrize("name", VALUES)
def test_a_setting_in_a_mapping(name: str) -> None:
    value, _, _, kept = VALUES[name]
    key = "DJAODJIN_SECRET_KEY" if name == "secret_key" else f"DJSESSION_{name.upper()}"
    config = {"DEBUG": True, "DJAODJIN_SECRET_KEY": KEY, key: value}
    assert getattr(Settings.from_mapping(config), name) == kept


WRONG: list[tuple[str, Any]] = [
    ("secret_key", 1),
    ("secret_key", b"bytes"),
    ("cookie_name", ""),
    ("cookie_name", "a b"),
    ("cookie_name", "a;b"),
    ("cookie_name", "a=b"),
    ("cookie_name", "é"),
    ("cookie_name", "a\n"),
    ("cookie_name", 1),
    ("allowed_no_session", "/static/"),
    ("allowed_no_session", [1]),
    ("allowed_no_session", 1),
    ("allowed_no_session", {"/static/"}),
    ("allowed_no_session", [""]),
    ("allowed_no_session", ["static/"]),
    ("allowed_no_session", ["/a//b"]),
    ("max_token_size", "65536"),
    ("max_token_size", 0),
    ("max_token_size", -1),
    ("max_token_size", True),
    ("max_token_size", 1.5),
    ("formats", "jwt"),
    ("formats", []),
    ("formats", [""]),
    ("formats", ["jwt", "jwe"]),
    ("formats", [1]),
    ("formats", {"jwt"}),
    ("trusted_proxies", "10.0.0.7"),
    ("trusted_proxies", []),
    ("trusted_proxies", [1]),
    ("trusted_proxies", ["proxy"]),
    ("trusted_proxies", ["10.1.2.3/16"]),
    ("trusted_proxies", ["10.0.0.7", ""]),
    ("trusted_proxies", False),
    ("websocket_origins", "https://www.example.com"),
    ("websocket_origins", [1]),
    ("websocket_origins", ["*"]),
    ("websocket_origins", ["null"]),
    ("websocket_origins", ["www.example.com"]),
    ("websocket_origins", ["https://www.example.com/"]),
    ("websocket_origins", ["https://*.example.com"]),
    ("websocket_origins", ["https://www.example.com:443"]),
    ("websocket_origins", ["HTTP://[::1]:80"]),
    ("websocket_origins", ["https://www.example.com", ""]),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_an_error_that_names_the_setting(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}:? "):
        Settings(**{"secret_key": KEY, name: value})


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("DJSESSION_MAX_TOKEN_SIZE", "64K", "DJSESSION_MAX_TOKEN_SIZE: must be a whole number"),
        ("DJSESSION_MAX_TOKEN_SIZE", "-1", "DJSESSION_MAX_TOKEN_SIZE: must be a whole number"),
        ("DJSESSION_MAX_TOKEN_SIZE", "", "DJSESSION_MAX_TOKEN_SIZE: must be a whole number"),
        ("DJSESSION_MAX_TOKEN_SIZE", "0", "max_token_size: must be a positive int"),
        ("DJSESSION_FORMATS", "jwe", "formats: must be a list"),
        ("DJSESSION_FORMATS", "", "formats: must be a list"),
        ("DJSESSION_TRUSTED_PROXIES", "", "trusted_proxies: must not be empty"),
        ("DJSESSION_ALLOWED_NO_SESSION", "static", "allowed_no_session: 'static' must start"),
    ],
)
def test_a_wrong_text_is_an_error_that_names_the_setting(
    variable: str, text: str, expected: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environ({"DJAODJIN_SECRET_KEY": KEY, variable: text})
    assert str(caught.value).startswith(expected)


def test_settings_under_another_prefix_and_key_name() -> None:
    config = {"djsession.secret_key": KEY, "djsession.cookie_name": "djs", "pyramid.debug": 1}
    settings = Settings.from_mapping(config, "djsession.", "djsession.secret_key")
    assert settings == Settings(KEY, cookie_name="djs")


def test_settings_without_a_prefix() -> None:
    settings = Settings.from_mapping({"COOKIE_NAME": "djs"}, prefix="", secret_key=KEY)
    assert settings == Settings(KEY, cookie_name="djs")


@pytest.mark.parametrize(
    ("prefix", "key", "hint"),
    [
        ("DJSESSION_", "DJSESSION_COOKIE_NAMES", "did you mean DJSESSION_COOKIE_NAME?"),
        ("djsession.", "djsession.allow_no_session", "did you mean djsession.allowed_no_session?"),
        ("", "MAX_TOKENSIZE", "did you mean MAX_TOKEN_SIZE?"),
        ("", "trusted_proxy", "did you mean trusted_proxies?"),
        ("DJSESSION_", "DJSESSION_XYZ", "the settings are DJSESSION_ALLOWED_NO_SESSION, "),
        ("DJSESSION_", "DJSESSION_SECRET_KEY", "use DJAODJIN_SECRET_KEY"),
    ],
)
def test_an_unknown_name_in_a_mapping_is_an_error_with_a_hint(
    prefix: str, key: str, hint: str
) -> None:
    for value in ("x", None):
        with pytest.raises(ConfigurationError) as caught:
            Settings.from_mapping({key: value}, prefix, secret_key=KEY)
        assert key in str(caught.value)
        assert hint in str(caught.value)


def test_an_unknown_name_in_python_is_an_error_with_a_hint() -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean allowed_no_session\?"):
        Settings(KEY, allow_no_session=["/static/"])
    with pytest.raises(ConfigurationError, match=r"did you mean cookie_name\?"):
        Settings.from_environ({}, secret_key=KEY, cookie="djs")


def test_the_variables_of_the_tests_are_not_settings() -> None:
    environ = {"DJAODJIN_SECRET_KEY": KEY, "DJSESSION_TEST_DATABASE_URL": "sqlite://"}
    assert Settings.from_environ(environ) == Settings(KEY)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "DJAODJIN_SECRET_KEY"),
        ({"DJAODJIN_SECRET_KEY": ""}, "DJAODJIN_SECRET_KEY"),
        ({"DJAODJIN_SECRET_KEY": f"{KEY},"}, "DJAODJIN_SECRET_KEY"),
        ({"DJAODJIN_SECRET_KEY": f'"{KEY}"'}, "quote or white space"),
        ({"DJAODJIN_SECRET_KEY": f"{KEY}, {OTHER_KEY}"}, "quote or white space"),
        ({"DJAODJIN_SECRET_KEY": KEY, "DJSESSION_COOKIE": "x"}, "DJSESSION_COOKIE"),
    ],
)
def test_a_wrong_variable_in_the_environment_is_an_error(
    environ: dict[str, str], expected: str
) -> None:
    with pytest.raises(ConfigurationError, match=expected) as caught:
        Settings.from_environ(environ)
    assert KEY not in str(caught.value)


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJAODJIN_SECRET_KEY", KEY)
    monkeypatch.setenv("DJSESSION_COOKIE_NAME", "djs")
    assert Settings.from_environ() == Settings(KEY, cookie_name="djs")


class TestPrecedenceOfSettings:
    ENVIRON: ClassVar = {"DJAODJIN_SECRET_KEY": OTHER_KEY, "DJSESSION_COOKIE_NAME": "environ"}

    def test_explicit_values_override_the_environment(self) -> None:
        settings = Settings.from_environ(self.ENVIRON, secret_key=KEY, cookie_name="explicit")
        assert settings == Settings(KEY, cookie_name="explicit")

    def test_a_mapping_overrides_the_environment(self) -> None:
        mapping = {"DJSESSION_COOKIE_NAME": "mapping", "DJAODJIN_SECRET_KEY": KEY}
        settings = Settings.from_mapping(mapping, environ=self.ENVIRON)
        assert settings == Settings(KEY, cookie_name="mapping")

    def test_explicit_values_override_a_mapping(self) -> None:
        mapping = {"DJSESSION_COOKIE_NAME": "mapping", "DJAODJIN_SECRET_KEY": OTHER_KEY}
        settings = Settings.from_mapping(mapping, cookie_name="explicit", secret_key=KEY)
        assert settings == Settings(KEY, cookie_name="explicit")

    def test_none_is_not_given_at_any_level(self) -> None:
        mapping = {"DJSESSION_COOKIE_NAME": None, "DJAODJIN_SECRET_KEY": None}
        settings = Settings.from_mapping(mapping, environ=self.ENVIRON, cookie_name=None)
        assert settings == Settings(OTHER_KEY, cookie_name="environ")

    def test_an_empty_list_overrides_the_environment(self) -> None:
        environ = {"DJAODJIN_SECRET_KEY": KEY, "DJSESSION_ALLOWED_NO_SESSION": "/login"}
        assert Settings.from_environ(environ, allowed_no_session=()).allowed_no_session == ()

    def test_without_an_environment_a_mapping_does_not_read_one(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DJSESSION_COOKIE_NAME", "environ")
        assert Settings.from_mapping({"DJAODJIN_SECRET_KEY": KEY}).cookie_name == "sessionid"


def test_the_first_of_the_formats_is_written() -> None:
    assert Settings(KEY).format == "openssl"
    assert Settings(KEY, formats=["jwt", "openssl"]).format == "jwt"


@pytest.mark.parametrize(
    ("name", "value"), [(name, value[0]) for name, value in VALUES.items()], ids=VALUES
)
def test_the_settings_that_decide_what_a_request_carries(name: str, value: Any) -> None:
    changed = Settings(**{"secret_key": KEY, name: value})
    # Paths and the origins of WebSockets do not change what the headers carry.
    is_apart = name in ("allowed_no_session", "websocket_origins")
    assert (changed.decoding == Settings(KEY).decoding) == is_apart


def test_a_gate_uses_every_setting_that_decides() -> None:
    settings = Settings(
        KEY, **{name: value[0] for name, value in VALUES.items() if "key" not in name}
    )
    assert Gate(settings).settings is settings
    assert Settings(**settings.gate_options()) == settings


@pytest.mark.parametrize(
    ("split", "text", "items"),
    [
        (split_at_commas, " a , b,,c ", ["a", "b", "c"]),
        (split_at_commas, "", []),
        (split_at_commas, "a b", ["a b"]),
        (split_at_white_space, " a  b\n\tc,d ", ["a", "b", "c,d"]),
    ],
)
def test_lists_in_settings_are_split(
    split: Callable[[str], list[str]], text: str, items: list[str]
) -> None:
    assert split(text) == items


def test_the_options_of_a_middleware_are_the_fields_of_the_settings() -> None:
    assert set(SettingsOptions.__annotations__) == {
        item.name for item in dataclasses.fields(Settings)
    }
