"""What is wrong with a request and the keys, and what puts it right: one sentence each."""

from __future__ import annotations

import binascii
import hashlib
import re
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .. import openssl
from ..codec import FORMATS, MAX_TOKEN_SIZE, SessionCodec, token_format
from ..errors import ConfigurationError, ExpiredToken, SessionError
from ..gate import Gate
from ..keys import GENERATED_LENGTH, PROXY_LENGTH, check_secret_keys
from ..session import Session
from ..settings import Settings
from ..trace import Trace
from ..transport import bearer_token, candidates
from .inputs import Request

__all__ = ["GUNICORN_LIMIT", "Case", "Finding", "Keys", "diagnose"]

#: Bytes of a header that gunicorn takes by default, its name and line end included.
GUNICORN_LIMIT = 8_190

# A jwt of the proxy is good for two hours; one that is good for longer was made by a clock ahead.
_JWT_SECONDS = 2 * 3600
_CLOCK_SECONDS = 300
# One that has just expired may well have been good by the clock of the proxy.
_JUST_EXPIRED = 3600

_COOKIE_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@dataclass(frozen=True)
class Finding:
    """One thing to know of a request."""

    #: A name for it, which stays the same.
    id: str
    sentence: str
    #: What to do; ``""`` where there is nothing.
    remedy: str
    #: Whether this is why the session does not decode; else it is good to know.
    is_cause: bool = True


@dataclass(frozen=True)
class Keys:
    """The secret keys as somebody has configured them: not checked yet."""

    raw: tuple[str, ...] = field(repr=False)

    @property
    def usable(self) -> tuple[str, ...]:
        """Those that an application would start with."""
        return tuple(key for key in self.raw if _problem(key) is None)

    @property
    def trimmed(self) -> tuple[str, ...]:
        """All of them that can be used once white space and quotes around them are gone."""
        return tuple(key for key in map(_trim, self.raw) if key and _problem(key) is None)


@dataclass(frozen=True)
class Case:
    """What the doctor looks at: a request, the settings, and what became of each token."""

    request: Request
    keys: Keys
    cookie_name: str = "sessionid"
    allowed_no_session: Sequence[str] = ()
    max_token_size: int = MAX_TOKEN_SIZE
    formats: Sequence[str] = FORMATS

    def tokens(self) -> list[tuple[str, str, str]]:
        """Return transport, where it was found, and token, of all that the gate would try."""
        if self.request.token is not None:
            return [("unknown", "the input", self.request.token)]
        names = {"cookie": f"the cookie {self.cookie_name}", "bearer": "Authorization: Bearer"}
        found = candidates(self.request.environ, self.cookie_name)
        return [(transport, names[transport], token) for transport, token in found]

    def loads(self, token: str, key: str) -> Session | SessionError:
        """Return the session of a token under one key, or why there is none."""
        try:
            return SessionCodec(key, max_token_size=self.max_token_size).loads(token)
        except SessionError as error:
            return error

    def opens(self, token: str, keys: Sequence[str]) -> bool:
        """Whether one of the keys is the one that a token was written with."""
        return any(
            isinstance(self.loads(token, key), (Session, ExpiredToken))
            for key in keys
            if _problem(key) is None
        )


def diagnose(case: Case, traces: Sequence[Trace]) -> list[Finding]:
    """Return what is wrong, the causes first, then what is good to know."""
    session = next((trace.session for trace in traces if trace.session is not None), None)
    findings = [*_of_keys(case, session is not None)]
    if session is None:
        if not traces:
            findings += _of_no_token(case)
        for (transport, _, token), trace in zip(case.tokens(), traces, strict=True):
            findings += _of_token(case, transport, token, trace)
        findings += _of_path(case)
    else:
        findings += _of_session(session)
        findings += _of_transport(case)
    findings += _of_headers(case)
    # What was undone to a key, and then works, says why it is of another length.
    if {finding.id for finding in findings} & {name for name, _, _ in _KEY_CHANGES}:
        findings = [finding for finding in findings if finding.id != "key-length"]
    unique = {finding.id: finding for finding in reversed(findings)}
    kept = [finding for finding in findings if unique.get(finding.id) is finding]
    return sorted(kept, key=lambda finding: not finding.is_cause)


