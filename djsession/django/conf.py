"""The settings of Django as djsession's, and the gate that goes by them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from django.conf import settings as django_settings
from django.core.signals import setting_changed
from django.urls import get_script_prefix, set_script_prefix
from django.utils.functional import Promise
from django.utils.module_loading import import_string

from ..codec import SessionCodec
from ..errors import ConfigurationError
from ..gate import Gate
from ..settings import KEY_NAME, Settings

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase

__all__ = [
    "MOCKUP_NAMES",
    "DjangoSettings",
    "debug_of_project",
    "gate_of_request",
    "get_codec",
    "get_gate",
    "get_settings",
    "is_test_environment",
    "local_store_class",
]

#: The URLs of the mockup logins by their names: login page, logout, API, inspector.
MOCKUP_NAMES = ("login", "logout", "api_login", "djsession_inspector")

# What djaodjin-deployutils calls it, and what it is called here.
_NAMES = {
    "SESSION_COOKIE_NAME": "COOKIE_NAME",
    "MOCKUP_SESSIONS": "MOCKUP",
}


@dataclass(frozen=True)
class DjangoSettings(Settings):
    """The settings, read from ``DJSESSION``, then ``DEPLOYUTILS``, then the environment.

    Entries of ``allowed_no_session`` may be lazy, such as ``reverse_lazy("login")``, or relative
    to the script prefix, as Django's ``STATIC_URL``. ``DJSESSION`` takes the names of both.
    """

    #: Where the application keeps what it writes into ``request.session``: any of Django's.
    local_session_engine: str = "django.contrib.sessions.backends.signed_cookies"
    #: The cookie of that session.
    local_session_cookie_name: str = "djsession_local"
    #: The dotted name of its class instead, as for djaodjin-deployutils.
    backend_session_store: str | None = None
    #: Where ``request.user`` is from: "database", or "session" for a project without users in it.
    user_source: str = "database"
    #: Whether email and names of a user in the database follow the session.
    update_user: bool = False
    #: Mockup sessions, a YAML file or a mapping, to sign in with.
    mockup: str | os.PathLike[str] | Mapping[str, Any] | None = field(default=None, repr=False)
    #: Host names besides localhost that mockup logins answer to.
    mockup_hosts: Sequence[str] = ()
    #: Have mockup logins although DEBUG is off.
    mockup_without_debug: bool = False

    def __post_init__(self) -> None:
        entries = self.allowed_no_session
        if isinstance(entries, Sequence) and not isinstance(entries, str):
            # A lazy one cannot be looked at yet: the URLs are not loaded.
            now = tuple(item for item in entries if not isinstance(item, Promise))
            object.__setattr__(self, "allowed_no_session", now)
        super().__post_init__()
        if isinstance(entries, Sequence):
            object.__setattr__(self, "allowed_no_session", tuple(entries))
        if self.user_source not in ("database", "session"):
            raise ConfigurationError('USER_SOURCE must be "database" or "session"')
        for name in ("update_user", "mockup_without_debug"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name.upper()} must be True or False")
        if not isinstance(self.mockup, (str, os.PathLike, Mapping, type(None))):
            raise ConfigurationError("MOCKUP must be a path to a YAML file, or a dict of sessions")
        hosts = self.mockup_hosts
        if isinstance(hosts, str) or not all(isinstance(host, str) for host in hosts):
            raise ConfigurationError("MOCKUP_HOSTS must be a list of host names")
        if self.local_session_cookie_name == self.cookie_name:
            raise ConfigurationError(
                "LOCAL_SESSION_COOKIE_NAME is that of the proxy's cookie, which the proxy drops"
                " from every response: choose another"
            )

    def with_urls(self, script_prefix: str) -> DjangoSettings:
        """Return the settings with the paths that lazy and relative entries stand for."""
        paths = []
        for item in self.allowed_no_session:
            # reverse() quotes a path; the gate sees it decoded.
            entry = unquote(str(item)) if isinstance(item, Promise) else item
            if not entry:
                raise ConfigurationError("ALLOWED_NO_SESSION has an empty entry")
            # On another host, such as a STATIC_URL on a CDN: no path of this site.
            if not entry.startswith(("http://", "https://", "//")):
                paths.append(entry if entry.startswith("/") else script_prefix + entry)
        return replace(self, allowed_no_session=paths)


@cache
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
            # Most of what deployutils is told is not for here.
            if name == "DJSESSION" or known_as in known or key == KEY_NAME:
                values[known_as] = value
    secret_key = getattr(django_settings, KEY_NAME, None)
    if secret_key is not None:
        values[KEY_NAME] = secret_key
    if isinstance(values.get("MOCKUP"), (str, os.PathLike)):
        values["MOCKUP"] = Path(getattr(django_settings, "BASE_DIR", ""), values["MOCKUP"])
    return DjangoSettings.from_mapping(values, "", KEY_NAME, environ=os.environ)


# A server has one script prefix, rarely a few.
@lru_cache(maxsize=16)
def get_gate(script_prefix: str = "/") -> Gate:
    """Return the gate of an application mounted at ``script_prefix``, which ends in a slash."""
    current = get_script_prefix()
    set_script_prefix(script_prefix)  # what reverse() goes by
    try:
        settings = get_settings().with_urls(script_prefix)
        paths = [*settings.allowed_no_session, *_mockup_paths(script_prefix)]
    finally:
        set_script_prefix(current)
    return Gate(replace(settings, allowed_no_session=paths), home=script_prefix)


def gate_of_request(script_prefix: str) -> Gate:
    """Return the gate for the script prefix of a request, which may be anything.

    Where no path could be under what lazy and relative entries stand for, nothing is open.
    """
    try:
        return get_gate(script_prefix)
    except ConfigurationError:
        get_gate("/")  # what is wrong with the settings themselves is raised
        return Gate(replace(get_settings(), allowed_no_session=()))


def _mockup_paths(script_prefix: str) -> list[str]:
    """Return where a project has its mockup logins: open to people who are not signed in."""
    if get_settings().mockup is None:
        return []
    from django.urls import NoReverseMatch, Resolver404, resolve, reverse

    paths = []
    for name in MOCKUP_NAMES:
        try:
            path = reverse(name)
            view = resolve("/" + path.removeprefix(script_prefix)).func
        except (NoReverseMatch, Resolver404):
            continue
        if view.__module__ == "djsession.django.mockup.views":
            paths.append(path)
    return paths


@cache
def get_codec() -> SessionCodec:
    """Return what reads and writes tokens under the keys of the project."""
    return get_settings().codec()


@cache
def local_store_class() -> type[SessionBase]:
    """Return the class of the local sessions. Raises ConfigurationError."""
    from .backends.base import SessionStore

    settings = get_settings()
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


def is_test_environment() -> bool:
    """Whether Django's test environment is set up, by whichever test runner."""
    return _before_tests() is not None


def debug_of_project() -> bool:
    """Return DEBUG as the project has it: test runners switch it off."""
    return bool(django_settings.DEBUG or getattr(_before_tests(), "debug", False))


def _before_tests() -> Any:
    """Return what setup_test_environment() has put aside, or None where it was not called.

    Not mail.outbox, which is there as soon as the locmem backend of mail has been used.
    """
    # Whoever has called it has imported it: the request path need not.
    utils = sys.modules.get("django.test.utils")
    return getattr(getattr(utils, "_TestState", None), "saved_data", None)


_CACHED: tuple[Callable[..., Any], ...] = (get_settings, get_gate, get_codec, local_store_class)


def _forget(*, setting: str, **kwargs: Any) -> None:
    """Read the settings again, for tests that override them."""
    for function in _CACHED:
        function.cache_clear()  # type: ignore[attr-defined]


setting_changed.connect(_forget, dispatch_uid="djsession")
