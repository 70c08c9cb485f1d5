"""Find what is wrong with a request or the keys, and say in one sentence each how to fix it."""

from __future__ import annotations

import hashlib
import json
import re
import time
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import unquote

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .. import openssl
from ..codec import JWT_MAX_AGE, SessionCodec, token_format
from ..errors import (
    WRONG_KEY,
    ConfigurationError,
    ExpiredToken,
    MalformedJWT,
    SessionError,
    UnsupportedAlgorithm,
)
from ..keys import GENERATED_LENGTH, PROXY_LENGTH
from ..session import Session
from ..settings import KEY_NAME, Settings
from ..trace import Trace, quantity
from ..transport import Candidate, bearer_token, find_candidates
from .configuration import Configuration
from .inputs import RecordedRequest
from .secret_keys import CHANGES, Keys, changes, surroundings, trim

__all__ = ["GUNICORN_LIMIT", "NGINX_LIMIT", "Case", "Finding", "diagnose"]

#: The largest header that gunicorn accepts by default, in bytes with its name and line end.
GUNICORN_LIMIT = 8_190
#: The same limit in nginx, which is the size of one of its four buffers.
NGINX_LIMIT = 8_192

# If a jwt is valid for this much longer than the proxy allows, the proxy's clock is ahead.
_CLOCK_SECONDS = 300
# A jwt that expired this recently may still be valid by the proxy's clock.
_JUST_EXPIRED = 3600


@dataclass(frozen=True)
class Finding:
    """One thing to know about a request."""

    #: A stable name, for machines.
    id: str
    sentence: str
    #: What to do, or ``""`` if there is nothing to do.
    remedy: str
    #: Whether this is why the session does not decode. Otherwise it is merely useful to know.
    is_cause: bool = True


# A finding that is not a cause.
_note = partial(Finding, is_cause=False)


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

    @property
    def is_trusted(self) -> bool:
        """Whether trusted_proxies lets the request pass, as far as its peer is known."""
        trusted, peer = self.settings.trusted_peers(), self.request.peer
        return trusted is None or peer is None or peer in trusted

    def candidates(self) -> list[Candidate]:
        """Return the tokens in the request."""
        if self.request.token is not None:
            return [Candidate("unknown", self.request.token)]
        cookie, authorization = map(self.request.header, ("cookie", "authorization"))
        return find_candidates(cookie, authorization, self.settings.cookie_name)

    def opens(self, token: str, keys: Sequence[str]) -> bool:
        """Return whether a token was written with one of the keys."""
        for key in keys:
            try:
                codec = SessionCodec(key, max_token_size=self.settings.max_token_size)
            except ConfigurationError:
                continue
            if isinstance(codec.try_loads(token), (Session, ExpiredToken)):
                return True
        return False


def diagnose(case: Case, traces: Sequence[Trace]) -> list[Finding]:
    """Return the findings: first the causes of a refusal, then what is merely useful to know."""
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
        findings += _of_peer(case)
    findings += _of_headers(case)
    # If undoing a change to the key makes it work, the change explains the key's length, too.
    if any(finding.id in CHANGES for finding in findings):
        findings = [finding for finding in findings if finding.id != "key-length"]
    unique = {finding.id: finding for finding in reversed(findings)}
    kept = [finding for finding in findings if unique.get(finding.id) is finding]
    remedy = "Correct the setting: the application does not start with this value."
    kept += [
        _note("settings", _sentence(problem), remedy) for problem in case.configuration.problems
    ]
    return sorted(kept, key=lambda finding: not finding.is_cause)


# The keys.


def _sentence(clause: str) -> str:
    # The names of settings and of session members are not capitalized.
    is_name = "_" in clause.partition(" ")[0]
    text = f"{clause[:1] if is_name else clause[:1].upper()}{clause[1:].rstrip('.')}."
    return text.encode("ascii", "backslashreplace").decode()


def _finding_of(error: SessionError) -> Finding:
    """Return a finding with the reason and remedy of the error, which suffice for most errors."""
    return Finding(error.id, _sentence(error.reason), _sentence(error.remedy))


