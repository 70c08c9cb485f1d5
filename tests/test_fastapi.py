"""The dependencies for FastAPI, with its own test client."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")

from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from djsession import ConfigurationError, Session
from djsession.asgi import SessionMiddleware
from djsession.fastapi import CurrentSession, plan_required, role_required
from djsession.testing import log_in, log_out, session_headers
from tests.helpers.sessions import KEY, OTHER_KEY, XIA

Manager = Annotated[Session, Depends(role_required("manager", account="slug"))]

router = APIRouter()


@router.get("/session")
async def session(session: CurrentSession) -> Any:
    assert type(session) is Session
    return session


@router.get("/sync")
def sync(session: CurrentSession) -> dict[str, str | None]:
    return {"user": session.username}


@router.get("/raw", response_model=None)
async def raw(session: CurrentSession) -> Session:
    return session


@router.get("/manage/{slug}")
async def manage(slug: str, session: Manager) -> str:
    return f"{session.username} manages {slug}"


@router.get("/any", dependencies=[Depends(role_required("contributor", "manager"))])
async def any_account() -> str:
    return "of some organization"


@router.get("/contributor", dependencies=[Depends(role_required("contributor"))])
async def contributor() -> str:
    return "never"


@router.get("/numbers/{slug}", dependencies=[Depends(role_required("manager", account="slug"))])
async def numbered(slug: int) -> int:
    return slug


@router.get("/misspelt/{slug}", dependencies=[Depends(role_required("manager", account="slgu"))])
async def misspelt(slug: str) -> str:
    return "never"


@router.get("/course", dependencies=[Depends(plan_required("basic", "all-courses"))])
async def course() -> str:
    return "for subscribers"


@router.get("/premium", dependencies=[Depends(plan_required("premium"))])
async def premium() -> str:
    return "never"


@router.get("/public/session")
async def public(session: CurrentSession) -> dict[str, Any]:
    return {"user": session.username, "type": type(session).__name__}


@router.get("/public/manage", dependencies=[Depends(role_required("manager"))])
async def public_manage() -> str:
    return "never for visitors"


@router.get("/unrelated")
async def unrelated() -> str:
    return "does not look at the session"


@router.websocket("/ws")
async def ws(websocket: WebSocket, session: CurrentSession) -> None:
    await websocket.accept()
    await websocket.send_json({"user": session.username})
    await websocket.close()


@router.websocket("/ws/{slug}")
async def managers_ws(websocket: WebSocket, session: Manager) -> None:
    await ws(websocket, session)


def make_app(**settings: Any) -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    opened = ["/public", "/openapi.json"]
    app.add_middleware(SessionMiddleware, secret_key=KEY, allowed_no_session=opened, **settings)
    return app


@pytest.fixture
def client() -> TestClient:
    return TestClient(make_app())


@pytest.fixture
def xia(client: TestClient) -> TestClient:
    return log_in(client, XIA)


def test_the_log_says_what_a_view_requires(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "djsession")
    xia = log_in(client, XIA)
    assert xia.get("/manage/xia").status_code == 200
    assert xia.get("/manage/cowork").status_code == 403
    with pytest.raises(WebSocketDisconnect), xia.websocket_connect("/ws/cowork"):
        pass
    assert log_out(client).get("/public/manage").status_code == 403
    required = "refused: the view requires the role manager in"
    slug = "the organization of its argument slug, but the user does not have it"
    assert [record.getMessage() for record in caplog.records if record.name == "djsession"] == [
        f"GET /manage/cowork {required} {slug}",
        f"GET /ws/cowork {required} {slug}",
        f"GET /public/manage {required} any organization, but nobody is signed in",
    ]


class TestCurrentSession:
    def test_the_dependency_is_the_session(self, xia: TestClient) -> None:
        assert xia.get("/session").json() == XIA
        assert xia.get("/raw").json() == XIA
        assert xia.get("/sync").json() == {"user": "xia"}
        headers = session_headers("dana", KEY, format="jwt")
        assert TestClient(make_app()).get("/sync", headers=headers).json() == {"user": "dana"}

    def test_without_a_session_the_middleware_refuses(self, client: TestClient) -> None:
        for path in ("/session", "/unrelated", "/docs", "/nothing"):
            answer = client.get(path, headers={"Accept": "application/json"})
            assert (answer.status_code, answer.json()) == (403, {"detail": "Forbidden"})

    def test_a_visitor_has_an_empty_session(self, client: TestClient) -> None:
        nobody = {"user": None, "type": "Session"}
        assert client.get("/public/session").json() == nobody
        client.cookies["sessionid"] = "garbage"
        assert client.get("/public/session").json() == nobody
        assert log_in(client, {}).get("/public/session").json() == nobody

    @pytest.mark.parametrize("planted", [None, XIA, "xia"])
    def test_the_dependency_without_the_middleware_is_an_error(self, planted: Any) -> None:
        app = FastAPI()
        app.include_router(router)

        async def outer(scope: Any, receive: Any, send: Any) -> None:
            if planted is not None:
                scope["djsession.session"] = planted
            await app(scope, receive, send)

        client = TestClient(outer)
        headers = session_headers(XIA, KEY)
        for path in ("/session", "/any", "/course", "/public/session", "/manage/xia"):
            with pytest.raises(ConfigurationError, match=r"add_middleware\(SessionMiddleware\)"):
                client.get(path, headers=headers)
        for path in ("/ws", "/ws/xia"):
            with (
                pytest.raises(ConfigurationError, match="SessionMiddleware is not installed"),
                client.websocket_connect(path, headers=headers),
            ):
                pass
        assert client.get("/unrelated").status_code == 200
        quiet = TestClient(outer, raise_server_exceptions=False)
        assert quiet.get("/session", headers=headers).status_code == 500

    def test_an_overridden_dependency_is_fastapis_business(self) -> None:
        from djsession.fastapi import current_session

        app = FastAPI()
        app.include_router(router)
        app.dependency_overrides[current_session] = lambda: Session(XIA)
        assert TestClient(app).get("/manage/xia").status_code == 200
        assert TestClient(app).get("/manage/dana").status_code == 403


def test_around_the_application_an_unhandled_exception_has_caching_headers() -> None:
    app = FastAPI()

    @app.get("/")
    async def fail() -> None:
        raise LookupError

    wrapped = SessionMiddleware(app, secret_key=KEY)
    client = TestClient(wrapped, raise_server_exceptions=False)
    answer = log_in(client, XIA).get("/")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (500, "private")


def test_cors_outside_answers_a_preflight_and_nothing_else() -> None:
    app = make_app()
    app.add_middleware(CORSMiddleware, allow_origins=["https://a.example"])
    headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}
    client = TestClient(app)
    assert client.options("/session", headers=headers).status_code == 200
    answer = client.get("/session", headers=headers)
    assert answer.status_code == 403
    assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert "Cookie" in answer.headers["Vary"]


class TestFastApiRequirements:
    def test_a_role_for_the_account_of_the_path_is_required(self, xia: TestClient) -> None:
        assert xia.get("/manage/xia").json() == "xia manages xia"
        for slug in ("cowork", "Xia", "xia%20", "%2E", "xi"):
            answer = xia.get(f"/manage/{slug}")
            assert (answer.status_code, answer.json()) == (403, {"detail": "Forbidden"})
        assert xia.get("/manage/cowork?slug=xia").status_code == 403

    def test_a_role_for_any_account_is_required(self, xia: TestClient) -> None:
        assert xia.get("/any").status_code == 200
        assert xia.get("/contributor").status_code == 403
        assert log_in(xia, "dana").get("/any").status_code == 403

    def test_a_slug_that_looks_like_a_number_is_compared_as_text(self, client: TestClient) -> None:
        log_in(client, {"username": "xia", "roles": {"manager": [{"slug": "7"}]}})
        assert client.get("/numbers/7").json() == 7
        assert client.get("/numbers/8").status_code == 403

    def test_one_of_the_plans_is_required(self, xia: TestClient) -> None:
        assert xia.get("/course").status_code == 200
        assert xia.get("/premium").status_code == 403
        assert log_in(xia, "dana").get("/course").status_code == 403

    def test_a_visitor_on_an_open_path_is_refused(self, client: TestClient) -> None:
        assert client.get("/public/manage").status_code == 403
        assert log_in(client, {}).get("/public/manage").status_code == 403
        assert log_in(client, XIA).get("/public/manage").status_code == 200

    def test_a_parameter_that_the_path_does_not_have_is_an_error(self, xia: TestClient) -> None:
        for path in ("/misspelt/xia", "/misspelt/xia?slgu=xia"):
            with pytest.raises(ConfigurationError, match="no argument 'slgu'"):
                xia.get(path)

    @pytest.mark.parametrize("required", [role_required, plan_required])
    @pytest.mark.parametrize("names", [(), (["manager"],), (None,)])
    def test_requiring_nothing_is_an_error(self, required: Any, names: Any) -> None:
        with pytest.raises(ConfigurationError):
            required(*names)

    def test_the_response_has_caching_headers(self, xia: TestClient) -> None:
        for path in ("/manage/xia", "/manage/cowork", "/nothing"):
            headers = xia.get(path).headers
            assert headers["Cache-Control"] == "private"
            assert headers["Vary"] == "Cookie, Authorization"


class TestFastApiWebSockets:
    def test_a_websocket_has_the_session(self, xia: TestClient) -> None:
        for path in ("/ws", "/ws/xia"):
            with xia.websocket_connect(path) as websocket:
                assert websocket.receive_json() == {"user": "xia"}

    @pytest.mark.parametrize("path", ["/ws", "/ws/cowork"])
    def test_a_websocket_is_refused_before_it_is_accepted(
        self, path: str, client: TestClient
    ) -> None:
        if path != "/ws":
            log_in(client, XIA)
        with pytest.raises(WebSocketDisconnect) as caught, client.websocket_connect(path):
            pass
        assert caught.value.code == 1008

    def test_a_websocket_with_a_token_of_another_key_is_refused(self, client: TestClient) -> None:
        headers = session_headers(XIA, OTHER_KEY)
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/ws", headers=headers):
            pass


class TestOpenAPI:
    def test_the_operations_that_use_the_session_say_so(self, client: TestClient) -> None:
        document = client.get("/openapi.json").json()
        schemes = document["components"]["securitySchemes"]
        for scheme in schemes.values():
            scheme.pop("description")
        assert schemes == {
            "sessionCookie": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
            "sessionBearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        }
        found = {
            path: operations["get"].get("security")
            for path, operations in document["paths"].items()
        }
        assert found.pop("/unrelated") is None
        assert len(found) == 12
        one_of_both: list[Any] = [{"sessionCookie": []}, {"sessionBearer": []}]
        assert all(security == one_of_both for security in found.values())

    def test_operations_without_the_session_do_not_say_so(self, client: TestClient) -> None:
        document = client.get("/openapi.json").json()
        assert "Session" not in document["components"]["schemas"]
        parameters = document["paths"]["/manage/{slug}"]["get"]["parameters"]
        assert [item["name"] for item in parameters] == ["slug"]
        assert "parameters" not in document["paths"]["/session"]["get"]


def test_the_dependencies_of_fastapi_start_no_thread(
    xia: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a thread was used")

    monkeypatch.setattr("anyio.to_thread.run_sync", fail)
    for path in ("/session", "/manage/xia", "/course"):
        assert xia.get(path).status_code == 200
