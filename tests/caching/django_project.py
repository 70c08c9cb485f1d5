"""The pages in a Django project of one module, with the default engine for the local session.

Below ``cached/`` the same pages are decorated with ``cache_page``, and below ``varied/`` also with
``vary_on_headers``. With ``SITE_CACHE`` in the environment, Django's middleware caches the whole
site.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.cache import cache_page
from django.views.decorators.vary import vary_on_headers

from tests.caching.pages import ENTRIES, answer

SECRET_KEY = "a secret of the tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "djsession.django"]
MIDDLEWARE = [
    "djsession.django.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
if os.environ.get("SITE_CACHE"):
    MIDDLEWARE = [
        "django.middleware.cache.UpdateCacheMiddleware",
        *MIDDLEWARE,
        "django.middleware.cache.FetchFromCacheMiddleware",
    ]
AUTHENTICATION_BACKENDS = ["djsession.django.backends.auth.ProxyUserBackend"]
SESSION_ENGINE = "djsession.django.backends.encrypted_cookies"
DJSESSION = {"ALLOWED_NO_SESSION": ENTRIES, "USER_SOURCE": "session"}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}


class DjangoVisit:
    def __init__(self, request: Any) -> None:
        self._request = request
        self.path: str = f"/{request.resolver_match.kwargs['page']}"
        self.query_string: str = request.META["QUERY_STRING"]
        self.if_none_match: str | None = request.headers.get("If-None-Match")

    @property
    def local(self) -> MutableMapping[str, Any]:
        local: MutableMapping[str, Any] = self._request.session
        return local

    def session(self) -> str | None:
        username: str | None = self._request.djsession.username
        return username

    def merged_session(self) -> str | None:
        username: str | None = self._request.session.get("username")
        return username

    def user(self) -> str | None:
        username: str = self._request.user.username
        return username

    def remote_user(self) -> str | None:
        username: str | None = self._request.META.get("REMOTE_USER")
        return username


def show(request: HttpRequest, page: str) -> HttpResponse:
    status, headers, body = answer(DjangoVisit(request))
    if "raise" in request.GET and status in (403, 404):
        raise PermissionDenied if status == 403 else Http404
    return HttpResponse(body, status=status, headers=dict(headers))


cached = cache_page(60)(show)
varied = cache_page(60)(vary_on_headers("Cookie", "Authorization")(show))

urlpatterns: list[Any] = [
    path(f"{prefix}{folder}<page>", view)
    for prefix in ("", "open/")
    for folder, view in (("", show), ("cached/", cached), ("varied/", varied))
]
