"""The applications under their servers, nginx as a shared cache in front, and an HTTP client."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import NamedTuple

from djsession import dumps
from tests.helpers.nginx import running_nginx
from tests.helpers.servers import running_server
from tests.helpers.sessions import KEY

GUNICORN = ("-m", "gunicorn", "-b", "127.0.0.1:{port}", "-k", "gthread", "--threads", "4")
WAITRESS = ("-m", "waitress", "--listen=127.0.0.1:{port}")

BACKENDS = {
    "plain": (*GUNICORN, "tests.caching.plain_app:application"),
    "flask": (*GUNICORN, "tests.caching.flask_app:application"),
    "pyramid": (*WAITRESS, "tests.caching.pyramid_app:application"),
    "django": (*GUNICORN, "django.core.wsgi:get_wsgi_application()"),
}

# Set-Cookie usually keeps nginx from storing a response. This cache ignores it, as caches that were
# tuned for a high hit rate do, so that only what djsession says about a response protects it.
CACHE = """
proxy_cache_path "{folder}/cache" keys_zone=pages:1m use_temp_path=off;
server {
    listen 127.0.0.1:{port};
    location / {
        proxy_pass http://127.0.0.1:{backend};
        proxy_cache pages;
        proxy_cache_valid 200 301 302 304 403 404 1m;
        proxy_ignore_headers Set-Cookie;
        # nginx leaves this header out where it caches.
        proxy_set_header If-None-Match $http_if_none_match;
        add_header X-Cache $upstream_cache_status always;
    }
}
"""

Headers = Mapping[str, str]


class Reply(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: str

    def all(self, name: str) -> list[str]:
        """Return the values of a header, one for each of its lines."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def cache(self) -> str | None:
        """What nginx did: ``HIT``, or ``MISS`` and others where the application answered."""
        return next(iter(self.all("X-Cache")), None)

    @property
    def vary(self) -> list[str]:
        names = [item.strip() for line in self.all("Vary") for item in line.split(",")]
        return sorted(name.lower() for name in names if name)

    @property
    def cache_control(self) -> list[str]:
        """The directives, sorted, in the case that they were written in."""
        directives, quoted = [""], False
        for character in ",".join(self.all("Cache-Control")):
            quoted ^= character == '"'
            if character == "," and not quoted:
                directives.append("")
            else:
                directives[-1] += character
        return sorted(filter(None, map(str.strip, directives)))

    @property
    def is_private(self) -> bool:
        return bool({"private", "no-store"}.intersection(self.cache_control))


class Site(NamedTuple):
    adapter: str
    backend_port: int
    nginx_port: int

    def get(self, path: str, headers: Headers = {}) -> Reply:  # noqa: B006
        """Get a page by way of nginx."""
        return get(self.nginx_port, path, headers)

    def get_directly(self, path: str, headers: Headers = {}) -> Reply:  # noqa: B006
        """Get a page from the application's own server."""
        return get(self.backend_port, path, headers)


def get(port: int, path: str, headers: Headers) -> Reply:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        return Reply(response.status, response.getheaders(), response.read().decode())
    finally:
        connection.close()


@contextmanager
def running_backend(adapter: str, folder: Path, *, site_cache: str = "") -> Iterator[int]:
    with running_server(
        (sys.executable, *BACKENDS[adapter]),
        folder / f"{adapter}.log",
        DJAODJIN_SECRET_KEY=KEY,
        DJANGO_SETTINGS_MODULE="tests.caching.django_project",
        SITE_CACHE=site_cache,
    ) as port:
        yield port


@contextmanager
def running_site(adapter: str, folder: Path) -> Iterator[Site]:
    """Run an application with nginx in front of it."""
    with (
        running_backend(adapter, folder) as backend,
        running_nginx(CACHE.replace("{backend}", str(backend)), folder) as port,
    ):
        yield Site(adapter, backend, port)


#: A request of somebody who is not signed in, without any cookie.
VISITOR: Headers = {}


def by_cookie(username: str) -> Headers:
    """Return the headers of a signed-in user at a site with the cookie format."""
    return {"Cookie": f'sessionid="{dumps({"username": username}, KEY)}"'}


def by_bearer(username: str) -> Headers:
    """Return the headers of a signed-in user at a site with the jwt format."""
    return {"Authorization": f"Bearer {dumps({'username': username}, KEY, 'jwt')}"}


SignIn = Callable[[str], Headers]

_numbers = count()


def url(path: str, query: str = "") -> str:
    """Return the URL of a page that no other test has stored in a cache."""
    return f"{path}?{query}{'&' if query else ''}n={next(_numbers)}"


def cookie_of(reply: Reply) -> Headers:
    """Return the header with which a browser sends back the cookies of a response."""
    return {"Cookie": "; ".join(line.partition(";")[0] for line in reply.all("Set-Cookie"))}