def _of_keys(case: Case, decodes: bool) -> Iterator[Finding]:
    keys = case.keys
    if not any(keys.raw):
        yield Finding(
            "no-key",
            "There is no secret key.",
            "Set DJAODJIN_SECRET_KEY to the key that the site's settings show at DjaoDjin.",
        )
        return
    tokens = [candidate.token for candidate in case.candidates()]
    for number, key in enumerate(keys.raw, 1):
        name = keys.name(number)
        trimmed, around = trim(key), surroundings(key)
        if around:
            works = any(case.opens(token, [trimmed]) for token in tokens)
            verdict = "works" if works else "does not work"
            pronoun = "them" if around == "quotes" else "it"
            yield Finding(
                "key-quotes",
                f"{name} has {around} around it, and {verdict} without {pronoun}.",
                "Remove the quotes where the key is set: programs that read an env file keep them."
                if around == "quotes"
                else "Remove the white space where the key is set.",
                is_cause=not decodes,
            )
        elif not key.isascii():
            yield Finding(
                "key-not-ascii",
                f"{name} contains a character outside ASCII, which the proxy's keys never do.",
                "Copy the key again.",
                is_cause=not decodes,
            )
        is_usual = len(trimmed) in (0, PROXY_LENGTH, GENERATED_LENGTH)
        if not decodes and not is_usual and not case.configuration.is_development:
            why = ": a shell may have removed some, since it interprets $, !, # and *"
            yield Finding(
                "key-length",
                f"{name} is {quantity(len(trimmed), 'character')} long, but the proxy's keys have"
                f" {PROXY_LENGTH}{why if len(trimmed) < PROXY_LENGTH else ''}.",
                "Put the key in single quotes wherever a shell reads it, then compare it again.",
            )


def _changed_key(case: Case, token: str) -> Finding | None:
    for change in changes(case.keys):
        if case.opens(token, [change.key]):
            return Finding(
                change.id,
                f"{change.sentence} The original key works.",
                "Generate a new key without a comma at DjaoDjin, or set this key in Python, as a"
                " list with one string."
                if change.id == "key-comma"
                else "Set the key exactly as the proxy shows it.",
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
            "The proxy did not put it there: find out what did.",
        )


def _of_wrong_key(case: Case, token: str, trace: Trace) -> Iterator[Finding]:
    if trace.format == "jwt" and (other := _other_algorithm(token)):
        yield _finding_of(other)
        return
    keys = case.keys.trimmed
    found = _changed_key(case, token) or _of_content(token, keys)
    if found is not None:
        yield found
    elif keys and not case.opens(token, keys):  # else the findings about the keys report it
        verb = "jwt was not signed" if trace.format == "jwt" else "token was not written"
        which = "this key" if len(case.keys.raw) == 1 else "any of these keys"
        if case.configuration.is_development:
            cause = "most likely it comes from an earlier run of the server, which used another key"
            remedy = (
                "Sign in again. If this does not help, 'djsession serve' in front of the"
                f" application uses another key: start both with the same {KEY_NAME}."
            )
            yield Finding("earlier-run", f"The {verb} with {which}: {cause}.", remedy)
        else:
            cause, remedy = WRONG_KEY
            yield Finding("wrong-key", f"The {verb} with {which}: {cause}.", _sentence(remedy))


def _other_algorithm(token: str) -> SessionError | None:
    """Return an error for a jwt that does not claim HS256, whose signature no key can verify."""
    header = _json_part(token, 0)
    if not isinstance(header, dict):
        return MalformedJWT()
    return None if header.get("alg") == "HS256" else UnsupportedAlgorithm()


