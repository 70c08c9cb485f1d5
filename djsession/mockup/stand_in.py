"""StandIn: what ``djsession serve`` puts in front of an application, in place of the proxy.

Theory of operation
===================

MockupApp writes a token into the browser's cookie. The proxy works differently: the browser only
has a cookie that tells who is signed in, and the proxy checks its access rules and attaches a
*fresh* token to *every* request that it forwards. StandIn does the same. For each request it

1. refuses requests that do not come from this machine (:mod:`djsession.mockup.locality`),
2. answers its own pages: login, logout, API and inspector,
3. normalizes the path, so that the rules and the application see the same path,
4. removes from the request whatever a client could use to impersonate somebody else,
5. checks the rules in the file, and
6. forwards the request with a token, redirects to the login page, or refuses the request.

The *sign-in cookie* names a session in the file. It is signed with a key that is derived from the
secret key, and the application never sees it. The gate does not accept its format, so no
application accepts the cookie as a session. The session itself is read from the file at each
request. Edits therefore take effect at once, and sessions can have any size.

StandIn differs from the proxy where the proxy would do harm, or where nobody needs the same
behaviour:

- A path is normalized before it is matched, whereas the proxy does so afterwards. An encoded
  question mark or number sign remains part of the path.
- Bodies and the query are forwarded unchanged. The proxy parses forms and the query, and keeps one
  value for each name.
- A signed-in browser without access sees a page that names the rule. The proxy sends the browser to
  the login page.
- Compressed responses, and the cookies of the application, reach the browser as they were sent.
"""

from __future__ import annotations

import binascii
import hmac
import logging
import re
import secrets
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack
from urllib.parse import parse_qsl, quote

from webob import Request, Response

from ..codec import SessionCodec
from ..doctor import Case, Configuration, RecordedRequest, Report
from ..errors import ConfigurationError, SessionError
from ..gate import Gate
from ..session import Session
from ..settings import Settings
from ..transport import bearer_token, cookie_tokens
from ..wsgi import request_path
from .login_key import COOKIE_NAME as KEY_COOKIE_NAME
from .login_pages import (
    TOKEN_MAX_AGE,
    LoginPages,
    LoginPagesOptions,
    json_response,
    redirect,
    set_cookie,
    text_response,
)
from .navigation import is_browser, is_cross_site, script_url
from .pages import forbidden_page
from .sessions import Source

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

    from ..codec import Format
    from .rules import Decision, Rule

__all__ = ["HOP_BY_HOP", "METHODS", "StandIn", "normalize_path"]

logger = logging.getLogger("djsession")

#: The methods that the proxy forwards. It answers 405 to any other.
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")

#: Names of headers that concern one connection only (RFC 9110 section 7.6.1), in lower case.
HOP_BY_HOP = frozenset(
    (
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
    )
)

# The server has checked these headers, and the code that reads the request needs them.
_ABOUT_THE_REQUEST = frozenset(("host", "transfer-encoding"))

_LOOP_HEADER = "HTTP_X_DJSESSION_STAND_IN"

_COOKIE_PREFIX = "djsession_stand_in_"

# What the stand-in forwards but the proxy does not, or the reverse. Without a warning, nobody would
# notice before production, or see why.
_TRAPS = {
    "websocket": "a WebSocket was refused: %s %s. The proxy does not forward WebSockets, and"
    " djsession serve does only with the option --websockets",
    "query": "the proxy forwards only the last value of each name in a query, but the query of %s"
    " %s repeats a name",
    "multipart": "the proxy forwards multipart forms only with POST: behind it, %s %s would not"
    " have a body",
    "cookies": "the proxy drops cookies whose header is not spelled Set-Cookie, as in the response"
    " to %s %s: ASGI servers write the name in lower case",
    "encoding": "the proxy drops the Content-Encoding of the response to %s %s and leaves its body"
    " compressed, since it can only decompress gzip and deflate",
}

_SIGNED = re.compile(r"([A-Za-z0-9_-]*)~(\d{1,12})~([0-9a-f]{64})", re.ASCII)


