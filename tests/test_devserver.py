"""The development server: the HTTP/1.1 that it speaks, and how it ends."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

from djsession.devserver import address_of, open_server
from tests.helpers.commands import environment
from tests.helpers.servers import (
    connect,
    exchange,
    free_port,
    receive_all,
    receive_until,
    running_app,
)

App = Callable[..., Iterable[bytes]]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("localhost", "http://localhost:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::0", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("192.0.2.1", "http://192.0.2.1:80"),
        ("2001:db8::1", "http://[2001:db8::1]:80"),
    ],
)
def test_address_of_a_host_is_a_url_that_reaches_it(host: str, url: str) -> None:
    assert address_of(host, 80) == url


def test_the_address_of_a_server_that_listens_everywhere_reaches_it() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"here"]

    for host in ("0.0.0.0", *(["::"] if socket.has_ipv6 else [])):
        with running_app(app, host) as port:
            connection = http.client.HTTPConnection(
                address_of(host, port).removeprefix("http://"), timeout=10
            )
            connection.request("GET", "/")
            assert connection.getresponse().read() == b"here"
            connection.close()


def test_a_port_is_free_again_as_soon_as_the_server_stopped() -> None:
    with running_app(echo) as port:
        # The server closes first, so the system keeps the connection for a minute.
        exchange(port, get("/", "Connection: close"))
    with open_server(echo, "127.0.0.1", port) as server:
        assert server.server_port == port


def get(path: str = "/", *lines: str, version: str = "1.1") -> bytes:
    head = "".join(
        f"{line}\r\n" for line in (f"GET {path} HTTP/{version}", "Host: localhost", *lines)
    )
    return f"{head}\r\n".encode("latin-1")


def post(body: str, *lines: str, path: str = "/") -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", *lines)
    return ("".join(f"{line}\r\n" for line in lines) + "\r\n" + body).encode("latin-1")


def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer with the method, the path, the query and the body."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    answer = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {environ['QUERY_STRING']}|"
    return [answer.encode("latin-1"), body, b"|"]


def ignore_body(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b"ignored"]


@pytest.fixture
def environs() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def port(environs: list[dict[str, Any]]) -> Iterator[int]:
    """The port of a server with ``echo``, checked against PEP 3333, that records environs."""
    checked = validator(echo_in_blocks)

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environs.append(environ)
        return checked(environ, start_response)

    with running_app(app) as found:
        yield found


def echo_in_blocks(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """``echo`` for the validator, which does not know of wsgi.input_terminated."""
    body = b""
    while data := environ["wsgi.input"].read(7):
        body += data
    start_response("200 OK", [("Content-Type", "text/plain")])
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    return [f"{environ['REQUEST_METHOD']} {path} {query}|".encode("latin-1"), body, b"|"]


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 ")
    return int(answer[9:12])


def headers_of(answer: bytes) -> dict[str, str]:
    head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
    pairs = (line.partition(":") for line in head.split("\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in pairs}


class TestDevServerRequests:
    def test_a_connection_serves_several_requests(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for number in range(3):
            connection.request("POST", f"/{number}?q", b"x" * number)
            response = connection.getresponse()
            assert response.read() == f"POST /{number} q|{'x' * number}|".encode()
            assert not response.will_close
        connection.close()

    def test_pipelined_requests_are_answered_in_order(self, port: int) -> None:
        answer = exchange(
            port,
            get("/1")
            + post("two", "Content-Length: 3")
            + get("/3", "Connection: close")
            + get("/4"),
        )
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert re.findall(rb"(?:GET|POST) /\d? \|.*?", answer) == [
            b"GET /1 |",
            b"POST / |",
            b"GET /3 |",
        ]

    @pytest.mark.parametrize("value", ["close", "Close", "close, x-y", "x-y ,close", "\tclose "])
    def test_a_client_may_ask_to_close_the_connection(self, value: str, port: int) -> None:
        answer = exchange(port, get("/1", f"Connection: {value}") + get("/2"))
        assert answer.count(b"HTTP/1.1 200 OK") == 1
        assert headers_of(answer)["connection"] == "close"

    @pytest.mark.parametrize(
        "body",
        [
            "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            '3;name="a;b"\r\nabc\r\n2 ;x\r\nde\r\n0;last\r\n\r\n',
            "003\r\nabc\r\n000002\r\nde\r\n000\r\n\r\n",
            "5\r\nabcde\r\n0\r\nX-Trailer: a\r\nHost: evil.example\r\n\r\n",
        ],
    )
    def test_a_chunked_body_is_decoded_and_its_trailers_dropped(
        self, body: str, port: int, environs: list[dict[str, Any]]
    ) -> None:
        request = post(body, "Transfer-Encoding: chunked")
        answer = exchange(port, request + get("/next", "Connection: close"))
        assert b"POST / |\r\n5\r\nabcde" in answer
        assert b"GET /next |" in answer
        assert environs[0]["HTTP_HOST"] == "localhost"
        assert "HTTP_X_TRAILER" not in environs[0]

    @pytest.mark.parametrize(
        "body",
        [
            "3\r\nabcd\r\n0\r\n\r\n",
            "3\r\nabc0\r\n\r\n",
            "3\r\nabcde0\r\n\r\n",
            "3\r\nabc\n\n0\r\n\r\n",
            "\r\n0\r\n\r\n",
            "x\r\n\r\n0\r\n\r\n",
            "-1\r\n\r\n0\r\n\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "3_0\r\nabc\r\n0\r\n\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "3;\x00\r\nabc\r\n0\r\n\r\n",
            "3;a\rb\r\nabc\r\n0\r\n\r\n",
            "1" * 16 + "\r\n\r\n0\r\n\r\n",
            "3;" + "x" * 2000 + "\r\nabc\r\n0\r\n\r\n",
            "3\r\nabc\r\n0\r\na: b\n\r\n",
            "3\r\nabc\r\n0\r\n" + "a: b\r\n" * 65 + "\r\n",
            "3\r\nabc\r\n0\r\na: " + "b" * 9_000 + "\r\n\r\n",
        ],
    )
    def test_wrong_chunks_are_refused_and_nothing_behind_them_is_read(
        self, body: str, port: int, environs: list[dict[str, Any]]
    ) -> None:
        answer = exchange(port, post(body, "Transfer-Encoding: chunked") + get("/smuggled"))
        assert status_of(answer) == 400
        assert answer.count(b"HTTP/1.1") == 1
        assert len(environs) == 1

    def test_an_application_that_swallows_the_error_of_a_body_reads_nothing_behind_it(self) -> None:
        def stubborn(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            body = b""
            for _ in range(5):
                with suppress(OSError):
                    body += environ["wsgi.input"].read()
            start_response("200 OK", [])
            return [b"[", body, b"]"]

        # Read from here on, it is the end of a body and another request.
        body = "x\r\n\r\n0\r\n\r\n" + get("/smuggled").decode()
        with running_app(stubborn) as port:
            answer = exchange(port, post(body, "Transfer-Encoding: chunked"))
        assert answer.count(b"HTTP/1.1") == 1
        assert b"[" in answer

    @pytest.mark.parametrize("lines", [["Content-Length: 5"], ["Transfer-Encoding: chunked"]])
    def test_a_body_that_ends_too_early_is_a_bad_request(self, lines: list[str], port: int) -> None:
        with connect(port) as connection:
            connection.sendall(post("3\r\na", *lines))
            connection.shutdown(socket.SHUT_WR)
            assert status_of(receive_all(connection)) == 400

    @pytest.mark.parametrize(
        "lines",
        [
            ["Content-Length: 4", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: chunked", "Content-Length: 4"],
            ["Content-Length: 4", "Content-Length: 4"],
            ["Content-Length: 4", "Content-Length: 0"],
            ["Content-Length: 4, 4"],
            ["Content-Length: +4"],
            ["Content-Length: -4"],
            ["Content-Length: 4_0"],
            ["Content-Length: 0x4"],
            ["Content-Length: 4 4"],
            ["Content-Length: \xb2"],
            ["Content-Length: \xa04"],
            ["Content-Length:"],
            ["Content-Length: 9999999999999999999"],
            ["Transfer-Encoding: gzip, chunked"],
            ["Transfer-Encoding: chunked, chunked"],
            ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
            ["Transfer-Encoding: identity"],
            ["Transfer-Encoding: xchunked"],
            ["Transfer-Encoding:"],
            ["X: a", " b"],
            ["X: a", "\tContent-Length: 4"],
            [" X: a"],
            ["X : a"],
            ["Content-Length : 4"],
            ["Content-Length\t: 4"],
            ["X"],
            [": a"],
            ["X\xe9: a"],
            ["X(: a"],
            ["X: a\x00b"],
            ["X: a\rContent-Length: 4"],
            ["X: a\nContent-Length: 4"],
            ["X: a\r\r"],
            ["X: a\x0bb"],
            ["X: a\x7fb"],
            ["Host: localhost"],
            ["Host: evil.example"],
        ],
    )
    def test_a_request_with_two_meanings_is_refused(
        self, lines: list[str], port: int, environs: list[dict[str, Any]]
    ) -> None:
        answer = exchange(port, post("0\r\n\r\n" + get("/smuggled").decode(), *lines))
        assert status_of(answer) == 400
        assert answer.count(b"HTTP/1.1 ") == 1
        assert not environs

    @pytest.mark.parametrize(
        "line",
        [
            "GET http://localhost/ HTTP/1.1",
            "GET https://evil.example/ HTTP/1.1",
            "GET evil.example/ HTTP/1.1",
            "GET * HTTP/1.1",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /a b HTTP/1.1",
            "GET /\xe9 HTTP/1.1",
            "GET /\x00 HTTP/1.1",
            "GET\t/ HTTP/1.1",
            " GET / HTTP/1.1",
            "GET /",
            "GET",
            "G(T / HTTP/1.1",
            "GET / HTTP/1.2",
            "GET / HTTP/2.0",
            "GET / HTTP/0.9",
            "GET / http/1.1",
            "PRI * HTTP/2.0",
            "CONNECT evil.example:443 HTTP/1.1",
        ],
    )
    def test_a_malformed_request_line_is_refused(
        self, line: str, port: int, environs: list[dict[str, Any]]
    ) -> None:
        answer = exchange(port, f"{line}\r\nHost: localhost\r\n\r\n".encode("latin-1") + get("/2"))
        assert status_of(answer) == 400
        assert answer.count(b"HTTP/1.1 ") == 1
        assert not environs

    def test_lines_that_end_in_only_a_line_feed_are_refused(self, port: int) -> None:
        assert status_of(exchange(port, b"GET / HTTP/1.1\nHost: localhost\n\n")) == 400
        assert status_of(exchange(port, get("/", "A: b").replace(b"b\r\n", b"b\n"))) == 400

    def test_the_target_of_options_may_be_an_asterisk(self) -> None:
        with running_app(echo) as port:
            answer = exchange(port, b"OPTIONS * HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert b"OPTIONS * |" in answer

    @pytest.mark.parametrize(
        "request_",
        [
            get("/" + "x" * 70_000),
            get("/", "X: " + "x" * 70_000),
            get("/", *(f"X-{number}: {'x' * 1000}" for number in range(70))),
            get("/", *(f"X-{number}: x" for number in range(200))),
            get("/", "X: " + "x" * 5_000_000),
        ],
        ids=["target", "header", "headers", "number of headers", "huge"],
    )
    def test_a_head_that_is_too_large_is_answered_with_431(
        self, request_: bytes, port: int, environs: list[dict[str, Any]]
    ) -> None:
        with connect(port) as connection:
            with suppress(ConnectionError):  # it does not have to read all of it
                connection.sendall(request_)
            if len(request_) < 1_000_000:
                assert status_of(receive_all(connection)) == 431
        assert not environs

    def test_a_refusal_reaches_a_client_that_still_sends(self, port: int) -> None:
        with connect(port) as connection:
            connection.sendall(b"wrong\r\n\r\n")
            for _ in range(10):
                # A server that had closed the connection would reset it now.
                connection.sendall(b"x" * 10_000)
                time.sleep(0.01)
            assert status_of(receive_all(connection)) == 400

    def test_the_environ_is_complete_and_headers_cannot_spoof_it(
        self, port: int, environs: list[dict[str, Any]]
    ) -> None:
        exchange(
            port,
            get(
                "//evil/a%2Fb%00%E9/?q=%20#x",
                *("Cookie: a=b", "Cookie: c=d", "X: 1", "x: 2", "X_Y: 1", "X_Real-IP: 1"),
                *("Content_Length: 5", "Script-Name: /evil", "Remote-Addr: 192.0.2.1"),
                "Connection: close",
            ),
        )
        [environ] = environs
        assert environ["PATH_INFO"] == "/evil/a/b\x00\xe9/"
        assert environ["QUERY_STRING"] == "q=%20#x"
        assert environ["SCRIPT_NAME"] == ""
        assert environ["REMOTE_ADDR"] == "127.0.0.1"
        assert environ["SERVER_PORT"] == str(port)
        assert environ["HTTP_COOKIE"] == "a=b; c=d"
        assert environ["HTTP_X"] == "1,2"
        assert "CONTENT_TYPE" not in environ
        assert environ["CONTENT_LENGTH"] == ""
        assert not [key for key in environ if "X_Y" in key or "REAL_IP" in key]

    def test_the_environment_of_the_process_stays_out(
        self, port: int, environs: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DJAODJIN_SECRET_KEY", "a secret")
        exchange(port, get("/", "Connection: close"))
        known = {"PATH_INFO", "CONTENT_LENGTH", "GATEWAY_INTERFACE", "QUERY_STRING"}
        keys = {key for key in environs[0] if not key.startswith(("HTTP_", "wsgi.", "djsession."))}
        assert keys <= known | {
            *("REMOTE_ADDR", "REMOTE_HOST", "REQUEST_METHOD", "SCRIPT_NAME", "SERVER_NAME"),
            *("SERVER_PORT", "SERVER_PROTOCOL", "SERVER_SOFTWARE"),
        }
        assert not set(os.environ) & keys

    def test_an_http_1_0_connection_is_closed_and_never_chunked(self, port: int) -> None:
        answer = exchange(port, get("/a", "Connection: keep-alive", version="1.0") + get("/b"))
        assert answer.count(b"HTTP/1.1 200 OK") == 1
        headers = headers_of(answer)
        assert headers["connection"] == "close"
        assert "transfer-encoding" not in headers
        assert answer.endswith(b"\r\n\r\nGET /a |" + b"|")
        chunked = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        assert status_of(exchange(port, chunked)) == 400


class TestDevServerContinue:
    EXPECT = ("Expect: 100-continue", "Content-Length: 4")

    def test_it_is_sent_when_the_application_reads(self, port: int) -> None:
        with connect(port) as connection:
            connection.sendall(post("", *self.EXPECT, "Connection: close"))
            assert receive_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"body")
            answer = receive_all(connection)
        assert b"body" in answer
        assert answer.count(b"HTTP/1.1") == 1

    def test_a_refusal_comes_without_it_and_closes_the_connection(self) -> None:
        with running_app(ignore_body) as port:
            started = time.monotonic()
            answer = exchange(port, post("", *self.EXPECT))
            assert time.monotonic() - started < 1
        assert status_of(answer) == 200
        assert b"100 Continue" not in answer

    def test_it_is_not_sent_in_the_middle_of_a_response(self) -> None:
        def late(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield b"first "
            yield environ["wsgi.input"].read()

        with running_app(late) as port, connect(port) as connection:
            connection.sendall(post("", *self.EXPECT, "Connection: close"))
            received = receive_until(connection, b"first ")
            connection.sendall(b"body")
            received += receive_all(connection)
        assert b"100 Continue" not in received
        assert b"body" in received

    def test_http_1_0_has_none(self, port: int) -> None:
        request = post("body", *self.EXPECT).replace(b"HTTP/1.1", b"HTTP/1.0")
        assert b"100 Continue" not in exchange(port, request)


def answering(status: str, *headers: tuple[str, str], body: Iterable[bytes] = ()) -> App:
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(status, list(headers))
        return body

    return app


class TestDevServerResponses:
    @pytest.mark.parametrize(
        ("status", "method", "headers", "body"),
        [
            ("200 OK", "HEAD", [("Content-Length", "5")], [b"hello"]),
            ("200 OK", "HEAD", [("Content-Length", "5")], []),
            ("200 OK", "HEAD", [], [b"hello", b"world"]),
            ("200 OK", "HEAD", [], []),
            ("204 No Content", "GET", [], []),
            ("204 No Content", "GET", [], [b"wrong"]),
            ("304 Not Modified", "GET", [], []),
            ("304 Not Modified", "GET", [("Content-Length", "5")], []),
            ("304 Not Modified", "GET", [], [b"wrong"]),
        ],
    )
    def test_head_204_and_304_responses_have_no_body(
        self, status: str, method: str, headers: list[tuple[str, str]], body: list[bytes]
    ) -> None:
        with running_app(answering(status, *headers, body=body)) as port:
            request = get().replace(b"GET", method.encode())
            answer = exchange(port, request + request[:-2] + b"Connection: close\r\n\r\n")
        first, second = re.findall(rb"HTTP/1\.1 .*?\r\n\r\n", answer, re.DOTALL)
        assert first + second == answer
        found = headers_of(first)
        assert "transfer-encoding" not in found
        if status.startswith("204"):
            assert "content-length" not in found
        elif headers:
            assert found["content-length"] == "5"
        elif not body:
            assert "content-length" not in found

    @pytest.mark.parametrize(
        ("headers", "body", "expected"),
        [
            ([], [], b"Content-Length: 0\r\n\r\n"),
            ([], [b"one"], b"Content-Length: 3\r\n\r\none"),
            ([], [b"one", b"", b"two"], b"chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"),
            ([("Content-Length", "6")], [b"one", b"two"], b"Content-Length: 6\r\n\r\nonetwo"),
        ],
    )
    def test_a_body_has_a_content_length_or_is_chunked(
        self, headers: list[tuple[str, str]], body: list[bytes], expected: bytes
    ) -> None:
        with running_app(answering("200 OK", *headers, body=body)) as port, connect(port) as client:
            client.sendall(get())
            assert receive_until(client, expected).endswith(expected)
            client.sendall(get())
            assert receive_until(client, expected).endswith(expected)

    def test_a_stream_arrives_block_by_block(self) -> None:
        events: list[threading.Event] = [threading.Event() for _ in range(3)]

        def stream(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            for number, event in enumerate(events):
                yield b"data: %d\n\n" % number
                assert event.wait(10)

        with running_app(stream) as port, connect(port) as connection:
            connection.sendall(get("/", "Connection: close"))
            for number, event in enumerate(events):
                assert b"data: %d\n\n" % number in receive_until(connection, b"\n\n\r\n")
                event.set()
            assert receive_all(connection).endswith(b"0\r\n\r\n")

    def test_the_headers_of_a_silent_stream_arrive_at_once(self) -> None:
        go_on = threading.Event()

        def stream(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            start_response("200 OK", [])(b"")

            def blocks() -> Iterator[bytes]:
                assert go_on.wait(10)
                yield b"late"

            return blocks()

        with running_app(stream) as port, connect(port) as connection:
            connection.sendall(get())
            assert b"200 OK" in receive_until(connection, b"\r\n\r\n")
            go_on.set()
            assert b"late" in receive_until(connection, b"0\r\n\r\n")

    def test_a_response_that_is_too_short_closes_the_connection(self) -> None:
        app = answering("200 OK", ("Content-Length", "10"), body=[b"short"])
        with running_app(app) as port:
            answer = exchange(port, get() + get())
            assert answer.count(b"HTTP/1.1") == 1
            assert answer.endswith(b"\r\n\r\nshort")
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/")
            with pytest.raises(http.client.IncompleteRead):
                connection.getresponse().read()
            connection.close()

    @pytest.mark.parametrize("body", [[b"too long"], [b"too", b" long"]])
    def test_what_exceeds_the_content_length_is_not_sent(
        self, body: list[bytes], capsys: pytest.CaptureFixture[str]
    ) -> None:
        # The client would take it for the response to its next request.
        with running_app(answering("200 OK", ("Content-Length", "3"), body=body)) as port:
            answer = exchange(port, get() + get())
        assert answer.count(b"HTTP/1.1") == 1
        assert b"long" not in answer
        assert "the application sent more than its Content-Length" in capsys.readouterr().err

    def test_an_error_before_the_headers_is_a_500_without_details(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def broken(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            start_response("200 OK", [("Content-Length", "1000")])
            raise ConnectionResetError("the database is gone")

        with running_app(broken) as port:
            answer = exchange(port, get("/", "Connection: close"))
        assert status_of(answer) == 500
        assert "the database is gone" in capsys.readouterr().err
        assert b"database" not in answer

    def test_a_body_of_str_is_a_500(self, capsys: pytest.CaptureFixture[str]) -> None:
        with running_app(answering("200 OK", body=["text"])) as port:  # type: ignore[list-item]
            assert status_of(exchange(port, get("/", "Connection: close"))) == 500
        assert "the body must consist of bytes, not of str" in capsys.readouterr().err

    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    def test_an_error_after_the_headers_never_looks_like_the_end(self, version: str) -> None:
        def broken(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            yield b"begun"
            raise ValueError

        with running_app(broken) as port, connect(port) as connection:
            connection.sendall(get(version=version))
            answer = receive_until(connection, b"begun")
            if version == "1.1":
                answer += receive_all(connection)
                assert b"0\r\n\r\n" not in answer
            else:
                with pytest.raises(ConnectionResetError):
                    receive_all(connection)

    def test_a_request_body_that_the_application_ignores_is_discarded(self) -> None:
        with running_app(ignore_body) as port, connect(port) as connection:
            for _ in range(2):
                connection.sendall(post("x" * 100_000, "Content-Length: 100000"))
                assert receive_until(connection, b"ignored").endswith(b"ignored")
            # More than it reads for nothing: the response still arrives.
            connection.sendall(post("x" * 100_000, "Content-Length: 900000000"))
            with suppress(ConnectionError):
                for _ in range(50):
                    connection.sendall(b"x" * 100_000)
            with suppress(ConnectionError):
                assert receive_until(connection, b"ignored").endswith(b"ignored")

    def test_a_client_that_leaves_is_not_an_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        closed = threading.Event()

        def stream(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            try:
                while True:
                    yield b"x" * 10_000
            finally:
                closed.set()

        with running_app(stream) as port:
            with connect(port) as connection:
                connection.sendall(get())
                connection.recv(100)
            assert closed.wait(10)
        assert "Traceback" not in capsys.readouterr().err

    def test_error_pages_escape_what_they_show(self, port: int) -> None:
        answer = exchange(port, b"<script>alert(1)</script> / HTTP/1.1\r\n\r\n")
        assert status_of(answer) == 400
        assert b"<script>" not in answer


LARGE = """
import resource
def application(environ, start_response):
    size = 0
    while data := environ["wsgi.input"].read(65536):
        size += len(data)
    start_response("200 OK", [])
    return [b"%d %d" % (size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)]
