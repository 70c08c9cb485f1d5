"""Settings for Django's own tests: djsession in place of Django's sessions."""

from __future__ import annotations

import os

DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3"},
    "other": {"ENGINE": "django.db.backends.sqlite3"},
}
SECRET_KEY = "signs what Django's tests sign"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
TEST_RUNNER = "django_runner.Runner"

SESSION_ENGINE = "djsession.django.backends.encrypted_cookies"
AUTHENTICATION_BACKENDS = ["djsession.django.backends.auth.ProxyUserBackend"]
DJSESSION = {"LOCAL_SESSION_ENGINE": "django.contrib.sessions.backends.db"}
if "DJSESSION_TEST_OWNER" in os.environ:
    # The tests of the session itself look for its cookie, and no test client writes a token.
    DJSESSION |= {"COOKIE_NAME": "proxied", "LOCAL_SESSION_COOKIE_NAME": "sessionid"}
