"""What happened to one token, for people: every secret in it masked."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

from . import openssl
from .codec import MAX_TOKEN_SIZE, SessionCodec, token_format
from .errors import SessionError

__all__ = ["MASK", "describe", "mask"]

MASK = "********"

_CREDENTIAL = re.compile(
    r"secret|password|passwd|token|(?:access|session|api|private)[_-]?key|credential",
    re.IGNORECASE,
)


def mask(value: Any) -> Any:
    """Return a copy of a JSON value with what credential-like keys hold masked.

    Those are ``secret_key``, ``access_key``, ``security_token``, ``session_key`` and whatever is
    named password or token. A null stays: it says that there is none.
    """
    if isinstance(value, dict):
        return {
            key: MASK if item is not None and _CREDENTIAL.search(str(key)) else mask(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [mask(item) for item in value]
    return value


def describe(
    transport: str, token: str, secret_keys: Sequence[str], max_token_size: int = MAX_TOKEN_SIZE
) -> str:
    """Return what a token holds and what became of it under each key, in lines for a log."""
    kind = token_format(token)
    lines = [
        f"session token: transport {transport}, format {kind}, {len(token)} characters,"
        f" starts with {_public_start(token)}"
    ]
    for number, key in enumerate(secret_keys, 1):
        lines.append(f"  secret key {number} of {len(secret_keys)}: {MASK} ({len(key)} characters)")
        if kind == "openssl" and len(token) <= max_token_size:
            lines += _derivation(token, key)
        try:
            session = SessionCodec(key, max_token_size=max_token_size).loads(token)
        except SessionError as error:
            lines.append(f"    refused:   {error}")
            continue
        try:
            document = json.dumps(mask(session), indent=2)
        except RecursionError:
            document = "nested too deeply to be shown"
        lines.append("    session:   " + document.replace("\n", "\n    "))
        break
    return "\n".join(lines)


def _public_start(token: str) -> str:
    """Return as much of a token as is no secret: an openssl header and salt, or a jwt's header.

    Anything else is nobody's session, and may be somebody's credential.
    """
    if token.startswith("U2FsdGVkX1"):
        return f"{token[:21]!a}"
    header, dot, _ = token.partition(".")
    if dot and header.startswith("eyJ"):
        return f"{header[:40]!a}"
    return MASK


def _derivation(token: str, key: str) -> list[str]:
    try:
        salt, _ = openssl.split(b64decode(token, validate=True))
    except (ValueError, SessionError):
        return []
    _, iv = openssl.derive_key_and_iv(key.encode("ascii"), salt)
    return [f"    salt:      {salt.hex()}", f"    key:       {MASK}", f"    iv:        {iv.hex()}"]
