"""``djsession serve`` over real sockets, directly and behind a real nginx."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import pytest

from tests.helpers.nginx import running_nginx
from tests.helpers.servers import Serve, http, raw_http
from tests.helpers.sessions import KEY

APP = """\
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"inside"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hi.py").write_text(APP)
    (tmp_path / "sessions.yaml").write_text("xia: {}\n")
    return tmp_path


@pytest.fixture
def mockups(folder: Path, serve: Serve) -> Serve:
    """Start ``djsession serve`` with mockup logins and more arguments; return the port."""

    def start(*arguments: str) -> int:
        return serve(
            *("-m", "djsession", "serve", "hi", "--mockup", "sessions.yaml", "--port={port}"),
            *arguments,
            cwd=folder,
            DJAODJIN_SECRET_KEY=KEY,
        )

    return start


def log_of(folder: Path, pattern: str) -> str:
    """Return the log of the first server, once it contains a pattern."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        text = (folder / "server-0.log").read_text()
        if re.search(pattern, text):
            return text
        time.sleep(0.05)
    pytest.fail(f"{pattern} is not in:\n{text}")


def ask(address: str, port: int, request: str) -> tuple[int, str]:
    """Send a request to an address of this machine; return the status and the whole answer."""
    with socket.create_connection((address, port), timeout=10) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode())
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    answer = received.decode("latin-1")
    return int(answer.split()[1]), answer


def own_address() -> str:
    """Return an address of this machine that is not a loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("198.51.100.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine only has the loopback interface")
        return str(probe.getsockname()[0])


GET_LOGIN = "GET /login/ HTTP/1.1\nHost: localhost\nConnection: close\n\n"
POST_LOGIN = (
    "POST {} HTTP/1.1\nHost: localhost\nConnection: close\n"
    "Content-Type: application/x-www-form-urlencoded\nContent-Length: 8\n\nuser=xia"
)


class TestServeRefusesOtherMachines:
    def test_on_all_interfaces_it_answers_only_this_machine(self, mockups: Serve) -> None:
        port = mockups("--host=0.0.0.0")
        assert ask("127.0.0.1", port, GET_LOGIN)[0] == 200
        assert ask("127.0.0.1", port, POST_LOGIN.format("/login/"))[0] == 303
        address = own_address()
        for request in (GET_LOGIN, POST_LOGIN.format("/login/"), GET_LOGIN.replace("/login/", "/")):
            status, answer = ask(address, port, request)
            assert status == 403
            assert "it did not come from a loopback address" in answer
            assert "djsession serve --allow-remote" in answer
            assert "set-cookie" not in answer.lower()

    def test_a_loopback_ipv4_client_of_an_ipv6_socket_is_accepted(self, mockups: Serve) -> None:
        if not socket.has_dualstack_ipv6():
            pytest.skip("this machine has no dual-stack IPv6")
        port = mockups("--host=::")  # the peer is ::ffff:127.0.0.1
        assert ask("127.0.0.1", port, GET_LOGIN)[0] == 200
        assert ask(own_address(), port, GET_LOGIN)[0] == 403

    @pytest.mark.parametrize(
        "headers",
        [
            "Host: evil.example",
            "Host: localhost\nOrigin: https://evil.example",
            "Host: localhost\nX-Forwarded-For: 127.0.0.1\nX-Forwarded-For: 10.0.0.1",
            "Host: localhost\nX-Forwarded-For: 10.0.0.1\nX-Forwarded-For: 127.0.0.1",
            "Host: localhost\nForwarded: for=127.0.0.1\nForwarded: for=10.0.0.1",
            "Host: localhost\nVia: 1.1 localhost\nVIA: 1.1 evil.example",
            "Host: localhost\nx-real-ip: 10.0.0.1",
        ],
    )
    def test_headers_that_name_other_machines_are_refused(
        self, headers: str, mockups: Serve
    ) -> None:
        port = mockups()
        request = f"GET /login/ HTTP/1.1\n{headers}\nConnection: close\n\n"
        assert raw_http(port, request)[0] == 403
        assert http(port, "/login/")[0] == 200

    def test_two_host_headers_are_a_bad_request(self, mockups: Serve) -> None:
        request = "GET /login/ HTTP/1.1\nHost: localhost\nHost: evil.example\n\n"
        assert raw_http(mockups(), request)[0] == 400

    def test_an_http_1_0_request_is_refused(self, mockups: Serve) -> None:
        request = "GET /login/ HTTP/1.0\nHost: localhost\n\n"
        status, answer = ask("127.0.0.1", mockups(), request)
        assert status == 403
        assert "it was not sent with HTTP/1.1 or later" in answer


