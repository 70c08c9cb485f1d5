"""The pages that all mockup logins share: login, logout, API and inspector."""

from __future__ import annotations

import json
import logging
import shlex
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack
from urllib.parse import parse_qsl, urlencode

from webob import Request, Response

from ..codec import serialize
from ..doctor import Report
from ..errors import ConfigurationError, SessionError
from ..gate import Gate
from ..session import Session
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
    NO_KEY,
    PAGE_HEADERS,
    inspector_page,
    login_page,
    no_key_page,
    not_local_page,
    not_local_text,
)
from .recent import RecentRequests
from .sessions import MockupSessions, Source

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

    from ..codec import Format
    from .rules import Rule

__all__ = [
    "TOKEN_MAX_AGE",
    "LoginPages",
    "LoginPagesOptions",
    "json_response",
    "method_not_allowed",
    "redirect",
    "set_cookie",
    "text_response",
]

logger = logging.getLogger("djsession")

#: Seconds until a sign-in expires: a day.
TOKEN_MAX_AGE = 86_400

_MAX_BODY = 65_536


class LoginPagesOptions(TypedDict, total=False):
    """The options of :class:`LoginPages`, which the docstring of MockupApp explains."""

    login_path: str
    logout_path: str
    api_path: str
    inspector_path: str
    hosts: Sequence[str]
    allow_remote: bool
    print_login_url: bool


