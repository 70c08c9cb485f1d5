"""The project for the tests, set up like the example."""

from __future__ import annotations

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.urls import reverse_lazy

from examples.django_app import settings as example
from tests.helpers.sessions import KEY

BASE_DIR = Path(__file__).parent
SECRET_KEY = "a secret of the tests"
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "tests.django.urls"
USE_TZ = example.USE_TZ
STATIC_URL = example.STATIC_URL

INSTALLED_APPS = [*example.INSTALLED_APPS, "django.contrib.sessions"]
if not find_spec("rest_framework"):
    INSTALLED_APPS.remove("rest_framework")
MIDDLEWARE = example.MIDDLEWARE
TEMPLATES = [{**example.TEMPLATES[0], "DIRS": [BASE_DIR / "templates"]}]
SESSION_ENGINE = example.SESSION_ENGINE
AUTHENTICATION_BACKENDS = example.AUTHENTICATION_BACKENDS
DJAODJIN_SECRET_KEY = KEY
DJSESSION: dict[str, Any] = {
    "ALLOWED_NO_SESSION": [STATIC_URL, "/open/", reverse_lazy("about")],
    "MOCKUP": "../../examples/sessions.yaml",
    "MOCKUP_WITHOUT_DEBUG": True,
}

REST_FRAMEWORK = example.REST_FRAMEWORK

DATABASES: dict[str, Any]
if url := os.environ.get("DJSESSION_TEST_DATABASE_URL"):
    parts = urlsplit(url)
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": parts.path.lstrip("/"),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or ""),
            "HOST": unquote(parts.hostname or ""),
            "PORT": parts.port or "",
        }
    }
else:
    # A file, which threads can share as processes would.
    folder = tempfile.TemporaryDirectory(prefix="djsession-tests-")
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{folder.name}/db.sqlite3",
            "TEST": {"NAME": f"{folder.name}/test.sqlite3"},
        }
    }

DEFAULT_AUTO_FIELD = example.DEFAULT_AUTO_FIELD
