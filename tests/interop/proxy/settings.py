"""A site of the real proxy, djaodjin-rules: run in an environment of its own."""

import os

BASE_DIR = os.environ["PROXY_FOLDER"]
SECRET_KEY = "a secret of the proxy"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "proxy.urls"
USE_TZ = True
LOGIN_URL = os.environ.get("PROXY_LOGIN_URL", "/proxy/login/")
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{BASE_DIR}/proxy.sqlite3"}
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.sites",
    "rest_framework",
    "rules",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
SITE_ID = 1
MIGRATION_MODULES = {"rules": None}
RULES_APP_MODEL = "rules.App"
RULES = {
    "ENC_KEY_OVERRIDE": os.environ["PROXY_KEY"],
    "ENTRY_POINT_OVERRIDE": os.environ["PROXY_BACKEND"],
    "SESSION_SERIALIZER": "proxy.sessions.Serializer",
    # A rule names one by its position: anyone, an authenticated user, roles and plans.
    "RULE_OPERATORS": ("", "rules.settings.fail_authenticated", "proxy.operators.fail_granted"),
}
