"""The settings of a Django project as djsession's, and the gate that they make."""

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

#: The names of the URLs that people need before they are signed in: login page, logout, API,
#: inspector.
MOCKUP_NAMES = ("login", "logout", "api_login", "djsession_inspector")

# Names of djaodjin-deployutils, and what the settings are called here.
_NAMES = {
    "SESSION_COOKIE_NAME": "COOKIE_NAME",
    "MOCKUP_SESSIONS": "MOCKUP",
}


def _entries(value: Any) -> tuple[Any, ...]:
    # A lazy entry cannot be evaluated yet: the URLs are not loaded.
    if (
        isinstance(value, str)
        or not isinstance(value, Sequence)
        or not all(isinstance(item, (str, Promise)) for item in value)
    ):
        raise ValueError("must be a list of paths, such as [STATIC_URL, reverse_lazy('about')]")
    return tuple(value)


def _user_source(value: Any) -> str:
    if value not in ("database", "session"):
        raise ValueError('must be "database" or "session"')
    return str(value)


def _roles(value: Any) -> tuple[str, ...] | None:
    return None if value is None else LIST.check(value)


def _groups(value: Any) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping) or not all(isinstance(role, str) for role in value):
        raise ValueError('must map roles to names of groups: {"manager": ["Editors"]}')
    return tuple((role, LIST.check(groups)) for role, groups in value.items())


def _mockup(value: Any) -> Any:
    if not isinstance(value, (str, os.PathLike, Mapping, type(None))):
        raise ValueError("must be a path to a YAML file, or a dict of sessions")
    return value


@dataclass(frozen=True, init=False)
class DjangoSettings(Settings):
    """The settings, read from ``DJSESSION``, then ``DEPLOYUTILS``, then the environment.

    ``DJSESSION`` takes the names of both. Entries of ``allowed_no_session`` may be lazy, such as
    ``reverse_lazy("login")``, or relative, as Django's ``STATIC_URL``.
    """

    allowed_no_session: tuple[Any, ...] = setting(Parser(_entries, LIST.read), ())
    #: The session engine that stores what the application writes into ``request.session``.
    local_session_engine: str = setting(Parser(), "django.contrib.sessions.backends.signed_cookies")
    #: The cookie of that session.
    local_session_cookie_name: str = setting(Parser(), "djsession_local")
    #: The dotted name of its class instead, as for djaodjin-deployutils.
    backend_session_store: str | None = setting(Parser())
    #: Where ``request.user`` comes from: "database", or "session" for one that stores no users.
    user_source: str = setting(Parser(_user_source), "database")
    #: Whether email and names of a user in the database follow the session.
    update_user: bool = setting(BOOLEAN, False)
    #: The roles for the site's own organization that make a user ``is_staff``. None: ``is_staff``
    #: and ``is_superuser`` are those in the database.
    staff_roles: tuple[str, ...] | None = setting(Parser(_roles, LIST.read))
    #: The roles for the site's own organization that make a user ``is_superuser``.
    superuser_roles: tuple[str, ...] = setting(LIST, ())
    #: The names of the groups that a user is in, for each role for the site's own organization.
    groups: tuple[tuple[str, tuple[str, ...]], ...] = setting(Parser(_groups))
    #: Mockup sessions, a YAML file or a mapping, to sign in with.
    mockup: str | os.PathLike[str] | Mapping[str, Any] | None = setting(  # noqa: RUF009
        Parser(_mockup), is_secret=True
    )
    #: Host names besides localhost that mockup logins answer to.
    mockup_hosts: tuple[str, ...] = setting(LIST, ())
    #: Whether there are mockup logins although DEBUG is off.
    mockup_without_debug: bool = setting(BOOLEAN, False)
    #: Whether mockup logins answer requests from other machines.
    mockup_allow_remote: bool = setting(BOOLEAN, False)

    def _check_together(self) -> None:
        if self.local_session_cookie_name == self.cookie_name:
            raise ConfigurationError(
                "LOCAL_SESSION_COOKIE_NAME is the name of the cookie that the proxy drops"
                " from every response: choose another name"
            )
        if self.superuser_roles and self.staff_roles is None:
            raise ConfigurationError(
                "SUPERUSER_ROLES is set without STAFF_ROLES: set both, STAFF_ROLES to [] if nobody"
                " is to be staff only"
            )

    @property
    def allows_mockups(self) -> bool:
        """Whether the project may have mockup logins: in development, or where it asks for them."""
        return debug_of_project() or self.mockup_without_debug

    def open_paths(self) -> OpenPaths:
        """Return the paths that need no session, those of the mockup logins included.

        Raises ConfigurationError for an entry that no path can match.
        """
        try:
            return OpenPaths(self.open_entries())
        except ValueError as error:
            raise ConfigurationError(f"ALLOWED_NO_SESSION: {error}") from None

    def open_entries(self) -> list[str]:
        """Return the entries as paths inside the application, at whatever prefix it is mounted.

        An entry on another host, such as a STATIC_URL on a CDN, is dropped, and so is one that is
        empty or cannot be reversed: :mod:`djsession.django.checks` reports the latter two.
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
    """Have ``reverse()`` return URLs of an application that is mounted at ``prefix``."""
    current = get_script_prefix()
    set_script_prefix(prefix)
    try:
        yield
    finally:
        set_script_prefix(current)


def reversed_paths(entry: Promise) -> list[str]:
    """Return the paths of a lazy entry, one for each of LANGUAGES in which it differs.

    Raises NoReverseMatch when there is no such URL in any language.
    """
    languages: list[str | None] = [None]
    if django_settings.USE_I18N and _is_translated(get_resolver()):
        # LANGUAGE_CODE need not be one of LANGUAGES: by default it is "en-us".
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
                    # reverse() quotes a path, and the gate compares it unquoted.
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
    """Return whether the language decides about the URLs below a resolver.

    Loading a hundred languages to reverse one URL would take a second and 25 MB.
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
            known_as = str(_NAMES.get(key, key))
            # Most settings of deployutils have nothing to do with sessions.
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

    It decides on ``request.path_info``, so one gate serves the project at any script prefix.
    """
    return Gate(get_settings())


def _mockup_paths() -> list[str]:
    """Return where a project has the pages of MOCKUP_NAMES."""
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
    """Return whether a view is one of ``djsession.django.mockup.urls``."""
    return bool(getattr(view, "__module__", None) == "djsession.django.mockup.views")


@cache
def get_codec() -> SessionCodec:
    """Return the codec that reads and writes tokens with the keys of the project."""
    return get_settings().codec()


def is_test_environment() -> bool:
    """Whether Django's test environment is set up, by whichever test runner."""
    return _before_tests() is not None


def debug_of_project() -> bool:
    """Return DEBUG as the project has it: test runners switch it off."""
    return bool(django_settings.DEBUG or getattr(_before_tests(), "debug", False))


def _before_tests() -> Any:
    """Return what setup_test_environment() has put aside, or None where it was not called.

    mail.outbox would be no sign of it: the locmem backend of mail sets it too.
    """
    # Whoever called it imported the module, so that the request path need not import it.
    utils = sys.modules.get("django.test.utils")
    return getattr(getattr(utils, "_TestState", None), "saved_data", None)


_CACHED: tuple[Callable[..., Any], ...] = (get_settings, get_gate, get_codec)


def _forget(*, setting: str, **kwargs: Any) -> None:
    """Read the settings again, for tests that override them."""
    for function in _CACHED:
        function.cache_clear()  # type: ignore[attr-defined]


setting_changed.connect(_forget, dispatch_uid="djsession")
