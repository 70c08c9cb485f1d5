"""The Flask extension. Flask 3.0 and later.

::

    from flask import Flask
    from djsession.flask import DjSession, current_session, current_user

    app = Flask(__name__)
    DjSession(app)  # or djsession = DjSession() and djsession.init_app(app)
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import click
import flask
from flask import Flask, abort, current_app, g, request
from flask.cli import AppGroup
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.local import LocalProxy

from . import cli
from .errors import AccessDenied, ConfigurationError, SessionError
from .gate import SESSION_KEY, Gate
from .merged import MergedSession
from .requirements import Requirement, plan_requirement, role_requirement
from .session import Session
from .settings import KEY_NAME, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication
    from flask import Request, Response

    from .codec import Format
    from .mockup import MockupApp

__all__ = [
    "DjSession",
    "FlaskSession",
    "FlaskSettings",
    "User",
    "current_session",
    "current_user",
    "plan_required",
    "role_required",
]

logger = logging.getLogger("djsession")

_EXTENSION = "djsession"

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class FlaskSettings(Settings):
    """The settings, read from ``app.config``: ``DJAODJIN_SECRET_KEY`` and ``DJSESSION_...``."""

    #: A YAML file of mockup sessions, to sign in with while the application is in debug mode.
    mockup: str | os.PathLike[str] | None = field(default=None)


class DjSession:
    """Opens the gate in front of a Flask application, and fills ``flask.session``.

    ``app`` may be given later, to :meth:`init_app`. The options are the fields of
    FlaskSettings; those not given come from ``app.config``, then from the environment.

    A request that the gate refuses is ``abort(403)`` before anything of the application runs,
    static files and unknown URLs included. Behind it ``flask.session`` reads what the proxy
    sent, and writes into the application's own session, which belongs to the signed-in user.
    Initialise it after an extension that replaces ``app.session_interface``.

    It holds nothing of an application, so that one serves many.
    """

    def __init__(self, app: Flask | None = None, **options: Any) -> None:
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Install it. Raises ConfigurationError for a missing or wrong setting."""
        if _EXTENSION in app.extensions:
            raise ConfigurationError("DjSession is installed on this application already")
        settings = FlaskSettings.from_mapping(app.config, environ=os.environ, **self._options)
        if app.config["SESSION_COOKIE_NAME"] == settings.cookie_name:
            raise ConfigurationError(
                f"SESSION_COOKIE_NAME is {settings.cookie_name}, the cookie of the proxy, which"
                " drops it from every response: choose another"
            )
        gate = Gate(settings)
        app.extensions[_EXTENSION] = gate
        app.session_interface = _MergedSessionInterface(gate, app.session_interface)

        def open_gate(endpoint: str | None, values: dict[str, Any] | None) -> None:
            if not isinstance(app.session_interface, _MergedSessionInterface):
                raise ConfigurationError(
                    "app.session_interface was replaced after DjSession was initialised:"
                    " initialise DjSession last"
                )
            try:
                gate.open(request.environ)
            except AccessDenied:
                abort(403)

        # Flask calls these before the functions of before_request, and before it raises the 404
        # of an unknown URL: the earliest there is, inside of the application's error handlers.
        app.url_value_preprocessors.setdefault(None, []).insert(0, open_gate)
        app.context_processor(_template_context)
        app.cli.add_command(_commands)
        if settings.mockup is not None:
            app.wsgi_app = _DebugMockups(app, settings)  # type: ignore[method-assign]

    @staticmethod
    def init_login_manager(login_manager: Any) -> None:
        """Make Flask-Login's ``current_user`` and ``login_required`` know the proxy's user.

        ``login_manager`` is a ``flask_login.LoginManager``. Its session protection is switched
        off: the session is the proxy's, in a new token with every request.
        """
        login_manager.request_loader(lambda request: _user() if _user().is_authenticated else None)
        login_manager.session_protection = None


class User:
    """The user of a session, as Flask-Login expects one."""

    def __init__(self, session: Session) -> None:
        #: The whole session.
        self.session = session

    @property
    def username(self) -> str | None:
        """The name of the user, None when nobody is signed in."""
        return self.session.username

    @property
    def is_authenticated(self) -> bool:
        """Whether somebody is signed in."""
        return self.session.is_authenticated

    @property
    def is_active(self) -> bool:
        """The same: the proxy signs no inactive user in."""
        return self.session.is_authenticated

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody is signed in."""
        return not self.session.is_authenticated

    def get_id(self) -> str | None:
        """Return the username."""
        return self.session.username

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, User):
            return NotImplemented
        return self.session.username == other.session.username

    def __hash__(self) -> int:
        return hash(self.session.username)


def _session() -> Session:
    if _EXTENSION not in current_app.extensions:
        raise RuntimeError("DjSession is not installed on this application")
    # What a view makes of it is this user's, as what it makes of flask.session is.
    flask.session.accessed = True
    session: Session = request.environ[SESSION_KEY]
    return session


def _user() -> User:
    session = _session()
    user: User | None = g.get("_djsession_user")
    if user is None or user.session is not session:
        user = g._djsession_user = User(session)
    return user


#: The Session of the request; empty when nobody is signed in.
current_session: Session = cast(Session, LocalProxy(_session))

#: The User of the request.
current_user: User = cast(User, LocalProxy(_user))


def _template_context() -> dict[str, Any]:
    return {"current_session": current_session, "current_user": current_user}


def role_required(
    *roles: str, account: str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a view to answer 403 unless the user has one of ``roles``.

    ``account`` names the argument of the view that is the slug of the organization to have the
    role for; without it any organization will do.
    """
    return _required(role_requirement(roles, account))


