"""is_staff, is_superuser, groups and is_active, which roles in the session do not override."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import authenticate, get_user, get_user_model
from django.contrib.auth.backends import RemoteUserBackend
from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, override_settings

from djsession.django.backends.auth import ProxyUserBackend
from djsession.django.decorators import plan_required, role_required
from tests.helpers.django_clients import cookie, middleware, run, signed_in

pytestmark = pytest.mark.django_db

User = get_user_model()

SITE = {"slug": "cowork", "printable_name": "Chamoix Coworking"}


def session_with(role: str = "manager", organization: str = "cowork", **more: Any) -> Any:
    roles = {role: [{"slug": organization, "subscriptions": [{"plan": "basic"}]}]}
    return {"username": "xia", "roles": roles, "site": SITE, **more}


def ours(**settings: Any) -> override_settings:
    return override_settings(DJSESSION=settings)


@pytest.fixture
def _staff_roles() -> Iterator[None]:
    with ours(STAFF_ROLES=["manager", "editor"], SUPERUSER_ROLES=["owner"]):
        yield


def flags(user: Any) -> tuple[bool, bool]:
    return user.is_staff, user.is_superuser


@pytest.mark.usefixtures("_staff_roles")
class TestStaffFlagsByRole:
    @pytest.mark.parametrize(
        ("role", "expected"),
        [
            ("manager", (True, False)),
            ("editor", (True, False)),
            ("owner", (False, True)),
            ("contributor", (False, False)),
        ],
    )
    def test_flags_follow_the_roles_for_the_site(
        self, role: str, expected: tuple[bool, bool]
    ) -> None:
        assert flags(signed_in(session_with(role)).user) == expected

    @pytest.mark.parametrize(
        "more",
        [
            {"organization": "xia"},
            {"organization": "COWORK"},
            {"site": {}},
            {"site": {"slug": ""}},
            {"site": {"printable_name": "Chamoix Coworking"}},
            {"site": None},
            {"site": {"slug": None}, "organization": "None"},
            {"username": None},
        ],
        ids=str,
    )
    def test_a_role_for_another_organization_grants_nothing(self, more: Any) -> None:
        User.objects.create(username="xia", is_staff=True, is_superuser=True)
        assert flags(signed_in(session_with("manager", **more)).user) == (False, False)
        assert flags(signed_in(session_with("owner", **more)).user) == (False, False)

    def test_a_superuser_in_the_database_without_the_role_is_not_one(self) -> None:
        User.objects.create(username="xia", is_staff=True, is_superuser=True)
        user = signed_in(session_with("contributor")).user
        assert flags(user) == (False, False)
        assert not user.has_perm("auth.add_group")

    def test_flags_follow_the_session_with_each_request(self) -> None:
        for role in ("manager", "contributor", "manager"):
            assert signed_in(session_with(role)).user.is_staff is (role == "manager")

    @pytest.mark.parametrize(
        "backend",
        [
            "djsession.django.backends.auth.ProxyUserBackend",
            "django.contrib.auth.backends.RemoteUserBackend",
            "tests.django.test_roles.EmployeeBackend",
        ],
    )
    def test_flags_follow_the_roles_with_every_backend(self, backend: str) -> None:
        User.objects.create(username="xia", is_staff=True, is_superuser=True)
        with override_settings(AUTHENTICATION_BACKENDS=[backend]):
            for role, expected in (("contributor", (False, False)), ("manager", (True, False))):
                request = signed_in(session_with(role))
                assert flags(get_user(request)) == expected
                assert flags(request.user) == expected

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize(
        "backend",
        [
            "djsession.django.backends.auth.ProxyUserBackend",
            "django.contrib.auth.backends.RemoteUserBackend",
            "tests.django.test_roles.EmployeeBackend",
        ],
    )
    def test_flags_follow_the_roles_with_every_backend_in_an_async_view(self, backend: str) -> None:
        async def view(request: HttpRequest) -> HttpResponse:
            return HttpResponse(str(flags(await request.auser())))

        async def ask(role: str) -> bytes:
            request = RequestFactory().get("/", HTTP_COOKIE=cookie(session_with(role)))
            content: bytes = (await middleware(view)(request)).content
            return content

        User.objects.create(username="xia", is_staff=True, is_superuser=True)
        with override_settings(AUTHENTICATION_BACKENDS=[backend]):
            assert run(ask("contributor")) == b"(False, False)"
            assert run(ask("manager")) == b"(True, False)"

    def test_flags_follow_the_roles_in_an_async_view(self) -> None:
        async def view(request: HttpRequest) -> HttpResponse:
            user = await request.auser()
            return HttpResponse(str(flags(user)))

        async def ask() -> bytes:
            request = RequestFactory().get("/", HTTP_COOKIE=cookie(session_with()))
            content: bytes = (await middleware(view)(request)).content
            return content

        with ours(STAFF_ROLES=["manager"], USER_SOURCE="session"):
            assert run(ask()) == b"(True, False)"

    def test_flags_follow_the_roles_of_a_user_without_a_row(self) -> None:
        with ours(STAFF_ROLES=["manager"], SUPERUSER_ROLES=["manager"], USER_SOURCE="session"):
            user = signed_in(session_with()).user
            assert flags(user) == (True, True)
            assert user.pk is None

    def test_a_user_whom_django_gets_by_key_has_no_flags(self) -> None:
        row = User.objects.create(username="xia", is_staff=True, is_superuser=True)
        assert flags(ProxyUserBackend().get_user(row.pk)) == (False, False)
        assert ProxyUserBackend().get_user(row.pk + 1) is None

    def test_a_user_whom_another_middleware_authenticates_has_the_flags_of_the_session(
        self,
    ) -> None:
        User.objects.create(username="xia", is_staff=True, is_superuser=True)
        request = signed_in(session_with())
        assert flags(authenticate(request, remote_user="xia")) == (True, False)
        assert flags(authenticate(request, remote_user="dana")) == (False, False)


class Employee(User):  # type: ignore[misc, valid-type]
    """What a backend may return in place of the user model."""

    class Meta:
        proxy = True
        app_label = "auth"


class EmployeeBackend(RemoteUserBackend):  # type: ignore[misc]
    """It overrides what it inherits."""

    def authenticate(self, request: Any, remote_user: str | None = None, **more: Any) -> Any:
        return Employee.objects.get_or_create(username=remote_user)[0]

    async def aauthenticate(self, request: Any, remote_user: str | None = None, **more: Any) -> Any:
        return (await Employee.objects.aget_or_create(username=remote_user))[0]

    def get_user(self, user_id: Any) -> Any:
        return Employee.objects.get(pk=user_id)

    async def aget_user(self, user_id: Any) -> Any:
        return await Employee.objects.aget(pk=user_id)


class TestSavingAUserWithFlags:
    """What a session grants stays out of the database."""

    @pytest.fixture(params=[True, False], ids=["a row of staff", "a row of nobody"])
    def row(self, request: pytest.FixtureRequest) -> Any:
        return User.objects.create(
            username="xia", is_staff=request.param, is_superuser=request.param
        )

    @pytest.mark.usefixtures("_staff_roles")
    @pytest.mark.parametrize("role", ["manager", "contributor"])
    def test_saving_the_user_of_a_request_leaves_the_row_as_it_was(
        self, row: Any, role: str
    ) -> None:
        before = flags(row)
        user = signed_in(session_with(role)).user
        granted = flags(user)
        user.first_name = "Xia"
        for _ in range(2):
            user.save()
            assert flags(user) == granted
        row.refresh_from_db()
        assert row.first_name == "Xia"
        assert flags(row) == before

    @pytest.mark.usefixtures("_staff_roles")
    @pytest.mark.parametrize("fields", [None, ["is_staff", "is_superuser"], ["email"]], ids=str)
    @pytest.mark.parametrize("role", ["manager", "contributor"])
    def test_reading_the_row_again_does_not_bring_its_flags_back(
        self, row: Any, role: str, fields: list[str] | None
    ) -> None:
        before = flags(row)
        user = signed_in(session_with(role)).user
        granted = flags(user)
        for refresh in (user.refresh_from_db, async_to_sync(user.arefresh_from_db)):
            refresh(fields=fields)
            assert flags(user) == granted
            user.save()
            row.refresh_from_db()
            assert flags(row) == before

    @pytest.mark.usefixtures("_staff_roles")
    def test_a_save_that_fails_does_not_store_the_flags(self, row: Any) -> None:
        User.objects.create(username="dana")
        user = signed_in(session_with("contributor")).user
        user.username = "dana"
        with pytest.raises(IntegrityError), transaction.atomic():
            user.save()
        assert flags(user) == (False, False)

    @pytest.mark.usefixtures("_staff_roles")
    def test_a_model_derived_from_the_user_model_is_saved_without_the_flags(self, row: Any) -> None:
        before = flags(row)
        with override_settings(AUTHENTICATION_BACKENDS=["tests.django.test_roles.EmployeeBackend"]):
            user = signed_in(session_with("manager")).user
            assert flags(user) == (True, False)
        user.save()
        row.refresh_from_db()
        assert flags(row) == before

    @pytest.mark.usefixtures("_staff_roles")
    def test_a_flag_that_the_application_changes_itself_is_saved(self) -> None:
        row = User.objects.create(username="xia")
        user = signed_in(session_with("contributor")).user
        user.is_staff = True
        user.save()
        row.refresh_from_db()
        assert flags(row) == (True, False)

    def test_without_the_setting_the_flags_are_those_of_the_database(self, row: Any) -> None:
        user = signed_in(session_with()).user
        assert flags(user) == flags(row)
        user.save()
        row.refresh_from_db()
        assert flags(user) == flags(row)


@pytest.fixture
def editors() -> Any:
    group = Group.objects.create(name="Editors")
    group.permissions.add(Permission.objects.get(codename="add_group"))
    return group


@pytest.fixture
def _groups() -> Iterator[None]:
    with ours(GROUPS={"manager": ["Editors", "no such group"], "owner": ["Owners"]}):
        yield


@pytest.mark.usefixtures("editors", "_groups")
class TestGroupsByRole:
    def test_a_role_for_the_site_puts_a_user_into_a_group(self) -> None:
        user = signed_in(session_with()).user
        assert [group.name for group in user.groups.all()] == ["Editors"]
        assert user.groups.filter(name="Editors").exists()
        assert user.has_perm("auth.add_group")
        assert not user.has_perm("auth.delete_group")

    def test_a_role_for_another_organization_puts_nobody_into_a_group(self) -> None:
        for session in (
            session_with(organization="xia"),
            session_with("contributor"),
            session_with(site={}),
        ):
            user = signed_in(session).user
            assert not user.groups.exists()
            assert not user.has_perm("auth.add_group")

    def test_a_group_by_role_lasts_as_long_as_the_request(self) -> None:
        user = signed_in(session_with()).user
        user.save()
        assert not User.objects.get(username="xia").groups.exists()
        assert not signed_in(session_with("contributor")).user.has_perm("auth.add_group")

    def test_groups_in_the_database_count_as_well(self, editors: Any) -> None:
        for name in ("alice", "bob"):
            User.objects.create(username=name).groups.add(editors)
        row = User.objects.create(username="xia")
        row.groups.add(Group.objects.create(name="Owners"))
        User.objects.create(username="dana").groups.add(Group.objects.create(name="Others"))
        for role, expected in (("manager", {"Editors", "Owners"}), ("contributor", {"Owners"})):
            found = signed_in(session_with(role)).user.groups.all()
            assert sorted(group.name for group in found) == sorted(expected)

    @pytest.mark.parametrize(
        "backends", [["ModelBackend", "ours"], ["ours", "ModelBackend"], ["ours"]], ids=str
    )
    def test_a_user_without_a_row_has_the_permissions_of_the_group(
        self, backends: list[str]
    ) -> None:
        paths = {
            "ours": "djsession.django.backends.auth.ProxyUserBackend",
            "ModelBackend": "django.contrib.auth.backends.ModelBackend",
        }
        with (
            override_settings(AUTHENTICATION_BACKENDS=[paths[name] for name in backends]),
            ours(GROUPS={"manager": ["Editors"]}, USER_SOURCE="session"),
        ):
            assert signed_in(session_with()).user.has_perm("auth.add_group")
            assert not signed_in(session_with()).user.has_perm("auth.delete_group")
            assert not signed_in(session_with("contributor")).user.has_perm("auth.add_group")

    def test_groups_cost_no_query_before_somebody_asks(
        self, django_assert_num_queries: Any
    ) -> None:
        User.objects.create(username="xia")
        with django_assert_num_queries(1):
            assert signed_in(session_with()).user.username == "xia"


class TestInactiveUsers:
    @pytest.mark.parametrize(
        "required",
        [role_required("editor"), role_required("editor", account="slug"), plan_required("basic")],
        ids=["a role", "a role for one organization", "a plan"],
    )
    def test_a_user_who_is_not_active_does_not_pass(
        self, required: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "djsession")
        session = session_with("editor")
        row = User.objects.create(username="xia")
        assert required(view)(signed_in(session), slug="cowork").content == b"passed"
        row.is_active = False
        row.save()
        with pytest.raises(PermissionDenied):
            required(view)(signed_in(session), slug="cowork")
        assert caplog.messages[-1] == "GET / refused: the user is inactive in the database"
        assert signed_in(session).user.is_anonymous

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("is_active", [True, False])
    def test_a_user_who_is_not_active_does_not_pass_in_an_async_view(self, is_active: bool) -> None:
        User.objects.create(username="xia", is_active=is_active)

        @role_required("manager")
        async def aview(request: HttpRequest) -> HttpResponse:
            return HttpResponse("passed")

        async def ask() -> str:
            request = RequestFactory().get("/", HTTP_COOKIE=cookie(session_with()))
            try:
                content: bytes = (await middleware(aview)(request)).content
            except PermissionDenied:
                return "refused"
            return content.decode()

        assert run(ask()) == ("passed" if is_active else "refused")

    def test_a_user_without_a_row_is_judged_by_the_session(self) -> None:
        with ours(USER_SOURCE="session"):
            answer = role_required("manager")(view)(signed_in(session_with()))
        assert answer.content == b"passed"


def view(request: HttpRequest, **arguments: str) -> HttpResponse:
    return HttpResponse("passed")
