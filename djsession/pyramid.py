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
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from pyramid.authorization import ACLHelper
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPForbidden
from pyramid.interfaces import ISecurityPolicy, ISession
from pyramid.registry import Registry
from pyramid.request import Request
from pyramid.response import Response
from pyramid.session import SignedCookieSessionFactory
from pyramid.settings import asbool, aslist
from pyramid.tweens import EXCVIEW
from zope.interface import implementer

from .caching import REFUSAL_HEADERS, with_caching_headers
from .errors import AccessDenied, ConfigurationError, hide_locals
from .gate import Gate
from .local_session import LocalPart, MergedSession
from .requirements import principals_of
from .session import Session
from .settings import BOOLEAN, Parser, Settings, setting
from .wsgi import DECODED_KEY, SESSION_KEY, check_request, decode_request, forbidden

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
# In the environ of a request that the tween refused.
_REFUSED_KEY = "djsession.refused"
_TWEEN = "djsession.pyramid.tween_factory"
_MOCKUP_TWEEN = "djsession.pyramid.mockup_tween_factory"

Handler = Callable[[Request], Any]
View = Callable[[Any, Request], Any]


# What turns a Pyramid application's development helpers on.
_DEVELOPMENT = (
    "pyramid.reload_all",
    "pyramid.reload_templates",
    "pyramid.reload_assets",
    "pyramid.debug_all",
    "pyramid.debug_authorization",
    "pyramid.debug_notfound",
    "pyramid.debug_routematch",
    "pyramid.debug_templates",
)


