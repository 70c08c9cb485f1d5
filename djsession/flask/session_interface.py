"""``flask.session``: the proxied session combined with the application's own session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request, session
from flask.globals import request_ctx
from flask.sessions import SessionInterface, SessionMixin

from ..caching import REFUSAL_HEADERS, caching_changes
from ..gate import Gate
from ..local_session import LocalPart, MergedSession
from ..wsgi import DECODED_KEY, SESSION_KEY, decode_request

if TYPE_CHECKING:
    from flask import Flask, Request, Response

__all__ = ["FlaskSession", "MergedSessionInterface", "prepare_error_page"]


class FlaskSession(MergedSession[SessionMixin], SessionMixin):
    """``flask.session``: the proxy's keys, read-only, and the application's own session."""

    accessed = False

    @property
    def modified(self) -> bool:
        """Whether the application's own session has changed."""
        return self.local_part.is_open and self.local.modified

    @modified.setter
    def modified(self, value: bool) -> None:
        if value or self.local_part.is_open:
            self.local.modified = value


class MergedSessionInterface(SessionInterface):
    """Combines the proxied session with that of another interface, which stores the local part.

    It also sets the caching headers, because saving the session is Flask's last step for every
    response.
    """

    def __init__(self, gate: Gate, inner: SessionInterface) -> None:
        self._gate = gate
        self._inner = inner
        self.pickle_based = inner.pickle_based

    def open_session(self, app: Flask, request: Request) -> FlaskSession:
        # Flask calls this before it matches the URL. _check_request() runs a moment later.
        decode_request(self._gate, request.environ)

        def open_local(of: Request) -> SessionMixin:
            local = self._inner.open_session(app, of)
            return self._inner.make_null_session(app) if local is None else local

        def open_new() -> SessionMixin:
            # Without cookies, so that the store generates a new id.
            return open_local(app.request_class({**request.environ, "HTTP_COOKIE": ""}))

        proxied = request.environ[SESSION_KEY]
        return FlaskSession(proxied, LocalPart(proxied, lambda: open_local(request), open_new))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        assert isinstance(session, FlaskSession)
        if session.local_part.is_refused:
            _set_caching_headers(session, response)
            return
        is_personal = _is_personal(session)
        # A session that was not opened may need a new expiry date, but only if it has a cookie.
        cookie = f"{self._inner.get_cookie_name(app)}="
        has_cookie = cookie in request.environ.get("HTTP_COOKIE", "")
        if has_cookie and response.is_streamed:
            # The stream may still read the session.
            is_personal = True
        if session.local_part.is_open or has_cookie:
            local = session.local
            if not self._inner.is_null_session(local):
                self._inner.save_session(app, local, response)
            is_personal = is_personal or any(
                header.startswith(cookie) for header in response.headers.getlist("Set-Cookie")
            )
        _set_caching_headers(session, response, is_personal=is_personal)


def prepare_error_page(app: Flask, **details: object) -> None:
    """Have the caching headers of an error page set before any other ``after_request`` function.

    Connected to ``got_request_exception``. If an ``after_request`` function or the store raises
    while Flask finishes the page, Flask sends the page unchanged and does not save the session.
    """
    request_ctx._after_request_functions.insert(0, _with_caching_headers)


def _with_caching_headers(response: Response) -> Response:
    current = session._get_current_object()  # type: ignore[attr-defined]
    # It is a different class if opening it failed or if the application replaced the interface.
    if isinstance(current, FlaskSession):
        _set_caching_headers(current, response, is_personal=_is_personal(current))
    return response


def _is_personal(session: FlaskSession) -> bool:
    return request.environ[DECODED_KEY].session is not None or session.local_part.is_open


def _set_caching_headers(
    session: FlaskSession, response: Response, *, is_personal: bool = True
) -> None:
    if session.local_part.is_refused:
        changes: tuple[tuple[str, str], ...] = REFUSAL_HEADERS
    else:
        changes = caching_changes(response.headers, is_personal=is_personal)
    for name, value in changes:
        response.headers[name] = value
