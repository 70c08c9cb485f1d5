"""What an application makes of a request with a session, and of one without, in process."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any
from wsgiref.util import setup_testing_defaults

from ..codec import SessionCodec
from ..devserver import load_application
from ..errors import ConfigurationError
from ..settings import Settings
from ..transport import TrustedProxies
from ..wsgi import SESSION_KEY
from .configuration import Configuration
from .diagnosis import Finding
from .inputs import InputError, import_problem

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["ApplicationReport", "Outcome", "examine_application"]


@dataclass
class Outcome:
    """What became of one request."""

    #: The code of the answer; 500 where the application raised.
    status: int = 500
    #: What djsession found: the keys of environ["djsession.session"], None without a middleware.
    environ_session: list[str] | None = None
    remote_user: str | None = None
    #: What the framework shows to a view; None where it was not asked.
    framework: str | None = None
    user: str | None = None
    session: list[str] | None = None
    #: The name of the exception that the application raised.
    error: str = ""


@dataclass(frozen=True)
class ApplicationReport:
    """What both requests showed."""

    middleware: list[str]
    path: str
    with_session: Outcome
    without_session: Outcome
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether the one went through and the other was refused, as they should."""
        return not any(finding.is_cause for finding in self.findings)

    def as_json(self) -> str:
        """Return it as JSON."""
        return json.dumps({**asdict(self), "is_well": self.is_well}, indent=2, default=str)

    def as_text(self) -> str:
        """Return it as lines for people."""
        lines = ["from the outside in:", *(f"  {name}" for name in self.middleware)]
        for title, seen in (
            ("with a session", self.with_session),
            ("without a session", self.without_session),
        ):
            lines += ["", f"GET {self.path!a} {title}:", *(f"  {line}" for line in _lines(seen))]
        lines += ["", "All is well." if self.is_well else "Something is wrong."]
        for finding in self.findings:
            lines += ["", f"  {finding.sentence}", f"  What to do: {finding.remedy}"]
        return "\n".join(lines)


def examine_application(
    spec: str, configuration: Configuration, *, path: str = "/", username: str = "doctor"
) -> ApplicationReport:
    """Send ``GET path`` through the WSGI application ``MODULE:APP`` twice, in this process.

    The session of ``username`` is written with the first key that can be used, in the first of the
    formats. What the requests write into a Django database is rolled back. Raises InputError when
    there is no application.
    """
    sys.path.insert(0, "")
    try:
        app = load_application(spec)
    except ConfigurationError as error:
        raise InputError(str(error)) from None
    except Exception as error:  # whatever a module may raise
        raise InputError(f"{spec} cannot be imported: {import_problem(error)}") from None
    layers = list(_layers(app))
    without = _send(app, layers, path, {})
    if configuration.keys.usable:
        settings = configuration.settings
        token = SessionCodec(settings.secret_key).dumps({"username": username}, settings.format)
        # As the proxy sends them.
        if settings.format == "openssl":
            header = {"HTTP_COOKIE": f'{settings.cookie_name}="{token}"'}
        else:
            header = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
        with_session = _send(app, layers, path, {**header, **_trusted_peer(settings)})
    else:
        with_session = Outcome(error="no secret key to write a session with")
    report = ApplicationReport(_names(layers), path, with_session, without)
    report.findings.extend(_findings(report))
    return report


def _trusted_peer(settings: Settings) -> dict[str, str]:
    """Return the address to send a request from, so that trusted_proxies lets it pass."""
    entry = (settings.trusted_proxies or ("127.0.0.1",))[0]
    return {"REMOTE_ADDR": "" if entry == TrustedProxies.UNIX else entry.partition("/")[0].strip()}


def _lines(seen: Outcome) -> Iterator[str]:
    yield f"status       {seen.status}" + (f"  {seen.error}" if seen.error else "")
    if seen.environ_session is None:
        yield "djsession    has not seen it"
    else:
        keys = ", ".join(seen.environ_session).encode("ascii", "backslashreplace").decode()
        yield f"djsession    {keys or 'an empty session'}; REMOTE_USER {seen.remote_user!a}"
    if seen.framework is not None:
        yield f"{seen.framework + ' user':<12} {seen.user!a}"
        if seen.session is not None:
            yield f"{'its session':<12} {', '.join(map(str, seen.session)) or 'empty'}".encode(
                "ascii", "backslashreplace"
            ).decode()


def _findings(report: ApplicationReport) -> Iterator[Finding]:
    seen, without = report.with_session, report.without_session
    if seen.error and seen.environ_session is None:
        yield Finding(
            "app-error",
            f"The application raised {seen.error}, and djsession has not seen the request.",
            "Name the application with SessionMiddleware around it, or the adapter in it, not what"
            " is inside, nor the function that makes it.",
        )
    elif seen.environ_session is None:
        yield Finding(
            "app-no-middleware",
            "No djsession middleware or extension has seen the request: nobody is refused.",
            "Wrap the application in SessionMiddleware, or install the adapter of its framework.",
        )
    elif seen.status == 403 and not seen.environ_session:
        yield Finding(
            "app-key",
            "The application refuses a session written with this key: it has another one.",
            "Compare DJAODJIN_SECRET_KEY here and where the application gets its settings from.",
        )
    elif seen.status in range(400, 500):
        yield Finding(
            "app-status",
            f"djsession lets the session through; the application itself answers {seen.status}.",
            "Pass --path an existing page that requires no role: the session has only a username.",
            is_cause=False,
        )
    elif seen.status >= 500:
        yield Finding(
            "app-error",
            f"The application answers {seen.status} to a request with a session.",
            "Look at its log.",
        )
    if without.environ_session is not None and without.status < 300:
        yield Finding(
            "app-open",
            "The path needs no session: a request without one is answered.",
            "Take it out of allowed_no_session if it should.",
            is_cause=False,
        )


