"""MockupApp: sign in as a mockup user without the proxy. For development only."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from webob import Request, Response

from ..codec import serialize
from ..doctor import Case, Configuration, RecordedRequest, Report
from ..errors import ConfigurationError, SessionError
from ..gate import Gate
from ..session import Session
from ..settings import Settings
from ..wsgi import DECODED_KEY, SessionMiddleware, decode_request, is_open
from .locality import NotLocal, normalize_hosts, why_not_local
from .login_key import LoginKey
from .navigation import (
    is_browser,
    is_cross_site,
    query_parameter,
    request_url,
    safe_next,
    script_url,
)
from .pages import (
    CONTENT_SECURITY_POLICY,
    NO_KEY,
    inspector_page,
    login_page,
    no_key_page,
    not_local_page,
    not_local_text,
    refusal_page,
)
from .sessions import MockupSessions, Source

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

    from ..codec import Format

__all__ = ["MAX_COOKIE_SIZE", "TOKEN_MAX_AGE", "MockupApp"]

logger = logging.getLogger("djsession")

#: The largest cookie that browsers keep, in bytes: name, value and attributes (RFC 6265, 6.1).
MAX_COOKIE_SIZE = 4_096

#: Seconds until a token expires: a day.
TOKEN_MAX_AGE = 86_400

_MAX_BODY = 65_536


class MockupApp:
    """A WSGI application that signs in as a user of a YAML file, in front of another one.

    ::

        application = MockupApp(application, "sessions.yaml", secret_key="...")

    It answers the login page, the logout, the API and the inspector at ``login_path``,
    ``logout_path``, ``api_path`` and ``inspector_path``. All other requests go to ``app`` through a
    :class:`~djsession.SessionMiddleware`, except that a browser which the gate would refuse is
    sent to the login page if it has no token, and sees why its token was refused if it has one.
    Without an ``app`` all other paths are answered with 404.

    Anyone who can reach it can sign in as any of its users. It therefore answers only requests
    from this machine, and all others with 403: :mod:`djsession.mockup.locality` explains how it
    tells them apart. ``hosts`` are host names and addresses, besides localhost, that count as this
    machine's.

    ``allow_remote=True`` answers requests from everywhere. A sign-in then needs a key that is made
    for each start. It is part of the login URL, which goes to stderr and to no log, unless
    ``print_login_url`` is False. An attacker who can read the traffic can read the key as well.

    ``sessions`` is a path to a YAML file or a mapping of names to sessions. The ``settings`` are
    those of SessionMiddleware. If ``app`` is one already, its settings are the default. Raises
    ConfigurationError for a wrong setting, and MockupError with all mistakes in the sessions.
    """

    def __init__(
        self,
        app: WSGIApplication | None = None,
        sessions: Source = "sessions.yaml",
        *,
        login_path: str = "/login/",
        logout_path: str = "/logout/",
        api_path: str = "/api/auth",
        inspector_path: str = "/djsession/",
        hosts: Sequence[str] = (),
        allow_remote: bool = False,
        print_login_url: bool = True,
        **settings: Any,
    ) -> None:
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
        if not isinstance(allow_remote, bool):
            # The text "false" would count as true.
            raise ConfigurationError("allow_remote must be True or False")
        explicit = {name: value for name, value in settings.items() if value is not None}
        self.app, self.gate = _guard(app, explicit)
        self._cookie_name = self.gate.settings.cookie_name
        self._hosts = normalize_hosts(hosts)
        self._key = LoginKey() if allow_remote else None
        self._login_path, self._logout_path = login_path, logout_path
        self._inspector_path = inspector_path
        self._pages = {
            login_path.rstrip("/"): self._login,
            logout_path.rstrip("/"): self._logout,
            api_path.rstrip("/"): self._api,
            inspector_path.rstrip("/"): self._inspect,
        }
        self.sessions = MockupSessions(sessions, self._why_unusable)
        self._announce(print_login_url)

    @property
    def login_path(self) -> str:
        """The path of the login page, with the key that a sign-in needs when there is one."""
        return self._key.url(self._login_path) if self._key else self._login_path

    def _announce(self, print_login_url: bool) -> None:
        count = len(self.sessions.by_name)
        logger.warning(
            "mockup logins are on at %s: anyone %s can sign in as any of %d user%s. For development"
            " only.",
            self._login_path,
            "who has the login URL" if self._key else "on this machine",
            count,
            "" if count == 1 else "s",
        )
        if self._key and print_login_url:
            # Not through the logger: logs are kept, and read by others.
            print(f"Mockup logins: sign in at {self.login_path}", file=sys.stderr, flush=True)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        response = self.respond(environ)
        if response is not None:
            return self.send(response, environ, start_response)
        assert self.app is not None  # respond() has an answer to everything without one
        return self.app(environ, start_response)

    def respond(self, environ: dict[str, Any]) -> Response | None:
        """Return the answer to a request if it is for the mockups to answer, else None.

        None leaves the request to the application and its gate, which has not decided yet. For
        adapters that mount the mockups inside a framework.
        """
        not_local = self._why_not_local(environ)
        if not_local:
            response = self._refuse_remote(environ, not_local)
        elif page := self._pages.get(environ.get("PATH_INFO", "").rstrip("/")):
            response = page(Request(environ))
        elif self.app is None:
            response = _text(404, "Not found")
        elif (
            decode_request(self.gate, environ) is None
            and is_browser(environ)
            and not is_open(self.gate, environ)
        ):
            response = self._login_or_explain(environ)
        else:
            return None
        return self._secured(response)

    def refuse(self, environ: dict[str, Any]) -> Response | None:
        """Return the answer to a browser that the gate refuses, or None for any other client.

        For adapters that ask the gate themselves.
        """
        if is_browser(environ) and not self._why_not_local(environ):
            return self._secured(self._login_or_explain(environ))
        return None

    def respond_profile(self, environ: dict[str, Any], slug: str) -> Response:
        """Return the answer to a request for an organization: as its session describes it, in JSON.

        If several sessions describe the organization, that of the request comes first. For adapters
        whose framework routes such requests: the application may have paths like these itself.
        """

        def find(signed_in: Session) -> dict[str, Any] | None:
            for session in (signed_in, *self.sessions.by_name.values()):
                for organization in session.get_accessibles():
                    if organization.slug == slug:
                        return organization
            return None

        return self._respond_document(environ, find)

    def respond_user(self, environ: dict[str, Any], username: str) -> Response:
        """Return the answer to a request for a user of the file: slug, names and address, in JSON.

        For adapters, as :meth:`respond_profile`.
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
            response = _method_not_allowed("GET, HEAD")
        else:
            session = decode_request(self.gate, environ)
            if session is None or not session.is_authenticated:
                response = _json(401, {"detail": "Not signed in."})
            elif (document := find(session)) is None:
                response = _json(404, {"detail": "Not found."})
            else:
                response = _json(200, document)
        return self._secured(response)

    def _why_not_local(self, environ: dict[str, Any]) -> NotLocal | None:
        return None if self._key else why_not_local(environ, self._hosts)

    def _refuse_remote(self, environ: dict[str, Any], not_local: NotLocal) -> Response:
        logger.warning("mockup logins refused a request because %s", not_local.reason)
        if is_browser(environ):
            return Response(not_local_page(not_local), 403)
        return _text(403, not_local_text(not_local))

    def _secured(self, response: Response) -> Response:
        response.headers["Cache-Control"] = "no-store"
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def send(
        self, response: Response, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a request with ``response``, as a WSGI application does."""
        # Not response(environ, start_response): that makes Location absolute, with a scheme and a
        # host that a proxy in between may have changed.
        start_response(response.status, response.headerlist)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _login_url(self, environ: dict[str, Any]) -> str:
        """Return the URL of the login page that leads back to the URL of this request."""
        url = script_url(environ) + self._login_path
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            url += "?" + urlencode({"next": request_url(environ)})
        return url

    def _login(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            return self._show_login(request)
        if request.method != "POST":
            return _method_not_allowed("GET, HEAD, POST")
        if is_cross_site(request.environ):
            return _text(403, "Forbidden")
        if not self._may_sign_in(request):
            return self._no_key(request)
        form = _form(request)
        if form is None:
            return _text(400, "Bad request")
        next_url = form.get("next") or query_parameter(request.environ, "next")
        # A click sends the name in the file; the form sends a username.
        name = form.get("user") or form.get("username", "")
        session = self.sessions.by_name.get(name) or self.sessions.by_username(name)
        if session is None:
            error = "There is no mockup user of that name. Choose one of the users below."
            return self._page(request, next_url, error)
        response = _redirect(self._next(request, next_url))
        self._set_cookie(request, response, session)
        return response

    def _show_login(self, request: Request) -> Response:
        next_url = query_parameter(request.environ, "next")
        if not self._may_sign_in(request):
            return self._no_key(request)
        if self._key and self._key.is_in_url(request):
            # The cookie takes over, so that the key leaves the address bar.
            location = script_url(request.environ) + self._login_path
            if next_url:
                location += "?" + urlencode({"next": self._next(request, next_url)})
            response = _redirect(location)
            self._key.remember(request, response)
            return response
        return self._page(request, next_url)

    def _may_sign_in(self, request: Request) -> bool:
        return self._key is None or self._key.is_in(request)

    def _no_key(self, request: Request) -> Response:
        if is_browser(request.environ):
            return Response(no_key_page(), 403)
        return _text(403, NO_KEY)

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
            return self._send_token(session, 200)
        if request.method != "POST":
            return _method_not_allowed("GET, HEAD, POST")
        if is_cross_site(request.environ):
            return _json(403, {"detail": "Forbidden"})
        if not self._may_sign_in(request):
            return _json(403, {"detail": NO_KEY})
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
        response = self._send_token(session, 201)
        self._set_cookie(request, response, session)
        return response

    def _send_token(self, session: Session, status: int) -> Response:
        return _json(status, {"token": self._token(session, "jwt")})

    def _token(self, session: Session, format: Format) -> str:
        """Return a token of a session that expires in a day, whatever the session says."""
        expires_at = int(time.time()) + TOKEN_MAX_AGE
        return self.gate.codec.dumps({**session, "exp": expires_at}, format)

    def _login_or_explain(self, environ: dict[str, Any]) -> Response:
        """Send a browser to the login page, or show why its token was refused."""
        decode_request(self.gate, environ)
        if not environ[DECODED_KEY].carries_token:
            return _redirect(self._login_url(environ))
        page = refusal_page(self._report(environ), login_url=self._login_url(environ))
        return Response(page, 403)

    def _inspect(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return _method_not_allowed("GET, HEAD")
        prefix = script_url(request.environ)
        html = inspector_page(
            self._report(request.environ),
            login_url=prefix + self._login_path,
            logout_url=prefix + self._logout_path,
        )
        return Response(html)

    def _report(self, environ: dict[str, Any]) -> Report:
        """Return the doctor's report about a request."""
        headers = [
            (name, environ[key])
            for name, key in (("cookie", "HTTP_COOKIE"), ("authorization", "HTTP_AUTHORIZATION"))
            if key in environ
        ]
        request = RecordedRequest("request", headers, environ.get("PATH_INFO", ""))
        return Report.of(Case(request, Configuration.of_settings(self.gate.settings)))

    def login_page(self, environ: dict[str, Any], **context: Any) -> str:
        """Return the HTML of the login page. ``context`` are the arguments of ``pages.login_page``.

        For an adapter that renders the page with its framework's templates.
        """
        return login_page(**context)

    def home_url(self, environ: dict[str, Any]) -> str:
        """Return where a login leads that was not asked for by another page.

        For an adapter whose framework has a setting for it.
        """
        return script_url(environ) + "/"

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
        """Return where a login leads: to a page of this site that is not the login or logout."""
        prefix = script_url(request.environ)
        url = safe_next(url, "")
        path = url.partition("?")[0].rstrip("/")
        own = [prefix + item.rstrip("/") for item in (self._login_path, self._logout_path)]
        return self.home_url(request.environ) if not url or path in own else url

    def _signed_in(self, request: Request) -> Session | None:
        """Return the mockup session, as the file has it now, of the user of a request."""
        session = decode_request(self.gate, request.environ)
        return self.sessions.by_username(session.username) if session else None

    def _set_cookie(self, request: Request, response: Response, session: Session) -> None:
        response.set_cookie(
            self._cookie_name,
            self._token(session, self.gate.settings.format),
            path="/",
            secure=request.scheme == "https",
            httponly=True,
            samesite="Lax",
        )

    def _why_unusable(self, session: Session) -> str | None:
        """Return why a token or a cookie cannot carry a mockup session, or None if both can."""
        response = Response()
        try:
            self.gate.codec.loads(self._token(session, self.gate.settings.format))
            self._set_cookie(Request.blank("https://localhost/"), response, session)
        except SessionError as error:
            return f"its token would be refused because {error.reason}"
        except (TypeError, ValueError, RecursionError) as error:
            return (
                f"a value that JSON cannot hold or a token must not contain ({error}), expected"
                " strings, numbers, lists and mappings"
            )
        size = len(response.headers["Set-Cookie"])
        if size > MAX_COOKIE_SIZE:
            return (
                f"its cookie would be {size} bytes and browsers drop those over"
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
            "secret_key and cookie_name of MockupApp differ from those of the application that it"
            " wraps, which would refuse every login. Leave them out."
        )
    if not explicit:
        return app, app.gate
    gate = Gate(settings)
    return SessionMiddleware.from_gate(app, gate), gate


def _body(request: Request) -> bytes | None:
    """Return the body of a request, or None if it has no length or is too long for a login."""
    length = request.content_length
    if length is None or not 0 <= length <= _MAX_BODY:
        return None
    if request.is_body_seekable:
        # What is in front of the mockups may have read it, as Pyramid's debug toolbar does.
        request.body_file_raw.seek(0)  # type: ignore[attr-defined]
    body: bytes = request.body_file_raw.read(length)
    return body


def _form(request: Request) -> dict[str, str] | None:
    """Return the fields of an urlencoded form, or None for anything else.

    A name that occurs several times has its last value.
    """
    body = _body(request)
    if body is None or request.content_type != "application/x-www-form-urlencoded":
        return None
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except ValueError:
        return None


def _text(status: int, text: str) -> Response:
    return Response(f"{text}\n", status, content_type="text/plain")


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


def _json(status: int, document: dict[str, Any]) -> Response:
    response = Response(serialize(document) + b"\n", status, content_type="application/json")
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
