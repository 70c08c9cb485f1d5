"""SessionMiddleware: in ``MIDDLEWARE`` in place of Django's own."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core.exceptions import PermissionDenied
from django.urls import get_script_prefix
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject
from django.utils.http import http_date

from ..errors import AccessDenied, ConfigurationError
from ..gate import OPENING_KEY, SESSION_KEY
from .backends.auth import hand_over
from .backends.base import SessionStore
from .conf import gate_of_request, get_gate, get_settings, local_store_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.http import HttpRequest, HttpResponse

__all__ = ["SessionMiddleware"]


class SessionMiddleware(DjangoSessionMiddleware):  # type: ignore[misc]
    """Opens the gate, or raises PermissionDenied for the project's own 403 page.

    Behind it ``request.djsession`` is the Session and ``request.session`` a SessionStore. Put it
    before AuthenticationMiddleware, MessageMiddleware, and all that answers from a cache. Neither
    a thread nor a database is needed for a view that asks for nothing, under WSGI and ASGI.

    A subclass of Django's own so that Django, which looks for that one, finds it. Raises
    ConfigurationError when a setting is missing or wrong.
    """

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        if not issubclass(self.SessionStore, SessionStore):
            raise ConfigurationError(
                "SESSION_ENGINE must be djsession.django.backends.encrypted_cookies or"
                " djsession.django.backends.jwt_session_store"
            )
        # What is wrong shows at start-up.
        local_store_class()
        get_gate(get_script_prefix())

    def __call__(self, request: HttpRequest) -> Any:
        if self.async_mode:
            return self.__acall__(request)
        response = self.process_request(request) or self.get_response(request)
        return self.process_response(request, response)

    async def __acall__(self, request: HttpRequest) -> HttpResponse:
        # Django's own would go to a thread, twice.
        response = self.process_request(request) or await self.get_response(request)
        return await self.aprocess_response(request, response)

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Set ``request.djsession`` and ``request.session``. Raises PermissionDenied.

        Returns a response in development alone: the page that says why a browser is refused.
        """
        hand_over(None)
        environ, path, path_info = request.META, request.path, request.path_info
        script_prefix = "/"
        if path != path_info and path_info.startswith("/"):  # not that of "OPTIONS *"
            script_prefix = path[: len(path) - len(path_info)] + "/"
        try:
            gate_of_request(script_prefix).open(environ, _native(path))
            is_refused = False
        except AccessDenied:
            is_refused = True
        # Also for the page that renders the refusal. Not in META: Django's error mails and its
        # debug page print what is there.
        request.djsession = environ.pop(SESSION_KEY)
        del environ[OPENING_KEY]
        session = self.SessionStore(proxied=request.djsession, request=request)
        request.session = session
        # Where AuthenticationMiddleware looks first. Without it, it finds the same user by way of
        # request.session, and hashes a password twice on that way.
        request._cached_user = SimpleLazyObject(lambda: session.get_user() or AnonymousUser())
        if not is_refused:
            return None
        page = _refusal(request)
        if page is None:
            raise PermissionDenied
        return page

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Save the local session when it has changed, and set its cookie."""
        session = request.session
        if isinstance(session, SessionStore):
            if _is_renewed(request):
                session.local  # noqa: B018
            options = _cookie_options(session, response)
            if options is not None:
                with _interrupting():
                    session.save()
            _finish(request, response, options)
        return response

    async def aprocess_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """See :meth:`process_response`."""
        session = request.session
        if isinstance(session, SessionStore):
            if _is_renewed(request):
                await session.aopen_local()
            options = _cookie_options(session, response)
            if options is not None:
                with _interrupting():
                    await session.asave()
            _finish(request, response, options)
        return response


def _refusal(request: HttpRequest) -> HttpResponse | None:
    if get_settings().mockup is None:
        return None
    # Imported here: WebOb and PyYAML are for mockups.
    from .mockup.views import refusal

    return refusal(request)


def _native(path: str) -> str:
    """Return a path that Django has decoded as PEP 3333 passes one: bytes as latin-1."""
    return path if path.isascii() else path.encode("utf-8", "surrogatepass").decode("latin-1")


def _is_renewed(request: HttpRequest) -> bool:
    return bool(
        settings.SESSION_SAVE_EVERY_REQUEST
        and get_settings().local_session_cookie_name in request.COOKIES
    )


def _cookie_options(session: SessionStore, response: HttpResponse) -> dict[str, Any] | None:
    """Return when the cookie of the local session is to expire; None where nothing is saved."""
    if not session.is_local_open:
        return None
    local = session.local
    if not (local.modified or settings.SESSION_SAVE_EVERY_REQUEST) or local.is_empty():
        return None
    if response.status_code >= 500:  # as Django does: nothing of a request that failed
        return None
    if local.get_expire_at_browser_close():
        return {"max_age": None, "expires": None}
    max_age = local.get_expiry_age()
    return {"max_age": max_age, "expires": http_date(time.time() + max_age)}


@contextmanager
def _interrupting() -> Iterator[None]:
    """Raise what Django makes a 400 of, where a session is gone that is to be saved."""
    try:
        yield
    except UpdateError:
        raise SessionInterrupted(
            "the local session was deleted while the request was under way"
        ) from None


def _finish(
    request: HttpRequest, response: HttpResponse, cookie_options: dict[str, Any] | None
) -> None:
    """Set the headers of a response that come of the session."""
    session = request.session
    if cookie_options is not None:
        _set_cookie(response, session, cookie_options)
    if session.is_local_open:
        _delete_cookie(request, response, session)
    # What the view made of request.djsession is not seen here: whatever a session was sent for
    # is this user's.
    if session.accessed or session.proxied:
        if "Vary" in response.headers:
            patch_vary_headers(response, ("Cookie", "Authorization"))
        else:
            response.headers["Vary"] = "Cookie, Authorization"


def _set_cookie(response: HttpResponse, session: SessionStore, options: dict[str, Any]) -> None:
    if session.is_of_test_client:
        return
    response.set_cookie(
        get_settings().local_session_cookie_name,
        session.local.session_key,
        domain=settings.SESSION_COOKIE_DOMAIN,
        path=settings.SESSION_COOKIE_PATH,
        secure=settings.SESSION_COOKIE_SECURE or None,
        httponly=settings.SESSION_COOKIE_HTTPONLY or None,
        samesite=settings.SESSION_COOKIE_SAMESITE,
        **options,
    )


def _delete_cookie(request: HttpRequest, response: HttpResponse, session: SessionStore) -> None:
    """Take the cookie away where the local session was flushed."""
    name = get_settings().local_session_cookie_name
    if session.modified and session.local.is_empty() and name in request.COOKIES:
        response.delete_cookie(
            name,
            path=settings.SESSION_COOKIE_PATH,
            domain=settings.SESSION_COOKIE_DOMAIN,
            samesite=settings.SESSION_COOKIE_SAMESITE,
        )
