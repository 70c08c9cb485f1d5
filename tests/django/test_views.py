"""Mixins, decorators and Django REST framework over the session."""

from __future__ import annotations

import copy
import logging
import pickle
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.template import engines
from django.test import AsyncClient, Client, RequestFactory
from django.utils.html import format_html
from django.views.generic import TemplateView, View

from djsession import ConfigurationError, Organization, Session
from djsession.django.decorators import plan_required, role_required
from djsession.django.mixins import AccessiblesMixin, Account, AccountMixin
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


def test_manages_broker_is_true_for_managers_of_the_site() -> None:
    session = {**BOTH, "roles": {"manager": [COWORK]}}
    assert as_user(Client(), session).get("/app/").json()["manages_broker"] is True


def test_the_view_of_the_deployutils_documentation_works() -> None:
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


def test_the_fields_of_an_account_are_attributes_and_missing_ones_are_none() -> None:
    organization = {**XIA_ORGANIZATION, "phone": "555-0100", "extra": {"a": 1}}
    view = account_view(account_url_kwarg="profile")()
    view.setup(request_with({"roles": {"manager": [organization]}}), profile="xia")
    account = view.account
    assert (account.phone, account.extra) == ("555-0100", {"a": 1})
    assert account.full_name is None
    assert account.pk is None
    assert account["phone"] == "555-0100"
    assert "full_name" not in account
    assert str(account) == account.slug == "xia"


@pytest.mark.django_db
def test_what_django_looks_for_in_a_value_is_not_a_field_of_an_account() -> None:
    account = Account(XIA_ORGANIZATION)
    row = get_user_model().objects.create(username="xia")
    assert get_user_model().objects.get(username=account) == row
    get_user_model().objects.filter(pk=row.pk).update(first_name=account, last_name="Lee")
    row.refresh_from_db()
    assert row.first_name == "xia"
    assert format_html("<p>{}</p>", account) == "<p>xia</p>"
    page = engines["django"].from_string("{{ account }} {{ account.printable_name }}")
    assert page.render({"account": account}) == "xia Xia Lee"
    for copied in (copy.copy(account), copy.deepcopy(account), pickle.loads(pickle.dumps(account))):
        assert copied == account
        assert copied.phone is None


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


@pytest.mark.django_db
def test_a_row_needs_a_role_as_well(django_assert_num_queries: Any) -> None:
    user_model = get_user_model()
    for name in ("cowork", "other"):
        user_model.objects.create(username=name)
    made = account_view(
        account_url_kwarg="slug",
        account_lookup_field="username",
        account_queryset=user_model.objects.all(),
    )
    for session, is_found in ((BOTH, True), (XIA, False), ({}, False)):
        view = made()
        view.setup(request_with(session), slug="cowork")
        if is_found:
            assert view.account.username == "cowork"
            continue
        with django_assert_num_queries(0), pytest.raises(Http404):
            view.account  # noqa: B018


@pytest.mark.django_db
def test_a_row_whose_slug_differs_in_case_is_another_account() -> None:
    """As the collations of some databases find it, and SQLite with an explicit lookup."""

    class CaseInsensitive(QuerySet):  # type: ignore[misc]
        def get(self, **lookups: Any) -> Any:
            return super().get(**{f"{name}__iexact": value for name, value in lookups.items()})

    user_model = get_user_model()
    user_model.objects.create(username="XIA")
    view = account_view(
        account_url_kwarg="slug",
        account_lookup_field="username",
        account_queryset=CaseInsensitive(user_model),
    )()
    view.setup(request_with(XIA), slug="xia")
    with pytest.raises(Http404):
        view.account  # noqa: B018


@pytest.mark.django_db
def test_a_row_may_be_found_across_a_relation() -> None:
    group = Group.objects.create(name="xia")
    row = get_user_model().objects.create(username="somebody")
    row.groups.add(group)
    view = account_view(
        account_url_kwarg="slug",
        account_lookup_field="groups__name",
        account_queryset=get_user_model().objects.all(),
    )()
    view.setup(request_with(XIA), slug="xia")
    assert view.account == row


class Page(AccountMixin, TemplateView):  # type: ignore[misc]
    account_url_kwarg = "slug"


def context_of(view: Any, session: dict[str, Any] = BOTH, **kwargs: Any) -> dict[str, Any]:
    view.setup(request_with(session), slug="xia")
    context: dict[str, Any] = view.get_context_data(**kwargs)
    return context


