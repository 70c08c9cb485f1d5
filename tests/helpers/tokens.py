"""Tokens made by hand: valid, malformed, and signed by somebody else."""

from __future__ import annotations

import hmac
import json
from base64 import b64encode, urlsafe_b64encode
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from djsession import SessionError, openssl
from djsession import errors as e
from tests.helpers.sessions import KEY, OTHER_KEY

#: The proxy's own session id, which is not a token.
OPAQUE = "jhme0v4oa4t76b9qcokx8r4zqjxfhdiy"

#: An ``exp`` that no test reaches.
FUTURE = 9_999_999_999


def token_of(plaintext: bytes, key: str = KEY) -> str:
    """Return a token of the cookie format with this plaintext."""
    return b64encode(openssl.encrypt(plaintext, key.encode())).decode()


def token_of_blocks(padded: bytes) -> str:
    """Return a token whose decrypted blocks are exactly these, padding included."""
    salt = bytes(8)
    key, iv = openssl.derive_key_and_iv(KEY.encode(), salt)
    ciphertext = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor().update(padded)
    return b64encode(b"Salted__" + salt + ciphertext).decode()


def base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt_of(payload: bytes, key: str = KEY) -> str:
    """Return a jwt that is signed correctly and has this payload."""
    return forge({"alg": "HS256", "typ": "JWT"}, payload, key)


def forge(header: Any, payload: bytes = b"{}", key: str = KEY, digest: str = "sha256") -> str:
    """Sign a token by hand, whatever its header says."""
    start = f"{base64url(header if isinstance(header, bytes) else json.dumps(header).encode())}"
    start += "." + base64url(payload)
    return f"{start}.{base64url(hmac.new(key.encode(), start.encode(), digest).digest())}"


def nested(levels: int, kind: str) -> bytes:
    """Return a session in JSON with so many levels of lists, of objects, or of both in turn."""
    kinds = {"lists": [b"[1]"], "objects": [b'{"a":1}'], "mixed": [b"[1]", b'{"a":1}']}[kind]
    inner = b"1"
    for level in range(levels - 1):
        inner = kinds[level % len(kinds)].replace(b"1", inner)
    return b'{"username":"xia","exp":%d,"deep":%b}' % (FUTURE, inner)


_JWT = {"alg": "HS256", "typ": "JWT"}