def plan_required(*plans: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a view to answer 403 unless an organization of the user has one of ``plans``."""
    return _required(plan_requirement(plans))


def _required(is_met: Requirement) -> Callable[[Callable[P, R]], Callable[P, R]]:
    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            if not is_met(_session(), kwargs):
                abort(403)
            return cast(R, current_app.ensure_sync(view)(*args, **kwargs))

        return wrapper

    return decorate


class FlaskSession(MergedSession[SessionMixin], SessionMixin):
    """``flask.session``: the proxy's keys, read-only, over the application's own session."""

    accessed = False

    @property
    def modified(self) -> bool:
        """Whether the application's own session has changed."""
        return self.is_local_open and self.local.modified

    @modified.setter
    def modified(self, value: bool) -> None:
        if value or self.is_local_open:
            self.local.modified = value

    # Flask 3.1.3 and later tell by themselves.
    def __getitem__(self, key: str) -> Any:
        self.accessed = True
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[str]:
        self.accessed = True
        return super().__iter__()


class _MergedSessionInterface(SessionInterface):
    """Puts the proxied session over that of another interface, which stores the local part."""

    def __init__(self, gate: Gate, inner: SessionInterface) -> None:
        self._gate = gate
        self._inner = inner
        self.pickle_based = inner.pickle_based

    def open_session(self, app: Flask, request: Request) -> FlaskSession:
        # Before Flask matches the URL, and without an answer yet: that is for the gate to give.
        self._gate.decode(request.environ)

        def open_local() -> SessionMixin:
            local = self._inner.open_session(app, request)
            return self._inner.make_null_session(app) if local is None else local

        return FlaskSession(request.environ[SESSION_KEY], open_local)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        assert isinstance(session, FlaskSession)
        if session.accessed:
            if "Vary" in response.headers:
                response.vary.update(("Cookie", "Authorization"))
            else:
                response.headers["Vary"] = "Cookie, Authorization"
        # Not opened and no cookie: there is nothing to keep. With one, Flask may want to renew it.
        if session.is_local_open or self._may_have_local(app):
            local = session.local
            if not self._inner.is_null_session(local):
                local.accessed = session.accessed
                self._inner.save_session(app, local, response)

    def _may_have_local(self, app: Flask) -> bool:
        # "session=" is not in "sessionid=...". Parsing the header would cost more than all else.
        return f"{self._inner.get_cookie_name(app)}=" in request.environ.get("HTTP_COOKIE", "")


class _DebugMockups:
    """The mockup logins in front of an application, while it is in debug mode."""

    def __init__(self, app: Flask, settings: FlaskSettings) -> None:
        self._app, self._settings = app, settings
        self._wsgi_app: WSGIApplication = app.wsgi_app
        self._lock = threading.Lock()
        # At start-up where it is known, so that mistakes in the file show there.
        self._mockups = self._load() if app.debug else None
        if not app.debug:
            logger.warning("mockup logins are off: the application is not in debug mode")

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if self._app.debug:
            if self._mockups is None:
                with self._lock:
                    self._mockups = self._mockups or self._load()
            response = self._mockups.respond(environ)
            if response is not None:
                return self._mockups.send(response, environ, start_response)
        return self._wsgi_app(environ, start_response)

    def _load(self) -> MockupApp:
        from .mockup import MockupApp

        settings = self._settings
        assert settings.mockup is not None
        return MockupApp(self._wsgi_app, settings.mockup, **settings.gate_options())


_commands = AppGroup("djsession", help=f"Read and write tokens under {KEY_NAME}.")


def _settings() -> Settings:
    if _EXTENSION not in current_app.extensions:
        raise click.ClickException("DjSession is not installed on this application")
    gate: Gate = current_app.extensions[_EXTENSION]
    return gate.settings


@_commands.command("encrypt")
@click.argument("file", type=click.File(encoding="utf-8"), default="-")
@click.option("--format", type=click.Choice(["openssl", "jwt"]), default="openssl")
def _encrypt(file: Any, format: Format) -> None:
    """Turn a session, JSON in a FILE or stdin, into a token."""
    try:
        click.echo(cli.encrypt(file.read(), _settings(), format))
    except (cli.InputError, SessionError) as error:
        raise click.ClickException(str(error)) from None


@_commands.command("decrypt")
@click.argument("token", default="-")
def _decrypt(token: str) -> None:
    """Turn a TOKEN, or a whole Cookie: or Authorization: header, into JSON."""
    try:
        click.echo(cli.decrypt(_argument(token), _settings()))
    except (cli.InputError, SessionError) as error:
        raise click.ClickException(str(error)) from None


@_commands.command("doctor")
@click.argument("token", default="-")
def _doctor(token: str) -> None:
    """Say why a TOKEN, a header or a whole request is refused. Exit code 1 when it is."""
    settings = _settings()
    try:
        report = cli.examine(
            _argument(token),
            settings.secret_key or (),
            cookie_name=settings.cookie_name,
            allowed_no_session=settings.allowed_no_session,
            max_token_size=settings.max_token_size,
            formats=settings.formats,
        )
    except cli.InputError as error:
        raise click.ClickException(str(error)) from None
    click.echo(report.as_text())
    if not report.decodes:
        raise click.exceptions.Exit(1)


def _argument(token: str) -> str:
    return sys.stdin.read() if token == "-" else token