class TestUrlsProfiles:
    def test_it_lists_the_organizations_and_their_pages_at_the_proxy(self) -> None:
        context = context_of(Page())
        assert context["urls"] == {
            "profiles": [
                {"location": "/profile/xia/", "printable_name": "Xia Lee"},
                {"location": "/profile/cowork/", "printable_name": "Cowork"},
            ]
        }
        assert str(context["slug"]) == "xia"

    def test_it_lists_those_of_the_roles_that_the_view_asks_for(self) -> None:
        class Static(Page):
            redirect_roles = ("contributor",)

        class Dynamic(Page):
            def get_redirect_roles(self, request: HttpRequest) -> Any:
                return request.djsession.get("asked")

        [profile] = context_of(Static())["urls"]["profiles"]
        assert profile["location"] == "/profile/cowork/"
        [profile] = context_of(Dynamic(), {**BOTH, "asked": "manager"})["urls"]["profiles"]
        assert profile["location"] == "/profile/xia/"

    def test_it_keeps_the_other_urls_of_the_context(self) -> None:
        class WithUrls(Page):
            extra_context = {"urls": {"help": "/help/"}}  # noqa: RUF012

        assert context_of(WithUrls())["urls"]["help"] == "/help/"
        assert list(WithUrls.extra_context["urls"]) == ["help"]
        given = {"api": "/api/", "profiles": []}
        urls = context_of(Page(), urls=given)["urls"]
        assert urls["api"] == "/api/"
        assert len(urls["profiles"]) == 2
        assert given == {"api": "/api/", "profiles": []}

    def test_a_slug_is_quoted_and_stands_in_for_a_name(self) -> None:
        odd = {"roles": {"manager": [{"slug": "xia"}, {"slug": "a/../b?é", "printable_name": ""}]}}
        assert context_of(Page(), odd)["urls"]["profiles"] == [
            {"location": "/profile/xia/", "printable_name": "xia"},
            {"location": "/profile/a%2F..%2Fb%3F%C3%A9/", "printable_name": "a/../b?é"},
        ]

    def test_a_visitor_has_none(self) -> None:
        class Menu(AccessiblesMixin, TemplateView):  # type: ignore[misc]
            pass

        assert context_of(Menu(), {})["urls"] == {"profiles": []}


def test_the_organizations_of_a_request_are_known_without_a_view() -> None:
    found = AccessiblesMixin.get_accessible_profiles(request_with(BOTH), ["contributor"])
    assert found == [COWORK]


def test_the_arguments_for_the_urls_of_related_pages() -> None:
    class Detail(Page):
        def get_reverse_kwargs(self) -> list[str]:
            return [*super().get_reverse_kwargs(), "path"]

    view = Detail()
    view.setup(request_with(XIA), slug="xia", path="", page=2)
    assert view.get_reverse_kwargs() == ["slug", "path"]
    assert view.get_url_kwargs() == {"slug": "xia"}
    assert view.get_url_kwargs(path="a", page=3) == {"path": "a"}
    assert account_view()().get_reverse_kwargs() == []


def test_without_the_middleware_the_mixin_says_so() -> None:
    view = account_view()()
    view.setup(RequestFactory().get("/"))
    with pytest.raises(ConfigurationError, match="is not in MIDDLEWARE"):
        view.accessibles()


def test_the_mixin_works_behind_the_middleware_for_wsgi() -> None:
    view = account_view()()
    view.setup(RequestFactory().get("/", **{"djsession.session": Session(XIA)}))
    assert view.accessibles() == ["xia"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/manage/", "/amanage/"])
def test_role_required_of_django_allows_the_role_only(path: str) -> None:
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
def test_the_log_says_what_a_view_of_django_requires(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "djsession")
    as_user(Client(), BOTH).get("/manage/xia/")
    as_user(Client(), BOTH).get("/manage/cowork/?token=a")
    as_user(Client(), {}).get("/manage/cowork/")
    required = (
        "GET /manage/cowork/ refused: the view requires the role manager in the organization of its"
        " argument slug, but"
    )
    assert [message for message in caplog.messages if " refused: " in message] == [
        f"{required} the user does not have it",
        f"{required} nobody is signed in",
    ]


@pytest.mark.django_db
def test_plan_required_of_django_allows_the_plans_only() -> None:
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
