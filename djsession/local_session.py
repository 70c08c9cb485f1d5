"""The one policy of proxied and local keys, for the session object of every framework.

A framework's session reads two parts as one mapping. The *proxied* part is what the proxy sent; it
is read-only. The *local* part is what the application writes; the framework's own session stores
it, and it belongs to one user:

- Its owner's username is in it, under a key that the application does not see. A visitor's does not
  have one.
- What another owner left in the store stays there, unreachable: whoever comes instead gets a new
  session with a new id. This holds for a visitor who signs in, too, so that a session id that
  somebody planted in a browser is worth nothing once the user has signed in.
- An id that is unknown to the store is not taken over either.
- A request that the gate refused reads nothing and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Generic, TypeVar

from .errors import ProxiedKeyError
from .session import Session

__all__ = ["OWNER", "PROXIED_KEYS", "LocalPart", "MergedSession", "is_proxied", "is_read_only"]

#: The key of the local part that holds its owner's username, hidden from the application.
OWNER = "_djsession_user"

#: Keys that only the proxy sets. The application cannot write them even where the proxy sent none.
PROXIED_KEYS = frozenset(("username", "roles", "site", "last_visited"))

# A flag of Flask's about the cookie itself, which it writes into every permanent session.
_COOKIE_FLAGS = frozenset(("_permanent",))

Local = TypeVar("Local", bound=MutableMapping[str, Any])


def is_proxied(proxied: Session, key: object) -> bool:
    """Return whether a key of a framework's session is read from what the proxy sent.

    Names that start with an underscore belong to the frameworks: with one of them the proxy would
    address their code instead of the application.
    """
    return key in proxied and not str(key).startswith("_")


def is_read_only(proxied: Session, key: object) -> bool:
    """Return whether the application may not write a key of a framework's session."""
    return key == OWNER or key in PROXIED_KEYS or is_proxied(proxied, key)


class LocalPart(Generic[Local]):
    """The local part of one request's session, opened when it is first asked for.

    ``open_stored`` opens the framework's session that the request names, ``open_new`` makes a new
    one with a new id, whatever the request names.
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
        #: Whether the gate refused the request: then nothing is to be stored.
        self.is_refused = is_refused

    def refuse(self) -> None:
        """Forget what is open and store nothing: the gate refused the request."""
        self.is_refused, self._opened = True, None

    @property
    def is_open(self) -> bool:
        """Whether the local part was asked for."""
        return self._opened is not None

    def open(self) -> Local:
        """Return the local part of this owner."""
        opened = self._opened
        if opened is None:
            opened = self.adopt(None if self.is_refused else self._open_stored())
        return opened

    def adopt(self, stored: Local | None) -> Local:
        """Open with a session from the store if it belongs to this owner, else with a new one."""
        if stored is None or not self._is_owned(stored):
            stored = self._open_new()
        self._opened = stored
        return stored

    def _is_owned(self, stored: Local) -> bool:
        if stored.get(OWNER) != self._username:
            return False
        # An empty session may have an id that the client made up.
        # Django's sessions cannot be iterated, but have keys().
        return any(key not in _COOKIE_FLAGS for key in stored.keys())  # noqa: SIM118

    def release(self) -> None:
        """Forget the owner when nothing else is left, so that the framework drops the session."""
        local = self.open()
        if all(key == OWNER or key in _COOKIE_FLAGS for key in local.keys()):  # noqa: SIM118
            local.pop(OWNER, None)

    def bind(self) -> Local:
        """Return the local part, to be written, with its owner's username in it."""
        local = self.open()
        if self._username is not None and local.get(OWNER) != self._username:
            local[OWNER] = self._username
        return local


class MergedSession(MutableMapping[str, Any], Generic[Local]):
    """One mapping over what the proxy sent and the local part.

    Reading a key that the proxy sent does not open the local part. Writing one raises
    ProxiedKeyError.
    """

    def __init__(self, proxied: Session, local_part: LocalPart[Local]) -> None:
        self.proxied = proxied
        self.local_part = local_part

    @property
    def local(self) -> Local:
        """The part that the application may write, which belongs to this user."""
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
        # Names the keys only, as Session does, and does not open the local part.
        return f"<{type(self).__name__} over {self.proxied!r}>"

    def clear(self) -> None:
        """Empty the local part."""
        self.local.clear()

    def popitem(self) -> tuple[str, Any]:
        """Remove and return a pair of the local part. Raises KeyError when it is empty."""
        for key in self.local:
            if key != OWNER:
                value = self.local.pop(key)
                self.local_part.release()
                return key, value
        raise KeyError("the local part of the session is empty")

    def _check_writable(self, key: str) -> None:
        if is_read_only(self.proxied, key):
            raise ProxiedKeyError(key)
