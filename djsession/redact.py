"""Masks the credentials in a session or a text.

A session from the proxy may contain credentials of the site. Mask a session before you show it::

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

_CREDENTIAL_NAME = re.compile(
    r"secret|pass(?:word|wd|phrase)|\bpwd\b|token|jwt|bearer|cookie|authorization|credential"
    r"|(?:access|session|api|private)[_-]?key",
    re.IGNORECASE,
)

# A shorter secret is likely to occur in ordinary words, and masking it would garble the text.
_SHORTEST_SECRET = 6


def mask(value: Any, secrets: Collection[str] = ()) -> Any:
    """Return a copy of a JSON value in which the values of credential-like keys are masked.

    Such keys contain a word like ``secret``, ``password``, ``token`` or ``cookie``, or are named
    like ``access_key`` or ``session_key``. A null value is kept. The ``secrets`` are masked
    wherever they occur.
    """
    if isinstance(value, dict):
        return {
            redact(str(key), secrets): (
                MASK
                if item is not None and _CREDENTIAL_NAME.search(str(key))
                else mask(item, secrets)
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
    """Return a text or JSON document in which the secrets are masked."""
    for secret in sorted(secrets, key=len, reverse=True):
        for written in {secret, json.dumps(secret)[1:-1]}:
            if len(written) >= _SHORTEST_SECRET:
                text = text.replace(written, MASK)
    return text
