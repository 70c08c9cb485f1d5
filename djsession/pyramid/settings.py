"""The settings, and the objects that djsession keeps for an application."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyramid.registry import Registry
from pyramid.request import Request
from pyramid.session import SignedCookieSessionFactory
from pyramid.settings import asbool, aslist

from ..errors import ConfigurationError, hide_locals
from ..gate import Gate
from ..settings import BOOLEAN, LIST, Parser, Settings, setting

__all__ = ["OPTIONS", "ApplicationState", "PyramidSettings", "settings_of", "state_of"]

logger = logging.getLogger("djsession")

PREFIX = "djsession."
KEY_NAME = PREFIX + "secret_key"

#: The registry key that holds the options of ``config.add_djsession``.
OPTIONS = "djsession.options"
_STATE = "djsession.state"

# The settings that turn on Pyramid's development helpers.
_DEVELOPMENT_SETTINGS = (
    "pyramid.reload_all",
    "pyramid.reload_templates",
    "pyramid.reload_assets",
    "pyramid.debug_all",
    "pyramid.debug_authorization",
    "pyramid.debug_notfound",
    "pyramid.debug_routematch",
    "pyramid.debug_templates",
)


def _check_samesite(value: Any) -> str:
    if value not in ("Lax", "Strict", "None"):
        raise ValueError('must be "Lax", "Strict" or "None"')
    return str(value)


@dataclass(frozen=True, init=False)
class PyramidSettings(Settings):
    """The settings, named ``djsession.`` + field in the ini file. ``aslist`` reads lists."""

    #: The secret that signs the cookie of the local session, the writable part of
    #: ``request.session``.
    local_secret: str | None = setting(Parser(), is_secret=True)
    #: The name of the local session's cookie.
    local_cookie_name: str = setting(Parser(), "djsession_local")
    #: Whether browsers send that cookie only over TLS.
    local_cookie_secure: bool = setting(BOOLEAN, False)
    #: Which requests from other sites carry that cookie: "Lax", "Strict" or "None".
    local_cookie_samesite: str = setting(Parser(_check_samesite), "Lax")
    #: A session factory for the local session instead of a signed cookie, or its dotted name.
    local_session_factory: Any = setting(Parser())  # noqa: RUF009
    #: A YAML file of mockup sessions for signing in during development.
    mockup: str | None = setting(Parser())
    #: Host names and addresses, besides localhost, under which mockup logins can be reached.
    mockup_hosts: tuple[str, ...] = setting(LIST, ())
    #: Whether mockup logins answer requests from other machines.
    mockup_allow_remote: bool = setting(BOOLEAN, False)
    #: Whether to allow mockup logins if none of Pyramid's development settings is on.
    mockup_without_debug: bool = setting(BOOLEAN, False)

    def _check_combinations(self) -> None:
        if self.local_cookie_name == self.cookie_name:
            raise ConfigurationError(
                "local_cookie_name is the name of the proxy's cookie, which the proxy removes from"
                " every response: choose another name"
            )
        if self.local_cookie_samesite == "None" and not self.local_cookie_secure:
            raise ConfigurationError(
                "local_cookie_samesite is None, but browsers drop such a cookie unless it is"
                " secure: set local_cookie_secure = true"
            )


class ApplicationState:
    """What djsession keeps for an application: settings, gate and local session factory."""

    @hide_locals
    def __init__(self, registry: Registry) -> None:
        ini = {
            key: value for key, value in (registry.settings or {}).items() if isinstance(key, str)
        }
        self.settings = PyramidSettings.from_mapping(
            ini, PREFIX, KEY_NAME, environ=os.environ, split=aslist, **registry[OPTIONS]
        )
        if any("%%" in key for key in self.settings.secret_key):
            logger.warning(
                "djsession.secret_key contains '%%'. A '%' must be doubled in an ini file, but"
                " nowhere else. If every token is refused, write a single '%'."
            )
        self.gate = Gate(self.settings)
        self.local_factory = self._local_factory()
        self.is_development = any(asbool(ini.get(name)) for name in _DEVELOPMENT_SETTINGS)

    def _local_factory(self) -> Callable[[Request], Any] | None:
        settings = self.settings
        factory = settings.local_session_factory
        if isinstance(factory, str):
            from pyramid.path import DottedNameResolver

            try:
                factory = DottedNameResolver().resolve(factory)
            except (ImportError, AttributeError):
                raise ConfigurationError(
                    "djsession.local_session_factory cannot be imported"
                ) from None
        if factory is not None:
            if not callable(factory):
                raise ConfigurationError("djsession.local_session_factory is not a session factory")
            return factory  # type: ignore[no-any-return]
        if settings.local_secret:
            return SignedCookieSessionFactory(  # type: ignore[no-any-return]
                settings.local_secret,
                cookie_name=settings.local_cookie_name,
                httponly=True,
                secure=settings.local_cookie_secure,
                samesite=settings.local_cookie_samesite,
                # Do not renew the cookie with every response.
                reissue_time=120,
            )
        return None


def state_of(registry: Registry) -> ApplicationState:
    """Return what djsession keeps for an application. Raises ConfigurationError."""
    found: ApplicationState | None = registry.get(_STATE)
    if found is None:
        found = registry[_STATE] = ApplicationState(registry)
    return found


def settings_of(registry: Registry) -> PyramidSettings:
    """Return the settings of an application. Raises ConfigurationError."""
    return state_of(registry).settings
