"""Gates, and the requests that they are asked about."""

from __future__ import annotations

from typing import Any

from djsession import AccessDenied, Gate, Session, Settings
from djsession.transport import RequestHead
from tests.helpers.sessions import KEY


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
) -> RequestHead:
    """Return what a gate looks at in a request.

    ``cookie`` is the whole Cookie header, ``token`` the value of a quoted session cookie, and
    ``bearer`` a token in the Authorization header.
    """
    if token is not None:
        cookie = f'sessionid="{token}"'
    if bearer is not None:
        others["authorization"] = f"Bearer {bearer}"
    return RequestHead(others.pop("method", "GET"), path, cookie, **others)


def ask(gate: Gate, head: RequestHead) -> Session | None:
    """Return the session with which a request passes, or None if the gate refuses it."""
    try:
        return gate.check(head, gate.decode(head))
    except AccessDenied:
        return None
