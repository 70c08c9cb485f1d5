"""A project of deployutils' style, before and after ``djsession migrate``.

``nox -s interop`` also runs it, on djaodjin-deployutils alone and on both packages.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from djsession import dumps
from djsession.migrate import MOVED, migrate
from tests.helpers.commands import environment
from tests.helpers.proxy import PROXY_PYTHON
from tests.helpers.servers import http, raw_http, running_server
from tests.helpers.sessions import KEY, XIA

PROJECT = Path(__file__).parent / "project"
OLD = "deployutils.apps.django_deployutils"

needs_deployutils = pytest.mark.skipif(
    not PROXY_PYTHON, reason="djaodjin-deployutils is not installed: nox -s interop runs this test"
)

#: What stays, by file.
LEFT = {
    "course.py": {"ALLOWED_NO_SESSION"},
    "cowork/settings.py": {
        "DJAODJIN_SECRET_KEY",
        "deployutils.configs.load_config",
        "deployutils.configs.update_settings",
        OLD,
        f"{OLD}.logging.JSONFormatter",
        f"{OLD}.logging.RequestFilter",
        f"{OLD}.middleware.RequestLoggingMiddleware",
        f"{OLD}.templatetags.deployutils_extratags",
    },
    "cowork/settings_before_apps.py": {
        "MIDDLEWARE_CLASSES, now MIDDLEWARE",
        "TEMPLATE_CONTEXT_PROCESSORS, now TEMPLATES",
        "deployutils.apps.django",
        "deployutils.middleware.RequestLoggingMiddleware",
    },
    "cowork/templates/cowork/about.html": {"deployutils_prefixtags"},
    "cowork/templates/cowork/app.html": {"deployutils_prefixtags"},
    "cowork/urls.py": {
        f"{OLD}.redirects.AccountRedirectView",
        f"{OLD}.urlbuilders.url_prefixed",
    },
    "cowork/views.py": {
        "deployutils.crypt.decrypt",
        "deployutils.helpers.datetime_or_now",
        f"{OLD}.compat.is_authenticated",
        f"{OLD}.mixins.BeforeMixin",
        f"{OLD}.mixins.base._get_accessible_plans",
        f"{OLD}.mixins.timers.TimersMixin",
        f"{OLD}.mockup.views.SigninView",
        f"{OLD}.settings",
        f"{OLD}.themes.get_template_search_path",
    },
    "Makefile": {f"{OLD}.mockup.urls"},
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project."""
    copy = tmp_path / "project"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture
def migrated(project: Path) -> Path:
    assert migrate(project, write=True).is_complete
    return project


def texts(project: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(project)): path.read_bytes()
        for path in project.rglob("*")
        if path.is_file()
    }


def test_a_migrated_project_names_deployutils_only_where_nothing_replaces_it(
    migrated: Path,
) -> None:
    before, found = texts(migrated), migrate(migrated)
    assert found.is_complete
    left: dict[str, set[str]] = {}
    for file, subject in re.findall(r"^  (\S+):\d+: (.+)$", found.as_text(), re.MULTILINE):
        left.setdefault(str(Path(file).relative_to(migrated)), set()).add(subject)
    assert left == LEFT
    migrate(migrated, write=True)
    assert texts(migrated) == before


def test_migrating_a_project_leaves_other_lines_as_they_are(migrated: Path) -> None:
    for name, before in texts(PROJECT).items():
        after = texts(migrated)[name].splitlines()
        kept = [line for line in before.splitlines() if b"deployutils" not in line]
        # In this project no line without the name is changed, but for the end of an import.
        assert [line for line in kept if line not in after] in (
            [],
            [b"    BeforeMixin)    # dates come from deployutils"],
        )
    assert (migrated / "manage.py").stat().st_mode == (PROJECT / "manage.py").stat().st_mode


