"""The app for INSTALLED_APPS: templates, commands and system checks."""

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

        # SessionMiddleware installs most of these, but a project may use only the one for WSGI.
        for module in (error_reports, messages, page_cache, roles):
            module.install()
        if self.apps.is_installed("rest_framework"):
            from . import throttling

            throttling.install()
        register(checks.check_settings, Tags.security)
        # Replace AuthConfig's receiver, which would save a user without a row. The dispatch_uid is
        # the same, so that this works whichever app is loaded first.
        user_logged_in.disconnect(dispatch_uid="update_last_login")
        user_logged_in.connect(_update_last_login, dispatch_uid="update_last_login")


def _update_last_login(sender: Any, user: Any, **kwargs: Any) -> None:
    """Update ``last_login`` as Django does, unless the user does not have a row."""
    from django.contrib.auth.models import update_last_login

    has_field = any(field.name == "last_login" for field in user._meta.concrete_fields)
    if has_field and not user._state.adding:
        update_last_login(sender, user, **kwargs)
