"""The runner of Django's own tests: puts djsession in place, and writes down what happened."""

from __future__ import annotations

import json
import os
import sys
import unittest
from pathlib import Path
from typing import Any

import django.contrib.sessions.middleware
from django.apps import apps
from django.conf import settings
from django.core.signals import setting_changed
from django.test import RequestFactory, override_settings
from django.test.runner import DiscoverRunner
from django.test.utils import iter_test_cases

from djsession import Session
from djsession.django import middleware
from djsession.django.backends.encrypted_cookies import SessionStore
from djsession.django.conf import get_codec, get_settings

OWNER = os.environ.get("DJSESSION_TEST_OWNER")
PROXIED = Session(username=OWNER) if OWNER else Session()
# One for all requests: caches tell visitors with different tokens apart.
TOKEN = get_codec().dumps(PROXIED, "openssl")
BACKEND = "djsession.django.backends.auth.ProxyUserBackend"


class SessionMiddleware(middleware.SessionMiddleware):
    """The middleware behind a proxy, which attaches a session to each request."""

    def process_request(self, request: Any) -> Any:
        attach_token(request)
        return super().process_request(request)

    async def __acall__(self, request: Any) -> Any:
        attach_token(request)
        return await super().__acall__(request)


def attach_token(request: Any) -> None:
    """Give a visitor's request a token; test clients send one for the users that they log in."""
    name, cookies = get_settings().cookie_name, request.META.get("HTTP_COOKIE", "")
    if f"{name}=" not in cookies:
        request.META["HTTP_COOKIE"] = f"{name}={TOKEN}; {cookies}" if cookies else f"{name}={TOKEN}"


# Tests that name Django's middleware get djsession's.
django.contrib.sessions.middleware.SessionMiddleware = SessionMiddleware


def keep_backend(*, setting: str, enter: bool, **kwargs: Any) -> None:
    """Have a test that needs other authentication backends get them besides djsession's."""
    if setting == "AUTHENTICATION_BACKENDS" and enter and kwargs["value"]:
        settings.AUTHENTICATION_BACKENDS = [*kwargs["value"], BACKEND]


setting_changed.connect(keep_backend)


def replace_log_in(cases: type[Any]) -> None:
    """Have the tests of other views than that of the login sign in as test clients do."""
    by_form = cases.login

    def login(
        case: Any, username: str = "testclient", password: str = "password", **options: Any
    ) -> Any:
        if options:
            return by_form(case, username, password, **options)
        assert case.client.login(username=username, password=password)
        return None

    cases.login = login


class OverInner(type):
    """Has the class attributes of ``inner`` that Django's tests look at."""

    inner: type

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.inner, name)

    def __delattr__(cls, name: str) -> None:
        delattr(cls.inner, name)


def store_over(over: type) -> type[SessionStore]:
    """Return the class of the sessions that a test of Django's makes in place of ``over``."""

    class Store(SessionStore, metaclass=OverInner):
        inner = over

        def __init__(self, session_key: str | None = None) -> None:
            request = RequestFactory().get("/")
            if session_key is not None:
                request.COOKIES[settings.SESSION_COOKIE_NAME] = session_key
            super().__init__(proxied=PROXIED, request=request)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.local if self.is_local_open else self._open_stored(), name)

        def __delattr__(self, name: str) -> None:
            delattr(self.local, name)

        _session_key = property(
            lambda self: self.local._session_key,
            lambda self, key: setattr(self.local, "_session_key", key),
        )

    return Store


def replace_backend(case: type[Any], inner: type) -> None:
    """Have a class of Django's session tests use djsession's store over the one that it names."""
    name = f"{inner.__module__}.{inner.__qualname__}"
    override_settings(DJSESSION={**settings.DJSESSION, "BACKEND_SESSION_STORE": name})(case)
    case.backend = store_over(inner)


class Runner(DiscoverRunner):  # type: ignore[misc]
    """Runs the tests with djsession, and writes the outcome of each to DJSESSION_TEST_OUTCOMES."""

    def build_suite(self, *args: Any, **kwargs: Any) -> Any:
        settings.INSTALLED_APPS.append("djsession.django")
        apps.set_installed_apps(settings.INSTALLED_APPS)
        suite = super().build_suite(*args, **kwargs)
        if views := sys.modules.get("auth_tests.test_views"):
            replace_log_in(views.AuthViewsTestCase)
        if OWNER is not None:
            cases = {type(case) for case in iter_test_cases(suite)}
            backends = {case: case.backend for case in cases if hasattr(case, "backend")}
            for case, inner in backends.items():
                replace_backend(case, inner)
        return suite

    def run_suite(self, suite: unittest.TestSuite, **kwargs: Any) -> Any:
        outcomes = {case.id(): "passed" for case in iter_test_cases(suite)}
        result = super().run_suite(suite, **kwargs)
        for case, _ in result.skipped + result.expectedFailures:
            outcomes[case.id()] = "skipped"
        for case, report in result.failures + result.errors:
            case = getattr(case, "test_case", case)  # of a subtest
            outcomes[case.id()] = report
        Path(os.environ["DJSESSION_TEST_OUTCOMES"]).write_text(json.dumps(outcomes))
        return result
