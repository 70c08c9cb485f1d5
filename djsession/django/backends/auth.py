"""ProxyUserBackend: gets ``request.user`` from the username that the proxy sends.

Theory of operation
===================

Django finds the user of a request in three steps, and each of them assumes that the user signed in
through Django. Behind the proxy nobody does, so djsession takes over each step:

1. ``AuthenticationMiddleware`` makes ``request.user`` lazy. On first use it returns
   ``request._cached_user`` if that exists, or else calls ``django.contrib.auth.get_user()``.
   djsession's SessionMiddleware sets ``_cached_user`` to a lazy object that calls
   ``request.session.get_user()``. A view that never uses the user does not cause a query.
2. ``SessionStore.get_user()`` calls :func:`user_of`, which asks each backend in
   AUTHENTICATION_BACKENDS that derives from RemoteUserBackend, in order, for the user with the
   session's username. ProxyUserBackend finds the row or creates it, depending on the settings. Then
   :mod:`djsession.django.roles` applies what the session's roles grant for this request.
3. Code that calls ``django.contrib.auth.get_user()`` directly takes a different path: it reads the
   primary key, the backend and a hash from ``request.session``, and calls the backend's
   ``get_user()``. ``SessionStore`` derives these three values from the same user. Since
   ``get_user()`` comes next and would read the same row again, the user is *announced*: it is kept
   in a context variable for exactly one call, and returned if the primary key is the same.

A context variable belongs to one thread or task, and SessionMiddleware clears it at the start of
each request. A user that was announced in one request can therefore never be returned in another.

``login()``, ``force_login()`` and the test client write a user into the session themselves. They
keep working in tests, where the SessionStore in :mod:`djsession.django.backends.base` recognizes
such a session.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model, load_backend
from django.contrib.auth.backends import ModelBackend, RemoteUserBackend
from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.hashers import make_password
from django.core.exceptions import FieldDoesNotExist, PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import CharField, TextField

from ...session import Session
from ..conf import get_settings, is_test_environment
from ..roles import apply_roles

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ["ProxyUserBackend", "announce_user", "auser_of", "user_of"]

logger = logging.getLogger("djsession")

# The user that a session has just loaded. Django calls get_user() next, with only the primary key,
# and that call would otherwise repeat the query.
_announced: ContextVar[Any] = ContextVar("djsession_user", default=None)


def announce_user(user: Any) -> None:
    """Keep a user for the next :meth:`ProxyUserBackend.get_user` in this context."""
    _announced.set(user)


@cache
def _prefer_announced(backend: Any) -> Any:
    """Make the ``get_user()`` of a backend class return the announced user first."""
    get_user, aget_user = backend.get_user, backend.aget_user

    @wraps(get_user)
    def get(self: Any, user_id: Any) -> Any:
        return _announced_user(user_id) or _without_roles(get_user(self, user_id))

    @wraps(aget_user)
    async def aget(self: Any, user_id: Any) -> Any:
        return _announced_user(user_id) or _without_roles(await aget_user(self, user_id))

    backend.get_user, backend.aget_user = get, aget
    return backend


@_prefer_announced
class ProxyUserBackend(RemoteUserBackend):  # type: ignore[misc]
    """Trusts the proxy's username, in the way RemoteUserBackend trusts that of a web server.

    ``create_unknown_user``, ``configure_user``, ``clean_username`` and ``user_can_authenticate``
    work as Django documents them for RemoteUserBackend. A new user gets ``email``, ``first_name``,
    ``last_name`` and ``full_name`` from the session, if the model has such fields, and an unusable
    password.

    With ``USER_SOURCE = "session"`` the user is an unsaved instance. It has only the permissions of
    the groups that ``GROUPS`` grants, and only these require a database query.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        remote_user: str | None = None,
        **credentials: Any,
    ) -> Any:
        """Return the user named ``remote_user``, or None.

        ``request`` provides the rest of the session. Passwords are checked only in tests, for
        ``client.login()``. In production the proxy checks them.
        """
        if remote_user is None:
            return self._authenticate_password(request, credentials)
        session = _session_of(request, remote_user)
        user, created = self._find_or_create(remote_user, session)
        if user is None:
            return None
        user = self.configure_user(request, user, created=created)
        return self._admit(request, user, session)

    async def aauthenticate(
        self,
        request: HttpRequest | None,
        remote_user: str | None = None,
        **credentials: Any,
    ) -> Any:
        """See :meth:`authenticate`."""
        if remote_user is None:
            return await self._aauthenticate_password(request, credentials)
        session = _session_of(request, remote_user)
        user, created = await self._afind_or_create(remote_user, session)
        if user is None:
            return None
        # Skip Django's own implementation, which would use a thread.
        if type(self).configure_user is not RemoteUserBackend.configure_user or (
            type(self).aconfigure_user is not RemoteUserBackend.aconfigure_user
        ):
            user = await self.aconfigure_user(request, user, created=created)
        return self._admit(request, user, session)

    def get_user(self, user_id: Any) -> Any:
        """Return the user with a primary key, or None."""
        return None if get_settings().user_source == "session" else super().get_user(user_id)

    async def aget_user(self, user_id: Any) -> Any:
        """See :meth:`get_user`."""
        if get_settings().user_source == "session":
            return None
        return await super().aget_user(user_id)

    def _authenticate_password(
        self, request: HttpRequest | None, credentials: dict[str, Any]
    ) -> Any:
        if is_test_environment():
            return ModelBackend.authenticate(self, request, **credentials)
        return None

    async def _aauthenticate_password(
        self, request: HttpRequest | None, credentials: dict[str, Any]
    ) -> Any:
        if is_test_environment():
            return await ModelBackend.aauthenticate(self, request, **credentials)
        return None

    def _find_or_create(self, remote_user: str, session: Session) -> tuple[Any, bool]:
        """Return the user with a username or None, and whether the user was created now."""
        model = get_user_model()
        name = _valid_username(model, self.clean_username(remote_user))
        if name is None or get_settings().user_source == "session":
            return _unsaved_user(model, name, session), False
        manager = model._default_manager
        try:
            if self.create_unknown_user:
                user = manager.get(**{model.USERNAME_FIELD: name})
            else:
                user = manager.get_by_natural_key(name)
            if not self._is_named(user, name):
                return _log_spelling(), False
        except model.DoesNotExist:
            if not self.create_unknown_user:
                return _log_unknown(), False
            # Another request may create the same user at the same time.
            for defaults in _row_defaults(model, session):
                with suppress(IntegrityError):
                    user, created = manager.get_or_create(
                        **{model.USERNAME_FIELD: name}, defaults=defaults
                    )
                    return (
                        (user, created) if self._is_named(user, name) else (_log_spelling(), False)
                    )
            return _log_taken(), False
        changed = _update_fields(user, session)
        if changed:
            is_unique = any(model._meta.get_field(name).unique for name in changed)
            try:
                with transaction.atomic(user._state.db) if is_unique else nullcontext():
                    user.save(update_fields=changed)
            except IntegrityError:
                _log_taken()
                user.refresh_from_db(fields=changed)
        return user, False

    async def _afind_or_create(self, remote_user: str, session: Session) -> tuple[Any, bool]:
        """See :meth:`_find_or_create`."""
        model = get_user_model()
        name = _valid_username(model, self.clean_username(remote_user))
        if name is None or get_settings().user_source == "session":
            return _unsaved_user(model, name, session), False
        manager = model._default_manager
        try:
            if self.create_unknown_user:
                user = await manager.aget(**{model.USERNAME_FIELD: name})
            else:
                user = await manager.aget_by_natural_key(name)
            if not self._is_named(user, name):
                return _log_spelling(), False
        except model.DoesNotExist:
            if not self.create_unknown_user:
                return _log_unknown(), False
            for defaults in _row_defaults(model, session):
                with suppress(IntegrityError):
                    user, created = await manager.aget_or_create(
                        **{model.USERNAME_FIELD: name}, defaults=defaults
                    )
                    return (
                        (user, created) if self._is_named(user, name) else (_log_spelling(), False)
                    )
            return _log_taken(), False
        changed = _update_fields(user, session)
        if changed:
            try:
                await user.asave(update_fields=changed)
            except IntegrityError:
                _log_taken()
                await user.arefresh_from_db(fields=changed)
        return user, False

    def _is_named(self, user: Any, name: str) -> bool:
        """Return whether a row has exactly this username.

        Some databases find "Admin" for "admin", and MySQL also for "\u00e0dmin". A manager with its
        own ``get_by_natural_key()`` is trusted to find the right row.
        """
        model = type(user)
        lookup = type(model._default_manager).get_by_natural_key
        if not self.create_unknown_user and lookup is not BaseUserManager.get_by_natural_key:
            return True
        field = model._meta.get_field(model.USERNAME_FIELD)
        return str(getattr(user, field.attname)) == name

    def _admit(self, request: HttpRequest | None, user: Any, session: Session) -> Any:
        if self.user_can_authenticate(user):
            apply_roles(user, session)
            return user
        logger.info("the user of the session is not active: request.user is anonymous")
        if request is not None:
            request.djsession_user_is_inactive = True
        return None


