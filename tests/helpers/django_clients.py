"""Django's test clients behind the proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
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


#: What the view at ``/session`` or ``/asession`` does with request.session.
STEPS: ContextVar[Callable[[Any], Any]] = ContextVar("STEPS")


def respond(client: Any, steps: Callable[[Any], Any], path: str = "/session") -> HttpResponse:
    """Return the response to a request whose view calls a function with request.session."""
    token = STEPS.set(steps)
    try:
        return client.post(path)
    finally:
        STEPS.reset(token)


def visit(client: Any, steps: Callable[[Any], Any], path: str = "/session") -> Any:
    """Have a view call a function with request.session, and return what the function returns."""
    found: list[Any] = []
    response = respond(client, lambda session: found.append(steps(session)), path)
    assert response.status_code == 200, response.content
    return found[0]


async def avisit(
    client: Any, steps: Callable[[Any], Awaitable[Any]], path: str = "/asession"
) -> Any:
    """Do the same with an asynchronous view and an asynchronous function."""
    found: list[Any] = []

    async def keep_result(session: Any) -> None:
        found.append(await steps(session))

    token = STEPS.set(keep_result)
    try:
        response = await client.post(path)
    finally:
        STEPS.reset(token)
    assert response.status_code == 200, response.content
    return found[0]


def store(client: Any, key: str, value: Any, path: str = "/session") -> None:
    """Have a view write a key of request.session."""
    visit(client, lambda session: session.__setitem__(key, value), path)


def read(client: Any, key: str, path: str = "/session") -> Any:
    """Return what a view reads of request.session, None where the key is missing."""
    return visit(client, lambda session: session.get(key), path)


T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, and close the connections of the thread that it has made."""

    async def closing() -> T:
        try:
            return await coroutine
        finally:
            await sync_to_async(connections.close_all)()

    return asyncio.run(closing())
