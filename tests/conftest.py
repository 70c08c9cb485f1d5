"""Fixtures and hooks for all tests. What the tests import is in ``tests/helpers``."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.helpers.servers import Serve, running_server
from tests.helpers.sessions import CAPTURES, Capture, load_capture
from tests.helpers.wsgi import Recorder

# What a shell starts in the background ignores the signal, and so would the servers of the tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says something of the machine, nothing of the code.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", settings.get_profile("tests"), max_examples=5_000)
# mutmut runs each test several times in one process, and does not look at examples.
settings.register_profile(
    "mutants",
    settings.get_profile("tests"),
    max_examples=50,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
settings.load_profile(os.environ.get("DJSESSION_TEST_PROFILE", "tests"))


# Folders whose tests talk to a server, and modules of the others.
_TALK_TO_SERVERS = ("attacks", "browser", "caching", "interop", "load")
_SERVER_MODULES = ("test_documents.py", "test_examples.py", "test_sockets.py")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name tokens alike in every process: they are random, and pytest-xdist compares names."""
    is_token = isinstance(val, str) and any(start in val for start in ("U2FsdGVkX1", "eyJ"))
    return "token" if is_token else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start a server, so that ``-m "not server"`` leaves them out."""
    for item in items:
        folders = item.path.parent.relative_to(Path(__file__).parent).parts
        if (
            "serve" in getattr(item, "fixturenames", ())
            or folders[:1] in [(folder,) for folder in _TALK_TO_SERVERS]
            or item.path.name in _SERVER_MODULES
        ):
            item.add_marker(pytest.mark.server)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape half of a surrogate pair in captured logs, which pytest-xdist cannot transmit."""
    report = yield
    report.sections = [
        (name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections
    ]
    return report


@pytest.fixture(params=CAPTURES, ids=lambda path: path.stem)
def capture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Capture:
    """Each capture in turn, with the clock at the moment it was taken."""
    found = load_capture(request.param)
    monkeypatch.setattr(time, "time", lambda: found.captured_at)
    return found


@pytest.fixture
def inside() -> Recorder:
    return Recorder()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("DJSESSION_", "DJAODJIN_")) and "_TEST_" not in name:
            monkeypatch.delenv(name)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start a server with this interpreter and the options of running_server; return the port.

    It is stopped when the test ends.
    """
    with ExitStack() as stack:
        numbers = count()

        def start(*arguments: str, **options: Any) -> int:
            log = tmp_path / f"server-{next(numbers)}.log"
            command = (sys.executable, *arguments)
            return stack.enter_context(running_server(command, log, **options))

        yield start
