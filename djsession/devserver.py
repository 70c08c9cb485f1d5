"""A threaded HTTP/1.1 server for development, on the standard library.

The standard library parses requests leniently and speaks HTTP/1.0. This server reads the head of a
request strictly, so that nothing behind it can understand a request differently, and it streams
bodies in both directions.
"""

from __future__ import annotations

import errno
import io
import re
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from socketserver import TCPServer, ThreadingMixIn
from typing import IO, TYPE_CHECKING, Any, cast
from wsgiref.handlers import SimpleHandler
from wsgiref.headers import Headers
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from .errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["TUNNEL_KEY", "address_of", "open_server", "run_until_stopped"]

#: The environ key of a function that an application calls when it answers 101, with the socket of
#: another connection and the stream that reads from it. The server then copies bytes between that
#: connection and the client.
TUNNEL_KEY = "djsession.tunnel"

# The largest head of a request in bytes: the request line and all headers.
_MAX_HEAD = 65_536
# The number of unread bytes that the client may still send.
_MAX_UNREAD = 1_048_576
_LINGER_SECONDS = 2.0
_BLOCK = 65_536

# RFC 9112 sections 3 and 5, without line folding and without white space before the colon.
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEAD = re.compile(
    rb"(?:%b) ([!-~]+) HTTP/1\.[01]\r\n(?:%b:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*\r\n"
    % (_TOKEN, _TOKEN)
)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
# RFC 9112 section 7.1. Extensions are ignored.
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")


class _BadRequestError(ConnectionAbortedError):
    """The client sent something that is not a valid request.

    To an application that reads the body, this looks like a client that has disconnected.
    """


def address_of(host: str, port: int) -> str:
    """Return a URL that reaches a server on this machine, even if it listens on all addresses."""
    with suppress(ValueError):
        address = ip_address(host)
        if address.is_unspecified:
            address = ip_address("127.0.0.1" if address.version == 4 else "::1")
        host = f"[{address}]" if address.version == 6 else str(address)
    return f"http://{host}:{port}"


def open_server(
    app: WSGIApplication, host: str, port: int, *, is_quiet: bool = False
) -> WSGIServer:
    """Return a server that listens at an address and port. Port 0 picks a free port.

    With ``is_quiet`` it does not log requests, whose URLs may hold credentials. The server is a
    context manager. ``server_port`` is its port, and ``serve_forever()`` runs it. Raises
    ConfigurationError if the server cannot listen there.
    """
    server_class = _IPv6Server if ":" in host else _Server
    try:
        handler = _QuietHandler if is_quiet else _RequestHandler
        server = server_class((host or "127.0.0.1", port), handler)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        if error.errno == errno.EADDRINUSE:
            reason += "; stop the program that uses this port, or choose another port"
        raise ConfigurationError(f"cannot listen on {host}:{port}: {reason}") from None
    server.set_app(app)
    return server


