"""``djsession serve``: a threaded development server on the standard library."""

from __future__ import annotations

import importlib
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from configparser import InterpolationError
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from .errors import ConfigurationError
from .mockup import MockupApp
from .settings import KEY_NAME

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["NEW_KEY", "load_application", "run", "run_reloading"]

#: What is said where there is no key in the environment.
NEW_KEY = f"{KEY_NAME} is not set: using a new one for this run, if the application has none."

# The exit code by which a watched server asks to be started again.
_CHANGED = 3

_POLL_SECONDS = 0.5


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _RequestHandler(WSGIRequestHandler):
    # The key that a mockup login takes in its URL must not get into a log.
    _KEY = re.compile(r"([?&]key=)[^&\s]*")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log a request without the key in its URL."""
        # From Python 3.15 on, the line is made of this attribute whatever log_message is passed.
        line, self.requestline = self.requestline, self._KEY.sub(r"\1********", self.requestline)
        try:
            super().log_request(code, size)
        finally:
            self.requestline = line

    def log_message(self, format: str, *args: object) -> None:
        """Log a message, which may quote a request, without the key."""
        super().log_message("%s", self._KEY.sub(r"\1********", format % args))


def load_application(spec: str) -> WSGIApplication:
    """Return the WSGI application of ``MODULE:APP``; ``:application`` when APP is left out.

    Takes an ini file of Pyramid's as well, such as ``development.ini``. Raises ConfigurationError
    when there is no such module or file, or nothing callable of that name in it. What the module
    itself raises passes through.
    """
    if spec.endswith(".ini"):
        return _load_ini(spec)
    module_name, _, name = spec.partition(":")
    name = name or "application"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(missing + "."):
            raise ConfigurationError(
                f"there is no module {module_name} here, expected MODULE:APP"
            ) from None
        raise
    except (TypeError, ValueError):
        raise ConfigurationError(f"{spec!r} is no MODULE:APP") from None
    app = getattr(module, name, None)
    if not callable(app):
        raise ConfigurationError(f"{module_name} has no application called {name}")
    return app  # type: ignore[no-any-return]


def _load_ini(path: str) -> WSGIApplication:
    try:
        from pyramid.paster import get_app
    except ModuleNotFoundError:
        raise ConfigurationError(
            'an ini file needs Pyramid: pip install "djsession[pyramid]"'
        ) from None
    try:
        return get_app(path)  # type: ignore[no-any-return]
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file") from None
    except InterpolationError as error:
        # Python's own message quotes what follows the sign: the rest of a key.
        raise ConfigurationError(
            f"{path}: a '%' in {error.option} has to be written '%%': a single one starts an"
            " interpolation in an ini file"
        ) from None


def run(
    spec: str,
    *,
    host: str,
    port: int,
    mockup: str | None,
    hosts: Sequence[str],
    allow_remote: bool,
    new_key: bool,
    watch: bool,
) -> int:
    """Serve an application until interrupted, and return the exit code.

    Prints the address, and with a ``mockup`` file the login URL and the users.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    sys.path.insert(0, os.getcwd())
    watched: dict[str, int] = {}
    if watch:
        threading.Thread(target=_watch, args=(watched,), daemon=True).start()
    try:
        app = load_application(spec)
        mockups = None
        if mockup is not None:
            mockups = MockupApp(
                app, mockup, hosts=hosts, allow_remote=allow_remote, print_login_url=False
            )
    except Exception as error:
        if not watch:
            raise
        traceback.print_exc()
        # What failed is no imported module; what it lacks may be made here.
        paths = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        for path in [*paths, getattr(error, "filename", None) or "", os.getcwd()]:
            watched.setdefault(path, _changed_at(path))
        print("Waiting for a change.", file=sys.stderr, flush=True)
        _sleep_until_interrupted()
        return 0
    server_class = _IPv6Server if ":" in host else _Server
    try:
        server = make_server(host, port, mockups or app, server_class, _RequestHandler)
    except OSError as error:
        print(f"djsession: cannot listen on {host}:{port}: {error.strerror}", file=sys.stderr)
        return 1
    with server:
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{server.server_port}"
        print(f"Serving {spec} at {address}/")
        if new_key:
            print(NEW_KEY)
        if mockups:
            users = ", ".join(mockups.sessions.by_name)
            print(f"Sign in at {address}{mockups.login_path} as one of: {users}")
        print("Press Ctrl+C to stop.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def run_reloading(argv: Sequence[str]) -> int:
    """Run the command ``argv`` in a process of its own, again each time it sees a change."""
    command = [sys.executable, "-m", "djsession", *argv, "--watched"]
    try:
        while (code := subprocess.run(command, check=False).returncode) == _CHANGED:
            pass
    except KeyboardInterrupt:
        return 0
    return code


def _watch(known: dict[str, int]) -> None:
    """End the process with _CHANGED when a file changes: a known one, or an imported module's."""
    while True:
        modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        for path in [*filter(None, modules), *list(known)]:
            changed_at = _changed_at(path)
            if changed_at and known.setdefault(path, changed_at) != changed_at:
                print(f"{os.path.basename(path)} has changed, starting again.", flush=True)
                os._exit(_CHANGED)
        time.sleep(_POLL_SECONDS)


def _changed_at(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _sleep_until_interrupted() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        pass
