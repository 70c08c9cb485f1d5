"""The Forwarder between real sockets: what goes through, what is refused, what is reported."""

from __future__ import annotations

import http.client
import re
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as open_websocket
from websockets.sync.server import ServerConnection
from websockets.sync.server import serve as serve_websockets

from djsession.errors import ConfigurationError
from djsession.mockup.forwarder import TIMEOUT_SECONDS, Forwarder
from djsession.mockup.stand_in import HOP_BY_HOP, StandIn
from djsession.settings import Settings
from tests.helpers.servers import (
    connect,
    exchange,
    free_port,
    receive_all,
    receive_until,
    running_app,
)
from tests.helpers.sessions import KEY

CLOSE = "Connection: close"


@contextmanager
def forwarding(url: str, *, timeout: float = TIMEOUT_SECONDS) -> Iterator[int]:
    """Serve a Forwarder without hop-by-hop headers, as behind the stand-in; yield the port."""
    forwarder = Forwarder(url, timeout=timeout)

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Any:
            return start_response(
                status, [item for item in headers if item[0].lower() not in HOP_BY_HOP]
            )

        return forwarder(environ, start)

    with closing(forwarder), running_app(app) as port:
        yield port


def request(method: str = "GET", path: str = "/", *lines: str, body: bytes = b"") -> bytes:
    head = "".join(f"{line}\r\n" for line in (f"{method} {path} HTTP/1.1", "Host: x", *lines))
    return f"{head}\r\n".encode("latin-1") + body


def read_head(connection: socket.socket) -> bytes:
    """Return the head of a request, and what arrived together with it."""
    return receive_until(connection, b"\r\n\r\n")


