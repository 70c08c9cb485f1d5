"""Reads the keys and settings to examine a request with, from the environment or a module.

An application does not start with a wrong setting. The doctor reports it and continues without it.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError
from ..keys import generate_key
from ..settings import KEY_NAME, PREFIX, Settings, parser_of, split_at_commas
from .inputs import InputError
from .secret_keys import Keys

__all__ = ["Configuration"]

_LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")

# Settings that have another name in djaodjin-deployutils.
_OTHER_NAMES = {"cookie_name": "SESSION_COOKIE_NAME"}


@dataclass(frozen=True)
class Configuration:
    """The keys as configured, and settings that can be used.

    The settings hold the usable keys, or else the trimmed keys, or else a key that opens no token.
    ``problems`` are the messages about settings that were left out because they are wrong.
    ``is_development`` tells that mockup logins issue the tokens instead of the proxy.
    """

    keys: Keys
    settings: Settings
    problems: tuple[str, ...] = ()
    is_development: bool = False

    @classmethod
    def of(cls, keys: Sequence[str], values: Mapping[str, Any]) -> Configuration:
        """Return the configuration for keys, and other settings by the names of their fields."""
        known = Keys(tuple(keys))
        secret_key = known.usable or known.trimmed or (generate_key(),)
        accepted: dict[str, Any] = {}
        problems = []
        for name, value in values.items():
            try:
                Settings(secret_key=secret_key, **{name: value})
            except ConfigurationError as error:
                problems.append(str(error))
            else:
                accepted[name] = value
        return cls(known, Settings(secret_key=secret_key, **accepted), tuple(problems))

    @classmethod
    def of_settings(cls, settings: Settings, *, is_development: bool = False) -> Configuration:
        """Return the configuration for an application that started with these settings."""
        return cls(Keys(settings.secret_key), settings, is_development=is_development)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], **explicit: Any) -> Configuration:
        """Return the configuration in the environment, which explicit values override."""
        values: dict[str, Any] = {}
        problems = []
        for item in fields(Settings):
            name = KEY_NAME if item.name == "secret_key" else PREFIX + item.name.upper()
            if environ.get(name):
                try:
                    values[item.name] = parser_of(item).read(environ[name], split_at_commas)
                except ValueError as error:
                    problems.append(f"{name}: {error}")
        return cls._with(values, explicit, problems)

    @classmethod
    def from_module(cls, name: str, **explicit: Any) -> Configuration:
        """Return the configuration in a module: a Django project's settings, or a file for Flask.

        Raises InputError when the module cannot be imported.
        """
        sys.path.insert(0, os.getcwd())
        try:
            module = importlib.import_module(name)
        except Exception as error:  # a module may raise anything
            raise InputError(f"{name} cannot be imported: {_import_problem(error)}") from None
        finally:
            sys.path.pop(0)
        found: dict[str, Any] = {}
        for attribute in ("DEPLOYUTILS", "DJSESSION"):
            source = getattr(module, attribute, None)
            if isinstance(source, Mapping):
                found.update(source)
        if "ALLOWED_NO_SESSION" in found:
            found["ALLOWED_NO_SESSION"] = _paths(found["ALLOWED_NO_SESSION"])
        for key, value in vars(module).items():
            if key.startswith(PREFIX):
                found[key[len(PREFIX) :]] = value
        values: dict[str, Any] = {}
        for item in fields(Settings):
            for key in (item.name.upper(), _OTHER_NAMES.get(item.name, "")):
                if found.get(key) is not None:
                    values.setdefault(item.name, found[key])
        values.pop("secret_key", None)
        secret_key = getattr(module, KEY_NAME, None) or found.get(KEY_NAME)
        if not secret_key:
            secret_key = os.environ.get(KEY_NAME, "").split(",")
        values["secret_key"] = [secret_key] if isinstance(secret_key, str) else secret_key
        return cls._with(values, explicit, [])

    @classmethod
    def _with(
        cls, values: dict[str, Any], explicit: Mapping[str, Any], problems: Sequence[str]
    ) -> Configuration:
        values.update({name: value for name, value in explicit.items() if value is not None})
        keys = values.pop("secret_key", ())
        if not isinstance(keys, (list, tuple)):
            keys = ()
        configuration = cls.of([key for key in keys if isinstance(key, str)], values)
        return cls(configuration.keys, configuration.settings, (*problems, *configuration.problems))


def _paths(entries: Any) -> Any:
    """Return the allowed_no_session entries of a Django project as paths.

    STATIC_URL may be relative or on a CDN. The URLs that lazy entries name are not loaded.
    """
    if not isinstance(entries, (list, tuple)):
        return entries
    return [
        entry if entry.startswith("/") else f"/{entry}"
        for entry in entries
        if isinstance(entry, str) and entry and not entry.startswith(("http://", "https://", "//"))
    ]


def _import_problem(error: BaseException) -> str:
    """Describe what a module raised and where, without values: messages may contain secrets."""
    said = type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name:
        said = f"there is no module named {error.name}"
    elif isinstance(error, KeyError) and re.fullmatch(r"'[A-Z][A-Z0-9_]*'", str(error)):
        said = f"KeyError: {error}"  # the name of a variable
    elif isinstance(error, ConfigurationError):
        return str(error)
    # The last line in the project's own code, rather than in Python's or a package's.
    others = ("<", str(Path(__file__).parent.parent), *map(sysconfig.get_path, _LIBRARIES))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(others):
            return f"{said}, line {frame.lineno} of {Path(frame.filename).name}"
    return said
