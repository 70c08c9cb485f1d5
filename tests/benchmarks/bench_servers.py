"""Requests per second of servers: bare, with djsession, with djaodjin-deployutils.

It needs wrk, which Debian has as a package. Run it with ``nox -s bench -- servers``.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from djsession import SessionCodec
from tests.helpers.servers import running_server

from .measuring import KEY, OTHER_COOKIES, SIZES, headline, session_of

ROUNDS = 5
#: One process on one core, which keeps connections open; wrk has another core.
GUNICORN = ("-m", "gunicorn", "--worker-class=gthread", "--threads=4", "--bind=127.0.0.1:{port}")
UVICORN = ("-m", "uvicorn", "--port={port}", "--no-access-log", "--lifespan=off")
WRK = ("wrk", "--threads=1", "--connections=4", "--duration=2s")

WSGI, ASGI = "tests.benchmarks.wsgi_apps", "tests.benchmarks.asgi_apps"
DJANGO = "tests.benchmarks.django_project"
#: The row, the application that the server loads, and the format of the token. The first row of
#: each group is what the others are compared with.
GROUPS = (
    (
        ("WSGI, bare", f"{WSGI}:bare", "openssl"),
        ("WSGI, djsession, openssl", f"{WSGI}:djsession", "openssl"),
        ("WSGI, djsession, jwt", f"{WSGI}:djsession", "jwt"),
        ("WSGI, deployutils.crypt", f"{WSGI}:deployutils", "openssl"),
    ),
    (
        ("ASGI, bare", f"{ASGI}:bare", "openssl"),
        ("ASGI, djsession, openssl", f"{ASGI}:djsession", "openssl"),
        ("ASGI, djsession, jwt", f"{ASGI}:djsession", "jwt"),
    ),
    (
        ("Django, bare", f"{DJANGO}:served('bare')", "openssl"),
        ("Django, djsession, openssl", f"{DJANGO}:served('djsession')", "openssl"),
        ("Django, djsession, jwt", f"{DJANGO}:served('djsession')", "jwt"),
        ("Django, deployutils", f"{DJANGO}:served('deployutils')", "openssl"),
    ),
)


def requests_per_second(port: int, token: str) -> float:
    cookie = f'Cookie: {OTHER_COOKIES}sessionid="{token}"'
    url = f"http://127.0.0.1:{port}/nothing"
    result = subprocess.run(
        [*WRK, "--header", cookie, url], capture_output=True, text=True, check=True
    )
    assert "Non-2xx" not in result.stdout, result.stdout
    assert "Socket errors" not in result.stdout, result.stdout
    [rate] = re.findall(r"Requests/sec: +([0-9.]+)", result.stdout)
    return float(rate)


def main() -> None:
    if not shutil.which("wrk"):
        print("The servers were not measured because wrk is not installed.")
        return
    session = session_of(SIZES[0])
    tokens = {name: SessionCodec(KEY).dumps(session, name) for name in ("openssl", "jwt")}
    rows = [row for group in GROUPS for row in group]
    rates: dict[str, list[float]] = {name: [] for name, _, _ in rows}
    with ExitStack() as stack:
        logs = Path(stack.enter_context(TemporaryDirectory()))
        ports: dict[str, int] = {}
        for application in {application for _, application, _ in rows}:
            log = logs / f"{len(ports)}.log"
            server = UVICORN if application.startswith(ASGI) else GUNICORN
            command = (sys.executable, *server, application)
            ports[application] = stack.enter_context(running_server(command, log))
        for _ in range(ROUNDS):
            for name, application, token_format in rows:
                rates[name].append(requests_per_second(ports[application], tokens[token_format]))

    headline(
        "gunicorn with one process of four threads, uvicorn with one process",
        f"a session with {SIZES[0]} characters of JSON",
        f"medians of {ROUNDS} interleaved rounds",
    )
    columns = "{:<30} {:>10} {:>10} {:>14}"
    print("\n" + columns.format("application", "requests/s", "of bare", "added us"))
    for group in GROUPS:
        bare = rates[group[0][0]]
        for name, _, _ in group:
            share = statistics.median(a / b for a, b in zip(rates[name], bare, strict=True))
            added = [1e6 / a - 1e6 / b for a, b in zip(rates[name], bare, strict=True)]
            rate = f"{statistics.median(rates[name]):.0f}"
            print(columns.format(name, rate, f"{share:.2f}", f"{statistics.median(added):.1f}"))
        print()


if __name__ == "__main__":
    main()
