"""The view that answers for the mockup logins."""

from __future__ import annotations

import logging
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils.safestring import mark_safe
from django.views.decorators.csrf import csrf_exempt

from ...errors import ConfigurationError, MockupError
from ...mockup import MockupApp
from ..conf import MOCKUP_NAMES, debug_of_project, get_gate, get_settings, is_test_environment

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ["check_allowed", "mockup", "refusal"]

logger = logging.getLogger("djsession")

_REQUEST_KEY = "djsession.django_request"

_URLENCODED = "application/x-www-form-urlencoded"
_CSP = "Content-Security-Policy"


def check_allowed() -> None:
    """Raise ConfigurationError unless this is a project in development, or asks for it."""
    if not _is_allowed():
        raise ConfigurationError(
            "djsession.django.mockup.urls lets anybody sign in as anybody, and DEBUG is off:"
            ' include them only with DEBUG, or set DJSESSION["MOCKUP_WITHOUT_DEBUG"] = True'
        )


def _is_allowed() -> bool:
    return debug_of_project() or get_settings().mockup_without_debug


def refusal(request: HttpRequest) -> HttpResponse | None:
    """Return the answer to a browser whose request the gate refuses; None: the project's own 403.

    There is one where mockup logins are on and their URLs are included.
    """
    if get_settings().mockup is None or not _is_allowed():
        return None
    try:
        answer = _mockups(_paths("")).refuse(_environ(request))
    except NoReverseMatch:
        return None
    except MockupError as error:
        logger.error("mockup sessions: %s", error)
        return None
    return None if answer is None else _response(answer)


# It checks by itself where a form comes from, and takes no cookie's word for anything.
@csrf_exempt  # type: ignore[untyped-decorator]
def mockup(request: HttpRequest) -> HttpResponse:
    """Answer a request to the login page, the logout or the API of the mockup logins."""
    check_allowed()
    try:
        answer = _mockups(_paths(request.resolver_match.namespace)).respond(_environ(request))
    except MockupError as error:
        # Not Django's page for an exception, which shows the settings that it came by.
        return HttpResponse(f"{error}\n", status=500, content_type="text/plain")
    assert answer is not None  # there is no application behind to leave it to
    return _response(answer)


def _paths(namespace: str) -> tuple[str, ...]:
    prefix = f"{namespace}:" if namespace else ""
    return tuple(reverse(prefix + name) for name in MOCKUP_NAMES)


def _response(answer: Any) -> HttpResponse:
    """Return Django's response for WebOb's."""
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
        users = list(context["sessions"].items())
        html: str = render_to_string(
            "djsession/login.html",
            {**context, "users": users, "page": mark_safe(page)},  # noqa: S308
            environ[_REQUEST_KEY],
        )
        # The policy is made for that one page.
        environ[_CSP] = html.strip() == page.strip()
        return html

    def respond(self, environ: dict[str, Any]) -> Any:
        response = super().respond(environ)
        if response is not None and not environ.get(_CSP, True):
            del response.headers[_CSP]
        return response


@lru_cache(maxsize=16)
def _mockups(paths: tuple[str, ...]) -> _Mockups:
    settings = get_settings()
    if settings.mockup is None:
        raise ConfigurationError(
            'there are no mockup sessions: set DJSESSION["MOCKUP"] to a YAML file or a dict'
        )
    hosts = [*settings.mockup_hosts]
    if is_test_environment():
        hosts.append("testserver")  # the test client's
    login_path, logout_path, api_path, inspector_path = paths
    return _Mockups(
        None,
        settings.mockup,
        **get_gate().settings.gate_options(),
        login_path=login_path,
        logout_path=logout_path,
        api_path=api_path,
        inspector_path=inspector_path,
        hosts=hosts,
    )


def _forget(**kwargs: Any) -> None:
    _mockups.cache_clear()


setting_changed.connect(_forget, dispatch_uid="djsession.mockup")


def _environ(request: HttpRequest) -> dict[str, Any]:
    """Return a WSGI environ for a request that may have come by ASGI, its body read already."""
    if request.content_type == "multipart/form-data":
        # What the test client makes of a form.
        body, content_type = request.POST.urlencode().encode(), _URLENCODED
    else:
        body, content_type = request.body, request.META.get("CONTENT_TYPE", "")
    return {
        # The test client sends no Host.
        "HTTP_HOST": request.META["SERVER_NAME"],
        **request.META,
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        "wsgi.url_scheme": request.scheme,
        _REQUEST_KEY: request,
    }
