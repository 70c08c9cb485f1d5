"""Mixins for class-based views, with the user's organizations and plans.

The names are the same as in the proxy's documentation and in djaodjin-deployutils.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django.core.exceptions import ImproperlyConfigured, ObjectDoesNotExist
from django.http import Http404

from ..session import MANAGER, Organization
from .requests import session_of

if TYPE_CHECKING:
    from django.http import HttpRequest

__all__ = ["AccessiblesMixin", "Account", "AccountMixin"]

Roles = str | Iterable[str] | None

# Django looks for methods with these prefixes on any value: get_absolute_url in redirect(),
# resolve_expression and as_sql in a query. They must not be mistaken for fields.
_METHODS = ("_", "as_", "get_", "prepare_", "resolve_")


class Account(Organization):
    """An organization whose fields are also attributes. A missing field is None."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith(_METHODS):
            raise AttributeError(name)
        return self.get(name)


class AccessiblesMixin:
    """Reads the session of ``self.request``. Organizations are dicts, as the proxy sent them."""

    request: HttpRequest

    #: The name of the manager role.
    MANAGER = MANAGER
    #: ``urls.profiles`` lists the organizations in which the user has one of these roles. None
    #: means any role.
    redirect_roles: Roles = None

    def get_redirect_roles(self, request: HttpRequest) -> Roles:
        """Return the roles that ``urls.profiles`` takes into account for a request."""
        return self.redirect_roles

    def accessibles(self, roles: Roles = None) -> list[str]:
        """Return the slugs of the organizations in which the user has one of ``roles``, or any."""
        return session_of(self.request).accessibles(roles)

    @staticmethod
    def get_accessibles(request: HttpRequest, roles: Roles = None) -> list[Organization]:
        """Return the organizations in which the user has one of ``roles``, or any role."""
        return session_of(request).get_accessibles(roles)

    def get_managed(self, request: HttpRequest) -> list[Organization]:
        """Return the organizations that the user manages."""
        return session_of(request).get_managed()

    @property
    def managed_accounts(self) -> list[str]:
        """The slugs of the organizations that the user manages."""
        return session_of(self.request).managed_accounts

    def manages(self, account: object) -> bool:
        """Whether the user manages the organization with slug ``str(account)``."""
        return session_of(self.request).manages(account)

    def has_role(self, account: object, roles: str | Iterable[str]) -> bool:
        """Whether the user has one of ``roles`` in the organization with slug ``str(account)``."""
        return session_of(self.request).has_role(account, roles)

    @property
    def accessible_profiles(self) -> set[str]:
        """The slugs of the organizations in which the user has a role."""
        return set(self.accessibles())

    @staticmethod
    def get_accessible_profiles(request: HttpRequest, roles: Roles = None) -> list[Organization]:
        """Return the organizations in which the user has one of ``roles``, or any role."""
        return session_of(request).get_accessibles(roles)

    @property
    def accessible_plans(self) -> set[str]:
        """The slugs of the plans that the user's organizations are subscribed to now."""
        return set(session_of(self.request).accessible_plans())

    @staticmethod
    def get_accessible_plans(
        request: HttpRequest, profile: object = None, at_time: datetime | None = None
    ) -> list[dict[str, str]]:
        """Return ``{"slug": plan}`` for each plan that is active at ``at_time`` (default: now).

        With ``profile``, only the organization with slug ``str(profile)`` counts.
        """
        plans = session_of(request).accessible_plans(at_time, profile)
        return [{"slug": plan} for plan in plans]

    @property
    def manages_broker(self) -> bool:
        """Whether the user manages the organization that runs the site."""
        session = session_of(self.request)
        return session.manages(session.site.slug)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add ``urls.profiles``, the names of organizations with the URLs of their pages."""
        context: dict[str, Any] = super().get_context_data(**kwargs)  # type: ignore[misc]
        roles = self.get_redirect_roles(self.request)
        profiles = [
            {
                "location": f"/profile/{quote(organization['slug'], safe='')}/",
                "printable_name": organization.printable_name or organization.slug,
            }
            for organization in self.get_accessible_profiles(self.request, roles)
        ]
        context["urls"] = {**context.get("urls", {}), "profiles": profiles}
        return context


class AccountMixin(AccessiblesMixin):
    """For a view of one organization, whose slug is in the URL."""

    #: The URL argument that holds the organization's slug. ``account`` is None if this is None or
    #: the URL does not have the argument.
    account_url_kwarg: str | None = None
    #: The field of an organization, or of the model, that the URL argument is compared with.
    account_lookup_field: str = "slug"
    #: A queryset of accounts. If it is None, accounts are the organizations in the session. In both
    #: cases the user needs a role in the organization.
    account_queryset: Any = None

    kwargs: dict[str, Any]

    @property
    def account(self) -> Any:
        """The account that the URL names: an Account, or an object from ``account_queryset``.

        None if the URL does not name an account. Raises Http404 if the account does not exist, or
        if the user does not have a role in it.
        """
        # Cached on the view, which exists for only one request.
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
        accessibles = self.get_accessible_profiles(self.request)
        if self.account_queryset is None:
            for organization in accessibles:
                if organization.get(field) == value:
                    return Account(organization)
        elif any(organization["slug"] == value for organization in accessibles):
            try:
                # all() returns a new queryset, since that of the class would cache its rows.
                row = self.account_queryset.all().get(**{field: value})
            except ObjectDoesNotExist:
                row = None
            # Some databases ignore case, and return the row of another account.
            if row is not None and str(getattr(row, field, value)) == value:
                return row
        raise Http404("There is no account with that name.")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the account, with the name of its URL argument."""
        context = super().get_context_data(**kwargs)
        if self.account_url_kwarg is not None:
            context[self.account_url_kwarg] = self.account
        return context

    def get_reverse_kwargs(self) -> list[str]:
        """Return the names of the URL arguments that the URLs of related pages share."""
        return [] if self.account_url_kwarg is None else [self.account_url_kwarg]

    def get_url_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        """Return the arguments for reversing the URL of a related page.

        Their values come from ``kwargs``, or else from the arguments of this page's URL.
        """
        found = kwargs or self.kwargs
        return {name: found[name] for name in self.get_reverse_kwargs() if found.get(name)}