def _of_content(token: str, keys: Sequence[str]) -> Finding | None:
    """Return what is wrong with an openssl token that one of the keys decrypts, or None."""
    try:
        salt, ciphertext = openssl.parse_container(b64decode(token, validate=True))
    except (ValueError, SessionError):
        return None
    for passphrase in (key.encode("ascii") for key in keys):
        decrypted = openssl.decrypt(salt, ciphertext, passphrase)
        plaintext = openssl.unpad(decrypted) or b""
        if _is_text(plaintext):
            return Finding(
                "not-a-session",
                "The token was written with this key, but its content is not a JSON object.",
                "Check the session serializer configured at the proxy.",
            )
        if _is_utf8_object(plaintext):
            return Finding(
                "not-ascii",
                "The token was written with this key, but its JSON contains characters outside"
                " ASCII, which the proxy never writes.",
                "Escape these characters as \\uXXXX in the JSON, or use djsession encrypt.",
            )
        # This is how a JSON object starts. No other key produces 16 such bytes.
        if re.match(rb'\{\s*"[\x20-\x7e]+\Z', decrypted[:16]):
            return _cut_off("The token starts like a session, but its end is missing")
        for name, options, derived in (
            ("sha256", "-md sha256, its default", _evp_sha256(passphrase, salt)),
            ("pbkdf2", "-pbkdf2", hashlib.pbkdf2_hmac("sha256", passphrase, salt, 10_000, 48)),
        ):
            decryptor = Cipher(algorithms.AES(derived[:32]), modes.CBC(derived[32:])).decryptor()
            if _is_utf8_object(openssl.unpad(decryptor.update(ciphertext)) or b""):
                return Finding(
                    name,
                    f"The token was written by openssl enc with {options}: the key is right, but"
                    " it was not derived the way the proxy does it.",
                    "Use openssl enc -aes-256-cbc -md md5 -a -A without -pbkdf2, or use djsession"
                    " encrypt.",
                )
    return None


def _is_text(plaintext: bytes) -> bool:
    """Whether it is text that somebody wrote. No other key produces three letters or more."""
    return len(plaintext) > 2 and plaintext.decode("latin-1").isprintable() and plaintext.isascii()


def _is_utf8_object(plaintext: bytes) -> bool:
    try:
        return isinstance(json.loads(plaintext.decode()), dict)
    except (ValueError, RecursionError):
        return False


def _of_clock(token: str, error: SessionError) -> Iterator[Finding]:
    exp = _exp(token) if isinstance(error, ExpiredToken) else None
    if exp is not None and 0 <= time.time() - exp < _JUST_EXPIRED:
        yield _note(
            "clock",
            "The jwt expired within the last hour. If every jwt has expired when it arrives, this"
            " machine's clock is fast.",
            "Compare the clocks of the two machines, and run an NTP client on both.",
        )


def _exp(token: str) -> float | None:
    """Return the exp claim of a jwt whose signature was not verified, or None."""
    claims = _json_part(token, 1)
    exp = claims.get("exp") if isinstance(claims, dict) else None
    return float(exp) if isinstance(exp, (int, float)) and abs(exp) < 1e15 else None


def _json_part(token: str, number: int) -> object:
    """Return the JSON in one part of a jwt whose signature was not verified, or None."""
    part = token.split(".")[number] if token.count(".") == 2 else ""
    try:
        return json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None


def _of_damage(transport: str, token: str, error: SessionError) -> Finding:
    if _is_opaque(token):
        return _opaque()
    if token_format(token) == "jwt":
        if token.startswith("eyJ"):
            return _cut_off("The jwt does not have three parts")
        return Finding(
            "not-a-token",
            "The token is in neither of the proxy's formats: it comes from some other service.",
            "Find out what sets this header or cookie. The proxy always replaces its own.",
        )
    is_ours = token.startswith("U2FsdGVk")
    if error.step == "ciphertext":
        return _cut_off(_sentence(error.reason)[:-1])
    if is_ours and re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", token):
        return _cut_off(f"The token has {len(token)} characters, not a multiple of 4")
    if is_ours:
        return Finding(
            "cut-off",
            "The token contains characters that are not valid base64: something changed it on the"
            " way.",
            "Copy it from a request as the application receives it, not from a page or an email.",
        )
    if token.startswith("eyJ"):
        return _cut_off("The jwt is cut off after its header")
    what = "The cookie" if transport == "cookie" else "The token"
    return Finding(
        "not-a-token",
        f"{what} does not contain a session: it is in neither of the proxy's formats.",
        "Find out what sets it: another application on the same host may use a cookie with the"
        " same name. A request that comes through the proxy has the proxy's cookie.",
    )


def _cut_off(what: str) -> Finding:
    return Finding(
        "cut-off",
        f"{what}: the token was cut off by a limit on the size of a header, by a line wrap or in"
        " copying.",
        "Raise the limit (gunicorn: limit_request_field_size, nginx: large_client_header_buffers),"
        " or copy the token in one piece.",
    )


