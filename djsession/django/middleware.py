"""SessionMiddleware, which replaces Django's own in ``MIDDLEWARE``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware
from django.core.exceptions import PermissionDenied
from django.core.handlers.exception import response_for_exception
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject
from django.utils.http import http_date

from ..caching import REFUSAL_HEADERS
from ..errors import AccessDenied, ConfigurationError
from ..session import Session
from ..wsgi import DECODED_KEY, SCRIPT_NAME_KEY, SESSION_KEY, set_remote_user
from . import error_reports, messages, page_cache
from .backends.auth import announce_user
from .backends.base import SessionStore, local_store_class
from .conf import get_gate, get_settings
from .page_cache import add_caching_headers
from .requests import forced_session, peer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

__all__ = ["SessionMiddleware"]

error_reports.install()
messages.install()
page_cache.install()


class SessionMiddleware(DjangoSessionMiddleware):  # type: ignore[misc]
    """Passes a request and its session on, or answers with the project's own 403 page.

    ``request.djsession`` is then the Session, and ``request.session`` a SessionStore. Put the
    middleware before AuthenticationMiddleware, MessageMiddleware, and everything that answers from
    a cache. A view that uses neither the user nor the local session needs no database query and,
    under ASGI, no thread.

    This derives from Django's own middleware because Django checks for that class. Raises
    ConfigurationError when a setting is missing or invalid.
    """

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        if not issubclass(self.SessionStore, SessionStore):
            raise ConfigurationError(
                "SESSION_ENGINE must be djsession.django.backends.encrypted_cookies or"
                " djsession.django.backends.jwt_session_store"
            )
        # At start-up, so that an invalid setting shows early.
        local_store_class()
        get_gate()
        if get_settings().mockup is not None:
            # Imported here: WebOb and PyYAML are for mockups.
            from .mockup.views import prepare

            prepare()

    def __call__(self, request: HttpRequest) -> Any:
        if self.async_mode:
            return self.__acall__(request)
        response = self.process_request(request) or self.get_response(request)
        return self.process_response(request, response)

    async def __acall__(self, request: HttpRequest) -> HttpResponse:
        # Django's own method would use a thread twice.
        if self._passes(request):
            response = await self.get_response(request)
        else:
            response = await sync_to_async(_refusal, thread_sensitive=False)(request)
        return await self.aprocess_response(request, response)

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Set ``request.djsession`` and ``request.session``. Return a 403 for a refused request."""
        return None if self._passes(request) else _refusal(request)

    def _passes(self, request: HttpRequest) -> bool:
        announce_user(None)
        gate, meta = get_gate(), request.META
        scope = getattr(request, "scope", None)
        # The WSGI middleware stores its result in META. Remove it, since error mails print META.
        earlier = meta.pop(DECODED_KEY, None)
        if scope is not None:
            earlier = scope.get(DECODED_KEY)
        decoded = gate.decode(
            meta.get("HTTP_COOKIE"),
            meta.get("HTTP_AUTHORIZATION"),
            peer_of(gate, request),
            earlier,
        )
        meta.pop(SESSION_KEY, None)
        is_refused = False
        if decoded.session is not None:
            request.djsession = decoded.session
        elif (forced := forced_session(request)) is not None:
            request.djsession = forced
        else:
            try:
                request.djsession = gate.check(
                    decoded,
                    request.method or "",
                    # The path that Django's URL resolver matches.
                    request.path_info,
                    may_be_open=SCRIPT_NAME_KEY not in meta,
                )
            except AccessDenied:
                is_refused = True
                # The page that renders the refusal may read it.
                request.djsession = Session()
        set_remote_user(meta, request.djsession)
        session = self.SessionStore(
            proxied=request.djsession, request=request, is_refused=is_refused
        )
        request.session = session
        request.djsession_is_sent = decoded.session is not None
        # AuthenticationMiddleware looks here first. Otherwise it would find the same user by way of
        # request.session, which computes two more hashes.
        request._cached_user = SimpleLazyObject(lambda: session.get_user() or AnonymousUser())
        return not is_refused

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Save the local session if it has changed, and set cookies and caching headers."""
        session = request.session
        if isinstance(session, SessionStore):
            if session.modified or _is_renewed(request):
                session.local  # noqa: B018
            if session.is_local_open:
                options = _cookie_options(session, response)
                if options is not None:
                    try:
                        session.save()
                    except Exception as error:
                        options, failure = None, _failure_of_save(error)
                        response = response_for_exception(request, failure)
                _set_cookies(request, response, options)
        _set_caching_headers(request, response)
        _record(request, response)
        return response

    async def aprocess_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """See :meth:`process_response`."""
        session = request.session
        if isinstance(session, SessionStore):
            if session.modified or _is_renewed(request):
                await session.aopen_local()
            if session.is_local_open:
                options = _cookie_options(session, response)
                if options is not None:
                    try:
                        await session.asave()
                    except Exception as error:
                        options, failure = None, _failure_of_save(error)
                        answer = sync_to_async(response_for_exception, thread_sensitive=False)
                        response = await answer(request, failure)
                _set_cookies(request, response, options)
        _set_caching_headers(request, response)
        _record(request, response)
        return response


def _refusal(request: HttpRequest) -> HttpResponse:
    """Return the project's own 403, or in development a response that explains the refusal."""
    response = None
    if get_settings().mockup is not None:
        # Imported here: WebOb and PyYAML are for mockups.
        from .mockup.views import refusal

        response = refusal(request)
    if response is None:
        response = response_for_exception(request, PermissionDenied())
    return response


