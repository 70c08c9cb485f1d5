"""SessionCodec: decodes and encodes tokens, in both formats and with several keys.

Theory of operation
===================

The two formats differ in what an attacker can do, so they are decoded in different ways.

**A jwt is signed.** Its signature is verified before anything in it is parsed. Whatever the parser
sees was therefore written by somebody who has the key, and a parse error tells an attacker nothing.
The code is straightforward: the first error is raised.

**An openssl token is encrypted but not signed.** An attacker who has seen a token can change its
bytes and send it again. If she could find out why it was refused, she would have an oracle. The
classic oracle reveals whether the padding was correct. It lets her decrypt the token byte by byte
and encrypt text of her own, all without the key (Vaudenay, "Security Flaws Induced by CBC
Padding", 2002). An oracle that reveals whether the text was ASCII, or JSON, works in much the same
way.

Every refusal looks the same from outside. It must also *take* the same time. ``_read_plaintext``
takes care of that: it does not stop at the first error.

1. Whether or not the padding is correct, the bytes are decoded as ASCII.
2. If they are ASCII, they are parsed as JSON. If not, a decoy of the same length is parsed
   instead, since the time of a parse shows how much of a text is JSON. To change a block, an
   attacker makes the block before it random. Inside a string, one random block in ten would be
   valid, and the parse would continue with the changed block. Only one in 65,536 is ASCII.
3. Each check that *passed* then does the work that it would have done if it had failed. Raising and
   catching an exception takes most of that time, so an exception is raised and caught on purpose.

The first failure is kept as a value and returned at the end. All altered tokens of the same length
therefore cost the same: a constant-time padding check, one failed text conversion and one failed
parse. A token that was only cut may take another time than the decoy, which shows no more than
that its text is ASCII. Only an accepted token takes a different path, and its acceptance is not a
secret.

Three parts do not need such care. The attacker wrote the base64 and the container herself, so she
already knows whether they are valid. The number of keys is the same for every token. The error that
is reported to the *operator* belongs to the key that got furthest, and is chosen only after all
keys have been tried.
"""

from __future__ import annotations

import json
import math
import re
import time
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from json.scanner import make_scanner
from typing import Any, Literal, NoReturn

from . import jwt, openssl
from .errors import (
    ExpiredToken,
    InvalidBase64,
    InvalidClaims,
    InvalidEncoding,
    InvalidExpiry,
    InvalidJSON,
    InvalidLastVisited,
    InvalidPadding,
    MalformedJWT,
    NestedTooDeeply,
    NotAnObject,
    RefusedFormat,
    RepeatedName,
    SessionError,
    TokenTooLarge,
    hide_locals,
    without_traceback,
)
from .keys import check_secret_keys
from .session import Session

__all__ = [
    "FORMATS",
    "JWT_MAX_AGE",
    "MAX_DEPTH",
    "MAX_TOKEN_SIZE",
    "Format",
    "SessionCodec",
    "dumps",
    "loads",
    "token_format",
]

Format = Literal["openssl", "jwt"]

#: All formats. The first one is the default for new tokens.
FORMATS: tuple[Format, ...] = ("openssl", "jwt")

#: The longest token in characters: 64 KiB, enough for a session of some 48 KiB of JSON.
MAX_TOKEN_SIZE = 65_536

#: The deepest nesting of a session. The session itself is the first level.
MAX_DEPTH = 64

#: Seconds until a jwt expires, as at the proxy.
JWT_MAX_AGE = 7_200

_WHITESPACE = " \t\n\r"  # RFC 8259 section 2

# A date in ISO 8601, or a list of tags. An attacker who alters an openssl token turns 16 bytes into
# random ones. The fewer characters are accepted here, the less likely the random bytes are to pass.
_LAST_VISITED = re.compile(r"[A-Za-z0-9_.,:+-]*")

_BRACES_TO_BRACKETS = bytes.maketrans(b"{}", b"[]")
# What the outline of a JSON text contains besides brackets and quotes.
_NOT_STRUCTURE = b":-p"
_NOT_OUTLINE = bytes(set(range(256)) - set(b'{}[]"' + _NOT_STRUCTURE))

# As many of these as fit are parsed instead of a text that is not ASCII. It takes as long as a
# session of the same length.
_DECOY = '{"slug":"xia","printable_name":"Xia Lee","created_at":"2026-01-01T00:00:00Z"},'


def token_format(token: str) -> Format:
    """Return the format of a token. A jwt contains dots, and base64 does not."""
    return "jwt" if "." in token else "openssl"