def _send(
    app: WSGIApplication, layers: Sequence[Any], path: str, header: Mapping[str, str]
) -> Outcome:
    environ: dict[str, Any] = {
        "PATH_INFO": path,
        "HTTP_HOST": "localhost",
        "HTTP_ACCEPT": "*/*",
        **header,
    }
    setup_testing_defaults(environ)
    seen = Outcome()

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Callable[[bytes], Any]:
        seen.status = int(status[:3])
        return lambda data: None

    with ExitStack() as stack:
        for layer in layers:
            for watch in (_watch_django, _watch_flask, _watch_pyramid):
                stack.enter_context(watch(layer, seen))
        try:
            body = app(environ, start_response)
            for _ in body:
                pass
            close = getattr(body, "close", None)
            if close is not None:
                close()
        except Exception as error:  # whatever an application may raise
            seen.status, seen.error = 500, type(error).__name__
    session = environ.get(SESSION_KEY)
    if session is not None:
        seen.environ_session = sorted(map(str, session))
        seen.remote_user = environ.get("REMOTE_USER")
    return seen


def _layers(app: Any) -> Iterator[Any]:
    """Yield an application and what it wraps, from the outside in."""
    known: set[int] = set()
    while app is not None and id(app) not in known:
        known.add(id(app))
        yield app
        attributes = getattr(app, "__dict__", {})
        inner = map(attributes.get, ("app", "wsgi_app", "_wsgi_app", "application"))
        app = next((item for item in inner if callable(item)), None)


def _names(layers: Sequence[Any]) -> list[str]:
    names = []
    for layer in layers:
        kind = layer if hasattr(layer, "__qualname__") else type(layer)
        names.append(f"{kind.__module__}.{kind.__qualname__}")
        if _is(layer, "django.core.handlers.wsgi", "WSGIHandler"):
            from django.conf import settings

            names += [f"  {path}" for path in settings.MIDDLEWARE]
        elif _is(layer, "pyramid.router", "Router"):
            from pyramid.interfaces import ITweens

            tweens = layer.registry.queryUtility(ITweens)
            if tweens is not None:
                pairs = tweens.explicit or tweens.implicit()
                names += [f"  {name}" for name, _ in pairs]
    return names


def _is(layer: Any, module: str, name: str) -> bool:
    """Whether a layer is of a class of a framework, without importing the framework."""
    found = getattr(sys.modules.get(module), name, None)
    return found is not None and isinstance(layer, found)


@contextmanager
def _watch_django(layer: Any, seen: Outcome) -> Iterator[None]:
    if not _is(layer, "django.core.handlers.wsgi", "WSGIHandler"):
        yield
        return
    get_response = layer.get_response

    def watched(request: Any) -> Any:
        response = get_response(request)
        seen.framework = "Django"
        session = getattr(request, "djsession", None)
        if session is not None:
            seen.environ_session = sorted(map(str, session))
            seen.remote_user = request.META.get("REMOTE_USER")
        if hasattr(request, "user"):
            try:
                seen.user = request.user.get_username()
                seen.session = list(request.session.keys())
            except Exception as error:  # a database that is down, say
                seen.user = f"not read: {type(error).__name__}"
        return response

    from django.core.signals import request_finished, request_started
    from django.db import close_old_connections, transaction

    layer.get_response = watched
    # What it says of a refusal, with a traceback, is not what was asked for.
    log = logging.getLogger("django.request")
    was_disabled, log.disabled = log.disabled, True
    # As Django's test client does: they would close the connection of the transaction.
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    with ExitStack() as stack:
        try:
            stack.enter_context(transaction.atomic())
            rolls_back = True
        except Exception:  # no database, or one that is down: nothing to roll back
            rolls_back = False
        try:
            yield
        finally:
            del layer.get_response
            log.disabled = was_disabled
            for signal in signals:
                signal.connect(close_old_connections)
            if rolls_back:
                transaction.set_rollback(True)


@contextmanager
def _watch_flask(layer: Any, seen: Outcome) -> Iterator[None]:
    if not _is(layer, "flask", "Flask"):
        yield
        return
    import flask

    def watched(sender: Any, **_: Any) -> None:
        seen.framework = "Flask"
        seen.session = list(flask.session)
        if "djsession" in layer.extensions:
            from ..flask import current_user

            seen.user = current_user.username

    with flask.request_finished.connected_to(watched, layer):
        yield


@contextmanager
def _watch_pyramid(layer: Any, seen: Outcome) -> Iterator[None]:
    if not _is(layer, "pyramid.router", "Router"):
        yield
        return
    from pyramid.interfaces import INewResponse

    def watched(event: Any) -> None:
        seen.framework = "Pyramid"
        seen.user = event.request.authenticated_userid
        seen.session = list(event.request.session)

    layer.registry.registerHandler(watched, (INewResponse,))
    try:
        yield
    finally:
        layer.registry.unregisterHandler(watched, (INewResponse,))
