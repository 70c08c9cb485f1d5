"""A Django project in one module: settings, URLs, and the ASGI application."""

from __future__ import annotations

import os
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import re_path

from tests.attacks.applications.pages import ENTRIES, page

SECRET_KEY = "a secret of the tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "djsession.django"]
MIDDLEWARE = ["djsession.django.middleware.SessionMiddleware"]
SESSION_ENGINE = "djsession.django.backends.encrypted_cookies"
DJSESSION = {"ALLOWED_NO_SESSION": ENTRIES, "USER_SOURCE": "session"}
FORCE_SCRIPT_NAME = os.environ["FORCE_SCRIPT_NAME"] or None


def show(request: HttpRequest, path: str) -> HttpResponse:
    body = page(f"/{path}")
    return HttpResponse(body, content_type="text/plain", headers={"Content-Length": len(body)})


urlpatterns: list[Any] = [re_path(r"^(?s:(?P<path>.*))$", show)]
