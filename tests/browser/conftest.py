"""A real browser: Debian's Chromium, headless. ``nox -s browser`` runs what is here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.chromium import Browser
from tests.helpers.commands import ROOT
from tests.helpers.servers import Serve
from tests.helpers.sessions import KEY

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# The other sessions do not have selenium, and may not have a browser.
if "DJSESSION_TEST_BROWSER" not in os.environ:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    pytest.importorskip("selenium")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in (
        "--headless=new",
        "--no-sandbox",  # otherwise Chromium does not start as root
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--no-first-run",
        # Otherwise it connects to its vendor, for updates among other things.
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-quic",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    """A copy of the example's YAML file, to be edited."""
    path = tmp_path / "sessions.yaml"
    shutil.copy(ROOT / "examples" / "sessions.yaml", path)
    return path


def _at(chromium: Chrome, port: int) -> Browser:
    browser = Browser(chromium, port)
    browser.open("/login/")
    chromium.delete_all_cookies()
    return browser.colours("light").size(1000, 800)


@pytest.fixture
def browser(chromium: Chrome, serve: Serve, sessions: Path) -> Browser:
    """A browser that nobody has signed in with, at the example behind the stand-in."""
    arguments = ("-m", "djsession", "serve", "examples.hello:application")
    port = serve(*arguments, f"--mockup={sessions}", "--port={port}", DJAODJIN_SECRET_KEY=KEY)
    return _at(chromium, port)


@pytest.fixture
def mockup_browser(chromium: Chrome, serve: Serve) -> Browser:
    """A browser that nobody has signed in with, at the example behind MockupApp."""
    port = serve(
        *("-m", "gunicorn", "-b", "127.0.0.1:{port}", "tests.browser.application:application"),
        DJAODJIN_SECRET_KEY=KEY,
    )
    return _at(chromium, port)
