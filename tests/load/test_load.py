"""Many users at once, broken tokens and workers that die: nobody is taken for somebody else."""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from djsession import SessionError, dumps, loads
from tests.helpers.commands import ROOT
from tests.helpers.servers import children, free_port, running_server
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.tokens import REFUSED

#: For each server. ``nox -s load`` sets the variable.
REQUESTS = int(os.environ.get("DJSESSION_TEST_LOAD", "0"))
USERS = 500
CLIENTS = 8
THIRD_KEY = "th1rd-key-of-16!"

APPLICATION = """
from djsession import SessionMiddleware

def app(environ, start_response):
    body = (environ.get("REMOTE_USER") or "nobody").encode()
    assert environ["djsession.session"]["username"].encode() == body
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

app = SessionMiddleware(app)
"""

ASGI_APPLICATION = """
import asyncio
from djsession.asgi import SessionMiddleware

async def app(scope, receive, send):
    assert scope["type"] == "http"
    before = scope["user"].identity
    await asyncio.sleep(0)
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(0.001 if before.endswith("7") else 0)
    body = scope["djsession.session"]["username"].encode()
    assert before.encode() == body
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})

app = SessionMiddleware(app)
"""

SERVERS = {
    "gunicorn-sync": ("gunicorn", "-b", "127.0.0.1:{port}", "-k", "sync", "-w", "2"),
    "gunicorn-gthread": ("gunicorn", "-b", "127.0.0.1:{port}", "-k", "gthread", "--threads", "8"),
    "waitress": ("waitress", "--listen=127.0.0.1:{port}", "--threads=8"),
    "uvicorn": ("uvicorn", "--port={port}", "--workers=2", "--no-access-log", "--lifespan=off"),
}


def is_broken(token: str) -> bool:
    try:
        loads(token, [KEY, OTHER_KEY, THIRD_KEY])
    except SessionError:
        return True
    return False


BROKEN = [
    token
    for _, token in REFUSED.values()
    if token.isascii() and token.isprintable() and 0 < len(token) < 4_000 and is_broken(token)
]


def session(number: int) -> dict[str, Any]:
    return {**XIA, "username": f"user-{number}"}


