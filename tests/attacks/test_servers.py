"""Mount points: which paths are open under real servers, and whether a client can open more.

Servers take the mount point from their own configuration and, some of them, from a header of the
client. Routers use the path below the mount point. A gate that decides on another path than the
router lets a client open protected pages.

Each adapter runs under each server that can serve it, with and without a mount point configured
at the server. The applications are in ``applications``. They answer with ``OPEN`` on paths that
need no session and with ``SECRET`` on all others, followed by the path that their router found.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import product
from typing import NamedTuple

import pytest

from djsession import dumps
from tests.helpers.servers import running_server
from tests.helpers.sessions import KEY, XIA

#: Also the start of an entry, ``/docs/api``.
MOUNT = "/docs"

WSGI = "tests.attacks.applications.wsgi:application"
ASGI = "tests.attacks.applications.asgi:application"


class Server(NamedTuple):
    """How a server is started."""

    module: str
    arguments: tuple[str, ...]
    #: What the URL of a page has in front of its path inside the application.
    prefix: str = ""
    script_name: str = ""
    force_script_name: str = ""
    #: Whether every path in the ASGI scope starts with a ``root_path``.
    has_root_path: bool = False

    @property
    def is_asgi(self) -> bool:
        return ASGI in self.arguments


GUNICORN = ("-b", "127.0.0.1:{port}", "-k", "gthread", "--threads", "4", WSGI)
WAITRESS = ("--listen=127.0.0.1:{port}",)
UVICORN = ("--port", "{port}", ASGI)
HYPERCORN = ("--bind", "127.0.0.1:{port}", ASGI)
DAPHNE = ("-b", "127.0.0.1", "-p", "{port}", ASGI)
ROOT_PATH = ("--root-path", MOUNT)

SERVERS = {
    "gunicorn": Server("gunicorn", GUNICORN),
    "gunicorn-SCRIPT_NAME": Server("gunicorn", GUNICORN, MOUNT, script_name=MOUNT),
    "gunicorn-FORCE_SCRIPT_NAME": Server("gunicorn", GUNICORN, force_script_name=MOUNT),
    "waitress": Server("waitress", (*WAITRESS, WSGI)),
    "waitress-url-prefix": Server("waitress", (*WAITRESS, f"--url-prefix={MOUNT}", WSGI), MOUNT),
    "uvicorn": Server("uvicorn", UVICORN),
    # uvicorn puts the mount point in front of the path that it received.
    "uvicorn-root-path": Server("uvicorn", (*ROOT_PATH, *UVICORN), has_root_path=True),
    "uvicorn-FORCE_SCRIPT_NAME": Server("uvicorn", UVICORN, MOUNT, force_script_name=MOUNT),
    "hypercorn": Server("hypercorn", HYPERCORN),
    "hypercorn-root-path": Server("hypercorn", (*ROOT_PATH, *HYPERCORN), MOUNT, has_root_path=True),
    "daphne": Server("daphne", DAPHNE),
    "daphne-root-path": Server("daphne", (*ROOT_PATH, *DAPHNE), MOUNT, has_root_path=True),
    "daphne-FORCE_SCRIPT_NAME": Server("daphne", DAPHNE, MOUNT, force_script_name=MOUNT),
}

WSGI_ADAPTERS = ("plain", "flask", "pyramid", "django")
ASGI_ADAPTERS = ("plain", "starlette", "fastapi", "litestar", "quart", "django")

SITES = [
    (name, adapter)
    for name, server in SERVERS.items()
    for adapter in (ASGI_ADAPTERS if server.is_asgi else WSGI_ADAPTERS)
    if adapter == "django" or not server.force_script_name
]


class Reply(NamedTuple):
    #: 0 where the server closed the connection without a response.
    status: int
    head: str
    body: str


class Site(NamedTuple):
    """An adapter under a server."""

    name: str
    adapter: str
    port: int

    @property
    def server(self) -> Server:
        return SERVERS[self.name]

    def send(self, target: str, *lines: str, method: str = "GET") -> Reply:
        """Send a request with these lines as its headers, exactly as they are."""
        head = [
            f"{method} {target} HTTP/1.1",
            "Host: 127.0.0.1",
            "Connection: close",
            f"X-Application: {self.adapter}",
            *lines,
        ]
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall("".join(f"{line}\r\n" for line in (*head, "")).encode("latin-1"))
            try:
                while chunk := connection.recv(65536):
                    received += chunk
            except ConnectionResetError:
                pass
        response_head, _, body = received.decode("latin-1").partition("\r\n\r\n")
        words = response_head.split(maxsplit=2)
        return Reply(int(words[1]) if len(words) > 1 else 0, response_head, body)

    def get(self, path: str, *lines: str) -> Reply:
        """Get the page at a path inside the application."""
        return self.send(self.server.prefix + path, *lines)


Start = Callable[[str], int]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start a server when a test first asks for it, and stop it at the end of the module."""
    running: dict[str, int] = {}
    with ExitStack() as stack:

        def start_server(name: str) -> int:
            if name not in running:
                server = SERVERS[name]
                if find_spec(server.module) is None:
                    pytest.skip(f"{server.module} is not installed")
                running[name] = stack.enter_context(
                    running_server(
                        (sys.executable, "-m", server.module, *server.arguments),
                        tmp_path_factory.mktemp("servers") / f"{name}.log",
                        DJAODJIN_SECRET_KEY=KEY,
                        DJANGO_SETTINGS_MODULE="tests.attacks.applications.django_project",
                        SCRIPT_NAME=server.script_name,
                        FORCE_SCRIPT_NAME=server.force_script_name,
                    )
                )
            return running[name]

        yield start_server


