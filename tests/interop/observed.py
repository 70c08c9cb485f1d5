"""What a proxy did with a request, in a form that can be compared."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from http.cookies import _unquote
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote

from djsession import SessionCodec, SessionError
from tests.helpers.sessions import KEY
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
    #: The sessions in the cookie or in the Authorization header. None: "Bearer" without a token.
    sessions: list[Any]
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


def _readable(url: str) -> str:
    """Return a URL in one of the ways to encode it, and the URL in its query as well."""
    path, question_mark, query = url.partition("?")
    pairs = [(name, quote(value, safe="/?%")) for name, value in parse_qsl(query)]
    return path + question_mark + "&".join(f"{name}={value}" for name, value in pairs)


class Observer:
    """Watches one side, and puts what it did into the form that can be compared."""

    def __init__(self, format: str) -> None:
        self._format = format
        self._codec = SessionCodec(KEY)
        #: Since when and until when each request was under way, by number.
        self._times: dict[int, tuple[datetime, datetime]] = {}

    def forget(self) -> None:
        """Start with another site."""
        self._times.clear()

    def outcome(
        self, number: int, since: datetime, requests: list[Request], response: Response
    ) -> Outcome:
        """Return what came of a request that was sent at a time."""
        self._times[number] = since, datetime.now(UTC)
        assert len(requests) <= 1, "forwarded twice"
        # How a body is sent, and whether the connection stays, is up to each pair of peers. The
        # body itself was read as these headers say.
        framing = {"transfer-encoding", "connection", "date", "server"}
        if response.body:
            framing.add("content-length")
        headers = _headers(response.headers, *framing)
        if not requests:
            # A page of the proxy's own: only what browsers act on counts.
            headers = [(n, _readable(v)) for n, v in headers if n in ("location", "allow")]
            return Outcome(None, response.status, headers, b"")
        return Outcome(self._received(requests[0]), response.status, headers, response.body)

    def _received(self, request: Request) -> Received:
        cookies = by_name(
            pair for value in request.values("Cookie") for pair in cookie_pairs(value)
        )
        headers = [
            (name, "an id" if name == "x-djsession-stand-in" else value)
            for name, value in _headers(request.headers, "cookie")
            # The default of HTTP/1.1.
            if (name, value) != ("connection", "keep-alive")
        ]
        if self._format == "openssl":
            tokens = [value for name, value in cookies if name == SESSION_COOKIE]
            cookies = [
                TOKEN if name == SESSION_COOKIE else (name, value) for name, value in cookies
            ]
        else:
            tokens = [value for name, value in headers if name == "authorization"]
            headers = [pair for pair in headers if pair[0] != "authorization"]
        sessions = [self._session(token) for token in tokens]
        return Received(request.method, request.target, headers, cookies, sessions, request.body)

    def _session(self, token: str) -> Any:
        """Return the session in a token, with words for what differs with every request."""
        if self._format == "jwt":
            if token == "Bearer":
                return None
            token = token.removeprefix("Bearer ")
        try:
            session = json.loads(json.dumps(self._codec.loads(token)))
        except SessionError:
            return f"not a token: {token}"
        if "exp" in session:
            hours = (session["exp"] - datetime.now(UTC).timestamp()) / 3600
            session["exp"] = f"in {round(hours, 1)} hours"
        if session.get("last_visited"):
            session["last_visited"] = self._visit(session["last_visited"])
        return session

    def _visit(self, last_visited: str) -> str:
        """Return during which request a date was, or a list of tags as it is."""
        try:
            visited = datetime.fromisoformat(last_visited)
        except ValueError:
            return last_visited
        during = [n for n, (since, until) in self._times.items() if since <= visited <= until]
        return f"during request {during}"
