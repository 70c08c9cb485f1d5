"""The mockup logins in the URLs of a project."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import reverse

from djsession import ConfigurationError, dumps, loads
from djsession.django.mockup import urls
from tests.conftest import KEY, OTHER_KEY, XIA
from tests.django.conftest import as_user


def test_the_names_of_the_urls() -> None:
    assert [reverse(name) for name in ("login", "logout", "api_login")] == [
        "/login/",
        "/logout/",
        "/api/auth",
    ]


@pytest.mark.django_db
def test_sign_in_and_out() -> None:
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
def test_a_click_signs_in_too() -> None:
    browser = Client()
    browser.post("/login/", {"user": "alice"})
    assert browser.get("/whoami").json()["user"] == "alice"


def test_an_unknown_user_is_told() -> None:
    response = Client().post("/login/", {"username": "nobody"})
    assert response.status_code == 401
    assert b"There is no mockup user of that name" in response.content


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "/\\evil.example"])
def test_next_never_leaves_the_site(target: str) -> None:
    response = Client().post("/login/", {"username": "xia", "next": target})
    assert response.headers["Location"] == "/"


def test_another_site_cannot_sign_anybody_in() -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    response = Client().post("/login/", {"username": "xia"}, headers=headers)
    assert response.status_code == 403
    assert not response.cookies


@pytest.mark.django_db
def test_the_api_gives_a_token() -> None:
    body = json.dumps({"username": "xia", "password": "any"})
    response = Client().post("/api/auth", body, content_type="application/json")
    assert response.status_code == 201
    token = response.json()["token"]
    assert loads(token, KEY).username == "xia"
    headers = {"Authorization": f"Bearer {token}"}
    assert Client().get("/whoami", headers=headers).json()["user"] == "xia"
    assert "token" in Client().get("/api/auth", headers=headers).json()
    assert Client().get("/api/auth").status_code == 401


def test_it_answers_to_names_of_this_machine_alone() -> None:
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


def test_the_sessions_of_deployutils() -> None:
    """A dict in the settings, with a Python None, as the seed document has it."""
    with override_settings(
        DEPLOYUTILS={"MOCKUP_SESSIONS": {"bob": {**XIA, "username": "bob"}}},
        DJSESSION={"MOCKUP_WITHOUT_DEBUG": True},
    ):
        assert b"bob" in Client().get("/login/").content
        assert Client().post("/login/", {"username": "bob"}).status_code == 303
        assert Client().post("/login/", {"username": "xia"}).status_code == 401


def test_without_sessions_the_message_says_so() -> None:
    with (
        override_settings(
            DJSESSION={"MOCKUP_WITHOUT_DEBUG": True, "ALLOWED_NO_SESSION": ["/login"]}
        ),
        pytest.raises(ConfigurationError, match="there are no mockup sessions"),
    ):
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


@pytest.mark.parametrize("asked", [False, True])
def test_the_urls_refuse_to_load_where_debug_is_off(asked: bool) -> None:
    with override_settings(DEBUG=False, DJSESSION={"MOCKUP_WITHOUT_DEBUG": asked}):
        if asked:
            importlib.reload(urls)
        else:
            with pytest.raises(ConfigurationError, match="DEBUG is off"):
                importlib.reload(urls)
    with override_settings(DEBUG=True, DJSESSION={}):
        importlib.reload(urls)


def test_where_debug_was_switched_off_later_the_view_refuses_as_well() -> None:
    with (
        override_settings(DJSESSION={"MOCKUP": {"xia": XIA}}),
        pytest.raises(ConfigurationError, match="DEBUG is off"),
    ):
        Client().get("/login/")


def test_the_debug_that_a_test_runner_switches_off_is_that_of_the_project(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.test.utils import _TestState

    monkeypatch.setattr(_TestState.saved_data, "debug", True)
    with override_settings(DJSESSION={"MOCKUP": {"xia": XIA}}):
        assert Client().get("/login/").status_code == 200


def test_a_login_page_that_is_not_ours_is_not_opened() -> None:
    """The gate opens the mockup pages by their view, not by the name of their URL."""
    with override_settings(ROOT_URLCONF="tests.django.urls_with_login"):
        from djsession.django.conf import get_gate

        assert "/login/" not in get_gate().settings.allowed_no_session
        assert Client().get("/login/").status_code == 403


HTML = {"Accept": "text/html,*/*;q=0.8"}


def test_the_inspector_shows_the_session_of_the_request() -> None:
    page = as_user(Client()).get("/djsession/").content.decode()
    assert "The session decodes, and is of <strong>xia</strong>." in page
    assert "This request has no session." in Client().get("/djsession/").content.decode()


def test_a_browser_that_is_refused_is_told_why_where_mockups_are_on() -> None:
    client = Client(headers=HTML)
    client.cookies["sessionid"] = dumps(XIA, OTHER_KEY)
    response = client.get("/whoami")
    assert response.status_code == 403
    page = response.content.decode()
    assert "the proxy has another one" in page
    assert 'href="/login/?next=%2Fwhoami">Sign in</a>' in page
    # Without a token there is nothing to be told: it is sent to the login page.
    response = Client(headers=HTML).get("/whoami?a=b")
    assert response.status_code == 303
    assert response.headers["Location"] == "/login/?next=%2Fwhoami%3Fa%3Db"
    # A client that is no browser, and a host that is not this machine, see the project's page.
    assert b"Not for you" in Client().get("/whoami").content
    with override_settings(ALLOWED_HOSTS=["*"]):
        response = Client(headers={**HTML, "Host": "www.example.com"}).get("/whoami")
    assert b"Not for you" in response.content


def test_a_file_that_cannot_be_read_is_said_to_be(tmp_path: Any) -> None:
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
def test_otherwise_the_page_of_the_project_shows(overrides: dict[str, Any]) -> None:
    with override_settings(**overrides):
        response = Client(headers=HTML).get("/whoami")
    assert response.status_code == 403
    assert response.content.startswith(b"<h1>Not for you</h1>")