def run_until_stopped(server: WSGIServer) -> None:
    """Run a server until Ctrl+C or SIGTERM."""
    with _sigterm_interrupts(), suppress(KeyboardInterrupt):
        server.serve_forever(poll_interval=0.1)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        # HTTPServer looks up the host name in the DNS, which can take a long time.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def shutdown_request(self, request: Any) -> None:
        """Close a connection. The handler has already shut it down."""
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do not report clients that have disconnected."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _Body(io.RawIOBase):
    """The body of one request, with a known length or chunked (RFC 9112 section 7.1)."""

    def __init__(self, stream: io.BufferedReader, length: int | None) -> None:
        self._stream = stream
        self._is_chunked = length is None
        # The bytes left in the body, or in this chunk.
        self._left = length or 0
        self._is_first_chunk = True
        #: Called whenever the application wants more of the body.
        self.before_reading: Callable[[], None] = lambda: None
        self.is_finished = length == 0
        #: Why the body cannot be read any further.
        self.error: _BadRequestError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.is_finished:
            return 0
        if self.error is None:
            try:
                self.before_reading()
                data = self._next_block(len(buffer))
            except _BadRequestError as error:
                self.error = error
            except OSError:
                self.error = _BadRequestError("the body ended too early")
            else:
                buffer[: len(data)] = data
                return len(data)
        # After a mistake, the rest of the body must not be read as another request.
        raise self.error

    def _next_block(self, size: int) -> bytes:
        if self._left == 0:
            self._left = self._next_chunk()
            if self._left == 0:
                self.is_finished = True
                return b""
        data = self._stream.read1(min(size, self._left))
        if not data:
            raise _BadRequestError("the body ended too early")
        self._left -= len(data)
        if self._left == 0 and not self._is_chunked:
            self.is_finished = True
        return data

    def _next_chunk(self) -> int:
        if not self._is_first_chunk and self._stream.read(2) != b"\r\n":
            raise _BadRequestError("a chunk does not end where it should")
        self._is_first_chunk = False
        match = _CHUNK.fullmatch(self._stream.readline(1_024))
        if match is None:
            raise _BadRequestError("a chunk does not have a size")
        size = int(match[1], 16)
        if size == 0:
            self._skip_trailers()
        return size

    def _skip_trailers(self) -> None:
        for _ in range(64):
            line = self._stream.readline(8_192)
            if line == b"\r\n":
                return
            if not line.endswith(b"\r\n"):
                break
        raise _BadRequestError("the body does not end")


class _Response(SimpleHandler):
    """Runs the application for one request, and writes its response in HTTP/1.1."""

    http_version = "1.1"
    # The standard library puts the process environment here, which contains the key.
    os_environ = {}  # noqa: RUF012

    environ: dict[str, Any]
    status: str | None
    headers: Headers
    headers_sent: bool
    bytes_sent: int
    result: Iterable[bytes] | None

    #: The status, once the head of the response has been sent.
    code: int | None = None

    has_body = False
    is_chunked = False
    #: Whether the response ends when the connection closes.
    is_until_close = False
    #: Whether all of the response was written.
    is_complete = False
    is_last = False

    def run(self, application: WSGIApplication) -> None:
        try:
            self.setup_environ()
            self.result = application(self.environ, self.start_response)
            self.finish_response()
        except ConnectionAbortedError:
            # The client has disconnected, or a forwarded response broke off. The standard library
            # also ignores this error if the application loses a connection of its own.
            pass
        except BaseException:
            self.handle_error()

    def _write(self, data: bytes) -> None:
        try:
            self.stdout.write(data)
        except OSError:
            raise ConnectionAbortedError from None

    def _flush(self) -> None:
        try:
            self.stdout.flush()
        except OSError:
            raise ConnectionAbortedError from None

    def cleanup_headers(self) -> None:
        assert self.status is not None
        self.code = status = int(self.status[:3])
        self.has_body = self._method != "HEAD" and status >= 200 and status not in (204, 304)
        if self.has_body:
            super().cleanup_headers()
            if "Content-Length" not in self.headers:
                if self._protocol == "HTTP/1.1":
                    self.is_chunked = True
                    self.headers["Transfer-Encoding"] = "chunked"
                else:
                    self.is_until_close = self.is_last = True
        elif status < 200 or status == 204:
            del self.headers["Content-Length"]
        if status == 101:
            self.headers["Connection"] = "Upgrade"
            self.headers["Upgrade"] = "websocket"
        elif self.is_last:
            self.headers["Connection"] = "close"

    def write(self, data: bytes) -> None:
        if not data and self.result is not None:
            return
        # Until the application returns, this is the write() that start_response returned. Called
        # without data, it sends the headers at once: a stream of events may be silent at first.
        if not self.status:
            raise AssertionError("write() before start_response()")
        if not isinstance(data, bytes):
            raise AssertionError(f"the body must consist of bytes, not of {type(data).__name__}")
        if not self.headers_sent:
            self.bytes_sent = len(data)
            self.send_headers()
        else:
            self.bytes_sent += len(data)
        if self.has_body and self._excess() > 0:
            # The client would mistake the rest for the response to its next request.
            raise AssertionError("the application sent more than its Content-Length")
        if data and self.has_body:
            self._write(b"%X\r\n%b\r\n" % (len(data), data) if self.is_chunked else data)
        self._flush()

    def set_content_length(self) -> None:
        if self.result is not None:
            super().set_content_length()

    def finish_content(self) -> None:
        if not self.headers_sent:
            if self._method != "HEAD" and self.status and not self.status.startswith("304"):
                self.headers.setdefault("Content-Length", "0")
            self.send_headers()
        if self.is_chunked:
            self._write(b"0\r\n\r\n")
        self._flush()
        self.is_complete = not self.has_body or self._excess() == 0

    def _excess(self) -> int:
        """Return by how many bytes the body exceeds its Content-Length, if it has one."""
        length = self.headers.get("Content-Length")
        return 0 if length is None else self.bytes_sent - int(length)

    @property
    def _method(self) -> str:
        return str(self.base_env["REQUEST_METHOD"])

    @property
    def _protocol(self) -> str:
        return str(self.base_env["SERVER_PROTOCOL"])


