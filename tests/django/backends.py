"""Backends as projects write them."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied

from djsession.django.backends.auth import ProxyUserBackend


class OnlyKnown(ProxyUserBackend):
    create_unknown_user = False


class Configuring(ProxyUserBackend):
    def clean_username(self, username: str) -> str:
        return username.partition("@")[0]

    def configure_user(self, request: Any, user: Any, created: bool = True) -> Any:
        user.is_staff = request.djsession.manages(request.djsession.site.slug)
        user.was_created = created
        return user


class Refusing(ProxyUserBackend):
    def authenticate(self, request: Any, remote_user: Any = None, **credentials: Any) -> Any:
        raise PermissionDenied


class AdmittingAll(ProxyUserBackend):
    def user_can_authenticate(self, user: Any) -> bool:
        return True
