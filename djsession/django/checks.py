"""System checks, which report mistakes in a project's settings before a request fails."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.backends import RemoteUserBackend
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core.checks import CheckMessage, Error, Warning
from django.db.models import EmailField
from django.middleware.cache import FetchFromCacheMiddleware
from django.urls import NoReverseMatch, get_resolver
from django.utils.functional import Promise
from django.utils.module_loading import import_string

from ..errors import ConfigurationError, MockupError
from ..keys import PROXY_LENGTH
from .backends.base import SessionStore, local_store_class
from .conf import (
    DjangoSettings,
    debug_of_project,
    get_settings,
    is_mockup_view,
    reversed_paths,
)
from .middleware import SessionMiddleware
from .roles import groups_field

__all__ = ["check_settings"]

_MIDDLEWARE = "djsession.django.middleware.SessionMiddleware"
_KEY_HINT = (
    "Set DJAODJIN_SECRET_KEY, in settings.py or in the environment, to the key that DjaoDjin shows"
    " in the settings of your site."
)
_LEAST_DISTINCT = 6


def check_settings(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """Return a message for each mistake in the settings, with an id ``djsession.…`` and a hint."""
    try:
        found = get_settings()
    except ConfigurationError as error:
        is_key = "secret key" in str(error) or "secret_key" in str(error)
        return [
            Error(
                str(error),
                hint=_KEY_HINT if is_key else "Correct DJSESSION or DEPLOYUTILS in settings.py.",
                id="djsession.E001" if is_key else "djsession.E002",
            )
        ]
    return [
        *_check_key(found),
        *_check_middleware(),
        *_check_engines(found),
        *_check_backends(),
        *_check_users(found),
        *_check_open_pages(found),
        *_check_trusted_proxies(found),
        *_check_mockup(found),
    ]


def _check_key(found: DjangoSettings) -> Iterator[CheckMessage]:
    for key in found.secret_key or ():
        if len(key) < PROXY_LENGTH or len(set(key)) < _LEAST_DISTINCT:
            yield Warning(
                f"DJAODJIN_SECRET_KEY is weak: it has fewer than {PROXY_LENGTH} characters, or"
                f" fewer than {_LEAST_DISTINCT} different characters.",
                hint="Generate a new key at DjaoDjin, or run 'djsession keygen' for mockup logins.",
                id="djsession.W001",
            )
            return


def _check_middleware() -> Iterator[CheckMessage]:
    classes: list[Any] = []
    for path in settings.MIDDLEWARE:
        try:
            classes.append(import_string(path))
        except ImportError:
            classes.append(None)  # Django reports this itself
    ours = _first_index(classes, SessionMiddleware)
    if ours is None:
        yield Error(
            f"{_MIDDLEWARE} is not in MIDDLEWARE, so no request is refused.",
            hint="Replace django.contrib.sessions.middleware.SessionMiddleware with it.",
            id="djsession.E003",
        )
    for found in classes:
        if _is_subclass(found, DjangoSessionMiddleware) and not _is_subclass(
            found, SessionMiddleware
        ):
            yield Error(
                "Django's own SessionMiddleware is in MIDDLEWARE, and replaces request.session.",
                hint=f"Remove it, since {_MIDDLEWARE} takes its place.",
                id="djsession.E004",
            )
    for other, why in (
        (AuthenticationMiddleware, "it reads request.session"),
        (MessageMiddleware, "it reads request.session"),
        (FetchFromCacheMiddleware, "it would answer requests from the cache that the gate refuses"),
    ):
        place = _first_index(classes, other)
        if ours is not None and place is not None and place < ours:
            yield Error(
                f"{other.__name__} comes before SessionMiddleware in MIDDLEWARE: {why}.",
                hint=f"Put {_MIDDLEWARE} before it.",
                id="djsession.E005",
            )


def _check_engines(found: DjangoSettings) -> Iterator[CheckMessage]:
    try:
        engine = import_string(settings.SESSION_ENGINE + ".SessionStore")
    except ImportError:
        engine = None
    if not _is_subclass(engine, SessionStore):
        yield Error(
            f"SESSION_ENGINE is {settings.SESSION_ENGINE}, which does not read the proxy's"
            " sessions.",
            hint="Set it to djsession.django.backends.encrypted_cookies or"
            " djsession.django.backends.jwt_session_store, and set"
            ' DJSESSION["LOCAL_SESSION_ENGINE"] to a session engine of Django.',
            id="djsession.E006",
        )
    try:
        local_store_class()
    except ConfigurationError as error:
        yield Error(
            str(error),
            hint='Set DJSESSION["LOCAL_SESSION_ENGINE"] to a session engine of Django, or'
            ' DEPLOYUTILS["BACKEND_SESSION_STORE"] to the dotted name of its class. Add'
            " django.contrib.sessions to INSTALLED_APPS for an engine that uses the database.",
            id="djsession.E007",
        )
    if found.cookie_name != settings.SESSION_COOKIE_NAME:
        yield Warning(
            f"SESSION_COOKIE_NAME is {settings.SESSION_COOKIE_NAME}, but the proxy's cookie is"
            f" {found.cookie_name}. Django's test client sets only the former.",
            hint="Set both to the same name.",
            id="djsession.W002",
        )


def _check_backends() -> Iterator[CheckMessage]:
    if isinstance(settings.AUTHENTICATION_BACKENDS, str):
        yield Error(
            "AUTHENTICATION_BACKENDS is a string, but must be a list or a tuple.",
            hint="A tuple with one item needs a trailing comma.",
            id="djsession.E009",
        )
        return
    backends = []
    for path in settings.AUTHENTICATION_BACKENDS:
        try:
            backends.append(import_string(path))
        except ImportError:
            continue
    if _first_index(backends, RemoteUserBackend) is None:
        yield Error(
            "AUTHENTICATION_BACKENDS does not contain a backend for the proxy's users, so"
            " request.user is always anonymous.",
            hint="Add djsession.django.backends.auth.ProxyUserBackend.",
            id="djsession.E008",
        )


def _check_users(found: DjangoSettings) -> Iterator[CheckMessage]:
    model = get_user_model()
    field = model._meta.get_field(model.USERNAME_FIELD)
    if isinstance(field, EmailField) or field.name == "email":
        yield Warning(
            f"{model.__name__}.USERNAME_FIELD is {field.name}, but the proxy sends usernames, not"
            " e-mail addresses. Each user gets a new row with the username as the e-mail address.",
            hint="Set USERNAME_FIELD to a field that holds the username from the proxy.",
            id="djsession.W009",
        )
    if found.groups and groups_field(model) is None:
        yield Error(
            f"GROUPS is set, but {model.__name__} does not have groups.",
            hint="Derive the model from django.contrib.auth.models.PermissionsMixin.",
            id="djsession.E014",
        )
    if found.staff_roles is not None:
        for name in ("is_staff", "is_superuser"):
            attribute = getattr(model, name, None)
            if isinstance(attribute, property) and attribute.fset is None:
                yield Error(
                    f"STAFF_ROLES is set, but {model.__name__}.{name} is a read-only property, so"
                    " every request of a user fails.",
                    hint=f"Make {name} a field, or remove STAFF_ROLES.",
                    id="djsession.E015",
                )
    has_superusers = hasattr(model, "is_superuser") and found.user_source == "database"
    if has_superusers and found.staff_roles is None:
        yield Warning(
            "Anybody who registers at the proxy under the username of a superuser in the database"
            " becomes that superuser here.",
            hint='Set DJSESSION["STAFF_ROLES"] to the roles that make a user is_staff, and'
            ' "SUPERUSER_ROLES" to the roles that make a user is_superuser. With [], no role does.',
            id="djsession.W010",
        )


def _check_open_pages(found: DjangoSettings) -> Iterator[CheckMessage]:
    for entry in found.allowed_no_session:
        if isinstance(entry, Promise):
            yield from _check_named_page(entry)
        elif not entry:
            yield Error(
                "ALLOWED_NO_SESSION has an empty entry, which does not open any path.",
                hint="Remove it. Most likely STATIC_URL or MEDIA_URL is empty.",
                id="djsession.E012",
            )
        else:
            yield from _check_mount_point(entry)


def _check_named_page(entry: Promise) -> Iterator[CheckMessage]:
    """Check an entry from reverse_lazy() or the like, which should open only the page it names."""
    try:
        paths = reversed_paths(entry)
    except NoReverseMatch as error:
        # Not an Error, which would stop commands: some URLs exist only with DEBUG.
        yield Warning(
            f"ALLOWED_NO_SESSION has an entry that does not name a URL: {error}",
            hint="Name an existing URL, or write the path. The entry does not open any path.",
            id="djsession.W007",
        )
        return
    routes = [route for route, _ in _routes(get_resolver().url_patterns)]
    for path in paths:
        page = path.strip("/")
        below = [route for route in routes if page and route.startswith(f"{page}/")]
        others = [route for route in below if route.rstrip("/") != page]
        if others:
            yield Warning(
                f"ALLOWED_NO_SESSION opens {path} and also {len(others)} of the URLs below it, such"
                f" as /{others[0]}.",
                hint="An entry opens everything below it. List only pages that do not have other"
                " pages below them.",
                id="djsession.W005",
            )


def _check_mount_point(entry: str) -> Iterator[CheckMessage]:
    mount_point = (settings.FORCE_SCRIPT_NAME or "").rstrip("/")
    if mount_point and f"{entry.rstrip('/')}/".startswith(f"{mount_point}/"):
        yield Error(
            f"ALLOWED_NO_SESSION has the entry {entry}, which starts with FORCE_SCRIPT_NAME. It"
            " does not match any path, since entries are paths inside the application.",
            hint=f"Write {entry[len(mount_point) :] or '/'}",
            id="djsession.E013",
        )


def _check_trusted_proxies(found: DjangoSettings) -> Iterator[CheckMessage]:
    if found.trusted_proxies is None:
        return
    hint = (
        "TRUSTED_PROXIES compares the address of the connection. Remove whatever replaces it with"
        " an address from X-Forwarded-For, which a client can set."
    )
    if os.environ.get("FORWARDED_ALLOW_IPS") == "*":
        yield Warning(
            "TRUSTED_PROXIES is set, but FORWARDED_ALLOW_IPS is '*', so uvicorn takes the peer's"
            " address from X-Forwarded-For, whoever sends it.",
            hint=hint,
            id="djsession.W006",
        )
    for path in settings.MIDDLEWARE:
        if re.search(r"forwarded|proxy_?fix|xff|real_?ip", path, re.IGNORECASE):
            yield Warning(
                f"TRUSTED_PROXIES is set, but {path} in MIDDLEWARE seems to replace REMOTE_ADDR.",
                hint=hint,
                id="djsession.W006",
            )


def _routes(patterns: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the route of each URL pattern, without regular expression anchors, and its view."""
    for item in patterns:
        route = prefix + re.sub(r"[\^$]|\\Z", "", str(item.pattern))
        if hasattr(item, "url_patterns"):
            yield from _routes(item.url_patterns, route)
        else:
            yield route, item.callback


