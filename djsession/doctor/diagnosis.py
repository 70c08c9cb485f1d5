"""What is wrong with a request and the keys, and what puts it right: one sentence each."""

from __future__ import annotations

import binascii
import hashlib
import json
import re
import time
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .. import openssl
from ..codec import JWT_MAX_AGE, SessionCodec, token_format
from ..errors import (
    ConfigurationError,
    ExpiredToken,
    MalformedJWT,
    SessionError,
    UnsupportedAlgorithm,
)
from ..keys import GENERATED_LENGTH, PROXY_LENGTH
from ..session import Session
from ..settings import Settings
from ..trace import Trace
from ..transport import Candidate, bearer_token, find_candidates
from .configuration import Configuration, Keys, trim
from .inputs import RecordedRequest

__all__ = ["GUNICORN_LIMIT", "Case", "Finding", "diagnose"]

#: Bytes of a header that gunicorn takes by default, its name and line end included.
GUNICORN_LIMIT = 8_190

# A jwt that is good for longer than the proxy makes it was made by a clock that is ahead.
_CLOCK_SECONDS = 300
# One that has just expired may well have been valid by the clock of the proxy.
_JUST_EXPIRED = 3600


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
class Case:
    """What the doctor looks at: a request, and the keys and settings to examine it with."""

    request: RecordedRequest
    configuration: Configuration

    @property
    def keys(self) -> Keys:
        """The keys as they were configured."""
        return self.configuration.keys

    @property
    def settings(self) -> Settings:
        """Settings that can be used."""
        return self.configuration.settings

    def candidates(self) -> list[Candidate]:
        """Return the tokens in the request."""
        if self.request.token is not None:
            return [Candidate("unknown", self.request.token)]
        cookie, authorization = map(self.request.header, ("cookie", "authorization"))
        return find_candidates(cookie, authorization, self.settings.cookie_name)

    def opens(self, token: str, keys: Sequence[str]) -> bool:
        """Return whether one of the keys is the one that a token was written with."""
        for key in keys:
            try:
                codec = SessionCodec(key, max_token_size=self.settings.max_token_size)
            except ConfigurationError:
                continue
            if isinstance(codec.try_loads(token), (Session, ExpiredToken)):
                return True
        return False


def diagnose(case: Case, traces: Sequence[Trace]) -> list[Finding]:
    """Return what is wrong, the causes first, then what is good to know."""
    decoded = next((trace for trace in traces if trace.session is not None), None)
    findings = [*_of_keys(case, decoded is not None)]
    if decoded is None:
        if not traces:
            findings += _of_no_token(case)
        for candidate, trace in zip(case.candidates(), traces, strict=True):
            findings += _of_token(case, candidate, trace)
        findings += _of_path(case)
    else:
        findings += _of_session(decoded)
        findings += _of_transport(case)
        if case.settings.trusted_proxies is not None:
            findings.append(
                Finding(
                    "trusted-proxies",
                    "trusted_proxies is set: the application refuses this session from any other"
                    " address.",
                    "Check that the list contains the address that the proxy connects from.",
                    is_cause=False,
                )
            )
    findings += _of_headers(case)
    # A change to the key that was found and undone explains its length, too.
    if {finding.id for finding in findings} & {name for name, _, _ in _KEY_CHANGES}:
        findings = [finding for finding in findings if finding.id != "key-length"]
    unique = {finding.id: finding for finding in reversed(findings)}
    kept = [finding for finding in findings if unique.get(finding.id) is finding]
    kept += _of_settings(case)
    return sorted(kept, key=lambda finding: not finding.is_cause)


def _of_settings(case: Case) -> Iterator[Finding]:
    for problem in case.configuration.problems:
        yield Finding(
            "settings",
            _sentence(problem),
            "Correct the setting: the application does not start with it.",
            is_cause=False,
        )


# The keys.


def _sentence(clause: str) -> str:
    # The name of a setting or of a member of the session stays as it is.
    is_name = "_" in clause.partition(" ")[0]
    text = f"{clause[:1] if is_name else clause[:1].upper()}{clause[1:].rstrip('.')}."
    return text.encode("ascii", "backslashreplace").decode()


def _finding_of(error: SessionError) -> Finding:
    """Return what the error itself says, which is enough for most."""
    return Finding(error.id, _sentence(error.reason), _sentence(error.remedy))


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
    tokens = [candidate.token for candidate in case.candidates()]
    for number, key in enumerate(keys.raw, 1):
        name = _ordinal(keys, number).capitalize()
        trimmed = trim(key)
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
                else "Remove them where the key is set: programs that read an env file keep them.",
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
        key = trim(raw)
        for name, what, undo in _KEY_CHANGES:
            candidate = undo(key)
            if not candidate or candidate == key:
                continue
            candidate = trim(candidate)
            if candidate and case.opens(token, [candidate]):
                return Finding(
                    name,
                    f"{_ordinal(case.keys, number).capitalize()} {what}: undone, it works.",
                    "Set the key as the proxy shows it, character by character.",
                )
    return None


