"""A plug-in for pytest that puts djsession into each application of Pyramid's own tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pyramid.session
import pytest
from pyramid.config import Configurator
from pyramid.router import Router

from djsession import Session
from djsession.local_session import LocalPart
from djsession.pyramid import PyramidSession

setup_registry, request_context = Configurator.setup_registry, Router.request_context


def setup_registry_with_djsession(self: Any, *args: Any, **kwargs: Any) -> None:
    setup_registry(self, *args, **kwargs)
    self.include("djsession.pyramid")
    self.add_djsession(local_secret="signs the cookie of the local session")


def proxied_request_context(self: Any, environ: dict[str, Any]) -> Any:
    """Give the request the session that the proxy attaches for a visitor."""
    token = os.environ["DJSESSION_TEST_TOKEN"]
    cookies = environ.get("HTTP_COOKIE")
    environ["HTTP_COOKIE"] = f"{cookies}; {token}" if cookies else token
    return request_context(self, environ)


Configurator.setup_registry = setup_registry_with_djsession
Router.request_context = proxied_request_context

Factory = Callable[..., Any]


class SessionUnderTest(PyramidSession):
    """Has the attributes of the local session that Pyramid's tests look at."""

    def __init__(self, local_part: LocalPart[Any]) -> None:
        self.proxied, self._local_part = Session(), local_part

    def __getattr__(self, name: str) -> Any:
        return getattr(self.local, name)


def factory_over(inner: Factory) -> Factory:
    """Return a maker of session factories: those of djsession over those of ``inner``."""

    def make_factory(*args: Any, **kwargs: Any) -> Factory:
        local_factory = inner(*args, **kwargs)

        def factory(request: Any) -> SessionUnderTest:
            def open_local() -> Any:
                return local_factory(request)

            return SessionUnderTest(LocalPart(Session(), open_local, open_local))

        return factory

    return make_factory


@pytest.fixture(autouse=True)
def djsession_over_pyramid(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the tests of Pyramid's sessions test djsession's over these."""
    if request.path.name == "test_session.py":
        for name in ("BaseCookieSessionFactory", "SignedCookieSessionFactory"):
            monkeypatch.setattr(pyramid.session, name, factory_over(getattr(pyramid.session, name)))
