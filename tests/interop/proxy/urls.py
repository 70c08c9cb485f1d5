"""Signing in and out, other rules, and the proxy."""

import json

from django.contrib.auth import get_user_model, login, logout
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from rules.models import App, Engagement, Rule


def sign_in(request: HttpRequest, username: str) -> HttpResponse:
    user, _ = get_user_model().objects.get_or_create(username=username)
    login(request, user)
    return HttpResponse("signed in")


def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse("signed out")


def replace_rules(request: HttpRequest) -> HttpResponse:
    """Replace the rules of the site by those in the body, and forget all visits."""
    Engagement.objects.all().delete()
    Rule.objects.all().delete()
    site = App.objects.get()
    for rank, columns in enumerate(json.loads(request.body)):
        Rule.objects.create(app=site, rank=rank, **columns)
    return HttpResponse("replaced")


urlpatterns = [
    path("proxy/login/<username>", sign_in),
    path("proxy/logout", sign_out),
    path("proxy/rules", replace_rules),
    path("", include("rules.urls.apply")),
]
