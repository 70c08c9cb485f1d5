"""The commands ``flask djsession ...``, and the login address that ``flask run`` prints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from flask import current_app
from flask.cli import AppGroup, FlaskGroup
from flask.helpers import get_debug_flag
from werkzeug.serving import is_running_from_reloader

from .. import commands
from ..errors import SessionError
from ..settings import KEY_NAME, Settings
from .users import EXTENSION

if TYPE_CHECKING:
    from ..codec import Format
    from ..mockup import MockupApp

__all__ = ["current_command", "group", "print_login_address"]

group = AppGroup("djsession", help=f"Read and write tokens with {KEY_NAME}.")


def _settings() -> Settings:
    if EXTENSION not in current_app.extensions:
        raise click.ClickException("DjSession is not installed on this application")
    settings: Settings = current_app.extensions[EXTENSION].settings
    return settings


@group.command("encrypt")
@click.argument("file", type=click.File(encoding="utf-8"), default="-")
@click.option("--format", type=click.Choice(["openssl", "jwt"]), default="openssl")
def _encrypt(file: Any, format: Format) -> None:
    """Turn the JSON of a session, in FILE or stdin, into a token."""
    try:
        click.echo(commands.encrypt(file.read(), _settings(), format))
    except commands.InputError as error:
        raise click.ClickException(str(error)) from None


@group.command("decrypt")
@click.argument("token", default="-")
def _decrypt(token: str) -> None:
    """Turn a TOKEN, or a whole Cookie: or Authorization: header, into JSON."""
    try:
        click.echo(commands.decrypt(_argument(token), _settings()))
    except (commands.InputError, SessionError) as error:
        raise click.ClickException(str(error)) from None


@group.command("doctor")
@click.argument("token", default="-")
def _doctor(token: str) -> None:
    """Explain why a TOKEN, a header or a request is refused. Exits with 1 if it is."""
    try:
        report = commands.examine(_argument(token), _settings())
    except commands.InputError as error:
        raise click.ClickException(str(error)) from None
    click.echo(report.as_text())
    if not report.decodes:
        raise click.exceptions.Exit(1)


def current_command() -> click.Context | None:
    """Return the context of the ``flask`` command that is running, or None."""
    context = click.get_current_context(silent=True)
    if context is None or not isinstance(context.find_root().command, FlaskGroup):
        return None
    return context


def print_login_address(options: dict[str, Any], mockups: MockupApp, *, has_key: bool) -> None:
    """Print where to sign in. ``options`` are the options of ``flask run``.

    With the reloader, the application runs in a second process, which restarts after each change.
    The first process prints the address, unless the address contains a login key. Since each
    process has its own key, the second process then prints it after every restart.
    """
    reloads = get_debug_flag() if options["reload"] is None else options["reload"]
    if is_running_from_reloader() != (has_key and reloads):
        return
    address, host, port = "", options["host"], options["port"]
    # Port 0 means that the server will choose a port. A Unix socket does not have a port.
    if port and not host.startswith("unix://"):
        host = "localhost" if host in ("0.0.0.0", "::") else host  # noqa: S104
        scheme = "https" if options["cert"] else "http"
        address = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    users = ", ".join(mockups.sessions.by_name)
    # Do not log the address: logs are stored and other people read them.
    click.echo(f" * Sign in at {address}{mockups.login_path} as one of: {users}", err=True)


def _argument(token: str) -> str:
    return sys.stdin.read() if token == "-" else token
