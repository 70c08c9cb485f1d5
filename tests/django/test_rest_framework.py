"""Django REST framework over the session."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

pytest.importorskip("rest_framework")

from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.test import AsyncRequestFactory, override_settings
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate
from rest_framework.throttling import ScopedRateThrottle, UserRateThrottle
from rest_framework.views import APIView

from djsession import dumps
from djsession.django.authentication import BearerAuthentication, JWTAuthentication
from tests.django.rest_views import BearerMe
from tests.helpers.django_clients import as_user, signed_in
from tests.helpers.sessions import KEY, OTHER_KEY, XIA


@pytest.mark.django_db
class TestRestFramework:
    def test_session_authentication_takes_the_user(self) -> None:
        assert as_user(APIClient()).get("/api/me").json() == {"user": "xia"}
        assert as_user(APIClient(), {}).get("/api/me").status_code == 403

    def test_session_authentication_checks_the_csrf_token(self) -> None:
        client = as_user(APIClient(enforce_csrf_checks=True))
        assert client.post("/api/me").status_code == 403
        token = client.get("/form").content.decode()
        assert client.post("/api/me", headers={"X-CSRFToken": token}).status_code == 200

    def test_bearer_authentication_takes_the_user_of_a_token(self) -> None:
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
    def test_without_a_good_token_it_is_401_with_www_authenticate(self, header: str | None) -> None:
        headers = {} if header is None else {"Authorization": header}
        response = APIClient().get("/open/bearer", headers=headers)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"

    def test_a_token_in_a_cookie_does_not_count(self) -> None:
        # A browser would send it with a request that another site made it send.
        client = as_user(APIClient(enforce_csrf_checks=True))
        assert client.post("/api/bearer").status_code == 401
        response = client.get("/api/bearer", headers={"Authorization": "Bearer garbage"})
        assert response.status_code == 401
        jwt = dumps(XIA, KEY, format="jwt")
        client = APIClient()
        client.cookies["sessionid"] = jwt
        assert client.get("/api/bearer").status_code == 401

    @pytest.mark.parametrize("cookie", [XIA, {}], ids=["another user", "a visitor"])
    def test_a_token_that_differs_from_the_cookie_does_not_count(
        self, cookie: dict[str, Any]
    ) -> None:
        headers = {"Authorization": f"Bearer {dumps({'username': 'alice'}, KEY, format='jwt')}"}
        client = as_user(APIClient(), cookie)
        assert client.get("/api/bearer", headers=headers).status_code == 403
        assert client.get("/open/bearer", headers=headers).status_code == 401
        client = as_user(APIClient(), {"username": "alice"})
        assert client.get("/open/bearer", headers=headers).json()["user"] == "alice"

    def test_a_token_of_the_cookie_format_does_not_count(self) -> None:
        headers = {"Authorization": f"Bearer {dumps(XIA, KEY)}"}
        assert APIClient().get("/api/bearer", headers=headers).status_code == 403
        assert APIClient().get("/open/bearer", headers=headers).status_code == 401
        request = APIRequestFactory().get("/", headers=headers)
        assert BearerMe.as_view()(request).status_code == 401

    def test_a_token_from_another_peer_does_not_count(self) -> None:
        headers = {"Authorization": f"Bearer {dumps(XIA, KEY, format='jwt')}"}
        settings = {"ALLOWED_NO_SESSION": ["/open/"], "TRUSTED_PROXIES": ["10.0.0.7"]}
        with override_settings(DJSESSION=settings):
            for peer, status in (("10.0.0.7", 200), ("127.0.0.1", 401)):
                client = APIClient(REMOTE_ADDR=peer)
                assert client.get("/open/bearer", headers=headers).status_code == status
                request = APIRequestFactory().get("/", headers=headers, REMOTE_ADDR=peer)
                assert BearerMe.as_view()(request).status_code == status
            replaced = {"werkzeug.proxy_fix.orig": {}, "REMOTE_ADDR": "10.0.0.7"}
            request = APIRequestFactory().get("/", headers=headers, **replaced)
            assert BearerMe.as_view()(request).status_code == 401
        with override_settings(DJSESSION={**settings, "TRUSTED_PROXIES": ["127.0.0.1"]}):
            request = AsyncRequestFactory().get("/", headers=headers)  # from port 0
            assert BearerMe.as_view()(request).status_code == 401

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Sec-Fetch-Site": "same-origin"}, 200),
            ({"Sec-Fetch-Site": "none"}, 200),
            ({"Sec-Fetch-Site": "cross-site"}, 401),
            ({"Sec-Fetch-Site": "same-site"}, 401),
            ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example.com"}, 401),
            ({"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example.com"}, 200),
            # Browsers omit Sec-Fetch-Site without TLS.
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

    def test_bearer_authentication_needs_no_middleware(self) -> None:
        request = APIRequestFactory().get(
            "/", headers={"Authorization": f"Bearer {dumps(XIA, KEY, format='jwt')}"}
        )
        response = BearerMe.as_view()(request)
        assert response.data == {"user": "xia", "managed_accounts": ["xia"]}
        response = BearerMe.as_view()(APIRequestFactory().get("/"))
        assert response.status_code == 401

    @pytest.mark.parametrize(
        ("key", "status"), [(KEY, 200), (OTHER_KEY, 401)], ids=["valid", "refused"]
    )
    def test_without_the_middleware_no_shared_cache_keeps_the_response(
        self, key: str, status: int
    ) -> None:
        class Cacheable(BearerMe):
            @property
            def default_response_headers(self) -> dict[str, str]:
                return {
                    **super().default_response_headers,
                    "Cache-Control": "max-age=60",
                    "Vary": "Accept-Language",
                }

        headers = {"Authorization": f"Bearer {dumps(XIA, key, format='jwt')}"}
        for view in (BearerMe, Cacheable):
            response = view.as_view()(APIRequestFactory().get("/", headers=headers))
            assert response.status_code == status
            assert response.headers["Cache-Control"] == "private"
            vary = response.headers["Vary"].split(", ")
            assert {"Cookie", "Authorization"} <= set(vary)
            assert ("Accept-Language" in vary) is (view is Cacheable)

    def test_a_test_can_force_a_user(self) -> None:
        user = get_user_model().objects.create(username="xia")
        client = APIClient()
        client.force_authenticate(user)
        for path in ("/api/me", "/api/bearer", "/open/bearer"):
            assert client.post(path).json()["user"] == "xia"
        # Views that are not REST framework's see the same user.
        assert client.get("/whoami").json()["user"] == "xia"
        client.force_authenticate(None)
        assert client.get("/api/me").status_code == 403
        request = APIRequestFactory().get("/")
        force_authenticate(request, user)
        assert BearerMe.as_view()(request).data == {"user": "xia", "managed_accounts": []}

    @pytest.mark.usefixtures("outside_of_tests")
    def test_nobody_else_can_force_a_user(self) -> None:
        client = APIClient()
        client.force_authenticate(get_user_model().objects.create(username="xia"))
        assert client.get("/api/me").status_code == 403
        assert client.get("/whoami").status_code == 403

    def test_bearer_authentication_works_without_a_database(self) -> None:
        with override_settings(DJSESSION={"USER_SOURCE": "session"}):
            response = as_user(APIClient()).get("/api/me")
            assert response.json() == {"user": "xia"}

    def test_bearer_authentication_has_its_name_of_deployutils(self) -> None:
        assert JWTAuthentication is BearerAuthentication


class OncePerUser(UserRateThrottle):  # type: ignore[misc]
    rate = "1/day"


class OncePerScope(ScopedRateThrottle):  # type: ignore[misc]
    THROTTLE_RATES: ClassVar = {"reports": "1/day"}


@pytest.mark.django_db
@pytest.mark.parametrize("throttle", [OncePerUser, OncePerScope])
@pytest.mark.parametrize("source", ["session", "database"])
def test_throttles_count_each_user(throttle: Any, source: str) -> None:
    class Report(APIView):  # type: ignore[misc]
        throttle_classes = (throttle,)
        throttle_scope = "reports"

        def get(self, request: Any) -> Response:
            return Response()

    cache.clear()
    names = ["xia", "alice", "alice ", "Alice", "夏 李", "a" * 150]
    with override_settings(DJSESSION={"USER_SOURCE": source}):
        if source == "database":
            names = names[:2]
        for expected in (200, 429):
            for name in names:
                request = signed_in({"username": name})
                assert Report.as_view()(request).status_code == expected, ascii(name)
