"""Mockup sessions: reading them from YAML or a mapping, and saying what is wrong with them.

The file maps a name to a session as the proxy would send it::

    xia:
      roles:
        manager:
          - slug: xia
            subscriptions:
              - {plan: basic, ends_at: 2030-01-01T09:00:00Z}

It is read as data and nothing else: tags other than YAML's own for JSON's types are mistakes.
"""

from __future__ import annotations

import logging
import math
import os
import re
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ..errors import MockupError
from ..session import Session, parse_datetime

__all__ = ["MAX_FILE_SIZE", "MockupSessions", "Source"]

logger = logging.getLogger("djsession")

Source = str | os.PathLike[str] | Mapping[str, Any]

#: Bytes of the largest file that is read.
MAX_FILE_SIZE = 1_048_576

# Values in a file once its aliases are followed: a few lines can stand for billions of them.
_MAX_VALUES = 20_000

# Where a value is: the keys and indexes that lead to it from the top.
_Path = tuple[str | int, ...]
_Problem = tuple[_Path, str]

_DATE = "a date such as 2030-01-01T09:00:00Z"
# "app,tutorial": what the proxy sends as last_visited for a rule with several engagement tags.
_TAGS = re.compile(r"[\w-]+(,[\w-]+)+")


class _State(NamedTuple):
    stamp: object
    sessions: dict[str, Session]
    problems: list[str]


