"""Sets a user's ``is_staff``, ``is_superuser`` and groups from the roles in the session.

Only roles in the organization that runs the site (``site.slug`` in the session) count, since users
can create organizations of their own at the proxy and become their managers. A session without that
slug grants nothing.

A grant lasts only for the request. It is never saved, even if the application saves
``request.user``.
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

# The attribute of a user that holds {field: (value in the database, value for this request)}.
_GRANTED = "_djsession_granted"


def apply_roles(user: Any, session: Session) -> None:
    """Apply what STAFF_ROLES, SUPERUSER_ROLES and GROUPS grant to a user with this session."""
    settings = get_settings()
    if settings.staff_roles is None and not settings.groups:
        return
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
    """Add groups to ``user.groups`` and to the user's permissions, without a query yet."""
    condition = Q(name__in=names)
    if user.pk is None:
        # user.groups requires a row. ModelBackend uses this cache before it reads user.groups.
        permissions = Permission.objects.filter(group__in=Group.objects.filter(condition))
        labels = permissions.values_list("content_type__app_label", "codename")
        user._group_perm_cache = SimpleLazyObject(lambda: {".".join(pair) for pair in labels})
        user.__dict__.pop("_perm_cache", None)
        return
    condition |= Q(**{groups_field(type(user)).related_query_name(): user.pk})
    # user.groups reads this cache, as after prefetch_related().
    prefetched = user.__dict__.setdefault("_prefetched_objects_cache", {})
    prefetched["groups"] = Group.objects.filter(condition).distinct()


def groups_field(model: Any) -> Any:
    """Return a user model's ``groups`` field if it is like that of PermissionsMixin, or None."""
    try:
        field = model._meta.get_field("groups")
    except FieldDoesNotExist:
        return None
    return field if field.many_to_many and field.related_model is Group else None


@cache
def install() -> None:
    """Keep grants out of the database when the application saves the user.

    Grants also survive ``refresh_from_db()``. This wraps the methods of the model instead of using
    signals, so that it also covers derived models and a save that fails.
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
