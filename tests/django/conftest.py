"""Fixtures for the tests of the Django adapter."""

from __future__ import annotations

import pytest
from django.core import mail
from django.test import AsyncClient, Client
from django.urls import get_resolver

from tests.helpers.django_clients import as_user


@pytest.fixture(autouse=True, scope="session")
def _urls_are_loaded() -> None:
    """Load them with the settings of the project: the first test may override those."""
    assert get_resolver().url_patterns


@pytest.fixture
def outside_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make djsession see a served application, whose own code may have used the locmem mail."""
    monkeypatch.delattr("django.test.utils._TestState.saved_data")
    assert hasattr(mail, "outbox")


@pytest.fixture
def xia() -> Client:
    """A browser behind the proxy that is signed in as xia."""
    client: Client = as_user(Client())
    return client


@pytest.fixture
def axia() -> AsyncClient:
    client: AsyncClient = as_user(AsyncClient())
    return client
