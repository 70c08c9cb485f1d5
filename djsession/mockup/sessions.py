"""Reads mockup sessions and access rules, and reports what is wrong with them.

The file maps each name to a session as the proxy would send it::

    xia:
      roles:
        manager:
          - slug: xia
            subscriptions:
              - {plan: basic, ends_at: 2030-01-01T09:00:00Z}

With access rules (see :mod:`djsession.mockup.rules`), that mapping moves below the key
``sessions``::

    sessions:
      xia: {...}
    rules:
      - {path: /static/, allow: any}
      - {path: /, allow: authenticated}

A file without rules may have a user named ``sessions``: see ``_has_rules``.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import MockupError
from ..session import Session, parse_datetime
from .reader import Problem, Reader, Where, kind_of, read_text, text_problems
from .rules import Rule, Rules, read_rules

__all__ = ["MockupSessions", "Source"]

logger = logging.getLogger("djsession")

Source = str | os.PathLike[str] | Mapping[str, Any]

_DATE = "a date such as 2030-01-01T09:00:00Z"
# The proxy sends a last_visited such as "app,tutorial" for a rule with several engagement tags.
_TAGS = re.compile(r"[\w-]+(,[\w-]+)+", re.ASCII)

# The keys that this package reads, then further keys that the proxy sends.
_SESSION_KEYS = ("username", "roles", "site", "last_visited")
_KNOWN_OF_SESSION = (
    *_SESSION_KEYS,
    *("email", "full_name", "invoice_keys", "session_key"),
    *("access_key", "secret_key", "security_token"),
)
_KNOWN_OF_SITE = ("slug", "printable_name", "email", "full_name")
_KNOWN_OF_ORGANIZATION = (*_KNOWN_OF_SITE, "created_at", "subscriptions")
_KNOWN_OF_SUBSCRIPTION = ("plan", "ends_at")
# How similar two keys must be for a warning, from 0 to 1. "role" and "roles" have a similarity of
# 0.89. A proxy may well send "created_by", whose similarity with "created_at" is 0.8.
_ALIKE = 0.82


class _State(NamedTuple):
    stamp: object
    sessions: dict[str, Session]
    rules: Rules
    problems: list[str]
    warnings: list[str]


class MockupSessions:
    """The mockup sessions by name, and the access rules, from a YAML file or from a mapping.

    An edited file is read again at the next access. While the file has mistakes, the last good
    sessions and rules stay in use, and ``problems`` lists the mistakes. ``check`` is called with
    each session and returns what else is wrong with it, or None.

    Raises MockupError with all mistakes if the source has mistakes from the start.
    """

    def __init__(
        self, source: Source, check: Callable[[Session], str | None] = lambda session: None
    ) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._path: Path | None = None
        if isinstance(source, Mapping):
            sessions, rules, found = _validate(source, check, lambda where: None)
            problems, warnings = [
                [f"{_dotted(item.where)}: {item.what}" for item in found if item.is_fatal == fatal]
                for fatal in (True, False)
            ]
            self._state = _State(None, sessions, rules, problems, warnings)
        else:
            self._path = Path(source)
            self._state = self._read(self._path, _State(None, {}, Rules(), [], []))
        self._log_warnings()
        if self._state.problems:
            raise MockupError(self._state.problems)

    @property
    def by_name(self) -> dict[str, Session]:
        """The sessions as they are now."""
        return self._refresh().sessions

    @property
    def rules(self) -> Rules:
        """The access rules as they are now. They are empty if the source contains only sessions."""
        return self._refresh().rules

    @property
    def source(self) -> str:
        """The path of the file as it was passed, or ``""`` if there is no file."""
        return "" if self._path is None else str(self._path)

    @property
    def problems(self) -> list[str]:
        """The mistakes in the file as it is now, one line each."""
        return self._refresh().problems

    @property
    def warnings(self) -> list[str]:
        """The probable mistakes in the file as it is now, one line each."""
        return self._refresh().warnings

    def by_username(self, username: str | None) -> Session | None:
        """Return the session with this username, or None."""
        sessions = self.by_name.values()
        return next((item for item in sessions if username and item.username == username), None)

    def _refresh(self) -> _State:
        if self._path is None or _stamp(self._path) == self._state.stamp:
            return self._state
        with self._lock:
            if _stamp(self._path) != self._state.stamp:
                self._state = self._read(self._path, self._state)
                if self._state.problems:
                    logger.error(
                        "mockup sessions: the file has mistakes, so the last good sessions stay in"
                        " use. %s",
                        " | ".join(self._state.problems),
                    )
                else:
                    logger.info("mockup sessions: the file has changed and was reloaded")
                self._log_warnings()
        return self._state

    def _read(self, path: Path, last_good: _State) -> _State:
        # Taken first, so that an edit during reading is noticed next time.
        stamp = _stamp(path)
        try:
            reader = Reader(read_text(path))
            sessions, rules, found = _validate(reader.read(), self._check, reader.line_of)
        except MockupError as error:
            # A problem with a line starts with its number.
            problems = [
                f"{path}:{'' if problem[0].isdigit() else ' '}{problem}"
                for problem in error.problems
            ]
            return _State(stamp, last_good.sessions, last_good.rules, problems, [])
        # A value that could not be read is missing from the data. The reader already reports it.
        unread = {line for line, _ in reader.problems}
        lines = [(reader.line_of(where), what, is_fatal) for where, what, is_fatal in found]
        fatal = [(line, what) for line, what, is_fatal in lines if is_fatal and line not in unread]
        # Several aliases of one anchor repeat a warning.
        minor = {(line, what) for line, what, is_fatal in lines if not is_fatal}
        problems, warnings = [
            [f"{path}:{line}: {what}" for line, what in sorted(items)]
            for items in (reader.problems + fatal, minor)
        ]
        if problems:
            sessions, rules = last_good.sessions, last_good.rules
        return _State(stamp, sessions, rules, problems, warnings)

    def _log_warnings(self) -> None:
        for warning in self._state.warnings:
            logger.warning("mockup sessions: %s", warning)


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    return status.st_mtime_ns, status.st_size, status.st_ino


def _dotted(path: Where) -> str:
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return dotted.lstrip(".") or "sessions"


def _validate(
    data: Any,
    check: Callable[[Session], str | None],
    line_of: Callable[[Where], int | None],
) -> tuple[dict[str, Session], Rules, list[Problem]]:
    """Return the sessions and the rules in a source, and all problems with it."""
    if not _has_rules(data):
        sessions, problems = _read_sessions(data, (), check)
        return sessions, Rules(), problems
    sessions, problems = _read_sessions(data["sessions"], ("sessions",), check)
    rules: list[Rule] = []
    if "rules" in data:
        rules, found = read_rules(data["rules"], ("rules",), line_of)
        problems += found
    problems += [
        Problem((key,), f"unknown key {key!r} next to sessions, expected sessions and rules")
        for key in data
        if key not in ("sessions", "rules")
    ]
    return sessions, Rules(rules), problems


def _has_rules(data: Any) -> bool:
    """Return whether a source has its users below the key ``sessions`` instead of at the top.

    The keys ``sessions`` and ``rules`` at the top are names of users only if their values look like
    sessions: a mapping with one of the keys username, roles, site and last_visited. Rules do not
    look like that, even if somebody writes them as a mapping, so they are never skipped.
    """
    return (
        isinstance(data, Mapping)
        and "sessions" in data
        and not all(
            isinstance(data[key], Mapping) and any(known in data[key] for known in _SESSION_KEYS)
            for key in ("sessions", "rules")
            if key in data
        )
    )


def _read_sessions(
    data: Any, where: Where, check: Callable[[Session], str | None]
) -> tuple[dict[str, Session], list[Problem]]:
    """Return the sessions in a mapping from names to sessions, and all problems with it."""
    if not isinstance(data, Mapping) or not data:
        what = f"{kind_of(data)}, expected a mapping from user names to sessions"
        return {}, [Problem(where, what)]
    problems: list[Problem] = []
    sessions: dict[str, Session] = {}
    usernames: dict[str, str] = {}
    for name, value in data.items():
        here: Where = (*where, name)
        if not isinstance(name, str) or not name.strip():
            problems.append(Problem(where, "a user name that is not a string, expected a string"))
            continue
        if not isinstance(value, Mapping):
            what = f"{name} is {kind_of(value)}, expected a session: a mapping"
            if name == "rules":
                what += ". In a file with rules, the users are below the key sessions"
            problems.append(Problem(here, what))
            continue
        found = list(_session_problems(value, here))
        session = Session({"username": name, **value})
        username = session.username
        if not any(problem.is_fatal for problem in found) and username is not None:
            if username in usernames:
                other = usernames[username]
                what = f"duplicate user: {other} has the same username, expected each username once"
                found.append(Problem((*here, "username"), what))
            usernames[username] = name
            complaint = check(session)
            if complaint:
                found.append(Problem(here, f"{name}: {complaint}"))
        problems += found
        sessions[name] = session
    return sessions, problems


def _misspelled_keys(
    mapping: Mapping[str, Any], known: tuple[str, ...], where: Where
) -> Iterator[Problem]:
    """Yield a warning for each unknown key that is close to a known one.

    Other unknown keys are fine: the proxy sends more keys than this package reads.
    """
    meant = {key: key for key in known}
    if "subscriptions" in known:
        meant["plan"] = "subscriptions"  # the right name for a list of plans
    for key in mapping:
        if isinstance(key, str) and key not in known:
            for close in get_close_matches(key, meant, n=1, cutoff=_ALIKE):
                what = f"unknown key {key!r}, did you mean {meant[close]!r}?"
                yield Problem((*where, key), what, is_fatal=False)


def _session_problems(session: Mapping[str, Any], where: Where) -> Iterator[Problem]:
    yield from _misspelled_keys(session, _KNOWN_OF_SESSION, where)
    if "username" in session:
        yield from text_problems(session, "username", where)
    roles = session.get("roles", {})
    if not isinstance(roles, Mapping):
        what = f"roles is {kind_of(roles)}, expected a mapping from roles to lists of organizations"
        yield Problem((*where, "roles"), what)
    else:
        for role, organizations in roles.items():
            yield from _role_problems(role, organizations, (*where, "roles", role))
    if "site" in session:
        site = session["site"]
        if not isinstance(site, Mapping):
            yield Problem((*where, "site"), f"site is {kind_of(site)}, expected a mapping")
        else:
            yield from _misspelled_keys(site, _KNOWN_OF_SITE, (*where, "site"))
            for key in ("slug", "printable_name", "email"):
                if key in site:
                    yield from text_problems(site, key, (*where, "site"))
    visited = session.get("last_visited")
    if not (isinstance(visited, str) and _TAGS.fullmatch(visited)):
        yield from _date(session, "last_visited", where)


def _role_problems(role: object, organizations: Any, where: Where) -> Iterator[Problem]:
    if not isinstance(role, str):
        yield Problem(where, f"a role is {kind_of(role)}, expected a name")
        return
    if not isinstance(organizations, (list, tuple)):
        yield Problem(
            where, f"{role} is {kind_of(organizations)}, expected a list of organizations"
        )
        return
    for index, organization in enumerate(organizations):
        here = (*where, index)
        if not isinstance(organization, Mapping):
            yield Problem(
                here, f"{kind_of(organization)}, expected an organization: a mapping with a slug"
            )
            continue
        yield from _misspelled_keys(organization, _KNOWN_OF_ORGANIZATION, here)
        if "slug" not in organization:
            yield Problem(
                here, "an organization without a slug, expected a string that identifies it"
            )
        for key in ("slug", "printable_name", "email"):
            if key in organization:
                yield from text_problems(organization, key, here)
        yield from _date(organization, "created_at", here)
        subscriptions = organization.get("subscriptions", [])
        there = (*here, "subscriptions")
        if not isinstance(subscriptions, (list, tuple)):
            yield Problem(
                there, f"subscriptions is {kind_of(subscriptions)}, expected a list of plans"
            )
            continue
        for number, subscription in enumerate(subscriptions):
            yield from _subscription_problems(subscription, (*there, number))


def _subscription_problems(subscription: Any, where: Where) -> Iterator[Problem]:
    if not isinstance(subscription, Mapping):
        yield Problem(
            where, f"{kind_of(subscription)}, expected a subscription: a mapping with a plan"
        )
        return
    yield from _misspelled_keys(subscription, _KNOWN_OF_SUBSCRIPTION, where)
    if "plan" not in subscription:
        yield Problem(where, "a subscription without a plan, expected a string that identifies it")
    else:
        yield from text_problems(subscription, "plan", where)
    yield from _date(subscription, "ends_at", where)


def _date(mapping: Mapping[str, Any], key: str, where: Where) -> Iterator[Problem]:
    value = mapping.get(key)
    if value is None or isinstance(value, date) or parse_datetime(value) is not None:
        return
    found = "not a date" if isinstance(value, str) else kind_of(value)
    yield Problem((*where, key), f"{key} is {found}, expected {_DATE}, or null")
