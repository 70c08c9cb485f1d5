"""``djsession doctor --listen``: what the proxy really sends, and what happens to it.

A server takes the place of the application and answers each request with the doctor's report.

Whoever can reach it chooses the tokens that it examines, and its report says how far each of them
came. Without a limit, that would be a padding oracle for the cookie format, with which a few
thousand tokens are enough to forge a session. One byte takes 128 of them on average, so that an
attacker gets nowhere with :data:`MAX_REFUSED`, while somebody who looks for a mistake needs fewer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..devserver import address_of, open_server, run_until_stopped
from ..mockup.navigation import is_browser
from ..mockup.pages import CONTENT_SECURITY_POLICY, diagnosis_page
from ..wsgi import request_path
from .configuration import Configuration
from .diagnosis import Case
from .inputs import RecordedRequest
from .report import Report

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

__all__ = ["MAX_REFUSED", "Listener", "listen"]

#: How many tokens that a key was tried on, and that were refused, are examined.
MAX_REFUSED = 100

_ENOUGH = (
    f"The doctor has examined {MAX_REFUSED} refused tokens and stops here, since more answers could"
    " help an attacker to forge a session. Start it again to continue."
)


class Listener:
    """A WSGI application that answers each request with the doctor's report about it.

    A browser gets a page and any other client text. ``write`` gets the text that ``render`` returns
    for the report. None of them shows a token, a key, a credential in the session, or the value of
    a header that may hold one. The status is 200 whether or not the session decodes, and 503 after
    MAX_REFUSED refused tokens.
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
        # One after the other, so that reports do not mix and all refused tokens are counted.
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
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
            ("Referrer-Policy", "same-origin"),
            ("X-Content-Type-Options", "nosniff"),
        ]
        start_response(status, headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _examine(self, environ: dict[str, Any]) -> Report | None:
        """Write a report about a request and return it, or None when there were enough."""
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

    Raises ConfigurationError when the server cannot listen there.
    """
    listener = Listener(configuration, partial(print, flush=True), render)
    with open_server(listener, host, port, is_quiet=True) as server:
        address = address_of(host, server.server_port)
        print(f"Listening at {address}/ in place of the application.")
        print("Open a page through the proxy: the answer, here too, is what the doctor finds.")
        if not configuration.keys.usable:
            print("There is no usable secret key, so an application would not start: see below.")
        print("Press Ctrl+C to stop.\n", flush=True)
        run_until_stopped(server)
    return 0
