"""djsession.testing and its fixtures, with the real test clients."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from django.test import AsyncClient, Client

from djsession import ConfigurationError, SessionMiddleware, dumps, loads
from djsession.asgi import SessionMiddleware as AsgiMiddleware
from djsession.testing import log_in, log_out, session_headers
from tests.helpers.commands import ROOT
from tests.helpers.django_clients import run
from tests.helpers.sessions import KEY, OTHER_KEY, XIA


def test_session_headers_are_those_of_each_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = session_headers(XIA, KEY)
    assert list(headers) == ["Cookie"]
    assert loads(headers["Cookie"].removeprefix('sessionid="').rstrip('"'), KEY) == XIA
    headers = session_headers("xia", KEY, format="jwt")
    assert loads(headers["Authorization"].removeprefix("Bearer "), KEY).username == "xia"
    assert session_headers(XIA, KEY, cookie_name="mine")["Cookie"].startswith('mine="')
    with pytest.raises(ConfigurationError, match="no secret key"):
        session_headers(XIA)
    monkeypatch.setenv("DJAODJIN_SECRET_KEY", OTHER_KEY)
    assert loads(session_headers({})["Cookie"].split('"')[1], OTHER_KEY) == {}


def check_whoami(client: Any) -> None:
    assert client.get("/whoami").status_code == 403
    assert log_in(client, XIA).get("/whoami").json()["user"] == "xia"
    assert log_in(client, "alice").get("/whoami").json()["user"] == "alice"
    assert log_out(client).get("/whoami").status_code == 403


@pytest.mark.django_db(transaction=True)
def test_log_in_with_the_client_of_django_rest_framework() -> None:
    check_whoami(pytest.importorskip("rest_framework.test").APIClient())


@pytest.mark.django_db(transaction=True)
def test_log_in_with_the_clients_of_django() -> None:
    check_whoami(Client())

    async def scenario() -> None:
        client = log_in(AsyncClient(), XIA)
        assert (await client.get("/awhoami")).json()["user"] == "xia"
        assert (await log_out(client).get("/awhoami")).status_code == 403

    run(scenario())
    headers = session_headers(XIA, KEY, format="jwt")
    assert Client(headers=headers).get("/whoami").json()["user"] == "xia"


def flask_app(**config: Any) -> Any:
    pytest.importorskip("flask")
    from flask import Flask
    from flask import session as flask_session

    from djsession.flask import DjSession, current_user

    app = Flask(__name__)
    app.config.update(SECRET_KEY="s", DJAODJIN_SECRET_KEY=KEY, **config)
    DjSession(app)

    @app.get("/")
    def index() -> str:
        flask_session["seen"] = flask_session.get("seen", 0) + 1
        return f"{current_user.username} {flask_session['seen']}"

    return app


def test_log_in_with_the_client_of_flask() -> None:
    client = flask_app().test_client()
    assert client.get("/").status_code == 403
    assert log_in(client, XIA).get("/").text == "xia 1"
    assert client.get("/").text == "xia 2"
    assert log_out(client).get("/").status_code == 403
    client = flask_app(DJSESSION_COOKIE_NAME="mine").test_client()
    assert log_in(client, "alice").get("/").text == "alice 1"


def wsgi(environ: Any, start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REMOTE_USER"].encode()]


def test_log_in_with_webtest() -> None:
    webtest = pytest.importorskip("webtest")
    pytest.importorskip("pyramid")
    from pyramid.config import Configurator
    from pyramid.response import Response

    config = Configurator(settings={"djsession.secret_key": KEY, "djsession.cookie_name": "mine"})
    config.include("djsession.pyramid")
    config.add_route("home", "/")
    config.add_view(lambda request: Response(request.authenticated_userid), route_name="home")
    for app in (config.make_wsgi_app(), SessionMiddleware(wsgi, secret_key=KEY)):
        client = webtest.TestApp(app)
        assert client.get("/", expect_errors=True).status_code == 403
        assert log_in(client, XIA).get("/").text == "xia"
        assert log_out(client).get("/", expect_errors=True).status_code == 403
        assert client.get("/", headers=session_headers(XIA, KEY, cookie_name="mine"), status="*")


def asgi_apps(**settings: Any) -> list[Any]:
    """Return an ASGI application wrapped in the middleware, and one that was given it."""
    applications = pytest.importorskip("starlette.applications")
    from starlette.authentication import requires
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    @requires("authenticated", status_code=401)
    async def home(request: Any) -> Any:
        return PlainTextResponse(request.user.display_name)

    routes = [Route("/", home)]
    given = applications.Starlette(routes=routes)
    given.add_middleware(AsgiMiddleware, secret_key=KEY, **settings)
    derived = applications.Starlette(routes=routes)
    derived.add_middleware(type("Derived", (AsgiMiddleware,), {}), secret_key=KEY, **settings)
    wrapped = AsgiMiddleware(applications.Starlette(routes=routes), secret_key=KEY, **settings)

    async def outermost(scope: Any, receive: Any, send: Any) -> None:
        await wrapped(scope, receive, send)

    outermost.app = wrapped  # type: ignore[attr-defined]
    return [given, derived, wrapped, outermost]


@pytest.mark.parametrize("settings", [{}, {"cookie_name": "mine"}, {"formats": ["jwt"]}])
@pytest.mark.parametrize("package", ["starlette.testclient", "httpx", "httpx2"])
def test_log_in_with_starlette_and_httpx(package: str, settings: Any) -> None:
    module = pytest.importorskip(package)

    async def with_httpx(app: Any) -> None:
        transport = module.ASGITransport(app=app)
        async with module.AsyncClient(transport=transport, base_url="http://testserver") as client:
            assert (await client.get("/")).status_code == 403
            for user in ("alice", "bob"):
                assert (await log_in(client, user).get("/")).text == user
            assert (await log_out(client).get("/")).status_code == 403
            assert (await client.get("/", headers=headers)).text == "carol"

    headers = session_headers("carol", KEY, format="jwt")
    for app in asgi_apps(**settings):
        if hasattr(module, "AsyncClient"):
            asyncio.run(with_httpx(app))
            continue
        client = module.TestClient(app)
        assert client.get("/").status_code == 403
        for user in ("alice", "bob"):
            assert log_in(client, user).get("/").text == user
        assert log_out(client).get("/").status_code == 403
        assert client.get("/", headers=headers).text == "carol"


@pytest.mark.parametrize("package", ["httpx", "httpx2"])
def test_log_in_with_httpx_without_asgi(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    httpx = pytest.importorskip(package)
    app = SessionMiddleware(wsgi, secret_key=KEY, cookie_name="mine")
    base_url = "http://testserver"
    with httpx.Client(transport=httpx.WSGITransport(app=app), base_url=base_url) as client:
        assert log_in(client, XIA).get("/").text == "xia"
        # A cookie of the same name that the application has set for its own host.
        client.cookies.set("mine", dumps(XIA, KEY), domain="testserver.local", path="/")
        assert log_in(client, "alice").get("/").text == "alice"
        assert log_out(client).get("/").status_code == 403
    # A server that runs elsewhere: key and name come from the environment.
    monkeypatch.setenv("DJAODJIN_SECRET_KEY", OTHER_KEY)
    with httpx.Client() as client:
        [cookie] = log_in(client, XIA).cookies.jar
        assert cookie.name == "sessionid"
        assert loads(cookie.value, OTHER_KEY) == XIA


def test_log_in_at_a_site_with_the_jwt_backend() -> None:
    """Test clients send the token in the cookie, as mockup logins do."""
    client = flask_app(DJSESSION_FORMATS=["jwt"]).test_client()
    assert log_in(client, "alice").get("/").text == "alice 1"
    headers = session_headers("bob", KEY, format="jwt")
    # Behind the proxy the header counts, and the cookie does not.
    assert client.get("/", headers=headers).text == "bob 1"
    assert log_out(client).get("/").status_code == 403
    client.set_cookie("sessionid", session_headers("alice", KEY)["Cookie"].split('"')[1])
    assert client.get("/").status_code == 403


def test_log_in_with_an_unknown_client_says_what_to_do() -> None:
    with pytest.raises(TypeError, match="session_headers"):
        log_in(object(), XIA, KEY)


PLUGIN = ("-p", "_djsession_pytest")
DJANGO_PLUGIN = ("-p", "pytest_django.plugin")


@pytest.fixture(autouse=True)
def _plugins_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pytest that a test starts would take seconds to import every installed plugin."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


SESSIONS = """
xia:
  roles:
    manager:
      - {slug: xia, printable_name: Xia Lee}
