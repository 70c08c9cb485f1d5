"""A project with a user model of its own, and without the admin."""

from __future__ import annotations

from ..settings import *  # noqa: F403
from ..settings import DATABASES, INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.django.custom"]
INSTALLED_APPS.remove("django.contrib.admin")
AUTH_USER_MODEL = "custom.Member"
ROOT_URLCONF = "tests.django.custom.urls"
# Not the database of the process that runs this one.
DATABASES["default"].setdefault("TEST", {"NAME": "test_djsession_custom"})
