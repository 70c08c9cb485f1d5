"""The gate: headers and a path in, a Session or AccessDenied out.

The gate does not depend on a framework or a server interface. The shells (:mod:`djsession.wsgi`,
:mod:`djsession.asgi` and the adapters) take the headers and the path from a request, and store the
resulting session where applications expect it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from .errors import AccessDenied, hide_locals
from .session import Session
from .settings import Settings
from .trace import Trace, trace_token
from .transport import (
    REPLACED_PEER,
    Candidate,
    find_candidates,
    refusal_of_request,
    sessions_agree,
    sole_token,
)

__all__ = ["DecodedRequest", "Gate", "log_request"]

logger = logging.getLogger("djsession")

# Control characters, line separators and directional marks would break or disguise a log line. Lone
# surrogates cannot be written at all.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

_NOTHING_SENT = (
    "the request carries no session token, neither in a cookie {} nor in an Authorization: Bearer"
    " header"
)


_CROSS_SITE = (
    "a page of another site opened the WebSocket: its Origin does not match the Host header, and"
    " websocket_origins does not list it"
)

_AMBIGUOUS_MOUNT_POINT = (
    "allowed_no_session lists the path, but does not open it, since a client may have changed the"
    " mount point (SCRIPT_NAME, root_path or X-Vhm-Root)"
)


# The values of Cookie and Authorization, and the address of the connection.
_Received = tuple[str | None, str | None, str | None]


class DecodedRequest:
    """What a gate found in the headers of one request, so that inner gates need not decode again.

    Error reports print the environ or scope that holds this object. It has the default repr, which
    shows neither the headers nor the session.
    """

    __slots__ = ("carries_token", "causes", "received", "session", "settings")

    def __init__(
        self,
        settings: Settings,
        received: _Received,
        session: Session | None,
        causes: Sequence[str],
        carries_token: bool,
    ) -> None:
        self.settings = settings
        #: The header values and the peer that the gate received.
        self.received = received
        #: The session that the request carries, or None.
        self.session = session
        #: Why the request does not carry a session: one clause for each cause.
        self.causes = causes
        #: Whether the request carries a token, valid or not.
        self.carries_token = carries_token


class Gate:
    """Decides which requests pass.

    A request with a valid session passes, whether or not the session names a user. A request
    without a valid session passes only if its path matches an entry of ``allowed_no_session``.

    A gate does not keep any data of a request, so all threads can share it.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.codec = settings.codec()
        self._open_paths = settings.open_paths()
        self._trusted_proxies = settings.trusted_peers()
        #: Whether :meth:`decode` needs the peer. Finding it takes time.
        self.reads_peer = self._trusted_proxies is not None
        self._cookie_name = settings.cookie_name
        self._cookie_start = f'{settings.cookie_name}="'
        self._has_warned = False

    def decode(
        self,
        cookie: str | None,
        authorization: str | None = None,
        peer: str | None = None,
        earlier: DecodedRequest | None = None,
    ) -> DecodedRequest:
        """Decode the session in the headers of a request, whatever its path.

        ``cookie`` and ``authorization`` are the values of the two headers, or None for a missing
        header. ``peer`` is the address of the connection, or None or "" for a Unix socket. It is
        None for every gate that does not read it.
        ``earlier`` is the result of another gate for the same request. It is returned if that
        gate's settings for decoding are the same and the headers have not changed.
        """
        received = (cookie, authorization, peer)
        if (
            earlier is not None
            and earlier.received == received
            and (
                earlier.settings is self.settings
                or earlier.settings.decoding == self.settings.decoding
            )
        ):
            return earlier
        settings = self.settings
        if cookie is not None and authorization is None and not self.reads_peer:
            # The fast path for most requests: the rules for several tokens do not apply.
            token = sole_token(cookie, self._cookie_start)
            if token and not logger.isEnabledFor(logging.DEBUG):
                found = self.codec.try_loads(token)
                if type(found) is Session:
                    return DecodedRequest(settings, received, found, (), True)
                causes = (f"cookie {self._cookie_name}: {found}",)
                return DecodedRequest(settings, received, None, causes, True)
        return self._decode_by_rules(received)

    def _decode_by_rules(self, received: _Received) -> DecodedRequest:
        """Decode a request by the rules that :mod:`djsession.transport` explains."""
        settings = self.settings
        cookie, authorization, peer = received
        candidates = find_candidates(cookie, authorization, self._cookie_name)
        if self._trusted_proxies is not None and peer not in self._trusted_proxies:
            cause = "the request did not come from one of trusted_proxies"
            if peer == REPLACED_PEER:
                cause = (
                    "trusted_proxies cannot be checked, since an address from X-Forwarded-For may"
                    " have replaced that of the connection; put SessionMiddleware around ProxyFix,"
                    " and run uvicorn with --no-proxy-headers"
                )
            return DecodedRequest(settings, received, None, (cause,), bool(candidates))
        cause = refusal_of_request(
            candidates, authorization, settings.formats, settings.max_token_size
        )
        if cause:
            return DecodedRequest(settings, received, None, (cause,), bool(candidates))
        if not candidates:
            cause = _NOTHING_SENT.format(self._cookie_name)
            return DecodedRequest(settings, received, None, (cause,), False)
        if logger.isEnabledFor(logging.DEBUG):
            for candidate in candidates:
                logger.debug("%s", self.trace(cookie, candidate))
        sessions: list[Session] = []
        causes = []
        for candidate in candidates:
            found = candidate.ignored or self.codec.try_loads(candidate.token)
            if isinstance(found, Session):
                sessions.append(found)
            elif candidate.transport == "cookie":
                causes.append(f"cookie {self._cookie_name}: {found}")
            else:
                causes.append(f"Authorization: {found}")
        if not sessions:
            return DecodedRequest(settings, received, None, causes, True)
        if len(sessions) > 1 and not sessions_agree(sessions):
            cause = "the request carries two different sessions"
            return DecodedRequest(settings, received, None, (cause,), True)
        return DecodedRequest(settings, received, sessions[0], (), True)

    def check_origin(
        self, decoded: DecodedRequest, origins: Sequence[str], hosts: Sequence[str]
    ) -> DecodedRequest:
        """Return what was decoded, without the session if another site opened the WebSocket.

        Browsers send the user's cookies along with a WebSocket that a page of any site opens, and
        neither the same-origin policy nor frameworks prevent that (RFC 6455 section 10.2).

        ``origins`` and ``hosts`` are the values of all Origin and Host headers. The host and port
        of the Origin must be those of the Host, or ``websocket_origins`` must list the Origin. The
        scheme does not matter: a server behind a proxy does not know whether the browser used TLS.
        Clients that are not browsers do not send an Origin.
        """
        if decoded.session is None:
            return decoded
        own = {host.lower() for host in hosts}
        for origin in map(str.lower, origins):
            host = origin.partition("://")[2]
            if (not host or {host} != own) and origin not in self.settings.websocket_origins:
                return DecodedRequest(self.settings, decoded.received, None, (_CROSS_SITE,), True)
        return decoded

    @hide_locals
    def check(
        self, decoded: DecodedRequest, method: str, path: str, *, may_be_open: bool = True
    ) -> Session:
        """Return the session of a request that passes, or raise AccessDenied.

        ``path`` is the path that the router uses, below any mount point and percent-decoded once.
        With ``may_be_open=False`` no entry of allowed_no_session opens the path. A shell passes
        this if a header that a client can set may have changed the mount point.

        The session is empty if the request passes without one. Each refusal writes one line to the
        log.
        """
        if decoded.session is not None:
            return decoded.session
        is_open = may_be_open and self.is_open(path)
        if is_open and not decoded.carries_token:
            return Session()
        level = logging.WARNING
        if not decoded.carries_token:
            # Without any logging configuration, Python prints only warnings and errors. Use a
            # warning once, so that such an application says something.
            level = logging.INFO if self._has_warned else logging.WARNING
            self._has_warned = True
        verdict = "passes without a session" if is_open else "refused"
        causes = decoded.causes
        if not may_be_open and self.is_open(path):
            causes = [*causes, _AMBIGUOUS_MOUNT_POINT]
        log_request(level, method, path, verdict, causes)
        if not is_open:
            raise AccessDenied
        return Session()

    def is_open(self, path: str) -> bool:
        """Return whether an entry of allowed_no_session matches a path."""
        return path in self._open_paths

    def trace(self, cookie: str | None, candidate: Candidate) -> Trace:
        """Return a step-by-step description of how a token of a request is decoded."""
        return trace_token(
            candidate,
            self.settings,
            is_quoted=cookie is not None and f'"{candidate.token}"' in cookie,
        )


def log_request(level: int, method: str, path: str, verdict: str, causes: Sequence[str]) -> None:
    """Write one line about a request to the log. The causes must not contain personal data."""
    if logger.isEnabledFor(level):
        path = _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], path)
        method = method if method.isalpha() and method.isascii() else "?"
        logger.log(level, "%s %s %s: %s", method, path, verdict, " | ".join(causes))
