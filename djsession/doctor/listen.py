"""``djsession doctor --listen``: shows what the proxy really sends, and what happens to it.

A server takes the place of the application and answers each request with the doctor's report.

Anyone who can reach the server chooses the tokens that it examines, and the report shows which step
each of them failed at. Without a limit, the server would be a padding oracle for the cookie format:
a few thousand tokens would be enough to forge a session. Each byte takes 128 tokens on average, so
:data:`MAX_REFUSED` tokens get an attacker nowhere, while finding a mistake takes fewer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..devserver import address_of, open_server, run_until_stopped
from ..mockup.navigation import is_browser
from ..mockup.pages import PAGE_HEADERS, diagnosis_page
from ..wsgi import request_path
from .configuration import Configuration
from .diagnosis import Case
from .inputs import RecordedRequest
from .report import Report

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

__all__ = ["MAX_REFUSED", "Listener", "listen"]

#: The number of refused tokens after which no more are examined. Tokens that were refused before a
#: key was tried on them do not count.
MAX_REFUSED = 100

_ENOUGH = (
    f"The doctor has examined {MAX_REFUSED} refused tokens and stops here, since more answers could"
    " help an attacker to forge a session. Start it again to continue."
)


class Listener:
    """A WSGI application that answers each request with the doctor's report about it.

    A browser gets a page, and any other client gets text. ``write`` is called with the text that
    ``render`` returns for the report. None of these shows a token, a key, a credential in the
    session, or the value of a header that may hold a credential. The status is
    200 whether or not the session decodes, and 503 after MAX_REFUSED refused tokens.
    """

    def __init__(
        self,
        configuration: Configuration,
        write: Callable[[str], object],
        render: Callable[[Report], str] = Report.as_text,
    ) -> None:
        self._configuration, self._write, self._render = configuration, write, render
        self._refused = 0
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        # One request at a time, so that reports do not mix and all refused tokens are counted.
        with self._lock:
            report = self._examine(environ)
        content_type, status = "text/plain", "200 OK"
        if report is None:
            status, text = "503 Service Unavailable", _ENOUGH
        elif is_browser(environ):
            content_type, text = "text/html", report.redacted(diagnosis_page(report))
        else:
            text = report.as_text()
        body = f"{text}\n".encode()
        headers = [
            ("Content-Type", f"{content_type}; charset=utf-8"),
            ("Content-Length", str(len(body))),
            *PAGE_HEADERS,
        ]
        start_response(status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _examine(self, environ: dict[str, Any]) -> Report | None:
        """Write a report about a request and return it, or None if the limit is reached."""
        if self._refused >= MAX_REFUSED:
            return None
        request = RecordedRequest(
            "request",
            [
                (key.removeprefix("HTTP_").replace("_", "-").lower(), value)
                for key, value in environ.items()
                if key.startswith("HTTP_")
            ],
            request_path(environ),
            method=environ["REQUEST_METHOD"],
            peer=environ.get("REMOTE_ADDR"),
        )
        report = Report.of(Case(request, self._configuration))
        self._write(f"{self._render(report)}\n")
        failed = [trace.failed for trace in report.traces]
        self._refused += sum(step is not None and step.key is not None for step in failed)
        if self._refused >= MAX_REFUSED:
            self._write(f"{_ENOUGH}\n")
        return report


def listen(
    configuration: Configuration, render: Callable[[Report], str], host: str, port: int
) -> int:
    """Answer requests in place of the application until interrupted; return the exit code.

    Raises ConfigurationError if the server cannot listen at the address and port.
    """
    listener = Listener(configuration, partial(print, flush=True), render)
    with open_server(listener, host, port, is_quiet=True) as server:
        address = address_of(host, server.server_port)
        print(f"Listening at {address}/ in place of the application.")
        print("Open a page through the proxy. The page and this terminal show the diagnosis.")
        if not configuration.keys.usable:
            print("There is no usable secret key, so an application would not start. See below.")
        print("Press Ctrl+C to stop.\n", flush=True)
        run_until_stopped(server)
    return 0
