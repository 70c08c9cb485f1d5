"""``flask djsession encrypt``, ``decrypt`` and ``doctor``, with the key of the application."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
from flask import current_app
from flask.cli import AppGroup

from .. import commands
from ..errors import SessionError
from ..settings import KEY_NAME, Settings
from .users import EXTENSION

if TYPE_CHECKING:
    from ..codec import Format

__all__ = ["group"]

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
    """Turn a session, JSON in a FILE or stdin, into a token."""
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
    """Explain why a TOKEN, a header or a whole request is refused. Exit code 1 when it is."""
    try:
        report = commands.examine(_argument(token), _settings())
    except commands.InputError as error:
        raise click.ClickException(str(error)) from None
    click.echo(report.as_text())
    if not report.decodes:
        raise click.exceptions.Exit(1)


def _argument(token: str) -> str:
    return sys.stdin.read() if token == "-" else token
