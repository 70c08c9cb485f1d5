"""A pytest plugin, loaded by its entry point, with the fixtures ``djsession_key`` and ``login_as``.

::

    def test_the_home_page(client, login_as):
        login_as("xia")
        assert "Xia" in client.get("/").text

``"xia"`` is one of the project's own mockup sessions. They come from the settings of the
application under test, such as ``DJSESSION["MOCKUP"]`` in a Django project, or else from
``sessions.yaml``. The setting ``djsession_sessions`` in pytest's configuration names a different
YAML file, relative to the folder of pytest's configuration file.

pytest imports this module at the start of every run if djsession is installed. The module is
outside the package ``djsession`` so that this does not import the package. Only the fixtures do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["djsession_key", "login_as"]

_INI = "djsession_sessions"

# For tests of a project that does not have a key. It must never serve an application.
_TEST_KEY = "djsession-testing"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the setting that names the YAML file."""
    parser.addini(_INI, "the YAML file of mockup sessions for login_as", default="")


@pytest.fixture
def djsession_key(monkeypatch: pytest.MonkeyPatch) -> str:
    """The secret key for the tests: from Django's settings, the environment, or a fixed test key.

    The fixed test key is set in the environment, as DJAODJIN_SECRET_KEY, while the test runs.
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
    """A function that logs in a test client: ``login_as(name, client=None)`` returns the client.

    ``name`` is the name of a mockup session. The default client is the fixture ``client``, which
    pytest-django, pytest-flask and many projects define.
    """
    from djsession.mockup import MockupSessions
    from djsession.testing import log_in, settings_under_test

    def login(name: str, client: Any = None) -> Any:
        if client is None:
            try:
                client = request.getfixturevalue("client")
            except (pytest.FixtureLookupError, pytest.skip.Exception):
                # pytest-django's fixture skips the test if Django is not configured.
                pytest.fail(
                    "there is no fixture 'client': pass a client to login_as(name, client)",
                    pytrace=False,
                )
        file = pytestconfig.getini(_INI)
        source = None if file else getattr(settings_under_test(client), "mockup", None)
        if source is None:
            inipath = pytestconfig.inipath
            folder = inipath.parent if inipath else pytestconfig.rootpath
            source = folder / (file or "sessions.yaml")
        sessions = MockupSessions(source).by_name
        if name not in sessions:
            known = ", ".join(sessions)
            pytest.fail(
                f"there is no mockup session {name!r}: choose one of {known}", pytrace=False
            )
        return log_in(client, sessions[name])

    return login
