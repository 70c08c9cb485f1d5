"""Mixins, decorators and Django REST framework over the session."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.http import Http404, HttpRequest
from django.test import AsyncClient, Client, RequestFactory
from django.views.generic import TemplateView, View

from djsession import ConfigurationError, Organization, Session
from djsession.django.decorators import plan_required, role_required
from djsession.django.mixins import AccessiblesMixin, AccountMixin
from tests.helpers.django_clients import as_user, run
from tests.helpers.sessions import XIA

XIA_ORGANIZATION = XIA["roles"]["manager"][0]
COWORK = {
    "slug": "cowork",
    "printable_name": "Cowork",
    "subscriptions": [
        {"plan": "premium", "ends_at": "2020-01-01T00:00:00Z"},
        {"plan": "meeting-room", "ends_at": None},
    ],
}
BOTH = {
    **XIA,
    "roles": {**XIA["roles"], "contributor": [COWORK]},
    "site": {"slug": "cowork", "printable_name": "Cowork"},
}


def test_the_names_of_the_documentation_and_of_deployutils() -> None:
    assert as_user(Client(), BOTH).get("/app/").json() == {
        "accessibles": ["xia", "cowork"],
        "contributes": ["cowork"],
        "get_accessibles": [XIA_ORGANIZATION, COWORK],
        "get_managed": [XIA_ORGANIZATION],
        "managed_accounts": ["xia"],
        "manages": [True, False, False],
        "accessible_profiles": ["cowork", "xia"],
        "get_accessible_profiles": [XIA_ORGANIZATION],
        "accessible_plans": ["basic", "meeting-room"],
        "get_accessible_plans": [{"slug": "basic"}, {"slug": "meeting-room"}],
        "plans_of_cowork": [{"slug": "meeting-room"}],
        "has_role": True,
        "manages_broker": False,
    }


def test_a_session_without_roles_grants_nothing() -> None:
    found = as_user(Client(), {"username": "dana"}).get("/app/").json()
    assert set(map(str, found.values())) == {"[]", "False", "[False, False, False]"}


def test_manages_broker() -> None:
    session = {**BOTH, "roles": {"manager": [COWORK]}}
    assert as_user(Client(), session).get("/app/").json()["manages_broker"] is True


def test_the_view_of_the_seed_document() -> None:
    class AppView(AccessiblesMixin, TemplateView):  # type: ignore[misc]
        def get_context_data(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
            context: dict[str, Any] = super().get_context_data(*args, **kwargs)
            context.update({"managed_accounts": self.managed_accounts})
            return context

    view = AppView()
    view.setup(request_with(XIA))
    assert view.get_context_data()["managed_accounts"] == ["xia"]


def request_with(session: dict[str, Any]) -> HttpRequest:
    request: HttpRequest = RequestFactory().get("/")
    request.djsession = Session(session)
    return request


def test_the_account_of_the_url_is_from_the_session() -> None:
    client = as_user(Client(), BOTH)
    assert client.get("/account/xia/").json() == {"slug": "xia", "manages": True}
    assert client.get("/account/cowork/").json() == {"slug": "cowork", "manages": False}
    assert client.get("/account/other/").status_code == 404


def account_view(**attributes: Any) -> type[Any]:
    return type("AccountView", (AccountMixin, View), attributes)


def test_without_the_argument_there_is_no_account() -> None:
    for attributes, kwargs in (({}, {"slug": "xia"}), ({"account_url_kwarg": "slug"}, {})):
        view = account_view(**attributes)()
        view.setup(request_with(XIA), **kwargs)
        assert view.account is None


def test_an_account_from_the_session_is_an_organization() -> None:
    view = account_view(account_url_kwarg="profile")()
    view.setup(request_with(XIA), profile="xia")
    assert isinstance(view.account, Organization)
    assert view.account.printable_name == "Xia Lee"
    assert view.account is view.account


@pytest.mark.django_db
def test_an_account_may_be_a_row(django_assert_num_queries: Any) -> None:
    user_model = get_user_model()
    row = user_model.objects.create(username="xia")
    made = account_view(
        account_url_kwarg="slug",
        account_lookup_field="username",
        account_queryset=user_model.objects.filter(is_active=True),
    )
    view = made()
    view.setup(request_with(XIA), slug="xia")
    with django_assert_num_queries(1):
        assert view.account == row
        assert view.account == row
    for name in ("other", "Xia"):
        view = made()
        view.setup(request_with(XIA), slug=name)
        with pytest.raises(Http404):
            view.account  # noqa: B018


def test_without_the_middleware_the_message_says_so() -> None:
    view = account_view()()
    view.setup(RequestFactory().get("/"))
    with pytest.raises(ConfigurationError, match="is not in MIDDLEWARE"):
        view.accessibles()


def test_the_middleware_for_wsgi_will_do() -> None:
    view = account_view()()
    view.setup(RequestFactory().get("/", **{"djsession.session": Session(XIA)}))
    assert view.accessibles() == ["xia"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/manage/", "/amanage/"])
def test_role_required(path: str) -> None:
    def status(slug: str, session: dict[str, Any]) -> int:
        async def aget() -> Any:
            return await as_user(AsyncClient(), session).get(f"{path}{slug}/")

        if path == "/amanage/":
            return int(run(aget()).status_code)
        return int(as_user(Client(), session).get(f"{path}{slug}/").status_code)

    assert status("xia", BOTH) == 200
    assert status("cowork", BOTH) == 403  # a contributor
    assert status("other", BOTH) == 403
    assert status("xia", {}) == 403


@pytest.mark.django_db
def test_plan_required() -> None:
    assert as_user(Client()).get("/course/").status_code == 200
    ended = {**XIA, "roles": {"manager": [COWORK]}}
    assert as_user(Client(), ended).get("/course/").status_code == 403
    assert as_user(Client(), {}).get("/course/").status_code == 403


def test_a_decorator_that_requires_nothing_is_a_mistake() -> None:
    for decorator in (role_required, plan_required):
        with pytest.raises(ConfigurationError):
            decorator()
    with pytest.raises(ConfigurationError, match="no argument 'slug'"):
        role_required("manager", account="slug")(lambda request: None)(request_with(XIA))
