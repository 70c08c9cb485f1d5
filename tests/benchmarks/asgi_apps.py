"""ASGI applications for the benchmark: bare and with djsession."""

from __future__ import annotations

from djsession.asgi import Receive, Scope, Send, SessionMiddleware

from .measuring import KEY


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"3")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"xia"})


djsession = SessionMiddleware(bare, secret_key=KEY)
