"""The gate: headers and a path in, a Session or AccessDenied out.

It knows no framework and no server interface. The shells (:mod:`djsession.wsgi` and the adapters)
turn a request into a :class:`~djsession.transport.RequestHead` and put what the gate found where
their users look.
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
    RequestHead,
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


class DecodedRequest:
    """What a gate found in the headers of one request, for the gates further in.

    Error reports print where it is kept: its repr shows neither a header nor the session.
    """

    __slots__ = ("carries_token", "causes", "head", "session", "settings")

    def __init__(
        self,
        settings: Settings,
        head: RequestHead,
        session: Session | None,
        causes: Sequence[str],
        carries_token: bool,
    ) -> None:
        self.settings = settings
        self.head = head
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

    def decode(self, head: RequestHead, earlier: DecodedRequest | None = None) -> DecodedRequest:
        """Return what the headers of a request carry, whatever its path.

        ``earlier`` is what another gate found in the same request. It is used again if that gate
        decodes as this one does and the headers are still the same.
        """
        if (
            earlier is not None
            and earlier.head.cookie == head.cookie
            and earlier.head.authorization == head.authorization
            and earlier.head.peer == head.peer
            and (
                earlier.settings is self.settings
                or earlier.settings.decoding == self.settings.decoding
            )
        ):
            return earlier
        settings = self.settings
        if head.authorization is None and self._trusted_proxies is None:
            # Most requests: one token, to which none of the rules for several applies.
            tokens = cookie_tokens(head.cookie, self._cookie_name)
            if len(tokens) == 1 and not logger.isEnabledFor(logging.DEBUG):
                found = self.codec.try_loads(tokens[0])
                if type(found) is Session:
                    return DecodedRequest(settings, head, found, (), True)
                causes = (f"cookie {self._cookie_name}: {found}",)
                return DecodedRequest(settings, head, None, causes, True)
        return self._decode_by_rules(head)

    def _decode_by_rules(self, head: RequestHead) -> DecodedRequest:
        """Decode as the essay in :mod:`djsession.transport` explains."""
        settings = self.settings
        candidates = find_candidates(head.cookie, head.authorization, self._cookie_name)
        if self._trusted_proxies is not None and head.peer not in self._trusted_proxies:
            cause = "the request did not come from one of trusted_proxies"
            if head.peer == REPLACED_PEER:
                cause = (
                    "trusted_proxies cannot be checked, since ProxyFix may have replaced the"
                    " address of the connection; put SessionMiddleware around ProxyFix"
                )
            return DecodedRequest(settings, head, None, (cause,), bool(candidates))
        cause = refusal_of_all(
            candidates, head.authorization, settings.formats, settings.max_token_size
        )
        if cause:
            return DecodedRequest(settings, head, None, (cause,), bool(candidates))
        if not candidates:
            cause = _NOTHING_SENT.format(self._cookie_name)
            return DecodedRequest(settings, head, None, (cause,), False)
        if logger.isEnabledFor(logging.DEBUG):
            for candidate in candidates:
                logger.debug("%s", self.trace(head, candidate))
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
            return DecodedRequest(settings, head, None, causes, True)
        if len(sessions) > 1 and not agree(sessions):
            cause = "the request carries two different sessions"
            return DecodedRequest(settings, head, None, (cause,), True)
        return DecodedRequest(settings, head, sessions[0], (), True)

    @hide_locals
    def check(self, head: RequestHead, decoded: DecodedRequest) -> Session:
        """Return the session of a request that passes, or raise AccessDenied.

        The session is empty where none is needed and none was sent. Each refusal is one line in the
        log.
        """
        if decoded.session is not None:
            return decoded.session
        if self.is_open(head):
            if decoded.carries_token:
                self._log(logging.WARNING, "passes without a session", head, decoded)
            return Session()
        if decoded.carries_token:
            self._log(logging.WARNING, "refused", head, decoded)
        elif self._has_warned:
            self._log(logging.INFO, "refused", head, decoded)
        else:
            # An application that configured no logging shows warnings only.
            self._has_warned = True
            self._log(logging.WARNING, "refused", head, decoded)
        raise AccessDenied

    def is_open(self, head: RequestHead) -> bool:
        """Return whether a request needs no session, because an entry matches its path."""
        return head.may_be_open and head.path in self._open_paths

    def trace(self, head: RequestHead, candidate: Candidate) -> Trace:
        """Return what happens to a token of a request, step by step, for people."""
        return trace_token(
            candidate,
            self.settings,
            is_quoted=f'"{candidate.token}"' in (head.cookie or ""),
        )

    def _log(self, level: int, verdict: str, head: RequestHead, decoded: DecodedRequest) -> None:
        if logger.isEnabledFor(level):
            path = _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], head.path)
            method = head.method if head.method.isalpha() and head.method.isascii() else "?"
            logger.log(level, "%s %s %s: %s", method, path, verdict, " | ".join(decoded.causes))
