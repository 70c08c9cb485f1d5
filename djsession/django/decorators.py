"""Decorators for function views, which require a role or a plan."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from django.core.exceptions import PermissionDenied

from ..gate import log_request
from ..requirements import Requirement, plan_requirement, role_requirement
from .backends.base import SessionStore
from .requests import session_of

__all__ = ["plan_required", "role_required"]

View = TypeVar("View", bound=Callable[..., Any])


def role_required(*roles: str, account: str | None = None) -> Callable[[View], View]:
    """Decorate a view to raise PermissionDenied unless the user has one of ``roles``.

    ``account`` names the view's argument that holds the slug of the organization in which the role
    is required. Without it, a role in any organization will do. A user who is inactive in the
    database does not pass. The view may be asynchronous. For a class-based view, use
    ``method_decorator``.
    """
    return _required(role_requirement(roles, account))


def plan_required(*plans: str) -> Callable[[View], View]:
    """Decorate a view to raise PermissionDenied unless the user is subscribed to one of ``plans``.

    An active subscription of any organization of the user counts.
    """
    return _required(plan_requirement(plans))


def _required(requirement: Requirement) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        def check(request: Any, arguments: dict[str, Any]) -> None:
            if getattr(request, "djsession_user_is_inactive", False):
                cause = "the user is inactive in the database"
            else:
                cause = requirement(session_of(request), arguments)
            if cause:
                method = request.method or ""
                log_request(logging.INFO, method, request.path_info, "refused", [cause])
                raise PermissionDenied

        # Loading the user first sets request.djsession_user_is_inactive if appropriate.
        if iscoroutinefunction(view):

            @wraps(view)
            async def awrapper(request: Any, *args: Any, **kwargs: Any) -> Any:
                session = getattr(request, "session", None)
                if isinstance(session, SessionStore):
                    await session.aget_user()
                check(request, kwargs)
                return await view(request, *args, **kwargs)

            return cast(View, awrapper)

        @wraps(view)
        def wrapper(request: Any, *args: Any, **kwargs: Any) -> Any:
            session = getattr(request, "session", None)
            if isinstance(session, SessionStore):
                session.get_user()
            check(request, kwargs)
            return view(request, *args, **kwargs)

        return cast(View, wrapper)

    return decorate
