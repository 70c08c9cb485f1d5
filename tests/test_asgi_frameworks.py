"""The middleware around Starlette, Litestar and Quart: sessions, WebSockets, mount points."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from djsession.asgi import SessionMiddleware
from djsession.testing import log_in
from tests.helpers.asgi import cookie, exchange, make_scope
from tests.helpers.sessions import KEY, XIA


def starlette() -> Any:
    applications = pytest.importorskip("starlette.applications")
    from starlette.authentication import requires
    from starlette.responses import JSONResponse
    from starlette.routing import Mount, Route, WebSocketRoute

    async def whoami(request: Any) -> Any:
        assert request.scope["djsession.session"].username == (request.user.identity or None)
        return JSONResponse(
            {
                "user": request.user.display_name,
                "path": request.url.path,
                "id": request.user.identity,
            }
        )

    @requires("authenticated")
    async def members(request: Any) -> Any:
        return await whoami(request)

    @requires(["role:manager", "plan:basic"])
    async def managers(request: Any) -> Any:
        return await whoami(request)

    @requires("xia")
    async def named(request: Any) -> Any:
        return await whoami(request)

    @requires("role:contributor")
    async def contributors(request: Any) -> Any:
        return await whoami(request)

    async def live(websocket: Any) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.user.display_name)
        await websocket.close()

    routes = [
        Route("/whoami", whoami),
        Route("/open/whoami", whoami),
        Route("/members", members),
        Route("/open/members", members),
        Route("/managers", managers),
        Route("/contributors", contributors),
        Route("/named", named),
        WebSocketRoute("/live", live),
    ]
    return applications.Starlette(routes=[*routes, Mount("/mounted", routes=routes)])


def litestar() -> Any:
    pytest.importorskip("litestar")
    from litestar import Litestar, Request, WebSocket, get, websocket

    @get(["/whoami", "/open/whoami"])
    async def whoami(request: Any) -> Any:
        assert request.scope["djsession.session"].username == (request.user.identity or None)
        return {"user": request.user.display_name, "path": request.url.path}

    @websocket("/live")
    async def live(socket: Any) -> None:
        await socket.accept()
        await socket.send_text(socket.user.display_name)
        await socket.close()

    whoami.fn.__annotations__["request"] = Request
    live.fn.__annotations__["socket"] = WebSocket
    return Litestar([whoami, live])


def quart() -> Any:
    pytest.importorskip("quart")
    from quart import Quart, request, websocket

    app = Quart(__name__, static_folder=None)

    @app.get("/whoami")
    @app.get("/open/whoami")
    async def whoami() -> Any:
        scope: Any = request.scope
        assert scope["djsession.session"].username == (scope["user"].identity or None)
        return {"user": scope["user"].display_name, "path": request.path}

    @app.websocket("/live")
    async def live() -> None:
        await websocket.accept()
        scope: Any = websocket.scope
        await websocket.send(scope["user"].display_name)

    return app


Make = Callable[[], Any]


@pytest.fixture(params=[starlette, litestar, quart], ids=lambda make: make.__name__)
def app(request: pytest.FixtureRequest) -> SessionMiddleware:
    return SessionMiddleware(request.param(), secret_key=KEY, allowed_no_session=["/open"])


@pytest.fixture
def client(app: SessionMiddleware) -> Any:
    return pytest.importorskip("starlette.testclient").TestClient(app)


def test_each_asgi_framework_has_the_session(client: Any) -> None:
    assert client.get("/whoami").status_code == 403
    assert client.get("/open/whoami").json()["user"] == ""
    log_in(client, XIA)
    for path in ("/whoami", "/open/whoami"):
        answer = client.get(path)
        assert answer.json()["user"] == "xia"
        assert answer.headers["Cache-Control"] == "private"
        vary = answer.headers["Vary"].lower()
        assert "cookie" in vary
        assert "authorization" in vary
    missing = client.get("/nothing")
    assert (missing.status_code, missing.headers["Cache-Control"]) == (404, "private")


def test_each_asgi_framework_has_the_session_of_a_websocket(client: Any) -> None:
    disconnect = pytest.importorskip("starlette.websockets").WebSocketDisconnect
    with pytest.raises(disconnect) as caught, client.websocket_connect("/live"):
        pass
    assert caught.value.code == 1008
    with log_in(client, XIA).websocket_connect("/live") as socket:
        assert socket.receive_text() == "xia"


@pytest.mark.parametrize("root_path", ["/app", "/open", "/a/b", "/whoami"])
def test_each_asgi_framework_below_a_mount_point(app: SessionMiddleware, root_path: str) -> None:
    def get(path: str, *headers: Any) -> tuple[int, Any]:
        scope = make_scope(*headers, path=root_path + path, root_path=root_path)
        start, *bodies = asyncio.run(exchange(app, scope))
        body = b"".join(item.get("body", b"") for item in bodies)
        return start["status"], json.loads(body)["user"] if start["status"] == 200 else None

    assert get("/whoami")[0] == 403
    assert get(root_path + "/whoami")[0] == 403
    if root_path not in "/open/whoami":
        assert get("/open/whoami") == (200, "")
        assert get("/open/whoami", cookie()) == (200, "xia")
        assert get("/whoami", cookie()) == (200, "xia")
    else:
        # Frameworks read such a path in different ways, so that it is closed.
        assert get("/open/whoami")[0] == 403


def test_requires_of_starlette_reads_the_session() -> None:
    testclient = pytest.importorskip("starlette.testclient")
    app = SessionMiddleware(starlette(), secret_key=KEY, allowed_no_session=["/open"])
    client = testclient.TestClient(app)
    assert client.get("/open/members").status_code == 403
    log_in(client, XIA)
    for path, status in (
        ("/open/members", 200),
        ("/members", 200),
        ("/managers", 200),
        ("/contributors", 403),
        ("/named", 403),  # by the username, which users choose
        ("/mounted/managers", 200),
        ("/mounted/contributors", 403),
    ):
        assert client.get(path).status_code == status, path
    assert log_in(client, "dana").get("/managers").status_code == 403


def test_the_middleware_inside_a_mounted_application_of_starlette() -> None:
    """Entries are paths inside the application that the middleware is around."""
    testclient = pytest.importorskip("starlette.testclient")
    applications = pytest.importorskip("starlette.applications")
    from starlette.routing import Mount

    inner = SessionMiddleware(starlette(), secret_key=KEY, allowed_no_session=["/open"])
    client = testclient.TestClient(applications.Starlette(routes=[Mount("/sub", app=inner)]))
    assert client.get("/sub/open/whoami").json()["user"] == ""
    assert client.get("/sub/whoami").status_code == 403
    assert client.get("/sub/sub/open/whoami").status_code == 403
    assert log_in(client, XIA, KEY).get("/sub/whoami").json()["user"] == "xia"
