"""A plug-in for pytest that puts djsession into each application of Flask's own tests."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask

from djsession.flask import DjSession
from djsession.flask.session_interface import MergedSessionInterface

KEY = os.environ["DJAODJIN_SECRET_KEY"]

init, request_context = Flask.__init__, Flask.request_context


def init_with_djsession(self: Flask, *args: Any, **kwargs: Any) -> None:
    init(self, *args, **kwargs)
    DjSession(self, secret_key=KEY)


def proxied_request_context(self: Flask, environ: dict[str, Any]) -> Any:
    """Give the request the session that the proxy attaches for a visitor."""
    if not isinstance(self.session_interface, MergedSessionInterface):
        # The test replaced it, and DjSession comes after the extension that does so.
        gate = self.extensions["djsession"]
        self.session_interface = MergedSessionInterface(gate, self.session_interface)
    token = os.environ["DJSESSION_TEST_TOKEN"]
    cookies = environ.get("HTTP_COOKIE")
    environ["HTTP_COOKIE"] = f"{cookies}; {token}" if cookies else token
    return request_context(self, environ)


Flask.__init__ = init_with_djsession  # type: ignore[method-assign]
Flask.request_context = proxied_request_context  # type: ignore[method-assign]
