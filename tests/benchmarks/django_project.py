"""A Django project for the benchmarks: the same views and database, with several stacks.

Importing it configures Django. ``served(NAME)`` is for a server: one stack, as a WSGI application.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import Any

import django
from django.conf import settings

from .measuring import KEY, openssl_floor

FOLDER = TemporaryDirectory()

settings.configure(
    SECRET_KEY="a secret of the benchmark",
    BASE_DIR=FOLDER.name,
    ALLOWED_HOSTS=["*"],
    USE_TZ=True,
    ROOT_URLCONF=__name__,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": f"{FOLDER.name}/db.sqlite3",
            # A new connection for each request would cost more than anything else.
            "CONN_MAX_AGE": None,
        }
    },
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "djsession.django",
    ],
    DJAODJIN_SECRET_KEY=KEY,
    DEPLOYUTILS={"ALLOWED_NO_SESSION": []},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    LOGGING_CONFIG=None,
)
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.test import override_settings  # noqa: E402
from django.urls import path  # noqa: E402


def nothing(request: HttpRequest) -> HttpResponse:
    """Answer without looking at the session."""
    return HttpResponse("xia")


def whoami(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.username)


def query(request: HttpRequest) -> HttpResponse:
    """Answer with what one query for the user finds, for a stack that has no request.user."""
    return HttpResponse(get_user_model().objects.get(username="xia").username)


urlpatterns = [path("nothing", nothing), path("whoami", whoami), path("query", query)]


def floor_middleware(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Decode the token without any check: among other code this takes longer than in a loop."""

    def middleware(request: HttpRequest) -> HttpResponse:
        token = request.META["HTTP_COOKIE"].partition('sessionid="')[2][:-1]
        openssl_floor(token, KEY.encode())
        return get_response(request)

    return middleware


def stack(package: str, **more: Any) -> dict[str, Any]:
    return {
        "MIDDLEWARE": [
            f"{package}.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ],
        "SESSION_ENGINE": f"{package}.backends.encrypted_cookies",
        "AUTHENTICATION_BACKENDS": [f"{package}.backends.auth.ProxyUserBackend"],
        **more,
    }


#: Settings, by the name of the stack.
STACKS: dict[str, dict[str, Any]] = {
    "bare": {"MIDDLEWARE": []},
    "floor": {"MIDDLEWARE": [f"{__name__}.floor_middleware"]},
    "djsession": stack("djsession.django"),
    "djsession, no database": stack("djsession.django", DJSESSION={"USER_SOURCE": "session"}),
    "deployutils": stack("deployutils.apps.django_deployutils"),
}


def with_stack(name: str) -> override_settings:
    return override_settings(**STACKS[name])


def handler(name: str) -> WSGIHandler:
    with with_stack(name):
        return WSGIHandler()


def prepare_database() -> None:
    call_command("migrate", verbosity=0)


def served(name: str) -> WSGIHandler:
    # Until the server ends.
    ExitStack().enter_context(with_stack(name))
    prepare_database()
    return WSGIHandler()
