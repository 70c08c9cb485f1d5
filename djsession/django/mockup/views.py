"""The views of the mockup logins."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, wraps
from io import BytesIO
from typing import TYPE_CHECKING, Any

import webob
from django.conf import settings as django_settings
from django.core.handlers.asgi import ASGIRequest
from django.core.signals import setting_changed
from django.http import Http404, HttpResponse
from django.shortcuts import resolve_url
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.urls import NoReverseMatch, reverse
from django.utils.encoding import iri_to_uri
from django.utils.safestring import mark_safe
from django.utils.translation import override
from django.views.decorators.csrf import csrf_exempt

from ...errors import ConfigurationError, MockupError
from ...mockup import MockupApp
from ...mockup.recent import Verdict
from ..conf import (
    MOCKUP_NAMES,
    at_script_prefix,
    get_gate,
    get_settings,
    is_test_environment,
)

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ["mockup", "prepare", "profile", "record", "refusal", "timer", "user"]

logger = logging.getLogger("djsession")

_REQUEST_KEY = "djsession.django_request"

_URLENCODED = "application/x-www-form-urlencoded"
_CSP = "Content-Security-Policy"

# The test client's server name. The test client does not send it as a Host header.
_TEST_HOST = "testserver"


def prepare() -> None:
    """Read the mockup sessions at start-up, and print the login URL if there is a login key.

    Does nothing unless mockup logins are configured and allowed. A mistake in the sessions is only
    logged, since it does not affect users whom the proxy signs in.
    """
    settings = get_settings()
    if settings.mockup is None or not settings.allows_mockups:
        return
    try:
        _mockups("")
    except NoReverseMatch:  # their URLs are not included, or are in a namespace
        pass
    except MockupError as error:
        logger.error("mockup sessions: %s", error)


def refusal(request: HttpRequest) -> HttpResponse | None:
    """Return the response to a browser whose request the gate refused, or None for other clients.

    None means that the project's own 403 is used. It is also the result if mockup logins are not
    configured, or their URLs are not included.
    """
    settings = get_settings()
    if settings.mockup is None or not settings.allows_mockups:
        return None
    try:
        answer = _mockups("").refuse(_environ(request))
    except NoReverseMatch:
        return None
    except MockupError as error:
        logger.error("mockup sessions: %s", error)
        return None
    return None if answer is None else _response(answer)


def record(request: HttpRequest, response: HttpResponse, *, is_refused: bool) -> None:
    """Record a request for the inspector, unless it was for one of the mockup pages."""
    settings, match = get_settings(), request.resolver_match
    if settings.mockup is None or not settings.allows_mockups:
        return
    if match is not None and getattr(match.func, "__module__", "") == __name__:
        return
    try:
        recent = _mockups("").recent
    except (NoReverseMatch, MockupError):
        return
    verdict: Verdict = "passed"
    if is_refused:
        verdict = "sign in" if response.status_code == 303 else "refused"
    recent.add(
        request.method or "",
        request.path_info,
        response.status_code,
        verdict,
        user=request.djsession.username,
    )


def _only_where_allowed(view: Callable[..., Any]) -> Callable[..., HttpResponse]:
    """Decorate a view that returns a response from MockupApp. If DEBUG is off, answer 404."""

    @wraps(view)
    def answer(request: HttpRequest, **arguments: str) -> HttpResponse:
        if not get_settings().allows_mockups:
            raise Http404
        try:
            mockups = _mockups(request.resolver_match.namespace)
        except MockupError as error:
            # Django's debug page would show the settings.
            return HttpResponse(f"{error}\n", status=500, content_type="text/plain")
        return _response(view(mockups, _environ(request), **arguments))

    # MockupApp itself checks the origin of a form.
    exempt: Callable[..., HttpResponse] = csrf_exempt(answer)
    return exempt


@_only_where_allowed
def mockup(mockups: MockupApp, environ: dict[str, Any]) -> Any:
    """Answer a request to the login page, the logout, the API or the inspector."""
    # MockupApp answers every request if it does not wrap an application.
    return mockups.respond(environ)


@_only_where_allowed
def profile(mockups: MockupApp, environ: dict[str, Any], profile: str) -> Any:
    """Answer a request for an organization of the mockup sessions, in JSON."""
    return mockups.respond_profile(environ, profile)


@_only_where_allowed
def user(mockups: MockupApp, environ: dict[str, Any], user: str) -> Any:
    """Answer a request for a user of the mockup sessions, in JSON."""
    return mockups.respond_user(environ, user)


@_only_where_allowed
def timer(mockups: MockupApp, environ: dict[str, Any]) -> Any:
    """Accept and discard what a page reports about its loading time in the browser."""
    return webob.Response(status=204, content_type=None)


def _response(answer: Any) -> HttpResponse:
    """Convert a WebOb response to a Django response."""
    response = HttpResponse(answer.body, status=answer.status_code)
    for name in list(response.headers):
        del response.headers[name]
    for name, value in answer.headerlist:
        if name == "Set-Cookie":
            response.cookies.load(value)
        elif name != "Content-Length":
            response.headers[name] = value
    return response


class _Mockups(MockupApp):
    def login_page(self, environ: dict[str, Any], **context: Any) -> str:
        """Render the template ``djsession/login.html``, which a project can override."""
        page = super().login_page(environ, **context)
        try:
            template = get_template("djsession/login.html")
        except TemplateDoesNotExist:  # the project's engines do not search this package
            return page
        users = list(context["sessions"].items())
        html: str = template.render(
            {**context, "users": users, "page": mark_safe(page)},  # noqa: S308
            environ[_REQUEST_KEY],
        )
        # The Content-Security-Policy fits only the default page.
        environ[_CSP] = html.strip() == page.strip()
        return html

    def home_url(self, environ: dict[str, Any]) -> str:
        """Return LOGIN_REDIRECT_URL if it is set, since its default page rarely exists."""
        if not django_settings.is_overridden("LOGIN_REDIRECT_URL"):
            return super().home_url(environ)
        url: str = iri_to_uri(resolve_url(django_settings.LOGIN_REDIRECT_URL))
        return url

    def respond(self, environ: dict[str, Any]) -> Any:
        response = super().respond(environ)
        if response is not None and not environ.get(_CSP, True):
            del response.headers[_CSP]
        return response


@cache
def _mockups(namespace: str) -> _Mockups:
    """Return the mockup logins whose URLs are included under a namespace.

    Paths are relative to the application, so the number of cached objects does not depend on what
    clients send. Raises NoReverseMatch if the URLs are not included, and MockupError for a mistake
    in the mockup sessions.
    """
    settings = get_settings()
    if settings.mockup is None:
        raise ConfigurationError(
            'no mockup sessions are configured: set DJSESSION["MOCKUP"] to a YAML file or a dict'
        )
    prefix = f"{namespace}:" if namespace else ""
    with at_script_prefix("/"), override(django_settings.LANGUAGE_CODE):
        paths = [reverse(prefix + name) for name in MOCKUP_NAMES]
    login_path, logout_path, api_path, inspector_path = paths
    hosts = [*settings.mockup_hosts]
    if is_test_environment():
        hosts.append(_TEST_HOST)
    return _Mockups(
        None,
        settings.mockup,
        **get_gate().settings.gate_options(),
        login_path=login_path,
        logout_path=logout_path,
        api_path=api_path,
        inspector_path=inspector_path,
        hosts=hosts,
        allow_remote=settings.mockup_allow_remote,
    )


def _clear_cache(**kwargs: Any) -> None:
    _mockups.cache_clear()


setting_changed.connect(_clear_cache, dispatch_uid="djsession.mockup")


def _environ(request: HttpRequest) -> dict[str, Any]:
    """Return a WSGI environ for a request, whether it came through WSGI or ASGI."""
    if request.content_type == "multipart/form-data":
        # The test client sends forms with this content type.
        body, content_type = request.POST.urlencode().encode(), _URLENCODED
    else:
        body, content_type = request.body, request.META.get("CONTENT_TYPE", "")
    environ = {
        **request.META,
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": _native(request.path.removesuffix(request.path_info).rstrip("/")),
        "PATH_INFO": _native(request.path_info),
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        "wsgi.url_scheme": request.scheme,
        _REQUEST_KEY: request,
    }
    if isinstance(request, ASGIRequest):
        environ["SERVER_PROTOCOL"] = f"HTTP/{request.scope.get('http_version', '')}"
    if is_test_environment():
        environ.setdefault("HTTP_HOST", _TEST_HOST)
    return environ


def _native(path: str) -> str:
    """Return a path as a native string (PEP 3333): its UTF-8 bytes decoded as latin-1."""
    return path.encode("utf-8", "replace").decode("latin-1")
