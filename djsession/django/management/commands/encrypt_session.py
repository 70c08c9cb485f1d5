"""``manage.py encrypt_session``: turns a session into a token."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from djsession import DjsessionError, commands
from djsession.django.conf import get_settings


class Command(BaseCommand):  # type: ignore[misc]
    """See ``help``."""

    help = "Turn a session, a JSON object, into a token encoded with DJAODJIN_SECRET_KEY."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments for the session and the format."""
        parser.add_argument(
            "session",
            nargs="?",
            default="-",
            help="a JSON file, or the JSON itself in braces (default: read stdin)",
        )
        parser.add_argument("--format", choices=("openssl", "jwt"), default="openssl")

    def handle(self, *args: Any, session: str, format: Any, **options: Any) -> None:
        """Print the token."""
        try:
            if session == "-":
                text = sys.stdin.read()
            elif session.lstrip().startswith("{"):
                text = session
            else:
                text = Path(session).read_text(encoding="utf-8")
            self.stdout.write(commands.encrypt(text, get_settings(), format))
        except OSError as error:
            raise CommandError(f"{session}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise CommandError("the session is not UTF-8") from None
        except (commands.InputError, DjsessionError) as error:
            raise CommandError(str(error)) from None
