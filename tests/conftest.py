"""What the tests share: captures of the real proxy, a WSGI client, servers on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings

# What a shell starts in the background ignores the signal, and so would the servers of the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says something of the machine, nothing of the code.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", settings.get_profile("tests"), max_examples=5_000)
settings.load_profile(os.environ.get("DJSESSION_TEST_PROFILE", "tests"))

ROOT = Path(__file__).parent.parent
CAPTURES = sorted((Path(__file__).parent / "captures").glob("*.json"))
KEY = "k3y!@#$%^*-_=+ab"
OTHER_KEY = "x2w$k9=q7@h_5t#0"

XIA: dict[str, Any] = {
    "username": "xia",
    "roles": {
        "manager": [
            {
                "slug": "xia",
                "printable_name": "Xia Lee",
                "created_at": "2017-09-14T23:16:55Z",
                "email": "xia@example.com",
                "subscriptions": [{"plan": "basic", "ends_at": "2030-01-01T09:00:00Z"}],
            }
        ]
    },
    "site": {"printable_name": "Chamoix Coworking", "email": "support@cowork.net"},
    "last_visited": None,
}


class Capture(NamedTuple):
    """A request as the backend received it from the real proxy."""

    name: str
    environ: dict[str, str]
    secret_key: str
    session: dict[str, Any] | None
    captured_at: float


def load_capture(path: Path) -> Capture:
    data = json.loads(path.read_text(encoding="utf-8"))
    captured_at = datetime.strptime(data["captured_at"], "%Y-%m-%dT%H:%M:%S%z")
    return Capture(
        path.stem, data["environ"], data["secret_key"], data["session"], captured_at.timestamp()
    )


@pytest.fixture(params=CAPTURES, ids=lambda path: path.stem)
def capture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Capture:
    """Each capture in turn, with the clock at the moment it was taken."""
    found = load_capture(request.param)
    monkeypatch.setattr(time, "time", lambda: found.captured_at)
    return found


class Answer(NamedTuple):
    status: str
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> int:
        return int(self.status[:3])


def call(app: Callable[..., Any], environ: dict[str, Any]) -> Answer:
    """Call a WSGI application with an environ and collect its answer."""
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        started.append((status, headers))
        return lambda data: None

    result = app(environ, start_response)
    try:
        body = b"".join(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    [(status, headers)] = started
    return Answer(status, dict(headers), body)


class Recorder:
    """A WSGI application that keeps the environ of each request it gets."""

    def __init__(self) -> None:
        self.environs: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        self.environs.append(environ)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"inside"]


@pytest.fixture
def inside() -> Recorder:
    return Recorder()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("DJSESSION_", "DJAODJIN_")) and "_TEST_" not in name:
            monkeypatch.delenv(name)


def command(name: str) -> str:
    """Return the path of a system command; without it a test is skipped, but never in CI."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed")
        pytest.skip(f"{name} is not installed")
    return path


def environment(**variables: str) -> dict[str, str]:
    """Return the environment for a command of the project that is run from its root."""
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    # What pytest-django has set is for the tests of this process.
    inherited = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PYTHONUNBUFFERED": "1",
        **variables,
    }


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running_server(
    command: Sequence[str], log: Path, *, cwd: Path = ROOT, port: int = 0, **variables: str
) -> Iterator[int]:
    """Run a server command, with ``{port}`` in its arguments or a port that it has from elsewhere,
    and yield the port. Its output is in ``log``, and in the message of a failure.
    """
    port = port or free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [item.replace("{port}", str(port)) for item in command],
            cwd=cwd,
            env=environment(**variables),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"the server did not start:\n{log.read_text()}")
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


Serve = Callable[..., int]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server with this interpreter and the options of running_server; return the port.

    It is stopped when the test ends.
    """
    with ExitStack() as stack:
        numbers = count()

        def start(*arguments: str, **options: Any) -> int:
            log = tmp_path / f"server-{next(numbers)}.log"
            command = (sys.executable, *arguments)
            return stack.enter_context(running_server(command, log, **options))

        yield start


def raw_http(port: int, request: str) -> tuple[int, dict[str, str], bytes]:
    """Send a request as it is over a socket; return status, headers (lower case) and body."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode("latin-1"))
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(status.split()[1]), headers, body


def http(port: int, path: str = "/", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """GET a path; header names are written with underscores."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in headers.items())
    return raw_http(
        port, f"GET {path} HTTP/1.1\nHost: 127.0.0.1:{port}\nConnection: close\n{lines}\n"
    )