def test_the_flask_application_runs_on_djsession_only(migrated: Path) -> None:
    pytest.importorskip("flask")
    code = (
        "from course import app\n"
        "from djsession.testing import session_headers\n"
        "client = app.test_client()\n"
        "key = app.config['DJAODJIN_SECRET_KEY']\n"
        "headers = session_headers({'username': 'xia'}, key, format='jwt')\n"
        "for arguments in ({}, {'headers': headers}):\n"
        "    print(client.get('/course/', **arguments).status_code)\n"
        # As the report says: this name of the setting does not open anything.
        "print(client.get('/about').status_code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=migrated,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["403", "200", "403"], done.stderr


def manage(project: Path, *arguments: str, **variables: str) -> str:
    """Run manage.py on the interpreter that has both packages, and return what it prints."""
    done = subprocess.run(
        [PROXY_PYTHON, *arguments],
        cwd=project,
        env=environment(DJANGO_SETTINGS_MODULE="cowork.settings", **variables),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_deployutils
def test_deployutils_has_the_names_that_are_moved() -> None:
    # Other prefixes are those of its earlier versions.
    names = [name for name in MOVED if name.startswith((OLD, "deployutils.apps.flask"))]
    code = (
        "import django, json, sys\n"
        "from importlib.util import find_spec\n"
        "from django.utils.module_loading import import_string\n"
        "django.setup()\n"
        "for name in json.load(sys.stdin):\n"
        "    if '.flask.' in name and not find_spec('flask'):\n"
        "        continue\n"
        "    try:\n"
        "        import_string(name)\n"
        "    except ImportError:\n"
        "        assert find_spec(name), name\n"
    )
    done = subprocess.run(
        [PROXY_PYTHON, "-c", code],
        input=json.dumps(names),
        cwd=PROJECT,
        env=environment(DJANGO_SETTINGS_MODULE="cowork.settings", PYTHONDONTWRITEBYTECODE="1"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@needs_deployutils
def test_deployutils_and_djsession_are_installed_side_by_side(migrated: Path) -> None:
    for debug in ("", "1"):
        manage(migrated, "manage.py", "check", DEBUG=debug)
    code = (
        "import django, json\n"
        "django.setup()\n"
        "from django.apps import apps\n"
        "from django.core.management import get_commands\n"
        "print(json.dumps([{app.label: app.name for app in apps.get_app_configs()},"
        " {name: str(app) for name, app in get_commands().items()}]))\n"
    )
    labels, commands = json.loads(manage(migrated, "-c", code))
    assert labels["djsession"] == "djsession.django"
    assert labels["django_deployutils"] == OLD
    assert commands["encrypt_session"] == commands["decrypt_session"] == "djsession.django"
    for name in ("package_theme", "loadfixtures", "generate_webpack_paths"):
        assert commands[name] == OLD


PROFILE = {
    "slug": "xia",
    "cookie": "sessionid",
    "templates": 1,
    "is_organization_view": True,
    "decrypt": True,
}


@needs_deployutils
@pytest.mark.server
@pytest.mark.parametrize("debug", ["", "1"], ids=["production", "debug"])
@pytest.mark.parametrize(
    ("package", "backend"),
    [("deployutils", "cookie"), ("djsession", "cookie"), ("djsession", "jwt")],
)
def test_a_migrated_project_answers_as_before(
    package: str, backend: str, debug: str, project: Path, tmp_path: Path
) -> None:
    if package == "djsession":
        migrate(project, write=True)
    variables: dict[str, Any] = {
        "DEBUG": debug,
        "SESSION_BACKEND": backend,
        "RUN_DIR": str(tmp_path),
    }
    manage(project, "manage.py", "migrate", "--verbosity", "0", **variables)
    gunicorn = (PROXY_PYTHON, "-m", "gunicorn", "-b", "127.0.0.1:{port}", "cowork.wsgi")
    log = tmp_path / "gunicorn.log"
    with running_server(gunicorn, log, cwd=project, **variables) as port:
        prefix = "/cowork" if debug else ""
        cookie = {"Cookie": f'sessionid="{dumps(XIA, KEY)}"'}
        bearer = {"Authorization": f"Bearer {dumps(XIA, KEY, 'jwt')}"}

        for path in ("/app/", "/api/plans", "/redirect/", f"{prefix}/profile/xia/"):
            assert http(port, path)[0] == 403
            assert http(port, path, Cookie="sessionid=garbage")[0] == 403
        status, _, body = http(port, "/about/")
        assert status == 200
        assert body.decode() == f'<a href="{prefix}/about/">About</a>\n'

        for token in (cookie, bearer):
            status, _, body = http(port, "/app/", **token)
            page = body.decode()
            assert status == 200
            assert f'<script src="{prefix}/static/app.js"></script>' in page
            assert f'<a href="{prefix}/app/">xia</a>' in page
            assert f'<a href="{prefix}/pricing">Pricing</a>' in page
            assert "<p>manages xia; plans basic; True</p>" in page
            assert "Xia Lee</a>" in page  # of urls.profiles
            assert '<code>["xia"]</code>' in page
            status, headers, _ = http(port, "/redirect/", **token)
            assert (status, headers["location"]) == (302, f"{prefix}/profile/xia/")
            status, _, body = http(port, f"{prefix}/profile/xia/", **token)
            assert (status, json.loads(body)) == (200, PROFILE)
            assert http(port, f"{prefix}/profile/other/", **token)[0] == 404
            assert http(port, "/messages/", **token)[2] == b"1"
        assert json.loads(http(port, "/api/plans", **bearer)[2]) == {"username": "xia"}

        if package == "djsession":
            check_mockup_logins(port, is_debug=bool(debug))
    lines = [line for line in log.read_text().splitlines() if line.startswith("cowork: [")]
    assert any('"GET /app/ HTTP/1.1" xia' in line for line in lines)
    if package == "djsession":
        assert any("GET /app/ refused" in line for line in lines)


def check_mockup_logins(port: int, *, is_debug: bool) -> None:
    """They are there with DEBUG, and the names of their URLs without."""
    status, _, body = http(port, "/login/")
    assert status == (200 if is_debug else 404)
    assert (b"xia" in body) == is_debug
    form = "username=xia&password=any"
    status, headers, _ = raw_http(
        port,
        f"POST /login/ HTTP/1.1\nHost: 127.0.0.1:{port}\nConnection: close\n"
        "Content-Type: application/x-www-form-urlencoded\n"
        f"Content-Length: {len(form)}\n\n{form}",
    )
    if is_debug:
        assert (status, headers["location"]) == (303, "/app/")  # LOGIN_REDIRECT_URL
        token = headers["set-cookie"].partition(";")[0]
        assert http(port, "/app/", Cookie=token)[0] == 200
    else:
        assert status == 404
        assert "set-cookie" not in headers