class TestServeAllowRemote:
    def test_it_prints_the_login_url_and_keeps_the_key_out_of_the_log(
        self, folder: Path, mockups: Serve
    ) -> None:
        port = mockups("--host=0.0.0.0", "--allow-remote")
        output = log_of(folder, "Ctrl")
        address = rf"Sign in at http://127\.0\.0\.1:{port}(/login/\?key=([\w-]+)) as one of: xia\n"
        found = re.search(address, output)
        assert found is not None
        assert output.count(found[2]) == 1
        host = own_address()
        status, answer = ask(host, port, f"GET {found[1]} HTTP/1.0\nHost: dev.example\n\n")
        assert status == 303
        cookie = re.search(r"Set-Cookie: (djsession_mockup_key=[\w-]+);", answer)
        assert cookie is not None
        assert ask(host, port, POST_LOGIN.format("/login/"))[0] == 403
        assert ask(host, port, POST_LOGIN.format(found[1]))[0] == 303
        request = POST_LOGIN.format("/login/").replace("\nHost", f"\nCookie: {cookie[1]}\nHost")
        assert ask(host, port, request)[0] == 303
        ask(
            host,
            port,
            f"GET /last?a=b&{found[1].partition('?')[2]}&c=d HTTP/1.1\nConnection: close\n\n",
        )
        output = log_of(folder, "GET /last")
        assert "GET /login/?key=******** HTTP" in output
        assert "GET /last?a=b&key=********&c=d HTTP" in output
        assert output.count(found[2]) == 1  # what it printed at start


NGINX = """
server {
    listen 127.0.0.1:{port};
    location / {
        proxy_pass http://127.0.0.1:{upstream};
        {directives}
    }
}
"""


class TestServeBehindNginx:
    """A reverse proxy on this machine: its peer is a loopback address, whoever its client is."""

    @pytest.mark.parametrize(
        ("directives", "said"),
        [
            # nginx's default before version 1.30.
            ("proxy_http_version 1.0;", "it was not sent with HTTP/1.1 or later"),
            (
                "proxy_http_version 1.0; proxy_set_header Host localhost;",
                "it was not sent with HTTP/1.1 or later",
            ),
            (
                "proxy_http_version 1.1; proxy_set_header X-Real-IP 203.0.113.7;",
                "its X-Real-IP header",
            ),
            (
                "proxy_http_version 1.1; proxy_set_header X-Forwarded-For"
                " '$proxy_add_x_forwarded_for, 203.0.113.7';",
                "its X-Forwarded-For header",
            ),
            ("proxy_http_version 1.1; proxy_set_header Host $host;", "its Host"),
        ],
    )
    def test_requests_through_nginx_are_refused_under_common_configurations(
        self, directives: str, said: str, folder: Path, mockups: Serve
    ) -> None:
        upstream = mockups()
        server = NGINX.replace("{upstream}", str(upstream)).replace("{directives}", directives)
        request = GET_LOGIN.replace("localhost", "dev.example.com")
        with running_nginx(server, folder) as port:
            for sent in (request, request.replace("GET /login/", "GET /app/")):
                status, answer = ask("127.0.0.1", port, sent)
                assert status == 403
                assert said in answer
                assert "djsession serve --allow-remote" in answer
            status, answer = ask(
                "127.0.0.1",
                port,
                POST_LOGIN.format("/login/").replace("localhost", "dev.example.com"),
            )
            assert status == 403
            assert "set-cookie" not in answer.lower()
        assert ask("127.0.0.1", upstream, GET_LOGIN)[0] == 200
