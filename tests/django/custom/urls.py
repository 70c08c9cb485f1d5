"""The URLs of a project with a user model of its own."""

from __future__ import annotations

from django.urls import path

from .. import views

urlpatterns = [
    path("", views.nothing),
    path("about/", views.nothing, name="about"),
    path("whoami", views.whoami),
    path("awhoami", views.awhoami),
]
