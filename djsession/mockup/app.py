"""MockupApp: sign in as a mockup user, in place of the proxy. For development only."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from webob import Request, Response

from ..doctor import Case, Keys, Report
from ..doctor import Request as DoctorRequest
from ..errors import AccessDenied, ConfigurationError, SessionError
from ..gate import Gate
from ..middleware import SessionMiddleware, forbidden
from ..session import Session
from ..settings import Settings
from ..transport import candidates
from .pages import CONTENT_SECURITY_POLICY, inspector_page, login_page, refusal_page
from .requests import (
    is_browser,
    is_cross_site,
    is_local,
    query_parameter,
    request_url,
    safe_next,
    script_url,
)
from .sessions import MockupSessions, Source

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

__all__ = ["MAX_COOKIE_SIZE", "MockupApp"]

logger = logging.getLogger("djsession")

#: Bytes of name, value and attributes: what browsers keep of a cookie (RFC 6265 section 6.1).
MAX_COOKIE_SIZE = 4_096

_MAX_BODY = 65_536


class MockupApp:
    """A WSGI application that signs in as a user of a YAML file, in front of another one.

    ::

        application = MockupApp(application, "sessions.yaml", secret_key="...")

    It answers the login page, the logout, the API and the inspector below ``login_path``,
    ``logout_path``, ``api_path`` and ``inspector_path``. Of the wrapped application it guards the
    rest: a browser without a token is sent to the login page, one whose token is refused is shown
    why under the 403, any other client gets a 403 alone. Without one it answers 404.

    Whoever reaches it can be any of its users. It therefore answers only requests whose Host is
    a name of this machine, such as localhost, or listed in ``hosts``; all others get a 403.

    ``sessions`` is a path to a YAML file or a mapping of names to sessions; the settings are
    those of SessionMiddleware, taken from the application when that is one. Raises
    ConfigurationError, and MockupError with all that is wrong with the sessions.
    """

    def __init__(
        self,
        app: WSGIApplication | None = None,
        sessions: Source = "sessions.yaml",
        *,
        secret_key: str | Sequence[str] | None = None,
        cookie_name: str | None = None,
        allowed_no_session: Sequence[str] | None = None,
        max_token_size: int | None = None,
        formats: Sequence[str] | None = None,
        login_path: str = "/login/",
        logout_path: str = "/logout/",
        api_path: str = "/api/auth",
        inspector_path: str = "/djsession/",
        hosts: Sequence[str] = (),
    ) -> None:
        explicit: dict[str, Any] = {
            name: value
            for name, value in (
                ("secret_key", secret_key),
                ("cookie_name", cookie_name),
                ("allowed_no_session", allowed_no_session),
                ("max_token_size", max_token_size),
                ("formats", formats),
            )
            if value is not None
        }
        if isinstance(app, SessionMiddleware):
            inner = app.gate.settings
            settings = replace(inner, **explicit)
            if (settings.secret_key, settings.cookie_name) != (inner.secret_key, inner.cookie_name):
                raise ConfigurationError(
                    "secret_key and cookie_name of MockupApp differ from those of the application"
                    " it wraps, which would refuse every login: leave them out"
                )
        else:
            settings = Settings.from_environ(**explicit)
        paths = {
            "login_path": login_path,
            "logout_path": logout_path,
            "api_path": api_path,
            "inspector_path": inspector_path,
        }
        for name, path in paths.items():
            if not path.startswith("/") or not path.strip("/") or not path.isascii():
                raise ConfigurationError(f"{name} must be the path of a URL below '/', in ASCII")
        if isinstance(hosts, str):
            raise ConfigurationError("hosts must be a list of host names")
        self.app = app
        self.gate = Gate(settings)
        self._cookie_name = settings.cookie_name
        self._hosts = frozenset(host.lower() for host in hosts)
        self._login_path, self._logout_path = login_path, logout_path
        self._inspector_path = inspector_path
        self._pages = {
            login_path.rstrip("/"): self._login,
            logout_path.rstrip("/"): self._logout,
            api_path.rstrip("/"): self._api,
            inspector_path.rstrip("/"): self._inspect,
        }
        self.sessions = MockupSessions(sessions, self._complaint)
        logger.warning(
            "mockup logins are on: whoever reaches this application can sign in as any of %d"
            " users. For development only.",
            len(self.sessions.by_name),
        )

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        response = self.respond(environ)
        if response is not None:
            return self.send(response, environ, start_response)
        assert self.app is not None  # respond() has an answer to everything without one
        try:
            self.gate.open(environ)
        except AccessDenied:
            return forbidden(environ, start_response)
        return self.app(environ, start_response)

    def respond(self, environ: dict[str, Any]) -> Response | None:
        """Return the answer to a request that is the mockups' own to answer, or None.

        None leaves the request to the application behind, whose gate has yet to be opened. For
        adapters that mount the mockups inside of a framework.
        """
        if not is_local(environ.get("HTTP_HOST", ""), self._hosts):
            logger.warning(
                "mockup logins answer only to a host name of this machine; another has to be"
                " listed in hosts (djsession serve --allow-host, MOCKUP_HOSTS of Django)"
            )
            response = _text(403, "Forbidden")
        elif page := self._pages.get(environ.get("PATH_INFO", "").rstrip("/")):
            response = page(Request(environ))
        elif self.app is None:
            response = _text(404, "Not found")
        elif (
            self.gate.decode(environ) is None
            and is_browser(environ)
            and not self.gate.admits(environ)
        ):
            response = self._unwelcome(environ)
        else:
            return None
        return self._secured(response)

    def refuse(self, environ: dict[str, Any]) -> Response | None:
        """Return the answer to a browser that the gate refuses, or None for any other client.

        For adapters that open the gate themselves.
        """
        if is_browser(environ) and is_local(environ.get("HTTP_HOST", ""), self._hosts):
            return self._secured(self._unwelcome(environ))
        return None

    def _secured(self, response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def send(
        self, response: Response, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        """Return what a WSGI application does that answers with ``response``."""
        # Not response(environ, start_response): that makes Location absolute, by a scheme and a
        # host that a proxy in between may know otherwise.
        start_response(response.status, response.headerlist)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _login_url(self, environ: dict[str, Any]) -> str:
        """Return the URL of the login page, which leads back to where a request was going."""
        url = script_url(environ) + self._login_path
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            url += "?" + urlencode({"next": request_url(environ)})
        return url

    def _login(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            return self._page(request, query_parameter(request.environ, "next"))
        if request.method != "POST":
            return _method_not_allowed("GET, HEAD, POST")
        if is_cross_site(request.environ):
            return _text(403, "Forbidden")
        form = _form(request)
        if form is None:
            return _text(400, "Bad request")
        next_url = form.get("next") or query_parameter(request.environ, "next")
        # A click sends the name in the file, the form a username.
        name = form.get("user") or form.get("username", "")
        session = self.sessions.by_name.get(name) or self.sessions.by_username(name)
        if session is None:
            error = "There is no mockup user of that name: choose one of those below."
            return self._page(request, next_url, error)
        response = _redirect(self._next(request, next_url))
        self._set_cookie(request, response, session)
        return response

    def _logout(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD", "POST"):
            return _method_not_allowed("GET, HEAD, POST")
        if request.method == "POST" and is_cross_site(request.environ):
            return _text(403, "Forbidden")
        default = script_url(request.environ) + self._login_path
        location = safe_next(query_parameter(request.environ, "next"), default)
        response = _redirect(location)
        response.delete_cookie(self._cookie_name, path="/")
        return response

    def _api(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            session = self._signed_in(request)
            if session is None:
                return _json(401, {"detail": "Not signed in."})
            return self._token(session, 200)
        if request.method != "POST":
            return _method_not_allowed("GET, HEAD, POST")
        if is_cross_site(request.environ):
            return _json(403, {"detail": "Forbidden"})
        if request.content_type != "application/json":
            return _json(400, {"detail": "Expected a body of the type application/json."})
        body = _body(request)
        try:
            credentials = json.loads(body or b"")
        except (ValueError, RecursionError):
            return _json(400, {"detail": "The body is not JSON."})
        username = credentials.get("username") if isinstance(credentials, dict) else None
        if not isinstance(username, str):
            return _json(400, {"detail": 'Expected {"username": string, "password": string}.'})
        session = self.sessions.by_username(username)
        if session is None:
            return _json(401, {"detail": "There is no mockup user of that name."})
        response = self._token(session, 201)
        if response.status_code == 201:
            self._set_cookie(request, response, session)
        return response

    def _token(self, session: Session, status: int) -> Response:
        try:
            token = self.gate.codec.dumps(
                {key: value for key, value in session.items() if key != "exp"}, "jwt"
            )
        except SessionError as error:  # the extra is not installed
            return _json(501, {"detail": f"No jwt can be made: {error.remedy}"})
        return _json(status, {"token": token})

    def _unwelcome(self, environ: dict[str, Any]) -> Response:
        """Send a browser to the login page, or show it why its token is refused."""
        if not candidates(environ, self._cookie_name):
            return _redirect(self._login_url(environ))
        page = refusal_page(self._report(environ), login_url=self._login_url(environ))
        return Response(page, 403)

    def _inspect(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _method_not_allowed("GET, HEAD")
        prefix = script_url(request.environ)
        html = inspector_page(
            self._report(request.environ),
            path=prefix + request.environ.get("PATH_INFO", ""),
            login_url=prefix + self._login_path,
            logout_url=prefix + self._logout_path,
        )
        return Response(html)

    def _report(self, environ: dict[str, Any]) -> Report:
        """Return what the doctor says of a request."""
        headers = [
            (name, environ[key])
            for name, key in (("cookie", "HTTP_COOKIE"), ("authorization", "HTTP_AUTHORIZATION"))
            if key in environ
        ]
        settings = self.gate.settings
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        return Report.of(
            Case(
                DoctorRequest("request", headers, path),
                Keys(tuple(settings.secret_key or ())),
                settings.cookie_name,
                settings.allowed_no_session,
                settings.max_token_size,
                settings.formats,
            )
        )

    def login_page(self, environ: dict[str, Any], **context: Any) -> str:
        """Return the HTML of the login page. ``context`` is what ``pages.login_page`` takes.

        For an adapter that renders the page by means of its framework.
        """
        return login_page(**context)

    def _page(self, request: Request, next_url: str, error: str = "") -> Response:
        signed_in = self._signed_in(request)
        html = self.login_page(
            request.environ,
            sessions=self.sessions.by_name,
            login_url=script_url(request.environ) + self._login_path,
            logout_url=script_url(request.environ) + self._logout_path,
            inspector_url=script_url(request.environ) + self._inspector_path,
            next_url=self._next(request, next_url),
            error=error,
            problems=self.sessions.problems,
            signed_in=signed_in.username if signed_in else None,
        )
        return Response(html, 401 if error else 200)

    def _next(self, request: Request, url: str) -> str:
        """Return where to go after a login: never off the site, nor to where it is undone."""
        prefix = script_url(request.environ)
        url = safe_next(url, prefix + "/")
        path = url.partition("?")[0].rstrip("/")
        own = [prefix + item.rstrip("/") for item in (self._login_path, self._logout_path)]
        return prefix + "/" if path in own else url

    def _signed_in(self, request: Request) -> Session | None:
        """Return the mockup session, as the file has it now, of the user of a request."""
        session = self.gate.decode(request.environ)
        return self.sessions.by_username(session.username) if session else None

    def _set_cookie(self, request: Request, response: Response, session: Session) -> None:
        response.set_cookie(
            self._cookie_name,
            self.gate.codec.dumps(session, self.gate.settings.format),
            path="/",
            secure=request.scheme == "https",
            httponly=True,
            samesite="Lax",
        )

    def _complaint(self, session: Session) -> str | None:
        """Return why a session cannot be a mockup: JSON cannot hold it, or a cookie cannot."""
        response = Response()
        try:
            self._set_cookie(Request.blank("https://localhost/"), response, session)
        except (TypeError, ValueError, RecursionError):
            return "a value that JSON cannot hold, expected strings, numbers, lists and mappings"
        size = len(response.headers["Set-Cookie"])
        if size > MAX_COOKIE_SIZE:
            return (
                f"its cookie would be {size} bytes and browsers drop those over"
                f" {MAX_COOKIE_SIZE}, expected a smaller session"
            )
        return None


def _body(request: Request) -> bytes | None:
    """Return the body of a request, or None for one without a length or beyond any login's."""
    length = request.content_length
    if length is None or not 0 <= length <= _MAX_BODY:
        return None
    body: bytes = request.body_file_raw.read(length)
    return body


def _form(request: Request) -> dict[str, str] | None:
    """Return the fields of an urlencoded form, the last of each name; None for anything else."""
    body = _body(request)
    if body is None or request.content_type != "application/x-www-form-urlencoded":
        return None
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except ValueError:
        return None


def _text(status: int, text: str) -> Response:
    return Response(f"{text}\n", status, content_type="text/plain")


def _json(status: int, document: dict[str, str]) -> Response:
    body = (json.dumps(document) + "\n").encode("ascii")
    response = Response(body, status, content_type="application/json")
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _redirect(location: str) -> Response:
    response = _text(303, "See other")
    response.headers["Location"] = location
    return response


def _method_not_allowed(allow: str) -> Response:
    response = _text(405, "Method not allowed")
    response.headers["Allow"] = allow
    return response
