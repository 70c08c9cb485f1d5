"""A FastAPI application behind the session proxy, with a WebSocket.

Serve it behind the proxy, with the key of your site in the environment::

    DJAODJIN_SECRET_KEY=... uvicorn --no-proxy-headers examples.fastapi_app:app

On your machine, ``djsession serve`` stands in for the proxy. Both need the same key::

    export DJAODJIN_SECRET_KEY=$(djsession keygen)
    uvicorn --reload --port 8001 examples.fastapi_app:app &
    djsession serve http://127.0.0.1:8001 --mockup examples/site.yaml
"""

from __future__ import annotations

import time
from html import escape
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Response, WebSocket
from fastapi.responses import HTMLResponse, PlainTextResponse

from djsession import Session, Settings
from djsession.asgi import SessionMiddleware
from djsession.fastapi import CurrentSession, plan_required, role_required
from djsession.redact import mask

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{name}</title>
<h1>Hello, {name}</h1>
<ul>{accounts}</ul>
<p role="status"></p>
<script>
const socket = new WebSocket(location.href.replace(/^http/, "ws").replace(/[^/]*$/, "") + "live");
socket.onmessage = (event) => document.querySelector("p").textContent = event.data;
</script>
"""

# The key comes from DJAODJIN_SECRET_KEY in the environment.
app = FastAPI(title="An example behind the session proxy")
app.add_middleware(SessionMiddleware, allowed_no_session=["/static/", "/about"])

#: The session of somebody who manages the organization in the path.
Manager = Annotated[Session, Depends(role_required("manager", account="slug"))]


@app.get("/", response_class=HTMLResponse)
@app.get("/app/", response_class=HTMLResponse)
@app.get("/app/second", response_class=HTMLResponse)
@app.get("/public/", response_class=HTMLResponse)
async def index(session: CurrentSession) -> str:
    accounts = "".join(f"<li>{escape(slug)}</li>" for slug in session.accessibles())
    return PAGE.format(name=escape(session.username or "visitor"), accounts=accounts)


@app.get("/about", response_class=PlainTextResponse)
async def about() -> str:
    return "open to anyone"


@app.get("/session")
async def raw(session: CurrentSession) -> Any:
    # The proxy may send credentials along, which do not belong on a page.
    return mask(session)


@app.get("/manage/{slug}", response_class=PlainTextResponse)
async def manage(slug: str, session: Manager) -> str:
    return f"{session.username} manages {slug}"


@app.get(
    "/course",
    response_class=PlainTextResponse,
    dependencies=[Depends(plan_required("basic", "all-courses"))],
)
async def course() -> str:
    return "for subscribers"


@app.get("/live-session")
async def live_session(session: CurrentSession) -> Response:
    """The session for a WebSocket. Only examples/nginx.conf asks for it, through the proxy."""
    codec = Settings.from_environ().codec()
    in_30_seconds = int(time.time()) + 30
    token = codec.dumps({**session, "exp": in_30_seconds}, "jwt")
    return Response(status_code=204, headers={"X-Session-Token": token})


@app.websocket("/live")
@app.websocket("/app/live")
async def live(websocket: WebSocket, session: CurrentSession) -> None:
    await websocket.accept()
    await websocket.send_text(f"connected as {session.username or 'visitor'}")
    async for text in websocket.iter_text():
        await websocket.send_text(f"{session.username or 'visitor'}: {text}")


@app.websocket("/manage/{slug}/live")
async def managers_live(websocket: WebSocket, session: Manager) -> None:
    await live(websocket, session)
