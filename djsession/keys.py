"""Secret keys: how they are validated, and how a new key is generated."""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence

from .errors import ConfigurationError

__all__ = ["GENERATED_LENGTH", "PROXY_LENGTH", "check_secret_keys", "generate_key"]

#: The length of a key that the proxy generates, and of one that :func:`generate_key` returns.
PROXY_LENGTH = 16
GENERATED_LENGTH = 32

# Letters and digits only. The proxy's keys can also contain "$", "!", "#", "*" and "%", which have
# a meaning in shells, env files and ini files. That is the most common cause of a wrong key.
_ALPHABET = string.ascii_letters + string.digits


def check_secret_keys(secret_key: object) -> tuple[str, ...]:
    """Return the keys in a ``secret_key`` setting, newest first.

    Takes one key or a sequence of keys. Raises ConfigurationError when there is no key, or when a
    key is empty, is not ASCII, or is surrounded by quotes or white space.
    """
    if secret_key is None:
        secret_key = ()
    keys = (secret_key,) if isinstance(secret_key, str) else secret_key
    if not isinstance(keys, Sequence) or not all(isinstance(key, str) for key in keys):
        raise ConfigurationError("secret_key must be a str, or a list of str, newest first")
    if not keys or not all(keys):
        raise ConfigurationError(
            "no secret key: set DJAODJIN_SECRET_KEY, in the environment or in the framework's"
            " settings, or pass secret_key=. DjaoDjin shows the key in the settings of your site."
            " 'djsession keygen' generates one for development."
        )
    for key in keys:
        if not key.isascii():
            raise ConfigurationError(
                "secret_key (DJAODJIN_SECRET_KEY) contains a character outside ASCII, and the"
                " proxy's keys never do. Copy the key again."
            )
        if key != key.strip() or key.strip("\"'") != key:
            raise ConfigurationError(
                "secret_key (DJAODJIN_SECRET_KEY) starts or ends with a quote or white space."
                " Most likely it comes from an env file. Remove that character."
            )
    return tuple(keys)


def generate_key() -> str:
    """Return a random key of 32 letters and digits: 190 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(GENERATED_LENGTH))
