"""The steps of decoding one token and their outcomes, as data in which secrets are masked.

The DEBUG log, the doctor and the inspector all show these steps. Other requests are not traced, and
tracing does not slow them down.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from . import openssl
from .codec import Format, token_format
from .errors import SessionError
from .redact import MASK, mask
from .session import Session

if TYPE_CHECKING:
    from .settings import Settings
    from .transport import Candidate

__all__ = ["Status", "Step", "Trace", "quantity", "session_text", "trace_token"]

Status = Literal["passed", "failed", "not reached"]

# The codec's steps in order, for each format: first the steps that do not need a key, then the
# steps that are repeated for each key. Each SessionError names the step that failed.
_STEPS: dict[Format, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "openssl": (
        ("size", "format", "base64", "Salted__", "ciphertext"),
        (
            "key and IV",
            "padding",
            "text",
            "JSON",
            "object",
            "depth",
            "unique names",
            "last_visited",
            "expiry",
        ),
    ),
    "jwt": (
        ("size", "format", "three parts"),
        ("signature", "algorithm", "text", "JSON", "object", "depth", "expiry"),
    ),
}


@dataclass(frozen=True)
class Step:
    """One step from a header to a session."""

    name: str
    status: Status
    #: The result of the step, masked, or ``""`` if there is nothing to show.
    value: str = ""
    #: The number of the secret key, from 1, or None for a step that does not need a key.
    key: int | None = None
    #: Why the step failed, or None.
    error: SessionError | None = None


@dataclass(frozen=True)
class Trace:
    """The steps of decoding one token, and the result."""

    #: "cookie", "bearer" or "unknown".
    transport: str
    format: Format
    steps: tuple[Step, ...]
    #: The decoded session with its credentials masked, or None if the token was refused.
    session: Session | None

    @property
    def failed(self) -> Step | None:
        """The step that failed, with the last key if there are several, or None if none did."""
        if self.session is not None:
            return None
        return next(step for step in reversed(self.steps) if step.status == "failed")

    def __str__(self) -> str:
        """Return the trace as text of several lines, for a log."""
        lines, key = [f"session token: transport {self.transport}, format {self.format}"], None
        for step in self.steps:
            if step.key != key:
                key = step.key
                lines.append(f"  secret key {key}: {MASK}")
            indent = "  " if step.key is None else "    "
            lines.append(f"{indent}{step.name + ':':<13} {step.status:<12} {step.value}".rstrip())
            if step.error is not None:
                lines.append(f"{indent}{'':<13} {step.error}")
        if self.session is not None:
            lines.append("  session: " + session_text(self.session).replace("\n", "\n    "))
        return "\n".join(lines)


def session_text(session: Session) -> str:
    """Return a session as indented JSON in ASCII."""
    return json.dumps(session, indent=2)


def trace_token(
    candidate: Candidate,
    settings: Settings,
    *,
    is_quoted: bool | None = None,
    has_key: bool = True,
) -> Trace:
    """Decode a token with each key in the settings, and return the steps.

    ``is_quoted`` tells whether double quotes around the token were removed, or is None if the token
    was not in a header. With ``has_key=False`` the settings' keys are placeholders, and only the
    steps that do not need a key are run.
    """
    transport, token, ignored = candidate
    kind = token_format(token)
    common, per_key = _STEPS[kind]
    places = {"cookie": f"the cookie {settings.cookie_name}", "bearer": "Authorization: Bearer"}
    steps = [Step("found in", "passed", places.get(transport, "the input"))]
    if is_quoted is not None and transport == "cookie":
        steps.append(Step("quotes", "passed", "one pair removed" if is_quoted else "none"))
    if ignored:
        error = SessionError(ignored, "the proxy did not put it there")
        steps.append(Step("transport", "failed", "", None, error))
        return Trace(transport, kind, (*steps, *_not_reached(common + per_key)), None)
    session: Session | None = None
    for number, key in enumerate(settings.secret_key, 1):
        found = replace(settings, secret_key=(key,)).codec().try_loads(token)
        failure = found if isinstance(found, SessionError) else None
        if number == 1:
            steps += _outcomes(common, failure, None, _common_values(token, kind))
        if failure is not None and failure.step in common:
            steps += _not_reached(per_key)
            break
        if not has_key:
            missing = SessionError("there is no secret key", "set DJAODJIN_SECRET_KEY")
            steps.append(Step("secret key", "failed", "", None, missing))
            steps += _not_reached(per_key)
            break
        if isinstance(found, Session):
            session = found
        steps += _outcomes(per_key, failure, number, _key_values(token, kind, key, session))
        # If the signature verified, this is the right key, whichever step failed later.
        if failure is None or (kind == "jwt" and failure.step != "signature"):
            break
    if session is not None:
        steps.append(Step("schema", "passed", _summary(session)))
        session = Session(mask(session, settings.secret_key))
    return Trace(transport, kind, tuple(steps), session)


def _not_reached(names: Sequence[str]) -> Iterator[Step]:
    return (Step(name, "not reached") for name in names)


def _outcomes(
    names: Sequence[str], failure: SessionError | None, key: int | None, values: dict[str, str]
) -> Iterator[Step]:
    """Yield the named steps with their outcomes. ``failure`` determines which of them failed."""
    status: Status = "passed"
    for name in names:
        if failure is not None and name == failure.step:
            yield Step(name, "failed", values.get(name, ""), key, failure)
            status = "not reached"
        elif status == "passed":
            yield Step(name, "passed", values.get(name, ""), key)
        else:
            yield Step(name, "not reached", "", key)


def _common_values(token: str, kind: Format) -> dict[str, str]:
    values = {
        "size": f"{quantity(len(token), 'character')}, starts with {_public_start(token)}",
        "format": f"{kind}, since it {'contains' if kind == 'jwt' else 'does not contain'} dots",
    }
    if kind == "openssl":
        try:
            container = b64decode(token, validate=True)
            values["base64"] = quantity(len(container), "byte")
            salt, ciphertext = openssl.parse_container(container)
        except (ValueError, SessionError):
            return values
        values["Salted__"] = f"salt {salt.hex()}"
        values["ciphertext"] = quantity(len(ciphertext), "byte")
    return values


def _key_values(token: str, kind: Format, key: str, session: Session | None) -> dict[str, str]:
    exp = None if session is None else session.get("exp")
    values = {"expiry": f"exp {exp}" if exp is not None else "none"}
    if kind == "openssl":
        salt, _ = openssl.parse_container(b64decode(token))
        _, iv = openssl.derive_key_and_iv(key.encode("ascii"), salt)
        length = quantity(len(key), "character")
        values["key and IV"] = f"key {MASK}, {length} long; iv {iv.hex()}"
    return values


def _summary(session: Session) -> str:
    """Summarize the parts of a session that djsession uses."""
    if not session:
        return "an empty session: nobody is signed in"
    if session.username is None:
        return "no username: nobody is signed in"
    counts = (
        (len(session.roles), "role"),
        (len(session.get_accessibles()), "organization"),
        (len(session.accessible_plans()), "active plan"),
    )
    return "a username; " + ", ".join(quantity(number, what) for number, what in counts)


def quantity(number: int, what: str) -> str:
    """Return a number with a noun, in the singular or the plural."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _public_start(token: str) -> str:
    """Return the public start of a token: the openssl header and salt, or the jwt header.

    Any other token is masked, since it may be somebody's credential.
    """
    if token.startswith("U2FsdGVkX1"):
        return f"{token[:21]!a}"
    header, dot, _ = token.partition(".")
    if dot and header.startswith("eyJ"):
        return f"{header[:40]!a}"
    return MASK
