"""The Pyramid adapter. Pyramid 2.0 and later.

::

    config.include("djsession.pyramid")

with ``djsession.secret_key`` in the ini file, or ``DJAODJIN_SECRET_KEY`` in the environment. It
installs a tween that opens the gate, ``request.djsession``, a session factory, a security
policy, and the view predicates ``djsession_role`` and ``djsession_plan``. An application's own
factory or policy wins over the one installed here.

In an ini file a ``%`` starts an interpolation: one in a key has to be written ``%%``.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from pyramid.authorization import ACLHelper
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPForbidden
from pyramid.interfaces import ISecurityPolicy, ISession
from pyramid.registry import Registry
from pyramid.request import Request
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory
from pyramid.settings import aslist
from pyramid.tweens import EXCVIEW
from zope.interface import implementer

from .errors import AccessDenied, ConfigurationError
from .gate import SESSION_KEY, Gate
from .merged import MergedSession
from .middleware import forbidden
from .principals import principals_of
from .session import Session
from .settings import Settings

__all__ = [
    "PyramidSession",
    "PyramidSettings",
    "SecurityPolicy",
    "includeme",
    "mockup_tween_factory",
    "principals_of",
    "settings_of",
    "tween_factory",
]

logger = logging.getLogger("djsession")

PREFIX = "djsession."
KEY_NAME = PREFIX + "secret_key"

_OPTIONS = "djsession.options"
_INSTALLED = "djsession.installed"
_TWEEN = "djsession.pyramid.tween_factory"
_MOCKUP_TWEEN = "djsession.pyramid.mockup_tween_factory"

Handler = Callable[[Request], Any]
View = Callable[[Any, Request], Any]


@dataclass(frozen=True)
class PyramidSettings(Settings):
    """The settings, ``djsession.`` + name in the ini file. Lists are as ``aslist`` takes them."""

    #: What signs the cookie of what the application writes into ``request.session``.
    local_secret: str | None = field(default=None, repr=False)
    #: The name of that cookie.
    local_cookie_name: str = "djsession_local"
    #: A session factory that stores it instead, or the dotted name of one.
    local_session_factory: Any = None
    #: A YAML file of mockup sessions to sign in with. For development.ini.
    mockup: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.local_cookie_name == self.cookie_name:
            raise ConfigurationError(
                "local_cookie_name is that of the proxy's cookie, which the proxy drops from every"
                " response: choose another"
            )


def includeme(config: Configurator) -> None:
    """Install everything, with the settings of the ini file. For ``config.include``."""
    _check_tweens(config.registry.settings)
    config.add_directive("add_djsession", _add_djsession)
    config.add_tween(_MOCKUP_TWEEN, over=EXCVIEW)
    config.add_tween(_TWEEN, under=EXCVIEW)
    config.set_session_factory(_session_factory)
    config.set_security_policy(SecurityPolicy())
    config.add_view_predicate("djsession_role", _RolePredicate)
    config.add_view_predicate("djsession_plan", _PlanPredicate)
    config.add_view_deriver(_djsession_deriver, "djsession")
    config.add_djsession()


def _add_djsession(config: Configurator, **options: Any) -> None:
    """The directive ``config.add_djsession(**options)``: settings that win over the ini file.

    The options are the fields of PyramidSettings. Called twice it conflicts, as other
    directives do; a call of the application overrides that of ``config.include``.
    """

    def register() -> None:
        config.registry[_OPTIONS] = options

    config.action("djsession", register)


class _Installed:
    """What an application has: its gate, and where the local part of a session is."""

    def __init__(self, registry: Registry) -> None:
        ini = {
            key: value for key, value in (registry.settings or {}).items() if isinstance(key, str)
        }
        for name in ("secret_key", "allowed_no_session", "formats"):
            if isinstance(ini.get(PREFIX + name), str):
                ini[PREFIX + name] = aslist(ini[PREFIX + name])
        size = ini.get(PREFIX + "max_token_size")
        if isinstance(size, str):
            if not size.strip().isdecimal():
                raise ConfigurationError("djsession.max_token_size must be a whole number")
            ini[PREFIX + "max_token_size"] = int(size)
        options = registry[_OPTIONS]
        self.settings = PyramidSettings.from_mapping(
            ini, PREFIX, KEY_NAME, environ=os.environ, **options
        )
        if any("%%" in key for key in self.settings.secret_key or ()):
            logger.warning(
                "djsession.secret_key has '%%%%' in it. A '%%' is written twice in an ini file"
                " alone: if every token is refused, write it once."
            )
        self.gate = Gate(self.settings)
        self.local_factory = self._local_factory()

    def _local_factory(self) -> Callable[[Request], Any]:
        settings = self.settings
        factory = settings.local_session_factory
        if isinstance(factory, str):
            from pyramid.path import DottedNameResolver

            try:
                factory = DottedNameResolver().resolve(factory)
            except (ImportError, AttributeError):
                raise ConfigurationError(
                    "djsession.local_session_factory names nothing that can be imported"
                ) from None
        if factory is not None:
            if not callable(factory):
                raise ConfigurationError("djsession.local_session_factory is no session factory")
            return factory  # type: ignore[no-any-return]
        if settings.local_secret:
            return SignedCookieSessionFactory(  # type: ignore[no-any-return]
                settings.local_secret,
                cookie_name=settings.local_cookie_name,
                httponly=True,
                # Not a new cookie with every answer: the local part is saved when it has changed.
                reissue_time=120,
            )
        return _NoLocal


def _installed(registry: Registry) -> _Installed:
    installed: _Installed | None = registry.get(_INSTALLED)
    if installed is None:
        installed = registry[_INSTALLED] = _Installed(registry)
    return installed


def settings_of(registry: Registry) -> PyramidSettings:
    """Return the settings of an application. Raises ConfigurationError."""
    return _installed(registry).settings


def _session_of(request: Request) -> Session:
    """Return the Session of a request, whatever the gate says; empty when it carries none."""
    environ = request.environ
    if SESSION_KEY not in environ:
        _installed(request.registry).gate.decode(environ)
    session: Session = environ[SESSION_KEY]
    return session


def _djsession_deriver(view: View, info: Any) -> View:
    """Set ``request.djsession`` for a view where the tween has not: in a subrequest."""

    # Neither a request property, for which Pyramid makes a class with each request, nor a
    # subscriber, which makes it look for more of them four times: either costs more than the
    # decryption.
    def derived(context: Any, request: Request) -> Any:
        if not hasattr(request, "djsession"):
            request.djsession = _session_of(request)
        return view(context, request)

    return derived


def _check_tweens(settings: Mapping[str, Any]) -> None:
    explicit = aslist(settings.get("pyramid.tweens", []))
    if explicit and _TWEEN not in explicit:
        raise ConfigurationError(
            f"{_TWEEN} is not among pyramid.tweens: without it no request would be refused. List"
            " it below pyramid.tweens.excview_tween_factory."
        )


def tween_factory(handler: Handler, registry: Registry) -> Handler:
    """A tween that opens the gate, or raises HTTPForbidden for the forbidden view to render.

    It is under the exception view tween and over everything that it guards: routing, static
    views, unknown paths. Where ``pyramid.tweens`` is explicit it has to be in the list, under
    ``pyramid.tweens.excview_tween_factory``; an application without it does not start.
    """
    gate = _installed(registry).gate

    def tween(request: Request) -> Any:
        environ = request.environ
        try:
            # Pyramid puts this header in front of the path that it traverses: what a client can
            # say of it is in no entry.
            is_moved = "HTTP_X_VHM_ROOT" in environ
            request.djsession = gate.open(environ, "*" if is_moved else None)
        except AccessDenied:
            # For the view that renders the refusal.
            request.djsession = environ[SESSION_KEY]
            raise HTTPForbidden(headers=[("Cache-Control", "no-store")]) from None
        return handler(request)

    return tween


def mockup_tween_factory(handler: Handler, registry: Registry) -> Handler:
    """A tween that answers with the mockup logins where ``djsession.mockup`` names a file."""
    settings = _installed(registry).settings
    if settings.mockup is None:
        return handler
    from .mockup import MockupApp

    mockups = MockupApp(forbidden, settings.mockup, **settings.gate_options())

    def tween(request: Request) -> Any:
        answer = mockups.respond(request.environ)
        if answer is None:
            return handler(request)
        return Response(
            answer.body, answer.status, list(answer.headerlist), content_type=answer.content_type
        )

    return tween


@implementer(ISession)
class PyramidSession(MergedSession[Any]):
    """``request.session``: the proxy's keys, read-only, over the application's own session."""

    @property
    def created(self) -> Any:
        """When the application's own session was created, in seconds since the epoch."""
        return self.local.created

    @property
    def new(self) -> bool:
        """Whether the application's own session is new."""
        return bool(self.local.new)

    def changed(self) -> None:
        """Say that a mutable value of the application's own session was changed."""
        self.bind().changed()

    def invalidate(self) -> None:
        """Forget the application's own session. What the proxy sent stays."""
        self.local.invalidate()

    def flash(self, msg: Any, queue: str = "", allow_duplicate: bool = True) -> None:
        """Add a message to a flash queue."""
        self.bind().flash(msg, queue, allow_duplicate)

    def pop_flash(self, queue: str = "") -> Any:
        """Return and remove the messages of a flash queue."""
        return self.local.pop_flash(queue)

    def peek_flash(self, queue: str = "") -> Any:
        """Return the messages of a flash queue."""
        return self.local.peek_flash(queue)

    def new_csrf_token(self) -> Any:
        """Return a new CSRF token, kept in the application's own session."""
        return self.bind().new_csrf_token()

    def get_csrf_token(self) -> Any:
        """Return the CSRF token of the application's own session, a new one if there is none."""
        return self.bind().get_csrf_token()


