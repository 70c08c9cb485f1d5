"""What the Django adapter costs over bare Django, beside djaodjin-deployutils, in one run.

The same Django, the same database (SQLite), the same views, in interleaved rounds. Run it with
``nox -s bench``.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import django
from bench_decode import KEY, ROUNDS, session_of
from django.conf import settings

FOLDER = tempfile.mkdtemp()
OURS = "djsession.django"
PEER = "deployutils.apps.django_deployutils"

settings.configure(
    SECRET_KEY="a secret of the benchmark",
    BASE_DIR=FOLDER,
    ALLOWED_HOSTS=["*"],
    USE_TZ=True,
    ROOT_URLCONF=__name__,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{FOLDER}/db.sqlite3"}},
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

from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.test import override_settings  # noqa: E402
from django.test.client import RequestFactory  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.urls import path  # noqa: E402

from djsession import SessionCodec  # noqa: E402


def nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse("xia")


def whoami(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.user.username)


urlpatterns = [path("nothing", nothing), path("whoami", whoami)]

AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


def stack(package: str | None, **more: Any) -> dict[str, Any]:
    if package is None:
        return {"MIDDLEWARE": []}
    return {
        "MIDDLEWARE": [f"{package}.middleware.SessionMiddleware", AUTHENTICATION],
        "SESSION_ENGINE": f"{package}.backends.encrypted_cookies",
        "AUTHENTICATION_BACKENDS": [f"{package}.backends.auth.ProxyUserBackend"],
        **more,
    }


STACKS = {
    "bare": stack(None),
    "djsession": stack(OURS),
    "djsession, session": stack(OURS, DJSESSION={"USER_SOURCE": "session"}),
    "deployutils": stack(PEER),
}


class Row:
    """One view of one stack: a handler, and the settings that it needs while it is called."""

    def __init__(self, name: str, url: str, cookie: str) -> None:
        self.settings = STACKS[name]
        with override_settings(**self.settings):
            self.handler = WSGIHandler()
        self.environ = RequestFactory().get(url, HTTP_COOKIE=cookie).environ

    def call(self) -> bytes:
        response = self.handler(dict(self.environ), lambda status, headers: None)
        body = b"".join(response)
        response.close()
        assert body == b"xia", body
        return body


def main() -> None:
    import time

    call_command("migrate", verbosity=0)
    # As under a server with CONN_MAX_AGE: a connection for each request would be all there is.
    connection.ensure_connection()
    connection.close_if_unusable_or_obsolete = lambda: None  # type: ignore[method-assign]
    session = session_of(330)
    cookie = (
        f'_ga=GA1.2.111.222; csrftoken=abcDEF123; sessionid="{SessionCodec(KEY).dumps(session)}"'
    )
    rows = {
        ("nothing", "bare"): None,
        ("nothing", "djsession"): None,
        ("nothing", "deployutils"): None,
        ("whoami", "djsession"): None,
        ("whoami", "djsession, session"): None,
        ("whoami", "deployutils"): None,
    }
    made: dict[tuple[str, str], Row] = {}
    queries, loops = {}, {}
    for view, name in rows:
        row = made[view, name] = Row(name, f"/{view}", cookie)
        with override_settings(**row.settings):
            row.call()
            with CaptureQueriesContext(connection) as context:
                row.call()
            queries[view, name] = len(context)
            started = time.perf_counter()
            for _ in range(20):
                row.call()
            loops[view, name] = max(5, int(0.004 / ((time.perf_counter() - started) / 20)))
    times: dict[tuple[str, str], list[float]] = {key: [] for key in rows}
    for _ in range(ROUNDS):
        for key, row in made.items():
            call: Callable[[], bytes] = row.call
            with ExitStack() as context_of_row:
                context_of_row.enter_context(override_settings(**row.settings))
                call()  # what the change of settings made it forget
                repeat = range(loops[key])
                started = time.perf_counter()
                for _ in repeat:
                    call()
                times[key].append((time.perf_counter() - started) / loops[key] * 1e6)

    def ratio(over: list[float], under: list[float]) -> float:
        return statistics.median(a / b for a, b in zip(over, under, strict=True))

    def added(view: str, name: str) -> list[float]:
        pairs = zip(times[view, name], times["nothing", "bare"], strict=True)
        return [whole - bare for whole, bare in pairs]

    python = ".".join(map(str, sys.version_info[:3]))
    print(f"Python {python}, Django {django.__version__}, SQLite; a session of", end=" ")
    print(f"{len(json.dumps(session))} characters; medians of {ROUNDS} interleaved rounds\n")
    columns = "{:<8} {:<20} {:>7} {:>8} {:>8} {:>15}  {}"
    print(columns.format("view", "with", "queries", "us", "added", "of deployutils", "target"))
    for view, name in rows:
        more = added(view, name)
        of_peer = target = ""
        if name.startswith("djsession") and view == "nothing":
            of_peer = f"{ratio(more, added(view, 'deployutils')):.2f}"
            target = "added: at most 0.10"
        elif name.startswith("djsession"):
            of_peer = f"{ratio(times[view, name], times[view, 'deployutils']):.2f}"
            target = "whole: at most 0.50"
        us, over = (f"{statistics.median(item):.1f}" for item in (times[view, name], more))
        print(columns.format(view, name, queries[view, name], us, over, of_peer, target).rstrip())
    print()


if __name__ == "__main__":
    main()
