"""Session, Organization and Subscription: typed access to the session's JSON.

Each class is a dict that holds the JSON as received, with properties that read it. A value that is
missing or has an unexpected type never raises: it counts as absent, and grants nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

__all__ = ["Organization", "Session", "Subscription", "parse_datetime", "username_of"]

MANAGER = "manager"


def parse_datetime(value: object) -> datetime | None:
    """Return the aware datetime for an ISO 8601 string or a datetime, or None for anything else.

    A date without a time means midnight. A time without an offset is UTC.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.upper())
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


class _Document(dict[str, Any]):
    """A JSON object. Its repr shows only the keys, since the values are personal or even secret."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(map(str, self)) or 'empty'}>"

    # Without this, Sentry's client reports each item of a mapping.
    __sentry_repr__ = __repr__

    def _text(self, key: str) -> str | None:
        value = self.get(key)
        return value if isinstance(value, str) and value.strip() else None

    def _documents(self, key: str) -> Iterator[dict[str, Any]]:
        value = self.get(key)
        items = value if isinstance(value, (list, tuple)) else ()
        return (item for item in items if isinstance(item, dict))


class Subscription(_Document):
    """An organization's subscription to a plan."""

    __slots__ = ()

    @property
    def plan(self) -> str | None:
        """The slug of the plan."""
        return self._text("plan")

    @property
    def ends_at(self) -> datetime | None:
        """When the subscription ends, aware; None if the date is absent or unreadable."""
        return parse_datetime(self.get("ends_at"))

    def is_active(self, at_time: datetime | None = None) -> bool:
        """Whether the subscription has not ended yet at ``at_time`` (default: now; naive: UTC).

        A subscription whose ``ends_at`` is absent or null never ends. A subscription whose
        ``ends_at`` is not a date is not active.
        """
        if self.get("ends_at") is None:
            return True
        ends_at = self.ends_at
        return ends_at is not None and _aware_time(at_time) < ends_at


class Organization(_Document):
    """An organization, also called account or profile, in which a user has a role.

    ``str(organization)`` is its slug.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return self.slug or ""

    @property
    def slug(self) -> str | None:
        """The identifier of the organization, unique on the site."""
        return self._text("slug")

    @property
    def printable_name(self) -> str | None:
        """The name to display."""
        return self._text("printable_name")

    @property
    def email(self) -> str | None:
        """The organization's contact e-mail address."""
        return self._text("email")

    @property
    def created_at(self) -> datetime | None:
        """When the organization was created, aware."""
        return parse_datetime(self.get("created_at"))

    @property
    def subscriptions(self) -> list[Subscription]:
        """All subscriptions, active or ended, in the order in which the proxy sent them."""
        return [Subscription(item) for item in self._documents("subscriptions")]


def username_of(session: dict[str, Any]) -> str | None:
    """Return ``session.username``. A function is faster than a property."""
    value = session.get("username")
    return value if isinstance(value, str) and value.strip() else None


class Session(_Document):
    """The decoded session of a request: a dict with the JSON as the proxy sent it.

    It is empty when nobody is signed in at the proxy, or when a request without a session passes.
    """

    __slots__ = ()

    @property
    def username(self) -> str | None:
        """The unique name of the signed-in user, or None."""
        return username_of(self)

    @property
    def is_authenticated(self) -> bool:
        """Whether somebody is signed in."""
        return self.username is not None

    @property
    def roles(self) -> dict[str, list[Organization]]:
        """The organizations by role ("manager", "contributor", ...), in the order received.

        Organizations without a slug are left out.
        """
        value = self.get("roles")
        if not isinstance(value, dict):
            return {}
        return {
            role: [
                organization
                for item in items
                if isinstance(item, dict) and (organization := Organization(item)).slug
            ]
            for role, items in value.items()
            if isinstance(items, (list, tuple))
        }

    @property
    def site(self) -> Organization:
        """The site that the request was sent to. It often has no slug, and is empty if not sent."""
        value = self.get("site")
        return Organization(value if isinstance(value, dict) else {})

    @property
    def last_visited(self) -> datetime | None:
        """When the user last triggered the same rule, aware; None on the first visit.

        For a rule with several engagement tags the proxy sends a list of tags instead. This is then
        None, and ``session["last_visited"]`` has the tags.
        """
        return parse_datetime(self.get("last_visited"))

    def get_accessibles(self, roles: str | Iterable[str] | None = None) -> list[Organization]:
        """Return the organizations in which the user has one of ``roles``; None means any role.

        ``roles`` is one role or several roles. An empty list matches no organization. Each
        organization appears once, in the order received.
        """
        wanted = None if roles is None else {roles} if isinstance(roles, str) else set(roles)
        found: dict[str | None, Organization] = {}
        for role, organizations in self.roles.items():
            if wanted is None or role in wanted:
                for organization in organizations:
                    found.setdefault(organization.slug, organization)
        return list(found.values())

    def accessibles(self, roles: str | Iterable[str] | None = None) -> list[str]:
        """Return the slugs of the organizations that :meth:`get_accessibles` returns."""
        return [organization["slug"] for organization in self.get_accessibles(roles)]

    def get_managed(self) -> list[Organization]:
        """Return the organizations that the user manages."""
        return self.get_accessibles(MANAGER)

    @property
    def managed_accounts(self) -> list[str]:
        """The slugs of the organizations that the user manages."""
        return self.accessibles(MANAGER)

    def has_role(self, account: object, roles: str | Iterable[str]) -> bool:
        """Whether the user has one of ``roles`` in the organization with slug ``str(account)``."""
        return account is not None and str(account) in self.accessibles(roles)

    def manages(self, account: object) -> bool:
        """Whether the user manages the organization with slug ``str(account)``."""
        return self.has_role(account, MANAGER)

    def accessible_plans(
        self, at_time: datetime | None = None, account: object = None
    ) -> list[str]:
        """Return the slugs of the plans that the user's organizations are subscribed to.

        Only subscriptions that are active at ``at_time`` (default: now; naive: UTC) count. With
        ``account``, only the organization with slug ``str(account)`` counts. Each plan appears
        once, in the order received.
        """
        moment = _aware_time(at_time)
        slug = None if account is None else str(account)
        return list(
            dict.fromkeys(
                plan
                for organizations in self.roles.values()
                for organization in organizations
                if slug is None or organization.slug == slug
                for subscription in organization.subscriptions
                if (plan := subscription.plan) and subscription.is_active(moment)
            )
        )

    def subscribed_to(self, plan: object, at_time: datetime | None = None) -> bool:
        """Whether one of the user's organizations has an active subscription to ``str(plan)``."""
        return plan is not None and str(plan) in self.accessible_plans(at_time)


def _aware_time(at_time: datetime | None) -> datetime:
    return datetime.now(UTC) if at_time is None else parse_datetime(at_time) or at_time
