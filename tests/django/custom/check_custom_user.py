"""Run by test_custom_user.py in a process of its own, since a process has one user model."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import AsyncClient, Client, override_settings

from djsession.django.checks import check_settings
from tests.django.custom.models import Member, Tenant
from tests.helpers.django_clients import as_user, run
from tests.helpers.sessions import XIA

SESSION = {**XIA, "username": "xia@example.com", "email": "other@example.com"}


@pytest.mark.django_db(transaction=True)
def test_the_user_is_found_by_its_username_field(django_assert_num_queries: Any) -> None:
    client = as_user(Client(), {**SESSION, "full_name": "Xia Lee of the very long name"})
    first = client.get("/whoami").json()
    assert first["user"] == "xia@example.com"
    with django_assert_num_queries(1):
        assert client.get("/whoami").json() == first
    member = Member.objects.get()
    assert str(member.pk) == first["pk"]
    assert member.full_name == "Xia Lee of the very "
    assert not member.has_usable_password()

    async def again() -> Any:
        return (await as_user(AsyncClient(), SESSION).get("/awhoami")).json()

    assert run(again()) == first


def test_a_check_warns_that_the_username_is_an_address_here() -> None:
    with override_settings(DJSESSION={"GROUPS": {"manager": ["Editors"]}}):
        found = {message.id: message.msg for message in check_settings()}
    assert "Member.USERNAME_FIELD is email" in found["djsession.W009"]
    assert "Member does not have groups" in found["djsession.E014"]
    assert "djsession.W010" not in found  # the model does not have superusers
    assert "djsession.E015" not in found
    with override_settings(DJSESSION={"STAFF_ROLES": []}):
        found = {message.id: message.msg for message in check_settings()}
    assert "Member.is_staff is a read-only property" in found["djsession.E015"]


def test_without_a_row() -> None:
    with override_settings(DJSESSION={"USER_SOURCE": "session"}):
        client = as_user(Client(), SESSION)
        # The default of the primary key would be a different one in each request.
        assert client.get("/whoami").json() == {"user": "xia@example.com", "pk": None}

        async def again() -> Any:
            return (await as_user(AsyncClient(), SESSION).get("/awhoami")).json()

        assert run(again())["user"] == "xia@example.com"


@pytest.mark.django_db
def test_test_clients() -> None:
    client = Client()
    client.force_login(Member.objects.create(email="xia@example.com"))
    assert client.get("/whoami").json()["user"] == "xia@example.com"
    member = Member.objects.get()
    member.set_password("secret")
    member.save()
    assert client.login(email="xia@example.com", password="secret")
    with override_settings(DJSESSION={"USER_SOURCE": "session"}):
        client.force_login(Member(email="dana@example.com"))
        assert client.get("/whoami").json()["user"] == "dana@example.com"


def whoami(session: dict[str, Any]) -> Any:
    return as_user(Client(), session).get("/whoami").json()["user"]


def awhoami(session: dict[str, Any]) -> Any:
    async def ask() -> Any:
        return (await as_user(AsyncClient(), session).get("/awhoami")).json()["user"]

    return run(ask())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ask", [whoami, awhoami])
def test_what_another_row_has_locks_nobody_out(ask: Any) -> None:
    with override_settings(AUTH_USER_MODEL="custom.Tenant", DJSESSION={"UPDATE_USER": True}):
        xia = {"username": "xia", "email": "a@example.com", "last_name": "Lee"}
        assert ask(xia) == "xia"
        bob = {"username": "bob", "email": "a@example.com"}
        assert ask(bob) == "bob"
        assert ask(bob) == "bob"
        assert list(Tenant.objects.values_list("username", "email").order_by("username")) == [
            ("bob", None),
            ("xia", "a@example.com"),
        ]
        assert ask({"username": "dana"}) == "dana"
        assert ask({"username": "alice"}) == "alice"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("ask", [whoami, awhoami])
def test_a_username_that_the_field_cannot_hold_is_nobodys(ask: Any) -> None:
    with override_settings(AUTH_USER_MODEL="custom.Numbered"):
        assert str(ask({"username": "12"})) == "12"
        assert ask({"username": "xia"}) == ""
