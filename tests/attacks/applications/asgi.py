"""The ASGI applications in one server; the header ``X-Application`` chooses among them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from djsession.asgi import ASGIApplication, Receive, Scope, Send, SessionMiddleware
from tests.attacks.applications.pages import ENTRIES, page


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the path as the ASGI specification says."""
    path, root_path = scope["path"], scope["root_path"]
    if path.startswith(f"{root_path}/"):
        path = path.removeprefix(root_path)
    body = page(path).encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def starlette_application() -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def show(request: Request) -> PlainTextResponse:
        return PlainTextResponse(page(f"/{request.path_params['path']}"))

    return Starlette(routes=[Route("/{path:path}", show)])


def fastapi_application() -> Any:
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse

    app = FastAPI(openapi_url=None)

    @app.get("/{path:path}", response_class=PlainTextResponse)
    async def show(path: str) -> str:
        return page(f"/{path}")

    return app


def litestar_application() -> Any:
    from litestar import Litestar, get

    @get(["/", "/{rest:path}"], media_type="text/plain")
    async def show(rest: str = "/") -> str:
        return page(str(rest))

    return Litestar([show], openapi_config=None)


def quart_application() -> Any:
    from quart import Quart

    app = Quart(__name__, static_folder=None)

    @app.get("/", defaults={"path": ""})
    @app.get("/<path:path>")
    async def show(path: str) -> str:
        return page(f"/{path}")

    return app


def django_application() -> Any:
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


APPLICATIONS: dict[str, ASGIApplication] = {
    "plain": SessionMiddleware(plain, allowed_no_session=ENTRIES),
    "django": django_application(),
}
for name, make in {
    "starlette": starlette_application,
    "fastapi": fastapi_application,
    "litestar": litestar_application,
    "quart": quart_application,
}.items():
    if find_spec(name):
        APPLICATIONS[name] = SessionMiddleware(make(), allowed_no_session=ENTRIES)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    await APPLICATIONS[dict(scope["headers"])[b"x-application"].decode()](scope, receive, send)