# The token.


def _of_token(case: Case, candidate: Candidate, trace: Trace) -> Iterator[Finding]:
    token = candidate.token
    error = trace.failed.error if trace.failed is not None else None
    if error is None or candidate.ignored:
        yield from _of_ignored(candidate)
        return
    repaired = _repaired(case, token)
    if repaired is not None:
        yield repaired
    elif trace.failed is not None and trace.failed.name == "secret key":
        return  # the findings about the keys report it
    elif error.id == "wrong-key":
        yield from _of_wrong_key(case, token, trace)
    elif error.id in ("not-a-token", "cut-off"):
        yield _of_damage(candidate.transport, token, error)
    else:
        yield _finding_of(error)
        yield from _of_clock(token, error)


def _of_ignored(candidate: Candidate) -> Iterator[Finding]:
    if candidate.ignored:
        yield Finding(
            "does-not-count",
            _sentence(candidate.ignored),
            "The proxy did not write it there: look for what did.",
        )


def _of_wrong_key(case: Case, token: str, trace: Trace) -> Iterator[Finding]:
    if trace.format == "jwt" and (other := _other_algorithm(token)):
        yield _finding_of(other)
        return
    changed = _changed_key(case, token)
    if changed is not None:
        yield changed
        return
    derived = _other_derivation(token, case.keys.trimmed)
    if derived is not None:
        yield derived
        return
    if not case.keys.trimmed or case.opens(token, case.keys.trimmed):
        return  # the findings about the keys report it
    plaintexts = list(_plaintexts(token, case.keys.trimmed))
    if any(_is_text(plaintext) for plaintext in plaintexts):
        yield Finding(
            "not-a-session",
            "The token was written with this key, and its content is not a JSON object.",
            "Check the session serializer configured at the proxy.",
        )
        return
    if any(_is_utf8_object(plaintext) for plaintext in plaintexts):
        yield Finding(
            "not-ascii",
            "The token was written with this key, and its JSON contains characters outside ASCII,"
            " which the proxy never writes.",
            "Escape these characters as \\uXXXX in the JSON, or use djsession encrypt.",
        )
        return
    if _starts_as_session(token, case.keys.trimmed):
        yield _cut_off("The token starts as a session, and its end is missing")
        return
    which = "jwt was not signed" if trace.format == "jwt" else "token was not written"
    yield Finding(
        "wrong-key",
        f"The {which} with {'this key' if len(case.keys.raw) == 1 else 'any of these keys'}: the"
        " proxy has another one.",
        "Compare the key with that in the settings of the site at DjaoDjin, character by character;"
        " if in doubt generate a new key there, and use it on both sides.",
    )


def _other_algorithm(token: str) -> SessionError | None:
    """Return an error for a jwt that does not claim HS256, whose signature no key can verify."""
    header = _json_part(token, 0)
    if not isinstance(header, dict):
        return MalformedJWT()
    return None if header.get("alg") == "HS256" else UnsupportedAlgorithm()


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


def _is_utf8_object(plaintext: bytes) -> bool:
    try:
        return isinstance(json.loads(plaintext.decode()), dict)
    except (ValueError, RecursionError):
        return False


def _of_clock(token: str, error: SessionError) -> Iterator[Finding]:
    exp = _exp(token) if isinstance(error, ExpiredToken) else None
    if exp is not None and 0 <= time.time() - exp < _JUST_EXPIRED:
        yield Finding(
            "clock",
            "It expired within the last hour: if every jwt has expired on arrival, the clock of"
            " this machine is ahead of the proxy's.",
            "Compare the clocks of the two machines, and run an NTP client on both.",
            is_cause=False,
        )


def _exp(token: str) -> float | None:
    """Return the exp of a jwt without looking at its signature, or None."""
    claims = _json_part(token, 1)
    exp = claims.get("exp") if isinstance(claims, dict) else None
    return float(exp) if isinstance(exp, (int, float)) and abs(exp) < 1e15 else None


def _json_part(token: str, number: int) -> object:
    """Return the JSON in a part of a jwt that was not verified, or None."""
    part = token.split(".")[number] if token.count(".") == 2 else ""
    try:
        return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None