#: Tokens that are refused under KEY, each with its error.
REFUSED: dict[str, tuple[type[SessionError], str]] = {
    "empty": (e.InvalidContainer, ""),
    "not base64": (e.InvalidBase64, "a session, honest"),
    "url-safe alphabet": (e.InvalidBase64, "U2FsdGVkX1-_" * 4),
    "without base64 padding": (e.InvalidBase64, token_of(b"{}").rstrip("=")),
    "too much base64 padding": (e.InvalidBase64, token_of(b"{}") + "="),
    "trailing line end": (e.InvalidBase64, token_of(b"{}") + "\n"),
    "leading space": (e.InvalidBase64, " " + token_of(b"{}")),
    "wrapped": (e.InvalidBase64, token_of(b"{}")[:20] + "\n" + token_of(b"{}")[20:]),
    "quoted": (e.InvalidBase64, f'"{token_of(b"{}")}"'),
    "url-encoded": (e.InvalidBase64, token_of(b"{}").replace("=", "%3D")),
    "more behind the base64 padding": (e.InvalidBase64, token_of(b"{}") + token_of(b"{}")),
    "token not ASCII": (e.InvalidBase64, token_of(b"{}")[:-1] + "é"),
    "a surrogate": (e.InvalidBase64, token_of(b"{}")[:-1] + "\ud800"),
    "without the header": (e.InvalidContainer, b64encode(bytes(48)).decode()),
    "header of another case": (e.InvalidContainer, b64encode(b"salted__" + bytes(24)).decode()),
    "without a ciphertext": (e.InvalidLength, b64encode(b"Salted__" + bytes(8)).decode()),
    "not whole blocks": (e.InvalidLength, b64encode(b"Salted__" + bytes(8 + 24)).decode()),
    "padding of 0": (e.InvalidPadding, token_of_blocks(b'{"a":1}'.ljust(16, b"\0"))),
    "padding of 17": (e.InvalidPadding, token_of_blocks(b'{"a":1}'.ljust(32, b"\x11"))),
    "padding not full": (e.InvalidPadding, token_of_blocks(b'{"a":1}12345678\x09')),
    "not UTF-8": (e.InvalidEncoding, token_of(b'{"a": "\xff"}')),
    "UTF-8 beyond ASCII": (e.InvalidEncoding, token_of('{"a": "é"}'.encode())),
    "UTF-16": (e.InvalidEncoding, token_of('{"a": "é"}'.encode("utf-16"))),
    "overlong UTF-8": (e.InvalidEncoding, token_of(b'{"a": "\xc0\xae"}')),
    "byte order mark": (e.InvalidEncoding, token_of(b"\xef\xbb\xbf{}")),
    "not JSON": (e.InvalidJSON, token_of(b"{'a': 1}")),
    "nothing": (e.InvalidJSON, token_of(b"")),
    "two objects": (e.InvalidJSON, token_of(b"{}{}")),
    "more behind the object": (e.InvalidJSON, token_of(b"{} x")),
    "NaN": (e.InvalidJSON, token_of(b'{"a": NaN}')),
    "Infinity": (e.InvalidJSON, token_of(b'{"a": -Infinity}')),
    "control character in a string": (e.InvalidJSON, token_of(b'{"a": "\x01"}')),
    "a huge integer": (e.InvalidJSON, token_of(b'{"a": ' + b"9" * 10_000 + b"}")),
    "repeated name": (e.RepeatedName, token_of(b'{"username": "a", "username": "b"}')),
    "repeated name further in": (e.RepeatedName, token_of(b'{"a": [{"b": {"c": 1, "c": 1}}]}')),
    "list": (e.NotAnObject, token_of(b'[{"username": "xia"}]')),
    "string": (e.NotAnObject, token_of(b'"xia"')),
    "number": (e.NotAnObject, token_of(b"1")),
    "null": (e.NotAnObject, token_of(b"null")),
    "65 levels": (e.NestedTooDeeply, token_of(nested(65, "mixed"))),
    "10,000 levels": (e.NestedTooDeeply, token_of(nested(10_000, "lists"))),
    "last_visited with a quote": (e.InvalidLastVisited, token_of(b'{"last_visited": "a\'"}')),
    "last_visited as number": (e.InvalidLastVisited, token_of(b'{"last_visited": 20260101}')),
    "exp as null": (e.InvalidExpiry, token_of(b'{"exp": null}')),
    "exp as text": (e.InvalidExpiry, token_of(b'{"exp": "9999999999"}')),
    "exp passed": (e.ExpiredToken, token_of(b'{"exp": 1700000000}')),
    "jwt of two parts": (e.MalformedJWT, forge(_JWT).rpartition(".")[0]),
    "jwt of four parts": (e.MalformedJWT, forge(_JWT) + ".a"),
    "jwt with a character outside ASCII": (e.MalformedJWT, forge(_JWT)[:-1] + "é"),
    "jwt of another algorithm": (e.UnsupportedAlgorithm, forge({"alg": "none"})),
    "jwt of another key": (e.InvalidSignature, forge(_JWT, key=OTHER_KEY)),
    "jwt with an empty signature": (e.InvalidSignature, forge(_JWT).rpartition(".")[0] + "."),
    "jwt with a list": (e.NotAnObject, jwt_of(b"[]")),
    "jwt that is not JSON": (e.InvalidClaims, jwt_of(b"xia")),
    "jwt that is not UTF-8": (e.InvalidClaims, jwt_of(b'{"a": "\xff"}')),
    "jwt of 65 levels": (e.NestedTooDeeply, jwt_of(nested(65, "mixed"))),
    "jwt of 10,000 levels": (e.NestedTooDeeply, jwt_of(nested(10_000, "lists"))),
    "jwt without exp": (e.InvalidExpiry, jwt_of(b'{"username": "xia"}')),
    "jwt with NaN as exp": (e.InvalidClaims, jwt_of(b'{"exp": NaN}')),
    "jwt with exp as text": (e.InvalidExpiry, jwt_of(b'{"exp": "9999999999"}')),
    "jwt with infinite exp": (e.InvalidExpiry, jwt_of(b'{"exp": 1e999}')),
    "jwt expired": (e.ExpiredToken, jwt_of(b'{"exp": 1700000000}')),
}
