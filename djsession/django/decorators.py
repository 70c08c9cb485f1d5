"""Decorators for function views: what the user's roles and plans have to be."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast

from django.core.exceptions import PermissionDenied

from ..requirements import Requirement, plan_requirement, role_requirement
from .backends.base import SessionStore
from .requests import session_of

__all__ = ["plan_required", "role_required"]

View = TypeVar("View", bound=Callable[..., Any])


def role_required(*roles: str, account: str | None = None) -> Callable[[View], View]:
    """Decorate a view to raise PermissionDenied unless the user has one of ``roles``.

    ``account`` names the argument of the view that is the slug of the organization to have the
    role for; without it any organization will do. A user who is not active in the database does
    not pass. Views may be asynchronous; for a class-based one use ``method_decorator``.
    """
    return _required(role_requirement(roles, account))


def plan_required(*plans: str) -> Callable[[View], View]:
    """Decorate a view to raise PermissionDenied unless the user is subscribed to one of ``plans``.

    An active subscription of any organization of the user counts.
    """
    return _required(plan_requirement(plans))


def _required(is_met: Requirement) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        def check(request: Any, arguments: dict[str, Any]) -> None:
            is_inactive = getattr(request, "djsession_user_is_inactive", False)
            if is_inactive or not is_met(session_of(request), arguments):
                raise PermissionDenied

        # Asking for the user shows whether the database has made it inactive.
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
