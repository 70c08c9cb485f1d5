"""The last requests that went through the mockup logins, for the inspector."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .rules import Decision

__all__ = ["RecentRequest", "RecentRequests", "Verdict"]

#: Whether a request was passed on to the application, sent to sign in, or refused.
Verdict = Literal["passed", "sign in", "refused"]

_LIMIT = 20
# A client decides how long a path is, so paths are cut to limit the memory that the list takes.
_MAX_PATH = 500


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class RecentRequest:
    """One request and its outcome.

    ``path`` does not include the query string, which may contain credentials. ``status`` is the
    code that the client got, or 0 if the application raised an exception before it answered.
    ``reason`` tells why a request was not passed on, ``user`` is the username of its session, and
    ``decision`` is the decision of the access rules, if there are any.
    """

    method: str
    path: str
    status: int
    verdict: Verdict
    reason: str = ""
    user: str | None = None
    decision: Decision | None = None
    at: datetime = field(default_factory=_now)


class RecentRequests:
    """Keeps the last 20 requests, in memory only. Threads may add and read at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: deque[RecentRequest] = deque(maxlen=_LIMIT)

    def add(
        self,
        method: str,
        path: str,
        status: int,
        verdict: Verdict,
        *,
        reason: str = "",
        user: str | None = None,
        decision: Decision | None = None,
    ) -> None:
        """Add a request, without what follows ``?`` in its path. Only the last 20 are kept."""
        path = path.partition("?")[0]
        if len(path) > _MAX_PATH:
            path = path[:_MAX_PATH] + "..."
        request = RecentRequest(method[:20], path, status, verdict, reason, user, decision)
        with self._lock:
            self._requests.append(request)

    def latest(self) -> list[RecentRequest]:
        """Return the requests, newest first."""
        with self._lock:
            return [*reversed(self._requests)]