class MockupSessions:
    """The mockup sessions by name, from a path to a YAML file or from a mapping.

    A file that was edited is read again when next asked for. While it is broken the last good
    sessions stay, and ``problems`` says what is wrong. ``check`` is called with each session
    and returns what is wrong with it besides, or None.

    Raises MockupError, with every mistake at once, when there is nothing good to start with.
    """

    def __init__(
        self, source: Source, check: Callable[[Session], str | None] = lambda session: None
    ) -> None:
        self._check = check
        self._lock = threading.Lock()
        self._path: Path | None = None
        if isinstance(source, Mapping):
            sessions, problems = _validate(source, check)
            if problems:
                raise MockupError([f"{_dotted(path)}: {what}" for path, what in problems])
            self._state = _State(None, sessions, [])
            return
        self._path = Path(source)
        self._state = self._read(self._path, {})
        if self._state.problems:
            raise MockupError(self._state.problems)

    @property
    def by_name(self) -> dict[str, Session]:
        """The sessions as they are now."""
        return self._refresh().sessions

    @property
    def problems(self) -> list[str]:
        """What is wrong with the file as it is now, one line each; empty when all is well."""
        return self._refresh().problems

    def by_username(self, username: str | None) -> Session | None:
        """Return the session whose username this is, or None."""
        sessions = self.by_name.values()
        return next((item for item in sessions if username and item.username == username), None)

    def _refresh(self) -> _State:
        if self._path is None or _stamp(self._path) == self._state.stamp:
            return self._state
        with self._lock:
            if _stamp(self._path) != self._state.stamp:
                self._state = self._read(self._path, self._state.sessions)
                if self._state.problems:
                    logger.error(
                        "mockup sessions: keeping the last good ones. %s",
                        " | ".join(self._state.problems),
                    )
                else:
                    logger.info("mockup sessions: read again")
        return self._state

    def _read(self, path: Path, last_good: dict[str, Session]) -> _State:
        # Taken first: an edit while reading is seen next time.
        stamp = _stamp(path)
        try:
            reader = _Reader(_read_text(path))
            sessions, invalid = _validate(reader.read(), self._check)
        except MockupError as error:
            return _State(stamp, last_good, [f"{path}:{problem}" for problem in error.problems])
        # A value that could not be read is missing: what the reader says of it is enough.
        unread = {line for line, _ in reader.problems}
        checked = [(reader.line_of(where), what) for where, what in invalid]
        problems = reader.problems + [item for item in checked if item[0] not in unread]
        if problems:
            lines = [f"{path}:{line}: {what}" for line, what in sorted(problems)]
            return _State(stamp, last_good, lines)
        return _State(stamp, sessions, [])


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read_text(path: Path) -> str:
    """Return the text of a regular file, or raise MockupError: a FIFO would block for ever."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise MockupError(["1: not a regular file, expected a YAML file"])
        if status.st_size > MAX_FILE_SIZE:
            raise MockupError([f"1: larger than {MAX_FILE_SIZE} bytes, expected a small file"])
        return path.read_text(encoding="utf-8")
    except OSError as error:
        problem = f"1: cannot be read ({error.strerror}), expected a YAML file"
    except UnicodeDecodeError:
        problem = "1: not UTF-8, expected a YAML file in UTF-8"
    raise MockupError([problem])


def _dotted(path: _Path) -> str:
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return dotted.lstrip(".") or "sessions"


class _Reader:
    """Turns YAML nodes into data, remembering the line of each value."""

    def __init__(self, text: str) -> None:
        self.problems: list[tuple[int, str]] = []
        self._text = text
        self._lines: dict[_Path, int] = {(): 1}
        self._left = _MAX_VALUES
        self._open: set[int] = set()
        self._scalars = yaml.constructor.SafeConstructor()

    def read(self) -> Any:
        """Return the data; what could not be read is in ``problems``, as line and what.

        Raises MockupError, with ``line: what`` alone, when the text cannot be read at all.
        """
        try:
            node = yaml.compose(self._text, Loader=yaml.SafeLoader)
            return None if node is None else self._value(node, ())
        except yaml.MarkedYAMLError as error:
            raise MockupError(self._syntax_problems(error)) from None
        except (yaml.YAMLError, ValueError, OverflowError):  # no character has such a number
            raise MockupError(["1: a character that YAML does not allow, expected text"]) from None
        except RecursionError:
            raise MockupError(["1: nested too deeply, expected a mapping of sessions"]) from None

    def line_of(self, path: _Path) -> int:
        """Return the line of the nearest part of a path that is written in the file."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def _syntax_problems(self, error: yaml.MarkedYAMLError) -> list[str]:
        tabs = [
            f"{number}: a tab in the indentation, expected spaces"
            for number, line in enumerate(self._text.splitlines(), 1)
            if "\t" in line[: len(line) - len(line.lstrip())]
        ]
        if tabs:
            return tabs
        mark = error.problem_mark or error.context_mark
        what = " ".join(str(part) for part in (error.problem, error.context) if part)
        return [f"{mark.line + 1 if mark else 1}: {what}, expected YAML"]

    def _problem(self, node: yaml.Node, what: str) -> None:
        self.problems.append((node.start_mark.line + 1, what))

    def _value(self, node: yaml.Node, path: _Path) -> Any:
        self._left -= 1
        if self._left < 0:
            raise MockupError(
                [f"1: more than {_MAX_VALUES} values, its aliases followed, expected a small file"]
            )
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._open:
            self._problem(node, "an anchor refers to itself, expected values that end")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
                return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
            if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
                return self._mapping(node, path)
        finally:
            self._open.discard(id(node))
        return self._unknown(node)

    def _mapping(self, node: yaml.MappingNode, path: _Path) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                for item in self._merges(value_node, path):
                    merged = {**item, **merged}
                continue
            if key_node.tag != "tag:yaml.org,2002:str":
                self._problem(
                    key_node, "a key that is not a string, expected one: put it in quotes"
                )
                continue
            key = key_node.value
            where = (*path, key)
            if key in own:
                what = "user" if not path else "key"
                first = self._lines[where]
                self._problem(
                    key_node,
                    f"duplicate {what} {key!r}, first on line {first}, expected each once",
                )
                continue
            self._lines[where] = key_node.start_mark.line + 1
            own[key] = self._value(value_node, where)
        return {**merged, **own}

    def _merges(self, node: yaml.Node, path: _Path) -> Iterator[dict[str, Any]]:
        """Yield the mappings that a merge key (``<<``) brings in, the strongest first."""
        for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            value = self._value(item, (*path, "<<"))
            if isinstance(value, dict):
                yield value
            else:
                self._problem(item, "<< merges what is not a mapping, expected a mapping")

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind = node.tag.rpartition(":")[2] if node.tag.startswith("tag:yaml.org,2002:") else ""
        # A date stays the text that it is: the proxy sends dates as strings.
        if kind in ("str", "timestamp"):
            return node.value
        if kind == "null":
            return None
        try:
            if kind == "bool":
                return self._scalars.construct_yaml_bool(node)
            if kind == "int":
                return self._scalars.construct_yaml_int(node)
            if kind == "float":
                number = self._scalars.construct_yaml_float(node)
                if math.isfinite(number):
                    return number
        except (ValueError, KeyError, IndexError, OverflowError):
            pass
        return self._unknown(node)

    def _unknown(self, node: yaml.Node) -> None:
        self._problem(
            node,
            f"a value of the unknown type {node.tag!r}, expected a string, a number, true, false,"
            " null, a list or a mapping",
        )