class Client(threading.Thread):
    """Sends requests as users of its own choice, and checks who each answer is for."""

    def __init__(self, port: int, requests: int, tokens: dict[str, str], seed: int) -> None:
        super().__init__(daemon=True)
        self.port, self.requests, self.tokens = port, requests, tokens
        self.chance = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.connection: socket.socket | None = None

    def run(self) -> None:
        users = list(self.tokens)
        for _ in range(self.requests):
            if self.chance.random() < 0.06:
                self.check("broken", self.ask(self.chance.choice(BROKEN)), "")
            else:
                user = self.chance.choice(users)
                self.check("user", self.ask(self.tokens[user]), user)
        self.close()

    def check(self, kind: str, answer: tuple[int, str] | None, user: str) -> None:
        if answer is None:
            self.seen["connection lost"] += 1
        elif kind == "user" and answer == (200, user):
            self.seen["user"] += 1
        elif kind == "broken" and answer[0] == 403:
            self.seen["broken"] += 1
        else:
            self.wrong.append(f"{kind}: {answer}")

    def ask(self, token: str) -> tuple[int, str] | None:
        request = f'GET /app/ HTTP/1.1\r\nHost: x\r\nCookie: a=b; sessionid="{token}"\r\n\r\n'
        for _ in range(3):
            fresh = self.connection is None
            try:
                if self.connection is None:
                    self.connection = socket.create_connection(("127.0.0.1", self.port), 30)
                self.connection.sendall(request.encode())
                return self.answer()
            except OSError:
                self.close()
                if fresh:
                    return None  # under way when a worker died, or nobody listens
        return None

    def answer(self) -> tuple[int, str]:
        assert self.connection is not None
        received = b""
        while b"\r\n\r\n" not in received:
            chunk = self.connection.recv(65536)
            if not chunk:
                raise ConnectionResetError
            received += chunk
        head, _, body = received.partition(b"\r\n\r\n")
        lowered = head.lower()
        length = int(lowered.partition(b"content-length:")[2].partition(b"\r\n")[0])
        while len(body) < length:
            chunk = self.connection.recv(65536)
            if not chunk:
                raise ConnectionResetError
            body += chunk
        if b"connection: close" in lowered:
            self.close()
        return int(head.split()[1]), body.decode()

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def start(port: int, requests: int, tokens: dict[str, str]) -> list[Client]:
    clients = [Client(port, requests // CLIENTS, tokens, seed) for seed in range(CLIENTS)]
    for client in clients:
        client.start()
    return clients


def results(clients: list[Client]) -> Counter[str]:
    for client in clients:
        client.join()
    wrong = [item for client in clients for item in client.wrong]
    assert wrong == [], wrong[:5]
    return sum((client.seen for client in clients), Counter())


def resident(pids: Collection[int]) -> int:
    """Return the resident memory of processes, in KiB."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total


def listeners(port: int) -> list[int]:
    """Return the processes that have a server's port in their command line."""
    ends = (f"127.0.0.1:{port}\0".encode(), f"--port={port}\0".encode())
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if any(end in command for end in ends):
                found.append(int(entry.name))
    return found


@pytest.fixture
def application(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "loaded.py").write_text(APPLICATION)
    (tmp_path / "loaded_asgi.py").write_text(ASGI_APPLICATION)
    return {"PYTHONPATH": f"{ROOT}:{tmp_path}", "DJAODJIN_SECRET_KEY": KEY}


@pytest.mark.parametrize("server", SERVERS)
def test_nobody_is_taken_for_somebody_else_and_memory_is_flat(
    server: str,
    application: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module, requests = ("loaded", REQUESTS)
    if server == "uvicorn":
        # With several workers it leaves Nagle's algorithm on, so that a response takes 40 ms.
        module, requests = ("loaded_asgi", REQUESTS // 10)
    command = (sys.executable, "-m", *SERVERS[server], f"{module}:app")
    tokens = {f"user-{n}": dumps(session(n), KEY) for n in range(USERS)}
    with running_server(command, tmp_path / "log", **application) as port:
        results(start(port, requests // 10, tokens))  # warm-up
        # uvicorn's workers are new processes without its arguments.
        processes = {pid for found in listeners(port) for pid in (found, *children(found))}
        before = resident(processes)
        started = time.monotonic()
        seen = results(start(port, requests, tokens))
        taken = time.monotonic() - started
        after = resident(processes)
    assert seen["connection lost"] == 0
    assert seen["user"] + seen["broken"] == requests // CLIENTS * CLIENTS
    assert seen["broken"] >= 0.05 * requests
    with capsys.disabled():
        print(
            f"\n{server}: {dict(seen)} in {taken:.1f} s; resident memory {before} KiB after the"
            f" warm-up, {after} KiB at the end"
        )
    # Flat: a leak of a token for each request would be hundreds of bytes times requests.
    assert after - before < 4_096 + requests * 0.05


def test_a_worker_that_is_killed_takes_only_its_own_requests_along(
    application: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (sys.executable, "-m", *SERVERS["gunicorn-sync"], "loaded:app")
    tokens = {f"user-{n}": dumps(session(n), KEY) for n in range(USERS)}
    with running_server(command, tmp_path / "log", **application) as port:
        clients = start(port, REQUESTS // 4, tokens)
        [arbiter] = [pid for pid in listeners(port) if children(pid)]
        kills = 0
        while any(client.is_alive() for client in clients) and kills < 3:
            time.sleep(0.3)
            workers = children(arbiter)
            if len(workers) == 2:
                os.kill(workers[0], signal.SIGKILL)
                kills += 1
        seen = results(clients)
    with capsys.disabled():
        print(f"\n{kills} workers killed: {dict(seen)}")
    assert kills
    # One request in flight for each, and those that waited in its backlog.
    assert seen["connection lost"] <= kills * CLIENTS


def test_keys_are_rotated_without_refusing_a_request(
    application: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Restarted with the new key before the old one: tokens of both decode throughout."""
    old = {f"user-{n}": dumps(session(n), KEY) for n in range(USERS // 2)}
    new = {f"user-{n}": dumps(session(n), OTHER_KEY) for n in range(USERS // 2, USERS)}
    port, keys = free_port(), tmp_path / "keys.py"
    keys.write_text(f"import os\nos.environ['DJAODJIN_SECRET_KEY'] = {f'{KEY},{OTHER_KEY}'!r}\n")
    command = (sys.executable, "-m", *SERVERS["gunicorn-gthread"], "-c", str(keys), "loaded:app")
    del application["DJAODJIN_SECRET_KEY"]
    with running_server(command, tmp_path / "log", port=port, **application):
        clients = start(port, REQUESTS // 4, {**old, **new})
        [arbiter] = [pid for pid in listeners(port) if children(pid)]
        for order in (f"{OTHER_KEY},{KEY}", f"{THIRD_KEY},{OTHER_KEY},{KEY}"):
            time.sleep(0.3)
            keys.write_text(f"import os\nos.environ['DJAODJIN_SECRET_KEY'] = {order!r}\n")
            os.kill(arbiter, signal.SIGHUP)
        seen = results(clients)
        time.sleep(1)
        latest = Client(port, 0, {}, 0)
        assert latest.ask(dumps(session(7), THIRD_KEY)) == (200, "user-7")
        latest.close()
    with capsys.disabled():
        print(f"\nrotated twice: {dict(seen)}")
    assert seen["connection lost"] <= 2 * CLIENTS
