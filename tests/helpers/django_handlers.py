"""Calls Django's own handlers with the environ or the scope that a server would make."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import AsyncRequestFactory, RequestFactory
from django.urls import set_script_prefix

from tests.helpers.django_clients import run
from tests.helpers.wsgi import Answer, call


def by_wsgi(path: str, *, script_name: str = "", **meta: Any) -> Answer:
    """Send a GET request by WSGI. ``path`` is PATH_INFO as text; ``meta`` goes into the environ."""
    environ = RequestFactory().get("/").environ | {
        "PATH_INFO": path.encode().decode("latin-1"),
        "SCRIPT_NAME": script_name.encode().decode("latin-1"),
        **meta,
    }
    with connections_kept():
        return call(WSGIHandler(), environ)


@contextmanager
def connections_kept() -> Iterator[None]:
    """Keep Django from closing the connection of the test when a request starts or ends."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in (request_started, request_finished):
            signal.connect(close_old_connections)
        set_script_prefix("/")


def by_asgi(
    path: str,
    *,
    app: Any = None,
    script_name: str = "",
    scope: Mapping[str, Any] | None = None,
    **meta: Any,
) -> Answer:
    """Send the same request by ASGI: the path of the scope includes the root_path.

    ``meta`` are headers only; ``scope`` goes into the scope. ``app`` is Django's own handler or an
    application around it.
    """
    headers = [
        (name.removeprefix("HTTP_").replace("_", "-").lower().encode(), value.encode())
        for name, value in meta.items()
    ]
    sent = AsyncRequestFactory().get("/").scope | {
        "path": script_name + path,
        "root_path": script_name,
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        **(scope or {}),
    }
    messages: list[Mapping[str, Any]] = []

    async def scenario() -> None:
        events = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> Any:
            try:
                return next(events)
            except StopIteration:
                return await asyncio.sleep(60)

        async def send(message: Mapping[str, Any]) -> None:
            messages.append(message)

        await (app or ASGIHandler())(sent, receive, send)

    try:
        run(scenario())
    finally:
        set_script_prefix("/")
    start, *bodies = messages
    return Answer(
        str(start["status"]),
        {name.decode().title(): value.decode() for name, value in start["headers"]},
        b"".join(message.get("body", b"") for message in bodies),
    )


def urlconf(urlpatterns: list[Any], **handlers: Any) -> ModuleType:
    """Return a module of URLs, for ROOT_URLCONF."""
    module = ModuleType("urls_of_a_test")
    vars(module).update(urlpatterns=urlpatterns, **handlers)
    return module
