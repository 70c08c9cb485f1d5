"""Django's messages, in whatever storage, are for the user that they were written for."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.messages.storage.cookie import CookieStorage
from django.test import Client, override_settings

from tests.helpers.django_clients import as_user
from tests.helpers.sessions import XIA

ALICE = {**XIA, "username": "alice"}
STORAGES = ["fallback.FallbackStorage", "cookie.CookieStorage", "session.SessionStorage"]


class OwnStorage(CookieStorage):  # type: ignore[misc]
    """A storage of a project."""

    cookie_name = "notes"


@pytest.fixture(params=[*(f"django.contrib.messages.storage.{item}" for item in STORAGES), None])
def _storage(request: pytest.FixtureRequest) -> Any:
    name = request.param or f"{__name__}.OwnStorage"
    with override_settings(MESSAGE_STORAGE=name, DJSESSION={"ALLOWED_NO_SESSION": ["/messages"]}):
        yield


# The third pair is a visitor who signs in; the fourth has a username that cannot be encoded.
PAIRS = [(XIA, ALICE), (XIA, {}), ({}, XIA), ({"username": "\ud800"}, XIA)]


@pytest.mark.usefixtures("_storage")
@pytest.mark.parametrize(("first", "second"), PAIRS, ids=range(len(PAIRS)))
def test_another_user_of_the_browser_does_not_see_a_message(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    browser = as_user(Client(), first)
    browser.post("/messages", {"message": "for you"})
    assert as_user(browser, second).get("/messages").json() == []
    browser = as_user(Client(), first)
    browser.post("/messages", {"message": "for you"})
    assert browser.get("/messages").json() == ["for you"]
    assert browser.get("/messages").json() == []


@pytest.mark.usefixtures("_storage")
def test_a_visitor_sees_a_message_of_their_own() -> None:
    browser = Client()
    browser.post("/messages", {"message": "for anybody"})
    assert browser.get("/messages").json() == ["for anybody"]
