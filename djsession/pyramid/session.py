"""``request.session``, and the local parts for requests whose session is not stored."""

from __future__ import annotations

import secrets
import time
from typing import Any, NoReturn

from pyramid.interfaces import ISession
from pyramid.request import Request
from zope.interface import implementer

from ..errors import ConfigurationError
from ..local_session import LocalPart, MergedSession
from ..session import Session
from .settings import state_of

__all__ = ["REFUSED_KEY", "PyramidSession"]

#: The environ key that marks a request as refused by the tween. Subrequests may copy the environ.
REFUSED_KEY = "djsession.refused"


@implementer(ISession)
class PyramidSession(MergedSession[Any]):
    """``request.session``: the proxy's keys, read-only, and the application's own session."""

    def __init__(self, proxied: Session, request: Request) -> None:
        self.proxied, self._request = proxied, request
        # Created on first use, since most requests do not need it.
        self._local_part: LocalPart[Any] | None = None

    @property
    def local_part(self) -> LocalPart[Any]:  # type: ignore[override]
        """The part that the application may write."""
        if self._local_part is None:
            self._local_part = self._make_local_part()
        return self._local_part

    @property
    def is_local_open(self) -> bool:
        """Whether the application's own session has been opened."""
        return self._local_part is not None and self._local_part.is_open

    def _make_local_part(self) -> LocalPart[Any]:
        request = self._request
        is_refused = REFUSED_KEY in request.environ
        configured = state_of(request.registry).local_factory or _UnwritableSession
        factory = _UnstoredSession if is_refused else configured

        callbacks = (request.response_callbacks, request.finished_callbacks)
        before: list[int] = []

        def open_stored() -> Any:
            before[:] = map(len, callbacks)
            return factory(request)

        def open_new() -> Any:
            # The stored session belongs to somebody else. Remove its callbacks, which would send
            # its cookie again and overwrite what its owner has stored in the meantime.
            for queue, length in zip(callbacks, before, strict=False):
                while len(queue) > length:
                    queue.pop()
            # Without cookies, so that the store generates a new id.
            environ = request.environ
            cookie = environ.pop("HTTP_COOKIE", None)
            try:
                return factory(request)
            finally:
                if cookie is not None:
                    environ["HTTP_COOKIE"] = cookie

        return LocalPart(self.proxied, open_stored, open_new, is_refused=is_refused)

    @property
    def created(self) -> Any:
        """When the application's own session was created, in seconds since the epoch."""
        return self.local.created

    @property
    def new(self) -> bool:
        """Whether the application's own session is new."""
        return bool(self.local.new)

    def changed(self) -> None:
        """Record that the application changed a mutable value in its session."""
        self.local_part.bind().changed()

    def invalidate(self) -> None:
        """Discard the application's own session. The proxied part stays."""
        self.local.invalidate()

    def flash(self, msg: Any, queue: str = "", allow_duplicate: bool = True) -> None:
        """Add a message to a flash queue."""
        self.local_part.bind().flash(msg, queue, allow_duplicate)

    def pop_flash(self, queue: str = "") -> Any:
        """Return and remove the messages of a flash queue."""
        return self.local.pop_flash(queue)

    def peek_flash(self, queue: str = "") -> Any:
        """Return the messages of a flash queue."""
        return self.local.peek_flash(queue)

    def new_csrf_token(self) -> Any:
        """Return a new CSRF token, kept in the application's own session."""
        return self.local_part.bind().new_csrf_token()

    def get_csrf_token(self) -> Any:
        """Return the CSRF token in the application's own session. The first call creates it."""
        return self.local_part.bind().get_csrf_token()


class _UnstoredSession(dict[str, Any]):
    """The local part of a refused request. It can be written, but is never stored."""

    new = True

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.created = int(time.time())
        self._queues: dict[str, list[Any]] = {}

    def changed(self) -> None:
        pass

    def invalidate(self) -> None:
        self.clear()

    def flash(self, msg: Any, queue: str = "", allow_duplicate: bool = True) -> None:
        self._queues.setdefault(queue, []).append(msg)

    def peek_flash(self, queue: str = "") -> list[Any]:
        return self._queues.get(queue, [])

    def pop_flash(self, queue: str = "") -> list[Any]:
        return self._queues.pop(queue, [])

    def new_csrf_token(self) -> str:
        return secrets.token_hex()

    get_csrf_token = new_csrf_token


class _UnwritableSession(_UnstoredSession):
    """The local part if no store is configured. It is empty, and writing to it raises an error."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConfigurationError(
            "request.session cannot be written: set djsession.local_secret to a unique, secret"
            " value, which signs the session's cookie"
        )

    __setitem__ = changed = flash = new_csrf_token = get_csrf_token = _refuse
