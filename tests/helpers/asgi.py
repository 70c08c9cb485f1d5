"""An ASGI client, and an application to call with it."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from djsession import dumps
from djsession.asgi import ASGIApplication, Message, Receive, Scope, Send
from tests.helpers.sessions import KEY, XIA


def cookie(session: Any = XIA, key: str = KEY) -> tuple[bytes, bytes]:
    """Return the header that the proxy sends for a session."""
    return b"cookie", f'sessionid="{dumps(session, key)}"'.encode()


def bearer(session: Any = XIA, key: str = KEY) -> tuple[bytes, bytes]:
    """Return the header of the other backend."""
    return b"authorization", f"Bearer {dumps(session, key, 'jwt')}".encode()


def make_scope(
    *headers: tuple[bytes, bytes], kind: str = "http", path: str = "/app/", **others: Any
) -> Scope:
    """Return the scope of a connection with these headers, as uvicorn makes it."""
    scope: Scope = {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http" if kind == "http" else "ws",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), *headers],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    if kind == "http":
        scope["method"] = "GET"
    else:
        scope["subprotocols"] = []
    return {**scope, **others}


async def exchange(app: ASGIApplication, scope: Scope) -> list[Message]:
    """Call an application, and return what it sent.

    When the response is complete, the client disconnects: some frameworks wait for that.
    """
    sent: list[Message] = []
    is_complete = asyncio.Event()
    kind = {"http": "http.request", "websocket": "websocket.connect"}.get(scope["type"], "")
    received = iter([{"type": kind}])

    async def receive() -> Message:
        try:
            return next(received)
        except StopIteration:
            await is_complete.wait()
            return {"type": f"{scope['type']}.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"].endswith(".body") and not message.get("more_body"):
            is_complete.set()

    await app(scope, receive, send)
    return sent


class Answer(NamedTuple):
    code: int
    headers: dict[str, str]
    body: bytes


def call(app: ASGIApplication, scope: Scope) -> Answer:
    """Send an HTTP request. The values of a header that occurs twice are joined by commas."""
    start, *rest = asyncio.run(exchange(app, scope))
    assert start["type"] == "http.response.start"
    headers: dict[str, str] = {}
    for name, value in start["headers"]:
        assert name == name.lower()
        key, text = name.decode().title(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return Answer(start["status"], headers, b"".join(message["body"] for message in rest))


class Recorder:
    """An ASGI application that keeps the scope of each connection it gets."""

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        self.headers = headers
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            return
        headers = [(b"content-type", b"text/plain"), *self.headers]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"inside"})
