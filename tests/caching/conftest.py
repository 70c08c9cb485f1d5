"""Fixtures for the tests with caches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.helpers.caching_sites import BACKENDS, SignIn, Site, by_bearer, by_cookie, running_site


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    """The sites that run already; they are stopped when all tests have ended."""
    with ExitStack() as stack:

        class Sites(dict[str, Site]):
            def __missing__(self, adapter: str) -> Site:
                folder = tmp_path_factory.mktemp(adapter)
                self[adapter] = stack.enter_context(running_site(adapter, folder))
                return self[adapter]

        yield Sites()


@pytest.fixture(params=BACKENDS)
def site(request: pytest.FixtureRequest, sites: dict[str, Site]) -> Site:
    """The site of each adapter in turn."""
    return sites[request.param]


@pytest.fixture(params=[by_cookie, by_bearer], ids=["cookie", "bearer"])
def signed_in(request: pytest.FixtureRequest) -> SignIn:
    """The headers of a signed-in user, for each of the two formats."""
    sign_in: SignIn = request.param
    return sign_in
