"""What djsession raises.

Two branches under one root: a :class:`SessionError` is about one token in one request and is
expected in daily life; a :class:`ConfigurationError` is about how the application was set up
and stops it at start-up. No message, attribute or exception context ever holds a key, a token
or a part of a session.
"""

from __future__ import annotations

__all__ = [
    "AccessDenied",
    "ConfigurationError",
    "DjsessionError",
    "ExpiredToken",
    "InvalidBase64",
    "InvalidContainer",
    "InvalidEncoding",
    "InvalidExpiry",
    "InvalidJSON",
    "InvalidLength",
    "InvalidPadding",
    "InvalidSignature",
    "JWTUnavailable",
    "MalformedJWT",
    "MockupError",
    "NotAnObject",
    "ProxiedKeyError",
    "RefusedFormat",
    "SessionError",
    "TokenTooLarge",
    "UnsupportedAlgorithm",
]

_KEY_DIFFERS = (
    "most likely DJAODJIN_SECRET_KEY is not the key the proxy encrypts with:"
    " compare the two, or generate a new key at the proxy and use it on both sides"
)


class DjsessionError(Exception):
    """The root of everything this package raises on purpose."""


class ConfigurationError(DjsessionError):
    """A setting is missing, unknown or has a wrong value. The message names the setting."""


class MockupError(ConfigurationError):
    """The mockup sessions cannot be used.

    ``problems`` holds one line for each mistake, ``file:line: what, and what was expected``.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class AccessDenied(DjsessionError):
    """The gate refused a request. Says the same for every cause; the log has the reason."""

    def __init__(self) -> None:
        super().__init__("Forbidden")


class ProxiedKeyError(DjsessionError, TypeError):
    """The application wrote a key of a framework's session that is the proxy's to say."""

    def __init__(self, key: str, remedy: str = "use another key") -> None:
        super().__init__(f"{key!r} comes from the session proxy and is read-only: {remedy}")


class SessionError(DjsessionError):
    """A token does not carry a session that can be used.

    ``reason`` says what is wrong and ``remedy`` what most likely puts it right, each as a
    clause without a capital or a full stop. ``str(error)`` is both.
    """

    reason = "the token carries no session"
    remedy = "look at the log of the proxy"

    def __init__(self, reason: str = "", remedy: str = "") -> None:
        self.reason = reason or self.reason
        self.remedy = remedy or self.remedy
        super().__init__(f"{self.reason}; {self.remedy}")


class TokenTooLarge(SessionError):
    """The token is longer than ``max_token_size``. It was not looked at further."""

    reason = "the token is longer than max_token_size"
    remedy = "raise max_token_size if sessions of that size are meant"


class RefusedFormat(SessionError):
    """The token is of a format that the setting ``formats`` leaves out."""

    reason = "the token is of a format that the setting formats leaves out"
    remedy = (
        "the site uses the other session backend of the proxy, or this is no token of the proxy's;"
        " add the format to formats if it is meant"
    )


class InvalidBase64(SessionError):
    """The token is not base64 (RFC 4648 section 4: standard alphabet, padded, one line)."""

    reason = "the token is not base64"
    remedy = (
        "it is not a session of the proxy,"
        " or something on the way cut it, wrapped it or URL-encoded it"
    )


class InvalidContainer(SessionError):
    """The decoded bytes do not start with ``Salted__`` and a salt of eight bytes."""

    reason = "the token does not start with the Salted__ header"
    remedy = "it was not written by the proxy, or was changed on the way"


class InvalidLength(SessionError):
    """The ciphertext is empty or not a multiple of the AES block, 16 bytes."""

    reason = "the ciphertext is not a positive multiple of 16 bytes"
    remedy = "the token was cut off on the way: look for a limit on the size of a header"


class InvalidPadding(SessionError):
    """The decrypted bytes do not end in PKCS#7 padding (RFC 5652 section 6.3)."""

    reason = "what was decrypted does not end in PKCS#7 padding"
    remedy = _KEY_DIFFERS


class InvalidEncoding(SessionError):
    """The decrypted bytes are not UTF-8."""

    reason = "what was decrypted is not UTF-8"
    remedy = _KEY_DIFFERS


class InvalidJSON(SessionError):
    """The decrypted text is not JSON (RFC 8259)."""

    reason = "what was decrypted is not JSON"
    remedy = _KEY_DIFFERS


class NotAnObject(SessionError):
    """The decrypted JSON is not an object but a list, a string, a number, ..."""

    reason = "the session is not a JSON object"
    remedy = "check the session serializer configured at the proxy"


class MalformedJWT(SessionError):
    """The token looks like a jwt and is not a compact JWS (RFC 7515 section 7.1)."""

    reason = "the token is not a well-formed jwt: header, payload and signature"
    remedy = "it was not written by the proxy, or was cut off or changed on the way"


class UnsupportedAlgorithm(SessionError):
    """The jwt asks for another algorithm than HS256; ``none`` is one of them."""

    reason = "the jwt is not signed with HS256"
    remedy = "it was not written by the proxy"


class InvalidSignature(SessionError):
    """The signature of the jwt does not verify."""

    reason = "the signature of the jwt does not verify"
    remedy = _KEY_DIFFERS


class InvalidExpiry(SessionError):
    """The ``exp`` of the jwt is there and is not a NumericDate (RFC 7519 section 4.1.4)."""

    reason = "the exp of the jwt is not a number"
    remedy = "check the session serializer configured at the proxy"


class ExpiredToken(SessionError):
    """The ``exp`` of the jwt is past."""

    reason = "the jwt is expired"
    remedy = (
        "sign in again; if every jwt is expired on arrival, compare the clocks of the two machines"
    )


class JWTUnavailable(SessionError):
    """The token is a jwt, or one was asked for, and the extra ``jwt`` is not installed."""

    reason = "the token is a jwt and joserfc, which verifies it, is not installed"
    remedy = 'pip install "djsession[jwt]"'
