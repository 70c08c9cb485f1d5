"""The real proxy in front of real applications. ``nox -s interop`` runs what is here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import ROOT, environment
from tests.helpers.proxy import PROXY_PYTHON, SESSIONS, Browser, without
from tests.helpers.servers import GUNICORN, UVICORN, running_server
from tests.helpers.sessions import KEY

if not PROXY_PYTHON:
    collect_ignore_glob = ["test_*.py"]

BACKENDS = {"cookie": "1", "jwt": "2"}


def _django_variables(folder: Path) -> dict[str, str]:
    variables = {
        "DJAODJIN_SECRET_KEY": KEY,
        "SECRET_KEY": "a secret of the application",
        "ALLOWED_HOSTS": "127.0.0.1",
        "DATABASE_PATH": str(folder / "django.sqlite3"),
    }
    subprocess.run(
        [sys.executable, "examples/django_app/manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env=environment(**variables),
        check=True,
    )
    return variables


APPLICATIONS = {
    "echo": "tests.interop.echo:application",
    "hello": "examples.hello:application",
    "flask": "examples.flask_app:create_app()",
    "pyramid": "tests.interop.pyramid_wsgi:application",
    "django": "examples.django_app.wsgi:application",
    "fastapi": "examples.fastapi_app:app",
}


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The session backend of the site at the proxy."""
    return str(request.param)


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], int]]:
    """Start the proxy in front of an application, once for each pair; return its port."""
    ports: dict[tuple[str, str], int] = {}
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(application: str, backend: str) -> int:
            pair = application, backend
            if pair in ports:
                return ports[pair]
            folder = tmp_path_factory.mktemp(f"{application}-{backend}")
            variables: dict[str, Any] = {
                "DJAODJIN_SECRET_KEY": KEY,
                "SECRET_KEY": "a secret of the application",
            }
            if application == "django":
                variables = _django_variables(folder)
            server = UVICORN if application == "fastapi" else GUNICORN
            port = stack.enter_context(
                running_server(
                    (sys.executable, *server, APPLICATIONS[application]),
                    folder / "application.log",
                    **variables,
                )
            )
            # When a user came last is for the proxy to say.
            said = {name: without(session, "last_visited") for name, session in SESSIONS.items()}
            (folder / "sessions.json").write_text(json.dumps(said))
            ports[pair] = stack.enter_context(
                running_server(
                    (
                        PROXY_PYTHON,
                        "-m",
                        "gunicorn",
                        "-b",
                        "127.0.0.1:{port}",
                        "--threads=4",
                        "proxy.wsgi:application",
                    ),
                    folder / "proxy.log",
                    DJANGO_SETTINGS_MODULE="proxy.settings",
                    PYTHONPATH=str(Path(__file__).parent),
                    PROXY_FOLDER=str(folder),
                    PROXY_KEY=KEY,
                    PROXY_BACKEND=f"http://127.0.0.1:{port}",
                    PROXY_SESSIONS=str(folder / "sessions.json"),
                    PROXY_SESSION_BACKEND=BACKENDS[backend],
                )
            )
            return ports[pair]

        yield start


@pytest.fixture(params=[name for name in APPLICATIONS if name != "echo"])
def example(request: pytest.FixtureRequest) -> str:
    """The name of an example application."""
    if request.param == "django":
        pytest.importorskip("rest_framework")
    elif request.param != "hello":
        pytest.importorskip(request.param)
    return str(request.param)


@pytest.fixture
def browser(sites: Callable[[str, str], int], example: str, backend: str) -> Browser:
    """A browser that nobody has signed in with, at the proxy in front of an example."""
    return Browser(sites(example, backend))


@pytest.fixture
def echo(sites: Callable[[str, str], int], backend: str) -> Browser:
    """The same in front of the application that answers with what it saw."""
    return Browser(sites("echo", backend))
