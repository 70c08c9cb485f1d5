"""What happened to one token, step by step, as data: every secret in it masked.

The DEBUG log, the doctor and the inspector show the same. A request that is not looked at this
closely pays nothing for it.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64decode
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from . import errors, openssl
from .codec import FORMATS, MAX_TOKEN_SIZE, Format, SessionCodec, token_format
from .errors import SessionError
from .session import Session

__all__ = ["MASK", "Status", "Step", "Trace", "mask", "redact", "trace_token"]

MASK = "********"

Status = Literal["passed", "failed", "not reached"]

_LEAST_SECRET = 6

_CREDENTIAL = re.compile(
    r"secret|pass(?:word|wd|phrase)|\bpwd\b|token|jwt|bearer|cookie|authorization|credential"
    r"|(?:access|session|api|private)[_-]?key",
    re.IGNORECASE,
)

# The steps in the order that the codec takes them, and those that it takes with each key.
_STEPS: dict[Format, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "openssl": (
        ("size", "format", "base64", "Salted__", "ciphertext"),
        ("key and IV", "padding", "UTF-8", "JSON", "object"),
    ),
    "jwt": (
        ("size", "format", "joserfc", "three parts"),
        ("algorithm", "signature", "UTF-8", "JSON", "object", "expiry"),
    ),
}

_STEP_OF: dict[type[SessionError], str] = {
    errors.TokenTooLarge: "size",
    errors.RefusedFormat: "format",
    errors.InvalidBase64: "base64",
    errors.InvalidContainer: "Salted__",
    errors.InvalidLength: "ciphertext",
    errors.InvalidPadding: "padding",
    errors.InvalidEncoding: "UTF-8",
    errors.InvalidJSON: "JSON",
    errors.NotAnObject: "object",
    errors.JWTUnavailable: "joserfc",
    errors.MalformedJWT: "three parts",
    errors.UnsupportedAlgorithm: "algorithm",
    errors.InvalidSignature: "signature",
    errors.InvalidExpiry: "expiry",
    errors.ExpiredToken: "expiry",
}


# Steps of a jwt that are reached with the key alone that has signed it.
_VERIFIED = ("UTF-8", "JSON", "object", "expiry")

_NO_KEY = "no key"


@dataclass(frozen=True)
class Step:
    """One step of the way from a header to a session."""

    name: str
    status: Status
    #: What the step found, masked; ``""`` where there is nothing to say.
    value: str = ""
    #: Which secret key it was taken with, from 1, or None for a step before any.
    key: int | None = None
    #: Of a step that failed: what is wrong, and what most likely puts it right.
    cause: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Trace:
    """What happened to one token."""

    #: "cookie", "bearer" or "unknown".
    transport: str
    format: Format
    steps: tuple[Step, ...]
    #: The decoded session, its credentials masked, or None.
    session: Session | None

    @property
    def failed(self) -> Step | None:
        """The step that refused the token: with several keys, that of the last. None: decoded."""
        if self.session is not None:
            return None
        return next(step for step in reversed(self.steps) if step.status == "failed")

    def __str__(self) -> str:
        """Lines for a log."""
        lines, key = [f"session token: transport {self.transport}, format {self.format}"], None
        for step in self.steps:
            if step.key != key:
                key = step.key
                lines.append(f"  secret key {key}: {MASK}")
            indent = "  " if step.key is None else "    "
            lines.append(f"{indent}{step.name + ':':<12} {step.status:<12} {step.value}".rstrip())
            if step.cause:
                lines.append(f"{indent}{'':<12} {step.cause}; {step.remedy}")
        if self.session is not None:
            lines.append("  session: " + session_text(self.session).replace("\n", "\n    "))
        return "\n".join(lines)


def mask(value: Any, secrets: Collection[str] = ()) -> Any:
    """Return a copy of a JSON value with what credential-like keys hold masked.

    Those are ``secret_key``, ``access_key``, ``security_token``, ``session_key`` and whatever is
    named password or token. A null stays: it says that there is none. The ``secrets`` themselves
    are masked wherever they are.
    """
    if isinstance(value, dict):
        return {
            redact(str(key), secrets): (
                MASK if item is not None and _CREDENTIAL.search(str(key)) else mask(item, secrets)
            )
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [mask(item, secrets) for item in value]
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, float) and not math.isfinite(value):  # 1e999, which JSON has no word for
        return str(value)
    if isinstance(value, (int, float)) and str(value) in secrets:
        return MASK
    return value


def redact(text: str, secrets: Collection[str]) -> str:
    """Return a text, or JSON, with the secrets in it masked."""
    for secret in sorted(secrets, key=len, reverse=True):
        for written in {secret, json.dumps(secret)[1:-1]}:
            # One of a few characters would take words apart, and is found in any text.
            if len(written) >= _LEAST_SECRET:
                text = text.replace(written, MASK)
    return text


def session_text(session: Session) -> str:
    """Return a session as indented JSON in ASCII, or a sentence where it cannot be."""
    try:
        return json.dumps(session, indent=2)
    except RecursionError:
        return "nested too deeply to be shown"


def trace_token(
    token: str,
    secret_keys: Sequence[str],
    *,
    transport: str = "unknown",
    found_in: str = "",
    quoted: bool | None = None,
    max_token_size: int = MAX_TOKEN_SIZE,
    formats: Sequence[str] = FORMATS,
) -> Trace:
    """Return what happens to a token under each of the keys, which are as the settings take them.

    ``transport`` and ``found_in``, such as "cookie" and "the cookie sessionid", say where it was,
    ``quoted`` whether double quotes around it were removed; None where there are never any.
    """
    kind = token_format(token)
    common, per_key = _STEPS[kind]
    steps = [Step("found in", "passed", found_in or transport)]
    if quoted is not None:
        steps.append(Step("quotes", "passed", "one pair removed" if quoted else "none"))
    session: Session | None = None
    for number, key in enumerate(secret_keys or (_NO_KEY,), 1):
        error: SessionError | None = None
        try:
            codec = SessionCodec(key, max_token_size=max_token_size, formats=formats)
            session = codec.loads(token)
        except SessionError as refused:
            error = refused
        failed_at = None if error is None else _STEP_OF[type(error)]
        if number == 1:
            steps += _run(common, failed_at, error, None, _common_values(token, kind))
        if not secret_keys:
            # The steps before any key are of interest all the same.
            session = None
            if failed_at not in common:
                steps.append(Step("secret key", "failed", "", None, "there is none", "set one"))
                steps += [Step(name, "not reached") for name in per_key]
            break
        if failed_at not in common:
            values = _values_of_key(token, kind, key, session)
            steps += _run(per_key, failed_at, error, number, values)
        is_verified = kind == "jwt" and failed_at in _VERIFIED
        if session is not None or failed_at in common or is_verified:
            break
    if session is not None:
        steps.append(Step("schema", "passed", _schema(session)))
        try:
            session = Session(mask(session, secret_keys))
        except RecursionError:
            session = Session({"session": "nested too deeply to be shown"})
    return Trace(transport, kind, tuple(steps), session)


def _run(
    names: Sequence[str],
    failed_at: str | None,
    error: SessionError | None,
    key: int | None,
    values: dict[str, str],
) -> Iterator[Step]:
    """Yield the steps of some names, of which the codec says at most one has failed."""
    status: Status = "passed"
    for name in names:
        if name == failed_at and error is not None:
            yield Step(name, "failed", values.get(name, ""), key, error.reason, error.remedy)
            status = "not reached"
        elif status == "passed":
            yield Step(name, "passed", values.get(name, ""), key)
        else:
            yield Step(name, "not reached", "", key)


def _common_values(token: str, kind: Format) -> dict[str, str]:
    values = {
        "size": f"{len(token)} characters, starts with {_public_start(token)}",
        "format": f"taken for {kind}, by its {'dots' if kind == 'jwt' else 'lack of dots'}",
    }
    if kind == "openssl":
        try:
            container = b64decode(token, validate=True)
            values["base64"] = f"{len(container)} bytes"
            salt, ciphertext = openssl.split(container)
        except (ValueError, SessionError):
            return values
        values["Salted__"] = f"salt {salt.hex()}"
        values["ciphertext"] = f"{len(ciphertext)} bytes"
    return values


def _values_of_key(token: str, kind: Format, key: str, session: Session | None) -> dict[str, str]:
    if kind == "jwt":
        exp = None if session is None else session.get("exp")
        return {"expiry": f"exp {exp}" if exp is not None else "none"}
    salt, _ = openssl.split(b64decode(token))
    _, iv = openssl.derive_key_and_iv(key.encode("ascii"), salt)
    return {"key and IV": f"key {MASK}, of {len(key)} characters; iv {iv.hex()}"}


def _schema(session: Session) -> str:
    """Say what of a session djsession reads."""
    if not session:
        return "an empty session: nobody is signed in"
    if session.username is None:
        return "no username: nobody is signed in"
    counts = (
        (len(session.roles), "role"),
        (len(session.get_accessibles()), "organization"),
        (len(session.accessible_plans()), "active plan"),
    )
    said = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts)
    return f"a username; {said}"


def _public_start(token: str) -> str:
    """Return as much of a token as is no secret: an openssl header and salt, or a jwt's header.

    Anything else is nobody's session, and may be somebody's credential.
    """
    if token.startswith("U2FsdGVkX1"):
        return f"{token[:21]!a}"
    header, dot, _ = token.partition(".")
    if dot and header.startswith("eyJ"):
        return f"{header[:40]!a}"
    return MASK
