"""The rules for proxied and local keys, for the session object of every framework.

A framework's session object presents two parts as one mapping. The *proxied* part is what the proxy
sent, and is read-only. The *local* part is what the application writes. The framework's own session
stores the local part, which belongs to one user:

- It contains its owner's username, under a key that is hidden from the application. A visitor's
  local part does not contain a username.
- If the stored session belongs to somebody else, the user gets a new session with a new id. The
  other user's data stays in the store, unreachable. This also happens when a visitor signs in, so a
  session id that somebody planted in a browser becomes worthless at sign-in.
- A session id that the store does not know is replaced as well.
- A request that the gate refused neither reads nor writes the local part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Generic, TypeVar

from .errors import ProxiedKeyError
from .session import Session

__all__ = ["OWNER", "PROXIED_KEYS", "LocalPart", "MergedSession", "is_proxied", "is_read_only"]

#: The hidden key in the local part that holds its owner's username.
OWNER = "_djsession_user"

#: Keys that only the proxy may set. The application cannot write them even if the proxy did not
#: send them.
PROXIED_KEYS = frozenset(("username", "roles", "site", "last_visited"))

# Flask writes this flag, which is about the cookie itself, into every permanent session.
_COOKIE_FLAGS = frozenset(("_permanent",))

Local = TypeVar("Local", bound=MutableMapping[str, Any])


def is_proxied(proxied: Session, key: object) -> bool:
    """Return whether a key of a framework's session is read from the proxied part.

    Keys that start with an underscore never are. Frameworks use such keys internally, and the proxy
    must not be able to control the framework's code through them.
    """
    return key in proxied and not str(key).startswith("_")


def is_read_only(proxied: Session, key: object) -> bool:
    """Return whether the application is forbidden to write a key of a framework's session."""
    return key == OWNER or key in PROXIED_KEYS or is_proxied(proxied, key)


class LocalPart(Generic[Local]):
    """The local part of one request's session, which is opened on first use.

    ``open_stored`` opens the framework's session that the request's cookie identifies.
    ``open_new`` creates a session with a new id, and ignores the cookie.
    """

    def __init__(
        self,
        proxied: Session,
        open_stored: Callable[[], Local],
        open_new: Callable[[], Local],
        *,
        is_refused: bool = False,
    ) -> None:
        self._username = proxied.username
        self._open_stored = open_stored
        self._open_new = open_new
        self._opened: Local | None = None
        #: Whether the gate refused the request, so that nothing may be stored.
        self.is_refused = is_refused

    def refuse(self) -> None:
        """Discard the open session, and store nothing, because the gate refused the request."""
        self.is_refused, self._opened = True, None

    @property
    def is_open(self) -> bool:
        """Whether the local part has been opened."""
        return self._opened is not None

    def open(self) -> Local:
        """Return this user's local part. Open it first if necessary."""
        opened = self._opened
        if opened is None:
            opened = self.adopt(None if self.is_refused else self._open_stored())
        return opened

    def adopt(self, stored: Local | None) -> Local:
        """Use a stored session if it belongs to this user, or else a new session."""
        if stored is None or not self._is_owned(stored):
            stored = self._open_new()
        self._opened = stored
        return stored

    def _is_owned(self, stored: Local) -> bool:
        if stored.get(OWNER) != self._username:
            return False
        # The client may have made up the id of an empty session.
        # keys(), since Django's sessions are not iterable.
        return any(key not in _COOKIE_FLAGS for key in stored.keys())  # noqa: SIM118

    def release(self) -> None:
        """Remove the owner if nothing else is left, so that the framework deletes the session."""
        local = self.open()
        if all(key == OWNER or key in _COOKIE_FLAGS for key in local.keys()):  # noqa: SIM118
            local.pop(OWNER, None)

    def bind(self) -> Local:
        """Return the local part for writing, after storing its owner's username in it."""
        local = self.open()
        if self._username is not None and local.get(OWNER) != self._username:
            local[OWNER] = self._username
        return local


class MergedSession(MutableMapping[str, Any], Generic[Local]):
    """A mapping that combines the proxied part and the local part.

    Reading a key that the proxy sent does not open the local part. Writing such a key raises
    ProxiedKeyError.
    """

    def __init__(self, proxied: Session, local_part: LocalPart[Local]) -> None:
        self.proxied = proxied
        self.local_part = local_part

    @property
    def local(self) -> Local:
        """The part that the application may write. It belongs to this user."""
        return self.local_part.open()

    def __getitem__(self, key: str) -> Any:
        if is_proxied(self.proxied, key):
            return self.proxied[key]
        if key in PROXIED_KEYS or key == OWNER:
            raise KeyError(key)
        return self.local[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._check_writable(key)
        self.local_part.bind()[key] = value

    def __delitem__(self, key: str) -> None:
        self._check_writable(key)
        del self.local[key]
        self.local_part.release()

    def __iter__(self) -> Iterator[str]:
        yield from (key for key in self.proxied if is_proxied(self.proxied, key))
        for key in self.local:
            if not is_read_only(self.proxied, key):
                yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        # Like Session, show only the keys. Do not open the local part.
        return f"<{type(self).__name__} over {self.proxied!r}>"

    def clear(self) -> None:
        """Empty the local part."""
        self.local.clear()

    def popitem(self) -> tuple[str, Any]:
        """Remove and return an item of the local part. Raises KeyError when it is empty."""
        for key in self.local:
            if key != OWNER:
                value = self.local.pop(key)
                self.local_part.release()
                return key, value
        raise KeyError("the local part of the session is empty")

    def _check_writable(self, key: str) -> None:
        if is_read_only(self.proxied, key):
            raise ProxiedKeyError(key)