class _RequestHandler(WSGIRequestHandler):
    """Handles the requests of one connection."""

    protocol_version = "HTTP/1.1"
    timeout = 120
    # One packet for a small response, sent at once.
    wbufsize = -1
    disable_nagle_algorithm = True

    # The key that a mockup login takes in its URL must not get into a log.
    _KEY = re.compile(r"([?&]key=)[^&\s]*")

    rfile: io.BufferedReader

    def handle(self) -> None:
        self._is_aborted = False
        # WSGIRequestHandler only handles one request.
        BaseHTTPRequestHandler.handle(self)
        with suppress(OSError):
            if self._is_aborted:
                # Reset the connection, so that the client notices that the body is incomplete.
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self._drain(self.rfile)

    def finish(self) -> None:
        with suppress(OSError):  # data is left for a client that has disconnected
            super().finish()
        self.rfile.close()

    def handle_one_request(self) -> None:
        self.close_connection = True
        self.command = self.requestline = ""
        self.request_version = self.protocol_version
        self._awaits_continue = False
        try:
            head = self._read_head()
            if head is not None and self._parse(head):
                self._respond(self._open_body())
        except _BadRequestError as error:
            self._refuse(str(error))
        except OSError:  # the client has disconnected or is silent
            self.close_connection = True

    def _refuse(self, reason: str) -> None:
        self.close_connection = True
        self.send_error(400, "Bad request", f"The request is malformed: {reason}.")

    def _read_head(self) -> bytes | None:
        """Return the head of the next request, or None if the client does not send another."""
        head = bytearray()
        while True:
            line = self.rfile.readline(_MAX_HEAD + 1 - len(head))
            if not line:
                return None
            if not head and line == b"\r\n":  # RFC 9112 section 2.2
                continue
            head += line
            if len(head) > _MAX_HEAD:
                self.send_error(431)
                return None
            if line in (b"\r\n", b"\n"):
                return bytes(head)

    def _parse(self, head: bytes) -> bool:
        match = _HEAD.fullmatch(head)
        if match is None:
            raise _BadRequestError("the request line or a header does not follow RFC 9112")
        target = match[1]
        self.raw_requestline, _, fields = head.partition(b"\n")
        # The standard library only sees a head that cannot be misunderstood.
        stream, self.rfile = self.rfile, io.BufferedReader(io.BytesIO(fields))
        try:
            is_parsed = self.parse_request()
        finally:
            self.rfile = stream
        if not is_parsed:
            self.close_connection = True
            return False
        if not target.startswith(b"/") and (self.command, target) != ("OPTIONS", b"*"):
            raise _BadRequestError("its target is not a path")
        if len(self.headers.get_all("Host", ())) > 1:
            raise _BadRequestError("it has several Host headers")
        options = ",".join(self.headers.get_all("Connection", ())).lower().split(",")
        if self.request_version == "HTTP/1.0" or "close" in [item.strip() for item in options]:
            self.close_connection = True
        return True

    def handle_expect_100(self) -> bool:
        # The answer is sent when the application starts to read the body, since it may refuse the
        # request instead.
        self._awaits_continue = True
        return True

    def _open_body(self) -> _Body:
        encodings = self.headers.get_all("Transfer-Encoding", ())
        lengths = self.headers.get_all("Content-Length", ())
        if len(lengths) > 1 or (lengths and encodings):
            raise _BadRequestError("it states the length of its body twice")
        length: int | None = 0
        if encodings:
            if [item.strip().lower() for item in encodings] != ["chunked"] or (
                self.request_version != "HTTP/1.1"
            ):
                raise _BadRequestError("its Transfer-Encoding is not chunked")
            length = None
        elif lengths:
            if not _LENGTH.fullmatch(lengths[0].strip(" \t")):
                raise _BadRequestError("its Content-Length is not a number")
            length = int(lengths[0])
        return _Body(self.rfile, length)

    def _respond(self, body: _Body) -> None:
        environ = self.get_environ()
        tunnels: list[tuple[socket.socket, IO[bytes]]] = []
        environ[TUNNEL_KEY] = lambda upstream, stream: tunnels.append((upstream, stream))
        stream = io.BufferedReader(body, _BLOCK)
        response = _Response(
            stream,
            cast(IO[bytes], self.wfile),
            self.get_stderr(),
            environ,
            multithread=True,
            multiprocess=False,
        )
        response.is_last = self.close_connection

        def send_continue() -> None:
            if self._awaits_continue and response.code is None:
                self._awaits_continue = False
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                self.wfile.flush()

        body.before_reading = send_continue
        started = time.monotonic()
        response.run(self.server.get_app())  # type: ignore[attr-defined]
        if response.code is None:
            raise body.error or ConnectionAbortedError
        self._log(response, time.monotonic() - started)
        if tunnels:
            self.close_connection = True
            _copy_both_ways(self.connection, self.rfile, *tunnels[0])
            return
        self._is_aborted = response.is_until_close and not response.is_complete
        self.close_connection = response.is_last or not response.is_complete
        # A client that still waits for 100 Continue will not send the body.
        if not (self.close_connection or body.is_finished or self._awaits_continue):
            self._drain(stream)
            self.connection.settimeout(self.timeout)
        if not body.is_finished:
            self.close_connection = True

    def _drain(self, stream: io.BufferedReader[Any]) -> None:
        """Read what the client still sends, for a short time.

        Unread data would reset the connection, and the client might lose the response.
        """
        self.connection.settimeout(_LINGER_SECONDS)
        left = _MAX_UNREAD
        with suppress(OSError):
            while left > 0 and (data := stream.read1(_BLOCK)):
                left -= len(data)

    def get_environ(self) -> dict[str, Any]:
        # X_Forwarded_For would have the same key as X-Forwarded-For.
        for name in {name for name in self.headers if "_" in name}:
            del self.headers[name]
        environ: dict[str, Any] = super().get_environ()
        if "Content-Type" not in self.headers:
            del environ["CONTENT_TYPE"]
        if cookies := self.headers.get_all("Cookie"):
            environ["HTTP_COOKIE"] = "; ".join(cookies)
        # The stream ends with the body, even without a Content-Length.
        environ["wsgi.input_terminated"] = True
        return environ

    def _log(self, response: _Response, seconds: float) -> None:
        self.log_message('"%s" %s, %.0f ms', self.requestline, response.code, seconds * 1_000)

    def log_message(self, format: str, *args: object) -> None:
        """Write a line about a request to stderr, without the key that may be in its URL."""
        super().log_message("%s", self._KEY.sub(r"\1********", format % args))


class _QuietHandler(_RequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""


def _copy_both_ways(
    client: socket.socket,
    client_stream: io.BufferedReader,
    upstream: socket.socket,
    stream: IO[bytes],
) -> None:
    """Copy bytes between two connections until one of them ends."""

    def copy(source: io.BufferedReader, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.read1(_BLOCK):
                target.sendall(data)
        for connection in (client, upstream):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    client.settimeout(None)
    upstream.settimeout(None)
    other = threading.Thread(target=copy, args=(stream, client), daemon=True)
    other.start()
    copy(client_stream, upstream)
    other.join()
    stream.close()
    upstream.close()
