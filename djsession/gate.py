"""The gate: headers and a path in, a Session or AccessDenied out.

It knows no framework and no server interface. The shells (:mod:`djsession.wsgi` and the adapters)
take the headers and the path from a request and put what the gate found where their users look.
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
    agree,
    cookie_tokens,
    find_candidates,
    refusal_of_all,
)

__all__ = ["DecodedRequest", "Gate"]

logger = logging.getLogger("djsession")

# Control characters, line separators and directional marks: what would break or disguise a line of
# a log. Halves of surrogate pairs cannot be written at all.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

_NOTHING_SENT = (
    "the request carries no session token, neither in a cookie {} nor in an Authorization: Bearer"
    " header"
)


# Cookie, Authorization, and the address of the connection.
_Headers = tuple[str | None, str | None, str | None]


class DecodedRequest:
    """What a gate found in the headers of one request, for the gates further in.

    Error reports print where it is kept: its repr shows neither a header nor the session.
    """

    __slots__ = ("carries_token", "causes", "headers", "session", "settings")

    def __init__(
        self,
        settings: Settings,
        headers: _Headers,
        session: Session | None,
        causes: Sequence[str],
        carries_token: bool,
    ) -> None:
        self.settings = settings
        #: What the gate was given.
        self.headers = headers
        #: The session that the request carries, or None.
        self.session = session
        #: Why there is none, a clause each.
        self.causes = causes
        #: Whether the request carries something that was sent as a session token.
        self.carries_token = carries_token


class Gate:
    """Decides which requests pass, by the session they carry and the paths that need none.

    A request with a valid session passes, with or without a user in it. A request without one
    passes only where its path matches an entry of ``allowed_no_session``.

    Holds nothing about any request, so that one gate serves all threads.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.codec = settings.codec()
        self._open_paths = settings.open_paths()
        self._trusted_proxies = settings.trusted_peers()
        self._cookie_name = settings.cookie_name
        self._has_warned = False

    def decode(
        self,
        cookie: str | None,
        authorization: str | None = None,
        peer: str | None = None,
        earlier: DecodedRequest | None = None,
    ) -> DecodedRequest:
        """Return what the headers of a request carry, whatever its path.

        ``cookie`` and ``authorization`` are the values of the two headers, None for one that the
        request does not have. ``peer`` is the address of the connection, None or "" for a Unix
        socket. ``earlier`` is what another gate found in the same request. It is used again if that
        gate decodes as this one does and the headers are still the same.
        """
        headers = (cookie, authorization, peer)
        if (
            earlier is not None
            and earlier.headers == headers
            and (
                earlier.settings is self.settings
                or earlier.settings.decoding == self.settings.decoding
            )
        ):
            return earlier
        settings = self.settings
        if authorization is None and self._trusted_proxies is None:
            # Most requests: one token, to which none of the rules for several applies.
            tokens = cookie_tokens(cookie, self._cookie_name)
            if len(tokens) == 1 and not logger.isEnabledFor(logging.DEBUG):
                found = self.codec.try_loads(tokens[0])
                if type(found) is Session:
                    return DecodedRequest(settings, headers, found, (), True)
                causes = (f"cookie {self._cookie_name}: {found}",)
                return DecodedRequest(settings, headers, None, causes, True)
        return self._decode_by_rules(headers)

    def _decode_by_rules(self, headers: _Headers) -> DecodedRequest:
        """Decode as the essay in :mod:`djsession.transport` explains."""
        settings = self.settings
        cookie, authorization, peer = headers
        candidates = find_candidates(cookie, authorization, self._cookie_name)
        if self._trusted_proxies is not None and peer not in self._trusted_proxies:
            cause = "the request did not come from one of trusted_proxies"
            if peer == REPLACED_PEER:
                cause = (
                    "trusted_proxies cannot be checked, since X-Forwarded-For may have replaced the"
                    " address of the connection; put SessionMiddleware around ProxyFix, and run"
                    " uvicorn with --no-proxy-headers"
                )
            return DecodedRequest(settings, headers, None, (cause,), bool(candidates))
        cause = refusal_of_all(candidates, authorization, settings.formats, settings.max_token_size)
        if cause:
            return DecodedRequest(settings, headers, None, (cause,), bool(candidates))
        if not candidates:
            cause = _NOTHING_SENT.format(self._cookie_name)
            return DecodedRequest(settings, headers, None, (cause,), False)
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
            return DecodedRequest(settings, headers, None, causes, True)
        if len(sessions) > 1 and not agree(sessions):
            cause = "the request carries two different sessions"
            return DecodedRequest(settings, headers, None, (cause,), True)
        return DecodedRequest(settings, headers, sessions[0], (), True)

    @hide_locals
    def check(
        self, decoded: DecodedRequest, method: str, path: str, *, may_be_open: bool = True
    ) -> Session:
        """Return the session of a request that passes, or raise AccessDenied.

        ``path`` is the one that the router uses, below any mount point, percent-decoded once. A
        shell passes ``may_be_open=False`` where a header that a client can set may have moved the
        application to another mount point: then no entry of allowed_no_session opens the path.

        The session is empty where none is needed and none was sent. Each refusal is one line in the
        log.
        """
        if decoded.session is not None:
            return decoded.session
        is_open = may_be_open and self.is_open(path)
        if is_open and not decoded.carries_token:
            return Session()
        level = logging.WARNING
        if not decoded.carries_token:
            # An application that configured no logging shows warnings only.
            level = logging.INFO if self._has_warned else logging.WARNING
            self._has_warned = True
        if logger.isEnabledFor(level):
            verdict = "passes without a session" if is_open else "refused"
            path = _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], path)
            method = method if method.isalpha() and method.isascii() else "?"
            logger.log(level, "%s %s %s: %s", method, path, verdict, " | ".join(decoded.causes))
        if not is_open:
            raise AccessDenied
        return Session()

    def is_open(self, path: str) -> bool:
        """Return whether a path needs no session, because an entry matches it."""
        return path in self._open_paths

    def trace(self, cookie: str | None, candidate: Candidate) -> Trace:
        """Return what happens to a token of a request, step by step, for people."""
        return trace_token(
            candidate,
            self.settings,
            is_quoted=f'"{candidate.token}"' in (cookie or ""),
        )
