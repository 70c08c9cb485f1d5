"""Which names of deployutils djsession also has, and the reasons to leave others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from ..settings import KEY_NAME

__all__ = ["APP", "DOTTED", "MODULES", "MOVED", "NEW", "OLD_APPS", "Note", "Reason", "why_left"]

APP = "djsession.django"
OLD_APPS = ("deployutils.apps.django", "deployutils.apps.django_deployutils")
_DJANGO_NAMES = (
    "authentication.JWTAuthentication",
    "backends.auth.ProxyUserBackend",
    "backends.encrypted_cookies",
    "backends.encrypted_cookies.SessionStore",
    "backends.jwt_session_store",
    "backends.jwt_session_store.SessionStore",
    "middleware.SessionMiddleware",
    "mixins.AccessiblesMixin",
    "mixins.AccountMixin",
    "mockup.urls",
    "mockup.urls.urlpatterns",
)

#: The names of deployutils that djsession also has, with their new names.
MOVED: dict[str, str] = {
    f"{package}.{old}": f"{APP}.{new}"
    for package in ("deployutils", *OLD_APPS)
    for new in _DJANGO_NAMES
    for old in (new, new.replace("mixins.", "mixins.base."))
    # Only these are names in versions of deployutils before "apps".
    if package in OLD_APPS or new.startswith(("backends.", "middleware."))
} | {"deployutils.apps.flask.sessions.Session": "djsession.flask.DjSession"}
#: The modules that contain these names, with their new names.
MODULES = {old.rpartition(".")[0]: new.rpartition(".")[0] for old, new in MOVED.items()}
#: Both.
NEW = MODULES | MOVED
#: Matches any name in deployutils.
DOTTED = re.compile(r"(?<![\w./-])deployutils(?:\.[A-Za-z_]\w*)+")


class Reason(Enum):
    """Why something was not changed. The values are the report's headings, in order."""

    SKIPPED = "Skipped, since this command cannot read or write these. Migrate them by hand."
    BROKEN = (
        "djsession does not have these names, and the originals do not work with its session"
        " engines. Use djsession's mockup logins instead."
    )
    PART_OF_MODULE = (
        "djsession has only some of the names in these modules. Import the names instead of the"
        " module, and run this command again."
    )
    IN_TEXT = (
        "These names are part of a longer text, or are made of several strings. Replace them by"
        " hand if necessary."
    )
    OTHER_FILE = "Only Python files and templates are rewritten. Replace these names by hand."
    APP = f"Add {APP!r} to INSTALLED_APPS before this app."
    LOGGER = "djsession logs to the logger 'djsession'. Configure it as well."
    DEBUG = (
        "At level DEBUG, djsession's logger writes the content of each session, including personal"
        " data. Choose INFO if you do not want that."
    )
    KEY = (
        f"With deployutils the environment variable {KEY_NAME} overrides the setting. With"
        " djsession the setting overrides the variable. If you have both, keep only the one with"
        " the current key."
    )
    FLASK_PATHS = (
        "djsession reads DJSESSION_ALLOWED_NO_SESSION from Flask's configuration, not"
        " ALLOWED_NO_SESSION. Entries match whole segments of a path, and by default no path is"
        " open, not even /api and /api/auth. Review the entries, then rename the setting."
    )
    FLASK_COOKIE = (
        "In Flask's configuration, SESSION_COOKIE_NAME names the cookie in which the application"
        " keeps its session. DJSESSION_COOKIE_NAME names the proxy's cookie, and the two must"
        " differ."
    )
    OUTDATED = "Current versions of Django ignore these settings."
    LEFT = "djsession does not have these names. They still come from djaodjin-deployutils."


@dataclass(frozen=True)
class Note:
    """Something that was not changed."""

    line: int
    subject: str
    reason: Reason


def why_left(name: str) -> Reason:
    """Return why a name stays with deployutils."""
    if name in NEW:
        return Reason.PART_OF_MODULE
    is_mockup = any(name.startswith(f"{app}.mockup.") for app in OLD_APPS)
    return Reason.BROKEN if is_mockup else Reason.LEFT
