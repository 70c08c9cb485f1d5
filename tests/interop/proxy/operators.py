"""What rules may ask for, beside anyone and an authenticated user."""

from datetime import UTC, datetime
from typing import Any

from .sessions import Serializer


def fail_granted(
    request: Any,
    profile: str | None = None,
    organization: str | None = None,
    roles: list[str] | None = None,
    plans: list[str] | None = None,
) -> str | bool:
    """Granted by roles and plans. The proxy shows this line to people."""
    session = Serializer(request).data
    slug = profile or organization
    if roles and not any(
        account["slug"] == slug
        for role in roles
        for account in session.get("roles", {}).get(role, [])
    ):
        return "/denied/"
    if plans and plans_of(session, slug).isdisjoint(plans):
        return "/denied/"
    return False


def plans_of(session: Any, slug: str | None) -> set[str]:
    """Return the plans that an organization, or any, is subscribed to at the moment."""
    return {
        subscription["plan"]
        for accounts in session.get("roles", {}).values()
        for account in accounts
        if slug in (None, account["slug"])
        for subscription in account.get("subscriptions", [])
        if subscription["ends_at"] is None
        or datetime.fromisoformat(subscription["ends_at"]) > datetime.now(UTC)
    }
