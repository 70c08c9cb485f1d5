"""encrypt, decrypt and examine, for the command line and the commands of Flask and Django."""

from __future__ import annotations

import json

from .codec import Format
from .doctor import Case, Configuration, InputError, Report, read_request
from .errors import SessionError
from .settings import Settings
from .transport import Candidate, find_candidates

__all__ = ["InputError", "decrypt", "encrypt", "examine"]


def encrypt(text: str, settings: Settings, format: Format = "openssl") -> str:
    """Return a token for a session in JSON. Raises InputError for invalid input."""
    try:
        session = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        raise InputError("not readable as JSON") from None
    if not isinstance(session, dict):
        raise InputError("a session must be a JSON object, in braces")
    try:
        return settings.codec().dumps(session, format)
    except ValueError as error:
        raise InputError(str(error)) from None


def decrypt(text: str, settings: Settings) -> str:
    """Return the session in a token or a header line as JSON.

    If there are several tokens, the first that decodes counts. Raises InputError when there is no
    token, and the SessionError of the first token when none of them decodes.
    """
    codec = settings.codec()
    failures: list[SessionError] = []
    for candidate in _candidates(text, settings.cookie_name):
        found = codec.try_loads(candidate.token)
        if not isinstance(found, SessionError):
            return json.dumps(found, indent=2)
        failures.append(found)
    raise failures[0]


def examine(text: str, configuration: Configuration | Settings) -> Report:
    """Return the doctor's report on a token, a header or a request.

    ``configuration`` is either the configuration as written, valid or not, or the settings of a
    running application. Raises InputError when there is nothing to examine.
    """
    if isinstance(configuration, Settings):
        configuration = Configuration.of_settings(configuration)
    return Report.of(Case(read_request(text), configuration))


def _candidates(text: str, cookie_name: str) -> list[Candidate]:
    """Return the tokens in a header line, or the text itself as a token."""
    text = text.strip()
    name, colon, value = text.partition(":")
    header = name.strip().lower() if colon else ""
    cookie = authorization = None
    if header == "cookie" or f"{cookie_name}=" in text:
        cookie = value if header == "cookie" else text
    elif header == "authorization" or text.lower().startswith("bearer "):
        authorization = value if header == "authorization" else text
    elif text:
        return [Candidate("unknown", text.strip('"'))]
    found = find_candidates(cookie, authorization, cookie_name)
    if not found:
        raise InputError(
            f"no token found: expected a token, a Cookie header with {cookie_name}, or an"
            " Authorization: Bearer header"
        )
    return found
