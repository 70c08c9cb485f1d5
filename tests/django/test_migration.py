"""A project as the proxy's documentation sets it up, with djsession's names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.commands import ROOT, environment
from tests.helpers.sessions import KEY

# A project that was set up as the proxy's documentation says. It copied the missing comma in
# AUTHENTICATION_BACKENDS as well.
SETTINGS = """
from django.urls import reverse_lazy

SECRET_KEY = "a secret of the project"
DEBUG = True
STATIC_URL = "/static/"
ROOT_URLCONF = "urls"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

INSTALLED_APPS = (
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "rest_framework",
    "PACKAGE",
)

MIDDLEWARE = (
    "PACKAGE.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
)

SESSION_ENGINE = "PACKAGE.backends.encrypted_cookies"

AUTHENTICATION_BACKENDS = (
    "PACKAGE.backends.auth.ProxyUserBackend"
)

DJAODJIN_SECRET_KEY = "KEY"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": (
        "rest_framework.authentication.SessionAuthentication",
    ),
}

DEPLOYUTILS = {
    "APP_NAME": "app",
    "MOCKUP_SESSIONS": {
        "xia": {
            "username": "xia",
            "roles": {
                "manager": [{
                    "slug": "xia",
                    "printable_name": "Xia Lee",
                    "created_at": "2017-09-14T23:16:55Z",
                    "email": "xia@example.com",
                    "subscriptions": [{"plan": "basic", "ends_at": "2020-01-01T09:00:00Z"}],
                }]
            },
            "site": {"printable_name": "Chamoix Coworking", "email": "support@cowork.net"},
            "last_visited": None,
        },
    },
    "ALLOWED_NO_SESSION": [STATIC_URL, reverse_lazy("login")],
}
"""

URLS = """
from django.http import JsonResponse
from django.urls import include, re_path
from django.views.generic import TemplateView
from rest_framework.decorators import api_view
from rest_framework.response import Response

from PACKAGE.mixins import AccessiblesMixin


class AppView(AccessiblesMixin, TemplateView):
    def get_context_data(self, *args, **kwargs):
        context = super(AppView, self).get_context_data(*args, **kwargs)
        context.update({"managed_accounts": self.managed_accounts})
        return context

    def render_to_response(self, context):
        return JsonResponse({
            "managed_accounts": context["managed_accounts"],
            "user": self.request.user.username,
            "roles": self.request.session.get("roles", {}),
            "accessibles": self.accessibles(roles=["manager"]),
            "get_accessibles": self.get_accessibles(self.request, roles=["contributor"]),
            "get_managed": [item["slug"] for item in self.get_managed(self.request)],
            "manages": self.manages("xia"),
        })


@api_view()
def api(request):
    return Response(request.user.username)


urlpatterns = [
    re_path(r"^app/", AppView.as_view()),
    re_path(r"^api/me", api),
    re_path(r"", include("PACKAGE.mockup.urls")),
]
"""

SCRIPT = """
import json

import django
django.setup()
from django.core.management import call_command
from django.test import Client

call_command("migrate", verbosity=0)
browser = Client(headers={"Host": "localhost"}, enforce_csrf_checks=True)
assert browser.get("/app/").status_code == 403
assert browser.get("/static/x.css").status_code == 404
assert browser.get("/login/").status_code == 200
login = browser.post("/login/", {"username": "xia", "password": "yoyo"})
assert login.status_code == 303, login.content
app = browser.get("/app/").json()
assert app["user"] == "xia", app
assert app["managed_accounts"] == app["accessibles"] == app["get_managed"] == ["xia"], app
assert app["get_accessibles"] == [] and app["manages"] is True
assert app["roles"]["manager"][0]["printable_name"] == "Xia Lee"
assert browser.get("/api/me").json() == "xia"
answer = browser.post("/api/auth", json.dumps({"username": "xia", "password": "yoyo"}),
    content_type="application/json")
token = answer.json()["token"]
other = Client(headers={"Host": "localhost", "Authorization": f"Bearer {token}"})
assert other.get("/app/").json()["user"] == "xia"
print("all is well")
"""


@pytest.mark.parametrize("engine", ["encrypted_cookies", "jwt_session_store"])
def test_the_snippets_of_the_migration_guide_run(tmp_path: Path, engine: str) -> None:
    pytest.importorskip("rest_framework")
    for name, text in (("settings", SETTINGS), ("urls", URLS)):
        text = text.replace("PACKAGE", "djsession.django").replace('"KEY"', repr(KEY))
        (tmp_path / f"{name}.py").write_text(text.replace("encrypted_cookies", engine))
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:djsession", "-c", SCRIPT],
        cwd=tmp_path,
        env=environment(DJANGO_SETTINGS_MODULE="settings", PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "all is well\n", done.stderr
