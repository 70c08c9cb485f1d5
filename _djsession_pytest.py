"""Fixtures for pytest, found by its entry point: ``djsession_key`` and ``login_as``.

::

    def test_the_home_page(client, login_as):
        login_as("xia")
        assert "Xia" in client.get("/").text

``"xia"`` is one of the project's own mockup sessions: those that the settings of the application
under test name, such as ``DJSESSION["MOCKUP"]`` of a Django project, or else those in
``sessions.yaml``. ``djsession_sessions`` in the configuration of pytest names another YAML file,
relative to that configuration's folder.

pytest imports this module at the start of every run where djsession is installed. It is therefore
not a part of the package ``djsession``, since Python imports a package before its modules. Only the
fixtures import the package.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["djsession_key", "login_as"]

_INI = "djsession_sessions"

# For tests only, where the project does not have a key: no application is ever served with it.
_TEST_KEY = "djsession-testing"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting that names the YAML file."""
    parser.addini(_INI, "the YAML file of mockup sessions for login_as", default="")


@pytest.fixture
def djsession_key(monkeypatch: pytest.MonkeyPatch) -> str:
    """The secret key of the tests: that of Django's settings, of the environment, or a made one.

    A made one is in the environment, as DJAODJIN_SECRET_KEY, while the test runs.
    """
    from djsession.settings import KEY_NAME

    conf = sys.modules.get("djsession.django.conf")
    if conf is not None:
        keys = conf.get_settings().secret_key
        return str(keys[0])
    if not os.environ.get(KEY_NAME):
        monkeypatch.setenv(KEY_NAME, _TEST_KEY)
    return os.environ[KEY_NAME].split(",")[0]


@pytest.fixture
def login_as(
    request: pytest.FixtureRequest, djsession_key: str, pytestconfig: pytest.Config
) -> Callable[..., Any]:
    """A function that logs a test client in: ``login_as(name, client=None)`` returns the client.

    ``name`` is that of a mockup session. Without a client it is the fixture ``client``, as
    pytest-django, pytest-flask and many projects have one.
    """
    from djsession.mockup import MockupSessions
    from djsession.testing import log_in, settings_under_test

    def login(name: str, client: Any = None) -> Any:
        if client is None:
            try:
                client = request.getfixturevalue("client")
            except (pytest.FixtureLookupError, pytest.skip.Exception):
                # pytest-django has one that skips where there is no Django.
                pytest.fail("no fixture client: give login_as(name, client) one", pytrace=False)
        file = pytestconfig.getini(_INI)
        source = None if file else getattr(settings_under_test(client), "mockup", None)
        if source is None:
            inipath = pytestconfig.inipath
            folder = inipath.parent if inipath else pytestconfig.rootpath
            source = folder / (file or "sessions.yaml")
        sessions = MockupSessions(source).by_name
        if name not in sessions:
            known = ", ".join(sessions)
            pytest.fail(f"there is no mockup session {name!r}: there are {known}", pytrace=False)
        return log_in(client, sessions[name])

    return login
