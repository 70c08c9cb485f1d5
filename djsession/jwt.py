"""Compact JWS (RFC 7515) with HS256 (RFC 7518 section 3.2): how the proxy signs a session.

The signature is verified before anything is parsed, so no bytes that an attacker chose reach a
parser. The decoder accepts only what the proxy writes: three parts in base64url without padding,
``alg`` HS256, and no critical extensions.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from binascii import a2b_base64
from hmac import compare_digest, digest

from .errors import InvalidSignature, MalformedJWT, UnsupportedAlgorithm

__all__ = ["sign", "verify"]

# Headers that need not be parsed: the one that sign() writes, and the one that the proxy's library
# (PyJWT) writes.
_OUR_HEADER = urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
_KNOWN_HEADERS = frozenset(
    (_OUR_HEADER, urlsafe_b64encode(b'{"typ":"JWT","alg":"HS256"}').rstrip(b"="))
)

_TO_STANDARD_ALPHABET = bytes.maketrans(b"-_+/=", b"+/!!!")
# The valid last characters, by the length modulo 4: their unused bits are zero (RFC 4648 section
# 3.5). A length of 4n + 1 does not occur.
_VALID_LAST_CHARACTERS = {0: b"", 2: b"AQgw", 3: b"AEIMQUYcgkosw048"}


def sign(payload: bytes, key: bytes) -> str:
    """Return a signed token with a payload, which is a JSON object in UTF-8."""
    signed = _OUR_HEADER + b"." + urlsafe_b64encode(payload).rstrip(b"=")
    return (signed + b"." + _signature(signed, key)).decode()


def verify(token: bytes, key: bytes) -> bytes:
    """Verify the signature of a token and return its payload, which is unparsed JSON.

    The proxy generates keys of 16 characters, which is shorter than RFC 7518 section 3.2 requires.
    They are accepted, since the proxy decides on their length.

    Raises MalformedJWT, InvalidSignature or UnsupportedAlgorithm. Does not look at ``exp``.
    """
    signed, _, signature = token.rpartition(b".")
    header, dot, payload = signed.partition(b".")
    if not dot or b"." in payload:
        raise MalformedJWT
    # Comparing the text instead of the bytes accepts only one spelling of the signature.
    if not compare_digest(signature, _signature(signed, key)):
        raise InvalidSignature
    if header not in _KNOWN_HEADERS:
        _check_header(header)
    return _base64url_decode(payload)


def _signature(signed: bytes, key: bytes) -> bytes:
    return urlsafe_b64encode(digest(key, signed, "sha256")).rstrip(b"=")


def _check_header(encoded: bytes) -> None:
    try:
        header = json.loads(_base64url_decode(encoded))
    except (ValueError, RecursionError):
        raise MalformedJWT from None
    if not isinstance(header, dict):
        raise MalformedJWT
    # RFC 7515 section 4.1.11: a recipient rejects critical extensions that it does not know.
    if header.get("alg") != "HS256" or "crit" in header or header.get("b64", True) is not True:
        raise UnsupportedAlgorithm


def _base64url_decode(encoded: bytes) -> bytes:
    """Return the bytes of base64url without padding (RFC 7515 section 2). Raises MalformedJWT."""
    length = len(encoded)
    last = _VALID_LAST_CHARACTERS.get(length % 4)
    if last is None or (last and encoded[-1] not in last):
        raise MalformedJWT
    try:
        # "+", "/" and "=", which base64url without padding does not use, become invalid.
        standard = encoded.translate(_TO_STANDARD_ALPHABET) + b"=" * (-length % 4)
        return a2b_base64(standard, strict_mode=True)
    except ValueError:
        raise MalformedJWT from None
