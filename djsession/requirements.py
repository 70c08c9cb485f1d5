"""What a view may require of a session, for the decorators of the frameworks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .errors import ConfigurationError
from .session import Session

__all__ = ["Requirement", "plan_requirement", "role_requirement"]

#: Whether a session, and the arguments of a view by name, are what the view requires.
Requirement = Callable[[Session, Mapping[str, Any]], bool]


def role_requirement(roles: tuple[str, ...], account: str | None) -> Requirement:
    """Require one of ``roles``: for the organization in the argument ``account``, or for any.

    Raises ConfigurationError when there is no role to require, or the view has no such argument.
    """
    if not roles or not all(isinstance(role, str) for role in roles):
        raise ConfigurationError('role_required takes names of roles: role_required("manager")')

    def is_met(session: Session, arguments: Mapping[str, Any]) -> bool:
        if account is None:
            return bool(session.accessibles(roles))
        if account not in arguments:
            raise ConfigurationError(f"role_required: the view has no argument {account!r}")
        return session.has_role(arguments[account], roles)

    return is_met


def plan_requirement(plans: tuple[str, ...]) -> Requirement:
    """Require an active subscription to one of ``plans``. Raises ConfigurationError for none."""
    if not plans or not all(isinstance(plan, str) for plan in plans):
        raise ConfigurationError('plan_required takes slugs of plans: plan_required("basic")')
    return lambda session, _: any(session.subscribed_to(plan) for plan in plans)