@dataclass(frozen=True, init=False)
class PyramidSettings(Settings):
    """The settings, ``djsession.`` + name in the ini file. Lists are as ``aslist`` takes them."""

    #: What signs the cookie of what the application writes into ``request.session``.
    local_secret: str | None = setting(Parser(), is_secret=True)
    #: The name of that cookie.
    local_cookie_name: str = setting(Parser(), "djsession_local")
    #: A session factory that stores it instead, or the dotted name of one.
    local_session_factory: Any = setting(Parser())  # noqa: RUF009
    #: A YAML file of mockup sessions to sign in with. For development.ini.
    mockup: str | None = setting(Parser())
    #: Whether mockup logins answer requests from other machines.
    mockup_allow_remote: bool = setting(BOOLEAN, False)
    #: Whether there are mockup logins although none of Pyramid's development settings is on.
    mockup_without_debug: bool = setting(BOOLEAN, False)

    def _check_together(self) -> None:
        if self.local_cookie_name == self.cookie_name:
            raise ConfigurationError(
                "local_cookie_name is that of the proxy's cookie, which the proxy drops from every"
                " response: choose another name"
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
    """What an application has: its gate, and where the local part of a session is stored."""

    @hide_locals
    def __init__(self, registry: Registry) -> None:
        ini = {
            key: value for key, value in (registry.settings or {}).items() if isinstance(key, str)
        }
        self.settings = PyramidSettings.from_mapping(
            ini, PREFIX, KEY_NAME, environ=os.environ, split=aslist, **registry[_OPTIONS]
        )
        if any("%%" in key for key in self.settings.secret_key):
            logger.warning(
                "djsession.secret_key contains '%%'. A '%' is written twice in an ini file and"
                " nowhere else: if every token is refused, write it once."
            )
        self.gate = Gate(self.settings)
        self.local_factory = self._local_factory()
        self.is_development = any(asbool(ini.get(name)) for name in _DEVELOPMENT)

    def _local_factory(self) -> Callable[[Request], Any]:
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
        # Before the tween, or in a subrequest without tweens.
        decode_request(_installed(request.registry).gate, environ)
        request.add_response_callback(_add_caching_headers)
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
        # Callbacks, since tweens over this one make some responses, that of exceptions for example,
        # and may use the session.
        if _passes(gate, request):
            request.add_response_callback(_add_caching_headers)
            return handler(request)
        request.add_response_callback(_add_refusal_headers)
        raise HTTPForbidden

    return tween


def _passes(gate: Gate, request: Request) -> bool:
    """Return whether the gate lets a request pass, and set ``request.djsession``."""
    environ = request.environ
    session = decode_request(gate, environ)
    if session is None:
        try:
            # Pyramid puts the header X-Vhm-Root, which a client can set, in front of the path that
            # it traverses.
            check_request(gate, environ, may_be_open="HTTP_X_VHM_ROOT" not in environ)
        except AccessDenied:
            environ[_REFUSED_KEY] = True
    # For the view that renders a refusal, too. Not by setattr(), for which WebOb does more.
    request.__dict__["djsession"] = environ[SESSION_KEY]
    return _REFUSED_KEY not in environ


def _add_refusal_headers(request: Request, response: Response) -> None:
    for name, value in REFUSAL_HEADERS:
        response.headers[name] = value


def _add_caching_headers(request: Request, response: Response) -> None:
    if request.response_callbacks:
        # After those that the application added, which may use the session.
        request.add_response_callback(_add_caching_headers)
        return
    # request.session is there once it was asked for; one of another factory may be anybody's.
    session = request.__dict__.get("session")
    is_local_open = session is not None and (
        not isinstance(session, PyramidSession) or session.local_part.is_open
    )
    response.headerlist = with_caching_headers(
        response.headerlist,
        is_personal=is_local_open or request.environ[DECODED_KEY].session is not None,
    )


def mockup_tween_factory(handler: Handler, registry: Registry) -> Handler:
    """A tween that answers with the mockup logins where ``djsession.mockup`` names a file.

    It does so where one of Pyramid's own development settings is on, such as
    ``pyramid.reload_templates``, or ``djsession.mockup_without_debug``.
    """
    installed = _installed(registry)
    settings = installed.settings
    if settings.mockup is None:
        return handler
    if not (installed.is_development or settings.mockup_without_debug):
        logger.warning(
            "the mockup logins of djsession.mockup are off, because no development setting is on:"
            " set pyramid.reload_templates = true, or djsession.mockup_without_debug = true"
        )
        return handler
    from .mockup import MockupApp

    mockups = MockupApp(
        forbidden,
        settings.mockup,
        allow_remote=settings.mockup_allow_remote,
        **settings.gate_options(),
    )

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
        """Record that a mutable value of the application's own session was changed."""
        self.local_part.bind().changed()

    def invalidate(self) -> None:
        """Forget the application's own session. What the proxy sent stays."""
        self.local.invalidate()

    def flash(self, msg: Any, queue: str = "", allow_duplicate: bool = True) -> None:
        """Add a message to a flash queue."""
        self.local_part.bind().flash(msg, queue, allow_duplicate)

    def pop_flash(self, queue: str = "") -> Any:
        """Return and remove the messages of a flash queue."""
        return self.local.pop_flash(queue)

    def peek_flash(self, queue: str = "") -> Any:
        """Return the messages of a flash queue."""
        return self.local.peek_flash(queue)

    def new_csrf_token(self) -> Any:
        """Return a new CSRF token, kept in the application's own session."""
        return self.local_part.bind().new_csrf_token()

    def get_csrf_token(self) -> Any:
        """Return the CSRF token of the application's own session, a new one if there is none."""
        return self.local_part.bind().get_csrf_token()


def _session_factory(request: Request) -> PyramidSession:
    is_refused = _REFUSED_KEY in request.environ
    factory = _Unstored if is_refused else _installed(request.registry).local_factory

    callbacks = (request.response_callbacks, request.finished_callbacks)
    before: list[int] = []

    def open_stored() -> Any:
        before[:] = map(len, callbacks)
        return factory(request)

    def open_new() -> Any:
        # The stored session belongs to somebody else. Its callbacks must not run: they would send
        # its cookie again, and store again what was read, over what its owner has written since.
        for queue, length in zip(callbacks, before, strict=False):
            while len(queue) > length:
                queue.pop()
        # As for a request without cookies, so that the store draws a new id.
        environ = request.environ
        cookie = environ.pop("HTTP_COOKIE", None)
        try:
            return factory(request)
        finally:
            if cookie is not None:
                environ["HTTP_COOKIE"] = cookie

    proxied = _session_of(request)
    return PyramidSession(proxied, LocalPart(proxied, open_stored, open_new, is_refused=is_refused))


class _Unstored(dict[str, Any]):
    """The local part of a refused request: it can be written, and nothing of it is kept."""

    new = True

    def __init__(self, request: Request) -> None:
        super().__init__()
        self.created = int(time.time())
        self._queues: dict[str, list[Any]] = {}

    def changed(self) -> None:
        pass

    def invalidate(self) -> None:
        self.clear()

    def flash(self, msg: Any, queue: str = "", allow_duplicate: bool = True) -> None:
        self._queues.setdefault(queue, []).append(msg)

    def peek_flash(self, queue: str = "") -> list[Any]:
        return self._queues.get(queue, [])

    def pop_flash(self, queue: str = "") -> list[Any]:
        return self._queues.pop(queue, [])

    def new_csrf_token(self) -> str:
        return secrets.token_hex()

    get_csrf_token = new_csrf_token


class _NoLocal(_Unstored):
    """The local part where no secret is configured: empty, and not to be written."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise ConfigurationError(
            "request.session cannot be written: set djsession.local_secret to something unique and"
            " secret, which signs its cookie"
        )

    __setitem__ = changed = flash = new_csrf_token = get_csrf_token = _refuse


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
        """Return no headers: the proxy signs users in."""
        return []

    def forget(self, request: Request, **options: Any) -> list[tuple[str, str]]:
        """Return no headers: the proxy signs users out."""
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
