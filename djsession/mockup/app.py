"""MockupApp: signs in mockup users without the proxy. For development only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from webob import Request, Response

from ..doctor import Case, Configuration, RecordedRequest, Report
from ..errors import ConfigurationError
from ..gate import Gate
from ..session import Session
from ..settings import Settings, SettingsOptions
from ..wsgi import DECODED_KEY, SessionMiddleware, decode_request, is_open, request_path
from .login_pages import (
    LoginPages,
    LoginPagesOptions,
    json_response,
    method_not_allowed,
    redirect,
    set_cookie,
    text_response,
)
from .navigation import is_browser, script_url
from .pages import refusal_page
from .recent import Verdict
from .sessions import Source

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

__all__ = ["MAX_COOKIE_SIZE", "MockupApp"]

#: The largest cookie that browsers keep, in bytes: name, value and attributes (RFC 6265, 6.1).
MAX_COOKIE_SIZE = 4_096


class MockupOptions(LoginPagesOptions, SettingsOptions, total=False):
    """The keyword arguments of :class:`MockupApp`."""


class MockupApp(LoginPages):
    """A WSGI application in front of another one that signs in the users of a YAML file.

    ::

        application = MockupApp(application, "sessions.yaml", secret_key="...")

    It answers the login page, the logout, the API and the inspector at ``login_path``,
    ``logout_path``, ``api_path`` and ``inspector_path``. All other requests go to ``app`` through a
    :class:`~djsession.SessionMiddleware`. There is one exception: a browser that the gate would
    refuse is sent to the login page, or sees why its token was refused if it has one. Without an
    ``app``, all other paths are answered with 404.

    Anyone who can reach MockupApp can sign in as any of its users. It therefore answers only
    requests from this machine, and refuses all others with 403. :mod:`djsession.mockup.locality`
    explains how it tells them apart. ``hosts`` are host names and addresses, besides localhost,
    that count as this machine's.

    With ``allow_remote=True``, it answers requests from everywhere. A sign-in then needs a key that
    changes at each start and is part of the login URL. Unless ``print_login_url`` is False, the URL
    is printed to stderr, but never logged. An attacker who can read the traffic can also read the
    key.

    ``sessions`` is a path to a YAML file or a mapping of names to sessions. The ``settings`` are
    those of SessionMiddleware. If ``app`` is one already, its settings are the default. Raises
    ConfigurationError for a wrong setting, and MockupError with all mistakes in the sessions.
    """

    def __init__(
        self,
        app: WSGIApplication | None = None,
        sessions: Source = "sessions.yaml",
        **options: Unpack[MockupOptions],
    ) -> None:
        pages: dict[str, Any] = {}
        settings: dict[str, Any] = {}
        for name, value in options.items():
            if name in LoginPagesOptions.__annotations__:
                pages[name] = value
            elif value is not None:
                settings[name] = value
        self.app, gate = _guard(app, settings)
        super().__init__(sessions, gate, **pages)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        response = self.respond(environ)
        if response is not None:
            return self.send(response, environ, start_response)
        assert self.app is not None  # without an app, respond() answers every request
        return self.forward(self.app, environ, start_response)

    def forward(
        self, app: WSGIApplication, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        """Call an application, and record the request and its status for the inspector.

        For adapters that call the application themselves when :meth:`respond` returns None.
        """
        record, is_recorded = self.recorder(environ), False

        def start_recorded_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
        ) -> Callable[[bytes], object]:
            nonlocal is_recorded
            if not is_recorded:
                is_recorded = True
                record(int(status[:3]))
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)

        try:
            return app(environ, start_recorded_response)
        except Exception:
            if not is_recorded:
                record(0)
            raise

    def recorder(self, environ: dict[str, Any]) -> Callable[[int], None]:
        """Return a function that records a request for the inspector, given the answer's status.

        For adapters, like :meth:`forward`. Call it before the application, which may change the
        environ.
        """
        method, path = environ["REQUEST_METHOD"], request_path(environ)
        session = decode_request(self.gate, environ)
        passes = session is not None or is_open(self.gate, environ)
        causes = environ[DECODED_KEY].causes

        def record(status: int) -> None:
            verdict: Verdict = "refused"
            if passes:
                verdict = "passed"
            elif status == 303:
                verdict = "sign in"
            reason = "" if passes else "; ".join(causes)
            user = session.username if session else None
            self.recent.add(method, path, status, verdict, reason=reason, user=user)

        return record

    def respond(self, environ: dict[str, Any]) -> Response | None:
        """Return the answer to a request that the mockups answer, or None for any other request.

        None leaves the request to the application and its gate, which still has to decide. For
        adapters that mount the mockups inside a framework.
        """
        response = self.respond_as_page(environ)
        if response is not None:
            return self.secured(response)
        if self.app is None:
            response = text_response(404, "Not found")
        elif (
            decode_request(self.gate, environ) is None
            and is_browser(environ)
            and not is_open(self.gate, environ)
        ):
            response = self._login_or_explain(environ)
            self.recorder(environ)(response.status_int)
        else:
            return None
        return self.secured(response)

    def refuse(self, environ: dict[str, Any]) -> Response | None:
        """Return the answer to a browser that the gate refuses, or None for any other client.

        For adapters that ask the gate themselves.
        """
        if is_browser(environ) and not self._why_not_local(environ):
            return self.secured(self._login_or_explain(environ))
        return None

    def respond_profile(self, environ: dict[str, Any], slug: str) -> Response:
        """Return the answer to a request for an organization: a session's description, as JSON.

        If several sessions describe the organization, the request's own session comes first. For
        adapters whose framework routes such requests: the application may have such paths itself.
        """

        def find(signed_in: Session) -> dict[str, Any] | None:
            for session in (signed_in, *self.sessions.by_name.values()):
                for organization in session.get_accessibles():
                    if organization.slug == slug:
                        return organization
            return None

        return self._respond_document(environ, find)

    def respond_user(self, environ: dict[str, Any], username: str) -> Response:
        """Return the answer to a request for a user in the file: slug, names and email, as JSON.

        For adapters, like :meth:`respond_profile`.
        """

        def find(_: Session) -> dict[str, Any] | None:
            session = self.sessions.by_username(username)
            return None if session is None else _user_profile(session)

        return self._respond_document(environ, find)

    def _respond_document(
        self, environ: dict[str, Any], find: Callable[[Session], dict[str, Any] | None]
    ) -> Response:
        """Answer a signed-in user with the document that ``find`` returns for their session."""
        if not_local := self._why_not_local(environ):
            response = self._refuse_remote(environ, not_local)
        elif environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            response = method_not_allowed("GET, HEAD")
        else:
            session = decode_request(self.gate, environ)
            if session is None or not session.is_authenticated:
                response = json_response(401, {"detail": "Not signed in."})
            elif (document := find(session)) is None:
                response = json_response(404, {"detail": "Not found."})
            else:
                response = json_response(200, document)
        return self.secured(response)

    def _login_or_explain(self, environ: dict[str, Any]) -> Response:
        """Send a browser to the login page, or show why its token was refused."""
        decode_request(self.gate, environ)
        # Anyone who sees which step an altered token fails at can forge one (see djsession.codec).
        if not environ[DECODED_KEY].carries_token or not self._may_sign_in(Request(environ)):
            return redirect(self._login_url(environ))
        page = refusal_page(
            self._report(environ),
            login_url=self._login_url(environ),
            inspector_url=script_url(environ) + self._inspector_path,
        )
        return Response(page, 403)

    def _report(self, environ: dict[str, Any]) -> Report:
        """Return the doctor's report about a request."""
        headers = [
            (name, environ[key])
            for name, key in (("cookie", "HTTP_COOKIE"), ("authorization", "HTTP_AUTHORIZATION"))
            if key in environ
        ]
        request = RecordedRequest(
            "request", headers, request_path(environ), method=environ["REQUEST_METHOD"]
        )
        configuration = Configuration.of_settings(self.gate.settings, is_development=True)
        return Report.of(Case(request, configuration))

    def _signed_in(self, environ: dict[str, Any]) -> Session | None:
        session = decode_request(self.gate, environ)
        return self.sessions.by_username(session.username) if session else None

    def _remember(self, request: Request, response: Response, name: str) -> None:
        self._set_token(request, response, self.sessions.by_name[name])

    def _set_token(self, request: Request, response: Response, session: Session) -> None:
        token = self._token(session, self.gate.settings.format)
        set_cookie(request, response, self.gate.settings.cookie_name, token)

    def _forget(self, request: Request, response: Response) -> None:
        response.delete_cookie(self.gate.settings.cookie_name, path="/")

    def _why_unusable(self, session: Session) -> str | None:
        """Return why a token or a cookie cannot carry a mockup session, or None if both can."""
        if reason := super()._why_unusable(session):
            return reason
        response = Response()
        self._set_token(Request.blank("https://localhost/"), response, session)
        size = len(response.headers["Set-Cookie"])
        if size > MAX_COOKIE_SIZE:
            return (
                f"its cookie would have {size} bytes and browsers drop cookies over"
                f" {MAX_COOKIE_SIZE}, expected a smaller session"
            )
        return None