"""

FASTAPI_CONFTEST = """
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from djsession.asgi import SessionMiddleware
from djsession.fastapi import CurrentSession

@pytest.fixture
def client(djsession_key):
    app = FastAPI()
    app.add_middleware(SessionMiddleware)

    @app.get("/")
    async def index(session: CurrentSession):
        return {"user": session.username, "accounts": session.managed_accounts}

    return TestClient(app)
"""

FASTAPI_TESTS = """
def test_nobody(client):
    assert client.get("/").status_code == 403

def test_somebody(client, login_as):
    assert login_as("xia") is client
    assert client.get("/").json() == {"user": "xia", "accounts": ["xia"]}
"""


def test_the_pytest_fixtures_with_fastapi(pytester: pytest.Pytester) -> None:
    pytest.importorskip("fastapi")
    (pytester.path / "sessions.yaml").write_text(SESSIONS)
    pytester.makeconftest(FASTAPI_CONFTEST)
    pytester.makepyfile(FASTAPI_TESTS)
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=2)


CONFTEST = """
import pytest
from flask import Flask
from djsession.flask import DjSession, current_session

@pytest.fixture
def client(djsession_key):
    app = Flask(__name__)
    app.config["SECRET_KEY"] = "s"
    DjSession(app)

    @app.get("/")
    def index():
        return f"{current_session.username} {current_session.managed_accounts}"

    return app.test_client()