class SessionCodec:
    """Decodes and encodes tokens under one or more secret keys.

    ``secret_key`` is a string or a list of strings, newest first. The first key encodes and all
    keys decode, so that no request is refused while the key changes at the proxy.
    ``max_token_size`` is in characters. ``formats`` are the formats that are accepted. Raises
    ConfigurationError as :func:`~djsession.keys.check_secret_keys` does.

    A codec can be shared between threads.
    """

    @hide_locals
    def __init__(
        self,
        secret_key: str | Sequence[str],
        *,
        max_token_size: int = MAX_TOKEN_SIZE,
        formats: Sequence[str] = FORMATS,
    ) -> None:
        keys = check_secret_keys(secret_key)
        self._keys = tuple(key.encode("ascii") for key in keys)
        self._max_token_size = max_token_size
        self._reads_jwt, self._reads_openssl = "jwt" in formats, "openssl" in formats
        # The scanners that no thread is using.
        self._scanners: list[_CountingScanner] = []

    @hide_locals
    def loads(self, token: str | bytes) -> Session:
        """Return the session that a token carries, in either format.

        Raises a SessionError unless the token is valid and was written with one of the keys.
        """
        found = self.try_loads(token)
        if isinstance(found, SessionError):
            raise found
        return found

    def try_loads(self, token: str | bytes) -> Session | SessionError:
        """Return the session that a token carries, or the error that :meth:`loads` would raise."""
        try:
            if len(token) > self._max_token_size:
                raise TokenTooLarge
            if isinstance(token, bytes):
                token = token.decode("latin-1")
            if "." in token:
                if not self._reads_jwt:
                    raise RefusedFormat
                return Session(self._load_jwt(token))
            if not self._reads_openssl:
                raise RefusedFormat
            return Session(self._load_openssl(token))
        except SessionError as error:
            return without_traceback(error)
        except RecursionError:
            # The caller has used up most of the stack, and the document is deeply nested.
            return NestedTooDeeply()

    def _load_openssl(self, token: str) -> dict[str, Any]:
        """Return the session in an openssl token. Raises a SessionError.

        Every failure after the decryption does the same work. See :func:`_read_plaintext`.
        """
        if len(token) % 4:
            raise InvalidBase64
        try:
            container = a2b_base64(token, strict_mode=True)
        except ValueError:
            raise InvalidBase64 from None
        salt, ciphertext = openssl.parse_container(container)
        failures = []
        try:
            scanner = self._scanners.pop()
        except IndexError:
            scanner = _CountingScanner()
        try:
            for key in self._keys:
                padded = openssl.decrypt(salt, ciphertext, key)
                document, failure = _read_plaintext(padded, openssl.unpad(padded), scanner)
                if failure is None:
                    return document
                failures.append(failure)
        finally:
            self._scanners.append(scanner)
        raise _furthest_failure(failures)

    def _load_jwt(self, token: str) -> dict[str, Any]:
        try:
            encoded = token.encode("ascii")
        except UnicodeEncodeError:
            raise MalformedJWT from None
        failures: list[SessionError] = []
        for key in self._keys:
            try:
                payload = jwt.verify(encoded, key)
            except SessionError as failure:
                failures.append(failure)
            else:
                return _read_claims(payload)
        raise failures[-1]

    @hide_locals
    def dumps(
        self, session: Mapping[str, Any], format: Format = "openssl", *, max_age: int = JWT_MAX_AGE
    ) -> str:
        """Return a token that carries a session, encoded with the newest key.

        ``session`` is a mapping that JSON can express. As the proxy does, this writes dates and
        times in ISO 8601, and a Decimal as a number. A jwt gets an ``exp`` that is ``max_age``
        seconds from now, unless the session has an ``exp``.

        Raises TypeError for a value that JSON cannot express. Raises ValueError for NaN, infinity,
        a circular reference, a ``last_visited`` that the openssl format does not allow, or an
        unknown format.
        """
        session = dict(session)
        if format == "openssl":
            if not _is_valid_last_visited(session.get("last_visited")):
                raise ValueError("last_visited may contain only letters, digits and _.,:+-")
            container = openssl.encrypt(serialize(session), self._keys[0])
            return b64encode(container).decode()
        if format == "jwt":
            payload = serialize({"exp": int(time.time()) + max_age, **session})
            return jwt.sign(payload, self._keys[0])
        raise ValueError(f"unknown format {format!r}: expected 'openssl' or 'jwt'")


