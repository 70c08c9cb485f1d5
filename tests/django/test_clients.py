"""A project's own tests keep working: Django's test clients, and the admin."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import aget_user, alogin, get_user, get_user_model, login
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.urls import path

from djsession.django.middleware import SessionMiddleware
from djsession.errors import ProxiedKeyError
from tests.helpers.django_clients import as_user, avisit, cookie, read, run, store, visit
from tests.helpers.django_handlers import urlconf
from tests.helpers.sessions import KEY, XIA

User = get_user_model()

pytestmark = pytest.mark.django_db

ENGINES = ["encrypted_cookies", "jwt_session_store"]


@pytest.fixture(params=ENGINES, autouse=True)
def _engine(request: pytest.FixtureRequest) -> Any:
    with override_settings(SESSION_ENGINE=f"djsession.django.backends.{request.param}"):
        yield


def test_force_login() -> None:
    client = Client()
    client.force_login(User.objects.create(username="xia"))
    assert client.get("/whoami").json()["user"] == "xia"
    client.force_login(User.objects.create(username="alice"))
    assert client.get("/whoami").json()["user"] == "alice"
    assert User.objects.get(username="alice").last_login is not None
    client.logout()
    assert client.get("/whoami").status_code == 403


def test_login_with_a_password() -> None:
    User.objects.create_user("xia", password="secret")
    client = Client()
    assert client.login(username="xia", password="wrong") is False
    assert client.login(username="xia", password="secret") is True
    assert client.get("/whoami").json()["user"] == "xia"


def test_login_as_a_remote_user() -> None:
    client = Client()
    assert client.login(remote_user="xia") is True
    assert client.get("/whoami").json()["user"] == "xia"


def test_a_test_and_a_view_read_what_the_other_one_wrote() -> None:
    client = Client()
    client.force_login(User.objects.create(username="xia"))
    session = client.session
    session["cart"] = ["apple"]
    session.save()
    assert read(client, "cart") == ["apple"]
    store(client, "color", "red")
    assert client.session["color"] == "red"
    assert client.session["username"] == "xia"
    assert "djsession_local" not in client.cookies
    visit(client, lambda session: session.flush())
    assert client.session.get("cart") is None


def test_djangos_login_of_a_user_without_a_backend() -> None:
    user = User.objects.create(username="xia")
    assert not hasattr(user, "backend")
    request = RequestFactory().get("/")
    request.session = import_module(settings.SESSION_ENGINE).SessionStore()
    login(request, user)
    assert request.session["_auth_user_backend"] == settings.AUTHENTICATION_BACKENDS[0]
    assert get_user(request) == user

    client = as_user(Client())
    with override_settings(ROOT_URLCONF=urlconf([path("", sign_in)])):
        assert client.get("/").content == b"xia"


def sign_in(request: HttpRequest) -> HttpResponse:
    login(request, User.objects.get(username=request.user.get_username()))
    return HttpResponse(request.user.get_username())


@pytest.mark.django_db(transaction=True)
def test_djangos_alogin_of_a_user_without_a_backend() -> None:
    async def scenario() -> Any:
        request = RequestFactory().get("/")
        request.session = import_module(settings.SESSION_ENGINE).SessionStore()
        await alogin(request, await User.objects.acreate(username="xia"))
        return await aget_user(request)

    assert run(scenario()).get_username() == "xia"


@pytest.mark.parametrize("key", ["username", "roles", "site"])
def test_a_key_of_the_proxy_is_set_by_log_in(key: str) -> None:
    for session in (Client().session, as_user(Client()).session):
        with pytest.raises(ProxiedKeyError, match=r"djsession\.testing\.log_in"):
            session[key] = {}
        with pytest.raises(ProxiedKeyError, match=r"djsession\.testing\.log_in"):
            session.update({key: {}})


def test_a_visitor_in_a_test_has_a_client_session() -> None:
    client = Client()
    session = client.session
    session["cart"] = ["apple"]
    session.save()
    assert read(client, "cart", path="/open/session") == ["apple"]
    client.force_login(User.objects.create(username="xia"))
    assert client.session["cart"] == ["apple"]  # as in Django


def test_another_user_of_a_test_client_finds_no_local_session() -> None:
    client = Client()
    client.force_login(User.objects.create(username="xia"))
    store(client, "cart", ["apple"])
    client.force_login(User.objects.create(username="alice"))
    assert read(client, "cart") is None


def test_two_test_clients_share_no_session() -> None:
    user = User.objects.create(username="xia")
    one, two = Client(), Client()
    one.force_login(user)
    two.force_login(user)
    store(one, "cart", ["apple"])
    assert read(two, "cart") is None


def test_force_login_of_a_user_without_a_row() -> None:
    with override_settings(DJSESSION={"USER_SOURCE": "session", "ALLOWED_NO_SESSION": ["/open/"]}):
        client = Client()
        client.force_login(User(username="xia"))
        assert client.get("/whoami").json() == {"user": "xia", "pk": None}
        client.logout()
    assert User.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_the_async_test_client_logs_in_and_out() -> None:
    async def scenario() -> None:
        client = AsyncClient()
        user = await User.objects.acreate(username="xia")
        await client.aforce_login(user)
        assert (await client.get("/awhoami")).json()["user"] == "xia"
        session = await client.asession()
        session["cart"] = ["apple"]
        await session.asave()
        assert await avisit(client, lambda session: session.aget("cart")) == ["apple"]
        await avisit(client, lambda session: session.aset("color", "red"))
        assert await (await client.asession()).aget("color") == "red"
        await client.alogout()
        assert (await client.get("/awhoami")).status_code == 403
        user.set_password("secret")
        await user.asave()
        assert await client.alogin(username="xia", password="secret")
        assert not await AsyncClient().alogin(username="xia", password="wrong")
        assert (await client.get("/awhoami")).json()["user"] == "xia"

    run(scenario())


def test_request_factory_and_middleware() -> None:
    request = RequestFactory().get("/", HTTP_COOKIE=cookie())
    SessionMiddleware(AuthenticationMiddleware(lambda _: HttpResponse()))(request)
    assert request.user.username == "xia"
    request.session["a"] = 1
    assert request.session["a"] == 1


def test_the_local_session_of_a_test_client_counts_in_tests_only(
    request: pytest.FixtureRequest,
) -> None:
    client = Client()
    client.force_login(User.objects.create(username="xia"))
    session = client.session
    session["cart"] = ["apple"]
    session.save()
    token = client.cookies["sessionid"].value
    request.getfixturevalue("outside_of_tests")
    sent = RequestFactory().get("/", HTTP_COOKIE=f"sessionid={token}")
    SessionMiddleware(lambda _: HttpResponse())(sent)
    assert sent.session.get("cart") is None
    assert "_djsession_test" not in list(sent.session.keys())


class TestAdmin:
    @pytest.fixture
    def staff(self) -> Client:
        User.objects.create(username="xia", is_staff=True, is_superuser=True)
        client: Client = as_user(Client(enforce_csrf_checks=True))
        return client

    def test_a_staff_user_works_in_it(self, staff: Client) -> None:
        assert b"Site administration" in staff.get("/admin/").content
        page = staff.get("/admin/auth/group/add/")
        token = page.context["csrf_token"]
        data = {"name": "editors", "csrfmiddlewaretoken": str(token)}
        response = staff.post("/admin/auth/group/add/", data, follow=True)
        assert b"was added successfully" in response.content

    def test_a_password_can_be_changed(self, staff: Client) -> None:
        user = User.objects.get()
        user.set_password("old-password-1")
        user.save()
        token = str(staff.get("/admin/password_change/").context["csrf_token"])
        data = {
            "old_password": "old-password-1",
            "new_password1": "another-Pa55word",
            "new_password2": "another-Pa55word",
            "csrfmiddlewaretoken": token,
        }
        response = staff.post("/admin/password_change/", data, follow=True)
        assert response.status_code == 200
        assert b"Your password was changed" in response.content

    def test_signing_out_of_it_is_not_an_error(self, staff: Client) -> None:
        token = str(staff.get("/admin/auth/group/add/").context["csrf_token"])
        response = staff.post("/admin/logout/", {"csrfmiddlewaretoken": token})
        assert response.status_code == 200

    def test_others_are_sent_away(self) -> None:
        response = as_user(Client(), {**XIA, "username": "alice"}).get("/admin/")
        assert response.status_code == 302
        assert "/admin/login/" in response.headers["Location"]
        assert Client().get("/admin/").status_code == 403

    def test_its_login_form_signs_nobody_in(
        self, staff: Client, request: pytest.FixtureRequest
    ) -> None:
        user = User.objects.get()
        user.set_password("secret")
        user.save()
        request.getfixturevalue("outside_of_tests")
        client = as_user(Client(), {**XIA, "username": "alice"})
        response = client.post("/admin/login/", {"username": "xia", "password": "secret"})
        assert response.status_code == 200
        assert b"Please enter the correct" in response.content


def test_get_user_of_a_store_from_a_token() -> None:
    from djsession import dumps
    from djsession.django.backends.encrypted_cookies import SessionStore

    request = RequestFactory().get("/")
    request.session = SessionStore(dumps(XIA, KEY))
    assert get_user(request).username == "xia"
