"""The ASGI shell (ASGI 3): SessionMiddleware for FastAPI, Starlette and other frameworks."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Unpack

from .caching import CACHING_NAMES, with_caching_headers
from .errors import AccessDenied, ConfigurationError, hide_locals
from .gate import Gate
from .refusal import refusal
from .requirements import principals_of
from .session import Session
from .settings import Settings, SettingsOptions
from .transport import REPLACED_PEER
from .wsgi import DECODED_KEY, SESSION_KEY

if TYPE_CHECKING:
    from typing import Self

__all__ = ["SessionMiddleware", "User", "open_path", "peer_of"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers = Iterable[tuple[bytes, bytes]]

logger = logging.getLogger("djsession")


class SessionMiddleware:
    """Passes a request or a WebSocket and its session on to ``app``, or refuses it.

    ::

        from djsession.asgi import SessionMiddleware

        app = SessionMiddleware(app, allowed_no_session=["/static/"])

    Inside ``app``, ``scope["djsession.session"]`` is always a Session. As with Starlette's
    AuthenticationMiddleware, ``scope["user"]`` is the user and ``scope["auth"]`` the credentials.
    Both are the same :class:`User`. The answer to a refused request, or to the handshake of a
    refused WebSocket, is 403. A WebSocket that a page of another site opens has no session, unless
    ``websocket_origins`` lists that site. Every response to a request that passes gets the caching
    headers of :mod:`djsession.caching`. Nothing is buffered, and lifespan events pass through
    unchanged.

    :class:`djsession.wsgi.SessionMiddleware` explains what the middleware trusts.
    ``trusted_proxies`` compares ``scope["client"]``, which some servers replace with an address
    from X-Forwarded-For, although a client can set that header. Switch this off in your server
    (uvicorn: ``--no-proxy-headers``).

    Put the middleware around all other middlewares. Requests reach any outer middleware before the
    gate has checked them.

    The settings are the fields of :class:`~djsession.settings.Settings`. A setting that is not
    passed is read from the environment. Raises ConfigurationError when a setting is missing or
    invalid.
    """

    @hide_locals
    def __init__(self, app: ASGIApplication, **settings: Unpack[SettingsOptions]) -> None:
        self.app = app
        try:
            self.gate = Gate(Settings.from_environ(None, **settings))
        except ConfigurationError as error:
            # Starlette's add_middleware calls this when the server starts, and uvicorn then hides
            # the exception until the first request.
            logger.error("djsession.asgi.SessionMiddleware cannot start: %s", error)
            raise

    @classmethod
    def from_gate(cls, app: ASGIApplication, gate: Gate) -> Self:
        """Return a middleware around ``app`` that uses an existing gate."""
        middleware = cls.__new__(cls)
        middleware.app, middleware.gate = app, gate
        return middleware

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self.app(scope, receive, send)
            return
        if kind not in ("http", "websocket"):
            raise NotImplementedError(f"djsession cannot check a connection of type {kind!r}")
        is_personal = decode_scope(self.gate, scope) is not None
        if not is_personal:
            try:
                check_scope(self.gate, scope)
            except AccessDenied:
                await _refuse(scope, receive, send)
                return

        def send_with_caching(message: Message) -> Awaitable[None]:
            # The second type is a response that refuses a WebSocket's handshake.
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                headers = _with_caching_headers(message.get("headers", ()), is_personal)
                message = {**message, "headers": headers}
            return send(message)

        await self.app(scope, receive, send_with_caching)


class User:
    """``scope["user"]`` and ``scope["auth"]``: the session's user.

    It has the attributes of Starlette's ``BaseUser`` and ``AuthCredentials``.
    """

    __slots__ = ("session",)

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def is_authenticated(self) -> bool:
        """Whether somebody is signed in."""
        return self.session.is_authenticated

    @property
    def display_name(self) -> str:
        """The username, or ``""`` if nobody is signed in."""
        return self.session.username or ""

    @property
    def identity(self) -> str:
        """The username, or ``""`` if nobody is signed in."""
        return self.session.username or ""

    @property
    def scopes(self) -> list[str]:
        """The principals of the session, and ``authenticated`` if somebody is signed in.

        See :func:`djsession.requirements.principals_of`. The username is left out, since a user
        could choose the name of a scope, such as ``admin`` in Starlette's documentation.
        """
        principals = principals_of(self.session)
        if not self.session.is_authenticated:
            return principals
        return ["authenticated", *(item for item in principals if item != self.session.username)]

    def __repr__(self) -> str:
        # Do not show the session: error reports print the scope.
        return f"<{type(self).__name__}>"


def decode_scope(gate: Gate, scope: Scope) -> Session | None:
    """Return the session that a connection carries, whatever its path, or None.

    Sets ``djsession.session``, ``user`` and ``auth`` in the scope, for an empty Session if the
    connection does not carry one. A token is decoded only once: a second gate with the same
    settings uses the result of the first.
    """
    cookie = authorization = None
    headers = scope["headers"]
    if not isinstance(headers, list):
        # ASGI allows any iterable, even one that can be read only once.
        headers = scope["headers"] = list(headers)
    for name, value in headers:
        if name == b"cookie":
            text = value.decode("latin-1")
            # HTTP/2 splits cookies over several headers (RFC 9113 section 8.2.3).
            cookie = text if cookie is None else f"{cookie}; {text}"
        elif name == b"authorization":
            text = value.decode("latin-1")
            authorization = text if authorization is None else f"{authorization},{text}"
    earlier = scope.get(DECODED_KEY)
    peer = peer_of(scope) if gate.reads_peer else None
    decoded = gate.decode(cookie, authorization, peer, earlier)
    if scope["type"] == "websocket":
        origins, hosts = _values(headers, b"origin"), _values(headers, b"host")
        decoded = gate.check_origin(decoded, origins, hosts)
    scope[DECODED_KEY] = decoded
    session = decoded.session
    found = scope[SESSION_KEY] = Session() if session is None else session
    scope["user"] = scope["auth"] = User(found)
    return session


@hide_locals
def check_scope(gate: Gate, scope: Scope) -> Session:
    """Return the session of a connection that passes, or raise AccessDenied.

    Call :func:`decode_scope` first.
    """
    path = open_path(scope)
    return gate.check(
        scope[DECODED_KEY],
        scope.get("method", "GET"),  # a WebSocket starts as a GET
        scope["path"] if path is None else path,
        may_be_open=path is not None,
    )


def peer_of(scope: Scope) -> str | None:
    """Return the address of the connection, or None for a Unix socket.

    Returns REPLACED_PEER if the server may have replaced the address with one from X-Forwarded-For.
    In that case uvicorn and Hypercorn set the port to 0, which a real connection never has. If the
    client sent a port too, in X-Forwarded-For (uvicorn) or X-Forwarded-Port (Daphne), the server
    uses that port.
    """
    client = scope.get("client")
    if not client:
        return None
    address: str = client[0]
    if client[1] == 0:
        return REPLACED_PEER
    forwarded, has_port = "", False
    for name, value in scope["headers"]:
        if name == b"x-forwarded-for":
            forwarded += f",{value.decode('latin-1')}"
        elif name == b"x-forwarded-port":
            has_port = True
    if forwarded:
        for item in forwarded.split(","):
            host = item.strip()
            if host.rpartition(":")[0].strip("[]") == address or (has_port and host == address):
                return REPLACED_PEER
    return address


def open_path(scope: Scope) -> str | None:
    """Return the path below ``root_path``, for comparison with allowed_no_session.

    Returns None if frameworks could disagree on that path. Some frameworks remove ``root_path``
    only from the start of the path, others split the path at its first occurrence, and with some
    servers a client can set ``root_path``. The path is unambiguous if ``root_path`` occurs in it
    exactly once, at the start, and ends at a segment boundary.
    """
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "")
    if root_path:
        if not path.startswith(root_path) or root_path in path[1:]:
            return None
        path = path[len(root_path) :]
        if path and not path.startswith("/"):
            return None
    return path or "/"


def _as_bytes(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


# The headers that a response without any caching headers gets, by ``is_personal``.
_DEFAULT_HEADERS = {flag: _as_bytes(with_caching_headers([], flag)) for flag in (False, True)}

_CACHING_NAMES = tuple(name.encode() for name in CACHING_NAMES)


def _with_caching_headers(headers: Headers, is_personal: bool) -> list[tuple[bytes, bytes]]:
    if not isinstance(headers, list):
        headers = list(headers)
    for name, _ in headers:
        if len(name) in (4, 13) and name.lower() in _CACHING_NAMES:
            as_text = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
            return _as_bytes(with_caching_headers(as_text, is_personal))
    return headers + _DEFAULT_HEADERS[is_personal]


def _values(headers: Headers, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        # After the handshake message, a close before any accept makes the server answer 403.
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    headers, body = refusal(",".join(_values(scope["headers"], b"accept")))
    await send(
        {
            "type": "http.response.start",
            "status": 403,
            "headers": _as_bytes(headers),
        }
    )
    body = b"" if scope["method"] == "HEAD" else body
    await send({"type": "http.response.body", "body": body})