@pytest.fixture(scope="module", params=SITES, ids="-".join)
def site(request: pytest.FixtureRequest, start: Start) -> Site:
    name, adapter = request.param
    if adapter != "plain":
        pytest.importorskip(adapter)
    return Site(name, adapter, start(name))


def cookie() -> str:
    return f'Cookie: sessionid="{dumps(XIA, KEY)}"'


def bearer() -> str:
    return f"Authorization: Bearer {dumps(XIA, KEY, 'jwt')}"


OPEN_PATHS = ["/open", "/open/x", "/%6fpen/x", "/open/a%20b", "/open/%E6%97%A5", "/docs/api/x"]


def test_entries_are_paths_inside_the_application(site: Site) -> None:
    for path in OPEN_PATHS:
        if site.server.has_root_path and path.startswith(MOUNT):
            continue  # The mount point occurs in the path twice: routers differ on what is left.
        reply = site.get(path)
        assert (reply.status, reply.body[:4]) == (200, "OPEN"), path


CLOSED_PATHS = [
    "/",
    "/secret",
    "/api",  # with the mount point in front: an entry
    "/api/x",
    "/apis",
    "/docs",
    "/docs/apis",
    "/docs/api-x",
    "/docs/open",
    "/openly",
    "/open-admin",
    "/%6fpen-admin",
    "/Open",
    "/OPEN/x",
]


def test_every_path_without_an_entry_is_closed_under_each_server(site: Site) -> None:
    for path in CLOSED_PATHS:
        if site.name == "waitress-url-prefix" and path == "/docs":
            continue
        reply = site.get(path)
        assert (reply.status, "SECRET" in reply.body) == (403, False), path


@pytest.mark.parametrize("header", [cookie, bearer])
def test_a_session_passes_on_every_path_under_each_server(
    site: Site, header: Callable[[], str]
) -> None:
    for path in (*OPEN_PATHS, *CLOSED_PATHS):
        reply = site.get(path, header())
        assert reply.status == 200, path
        assert reply.body.startswith(("OPEN", "SECRET")), path
    for line in ("Script-Name: /open", "X-Vhm-Root: /secret"):
        assert site.get("/secret", header(), line).status == 200, line