@hide_locals
def loads(token: str | bytes, secret_key: str | Sequence[str]) -> Session:
    """Return the session that a token carries. See :meth:`SessionCodec.loads`."""
    return SessionCodec(secret_key).loads(token)


@hide_locals
def dumps(
    session: Mapping[str, Any], secret_key: str | Sequence[str], format: Format = "openssl"
) -> str:
    """Return a token that carries a session. See :meth:`SessionCodec.dumps`."""
    return SessionCodec(secret_key).dumps(session, format)


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError  # NaN and Infinity are not JSON


def _refuse_repeated_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise RepeatedName
    return document


def _scanner(**hooks: Any) -> Callable[[str, int], tuple[Any, int]]:
    """Return a parser. Its arguments are a text and an index, its result a value and its end.

    Without JSONDecoder's own method around it, it takes less time, and raises StopIteration instead
    of ValueError if the text does not start with a value.
    """
    decoder = json.JSONDecoder(parse_constant=_refuse_constant, **hooks)
    return make_scanner(decoder)  # type: ignore[arg-type]


_scan = _scanner()
_scan_strictly = _scanner(object_pairs_hook=_refuse_repeated_names)


class _CountingScanner:
    """Parses JSON and counts the names in its objects, for one text at a time.

    Where a name is repeated, an object has fewer names than its text. Passing the names of each
    object to _refuse_repeated_names takes almost as long as the whole parse.
    """

    __slots__ = ("counts", "scan")

    def __init__(self) -> None:
        counts: list[int] = []
        append = counts.append

        def count(document: dict[str, Any]) -> dict[str, Any]:
            append(len(document))
            return document

        #: The number of names in each object.
        self.counts = counts
        self.scan = _scanner(object_hook=count)

    def __reduce__(self) -> tuple[type[_CountingScanner], tuple[()]]:
        # json's scanner cannot be copied, but a codec can.
        return _CountingScanner, ()


