"""Fixtures for pytest, found by its entry point: ``djsession_key`` and ``login_as``.

::

    def test_the_home_page(client, login_as):
        login_as("xia")
        assert "Xia" in client.get("/").text

``"xia"`` is a mockup session of the project's own YAML file: ``djsession_sessions`` in the
configuration of pytest names it, relative to that file's folder (default: sessions.yaml).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .mockup import MockupSessions

__all__ = ["djsession_key", "login_as"]

_INI = "djsession_sessions"

# For tests alone, where the project has none: no application is ever served with it.
_TEST_KEY = "djsession-testing"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting that names the YAML file."""
    parser.addini(_INI, "the YAML file of mockup sessions for login_as", default="sessions.yaml")


@pytest.fixture
def djsession_key(monkeypatch: pytest.MonkeyPatch) -> str:
    """The secret key of the tests: that of Django's settings, of the environment, or a made one.

    A made one is in the environment, as DJAODJIN_SECRET_KEY, while the test runs.
    """
    from .settings import KEY_NAME

    conf = sys.modules.get("djsession.django.conf")
    if conf is not None:
        keys = conf.get_settings().secret_key
        return str(keys[0])
    if not os.environ.get(KEY_NAME):
        monkeypatch.setenv(KEY_NAME, _TEST_KEY)
    return os.environ[KEY_NAME].split(",")[0]


@pytest.fixture(scope="session")
def _djsession_mockups(pytestconfig: pytest.Config) -> MockupSessions:
    from .mockup import MockupSessions

    base = pytestconfig.inipath.parent if pytestconfig.inipath else pytestconfig.rootpath
    return MockupSessions(base / pytestconfig.getini(_INI), lambda session: None)


@pytest.fixture
def login_as(
    request: pytest.FixtureRequest, djsession_key: str, _djsession_mockups: MockupSessions
) -> Callable[..., Any]:
    """A function that logs a test client in: ``login_as(name, client=None)`` returns the client.

    ``name`` is that of a mockup session. Without a client it is the fixture ``client``, as
    pytest-django, pytest-flask and many projects have one.
    """
    from .testing import log_in

    def login(name: str, client: Any = None) -> Any:
        sessions = _djsession_mockups.by_name
        if name not in sessions:
            known = ", ".join(sessions)
            pytest.fail(f"there is no mockup session {name!r}: there are {known}", pytrace=False)
        if client is None:
            try:
                client = request.getfixturevalue("client")
            except (pytest.FixtureLookupError, pytest.skip.Exception):
                # pytest-django has one that skips where there is no Django.
                pytest.fail("no fixture client: give login_as(name, client) one", pytrace=False)
        return log_in(client, sessions[name])

    return login