TRICKS = [
    "/open/../secret",
    "/open/..",
    "/open/%2e%2e/secret",
    "/open/%2E%2E%2Fsecret",
    "/open/..%2fsecret",
    "/open%2f..%2fsecret",
    "/open/%252e%252e/secret",
    "/open/%25252e%25252e/secret",
    "/open/.%2e/secret",
    "/open//../secret",
    "/open//secret",
    "//open/../secret",
    "//open/secret",
    "//127.0.0.1/open/../secret",
    "//secret/open",
    "/open/..;/secret",
    "/open;/../secret",
    "/open/%5c..%5c..%5csecret",
    "/open\\..\\secret",
    "/open/..\\secret",
    "/open/..%5csecret",
    "/open/..%255csecret",
    "/open/%00/../secret",
    "/open/..%00/secret",
    "/open%00",
    "/open%0a/../secret",
    "/open/%c0%ae%c0%ae/secret",
    "/open/..%c0%afsecret",
    "/open/%c0%ae%c0%ae%c0%afsecret",
    "/open/%e0%80%ae%e0%80%ae/secret",
    "/open/%ff/../secret",
    "/open/%ef%bf%bd/../secret",
    "/openly",
    "/secret?/open",
    "/secret#/open",
    "/secret;/open",
    "/secret/%2e%2e/open/../secret",
    "/./open/../secret",
    "http://127.0.0.1/secret",
    "http://127.0.0.1/open/../secret",
    "http://127.0.0.1/open/%2e%2e/secret",
    "http://open/secret",
    "http:///open/secret",
    "http:/secret",
    "/open@127.0.0.1/secret",
    "/%e6",
    "/\xe6",
    "open/../secret",
    "secret",
    "?/open",
    "*",
]


def test_no_path_that_only_looks_open_is_open_under_any_server(site: Site) -> None:
    for target in TRICKS:
        # A server may make another path of it; the page shows what the router served.
        assert "SECRET" not in site.send(target).body, target
        assert "SECRET" not in site.send(site.server.prefix + target).body, target
    assert "SECRET" not in site.send("*", method="OPTIONS").body


# Not UTF-8, then U+FFFD itself, which ASGI servers put in the place of such bytes.
@pytest.mark.parametrize("path", ["/open/%ff", "/open/%c0%af", "/open/%e6", "/open/%ef%bf%bd"])
def test_a_path_that_was_not_read_as_it_was_sent_is_closed(site: Site, path: str) -> None:
    reply = site.get(path)
    assert (reply.status, "OPEN" in reply.body) == (403, False)


HEADERS = ["SCRIPT_NAME", "Script-Name", "X-Forwarded-Prefix", "Daphne-Root-Path", "X-Vhm-Root"]
MOUNTS = ["", "/", "/docs", "/open", "/open/a", "/docs/api", "/secret", "%2Fopen"]
TARGETS = [
    "/secret",
    "/docs/api/secret",
    "/open/a/secret",
    "/opensecret",
    "/secret/open/x",
]


def test_no_header_opens_a_path(site: Site) -> None:
    for name, mount, target in product(HEADERS, MOUNTS, TARGETS):
        reply = site.send(site.server.prefix + target, f"{name}: {mount}")
        assert "SECRET" not in reply.body, (name, mount, target)


def test_no_header_that_servers_do_not_read_opens_a_path(site: Site) -> None:
    for line in (
        "Path-Info: /open",
        "PATH_INFO: /open",
        "Raw-Path: /open",
        "Root-Path: /open",
        "Request-URI: /open",
        "REQUEST_URI: /open",
        "SCRIPT_URL: /open/secret",
        "Script-Url: /open/secret",
        "Redirect-Url: /open/secret",
        "X-Original-URL: /open",
        "X-Rewrite-URL: /open",
        "X-Script-Name: /open",
        "X-Forwarded-Path: /open",
        "X-Forwarded-Host: 127.0.0.1/open",
        "X-Forwarded-Uri: /open",
        "X-Http-Method-Override: OPTIONS",
    ):
        assert "SECRET" not in site.get("/secret", line).body, line


