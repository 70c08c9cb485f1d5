"""The roles and plans that a view can require, and a session's principals for ACLs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .errors import ConfigurationError
from .session import Session

__all__ = ["Requirement", "plan_requirement", "principals_of", "role_requirement"]

#: Takes a session and a view's arguments by name; returns why they do not meet the requirement, as
#: one clause for the log, or ``""`` if they meet it.
Requirement = Callable[[Session, Mapping[str, Any]], str]

# As in pyramid.authorization.
_EVERYONE = "system.Everyone"
_AUTHENTICATED = "system.Authenticated"


def role_requirement(roles: tuple[str, ...], account: str | None) -> Requirement:
    """Require one of ``roles`` in the organization that the view's argument ``account`` names.

    Without ``account``, a role in any organization will do. Raises ConfigurationError when no role
    is given. The requirement raises it when the view does not have that argument.
    """
    if not roles or not all(role and isinstance(role, str) for role in roles):
        raise ConfigurationError(
            'role_required takes the names of roles, as in role_required("manager")'
        )

    def is_met(session: Session, arguments: Mapping[str, Any]) -> bool:
        if account is None:
            return bool(session.accessibles(roles))
        if account not in arguments:
            raise ConfigurationError(f"role_required: the view has no argument {account!r}")
        return session.has_role(arguments[account], roles)

    need = f"the view requires the role {' or '.join(roles)} in {_place(account)}"
    return _requirement(is_met, need)


def plan_requirement(plans: tuple[str, ...], account: str | None = None) -> Requirement:
    """Require an active subscription to one of ``plans``.

    Only the subscriptions of the organization that the view's argument ``account`` names count, or
    without ``account`` those of any organization of the user. Raises ConfigurationError when no
    plan is given. The requirement raises it when the view does not have that argument.
    """
    if not plans or not all(plan and isinstance(plan, str) for plan in plans):
        raise ConfigurationError(
            'plan_required takes the slugs of plans, as in plan_required("basic")'
        )

    def is_met(session: Session, arguments: Mapping[str, Any]) -> bool:
        if account is None:
            return not set(plans).isdisjoint(session.accessible_plans())
        if account not in arguments:
            raise ConfigurationError(f"plan_required: the view has no argument {account!r}")
        organization = arguments[account]
        return organization is not None and not set(plans).isdisjoint(
            session.accessible_plans(account=organization)
        )

    need = f"the view requires the plan {' or '.join(plans)} for {_place(account)}"
    return _requirement(is_met, need)


def _place(account: str | None) -> str:
    return "any organization" if account is None else f"the organization of its argument {account}"


def _requirement(is_met: Callable[[Session, Mapping[str, Any]], bool], need: str) -> Requirement:
    def refusal(session: Session, arguments: Mapping[str, Any]) -> str:
        if is_met(session, arguments):
            return ""
        but = "the user does not have it" if session.is_authenticated else "nobody is signed in"
        return f"{need}, but {but}"

    return refusal


def principals_of(session: Session) -> list[str]:
    """Return the principals of a session, for ACLs.

    Every session has ``system.Everyone``. A signed-in user also has ``system.Authenticated``, the
    username, a ``role:manager`` for each role, a ``manager:cowork`` for each role in an
    organization, and a ``plan:basic`` for each active plan. Names that could be mistaken for
    another principal are left out, since users choose some of the names.
    """
    principals = [_EVERYONE]
    if not session.is_authenticated:
        return principals
    principals.append(_AUTHENTICATED)
    username = session.username or ""
    if ":" not in username and not username.startswith("system."):
        principals.append(username)
    for role, organizations in session.roles.items():
        if ":" in role or not organizations:
            continue
        principals.append(f"role:{role}")
        if role not in ("role", "plan"):
            principals += [f"{role}:{organization.slug}" for organization in organizations]
    principals += [f"plan:{plan}" for plan in session.accessible_plans()]
    return principals
