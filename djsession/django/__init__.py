"""The Django adapter. Django 5.2 and later.

In ``settings.py``::

    INSTALLED_APPS = [..., "djsession.django"]
    MIDDLEWARE = [..., "djsession.django.middleware.SessionMiddleware", ...]  # replaces Django's
    SESSION_ENGINE = "djsession.django.backends.encrypted_cookies"
    AUTHENTICATION_BACKENDS = ["djsession.django.backends.auth.ProxyUserBackend"]
    DJAODJIN_SECRET_KEY = "the key of the site"
    DJSESSION = {"ALLOWED_NO_SESSION": [STATIC_URL]}

A project that comes from djaodjin-deployutils can keep its setting ``DEPLOYUTILS``.
"""

from __future__ import annotations