class StandIn(LoginPages):
    """A WSGI application in front of ``app`` that does what the proxy does, for development.

    ``app`` receives the forwarded requests. It is a WSGI application or a
    :class:`~djsession.mockup.forwarder.Forwarder`. ``sessions`` is a path to a YAML file, or a
    mapping, with sessions and rules. ``settings`` must contain the application's key. ``format`` is
    ``"openssl"`` for a token in the cookie or ``"jwt"`` for one in the Authorization header.
    With ``websockets``, WebSockets are forwarded, which the proxy does not do. The ``options``
    are those of :class:`~djsession.mockup.MockupApp`.

    Raises ConfigurationError for a wrong option, and MockupError with all mistakes in the file.
    """

    def __init__(
        self,
        app: WSGIApplication,
        sessions: Source,
        settings: Settings,
        *,
        format: Format = "openssl",
        websockets: bool = False,
        **options: Unpack[LoginPagesOptions],
    ) -> None:
        if format not in settings.formats:
            raise ConfigurationError(
                f"the application only accepts tokens in the format {', '.join(settings.formats)},"
                f" so the stand-in must not send {format}: use --format {settings.format}"
            )
        self.app = app
        self._format = format
        self._websockets = websockets
        self._signing_key = hmac.digest(
            settings.secret_key[0].encode("ascii"), b"djsession stand-in: sign-in cookie", "sha256"
        )
        # For the tokens from /api/auth, which are jwts whatever the application accepts.
        self._api_codec = SessionCodec(
            settings.secret_key, max_token_size=settings.max_token_size, formats=("jwt",)
        )
        self._visits = _Visits()
        self._mentioned: set[str] = set()
        self._id = secrets.token_urlsafe(12)
        super().__init__(sessions, Gate(settings), **options)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        answer = self._respond(environ)
        if isinstance(answer, Response):
            return self.send(self.secured(answer), environ, start_response)
        record = answer
        self._mention(environ, _traps_of_request(environ))

        def start_filtered_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
        ) -> Callable[[bytes], object]:
            self._mention(environ, _traps_of_response(headers))
            headers = self._filtered(headers)
            record(int(status[:3]))
            if exc_info is None:
                return start_response(status, headers)
            return start_response(status, headers, exc_info)

        return self.app(environ, start_filtered_response)

    def _respond(self, environ: dict[str, Any]) -> Response | Callable[[int], None]:
        """Return the answer to a request, or prepare it to be forwarded.

        To have it forwarded, return a function. It expects the status code that the application
        returns, and records the request for the inspector.
        """
        if not_local := self._why_not_local(environ):
            return self._refuse_remote(environ, not_local)
        if self._id in environ.get(_LOOP_HEADER, "").split(","):
            return text_response(508, "This server forwards requests to itself.")
        method = environ["REQUEST_METHOD"]
        if method not in METHODS:
            response = text_response(405, "The proxy does not forward requests with this method.")
            response.headers["Allow"] = ", ".join(METHODS)
            return response
        path = normalize_path(environ.get("PATH_INFO", ""))
        if path is None:
            return text_response(400, "The path of this request is not a valid path in UTF-8.")
        environ["PATH_INFO"] = path.encode().decode("latin-1")
        environ.pop("HTTP_SCRIPT_NAME", None)
        page = self._answer_page(environ)
        if page is not None:
            return page
        if _is_websocket(environ) and (refusal := self._refuse_websocket(environ)):
            return refusal
        if self._is_forged(environ):
            return text_response(403, "Another site must not send this request.")
        session = self._signed_in(environ)
        decision = self.sessions.rules.decide(path, session)
        is_unchecked = method == "OPTIONS" and (decision.rule or not len(self.sessions.rules))
        user = session.username if session else None
        record = partial(self.recent.add, method, path, user=user, decision=decision)
        if decision.verdict != "forward" and not is_unchecked:
            response = self._refuse(environ, decision, user)
            is_sent_to_login = response.status_int == 302
            record(response.status_int, "sign in" if is_sent_to_login else "refused")
            return response
        self._attach(environ, session, decision.rule)
        return partial(record, verdict="passed")

    def _mention(self, environ: dict[str, Any], traps: Iterable[str]) -> None:
        """Log what the proxy would do differently, each difference only once."""
        for trap in traps:
            if trap not in self._mentioned:
                self._mentioned.add(trap)
                path = quote(environ["PATH_INFO"].encode("latin-1"))
                logger.warning(_TRAPS[trap], environ["REQUEST_METHOD"], path)

    def _is_forged(self, environ: dict[str, Any]) -> bool:
        """Whether another site makes a browser send a request that may change something.

        An application behind the JWT backend may rely on the Authorization header, which a form
        cannot set. But the proxy and the stand-in add the header to whatever the browser sends.
        """
        return (
            self._format == "jwt"
            and environ["REQUEST_METHOD"] not in _SAFE_METHODS
            and environ.get("HTTP_SEC_FETCH_SITE") in ("cross-site", "same-site")
        )

    def _refuse_websocket(self, environ: dict[str, Any]) -> Response | None:
        if not self._websockets:
            # Browsers do not show the body of this response.
            self._mention(environ, ["websocket"])
            return text_response(501, "WebSockets need djsession serve --websockets.")
        if is_cross_site(environ):
            return text_response(403, "Another site must not open this WebSocket.")
        return None

    def _refuse(
        self, environ: dict[str, Any], decision: Decision, username: str | None
    ) -> Response:
        if decision.verdict == "sign in" and is_browser(environ):
            return redirect(self._login_url(environ), 302)
        if is_browser(environ):
            page = forbidden_page(
                decision,
                login_url=self._login_url(environ),
                inspector_url=script_url(environ) + self._inspector_path,
                method=environ["REQUEST_METHOD"],
                path=request_path(environ),
                username=username,
                source=self.sessions.source,
            )
            return Response(page, 403)
        return json_response(403, {"detail": decision.reason})

    def _attach(self, environ: dict[str, Any], session: Session | None, rule: Rule | None) -> None:
        """Replace what the proxy replaces in a request, and remove what must not be forwarded."""
        is_websocket = _is_websocket(environ)
        named = environ.get("HTTP_CONNECTION", "").lower().split(",")
        for name in {*HOP_BY_HOP, *(item.strip() for item in named)} - _ABOUT_THE_REQUEST:
            environ.pop(_environ_key(name), None)
        if is_websocket:
            environ["HTTP_CONNECTION"], environ["HTTP_UPGRADE"] = "Upgrade", "websocket"
        # CGI programs read this as the address of an outgoing proxy (https://httpoxy.org).
        environ.pop("HTTP_PROXY", None)
        seen = environ.get(_LOOP_HEADER)
        environ[_LOOP_HEADER] = f"{seen},{self._id}" if seen else self._id
        peer = environ.get("REMOTE_ADDR", "")
        environ.setdefault("HTTP_X_FORWARDED_FOR", peer)
        environ.setdefault("HTTP_X_REAL_IP", peer)
        token = self._fresh_token(environ, session, rule)
        cookies = [
            (name, value)
            for name, value in _split_cookies(environ.pop("HTTP_COOKIE", ""))
            if not _is_own_cookie(name)
        ]
        if self._format == "jwt":
            environ["HTTP_AUTHORIZATION"] = f"Bearer {token}" if token else "Bearer"
            # A token that MockupApp left in the browser would contradict the fresh one.
            cookies = [item for item in cookies if not self._is_token(*item)]
        else:
            session_cookie = self.gate.settings.cookie_name
            position = [name for name, _ in [*cookies, (session_cookie, "")]].index(session_cookie)
            cookies = [item for item in cookies if item[0] != session_cookie]
            cookies.insert(position, (session_cookie, f'="{token}"'))
            if self._user_of_api(environ) is not None:
                del environ["HTTP_AUTHORIZATION"]
        if cookies:
            environ["HTTP_COOKIE"] = "; ".join(name + value for name, value in cookies)

    def _is_token(self, name: str, value: str) -> bool:
        """Whether a cookie is a token that the application would accept as a session."""
        cookie_name = self.gate.settings.cookie_name
        tokens = cookie_tokens(name + value, cookie_name) if name == cookie_name else []
        return any(isinstance(self.gate.codec.try_loads(token), Session) for token in tokens)

    def _fresh_token(
        self, environ: dict[str, Any], session: Session | None, rule: Rule | None
    ) -> str:
        """Return the token for a request, or "" for a visitor if the format is jwt."""
        content: dict[str, Any] = dict(session or {})
        if session is not None:
            own = content.pop("last_visited", None)
            if environ["REQUEST_METHOD"] != "OPTIONS":
                tags = rule.engaged if rule is not None else ()
                visited = self._visits.visit(session.username or "", tags)
                content = {"last_visited": own or visited, **content}
        elif self._format == "jwt":
            return ""
        if self._format == "jwt":
            # That of the file would not be fresh: dumps() writes the one that the proxy would.
            content.pop("exp", None)
        return self.gate.codec.dumps(content, self._format)

    def _filtered(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the headers of the application's response that the proxy lets through."""

        def sets_cookie_of_proxy(name: str, value: str) -> bool:
            cookie = value.partition("=")[0].strip()
            is_of_proxy = cookie == self.gate.settings.cookie_name or _is_own_cookie(cookie)
            return name.lower() == "set-cookie" and is_of_proxy

        named = [
            item.strip().lower()
            for name, value in headers
            if name.lower() == "connection"
            for item in value.split(",")
        ]
        dropped = HOP_BY_HOP.union(named)
        return [
            (name, value)
            for name, value in headers
            if name.lower() not in dropped and not sets_cookie_of_proxy(name, value)
        ]

    def _access_rules(self) -> Iterable[Rule]:
        return self.sessions.rules

    def _signed_in(self, environ: dict[str, Any]) -> Session | None:
        """Return the session that the sign-in cookie names, or else the session of an API client.

        An API client sends the token that it got from ``/api/auth``.
        """
        own = self._sign_in_cookie(environ)
        for name, value in _split_cookies(environ.get("HTTP_COOKIE", "")):
            if name == own and (signed_in := self._verified(value[1:])) is not None:
                return self.sessions.by_name.get(signed_in)
        return self._user_of_api(environ)

    def _user_of_api(self, environ: dict[str, Any]) -> Session | None:
        token = bearer_token(environ.get("HTTP_AUTHORIZATION", ""))
        if not token:
            return None
        found = self._api_codec.try_loads(token)
        return (
            None if isinstance(found, SessionError) else self.sessions.by_username(found.username)
        )

    def _sign_in_cookie(self, environ: dict[str, Any]) -> str:
        """Return the cookie's name. It contains the port, since all ports share cookies."""
        return f"{_COOKIE_PREFIX}{environ['SERVER_PORT']}"

    def _remember(self, request: Request, response: Response, name: str) -> None:
        set_cookie(request, response, self._sign_in_cookie(request.environ), self._signed(name))

    def _forget(self, request: Request, response: Response) -> None:
        response.delete_cookie(self._sign_in_cookie(request.environ), path="/")

    def _signed(self, name: str) -> str:
        encoded = urlsafe_b64encode(name.encode()).decode().rstrip("=")
        expires_at = int(time.time()) + TOKEN_MAX_AGE
        return f"{encoded}~{expires_at}~{self._signature(encoded, str(expires_at))}"

    def _verified(self, value: str) -> str | None:
        """Return the name in a sign-in cookie that was made with this key and has not expired."""
        match = _SIGNED.fullmatch(value)
        if match is None:
            return None
        encoded, expires_at, signature = match.groups()
        if not hmac.compare_digest(signature, self._signature(encoded, expires_at)):
            return None
        if int(expires_at) <= time.time():
            return None
        try:
            return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None

    def _signature(self, encoded: str, expires_at: str) -> str:
        text = f"{encoded}~{expires_at}".encode("ascii")
        return hmac.digest(self._signing_key, text, "sha256").hex()

    def _report(self, environ: dict[str, Any]) -> Report:
        """Return the report about what the application would receive in place of this request."""
        path = environ.get("PATH_INFO", "")
        prepared = dict(environ)
        self._attach(prepared, self._signed_in(environ), None)
        headers = [
            (name, prepared[_environ_key(name)])
            for name in ("cookie", "authorization")
            if _environ_key(name) in prepared
        ]
        request = RecordedRequest("request", headers, path)
        return Report.of(Case(request, Configuration.of_settings(self.gate.settings)))


class _Visits:
    """When each user first visited each tag. The proxy keeps this in its database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[tuple[str, str], datetime] = {}

    def visit(self, username: str, tags: Iterable[str]) -> str | None:
        """Record a visit, and return the value of last_visited for it.

        That is None on the first visit, and then the date of the first visit in ISO 8601. If only
        some of the tags are known, it is a comma-separated list of these. Without a tag, nothing is
        recorded.
        """
        tags = tuple(tags)
        with self._lock:
            since = {tag: self._since.get((username, tag)) for tag in tags}
            now = datetime.now(UTC)
            for tag in tags:
                self._since.setdefault((username, tag), now)
        known = {tag: date for tag, date in since.items() if date is not None}
        if not known:
            return None
        if len(known) < len(tags):
            return ",".join(known)
        return max(known.values()).isoformat(timespec="microseconds")


def normalize_path(path: str) -> str | None:
    """Return a path as the rules and the application see it, or None if it is not valid.

    ``path`` is PATH_INFO, percent-decoded once, with its bytes as latin-1 (PEP 3333). Dot segments
    are removed (RFC 3986 section 5.2.4) and repeated slashes are merged. A path that contains
    control characters or is not UTF-8 is not valid.
    """
    try:
        text = path.encode("latin-1").decode()
    except UnicodeError:
        return None
    if not text.startswith("/") or re.search("[\x00-\x1f\x7f]", text):
        return None
    segments: list[str] = []
    for segment in text.split("/"):
        if segment == "..":
            if segments:
                segments.pop()
        elif segment not in ("", "."):
            segments.append(segment)
    is_folder = text.endswith(("/", "/.", "/.."))
    return "/" + "/".join(segments) + ("/" if segments and is_folder else "")


def _traps_of_request(environ: dict[str, Any]) -> Iterator[str]:
    """Yield what is in a request that the proxy would not forward."""
    names = [name for name, _ in parse_qsl(environ.get("QUERY_STRING", ""), True)]
    if len(set(names)) < len(names):
        yield "query"
    is_form = environ.get("CONTENT_TYPE", "").lower().startswith("multipart/form-data")
    if is_form and environ["REQUEST_METHOD"] != "POST":
        yield "multipart"


def _traps_of_response(headers: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield what is in a response that would not reach the browser through the proxy."""
    for name, value in headers:
        if name.lower() == "set-cookie" and name != "Set-Cookie":
            yield "cookies"
        if name.lower() == "content-encoding" and value.lower() not in ("gzip", "deflate"):
            yield "encoding"


def _environ_key(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


def _is_websocket(environ: dict[str, Any]) -> bool:
    return bool(environ.get("HTTP_UPGRADE", "").strip().lower() == "websocket")


def _is_own_cookie(name: str) -> bool:
    """Whether the application must neither see nor set a cookie.

    A browser sends the sign-in cookies of the stand-ins at all ports of this machine.
    """
    return name.startswith(_COOKIE_PREFIX) or name == KEY_COOKIE_NAME


def _split_cookies(header: str) -> list[tuple[str, str]]:
    """Return the cookies in a header as pairs: the name, and the rest from the equals sign on."""
    found = []
    for item in header.split(";"):
        name, equals, value = item.partition("=")
        if name.strip():
            found.append((name.strip(), equals + value.strip()))
    return found
