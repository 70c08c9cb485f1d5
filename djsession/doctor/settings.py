"""The keys and settings to look with: from a module, a file or the environment, not yet checked."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..codec import FORMATS
from ..settings import KEY_NAME, PREFIX
from .inputs import InputError, import_problem

__all__ = ["from_environ", "from_module"]

# What djsession, Flask and djaodjin-deployutils call it.
_NAMES = {
    "cookie_name": ("COOKIE_NAME", "SESSION_COOKIE_NAME"),
    "allowed_no_session": ("ALLOWED_NO_SESSION",),
    "max_token_size": ("MAX_TOKEN_SIZE",),
    "formats": ("FORMATS",),
}


def from_environ(environ: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the secret keys, and the settings that a Case takes, of an environment."""
    key = environ.get(KEY_NAME, "")
    options: dict[str, Any] = {}
    if name := environ.get(PREFIX + "COOKIE_NAME"):
        options["cookie_name"] = name
    if paths := environ.get(PREFIX + "ALLOWED_NO_SESSION"):
        options["allowed_no_session"] = _paths(paths.split(","))
    if formats := _formats(environ.get(PREFIX + "FORMATS", "").split(",")):
        options["formats"] = formats
    size = environ.get(PREFIX + "MAX_TOKEN_SIZE", "")
    if size.isdecimal() and 0 < len(size) < 10 and int(size):
        options["max_token_size"] = int(size)
    return (tuple(key.split(",")) if key else ()), options


def from_module(name: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the same of a module: the settings of a Django project, or a file for Flask.

    Raises InputError when it cannot be imported.
    """
    sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(name)
    except Exception as error:  # whatever a module may raise
        raise InputError(f"{name} cannot be imported: {import_problem(error)}") from None
    finally:
        sys.path.pop(0)
    values: dict[str, Any] = {}
    for attribute in ("DEPLOYUTILS", "DJSESSION"):
        source = getattr(module, attribute, None)
        if isinstance(source, Mapping):
            values.update(source)
    if "ALLOWED_NO_SESSION" in values:
        values["ALLOWED_NO_SESSION"] = _rooted(_paths(values["ALLOWED_NO_SESSION"]))
    values.update(
        {key[len(PREFIX) :]: value for key, value in vars(module).items() if key.startswith(PREFIX)}
    )
    keys = getattr(module, KEY_NAME, None) or values.get(KEY_NAME) or os.environ.get(KEY_NAME, "")
    if isinstance(keys, str):
        keys = keys.split(",") if keys == os.environ.get(KEY_NAME) else [keys]
    options: dict[str, Any] = {}
    for option, names in _NAMES.items():
        for key in names:
            if key in values:
                options.setdefault(option, values[key])
    if "allowed_no_session" in options:
        options["allowed_no_session"] = _paths(options["allowed_no_session"])
    if "formats" in options:
        options["formats"] = _formats(options["formats"]) or FORMATS
    # What is no setting is left out: the application says so when it starts.
    for option, kind in (("max_token_size", int), ("cookie_name", str)):
        if not isinstance(options.get(option, kind()), kind):
            del options[option]
    if not isinstance(keys, (list, tuple)):
        keys = ()
    return tuple(key for key in keys if isinstance(key, str)), options


def _formats(names: Any) -> tuple[str, ...]:
    if not isinstance(names, (list, tuple)):
        return ()
    return tuple(name for item in names if (name := str(item).strip()) in FORMATS)


def _rooted(entries: Sequence[str]) -> Sequence[str]:
    """Return the entries of a Django project as paths: STATIC_URL may be relative, or a CDN's."""
    return tuple(
        path if path.startswith("/") else f"/{path}"
        for path in entries
        if not path.startswith(("http://", "https://", "//"))
    )


def _paths(entries: Any) -> Sequence[str]:
    """Return the entries that are paths: the URLs that a lazy one stands for are not loaded."""
    if not isinstance(entries, (list, tuple)):
        return ()
    return tuple(path for item in entries if isinstance(item, str) and (path := item.strip()))
