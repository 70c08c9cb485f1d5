"""HS256 tokens: a compact JWS (RFC 7515) with the session and ``exp`` as its claims.

Needs joserfc, the extra ``jwt``; importing this module without it raises ImportError. The
codec imports it when the first jwt comes by.
"""

from __future__ import annotations

import math
import re
import sys
import time
import warnings
from collections.abc import Mapping
from typing import Any

from joserfc import jws
from joserfc.errors import (
    BadSignatureError,
    JoseError,
    SecurityWarning,
    UnsupportedAlgorithmError,
)
from joserfc.jwk import OctKey

from .errors import (
    ExpiredToken,
    InvalidExpiry,
    InvalidSignature,
    MalformedJWT,
    UnsupportedAlgorithm,
)

__all__ = ["check_expiry", "import_key", "sign", "verify"]

# joserfc skips characters outside the alphabet; RFC 7515 section 2 has none there.
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*")
_HEADER = {"alg": "HS256", "typ": "JWT"}

_REGISTRY = jws.JWSRegistry(algorithms=["HS256"])
# The codec limits the whole token, before it comes here.
_REGISTRY.max_payload_length = sys.maxsize


def import_key(secret_key: str) -> OctKey:
    """Return the HMAC key that the functions below take.

    The proxy generates keys of 16 characters, shorter than RFC 7518 section 3.2 asks for
    HS256; they are taken as they are.
    """
    with warnings.catch_warnings():
        # How long the key is was decided at the proxy: there is nothing to warn this side of.
        warnings.simplefilter("ignore", SecurityWarning)
        return OctKey.import_key(secret_key)


def sign(payload: bytes, key: OctKey) -> str:
    """Return the token of a payload, a JSON object in UTF-8."""
    return jws.serialize_compact(dict(_HEADER), payload, key, registry=_REGISTRY)


def verify(token: str, key: OctKey) -> bytes:
    """Return the payload of a token whose signature verifies.

    Raises MalformedJWT, UnsupportedAlgorithm or InvalidSignature. Says nothing of ``exp``: see
    :func:`check_expiry`.
    """
    if _COMPACT.fullmatch(token) is None:
        raise MalformedJWT
    error: type[MalformedJWT | UnsupportedAlgorithm | InvalidSignature]
    try:
        return jws.deserialize_compact(token, key, registry=_REGISTRY).payload
    except BadSignatureError:
        error = InvalidSignature
    except UnsupportedAlgorithmError:
        error = UnsupportedAlgorithm
    except (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        # A header that is not JSON, not an object, or has parameters of odd types.
        error = MalformedJWT
    # Raised out here so that joserfc's exception, which may quote the token, is not its context.
    raise error


def check_expiry(claims: Mapping[str, Any]) -> None:
    """Raise ExpiredToken or InvalidExpiry unless ``exp`` is absent or ahead.

    ``exp`` is in seconds since the epoch (RFC 7519 section 4.1.4) and is compared without
    leeway.
    """
    if "exp" not in claims:
        return
    exp = claims["exp"]
    if isinstance(exp, bool) or not isinstance(exp, (int, float)) or not _is_finite(exp):
        raise InvalidExpiry
    now = time.time()
    if exp <= now:
        raise ExpiredToken(f"the jwt expired {_ago(now, exp)} ago")


def _is_finite(number: int | float) -> bool:
    return isinstance(number, int) or math.isfinite(number)


def _ago(now: float, exp: int | float) -> str:
    """How long ago, in the largest unit that has passed twice."""
    seconds = int(now) - int(exp)
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{min(seconds // size, 9999)} {unit}"
    return f"{seconds} s"
