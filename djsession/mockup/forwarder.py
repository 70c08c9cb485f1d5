"""Forwarder: a WSGI application that passes requests on to a server over HTTP/1.1.

Both directions are streamed. The forwarder only connects to one address, which a request cannot
change. It does not read a proxy or a password from the environment.
"""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from email.errors import FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from ..devserver import TUNNEL_KEY
from ..errors import ConfigurationError
from .navigation import is_browser
from .pages import PAGE_HEADERS, upstream_down_page

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

__all__ = ["TIMEOUT_SECONDS", "Forwarder"]

#: How long the proxy waits for an application.
TIMEOUT_SECONDS = 120.0

_BLOCK = 65_536
_MAX_IDLE = 8
_PROBE_SECONDS = 2.0

# Methods that are safe to send again if an idle connection turns out to be closed.
_IDEMPOTENT = ("GET", "HEAD", "OPTIONS")

# What a path may contain unescaped (RFC 3986 section 3.3).
_PATH_SAFE = "/:@!$&'()*+,;=~"

# Characters that would end or fold a header or the status line (RFC 9110 section 5.5).
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
# Lines that the standard library cannot parse. It ignores all headers after such a line.
_UNPARSED = (FirstHeaderLineIsContinuationDefect, MissingHeaderBodySeparatorDefect)


class _NoAnswerError(Exception):
    """The server did not answer. Holds the status and the message for the client.

    ``is_down`` tells that nothing listens at its address.
    """

    def __init__(self, status: str, sentence: str, *, is_down: bool = False) -> None:
        super().__init__(sentence)
        self.status, self.is_down = status, is_down


class _ClientGoneError(Exception):
    """The client did not send the rest of its body."""


class _MalformedError(http.client.HTTPException):
    """The server's response is ambiguous or invalid. Holds the end of a sentence about it."""


class _Response(http.client.HTTPResponse):
    """A final response. Interim responses (RFC 9110 section 15.2) are dropped."""

    def begin(self) -> None:
        super().begin()
        for _ in range(16):
            if not 100 <= self.status < 200 or self.status == 101:
                break
            # Once the headers are removed, begin() reads the next response from the stream.
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        else:
            raise _MalformedError("sent too many interim responses")
        self._check()
        if self.length == 0:
            # A response without a body may have the Transfer-Encoding of one with a body.
            self.chunked = False

    def _check(self) -> None:
        """Raise _MalformedError if the client could understand the response differently."""
        lengths = self.headers.get_all("Content-Length", [])
        codings = self.headers.get_all("Transfer-Encoding", [])
        if len(lengths) + len(codings) > 1:
            raise _MalformedError("sent a response that states its length twice")
        if not all(_LENGTH.fullmatch(length.strip(" \t")) for length in lengths):
            raise _MalformedError("sent a response whose Content-Length is not a number")
        if not all(coding.lower() == "chunked" for coding in codings):
            raise _MalformedError("sent a response whose Transfer-Encoding is not chunked")
        if any(isinstance(defect, _UNPARSED) for defect in self.headers.defects) or any(
            map(_CONTROL.search, (self.reason, *self.headers.values()))
        ):
            raise _MalformedError("sent a response with a header that is folded or malformed")


class _Connection(http.client.HTTPConnection):
    response_class = _Response