# The effect of each header, with and without a session.


def only(is_chosen: Callable[[Server, str], bool]) -> pytest.MarkDecorator:
    """Run a test for some of the sites, chosen by server and adapter."""
    chosen = [(name, adapter) for name, adapter in SITES if is_chosen(SERVERS[name], adapter)]
    return pytest.mark.parametrize("site", chosen, ids="-".join, indirect=True)


# Servers and frameworks for ASGI do not know the header.
@only(lambda server, adapter: adapter == "django" or not server.is_asgi)
def test_no_path_is_open_beside_a_script_name_header(site: Site) -> None:
    for mount in ("", "/", "/docs", "anything"):
        reply = site.get("/open/x", f"Script-Name: {mount}")
        assert (reply.status, "OPEN" in reply.body) == (403, False), mount


@only(lambda server, adapter: server.module == "gunicorn")
def test_gunicorn_takes_the_header_script_name(site: Site) -> None:
    for mount, target in (
        ("/docs", "/docs/api/secret"),
        ("/open", "/open/secret"),
        ("/open/a", "/open/a/secret"),
        ("/docs/api", "/docs/api/secret"),
        ("/secret", "/secret/open/x"),
        ("/docs", "/docs/open"),
    ):
        path = target.removeprefix(mount)
        reply = site.send(target, f"SCRIPT_NAME: {mount}", cookie())
        assert (reply.status, f"'{path}'" in reply.body) == (200, True), target
        # Even where the rest of the path is an entry.
        assert site.send(target, f"SCRIPT_NAME: {mount}").status == 403, target
    # gunicorn refuses a mount point that the path does not start with.
    assert site.get("/open", "SCRIPT_NAME: anything").status in (403, 500)


@only(lambda server, adapter: not server.is_asgi)
def test_x_forwarded_prefix_behind_proxyfix_moves_no_path(site: Site) -> None:
    for prefix in ("/open", "/docs", "/docs/api", "/secret"):
        line = f"X-Forwarded-Prefix: {prefix}"
        reply = site.get("/secret", line, cookie())
        assert (reply.status, reply.body) == (200, "SECRET '/secret'")
        for path in ("/secret", "/api/x", "/"):
            assert site.get(path, line).status == 403, (prefix, path)
        # ProxyFix leaves PATH_INFO as it is, and that is what routers use.
        assert site.get("/open/x", line).status == 200, prefix


# FORCE_SCRIPT_NAME overrides the header.
@only(lambda server, adapter: server.module == "daphne" and not server.force_script_name)
def test_daphne_takes_the_header_daphne_root_path(site: Site) -> None:
    for mount, target in (
        ("/open/a", "/open/a/secret"),
        ("/open", "/open/secret"),
        ("/docs/api", "/docs/api/x/secret"),
        ("%2Fopen%2Fa", "/open/a/secret"),
    ):
        reply = site.send(target, f"Daphne-Root-Path: {mount}", cookie())
        assert (reply.status, reply.body[:6]) == (200, "SECRET"), target
        assert site.send(target, f"Daphne-Root-Path: {mount}").status == 403, target
    # Django looks below the mount point where the path starts with it, else at the whole path.
    for mount, target in (("/open", "/openopen"), ("/x", "/open/../x"), ("/o", "/open/o/secret")):
        assert "SECRET" not in site.send(target, f"Daphne-Root-Path: {mount}").body, target


@only(lambda server, adapter: adapter == "pyramid")
def test_no_path_of_pyramid_is_open_beside_x_vhm_root(site: Site) -> None:
    for root in ("", "/", "/open", "/secret"):
        line = f"X-Vhm-Root: {root}"
        reply = site.get("/open/x", line, cookie())
        assert reply.status == 200
        # The root selects the page, so an open path would give away a secret one.
        assert reply.body.startswith("SECRET" if root == "/secret" else "OPEN")
        for path in ("/open/x", "/secret"):
            assert site.get(path, line).status == 403, (root, path)
