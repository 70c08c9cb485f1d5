"""What the tests of the Django adapter share."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from asgiref.sync import sync_to_async
from django.core import mail
from django.db import connections
from django.test import AsyncClient, Client
from django.urls import get_resolver

from djsession import dumps
from tests.conftest import KEY, XIA


def cookie(session: dict[str, Any] | None = None, format: Any = "openssl", key: str = KEY) -> str:
    """Return the cookie that the proxy sends for a session."""
    return f'sessionid="{dumps(XIA if session is None else session, key, format=format)}"'


def as_user(client: Any, session: dict[str, Any] | None = None) -> Any:
    """Make the requests of a test client those that the proxy forwards for a session."""
    client.cookies["sessionid"] = dumps(XIA if session is None else session, KEY)
    return client


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


@pytest.fixture(autouse=True, scope="session")
def _urls_are_loaded() -> None:
    """With the settings of the project: a test may come first that has others."""
    assert get_resolver().url_patterns


@pytest.fixture
def outside_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where an application is served, whose own code may have used the backend of test mail."""
    monkeypatch.delattr("django.test.utils._TestState.saved_data")
    assert hasattr(mail, "outbox")


@pytest.fixture
def xia() -> Client:
    """A browser behind the proxy, somebody signed in."""
    client: Client = as_user(Client())
    return client


@pytest.fixture
def axia() -> AsyncClient:
    client: AsyncClient = as_user(AsyncClient())
    return client
