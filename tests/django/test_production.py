"""A project that includes the mockup logins with DEBUG on and off, as a server runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import ROOT, environment
from tests.helpers.django_clients import cookie
from tests.helpers.servers import GUNICORN, http, running_server
from tests.helpers.sessions import KEY

# Written for djaodjin-deployutils: the settings and URLs do not ask for DEBUG, since the proxy
# answers these paths in production. The only template engine is Jinja2.
SETTINGS = """
import os

from django.urls import reverse_lazy

SECRET_KEY = "a secret of the project"
DEBUG = os.environ["PROJECT_DEBUG"] == "1"
ALLOWED_HOSTS = ["127.0.0.1"]
STATIC_URL = "/static/"
ROOT_URLCONF = "urls"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
TEMPLATES = [{"BACKEND": "django.template.backends.jinja2.Jinja2", "DIRS": []}]
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "djsession.django"]
MIDDLEWARE = [
    "djsession.django.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
SESSION_ENGINE = "djsession.django.backends.encrypted_cookies"
AUTHENTICATION_BACKENDS = ["djsession.django.backends.auth.ProxyUserBackend"]
LOGIN_REDIRECT_URL = "app"
DEPLOYUTILS = {
    "MOCKUP_SESSIONS": {"xia": {"roles": {"manager": [{"slug": "xia"}]}}},
    "ALLOWED_NO_SESSION": [STATIC_URL, reverse_lazy("login"), reverse_lazy("no-such-page")],
}
"""

URLS = """
from django.http import JsonResponse
from django.urls import include, path, reverse

NAMES = ["login", "logout", "api_login", "api_timer", "djsession_inspector"]


def app(request):
    links = [reverse(name) for name in NAMES]
    links.append(reverse("api_profile", args=["xia"]))
    links.append(reverse("users_profile", kwargs={"user": "xia"}))
    return JsonResponse(links, safe=False)


urlpatterns = [path("app/", app, name="app"), path("", include("djsession.django.mockup.urls"))]
"""

LINKS = (
    '["/login/", "/logout/", "/api/auth", "/api/timer", "/djsession/", "/api/profile/xia",'
    ' "/users/xia/"]'
)
PAGES = LINKS.strip('[]"').split('", "')


@pytest.fixture
def project(tmp_path: Path) -> dict[str, Any]:
    """Write the project, and return the environment for it, with DEBUG off."""
    (tmp_path / "settings.py").write_text(SETTINGS)
    (tmp_path / "urls.py").write_text(URLS)
    return {
        "DJANGO_SETTINGS_MODULE": "settings",
        "DJAODJIN_SECRET_KEY": KEY,
        "PROJECT_DEBUG": "0",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
    }


SERVER = (sys.executable, *GUNICORN, "django.core.wsgi:get_wsgi_application()")


def test_a_project_with_debug_off_starts_and_its_mockup_pages_answer_404(
    tmp_path: Path, project: dict[str, Any]
) -> None:
    log = tmp_path / "log"
    with running_server(SERVER, log, **project) as port:
        status, _, body = http(port, "/app/", Cookie=cookie())
        assert status == 200
        assert LINKS in body.decode()
        assert http(port, "/app/")[0] == 403
        for page in PAGES:
            assert http(port, page, Cookie=cookie())[0] == 404
            # The project itself opens its login page, and only that.
            assert http(port, page)[0] == (404 if page == "/login/" else 403)
        assert http(port, "/no-such-page")[0] == 403
    lines = [line for line in log.read_text().splitlines() if "opens nothing" in line]
    assert lines
    assert all("Reverse for 'no-such-page' not found" in line for line in lines)
    assert "mockup logins are on" not in log.read_text()


@pytest.mark.parametrize("level", ["WARNING", "ERROR"])
def test_check_deploy_warns_about_mockup_urls(
    level: str, tmp_path: Path, project: dict[str, Any]
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "django", "check", "--fail-level", level],
        cwd=tmp_path,
        env=environment(**project),
        capture_output=True,
        text=True,
    )
    for name in ("djsession.W004", "djsession.W007", "'no-such-page' not found", "djsession.W008"):
        assert name in done.stderr
    assert done.returncode == (1 if level == "WARNING" else 0), done.stderr


def test_a_project_with_debug_on_serves_its_mockup_pages(
    tmp_path: Path, project: dict[str, Any]
) -> None:
    with running_server(SERVER, tmp_path / "log", **{**project, "PROJECT_DEBUG": "1"}) as port:
        status, headers, body = http(port, "/login/")
        assert status == 200
        assert headers["content-security-policy"]
        assert b'name="next" value="/app/"' in body
        assert http(port, "/api/profile/xia", Cookie=cookie())[0] == 200
        assert http(port, "/api/profile/xia")[0] == 403