def user_of(request: HttpRequest | None, session: Session) -> Any:
    """Return the session's user from the first backend that finds one, or None."""
    if session.username is None:
        return None
    for path, backend in _backends():
        try:
            user = backend.authenticate(request, remote_user=session.username)
        except PermissionDenied:
            return None
        if user is not None:
            user.backend = path
            # Also for a backend that is not djsession's.
            apply_roles(user, session)
            return user
    return None


async def auser_of(request: HttpRequest | None, session: Session) -> Any:
    """See :func:`user_of`."""
    if session.username is None:
        return None
    for path, backend in _backends():
        try:
            user = await backend.aauthenticate(request, remote_user=session.username)
        except PermissionDenied:
            return None
        if user is not None:
            user.backend = path
            # Also for a backend that is not djsession's.
            apply_roles(user, session)
            return user
    return None


def _backends() -> list[tuple[str, Any]]:
    paths = settings.AUTHENTICATION_BACKENDS
    if isinstance(paths, str):
        # A tuple without its trailing comma, as in the proxy's documentation.
        paths = [paths]
    backends = [(path, load_backend(path)) for path in paths]
    found = [item for item in backends if isinstance(item[1], RemoteUserBackend)]
    for _, backend in found:
        _prefer_announced(backend.__class__)
    if not found:
        logger.warning(
            "request.user is anonymous: AUTHENTICATION_BACKENDS lacks"
            " djsession.django.backends.auth.ProxyUserBackend"
        )
    return found


