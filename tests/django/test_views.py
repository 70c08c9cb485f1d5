"""Mixins, decorators and Django REST framework over the session."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.http import Http404, HttpRequest
from django.test import AsyncClient, Client, RequestFactory, override_settings
from django.views.generic import TemplateView, View
from rest_framework.test import APIClient, APIRequestFactory

from djsession import ConfigurationError, Organization, Session, dumps
from djsession.django.authentication import BearerAuthentication, JWTAuthentication
from djsession.django.decorators import plan_required, role_required
from djsession.django.mixins import AccessiblesMixin, AccountMixin
from tests.conftest import KEY, OTHER_KEY, XIA
from tests.django.conftest import as_user, run

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
    class AppView(AccessiblesMixin, TemplateView):
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
        return as_user(Client(), session).get(f"{path}{slug}/").status_code

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


@pytest.mark.django_db
class TestRestFramework:
    def test_its_session_authentication_takes_the_user(self) -> None:
        assert as_user(APIClient()).get("/api/me").json() == {"user": "xia"}
        assert as_user(APIClient(), {}).get("/api/me").status_code == 403

    def test_its_session_authentication_checks_the_csrf_token(self) -> None:
        client = as_user(APIClient(enforce_csrf_checks=True))
        assert client.post("/api/me").status_code == 403
        token = client.get("/form").content.decode()
        assert client.post("/api/me", headers={"X-CSRFToken": token}).status_code == 200

    def test_a_bearer_token(self) -> None:
        token = dumps(XIA, KEY, format="jwt")
        client = APIClient(enforce_csrf_checks=True)
        for path in ("/api/bearer", "/open/bearer"):
            response = client.post(path, headers={"Authorization": f"Bearer {token}"})
            assert response.json() == {"user": "xia", "managed_accounts": ["xia"]}

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "Bearer",
            "Bearer garbage",
            "Bearer " + dumps(XIA, OTHER_KEY, format="jwt"),
            "Bearer " + dumps({}, KEY, format="jwt"),
        ],
        ids=["none", "empty", "garbage", "other key", "nobody"],
    )
    def test_without_a_good_one_it_is_401_and_says_what_is_wanted(self, header: str | None) -> None:
        headers = {} if header is None else {"Authorization": header}
        response = APIClient().get("/open/bearer", headers=headers)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"

    def test_a_token_in_a_cookie_does_not_count(self) -> None:
        # It would be sent along by a browser that another site has told to.
        client = as_user(APIClient(enforce_csrf_checks=True))
        assert client.post("/api/bearer").status_code == 401
        alice = dumps({"username": "alice"}, KEY, format="jwt")
        response = client.get("/api/bearer", headers={"Authorization": "Bearer garbage"})
        assert response.status_code == 401
        # Two users: what a view writes into request.session would be the other's.
        response = client.get("/api/bearer", headers={"Authorization": f"Bearer {alice}"})
        assert response.status_code == 401
        response = as_user(APIClient(), {}).get(
            "/api/bearer", headers={"Authorization": f"Bearer {alice}"}
        )
        assert response.json()["user"] == "alice"

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Sec-Fetch-Site": "same-origin"}, 200),
            ({"Sec-Fetch-Site": "none"}, 200),
            ({"Sec-Fetch-Site": "cross-site"}, 401),
            ({"Sec-Fetch-Site": "same-site"}, 401),
            ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example.com"}, 401),
            ({"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example.com"}, 200),
            # Browsers leave Sec-Fetch-Site out where there is no TLS.
            ({"Origin": "http://evil.example.com"}, 401),
            ({"Origin": "null"}, 401),
            ({"Origin": "http://testserver"}, 200),
            ({"Origin": "https://app.example.com"}, 200),
            # Behind a proxy that ends TLS.
            ({"Sec-Fetch-Site": "same-origin", "Origin": "https://testserver"}, 200),
            ({}, 200),
        ],
        ids=range(12),
    )
    def test_another_site_cannot_use_the_header_that_the_proxy_makes_of_a_cookie(
        self, headers: dict[str, str], status: int
    ) -> None:
        headers["Authorization"] = f"Bearer {dumps(XIA, KEY, format='jwt')}"
        with override_settings(CSRF_TRUSTED_ORIGINS=["https://app.example.com"]):
            client = APIClient()
            assert client.post("/open/bearer", headers=headers).status_code == status
            assert client.get("/open/bearer", headers=headers).status_code == 200

    def test_an_inactive_user_is_401(self) -> None:
        get_user_model().objects.create(username="xia", is_active=False)
        token = dumps(XIA, KEY, format="jwt")
        response = APIClient().get("/open/bearer", headers={"Authorization": f"Bearer {token}"})
        assert response.status_code == 401

    def test_it_needs_no_middleware(self) -> None:
        request = APIRequestFactory().get(
            "/", headers={"Authorization": f"Bearer {dumps(XIA, KEY, format='jwt')}"}
        )
        from tests.django.views import BearerMe

        response = BearerMe.as_view()(request)
        assert response.data == {"user": "xia", "managed_accounts": ["xia"]}
        response = BearerMe.as_view()(APIRequestFactory().get("/"))
        assert response.status_code == 401

    def test_without_a_database(self) -> None:
        with override_settings(DJSESSION={"USER_SOURCE": "session"}):
            response = as_user(APIClient()).get("/api/me")
            assert response.json() == {"user": "xia"}

    def test_its_name_in_deployutils(self) -> None:
        assert JWTAuthentication is BearerAuthentication
