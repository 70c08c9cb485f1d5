"""``djsession serve``: runs the stand-in in front of an application or of a server at a URL."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .devserver import address_of, open_server, run_until_stopped
from .errors import ConfigurationError
from .keys import check_secret_keys, generate_key
from .mockup.forwarder import Forwarder
from .mockup.locality import is_this_machine
from .mockup.stand_in import StandIn
from .settings import KEY_NAME, Settings
from .wsgi import SessionMiddleware, is_asgi

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from .codec import Format

__all__ = ["development_key", "key_path", "load_application", "serve"]


def serve(
    target: str,
    *,
    host: str,
    port: int,
    mockup: str | None,
    format: Format,
    websockets: bool,
    hosts: Sequence[str],
    allow_remote: bool,
) -> int:
    """Serve an application, or stand in front of a server, until stopped. Return the exit code.

    ``target`` is ``MODULE:APP`` or the URL of a server. Prints the addresses, the users of the
    ``mockup`` file, and the key that the application needs. Raises ConfigurationError for a wrong
    argument, and MockupError with all mistakes in the file.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    is_url = "//" in target
    if is_url and mockup is None:
        raise ConfigurationError(
            "a URL needs --mockup FILE: the file contains the sessions to send"
        )
    if websockets and not is_url:
        raise ConfigurationError("--websockets needs the URL of a server that speaks WebSocket")
    has_own_key = bool(os.environ.get(KEY_NAME))
    if not has_own_key:
        # The application that is about to be imported reads it there.
        os.environ[KEY_NAME] = development_key()
    lines = []
    app: WSGIApplication
    if is_url:
        app = forwarder = Forwarder(target)
        if forwarder.port == port and _is_here(forwarder.host, host):
            raise ConfigurationError(
                f"{target} is the address that this server itself would use: choose another --port"
            )
        is_up = forwarder.probe()
        lines.append(
            f"Forwarding to {forwarder.url}" + ("" if is_up else ", where nothing answers yet")
        )
    else:
        sys.path.insert(0, os.getcwd())
        app = load_application(target)
        lines.append(f"Serving {target}")
    stand_in = None
    if mockup is not None:
        settings = (
            app.gate.settings if isinstance(app, SessionMiddleware) else Settings.from_environ()
        )
        app = stand_in = StandIn(
            app,
            mockup,
            settings,
            format=format,
            websockets=websockets,
            hosts=hosts,
            allow_remote=allow_remote,
            print_login_url=False,
        )
    with open_server(app, host, port) as server:
        address = address_of(host, server.server_port)
        lines[0] += f" at {address}/" if not is_url else f". Open {address}/"
        if stand_in is not None:
            users = ", ".join(stand_in.sessions.by_name)
            lines.append(f"Sign in at {address}{stand_in.login_path} as one of: {users}")
        if not has_own_key and is_url:
            lines.append(
                "The application needs the same key. Set it where you start the application:\n"
                f"    export {KEY_NAME}='{os.environ[KEY_NAME]}'"
            )
        elif not has_own_key:
            lines.append(f"{KEY_NAME} is not set, so the development key is used: {key_path()}")
        print("\n".join(lines), "Press Ctrl+C to stop.", sep="\n", flush=True)
        run_until_stopped(server)
    return 0


def _is_here(upstream: str, host: str) -> bool:
    """Whether a server that listens on ``host`` is reached by the ``upstream`` host of a URL."""
    reached = [urlsplit(address_of(name, 0)).hostname or "" for name in (upstream, host)]
    return reached[0] == reached[1] or all(is_this_machine(name, ()) for name in reached)


def load_application(spec: str) -> WSGIApplication:
    """Return the WSGI application that ``MODULE:APP`` names. APP defaults to ``application``.

    APP may be a function or class that returns the application when called without arguments, such
    as ``create_app`` or ``create_app()``. Raises ConfigurationError if the module does not exist,
    does not contain a callable with that name, or contains an ASGI application. Exceptions that the
    module itself raises pass through.
    """
    module_name, _, name = spec.partition(":")
    if not all(module_name.split(".")):
        raise ConfigurationError(f"{spec!r} is neither MODULE:APP nor the URL of a server")
    is_call = name.endswith("()")
    name = name.removesuffix("()") or "application"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(missing + "."):
            hint = f". Did you mean http://{spec}?" if name.isdecimal() else ""
            raise ConfigurationError(
                f"there is no module named {module_name} here, expected MODULE:APP or the URL of a"
                f" server{hint}"
            ) from None
        raise
    app = getattr(module, name, None)
    if not callable(app):
        raise ConfigurationError(f"{module_name} does not contain an application called {name}")
    is_factory = is_call or _is_factory(app)
    if is_factory:
        app = app()
        if not callable(app):
            raise ConfigurationError(f"{module_name}:{name}() did not return an application")
    if is_asgi(app):
        command = f"uvicorn {module_name}:{name}{' --factory' if is_factory else ''} --port 8001"
        raise ConfigurationError(
            f"{spec} is an ASGI application, which this server cannot run. Start it with its own"
            f" server, for example {command!r}, and put djsession in front of it:"
            " 'djsession serve http://127.0.0.1:8001 --mockup sessions.yaml'"
        )
    return app  # type: ignore[no-any-return]


def _is_factory(app: Any) -> bool:
    """Whether a callable can be called without arguments and does not take ``*args``.

    A WSGI application takes two arguments. If a decorator wraps it, it may take ``*args``.
    """
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return False
    return all(
        item.kind is item.VAR_KEYWORD
        or (item.kind is not item.VAR_POSITIONAL and item.default is not item.empty)
        for item in parameters
    )


def key_path() -> Path:
    """Return where the development key is kept (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    # The specification says that a relative path must be ignored.
    folder = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return folder / "djsession" / "key"


def development_key() -> str:
    """Return this user's development key, which is kept between runs, or make a new one.

    The file has the mode 0600. A key that other users of the machine can read or write is replaced.
    Raises ConfigurationError if there is no key yet and a new one cannot be saved.
    """
    try:
        path = key_path()
        return _read_key(path) or _make_key(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: this user has no home directory
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"{KEY_NAME} is not set, and a development key cannot be saved: {reason}. Set"
            f" {KEY_NAME}. 'djsession keygen' prints a key."
        ) from None


def _read_key(path: Path) -> str | None:
    """Return the key in a file that is private to this user, or None."""
    with suppress(OSError, ValueError, ConfigurationError), path.open(encoding="ascii") as file:
        status = os.fstat(file.fileno())
        is_private = os.name != "posix" or (
            not status.st_mode & 0o077 and status.st_uid == os.geteuid()
        )
        if is_private:
            (key,) = check_secret_keys(file.read(1_024).rstrip("\n"))
            return key
    return None


def _make_key(path: Path) -> str:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = generate_key()
    new = path.with_name(f"key.{os.getpid()}")
    new.unlink(missing_ok=True)
    # Another process never sees half of a key, and nobody else ever sees it.
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{key}\n")
    new.replace(path)
    return key
