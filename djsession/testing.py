"""Log in from a test, in any framework, with a session like those that the proxy sends.

::

    from djsession.testing import log_in, session_headers

    log_in(client, {"username": "xia", "roles": {"manager": [{"slug": "xia"}]}})
    client.get("/app/")

    client.get("/app/", headers=session_headers({"username": "xia"}, secret_key))

``client`` is Django's ``Client`` or ``AsyncClient``, Django REST framework's ``APIClient``, Flask's
``FlaskClient``, WebTest's ``TestApp``, Starlette's or FastAPI's ``TestClient``, or httpx's
``Client`` or ``AsyncClient``. In pytest, the fixtures ``djsession_key`` and ``login_as`` are
available without an import: ``pytest --fixtures`` describes them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from .asgi import SessionMiddleware
from .codec import SessionCodec
from .gate import Gate
from .settings import Settings

if TYPE_CHECKING:
    from .codec import Format

__all__ = ["log_in", "log_out", "session_headers"]

Client = TypeVar("Client")


def session_headers(
    session: Mapping[str, Any] | str,
    secret_key: str | None = None,
    *,
    format: Format = "openssl",
    cookie_name: str | None = None,
) -> dict[str, str]:
    """Return the header that carries a session: ``Cookie`` or ``Authorization``.

    ``session`` is a mapping, or a username for a session with nothing else in it. ``format`` is the
    format of the proxy's backend: "openssl" for the cookie, or "jwt" for the Authorization header.
    The defaults of ``secret_key`` and ``cookie_name`` come from the environment. Raises
    ConfigurationError when there is no key.
    """
    settings = Settings.from_environ(secret_key=secret_key, cookie_name=cookie_name)
    token = _token(session, settings, format)
    if format == "jwt":
        return {"Authorization": f"Bearer {token}"}
    return {"Cookie": f'{settings.cookie_name}="{token}"'}


def log_in(
    client: Client,
    session: Mapping[str, Any] | str,
    secret_key: str | None = None,
    *,
    cookie_name: str | None = None,
) -> Client:
    """Make a test client send a session with its requests, and return the client.

    ``session`` is as for :func:`session_headers`. The defaults of ``secret_key`` and
    ``cookie_name`` come from the application under test, or else from the environment. Raises
    TypeError for an unsupported client, and ConfigurationError when there is no key.
    """
    settings = _settings_of(client, secret_key, cookie_name)
    token, name = _token(session, settings, settings.format), settings.cookie_name
    kind = _kind_of(client)
    if kind == "django":
        client.cookies[name] = token  # type: ignore[attr-defined]
    elif kind == "httpx":
        log_out(client, cookie_name=name)
        client.cookies.set(name, token)  # type: ignore[attr-defined]
    else:
        client.set_cookie(name, token)  # type: ignore[attr-defined]
    return client


def log_out(client: Client, *, cookie_name: str | None = None) -> Client:
    """Make a test client send its requests without a session, and return the client."""
    name = cookie_name or _settings_of(client, "not used", None).cookie_name
    kind = _kind_of(client)
    if kind == "django":
        client.cookies.pop(name, None)  # type: ignore[attr-defined]
    elif kind == "flask":
        client.delete_cookie(name)  # type: ignore[attr-defined]
    else:
        jar = client.cookies.jar if kind == "httpx" else client.cookiejar  # type: ignore[attr-defined]
        for cookie in [cookie for cookie in jar if cookie.name == name]:
            jar.clear(cookie.domain, cookie.path, name)
    return client


def _token(session: Mapping[str, Any] | str, settings: Settings, format: Format) -> str:
    document = {"username": session} if isinstance(session, str) else session
    return SessionCodec(settings.secret_key or ()).dumps(document, format)


def _kind_of(client: Any) -> str:
    # Check attributes instead of types, so as not to import any framework.
    if hasattr(client, "application") and hasattr(client, "set_cookie"):
        return "flask"
    if hasattr(client, "cookiejar") and hasattr(client, "set_cookie"):
        return "webtest"
    if hasattr(client, "cookies") and hasattr(client, "force_login"):
        return "django"
    if hasattr(getattr(client, "cookies", None), "jar"):
        return "httpx"  # Starlette's test client derives from httpx.Client
    raise TypeError(
        f"{type(client).__name__} is not a test client of Django, Flask, WebTest, Starlette or"
        " httpx: pass it the headers from session_headers(...)"
    )


def settings_under_test(client: Any) -> Settings | None:
    """Return the settings of the application that a client tests, or None if they are unknown."""
    kind = _kind_of(client)
    found: Any = None
    if kind == "flask":
        gate = client.application.extensions.get("djsession")
        found = gate and gate.settings
    elif kind == "django":
        conf = sys.modules.get("djsession.django.conf")
        found = conf and conf.get_settings()
    elif kind == "httpx":
        transport = getattr(client, "_transport", None)
        found = _settings_in(getattr(client, "app", None) or getattr(transport, "app", None))
    else:
        pyramid = sys.modules.get("djsession.pyramid")
        registry = getattr(client.app, "registry", None)
        if pyramid is not None and registry is not None:
            found = pyramid.settings_of(registry)
        else:
            found = getattr(getattr(client.app, "gate", None), "settings", None)
    return found if isinstance(found, Settings) else None


def _settings_of(client: Any, secret_key: str | None, cookie_name: str | None) -> Settings:
    found = settings_under_test(client)
    if found is None:
        return Settings.from_environ(os.environ, secret_key=secret_key, cookie_name=cookie_name)
    return Settings(
        secret_key=secret_key or found.secret_key,
        cookie_name=cookie_name or found.cookie_name,
        formats=found.formats,
    )


def _settings_in(app: Any) -> Settings | None:
    """Return the settings of the first SessionMiddleware in a stack of middlewares, or None."""
    while app is not None:
        gate = getattr(app, "gate", None)
        if isinstance(gate, Gate):
            return gate.settings
        # Before the application starts, Starlette keeps the arguments of add_middleware() here.
        for middleware in getattr(app, "user_middleware", ()):
            if isinstance(middleware.cls, type) and issubclass(middleware.cls, SessionMiddleware):
                return Settings.from_environ(None, **middleware.kwargs)
        app = getattr(app, "app", None)
    return None
