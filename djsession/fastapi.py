"""Dependencies for FastAPI: the session of a request, and the roles or plans that a view requires.

::

    from djsession.asgi import SessionMiddleware
    from djsession.fastapi import CurrentSession, plan_required, role_required

    app = FastAPI()
    app.add_middleware(SessionMiddleware)

    @app.get("/manage/{slug}", dependencies=[Depends(role_required("manager", account="slug"))])
    async def manage(slug: str, session: CurrentSession):
        return {"username": session.username}

They also work in WebSocket endpoints. In the OpenAPI document, an operation that uses them requires
the session cookie or a bearer token.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, HTTPException, Security, WebSocketException
from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.openapi.models import SecurityBase as Model
from fastapi.requests import HTTPConnection
from fastapi.security.base import SecurityBase

from .asgi import open_path
from .errors import ConfigurationError
from .gate import log_request
from .requirements import Requirement, plan_requirement, role_requirement
from .session import Session
from .settings import Settings
from .wsgi import SESSION_KEY

__all__ = ["CurrentSession", "current_session", "plan_required", "role_required"]


class _DocumentedScheme(SecurityBase):
    """A security scheme that only appears in the OpenAPI document.

    The middleware reads the token. FastAPI's own schemes would read it again, and they do not
    support WebSockets.
    """

    def __init__(self, scheme_name: str, model: Model) -> None:
        self.scheme_name, self.model = scheme_name, model

    async def __call__(self) -> None:
        """Do nothing."""


_COOKIE = _DocumentedScheme(
    "sessionCookie",
    APIKey.model_validate(
        {
            "in": APIKeyIn.cookie,
            "name": Settings.cookie_name,
            "description": "The session cookie. The setting cookie_name changes its name.",
        }
    ),
)
_BEARER = _DocumentedScheme(
    "sessionBearer", HTTPBearer(bearerFormat="JWT", description="The session as a jwt.")
)


async def current_session(
    connection: HTTPConnection,
    _cookie: Annotated[None, Security(_COOKIE)],
    _bearer: Annotated[None, Security(_BEARER)],
) -> Session:
    """Return the Session of a request or a WebSocket. It is empty if nobody is signed in.

    Raises ConfigurationError when the middleware is not installed.
    """
    session = connection.scope.get(SESSION_KEY)
    if not isinstance(session, Session):
        raise ConfigurationError(
            "djsession.asgi.SessionMiddleware is not installed, so the request does not have a"
            " session: call app.add_middleware(SessionMiddleware)"
        )
    return session


#: Annotate a parameter with this type to receive the Session of the request.
CurrentSession = Annotated[Session, Depends(current_session)]

#: A dependency to pass to ``Depends``. It returns the Session.
Dependency = Callable[[HTTPConnection, CurrentSession], Awaitable[Session]]


def role_required(*roles: str, account: str | None = None) -> Dependency:
    """Return a dependency that answers 403 unless the user has one of ``roles``.

    ``account`` names the path parameter that holds the slug of the organization in which the role
    is required. Without it, a role in any organization will do. A WebSocket is refused before it is
    accepted.
    """
    return _required(role_requirement(roles, account))


def plan_required(*plans: str) -> Dependency:
    """Return a dependency that answers 403 unless the user has a subscription to one of ``plans``.

    An active subscription of any organization of the user counts. A WebSocket is refused before it
    is accepted.
    """
    return _required(plan_requirement(plans))


def _required(requirement: Requirement) -> Dependency:
    async def check(connection: HTTPConnection, session: CurrentSession) -> Session:
        cause = requirement(session, connection.path_params)
        if not cause:
            return session
        scope = connection.scope
        path = open_path(scope) or scope["path"]
        log_request(logging.INFO, scope.get("method", "GET"), path, "refused", [cause])
        if scope["type"] == "websocket":
            raise WebSocketException(code=1008)
        raise HTTPException(status_code=403)

    return check
