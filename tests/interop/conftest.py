"""The real proxy in front of real applications. ``nox -s interop`` runs what is here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import HTTPCookieProcessor, HTTPRedirectHandler, Request, build_opener

import pytest

from tests.conftest import KEY, ROOT, XIA, environment, running_server

#: An interpreter with djaodjin-rules and gunicorn; the other sessions have none.
PROXY_PYTHON = os.environ.get("DJSESSION_TEST_PROXY_PYTHON", "")
if not PROXY_PYTHON:
    collect_ignore_glob = ["test_*.py"]

LARGE = {
    **XIA,
    "username": "large",
    "roles": {
        "manager": [
            {"slug": f"organization-{number}", "printable_name": "An organization " + "x" * 40}
            for number in range(70)
        ]
    },
}
SESSIONS: dict[str, dict[str, Any]] = {
    "xia": XIA,
    "large": LARGE,
    "日本": {
        **XIA,
        "username": "日本",
        "roles": {"manager": [{"slug": "cafe", "printable_name": "Café Größe 東京"}]},
    },
}
assert 6_000 < len(json.dumps(LARGE)) < 8_000

BACKENDS = {"cookie": "1", "jwt": "2"}
GUNICORN = ("-m", "gunicorn", "-c", "examples/gunicorn.conf.py", "-b", "127.0.0.1:{port}")


def without(session: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in session.items() if key not in keys}


class Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        return None


class Browser:
    """The browser's side of the proxy, with its cookies."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.cookies = CookieJar()
        self._opener = build_opener(HTTPCookieProcessor(self.cookies), _NoRedirect)

    def request(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        names.setdefault("Accept", "text/html,*/*;q=0.8")  # the proxy redirects browsers alone
        request = Request(self.base + path, body, names)
        try:
            with self._opener.open(request, timeout=30) as response:
                return Answer(response.status, response.headers, response.read())
        except HTTPError as error:
            return Answer(error.code, error.headers, error.read())

    get = request

    def sign_in(self, username: str) -> Browser:
        assert self.get(f"/proxy/login/{quote(username)}").status == 200
        return self

    def sign_out(self) -> Browser:
        assert self.get("/proxy/logout").status == 200
        return self


Site = Callable[[], Browser]


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
            variables = {"DJAODJIN_SECRET_KEY": KEY, "SECRET_KEY": "a secret of the application"}
            if application == "django":
                variables = _django_variables(folder)
            port = stack.enter_context(
                running_server(
                    (sys.executable, *GUNICORN, APPLICATIONS[application]),
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
    return str(request.param)


@pytest.fixture
def browser(sites: Callable[[str, str], int], example: str, backend: str) -> Browser:
    """A browser that nobody has signed in with, at the proxy in front of an example."""
    return Browser(sites(example, backend))


@pytest.fixture
def echo(sites: Callable[[str, str], int], backend: str) -> Browser:
    """The same in front of the application that answers with what it saw."""
    return Browser(sites("echo", backend))
