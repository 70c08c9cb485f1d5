"""Both ends of a proxy as bytes: the application that records, and the browser."""

from __future__ import annotations

import socket
import threading
from typing import NamedTuple, Self

from tests.helpers.servers import connect

Headers = list[tuple[str, str]]

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Request(NamedTuple):
    """What the application received. ``body`` is what the framing says that the body is."""

    method: str
    target: str
    version: str
    headers: Headers
    body: bytes

    def values(self, name: str) -> list[str]:
        return values(self.headers, name)


class Response(NamedTuple):
    """What the browser got back."""

    status: int
    headers: Headers
    body: bytes

    def values(self, name: str) -> list[str]:
        return values(self.headers, name)


def values(headers: Headers, name: str) -> list[str]:
    """Return the values of a header, in their order."""
    return [value for each, value in headers if each.lower() == name.lower()]


class _Stream:
    """The bytes of a connection that have arrived and were not read yet."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def _more(self) -> bool:
        chunk = self._connection.recv(65536)
        self._buffer += chunk
        return bool(chunk)

    def until(self, end: bytes) -> bytes:
        """Return the bytes before ``end``, and skip it; raise EOFError if it never comes."""
        while end not in self._buffer:
            if not self._more():
                raise EOFError(self._buffer)
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            if not self._more():
                raise EOFError(self._buffer)
        found, self._buffer = self._buffer[:count], self._buffer[count:]
        return found

    def rest(self) -> bytes:
        while self._more():
            pass
        found, self._buffer = self._buffer, b""
        return found

    def chunked(self) -> bytes:
        body = b""
        while size := int(self.until(b"\r\n").partition(b";")[0], 16):
            body += self.exactly(size)
            self.until(b"\r\n")
        while self.until(b"\r\n"):  # trailers
            pass
        return body

    def head(self) -> tuple[str, Headers]:
        """Return the first line and the headers."""
        first, *lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = []
        for line in lines:
            name, _, value = line.partition(":")
            headers.append((name, value.strip(" \t")))
        return first, headers


class Recorder:
    """An HTTP server that keeps each request as it came, and sends ``answer`` as it is."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer = OK
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        stream = _Stream(connection)
        with connection:
            try:
                while self._one(stream, connection):
                    pass
            except (EOFError, OSError):
                return

    def _one(self, stream: _Stream, connection: socket.socket) -> bool:
        first, headers = stream.head()
        method, _, rest = first.partition(" ")
        target, _, version = rest.rpartition(" ")
        if "100-continue" in values(headers, "Expect"):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = b""
        if "chunked" in values(headers, "Transfer-Encoding"):
            body = stream.chunked()
        elif lengths := values(headers, "Content-Length"):
            body = stream.exactly(int(lengths[-1]))
        self.requests.append(Request(method, target, version, headers, body))
        answer = self.answer
        if method == "HEAD":
            answer = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        connection.sendall(answer)
        # An answer without a length ends with the connection.
        head = answer.partition(b"\r\n\r\n")[0].lower()
        return b"content-length" in head or b"chunked" in head or head[9:12] in (b"204", b"304")


def exchange(port: int, request: bytes, *, timeout: float = 20) -> Response:
    """Send a request as it is, and read one response as the framing says.

    Interim responses are skipped.
    """
    with connect(port, timeout) as connection:
        connection.sendall(request)
        stream = _Stream(connection)
        while True:
            first, headers = stream.head()
            status = int(first.split()[1])
            if status >= 200 or status == 101:
                break
        method = request.split(b" ", 1)[0]
        if method == b"HEAD" or status in (101, 204, 304):
            body = b""
        elif "chunked" in values(headers, "Transfer-Encoding"):
            body = stream.chunked()
        elif lengths := values(headers, "Content-Length"):
            body = stream.exactly(int(lengths[-1]))
        else:
            body = stream.rest()
        return Response(status, headers, body)
