"""The exceptions that djsession raises.

They form one tree with two branches. A :class:`SessionError` concerns one token in one request and
is expected in daily life. A :class:`ConfigurationError` concerns the way the application was set up
and stops it at start-up.

No message, attribute, exception context or traceback of theirs holds a key, a token or a part of a
session: error reporters print messages and local variables. Public functions that take one of those
carry :func:`hide_locals`, so that the frames that a traceback shows hold none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from traceback import clear_frames
from typing import ParamSpec, TypeVar

__all__ = [
    "WRONG_KEY",
    "AccessDenied",
    "ConfigurationError",
    "DjsessionError",
    "ExpiredToken",
    "InvalidBase64",
    "InvalidClaims",
    "InvalidContainer",
    "InvalidEncoding",
    "InvalidExpiry",
    "InvalidJSON",
    "InvalidLastVisited",
    "InvalidLength",
    "InvalidPadding",
    "InvalidSignature",
    "MalformedJWT",
    "MockupError",
    "NestedTooDeeply",
    "NotAnObject",
    "ProxiedKeyError",
    "RefusedFormat",
    "RepeatedName",
    "SessionError",
    "TokenTooLarge",
    "UnsupportedAlgorithm",
    "hide_locals",
    "without_traceback",
]

#: The cause of nearly every refused token, and what to do: each a clause.
WRONG_KEY = (
    "most likely DJAODJIN_SECRET_KEY differs from the key at the proxy",
    "compare the two with 'djsession doctor --compare', or generate a new key at the proxy and use"
    " it on both sides",
)

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=Exception)


class DjsessionError(Exception):
    """The root of everything that this package raises on purpose."""


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
    """The gate refused a request. The message never says why; the log does."""

    def __init__(self) -> None:
        super().__init__("Forbidden")


class ProxiedKeyError(DjsessionError, TypeError):
    """The application wrote a key of a framework's session that only the proxy may set."""

    def __init__(
        self,
        key: str,
        remedy: str = "use another key, or in a test djsession.testing.log_in(client, session)",
    ) -> None:
        super().__init__(f"{key!r} comes from the session proxy and is read-only: {remedy}")


class SessionError(DjsessionError):
    """A token does not carry a session that can be used.

    ``reason`` states what is wrong and ``remedy`` what most likely corrects it, each as a clause
    without a capital or a full stop; ``str(error)`` is both. ``step`` names the step of decoding
    that failed, and ``id`` the doctor's finding; both stay the same from release to release.
    """

    id = "not-a-token"
    step = ""
    reason = "the token does not carry a session"
    remedy = "look at the log of the proxy"

    def __init__(self, reason: str = "", remedy: str = "") -> None:
        self.reason = reason or self.reason
        self.remedy = remedy or self.remedy
        super().__init__(f"{self.reason}; {self.remedy}")


class TokenTooLarge(SessionError):
    """The token is longer than ``max_token_size`` and was not examined further."""

    id, step = "too-large", "size"
    reason = "the token is longer than max_token_size"
    remedy = "raise max_token_size if your sessions are that large"


class RefusedFormat(SessionError):
    """The token has a format that the setting ``formats`` excludes."""

    id, step = "format-refused", "format"
    reason = "the token has a format that the setting formats excludes"
    remedy = (
        "set formats to the format of the site's session backend:"
        " openssl for the cookie, jwt for the Authorization header"
    )


class InvalidBase64(SessionError):
    """The token is not base64 (RFC 4648 section 4: standard alphabet, padded, one line)."""

    step = "base64"
    reason = "the token is not valid base64"
    remedy = (
        "it did not come from the proxy, or something on the way truncated, wrapped or URL-encoded"
        " it"
    )


class InvalidContainer(SessionError):
    """The decoded bytes do not start with ``Salted__`` and a salt of eight bytes."""

    step = "Salted__"
    reason = "the token does not start with the Salted__ header"
    remedy = "it did not come from the proxy, or it was changed on the way"


class InvalidLength(SessionError):
    """The ciphertext is empty or not a multiple of the AES block, 16 bytes."""

    id, step = "cut-off", "ciphertext"
    reason = "the ciphertext is not a positive multiple of 16 bytes"
    remedy = "the token was truncated on the way: look for a limit on the size of a header"