"""

STREAM = """
import time
def application(environ, start_response):
    start_response("200 OK", [])
    while True:
        yield b"tick"
        time.sleep(60)
"""


@pytest.mark.server
class TestDevServerProcess:
    @pytest.fixture
    def start(self, tmp_path: Path) -> Iterator[Callable[[str], tuple[Any, int]]]:
        processes: list[subprocess.Popen[bytes]] = []

        def run(text: str) -> tuple[subprocess.Popen[bytes], int]:
            (tmp_path / "served.py").write_text(text)
            port = free_port()
            process = subprocess.Popen(
                [sys.executable, "-m", "djsession", "serve", "served", "--port", str(port)],
                cwd=tmp_path,
                env=environment(XDG_STATE_HOME=str(tmp_path)),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            processes.append(process)
            assert process.stdout is not None
            for line in process.stdout:
                if b"Ctrl" in line:
                    return process, port
            pytest.fail("the server did not start")

        yield run
        for process in processes:
            process.kill()
            process.communicate()

    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_a_large_upload_takes_little_memory(
        self, is_chunked: bool, start: Callable[[str], tuple[Any, int]]
    ) -> None:
        _, port = start(LARGE)
        block = b"x" * 1_000_000

        def measured(number: int) -> tuple[int, int]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            headers = {} if is_chunked else {"Content-Length": str(number * len(block))}
            body = (block for _ in range(number))
            connection.request("POST", "/", body, headers, encode_chunked=is_chunked)
            size, memory = connection.getresponse().read().split()
            connection.close()
            return int(size), int(memory)

        assert measured(1)[0] == 1_000_000
        before = measured(1)[1]
        size, after = measured(100)
        assert size == 100_000_000
        assert after - before < 10_000  # kilobytes

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_signal_ends_it_while_clients_are_connected(
        self, number: int, start: Callable[[str], tuple[Any, int]]
    ) -> None:
        process, port = start(STREAM)
        with connect(port) as stream, connect(port):
            stream.sendall(get())
            receive_until(stream, b"tick")
            started = time.monotonic()
            process.send_signal(number)
            assert process.wait(10) == 0
            assert time.monotonic() - started < 1
            with suppress(ConnectionError):
                receive_all(stream)
        with pytest.raises(ConnectionRefusedError):
            connect(port)
