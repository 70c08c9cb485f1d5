"""Secret keys: what can be one, and how a new one is made."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from .errors import ConfigurationError

__all__ = ["GENERATED_LENGTH", "PROXY_LENGTH", "check_secret_keys", "generate_key"]

#: Characters of the keys that the proxy makes, and of those that are made here.
PROXY_LENGTH = 16
GENERATED_LENGTH = 32

# What the proxy draws keys from: 46 characters, 5.5 bits each.
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789!@#$%^*-_=+"


def check_secret_keys(secret_key: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the keys of a ``secret_key`` setting, newest first.

    Takes one key or a sequence of them. Raises ConfigurationError when there is none, and for a
    key that is empty, not ASCII, or has quotes or white space around it.
    """
    if secret_key is None:
        secret_key = ()
    keys = (secret_key,) if isinstance(secret_key, str) else secret_key
    if not isinstance(keys, Sequence) or not all(isinstance(key, str) for key in keys):
        raise ConfigurationError("secret_key must be a str, or a list of them, newest first")
    if not keys or not all(keys):
        raise ConfigurationError(
            "no secret key: set DJAODJIN_SECRET_KEY, in the environment or in the settings of"
            " the framework, or pass secret_key=, to the key shown in the settings of the site"
            " at DjaoDjin. 'djsession keygen' makes one for a site that has none."
        )
    for key in keys:
        if not key.isascii():
            raise ConfigurationError(
                "secret_key (DJAODJIN_SECRET_KEY) has a character outside ASCII. The proxy's"
                " keys have none: copy it again."
            )
        if key != key.strip() or key.strip("\"'") != key:
            raise ConfigurationError(
                "secret_key (DJAODJIN_SECRET_KEY) starts or ends with a quote or white space."
                " Most likely a file of environment variables put it there: remove it."
            )
    return tuple(keys)


def generate_key() -> str:
    """Return a random key of 32 characters of the proxy's alphabet: more than 128 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(GENERATED_LENGTH))
