"""What a proxy did with a request, in a form that can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from http.cookies import _unquote
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote

from djsession import SessionCodec, SessionError
from tests.interop.recorder import Headers, Request, Response

#: Django's name for the cookie, in which the proxy also keeps its own session.
SESSION_COOKIE = "sessionid"
TOKEN = (SESSION_COOKIE, "the token")


class Received(NamedTuple):
    """What the application received."""

    method: str
    target: str
    #: In the order of their names, which are in lower case. Cookies and the token stand below.
    headers: Headers
    #: In the order of their names, and TOKEN for the token. The quotes around a value are not part
    #: of it.
    cookies: list[tuple[str, str]]
    #: Where the token was: "cookie", "bearer", or "" where there was none.
    transport: str
    session: Any
    body: bytes


class Outcome(NamedTuple):
    """What the application received, if anything, and what the browser got back."""

    received: Received | None
    status: int
    headers: Headers
    body: bytes


def cookie_pairs(header: str) -> list[tuple[str, str]]:
    """Return the cookies in a header, without the quotes that may be around a value."""
    pairs = []
    for part in header.split(";"):
        name, equals, value = part.strip().partition("=")
        if name or equals:
            pairs.append((name.strip(), _unquote(value.strip())))
    return pairs


def by_name(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Sort headers or cookies, where the order says nothing unless they share a name."""
    return sorted(pairs, key=lambda pair: pair[0])


def _headers(headers: Headers, *leave_out: str) -> Headers:
    lower = ((name.lower(), value) for name, value in headers)
    return by_name(pair for pair in lower if pair[0] not in leave_out)


def _decoded(token: str, codec: SessionCodec) -> Any:
    """Return the session in a token, with words for what differs with every request."""
    try:
        session = json.loads(json.dumps(codec.loads(token)))
    except SessionError as error:
        return f"not a token: {error}"
    if "exp" in session:
        session["exp"] = "a date"
    if session.get("last_visited"):
        try:
            visited = datetime.fromisoformat(session["last_visited"])
        except ValueError:
            return session  # a list of tags
        assert abs((datetime.now(UTC) - visited).total_seconds()) < 3600
        session["last_visited"] = "a date"
    return session


def _readable(url: str) -> str:
    """Return a URL in one of the ways to encode it, and the URL in its query as well."""
    path, question_mark, query = url.partition("?")
    pairs = [(name, quote(value, safe="/?%")) for name, value in parse_qsl(query)]
    return path + question_mark + "&".join(f"{name}={value}" for name, value in pairs)


def received(request: Request, format: str, codec: SessionCodec) -> Received:
    """Return a request in the form that can be compared."""
    cookies = by_name(pair for value in request.values("Cookie") for pair in cookie_pairs(value))
    headers = [
        (name, "an id" if name == "x-djsession-stand-in" else value)
        for name, value in _headers(request.headers, "cookie")
        # The default of HTTP/1.1.
        if (name, value) != ("connection", "keep-alive")
    ]
    transport, session = "", None
    if format == "openssl" and (
        tokens := [value for name, value in cookies if name == SESSION_COOKIE]
    ):
        transport = "cookie"
        sessions = [_decoded(token, codec) for token in tokens]
        session = sessions[0] if len(sessions) == 1 else sessions
        cookies = [TOKEN if name == SESSION_COOKIE else (name, value) for name, value in cookies]
    elif format == "jwt" and (credentials := request.values("Authorization")):
        assert len(credentials) == 1
        scheme, _, token = credentials[0].partition(" ")
        assert scheme == "Bearer"
        transport, session = "bearer", _decoded(token, codec) if token else None
        headers = [pair for pair in headers if pair[0] != "authorization"]
    return Received(
        request.method, request.target, headers, cookies, transport, session, request.body
    )


def outcome(
    requests: list[Request], response: Response, format: str, codec: SessionCodec
) -> Outcome:
    """Return an exchange in the form that can be compared."""
    assert len(requests) <= 1, "forwarded twice"
    # How a body is sent, and whether the connection stays, is up to each pair of peers. The body
    # itself was read as these headers say.
    framing = {"transfer-encoding", "connection", "date", "server"}
    if response.body:
        framing.add("content-length")
    headers = _headers(response.headers, *framing)
    if not requests:
        # A page of the proxy's own: only what browsers act on counts.
        headers = [(n, _readable(v)) for n, v in headers if n in ("location", "allow")]
        return Outcome(None, response.status, headers, b"")
    seen = received(requests[0], format, codec)
    return Outcome(seen, response.status, headers, response.body)
