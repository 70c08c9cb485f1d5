"""The FastAPI example under uvicorn, Hypercorn and Daphne, with requests and WebSockets."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from djsession import dumps
from tests.helpers.servers import (
    DAPHNE,
    HYPERCORN,
    UVICORN,
    Serve,
    http,
    post_form,
    raw_http,
    running_server,
)
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.websockets import open_websocket, refusal

pytest.importorskip("fastapi")

APPLICATION = "examples.fastapi_app:app"
SERVERS = {
    "uvicorn": (*UVICORN, APPLICATION),
    "hypercorn": (*HYPERCORN, APPLICATION),
    "daphne": (*DAPHNE, APPLICATION),
}
COOKIE = {"Cookie": f'_ga=1; sessionid="{dumps(XIA, KEY)}"; theme="dark mode"'}
BEARER = {"Authorization": f"Bearer {dumps(XIA, KEY, 'jwt')}"}
DANA = {"Cookie": f'sessionid="{dumps({"username": "dana"}, KEY)}"'}
VISITOR = {"Cookie": f'sessionid="{dumps({}, KEY)}"'}
REFUSED: list[dict[str, str]] = [
    {},
    {"Cookie": "sessionid=garbage"},
    {"Cookie": f"sessionid={dumps(XIA, OTHER_KEY)}"},
    {"Authorization": "Bearer garbage"},
    {"Authorization": "Bearer", **COOKIE},
    {"Authorization": f"Bearer {dumps({}, KEY, 'jwt')}", **COOKIE},
]


@pytest.fixture(scope="module", params=SERVERS)
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of each server in turn, which the tests share."""
    log = tmp_path_factory.mktemp(request.param) / "server.log"
    # Daphne chooses Twisted's reactor by way of Django's settings, if there are any.
    with running_server(
        (sys.executable, *SERVERS[request.param]), log, DJAODJIN_SECRET_KEY=KEY
    ) as port:
        yield port


def test_each_asgi_server_passes_sessions_and_refuses_the_rest(port: int) -> None:
    for headers in (COOKIE, BEARER):
        status, received, body = http(port, "/app/", **headers)
        assert status == 200
        assert b"<h1>Hello, xia</h1>" in body
        assert b"<li>xia</li>" in body
        assert received["vary"] == "Cookie, Authorization"
        assert received["cache-control"] == "private"
        shown = json.loads(http(port, "/session", **headers)[2])
        assert {key: shown[key] for key in XIA} == XIA
    assert b"Hello, visitor" in http(port, "/", **VISITOR)[2]

    for headers in REFUSED:
        for path in ("/", "/session", "/openapi.json", "/docs", "/nothing"):
            status, received, body = http(port, path, **headers)
            assert (status, body) == (403, b"Forbidden\n")
            assert received["cache-control"] == "no-store"
    status, received, body = http(port, "/about")
    assert (status, body) == (200, b"open to anyone")
    assert received["vary"] == "Cookie, Authorization"
    assert "cache-control" not in received

    assert http(port, "/manage/xia", **COOKIE)[2] == b"xia manages xia"
    assert http(port, "/manage/cowork", **COOKIE)[0] == 403
    assert http(port, "/manage/xia", **DANA)[0] == 403
    assert http(port, "/course", **COOKIE)[0] == 200
    assert http(port, "/course", **DANA)[0] == 403

    evil = {"username": "<script>alert(1)</script>", "roles": {"x": [{"slug": "<script>"}]}}
    _, _, body = http(port, "/", Cookie=f"sessionid={dumps(evil, KEY)}")
    assert body.count(b"<script") == 1  # the page's own
    large = {**XIA, "bio": "x" * 4_000}
    shown = json.loads(http(port, "/session", Cookie=f"sessionid={dumps(large, KEY)}")[2])
    assert shown == large


def test_each_asgi_server_answers_head_and_refuses_without_reading_the_body(port: int) -> None:
    for line in ("HEAD / HTTP/1.1", "POST /nothing HTTP/1.1"):
        # Small enough for the server to receive it all. Otherwise closing the connection resets it,
        # and the client may not see the answer.
        body = "x" * 1_000 if line.startswith("POST") else ""
        length = f"Content-Length: {len(body)}\n" if body else ""
        status, headers, body_received = raw_http(
            port, f"{line}\nHost: 127.0.0.1\nConnection: close\n{length}\n{body}"
        )
        assert status == 403
        assert headers["content-length"] == "10"
        assert body_received == (b"" if line.startswith("HEAD") else b"Forbidden\n")


def test_each_asgi_server_passes_the_session_of_a_websocket(port: int) -> None:
    for path in ("/live", "/app/live", "/manage/xia/live"):
        for headers in (COOKIE, BEARER):
            with open_websocket(port, path, headers) as socket:
                assert socket.recv() == "connected as xia"
                socket.send("hello")
                assert socket.recv() == "xia: hello"
    with open_websocket(port, "/live", VISITOR) as socket:
        assert socket.recv() == "connected as visitor"


