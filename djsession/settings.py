"""Settings: one frozen dataclass for the settings from every framework and the environment.

Each field has a parser, which validates the value and reads it from text. To add a setting, add a
field here and use it where it is needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypedDict

from .codec import FORMATS, MAX_TOKEN_SIZE, SessionCodec
from .errors import ConfigurationError, hide_locals
from .keys import check_secret_keys
from .paths import OpenPaths
from .transport import TrustedProxies

if TYPE_CHECKING:
    from typing import Self

    from .codec import Format

__all__ = [
    "BOOLEAN",
    "KEY_NAME",
    "LIST",
    "PREFIX",
    "Parser",
    "Settings",
    "SettingsOptions",
    "parser_of",
    "setting",
    "split_at_commas",
]

#: The name that the proxy's documentation uses for the key.
KEY_NAME = "DJAODJIN_SECRET_KEY"

#: The prefix of every other setting in the environment and in Flask's configuration.
PREFIX = "DJSESSION_"

# The prefix of variables for djsession's own tests, which is reserved: no setting starts with it.
_TEST_PREFIX = PREFIX + "TEST_"

_COOKIE_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a token of RFC 9110

# scheme://host or scheme://host:port, as browsers write it (RFC 6454 section 6.2). They leave out
# the default port.
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://[a-z0-9._-]+(:[0-9]+)?|[a-z]+://\[[0-9a-f:]+\](:[0-9]+)?"
)
_DEFAULT_PORT = re.compile(r"http://.*:80|https://.*:443")

_PARSER = "djsession.parser"

#: Splits the text of a list into its items, at commas (environment) or at white space (ini files).
Split = Callable[[str], Iterable[str]]


def split_at_commas(text: str) -> list[str]:
    """Return the items of a list in an environment variable."""
    return [item for part in text.split(",") if (item := part.strip())]


@dataclass(frozen=True)
class Parser:
    """How the value of a setting is read and validated.

    ``check`` takes a Python value and returns the value to store. ``read`` converts the text of an
    environment variable or an ini file to a value for ``check``. Both raise ValueError with a
    message that says which type and format is expected.
    """

    check: Callable[[Any], Any] = lambda value: value
    read: Callable[[str, Split], Any] = lambda text, split: text


def setting(parser: Parser, default: Any = None, *, is_secret: bool = False) -> Any:
    """Return a field for a settings dataclass. The repr leaves out a secret field."""
    return field(default=default, repr=not is_secret, metadata={_PARSER: parser})


def _check_items(value: Any) -> tuple[str, ...]:
    if (
        isinstance(value, str)
        or not isinstance(value, Sequence)
        or not all(isinstance(item, str) for item in value)
    ):
        raise ValueError("must be a list of strings")
    return tuple(value)


def _read_items(text: str, split: Split) -> list[str]:
    return list(split(text))


def _check_boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be True or False")
    return value


def _read_boolean(text: str, split: Split) -> bool:
    if text.strip().lower() not in ("true", "false", "1", "0"):
        raise ValueError("must be true or false")
    return text.strip().lower() in ("true", "1")


#: A list of strings, and a truth value.
LIST = Parser(_check_items, _read_items)
BOOLEAN = Parser(_check_boolean, _read_boolean)


def _check_cookie_name(value: Any) -> str:
    if not isinstance(value, str) or not _COOKIE_NAME.fullmatch(value):
        raise ValueError("must be the name of a cookie: letters, digits, hyphens and underscores")
    return value


def _check_open_paths(value: Any) -> tuple[str, ...]:
    try:
        entries = _check_items(value)
    except ValueError:
        raise ValueError("must be a list of paths, such as ['/static/', '/login/']") from None
    OpenPaths(entries)
    return entries


def _check_token_size(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise ValueError("must be a positive int, which is a number of characters")
    return value


def _read_token_size(text: str, split: Split) -> int:
    if not text.strip().isdecimal():
        raise ValueError("must be a whole number")
    return int(text)


def _check_formats(value: Any) -> tuple[str, ...]:
    if (
        isinstance(value, str)
        or not isinstance(value, Sequence)
        or not value
        or not all(name in FORMATS for name in value)
    ):
        raise ValueError('must be a list that contains "openssl", "jwt" or both')
    return tuple(value)


def _check_trusted_proxies(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    expected = "a list of addresses and networks, such as ['10.0.0.7', '10.1.0.0/16', 'unix']"
    try:
        entries = _check_items(value)
    except ValueError:
        raise ValueError(f"must be {expected}") from None
    if not entries:
        raise ValueError(f"must not be empty: remove the setting, or set it to {expected}")
    try:
        TrustedProxies(entries)
    except ValueError as error:
        raise ValueError(f"{error}; expected {expected}") from None
    return entries


def _check_origins(value: Any) -> tuple[str, ...]:
    expected = "must be a list of origins, such as ['https://www.example.com']"
    try:
        entries = _check_items(value)
    except ValueError:
        raise ValueError(expected) from None
    entries = tuple(entry.lower() for entry in entries)
    if not all(map(_ORIGIN.fullmatch, entries)) or any(map(_DEFAULT_PORT.fullmatch, entries)):
        raise ValueError(f"{expected}, without a path or a default port")
    return entries


def _read_keys(text: str, split: Split) -> list[str]:
    # Do not strip the keys: white space around a key is an error to report.
    return text.split(",") if split is split_at_commas and text else list(split(text))


class SettingsOptions(TypedDict, total=False):
    """The fields of Settings as keyword arguments; None counts as not passed."""

    secret_key: str | Sequence[str] | None
    cookie_name: str | None
    allowed_no_session: Sequence[str] | None
    max_token_size: int | None
    formats: Sequence[str] | None
    trusted_proxies: Sequence[str] | None
    websocket_origins: Sequence[str] | None


@dataclass(frozen=True, init=False)
class Settings:
    """All settings of the gate.

    Takes the fields as keyword arguments; None means the default. Raises ConfigurationError for an
    unknown name or an invalid value.
    """

    #: One key or a list of keys, newest first: the first encodes, all decode. Required.
    secret_key: tuple[str, ...] = setting(Parser(check_secret_keys, _read_keys), is_secret=True)
    #: The cookie that carries the session.
    cookie_name: str = setting(Parser(_check_cookie_name), "sessionid")
    #: The paths that need no session. "/login" matches "/login" and everything below it. "/"
    #: matches only the home page.
    allowed_no_session: tuple[str, ...] = setting(Parser(_check_open_paths, _read_items), ())
    #: The longest token that is examined, in characters.
    max_token_size: int = setting(Parser(_check_token_size, _read_token_size), MAX_TOKEN_SIZE)
    #: The formats that are accepted. Set it to ("jwt",) for a site that uses the proxy's JWT
    #: session backend, to refuse openssl tokens, which do not expire.
    formats: tuple[Format, ...] = setting(Parser(_check_formats, _read_items), FORMATS)
    #: The peers that may send a session: addresses, networks or "unix". None allows any peer.
    trusted_proxies: tuple[str, ...] | None = setting(Parser(_check_trusted_proxies, _read_items))
    #: The other sites whose pages may open a WebSocket with the user's session, such as
    #: ``https://www.example.com``. Pages of the application's own host do not need to be listed.
    #: Only the ASGI middleware uses this setting.
    websocket_origins: tuple[str, ...] = setting(Parser(_check_origins, _read_items), ())

    @hide_locals
    def __init__(self, secret_key: object = None, **values: Any) -> None:
        known = {item.name: item for item in fields(self)}
        values["secret_key"] = secret_key
        for name in values:
            if name not in known:
                raise ConfigurationError(_unknown_setting(name, name, set(known), ""))
        for name, item in known.items():
            value = values.get(name)
            if value is None:
                value = item.default
            try:
                value = parser_of(item).check(value)
            except ValueError as error:
                raise ConfigurationError(f"{name}: {error}") from None
            object.__setattr__(self, name, value)
        self._check_combinations()

    def _check_combinations(self) -> None:
        """Raise ConfigurationError if the values of several settings conflict."""

    def codec(self) -> SessionCodec:
        """Return the codec that reads and writes tokens with these settings."""
        return SessionCodec(
            self.secret_key, max_token_size=self.max_token_size, formats=self.formats
        )

    def open_paths(self) -> OpenPaths:
        """Return the paths that need no session."""
        return OpenPaths(self.allowed_no_session)

    def trusted_peers(self) -> TrustedProxies | None:
        """Return the peers that may send a session, or None if the peer is not checked."""
        return None if self.trusted_proxies is None else TrustedProxies(self.trusted_proxies)

    @property
    def decoding(self) -> tuple[object, ...]:
        """The settings that determine which session is decoded from a request's headers."""
        return (
            self.secret_key,
            self.cookie_name,
            self.max_token_size,
            self.formats,
            self.trusted_proxies,
        )

    @property
    def format(self) -> Format:
        """The format in which to write tokens: the first format that is accepted."""
        return self.formats[0]

    def gate_options(self) -> dict[str, Any]:
        """Return the fields of Settings by name, without the fields that an adapter adds."""
        return {item.name: getattr(self, item.name) for item in fields(Settings)}

    @classmethod
    @hide_locals
    def from_mapping(
        cls,
        mapping: Mapping[str, Any],
        prefix: str = PREFIX,
        key_name: str = KEY_NAME,
        *,
        environ: Mapping[str, str] | None = None,
        split: Split | None = None,
        **explicit: Any,
    ) -> Self:
        """Return the settings from a mapping, whose keys are ``prefix`` + name in any case.

        The secret key has the name ``key_name``. With ``split`` the values are text, as in an ini
        file. A setting that is missing or None in the mapping is read from ``environ``, as in
        :meth:`from_environ`. Any ``explicit`` value that is not None overrides both. Raises
        ConfigurationError for an unknown name that starts with the prefix.
        """
        values = cls._read(environ or {}, PREFIX, KEY_NAME, split_at_commas)
        for source in (cls._read(mapping, prefix, key_name, split), explicit):
            values.update({name: value for name, value in source.items() if value is not None})
        return cls(**values)

    @classmethod
    @hide_locals
    def from_environ(cls, environ: Mapping[str, str] | None = None, **explicit: Any) -> Self:
        """Return the settings from the environment (default: ``os.environ``).

        The items of a list are separated by commas, which the proxy's keys never contain. Any
        ``explicit`` value that is not None overrides the environment.
        """
        return cls.from_mapping({}, environ=os.environ if environ is None else environ, **explicit)

    @classmethod
    def _read(
        cls, mapping: Mapping[str, Any], prefix: str, key_name: str, split: Split | None
    ) -> dict[str, Any]:
        known = {item.name: item for item in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in mapping.items():
            if key == key_name:
                name = "secret_key"
            elif isinstance(key, str) and key.startswith(prefix):
                if key.startswith(_TEST_PREFIX):
                    continue
                name = key[len(prefix) :].lower()
                if name == "secret_key":
                    raise ConfigurationError(f"{key} is not a setting: use {key_name}")
                if name not in known:
                    raise ConfigurationError(_unknown_setting(key, name, set(known), prefix))
            else:
                continue
            if split is not None and isinstance(value, str):
                try:
                    value = parser_of(known[name]).read(value, split)
                except ValueError as error:
                    raise ConfigurationError(f"{key}: {error}") from None
            values[name] = value
        return values


def parser_of(item: Any) -> Parser:
    """Return the parser of a field of a settings dataclass."""
    parser: Parser = item.metadata[_PARSER]
    return parser


def _unknown_setting(key: str, name: str, known: set[str], prefix: str) -> str:
    known = known - {"secret_key"}
    close = get_close_matches(name, known, 1)
    is_upper = prefix.isupper() or key.isupper()
    hints = [prefix + (hint.upper() if is_upper else hint) for hint in close or sorted(known)]
    return f"unknown setting {key}; " + (
        f"did you mean {hints[0]}?" if close else f"the settings are {', '.join(hints)}"
    )
