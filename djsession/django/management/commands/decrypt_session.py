"""``manage.py decrypt_session``: turns a token into a session."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from djsession import DjsessionError, commands
from djsession.django.conf import get_settings


class Command(BaseCommand):  # type: ignore[misc]
    """See ``help``."""

    help = "Turn a token, or a whole Cookie: or Authorization: header, into JSON."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the argument for the token."""
        parser.add_argument(
            "token", nargs="?", default="-", help="the token or header (default: read stdin)"
        )

    def handle(self, *args: Any, token: str, **options: Any) -> None:
        """Print the session."""
        try:
            text = sys.stdin.read() if token == "-" else token
            self.stdout.write(commands.decrypt(text, get_settings()))
        except (commands.InputError, DjsessionError) as error:
            raise CommandError(str(error)) from None
