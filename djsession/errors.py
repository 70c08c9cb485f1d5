"""The exceptions that djsession raises.

They form one tree with two main branches. A :class:`SessionError` is about one token in one request
and is a normal event in production. A :class:`ConfigurationError` is about the application's setup
and stops the application at start-up.

Error reporters print messages and local variables. The message, attributes, context and traceback
of these exceptions therefore never contain a key, a token or any part of a session. Public
functions that take such a value are decorated with :func:`hide_locals`, which keeps it out of the
frames that a traceback shows.
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

#: The most common cause of a refused token, and its remedy, as two clauses.
WRONG_KEY = (
    "most likely DJAODJIN_SECRET_KEY differs from the key at the proxy",
    "compare the two with 'djsession doctor --compare', or generate a new key at the proxy and use"
    " it on both sides",
)

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=Exception)


class DjsessionError(Exception):
    """The base class of all exceptions that this package defines."""


class ConfigurationError(DjsessionError):
    """A setting is missing, unknown or invalid. The message names the setting."""


class MockupError(ConfigurationError):
    """The mockup sessions cannot be used.

    ``problems`` has one line for each mistake: ``file:line: the mistake, and what was expected``.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class AccessDenied(DjsessionError):
    """The gate refused a request. Only the log says why, never the message."""

    def __init__(self) -> None:
        super().__init__("Forbidden")


class ProxiedKeyError(DjsessionError, TypeError):
    """The application tried to write a session key that only the proxy may set."""

    def __init__(
        self,
        key: str,
        remedy: str = "use another key, or djsession.testing.log_in(client, session) in a test",
    ) -> None:
        super().__init__(f"{key!r} comes from the session proxy and is read-only: {remedy}")


class SessionError(DjsessionError):
    """A token does not carry a usable session.

    ``reason`` states what is wrong, and ``remedy`` what is most likely to correct it. Each is a
    clause without a capital or a full stop, and ``str(error)`` joins the two. ``step`` names the
    decoding step that failed, and ``id`` the doctor's finding. Neither changes between releases.
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
    """The token is longer than ``max_token_size``, so it was not examined further."""

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
        "it did not come from the proxy, or it was truncated, wrapped or URL-encoded on the way"
    )


class InvalidContainer(SessionError):
    """The decoded bytes do not start with ``Salted__`` and an eight-byte salt."""

    step = "Salted__"
    reason = "the token does not start with the Salted__ header"
    remedy = "it did not come from the proxy, or it was changed on the way"


class InvalidLength(SessionError):
    """The ciphertext is empty, or its length is not a multiple of the AES block size (16 bytes)."""

    id, step = "cut-off", "ciphertext"
    reason = "the length of the ciphertext is not a positive multiple of 16 bytes"
    remedy = "the token was truncated on the way: look for a limit on the header size"


class _WrongKey(SessionError):
    id = "wrong-key"
    remedy = ": ".join(WRONG_KEY)


class InvalidPadding(_WrongKey):
    """The decrypted bytes do not end in PKCS#7 padding (RFC 5652 section 6.3)."""

    step = "padding"
    reason = "the decrypted bytes do not end in PKCS#7 padding"


class InvalidEncoding(_WrongKey):
    """The decrypted bytes are not ASCII, although the proxy writes only ASCII."""

    step = "text"
    reason = "the decrypted bytes are not ASCII"


class InvalidJSON(_WrongKey):
    """The decrypted text is not JSON (RFC 8259)."""

    step = "JSON"
    reason = "the decrypted text is not JSON"


class NotAnObject(SessionError):
    """The JSON document is not an object, but a list, a string or a number, for example."""

    id, step = "not-a-session", "object"
    reason = "the session is not a JSON object"
    remedy = "check the session serializer configured at the proxy"


class _Altered(SessionError):
    id = "altered"
    remedy = (
        "the proxy did not issue this token, so somebody may be altering tokens: make sure that"
        " only the proxy can reach the application, and set trusted_proxies"
    )


class RepeatedName(_Altered):
    """An object in the session has two members with the same name."""

    step = "unique names"
    reason = "the session repeats a name within one object"


class NestedTooDeeply(_Altered):
    """The session is nested more than 64 levels deep."""

    step = "depth"
    reason = "the session is nested more than 64 levels deep"


class InvalidLastVisited(_Altered):
    """``last_visited`` is neither null nor a date nor a list of tags."""

    step = "last_visited"
    reason = "last_visited contains characters that the proxy does not write"


class InvalidClaims(SessionError):
    """The signature of the jwt verifies, but its payload is not JSON in UTF-8."""

    id, step = "not-a-session", "JSON"
    reason = "the payload of the jwt is not JSON"
    remedy = "check the session serializer configured at the proxy"


class MalformedJWT(SessionError):
    """The token looks like a jwt but is not a compact JWS (RFC 7515 section 7.1)."""

    step = "three parts"
    reason = "the token is not a well-formed jwt (header, payload and signature)"
    remedy = "it did not come from the proxy, or it was truncated or changed on the way"


class InvalidSignature(_WrongKey):
    """The signature of the jwt does not verify."""

    step = "signature"
    reason = "the signature of the jwt does not verify"


class UnsupportedAlgorithm(SessionError):
    """The header of the jwt specifies something other than plain HS256."""

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
        "sign in again; if every token has expired on arrival, compare the clocks of the proxy and"
        " the application"
    )


def hide_locals(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that handles a secret, so that tracebacks do not show the secret.

    A DjsessionError, or an exception about a wrong argument, loses the frames below the decorated
    function. Any other exception keeps those frames but loses their local variables. Both lose
    their context, and the wrapper's own frame no longer refers to the arguments.
    """

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (DjsessionError, TypeError, ValueError, RecursionError) as error:
            failure = without_traceback(error)
        except Exception as error:
            # This is a bug. Keep the frames, which show where it is, but clear their variables.
            clear_frames(error.__traceback__)
            error.__cause__ = error.__context__ = None
            del args, kwargs
            raise
        del args, kwargs
        try:
            raise failure
        finally:
            # The frame and the exception would refer to each other.
            del failure

    return wrapper


def without_traceback(error: E) -> E:
    """Return an exception without its traceback, cause and context, all of which hold frames."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