@contextmanager
def upstream(*answers: bytes, reads: int = 1 << 30) -> Iterator[Upstream]:
    """Run a server that answers the requests of each connection with these bytes.

    The connection is closed after ``reads`` requests.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Upstream(listener, list(answers), reads)
        thread = threading.Thread(target=server.accept, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for connection in server.connections:
                connection.close()


class Upstream:
    def __init__(self, listener: socket.socket, answers: list[bytes], reads: int) -> None:
        self.port: int = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests: list[bytes] = []
        self.connections: list[socket.socket] = []
        self._listener, self._answers, self._reads = listener, answers, reads

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections.append(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError):
            for _ in range(self._reads):
                head = read_head(connection)
                if not head:
                    return
                self.requests.append(head)
                length = re.search(rb"Content-Length: (\d+)", head)
                left = int(length[1]) if length else 0
                left -= len(head.partition(b"\r\n\r\n")[2])
                while left > 0 and (data := connection.recv(left)):
                    self.requests[-1] += data
                    left -= len(data)
                index = min(len(self.requests), len(self._answers)) - 1
                connection.sendall(self._answers[index])
            connection.shutdown(socket.SHUT_RDWR)


def through(answer: bytes, *lines: str, method: str = "GET") -> bytes:
    """Return what a client receives for an answer of the server, which then closes."""
    with upstream(answer, reads=1) as server, forwarding(server.url) as port:
        return exchange(port, request(method, "/", CLOSE, *lines))


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 ")
    return int(answer[9:12])


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class TestForwarderUrl:
    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("https://127.0.0.1:8001", "does not start with http://"),
            ("ftp://127.0.0.1", "does not start with http://"),
            ("//127.0.0.1", "does not start with http://"),
            ("http://", "is not the address of a server"),
            ("http://:8001", "is not the address of a server"),
            ("http://127.0.0.1:0", "is not the address of a server"),
            ("http://127.0.0.1:x", "is not the address of a server"),
            ("http://127.0.0.1:70000", "is not the address of a server"),
            ("http://[::1", "is not the address of a server"),
            ("http://a..b", "is not the address of a server"),
            ("http://user:hunter2@127.0.0.1", "contains a user name or password"),
            ("http://user@127.0.0.1", "contains a user name or password"),
            ("https://user:hunter2@127.0.0.1", "does not start with http://"),
            ("http://user:hunter2@127.0.0.1:x", "is not the address of a server"),
            ("http://127.0.0.1:8001/app", "has a path"),
            ("http://127.0.0.1:8001//evil", "has a path"),
            ("http://127.0.0.1:8001/?a=b", "has a path"),
            ("http://127.0.0.1:8001/#a", "has a path"),
        ],
    )
    def test_a_url_that_is_not_just_the_address_of_a_server_is_an_error(
        self, url: str, said: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=re.escape(said)) as caught:
            Forwarder(url)
        assert "expected one such as http://127.0.0.1:8001" in str(caught.value)
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize(
        ("url", "address"),
        [
            ("http://127.0.0.1:8001", ("127.0.0.1", 8001)),
            ("http://localhost/", ("localhost", 80)),
            ("HTTP://[::1]:81/", ("::1", 81)),
        ],
    )
    def test_the_host_and_port_are_read_from_the_url(
        self, url: str, address: tuple[str, int]
    ) -> None:
        forwarder = Forwarder(url)
        assert (forwarder.host, forwarder.port) == address

    def test_probe_tells_whether_a_server_listens(self) -> None:
        assert Forwarder(f"http://127.0.0.1:{free_port()}").probe() is False
        with upstream(OK) as server:
            assert Forwarder(server.url).probe() is True
            assert server.requests == []

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"\x15\x03\x01\x00\x02\x02\x46",  # an alert of TLS
            b"E\x00\x00\x00\x8fSFATAL\x00C0A000\x00Munsupported frontend protocol\x00",
            b"220 mail.example ESMTP\r\n",
            b"-ERR unknown command 'HEAD'\r\n",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
        ],
    )
    def test_what_does_not_speak_http_is_a_502(self, answer: bytes) -> None:
        with upstream(answer, reads=1) as server, forwarding(server.url) as port:
            answer = exchange(port, request("GET", "/", CLOSE))
        assert status_of(answer) == 502
        assert b"closed the connection or did not speak HTTP" in answer


class TestForwardedRequests:
    def sent(self, message: bytes, answer: bytes = OK) -> bytes:
        with upstream(answer) as server, forwarding(server.url) as port:
            exchange(port, message)
            [found] = server.requests
            return found

    def test_the_server_receives_the_clients_method_headers_and_body(self) -> None:
        lines = ("X-Y: \xe9", "Cookie: a=b; c", "X-Y: 2", "Content-Type: a/b", "Content-Length: 3")
        head = self.sent(request("PUT", "/a?b", *lines, CLOSE, body=b"xyz"))
        start, *found = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        assert start == "PUT /a?b HTTP/1.1"
        assert found[0] == "Host: x"
        assert {"X-Y: \xe9,2", "Cookie: a=b; c", "Content-Type: a/b", "Content-Length: 3"} <= set(
            found
        )
        assert head.endswith(b"\r\n\r\nxyz")

    def test_a_request_without_a_host_gets_the_servers_address(self) -> None:
        message = self.sent(b"GET / HTTP/1.0\r\n\r\n")
        assert re.match(rb"GET / HTTP/1.1\r\nHost: 127\.0\.0\.1:\d+\r\n", message)

    def test_nothing_is_added(self) -> None:
        with upstream(OK) as server, forwarding(server.url) as port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.putrequest("GET", "/", skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", "dev.localhost:1")
            connection.endheaders()
            connection.getresponse().read()
            connection.close()
            assert server.requests == [b"GET / HTTP/1.1\r\nHost: dev.localhost:1\r\n\r\n"]

    @pytest.mark.parametrize(
        ("path", "target"),
        [
            ("/", b"/"),
            ("//evil.example/x", b"/evil.example/x"),
            ("/x//y", b"/x//y"),
            ("/..//x", b"/..//x"),
            ("/%2f%2fevil.example", b"///evil.example"),
            ("/%2F@evil.example", b"//@evil.example"),
            ("/@evil.example", b"/@evil.example"),
            ("/:80/x", b"/:80/x"),
            ("/%3Fa=b", b"/%3Fa=b"),
            ("/%23a", b"/%23a"),
            ("/%253F", b"/%253F"),
            ("/%0d%0aX:%20y", b"/%0D%0AX:%20y"),
            ("/%00", b"/%00"),
            ("/%5C%5Cevil.example", b"/%5C%5Cevil.example"),
            ("/;a=b", b"/;a=b"),
            ("/%E9%C3%A9", b"/%E9%C3%A9"),
            ("/a?http://evil.example/?&=%20#x", b"/a?http://evil.example/?&=%20#x"),
            ("/a?", b"/a"),
        ],
    )
    def test_no_target_names_another_server(self, path: str, target: bytes) -> None:
        message = self.sent(request("GET", path, CLOSE))
        assert message.split(b" ")[1] == target

    @pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
    def test_it_uses_no_proxy_and_no_password_of_the_environment(
        self, variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with upstream(b"HTTP/1.1 500 The proxy\r\n\r\n") as proxy:
            (tmp_path / ".netrc").write_text("machine 127.0.0.1 login xia password hunter2")
            (tmp_path / ".netrc").chmod(0o600)
            monkeypatch.setenv("HOME", str(tmp_path))
            monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
            monkeypatch.setenv(variable, proxy.url)
            monkeypatch.delenv("no_proxy", raising=False)
            message = self.sent(request("GET", "/", CLOSE))
            assert proxy.requests == []
        assert b"Authorization" not in message

    def test_the_client_gets_100_continue_once(self) -> None:
        """The client gets it from the stand-in, and that of the server is dropped."""
        with (
            upstream(b"HTTP/1.1 100 Continue\r\n\r\n" + OK) as server,
            forwarding(server.url) as port,
            connect(port) as connection,
        ):
            lines = ("Expect: 100-continue", "Content-Length: 2", CLOSE)
            connection.sendall(request("POST", "/", *lines))
            assert receive_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"ab")
            answer = receive_all(connection)
        assert answer.count(b"HTTP/1.1") == 1
        assert answer.endswith(b"ok")

    def test_a_chunked_body_passes_block_by_block(self) -> None:
        received: list[bytes] = []

        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            while data := environ["wsgi.input"].read1(100):
                received.append(data)
            start_response("200 OK", [])
            return [environ["HTTP_TRANSFER_ENCODING"].encode()]

        with (
            running_app(app) as inner,
            forwarding(f"http://127.0.0.1:{inner}") as port,
            connect(port) as connection,
        ):
            connection.sendall(request("POST", "/", "Transfer-Encoding: chunked", CLOSE))
            for number in range(3):
                connection.sendall(b"1\r\n%d\r\n" % number)
                deadline = time.monotonic() + 5
                while len(received) <= number and time.monotonic() < deadline:
                    time.sleep(0.01)
                assert received == [b"%d" % item for item in range(number + 1)]
            connection.sendall(b"0\r\n\r\n")
            assert receive_all(connection).endswith(b"chunked")

    @pytest.mark.parametrize("line", ["Content-Length: 10", "Transfer-Encoding: chunked"])
    def test_a_client_that_leaves_within_its_body_ends_the_request(self, line: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with forwarding(url) as port, connect(port) as client:
                client.sendall(request("POST", "/", line, body=b"3\r\nabc"))
                client.shutdown(socket.SHUT_WR)
                server, _ = listener.accept()
                with server:
                    server.settimeout(10)
                    received = receive_all(server)
                assert status_of(receive_all(client)) == 400
        assert b"abc" in received
        assert not received.endswith(b"0\r\n\r\n")

    def test_a_body_that_is_shorter_than_its_length_aborts_the_request(self) -> None:
        """The development server raises an error then, but a middleware may have read a part."""
        environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "CONTENT_LENGTH": "5"}
        with upstream(OK) as server, pytest.raises(ConnectionAbortedError):
            Forwarder(server.url)({**environ, "wsgi.input": BytesIO(b"abc")}, lambda *args: print)

    def test_a_response_before_the_end_of_the_body_reaches_the_client(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def refuse() -> None:
                connection, _ = listener.accept()
                with connection:
                    read_head(connection)
                    connection.sendall(b"HTTP/1.1 413 Too large\r\nContent-Length: 2\r\n\r\nno")
                    # Closing with unread data resets the connection.

            threading.Thread(target=refuse, daemon=True).start()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with forwarding(url) as port, connect(port) as client:
                client.sendall(request("POST", "/", "Content-Length: 900000", CLOSE))
                time.sleep(0.1)
                client.sendall(b"x" * 900_000)
                assert status_of(receive_all(client)) == 413


class TestForwardedResponses:
    @pytest.mark.parametrize(
        ("method", "head", "expected"),
        [
            ("HEAD", "200 OK\r\nContent-Length: 5", "content-length: 5"),
            ("HEAD", "200 OK\r\nTransfer-Encoding: chunked", ""),
            ("HEAD", "200 OK", ""),
            ("GET", "204 No Content", ""),
            ("GET", "204 No Content\r\nTransfer-Encoding: chunked", ""),
            ("GET", "304 Not Modified\r\nETag: x", "etag: x"),
            ("GET", "304 Not Modified\r\nContent-Length: 5", "content-length: 5"),
            ("GET", "304 Not Modified\r\nTransfer-Encoding: chunked", ""),
        ],
    )
    def test_responses_without_a_body_keep_both_connections(
        self, method: str, head: str, expected: str
    ) -> None:
        answer = f"HTTP/1.1 {head}\r\n\r\n".encode()
        with upstream(answer) as server, forwarding(server.url) as port:
            received = exchange(port, request(method) + request(method, "/", CLOSE))
            assert len(server.connections) == 1
            assert len(server.requests) == 2
        assert received.count(b"HTTP/1.1 " + head[:3].encode()) == 2
        assert received.count(b"\r\n\r\n") == 2
        assert expected in received.decode().lower()

    @pytest.mark.parametrize("status", ["100 Continue", "102 Processing", "103 Early Hints"])
    def test_interim_responses_are_dropped(self, status: str) -> None:
        interim = f"HTTP/1.1 {status}\r\nLink: </a>; rel=preload\r\n\r\n".encode()
        answer = through(interim * 2 + OK)
        assert answer.count(b"HTTP/1.1") == 1
        assert b"Link" not in answer
        assert answer.endswith(b"\r\n\r\nok")
        assert status_of(through(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20 + OK)) == 502

    def test_events_arrive_one_by_one(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            with forwarding(url) as port, connect(port) as client:
                client.sendall(request("GET", "/", CLOSE))
                server, _ = listener.accept()
                with server:
                    read_head(server)
                    server.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
                    assert b"text/event-stream" in receive_until(client, b"\r\n\r\n")
                    for number in range(3):
                        event = b"data: %d\n\n" % number
                        server.sendall(event)
                        assert event in receive_until(client, b"\n\n\r\n")
                assert receive_all(client).endswith(b"0\r\n\r\n")

    def test_a_client_that_leaves_ends_the_connection_to_the_server(self) -> None:
        gone = threading.Event()

        def stream(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            try:
                while True:
                    yield b"x" * 1000
            finally:
                gone.set()

        with (
            running_app(stream) as inner,
            forwarding(f"http://127.0.0.1:{inner}") as port,
        ):
            with connect(port) as client:
                client.sendall(request())
                client.recv(1000)
            assert gone.wait(10)

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart",
            CHUNKED,
            CHUNKED + b"4\r\npart",
            CHUNKED + b"4\r\npart\r\n",
            CHUNKED + b"a\r\npart\r\n0\r\n\r\n",
            CHUNKED + b"4\r\npart\r\nx\r\n0\r\n\r\n",
            CHUNKED + b"4\r\npart\r\n-1\r\n0\r\n\r\n",
            CHUNKED + b"4\r\npart\r\n" + b"f" * 70_000 + b"\r\n",
        ],
    )
    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    def test_a_response_that_breaks_off_never_looks_complete(
        self, answer: bytes, version: str
    ) -> None:
        with upstream(answer, reads=1) as server, forwarding(server.url) as port:
            message = request("GET", "/", CLOSE).replace(b"HTTP/1.1", f"HTTP/{version}".encode())
            try:
                received = exchange(port, message)
            except ConnectionResetError:
                return
        # With HTTP/1.0 and no Content-Length, only a reset can say it.
        assert version == "1.1" or b"Content-Length: 10" in received
        assert b"HTTP/1.1 200 OK" in received
        assert not received.endswith(b"0\r\n\r\n")
        assert b"Server Error" not in received

    @pytest.mark.parametrize(
        "head",
        [
            "Content-Length: 2\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 2",
            "Content-Length: 2\r\nContent-Length: 2",
            "Content-Length: 2\r\nContent-Length: 9",
            "Content-Length: 2, 2",
            "Content-Length: +2",
            "Content-Length: -2",
            "Content-Length: 0_2",
            "Content-Length: x",
            "Content-Length:",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: gzip",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "X: a\r\n b\r\nContent-Length: 2",
            "X: a\r b\r\nContent-Length: 2",
            "X: a\x00b\r\nContent-Length: 2",
            "X: a\x0bb\r\nContent-Length: 2",
            " X: a\r\nContent-Length: 2",
            "X\r\nContent-Length: 2",
            "X : a\r\nContent-Length: 2",
            "Set-Cookie : sessionid=evil\r\nContent-Length: 2",
        ],
    )
    def test_malformed_heads_are_refused(self, head: str) -> None:
        answer = f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n0\r\n\r\n".encode("latin-1")
        with upstream(answer) as server, forwarding(server.url) as port:
            received = exchange(port, request("GET", "/", CLOSE))
            assert status_of(received) == 502
            assert b"sent a response " in received
            assert b"evil" not in received
            # The connection is not used again.
            exchange(port, request("GET", "/", CLOSE))
            assert len(server.connections) == 2

    def test_no_header_hides_in_the_status_line_or_behind_a_carriage_return(self) -> None:
        evil = b"Set-Cookie: sessionid=evil"
        hidden = b"HTTP/1.1 200 OK\r" + evil + b"\r\nContent-Length: 2\r\n\r\nok"
        assert status_of(through(hidden)) == 502
        # This is a line end to the standard library, and so it is one to the client.
        answer = through(b"HTTP/1.1 200 OK\r\nX: a\r" + evil + b"\r\nContent-Length: 2\r\n\r\nok")
        assert b"X: a\r\nSet-Cookie" in answer

    def test_white_space_around_a_value_is_not_malformed(self) -> None:
        answer = through(b"HTTP/1.1 200 OK\r\nContent-Length: \t 2 \t\r\n\r\nok")
        assert status_of(answer) == 200
        assert answer.endswith(b"\r\n\r\nok")

    def test_a_body_of_several_parts_is_not_malformed(self) -> None:
        kind = b"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n"
        answer = through(b"HTTP/1.1 200 OK\r\n" + kind + b"Content-Length: 2\r\n\r\nok")
        assert status_of(answer) == 200
        assert kind in answer

    def test_a_response_longer_than_it_says_is_cut(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 Evil\r\n\r\n"
        with upstream(answer) as server, forwarding(server.url) as port:
            received = exchange(port, request() + request("GET", "/", CLOSE))
        assert b"Evil" not in received
        assert received.count(b"ok") == 2

    def test_an_unrequested_switch_of_protocols_is_refused(self) -> None:
        answer = through(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw")
        assert status_of(answer) == 502
        assert b"switched to another protocol without being asked" in answer
        assert b"raw" not in answer

    def test_headers_of_the_server_reach_the_client(self) -> None:
        head = b"Set-Cookie: a=b\r\nSet-Cookie: c=d\r\nX: \xe9\r\nServer: theirs\r\nDate: today\r\n"
        answer = through(b"HTTP/1.1 299 Odd\r\n" + head + b"Content-Length: 2\r\n\r\nok")
        assert answer.startswith(b"HTTP/1.1 299 Odd\r\n" + head)
        assert answer.count(b"Server:") == answer.count(b"Date:") == 1


class TestForwarderConnections:
    def ask(self, port: int, *messages: bytes) -> list[int]:
        return [status_of(exchange(port, message)) for message in messages]

    def test_a_connection_to_the_server_is_reused(self) -> None:
        with upstream(OK) as server, forwarding(server.url) as port:
            post = request("POST", "/", CLOSE, "Content-Length: 1", body=b"x")
            assert self.ask(port, request("GET", "/", CLOSE), post, post) == [200] * 3
            assert len(server.connections) == 1

    def test_a_connection_that_the_server_has_closed_is_replaced(self) -> None:
        with upstream(OK, reads=1) as server, forwarding(server.url) as port:
            post = request("POST", "/", CLOSE, "Content-Length: 1", body=b"x")
            for number in range(1, 4):
                assert self.ask(port, post) == [200]
                assert len(server.connections) == number
                time.sleep(0.05)

    def test_a_request_is_repeated_on_a_new_connection_for_safe_methods_only(self) -> None:
        for message, status, count in (
            (request("GET", "/2", CLOSE), 200, 3),
            (request("POST", "/2", CLOSE, "Content-Length: 0"), 502, 2),
            (request("GET", "/2", CLOSE, "Content-Length: 1", body=b"x"), 502, 2),
        ):
            with socket.create_server(("127.0.0.1", 0)) as listener:
                seen: list[bytes] = []

                def serve(listener: socket.socket = listener, seen: list[bytes] = seen) -> None:
                    with suppress(OSError):
                        while True:
                            connection, _ = listener.accept()
                            with connection:
                                seen.append(read_head(connection))
                                connection.sendall(OK)
                                if len(seen) == 1:
                                    seen.append(read_head(connection))  # and no answer

                thread = threading.Thread(target=serve, daemon=True)
                thread.start()
                url = f"http://127.0.0.1:{listener.getsockname()[1]}"
                with forwarding(url) as port:
                    assert self.ask(port, request("GET", "/1", CLOSE), message) == [200, status]
                assert len(seen) == count
                listener.shutdown(socket.SHUT_RDWR)
                thread.join(10)

    def test_a_connection_with_unrequested_bytes_is_dropped(self) -> None:
        with upstream(OK) as server, forwarding(server.url) as port:
            assert self.ask(port, request("GET", "/", CLOSE)) == [200]
            server.connections[0].sendall(b"HTTP/1.1 200 Evil\r\nContent-Length: 0\r\n\r\n")
            time.sleep(0.05)
            assert b"Evil" not in exchange(port, request("GET", "/", CLOSE))
            assert len(server.connections) == 2

    @pytest.mark.parametrize(
        "answer",
        [
            OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
            OK.replace(b"1.1", b"1.0"),
            b"garbage\r\n\r\n",
            CHUNKED + b"x\r\n",
        ],
    )
    def test_it_is_not_kept_after_an_error_or_when_the_server_says_so(self, answer: bytes) -> None:
        with upstream(answer) as server, forwarding(server.url) as port:
            for number in (1, 2):
                exchange(port, request("GET", "/", CLOSE))
                assert len(server.connections) == number

    def test_it_is_not_kept_when_the_client_leaves_within_the_response(self) -> None:
        large = b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n"
        with upstream(large + b"x" * 20_000_000, OK) as server, forwarding(server.url) as port:
            with connect(port) as client:
                client.sendall(request())
                client.recv(1000)
            for _ in range(3):
                assert exchange(port, request("GET", "/", CLOSE)).endswith(b"ok")
            assert len(server.connections) == 2

    def test_it_is_closed_when_the_client_is_gone_before_the_headers(self) -> None:
        def start_response(*args: Any) -> Callable[[bytes], object]:
            def write(data: bytes) -> None:
                raise ConnectionAbortedError

            return write

        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.input": BytesIO()}
        with upstream(OK) as server:
            with pytest.raises(ConnectionAbortedError) as caught:
                Forwarder(server.url)(environ, start_response)
            server.connections[0].settimeout(5)
            assert server.connections[0].recv(1) == b""
            del caught  # until here its frames keep what was not closed

    def test_a_server_that_is_down_is_answered_with_502(self) -> None:
        with forwarding(f"http://127.0.0.1:{free_port()}") as port:
            answer = exchange(port, request("GET", "/", CLOSE))
        assert status_of(answer) == 502
        assert b"Start your application there." in answer
        assert b"no-store" in answer

    def test_a_server_that_does_not_answer_in_time_is_answered_with_503(self) -> None:
        with upstream(b"") as server, forwarding(server.url, timeout=0.2) as port:
            started = time.monotonic()
            answer = exchange(port, request("GET", "/", CLOSE))
            assert 0.1 < time.monotonic() - started < 5
        assert status_of(answer) == 503
        assert b"did not answer within 0.2 seconds." in answer

    def test_a_response_body_that_stalls_is_cut_off_after_the_timeout(self) -> None:
        slow = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart"
        with upstream(slow) as server, forwarding(server.url, timeout=0.2) as port:
            answer = exchange(port, request("GET", "/", CLOSE))
        assert answer.endswith(b"\r\n\r\npart")


class TestForwardedLargeBodies:
    """200 MB in each direction, with the memory of this process, where everything runs."""

    BLOCK = b"x" * 1_000_000

    @pytest.fixture
    def port(self) -> Iterator[int]:
        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if environ["REQUEST_METHOD"] == "GET":
                count = int(environ["QUERY_STRING"])
                start_response("200 OK", [("Content-Length", str(count * len(self.BLOCK)))])
                return (self.BLOCK for _ in range(count))
            size = 0
            while data := environ["wsgi.input"].read1(65_536):
                size += len(data)
            start_response("200 OK", [])
            return [str(size).encode()]

        with (
            running_app(app) as inner,
            forwarding(f"http://127.0.0.1:{inner}") as port,
        ):
            yield port

    def memory(self) -> int:
        """Return the most memory that this process had, in kilobytes."""
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    @pytest.fixture(autouse=True)
    def _forget_earlier_tests(self) -> None:
        with suppress(OSError):  # only Linux has this
            Path("/proc/self/clear_refs").write_text("5")

    def upload(self, port: int, count: int, is_chunked: bool) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {} if is_chunked else {"Content-Length": str(count * len(self.BLOCK))}
        blocks = (self.BLOCK for _ in range(count))
        connection.request("POST", "/", blocks, headers, encode_chunked=is_chunked)
        size = int(connection.getresponse().read())
        connection.close()
        return size

    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_a_large_upload_takes_little_memory(self, is_chunked: bool, port: int) -> None:
        self.upload(port, 5, is_chunked)
        before = self.memory()
        assert self.upload(port, 200, is_chunked) == 200_000_000
        assert self.memory() - before < 30_000  # kilobytes

    def test_a_large_download_takes_little_memory(self, port: int) -> None:
        def download(count: int) -> int:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", f"/?{count}")
            response, size = connection.getresponse(), 0
            while data := response.read(65_536):
                size += len(data)
            connection.close()
            return size

        download(5)
        before = self.memory()
        assert download(200) == 200_000_000
        assert self.memory() - before < 30_000


@contextmanager
def standing_in(
    url: str, websockets: bool = False, rules: str = "any", port: int = 0
) -> Iterator[int]:
    sessions = {"sessions": {"xia": {}}, "rules": [{"path": "/", "allow": rules}]}
    with closing(Forwarder(url)) as forwarder:
        app = StandIn(forwarder, sessions, Settings(secret_key=KEY), websockets=websockets)
        with running_app(app, port=port) as found:
            yield found


class TestForwardedWebSockets:
    @pytest.fixture
    def inner(self) -> Iterator[int]:
        def answer(connection: ServerConnection) -> None:
            connection.send(
                connection.request.headers.get("Cookie", "") if connection.request else ""
            )
            for message in connection:
                connection.send(message)

        with serve_websockets(answer, "127.0.0.1", 0) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            yield server.socket.getsockname()[1]
            server.shutdown()
            thread.join()

    def test_they_pass_with_the_option(self, inner: int) -> None:
        with (
            standing_in(f"http://127.0.0.1:{inner}", True) as port,
            open_websocket(f"ws://127.0.0.1:{port}/x", proxy=None) as client,
        ):
            assert str(client.recv(10)).startswith('sessionid="U2FsdGVkX1')
            for message in ("hello", "x" * 100_000):
                client.send(message)
                assert client.recv(10) == message

    def test_they_are_refused_without_it(self, inner: int) -> None:
        with standing_in(f"http://127.0.0.1:{inner}") as port:
            with pytest.raises(InvalidStatus) as caught:
                open_websocket(f"ws://127.0.0.1:{port}/x", proxy=None)
            assert caught.value.response.status_code == 501
            assert b"--websockets" in (caught.value.response.body or b"")

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "http://127.0.0.1:1"},
            {"Origin": "http://localhost"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ],
    )
    def test_a_websocket_from_another_site_is_refused(
        self, headers: dict[str, str], inner: int
    ) -> None:
        with standing_in(f"http://127.0.0.1:{inner}", True) as port:
            with pytest.raises(InvalidStatus) as caught:
                open_websocket(f"ws://127.0.0.1:{port}/", additional_headers=headers, proxy=None)
            assert caught.value.response.status_code == 403

    def test_the_rules_apply_to_websockets(self, inner: int) -> None:
        app = standing_in(f"http://127.0.0.1:{inner}", True, rules="authenticated")
        with app as port, pytest.raises(InvalidStatus) as caught:
            open_websocket(f"ws://127.0.0.1:{port}/", proxy=None)
        assert caught.value.response.status_code == 403

    def test_the_connection_ends_when_either_side_closes_it(self, inner: int) -> None:
        with standing_in(f"http://127.0.0.1:{inner}", True) as port:
            before = threading.active_count()
            with open_websocket(f"ws://127.0.0.1:{port}/", proxy=None) as client:
                client.recv(10)
                assert threading.active_count() > before
                client.socket.shutdown(socket.SHUT_RDWR)
            deadline = time.monotonic() + 5
            while threading.active_count() > before and time.monotonic() < deadline:
                time.sleep(0.01)
            assert threading.active_count() <= before


class TestForwardingLoops:
    def test_a_stand_in_in_front_of_itself_answers_508(self) -> None:
        port = free_port()
        with standing_in(f"http://127.0.0.1:{port}", port=port):
            answer = exchange(port, local())
        assert status_of(answer) == 508
        assert b"forwards requests to itself" in answer

    def test_two_stand_ins_in_front_of_each_other_answer_508(self) -> None:
        first, second = free_port(), free_port()
        with (
            standing_in(f"http://127.0.0.1:{second}", port=first),
            standing_in(f"http://127.0.0.1:{first}", port=second),
        ):
            for port in (first, second):
                assert status_of(exchange(port, local())) == 508
                # Nothing that the client sends hides the loop.
                hidden = ("Connection: close, X-Djsession-Stand-In", "X-Djsession-Stand-In: a")
                assert status_of(exchange(port, local(*hidden))) == 508

    def test_two_stand_ins_in_a_row_are_not_a_loop(self) -> None:
        with (
            upstream(OK) as server,
            standing_in(server.url) as inner,
            standing_in(f"http://127.0.0.1:{inner}") as port,
        ):
            assert status_of(exchange(port, local())) == 200


def local(*lines: str) -> bytes:
    return request("GET", "/a", *lines, CLOSE).replace(b"Host: x", b"Host: localhost")
