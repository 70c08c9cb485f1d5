"""Mixins for class-based views: the organizations and plans of the user.

Their names are those of the proxy's documentation and of djaodjin-deployutils.
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

# Attributes that Django looks for in any value, to call them: get_absolute_url in redirect(),
# resolve_expression and as_sql in a query. They are not fields.
_METHODS = ("_", "as_", "get_", "prepare_", "resolve_")


class Account(Organization):
    """An organization whose fields are attributes, too. A field that was not sent is None."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith(_METHODS):
            raise AttributeError(name)
        return self.get(name)


class AccessiblesMixin:
    """Reads the session of ``self.request``. Organizations are dicts, as the proxy sent them."""

    request: HttpRequest

    #: The role of a manager.
    MANAGER = MANAGER
    #: The roles whose organizations ``urls.profiles`` lists. None: any.
    redirect_roles: Roles = None

    def get_redirect_roles(self, request: HttpRequest) -> Roles:
        """Return the roles whose organizations ``urls.profiles`` lists for a request."""
        return self.redirect_roles

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

    @staticmethod
    def get_accessible_profiles(request: HttpRequest, roles: Roles = None) -> list[Organization]:
        """Return the organizations the user of ``request`` has one of ``roles`` for."""
        return session_of(request).get_accessibles(roles)

    @property
    def accessible_plans(self) -> set[str]:
        """The slugs of the plans that an organization of the user is subscribed to now."""
        return set(session_of(self.request).accessible_plans())

    @staticmethod
    def get_accessible_plans(
        request: HttpRequest, profile: object = None, at_time: datetime | None = None
    ) -> list[dict[str, str]]:
        """Return ``{"slug": plan}`` of the plans active at ``at_time`` (default: now).

        Only of the organization ``profile`` where it is given: ``str(profile)`` is its slug.
        """
        plans = session_of(request).accessible_plans(at_time, profile)
        return [{"slug": plan} for plan in plans]

    @property
    def manages_broker(self) -> bool:
        """Whether the user is a manager of the site itself."""
        session = session_of(self.request)
        return session.manages(session.site.slug)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add ``urls.profiles``: the names of organizations, and their pages at the proxy."""
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
    """A view about one organization, whose slug is in its URL."""

    #: The argument of the URL that is the slug of the organization. None, and a URL without it:
    #: there is no account.
    account_url_kwarg: str | None = None
    #: The field of an organization, or of the model, that the argument is looked up in.
    account_lookup_field: str = "slug"
    #: The rows that accounts are. None: accounts are the organizations in the session. Either way
    #: the user needs a role for the organization.
    account_queryset: Any = None

    kwargs: dict[str, Any]

    @property
    def account(self) -> Any:
        """The account of the URL: an Account, or an object of ``account_queryset``.

        None when the URL does not name one. Raises Http404 when there is no account of that slug,
        or when the user does not have a role for it.
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
        accessibles = self.get_accessible_profiles(self.request)
        if self.account_queryset is None:
            for organization in accessibles:
                if organization.get(field) == value:
                    return Account(organization)
        elif any(organization["slug"] == value for organization in accessibles):
            try:
                # A new queryset: that of the class would keep what it has read.
                row = self.account_queryset.all().get(**{field: value})
            except ObjectDoesNotExist:
                row = None
            # Some databases find the row of another account, whose slug differs in case.
            if row is not None and str(getattr(row, field, value)) == value:
                return row
        raise Http404("There is no account of that name.")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the account, under the name of its argument in the URL."""
        context = super().get_context_data(**kwargs)
        if self.account_url_kwarg is not None:
            context[self.account_url_kwarg] = self.account
        return context

    def get_reverse_kwargs(self) -> list[str]:
        """Return which arguments of the URL the URLs of related pages have, too."""
        return [] if self.account_url_kwarg is None else [self.account_url_kwarg]

    def get_url_kwargs(self, **kwargs: Any) -> dict[str, Any]:
        """Return the arguments to reverse the URL of a related page with, from this page's URL.

        ``kwargs`` are taken in place of the arguments of this page's URL, where there are any.
        """
        found = kwargs or self.kwargs
        return {name: found[name] for name in self.get_reverse_kwargs() if found.get(name)}