def _of_damage(transport: str, token: str, error: SessionError) -> Finding:
    if re.fullmatch(r"[0-9A-Za-z]{32}", token):
        return _opaque()
    if token_format(token) == "jwt":
        if token.startswith("eyJ"):
            return _cut_off("The jwt does not have three parts")
        return Finding(
            "not-a-token",
            "The token is in neither of the proxy's formats: it comes from some other service.",
            "Look for what writes this header or cookie; the proxy replaces its own.",
        )
    is_ours = token.startswith("U2FsdGVk")
    if error.step == "ciphertext":
        return _cut_off(_sentence(error.reason)[:-1])
    if is_ours and re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", token):
        return _cut_off(f"The token has {len(token)} characters, not a multiple of 4")
    if is_ours:
        return Finding(
            "cut-off",
            "The token contains characters that are not valid base64: something on the way changed"
            " it.",
            "Take it from a request as the application receives it, not from a page or a mail.",
        )
    if token.startswith("eyJ"):
        return _cut_off("The jwt is cut off after its header")
    what = "the cookie" if transport == "cookie" else "the token"
    return Finding(
        "not-a-token",
        f"There is no session in {what}: it is in neither of the proxy's formats.",
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
        "The cookie is the proxy's own session id, not a token: the site uses the JWT session"
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
        if len(before) <= case.settings.max_token_size and case.opens(before, keys):
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
            if plaintext is not None and _is_utf8_object(plaintext):
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
    if case.settings.cookie_name in names and re.search(
        rf'(?:^|;)\s*{re.escape(case.settings.cookie_name)}="?[0-9A-Za-z]{{32}}"?\s*(?:;|$)', cookie
    ):
        yield _opaque()
    if authorization.strip().lower() == "bearer":
        yield Finding(
            "bearer-empty",
            "Authorization: Bearer has no token behind it: with the JWT session backend that is a"
            " visitor who is not signed in, and the request has no session.",
            "Sign in; or list the path in allowed_no_session if it needs nobody signed in.",
        )
    elif authorization and bearer_token(authorization) is None:
        yield Finding(
            "other-scheme",
            "The Authorization header is of another scheme than Bearer: it is the browser's own,"
            " and means nothing here.",
            "Look for the session in the cookie.",
            is_cause=False,
        )
    similar = [name for name in names if name.lower() == case.settings.cookie_name.lower()]
    if similar and case.settings.cookie_name not in names:
        yield Finding(
            "cookie-name",
            "There is a cookie whose name differs from cookie_name only in upper and lower case.",
            f"Set cookie_name to that of the cookie; it is {case.settings.cookie_name} now.",
        )
    yield Finding(
        "no-token",
        f"The request carries no session token: neither a cookie {case.settings.cookie_name} nor an"
        " Authorization: Bearer header with one.",
        "It did not come through the proxy, or no rule of the proxy forwards its path with a"
        " session.",
    )


def _of_path(case: Case) -> Iterator[Finding]:
    path, entries = case.request.path, case.settings.allowed_no_session
    if path is None or not entries:
        return
    if path in case.settings.open_paths():
        yield Finding(
            "path-open",
            "An entry of allowed_no_session matches the path: the request passes, with an empty"
            " session.",
            "",
            is_cause=False,
        )
        return
    plain = re.sub(r"/+", "/", unquote(path)).lower()
    for entry in entries:
        if plain.startswith(entry.lower().rstrip("/") or "/"):
            yield Finding(
                "path-not-open",
                f"The path does not match the entry {entry!a} of allowed_no_session, although it"
                " looks similar. An entry matches whole segments, in its own case, and '/' the home"
                " page only; a path with '..', '//', a backslash or anything that is still encoded"
                " matches no entry.",
                "Add the path itself to allowed_no_session.",
                is_cause=False,
            )
            return


def _of_session(trace: Trace) -> Iterator[Finding]:
    session = trace.session
    assert session is not None
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
    # The proxy sets exp only in a jwt. In a cookie it is that of a mockup login, which lasts a day.
    is_from_proxy = trace.format == "jwt" and trace.transport != "cookie"
    if (
        is_from_proxy
        and isinstance(exp, (int, float))
        and exp > time.time() + JWT_MAX_AGE + _CLOCK_SECONDS
    ):
        yield Finding(
            "clock",
            "The session expires later than the two hours that the proxy sets: the clock of this"
            " machine is behind the proxy's, or something else wrote the token.",
            "Compare the clocks of the two machines, and run an NTP client on both.",
            is_cause=False,
        )


def _of_transport(case: Case) -> Iterator[Finding]:
    for transport, token, ignored in case.candidates():
        kind = token_format(token)
        if ignored:
            yield from (
                replace(finding, is_cause=False)
                for finding in _of_ignored(Candidate(transport, token, ignored))
            )
        elif transport == "cookie" and kind == "jwt":
            yield Finding(
                "jwt-in-cookie",
                "There is a jwt in the cookie, where the proxy's JWT session backend would send it"
                " in Authorization: Bearer. A mockup login wrote it.",
                "Nothing: djsession reads it.",
                is_cause=False,
            )
        elif transport == "bearer":
            yield Finding(
                "jwt-backend",
                "The session is a jwt in Authorization: Bearer: the site uses the JWT session"
                " backend. Code that looks for a cookie finds none, or the proxy's own id.",
                "Nothing: djsession reads both.",
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
