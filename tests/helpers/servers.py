"""Servers on the loopback interface, and an HTTP client that changes nothing in a request."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from djsession.devserver import open_server
from tests.helpers.commands import ROOT, environment, need_module
from tests.helpers.sessions import CAPTURES, Capture, load_capture

Serve = Callable[..., int]
GUNICORN = ("-m", "gunicorn", "-c", "examples/gunicorn.conf.py", "-b", "127.0.0.1:{port}")
UVICORN = ("-m", "uvicorn", "--port", "{port}", "--no-proxy-headers")
HYPERCORN = ("-m", "hypercorn", "--bind", "127.0.0.1:{port}")
DAPHNE = ("-m", "daphne", "-b", "127.0.0.1", "-p", "{port}")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def connect(address: int | str, timeout: float = 10) -> socket.socket:
    """Return a connection to a port of this machine or to the path of a Unix socket."""
    if isinstance(address, int):
        return socket.create_connection(("127.0.0.1", address), timeout)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


@contextmanager
def running_server(
    command: Sequence[str],
    log: Path,
    *,
    cwd: Path = ROOT,
    port: int = 0,
    unix_socket: str = "",
    **variables: str,
) -> Iterator[int]:
    """Run a server command and yield its port.

    ``{port}`` in the arguments becomes a free port, unless the command takes its port from
    elsewhere and ``port`` says which. ``unix_socket`` is the path of the socket of a server that
    does not listen on a port. The server's output goes to ``log``, and into the message when the
    server does not start. Without the server's package the test is skipped.
    """
    need_module(command)
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
                connect(unix_socket or port, timeout=1).close()
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


@contextmanager
def running_app(
    app: Callable[..., Iterable[bytes]], host: str = "127.0.0.1", port: int = 0
) -> Iterator[int]:
    """Serve a WSGI application with the development server, in this process; yield the port."""
    with open_server(app, host, port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def receive_all(connection: socket.socket) -> bytes:
    """Return what the other side sends until it closes the connection."""
    received = b""
    while data := connection.recv(65536):
        received += data
    return received


def receive_until(connection: socket.socket, end: bytes) -> bytes:
    """Return what the other side sends up to ``end``, or until it closes the connection."""
    received = b""
    while end not in received and (data := connection.recv(65536)):
        received += data
    return received


def exchange(port: int, request: bytes) -> bytes:
    """Send bytes to a port, and return what comes back until the connection is closed."""
    with connect(port) as connection:
        connection.sendall(request)
        return receive_all(connection)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def raw_http(address: int | str, request: str) -> tuple[int, dict[str, str], bytes]:
    """Send a request as it is to a port or a Unix socket.

    Returns the status, the headers with their names in lower case, and the body.
    """
    with connect(address) as connection:
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


def post_form(port: int, path: str, form: str) -> tuple[int, dict[str, str], bytes]:
    """POST an urlencoded form to a path."""
    return raw_http(
        port,
        f"POST {path} HTTP/1.1\nHost: 127.0.0.1:{port}\nConnection: close\n"
        f"Content-Type: application/x-www-form-urlencoded\nContent-Length: {len(form)}\n\n{form}",
    )


def replay(port: int, captured: Capture) -> tuple[int, dict[str, str], bytes]:
    """Send a captured request again, header for header."""
    headers = "".join(
        f"{name[5:].replace('_', '-').title()}: {value}\n"
        for name, value in captured.environ.items()
        if name.startswith("HTTP_")
    )
    return raw_http(port, f"GET {captured.environ['PATH_INFO']} HTTP/1.1\n{headers}\n")


def replay_captures(
    serve: Serve, folder: Path, application: str, **variables: str
) -> Iterator[tuple[str, str]]:
    """Send each capture to an example under gunicorn; yield who it greets, and its page.

    ``application`` is the source of a module. What the example refuses is not yielded.
    """
    captures = [load_capture(path) for path in CAPTURES]
    # They were taken within seconds.
    clock = f"import time\ntime.time = lambda: {captures[0].captured_at}\n"
    (folder / "clock.py").write_text(clock + application)
    keys = ",".join({captured.secret_key for captured in captures})
    command = (*GUNICORN, "--pythonpath", str(folder), "clock")
    port = serve(*command, DJAODJIN_SECRET_KEY=keys, **variables)
    for captured in captures:
        status, _, page = replay(port, captured)
        captured.environ["PATH_INFO"] = "/session"
        _, _, shown = replay(port, captured)
        if captured.session is None:
            assert (status, page) == (403, shown), captured.name
        else:
            assert (status, json.loads(shown)) == (200, captured.session), captured.name
            yield captured.session.get("username", "visitor"), page.decode()
