"""The principals of a session: what the ACLs of Pyramid name."""

from __future__ import annotations

from .session import Session

__all__ = ["principals_of"]

# As in pyramid.authorization.
_EVERYONE = "system.Everyone"
_AUTHENTICATED = "system.Authenticated"


def principals_of(session: Session) -> list[str]:
    """Return the principals of a session, for ACLs.

    ``system.Everyone``, and for a signed-in user ``system.Authenticated``, the username,
    ``role:manager`` for each role, ``manager:cowork`` for each role and organization, and
    ``plan:basic`` for each active plan. A name that could be taken for another principal is left
    out: users choose some of them.
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
