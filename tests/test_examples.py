"""The example under real servers, with the requests that the real proxy sent."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from djsession import dumps
from djsession.mockup import MockupSessions
from tests.helpers.commands import ROOT, environment
from tests.helpers.servers import GUNICORN, Serve, http, raw_http, replay
from tests.helpers.sessions import CAPTURES, KEY, OTHER_KEY, XIA, load_capture

SERVERS = {
    "gunicorn-sync": (*GUNICORN, "-k", "sync"),
    "gunicorn-gthread": (*GUNICORN, "-k", "gthread"),
    "waitress": ("-m", "waitress", "--listen=127.0.0.1:{port}"),
}


def shown_session(body: bytes) -> Any:
    match = re.search(r"<pre>(.*)</pre>", body.decode(), re.DOTALL)
    assert match
    return json.loads(unescape(match[1]))


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return SERVERS[request.param]


def test_the_hello_example_answers_as_the_session_says(
    server: tuple[str, ...], serve: Serve
) -> None:
    port = serve(*server, "examples.hello:application", DJAODJIN_SECRET_KEY=KEY)
    with_session = {"Cookie": f'_ga=1; sessionid="{dumps(XIA, KEY)}"; theme="dark mode"'}

    status, headers, body = http(port, "/app/", **with_session)
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["cache-control"] == "private, no-store"
    assert headers["vary"] == "Cookie, Authorization"
    assert b"<h1>Hello, xia</h1>" in body
    assert b"manager of Xia Lee" in body
    assert b"<li>basic</li>" in body
    assert shown_session(body) == XIA

    status, _, body = http(port, "/app/", Cookie=f"sessionid={dumps({}, KEY)}")
    assert status == 200
    assert b"Hello, visitor" in body

    refusals = [
        http(port, "/app/"),
        http(port, "/app/", Cookie="sessionid=garbage"),
        http(port, "/app/", Cookie=f"sessionid={dumps(XIA, OTHER_KEY)}"),
        http(port, "/app/", Authorization="Bearer garbage"),
        http(port, "/app/", Authorization=f"Bearer {dumps(XIA, KEY)}"),
        http(port, "/app/", Authorization="Bearer", **with_session),
        http(port, "/app/", Authorization=f"Bearer {dumps({}, KEY, 'jwt')}", **with_session),
        http(port, "/app/", Remote_User="root", djsession_session="{}"),
    ]
    for status, headers, body in refusals:
        assert (status, body) == (403, b"Forbidden\n")
        assert headers["cache-control"] == "no-store"

    large = {**XIA, "bio": "x" * 6000}
    status, _, body = http(port, "/app/", Cookie=f"sessionid={dumps(large, KEY)}")
    assert status == 200
    assert shown_session(body) == large


def test_the_hello_example_answers_each_captured_request(serve: Serve) -> None:
    captures = [load_capture(path) for path in CAPTURES if path.stem.startswith("cookie")]
    keys = ",".join({captured.secret_key for captured in captures})
    port = serve(*GUNICORN, "examples.hello:application", DJAODJIN_SECRET_KEY=keys)
    for captured in captures:
        status, _, body = replay(port, captured)
        assert status == 200
        assert shown_session(body) == captured.session


def test_gunicorn_refuses_the_captured_visitor_who_has_no_session(serve: Serve) -> None:
    captured = load_capture(ROOT / "tests/captures/bearer-anonymous.json")
    port = serve(*GUNICORN, "examples.hello:application", DJAODJIN_SECRET_KEY=captured.secret_key)
    assert replay(port, captured)[0] == 403


def test_gunicorn_answers_a_captured_jwt_under_the_clock_of_its_capture(
    serve: Serve, tmp_path: Path
) -> None:
    captured = load_capture(ROOT / "tests/captures/bearer-authenticated.json")
    (tmp_path / "clock.py").write_text(
        "import time\n"
        f"time.time = lambda: {captured.captured_at}\n"
        "from examples.hello import application\n"
    )
    port = serve(
        "-m",
        "gunicorn",
        "-b",
        "127.0.0.1:{port}",
        "--pythonpath",
        str(tmp_path),
        "clock:application",
        DJAODJIN_SECRET_KEY=captured.secret_key,
    )
    status, _, body = replay(port, captured)
    assert status == 200
    assert shown_session(body) == captured.session


def test_the_hello_example_shows_no_credentials(serve: Serve) -> None:
    port = serve(*SERVERS["waitress"], "examples.hello:application", DJAODJIN_SECRET_KEY=KEY)
    session = {**XIA, "access_key": "AKIA", "secret_key": "s3cret"}
    _, _, body = http(port, Cookie=f"sessionid={dumps(session, KEY)}")
    assert b"AKIA" not in body
    assert b"s3cret" not in body


def test_the_hello_example_escapes_names(serve: Serve) -> None:
    port = serve(*SERVERS["waitress"], "examples.hello:application", DJAODJIN_SECRET_KEY=KEY)
    evil = "<script>alert(1)</script>"
    organization = {"slug": evil, "printable_name": evil, "subscriptions": [{"plan": evil}]}
    session = {"username": evil, "roles": {evil: [organization]}, "site": {"printable_name": evil}}
    _, _, body = http(port, Cookie=f"sessionid={dumps(session, KEY)}")
    assert b"<script" not in body
    assert shown_session(body) == session


def test_a_header_past_the_limit_of_gunicorn_is_why_the_example_raises_it(serve: Serve) -> None:
    large = {**XIA, "bio": "x" * 6500}
    headers = {"Cookie": f"sessionid={dumps(large, KEY)}"}
    plain = ("-m", "gunicorn", "-b", "127.0.0.1:{port}", "examples.hello:application")
    port = serve(*plain, DJAODJIN_SECRET_KEY=KEY)
    assert http(port, **headers)[0] in (400, 431)  # depends on its version
    port = serve(*GUNICORN, "examples.hello:application", DJAODJIN_SECRET_KEY=KEY)
    assert http(port, **headers)[0] == 200


def test_the_hello_example_does_not_start_without_a_key() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "import examples.hello"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "no secret key: set DJAODJIN_SECRET_KEY" in result.stderr


@pytest.fixture
def django_app(serve: Serve, tmp_path: Path) -> int:
    """The Django example under gunicorn; xia is a superuser in its database."""
    pytest.importorskip("rest_framework")
    variables = {
        "DJAODJIN_SECRET_KEY": KEY,
        "SECRET_KEY": "a secret of the application",
        "ALLOWED_HOSTS": "127.0.0.1",
        "DATABASE_PATH": str(tmp_path / "db.sqlite3"),
        "DJANGO_SUPERUSER_USERNAME": "xia",
        "DJANGO_SUPERUSER_EMAIL": "xia@example.com",
        "DJANGO_SUPERUSER_PASSWORD": "not used",
    }
    for arguments in (
        ["check", "--fail-level", "WARNING"],
        ["migrate", "--verbosity", "0"],
        ["createsuperuser", "--noinput", "--verbosity", "0"],
    ):
        subprocess.run(
            [sys.executable, "examples/django_app/manage.py", *arguments],
            cwd=ROOT,
            env=environment(**variables),
            check=True,
        )
    return serve(*GUNICORN, "examples.django_app.wsgi:application", **variables)


def test_the_django_example_answers_as_the_session_says(django_app: int) -> None:
    port = django_app
    xia = {"Cookie": f'_ga=1; sessionid="{dumps(XIA, KEY)}"'}
    dana = {"Cookie": f'sessionid="{dumps({"username": "dana"}, KEY)}"'}

    status, headers, body = http(port, "/app/", **xia)
    assert status == 200
    assert b"<h1>Hello, xia</h1>" in body
    assert b'<a href="/manage/xia/">Xia Lee</a>' in body
    assert b"<li>basic</li>" in body
    assert b"You have been here 1 time." in body
    local = headers["set-cookie"].partition(";")[0]
    assert local.startswith("djsession_local=")
    _, _, body = http(port, "/", Cookie=f"{xia['Cookie']}; {local}")
    assert b"You have been here 2 times." in body
    _, _, body = http(port, "/", Cookie=f"{dana['Cookie']}; {local}")
    assert b"Hello, dana" in body
    assert b"You have been here 1 time." in body

    for refused in ({}, {"Cookie": "sessionid=garbage"}, {"Authorization": "Bearer garbage"}):
        status, headers, body = http(port, "/app/", **refused)
        assert status == 403
        assert b"<h1>Not for you</h1>" in body
        assert headers["cache-control"] == "no-store"
        assert headers["vary"] == "Cookie, Authorization"
    assert http(port, "/about/")[0] == 200
    assert http(port, "/about/", SCRIPT_NAME="/about")[0] == 403
    assert http(port, "/login/")[0] == 403  # no mockup logins without DEBUG

    assert http(port, "/manage/xia/", **xia)[0] == 200
    assert http(port, "/manage/xia/", **dana)[0] == 403
    assert http(port, "/course/", **xia)[0] == 200
    assert http(port, "/course/", **dana)[0] == 403
    assert json.loads(http(port, "/api/me", **xia)[2]) == {"username": "xia"}
    assert json.loads(http(port, "/session", **xia)[2]) == XIA
    token = dumps(XIA, KEY, format="jwt")
    assert json.loads(http(port, "/api/me", Authorization=f"Bearer {token}")[2]) == {
        "username": "xia"
    }

    broker = MockupSessions(ROOT / "examples/sessions.yaml").by_name["alice"]
    alice = {"Cookie": f'sessionid="{dumps(broker, KEY)}"'}
    status, _, body = http(port, "/admin/", **alice)
    assert status == 200
    assert b"Site administration" in body
    # The database has a superuser of that name, whom the roles at the proxy overrule.
    assert http(port, "/admin/", **xia)[0] == 302
    assert http(port, "/admin/", **dana)[0] == 302


def test_the_django_example_has_mockup_logins(serve: Serve, tmp_path: Path) -> None:
    pytest.importorskip("rest_framework")
    variables = {
        "DJAODJIN_SECRET_KEY": KEY,
        "DEBUG": "1",
        "DATABASE_PATH": str(tmp_path / "db.sqlite3"),
        "SECRET_KEY": "a secret of the application",
    }
    manage = "examples/django_app/manage.py"
    subprocess.run(
        [sys.executable, manage, "migrate", "--verbosity", "0"],
        cwd=ROOT,
        env=environment(**variables),
        check=True,
    )
    port = serve(manage, "runserver", "--noreload", "{port}", **variables)
    status, _, body = http(port, "/login/")
    assert status == 200
    assert b"alice" in body
    form = "username=xia&password=any&next=/app/"
    status, headers, _ = raw_http(
        port,
        f"POST /login/ HTTP/1.1\nHost: 127.0.0.1:{port}\nConnection: close\n"
        "Content-Type: application/x-www-form-urlencoded\n"
        f"Content-Length: {len(form)}\n\n{form}",
    )
    assert (status, headers["location"]) == (303, "/app/")
    cookie = headers["set-cookie"].partition(";")[0]
    assert b"Hello, xia" in http(port, "/app/", Cookie=cookie)[2]
    for refused in ({"X_Forwarded_For": "203.0.113.7"}, {"Origin": "https://www.example.com"}):
        status, _, body = http(port, "/login/", **refused)
        assert status == 403
        assert b"alice" not in body
    request = f"GET /login/ HTTP/1.0\nHost: 127.0.0.1:{port}\n\n"
    assert raw_http(port, request)[0] == 403
