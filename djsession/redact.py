"""Masking: a session, or a text, without the credentials in it.

The proxy may send credentials of the site along in a session. Mask a session before you show it::

    from djsession.redact import mask

    page = json.dumps(mask(session))
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from typing import Any

__all__ = ["MASK", "mask", "redact"]

MASK = "********"

_CREDENTIAL = re.compile(
    r"secret|pass(?:word|wd|phrase)|\bpwd\b|token|jwt|bearer|cookie|authorization|credential"
    r"|(?:access|session|api|private)[_-]?key",
    re.IGNORECASE,
)

# A secret of a few characters occurs in any text, and masking it would take words apart.
_SHORTEST = 6


def mask(value: Any, secrets: Collection[str] = ()) -> Any:
    """Return a copy of a JSON value in which the values of credential-like keys are masked.

    These keys are ``secret_key``, ``access_key``, ``security_token``, ``session_key`` and whatever
    is named password or token. A null is kept. The ``secrets`` are masked wherever they occur.
    """
    if isinstance(value, dict):
        return {
            redact(str(key), secrets): (
                MASK if item is not None and _CREDENTIAL.search(str(key)) else mask(item, secrets)
            )
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [mask(item, secrets) for item in value]
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, float) and not math.isfinite(value):  # 1e999, which JSON cannot express
        return str(value)
    if isinstance(value, (int, float)) and str(value) in secrets:
        return MASK
    return value


def redact(text: str, secrets: Collection[str]) -> str:
    """Return a text, or JSON, in which the secrets are masked."""
    for secret in sorted(secrets, key=len, reverse=True):
        for written in {secret, json.dumps(secret)[1:-1]}:
            if len(written) >= _SHORTEST:
                text = text.replace(written, MASK)
    return text
