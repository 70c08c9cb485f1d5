"""SessionCodec: a token to a Session and back, in either format, under several keys."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import cached_property
from time import time
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from . import openssl
from .errors import (
    InvalidBase64,
    InvalidEncoding,
    InvalidJSON,
    InvalidPadding,
    JWTUnavailable,
    NotAnObject,
    RefusedFormat,
    SessionError,
    TokenTooLarge,
)
from .keys import check_secret_keys
from .session import Session

if TYPE_CHECKING:
    from types import ModuleType

    from joserfc.jwk import OctKey

__all__ = [
    "FORMATS",
    "MAX_TOKEN_SIZE",
    "Format",
    "SessionCodec",
    "dumps",
    "loads",
    "token_format",
]

Format = Literal["openssl", "jwt"]

#: All of them, the default for new tokens first.
FORMATS: tuple[Format, ...] = ("openssl", "jwt")

#: Characters in a token: 64 KiB, a session of some 48 KiB of JSON.
MAX_TOKEN_SIZE = 65_536

#: Seconds until a jwt expires: what the proxy sets.
JWT_MAX_AGE = 7_200

_WHITESPACE = " \t\n\r"  # RFC 8259 section 2


def token_format(token: str) -> Format:
    """Return the format that a token is in. No character of base64 is a dot; a jwt has two."""
    return "jwt" if "." in token else "openssl"


class SessionCodec:
    """Decodes and encodes tokens under one or more secret keys.

    ``secret_key`` is a str, or a list of them, newest first: the first encodes, all decode, so
    that a key can be changed at the proxy without refusing a request. ``max_token_size`` is in
    characters; tokens of other ``formats`` are refused. Raises ConfigurationError as
    :func:`~djsession.keys.check_secret_keys` does.

    Immutable, and safe to share between threads.
    """

    def __init__(
        self,
        secret_key: str | Sequence[str],
        *,
        max_token_size: int = MAX_TOKEN_SIZE,
        formats: Sequence[str] = FORMATS,
    ) -> None:
        self._secret_keys = check_secret_keys(secret_key)
        self._passphrases = tuple(key.encode("ascii") for key in self._secret_keys)
        self._max_token_size = max_token_size
        self._takes_jwt, self._takes_openssl = "jwt" in formats, "openssl" in formats

    def loads(self, token: str | bytes) -> Session:
        """Return the session that a token carries, in either format.

        Raises a SessionError for anything else than a token of one of the keys. Everything
        from the decryption on is always done to its end, so that the time it takes does not
        tell which check has failed.
        """
        if len(token) > self._max_token_size:
            raise TokenTooLarge
        if isinstance(token, bytes):
            token = token.decode("latin-1")
        if "." in token:
            if not self._takes_jwt:
                raise RefusedFormat
            return Session(self._load_jwt(token))
        if not self._takes_openssl:
            raise RefusedFormat
        error: type[SessionError] | None = None
        if len(token) % 4:  # Python 3.10 takes padding beyond what is due
            raise InvalidBase64
        try:
            container = b64decode(token, validate=True)
        except ValueError:
            error = InvalidBase64
        if error:
            raise error
        salt, ciphertext = openssl.split(container)
        for passphrase in self._passphrases:
            padded = openssl.decrypt(salt, ciphertext, passphrase)
            plaintext = openssl.unpad(padded)
            if plaintext is None:
                document, failure = _parse(padded, InvalidPadding)
            else:
                document, failure = _parse(plaintext)
            if failure is None:
                return Session(document)
            error = _furthest(error, failure)
        assert error is not None  # there is at least one key
        raise error

    def dumps(
        self, session: Mapping[str, Any], format: Format = "openssl", *, max_age: int = JWT_MAX_AGE
    ) -> str:
        """Return a token of a session, under the newest key.

        ``session`` is a mapping that JSON can express; dates and times are written in ISO 8601
        and a Decimal as a number, as the proxy does. A jwt gets an ``exp`` of ``max_age``
        seconds from now unless the session has one.

        Raises JWTUnavailable for a jwt without the extra, TypeError for a value that JSON
        cannot express, and ValueError for NaN, infinity, a reference to itself or an unknown
        format.
        """
        session = dict(session)
        if format == "openssl":
            container = openssl.encrypt(_serialize(session), self._passphrases[0])
            return b64encode(container).decode("ascii")
        if format == "jwt":
            payload = _serialize({"exp": int(time()) + max_age, **session})
            token: str = self._require_jwt().sign(payload, self._jwt_keys[0])
            return token
        raise ValueError(f"unknown format {format!r}: it is 'openssl' or 'jwt'")

    def _load_jwt(self, token: str) -> dict[str, Any]:
        jwt, error = self._require_jwt(), None
        for key in self._jwt_keys:
            try:
                payload = jwt.verify(token, key)
            except SessionError as refused:
                error = refused
                continue
            claims, failure = _parse(payload)
            if failure is not None:
                # It verified, so the key is right: only the subject of the sentence differs.
                reason = failure.reason.replace("what was decrypted", "the payload of the jwt")
                raise failure(reason, NotAnObject.remedy)
            jwt.check_expiry(claims)
            session: dict[str, Any] = claims
            return session
        assert error is not None  # there is at least one key
        raise error

    def _require_jwt(self) -> ModuleType:
        if self._jwt is None:
            raise JWTUnavailable
        return self._jwt

    @cached_property
    def _jwt(self) -> ModuleType | None:
        # joserfc takes longer to import than all the rest, and is an extra.
        try:
            from . import jwt
        except ModuleNotFoundError as missing:
            if missing.name is None or missing.name.partition(".")[0] != "joserfc":
                raise
            return None
        return jwt

    @cached_property
    def _jwt_keys(self) -> list[OctKey]:
        jwt = self._require_jwt()
        return [jwt.import_key(key) for key in self._secret_keys]


def loads(token: str | bytes, secret_key: str | Sequence[str]) -> Session:
    """Return the session that a token carries. See :meth:`SessionCodec.loads`."""
    return SessionCodec(secret_key).loads(token)


def dumps(
    session: Mapping[str, Any], secret_key: str | Sequence[str], format: Format = "openssl"
) -> str:
    """Return a token of a session. See :meth:`SessionCodec.dumps`."""
    return SessionCodec(secret_key).dumps(session, format)


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


_decode_document: Callable[[str], tuple[Any, int]] = json.JSONDecoder(
    parse_constant=_refuse_constant
).raw_decode


def _parse(
    plaintext: bytes, failure: type[SessionError] | None = None
) -> tuple[Any, type[SessionError] | None]:
    """Return the JSON object in a plaintext, or the error that says what it is instead.

    ``failure`` is what has failed before: it stays. The error is returned, not raised: Python's
    own exceptions for this hold the plaintext. Every failure takes what all of them take
    together, so that the time does not tell which it was.
    """
    not_text = not_json = False
    document = None
    try:
        text = plaintext.decode()
    except UnicodeDecodeError:
        not_text = True
        text = plaintext.decode(errors="replace")
    text = text.strip(_WHITESPACE)
    end = -1
    try:
        document, end = _decode_document(text)
    except (ValueError, RecursionError):
        not_json = True
    if not (failure or not_text or not_json) and end == len(text) and type(document) is dict:
        return document, None
    if not not_text:
        with suppress(UnicodeDecodeError):
            b"\xff".decode()
        plaintext.decode(errors="replace")
    if not not_json:
        with suppress(ValueError):
            _decode_document("{")
    if failure is not None:
        return None, failure
    if not_text:
        return None, InvalidEncoding
    return None, InvalidJSON if end != len(text) else NotAnObject


# How far decoding got: the key that got furthest is the one whose error helps.
_ORDER = (InvalidPadding, InvalidEncoding, InvalidJSON, NotAnObject)


def _furthest(
    one: type[SessionError] | None, other: type[SessionError] | None
) -> type[SessionError] | None:
    known = [error for error in (one, other) if error is not None]
    return max(known, key=_ORDER.index, default=None)


def _serialize(session: dict[str, Any]) -> bytes:
    return json.dumps(session, default=_default, allow_nan=False, separators=(",", ":")).encode(
        "ascii"
    )


def _default(value: object) -> str | float:
    isoformat = getattr(value, "isoformat", None)
    if isoformat is not None:
        return str(isoformat())
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"a session cannot hold a value of type {type(value).__name__}")
