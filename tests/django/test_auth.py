"""request.user: from the username of the session, in one query or none."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import authenticate, get_user, get_user_model, login
from django.contrib.auth.models import Group, Permission, UserManager
from django.core.handlers.wsgi import WSGIRequest
from django.db import connection, connections
from django.db.models import QuerySet
from django.http import HttpResponse
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext

from djsession.django.backends.auth import ProxyUserBackend
from djsession.errors import ProxiedKeyError
from tests.helpers.django_clients import as_user, cookie, middleware, run, signed_in
from tests.helpers.sessions import XIA

User = get_user_model()
FULL = {
    **XIA,
    "email": "xia@example.com",
    "full_name": "Xia Lee Song",
}


def backend(name: str) -> Any:
    return override_settings(AUTHENTICATION_BACKENDS=[f"tests.django.backends.{name}"])


def user_source(source: str) -> Any:
    return override_settings(DJSESSION={"USER_SOURCE": source, "ALLOWED_NO_SESSION": ["/open/"]})


@pytest.mark.django_db
class TestUsersFromTheDatabase:
    def test_a_new_user_is_made_from_the_session(self) -> None:
        client = as_user(Client(), FULL)
        pk = client.get("/whoami").json()["pk"]
        user = User.objects.get(username="xia")
        assert user.pk == pk
        assert (user.email, user.first_name, user.last_name) == (
            "xia@example.com",
            "Xia",
            "Lee Song",
        )
        assert not user.has_usable_password()
        assert not user.is_staff
        assert not user.is_superuser

    def test_first_and_last_name_win_over_the_full_name(self) -> None:
        as_user(Client(), {**FULL, "first_name": "夏", "last_name": "李"}).get("/whoami")
        user = User.objects.get()
        assert (user.first_name, user.last_name) == ("夏", "李")

    @pytest.mark.parametrize(
        ("said", "kept"),
        [
            ({"email": 7, "first_name": None, "full_name": ["x"]}, ("", "", "")),
            ({"email": "x" * 300 + "@example.com"}, ("", "", "")),
            ({"first_name": "x" * 300}, ("", "x" * 150, "")),
            ({"email": "a\x00b@example.com", "full_name": " "}, ("ab@example.com", "", "")),
            ({"email": "\ud800@example.com", "first_name": "\udc00"}, ("", "", "")),
        ],
    )
    def test_a_value_that_no_field_can_hold_does_not_stop_a_user(
        self, said: dict[str, Any], kept: tuple[str, str, str]
    ) -> None:
        assert as_user(Client(), {**XIA, **said}).get("/whoami").json()["user"] == "xia"
        user = User.objects.get()
        assert (user.email, user.first_name, user.last_name) == kept

    @pytest.mark.parametrize("name", ["x" * 151, "x\x00y", "\ud800x"])
    def test_a_name_that_no_row_can_have_is_anonymous_and_no_error(self, name: str) -> None:
        assert as_user(Client(), {"username": name}).get("/whoami").json()["user"] == ""
        assert User.objects.count() == 0

    def test_a_row_that_exists_is_not_updated(self) -> None:
        User.objects.create(username="xia", email="old@example.com")
        as_user(Client(), FULL).get("/whoami")
        assert User.objects.get().email == "old@example.com"

    def test_update_user_makes_a_known_user_follow_the_session(
        self, django_assert_num_queries: Any
    ) -> None:
        User.objects.create(username="xia", email="old@example.com", last_name="Kept")
        with override_settings(DJSESSION={"UPDATE_USER": True}):
            client = as_user(Client(), {**XIA, "email": "new@example.com", "first_name": "Xia"})
            with django_assert_num_queries(2):
                client.get("/whoami")
            user = User.objects.get()
            assert (user.email, user.first_name, user.last_name) == (
                "new@example.com",
                "Xia",
                "Kept",
            )
            with django_assert_num_queries(1):
                client.get("/whoami")

    def test_a_user_with_a_row_costs_one_query(self, django_assert_num_queries: Any) -> None:
        pk = User.objects.create(username="xia").pk
        client = as_user(Client())
        for _ in range(3):
            with django_assert_num_queries(1):
                assert client.get("/whoami").json() == {"user": "xia", "pk": pk}

    def test_a_view_that_does_not_read_the_user_costs_no_query(
        self, django_assert_num_queries: Any
    ) -> None:
        client = as_user(Client())
        with django_assert_num_queries(0):
            client.get("/")
        assert User.objects.count() == 0

    def test_a_visitor_costs_no_query(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(0):
            assert as_user(Client(), {}).get("/whoami").json()["user"] == ""
            assert Client().get("/open/whoami").json()["user"] == ""

    def test_permissions_come_from_the_database(self, rf: RequestFactory) -> None:
        user = User.objects.create(username="xia")
        group = Group.objects.create(name="editors")
        group.permissions.add(Permission.objects.get(codename="add_user"))
        user.groups.add(group)
        request = signed_in()
        assert request.user.has_perm("auth.add_user")
        assert not request.user.has_perm("auth.delete_user")

    def test_an_inactive_user_is_anonymous(self, caplog: pytest.LogCaptureFixture) -> None:
        User.objects.create(username="xia", is_active=False)
        with caplog.at_level(logging.INFO, "djsession"):
            assert as_user(Client()).get("/whoami").json()["user"] == ""
        assert "not active" in caplog.text
        assert "xia" not in caplog.text
        with backend("AdmittingAll"):
            assert as_user(Client()).get("/whoami").json()["user"] == "xia"

    def test_a_log_filter_may_read_the_user(self, caplog: pytest.LogCaptureFixture) -> None:
        User.objects.create(username="xia", is_active=False)
        request, seen = signed_in(), []

        def read_user(record: logging.LogRecord) -> bool:
            seen.append(request.user.get_username())
            return True

        caplog.handler.addFilter(read_user)
        with caplog.at_level(logging.INFO, "djsession"):
            assert request.user.is_anonymous
        assert seen == [""]
        assert "not active" in caplog.text

    def test_create_unknown_user_can_be_switched_off(self) -> None:
        with backend("OnlyKnown"):
            assert as_user(Client()).get("/whoami").json()["user"] == ""
            assert User.objects.count() == 0
            User.objects.create(username="xia")
            assert as_user(Client()).get("/whoami").json()["user"] == "xia"

    def test_clean_username_and_configure_user_are_called(self) -> None:
        session = {**XIA, "username": "xia@example.com", "site": {"slug": "xia"}}
        with backend("Configuring"):
            request = signed_in(session)
            assert request.user.username == "xia"
            assert request.user.is_staff is True
            assert request.user.was_created is True
            assert signed_in(session).user.was_created is False

    def test_a_backend_may_refuse_a_user(self) -> None:
        with override_settings(
            AUTHENTICATION_BACKENDS=[
                "tests.django.backends.Refusing",
                "djsession.django.backends.auth.ProxyUserBackend",
            ]
        ):
            assert as_user(Client()).get("/whoami").json()["user"] == ""

    def test_without_a_backend_that_knows_the_proxy_the_log_says_so(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with override_settings(
            AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend"]
        ):
            assert as_user(Client()).get("/whoami").json()["user"] == ""
        assert "AUTHENTICATION_BACKENDS lacks" in caplog.text

    def test_djangos_own_backend_for_remote_users_works(self) -> None:
        with override_settings(
            AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.RemoteUserBackend"]
        ):
            assert as_user(Client()).get("/whoami").json()["user"] == "xia"

    def test_two_users_in_turn_are_never_mixed_up(self) -> None:
        alice, xia = (as_user(Client(), {"username": name}) for name in ("alice", "xia"))
        for _ in range(5):
            assert alice.get("/whoami").json()["user"] == "alice"
            assert xia.get("/whoami").json()["user"] == "xia"

    def test_a_key_that_was_only_read_does_not_give_a_user_to_the_next_request(self) -> None:
        first = signed_in()
        pk = first.session["_auth_user_id"]  # announces a user whom nobody takes
        User.objects.filter(pk=pk).update(first_name="Changed")
        middleware(lambda _: HttpResponse())(RequestFactory().get("/", HTTP_COOKIE=cookie()))
        assert ProxyUserBackend().get_user(int(pk)).first_name == "Changed"

    def test_an_announced_user_is_given_for_their_own_key_only(self) -> None:
        other = User.objects.create(username="alice")
        signed_in().session["_auth_user_id"]
        found = ProxyUserBackend().get_user(other.pk)
        assert found.username == "alice"

    def test_a_view_cannot_sign_in_somebody_else(self) -> None:
        other = User.objects.create(username="alice")
        for session in (XIA, {}):
            request = signed_in(session)
            with pytest.raises(ProxiedKeyError, match="the proxy signs users in and out"):
                login(request, other, "djsession.django.backends.auth.ProxyUserBackend")
        request = signed_in()
        login(request, request.user, "djsession.django.backends.auth.ProxyUserBackend")
        assert get_user(request).username == "xia"

    def test_login_with_a_password_works_in_tests_only(
        self, request: pytest.FixtureRequest
    ) -> None:
        User.objects.create_user("xia", password="secret")
        assert authenticate(username="xia", password="secret") is not None
        assert authenticate(username="xia", password="wrong") is None
        request.getfixturevalue("outside_of_tests")
        assert authenticate(username="xia", password="secret") is None

    def test_a_changed_password_does_not_end_the_session(self) -> None:
        from django.contrib.auth import update_session_auth_hash

        request = signed_in()
        user = request.user
        user.set_password("new")
        user.save()
        update_session_auth_hash(request, user)
        assert as_user(Client()).get("/whoami").json()["user"] == "xia"

    def test_remote_user_middleware_behind_ours_changes_nothing(
        self, django_assert_num_queries: Any
    ) -> None:
        from django.conf import settings

        more = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.RemoteUserMiddleware"]
        with override_settings(MIDDLEWARE=more):
            client = as_user(Client())
            client.get("/whoami")
            with django_assert_num_queries(1):
                assert client.get("/whoami").json()["user"] == "xia"


@pytest.fixture
def case_insensitive(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Make the database find a user by a name of another case, as MySQL does.

    Each exception in the list is raised by one lookup before that.
    """
    get, first = QuerySet.get, list[Exception]()

    def get_ignoring_case(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.model is User:
            if first:
                raise first.pop()
            kwargs = {("username__iexact" if k == "username" else k): v for k, v in kwargs.items()}
        return get(self, *args, **kwargs)

    monkeypatch.setattr(QuerySet, "get", get_ignoring_case)
    return first


@pytest.mark.django_db(transaction=True)
class TestSpellingOfUsernames:
    """A database that ignores case finds somebody else's row."""

    @pytest.fixture(params=["sync", "async"])
    def whoami(self, request: pytest.FixtureRequest) -> Any:
        def sync(name: str) -> Any:
            return as_user(Client(), {"username": name}).get("/whoami").json()["user"]

        def without_blocking(name: str) -> Any:
            client = as_user(AsyncClient(), {"username": name})
            return run(client.get("/awhoami")).json()["user"]

        return sync if request.param == "sync" else without_blocking

    @pytest.mark.parametrize("name", ["OnlyKnown", "AdmittingAll"])
    def test_a_user_who_is_spelled_differently_is_somebody_else(
        self, name: str, whoami: Any, case_insensitive: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        User.objects.create(username="Admin")
        with backend(name):
            assert whoami("admin") == ""
            assert "spelled differently" in caplog.text
            assert "admin" not in caplog.text.lower()
            caplog.clear()
            assert whoami("Admin") == "Admin"
        assert caplog.text == ""
        assert User.objects.count() == 1

    def test_a_user_whom_another_request_has_just_made_differs_by_spelling_too(
        self,
        whoami: Any,
        case_insensitive: list[Exception],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        User.objects.create(username="Admin")
        case_insensitive.append(User.DoesNotExist())
        assert whoami("admin") == ""
        assert case_insensitive == []
        assert "spelled differently" in caplog.text
        assert User.objects.count() == 1

    def test_a_manager_with_get_by_natural_key_decides_about_spelling(
        self, whoami: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def by_any_spelling(self: Any, username: str) -> Any:
            return self.get(username__iexact=username)

        async def aby_any_spelling(self: Any, username: str) -> Any:
            return await self.aget(username__iexact=username)

        monkeypatch.setattr(UserManager, "get_by_natural_key", by_any_spelling)
        monkeypatch.setattr(UserManager, "aget_by_natural_key", aby_any_spelling)
        User.objects.create(username="Admin")
        with backend("OnlyKnown"):
            assert whoami("admin") == "Admin"
        # That lookup is not used where unknown users are created.
        assert whoami("admin") == "admin"


@pytest.mark.django_db(transaction=True)
def test_an_async_view_that_reads_the_user_costs_one_query() -> None:
    User.objects.create(username="xia")

    async def queries() -> tuple[str, int]:
        client = as_user(AsyncClient())
        # In the thread that owns the connection.
        context = CaptureQueriesContext(connection)
        await sync_to_async(context.__enter__)()
        response = await client.get("/awhoami")
        await sync_to_async(context.__exit__)(None, None, None)
        return response.json()["user"], await sync_to_async(len)(context)

    assert run(queries()) == ("xia", 1)


@pytest.mark.django_db(transaction=True)
def test_backends_authenticate_in_an_async_view() -> None:
    async def names(session: dict[str, Any] | None = None) -> Any:
        return (await as_user(AsyncClient(), session).get("/awhoami")).json()["user"]

    assert run(names(FULL)) == "xia"
    assert User.objects.get().email == "xia@example.com"
    assert run(names({})) == ""
    assert run(names({"username": "x" * 151})) == ""
    with backend("OnlyKnown"):
        assert run(names()) == "xia"
        assert run(names({"username": "unknown"})) == ""
    with backend("Configuring"):
        assert run(names({"username": "xia@example.com"})) == "xia"
    with override_settings(DJSESSION={"UPDATE_USER": True}):
        run(names({**FULL, "email": "new@example.com"}))
        assert User.objects.get().email == "new@example.com"
    User.objects.update(is_active=False)
    assert run(names()) == ""
    with user_source("session"):
        assert run(names()) == "xia"


class TestUsersFromTheSession:
    """USER_SOURCE = "session". Without the mark, pytest-django blocks every query."""

    @pytest.fixture(autouse=True)
    def _source(self) -> Any:
        with user_source("session"):
            yield

    def test_a_user_from_the_session_is_an_unsaved_instance_of_the_model(self) -> None:
        user = signed_in(FULL).user
        assert isinstance(user, User)
        assert user.is_authenticated
        assert user.username == "xia"
        assert user.email == "xia@example.com"
        assert user.pk is None
        assert user._state.adding

    @pytest.mark.parametrize("also", [[], ["django.contrib.auth.backends.ModelBackend"]])
    def test_a_user_from_the_session_has_no_permissions(self, also: list[str]) -> None:
        first = ["djsession.django.backends.auth.ProxyUserBackend"]
        with override_settings(AUTHENTICATION_BACKENDS=[*first, *also]):
            user = signed_in().user
            assert user.get_all_permissions() == set()
            assert user.get_user_permissions() == set()
            assert user.get_group_permissions() == set()
            assert not user.has_perm("auth.add_user")
            assert not user.has_module_perms("auth")
            assert run(user.aget_all_permissions()) == set()
            assert not user.is_staff
            assert not user.is_superuser

    def test_djangos_get_user_returns_the_user_of_the_session(self) -> None:
        assert get_user(signed_in()).username == "xia"
        assert ProxyUserBackend().get_user(1) is None
        assert run(ProxyUserBackend().aget_user(1)) is None

    def test_a_backend_of_the_project_may_change_the_user_of_the_session(self) -> None:
        with backend("Configuring"):
            user = signed_in({**XIA, "username": "xia@example.com"}).user
            assert user.username == "xia"
            assert user.was_created is False

    def test_a_visitor_is_anonymous(self) -> None:
        assert signed_in({}).user.is_anonymous


@pytest.mark.django_db(transaction=True)
def test_simultaneous_first_requests_of_a_user_make_one_row() -> None:
    threads, users = 8, 50
    failures: list[BaseException] = []
    barrier = threading.Barrier(threads)

    def run() -> None:
        client = Client()
        try:
            for number in range(users):
                as_user(client, {"username": f"user-{number}"})
                barrier.wait(30)
                assert client.get("/whoami").json()["user"] == f"user-{number}"
        except BaseException as error:
            failures.append(error)
            barrier.abort()
        finally:
            connections.close_all()

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert failures == []
    assert User.objects.count() == users


def test_a_database_that_is_down_does_not_stop_a_view_that_needs_none() -> None:
    # Without the mark, pytest-django blocks every query.
    request = WSGIRequest(RequestFactory().get("/").environ | {"HTTP_COOKIE": cookie()})
    response = middleware(lambda request: HttpResponse(request.djsession.username))(request)
    assert response.content == b"xia"
