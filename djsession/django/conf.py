"""djsession's settings from a Django project, and the gate and codec that use them."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.urls import (
    LocalePrefixPattern,
    NoReverseMatch,
    Resolver404,
    get_resolver,
    get_script_prefix,
    resolve,
    reverse,
    set_script_prefix,
)
from django.utils.functional import Promise
from django.utils.translation import override

from ..codec import SessionCodec
from ..errors import ConfigurationError, hide_locals
from ..gate import Gate
from ..paths import OpenPaths
from ..settings import BOOLEAN, KEY_NAME, LIST, Parser, Settings, setting

__all__ = [
    "MOCKUP_NAMES",
    "DjangoSettings",
    "at_script_prefix",
    "debug_of_project",
    "get_codec",
    "get_gate",
    "get_settings",
    "is_absolute_url",
    "is_mockup_view",
    "is_test_environment",
    "reversed_paths",
]

logger = logging.getLogger("djsession")

#: The names of the mockup URLs that users need before they sign in: login page, logout, API,
#: inspector.
MOCKUP_NAMES = ("login", "logout", "api_login", "djsession_inspector")

# Names of settings in djaodjin-deployutils, with their names in djsession.
_DEPLOYUTILS_NAMES = {
    "SESSION_COOKIE_NAME": "COOKIE_NAME",
    "MOCKUP_SESSIONS": "MOCKUP",
}


def _check_entries(value: Any) -> tuple[Any, ...]:
    # Lazy entries cannot be evaluated yet, since the URLs are not loaded.
    if (
        isinstance(value, str)
        or not isinstance(value, Sequence)
        or not all(isinstance(item, (str, Promise)) for item in value)
    ):
        raise ValueError("must be a list of paths, such as [STATIC_URL, reverse_lazy('about')]")
    return tuple(value)


def _check_user_source(value: Any) -> str:
    if value not in ("database", "session"):
        raise ValueError('must be "database" or "session"')
    return str(value)


def _check_roles(value: Any) -> tuple[str, ...] | None:
    return None if value is None else LIST.check(value)


def _check_groups(value: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping) or not all(isinstance(role, str) for role in value):
        raise ValueError('must map roles to lists of group names, as in {"manager": ["Editors"]}')
    return tuple((role, LIST.check(groups)) for role, groups in value.items())


def _check_mockup(value: Any) -> Any:
    if not isinstance(value, (str, os.PathLike, Mapping, type(None))):
        raise ValueError("must be the path of a YAML file, or a dict of sessions")
    return value


@dataclass(frozen=True, init=False)
class DjangoSettings(Settings):
    """The settings from ``DJSESSION``, then ``DEPLOYUTILS``, then the environment.

    ``DJSESSION`` accepts the setting names of both. Entries of ``allowed_no_session`` may be lazy,
    such as ``reverse_lazy("login")``, or relative, as Django's ``STATIC_URL`` may be.
    """

    allowed_no_session: tuple[Any, ...] = setting(Parser(_check_entries, LIST.read), ())
    #: The session engine that stores what the application writes into ``request.session``.
    local_session_engine: str = setting(Parser(), "django.contrib.sessions.backends.signed_cookies")
    #: The name of that session's cookie.
    local_session_cookie_name: str = setting(Parser(), "djsession_local")
    #: The dotted name of its class, which djaodjin-deployutils uses instead of the engine.
    backend_session_store: str | None = setting(Parser())
    #: Where ``request.user`` comes from: "database", or "session" for a project that does not store
    #: users.
    user_source: str = setting(Parser(_check_user_source), "database")
    #: Whether to update the email and names of a user in the database from the session.
    update_user: bool = setting(BOOLEAN, False)
    #: The roles in the site's own organization that make a user ``is_staff``. If it is None,
    #: ``is_staff`` and ``is_superuser`` come from the database.
    staff_roles: tuple[str, ...] | None = setting(Parser(_check_roles, LIST.read))
    #: The roles in the site's own organization that make a user ``is_superuser``.
    superuser_roles: tuple[str, ...] = setting(LIST, ())
    #: For each role in the site's own organization, the names of the groups that it grants.
    groups: tuple[tuple[str, tuple[str, ...]], ...] = setting(Parser(_check_groups))
    #: Mockup sessions for signing in: a YAML file or a mapping.
    mockup: str | os.PathLike[str] | Mapping[str, Any] | None = setting(  # noqa: RUF009
        Parser(_check_mockup), is_secret=True
    )
    #: Host names, besides localhost, under which mockup logins can be reached.
    mockup_hosts: tuple[str, ...] = setting(LIST, ())
    #: Whether to allow mockup logins if DEBUG is off.
    mockup_without_debug: bool = setting(BOOLEAN, False)
    #: Whether mockup logins answer requests from other machines.
    mockup_allow_remote: bool = setting(BOOLEAN, False)

    def _check_combinations(self) -> None:
        if self.local_session_cookie_name == self.cookie_name:
            raise ConfigurationError(
                "LOCAL_SESSION_COOKIE_NAME is the name of the proxy's cookie, which the proxy drops"
                " from every response: choose another name"
            )
        if self.superuser_roles and self.staff_roles is None:
            raise ConfigurationError(
                "SUPERUSER_ROLES is set without STAFF_ROLES: set both. Set STAFF_ROLES to [] if no"
                " role makes a user only staff"
            )

    @property
    def allows_mockups(self) -> bool:
        """Whether mockup logins are allowed: with DEBUG, or if MOCKUP_WITHOUT_DEBUG is set."""
        return debug_of_project() or self.mockup_without_debug

    def open_paths(self) -> OpenPaths:
        """Return the paths that need no session, including those of the mockup logins.

        Raises ConfigurationError for an entry that no path can match.
        """
        try:
            return OpenPaths(self.open_entries())
        except ValueError as error:
            raise ConfigurationError(f"ALLOWED_NO_SESSION: {error}") from None

    def open_entries(self) -> list[str]:
        """Return the entries as paths inside the application, wherever it is mounted.

        Drops entries on another host, such as a STATIC_URL on a CDN. Also drops entries that are
        empty or cannot be reversed, which :mod:`djsession.django.checks` reports.
        """
        paths: list[str] = []
        for entry in self.allowed_no_session:
            if isinstance(entry, Promise):
                try:
                    paths += reversed_paths(entry)
                except NoReverseMatch as error:
                    logger.warning("ALLOWED_NO_SESSION has an entry that opens nothing: %s", error)
            elif entry and not is_absolute_url(entry):
                paths.append(entry if entry.startswith("/") else f"/{entry}")
        if self.mockup is not None and self.allows_mockups:
            paths += _mockup_paths()
        return paths

    def gate_options(self) -> dict[str, Any]:
        """See :meth:`djsession.settings.Settings.gate_options`."""
        return {**super().gate_options(), "allowed_no_session": self.open_entries()}


def is_absolute_url(entry: str) -> bool:
    """Return whether an entry of ALLOWED_NO_SESSION is a URL on another host."""
    return entry.startswith(("http://", "https://", "//"))


@contextmanager
def at_script_prefix(prefix: str) -> Iterator[None]:
    """Make ``reverse()`` return URLs for an application that is mounted at ``prefix``."""
    current = get_script_prefix()
    set_script_prefix(prefix)
    try:
        yield
    finally:
        set_script_prefix(current)


def reversed_paths(entry: Promise) -> list[str]:
    """Return the distinct paths of a lazy entry in all LANGUAGES.

    Raises NoReverseMatch if the entry cannot be reversed in any language.
    """
    languages: list[str | None] = [None]
    if django_settings.USE_I18N and _is_translated(get_resolver()):
        # LANGUAGE_CODE may be missing in LANGUAGES, as the default "en-us" is.
        languages = [
            django_settings.LANGUAGE_CODE,
            *(code for code, _ in django_settings.LANGUAGES),
        ]
    paths: dict[str, None] = {}
    missing: NoReverseMatch | None = None
    with at_script_prefix("/"):
        for code in languages:
            try:
                with override(code) if code else nullcontext():
                    # reverse() quotes the path, but the gate compares unquoted paths.
                    path = unquote(str(entry))
            except NoReverseMatch as error:
                missing = error
            else:
                if path and not is_absolute_url(path):
                    paths[path if path.startswith("/") else f"/{path}"] = None
    if missing is not None and not paths:
        raise missing
    return list(paths)


def _is_translated(resolver: Any) -> bool:
    """Return whether any URL below a resolver depends on the language.

    If not, the languages need not be loaded. Loading a hundred of them would take a second and 25
    MB.
    """
    for item in resolver.url_patterns:
        pattern = item.pattern
        route = getattr(pattern, "_route", None) or getattr(pattern, "_regex", None)
        if isinstance(pattern, LocalePrefixPattern) or isinstance(route, Promise):
            return True
        if hasattr(item, "url_patterns") and _is_translated(item):
            return True
    return False


@cache
@hide_locals
def get_settings() -> DjangoSettings:
    """Return the settings of the project. Raises ConfigurationError."""
    known = {item.name.upper() for item in fields(DjangoSettings)}
    values: dict[str, Any] = {}
    for name in ("DEPLOYUTILS", "DJSESSION"):
        source = getattr(django_settings, name, {})
        if not isinstance(source, Mapping):
            raise ConfigurationError(f"{name} must be a dict")
        for key, value in source.items():
            known_as = str(_DEPLOYUTILS_NAMES.get(key, key))
            # Skip the settings of deployutils that djsession does not use.
            if name == "DJSESSION" or known_as in known or key == KEY_NAME:
                values[known_as] = value
    secret_key = getattr(django_settings, KEY_NAME, None)
    if secret_key is not None:
        values[KEY_NAME] = secret_key
    if isinstance(values.get("MOCKUP"), (str, os.PathLike)):
        values["MOCKUP"] = Path(getattr(django_settings, "BASE_DIR", ""), values["MOCKUP"])
    return DjangoSettings.from_mapping(values, "", KEY_NAME, environ=os.environ)


@cache
def get_gate() -> Gate:
    """Return the gate of the project. Raises ConfigurationError.

    The gate checks ``request.path_info``, so it works for any script prefix.
    """
    return Gate(get_settings())


def _mockup_paths() -> list[str]:
    """Return the paths of the pages in MOCKUP_NAMES, if the project includes them."""
    paths = []
    with at_script_prefix("/"):
        for name in MOCKUP_NAMES:
            try:
                path = reverse(name)
                view = resolve(path).func
            except (NoReverseMatch, Resolver404):
                continue
            if is_mockup_view(view):
                paths.append(path)
    return paths


def is_mockup_view(view: Any) -> bool:
    """Return whether a view belongs to ``djsession.django.mockup.urls``."""
    return bool(getattr(view, "__module__", None) == "djsession.django.mockup.views")


@cache
def get_codec() -> SessionCodec:
    """Return the codec that reads and writes tokens with the project's keys."""
    return get_settings().codec()


def is_test_environment() -> bool:
    """Return whether setup_test_environment() was called, by any test runner."""
    return _before_tests() is not None


def debug_of_project() -> bool:
    """Return the project's own value of DEBUG, even in tests, where test runners switch it off."""
    return bool(django_settings.DEBUG or getattr(_before_tests(), "debug", False))


def _before_tests() -> Any:
    """Return the settings that setup_test_environment() saved, or None if it was not called.

    The existence of mail.outbox would prove nothing, since the locmem mail backend sets it, too.
    """
    # If the function was called, the module is already imported.
    utils = sys.modules.get("django.test.utils")
    return getattr(getattr(utils, "_TestState", None), "saved_data", None)


_CACHED: tuple[Callable[..., Any], ...] = (get_settings, get_gate, get_codec)


def _clear_caches(*, setting: str, **kwargs: Any) -> None:
    """Clear the caches, for tests that override settings."""
    for function in _CACHED:
        function.cache_clear()  # type: ignore[attr-defined]


setting_changed.connect(_clear_caches, dispatch_uid="djsession")
