"""A typed reading of the session's JSON.

Each class is a dict that holds the JSON as it came, plus properties that read it. What is
missing or of an odd type never raises: it reads as absent. What is absent grants nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

__all__ = ["Organization", "Session", "Subscription", "parse_datetime"]

MANAGER = "manager"


def parse_datetime(value: object) -> datetime | None:
    """Return the aware datetime of an ISO 8601 string, or None for anything else.

    A date without a time is its midnight. A time without an offset is UTC. Takes a datetime, too.
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
    """A JSON object. Its repr names only the keys: the values are personal, some are secret."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {', '.join(map(str, self)) or 'empty'}>"

    # Sentry's client takes a mapping apart unless it has this.
    __sentry_repr__ = __repr__

    def _text(self, key: str) -> str | None:
        value = self.get(key)
        return value if isinstance(value, str) and value.strip() else None

    def _documents(self, key: str) -> Iterator[dict[str, Any]]:
        value = self.get(key)
        items = value if isinstance(value, (list, tuple)) else ()
        return (item for item in items if isinstance(item, dict))


class Subscription(_Document):
    """What an organization is subscribed to."""

    __slots__ = ()

    @property
    def plan(self) -> str | None:
        """The slug of the plan."""
        return self._text("plan")

    @property
    def ends_at(self) -> datetime | None:
        """When the subscription ends, aware; None when it has no end, or none that can be read."""
        return parse_datetime(self.get("ends_at"))

    def is_active(self, at_time: datetime | None = None) -> bool:
        """Whether the subscription has not ended at ``at_time`` (default: now; naive: UTC).

        One without an ``ends_at``, or with null, has no end. One with an ``ends_at`` that is
        not a date is not active.
        """
        if self.get("ends_at") is None:
            return True
        ends_at = self.ends_at
        return ends_at is not None and _moment(at_time) < ends_at


class Organization(_Document):
    """An organization, also called account or profile, that a user has a role for.

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
        """The name to show to people."""
        return self._text("printable_name")

    @property
    def email(self) -> str | None:
        """The e-mail address to contact the organization at."""
        return self._text("email")

    @property
    def created_at(self) -> datetime | None:
        """When the organization was created, aware."""
        return parse_datetime(self.get("created_at"))

    @property
    def subscriptions(self) -> list[Subscription]:
        """All subscriptions, active and ended, in the order sent."""
        return [Subscription(item) for item in self._documents("subscriptions")]


class Session(_Document):
    """The decoded session of a request: a dict with the JSON as the proxy sent it.

    Empty when the proxy says that nobody is signed in, and where a path needs no session.
    """

    __slots__ = ()

    @property
    def username(self) -> str | None:
        """The unique name of the signed-in user, or None."""
        value = self.get("username")
        return value if isinstance(value, str) and value.strip() else None

    @property
    def is_authenticated(self) -> bool:
        """Whether somebody is signed in."""
        return self.username is not None

    @property
    def roles(self) -> dict[str, list[Organization]]:
        """The organizations by role ("manager", "contributor", ...), in the order sent.

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
        """The site that forwards the request, often without a slug. Empty when not sent."""
        value = self.get("site")
        return Organization(value if isinstance(value, dict) else {})

    @property
    def last_visited(self) -> datetime | None:
        """When the user triggered the same rule last, aware; None on the first visit.

        A rule with several engagement tags sends a list of tags instead: None here as well,
        ``session["last_visited"]`` has it.
        """
        return parse_datetime(self.get("last_visited"))

    def get_accessibles(self, roles: str | Iterable[str] | None = None) -> list[Organization]:
        """Return the organizations the user has one of ``roles`` for; None means any role.

        Each comes once, in the order sent. ``roles`` is one role or several; none of them, an
        empty list, gives no organization.
        """
        wanted = None if roles is None else {roles} if isinstance(roles, str) else set(roles)
        found: dict[str | None, Organization] = {}
        for role, organizations in self.roles.items():
            if wanted is None or role in wanted:
                for organization in organizations:
                    found.setdefault(organization.slug, organization)
        return list(found.values())

    def accessibles(self, roles: str | Iterable[str] | None = None) -> list[str]:
        """Return the slugs of :meth:`get_accessibles`."""
        return [organization["slug"] for organization in self.get_accessibles(roles)]

    def get_managed(self) -> list[Organization]:
        """Return the organizations the user is a manager of."""
        return self.get_accessibles(MANAGER)

    @property
    def managed_accounts(self) -> list[str]:
        """The slugs of the organizations the user is a manager of."""
        return self.accessibles(MANAGER)

    def has_role(self, account: object, roles: str | Iterable[str]) -> bool:
        """Whether the user has one of ``roles`` for ``account``: ``str(account)`` is its slug."""
        return account is not None and str(account) in self.accessibles(roles)

    def manages(self, account: object) -> bool:
        """Whether the user is a manager of ``account``: ``str(account)`` is its slug."""
        return self.has_role(account, MANAGER)

    def accessible_plans(
        self, at_time: datetime | None = None, account: object = None
    ) -> list[str]:
        """Return the slugs of the plans that an organization of the user is subscribed to.

        Only subscriptions active at ``at_time`` (default: now; naive: UTC) count, and only
        those of the organization ``account`` where it is given: ``str(account)`` is its slug. Each
        plan comes once, in the order sent.
        """
        moment = _moment(at_time)
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
        """Whether an organization of the user is subscribed to ``plan``, by ``str(plan)``."""
        return plan is not None and str(plan) in self.accessible_plans(at_time)


def _moment(at_time: datetime | None) -> datetime:
    return datetime.now(UTC) if at_time is None else parse_datetime(at_time) or at_time
