"""The mockup logins in the URLs of a project."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.template import TemplateDoesNotExist
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path, reverse, reverse_lazy

from djsession import ConfigurationError, dumps, loads
from djsession.django.middleware import SessionMiddleware
from djsession.django.mockup import views
from djsession.mockup import MockupApp
from tests.django.urls import urlpatterns
from tests.django.views import nothing
from tests.helpers.django_clients import as_user, cookie, run
from tests.helpers.django_handlers import by_asgi, by_wsgi, urlconf
from tests.helpers.sessions import KEY, OTHER_KEY, XIA


def test_the_mockup_urls_have_the_documented_names() -> None:
    assert [reverse(name) for name in ("login", "logout", "api_login", "api_timer")] == [
        "/login/",
        "/logout/",
        "/api/auth",
        "/api/timer",
    ]
    assert reverse("api_profile", args=("xia",)) == "/api/profile/xia"
    assert reverse("users_profile", kwargs={"user": "x.lee@example.com"}) == (
        "/users/x.lee@example.com/"
    )


@pytest.mark.django_db
def test_one_can_sign_in_and_out_at_the_mockup_login() -> None:
    browser = Client(enforce_csrf_checks=True)
    page = browser.get("/login/?next=/whoami")
    assert page.status_code == 200
    assert b"alice" in page.content
    assert "style-src" in page.headers["Content-Security-Policy"]
    response = browser.post("/login/", {"username": "xia", "password": "any", "next": "/whoami"})
    assert response.status_code == 303
    assert response.headers["Location"] == "/whoami"
    assert browser.get("/whoami").json()["user"] == "xia"
    response = browser.post("/logout/")
    assert response.headers["Location"] == "/login/"
    assert browser.get("/whoami").status_code == 403


@pytest.mark.django_db
def test_a_click_on_a_user_signs_in() -> None:
    browser = Client()
    browser.post("/login/", {"user": "alice"})
    assert browser.get("/whoami").json()["user"] == "alice"


def test_the_mockup_login_explains_an_unknown_user() -> None:
    response = Client().post("/login/", {"username": "nobody"})
    assert response.status_code == 401
    assert b"Unknown mockup user" in response.content


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "/\\evil.example"])
def test_next_at_the_mockup_login_never_leaves_the_site(target: str) -> None:
    response = Client().post("/login/", {"username": "xia", "next": target})
    assert response.headers["Location"] == "/"


def test_another_site_cannot_sign_anybody_in_at_the_mockup_login() -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    response = Client().post("/login/", {"username": "xia"}, headers=headers)
    assert response.status_code == 403
    assert not response.cookies


@pytest.mark.django_db
def test_the_mockup_api_gives_a_token() -> None:
    body = json.dumps({"username": "xia", "password": "any"})
    response = Client().post("/api/auth", body, content_type="application/json")
    assert response.status_code == 201
    token = response.json()["token"]
    assert loads(token, KEY).username == "xia"
    headers = {"Authorization": f"Bearer {token}"}
    assert Client().get("/whoami", headers=headers).json()["user"] == "xia"
    assert "token" in Client().get("/api/auth", headers=headers).json()
    assert Client().get("/api/auth").status_code == 401


def test_the_mockup_login_answers_to_names_of_this_machine_only() -> None:
    with override_settings(ALLOWED_HOSTS=["*"]):
        assert Client().get("/login/", headers={"Host": "www.example.com"}).status_code == 403
        assert Client().get("/login/", headers={"Host": "localhost:8000"}).status_code == 200
    with override_settings(
        ALLOWED_HOSTS=["*"],
        DJSESSION={
            "MOCKUP": {"xia": XIA},
            "MOCKUP_HOSTS": ["dev.example.com"],
            "MOCKUP_WITHOUT_DEBUG": True,
        },
    ):
        assert Client().get("/login/", headers={"Host": "dev.example.com"}).status_code == 200


def test_the_mockup_sessions_of_deployutils_are_read() -> None:
    """A dict in the settings, with a Python None, as the seed document has it."""
    with override_settings(
        DEPLOYUTILS={"MOCKUP_SESSIONS": {"bob": {**XIA, "username": "bob"}}},
        DJSESSION={"MOCKUP_WITHOUT_DEBUG": True},
    ):
        assert b"bob" in Client().get("/login/").content
        assert Client().post("/login/", {"username": "bob"}).status_code == 303
        assert Client().post("/login/", {"username": "xia"}).status_code == 401


def test_without_mockup_sessions_the_message_says_so() -> None:
    with (
        override_settings(
            DJSESSION={"MOCKUP_WITHOUT_DEBUG": True, "ALLOWED_NO_SESSION": ["/login"]}
        ),
        pytest.raises(ConfigurationError, match="no mockup sessions are configured"),
    ):
        Client().get("/login/")


def test_the_mockup_profile_of_an_organization_is_that_of_the_file() -> None:
    answer = as_user(Client()).get(reverse("api_profile", args=("cowork",)))
    assert answer.status_code == 200
    assert answer.json() == {
        "slug": "cowork",
        "printable_name": "Chamoix Coworking",
        "created_at": "2017-09-14T23:16:55Z",
        "email": "support@cowork.net",
    }
    assert as_user(Client()).get("/api/profile/other").status_code == 404


def test_the_mockup_profile_of_a_user_is_that_of_the_file() -> None:
    answer = as_user(Client()).get(reverse("users_profile", args=("dana",)))
    assert answer.json() == {
        "slug": "dana",
        "username": "dana",
        "printable_name": "dana",
        "email": None,
    }
    assert as_user(Client()).get("/users/nobody/").status_code == 404


def test_the_mockup_api_accepts_the_time_that_a_page_reports() -> None:
    client = as_user(Client(enforce_csrf_checks=True))
    answer = client.post("/api/timer", {"display_timedelta": 135}, content_type="application/json")
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    ("setting", "location", "mounted"),
    [
        ("/app/?a=b", "/app/?a=b", "/app/?a=b"),
        ("app", "/app/", "/mounted/app/"),
        (reverse_lazy("about"), "/about/", "/mounted/about/"),
        ("/日本/", "/%E6%97%A5%E6%9C%AC/", "/%E6%97%A5%E6%9C%AC/"),
        ("https://www.example.com/start", *["https://www.example.com/start"] * 2),
    ],
    ids=["path", "name", "lazy", "not ASCII", "URL"],
)
def test_a_mockup_login_leads_to_login_redirect_url(
    setting: Any, location: str, mounted: str
) -> None:
    urls = urlconf([*urlpatterns, path("app/", nothing, name="app")])
    with override_settings(LOGIN_REDIRECT_URL=setting, ROOT_URLCONF=urls):
        for form in ({}, {"next": ""}, {"next": "//evil.example"}, {"next": "/login/"}):
            answer = Client().post("/login/", {"username": "xia", **form})
            assert answer.headers["Location"] == location
        answer = Client().post("/login/", {"username": "xia", "next": "/whoami"})
        assert answer.headers["Location"] == "/whoami"
        # As in Django, a name is a URL below the mount point, and a path is what it says.
        for send in (by_wsgi, by_asgi):
            page = send("/login/", script_name="/mounted", **LOCAL).body.decode()
            assert f'name="next" value="{mounted}"' in page


@pytest.mark.parametrize(
    "engines",
    [[], [{"BACKEND": "django.template.backends.jinja2.Jinja2", "APP_DIRS": True}]],
    ids=["none", "Jinja2"],
)
def test_the_mockup_login_has_a_page_without_djangos_template(
    engines: list[Any],
) -> None:
    with override_settings(TEMPLATES=engines):
        answer = Client().get("/login/")
    assert answer.status_code == 200
    assert b"Sign in" in answer.content
    assert "style-src" in answer.headers["Content-Security-Policy"]


def test_a_broken_login_template_of_the_project_is_an_error(tmp_path: Any, settings: Any) -> None:
    (tmp_path / "djsession").mkdir()
    (tmp_path / "djsession" / "login.html").write_text('{% extends "no-such.html" %}')
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    with pytest.raises(TemplateDoesNotExist, match="no-such"):
        Client().get("/login/")


def test_a_project_can_have_a_login_page_of_its_own(tmp_path: Any, settings: Any) -> None:
    folder = tmp_path / "djsession"
    folder.mkdir()
    (folder / "login.html").write_text(
        "<h1>Mine</h1>"
        "{% for name, session in users %}{{ name }}:{{ session.username }} {% endfor %}"
        "{{ next_url }} {{ login_url }} {{ request.path }}<script>1</script>"
    )
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    response = Client().get("/login/?next=/app/")
    assert response.content.decode() == (
        "<h1>Mine</h1>alice:alice xia:xia dana:dana /app/ /login/ /login/<script>1</script>"
    )
    # The policy of the page that it replaces would forbid its script.
    assert "Content-Security-Policy" not in response.headers


PAGES = ["/login/", "/logout/", "/api/auth", "/djsession/"]
FOR_USERS = ["/api/profile/xia", "/users/xia/", "/api/timer"]


@pytest.mark.parametrize("mockup", [{}, {"MOCKUP": {"xia": XIA}}], ids=["no sessions", "sessions"])
def test_without_debug_every_mockup_page_is_closed_and_answers_404(mockup: dict[str, Any]) -> None:
    with override_settings(DJSESSION=mockup):
        for target in (*PAGES, *FOR_USERS):
            assert Client().get(target).status_code == 403
            for method in ("get", "post", "options"):
                response = getattr(as_user(Client()), method)(target)
                assert response.status_code == 404
                assert b"xia" not in response.content.replace(target.encode(), b"")
                assert "sessionid" not in response.cookies
    with override_settings(DJSESSION={**mockup, "ALLOWED_NO_SESSION": [reverse_lazy("login")]}):
        assert Client().post("/login/", {"username": "xia"}).status_code == 404


@pytest.mark.parametrize("overrides", [{}, {"DEBUG": True, "DJSESSION": {"MOCKUP": {"xia": XIA}}}])
def test_with_debug_only_the_mockup_pages_for_visitors_are_open(overrides: dict[str, Any]) -> None:
    with override_settings(**overrides):
        for target in PAGES:
            assert Client().get(target).status_code != 403
        for target in FOR_USERS:
            assert Client().get(target).status_code == 403


def test_mockups_follow_the_debug_of_the_project_that_test_runners_switch_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.test.utils import _TestState

    monkeypatch.setattr(_TestState.saved_data, "debug", True)
    with override_settings(DJSESSION={"MOCKUP": {"xia": XIA}}):
        assert Client().get("/login/").status_code == 200


def test_a_login_page_of_the_project_is_not_an_open_path() -> None:
    """The gate opens the mockup pages by their view, not by the name of their URL."""
    with override_settings(ROOT_URLCONF="tests.django.urls_with_login"):
        from djsession.django.conf import get_gate

        assert "/login/" not in get_gate().settings.allowed_no_session
        assert Client().get("/login/").status_code == 403


HTML = {"Accept": "text/html,*/*;q=0.8"}


def test_the_inspector_shows_the_session_of_the_request() -> None:
    page = as_user(Client()).get("/djsession/").content.decode()
    assert "Signed in as</p><h1>xia</h1>" in page
    assert "Nobody is signed in" in Client().get("/djsession/").content.decode()


@pytest.mark.django_db
def test_the_inspector_lists_the_requests_of_the_project() -> None:
    views._mockups.cache_clear()
    as_user(Client()).get("/whoami?a=b")
    Client().get("/whoami")
    Client(headers=HTML).get("/whoami")
    as_user(Client()).get("/djsession/")
    assert [
        (request.method, request.path, request.status, request.verdict, request.user)
        for request in views._mockups("").recent.latest()
    ] == [
        ("GET", "/whoami", 303, "sign in", None),
        ("GET", "/whoami", 403, "refused", None),
        ("GET", "/whoami", 200, "passed", "xia"),
    ]


def test_a_browser_that_is_refused_is_told_why_where_mockups_are_on() -> None:
    client = Client(headers=HTML)
    client.cookies["sessionid"] = dumps(XIA, OTHER_KEY)
    response = client.get("/whoami")
    assert response.status_code == 403
    page = response.content.decode()
    assert "from an earlier run of the server" in page
    assert 'href="/login/?next=%2Fwhoami">Sign in again</a>' in page
    # Without a token there is nothing to explain: the browser is sent to the login page.
    response = Client(headers=HTML).get("/whoami?a=b")
    assert response.status_code == 303
    assert response.headers["Location"] == "/login/?next=%2Fwhoami%3Fa%3Db"
    # A client that is not a browser, and a request for another host, get the project's own page.
    assert b"Not for you" in Client().get("/whoami").content
    with override_settings(ALLOWED_HOSTS=["*"]):
        response = Client(headers={**HTML, "Host": "www.example.com"}).get("/whoami")
    assert b"Not for you" in response.content


def test_a_mockup_file_that_cannot_be_read_is_reported(tmp_path: Any) -> None:
    mockup = {"MOCKUP": str(tmp_path / "none.yaml"), "MOCKUP_WITHOUT_DEBUG": True}
    with override_settings(DJSESSION=mockup, DEBUG=True):
        response = Client().get("/login/")
        assert response.status_code == 500
        assert response.content.decode().startswith(f"{tmp_path}/none.yaml")
        assert KEY not in response.content.decode()
        assert Client(headers=HTML).get("/whoami").status_code == 403


@pytest.mark.parametrize(
    "overrides",
    [
        {"DJSESSION": {}},
        {"DJSESSION": {"MOCKUP": {"xia": XIA}}},
        {"ROOT_URLCONF": "tests.django.urls_with_login"},
    ],
    ids=["no mockups", "DEBUG is off", "no URLs"],
)
def test_a_refusal_that_mockups_do_not_explain_shows_the_page_of_the_project(
    overrides: dict[str, Any],
) -> None:
    with override_settings(**overrides):
        response = Client(headers=HTML).get("/whoami")
    assert response.status_code == 403
    assert response.content.startswith(b"<h1>Not for you</h1>")


MOCKUP: dict[str, Any] = {"MOCKUP": {"xia": XIA}, "MOCKUP_WITHOUT_DEBUG": True}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[MockupApp]:
    """The MockupApps that are made during a test."""
    apps: list[MockupApp] = []
    original = MockupApp.__init__

    def spy(self: MockupApp, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        apps.append(self)

    monkeypatch.setattr(MockupApp, "__init__", spy)
    return apps


LOCAL: dict[str, Any] = {"HTTP_HOST": "localhost", "HTTP_ACCEPT": "text/html"}


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("send", [by_wsgi, by_asgi], ids=["WSGI", "ASGI"])
class TestMockupsBelowAMountPoint:
    def test_links_of_mockup_pages_lead_below_the_mount_point(self, send: Any) -> None:
        with override_settings(DJSESSION=MOCKUP):
            page = send("/login/", script_name="/mounted", **LOCAL)
            assert page.code == 200
            assert b'action="/mounted/login/"' in page.body
            answer = send("/whoami", script_name="/mounted", **LOCAL)
            assert answer.code == 303
            assert answer.headers["Location"] == "/mounted/login/?next=%2Fmounted%2Fwhoami"
            answer = send("/日本", script_name="/é", **LOCAL)
            assert answer.headers["Location"] == (
                "/%C3%A9/login/?next=%2F%25C3%25A9%2F%25E6%2597%25A5%25E6%259C%25AC"
            )

    def test_one_mockup_object_serves_every_mount_point(
        self, send: Any, made: list[MockupApp]
    ) -> None:
        with override_settings(DJSESSION=MOCKUP):
            for script_name in ("", *(f"/mount-{number}" for number in range(5))):
                for target, status in (("/login/", 200), ("/whoami", 303)):
                    assert send(target, script_name=script_name, **LOCAL).code == status
        assert len(made) == 1


@pytest.mark.usefixtures("db")
def test_mockup_urls_in_another_namespace_have_their_own_paths(made: list[MockupApp]) -> None:
    inner = include(("djsession.django.mockup.urls", "mockup"))
    spaces = urlconf([*urlpatterns, path("one/", inner)])
    opened = {**MOCKUP, "ALLOWED_NO_SESSION": [reverse_lazy("mockup:login")]}
    with override_settings(ROOT_URLCONF=spaces, DJSESSION=opened):
        for _ in range(2):
            assert b'action="/one/login/"' in Client().get("/one/login/").content
            assert b'action="/login/"' in Client().get("/login/").content
            response = Client().post("/one/login/", {"username": "xia", "next": "/one/login/"})
            assert (response.status_code, response.headers["Location"]) == (303, "/")
        # The first request may come below a mount point.
        views._mockups.cache_clear()
        page = by_wsgi("/one/login/", script_name="/mounted", **LOCAL)
        assert b'action="/mounted/one/login/"' in page.body
    assert len(made) == 4  # one for each namespace, before and after


REMOTE: list[dict[str, str]] = [
    {"REMOTE_ADDR": "203.0.113.7"},
    {"REMOTE_ADDR": ""},
    {"HTTP_HOST": "www.example.com"},
    {"HTTP_ORIGIN": "https://www.example.com"},
    {"HTTP_X_FORWARDED_FOR": "203.0.113.7"},
    {"HTTP_FORWARDED": "for=203.0.113.7"},
    {"HTTP_X_FORWARDED_HOST": "www.example.com"},
    {"HTTP_X_REAL_IP": "203.0.113.7"},
    {"HTTP_VIA": "1.1 proxy.example.com"},
    {"SERVER_PROTOCOL": "HTTP/1.0"},
]


@pytest.mark.usefixtures("db")
class TestMockupsFromAnotherMachine:
    @pytest.mark.parametrize("meta", REMOTE, ids=lambda meta: next(iter(meta)))
    def test_a_request_from_elsewhere_is_refused(self, meta: dict[str, str]) -> None:
        with override_settings(DJSESSION=MOCKUP, ALLOWED_HOSTS=["*"]):
            for target in (*PAGES, "/api/profile/xia", "/users/xia/"):
                answer = by_wsgi(target, **{**LOCAL, **meta, "HTTP_COOKIE": cookie()})
                assert answer.code == 403
                assert b"xia" not in answer.body
                assert "Set-Cookie" not in answer.headers
            assert b"MOCKUP_ALLOW_REMOTE" in answer.body
            # The project's own page does not lead to the login page.
            assert by_wsgi("/whoami", **{**LOCAL, **meta}).body.startswith(b"<h1>Not for you")

    @pytest.mark.parametrize("meta", REMOTE[2:-1], ids=lambda meta: next(iter(meta)))
    def test_a_request_from_elsewhere_is_refused_under_asgi(self, meta: dict[str, str]) -> None:
        with override_settings(DJSESSION=MOCKUP, ALLOWED_HOSTS=["*"]):
            assert by_asgi("/login/", **{**LOCAL, **meta}).code == 403
            assert by_asgi("/whoami", **{**LOCAL, **meta}).body.startswith(b"<h1>Not for you")

    @pytest.mark.parametrize(
        ("scope", "status"),
        [
            ({}, 200),
            ({"http_version": "2"}, 200),
            ({"http_version": "1.0"}, 403),
            ({"http_version": ""}, 403),
            ({"client": ["203.0.113.7", 1]}, 403),
            ({"client": None}, 403),
            ({"client": ["::ffff:127.0.0.1", 1]}, 200),
        ],
        ids=str,
    )
    def test_the_peer_and_the_protocol_are_checked_under_asgi(
        self, scope: dict[str, Any], status: int
    ) -> None:
        with override_settings(DJSESSION=MOCKUP):
            assert by_asgi("/login/", scope=scope, **LOCAL).code == status

    def test_a_request_without_a_host_is_refused(self, request: pytest.FixtureRequest) -> None:
        with override_settings(DJSESSION=MOCKUP, ALLOWED_HOSTS=["*"]):
            assert by_wsgi("/login/").code == 200
            request.getfixturevalue("outside_of_tests")
            with override_settings(ALLOWED_HOSTS=["*"]):
                assert by_wsgi("/login/", SERVER_NAME="127.0.0.1").code == 403
                assert by_wsgi("/login/", HTTP_HOST="testserver").code == 403
                assert by_wsgi("/login/", HTTP_HOST="localhost").code == 200


ANYWHERE = {**MOCKUP, "MOCKUP_ALLOW_REMOTE": True}
AFAR = {"REMOTE_ADDR": "203.0.113.7", "HTTP_HOST": "dev.example.com", "HTTP_ACCEPT": "text/html"}


class TestMockupAllowRemote:
    @pytest.fixture(autouse=True)
    def _anywhere(self) -> Any:
        with override_settings(DJSESSION=ANYWHERE, ALLOWED_HOSTS=["*"]):
            yield

    def test_the_login_url_is_printed_once_at_start(
        self, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        SessionMiddleware(lambda request: None)
        printed = capsys.readouterr().err
        assert printed.startswith("Mockup logins: sign in at /login/?key=")
        key = printed.strip().partition("?key=")[2]
        assert len(key) == 43
        for _ in range(2):
            SessionMiddleware(lambda request: None)
            Client().get(f"/login/?key={key}")
            Client().get("/whoami", headers=HTML)
        assert capsys.readouterr().err == ""
        assert key not in caplog.text

    @pytest.mark.django_db
    def test_a_sign_in_needs_the_key(self) -> None:
        client = Client(**AFAR)
        assert client.get("/login/").status_code == 403
        response = client.post("/login/", {"username": "xia"})
        assert response.status_code == 403
        assert not response.cookies
        body = json.dumps({"username": "xia", "password": "any"})
        assert client.post("/api/auth", body, "application/json").status_code == 403
        response = client.get(views._mockups("").login_path)
        assert (response.status_code, response.headers["Location"]) == (303, "/login/")
        assert client.get("/login/").status_code == 200
        assert client.post("/login/", {"username": "xia"}).status_code == 303
        assert client.get("/whoami").json()["user"] == "xia"
        assert client.post("/api/auth", body, "application/json").status_code == 201

    def test_without_mockups_nothing_is_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        for mockup in (
            {"MOCKUP_ALLOW_REMOTE": True},
            {"MOCKUP_ALLOW_REMOTE": True, "MOCKUP": {"xia": XIA}},  # DEBUG is off
            {**ANYWHERE, "MOCKUP": "no-such.yaml"},
        ):
            with override_settings(DJSESSION=mockup):
                SessionMiddleware(lambda request: None)
        with override_settings(ROOT_URLCONF="tests.django.urls_with_login"):
            SessionMiddleware(lambda request: None)
        assert capsys.readouterr().err == ""


@pytest.mark.django_db(transaction=True)
def test_the_async_test_client_signs_in_and_out() -> None:
    async def scenario() -> None:
        client = AsyncClient()
        assert (await client.get("/login/")).status_code == 200
        response = await client.post("/login/", {"username": "xia", "next": "/awhoami"})
        assert (response.status_code, response.headers["Location"]) == (303, "/awhoami")
        assert (await client.get("/awhoami")).json()["user"] == "xia"
        await client.post("/logout/")
        assert (await client.get("/awhoami")).status_code == 403

    run(scenario())


def test_no_answer_of_the_mockups_may_be_stored() -> None:
    client = Client(headers=HTML)
    for target in ("/login/", "/whoami", "/djsession/"):
        response = client.get(target)
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Vary"] == "Cookie, Authorization"
