"""The tween that is the gate, and the tween that serves the mockup logins."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from pyramid.httpexceptions import HTTPForbidden
from pyramid.registry import Registry
from pyramid.request import Request
from pyramid.response import Response

from ..errors import AccessDenied
from ..gate import Gate
from ..wsgi import check_request, forbidden
from .request import open_request, refuse
from .settings import state_of

__all__ = ["mockup_tween_factory", "tween_factory"]

logger = logging.getLogger("djsession")

Handler = Callable[[Request], Any]


def tween_factory(handler: Handler, registry: Registry) -> Handler:
    """A tween that passes requests on, or raises HTTPForbidden, which the forbidden view renders.

    It is below the exception view tween and above everything that it protects: routing, static
    views and unknown paths. An explicit ``pyramid.tweens`` setting must contain it, below
    ``pyramid.tweens.excview_tween_factory``. Otherwise the application does not start.
    """
    gate = state_of(registry).gate

    def tween(request: Request) -> Any:
        if open_request(gate, request) is None:
            _check(gate, request)
        return handler(request)

    return tween


def _check(gate: Gate, request: Request) -> None:
    """Raise HTTPForbidden unless a request without a session passes."""
    environ = request.environ
    try:
        # Pyramid prepends the header X-Vhm-Root, which a client can set, to the path that it
        # traverses.
        check_request(gate, environ, may_be_open="HTTP_X_VHM_ROOT" not in environ)
    except AccessDenied:
        refuse(request)
        raise HTTPForbidden from None


def mockup_tween_factory(handler: Handler, registry: Registry) -> Handler:
    """A tween that serves the mockup logins if ``djsession.mockup`` names a file.

    This also requires one of Pyramid's own development settings, such as
    ``pyramid.reload_templates``, or ``djsession.mockup_without_debug``.
    """
    application = state_of(registry)
    settings = application.settings
    if settings.mockup is None:
        return handler
    if not (application.is_development or settings.mockup_without_debug):
        logger.warning(
            "djsession.mockup is set, but the mockup logins are off because no development setting"
            " is on: set pyramid.reload_templates = true, or djsession.mockup_without_debug = true"
        )
        return handler
    from ..mockup import MockupApp

    mockups = MockupApp(
        forbidden,
        settings.mockup,
        hosts=settings.mockup_hosts,
        allow_remote=settings.mockup_allow_remote,
        **settings.gate_options(),
    )

    def tween(request: Request) -> Any:
        answer = mockups.respond(request.environ)
        if answer is None:
            record = mockups.recorder(request.environ)
            response = handler(request)
            record(response.status_int)
            return response
        return Response(
            answer.body, answer.status, list(answer.headerlist), content_type=answer.content_type
        )

    return tween
