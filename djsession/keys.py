"""Secret keys: which strings are accepted as one, and how a new one is made."""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence

from .errors import ConfigurationError

__all__ = ["GENERATED_LENGTH", "PROXY_LENGTH", "check_secret_keys", "generate_key"]

#: Characters in a key that the proxy generates, and in one that is generated here.
PROXY_LENGTH = 16
GENERATED_LENGTH = 32

# Letters and digits only. The proxy's alphabet also has "$", "!", "#", "*" and "%", which shells,
# env files and ini files change. That is the most common cause of a wrong key.
_ALPHABET = string.ascii_letters + string.digits


def check_secret_keys(secret_key: object) -> tuple[str, ...]:
    """Return the keys of a ``secret_key`` setting, newest first.

    Takes one key or a sequence of keys. Raises ConfigurationError when there is none, and for a
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
            " at DjaoDjin. 'djsession keygen' generates one for development."
        )
    for key in keys:
        if not key.isascii():
            raise ConfigurationError(
                "secret_key (DJAODJIN_SECRET_KEY) contains a character outside ASCII, which the"
                " proxy's keys never do: copy the key again."
            )
        if key != key.strip() or key.strip("\"'") != key:
            raise ConfigurationError(
                "secret_key (DJAODJIN_SECRET_KEY) starts or ends with a quote or white space."
                " Most likely a file of environment variables put it there. Remove that character."
            )
    return tuple(keys)


def generate_key() -> str:
    """Return a random key of 32 letters and digits: 190 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(GENERATED_LENGTH))