def _validate(
    data: Any, check: Callable[[Session], str | None]
) -> tuple[dict[str, Session], list[_Problem]]:
    """Return the sessions of a mapping of names to sessions, and all that is wrong with it."""
    if not isinstance(data, Mapping) or not data:
        return {}, [((), f"{_kind(data)}, expected a mapping of user names to sessions")]
    problems: list[_Problem] = []
    sessions: dict[str, Session] = {}
    usernames: dict[str, str] = {}
    for name, value in data.items():
        where: _Path = (name,)
        if not isinstance(name, str) or not name.strip():
            problems.append(((), "a user name that is not a string, expected one"))
            continue
        if not isinstance(value, Mapping):
            problems.append((where, f"{name} is {_kind(value)}, expected a session: a mapping"))
            continue
        found = list(_session_problems(value, where))
        session = Session({"username": name, **value})
        username = session.username
        if not found and username is not None:
            if username in usernames:
                other = usernames[username]
                found.append(
                    (
                        (*where, "username"),
                        f"duplicate user: {other} has the same username, expected each once",
                    )
                )
            usernames[username] = name
            complaint = check(session)
            if complaint:
                found.append((where, f"{name}: {complaint}"))
        problems += found
        sessions[name] = session
    return sessions, problems


def _session_problems(session: Mapping[str, Any], where: _Path) -> Iterator[_Problem]:
    if "username" in session:
        yield from _text(session, "username", where)
    roles = session.get("roles", {})
    if not isinstance(roles, Mapping):
        what = f"roles is {_kind(roles)}, expected a mapping of roles to lists of organizations"
        yield (*where, "roles"), what
    else:
        for role, organizations in roles.items():
            yield from _role_problems(role, organizations, (*where, "roles", role))
    if "site" in session:
        site = session["site"]
        if not isinstance(site, Mapping):
            yield (*where, "site"), f"site is {_kind(site)}, expected a mapping"
        else:
            for key in ("slug", "printable_name", "email"):
                if key in site:
                    yield from _text(site, key, (*where, "site"))
    visited = session.get("last_visited")
    if not (isinstance(visited, str) and _TAGS.fullmatch(visited)):
        yield from _date(session, "last_visited", where)


def _role_problems(role: object, organizations: Any, where: _Path) -> Iterator[_Problem]:
    if not isinstance(role, str):
        yield where, f"a role is {_kind(role)}, expected a name"
        return
    if not isinstance(organizations, (list, tuple)):
        yield where, f"{role} is {_kind(organizations)}, expected a list of organizations"
        return
    for index, organization in enumerate(organizations):
        here = (*where, index)
        if not isinstance(organization, Mapping):
            yield here, f"{_kind(organization)}, expected an organization: a mapping with a slug"
            continue
        if "slug" not in organization:
            yield here, "an organization without slug, expected a string that identifies it"
        for key in ("slug", "printable_name", "email"):
            if key in organization:
                yield from _text(organization, key, here)
        yield from _date(organization, "created_at", here)
        subscriptions = organization.get("subscriptions", [])
        there = (*here, "subscriptions")
        if not isinstance(subscriptions, (list, tuple)):
            yield there, f"subscriptions is {_kind(subscriptions)}, expected a list of plans"
            continue
        for number, subscription in enumerate(subscriptions):
            yield from _subscription_problems(subscription, (*there, number))


def _subscription_problems(subscription: Any, where: _Path) -> Iterator[_Problem]:
    if not isinstance(subscription, Mapping):
        yield where, f"{_kind(subscription)}, expected a subscription: a mapping with a plan"
        return
    if "plan" not in subscription:
        yield where, "a subscription without plan, expected a string that identifies the plan"
    else:
        yield from _text(subscription, "plan", where)
    yield from _date(subscription, "ends_at", where)


def _text(mapping: Mapping[str, Any], key: str, where: _Path) -> Iterator[_Problem]:
    value = mapping[key]
    if isinstance(value, str) and value.strip():
        return
    hint = ": put it in quotes" if isinstance(value, (int, float)) else ""
    yield (*where, key), f"{key} is {_kind(value)}, expected a string{hint}"


def _date(mapping: Mapping[str, Any], key: str, where: _Path) -> Iterator[_Problem]:
    value = mapping.get(key)
    if value is None or isinstance(value, date) or parse_datetime(value) is not None:
        return
    found = "not a date" if isinstance(value, str) else _kind(value)
    yield (*where, key), f"{key} is {found}, expected {_DATE}, or null"


def _kind(value: object) -> str:
    """Name the type of a value as people who write YAML do, never the value."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string" if value.strip() else "an empty string"
    if isinstance(value, (date, datetime)):
        return "a date"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "a mapping" if isinstance(value, Mapping) else f"of the type {type(value).__name__}"