def _read_plaintext(
    padded: bytes, plaintext: bytes | None, scanner: _CountingScanner
) -> tuple[dict[str, Any], SessionError | None]:
    """Return the session in a decrypted token and None, or an empty dict and the error.

    ``plaintext`` is None when the padding is wrong. The error is returned instead of raised, and
    every failure takes as long as a failed text conversion and a failed parse together. An attacker
    who sends altered tokens must not learn from the time which check failed. The essay at the top
    of this module explains why.
    """
    failure: type[SessionError] | SessionError | None = None
    if plaintext is None:
        plaintext, failure = padded, InvalidPadding
    is_text = is_json = True
    try:
        text = plaintext.decode("ascii")
    except UnicodeDecodeError:
        is_text = False
        text = "[" + _DECOY * (len(padded) // len(_DECOY))
        failure = failure or InvalidEncoding
    text = text.strip(_WHITESPACE)
    scanner.counts.clear()
    try:
        document, end = scanner.scan(text, 0)
    except RecursionError:
        is_json = False
        failure = failure or NestedTooDeeply
    except ValueError:
        is_json = False
        failure = failure or InvalidJSON
    except StopIteration:
        # It is raised in less time than a ValueError, so is_json stays true for the work below.
        failure = failure or InvalidJSON
    else:
        if end != len(text):
            failure = failure or InvalidJSON
        failure = failure or _check_plaintext(plaintext, text, document, sum(scanner.counts))
        if failure is None:
            return document, None
    if is_text:
        with suppress(UnicodeDecodeError):
            b"\xff".decode("ascii")
    if is_json and failure is not RepeatedName:  # finding a repeated name is a failed parse
        with suppress(ValueError):
            _scan("{", 0)
    return {}, failure if isinstance(failure, SessionError) else failure()


def _check_plaintext(
    plaintext: bytes, text: str, document: Any, names: int
) -> type[SessionError] | SessionError | None:
    """Return what is wrong with the session in an openssl token, which is not signed, or None.

    ``names`` is the number of names in all objects of the session.
    """
    if type(document) is not dict:
        return NotAnObject
    outline = _outline(plaintext)
    # In the outline, a colon follows each name, and may follow the start of another string. If
    # there are only as many as the session has names, no name is repeated.
    if outline.count(b'":') != names and _has_repeated_names(text):
        return RepeatedName
    if _is_nested_too_deeply(plaintext, document, outline):
        return NestedTooDeeply
    last_visited = document.get("last_visited")
    if last_visited is not None and not _is_valid_last_visited(last_visited):
        return InvalidLastVisited
    return _check_expiry(document["exp"]) if "exp" in document else None


def _read_claims(payload: bytes) -> dict[str, Any]:
    """Return the session in the payload of a jwt whose signature was verified."""
    failure: SessionError | None = None
    try:
        text = payload.decode().strip(_WHITESPACE)
        document, end = _scan(text, 0)
        if end != len(text):
            failure = InvalidClaims()
        elif type(document) is not dict:
            failure = NotAnObject()
        elif _is_nested_too_deeply(payload, document, _outline(payload)):
            failure = NestedTooDeeply()
    except RecursionError:
        failure = NestedTooDeeply()
    except (ValueError, StopIteration):  # including UnicodeDecodeError
        failure = InvalidClaims()
    if failure is None:
        if "exp" in document:
            failure = _check_expiry(document["exp"])
        else:
            failure = InvalidExpiry("the jwt does not have an exp")
    if failure is not None:
        raise failure
    claims: dict[str, Any] = document
    return claims


def _outline(text: bytes) -> bytes:
    """Return the brackets, quotes and colons of a JSON text, with braces as brackets.

    Also returns every "-" and "p", since a date or a URL would otherwise seem to start with a
    colon.
    """
    return text.translate(_BRACES_TO_BRACKETS, _NOT_OUTLINE)


def _has_repeated_names(text: str) -> bool:
    try:
        _scan_strictly(text, 0)
    except RepeatedName:
        return True
    return False


def _is_nested_too_deeply(text: bytes, document: dict[str, Any], outline: bytes) -> bool:
    """Return whether a document is nested more than MAX_DEPTH levels deep. ``text`` is its JSON.

    Visiting every value would take half as long as parsing the document. This looks only at the
    brackets of the outline. They show the depth unless a string contains one. Without escaped
    quotes, the two quotes of a string without brackets are neighbors once all other characters are
    removed. If removing all such pairs leaves no quote, then every bracket belongs to the
    structure. Each removal of all ``[]`` then removes the innermost level.
    """
    if outline.count(b"[") <= MAX_DEPTH:
        return False
    structure = outline.translate(None, _NOT_STRUCTURE).replace(b'""', b"")
    # Searching for one byte is ten times as fast as searching for two.
    has_escaped_quotes = b"\\" in text and b'\\"' in text
    if b'"' not in structure and not has_escaped_quotes:
        for _ in range(MAX_DEPTH):
            structure = structure.replace(b"[]", b"")
            if not structure:
                return False
        return True
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        level = [
            value
            for container in level
            for value in (container.values() if type(container) is dict else container)
            if type(value) is dict or type(value) is list
        ]
    return bool(level)


def _is_valid_last_visited(value: object) -> bool:
    if value is None or hasattr(value, "isoformat"):
        return True
    return isinstance(value, str) and _LAST_VISITED.fullmatch(value) is not None


def _check_expiry(exp: object) -> SessionError | None:
    """Return why ``exp`` is not in the future, or None. There is no leeway.

    It is in seconds since the epoch (RFC 7519 section 4.1.4).
    """
    if isinstance(exp, bool) or not isinstance(exp, (int, float)):
        return InvalidExpiry()
    if isinstance(exp, float) and not math.isfinite(exp):
        return InvalidExpiry()
    now = time.time()
    return None if exp > now else ExpiredToken(f"the session expired {_ago(now, exp)} ago")


def _ago(now: float, exp: int | float) -> str:
    """Return how long ago ``exp`` was, in the largest unit of which at least two have passed."""
    seconds = int(now) - int(exp)
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{min(seconds // size, 9999)} {unit}"
    return f"{seconds} s"


# The order of the checks. With several keys, the error from the key that got furthest is reported.
_ORDER_OF_CHECKS: tuple[type[SessionError], ...] = (
    InvalidPadding,
    InvalidEncoding,
    InvalidJSON,
    NotAnObject,
    NestedTooDeeply,
    RepeatedName,
    InvalidLastVisited,
    InvalidExpiry,
    ExpiredToken,
)


def _furthest_failure(failures: list[SessionError]) -> SessionError:
    return max(failures, key=lambda failure: _ORDER_OF_CHECKS.index(type(failure)))


def serialize(session: dict[str, Any]) -> bytes:
    """Return a session as JSON in ASCII. See :meth:`SessionCodec.dumps` for dates and decimals."""
    return json.dumps(
        session, default=_to_json_value, allow_nan=False, separators=(",", ":")
    ).encode()


def _to_json_value(value: object) -> str | float:
    isoformat = getattr(value, "isoformat", None)
    if isoformat is not None:
        return str(isoformat())
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"a session cannot hold a value of type {type(value).__name__}")
