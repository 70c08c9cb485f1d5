"""The URLs."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from . import views

urlpatterns = [
    path("", views.HomeView.as_view(), name="home"),
    path("app/", views.HomeView.as_view()),
    path("app/second", views.HomeView.as_view()),
    path("public/", views.HomeView.as_view()),
    path("about/", views.about, name="about"),
    path("manage/<slug:account>/", views.ManageView.as_view()),
    path("course/", views.course),
    path("note", views.note),
    path("session", views.raw),
    path("api/me", views.MeView.as_view()),
    path("admin/", admin.site.urls),
]

if settings.DEBUG:
    urlpatterns.append(path("", include("djsession.django.mockup.urls")))
