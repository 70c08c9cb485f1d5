"""The entry of INSTALLED_APPS: templates, commands and system checks."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.checks import Tags, register


class DjsessionConfig(AppConfig):  # type: ignore[misc]
    """``djsession.django``."""

    name = "djsession.django"
    label = "djsession"
    verbose_name = "DjaoDjin sessions"

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in

        from . import checks, error_reports, messages, page_cache, roles

        # Also for projects that use the middleware for WSGI only.
        for module in (error_reports, messages, page_cache, roles):
            module.install()
        if self.apps.is_installed("rest_framework"):
            from . import throttling

            throttling.install()
        register(checks.check_settings, Tags.security)
        # AuthConfig connects one of this name that writes to the row of any user who signs in.
        # Whichever of the two comes first, this one is connected.
        user_logged_in.disconnect(dispatch_uid="update_last_login")
        user_logged_in.connect(_update_last_login, dispatch_uid="update_last_login")


def _update_last_login(sender: Any, user: Any, **kwargs: Any) -> None:
    """Do as Django does, but for a user without a row: ``USER_SOURCE`` is "session"."""
    from django.contrib.auth.models import update_last_login

    has_field = any(field.name == "last_login" for field in user._meta.concrete_fields)
    if has_field and not user._state.adding:
        update_last_login(sender, user, **kwargs)
