"""One request through an application, with and without a session."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import ROOT, environment
from tests.helpers.sessions import KEY, OTHER_KEY


def doctor(*arguments: str, key: str = KEY, **variables: str) -> tuple[int, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "djsession", "doctor", "--json", "--app", *arguments],
        cwd=ROOT,
        env=environment(DJAODJIN_SECRET_KEY=key, **variables),
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout) if done.stdout else done.stderr


def test_plain_wsgi() -> None:
    code, report = doctor("examples.hello:application", "--path", "/app/")
    assert code == 0
    assert report["middleware"] == [
        "djsession.wsgi.SessionMiddleware",
        "examples.hello.hello",
    ]
    seen, without = report["with_session"], report["without_session"]
    assert (seen["status"], seen["environ_session"], seen["remote_user"]) == (
        200,
        ["username"],
        "doctor",
    )
    assert (without["status"], without["environ_session"]) == (403, [])


def test_django(tmp_path: Path) -> None:
    variables = {
        "SECRET_KEY": "a secret of the application",
        "ALLOWED_HOSTS": "localhost",
        "DATABASE_PATH": str(tmp_path / "db.sqlite3"),
    }
    manage = [sys.executable, "examples/django_app/manage.py"]
    env = environment(DJAODJIN_SECRET_KEY=KEY, **variables)
    pytest.importorskip("rest_framework")
    subprocess.run([*manage, "migrate", "-v", "0"], cwd=ROOT, env=env, check=True)
    code, report = doctor("examples.django_app.wsgi:application", "--username", "xia", **variables)
    assert code == 0, report
    assert "  djsession.django.middleware.SessionMiddleware" in report["middleware"]
    seen = report["with_session"]
    assert (seen["status"], seen["framework"], seen["user"]) == (200, "Django", "xia")
    assert "username" in seen["session"]
    assert report["without_session"]["status"] == 403
    # What it has written is not there.
    script = "from django.contrib.auth.models import User; print(User.objects.count())"
    done = subprocess.run(
        [*manage, "shell", "--verbosity", "0", "-c", script],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "0", done.stderr


def test_flask_and_pyramid(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(
        "from examples.flask_app import create_app\n"
        "from examples.pyramid_app import main\n"
        "flask = create_app(SECRET_KEY='s')\n"
        f"ini = {{'djsession.secret_key': {KEY!r}, 'djsession.local_secret': 's'}}\n"
        "pyramid = main({}, **ini)\n"
    )
    path = f"{ROOT}:{tmp_path}"
    for name, framework in (("flask", "Flask"), ("pyramid", "Pyramid")):
        code, report = doctor(f"made:{name}", PYTHONPATH=path)
        assert code == 0, report
        seen = report["with_session"]
        assert (seen["framework"], seen["user"]) == (framework, "doctor")
        assert "username" in seen["session"]
        assert report["without_session"]["status"] == 403
    assert "  djsession.pyramid.tween_factory" in report["middleware"]


@pytest.mark.parametrize(
    ("application", "finding"),
    [
        ("def app(e, s):\n    s('200 OK', [])\n    return [b'']", "app-no-middleware"),
        ("def app(e, s):\n    1 / 0", "app-error"),
        (
            f"from djsession import SessionMiddleware as M\n"
            f"from examples.hello import hello\napp = M(hello, secret_key={OTHER_KEY!r})",
            "app-key",
        ),
        (
            "from djsession import SessionMiddleware as M\n"
            "def fails(e, s):\n    s('500 Oh', [])\n    return []\napp = M(fails)",
            "app-error",
        ),
    ],
)
def test_what_is_wrong_with_an_application(tmp_path: Path, application: str, finding: str) -> None:
    (tmp_path / "made.py").write_text(application)
    code, report = doctor("made:app", PYTHONPATH=f"{ROOT}:{tmp_path}")
    assert code == 1
    assert [item["id"] for item in report["findings"]] == [finding]


def test_the_session_is_of_a_format_that_the_application_takes(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(
        "from djsession import SessionMiddleware\nfrom examples.hello import hello\n"
        "app = SessionMiddleware(hello)"
    )
    code, report = doctor("made:app", PYTHONPATH=f"{ROOT}:{tmp_path}", DJSESSION_FORMATS="jwt")
    assert code == 0, report
    assert report["with_session"]["remote_user"] == "doctor"


@pytest.mark.parametrize("status", [403, 404])
def test_what_the_application_itself_answers_is_good_to_know(tmp_path: Path, status: int) -> None:
    (tmp_path / "made.py").write_text(
        "from djsession import SessionMiddleware\n"
        f"def inside(e, s):\n    s('{status} No', [])\n    return []\n"
        "app = SessionMiddleware(inside)"
    )
    code, report = doctor("made:app", PYTHONPATH=f"{ROOT}:{tmp_path}")
    assert code == 0
    assert [item["id"] for item in report["findings"]] == ["app-status"]
    assert f"the application itself answers {status}" in report["findings"][0]["sentence"]


def test_an_open_path_is_good_to_know(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(
        "from djsession import SessionMiddleware\nfrom examples.hello import hello\n"
        "app = SessionMiddleware(hello, allowed_no_session=['/open'])"
    )
    code, report = doctor("made:app", "--path", "/open", PYTHONPATH=f"{ROOT}:{tmp_path}")
    assert code == 0
    assert [item["id"] for item in report["findings"]] == ["app-open"]


def test_an_application_that_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text("raise KeyError('s3cret')")
    path = f"{ROOT}:{tmp_path}"
    code, stderr = doctor("made:app", PYTHONPATH=path)
    assert (code, stderr) == (
        1,
        "djsession: made:app cannot be imported: KeyError, line 1 of made.py\n",
    )
    code, stderr = doctor("no_such_module:app")
    assert code == 1
    assert "there is no module" in stderr


def test_the_text_for_people() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "djsession", "doctor", "--app", "examples.hello:application"],
        cwd=ROOT,
        env=environment(DJAODJIN_SECRET_KEY=KEY),
        capture_output=True,
        text=True,
    )
    assert "djsession    username; REMOTE_USER 'doctor'" in done.stdout
    assert done.stdout.endswith("All is well.\n")


@pytest.mark.parametrize("trusted", ["10.0.0.0/8", "unix", "::1,10.0.0.7"])
def test_the_request_comes_from_a_trusted_proxy(trusted: str) -> None:
    variables = {"DJSESSION_TRUSTED_PROXIES": trusted}
    code, report = doctor("examples.hello:application", "--path", "/app/", **variables)
    assert code == 0
    assert report["with_session"]["status"] == 200
