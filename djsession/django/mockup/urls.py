"""The mockup logins, for ``include("djsession.django.mockup.urls")``.

Raises ConfigurationError where DEBUG is off, since anyone who can reach these pages can sign in as
anyone.
"""

from __future__ import annotations

from django.urls import path

from .views import check_allowed, mockup

check_allowed()

urlpatterns = [
    path("login/", mockup, name="login"),
    path("logout/", mockup, name="logout"),
    path("api/auth", mockup, name="api_login"),
    path("djsession/", mockup, name="djsession_inspector"),
]
