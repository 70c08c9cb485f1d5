"""The security policy and the view predicates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pyramid.authorization import ACLHelper
from pyramid.config import Configurator
from pyramid.interfaces import ISecurityPolicy
from pyramid.request import Request
from zope.interface import implementer

from ..errors import ConfigurationError
from ..requirements import Requirement, plan_requirement, principals_of, role_requirement
from ..session import Session
from .request import session_of

__all__ = ["PlanPredicate", "RolePredicate", "SecurityPolicy"]


@implementer(ISecurityPolicy)
class SecurityPolicy:
    """Identifies the proxy's user, and checks ACLs with principals for roles and plans."""

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
    """A view predicate that takes one or several names, and is true if any of them matches."""

    name: str
    requirement: Callable[[tuple[str, ...]], Requirement]

    def __init__(self, value: str | Sequence[str], config: Configurator) -> None:
        self._wanted = (value,) if isinstance(value, str) else tuple(value)
        try:
            self._requirement = self.requirement(self._wanted)
        except ConfigurationError:
            raise ConfigurationError(f"{self.name} takes a name or a list of names") from None

    def text(self) -> str:
        return f"{self.name} = {', '.join(self._wanted)}"

    phash = text

    def __call__(self, context: Any, request: Request) -> bool:
        return not self._requirement(session_of(request), {})


class RolePredicate(_Predicate):
    """``djsession_role``: the user has one of the roles in any organization."""

    name = "djsession_role"
    requirement = staticmethod(partial(role_requirement, account=None))


class PlanPredicate(_Predicate):
    """``djsession_plan``: one of the user's organizations is subscribed to one of the plans."""

    name = "djsession_plan"
    requirement = staticmethod(plan_requirement)
