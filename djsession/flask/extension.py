"""DjSession: puts the gate in front of a Flask application."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Flask, abort, current_app, got_request_exception, request, session
from flask.cli import run_command
from flask.helpers import get_debug_flag
from werkzeug.middleware.proxy_fix import ProxyFix

from ..errors import AccessDenied, ConfigurationError, hide_locals
from ..gate import Gate
from ..settings import BOOLEAN, LIST, Parser, Settings, setting
from ..wsgi import SessionMiddleware, check_request
from . import click_commands
from .session_interface import MergedSessionInterface, prepare_error_page
from .users import EXTENSION, template_context, user_of_request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

    from ..mockup import MockupApp

__all__ = ["DjSession", "FlaskSettings"]

logger = logging.getLogger("djsession")


@dataclass(frozen=True, init=False)
class FlaskSettings(Settings):
    """The settings in ``app.config``: ``DJAODJIN_SECRET_KEY`` and ``DJSESSION_...``."""

    #: A YAML file of mockup sessions for signing in while the application is in debug mode.
    mockup: str | os.PathLike[str] | None = setting(Parser())  # noqa: RUF009
    #: Host names, besides localhost, under which mockup logins can be reached.
    mockup_hosts: tuple[str, ...] = setting(LIST, ())
    #: Whether mockup logins answer requests from other machines.
    mockup_allow_remote: bool = setting(BOOLEAN, False)


class DjSession:
    """Puts the gate in front of a Flask application, and makes ``flask.session`` read the session.

    Pass ``app`` here or later to :meth:`init_app`. The options are the fields of FlaskSettings.
    They override ``app.config``, which overrides environment variables.

    A request that the gate refuses ends in ``abort(403)`` before any code of the application runs.
    This includes requests for static files and unknown URLs. Otherwise ``flask.session`` contains
    what the proxy sent, read-only. Anything else that the application writes there is stored in the
    application's own session, which belongs to the signed-in user. Initialise DjSession after any
    extension that replaces ``app.session_interface``.

    A DjSession does not keep any data about an application, so several applications can share it.
    """

    @hide_locals
    def __init__(self, app: Flask | None = None, **options: Any) -> None:
        self._options = options
        if app is not None:
            self.init_app(app)

    @hide_locals
    def init_app(self, app: Flask) -> None:
        """Install the extension. Raises ConfigurationError for a missing or invalid setting."""
        if EXTENSION in app.extensions:
            raise ConfigurationError("DjSession is already installed on this application")
        settings = FlaskSettings.from_mapping(app.config, environ=os.environ, **self._options)
        if app.config["SESSION_COOKIE_NAME"] == settings.cookie_name:
            raise ConfigurationError(
                f"SESSION_COOKIE_NAME is {settings.cookie_name}, the name of the proxy's cookie,"
                " which the proxy drops from every response: choose another name"
            )
        if settings.trusted_proxies is not None and isinstance(app.wsgi_app, ProxyFix):
            logger.warning(
                "trusted_proxies is set, but ProxyFix may replace the address of the connection"
                " with one from X-Forwarded-For, which a client can set: every session will be"
                " refused. Put djsession.SessionMiddleware with trusted_proxies around ProxyFix,"
                " and remove the setting here."
            )
        gate = Gate(settings)
        app.extensions[EXTENSION] = gate
        app.session_interface = MergedSessionInterface(gate, app.session_interface)
        # This is the earliest hook from which the application's error handlers render a refusal.
        # Flask calls it before the before_request functions and before the 404 of an unknown URL.
        app.url_value_preprocessors.setdefault(None, []).insert(0, _check_request)
        got_request_exception.connect(prepare_error_page, app)
        app.context_processor(template_context)
        app.cli.add_command(click_commands.group)
        if settings.mockup is not None:
            app.wsgi_app = _DebugMockups(app, gate, settings)  # type: ignore[method-assign]

    @staticmethod
    def init_login_manager(login_manager: Any) -> None:
        """Make Flask-Login's ``current_user`` and ``login_required`` use only the proxy's user.

        ``login_manager`` is a ``flask_login.LoginManager``. A user in ``flask.session`` or in its
        "remember me" cookie, perhaps from the time before the proxy, no longer counts. This
        also turns off Flask-Login's session protection.
        """

        def load_user() -> None:
            user = user_of_request()
            login_manager._update_request_context_with_user(user if user.is_authenticated else None)

        # The original method looks in all these places before it calls a request_loader.
        login_manager._load_user = load_user


def _check_request(endpoint: str | None, values: dict[str, Any] | None) -> None:
    if not isinstance(current_app.session_interface, MergedSessionInterface):
        raise ConfigurationError(
            "app.session_interface was replaced after DjSession was initialised: initialise"
            " DjSession last"
        )
    try:
        check_request(current_app.extensions[EXTENSION], request.environ)
    except AccessDenied:
        session.local_part.refuse()  # type: ignore[attr-defined]
        abort(403)


class _DebugMockups:
    """Puts the mockup logins in front of an application while it is in debug mode."""

    def __init__(self, app: Flask, gate: Gate, settings: FlaskSettings) -> None:
        self._app, self._settings = app, settings
        self._wsgi_app = app.wsgi_app
        self._gate = gate
        self._lock = threading.Lock()
        self._mockups: MockupApp | None = None
        command = click_commands.current_command()
        if command is not None and command.command is not run_command:
            return  # this command does not serve requests
        # The flask command sets app.debug only after it has loaded the application.
        if not (app.debug if command is None else get_debug_flag()):
            logger.warning("mockup logins are off: the application is not in debug mode")
            return
        # Load the file at start-up, so that mistakes in it show early.
        self._mockups = self._load(print_login_url=command is None)
        if command is not None:
            click_commands.print_login_address(
                command.params, self._mockups, has_key=settings.mockup_allow_remote
            )

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if self._app.debug:
            if self._mockups is None:
                with self._lock:
                    self._mockups = self._mockups or self._load()
            response = self._mockups.respond(environ)
            if response is not None:
                return self._mockups.send(response, environ, start_response)
            return self._mockups.forward(self._wsgi_app, environ, start_response)
        return self._wsgi_app(environ, start_response)

    def _load(self, *, print_login_url: bool = True) -> MockupApp:
        from ..mockup import MockupApp

        assert self._settings.mockup is not None
        return MockupApp(
            SessionMiddleware.from_gate(self._wsgi_app, self._gate),
            self._settings.mockup,
            hosts=self._settings.mockup_hosts,
            allow_remote=self._settings.mockup_allow_remote,
            print_login_url=print_login_url,
        )
