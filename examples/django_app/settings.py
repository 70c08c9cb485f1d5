"""The settings. The key of the site comes from DJAODJIN_SECRET_KEY in the environment."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from django.urls import reverse_lazy

BASE_DIR = Path(__file__).parent

DEBUG = bool(os.environ.get("DEBUG"))
ALLOWED_HOSTS = list(filter(None, os.environ.get("ALLOWED_HOSTS", "").split(",")))

# Signs the cookie that holds what the application writes into request.session. The random key is
# for development: it is another one in each process, and after each restart.
SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_hex()

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "djsession.django",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "djsession.django.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

SESSION_ENGINE = "djsession.django.backends.encrypted_cookies"
AUTHENTICATION_BACKENDS = ["djsession.django.backends.auth.ProxyUserBackend"]

STATIC_URL = "static/"

DJSESSION: dict[str, Any] = {
    "ALLOWED_NO_SESSION": [STATIC_URL, reverse_lazy("about")],
    # Managers of the organization that runs the site work in Django's admin.
    "STAFF_ROLES": ["manager"],
    "SUPERUSER_ROLES": ["manager"],
}
if DEBUG:
    # The users that you can sign in as without the proxy.
    DJSESSION["MOCKUP"] = BASE_DIR.parent / "sessions.yaml"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE_PATH") or BASE_DIR / "db.sqlite3",
    }
}

ROOT_URLCONF = "examples.django_app.urls"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
