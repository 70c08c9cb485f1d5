"""What a client can put into a request, through real servers: paths, headers, logs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from djsession import dumps, openssl
from tests.helpers.commands import ROOT
from tests.helpers.servers import Serve, raw_http, running_server
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.tokens import REFUSED

APPLICATION = """
import json, logging, os
logging.basicConfig(filename=os.environ["LOG"], level=logging.DEBUG)
from djsession import SessionMiddleware

def app(environ, start_response):
    seen = {
        "path": environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""),
        "inside": environ.get("PATH_INFO"),
        "session": environ["djsession.session"],
        "REMOTE_USER": environ.get("REMOTE_USER"),
        "peer": environ.get("REMOTE_ADDR"),
        "decoded": "djsession.decoded" in environ,
    }
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

app = SessionMiddleware(app, allowed_no_session=["/open", "/Æ", "/app/open"])
"""

SERVERS = {
    "gunicorn": ("-m", "gunicorn", "-b", "127.0.0.1:{port}", "-k", "gthread", "--threads", "4"),
    "waitress": ("-m", "waitress", "--listen=127.0.0.1:{port}"),
}


@pytest.fixture(scope="module", params=SERVERS)
def folder_and_port(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, int]]:
    """Each server in turn, which all tests of it share, with the folder that has its log."""
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "attacked.py").write_text(APPLICATION)
    command = (sys.executable, *SERVERS[request.param], "attacked:app")
    variables: dict[str, Any] = {
        "DJAODJIN_SECRET_KEY": KEY,
        "LOG": str(folder / "log"),
        "PYTHONPATH": f"{ROOT}:{folder}",
    }
    with running_server(command, folder / "output", **variables) as port:
        yield folder, port


@pytest.fixture
def server(folder_and_port: tuple[Path, int]) -> int:
    return folder_and_port[1]


def send(port: int | str, target: str, *lines: str) -> tuple[int, dict[str, Any] | None]:
    """Send a request with these lines as its headers; return the status, and what was seen."""
    head = "\n".join([f"GET {target} HTTP/1.1", "Host: 127.0.0.1", "Connection: close", *lines])
    status, _, body = raw_http(port, head + "\n\n")
    return status, json.loads(body) if status == 200 else None


TRICKS = [
    "/open/../secret",
    "/open/%2e%2e/secret",
    "/open/%2E%2E%2Fsecret",
    "/open/..%2fsecret",
    "/open%2f..%2fsecret",
    "/open/%252e%252e/secret",
    "/open/%25252e%25252e/secret",
    "/open/.%2e/secret",
    "/open//secret",
    "//open/secret",
    "/open/..;/secret",
    "/open;/../secret",
    "/open/%5c..%5csecret",
    "/open\\..\\secret",
    "/open/%00/../secret",
    "/open%00",
    "/open/%c0%ae%c0%ae/secret",
    "/open/%c0%afsecret",
    "/open/%e0%80%ae%e0%80%ae/secret",
    "/open/%ff",
    "/OPEN/x",
    "/Open",
    "/openly",
    "/open-admin",
    "/%6fpen-admin",
    "/secret?/open",
    "/secret#/open",
    "/secret;/open",
    "/secret/%2e%2e/open",
    "/./open/x",
    "http://127.0.0.1/secret",
    "http://127.0.0.1/open/../secret",
    "/%e6",
    "/\xe6",
    "*",
]


@pytest.mark.parametrize("target", TRICKS)
@pytest.mark.parametrize("folder_and_port", ["gunicorn"], indirect=True)
def test_no_target_on_a_socket_that_only_looks_open_is_open(server: int, target: str) -> None:
    assert send(server, target)[0] in (400, 403, 404)


def test_open_paths_pass_under_every_spelling_that_servers_decode(server: int) -> None:
    for target in ("/open", "/open/x", "/%6fpen/x", "/open/a%20b", "/open/%E6%97%A5", "/%C3%86/x"):
        status, seen = send(server, target)
        assert status == 200, target
        assert seen is not None
        assert seen["session"] == {}
    for target in TRICKS:
        status, seen = send(server, target)
        # A server may make another path of it; then that is what the application sees.
        assert status in (400, 403, 404) or (
            seen is not None and re.match(r"/open(/|$)", seen["path"]) and ".." not in seen["path"]
        ), target


XIA_COOKIE = f'sessionid="{dumps(XIA, KEY)}"'
XIA_COOKIE_LINE = f"Cookie: {XIA_COOKIE}"


@pytest.mark.parametrize(
    "lines",
    [
        ["Remote-User: root"],
        ["Remote_User: root"],
        ["REMOTE_USER: root"],
        ["djsession.session: {}"],
        ["Djsession-Session: {}"],
        ["djsession_session: {}", "djsession.decoded: 1", "HTTP_COOKIE: a"],
        [f"Http-Cookie: {XIA_COOKIE}"],
        [f"X-Cookie: {XIA_COOKIE}"],
        ["Script-Name: /open"],
        ["SCRIPT_NAME: /open"],
        ["Path-Info: /open", "X-Forwarded-Prefix: /open", "X-Original-URL: /open"],
        ["Cookie: sessionid="],
        ["Cookie: =" + dumps(XIA, KEY)],
        [f"Cookie: SessionID={dumps(XIA, KEY)}"],
        [f"Cookie: xsessionid={dumps(XIA, KEY)}"],
        [f"Cookie: a=b sessionid={dumps(XIA, KEY)}"],
        [f"Authorization: Basic {dumps(XIA, KEY)}"],
        [f"Authorization: {dumps(XIA, KEY, 'jwt')}"],
        [f"Authorization: Bearer {dumps(XIA, KEY)}"],
        [f"{XIA_COOKIE_LINE}", "Authorization: Bearer"],
        [f"{XIA_COOKIE_LINE}; sessionid={dumps({}, KEY)}"],
        [f"Proxy-Authorization: Bearer {dumps(XIA, KEY, 'jwt')}"],
        ["Cookie: " + "; ".join(f"sessionid={dumps({}, OTHER_KEY)}" for _ in range(20))],
    ],
    ids=range(23),
)
def test_no_header_forges_a_session(server: int, lines: list[str]) -> None:
    # 500: gunicorn's own answer to a SCRIPT_NAME that the path does not start with.
    assert send(server, "/secret", *lines)[0] in (400, 403, 500)
    status, seen = send(server, "/open/x", *lines)
    assert status in (200, 400, 403)
    if seen is not None:
        assert seen["session"] == {}
        assert seen["REMOTE_USER"] is None
        assert seen["decoded"]


@pytest.mark.parametrize("mount", ["/open", "/open/", "/open/x", "/", "/app"])
def test_no_header_moves_the_application_into_an_open_path(server: int, mount: str) -> None:
    # gunicorn takes SCRIPT_NAME for the mount point, and leaves the rest of the path to the
    # application. Where a request has such a header, no path is open.
    for target in (mount.rstrip("/") + "/secret", mount.rstrip("/") + "/open/x", "/open/x"):
        for name in ("SCRIPT_NAME", "Script-Name", "Script_Name"):
            status, seen = send(server, target, f"{name}: {mount}")
            # 500 is gunicorn's own answer where the path is not below the mount point. waitress
            # drops headers with an underscore: then the application is where it was.
            assert status in (400, 403, 500) or "_" in name
            assert seen is None or seen["inside"] == target


@pytest.mark.parametrize("folder_and_port", ["gunicorn"], indirect=True)
def test_a_session_passes_below_a_mount_point_that_a_header_names(server: int) -> None:
    assert send(server, "/app/open/x", "SCRIPT_NAME: /app")[0] == 403
    _, seen = send(server, "/app/open/x", "SCRIPT_NAME: /app", XIA_COOKIE_LINE)
    assert seen is not None
    assert seen["inside"] == "/open/x"
    assert seen["session"] == XIA


UNIX_SERVERS = {
    "gunicorn": (*("-m", "gunicorn", "-b", "unix:{socket}"), ""),
    "waitress": (*("-m", "waitress", "--unix-socket={socket}"), "localhost"),
}


@pytest.mark.parametrize("name", UNIX_SERVERS)
@pytest.mark.parametrize(
    ("trusted", "is_trusted"), [("unix", True), ("127.0.0.1", False), ("0.0.0.0/0,::/0", False)]
)
def test_trusted_proxies_with_a_peer_on_a_unix_socket(
    name: str, trusted: str, is_trusted: bool, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "attacked.py").write_text(APPLICATION)
    # The path of a socket is at most some hundred bytes long.
    with TemporaryDirectory() as directory:
        path = f"{directory}/socket"
        *arguments, peer = UNIX_SERVERS[name]
        serve(
            *(argument.replace("{socket}", path) for argument in arguments),
            "attacked:app",
            unix_socket=path,
            DJAODJIN_SECRET_KEY=KEY,
            DJSESSION_TRUSTED_PROXIES=trusted,
            LOG=str(tmp_path / "log"),
            PYTHONPATH=f"{ROOT}:{tmp_path}",
        )
        status, _ = send(path, "/secret", XIA_COOKIE_LINE)
        assert status == (200 if is_trusted else 403)
        _, seen = send(path, "/open/x", XIA_COOKIE_LINE)
        assert seen is not None
        assert seen["peer"] == peer
        assert seen["session"] == (XIA if is_trusted else {})
        # A header of the client does not make it another peer.
        headers = ("X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Remote-Addr: 127.0.0.1")
        assert send(path, "/secret", XIA_COOKIE_LINE, *headers)[0] == (200 if is_trusted else 403)


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize(
    ("trusted", "is_trusted"), [("127.0.0.0/8", True), ("10.0.0.7", False), ("unix", False)]
)
def test_trusted_proxies_with_a_peer_on_tcp(
    name: str, trusted: str, is_trusted: bool, serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "attacked.py").write_text(APPLICATION)
    port = serve(
        *SERVERS[name],
        "attacked:app",
        DJAODJIN_SECRET_KEY=KEY,
        DJSESSION_TRUSTED_PROXIES=trusted,
        LOG=str(tmp_path / "log"),
        PYTHONPATH=f"{ROOT}:{tmp_path}",
    )
    for lines in ([], ["X-Forwarded-For: 10.0.0.7"], ["Forwarded: for=10.0.0.7"]):
        assert send(port, "/secret", XIA_COOKIE_LINE, *lines)[0] == (200 if is_trusted else 403)
        assert send(port, "/open/x", XIA_COOKIE_LINE, *lines)[0] == 200


def test_the_example_for_gunicorn_ignores_the_header_script_name(
    serve: Serve, tmp_path: Path
) -> None:
    (tmp_path / "attacked.py").write_text(APPLICATION)
    port = serve(
        *("-m", "gunicorn", "-c", "examples/gunicorn.conf.py", "-b", "127.0.0.1:{port}"),
        "attacked:app",
        DJAODJIN_SECRET_KEY=KEY,
        LOG=str(tmp_path / "log"),
        PYTHONPATH=f"{ROOT}:{tmp_path}",
    )
    status, seen = send(port, "/open/x", "SCRIPT_NAME: /open", f"Cookie: {XIA_COOKIE}")
    assert status == 200
    assert seen is not None
    assert seen["inside"] == "/open/x"


@pytest.mark.parametrize(
    "lines",
    [
        ["Cookie: a=b", f"Cookie: {XIA_COOKIE}"],
        [f"Cookie: {XIA_COOKIE}", "Cookie: sessionid=garbage"],
        ["Cookie: sessionid=garbage; " + XIA_COOKIE],
        ["Cookie: " + "; ".join(f"c{n}=v{n}" for n in range(200)) + f"; {XIA_COOKIE}"],
        [f"Cookie: {XIA_COOKIE}", "Remote-User: root", "djsession.session: {}"],
        [f"Cookie: {XIA_COOKIE}", "Authorization: Bearer garbage"],
        ["Cookie: a=b;", f" {XIA_COOKIE}"],  # folded: one header on two lines
    ],
    ids=range(7),
)
def test_a_session_among_other_headers_is_that_session(server: int, lines: list[str]) -> None:
    status, seen = send(server, "/secret", *lines)
    # Servers join two Cookie headers, some with a comma, which spoils both: none makes another.
    assert status in (200, 400, 403)
    if seen is not None:
        assert seen["session"] == XIA
        assert seen["REMOTE_USER"] == "xia"


def test_no_log_at_any_level_shows_a_key_or_a_credential(
    folder_and_port: tuple[Path, int],
) -> None:
    folder, server = folder_and_port
    credentials = {
        "secret_key": "AKIA-one",
        "security_token": "AKIA-two",
        "a": {"password": "AKIA"},
    }
    derived = []
    for session in (XIA, {}, {**XIA, **credentials}):
        for format in ("openssl", "jwt"):
            for key in (KEY, OTHER_KEY):
                token = dumps(session, key, format)
                send(server, "/secret", f'Cookie: sessionid="{token}"')
                send(server, "/secret", f"Authorization: Bearer {token}")
    for _, token in REFUSED.values():
        if token.isascii() and token.isprintable():
            send(server, "/secret", f"Cookie: sessionid={token}")
    log = (folder / "log").read_text()
    assert "session token: transport cookie" in log  # it is the DEBUG log
    assert "GET /secret refused: cookie sessionid: " in log
    assert "GET /secret refused: Authorization: " in log
    for salt in set(re.findall(r"salt ([0-9a-f]{16})", log)):
        derived.append(openssl.derive_key_and_iv(KEY.encode(), bytes.fromhex(salt))[0])
    assert derived
    for secret in (KEY, OTHER_KEY, "AKIA", *(key.hex() for key in derived)):
        assert secret not in log