# The keys.


def _trim(key: str) -> str:
    while (shorter := key.strip().strip("\"'")) != key:
        key = shorter
    return key


def _problem(key: str) -> str | None:
    try:
        check_secret_keys(key)
    except ConfigurationError as error:
        return str(error)
    return None


def _ordinal(keys: Keys, number: int) -> str:
    return "the secret key" if len(keys.raw) == 1 else f"secret key {number} of {len(keys.raw)}"


def _of_keys(case: Case, decodes: bool) -> Iterator[Finding]:
    keys = case.keys
    if not any(keys.raw):
        yield Finding(
            "no-key",
            "There is no secret key.",
            "Set DJAODJIN_SECRET_KEY to the key that the settings of the site show at DjaoDjin.",
        )
        return
    tokens = [token for _, _, token in case.tokens()]
    for number, key in enumerate(keys.raw, 1):
        name = _ordinal(keys, number).capitalize()
        trimmed = _trim(key)
        if trimmed != key:
            works = any(case.opens(token, [trimmed]) for token in tokens)
            verdict = "works" if works else "does not work"
            is_space = key.strip() != key
            what = "white space or a line end" if is_space else "quotes"
            yield Finding(
                "key-quotes",
                f"{name} has {what} around it, and {verdict} without.",
                "Remove it where the key is set."
                if is_space
                else "Remove them where the key is set: no shell does in an env file.",
                is_cause=not decodes,
            )
        elif not key.isascii():
            yield Finding(
                "key-not-ascii",
                f"{name} has a character outside ASCII; the proxy's keys have none.",
                "Copy it again.",
                is_cause=not decodes,
            )
        if not decodes and trimmed and len(trimmed) not in (PROXY_LENGTH, GENERATED_LENGTH):
            why = ": a shell eats $, !, # and * of a key, and what follows them"
            yield Finding(
                "key-length",
                f"{name} is {len(trimmed)} characters long, and the proxy's keys are"
                f" {PROXY_LENGTH}{why if len(trimmed) < PROXY_LENGTH else ''}.",
                "Put the key in single quotes where a shell reads it, and compare it again.",
            )