def _session_factory(request: Request) -> PyramidSession:
    def open_local() -> Any:
        return _installed(request.registry).local_factory(request)

    return PyramidSession(_session_of(request), open_local)


class _NoLocal(dict[str, Any]):
    """The local part where no secret is configured: empty, and not to be written."""

    new = True

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.created = int(time.time())

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConfigurationError(
            "request.session cannot be written: set djsession.local_secret to something unique and"
            " secret, which signs its cookie"
        )

    __setitem__ = _refuse
    changed = flash = new_csrf_token = get_csrf_token = _refuse

    def invalidate(self) -> None:
        pass

    def pop_flash(self, queue: str = "") -> list[Any]:
        return []

    peek_flash = pop_flash


@implementer(ISecurityPolicy)
class SecurityPolicy:
    """Who the proxy says the user is, and ACLs over roles and plans."""

    def __init__(self) -> None:
        self._acl = ACLHelper()

    def identity(self, request: Request) -> Session | None:
        """Return the Session of the signed-in user, or None."""
        session = _session_of(request)
        return session if session.is_authenticated else None

    def authenticated_userid(self, request: Request) -> str | None:
        """Return the username of the signed-in user, or None."""
        return _session_of(request).username

    def permits(self, request: Request, context: Any, permission: str) -> Any:
        """Return whether an ACL of the context's lineage allows a permission to the user."""
        return self._acl.permits(context, principals_of(_session_of(request)), permission)

    def remember(self, request: Request, userid: str, **options: Any) -> list[tuple[str, str]]:
        """Return no headers: signing in is the proxy's."""
        return []

    def forget(self, request: Request, **options: Any) -> list[tuple[str, str]]:
        """Return no headers: signing out is the proxy's."""
        return []


class _Predicate:
    """A view predicate that takes one name or several, any of which will do."""

    name = ""

    def __init__(self, value: str | Sequence[str], config: Configurator) -> None:
        self.wanted = (value,) if isinstance(value, str) else tuple(value)
        if not self.wanted or not all(isinstance(item, str) and item for item in self.wanted):
            raise ConfigurationError(f"{self.name} takes a name or a list of them")

    def text(self) -> str:
        return f"{self.name} = {', '.join(self.wanted)}"

    phash = text


class _RolePredicate(_Predicate):
    name = "djsession_role"

    def __call__(self, context: Any, request: Request) -> bool:
        return bool(_session_of(request).accessibles(self.wanted))


class _PlanPredicate(_Predicate):
    name = "djsession_plan"

    def __call__(self, context: Any, request: Request) -> bool:
        return any(_session_of(request).subscribed_to(plan) for plan in self.wanted)
