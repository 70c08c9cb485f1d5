"""The tween that opens the gate, and the one that answers with the mockup logins."""

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
from .settings import installed

__all__ = ["mockup_tween_factory", "tween_factory"]

logger = logging.getLogger("djsession")

Handler = Callable[[Request], Any]


def tween_factory(handler: Handler, registry: Registry) -> Handler:
    """A tween that opens the gate, or raises HTTPForbidden for the forbidden view to render.

    It is under the exception view tween and over everything that it guards: routing, static
    views, unknown paths. Where ``pyramid.tweens`` is explicit it has to be in the list, under
    ``pyramid.tweens.excview_tween_factory``; an application without it does not start.
    """
    gate = installed(registry).gate

    def tween(request: Request) -> Any:
        if open_request(gate, request) is None:
            _check(gate, request)
        return handler(request)

    return tween


def _check(gate: Gate, request: Request) -> None:
    """Raise HTTPForbidden unless a request without a session passes."""
    environ = request.environ
    try:
        # Pyramid puts the header X-Vhm-Root, which a client can set, in front of the path that it
        # traverses.
        check_request(gate, environ, may_be_open="HTTP_X_VHM_ROOT" not in environ)
    except AccessDenied:
        refuse(request)
        raise HTTPForbidden from None


def mockup_tween_factory(handler: Handler, registry: Registry) -> Handler:
    """A tween that answers with the mockup logins where ``djsession.mockup`` names a file.

    It does so where one of Pyramid's own development settings is on, such as
    ``pyramid.reload_templates``, or ``djsession.mockup_without_debug``.
    """
    application = installed(registry)
    settings = application.settings
    if settings.mockup is None:
        return handler
    if not (application.is_development or settings.mockup_without_debug):
        logger.warning(
            "the mockup logins of djsession.mockup are off, because no development setting is on:"
            " set pyramid.reload_templates = true, or djsession.mockup_without_debug = true"
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
