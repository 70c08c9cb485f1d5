"""The gate: decodes the session of a request and decides whether the request may go on."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import AccessDenied, ConfigurationError, SessionError
from .session import Session
from .settings import Settings
from .trace import Trace, trace_token
from .transport import candidates, is_quoted

__all__ = ["OPENING_KEY", "SESSION_KEY", "Gate"]

logger = logging.getLogger("djsession")

#: Where the environ holds the Session.
SESSION_KEY = "djsession.session"

#: Where it holds what a gate found, for the gates further in.
OPENING_KEY = "djsession.opening"

# A path that something between the client and the application may read as another one. The
# server has decoded it once; what is still encoded, a careless application may decode again.
_AMBIGUOUS = re.compile(
    r"//|\\|[\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}|/\.{1,2}(?:;[^/]*)?(?:/|\Z)",
)

# Control characters and line separators: what would break a header or a line of a log.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class _Opening:
    """What a gate found, kept in the environ for the gates further in.

    Error reports print an environ: this shows neither the headers nor the session.
    """

    __slots__ = ("authorization", "cookie", "refused_token", "session", "settings")

    def __init__(
        self,
        settings: Settings,
        cookie: str | None,
        authorization: str | None,
        session: Session | None,
        refused_token: bool,
    ) -> None:
        # The settings and the two headers it went by.
        self.settings, self.cookie, self.authorization = settings, cookie, authorization
        self.session, self.refused_token = session, refused_token


class Gate:
    """Decides which requests go on, by the session they carry and the paths that need none.

    A request with a valid session goes on, with or without a user in it. One without goes on
    only where its path is under an entry of ``allowed_no_session``.

    Holds no state of a request: one gate serves all threads. ``home`` is the path of the home
    page, where an application is mounted elsewhere than at ``/``: as an entry it opens that page,
    not all below. Raises ConfigurationError for an entry of ``allowed_no_session`` that no path
    could be under, or that would open the site.
    """

    def __init__(self, settings: Settings, *, home: str = "/") -> None:
        self.settings = settings
        self.codec = settings.codec()
        self._cookie_name = settings.cookie_name
        self._paths, self._prefixes = _open_paths(settings.allowed_no_session, home)

    def open(self, environ: dict[str, Any], path: str | None = None) -> Session:
        """Return the session of a request that may go on, or raise AccessDenied.

        ``environ`` is that of WSGI (PEP 3333). The session is empty where none is needed and
        none was sent. Changes the environ as :meth:`decode` does, also when it raises. A
        ``path``, as :meth:`admits` takes it, counts in place of the environ's.
        """
        session = self.decode(environ)
        if session is not None:
            return session
        if self.admits(environ, path):
            empty: Session = environ[SESSION_KEY]
            return empty
        if not environ[OPENING_KEY].refused_token:
            logger.info(
                "request refused: it carries no session token, neither in a cookie %s nor in an"
                " Authorization: Bearer header, and its path is not in allowed_no_session",
                self._cookie_name,
            )
        raise AccessDenied

    def decode(self, environ: dict[str, Any]) -> Session | None:
        """Return the session that a request carries, or None, whatever its path.

        Sets ``environ["djsession.session"]``, to an empty Session where there is none, and
        ``environ["REMOTE_USER"]`` to the username as a native string, or removes it. A token is
        decoded once: a second gate with the same key uses what the first one found.
        """
        cookie = environ.get("HTTP_COOKIE")
        authorization = environ.get("HTTP_AUTHORIZATION")
        opening: _Opening | None = environ.get(OPENING_KEY)
        if (
            opening is not None
            and opening.cookie == cookie
            and opening.authorization == authorization
            and self._decodes_alike(opening.settings)
        ):
            session = opening.session
        else:
            session, refused_token = self._first_session(environ)
            environ[OPENING_KEY] = _Opening(
                self.settings, cookie, authorization, session, refused_token
            )
        username = None
        if session is None:
            environ[SESSION_KEY] = Session()
        else:
            environ[SESSION_KEY] = session
            username = session.username
        if username is not None:
            username = _native_string(username)
        if username is None:
            environ.pop("REMOTE_USER", None)
        else:
            environ["REMOTE_USER"] = username
        return session

    def admits(self, environ: dict[str, Any], path: str | None = None) -> bool:
        """Whether a request may go on without a session: its path is under an open entry.

        The path is SCRIPT_NAME + PATH_INFO as the server passes them, decoded once, bytes as
        latin-1; or ``path``, in the same form, where a framework has another one. One that could
        be read in two ways is under no entry.
        """
        if not self._paths:
            return False
        if path is None:
            script_name, path_info = environ.get("SCRIPT_NAME", ""), environ.get("PATH_INFO", "")
            if path_info and path_info[0] != "/":
                return False
            path = script_name + path_info or "/"
        if _AMBIGUOUS.search(path) or not _is_utf8(path):
            return False
        if environ.get("HTTP_SCRIPT_NAME"):
            # gunicorn takes SCRIPT_NAME from a header of that name. Who can send it could name an
            # open path, with any view behind it: entries must reach further than the mount point.
            mount = environ.get("SCRIPT_NAME", "").rstrip("/") + "/"
            return any(
                len(prefix) > len(mount) and f"{path}/".startswith(prefix)
                for prefix in self._prefixes
            )
        return path in self._paths or path.startswith(self._prefixes)

    def trace(self, environ: Mapping[str, Any], transport: str, token: str) -> Trace:
        """Return what happens to a token of a request, step by step, for people."""
        is_cookie = transport == "cookie"
        return trace_token(
            token,
            self.settings.secret_key or (),
            transport=transport,
            found_in=f"the cookie {self._cookie_name}" if is_cookie else "Authorization",
            quoted=is_quoted(environ, token) if is_cookie else None,
            max_token_size=self.settings.max_token_size,
            formats=self.settings.formats,
        )

    def _decodes_alike(self, other: Settings) -> bool:
        mine = self.settings
        return other is mine or (
            (other.secret_key, other.cookie_name, other.max_token_size, other.formats)
            == (mine.secret_key, mine.cookie_name, mine.max_token_size, mine.formats)
        )

    def _first_session(self, environ: dict[str, Any]) -> tuple[Session | None, bool]:
        """Return the first session that decodes, or None; and whether a token was refused."""
        refusals: list[str] = []
        for transport, token in candidates(environ, self._cookie_name):
            if logger.isEnabledFor(logging.DEBUG):
                logger.debug("%s", self.trace(environ, transport, token))
            try:
                return self.codec.loads(token), False
            except SessionError as error:
                name = self._cookie_name if transport == "cookie" else "Authorization"
                refusals.append(f"{transport} {name}: {error}")
        if refusals:
            logger.warning("session token refused: %s", " | ".join(refusals))
        return None, bool(refusals)


def _open_paths(entries: Sequence[str], home: str) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return the exact paths and the prefixes that the entries open, as a server passes them."""
    paths, prefixes = [], []
    home = home.encode().decode("latin-1").rstrip("/")
    for entry in entries:
        if not entry.startswith("/") or not _is_encodable(entry):
            raise ConfigurationError(
                f"allowed_no_session: {entry!r} must start with '/': it is the path of a URL"
            )
        if _AMBIGUOUS.search(entry):
            raise ConfigurationError(
                f"allowed_no_session: no path is ever under {entry!r}: write it decoded, without"
                " '.' and '..' segments, '//' and backslashes"
            )
        path = entry.encode().decode("latin-1").rstrip("/")
        paths.append(path or "/")
        if path and path != home:
            prefixes.append(path + "/")
        elif path:
            paths.append(path + "/")
    return frozenset(paths), tuple(prefixes)


def _is_encodable(path: str) -> bool:
    """Whether a path can be written as bytes: half of a surrogate pair cannot."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_utf8(path: str) -> bool:
    """Whether a native string holds UTF-8; an overlong encoding of a dot or a slash is none."""
    if path.isascii():
        return True
    try:
        path.encode("latin-1").decode()
    except UnicodeError:
        return False
    return True


def _native_string(username: str) -> str | None:
    """Return a username as PEP 3333 wants it, or None when it cannot be passed safely."""
    if username.isascii() and username.isprintable():
        return username
    if _CONTROL.search(username):
        return None
    try:
        return username.encode().decode("latin-1")
    except UnicodeEncodeError:  # a lone surrogate
        return None