class LoginPages(ABC):
    """Answers the login page, the logout, the API and the inspector, on this machine only.

    The subclasses decide how the browser remembers who is signed in: MockupApp writes a token into
    the cookie that the gate reads, and StandIn writes its own cookie.
    """

    def __init__(self, sessions: Source, gate: Gate, **options: Unpack[LoginPagesOptions]) -> None:
        paths = {
            "login_path": options.get("login_path", "/login/"),
            "logout_path": options.get("logout_path", "/logout/"),
            "api_path": options.get("api_path", "/api/auth"),
            "inspector_path": options.get("inspector_path", "/djsession/"),
        }
        for name, path in paths.items():
            if not path.startswith("/") or not path.strip("/") or not path.isascii():
                raise ConfigurationError(f"{name} must be a URL path below '/' in ASCII")
        hosts = options.get("hosts", ())
        allow_remote = options.get("allow_remote", False)
        if isinstance(hosts, str):
            raise ConfigurationError("hosts must be a list of host names")
        if not isinstance(allow_remote, bool):
            # The text "false" would count as true.
            raise ConfigurationError("allow_remote must be True or False")
        self._hosts = normalize_hosts(hosts)
        self._key = LoginKey() if allow_remote else None
        self._login_path, self._logout_path = paths["login_path"], paths["logout_path"]
        self._inspector_path = paths["inspector_path"]
        self._pages = {
            self._login_path.rstrip("/"): self._login,
            self._logout_path.rstrip("/"): self._logout,
            paths["api_path"].rstrip("/"): self._api,
            self._inspector_path.rstrip("/"): self._inspect,
        }
        self.gate = gate
        #: The requests that the inspector lists.
        self.recent = RecentRequests()
        self.sessions = MockupSessions(sessions, self._why_unusable)
        self._announce(options.get("print_login_url", True))

    @abstractmethod
    def _signed_in(self, environ: dict[str, Any]) -> Session | None:
        """Return the current mockup session of the user who sent a request."""

    @abstractmethod
    def _remember(self, request: Request, response: Response, name: str) -> None:
        """Set the cookie that signs in with the session of that name."""

    @abstractmethod
    def _forget(self, request: Request, response: Response) -> None:
        """Delete the cookie that :meth:`_remember` sets."""

    @abstractmethod
    def _report(self, environ: dict[str, Any]) -> Report:
        """Return the doctor's report about a request, for the inspector."""

    def _access_rules(self) -> Iterable[Rule]:
        """Return the access rules in front of the application."""
        return ()

    def _why_unusable(self, session: Session) -> str | None:
        """Return why a token cannot carry a mockup session, or None if it can."""
        try:
            self.gate.codec.loads(self._token(session, self.gate.settings.format))
        except SessionError as error:
            return f"its token would be refused because {error.reason}"
        except (TypeError, ValueError, RecursionError) as error:
            return (
                f"it contains a value that is not allowed in JSON or a token ({error}), expected"
                " strings, numbers, lists and mappings"
            )
        return None

    @property
    def login_path(self) -> str:
        """The path of the login page, with the key if a sign-in needs one."""
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
            # Not through the logger, since logs are kept and other people read them.
            print(f"Mockup logins: sign in at {self.login_path}", file=sys.stderr, flush=True)

    def respond_as_page(self, environ: dict[str, Any]) -> Response | None:
        """Return the answer to a request that is for a page or is not local, or else None."""
        if not_local := self._why_not_local(environ):
            return self._refuse_remote(environ, not_local)
        return self._answer_page(environ)

    def _answer_page(self, environ: dict[str, Any]) -> Response | None:
        page = self._pages.get(environ.get("PATH_INFO", "").rstrip("/"))
        return page(Request(environ)) if page else None

    def _why_not_local(self, environ: dict[str, Any]) -> NotLocal | None:
        return None if self._key else why_not_local(environ, self._hosts)

    def _refuse_remote(self, environ: dict[str, Any], not_local: NotLocal) -> Response:
        logger.warning("mockup logins refused a request because %s", not_local.reason)
        if is_browser(environ):
            return Response(not_local_page(not_local), 403)
        return text_response(403, not_local_text(not_local))

    def secured(self, response: Response) -> Response:
        """Return the response with the headers that every page gets."""
        response.headers.update(PAGE_HEADERS)
        return response

    def send(
        self, response: Response, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a request with ``response``, as a WSGI application does."""
        # Not response(environ, start_response), which makes Location absolute, with a scheme and a
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
            return method_not_allowed("GET, HEAD, POST")
        if is_cross_site(request.environ):
            return text_response(403, "Forbidden")
        if not self._may_sign_in(request):
            return self._no_key(request)
        form = _form(request)
        if form is None:
            return text_response(400, "Bad request")
        next_url = form.get("next") or query_parameter(request.environ, "next")
        # A click sends the name in the file, and the form sends a username.
        name = form.get("user") or form.get("username", "")
        found = self._find(name)
        if found is None:
            error = "Unknown mockup user. Choose one of the users below."
            return self._page(request, next_url, error)
        response = redirect(self._next(request, next_url))
        self._remember(request, response, found)
        return response

    def _show_login(self, request: Request) -> Response:
        next_url = query_parameter(request.environ, "next")
        if not self._may_sign_in(request):
            return self._no_key(request)
        if self._key and self._key.is_in_url(request):
            # The key moves to a cookie, so that it leaves the address bar.
            location = script_url(request.environ) + self._login_path
            if next_url:
                location += "?" + urlencode({"next": self._next(request, next_url)})
            response = redirect(location)
            self._key.remember(request, response)
            return response
        return self._page(request, next_url)

    def _find(self, name: str) -> str | None:
        """Return the name in the file for a session's name or username, or None."""
        by_name = self.sessions.by_name
        if name in by_name:
            return name
        return next((key for key, item in by_name.items() if name and item.username == name), None)

    def _may_sign_in(self, request: Request) -> bool:
        return self._key is None or self._key.is_in(request)

    def _no_key(self, request: Request) -> Response:
        if is_browser(request.environ):
            return Response(no_key_page(), 403)
        return text_response(403, NO_KEY)

    def _logout(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD", "POST"):
            return method_not_allowed("GET, HEAD, POST")
        if request.method == "POST" and is_cross_site(request.environ):
            return text_response(403, "Forbidden")
        default = script_url(request.environ) + self._login_path
        location = safe_next(query_parameter(request.environ, "next"), default)
        response = redirect(location)
        self._forget(request, response)
        return response

    def _api(self, request: Request) -> Response:
        if request.method in ("GET", "HEAD"):
            session = self._signed_in(request.environ)
            if session is None:
                return json_response(401, {"detail": "Not signed in."})
            return self._send_token(session, 200)
        if request.method != "POST":
            return method_not_allowed("GET, HEAD, POST")
        if is_cross_site(request.environ):
            return json_response(403, {"detail": "Forbidden"})
        if not self._may_sign_in(request):
            return json_response(403, {"detail": NO_KEY})
        if request.content_type != "application/json":
            return json_response(400, {"detail": "Expected a body with the type application/json."})
        body = _body(request)
        try:
            credentials = json.loads(body or b"")
        except (ValueError, RecursionError):
            return json_response(400, {"detail": "The body is not JSON."})
        username = credentials.get("username") if isinstance(credentials, dict) else None
        if not isinstance(username, str):
            return json_response(
                400, {"detail": 'Expected {"username": string, "password": string}.'}
            )
        found = self._find(username)
        if found is None:
            return json_response(401, {"detail": "Unknown mockup user."})
        response = self._send_token(self.sessions.by_name[found], 201)
        self._remember(request, response, found)
        return response

    def _send_token(self, session: Session, status: int) -> Response:
        return json_response(status, {"token": self._token(session, "jwt")})

    def _token(self, session: Session, format: Format) -> str:
        """Return a token for a session. It expires in a day, whatever the session says."""
        expires_at = int(time.time()) + TOKEN_MAX_AGE
        return self.gate.codec.dumps({**session, "exp": expires_at}, format)

    def _inspect(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            return method_not_allowed("GET, HEAD")
        # Anyone who sees which step an altered token fails at can forge one (see djsession.codec).
        if not self._may_sign_in(request):
            return self._no_key(request)
        prefix = script_url(request.environ)
        html = inspector_page(
            self._report(request.environ),
            login_url=prefix + self._login_path,
            logout_url=prefix + self._logout_path,
            recent=self.recent.latest(),
            rules=self._access_rules(),
            curl=self._curl(request),
        )
        return Response(html)

    def _curl(self, request: Request) -> str:
        """Return a command that sends a request as the signed-in user, or ``""``.

        Its token is a fresh token for the mockup session, like the API sends. It is never the
        request's token, which may come from the proxy.
        """
        session = self._signed_in(request.environ)
        if session is None or "jwt" not in self.gate.settings.formats:
            return ""
        url = request.host_url + self.home_url(request.environ)
        header = f"Authorization: Bearer {self._token(session, 'jwt')}"
        return shlex.join(["curl", "--header", header, url])

    def login_page(self, environ: dict[str, Any], **context: Any) -> str:
        """Return the HTML of the login page. ``context`` are the arguments of ``pages.login_page``.

        An adapter can override it to render the page with its framework's templates.
        """
        return login_page(**context)

    def home_url(self, environ: dict[str, Any]) -> str:
        """Return where a login leads if no other page asked for it.

        An adapter can override it if its framework has a setting for this.
        """
        return script_url(environ) + "/"

    def _page(self, request: Request, next_url: str, error: str = "") -> Response:
        signed_in = self._signed_in(request.environ)
        html = self.login_page(
            request.environ,
            sessions=self.sessions.by_name,
            login_url=script_url(request.environ) + self._login_path,
            logout_url=script_url(request.environ) + self._logout_path,
            inspector_url=script_url(request.environ) + self._inspector_path,
            next_url=self._next(request, next_url),
            error=error,
            problems=self.sessions.problems,
            warnings=self.sessions.warnings,
            signed_in=signed_in.username if signed_in else None,
            source=self.sessions.source,
        )
        return Response(html, 401 if error else 200)

    def _next(self, request: Request, url: str) -> str:
        """Return where a login leads: a page on this site other than the login or logout."""
        prefix = script_url(request.environ)
        url = safe_next(url, "")
        path = url.partition("?")[0].rstrip("/")
        own = [prefix + item.rstrip("/") for item in (self._login_path, self._logout_path)]
        return self.home_url(request.environ) if not url or path in own else url


def set_cookie(request: Request, response: Response, name: str, value: str) -> None:
    """Set a cookie that scripts cannot read and other sites cannot send with a form."""
    response.set_cookie(
        name,
        value,
        path="/",
        secure=request.scheme == "https",
        httponly=True,
        samesite="Lax",
    )


def _body(request: Request) -> bytes | None:
    """Return the body of a request, or None if its length is unknown or too long for a login."""
    length = request.content_length
    if length is None or not 0 <= length <= _MAX_BODY:
        return None
    if request.is_body_seekable:
        # Middleware in front of the mockups, such as Pyramid's debug toolbar, may have read it.
        request.body_file_raw.seek(0)  # type: ignore[attr-defined]
    body: bytes = request.body_file_raw.read(length)
    return body


def _form(request: Request) -> dict[str, str] | None:
    """Return the fields of an urlencoded form, or None for anything else.

    If a name occurs several times, its last value counts.
    """
    body = _body(request)
    if body is None or request.content_type != "application/x-www-form-urlencoded":
        return None
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict"))
    except ValueError:
        return None


def text_response(status: int, text: str) -> Response:
    """Return a plain text response."""
    return Response(f"{text}\n", status, content_type="text/plain")


def json_response(status: int, document: dict[str, Any]) -> Response:
    """Return a JSON response."""
    response = Response(serialize(document) + b"\n", status, content_type="application/json")
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def redirect(location: str, status: int = 303) -> Response:
    """Return a response that leads to the URL ``location``, with GET."""
    response = text_response(status, "See other")
    response.headers["Location"] = location
    return response


def method_not_allowed(allow: str) -> Response:
    """Return the response to a request whose method is not in ``allow``."""
    response = text_response(405, "Method not allowed")
    response.headers["Allow"] = allow
    return response
