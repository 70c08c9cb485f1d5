"""The URLs of the project for the tests."""

from __future__ import annotations

from importlib.util import find_spec

from django.contrib import admin
from django.urls import include, path

from . import views

urlpatterns = [
    path("", views.nothing, name="home"),
    path("whoami", views.whoami),
    path("awhoami", views.awhoami),
    path("anothing", views.anothing),
    path("session", views.session),
    path("asession", views.asession),
    path("about/", views.nothing, name="about"),
    path("open/nothing", views.nothing),
    path("open/whoami", views.whoami),
    path("open/session", views.session),
    path("open/日本", views.nothing),
    path("messages", views.with_messages),
    path("form", views.form),
    path("logout-view", views.sign_out),
    path("account/<slug:slug>/", views.AccountView.as_view()),
    path("app/", views.AppView.as_view()),
    path("manage/<slug:slug>/", views.manage),
    path("amanage/<slug:slug>/", views.amanage),
    path("course/", views.course),
    path("admin/", admin.site.urls),
    path("", include("djsession.django.mockup.urls")),
]

if find_spec("rest_framework"):
    from . import rest_views

    urlpatterns += [
        path("api/me", rest_views.Me.as_view()),
        path("api/bearer", rest_views.BearerMe.as_view()),
        path("open/bearer", rest_views.BearerMe.as_view()),
    ]