def _is_opaque(token: str) -> bool:
    return re.fullmatch(r"[0-9A-Za-z]{32}", token) is not None


def _opaque() -> Finding:
    return Finding(
        "opaque-cookie",
        "The cookie is the proxy's own session id, not a token: the site uses the JWT session"
        " backend, or the request is one that the browser sent to the proxy.",
        "Examine the request as the application receives it. With the JWT session backend, the"
        " session is in Authorization: Bearer.",
    )


def _repairs(token: str) -> Iterator[tuple[str, str, str]]:
    """Yield what may have happened to a token, as an id and a phrase, and the original token."""
    if "%" in token:
        yield "url-encoded", "is URL-encoded", unquote(token)
    bare = re.sub(r'[\\"\']', "", unquote(token))
    if bare != token:
        yield "double-quoted", "has quotes, or nested quotes, around it", bare
    joined = re.sub(r"\s+", "", bare)
    if joined != bare:
        yield "line-wrap", "is wrapped, with white space or a line end in it", joined
    spaced = bare.replace(" ", "+")
    if spaced != bare:
        yield "url-encoded", "was URL-decoded, with spaces in place of +", spaced
    standard = joined.replace("-", "+").replace("_", "/")
    if "." not in token and standard != joined:
        yield "url-encoded", "uses the URL-safe base64 alphabet", standard
    if "." not in token and len(joined) % 4:
        yield "cut-off", "lacks the = at its end", joined + "=" * (-len(joined) % 4)


def _repaired(case: Case, token: str) -> Finding | None:
    keys = case.keys.trimmed
    for name, what, before in _repairs(token):
        if len(before) <= case.settings.max_token_size and case.opens(before, keys):
            return Finding(
                name,
                f"The token {what}: once this is undone, it decodes.",
                "The proxy sends the token unchanged, at most in one pair of double quotes. Check"
                " what is between the proxy and the application, or how the token was copied.",
            )
    return None


def _evp_sha256(passphrase: bytes, salt: bytes) -> bytes:
    """OpenSSL's EVP_BytesToKey with SHA-256 and one iteration: 48 bytes."""
    first = hashlib.sha256(passphrase + salt).digest()
    return first + hashlib.sha256(first + passphrase + salt).digest()[:16]


# The request.


def _of_no_token(case: Case) -> Iterator[Finding]:
    request = case.request
    cookie, authorization = request.header("cookie"), request.header("authorization")
    cookie_name, bearer = case.settings.cookie_name, bearer_token(authorization)
    cookies = [
        (name, value.strip().strip('"'))
        for part in cookie.split(";")
        for name, _, value in [[*map(str.strip, part.partition("="))]]
    ]
    other_name = next(
        (
            name
            for name, value in cookies
            if name != cookie_name
            and (name.lower() == cookie_name.lower() or value.startswith("U2FsdGVkX1"))
        ),
        None,
    )
    is_forwarded = any(map(request.header, ("x-forwarded-for", "x-real-ip")))
    if is_forwarded and bearer is None and other_name is None:
        yield Finding(
            "no-session-backend",
            "The request came through a proxy that did not attach a session: with the cookie or the"
            " JWT session backend, the DjaoDjin proxy sends a cookie or Authorization: Bearer with"
            " every request. The site's session backend is 'No session forwarded', or the request"
            " came through some other proxy.",
            "Choose the cookie or the JWT session backend for the site at DjaoDjin. The key has"
            " nothing to do with it.",
        )
        return
    if any(name == cookie_name and _is_opaque(value) for name, value in cookies):
        yield _opaque()
    if authorization.strip().lower() == "bearer":
        yield Finding(
            "bearer-empty",
            "The Authorization header contains Bearer without a token: with the JWT session"
            " backend, this is a visitor who is not signed in, and the request does not have a"
            " session.",
            "Sign in, or list the path in allowed_no_session if visitors may see it.",
        )
    elif authorization and bearer is None:
        yield _note(
            "other-scheme",
            "The Authorization header does not use the Bearer scheme: the browser set it, and"
            " djsession ignores it.",
            "Look for the session in the cookie.",
        )
    if other_name is not None:
        yield Finding(
            "cookie-name",
            f"The cookie {other_name!a} looks like the session cookie, but"
            f" cookie_name is {cookie_name}.",
            "Set cookie_name to the name of that cookie. Upper and lower case matter.",
        )
    yield Finding(
        "no-token",
        "The request carries no session token: it has neither a cookie named"
        f" {case.settings.cookie_name} nor an Authorization: Bearer header with a token.",
        "Sign in."
        if case.configuration.is_development
        else "Send the request through the proxy. This request did not come from there, or none of"
        " the proxy's rules forwards its path with a session.",
    )


