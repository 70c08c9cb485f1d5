"""A plug-in for pytest that writes the outcome of each test to DJSESSION_TEST_OUTCOMES."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

outcomes: dict[str, str] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        outcomes[report.nodeid] = report.longreprtext
    elif report.skipped or report.when == "call":
        outcomes.setdefault(report.nodeid, report.outcome)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        outcomes[report.nodeid] = report.longreprtext


def pytest_sessionfinish() -> None:
    Path(os.environ["DJSESSION_TEST_OUTCOMES"]).write_text(json.dumps(outcomes))