def test_each_asgi_server_refuses_a_websocket_without_a_session(port: int) -> None:
    for headers in REFUSED:
        for path in ("/live", "/manage/xia/live", "/nothing"):
            assert refusal(port, path, headers) == 403
    # What the application refuses.
    assert refusal(port, "/manage/cowork/live", COOKIE) == 403
    assert refusal(port, "/manage/xia/live", DANA) == 403
    for origin in ("https://www.example.com", "null"):
        assert refusal(port, "/live", COOKIE, origin=origin) == 403
    with open_websocket(port, "/live", COOKIE, origin=f"http://127.0.0.1:{port}") as socket:
        assert socket.recv() == "connected as xia"


def test_two_sockets_at_once_have_their_own_sessions(port: int) -> None:
    with (
        open_websocket(port, "/live", COOKIE) as first,
        open_websocket(port, "/live", DANA) as second,
    ):
        assert (first.recv(), second.recv()) == ("connected as xia", "connected as dana")
        for socket in (second, first, second):
            socket.send("hello")
        assert (first.recv(), second.recv()) == ("xia: hello", "dana: hello")


def test_uvicorn_says_at_once_why_the_middleware_cannot_start(serve: Serve, tmp_path: Path) -> None:
    port = serve(*UVICORN, APPLICATION)
    why = "SessionMiddleware cannot start: no secret key: set DJAODJIN_SECRET_KEY"
    assert (tmp_path / "server-0.log").read_text().count(why) == 1
    # Without --lifespan on, the server starts all the same.
    assert http(port, "/about")[0] == 500
    with pytest.raises(pytest.fail.Exception, match=why):
        serve(*UVICORN, "--lifespan", "on", APPLICATION)


WITH_PROXY_HEADERS = {
    "uvicorn": ("-m", "uvicorn", "--port", "{port}", APPLICATION),  # as is its default
    "daphne": (*DAPHNE, "--proxy-headers", APPLICATION),
}


@pytest.mark.parametrize("server", SERVERS)
def test_each_asgi_server_reports_the_peer_that_trusted_proxies_checks(
    server: str, serve: Serve
) -> None:
    forwarded = {"X_Forwarded_For": "192.0.2.1"}
    for trusted, status in (("127.0.0.1", 200), ("192.0.2.1", 403)):
        variables = {"DJAODJIN_SECRET_KEY": KEY, "DJSESSION_TRUSTED_PROXIES": trusted}
        port = serve(*SERVERS[server], **variables)
        assert http(port, "/", **COOKIE, **forwarded)[0] == status
        assert http(port, "/", **COOKIE)[0] == status


@pytest.mark.parametrize("server", WITH_PROXY_HEADERS)
def test_an_address_that_a_server_took_from_a_header_is_not_trusted(
    server: str, serve: Serve
) -> None:
    variables = {"DJAODJIN_SECRET_KEY": KEY, "DJSESSION_TRUSTED_PROXIES": "192.0.2.1,unix"}
    port = serve(*WITH_PROXY_HEADERS[server], **variables)
    for address in ("192.0.2.1", "192.0.2.1:5", "[192.0.2.1]:5", "localhost", ""):
        for more in ({}, {"X_Forwarded_Port": "5"}, {"X_Forwarded_Port": "x"}):
            headers = {"X_Forwarded_For": address, **more, **COOKIE}
            assert http(port, "/", **headers)[0] == 403, headers


@pytest.mark.parametrize(("trusted", "status"), [("unix", 200), ("127.0.0.1", 403)])
@pytest.mark.parametrize(
    "server",
    [
        ("-m", "uvicorn", "--uds", "{path}"),
        ("-m", "hypercorn", "--bind", "unix:{path}"),
        ("-m", "daphne", "-u", "{path}"),
    ],
    ids=lambda command: command[1],
)
def test_each_asgi_server_on_a_unix_socket(
    server: tuple[str, ...], trusted: str, status: int, serve: Serve, tmp_path: Path
) -> None:
    path = str(tmp_path / "socket")
    command = [item.replace("{path}", path) for item in server]
    variables = {"DJAODJIN_SECRET_KEY": KEY, "DJSESSION_TRUSTED_PROXIES": trusted}
    serve(*command, APPLICATION, unix_socket=path, **variables)
    head = f"GET / HTTP/1.1\nHost: localhost\nConnection: close\nCookie: {COOKIE['Cookie']}"
    assert raw_http(path, f"{head}\n\n")[0] == status


def test_djsession_serve_stands_in_front_of_an_asgi_server(serve: Serve) -> None:
    upstream = serve(*SERVERS["uvicorn"], DJAODJIN_SECRET_KEY=KEY)
    port = serve(
        *("-m", "djsession", "serve", f"http://127.0.0.1:{upstream}", "--port={port}"),
        *("--mockup", "examples/sessions.yaml"),
        DJAODJIN_SECRET_KEY=KEY,
    )
    assert http(port, "/app/")[0] == 403
    status, headers, _ = post_form(port, "/login/", "username=xia")
    assert status == 303
    cookie = headers["set-cookie"].partition(";")[0]
    assert b"Hello, xia" in http(port, "/app/", Cookie=cookie)[2]