def _of_path(case: Case) -> Iterator[Finding]:
    path, entries = case.request.path, case.settings.allowed_no_session
    if path is None or not entries:
        return
    if path in case.settings.open_paths():
        yield _note(
            "path-open",
            "An entry in allowed_no_session matches the path: the request passes with an empty"
            " session.",
            "",
        )
        return
    plain = re.sub(r"/+", "/", unquote(path)).lower()
    for entry in entries:
        if plain.startswith(entry.lower().rstrip("/") or "/"):
            yield _note(
                "path-not-open",
                f"The path does not match the entry {entry!a} in allowed_no_session, although it"
                " looks similar. An entry matches whole segments and is case-sensitive, and '/'"
                " matches only the home page. A path with '..', '//', a backslash or anything that"
                " is still encoded never matches.",
                "Add the path itself to allowed_no_session.",
            )
            return


def _of_session(trace: Trace) -> Iterator[Finding]:
    session = trace.session
    assert session is not None
    if not session:
        yield _note(
            "empty-session",
            "The session is empty: the proxy lets anyone through here, and nobody is signed in.",
            "Set the path's rule at the proxy to authenticated users, or expect visitors.",
        )
    elif session.username is None:
        yield _note(
            "no-username",
            "The session decodes, but does not contain a username: the application sees an"
            " anonymous user.",
            "Check the session serializer configured at the proxy.",
        )
    exp = session.get("exp")
    # The proxy sets exp only in a jwt. In a cookie, exp comes from a mockup login, valid for a day.
    is_from_proxy = trace.format == "jwt" and trace.transport != "cookie"
    if (
        is_from_proxy
        and isinstance(exp, (int, float))
        and exp > time.time() + JWT_MAX_AGE + _CLOCK_SECONDS
    ):
        yield _note(
            "clock",
            "The session is valid for more than the two hours that the proxy sets: this machine's"
            " clock is behind the proxy's, or something else issued the token.",
            "Compare the clocks of the two machines, and run an NTP client on both.",
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
            yield _note(
                "jwt-in-cookie",
                "The cookie contains a jwt, which the proxy's JWT session backend would send in"
                " Authorization: Bearer. A mockup login set the cookie.",
                "Nothing. djsession reads it.",
            )
        elif transport == "bearer":
            yield _note(
                "jwt-backend",
                "The session is a jwt in Authorization: Bearer: the site uses the JWT session"
                " backend. Code that looks for the cookie finds nothing, or the proxy's own session"
                " id.",
                "Nothing. djsession reads both.",
            )


def _of_peer(case: Case) -> Iterator[Finding]:
    if case.settings.trusted_proxies is None:
        return
    remedy = "Check that the list contains the address that the proxy connects from."
    if not case.is_trusted:
        sentence = f"The request came from {case.request.peer}, which trusted_proxies does not list"
        yield Finding("trusted-proxies", f"{sentence}: the application refuses it.", remedy)
    elif case.request.peer is None:
        sentence = "trusted_proxies is set: the application refuses this session from any address"
        yield _note("trusted-proxies", f"{sentence} that the list does not contain.", remedy)


def _of_headers(case: Case) -> Iterator[Finding]:
    for name, size, _ in case.request.header_sizes():
        if size > GUNICORN_LIMIT and name in ("cookie", "authorization"):
            yield _note(
                "header-limit",
                f"The {name.capitalize()} header has {quantity(size, 'byte')}. By default, gunicorn"
                f" refuses headers over {GUNICORN_LIMIT} bytes with 400 or 431, and nginx in front"
                f" of the application refuses headers over {NGINX_LIMIT} bytes with 400.",
                "Raise the limits: gunicorn --limit-request-field-size 32768; in nginx,"
                " large_client_header_buffers 4 32k.",
            )
