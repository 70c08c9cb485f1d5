"""SessionStore: Django's session object, which combines the proxied and the local session."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.cache import SessionStore as CacheSessionStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieSessionStore
from django.core.cache.backends.locmem import LocMemCache
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from ...errors import ConfigurationError, ProxiedKeyError, SessionError
from ...local_session import OWNER, PROXIED_KEYS, LocalPart, is_proxied, is_read_only
from ...session import Session
from .. import conf

if TYPE_CHECKING:
    from django.http import HttpRequest

    from ...codec import Format

__all__ = ["SessionStore", "local_store_class"]

logger = logging.getLogger("djsession")

_AUTH_KEYS = frozenset((SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY))

# The key in a test client's token that holds the key of its local session.
_TEST_STORE_KEY = "_djsession_test"

_HIDDEN = frozenset((OWNER, _TEST_STORE_KEY))

_NOT_LOADED = object()
_NOT_GIVEN = object()

# The primary key for a user without a row. For None, Django would not call get_user().
_PK_WITHOUT_ROW = 0


class SessionStore(SessionBase):  # type: ignore[misc]
    """``request.session``.

    The keys from the proxy are read-only: writing one raises ProxiedKeyError. Everything else that
    the application writes goes to the local session. It is a session of one of Django's own
    engines, is opened on first use, and belongs to one user.

    SessionMiddleware passes ``request`` and the gate's Session as ``proxied``. Other code, such as
    a test client, passes a token as ``session_key``, or no arguments.
    """

    #: The format of the tokens that it writes.
    token_format: Format = "openssl"

    # What most requests do not change.
    accessed = False
    _user: Any = _NOT_LOADED
    _backend: str | None = None
    _local_part: LocalPart[SessionBase] | None = None
    # Changes that were made before the local session was opened.
    _is_modified = _is_cleared = False

    def __init__(
        self,
        session_key: str | None = None,
        *,
        proxied: Session | None = None,
        request: HttpRequest | None = None,
        is_refused: bool = False,
    ) -> None:
        # Do not call Django's own method, which imports a serializer for every request.
        self._token = session_key
        self._proxied = proxied
        self._request = request
        self._is_refused = is_refused

    # The two parts.

    @property
    def proxied(self) -> Session:
        """The Session from the proxy, or an empty Session."""
        session = self._proxied
        if session is None:
            session = Session()
            settings = conf.get_settings()
            # Without a request, as in Django Channels, the sender of the token is unknown.
            is_trusted = settings.trusted_proxies is None or conf.is_test_environment()
            if self._token and is_trusted:
                found = conf.get_codec().try_loads(self._token)
                if isinstance(found, SessionError):
                    logger.info("session token refused: %s", found)
                else:
                    session = found
            self._proxied = session
        return session

    @property
    def local_part(self) -> LocalPart[SessionBase]:
        """The part that the application may write, with its owner."""
        part = self._local_part
        if part is None:
            part = self._local_part = LocalPart(
                self.proxied, self._open_stored, self._open_new, is_refused=self._is_refused
            )
        return part

    @property
    def local(self) -> SessionBase:
        """The session that the application may write. It belongs to this user."""
        return self._mark_accessed(self.local_part.open())

    async def aopen_local(self) -> SessionBase:
        """Open ``local`` without blocking, and return it."""
        part = self.local_part
        if part.is_open or part.is_refused:
            return self.local
        stored = self._open_stored()
        await stored.aget(OWNER)  # loads it
        return self._mark_accessed(part.adopt(stored))

    def _writable_local(self) -> SessionBase:
        """Return ``local`` for writing, after storing its owner's username in it."""
        self._mark_accessed(self.local_part.open())
        return self.local_part.bind()

    def _mark_accessed(self, local: SessionBase) -> SessionBase:
        self.accessed = True
        if self._is_cleared:
            self._is_cleared = False
            local.clear()
        return local

    @property
    def is_refused(self) -> bool:
        """Whether the gate refused the request, so that nothing is stored."""
        return self._is_refused

    @property
    def is_local_open(self) -> bool:
        """Whether the local session has been opened."""
        return self._local_part is not None and self._local_part.is_open

    @property
    def is_of_test_client(self) -> bool:
        """Whether the local session belongs to a test client, and does not need a cookie."""
        return self.is_local_open and isinstance(self.local, _TestStore)

    def _open_stored(self) -> SessionBase:
        """Return the local session that the request's cookie identifies, whoever owns it."""
        key = self._test_key()
        if key is not None:
            return _TestStore(key or None)
        if self._request is None:
            return local_store_class()()
        name = conf.get_settings().local_session_cookie_name
        return local_store_class()(self._request.COOKIES.get(name))

    def _open_new(self) -> SessionBase:
        """Return a new local session, which does not get an id until it is saved."""
        if self._is_refused:
            # This engine has no store, so a refused request cannot write anything.
            return CookieSessionStore()
        return _TestStore() if self._test_key() is not None else local_store_class()()

    def _test_key(self) -> str | None:
        """Return the key of a test client's local session, ``""`` for a new one, or else None."""
        if not conf.is_test_environment():
            return None
        key = self.proxied.get(_TEST_STORE_KEY)
        if isinstance(key, str):
            return key
        return "" if self._request is None else None

    @property
    def serializer(self) -> Any:
        """The serializer that Django's encode() and decode() use."""
        return import_string(settings.SESSION_SERIALIZER)

    # Reading.

    def __getitem__(self, key: str) -> Any:
        self.accessed = True
        if key in _AUTH_KEYS:
            return self._auth_value(key)
        if key in _HIDDEN:
            raise KeyError(key)
        if is_proxied(self.proxied, key):
            return self.proxied[key]
        if key in PROXIED_KEYS:
            raise KeyError(key)
        return self.local[key]

    def __contains__(self, key: object) -> bool:
        try:
            self[key]  # type: ignore[index]
        except KeyError:
            return False
        return True

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def has_key(self, key: str) -> bool:
        return key in self

    def _as_dict(self) -> dict[str, Any]:
        """Return all readable items except the three keys in which Django stores the user."""
        return self._merged(dict(self.local.items()))

    def _merged(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        local = {key: value for key, value in stored.items() if key not in PROXIED_KEYS}
        proxied = {key: self.proxied[key] for key in self.proxied if is_proxied(self.proxied, key)}
        merged = {**local, **proxied}
        return {key: merged[key] for key in merged if key not in _HIDDEN | _AUTH_KEYS}

    def _get_session(self, no_load: bool = False) -> dict[str, Any]:
        return self._as_dict()

    _session = property(_get_session)

    def __iter__(self) -> Iterator[str]:
        return iter(self._as_dict())

    def keys(self) -> KeysView[str]:
        return self._as_dict().keys()

    def values(self) -> ValuesView[Any]:
        return self._as_dict().values()

    def items(self) -> ItemsView[str, Any]:
        return self._as_dict().items()

    def is_empty(self) -> bool:
        """Whether there is no session from the proxy and no local session.

        As in Django, this does not read the store: a local session counts if it has a key, even if
        it has not been opened.
        """
        if self.is_local_open or self._is_refused:
            return not self.proxied and bool(self.local.is_empty())
        return not self.proxied and self._open_stored().session_key is None

    def __bool__(self) -> bool:
        return not self.is_empty()

    # Writing.

    def __setitem__(self, key: str, value: Any) -> None:
        if key in _AUTH_KEYS:
            self._check_auth_value(key, value)
            return
        self._check_writable(key)
        self._writable_local()[key] = value

    def __delitem__(self, key: str) -> None:
        self._check_writable(key)
        del self.local[key]

    def pop(self, key: str, default: Any = _NOT_GIVEN) -> Any:
        self._check_writable(key)
        return self.local.pop(key, *(() if default is _NOT_GIVEN else (default,)))

    def setdefault(self, key: str, value: Any) -> Any:
        if key not in self:
            self[key] = value
        return self[key]

    def update(self, dict_: Any) -> None:
        changes = dict(dict_)
        for key in changes:
            self._check_writable(key)
        self._writable_local().update(changes)

    def clear(self) -> None:
        """Empty the local session. As in Django, this does not read the store."""
        self.accessed = True
        if self.is_local_open:
            self.local.clear()
        else:
            self._is_modified = self._is_cleared = True

    @property
    def modified(self) -> bool:
        """Whether the local session has changed. Setting it does not read the store."""
        return self._is_modified or (self.is_local_open and bool(self.local.modified))

    @modified.setter
    def modified(self, value: bool) -> None:
        self._is_modified = value
        if self.is_local_open:
            self.local.modified = value

    def _check_writable(self, key: str) -> None:
        if key in _AUTH_KEYS:
            raise ProxiedKeyError(key, "the proxy signs users in and out")
        if is_read_only(self.proxied, key) or key == _TEST_STORE_KEY:
            raise ProxiedKeyError(key)

    # The user.

    def get_user(self) -> Any:
        """Return the session's user, found by AUTHENTICATION_BACKENDS, or None."""
        from .auth import user_of

        if self._user is _NOT_LOADED:
            self.accessed = True
            # Set first, since a log filter may call this while a backend is logging.
            self._user = None
            try:
                self._user = user_of(self._request, self.proxied)
            except BaseException:
                self._user = _NOT_LOADED
                raise
        return self._user

    async def aget_user(self) -> Any:
        """See :meth:`get_user`."""
        from .auth import auser_of

        if self._user is _NOT_LOADED:
            self.accessed = True
            self._user = await auser_of(self._request, self.proxied)
        return self._user

    def _auth_value(self, key: str) -> Any:
        """Return the value that Django would store for the user. Raises KeyError without a user."""
        from .auth import announce_user

        user = self.get_user()
        if user is None:
            raise KeyError(key)
        if key == BACKEND_SESSION_KEY:
            return self._backend or user.backend
        if key == HASH_SESSION_KEY:
            # Django compares this hash with that of the user from get_user().
            hashes = getattr(user, "get_session_auth_hash", None)
            return hashes() if hashes else ""
        announce_user(user)
        return _PK_WITHOUT_ROW if user.pk is None else user._meta.pk.value_to_string(user)

    def _check_auth_value(self, key: str, value: Any) -> None:
        if self._request is None:
            # A test calls Django's login(). The signal at the end of login() has the user.
            if key == BACKEND_SESSION_KEY:
                self._backend = value
        elif SESSION_KEY not in self or (key == SESSION_KEY and str(value) != str(self[key])):
            raise ProxiedKeyError(key, "the proxy signs users in and out")

    def sign_in(self, user: Any) -> None:
        """Make this the session of a user. Only for test clients, which have no request."""
        username = user.get_username()
        if self.proxied.username != username:
            local = self.local
            self._proxied = Session(username=username)
            # Keep the test client's local session, which now belongs to this user.
            part = self._local_part = LocalPart(self._proxied, lambda: local, self._open_new)
            if local.get(OWNER) is not None or not local.is_empty():
                local[OWNER] = username
            part.adopt(local)
        self._user = user

    # Storing.

    @property
    def session_key(self) -> str | None:
        """The key of the local session, or without a request a token for the whole session.

        Checking the owner of the key requires reading the store, which would block an event loop.
        There the key is None until the local session is opened, for example by ``aget()`` or
        ``aload()``.
        """
        if self._request is not None:
            if not self.is_local_open and _is_in_event_loop():
                return None
            key: str | None = self.local.session_key
            return key
        document = dict(self.proxied)
        if self.is_of_test_client and self.local.session_key:
            document[_TEST_STORE_KEY] = self.local.session_key
        settings, format = conf.get_settings(), self.token_format
        return conf.get_codec().dumps(
            document, format if format in settings.formats else settings.format
        )

    def exists(self, session_key: str) -> bool:
        return bool(self.local.exists(session_key))

    def create(self) -> None:
        self.local.create()
        self._writable_local()

    def save(self, must_create: bool = False) -> None:
        self._writable_local().save(must_create=must_create)

    def delete(self, session_key: str | None = None) -> None:
        self.local.delete(session_key)

    def get_session_cookie_age(self) -> int:
        return int(local_store_class()().get_session_cookie_age())

    def load(self) -> dict[str, Any]:
        """Read the store again, and return its content without the changes of this request."""
        local = self.local
        return self._merged(local.load() if local.session_key else {})

    def flush(self) -> None:
        """Delete the local session, also in the store. The proxied session stays."""
        self.local.flush()
        self._forget_user()

    def cycle_key(self) -> None:
        """Give the local session a new key."""
        if not self.local.is_empty():
            self.local.cycle_key()

    def _forget_user(self) -> None:
        if self._request is None:
            self._proxied, self._token, self._user = Session(), None, _NOT_LOADED
            self._backend = None
            self._local_part = None

    @classmethod
    def clear_expired(cls) -> None:
        local_store_class().clear_expired()

    # The asynchronous methods load what they need, and then call the synchronous ones.

    async def _aload_for(self, key: str) -> None:
        if key in _AUTH_KEYS:
            await self.aget_user()
        elif not is_proxied(self.proxied, key):
            await self.aopen_local()

    async def aget(self, key: str, default: Any = None) -> Any:
        await self._aload_for(key)
        return self.get(key, default)

    async def ahas_key(self, key: str) -> bool:
        await self._aload_for(key)
        return key in self

    async def aset(self, key: str, value: Any) -> None:
        if self._request is not None or key not in _AUTH_KEYS:
            await self._aload_for(key)
        self[key] = value

    async def apop(self, key: str, default: Any = _NOT_GIVEN) -> Any:
        self._check_writable(key)
        await self.aopen_local()
        return self.pop(key, default)

    async def asetdefault(self, key: str, value: Any) -> Any:
        await self._aload_for(key)
        return self.setdefault(key, value)

    async def aupdate(self, dict_: Any) -> None:
        await self.aopen_local()
        self.update(dict_)

    async def adelete_test_cookie(self) -> None:
        await self.apop(self.TEST_COOKIE_NAME)

    async def _aget_session(self, no_load: bool = False) -> dict[str, Any]:
        await self.aopen_local()
        return self._as_dict()

    async def akeys(self) -> KeysView[str]:
        return (await self._aget_session()).keys()

    async def avalues(self) -> ValuesView[Any]:
        return (await self._aget_session()).values()

    async def aitems(self) -> ItemsView[str, Any]:
        return (await self._aget_session()).items()

    async def aexists(self, session_key: str) -> bool:
        return bool(await (await self.aopen_local()).aexists(session_key))

    async def acreate(self) -> None:
        await (await self.aopen_local()).acreate()
        self._writable_local()

    async def asave(self, must_create: bool = False) -> None:
        await self.aopen_local()
        await self._writable_local().asave(must_create=must_create)

    async def adelete(self, session_key: str | None = None) -> None:
        await (await self.aopen_local()).adelete(session_key)

    async def aload(self) -> dict[str, Any]:
        local = await self.aopen_local()
        return self._merged(await local.aload() if local.session_key else {})

    async def aflush(self) -> None:
        await (await self.aopen_local()).aflush()
        self._forget_user()

    async def acycle_key(self) -> None:
        local = await self.aopen_local()
        if not local.is_empty():
            await local.acycle_key()

    @classmethod
    async def aclear_expired(cls) -> None:
        await local_store_class().aclear_expired()


def _is_in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _TestStore(CacheSessionStore):  # type: ignore[misc]
    """The local session of a test client, in the memory of the process.

    A test client knows only the proxy's cookie, and creates its session from the value. The key of
    this store is therefore part of that token. Used only in Django's test environment.
    """

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._cache = LocMemCache("djsession", {"OPTIONS": {"MAX_ENTRIES": 100_000}})


@cache
def local_store_class() -> type[SessionBase]:
    """Return the class for local sessions. Raises ConfigurationError."""
    settings = conf.get_settings()
    name = settings.backend_session_store
    try:
        if name is not None:
            found = import_string(name)
        else:
            name = settings.local_session_engine
            found = import_module(name).SessionStore
    except (ImportError, AttributeError, RuntimeError, ValueError, TypeError) as error:
        raise ConfigurationError(f"the local session engine {name} cannot be used: {error}") from (
            error
        )
    if not isinstance(found, type) or issubclass(found, SessionStore):
        raise ConfigurationError(
            f"the local session engine {name} must be one of Django's own, such as"
            " django.contrib.sessions.backends.db"
        )
    return found


def _clear_cache(**kwargs: Any) -> None:
    """Clear the cache, for tests that override settings."""
    local_store_class.cache_clear()


setting_changed.connect(_clear_cache, dispatch_uid="djsession.local_store_class")


def _sign_in(sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore) and session._request is None:
        session.sign_in(user)


user_logged_in.connect(_sign_in, dispatch_uid="djsession")
