"""Gates, and the requests that they are asked about."""

from __future__ import annotations

from typing import Any, NamedTuple

from djsession import AccessDenied, Gate, Session, Settings
from djsession.gate import DecodedRequest
from tests.helpers.sessions import KEY


class Request(NamedTuple):
    """What a shell tells a gate about a request."""

    method: str
    path: str
    cookie: str | None = None
    authorization: str | None = None
    peer: str | None = None
    may_be_open: bool = True


def make_gate(*allowed: str, key: Any = KEY, **settings: Any) -> Gate:
    """Return a gate with these open paths."""
    return Gate(Settings(key, allowed_no_session=allowed, **settings))


def request(
    path: str = "/app/",
    *,
    cookie: str | None = None,
    token: str | None = None,
    bearer: str | None = None,
    **others: Any,
) -> Request:
    """Return a request.

    ``cookie`` is the whole Cookie header, ``token`` the value of a quoted session cookie, and
    ``bearer`` a token in the Authorization header.
    """
    if token is not None:
        cookie = f'sessionid="{token}"'
    if bearer is not None:
        others["authorization"] = f"Bearer {bearer}"
    return Request(others.pop("method", "GET"), path, cookie, **others)


def decode(gate: Gate, request: Request, earlier: DecodedRequest | None = None) -> DecodedRequest:
    """Return what a gate finds in a request, given what another gate found before."""
    return gate.decode(request.cookie, request.authorization, request.peer, earlier)


def check(gate: Gate, request: Request, decoded: DecodedRequest) -> Session:
    """Return the session with which a request passes, or raise AccessDenied."""
    may_be_open = request.may_be_open
    return gate.check(decoded, request.method, request.path, may_be_open=may_be_open)


def ask(gate: Gate, request: Request) -> Session | None:
    """Return the session with which a request passes, or None if the gate refuses it."""
    try:
        return check(gate, request, decode(gate, request))
    except AccessDenied:
        return None
