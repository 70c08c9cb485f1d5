"""Django's test clients behind the proxy."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from djsession import dumps
from tests.helpers.sessions import KEY, XIA


def cookie(session: dict[str, Any] | None = None, format: Any = "openssl", key: str = KEY) -> str:
    """Return the cookie that the proxy sends for a session."""
    return f'sessionid="{dumps(XIA if session is None else session, key, format=format)}"'


def as_user(client: Any, session: dict[str, Any] | None = None) -> Any:
    """Make the requests of a test client those that the proxy forwards for a session."""
    client.cookies["sessionid"] = dumps(XIA if session is None else session, KEY)
    return client


def middleware(get_response: Any) -> Any:
    """Return the middleware that a request for a user passes."""
    from django.contrib.auth.middleware import AuthenticationMiddleware

    from djsession.django.middleware import SessionMiddleware

    return SessionMiddleware(AuthenticationMiddleware(get_response))


def signed_in(session: dict[str, Any] | None = None) -> HttpRequest:
    """Return a request that has passed through the middleware."""
    request: HttpRequest = RequestFactory().get("/", HTTP_COOKIE=cookie(session))
    middleware(lambda _: HttpResponse())(request)
    return request


def do(client: Any, *calls: list[Any], path: str = "/session") -> list[Any]:
    """Call methods of request.session in one request, and return what they returned."""
    response = client.post(path, json.dumps(calls), content_type="application/json")
    assert response.status_code == 200, response.content
    found: list[Any] = response.json()
    return found


async def ado(client: Any, *calls: list[Any], path: str = "/asession") -> list[Any]:
    response = await client.post(path, json.dumps(calls), content_type="application/json")
    assert response.status_code == 200, response.content
    found: list[Any] = response.json()
    return found


T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, and close the connections of the thread that it has made."""

    async def closing() -> T:
        try:
            return await coroutine
        finally:
            await sync_to_async(connections.close_all)()

    return asyncio.run(closing())