def _bytes(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _base64_of(key: str) -> str | None:
    try:
        return b64decode(key + "=" * (-len(key) % 4), validate=True).decode("ascii")
    except (ValueError, binascii.Error):
        return None


# What people and tools do to a key on its way, undone; and the finding that it is.
_KEY_CHANGES: tuple[tuple[str, str, Callable[[str], str | None]], ...] = (
    ("key-base64", "is base64 of the key", _base64_of),
    ("key-base64", "was base64-decoded", lambda key: b64encode(_bytes(key)).decode()),
    ("key-url-encoded", "is URL-encoded", unquote),
    ("key-url-encoded", "was URL-decoded", lambda key: quote(_bytes(key), safe="")),
    ("key-escaped", "has % doubled, as for an ini file", lambda key: key.replace("%%", "%")),
    ("key-escaped", "has a backslash before a character", lambda key: key.replace("\\", "")),
)


def _changed_key(case: Case, token: str) -> Finding | None:
    for number, raw in enumerate(case.keys.raw, 1):
        key = _trim(raw)
        for name, what, undo in _KEY_CHANGES:
            candidate = undo(key)
            if not candidate or candidate == key:
                continue
            candidate = _trim(candidate)
            if candidate and case.opens(token, [candidate]):
                return Finding(
                    name,
                    f"{_ordinal(case.keys, number).capitalize()} {what}: undone, it works.",
                    "Set the key as the proxy shows it, character by character.",
                )
    return None


# The token.


def _of_token(case: Case, transport: str, token: str, trace: Trace) -> Iterator[Finding]:
    repaired = _repaired(case, token)
    if repaired is not None:
        yield repaired
        return
    step = trace.failed
    name = step.name if step is not None else ""
    if name == "size":
        yield Finding(
            "too-large",
            f"The token has {len(token)} characters, more than max_token_size,"
            f" {case.max_token_size}.",
            "Raise max_token_size if sessions of that size are meant.",
        )
    elif name == "format":
        yield Finding(
            "format-refused",
            f"The token is of the format {trace.format}, which the setting formats leaves out.",
            "Set formats to the one that the session backend of the proxy sends: openssl for the"
            " cookie, jwt for the header.",
        )
    elif name == "secret key":
        return  # that there is none has been said
    elif name == "joserfc":
        yield Finding(
            "jwt-extra",
            "The token is a jwt: the site uses the JWT session backend of the proxy, and joserfc,"
            " which verifies it, is not installed.",
            'pip install "djsession[jwt]"',
        )
    elif name == "expiry":
        yield from _of_expiry(case, token, step.cause if step is not None else "")
    elif name == "algorithm":
        yield Finding(
            "jwt-algorithm",
            "The jwt is not signed with HS256: the proxy has not written it.",
            "Look for another service whose tokens end up in this header.",
        )
    elif name in ("signature", "padding", "UTF-8", "JSON", "key and IV") or not trace.steps[1:]:
        yield from _of_wrong_key(case, token, trace)
    elif name in ("base64", "Salted__", "ciphertext", "three parts"):
        yield _of_damage(case, transport, token, name)
    else:
        yield _not_a_session()


def _of_wrong_key(case: Case, token: str, trace: Trace) -> Iterator[Finding]:
    changed = _changed_key(case, token)
    if changed is not None:
        yield changed
        return
    derived = _other_derivation(token, case.keys.trimmed)
    if derived is not None:
        yield derived
        return
    if not case.keys.trimmed or case.opens(token, case.keys.trimmed):
        return  # what is wrong with the key itself has been said
    if trace.format == "jwt" and trace.failed is not None and trace.failed.name != "signature":
        yield _not_a_session()
        return
    if any(_is_text(plaintext) for plaintext in _plaintexts(token, case.keys.trimmed)):
        yield _not_a_session()
        return
    if _starts_as_session(token, case.keys.trimmed):
        yield _cut_off("The token starts as a session and has no end")
        return
    which = "jwt was not signed" if trace.format == "jwt" else "token was not written"
    yield Finding(
        "wrong-key",
        f"The {which} with {'this key' if len(case.keys.raw) == 1 else 'any of these keys'}: the"
        " proxy has another one.",
        "Compare the key with that in the settings of the site at DjaoDjin, character by character;"
        " if in doubt generate a new key there, and use it on both sides.",
    )


def _not_a_session() -> Finding:
    return Finding(
        "not-a-session",
        "The token was written with this key, and what is in it is no session: not a JSON object.",
        "Check the session serializer configured at the proxy.",
    )


def _plaintexts(token: str, keys: Sequence[str]) -> Iterator[bytes]:
    """Yield what a token decrypts to under each key that gives it a padding."""
    try:
        salt, ciphertext = openssl.split(b64decode(token, validate=True))
    except (ValueError, SessionError):
        return
    for key in keys:
        plaintext = openssl.unpad(openssl.decrypt(salt, ciphertext, key.encode("ascii")))
        if plaintext is not None:
            yield plaintext


def _is_text(plaintext: bytes) -> bool:
    """Whether it is text that somebody wrote: no other key makes three letters in a row of it."""
    return len(plaintext) > 2 and plaintext.decode("latin-1").isprintable() and plaintext.isascii()


def _of_expiry(case: Case, token: str, cause: str) -> Iterator[Finding]:
    exp = _exp(token)
    if exp is None:
        yield Finding(
            "jwt-exp",
            "The exp of the jwt is not a number of seconds.",
            "Check the session serializer configured at the proxy.",
        )
        return
    yield Finding(
        "expired",
        f"{cause[:1].upper()}{cause[1:]}: the key is right, and the session is over.",
        "Sign in again, and take a token of a new request.",
    )
    if 0 <= time.time() - exp < _JUST_EXPIRED:
        yield Finding(
            "clock",
            "It expired within the last hour: if every jwt is expired on arrival, the clock of this"
            " machine is ahead of the proxy's.",
            "Compare the clocks of the two machines, and run an NTP client on both.",
            is_cause=False,
        )


def _exp(token: str) -> float | None:
    """Return the exp of a jwt without looking at its signature, or None."""
    import json

    payload = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = json.loads(
            b64decode(payload.translate({45: 43, 95: 47}) + "=" * (-len(payload) % 4))
        )
        exp = claims.get("exp")
    except (ValueError, AttributeError, RecursionError):
        return None
    return float(exp) if isinstance(exp, (int, float)) and abs(exp) < 1e15 else None


def _of_damage(case: Case, transport: str, token: str, step: str) -> Finding:
    if re.fullmatch(r"[0-9A-Za-z]{32}", token):
        return _opaque()
    if token_format(token) == "jwt":
        if token.startswith("eyJ"):
            return _cut_off("The jwt has not the three parts that it should have")
        return Finding(
            "not-a-token",
            "The token is neither of the proxy's formats: it is some other service's.",
            "Look for what writes this header or cookie; the proxy replaces its own.",
        )
    is_ours = token.startswith("U2FsdGVk")
    if step == "ciphertext":
        return _cut_off("The ciphertext is not a positive multiple of 16 bytes")
    if is_ours and re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", token):
        return _cut_off(f"The token has {len(token)} characters, not a multiple of 4")
    if is_ours:
        return Finding(
            "cut-off",
            "The token has characters that base64 has not: something on the way changed it.",
            "Take it from a request as the application receives it, not from a page or a mail.",
        )
    if token.startswith("eyJ"):
        return _cut_off("The jwt is cut off after its header")
    what = "the cookie" if transport == "cookie" else "the token"
    return Finding(
        "not-a-token",
        f"There is no session of the proxy in {what}: it is neither of its formats.",
        "Look for what writes it: another application on the same host may have a cookie of that"
        " name. A request that comes through the proxy has the proxy's.",
    )


def _cut_off(what: str) -> Finding:
    return Finding(
        "cut-off",
        f"{what}: the token was cut off, by a limit on the size of a header, a line wrap or a"
        " copy.",
        "Raise the limit (gunicorn: limit_request_field_size, nginx: large_client_header_buffers),"
        " or copy the token in one piece.",
    )


def _opaque() -> Finding:
    return Finding(
        "opaque-cookie",
        "The cookie is the proxy's own session id, which is no token: the site uses the JWT session"
        " backend, or this is a request on the browser's side of the proxy.",
        "Look at the request as the application receives it; with the JWT backend the session is in"
        " Authorization: Bearer.",
    )


def _repairs(token: str) -> Iterator[tuple[str, str, str]]:
    """Yield what may have happened to a token, as id and words, and the token from before."""
    if "%" in token:
        yield "url-encoded", "is URL-encoded", unquote(token)
    bare = re.sub(r'[\\"\']', "", unquote(token))
    if bare != token:
        yield "double-quoted", "has quotes, or quotes in quotes, around it", bare
    joined = re.sub(r"\s+", "", bare)
    if joined != bare:
        yield "line-wrap", "is wrapped: there is white space or a line end in it", joined
    spaced = bare.replace(" ", "+")
    if spaced != bare:
        yield "url-encoded", "was URL-decoded: there are spaces where + was", spaced
    standard = joined.replace("-", "+").replace("_", "/")
    if "." not in token and standard != joined:
        yield "url-encoded", "is in the URL-safe alphabet of base64", standard
    if "." not in token and len(joined) % 4:
        yield "cut-off", "has lost the = at its end", joined + "=" * (-len(joined) % 4)


def _repaired(case: Case, token: str) -> Finding | None:
    keys = case.keys.trimmed
    for name, what, before in _repairs(token):
        if len(before) <= case.max_token_size and case.opens(before, keys):
            return Finding(
                name,
                f"The token {what}: undone, it is a session.",
                "The proxy sends the token as it is, at most in one pair of double quotes: look for"
                " what is between the proxy and the application, or how this was copied.",
            )
    return None


def _other_derivation(token: str, keys: Sequence[str]) -> Finding | None:
    """Say so when a token of OpenSSL was written with another derivation of the key."""
    try:
        salt, ciphertext = openssl.split(b64decode(token, validate=True))
    except (ValueError, SessionError):
        return None
    for key in keys:
        passphrase = key.encode("ascii")
        for name, options, derived in (
            ("sha256", "-md sha256, its default", _evp_sha256(passphrase, salt)),
            ("pbkdf2", "-pbkdf2", hashlib.pbkdf2_hmac("sha256", passphrase, salt, 10_000, 48)),
        ):
            decryptor = Cipher(algorithms.AES(derived[:32]), modes.CBC(derived[32:48])).decryptor()
            plaintext = openssl.unpad(decryptor.update(ciphertext) + decryptor.finalize())
            if plaintext is not None and plaintext.lstrip()[:1] == b"{":
                return Finding(
                    name,
                    f"The token was written by openssl enc with {options}: the key is right, its"
                    " derivation is not the proxy's.",
                    "openssl enc -aes-256-cbc -md md5 -a -A, no -pbkdf2; or djsession encrypt.",
                )
    return None


def _starts_as_session(token: str, keys: Sequence[str]) -> bool:
    """Whether a key decrypts the first block to what JSON starts with: no other key does."""
    try:
        salt, ciphertext = openssl.split(b64decode(token, validate=True))
    except (ValueError, SessionError):
        return False
    starts = [openssl.decrypt(salt, ciphertext, key.encode("ascii"))[:16] for key in keys]
    return any(re.match(rb'\{\s*"[\x20-\x7e]+\Z', start) for start in starts)


def _evp_sha256(passphrase: bytes, salt: bytes) -> bytes:
    """OpenSSL's EVP_BytesToKey with SHA-256 and one iteration: 48 bytes."""
    first = hashlib.sha256(passphrase + salt).digest()
    return first + hashlib.sha256(first + passphrase + salt).digest()[:16]


# The request.


def _of_no_token(case: Case) -> Iterator[Finding]:
    request = case.request
    cookie, authorization = request.header("cookie"), request.header("authorization")
    names = [name for part in cookie.split(";") if (name := part.partition("=")[0].strip())]
    if case.cookie_name in names and re.search(
        rf'(?:^|;)\s*{re.escape(case.cookie_name)}="?[0-9A-Za-z]{{32}}"?\s*(?:;|$)', cookie
    ):
        yield _opaque()
    if authorization.strip().lower() == "bearer":
        yield Finding(
            "bearer-empty",
            "Authorization: Bearer has no token behind it: with the JWT session backend that is a"
            " visitor who is not signed in, and the request has no session.",
            "Sign in; or list the path in allowed_no_session if it needs nobody signed in.",
        )
    elif authorization and not bearer_token(authorization):
        yield Finding(
            "other-scheme",
            "The Authorization header is of another scheme than Bearer: it is the browser's own,"
            " and means nothing here.",
            "Look for the session in the cookie.",
            is_cause=False,
        )
    similar = [name for name in names if name.lower() == case.cookie_name.lower()]
    if similar and case.cookie_name not in names:
        yield Finding(
            "cookie-name",
            "There is a cookie whose name differs from cookie_name in upper and lower case alone.",
            f"Set cookie_name to that of the cookie; it is {case.cookie_name} now.",
        )
    yield Finding(
        "no-token",
        f"The request carries no session token: neither a cookie {_shown(case.cookie_name)} nor an"
        " Authorization: Bearer header with one.",
        "It did not come through the proxy, or no rule of the proxy forwards its path with a"
        " session.",
    )


def _shown(name: str) -> str:
    return name if _COOKIE_NAME.fullmatch(name) else "of that name"


def _of_path(case: Case) -> Iterator[Finding]:
    path = case.request.path
    if path is None or not case.allowed_no_session:
        return
    entries = [*case.allowed_no_session]
    try:
        gate = Gate(Settings(secret_key="not used", allowed_no_session=entries))  # noqa: S106
    except ConfigurationError as error:
        yield Finding(
            "open-paths",
            f"{error}".encode("ascii", "backslashreplace").decode() + ".",
            "Correct allowed_no_session: the application does not start with it.",
            is_cause=False,
        )
        return
    if gate.admits({}, path):
        yield Finding(
            "path-open",
            "The path is under allowed_no_session: the request passes, with an empty session.",
            "",
            is_cause=False,
        )
        return
    plain = re.sub(r"/+", "/", unquote(path)).lower()
    for entry in case.allowed_no_session:
        if plain.startswith(entry.lower().rstrip("/") or "/"):
            yield Finding(
                "path-not-open",
                f"The path is not under the entry {entry!a} of allowed_no_session though it looks"
                " it: an entry opens whole segments, in its own case, and '/' the home page alone;"
                " a path with '..', '//', a backslash or anything still encoded is under none.",
                "Add the path itself to allowed_no_session.",
                is_cause=False,
            )
            return


def _of_session(session: Session) -> Iterator[Finding]:
    if not session:
        yield Finding(
            "empty-session",
            "The session is empty: the proxy lets anyone through here, and nobody is signed in.",
            "Set the rule of the path at the proxy to authenticated users, or expect visitors.",
            is_cause=False,
        )
    elif session.username is None:
        yield Finding(
            "no-username",
            "The session decodes and has no username: the application sees an anonymous user.",
            "Check the session serializer configured at the proxy.",
            is_cause=False,
        )
    exp = session.get("exp")
    if isinstance(exp, (int, float)) and exp > time.time() + _JWT_SECONDS + _CLOCK_SECONDS:
        yield Finding(
            "clock",
            "The jwt is good for more than the two hours that the proxy gives: the clock of this"
            " machine is behind the proxy's, or something else has written it.",
            "Compare the clocks of the two machines, and run an NTP client on both.",
            is_cause=False,
        )


def _of_transport(case: Case) -> Iterator[Finding]:
    for transport, _, token in case.tokens():
        kind = token_format(token)
        if transport == "cookie" and kind == "jwt":
            yield Finding(
                "jwt-in-cookie",
                "There is a jwt in the cookie, where the proxy's JWT session backend would send it"
                " in Authorization: Bearer: a mockup login has written it.",
                "Nothing: djsession reads it.",
                is_cause=False,
            )
        elif transport == "bearer" and kind == "jwt":
            yield Finding(
                "jwt-backend",
                "The session is a jwt in Authorization: Bearer: the site uses the JWT session"
                " backend, and code that looks for a cookie finds none, or the proxy's own id.",
                "Nothing: djsession reads both.",
                is_cause=False,
            )
        elif transport == "bearer" and kind == "openssl":
            yield Finding(
                "cookie-backend",
                "There is an encrypted cookie's token in Authorization: Bearer, where the proxy"
                " sends a jwt.",
                "Nothing: djsession reads it. The proxy has not put it there.",
                is_cause=False,
            )


def _of_headers(case: Case) -> Iterator[Finding]:
    for name, value in case.request.headers:
        if name not in ("cookie", "authorization"):
            continue
        size = len(name) + len(": ") + len(value.encode("utf-8", "replace")) + len("\r\n")
        if size > GUNICORN_LIMIT:
            yield Finding(
                "header-limit",
                f"The {name.capitalize()} header has {size} bytes: gunicorn refuses one over"
                f" {GUNICORN_LIMIT} with 400 or 431, before the application sees the request.",
                "gunicorn --limit-request-field-size 32768; see examples/gunicorn.conf.py.",
                is_cause=False,
            )
