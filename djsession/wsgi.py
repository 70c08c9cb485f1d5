"""The WSGI shell (PEP 3333): SessionMiddleware, and functions that the WSGI adapters share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Unpack

from .caching import with_caching_headers
from .errors import AccessDenied, ConfigurationError, hide_locals
from .gate import Gate
from .refusal import refusal
from .session import Session, username_of
from .settings import Settings, SettingsOptions
from .transport import REPLACED_PEER

if TYPE_CHECKING:
    from typing import Self

    from _typeshed.wsgi import StartResponse, WSGIApplication

__all__ = [
    "DECODED_KEY",
    "PROXY_FIX_KEY",
    "SCRIPT_NAME_KEY",
    "SESSION_KEY",
    "SessionMiddleware",
    "check_request",
    "decode_request",
    "forbidden",
    "is_asgi",
    "is_open",
    "peer_of",
    "request_path",
    "set_remote_user",
]

#: The environ key that holds the Session.
SESSION_KEY = "djsession.session"

#: The environ key that holds the DecodedRequest, for inner gates.
DECODED_KEY = "djsession.decoded"

#: The environ key under which werkzeug's ProxyFix keeps the values that it replaced.
PROXY_FIX_KEY = "werkzeug.proxy_fix.orig"

#: The environ key of the header that makes gunicorn move a part of the path into SCRIPT_NAME. Since
#: a client can set this header, no path is open for a request that has it.
SCRIPT_NAME_KEY = "HTTP_SCRIPT_NAME"

# Characters that a native string (PEP 3333) cannot contain.
_NOT_NATIVE = re.compile("[^\x00-\xff]")

# Control characters and line separators, which would break a header or a log line.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class SessionMiddleware:
    """Passes a request and its session on to ``app``, or answers 403.

    ::

        from djsession import SessionMiddleware

        application = SessionMiddleware(application, allowed_no_session=["/static/"])

    Inside ``app``, ``environ["djsession.session"]`` is always a Session, and
    ``environ["REMOTE_USER"]`` is the username if somebody is signed in, whatever the server or the
    client put there. Every response gets the caching headers of :mod:`djsession.caching`.

    The middleware trusts every token that was written with the key, which only the proxy should
    know. Clients must not be able to bypass the proxy. If they can reach the application server
    directly, requests without a token are still refused, but anybody can replay an openssl token
    that was once overheard, since that format does not expire. ``trusted_proxies`` prevents this.
    Wrap everything that reads the session or REMOTE_USER in the middleware. With
    ``trusted_proxies``, also wrap werkzeug's ProxyFix in it.

    The settings are the fields of :class:`~djsession.settings.Settings`. A setting that is not
    passed is read from the environment. Raises ConfigurationError when a setting is missing or
    invalid.
    """

    @hide_locals
    def __init__(self, app: WSGIApplication, **settings: Unpack[SettingsOptions]) -> None:
        if is_asgi(app):
            raise ConfigurationError(
                "this is an ASGI application: wrap it in djsession.asgi.SessionMiddleware"
            )
        self.app = app
        self.gate = Gate(Settings.from_environ(None, **settings))

    @classmethod
    def from_gate(cls, app: WSGIApplication, gate: Gate) -> Self:
        """Return a middleware around ``app`` that uses an existing gate."""
        middleware = cls.__new__(cls)
        middleware.app, middleware.gate = app, gate
        return middleware

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        is_personal = decode_request(self.gate, environ) is not None
        if not is_personal:
            try:
                check_request(self.gate, environ)
            except AccessDenied:
                return forbidden(environ, start_response)

        def start_response_with_caching(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
        ) -> Callable[[bytes], object]:
            headers = with_caching_headers(headers, is_personal)
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)

        return self.app(environ, start_response_with_caching)


def is_asgi(app: object) -> bool:
    """Return whether an application is an ASGI application, which is called as a coroutine."""
    return iscoroutinefunction(app) or iscoroutinefunction(type(app).__call__)


def request_path(environ: dict[str, Any]) -> str:
    """Return the path of a request, below any mount point and percent-decoded once.

    This is PATH_INFO, which routers use. An empty path stands for the home page. SCRIPT_NAME is
    ignored, since servers derive it from headers that a client can set.
    """
    path: str = environ.get("PATH_INFO") or "/"
    if not path.isascii():
        try:
            path = path.encode("latin-1").decode()
        except UnicodeDecodeError:
            # This includes overlong encodings of a dot or a slash.
            path = path.encode("latin-1").decode(errors="replace")
        except UnicodeEncodeError:
            # PEP 3333 does not allow this. U+FFFD matches no entry.
            path = _NOT_NATIVE.sub("\ufffd", path)
    return path


def decode_request(gate: Gate, environ: dict[str, Any]) -> Session | None:
    """Return the session that a request carries, whatever its path, or None.

    Sets ``environ["djsession.session"]`` to the session or an empty Session. Sets
    ``environ["REMOTE_USER"]`` to the username as a native string, or removes it. A token is decoded
    only once: a second gate with the same settings uses the result of the first.
    """
    get = environ.get
    peer = peer_of(environ) if gate.reads_peer else None
    decoded = gate.decode(get("HTTP_COOKIE"), get("HTTP_AUTHORIZATION"), peer, get(DECODED_KEY))
    environ[DECODED_KEY] = decoded
    session = decoded.session
    found = environ[SESSION_KEY] = Session() if session is None else session
    set_remote_user(environ, found)
    return session


def peer_of(environ: dict[str, Any]) -> str | None:
    """Return the address of the connection, or REPLACED_PEER if ProxyFix may have replaced it.

    ProxyFix replaces the address with one from X-Forwarded-For, which any client can set. The
    original address cannot be restored: if several ProxyFix are stacked, only the innermost has
    recorded what it replaced.
    """
    return REPLACED_PEER if PROXY_FIX_KEY in environ else environ.get("REMOTE_ADDR")


@hide_locals
def check_request(gate: Gate, environ: dict[str, Any], *, may_be_open: bool = True) -> Session:
    """Return the session of a request that passes, or raise AccessDenied.

    The session is empty if the request passes without one. With ``may_be_open=False`` no entry of
    allowed_no_session opens the path. Changes the environ as :func:`decode_request` does, even when
    it raises.
    """
    session = decode_request(gate, environ)
    if session is not None:
        return session
    return gate.check(
        environ[DECODED_KEY],
        environ.get("REQUEST_METHOD", "GET"),
        request_path(environ),
        may_be_open=may_be_open and SCRIPT_NAME_KEY not in environ,
    )


def is_open(gate: Gate, environ: dict[str, Any]) -> bool:
    """Return whether an entry of allowed_no_session opens the path of a request."""
    return SCRIPT_NAME_KEY not in environ and gate.is_open(request_path(environ))


def forbidden(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """A WSGI application that answers 403, as text or JSON, whatever the cause of the refusal."""
    headers, body = refusal(environ.get("HTTP_ACCEPT", ""))
    start_response("403 Forbidden", headers)
    return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]


def set_remote_user(environ: dict[str, Any], session: Session) -> None:
    """Set ``environ["REMOTE_USER"]`` to the username as a native string (PEP 3333).

    Removes it if nobody is signed in, or if the username would be unsafe in a header or a log.
    """
    username = username_of(session)
    if username is not None and not (username.isascii() and username.isprintable()):
        username = _native_string(username)
    if username is None:
        environ.pop("REMOTE_USER", None)
    else:
        environ["REMOTE_USER"] = username


def _native_string(username: str) -> str | None:
    if _CONTROL.search(username):
        return None
    try:
        return username.encode().decode("latin-1")
    except UnicodeEncodeError:  # a lone surrogate
        return None