class Forwarder:
    """Forwards each request to the server at ``url``, such as ``http://127.0.0.1:8001``.

    The request target is the quoted PATH_INFO and the unchanged query. Raises ConfigurationError
    for a URL that is not the address of an HTTP server.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT_SECONDS) -> None:
        try:
            parts = urlsplit(url)
            self.host, self.port = parts.hostname or "", 80 if parts.port is None else parts.port
            self.host.encode("idna")
        except ValueError:
            raise _url_error("is not the address of a server") from None
        if parts.scheme != "http":
            raise _url_error("does not start with http://")
        if not self.host or not self.port:
            raise _url_error("is not the address of a server")
        if parts.username is not None:
            raise _url_error("contains a user name or password, which would not be sent")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise _url_error("has a path, but requests are forwarded with their own paths")
        self._netloc = parts.netloc
        self.url = f"http://{parts.netloc}"
        self._timeout = timeout
        self._lock = threading.Lock()
        self._idle: list[_Connection] = []

    def close(self) -> None:
        """Close the connections that are not in use."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def probe(self) -> bool:
        """Return whether something listens at the address now. Sends nothing to it."""
        connection = _Connection(self.host, self.port, timeout=_PROBE_SECONDS)
        try:
            connection.connect()
        except OSError:
            return False
        connection.close()
        return True

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            connection, response = self._exchange(environ)
        except _NoAnswerError as error:
            return self._fail(environ, start_response, error)
        status = f"{response.status} {response.reason or 'Unknown'}"
        write = start_response(status, response.getheaders())
        if response.status == 101:
            # Closing the response would also close its stream.
            stream, response.fp = response.fp, None  # type: ignore[assignment]
            environ[TUNNEL_KEY](connection.sock, stream)
            return []
        try:
            # Send the headers now: they must not wait for the first event of a stream, and once
            # they are sent, the client notices if the body breaks off.
            write(b"")
        except BaseException:
            response.close()
            connection.close()
            raise
        return self._blocks(connection, response)

    def _exchange(self, environ: dict[str, Any]) -> tuple[_Connection, http.client.HTTPResponse]:
        """Send a request, and return the response without its body."""
        body = _Body(environ)
        while True:
            connection, is_reused = self._open()
            try:
                response = self._send(connection, environ, body)
            except TimeoutError:
                connection.close()
                raise _NoAnswerError(
                    "503 Service Unavailable",
                    f"The server at {self.url} did not answer within {self._timeout:g} seconds.",
                ) from None
            except (http.client.HTTPException, OSError) as error:
                connection.close()
                is_closed = isinstance(error, (http.client.RemoteDisconnected, ConnectionError))
                can_repeat = environ["REQUEST_METHOD"] in _IDEMPOTENT and not body.is_started
                if is_reused and is_closed and can_repeat:
                    continue
                what = (
                    str(error)
                    if isinstance(error, _MalformedError)
                    else "closed the connection or did not speak HTTP"
                )
                raise _NoAnswerError(
                    "502 Bad Gateway", f"The server at {self.url} {what}."
                ) from None
            except _ClientGoneError:
                connection.close()
                raise ConnectionAbortedError from None
            return connection, response

    def _open(self) -> tuple[_Connection, bool]:
        """Return a connection, and whether it was used before."""
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            if _is_usable(connection.sock):
                return connection, True
            connection.close()
        connection = _Connection(self.host, self.port, timeout=self._timeout)
        try:
            connection.connect()
        except OSError:
            raise _NoAnswerError(
                "502 Bad Gateway",
                f"Nothing answers at {self.url}. Start your application there.",
                is_down=True,
            ) from None
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, False

    def _send(
        self, connection: _Connection, environ: dict[str, Any], body: _Body
    ) -> http.client.HTTPResponse:
        method = environ["REQUEST_METHOD"]
        connection.putrequest(method, _target(environ), skip_host=True, skip_accept_encoding=True)
        for name, value in _headers(environ, self._netloc):
            connection.putheader(name, value.encode("latin-1"))
        if body.is_chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        elif body.length or method not in ("GET", "HEAD"):
            connection.putheader("Content-Length", str(body.length))
        connection.endheaders()
        is_sent = True
        for block in body:
            try:
                connection.send(b"%x\r\n%b\r\n" % (len(block), block) if body.is_chunked else block)
            except (BrokenPipeError, ConnectionResetError):
                # The server may have answered without reading the whole body.
                is_sent = False
                break
        if is_sent and body.is_chunked:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.send(b"0\r\n\r\n")
        response = connection.getresponse()
        if response.status == 101 and not (
            "HTTP_UPGRADE" in environ and TUNNEL_KEY in environ and connection.sock
        ):
            response.close()
            raise _MalformedError("switched to another protocol without being asked")
        if not is_sent:
            response.will_close = True
        return response

    def _blocks(
        self, connection: _Connection, response: http.client.HTTPResponse
    ) -> Iterator[bytes]:
        is_complete = False
        try:
            while data := response.read1(_BLOCK):
                yield data
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
            is_complete = True
        except (http.client.HTTPException, OSError):
            # The server drops the connection, so that the client notices the incomplete body.
            raise ConnectionAbortedError from None
        finally:
            if is_complete and not response.will_close and connection.sock is not None:
                response.close()
                with self._lock:
                    if len(self._idle) < _MAX_IDLE:
                        self._idle.append(connection)
                        connection = None  # type: ignore[assignment]
            if connection is not None:
                response.close()
                connection.close()

    def _fail(
        self, environ: dict[str, Any], start_response: StartResponse, error: _NoAnswerError
    ) -> Iterable[bytes]:
        content_type, text = "text/plain", str(error)
        headers = [*PAGE_HEADERS]
        # The page reloads itself, which is only safe for requests that may be repeated.
        if error.is_down and environ["REQUEST_METHOD"] == "GET" and is_browser(environ):
            content_type, text = "text/html", upstream_down_page(self.url)
            headers.append(("Refresh", "5"))
        headers.append(("Content-Type", f"{content_type}; charset=utf-8"))
        start_response(error.status, headers)
        return [f"{text}\n".encode()]


class _Body:
    """The body of a request as blocks, and its length."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._stream: IO[bytes] = environ["wsgi.input"]
        self.is_chunked = bool(environ.get("HTTP_TRANSFER_ENCODING"))
        self.length = 0 if self.is_chunked else int(environ.get("CONTENT_LENGTH") or 0)
        #: Whether a part of the body was read, so that it cannot be sent again.
        self.is_started = False

    def __iter__(self) -> Iterator[bytes]:
        read: Callable[[int], bytes] = getattr(self._stream, "read1", self._stream.read)
        left = self.length
        while self.is_chunked or left:
            self.is_started = True
            try:
                block = read(_BLOCK if self.is_chunked else min(_BLOCK, left))
            except OSError:
                raise _ClientGoneError from None
            if not block:
                if left:
                    raise _ClientGoneError
                return
            left -= 0 if self.is_chunked else len(block)
            yield block


def _url_error(problem: str) -> ConfigurationError:
    # The URL may contain a password.
    return ConfigurationError(f"the URL {problem}, expected one such as http://127.0.0.1:8001")


def _target(environ: dict[str, Any]) -> str:
    # Concatenated, since joining URLs would let a path such as //host name another server.
    target = quote(environ["PATH_INFO"].encode("latin-1"), safe=_PATH_SAFE)
    query = environ.get("QUERY_STRING")
    return f"{target}?{query}" if query else target


def _headers(environ: dict[str, Any], host: str) -> Iterator[tuple[str, str]]:
    yield "Host", environ.get("HTTP_HOST", host)
    for key, value in environ.items():
        if key.startswith("HTTP_") and key not in ("HTTP_HOST", "HTTP_TRANSFER_ENCODING"):
            yield key[5:].replace("_", "-").title(), value
    if content_type := environ.get("CONTENT_TYPE"):
        yield "Content-Type", content_type


def _is_usable(connection: socket.socket | None) -> bool:
    """Whether an idle connection is still open, and the server has not sent anything on it."""
    if connection is None:
        return False
    timeout = connection.gettimeout()
    connection.setblocking(False)
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.settimeout(timeout)
    return False