"""

TESTS = """
import os
from djsession import loads
from djsession.asgi import SessionMiddleware as AsgiMiddleware
from djsession.testing import session_headers

def test_nobody(client):
    assert client.get("/").status_code == 403

def test_somebody(client, login_as):
    assert login_as("xia") is client
    assert client.get("/").text == "xia ['xia']"

def test_another_client(client, login_as):
    other = client.application.test_client()
    assert login_as("xia", other).get("/").status_code == 200
    assert client.get("/").status_code == 403

def test_the_key(djsession_key):
    assert os.environ["DJAODJIN_SECRET_KEY"] == djsession_key
    assert "sessionid" in session_headers("xia", djsession_key)["Cookie"]

def test_unknown(login_as):
    login_as("bob")
"""


def test_the_pytest_plugin_does_not_import_the_package(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It is found by its entry point.
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    pytester.makepyfile("""
        import sys

        def imported():
            return [name for name in sys.modules if name.partition(".")[0] == "djsession"]

        def test_before():
            assert "_djsession_pytest" in sys.modules
            assert not imported()

        def test_after(djsession_key):
            assert imported()
        """)
    pytester.runpytest_subprocess("-p", "no:django").assert_outcomes(passed=2)


@pytest.mark.parametrize("folder", ["", "data"])
def test_the_pytest_fixtures_with_flask(pytester: pytest.Pytester, folder: str) -> None:
    pytest.importorskip("flask")
    path = pytester.mkdir(folder) if folder else pytester.path
    (path / "sessions.yaml").write_text(SESSIONS)
    if folder:
        pytester.makeini("[pytest]\ndjsession_sessions = data/sessions.yaml\n")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess(*PLUGIN)
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*there is no mockup session 'bob': choose one of xia*"])


@pytest.mark.parametrize("options", [(), DJANGO_PLUGIN], ids=["alone", "pytest-django"])
def test_login_as_without_a_client_says_what_to_do(
    pytester: pytest.Pytester, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    (pytester.path / "sessions.yaml").write_text(SESSIONS)
    pytester.makepyfile('def test_somebody(login_as):\n    login_as("xia")\n')
    result = pytester.runpytest_subprocess(*PLUGIN, *options)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*there is no fixture 'client': pass a client to login_as(name, client)*"]
    )


@pytest.mark.parametrize("ini", ["", "djsession_sessions = own.yaml"], ids=["settings", "ini"])
def test_login_as_reads_the_mockups_that_the_settings_name(
    pytester: pytest.Pytester, ini: str
) -> None:
    pytest.importorskip("flask")
    (pytester.path / "mockups.yaml").write_text(SESSIONS)
    (pytester.path / "own.yaml").write_text(SESSIONS.replace("xia", "alice"))
    pytester.makeini(f"[pytest]\n{ini}")
    mockup = 'app.config["DJSESSION_MOCKUP"] = "mockups.yaml"'
    pytester.makeconftest(CONFTEST.replace("DjSession(app)", f"{mockup}\n    DjSession(app)"))
    name = "alice" if ini else "xia"
    pytester.makepyfile(f"""
        def test_somebody(client, login_as):
            assert login_as("{name}").get("/").text == "{name} ['{name}']"
        """)
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=1)


def test_the_pytest_fixtures_in_a_django_project(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.django_db
        def test_somebody(client, login_as, djsession_key, settings):
            assert djsession_key == settings.DJAODJIN_SECRET_KEY
            login_as("xia")
            assert client.get("/whoami").json()["user"] == "xia"

        @pytest.mark.django_db
        def test_with_other_settings(client, login_as, settings):
            settings.DJSESSION = {"MOCKUP": {"bob": {"roles": {}}}}
            assert login_as("bob").get("/whoami").json()["user"] == "bob"
        """
    )
    pytester.makeini(f"[pytest]\npythonpath = {ROOT}\nDJANGO_SETTINGS_MODULE=tests.django.settings")
    pytester.runpytest_subprocess(*PLUGIN, *DJANGO_PLUGIN).assert_outcomes(passed=2)
