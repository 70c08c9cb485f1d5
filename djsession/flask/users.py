"""The user and the Session of a request, and the decorators that require a role or a plan."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from flask import abort, current_app, g, request
from werkzeug.local import LocalProxy

from ..gate import log_request
from ..requirements import Requirement, plan_requirement, role_requirement
from ..session import Session
from ..wsgi import SESSION_KEY

__all__ = [
    "EXTENSION",
    "User",
    "current_session",
    "current_user",
    "plan_required",
    "role_required",
    "session_of_request",
    "template_context",
    "user_of_request",
]

#: The name of the extension in ``app.extensions``.
EXTENSION = "djsession"

P = ParamSpec("P")
R = TypeVar("R")


class User:
    """The user of a session, with the attributes that Flask-Login expects."""

    def __init__(self, session: Session) -> None:
        #: The whole session.
        self.session = session

    @property
    def username(self) -> str | None:
        """The username, or None if nobody is signed in."""
        return self.session.username

    @property
    def is_authenticated(self) -> bool:
        """Whether somebody is signed in."""
        return self.session.is_authenticated

    @property
    def is_active(self) -> bool:
        """The same as ``is_authenticated``, since the proxy does not sign in inactive users."""
        return self.session.is_authenticated

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody is signed in."""
        return not self.session.is_authenticated

    def get_id(self) -> str | None:
        """Return the username."""
        return self.session.username

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, User):
            return NotImplemented
        return self.session.username == other.session.username

    def __hash__(self) -> int:
        return hash(self.session.username)


def session_of_request() -> Session:
    """Return the Session of the request. Raises RuntimeError if DjSession is not installed."""
    if EXTENSION not in current_app.extensions:
        raise RuntimeError("DjSession is not installed on this application")
    session: Session = request.environ[SESSION_KEY]
    return session


def user_of_request() -> User:
    """Return the User of the request, which is the same object throughout the request."""
    session = session_of_request()
    user: User | None = g.get("_djsession_user")
    if user is None or user.session is not session:
        user = g._djsession_user = User(session)
    return user


#: The Session of the request. It is empty if nobody is signed in.
current_session: Session = cast(Session, LocalProxy(session_of_request))

#: The User of the request.
current_user: User = cast(User, LocalProxy(user_of_request))


def role_required(
    *roles: str, account: str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a view to answer 403 unless the user has one of ``roles``.

    ``account`` names the view's argument that holds the slug of the organization in which the role
    is required. Without it, a role in any organization will do.
    """
    return _required(role_requirement(roles, account))


def plan_required(*plans: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a view to answer 403 unless the user has a subscription to one of ``plans``.

    An active subscription of any organization of the user counts.
    """
    return _required(plan_requirement(plans))


def _required(requirement: Requirement) -> Callable[[Callable[P, R]], Callable[P, R]]:
    def decorate(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            cause = requirement(session_of_request(), kwargs)
            if cause:
                log_request(logging.INFO, request.method, request.path, "refused", [cause])
                abort(403)
            return cast(R, current_app.ensure_sync(view)(*args, **kwargs))

        return wrapper

    return decorate


def template_context() -> dict[str, Any]:
    """Return the variables for templates: ``current_session`` and ``current_user``."""
    return {"current_session": current_session, "current_user": current_user}