def _guard(
    app: WSGIApplication | None, explicit: dict[str, Any]
) -> tuple[WSGIApplication | None, Gate]:
    """Return the application behind a SessionMiddleware, and the gate that decides for it."""
    if not isinstance(app, SessionMiddleware):
        gate = Gate(Settings.from_environ(**explicit))
        return None if app is None else SessionMiddleware.from_gate(app, gate), gate
    inner = app.gate.settings
    settings = replace(inner, **explicit)
    if (settings.secret_key, settings.cookie_name) != (inner.secret_key, inner.cookie_name):
        raise ConfigurationError(
            "The secret_key and cookie_name of MockupApp differ from those of the application that"
            " it wraps, which would refuse every login. Leave them out."
        )
    if not explicit:
        return app, app.gate
    gate = Gate(settings)
    return SessionMiddleware.from_gate(app, gate), gate


def _user_profile(session: Session) -> dict[str, Any]:
    names = (session.get("full_name"), session.get("first_name"), session.get("last_name"))
    full_name, *parts = (name.strip() if isinstance(name, str) else "" for name in names)
    email = session.get("email")
    return {
        "slug": session.username,
        "username": session.username,
        "printable_name": full_name or " ".join(filter(None, parts)) or session.username,
        "email": email if isinstance(email, str) else None,
    }
