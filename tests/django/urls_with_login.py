"""A project with a login page of its own."""

from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("login/", views.nothing, name="login"),
    path("about/", views.nothing, name="about"),
]