def _valid_username(model: Any, name: str) -> str | None:
    """Return a username, or None if no row can have it, since a query for it might fail."""
    field = model._meta.get_field(model.USERNAME_FIELD)
    with suppress(ValidationError, ValueError, TypeError):
        field.to_python(name)  # fails for example if the field is a number
        longest = field.max_length
        if name and _is_text(name) and (longest is None or len(name) <= longest):
            return name
    logger.warning("the session has a username that the user model cannot hold")
    return None


def _unsaved_user(model: Any, name: str | None, session: Session) -> Any:
    """Return an unsaved user with a name, or None if the name is None."""
    if name is None:
        return None
    user = model(**{**_fields_of(model, session), model.USERNAME_FIELD: name})
    # Some models generate a key for each instance, which would differ in each request.
    user.pk = None
    # Fill ModelBackend's caches, since there are no permissions to read for a user without a row.
    user._perm_cache = user._user_perm_cache = user._group_perm_cache = set()
    return user


def _announced_user(user_id: Any) -> Any:
    """Return the announced user if the primary key matches, or else None. Forget it either way."""
    user = _announced.get()
    if user is None:
        return None
    _announced.set(None)
    # The session's primary key of a user without a row is 0.
    pk = user._meta.pk.to_python(0) if user.pk is None else user.pk
    return user if pk == user_id else None


def _without_roles(user: Any) -> Any:
    """Return a user, or None, after removing everything that the session's roles would grant."""
    if user is not None:
        apply_roles(user, Session())
    return user


def _session_of(request: HttpRequest | None, username: str) -> Session:
    session = getattr(request, "djsession", None)
    if isinstance(session, Session) and session.username == username:
        return session
    return Session(username=username)


def _log_unknown() -> Any:
    logger.info("the user of the session is not in the database: request.user is anonymous")
    return None


def _log_spelling() -> Any:
    logger.warning(
        "the database found a user whose name is spelled differently from that of the session:"
        " request.user is anonymous"
    )
    return None


def _log_taken() -> Any:
    logger.warning(
        "another user in the database already has a unique value of the session, such as its email:"
        " the session's values were not stored"
    )
    return None


def _fields_of(model: Any, session: Session) -> dict[str, str]:
    """Return the values from a session for the fields that the user model has."""
    said = {
        name: value
        for name in ("email", "first_name", "last_name", "full_name")
        if isinstance(value := session.get(name), str)
    }
    if "full_name" in said and not ("first_name" in said or "last_name" in said):
        said["first_name"], _, said["last_name"] = said["full_name"].strip().partition(" ")
    found = {}
    for name, value in said.items():
        try:
            field = model._meta.get_field(name)
        except FieldDoesNotExist:
            continue
        if not isinstance(field, (CharField, TextField)):
            continue
        longest = field.max_length
        value = value.replace("\x00", "").strip()
        if not _is_text(value):
            continue
        if longest is None or len(value) <= longest:
            found[name] = value
        elif name != "email":
            found[name] = value[:longest]
    found.pop(model.USERNAME_FIELD, None)
    return found


def _is_text(value: str) -> bool:
    """Return whether a database can store a text, without NUL characters and lone surrogates."""
    try:
        return b"\x00" not in value.encode()
    except UnicodeEncodeError:
        return False


def _row_defaults(model: Any, session: Session) -> Iterator[dict[str, Any]]:
    """Yield the values for a new user, first with and then without the unique fields.

    Another user's row may still contain an e-mail address that now belongs to this user.
    """
    defaults: dict[str, Any] = _fields_of(model, session)
    if hasattr(model, "set_unusable_password"):
        defaults["password"] = make_password(None)
    yield defaults
    yield {
        name: value for name, value in defaults.items() if not model._meta.get_field(name).unique
    }


def _update_fields(user: Any, session: Session) -> list[str]:
    """Update a user from the session if UPDATE_USER is set. Return the names of changed fields."""
    if not get_settings().update_user:
        return []
    fields = _fields_of(type(user), session)
    changed = [name for name, value in fields.items() if getattr(user, name) != value]
    for name in changed:
        setattr(user, name, fields[name])
    return changed
