"""``is_staff``, ``is_superuser`` and groups of a user, from the roles in the session.

Only a role for the organization that runs the site counts, which is ``site.slug`` of the session:
users may make organizations of their own at the proxy, and are managers there. A session without
that slug grants nothing.

What a session grants lasts as long as the request. It is not saved, also where the application
saves ``request.user``.
"""

from __future__ import annotations

from functools import cache, wraps
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Q
from django.utils.functional import SimpleLazyObject

from ..session import Session
from .conf import get_settings

__all__ = ["apply_roles", "groups_field", "install"]

# Where a user has what was granted: {name: (value in the database, value for this request)}.
_GRANTED = "_djsession_granted"


def apply_roles(user: Any, session: Session) -> None:
    """Set what the settings STAFF_ROLES, SUPERUSER_ROLES and GROUPS grant to a user."""
    settings = get_settings()
    site = session.site.slug
    if settings.staff_roles is not None:
        for name, roles in (
            ("is_staff", settings.staff_roles),
            ("is_superuser", settings.superuser_roles),
        ):
            _grant(user, name, session.has_role(site, roles))
    names = {
        name for role, groups in settings.groups if session.has_role(site, role) for name in groups
    }
    if names and groups_field(type(user)) is not None:
        _add_groups(user, names)


def _grant(user: Any, name: str, value: bool) -> None:
    granted = user.__dict__.setdefault(_GRANTED, {})
    in_database, _ = granted.get(name, (getattr(user, name, False), value))
    granted[name] = in_database, value
    setattr(user, name, value)


def _add_groups(user: Any, names: set[str]) -> None:
    """Have ``user.groups`` and the permissions of a user include groups, without a query yet."""
    condition = Q(name__in=names)
    if user.pk is None:
        # Without a row there is no user.groups. ModelBackend looks here before it asks for it.
        permissions = Permission.objects.filter(group__in=Group.objects.filter(condition))
        labels = permissions.values_list("content_type__app_label", "codename")
        user._group_perm_cache = SimpleLazyObject(lambda: {".".join(pair) for pair in labels})
        user.__dict__.pop("_perm_cache", None)
        return
    condition |= Q(**{groups_field(type(user)).related_query_name(): user.pk})
    # Where prefetch_related() would keep them.
    prefetched = user.__dict__.setdefault("_prefetched_objects_cache", {})
    prefetched["groups"] = Group.objects.filter(condition).distinct()


def groups_field(model: Any) -> Any:
    """Return the field for groups of a user model, as PermissionsMixin has it, or None."""
    try:
        field = model._meta.get_field("groups")
    except FieldDoesNotExist:
        return None
    return field if field.many_to_many and field.related_model is Group else None


@cache
def install() -> None:
    """Keep what a session grants out of the database, where the application saves its user.

    Reading the row again does not take it away either. The methods are those of the model, not
    signals, so that this holds for models that derive from it, and for a save that fails.
    """
    model = get_user_model()._meta.concrete_model
    save_base, refresh_from_db = model.save_base, model.refresh_from_db

    @wraps(save_base)
    def save_without(self: Any, *args: Any, **kwargs: Any) -> None:
        kept = {
            name: (in_database, granted)
            for name, (in_database, granted) in self.__dict__.get(_GRANTED, {}).items()
            if getattr(self, name) == granted  # not changed by the application
        }
        for name, (in_database, _) in kept.items():
            setattr(self, name, in_database)
        try:
            save_base(self, *args, **kwargs)
        finally:
            for name, (in_database, granted) in kept.items():
                if getattr(self, name) == in_database:
                    setattr(self, name, granted)

    @wraps(refresh_from_db)
    def refresh_without(
        self: Any, using: Any = None, fields: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        fields = None if fields is None else list(fields)
        refresh_from_db(self, using, fields, *args, **kwargs)
        for name, (_, granted) in [*self.__dict__.get(_GRANTED, {}).items()]:
            if fields is None or name in fields:
                self.__dict__[_GRANTED][name] = getattr(self, name), granted
                setattr(self, name, granted)

    model.save_base, model.refresh_from_db = save_without, refresh_without
