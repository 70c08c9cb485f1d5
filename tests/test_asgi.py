"""The ASGI middleware: which connections pass, and what an application finds."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import AccessDenied, ConfigurationError, Session
from djsession.asgi import (
    ASGIApplication,
    Message,
    Receive,
    Scope,
    Send,
    SessionMiddleware,
    User,
    check_scope,
    decode_scope,
    open_path,
    peer_of,
)
from djsession.transport import REPLACED_PEER
from djsession.wsgi import DECODED_KEY, SESSION_KEY
from tests.helpers.asgi import Recorder, bearer, call, cookie, exchange, make_scope
from tests.helpers.gates import make_gate
from tests.helpers.sessions import KEY, OTHER_KEY, XIA, Capture
from tests.helpers.tokens import REFUSED

KINDS = ["http", "websocket"]
REFUSED_HANDSHAKE = [{"type": "websocket.close", "code": 1008, "reason": ""}]


def protect(app: ASGIApplication, **settings: Any) -> SessionMiddleware:
    return SessionMiddleware(app, secret_key=KEY, **settings)


def passes(app: SessionMiddleware, scope: Scope) -> bool:
    """Send a request or a handshake, and return whether it was accepted."""
    start, *_ = asyncio.run(exchange(app, scope))
    if scope["type"] == "http":
        assert start["status"] in (200, 403)
        return bool(start["status"] == 200)
    assert start["type"] == "websocket.accept" or [start, *_] == REFUSED_HANDSHAKE
    return bool(start["type"] == "websocket.accept")


class TestAsgiScopes:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("header", [cookie(), bearer()], ids=["cookie", "bearer"])
    def test_a_session_is_put_where_users_look(self, kind: str, header: Any) -> None:
        inside = Recorder()
        assert passes(protect(inside), make_scope(header, kind=kind))
        [scope] = inside.scopes
        session = scope["djsession.session"]
        assert type(session) is Session
        assert session.username == "xia"
        user, auth = scope["user"], scope["auth"]
        assert (user.is_authenticated, user.display_name, user.identity) == (True, "xia", "xia")
        assert user.session is session
        assert auth.scopes == [
            "authenticated",
            "system.Everyone",
            "system.Authenticated",
            "role:manager",
            "manager:xia",
            "plan:basic",
        ]

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("session", [None, {}], ids=["no session", "a visitor"])
    def test_where_nobody_is_signed_in_nothing_of_before_is_left(
        self, kind: str, session: Any
    ) -> None:
        inside = Recorder()
        headers = [] if session is None else [cookie(session)]
        planted = Session(XIA)
        scope = make_scope(*headers, kind=kind, user=User(planted), auth=User(planted))
        scope[SESSION_KEY] = planted
        assert passes(protect(inside, allowed_no_session=["/app"]), scope)
        [seen] = inside.scopes
        assert seen[SESSION_KEY] == {}
        assert type(seen[SESSION_KEY]) is Session
        user = seen["user"]
        assert (user.is_authenticated, user.display_name, user.identity) == (False, "", "")
        assert seen["auth"].scopes == ["system.Everyone"]

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        "headers",
        [[], [cookie(XIA, OTHER_KEY)], [bearer(XIA, OTHER_KEY)], [(b"authorization", b"Bearer")]],
        ids=["nothing", "cookie", "bearer", "empty bearer"],
    )
    def test_without_a_session_the_application_is_not_called(self, kind: str, headers: Any) -> None:
        inside = Recorder()
        assert not passes(protect(inside), make_scope(*headers, kind=kind))
        assert inside.scopes == []

    def test_a_websocket_is_refused_before_it_is_accepted(self) -> None:
        events = ["websocket.connect", "websocket.receive"]

        async def scenario() -> list[Message]:
            sent: list[Message] = []

            async def receive() -> Message:
                return {"type": events.pop(0)}

            async def send(message: Message) -> None:
                assert events == ["websocket.receive"], "the handshake was not awaited"
                sent.append(message)

            await protect(Recorder())(make_scope(kind="websocket"), receive, send)
            return sent

        assert asyncio.run(scenario()) == REFUSED_HANDSHAKE

    def test_a_websocket_is_logged_like_a_get(self, caplog: pytest.LogCaptureFixture) -> None:
        assert not passes(protect(Recorder()), make_scope(kind="websocket", path="/ws"))
        [record] = caplog.records
        assert record.getMessage().startswith("GET /ws refused: ")

    def test_lifespan_passes_untouched(self) -> None:
        arguments: list[Any] = []

        async def app(*given: Any) -> None:
            arguments.extend(given)

        async def receive() -> Message:
            raise AssertionError

        async def send(message: Message) -> None:
            raise AssertionError

        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        asyncio.run(protect(app)(scope, receive, send))
        assert arguments[0] is scope
        assert arguments[1:] == [receive, send]
        assert scope == {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}

    def test_a_connection_type_that_the_middleware_does_not_know_is_refused(self) -> None:
        inside = Recorder()
        for kind in ("webtransport", "HTTP", ""):
            with pytest.raises(NotImplementedError, match=repr(kind)):
                asyncio.run(exchange(protect(inside), make_scope(cookie(), kind=kind)))
        assert inside.scopes == []

    def test_cookies_in_several_headers_are_one_cookie_header(self) -> None:
        inside = Recorder()
        name, value = cookie()
        for headers in (
            [(name, b"a=b"), (name, value), (name, b"c=d")],
            [(name, value), (name, b"a=b")],
        ):
            assert passes(protect(inside), make_scope(*headers))
        two = [cookie(), cookie({"username": "dana"})]
        assert not passes(protect(inside), make_scope(*two))

    def test_several_authorization_headers_are_one(self) -> None:
        inside = Recorder()
        empty = (b"authorization", b"Bearer")
        for headers in ([bearer(), bearer()], [empty, bearer()], [bearer(), empty]):
            assert not passes(protect(inside), make_scope(*headers))

    def test_headers_may_hold_any_byte(self) -> None:
        inside = Recorder()
        every_byte = bytes(range(256))
        for name in (b"cookie", b"authorization", b"accept", b"x-forwarded-for", every_byte):
            for prefix in (b"", b"sessionid=", b"Bearer "):
                assert not passes(protect(inside), make_scope((name, prefix + every_byte)))

    def test_an_exception_of_the_application_comes_out(self) -> None:
        for error in (LookupError("its own"), AccessDenied()):

            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                raise error  # noqa: B023

            for header in (cookie(), cookie(XIA, OTHER_KEY)):
                scope = make_scope(header)
                with pytest.raises(type(error)):
                    asyncio.run(exchange(protect(app, allowed_no_session=["/app"]), scope))

    def test_what_is_kept_in_the_scope_shows_nothing(self) -> None:
        inside = Recorder()
        assert passes(protect(inside), make_scope(cookie()))
        [scope] = inside.scopes
        for key in (DECODED_KEY, SESSION_KEY, "user", "auth"):
            assert "xia" not in repr(scope[key]), key
            assert "Chamoix" not in repr(scope[key]), key


def test_the_asgi_middleware_reads_every_capture_of_the_proxy(capture: Capture) -> None:
    inside = Recorder()
    headers = [
        (name.removeprefix("HTTP_").replace("_", "-").lower().encode(), value.encode("latin-1"))
        for name, value in capture.environ.items()
        if name.startswith("HTTP_")
    ]
    scope = make_scope(*headers, path=capture.environ["PATH_INFO"])
    is_accepted = passes(SessionMiddleware(inside, secret_key=capture.secret_key), scope)
    assert is_accepted == (capture.session is not None)
    assert [seen[SESSION_KEY] for seen in inside.scopes] == [capture.session] * is_accepted
    assert not passes(SessionMiddleware(inside, secret_key="another key"), scope)


class TestWebSocketsOfOtherSites:
    """Browsers send cookies along with a WebSocket that a page of another site opens."""

    HOST = b"app.example.com:8000"

    def passes(self, *origins: bytes, hosts: Iterable[bytes] = (HOST,), **settings: Any) -> bool:
        headers = [(b"origin", origin) for origin in origins] + [(b"host", host) for host in hosts]
        found = set()
        for header in (cookie(), bearer()):
            inside = Recorder()
            scope = make_scope(kind="websocket", headers=[*headers, header])
            found.add(passes(protect(inside, **settings), scope))
            assert len(inside.scopes) == len(found & {True})
        [is_accepted] = found
        return is_accepted

    @pytest.mark.parametrize(
        "origin",
        [
            b"http://app.example.com:8000",
            b"https://app.example.com:8000",
            b"HTTPS://APP.example.com:8000",
        ],
    )
    def test_a_page_of_the_same_host_may_open_one(self, origin: bytes) -> None:
        assert self.passes(origin)
        assert self.passes(origin, hosts=[self.HOST.upper()])

    def test_a_client_that_is_not_a_browser_sends_no_origin(self) -> None:
        assert self.passes()
        assert self.passes(hosts=[])

    @pytest.mark.parametrize(
        "origin",
        [
            b"https://evil.example",
            b"https://app.example.com",
            b"https://app.example.com:80000",
            b"https://app.example.com:8000.evil.example",
            b"https://evil.example://app.example.com:8000",
            b"https://x.app.example.com:8000",
            b"https://user@app.example.com:8000",
            b"https://app.example.com:8000/",
            b"app.example.com:8000",
            b"null",
            b"",
            b"\xff",
        ],
    )
    def test_a_page_of_another_site_may_not(self, origin: bytes) -> None:
        assert not self.passes(origin)
        assert not self.passes(b"https://app.example.com:8000", origin)
        assert not self.passes(origin, b"https://app.example.com:8000")

    def test_without_a_host_or_with_two_no_page_may(self) -> None:
        for hosts in ([], [b"evil.example", self.HOST], [b""]):
            assert not self.passes(b"https://app.example.com:8000", hosts=hosts)
        for origin in (b"null", b"", b"https://"):
            assert not self.passes(origin, hosts=[])
            assert not self.passes(origin, hosts=[b""])

    def test_a_setting_lists_other_sites(self) -> None:
        allowed: dict[str, Any] = {"websocket_origins": ["https://www.example.com"]}
        assert self.passes(b"https://www.example.com", **allowed)
        assert self.passes(b"https://WWW.example.com", hosts=[], **allowed)
        assert self.passes(b"https://app.example.com:8000", **allowed)
        for origin in (b"http://www.example.com", b"https://www.example.com:8000", b"null", b""):
            assert not self.passes(origin, **allowed)

    def test_an_open_path_gets_no_session(self, caplog: pytest.LogCaptureFixture) -> None:
        inside = Recorder()
        headers = [(b"host", self.HOST), (b"origin", b"https://evil.example"), cookie()]
        scope = make_scope(kind="websocket", headers=headers)
        assert passes(protect(inside, allowed_no_session=["/app"]), scope)
        [seen] = inside.scopes
        assert seen[SESSION_KEY] == {}
        assert not seen["user"].is_authenticated
        [record] = caplog.records
        assert record.levelname == "WARNING"
        assert record.getMessage() == (
            "GET /app/ passes without a session: a page of another site opened the WebSocket: its"
            " Origin does not match the Host header, and websocket_origins does not list it"
        )

    def test_the_log_names_the_token_first(self, caplog: pytest.LogCaptureFixture) -> None:
        headers = [(b"host", self.HOST), (b"origin", b"https://evil.example")]
        assert not passes(protect(Recorder()), make_scope(kind="websocket", headers=headers))
        [record] = caplog.records
        assert "refused: the request carries no session token" in record.getMessage()

    def test_headers_that_can_be_read_only_once(self) -> None:
        headers = [(b"host", self.HOST), (b"origin", b"https://evil.example"), cookie()]
        inside = Recorder()
        for start, is_accepted in ((0, False), (2, True)):
            scope = make_scope(kind="websocket", headers=iter(headers[start:]))
            assert passes(protect(inside), scope) == is_accepted
        [seen] = inside.scopes
        assert list(seen["headers"]) == headers[2:]

    def test_two_middlewares_must_both_allow_it(self) -> None:
        allowed: dict[str, Any] = {"websocket_origins": ["https://www.example.com"]}
        headers = [(b"host", self.HOST), (b"origin", b"https://www.example.com"), cookie()]
        for inner, outer in ((allowed, {}), ({}, allowed)):
            inside = Recorder()
            app = protect(protect(inside, **inner), **outer)
            assert not passes(app, make_scope(kind="websocket", headers=headers))
            assert inside.scopes == []
        app = protect(protect(Recorder(), **allowed), **allowed)
        assert passes(app, make_scope(kind="websocket", headers=headers))

    def test_requests_are_not_concerned(self) -> None:
        # CORS and CSRF protection are for the framework.
        headers = [(b"host", self.HOST), (b"origin", b"https://evil.example"), cookie()]
        assert passes(protect(Recorder()), make_scope(headers=headers))


class TestAsgiOpenPaths:
    def opens(self, *allowed: str, **scope: Any) -> bool:
        found = set()
        for kind in KINDS:
            inside = Recorder()
            app = SessionMiddleware.from_gate(inside, make_gate(*allowed))
            found.add(passes(app, make_scope(kind=kind, **scope)))
            assert len(inside.scopes) == len(found & {True})
        [is_open] = found
        return is_open

    def test_entries_match_the_path(self) -> None:
        assert self.opens("/login", path="/login/x")
        assert self.opens("/café", path="/café/林")
        assert self.opens("/", path="/")
        assert not self.opens("/", path="/secret")
        assert not self.opens("/login", path="/secret", query_string=b"/login")
        assert not self.opens("/login", path="/secret", raw_path=b"/login")

    def test_an_empty_path_is_the_home_page(self) -> None:
        assert self.opens("/", path="")
        assert not self.opens("/login", path="")
        assert self.opens("/", path="/app", root_path="/app")

    def test_entries_are_below_root_path(self) -> None:
        assert self.opens("/login", root_path="/app", path="/app/login/x")
        assert not self.opens("/app/login", root_path="/app", path="/app/login")
        assert not self.opens("/login", root_path="/app", path="/app/secret")

    @pytest.mark.parametrize(
        ("root_path", "path"),
        [
            ("/app", "/login"),  # Starlette and Django use the whole path, Quart refuses it
            ("/app", "/out/login"),
            ("/app", "/login/app"),
            ("/app", "/x/app/login"),  # Litestar cuts at the first occurrence
            ("/app", "/app/login/app"),
            ("/app", "/app/app/login"),
            ("/app", "/application/login"),
            ("/app", "/app/login/apple/app"),
            ("/log", "/login"),
            ("/app/", "/app/login"),
            ("app", "/app/login"),
            ("/", "/login"),
            ("/", "//login"),
            ("/l", "/l/login"),  # occurs twice
            ("aa", "/aaa/login"),
        ],
    )
    def test_a_path_that_frameworks_read_differently_is_closed(
        self, root_path: str, path: str
    ) -> None:
        assert open_path(make_scope(path=path, root_path=root_path)) is None
        assert not self.opens("/login", "/", "/app", path=path, root_path=root_path)
        inside = Recorder()
        for kind in KINDS:
            scope = make_scope(cookie(), kind=kind, path=path, root_path=root_path)
            assert passes(protect(inside), scope)

    def test_a_root_path_that_is_an_entry_opens_nothing(self) -> None:
        for path in ("/login/secret", "/login/x", "/secret"):
            assert not self.opens("/login", root_path="/login", path=path)

    @pytest.mark.parametrize(
        "path",
        [
            "/login/../app",
            "/login//app",
            "/login/%2e%2e/app",
            "/login/..;/app",
            "/login\\..\\app",
            "/login/\x00",
            "/login/\ufffd",
            "/login/" + chr(0xD800),
            "/login/" + chr(0xDCFF),
            "login/x",
            "http://localhost/login",
        ],
        ids=ascii,
    )
    def test_a_path_that_can_be_read_in_two_ways_is_closed(self, path: str) -> None:
        assert not self.opens("/login", path=path)

    def test_the_log_names_the_whole_path(self, caplog: pytest.LogCaptureFixture) -> None:
        gate = make_gate("/login")
        for path in ("/app/secret", "/login"):
            scope = make_scope(path=path, root_path="/app")
            decode_scope(gate, scope)
            with caplog.at_level(logging.INFO), pytest.raises(AccessDenied):
                check_scope(gate, scope)
        assert [record.getMessage().split()[1] for record in caplog.records] == [
            "/secret",
            "/login",
        ]


class TestAsgiPeer:
    """With trusted_proxies, the address of the connection decides."""

    TRUSTED = ("10.0.0.7", "unix")

    def is_trusted(self, client: Any, *headers: tuple[bytes, bytes]) -> bool:
        app = protect(Recorder(), trusted_proxies=list(self.TRUSTED))
        return passes(app, make_scope(cookie(), *headers, client=client))

    def test_the_peer_is_the_address_of_the_connection(self) -> None:
        assert self.is_trusted(("10.0.0.7", 50_000))
        assert self.is_trusted(["10.0.0.7", 50_000])
        assert self.is_trusted(None)
        assert not self.is_trusted(("192.0.2.1", 50_000))
        assert not self.is_trusted(("192.0.2.1", 50_000), (b"x-forwarded-for", b"10.0.0.7"))
        assert self.is_trusted(("10.0.0.7", 50_000), (b"x-forwarded-for", b"192.0.2.1:4711"))

    @pytest.mark.parametrize("address", ["10.0.0.7", "", "localhost"])
    def test_an_address_with_the_port_0_was_replaced(self, address: str) -> None:
        assert peer_of(make_scope(client=(address, 0))) == REPLACED_PEER
        assert not self.is_trusted((address, 0))

    def test_without_trusted_proxies_it_does_not_matter(self) -> None:
        assert passes(protect(Recorder()), make_scope(cookie(), client=("192.0.2.1", 0)))

    def test_the_log_about_a_replaced_peer_says_what_to_do(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert not self.is_trusted(("10.0.0.7", 0))
        assert "run uvicorn with --no-proxy-headers" in caplog.text

    FORWARDED = (
        b"10.0.0.7",
        b"10.0.0.7:1",
        b"10.0.0.7:+1",
        b"10.0.0.7: 1_0",
        b"[10.0.0.7]:1",
        b"[10.0.0.7]",
        b" 10.0.0.7:1 ",
        b"192.0.2.9, 10.0.0.7:1",
        b"10.0.0.7:1, 192.0.2.9",
        b"10.0.0.7:1, 127.0.0.1",
        b"localhost",
        b"localhost:1",
        b"",
        b",",
        b":1",
        b"[]:1",
        b"unix",
    )

    def try_all(self, wrap: Any, attempts: Any) -> int:
        """Send what an attacker could through a proxy middleware; return how many it believed."""
        believed = 0
        for headers in attempts:
            inside = Recorder()
            app = wrap(protect(inside, trusted_proxies=list(self.TRUSTED)))
            scope = make_scope(cookie(), *headers)
            [start, *_] = asyncio.run(exchange(app, scope))
            assert start["status"] == 403, headers
            probe = Recorder()
            asyncio.run(exchange(wrap(probe), make_scope(*headers)))
            believed += probe.scopes[0]["client"][0] == "10.0.0.7"
        return believed

    @pytest.mark.parametrize("trusted_hosts", ["127.0.0.1", "*"])
    def test_behind_uvicorns_middleware_no_address_from_a_header_counts(
        self, trusted_hosts: str
    ) -> None:
        proxy_headers = pytest.importorskip("uvicorn.middleware.proxy_headers")
        attempts = [[(b"x-forwarded-for", value)] for value in self.FORWARDED]
        attempts += [[(b"x-forwarded-for", value), *attempts[1]] for value in self.FORWARDED]

        def wrap(app: Any) -> Any:
            return proxy_headers.ProxyHeadersMiddleware(app, trusted_hosts)

        # Later versions of uvicorn also take the port.
        assert self.try_all(wrap, attempts) >= 1

    @pytest.mark.parametrize("mode", ["legacy", "modern"])
    def test_behind_hypercorns_middleware_no_address_from_a_header_counts(self, mode: str) -> None:
        hypercorn = pytest.importorskip("hypercorn.middleware")
        name, prefix = (b"forwarded", b"for=") if mode == "modern" else (b"x-forwarded-for", b"")

        def wrap(app: Any) -> Any:
            return hypercorn.ProxyFixMiddleware(app, mode=mode)

        attempts = [[(name, prefix + value)] for value in self.FORWARDED]
        assert self.try_all(wrap, attempts) >= 1

    def test_behind_daphnes_option_no_address_from_a_header_counts(self) -> None:
        utils = pytest.importorskip("daphne.utils")
        believed = 0
        for value in self.FORWARDED:
            for port in (b"", b"1", b"0", b"-1", b" 8_0", b"x"):
                headers = {b"X-Forwarded-For": [value], b"X-Forwarded-Port": [port]}
                if not port:
                    del headers[b"X-Forwarded-Port"]
                client, _ = utils.parse_x_forwarded_for(headers, original_addr=["127.0.0.1", 1])
                sent = [(name.lower(), values[0]) for name, values in headers.items()]
                assert not self.is_trusted(client, *sent), (value, port)
                believed += client[0] == "10.0.0.7"
        assert believed > 5

    def test_around_the_middleware_the_peer_is_checked(self) -> None:
        proxy_headers = pytest.importorskip("uvicorn.middleware.proxy_headers")
        inside = Recorder()
        app = protect(
            proxy_headers.ProxyHeadersMiddleware(inside, "*"), trusted_proxies=["10.0.0.7"]
        )
        forwarded = (b"x-forwarded-for", b"203.0.113.9")
        assert passes(app, make_scope(cookie(), forwarded, client=("10.0.0.7", 50_000)))
        assert inside.scopes[0]["client"][0] == "203.0.113.9"
        assert not passes(app, make_scope(cookie(), forwarded, client=("192.0.2.1", 50_000)))


class TestAsgiStacking:
    def stack(self, inside: Recorder, inner: Any, outer: Any) -> SessionMiddleware:
        return SessionMiddleware.from_gate(SessionMiddleware.from_gate(inside, inner), outer)

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_token_is_decoded_once(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        inner, inside = make_gate(), Recorder()
        monkeypatch.setattr(inner.codec, "try_loads", lambda token: pytest.fail("decoded again"))
        app = self.stack(inside, inner, make_gate())
        assert passes(app, make_scope(cookie(), kind=kind))
        assert inside.scopes[0]["user"].identity == "xia"

    @pytest.mark.parametrize(
        "settings",
        [
            {"key": OTHER_KEY},
            {"cookie_name": "djs"},
            {"max_token_size": 100},
            {"formats": ["jwt"]},
            {"trusted_proxies": ["10.0.0.7"]},
        ],
        ids=lambda item: next(iter(item)),
    )
    def test_a_gate_with_other_settings_looks_again(self, settings: Any) -> None:
        inside, strict = Recorder(), make_gate(**settings)
        assert not passes(self.stack(inside, strict, make_gate()), make_scope(cookie()))
        assert not passes(self.stack(inside, make_gate(), strict), make_scope(cookie()))

    def test_headers_that_a_middleware_changed_are_decoded_again(self) -> None:
        inside = Recorder()
        inner = SessionMiddleware.from_gate(inside, make_gate())

        async def change(scope: Scope, receive: Receive, send: Send) -> None:
            changed = {**scope, "headers": [*scope["headers"], (b"authorization", b"Bearer")]}
            await inner(changed, receive, send)

        app = SessionMiddleware.from_gate(change, make_gate())
        assert not passes(app, make_scope(cookie()))
        assert inside.scopes == []

    def test_the_caching_headers_are_added_once(self) -> None:
        app = self.stack(Recorder(), make_gate(), make_gate())
        answer = call(app, make_scope(cookie()))
        assert answer.headers["Vary"] == "Cookie, Authorization"
        assert answer.headers["Cache-Control"] == "private"


class TestAsgiRefusals:
    @pytest.mark.parametrize(
        ("accept", "content_type", "body"),
        [
            ([], "text/plain; charset=utf-8", b"Forbidden\n"),
            ([b"*/*"], "text/plain; charset=utf-8", b"Forbidden\n"),
            ([b"application/json"], "application/json", b'{"detail": "Forbidden"}\n'),
            ([b"image/png", b"application/json"], "application/json", b'{"detail": "Forbidden"}\n'),
            ([b"\xff"], "text/plain; charset=utf-8", b"Forbidden\n"),
        ],
    )
    def test_a_refusal_is_text_or_json(
        self, accept: list[bytes], content_type: str, body: bytes
    ) -> None:
        headers = [(b"accept", value) for value in accept]
        answer = call(protect(Recorder()), make_scope(*headers))
        assert answer == (
            403,
            {
                "Content-Type": content_type,
                "Content-Length": str(len(body)),
                "Cache-Control": "no-store",
                "Vary": "Cookie, Authorization, Accept",
                "X-Content-Type-Options": "nosniff",
            },
            body,
        )

    def test_head_is_answered_with_the_headers_of_get(self) -> None:
        app = protect(Recorder())
        get, head = call(app, make_scope()), call(app, make_scope(method="HEAD"))
        assert head == (get.code, get.headers, b"")

    def test_every_refusal_looks_the_same_from_outside(self) -> None:
        app = protect(Recorder())
        tokens = [token.encode("utf-8", "surrogatepass") for _, token in REFUSED.values()]
        headers = [
            *((b"cookie", b'sessionid="' + token + b'"') for token in tokens),
            *((b"authorization", b"Bearer " + token) for token in tokens),
            cookie(XIA, OTHER_KEY),
            (b"authorization", b"Bearer"),
        ]
        expected = call(app, make_scope())
        assert all(call(app, make_scope(header)) == expected for header in headers)
        for header in headers:
            assert not passes(app, make_scope(header, kind="websocket"))


class TestAsgiResponses:
    """What happens to a response on its way out."""

    def respond(
        self, *headers: tuple[bytes, bytes], signed_in: bool = True, session: Any = XIA
    ) -> dict[str, str]:
        app = protect(Recorder(*headers), allowed_no_session=["/app"])
        answer = call(app, make_scope(*([cookie(session)] if signed_in else [])))
        assert answer.code == 200
        assert answer.headers.pop("Content-Type") == "text/plain"
        return answer.headers

    def test_a_response_to_a_session_is_private(self) -> None:
        expected = {"Cache-Control": "private", "Vary": "Cookie, Authorization"}
        assert self.respond() == self.respond(session={}) == expected

    def test_a_response_without_a_session_varies(self) -> None:
        assert self.respond(signed_in=False) == {"Vary": "Cookie, Authorization"}

    @pytest.mark.parametrize(
        ("control", "vary", "expected"),
        [
            ("public, max-age=60", "", ("public, max-age=60", "")),
            ("Public", "Accept", ("Public", "Accept")),
            ("max-age=60", "", ("max-age=60, private", "Cookie, Authorization")),
            ("no-store", "", ("no-store", "Cookie, Authorization")),
            ("", "Accept", ("private", "Accept, Cookie, Authorization")),
            ("", "*", ("private", "*")),
            ("", "authorization, cookie", ("private", "authorization, cookie")),
            ("private", "\xe9", ("private", "\xe9, Cookie, Authorization")),
        ],
    )
    @pytest.mark.parametrize("case", [str, str.lower, str.upper])
    def test_the_applications_own_headers_are_kept(
        self, control: str, vary: str, expected: tuple[str, str], case: Any
    ) -> None:
        headers = [("Cache-Control", control), ("Vary", vary)]
        given = [(case(name).encode(), value.encode("latin-1")) for name, value in headers if value]

        # Names in capitals break the rules of ASGI, and some applications do so all the same.
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": iter(given)})
            await send({"type": "http.response.body", "body": b""})

        found = call(protect(app), make_scope(cookie())).headers
        assert (found.get("Cache-Control", ""), found.get("Vary", "")) == expected
        assert len(found) == len([value for value in expected if value])

    @pytest.mark.parametrize("status", [200, 304, 404, 500, 302])
    def test_the_message_of_the_application_is_not_changed(self, status: int) -> None:
        start = {"type": "http.response.start", "status": status, "trailers": True}
        body = {"type": "http.response.body", "body": b"a", "more_body": False}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start)
            await send(body)

        sent = asyncio.run(exchange(protect(app), make_scope(cookie())))
        assert sent[0]["headers"] == [
            (b"vary", b"Cookie, Authorization"),
            (b"cache-control", b"private"),
        ]
        assert {**sent[0], "headers": None} == {**start, "headers": None}
        assert start == {"type": "http.response.start", "status": status, "trailers": True}
        assert sent[1] is body

    def test_a_handshake_that_the_application_refuses_varies_too(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            start = "websocket.http.response.start"
            await send({"type": start, "status": 404, "headers": []})

        [start] = asyncio.run(exchange(protect(app), make_scope(cookie(), kind="websocket")))
        assert (b"cache-control", b"private") in start["headers"]

    def test_nothing_is_buffered(self) -> None:
        async def scenario() -> None:
            steps: list[str] = []
            go_on = asyncio.Event()

            async def app(scope: Scope, receive: Receive, send: Send) -> None:
                assert (await receive())["body"] == b"first"
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"1", "more_body": True})
                await go_on.wait()
                assert (await receive())["body"] == b"second"
                await send({"type": "http.response.body", "body": b"2"})

            bodies = [b"first", b"second"]

            async def receive() -> Message:
                return {"type": "http.request", "body": bodies.pop(0), "more_body": bool(bodies)}

            async def send(message: Message) -> None:
                steps.append(message.get("body", b"start").decode())

            running = asyncio.ensure_future(protect(app)(make_scope(cookie()), receive, send))
            await asyncio.sleep(0.01)
            assert steps == ["start", "1"]
            assert bodies == [b"second"]
            go_on.set()
            await running
            assert steps == ["start", "1", "2"]

        asyncio.run(scenario())


class TestAsgiTasks:
    def test_tasks_share_nothing(self) -> None:
        """Each task is between its request and its response when the others arrive."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            before = scope["djsession.session"].username
            await asyncio.sleep(0)
            assert (await receive())["type"] == "http.request"
            await asyncio.sleep(0.001)
            names = (before, scope["djsession.session"].username, scope["user"].identity)
            headers = [(b"x-user", scope["user"].identity.encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": " ".join(names).encode()})

        wrapped = protect(app, allowed_no_session=["/open"])
        headers = [cookie({"username": f"user{number}"}) for number in range(50)]

        async def ask(number: int) -> bool:
            user = number % 51
            if user == 50:
                start, *_ = await exchange(wrapped, make_scope(path="/app"))
                return bool(start["status"] == 403)
            start, body = await exchange(wrapped, make_scope(headers[user]))
            expected = f"user{user}"
            return bool(
                body["body"].decode() == " ".join([expected] * 3)
                and (b"x-user", expected.encode()) in start["headers"]
            )

        async def scenario() -> list[bool]:
            return await asyncio.gather(*map(ask, range(1_000)))

        assert all(asyncio.run(scenario()))

    def test_a_scope_of_one_request_does_not_reach_the_next(self) -> None:
        inside = Recorder()
        app = protect(inside, allowed_no_session=["/app"])
        for header in (cookie(), cookie({"username": "dana"}), (b"accept", b"*/*")):
            assert passes(app, make_scope(header))
        found = [scope["user"].identity for scope in inside.scopes]
        assert found == ["xia", "dana", ""]

    def test_no_thread_is_started_and_no_task(self, monkeypatch: pytest.MonkeyPatch) -> None:
        tasks: list[int] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            tasks.append(len(asyncio.all_tasks()))
            await Recorder()(scope, receive, send)

        def fail(self: threading.Thread) -> None:
            pytest.fail("a thread was started")

        wrapped = protect(app)
        monkeypatch.setattr(threading.Thread, "start", fail)
        for kind in KINDS:
            assert passes(wrapped, make_scope(cookie(), kind=kind))
            assert not passes(wrapped, make_scope(kind=kind))
        assert tasks == [1, 1]


class TestAsgiSettings:
    def test_settings_come_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DJAODJIN_SECRET_KEY", f"{OTHER_KEY},{KEY}")
        monkeypatch.setenv("DJSESSION_ALLOWED_NO_SESSION", "/static/, /login")
        app = SessionMiddleware(Recorder())
        for key in (KEY, OTHER_KEY):
            assert passes(app, make_scope(cookie(XIA, key)))
        assert passes(app, make_scope(path="/login"))
        assert not passes(app, make_scope(path="/app"))

    @pytest.mark.parametrize("key", [None, "", []])
    def test_without_a_key_the_asgi_middleware_does_not_start(
        self, key: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(ConfigurationError, match="DJAODJIN_SECRET_KEY") as caught:
            SessionMiddleware(Recorder(), secret_key=key)
        # uvicorn hides the exception.
        [record] = caplog.records
        assert record.levelname == "ERROR"
        assert record.getMessage().endswith(f"SessionMiddleware cannot start: {caught.value}")


@given(
    st.sampled_from(KINDS),
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"cookie", b"authorization", b"accept", b"x-forwarded-for", b"x-forwarded-port"]
            ),
            st.binary() | st.binary().map(b"Bearer ".__add__) | st.just(cookie()[1]),
        )
    ),
    st.text() | st.text().map("/login/".__add__),
    st.text(),
    st.none() | st.tuples(st.text(), st.integers()),
)
def test_no_scope_makes_the_asgi_middleware_raise(
    kind: str, headers: Any, path: str, root_path: str, client: Any
) -> None:
    app = protect(Recorder(), allowed_no_session=["/login"], trusted_proxies=["10.0.0.7"])
    others = {"raw_path": b"", "root_path": root_path, "client": client}
    scope = make_scope(*headers, kind=kind, path=path, **others)
    if passes(app, scope):
        assert scope[SESSION_KEY] == {} or client is None or client[0] == "10.0.0.7"