def _check_mockup(found: DjangoSettings) -> Iterator[CheckMessage]:
    if not found.allows_mockups and getattr(settings, "ROOT_URLCONF", None):
        yield from _check_mockup_urls()
    if found.mockup is None:
        return
    if found.allows_mockups:
        # Imported here: WebOb and PyYAML are for mockups.
        from ..mockup import MockupSessions

        try:
            MockupSessions(found.mockup)
        except MockupError as error:
            yield Error(
                f"The mockup sessions cannot be used: {'; '.join(error.problems)}",
                hint='Correct DJSESSION["MOCKUP"]. A relative path is relative to BASE_DIR.',
                id="djsession.E011",
            )
    if debug_of_project():
        return
    if found.mockup_without_debug:
        yield Warning(
            "Mockup logins are allowed although DEBUG is off, so anyone who can reach them can sign"
            " in as anyone.",
            hint='Remove "MOCKUP_WITHOUT_DEBUG" from DJSESSION.',
            id="djsession.W003",
        )
    else:
        yield Warning(
            "Mockup sessions are configured although DEBUG is off.",
            hint="Move them to your development settings.",
            id="djsession.W004",
        )


def _check_mockup_urls() -> Iterator[CheckMessage]:
    if any(is_mockup_view(view) for _, view in _routes(get_resolver().url_patterns)):
        yield Warning(
            "djsession.django.mockup.urls is included although DEBUG is off, so its views answer"
            " 404.",
            hint="If the proxy itself answers these paths, no change is needed. Otherwise, include"
            " them only with DEBUG.",
            id="djsession.W008",
        )


def _is_subclass(found: Any, base: type) -> bool:
    return isinstance(found, type) and issubclass(found, base)


def _first_index(classes: Sequence[Any], base: type) -> int | None:
    return next((index for index, found in enumerate(classes) if _is_subclass(found, base)), None)