class _UnderAnotherKey(SessionError):
    id = "wrong-key"
    remedy = ": ".join(WRONG_KEY)


class InvalidPadding(_UnderAnotherKey):
    """The decrypted bytes do not end in PKCS#7 padding (RFC 5652 section 6.3)."""

    step = "padding"
    reason = "the decrypted bytes do not end in PKCS#7 padding"


class InvalidEncoding(_UnderAnotherKey):
    """The decrypted bytes are not ASCII, which is all that the proxy writes."""

    step = "text"
    reason = "the decrypted bytes are not ASCII"


class InvalidJSON(_UnderAnotherKey):
    """The decrypted text is not JSON (RFC 8259)."""

    step = "JSON"
    reason = "the decrypted text is not JSON"


class NotAnObject(SessionError):
    """The JSON is a list, a string, a number or the like instead of an object."""

    id, step = "not-a-session", "object"
    reason = "the session is not a JSON object"
    remedy = "check the session serializer configured at the proxy"


class _NotFromTheProxy(SessionError):
    id = "altered"
    remedy = (
        "the proxy did not issue this token: somebody may be altering tokens. Make sure that only"
        " the proxy can reach the application, and set trusted_proxies"
    )


class RepeatedName(_NotFromTheProxy):
    """An object in the session has two members of the same name."""

    step = "unique names"
    reason = "the session repeats a name within one object"


class NestedTooDeeply(_NotFromTheProxy):
    """The session is nested more than 64 levels deep."""

    step = "depth"
    reason = "the session is nested more than 64 levels deep"


class InvalidLastVisited(_NotFromTheProxy):
    """``last_visited`` is neither null nor a date nor a list of tags."""

    step = "last_visited"
    reason = "last_visited contains characters that the proxy does not write"


class InvalidClaims(SessionError):
    """The payload of a jwt whose signature verifies is not JSON in UTF-8."""

    id, step = "not-a-session", "JSON"
    reason = "the payload of the jwt is not JSON"
    remedy = "check the session serializer configured at the proxy"


class MalformedJWT(SessionError):
    """The token looks like a jwt and is not a compact JWS (RFC 7515 section 7.1)."""

    step = "three parts"
    reason = "the token is not a well-formed jwt (header, payload and signature)"
    remedy = "it did not come from the proxy, or it was truncated or changed on the way"


class InvalidSignature(_UnderAnotherKey):
    """The signature of the jwt does not verify."""

    step = "signature"
    reason = "the signature of the jwt does not verify"


class UnsupportedAlgorithm(SessionError):
    """The header of the jwt asks for something other than plain HS256."""

    id, step = "jwt-algorithm", "algorithm"
    reason = "the jwt is not signed with plain HS256"
    remedy = "the proxy did not issue it: look for another service that uses the same key"


class InvalidExpiry(SessionError):
    """``exp`` is missing from a jwt, or is not a NumericDate (RFC 7519 section 4.1.4)."""

    id, step = "invalid-exp", "expiry"
    reason = "the exp of the session is not a number"
    remedy = "check the session serializer configured at the proxy"


class ExpiredToken(SessionError):
    """The ``exp`` of the session has passed."""

    id, step = "expired", "expiry"
    reason = "the session has expired"
    remedy = (
        "sign in again; if every token has expired on arrival, compare the clocks of the two"
        " machines"
    )


def hide_locals(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that takes or makes a secret, so that no traceback shows its frames.

    An exception of djsession, or about a wrong argument, leaves the decorated function without the
    frames below it, and any other exception without their local variables; neither has a context,
    and the frame that it leaves from does not hold what was passed in.
    """

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (DjsessionError, TypeError, ValueError, RecursionError) as error:
            failure = without_traceback(error)
        except Exception as error:
            # A mistake has to stay findable: its frames are kept, without what is in them.
            clear_frames(error.__traceback__)
            error.__cause__ = error.__context__ = None
            del args, kwargs
            raise
        del args, kwargs
        try:
            raise failure
        finally:
            # The frame would refer to the exception, which refers to the frame.
            del failure

    return wrapper


def without_traceback(error: E) -> E:
    """Return an exception without its traceback, cause and context, which hold frames."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
