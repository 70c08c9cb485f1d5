"""The mockup logins, for ``include("djsession.django.mockup.urls")``.

If DEBUG is off, the URLs can still be reversed, but their views answer 404: anyone who can reach
these pages can sign in as anyone.
"""

from __future__ import annotations

from django.urls import path

from .views import mockup, profile, timer, user

urlpatterns = [
    path("login/", mockup, name="login"),
    path("logout/", mockup, name="logout"),
    path("api/auth", mockup, name="api_login"),
    path("api/profile/<str:profile>", profile, name="api_profile"),
    path("api/timer", timer, name="api_timer"),
    path("users/<str:user>/", user, name="users_profile"),
    path("djsession/", mockup, name="djsession_inspector"),
]