def _record(request: HttpRequest, response: HttpResponse) -> None:
    """Record a request for the inspector, if mockup logins are configured."""
    if get_settings().mockup is not None:
        # Imported here: WebOb and PyYAML are for mockups.
        from .mockup.views import record

        session = request.session
        is_refused = isinstance(session, SessionStore) and session.is_refused
        record(request, response, is_refused=is_refused)


def _is_renewed(request: HttpRequest) -> bool:
    return bool(
        settings.SESSION_SAVE_EVERY_REQUEST
        and get_settings().local_session_cookie_name in request.COOKIES
    )


def _cookie_options(session: SessionStore, response: HttpResponse) -> dict[str, Any] | None:
    """Return the cookie's expiry options, or None if the local session is not to be saved."""
    if session.is_refused:
        return None
    local = session.local
    if not (session.modified or settings.SESSION_SAVE_EVERY_REQUEST) or local.is_empty():
        return None
    if response.status_code >= 500:  # like Django, save nothing if the request failed
        return None
    if local.get_expire_at_browser_close():
        return {"max_age": None, "expires": None}
    max_age = local.get_expiry_age()
    return {"max_age": max_age, "expires": http_date(time.time() + max_age)}


def _failure_of_save(error: Exception) -> Exception:
    """Return the exception to answer with when a local session cannot be saved.

    It is not raised, since the response would lack the caching headers. Django answers
    SessionInterrupted with 400.
    """
    if isinstance(error, UpdateError):
        error = SessionInterrupted("the local session was deleted while the request was under way")
    return error


def _set_caching_headers(request: HttpRequest, response: HttpResponse) -> None:
    session = request.session
    if isinstance(session, SessionStore) and session.is_refused:
        for name, value in REFUSAL_HEADERS:
            response.headers[name] = value
    else:
        add_caching_headers(request, response)


def _set_cookies(
    request: HttpRequest, response: HttpResponse, options: dict[str, Any] | None
) -> None:
    """Set the cookie of a saved local session, or delete the cookie of a flushed one."""
    session = request.session
    # The error page of a refused request may have emptied the session.
    if session.is_refused or session.is_of_test_client:
        return
    name = get_settings().local_session_cookie_name
    if options is not None:
        response.set_cookie(
            name,
            session.local.session_key,
            domain=settings.SESSION_COOKIE_DOMAIN,
            path=settings.SESSION_COOKIE_PATH,
            secure=settings.SESSION_COOKIE_SECURE or None,
            httponly=settings.SESSION_COOKIE_HTTPONLY or None,
            samesite=settings.SESSION_COOKIE_SAMESITE,
            **options,
        )
    if session.modified and session.local.is_empty() and name in request.COOKIES:
        response.delete_cookie(
            name,
            path=settings.SESSION_COOKIE_PATH,
            domain=settings.SESSION_COOKIE_DOMAIN,
            samesite=settings.SESSION_COOKIE_SAMESITE,
        )
    if name in response.cookies:
        # Even if the application says "public", since the cookie belongs to one visitor.
        patch_vary_headers(response, ("Cookie",))
