"""Mixins for class-based views: the organizations and plans of the user.

Their names are those of the proxy's documentation and of djaodjin-deployutils.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.http import Http404

from ..session import MANAGER, Organization
from .requests import session_of

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ["AccessiblesMixin", "AccountMixin"]

Roles = str | Iterable[str] | None


class AccessiblesMixin:
    """Reads the session of ``self.request``. Organizations are dicts, as the proxy sent them."""

    request: HttpRequest

    #: The role of a manager.
    MANAGER = MANAGER

    def accessibles(self, roles: Roles = None) -> list[str]:
        """Return the slugs of the organizations the user has one of ``roles`` for; None: any."""
        return session_of(self.request).accessibles(roles)

    @staticmethod
    def get_accessibles(request: HttpRequest, roles: Roles = None) -> list[Organization]:
        """Return the organizations the user of ``request`` has one of ``roles`` for."""
        return session_of(request).get_accessibles(roles)

    def get_managed(self, request: HttpRequest) -> list[Organization]:
        """Return the organizations the user of ``request`` is a manager of."""
        return session_of(request).get_managed()

    @property
    def managed_accounts(self) -> list[str]:
        """The slugs of the organizations the user is a manager of."""
        return session_of(self.request).managed_accounts

    def manages(self, account: object) -> bool:
        """Whether the user is a manager of ``account``: ``str(account)`` is its slug."""
        return session_of(self.request).manages(account)

    def has_role(self, account: object, roles: str | Iterable[str]) -> bool:
        """Whether the user has one of ``roles`` for ``account``."""
        return session_of(self.request).has_role(account, roles)

    @property
    def accessible_profiles(self) -> set[str]:
        """The slugs of the organizations the user has a role for."""
        return set(self.accessibles())

    def get_accessible_profiles(
        self, request: HttpRequest, roles: Roles = None
    ) -> list[Organization]:
        """Return the organizations the user of ``request`` has one of ``roles`` for."""
        return self.get_accessibles(request, roles)

    @property
    def accessible_plans(self) -> set[str]:
        """The slugs of the plans that an organization of the user is subscribed to now."""
        return set(session_of(self.request).accessible_plans())

    @staticmethod
    def get_accessible_plans(
        request: HttpRequest, profile: object = None, at_time: datetime | None = None
    ) -> list[dict[str, str]]:
        """Return ``{"slug": plan}`` of the plans active at ``at_time`` (default: now).

        Of the organization ``profile`` alone where it is given: ``str(profile)`` is its slug.
        """
        plans = session_of(request).accessible_plans(at_time, profile)
        return [{"slug": plan} for plan in plans]

    @property
    def manages_broker(self) -> bool:
        """Whether the user is a manager of the site itself."""
        session = session_of(self.request)
        return session.manages(session.site.slug)


class AccountMixin(AccessiblesMixin):
    """A view about one organization, whose slug is in its URL."""

    #: The argument of the URL that is the slug. None, and a URL without it: there is no account.
    account_url_kwarg: str | None = None
    #: The field of an organization, or of the model, that the argument is looked up in.
    account_lookup_field: str = "slug"
    #: Where the account is: rows of a model. None: in the session, for who has a role for it.
    account_queryset: Any = None

    kwargs: dict[str, Any]

    @property
    def account(self) -> Any:
        """The account of the URL: an Organization, or an object of ``account_queryset``.

        None when the URL has none. Raises Http404 when there is none of that slug.
        """
        # Once for each view, which is made for one request.
        if "_account" not in self.__dict__:
            self.__dict__["_account"] = self._find_account()
        return self.__dict__["_account"]

    def _find_account(self) -> Any:
        name = self.account_url_kwarg
        if name is None or name not in self.kwargs:
            return None
        field, value = self.account_lookup_field, str(self.kwargs[name])
        if not field:
            raise ImproperlyConfigured(f"{type(self).__name__}.account_lookup_field is not set")
        if self.account_queryset is None:
            for organization in self.get_accessibles(self.request):
                if organization.get(field) == value:
                    return organization
        else:
            try:
                # A new queryset: that of the class would keep what it has read.
                return self.account_queryset.all().get(**{field: value})
            except ObjectDoesNotExist:
                pass
        raise Http404("There is no account of that name.")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the account, under the name of its argument in the URL."""
        if self.account_url_kwarg is not None:
            kwargs[self.account_url_kwarg] = self.account
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        return context
