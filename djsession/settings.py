"""Settings: one frozen dataclass, whatever framework or environment they come from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

from .codec import FORMATS, MAX_TOKEN_SIZE, SessionCodec
from .errors import ConfigurationError
from .keys import check_secret_keys

if TYPE_CHECKING:
    from typing_extensions import Self

    from .codec import Format

__all__ = ["KEY_NAME", "PREFIX", "Settings"]

#: What the proxy's documentation calls the key.
KEY_NAME = "DJAODJIN_SECRET_KEY"

#: What every other setting starts with in the environment and in Flask's configuration.
PREFIX = "DJSESSION_"

# Variables that the project's own tests read; no setting is ever named so.
_TEST_PREFIX = PREFIX + "TEST_"

_COOKIE_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a token of RFC 9110


@dataclass(frozen=True)
class Settings:
    """Everything the gate needs to know. Raises ConfigurationError for a wrong value."""

    #: One key or a sequence of them, newest first. There is no default key.
    secret_key: str | Sequence[str] | None = field(default=None, repr=False)
    #: The cookie that carries the session.
    cookie_name: str = "sessionid"
    #: The paths that need no session: "/login" is "/login" and all below; "/" is the home page.
    allowed_no_session: Sequence[str] = ()
    #: Characters of the longest token that is looked at.
    max_token_size: int = MAX_TOKEN_SIZE
    #: The formats that are taken. ("jwt",) for a site with the proxy's JWT session backend: a token
    #: of the other format, which does not expire, is then refused, wherever it is from.
    formats: Sequence[str] = FORMATS

    def __post_init__(self) -> None:
        object.__setattr__(self, "secret_key", check_secret_keys(self.secret_key))
        if not isinstance(self.cookie_name, str) or not _COOKIE_NAME.fullmatch(self.cookie_name):
            raise ConfigurationError(
                "cookie_name must be the name of a cookie: letters, digits, hyphens, underscores"
            )
        paths = self.allowed_no_session
        if (
            isinstance(paths, str)
            or not isinstance(paths, Sequence)
            or not all(isinstance(path, str) for path in paths)
        ):
            raise ConfigurationError(
                "allowed_no_session must be a list of paths, such as ['/static/', '/login/']"
            )
        object.__setattr__(self, "allowed_no_session", tuple(paths))
        if type(self.max_token_size) is not int or self.max_token_size < 1:
            raise ConfigurationError("max_token_size must be a positive int: characters")
        formats = self.formats
        if (
            isinstance(formats, str)
            or not isinstance(formats, Sequence)
            or not formats
            or not all(name in FORMATS for name in formats)
        ):
            raise ConfigurationError('formats must be a list of "openssl", "jwt" or both')
        object.__setattr__(self, "formats", tuple(formats))

    def codec(self) -> SessionCodec:
        """Return what reads and writes tokens by these settings."""
        return SessionCodec(
            self.secret_key or (), max_token_size=self.max_token_size, formats=self.formats
        )

    @property
    def format(self) -> Format:
        """The format to write tokens in: the first that is taken."""
        return cast("Format", self.formats[0])

    def gate_options(self) -> dict[str, Any]:
        """Return the settings by name, those that adapters add left out: for another gate."""
        return {item.name: getattr(self, item.name) for item in fields(Settings)}

    @classmethod
    def from_mapping(
        cls,
        mapping: Mapping[str, Any],
        prefix: str = PREFIX,
        key_name: str = KEY_NAME,
        *,
        environ: Mapping[str, str] | None = None,
        **explicit: Any,
    ) -> Self:
        """Return the settings of a mapping whose keys are ``prefix`` + name, in any case.

        The secret key is under ``key_name``. What is not there, or None, is looked for in
        ``environ``, as :meth:`from_environ` does; ``explicit`` values that are not None win over
        both. Raises ConfigurationError for a name that starts with the prefix and is not known.
        """
        values = cls._environ_values(environ or {})
        for source in (cls._mapping_values(mapping, prefix, key_name), explicit):
            values.update({name: value for name, value in source.items() if value is not None})
        return cls(**values)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None, **explicit: Any) -> Self:
        """Return the settings of the environment (default: ``os.environ``).

        Lists are separated by commas; no comma is in the proxy's alphabet for keys. ``explicit``
        values that are not None win.
        """
        return cls.from_mapping({}, environ=os.environ if environ is None else environ, **explicit)

    @classmethod
    def _mapping_values(
        cls, mapping: Mapping[str, Any], prefix: str, key_name: str
    ) -> dict[str, Any]:
        known = {item.name for item in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in mapping.items():
            if key == key_name:
                values["secret_key"] = value
            elif isinstance(key, str) and key.startswith(prefix):
                name = key[len(prefix) :].lower()
                if name == "secret_key":
                    raise ConfigurationError(f"{key} is not a setting: the key is {key_name}")
                if name not in known:
                    raise ConfigurationError(_unknown(key, name, known, prefix))
                values[name] = value
        return values

    @classmethod
    def _environ_values(cls, environ: Mapping[str, str]) -> dict[str, Any]:
        types = {PREFIX + item.name.upper(): str(item.type) for item in fields(cls)}
        types[KEY_NAME] = "key"
        parsed = {
            name: _parse(name, value, types.get(name, ""))
            for name, value in environ.items()
            if name == KEY_NAME or (name.startswith(PREFIX) and not name.startswith(_TEST_PREFIX))
        }
        return cls._mapping_values(parsed, PREFIX, KEY_NAME)


def _parse(name: str, value: str, kind: str) -> str | list[str] | int:
    """Return the value of an environment variable as the type that its setting takes."""
    if kind == "key":
        return value.split(",") if value else []
    if kind == "Sequence[str]":
        return [item for part in value.split(",") if (item := part.strip())]
    if kind == "int":
        try:
            return int(value)
        except ValueError:
            raise ConfigurationError(f"{name} must be a whole number") from None
    if kind == "bool":
        if value.lower() not in ("true", "false", "1", "0"):
            raise ConfigurationError(f"{name} must be true or false")
        return value.lower() in ("true", "1")
    return value


def _unknown(key: str, name: str, known: set[str], prefix: str) -> str:
    close = get_close_matches(name, known, 1)
    upper = not prefix or prefix.isupper()
    hints = [prefix + (hint.upper() if upper else hint) for hint in close or sorted(known)]
    hints = [hint for hint in hints if not hint.lower().endswith("secret_key")]
    return f"unknown setting {key}; " + (
        f"did you mean {hints[0]}?" if close and hints else f"there are {', '.join(hints)}"
    )
