"""MergedSession: what the proxy sent and what the application keeps, as one mapping.

The frameworks' session objects are built on it. The proxied part is read-only. The local part
is whatever the framework stores between requests, and belongs to one user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Generic, TypeVar

from .errors import ProxiedKeyError
from .session import Session

__all__ = ["OWNER", "PROXIED_KEYS", "MergedSession", "is_proxied"]

#: Whom the local part belongs to: a key in it, hidden from the application.
OWNER = "_djsession_user"

#: What only the proxy says of a user: not to be written either when it says nothing.
PROXIED_KEYS = frozenset(("username", "roles", "site", "last_visited"))


def is_proxied(proxied: Session, key: object) -> bool:
    """Whether a key of a framework's session is the proxy's.

    Names with an underscore at their start are the frameworks' own: a proxy that sent one would
    speak to their code in the place of the application.
    """
    return key in proxied and not str(key).startswith("_")


# A flag of Flask's about the cookie itself; nobody's data.
_NOBODYS = "_permanent"

Local = TypeVar("Local", bound=MutableMapping[str, Any])


class MergedSession(MutableMapping[str, Any], Generic[Local]):
    """One mapping over ``proxied``, a Session, and ``local``, which ``open_local`` returns.

    ``local`` is opened when it is first asked for: a key that the proxy sent never asks. It is
    bound to the username: what another user, or nobody, has left there is dropped. Writing a
    proxied key raises ProxiedKeyError.
    """

    def __init__(self, proxied: Session, open_local: Callable[[], Local]) -> None:
        self.proxied = proxied
        self._open_local = open_local
        self._local: Local | None = None

    @property
    def local(self) -> Local:
        """The part the application may write, of this user alone."""
        local = self._local
        if local is None:
            local = self._open_local()
            if local.get(OWNER) != self.proxied.username:
                for key in [key for key in local if key != _NOBODYS]:
                    del local[key]
            self._local = local
        return local

    @property
    def is_local_open(self) -> bool:
        """Whether the local part was asked for."""
        return self._local is not None

    def bind(self) -> Local:
        """Return the local part to be written to, the name of its user in it."""
        local, username = self.local, self.proxied.username
        if username is not None and local.get(OWNER) != username:
            local[OWNER] = username
        return local

    def __getitem__(self, key: str) -> Any:
        if is_proxied(self.proxied, key):
            return self.proxied[key]
        if key in PROXIED_KEYS or key == OWNER:
            raise KeyError(key)
        return self.local[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._check_local(key)
        self.bind()[key] = value

    def __delitem__(self, key: str) -> None:
        self._check_local(key)
        del self.local[key]

    def __iter__(self) -> Iterator[str]:
        yield from (key for key in self.proxied if is_proxied(self.proxied, key))
        for key in self.local:
            if not self._is_read_only(key):
                yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        # Keys alone, as for Session, and without opening the local part.
        return f"<{type(self).__name__} over {self.proxied!r}>"

    def clear(self) -> None:
        """Forget what is local."""
        self.local.clear()

    def popitem(self) -> tuple[str, Any]:
        """Remove and return a pair of the local part. Raises KeyError when there is none."""
        for key in self.local:
            if key != OWNER:
                return key, self.local.pop(key)
        raise KeyError("the session has nothing local")

    def _check_local(self, key: str) -> None:
        if self._is_read_only(key):
            raise ProxiedKeyError(key)

    def _is_read_only(self, key: str) -> bool:
        return is_proxied(self.proxied, key) or key in PROXIED_KEYS or key == OWNER
