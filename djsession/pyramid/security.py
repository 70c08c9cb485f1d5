"""The security policy, and the view predicates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyramid.authorization import ACLHelper
from pyramid.config import Configurator
from pyramid.interfaces import ISecurityPolicy
from pyramid.request import Request
from zope.interface import implementer

from ..errors import ConfigurationError
from ..requirements import principals_of
from ..session import Session
from .request import session_of

__all__ = ["PlanPredicate", "RolePredicate", "SecurityPolicy"]


@implementer(ISecurityPolicy)
class SecurityPolicy:
    """Who the proxy says the user is, and ACLs over roles and plans."""

    def __init__(self) -> None:
        self._acl = ACLHelper()

    def identity(self, request: Request) -> Session | None:
        """Return the Session of the signed-in user, or None."""
        session = session_of(request)
        return session if session.is_authenticated else None

    def authenticated_userid(self, request: Request) -> str | None:
        """Return the username of the signed-in user, or None."""
        return session_of(request).username

    def permits(self, request: Request, context: Any, permission: str) -> Any:
        """Return whether an ACL of the context's lineage allows a permission to the user."""
        return self._acl.permits(context, principals_of(session_of(request)), permission)

    def remember(self, request: Request, userid: str, **options: Any) -> list[tuple[str, str]]:
        """Return no headers: the proxy signs users in."""
        return []

    def forget(self, request: Request, **options: Any) -> list[tuple[str, str]]:
        """Return no headers: the proxy signs users out."""
        return []


class _Predicate:
    """A view predicate that takes one name or several, any of which will do."""

    name = ""

    def __init__(self, value: str | Sequence[str], config: Configurator) -> None:
        self.wanted = (value,) if isinstance(value, str) else tuple(value)
        if not self.wanted or not all(isinstance(item, str) and item for item in self.wanted):
            raise ConfigurationError(f"{self.name} takes a name or a list of them")

    def text(self) -> str:
        return f"{self.name} = {', '.join(self.wanted)}"

    phash = text


class RolePredicate(_Predicate):
    name = "djsession_role"

    def __call__(self, context: Any, request: Request) -> bool:
        return bool(session_of(request).accessibles(self.wanted))


class PlanPredicate(_Predicate):
    name = "djsession_plan"

    def __call__(self, context: Any, request: Request) -> bool:
        return any(session_of(request).subscribed_to(plan) for plan in self.wanted)
